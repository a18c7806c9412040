"""MLP 784-512-512-10, batch 128, Adam."""

from common import jax_numbers, jax_report, jax_step, onnx_report, torch_numbers, torch_report, torch_step

RULE = ("adam", 1e-3, {})
LAYERS = ["linear1", "linear3", "linear2"]  # as Gannet names them, from the first to the last


def torch_net(torch, w):
    """Parameters as `torch.nn.Linear` holds them, and the scores."""
    F = torch.nn.functional
    p = {k: torch.tensor(x.T if k.endswith(".w") else x).contiguous() for k, x in w.items()}

    def scores(x, p=p):
        for layer in LAYERS[:-1]:
            x = F.relu(F.linear(x, p[layer + ".w"], p[layer + ".b"]))
        return F.linear(x, p["linear2.w"], p["linear2.b"])

    return p, scores


def jax_scores(p, x):
    import jax

    for layer in LAYERS[:-1]:
        x = jax.nn.relu(x @ p[layer + ".w"] + p[layer + ".b"])
    return x @ p["linear2.w"] + p["linear2.b"]


def jax_cross_entropy(scores, label):
    import jax
    import jax.numpy as jnp

    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), label[..., None], -1))


def with_torch(args, w, d):
    import torch

    p, scores = torch_net(torch, w)
    image, label = torch.tensor(d["image"]), torch.tensor(d["label"]).long()
    compiled = "compile" in args.peer
    if args.what == "report":
        return torch_report(torch, lambda: scores(image), compiled), torch_numbers
    loss = lambda: torch.nn.functional.cross_entropy(scores(image), label)
    return torch_step(torch, p, loss, RULE, compiled), torch_numbers


def with_jax(args, w, d):
    import jax.numpy as jnp

    p = {k: jnp.asarray(x) for k, x in w.items()}
    image, label = jnp.asarray(d["image"]), jnp.asarray(d["label"])
    if args.what == "report":
        return jax_report(p, jax_scores, (image,)), jax_numbers
    loss = lambda p, image, label: jax_cross_entropy(jax_scores(p, image), label)
    return jax_step(p, loss, RULE, (image, label)), jax_numbers


def with_onnx(args, w, d):
    import torch

    return onnx_report(torch, torch_net(torch, w)[1], torch.tensor(d["image"]), args.threads), jax_numbers
