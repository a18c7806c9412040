"""Rules alone, over ten million parameters in twenty tensors. The gradient is an array that is only read."""

import numpy as np
from common import jax_numbers, torch_numbers

TENSORS, ENTRIES = 20, 500_000


def gradient():
    k, j = np.arange(TENSORS)[:, None], np.arange(ENTRIES)
    return ((37 * j + 11 * k) % 1009 / 1009 - 0.5).astype(np.float32)


# Each takes a library of arrays, one tensor with its gradient and states, and the step; gives w and the states.
def adam(lib, w, g, m, v, t, decay=0.0):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    return w - 1e-3 * decay * w - 1e-3 * (m / (1 - 0.9**t)) / (lib.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


def adamw(lib, w, g, m, v, t):
    return adam(lib, w, g, m, v, t, 0.01)


def lion(lib, w, g, m, v, t):
    return w - 1e-4 * lib.sign(0.9 * m + 0.1 * g), 0.99 * m + 0.01 * g, v


def adabelief(lib, w, g, m, s, t):
    m = 0.9 * m + 0.1 * g
    s = 0.999 * s + 0.001 * (g - m) ** 2 + 1e-16
    return w - 1e-3 * (m / (1 - 0.9**t)) / (lib.sqrt(s / (1 - 0.999**t)) + 1e-8), m, s


def agree(lib, w, g, m, d, t):
    m = 0.9 * m + 0.1 * g
    d = 0.99 * d + 0.01 * lib.abs(g - m)
    return w - 1e-3 * m / (lib.abs(m) + d + 1e-8) - 1e-3 * 0.01 * w, m, d


RULES = {"adam": adam, "adamw": adamw, "lion": lion, "adabelief": adabelief, "agree": agree}


def with_torch(args, w, d):
    """`torch-fused` (Adam and AdamW), `torch` (operation by operation, tensor by tensor) and `torch-compile`."""
    import torch

    rule = RULES[args.block]
    ws = [torch.full((ENTRIES,), 0.5) for _ in range(TENSORS)]
    gs = list(torch.tensor(gradient()))
    # The loss that Gannet computes beside its step: one entry of each tensor.
    loss = lambda: sum(x[0] * g[0] for x, g in zip(ws, gs))
    if "fused" in args.peer:
        make = torch.optim.Adam if args.block == "adam" else torch.optim.AdamW
        fused = make(ws, lr=1e-3, fused=True)
        for x, g in zip(ws, gs):
            x.grad = g

        def step():
            value = loss()
            fused.step()
            return value

        return step, torch_numbers
    ms, vs = ([torch.zeros(ENTRIES) for _ in ws] for _ in range(2))

    def update(ws, gs, ms, vs, t):
        for w, g, m, v in zip(ws, gs, ms, vs):
            new = rule(torch, w, g, m, v, t)
            w.copy_(new[0])
            m.copy_(new[1])
            if args.block != "lion":
                v.copy_(new[2])

    update = torch.compile(update) if "compile" in args.peer else update
    t = torch.zeros(())

    def step():
        value = loss()
        t.add_(1)
        update(ws, gs, ms, vs, t)
        return value

    return step, torch_numbers


def with_jax(args, w, d):
    from functools import partial

    import jax
    import jax.numpy as jnp

    rule = RULES[args.block]
    gs = list(jnp.asarray(gradient()))
    zeros = lambda: [jnp.zeros(ENTRIES) for _ in gs]
    held = [[jnp.full(ENTRIES, 0.5) for _ in gs], zeros(), [] if args.block == "lion" else zeros(), jnp.float32(0)]

    @partial(jax.jit, donate_argnums=0)
    def advance(held, gs):
        ws, ms, vs, t = held
        value = sum(w[0] * g[0] for w, g in zip(ws, gs))
        states = zip(ws, gs, ms, vs or ms)
        ws, ms, new = map(list, zip(*(rule(jnp, *state, t + 1) for state in states)))
        return [ws, ms, new if vs else [], t + 1], value

    def step():
        held[:], value = jax.block_until_ready(advance(list(held), gs))
        return value

    return step, jax_numbers
