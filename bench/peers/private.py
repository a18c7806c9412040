"""Gradients of the samples of a batch of 128, MLP 784-512-512-10, each clipped to length 1; descent by their mean."""

from common import jax_cross_entropy, jax_numbers, torch_numbers
from mlp import jax_scores, torch_net

RATE = 0.1


def with_torch(args, w, d):
    import torch

    p, scores = torch_net(torch, w)
    image, label = torch.tensor(d["image"]), torch.tensor(d["label"]).long()

    def loss(p, x, y):
        return torch.nn.functional.cross_entropy(scores(x, p), y)

    gradients = torch.func.vmap(torch.func.grad_and_value(loss), (None, 0, 0))

    def direction(p):
        g, value = gradients(p, image, label)
        length = torch.sqrt(sum(x.flatten(1).square().sum(1) for x in g.values()))
        share = torch.clamp(1 / length, max=1) / len(length)
        return {k: torch.tensordot(share, x, 1) for k, x in g.items()}, value.mean()

    direction = torch.compile(direction) if "compile" in args.peer else direction

    def step():
        with torch.no_grad():
            g, value = direction(p)
            for k, x in p.items():
                x -= RATE * g[k]
        return value

    return step, torch_numbers


def with_jax(args, w, d):
    import jax
    import jax.numpy as jnp

    held = [{k: jnp.asarray(x) for k, x in w.items()}]
    image, label = jnp.asarray(d["image"]), jnp.asarray(d["label"])

    @jax.jit
    def advance(p, image, label):
        loss = lambda p, x, y: jax_cross_entropy(jax_scores(p, x), y)
        value, g = jax.vmap(jax.value_and_grad(loss), (None, 0, 0))(p, image, label)
        length = jnp.sqrt(sum(jnp.sum(x.reshape(len(x), -1) ** 2, 1) for x in g.values()))
        share = jnp.minimum(1, 1 / length) / len(length)
        return {k: x - RATE * jnp.tensordot(share, g[k], 1) for k, x in p.items()}, jnp.mean(value)

    def step():
        held[0], value = jax.block_until_ready(advance(held[0], image, label))
        return value

    return step, jax_numbers
