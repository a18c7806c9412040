"""A physics-informed network for Burgers' equation at 10,000 points, Adam."""

from common import jax_numbers, jax_step, torch_numbers, torch_step

RULE = ("adam", 1e-3, {})
START = 100


def with_torch(args, w, d):
    """`torch`: gradients of gradients, as such programs are commonly written; `torch-forward`: torch.func.jvp."""
    import torch

    F = torch.nn.functional
    p = {k: torch.tensor(x.T if k.endswith(".w") else x).contiguous() for k, x in w.items()}
    x, s = torch.tensor(d["x"]), torch.tensor(d["s"])
    e = torch.linspace(-1, 1, START)
    nu = 0.01 / torch.pi

    def u(x, s):
        h = torch.tanh(x[:, None] * p["wx"] + s[:, None] * p["ws"] + p["b"])
        h = torch.tanh(F.linear(h, p["linear1.w"], p["linear1.b"]))
        h = torch.tanh(F.linear(h, p["linear2.w"], p["linear2.b"]))
        return h @ p["out"]

    def first():
        return torch.mean((u(e, 0 * e) + torch.sin(torch.pi * e)) ** 2)

    def backward():
        a, b = x.clone().requires_grad_(), s.clone().requires_grad_()
        v = u(a, b)
        v_x, v_s = torch.autograd.grad(v.sum(), (a, b), create_graph=True)
        (v_xx,) = torch.autograd.grad(v_x.sum(), a, create_graph=True)
        return torch.mean((v_s + v * v_x - nu * v_xx) ** 2) + first()

    def forward():
        one = torch.ones_like(x)
        along = lambda a: torch.func.jvp(lambda a: u(a, s), (a,), (one,))
        (v, v_x), (_, v_xx) = torch.func.jvp(along, (x,), (one,))
        _, v_s = torch.func.jvp(lambda b: u(x, b), (s,), (one,))
        return torch.mean((v_s + v * v_x - nu * v_xx) ** 2) + first()

    loss = forward if "forward" in args.peer else backward
    return torch_step(torch, p, loss, RULE, "compile" in args.peer), torch_numbers


def with_jax(args, w, d):
    """`jax`: jvp of jvp; `jax-backward`: gradients of gradients, point by point."""
    import jax
    import jax.numpy as jnp

    p = {k: jnp.asarray(x) for k, x in w.items()}
    x, s = jnp.asarray(d["x"]), jnp.asarray(d["s"])
    e = jnp.linspace(-1, 1, START)
    nu = 0.01 / jnp.pi

    def u(p, x, s):
        h = jnp.tanh(x[..., None] * p["wx"] + s[..., None] * p["ws"] + p["b"])
        h = jnp.tanh(h @ p["linear1.w"] + p["linear1.b"])
        h = jnp.tanh(h @ p["linear2.w"] + p["linear2.b"])
        return h @ p["out"]

    def derivatives(p, x, s):
        if "backward" in args.peer:
            at = lambda f: jax.vmap(f, (None, 0, 0))(p, x, s)
            return at(u), at(jax.grad(u, 1)), at(jax.grad(u, 2)), at(jax.grad(jax.grad(u, 1), 1))
        one = jnp.ones_like(x)
        along = lambda a: jax.jvp(lambda a: u(p, a, s), (a,), (one,))
        (v, v_x), (_, v_xx) = jax.jvp(along, (x,), (one,))
        return v, v_x, jax.jvp(lambda b: u(p, x, b), (s,), (one,))[1], v_xx

    def loss(p, x, s):
        v, v_x, v_s, v_xx = derivatives(p, x, s)
        first = jnp.mean((u(p, e, 0 * e) + jnp.sin(jnp.pi * e)) ** 2)
        return jnp.mean((v_s + v * v_x - nu * v_xx) ** 2) + first

    return jax_step(p, loss, RULE, (x, s)), jax_numbers
