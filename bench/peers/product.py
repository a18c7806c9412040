"""The product of two square matrices."""

from common import jax_numbers, jax_report, torch_numbers


def with_numpy(args, w, d):
    import numpy as np

    out = np.empty_like(w["a"])
    return lambda: np.matmul(w["a"], w["b"], out=out), jax_numbers


def with_torch(args, w, d):
    import torch

    a, b = torch.tensor(w["a"]), torch.tensor(w["b"])
    out = torch.empty_like(a)
    return lambda: torch.matmul(a, b, out=out), torch_numbers


def with_jax(args, w, d):
    import jax.numpy as jnp

    return jax_report((), lambda p, a, b: a @ b, (jnp.asarray(w["a"]), jnp.asarray(w["b"]))), jax_numbers
