"""Gradients of the samples of a batch of 64, MLP 64-128-10, all written out."""

from common import jax_cross_entropy, jax_numbers, torch_numbers

ORDER = ["linear2.w", "linear2.b", "linear1.w", "linear1.b"]  # of Gannet's `flat`


def with_torch(args, w, d):
    import torch

    F = torch.nn.functional
    p = {k: torch.tensor(x) for k, x in w.items()}
    image, label = torch.tensor(d["image"]), torch.tensor(d["label"]).long()

    def loss(p, x, y):
        h = F.relu(x @ p["linear2.w"] + p["linear2.b"])
        return F.cross_entropy(h @ p["linear1.w"] + p["linear1.b"], y)

    gradients = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))

    def rows():
        g = gradients(p, image, label)
        return torch.cat([g[k].flatten(1) for k in ORDER], 1)

    rows = torch.compile(rows) if "compile" in args.peer else rows
    return rows, torch_numbers


def with_jax(args, w, d):
    import jax
    import jax.numpy as jnp

    p = {k: jnp.asarray(x) for k, x in w.items()}
    image, label = jnp.asarray(d["image"]), jnp.asarray(d["label"])

    def loss(p, x, y):
        h = jax.nn.relu(x @ p["linear2.w"] + p["linear2.b"])
        return jax_cross_entropy(h @ p["linear1.w"] + p["linear1.b"], y)

    @jax.jit
    def rows(p, image, label):
        g = jax.vmap(jax.grad(loss), (None, 0, 0))(p, image, label)
        return jnp.concatenate([g[k].reshape(len(image), -1) for k in ORDER], 1)

    return lambda: jax.block_until_ready(rows(p, image, label)), jax_numbers
