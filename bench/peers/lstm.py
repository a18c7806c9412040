"""LSTM of 256 units over 100 steps of 64 numbers, batch 32, Adam."""

from common import jax_classifier, onnx_report, torch_classifier

RULE = ("adam", 1e-3, {})
UNITS = 256


def torch_net(torch, w, loop=False):
    """PyTorch's own operation, or a loop over the steps, which is all that its compiler takes."""
    F = torch.nn.functional
    p = {k: torch.tensor(x) for k, x in w.items()}
    for k in "w", "u", "b":
        p[f"lstm1.{k}"] = p[f"lstm1.{k}"].flatten(0, 1)
    p["linear1.w"] = p["linear1.w"].T.contiguous()
    zero = torch.zeros(4 * UNITS)  # PyTorch has two biases; the second stays 0

    def own(x):
        state = torch.zeros(1, x.shape[0], UNITS)
        held = [p["lstm1.w"], p["lstm1.u"], p["lstm1.b"], zero]
        return torch.lstm(x, (state, state), held, True, 1, 0.0, False, False, True)[1].squeeze(0)

    def steps(x):
        h = c = torch.zeros(x.shape[0], UNITS)
        z = F.linear(x, p["lstm1.w"], p["lstm1.b"])
        for t in range(x.shape[1]):
            i, f, g, o = (z[:, t] + F.linear(h, p["lstm1.u"])).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return h

    return p, lambda x: F.linear((steps if loop else own)(x), p["linear1.w"], p["linear1.b"])


def with_torch(args, w, d):
    import torch

    p, scores = torch_net(torch, w, "compile" in args.peer)
    signal, label = torch.tensor(d["signal"]), torch.tensor(d["label"]).long()
    return torch_classifier(torch, args, p, scores, signal, label, RULE)


def with_jax(args, w, d):
    import jax
    import jax.numpy as jnp

    p = {k: jnp.asarray(x) for k, x in w.items()}
    for k in "w", "u":
        p[f"lstm1.{k}"] = p[f"lstm1.{k}"].reshape(4 * UNITS, -1).T
    p["lstm1.b"] = p["lstm1.b"].ravel()
    signal, label = jnp.asarray(d["signal"]), jnp.asarray(d["label"])

    def scores(p, x):
        def step(state, z):
            h, c = state
            i, f, g, o = jnp.split(z + h @ p["lstm1.u"], 4, 1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zero = jnp.zeros((x.shape[0], UNITS))
        (h, _), _ = jax.lax.scan(step, (zero, zero), x.swapaxes(0, 1) @ p["lstm1.w"] + p["lstm1.b"])
        return h @ p["linear1.w"] + p["linear1.b"]

    return jax_classifier(args, p, scores, signal, label, RULE)


def with_onnx(args, w, d):
    import torch

    return onnx_report(torch_net(torch, w)[1], torch.tensor(d["signal"]), args)
