"""MLP 784-512-512-10, batch 128, Adam."""

from common import jax_classifier, onnx_report, torch_classifier

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


def with_torch(args, w, d):
    import torch

    p, scores = torch_net(torch, w)
    image, label = torch.tensor(d["image"]), torch.tensor(d["label"]).long()
    return torch_classifier(torch, args, p, scores, image, label, RULE)


def with_jax(args, w, d):
    import jax.numpy as jnp

    p = {k: jnp.asarray(x) for k, x in w.items()}
    return jax_classifier(args, p, jax_scores, jnp.asarray(d["image"]), jnp.asarray(d["label"]), RULE)


def with_onnx(args, w, d):
    import torch

    return onnx_report(torch_net(torch, w)[1], torch.tensor(d["image"]), args)
