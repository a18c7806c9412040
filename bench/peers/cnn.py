"""A small convolutional network on 28 by 28, batch 64, gradient descent with momentum."""

from common import jax_classifier, onnx_report, torch_classifier

RULE = ("sgd", 0.01, {"momentum": 0.9})


def torch_net(torch, w, last=False):
    """`last` lays out images with their channels last."""
    F = torch.nn.functional
    p = {k: torch.tensor(x) for k, x in w.items()}
    p["linear1.w"] = p["linear1.w"].T.contiguous()
    p["dense1.w"] = p["dense1.w"].flatten(0, 2).T.contiguous()
    if last:
        for k in "conv1.w", "conv2.w":
            p[k] = p[k].contiguous(memory_format=torch.channels_last)

    def scores(x):
        h = F.relu(F.conv2d(x, p["conv2.w"], p["conv2.b"], padding=1))
        h = F.relu(F.conv2d(h, p["conv1.w"], p["conv1.b"], padding=1))
        h = F.max_pool2d(h, 2).flatten(1)
        h = F.relu(F.linear(h, p["dense1.w"], p["dense1.b"]))
        return F.linear(h, p["linear1.w"], p["linear1.b"])

    return p, scores


def with_torch(args, w, d):
    import torch

    last = "last" in args.peer
    p, scores = torch_net(torch, w, last)
    image, label = torch.tensor(d["image"]), torch.tensor(d["label"]).long()
    if last:
        image = image.contiguous(memory_format=torch.channels_last)
    return torch_classifier(torch, args, p, scores, image, label, RULE)


def with_jax(args, w, d):
    """Channels last, which XLA's convolutions on the CPU want."""
    import jax
    import jax.numpy as jnp

    p = {k: jnp.asarray(x) for k, x in w.items()}
    for k in "conv1.w", "conv2.w":
        p[k] = p[k].transpose(2, 3, 1, 0)
    p["dense1.w"] = p["dense1.w"].transpose(1, 2, 0, 3).reshape(-1, 128)
    image, label = jnp.asarray(d["image"]).transpose(0, 2, 3, 1), jnp.asarray(d["label"])

    def convolve(x, w, b):
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b

    def scores(p, x):
        h = jax.nn.relu(convolve(x, p["conv2.w"], p["conv2.b"]))
        h = jax.nn.relu(convolve(h, p["conv1.w"], p["conv1.b"]))
        h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        h = jax.nn.relu(h.reshape(h.shape[0], -1) @ p["dense1.w"] + p["dense1.b"])
        return h @ p["linear1.w"] + p["linear1.b"]

    return jax_classifier(args, p, scores, image, label, RULE)


def with_onnx(args, w, d):
    import torch

    return onnx_report(torch_net(torch, w)[1], torch.tensor(d["image"]), args)
