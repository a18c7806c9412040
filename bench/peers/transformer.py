"""A decoder transformer: 4 layers of width 256, 8 heads, 128 positions, 1000 words, batch 8, AdamW."""

from common import jax_classifier, onnx_report, torch_classifier

RULE = ("adamw", 1e-3, {"decay": 0.01})
LAYERS, WIDTH, HEADS = 4, 256, 8


def matrices(w):
    """Heads laid side by side, so that every layer's map is a matrix."""
    held = dict(w)
    for name in "query", "keys", "value":
        held[f"attention1.{name}"] = w[f"attention1.{name}"].reshape(LAYERS, WIDTH, WIDTH)
    held["attention1.out"] = w["attention1.out"].reshape(LAYERS, WIDTH, WIDTH)
    return held


def torch_net(torch, w):
    """Every layer has tensors of its own; query, key and value are one product."""
    F = torch.nn.functional
    w = matrices(w)
    p = {"table": torch.tensor(w["embedding1.table"]), "place": torch.tensor(w["place"])}
    p |= {"last.gain": torch.tensor(w["layernorm3.gain"]), "last.bias": torch.tensor(w["layernorm3.bias"])}
    p |= {"head.w": torch.tensor(w["linear1.w"].T.copy()), "head.b": torch.tensor(w["linear1.b"])}
    for l in range(LAYERS):
        parts = [torch.tensor(w[f"attention1.{name}"][l].T) for name in ("query", "keys", "value")]
        p[f"{l}.qkv"] = torch.cat(parts).contiguous()
        p[f"{l}.out"] = torch.tensor(w["attention1.out"][l].T.copy())
        for norm in "layernorm1", "layernorm2":
            for part in "gain", "bias":
                p[f"{l}.{norm}.{part}"] = torch.tensor(w[f"{norm}.{part}"][l])
        for layer in "linear1", "linear2":
            p[f"{l}.{layer}.w"] = torch.tensor(w[f"mlp1.{layer}.w"][l].T.copy())
            p[f"{l}.{layer}.b"] = torch.tensor(w[f"mlp1.{layer}.b"][l])

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), p[f"{name}.gain"], p[f"{name}.bias"], 1e-5)

    def scores(s):
        x = 0.1 * F.embedding(s, p["table"]) + p["place"]
        for l in range(LAYERS):
            qkv = F.linear(norm(x, f"{l}.layernorm1"), p[f"{l}.qkv"])
            q, k, v = qkv.view(*s.shape, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            look = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + F.linear(look.transpose(1, 2).flatten(2), p[f"{l}.out"])
            h = F.gelu(F.linear(norm(x, f"{l}.layernorm2"), p[f"{l}.linear1.w"], p[f"{l}.linear1.b"]))
            x = x + F.linear(h, p[f"{l}.linear2.w"], p[f"{l}.linear2.b"])
        return F.linear(norm(x, "last"), p["head.w"], p["head.b"])

    return p, scores


def with_torch(args, w, d):
    import torch

    p, scores = torch_net(torch, w)
    text = torch.tensor(d["text"]).long()
    return torch_classifier(torch, args, p, scores, text[:, :-1].contiguous(), text[:, 1:], RULE)


def with_jax(args, w, d):
    """The layers are one scan over stacked parameters, so that compiling does not grow with them."""
    import jax
    import jax.numpy as jnp

    p = {k: jnp.asarray(x) for k, x in matrices(w).items()}
    text = jnp.asarray(d["text"])
    stacked = [k for k in p if p[k].shape[0] == LAYERS]

    def norm(x, gain, bias):
        mean, var = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
        return gain * (x - mean) * jax.lax.rsqrt(var + 1e-5) + bias

    def block(x, q):
        h = norm(x, q["layernorm1.gain"], q["layernorm1.bias"])
        heads = [(h @ q[f"attention1.{name}"]).reshape(*x.shape[:2], HEADS, -1) for name in ("query", "keys", "value")]
        look = jax.nn.dot_product_attention(*heads, is_causal=True)
        x = x + look.reshape(x.shape) @ q["attention1.out"]
        h = norm(x, q["layernorm2.gain"], q["layernorm2.bias"])
        h = jax.nn.gelu(h @ q["mlp1.linear1.w"] + q["mlp1.linear1.b"], approximate=False)
        return x + h @ q["mlp1.linear2.w"] + q["mlp1.linear2.b"], None

    def scores(p, s):
        x = 0.1 * p["embedding1.table"][s] + p["place"]
        if args.peer == "jax-scan":
            x, _ = jax.lax.scan(block, x, {k: p[k] for k in stacked})
        else:
            for l in range(LAYERS):
                x, _ = block(x, {k: p[k][l] for k in stacked})
        return norm(x, p["layernorm3.gain"], p["layernorm3.bias"]) @ p["linear1.w"] + p["linear1.b"]

    return jax_classifier(args, p, scores, text[:, :-1], text[:, 1:], RULE)


def with_onnx(args, w, d):
    import torch

    seen = torch.tensor(d["text"]).long()[:, :-1].contiguous()
    return onnx_report(torch_net(torch, w)[1], seen, args)
