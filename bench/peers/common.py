"""What the peers share: weights and data, rules, the clock. A peer imports its library only when it runs."""

import json
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np

SHOWN = 10  # losses and scores that are compared
LEAST = 5  # runs, however long they take


def weights(path):
    """The tensors of a safetensors file: eight bytes of length, a JSON header, numbers."""
    held = Path(path).read_bytes()
    length = int.from_bytes(held[:8], "little")
    found = {}
    for name, entry in json.loads(held[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            numbers = np.frombuffer(held[8 + length + begin : 8 + length + end], np.float32)
            found[name.split(".", 1)[1] if "." in name else name] = numbers.reshape(entry["shape"]).copy()
    return found


def data(folder):
    return {file.stem: np.load(file) for file in sorted(Path(folder).glob("*.npy"))}


def spread(values):
    """Ten entries from all over, as Gannet shows them; all of fewer."""
    n = len(values)
    return values if n < SHOWN else [values[k * n // SHOWN] for k in range(SHOWN)]


def measure(what, run, numbers, seconds):
    """Prints when the first run is done, then a line with the median and the best of the others.

    `run` gives a value when it is done; `numbers` makes it a list.
    """
    start = time.perf_counter()
    first = numbers(run())
    compiled = time.perf_counter() - start
    print(json.dumps({"event": "first step"}), flush=True)
    shown = [first]
    times = []
    start = time.perf_counter()
    while len(times) < LEAST or time.perf_counter() - start < seconds:
        begun = time.perf_counter()
        value = run()
        times.append(1e3 * (time.perf_counter() - begun))
        if len(shown) < SHOWN:
            shown.append(numbers(value))
    counted = times[min(max(len(times) // 10, 2), len(times) - 1) :]
    line = {"what": what, "value": statistics.median(counted), "best": min(counted), "unit": "ms"}
    line["compile"] = max(0.0, compiled - 1e-3 * line["value"])  # the first run without a run
    line["runs"] = len(counted)
    if what == "step":
        line["losses"] = [float(loss[0]) for loss in shown]
    else:
        line["values"] = [float(x) for x in first]
    print(json.dumps(line), flush=True)


def decayed(name):
    """Only weights are decayed."""
    return name.split(".")[-1] not in ("b", "bias", "gain")


# PyTorch


def torch_rule(torch, rule, params):
    """The optimizer of a description (name, rate, further numbers); fused where PyTorch has that."""
    name, rate, more = rule
    if name == "sgd":
        return torch.optim.SGD(params.values(), lr=rate, momentum=more.get("momentum", 0), fused=True)
    if name == "adam":
        try:
            return torch.optim.Adam(params.values(), lr=rate, fused=True)
        except RuntimeError:
            # An older PyTorch fuses it on GPUs only.
            return torch.optim.Adam(params.values(), lr=rate, foreach=True)
    groups = [
        {"params": [p for n, p in params.items() if decayed(n)], "weight_decay": more["decay"]},
        {"params": [p for n, p in params.items() if not decayed(n)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def torch_step(torch, params, loss, rule, compiled):
    """A training step; `params` by name, `loss` without arguments."""
    for p in params.values():
        p.requires_grad_(True)
    rule = torch_rule(torch, rule, params)
    loss = torch.compile(loss) if compiled else loss

    def step():
        value = loss()
        rule.zero_grad()
        value.backward()
        rule.step()
        return value.detach()

    return step


def torch_report(torch, scores, compiled):
    """An evaluation without gradients; `scores` without arguments."""
    scores = torch.compile(scores) if compiled else scores

    def report():
        with torch.inference_mode():
            return scores()

    return report


def torch_classifier(torch, args, p, scores, x, label, rule):
    """Steps by the mean cross-entropy of `scores(x)`, or evaluations of the scores."""
    compiled = "compile" in args.peer
    if args.what == "report":
        return torch_report(torch, lambda: scores(x), compiled), torch_numbers
    loss = lambda: torch.nn.functional.cross_entropy(scores(x).flatten(0, -2), label.flatten())
    return torch_step(torch, p, loss, rule, compiled), torch_numbers


def torch_numbers(value):
    return spread(value.detach().flatten().tolist())


# JAX


def jax_rule(rule):
    """First state and update of a description, over dicts."""
    import jax.numpy as jnp

    name, rate, more = rule

    def start(p):
        def zeros():
            return {k: jnp.zeros_like(x) for k, x in p.items()}

        return {"m": zeros(), "v": zeros() if name != "sgd" else {}, "t": jnp.float32(0)}

    def momentum(p, g, s):
        m = {k: more.get("momentum", 0) * s["m"][k] + g[k] for k in p}
        return {k: p[k] - rate * m[k] for k in p}, {"m": m, "v": {}, "t": s["t"]}

    def adam(p, g, s):
        t = s["t"] + 1
        m = {k: 0.9 * s["m"][k] + 0.1 * g[k] for k in p}
        v = {k: 0.999 * s["v"][k] + 0.001 * g[k] ** 2 for k in p}
        keep = {k: 1 - rate * (more.get("decay", 0) if decayed(k) else 0) for k in p}
        ahead = {k: (m[k] / (1 - 0.9**t)) / (jnp.sqrt(v[k] / (1 - 0.999**t)) + 1e-8) for k in p}
        return {k: keep[k] * p[k] - rate * ahead[k] for k in p}, {"m": m, "v": v, "t": t}

    return start, momentum if name == "sgd" else adam


def jax_step(params, loss, rule, inputs):
    """A training step; `loss` takes the parameters and the inputs."""
    import jax

    start, update = jax_rule(rule)

    @partial(jax.jit, donate_argnums=(0, 1))
    def advance(p, s, *inputs):
        value, g = jax.value_and_grad(loss)(p, *inputs)
        return *update(p, g, s), value

    held = [params, start(params)]

    def step():
        held[0], held[1], value = advance(*held, *inputs)
        return jax.block_until_ready((value, held))[0]

    return step


def jax_report(params, scores, inputs):
    import jax

    evaluate = jax.jit(scores)
    return lambda: jax.block_until_ready(evaluate(params, *inputs))


def jax_cross_entropy(scores, label):
    import jax
    import jax.numpy as jnp

    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), label[..., None], -1))


def jax_classifier(args, p, scores, x, label, rule):
    """The same in JAX; `scores` takes the parameters and `x`."""
    if args.what == "report":
        return jax_report(p, scores, (x,)), jax_numbers
    loss = lambda p, x, label: jax_cross_entropy(scores(p, x), label)
    return jax_step(p, loss, rule, (x, label)), jax_numbers


def jax_numbers(value):
    return spread(np.asarray(value).ravel().tolist())


# ONNX Runtime


def onnx_report(scores, x, args):
    """An evaluation of what PyTorch computes by ONNX Runtime."""
    import io

    import onnxruntime
    import torch

    module = torch.nn.Module()
    module.forward = scores
    held = io.BytesIO()
    torch.onnx.export(module.eval(), (x,), dynamo=True, verbose=False).save(held)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(held.getvalue(), options, providers=["CPUExecutionProvider"])
    fed = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, fed)[0], jax_numbers
