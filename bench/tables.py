"""The tables that `bench/run` prints."""

import math
import statistics

# Kinds of workloads with the least that the mean and each cell must be: the best peer's time over Gannet's.
BARS = {
    "train": ("training steps", 1.3, 1 / 1.05),
    "infer": ("inference", 1.2, 1 / 1.1),
    "pinn": ("physics-informed network", 2, 2),
    "samples": ("clipped gradients of samples", 2, 2),
    "rows": ("gradients of samples, written out", 2, 2),
    "tiny": ("tiny network", None, None),
    "rule": ("optimizer steps", 1, 1),
    "product": ("products", 0.95, 0.95),
}


def middle(lines, key):
    values = [line[key] for line in lines if not math.isnan(line.get(key, math.nan))]
    return statistics.median(values) if values else math.nan


def lines_of(found, w):
    """The measured lines of each contender of a workload."""
    held = {by: [] for by in ["Gannet", *w.peers]}
    for line in found:
        if line["workload"] == w.title():
            held[line["by"]].append(line)
    return held


def warm(lines):
    """Those of the rounds; the first, which compared losses, made five steps."""
    return [line for line in lines if line["round"]] or lines


def mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def shown(x, digits=3):
    return "–" if math.isnan(x) else f"{x:.{digits}g}" if x < 100 else f"{x:.0f}"


def tables(chosen, found, rate, bandwidth):
    """`rate` in GFLOP/s and `bandwidth` in GB/s are what the machine gave a library's product and a loop in C."""
    head = f"The machine gives OpenBLAS {rate:.0f} GFLOP/s in f32 and the loop of Adam in C {bandwidth:.1f} GB/s.\n"
    columns = ["workload", "by", "median ms", "best ms", "best peer : this", "of the limit", "compile s"]
    columns += ["first step s: cold, warm", "peak MB"]
    text = [head, f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    ratios, memory = {}, {}
    for w in chosen:
        lines = lines_of(found, w)
        value = {by: middle(warm(held), "value") for by, held in lines.items()}
        best = min(value[by] for by in w.peers if by != "loop")
        for by in ["Gannet", *w.peers]:
            cold = lines[by][0]
            part = max(w.flops / 1e6 / rate, w.bytes / 1e6 / bandwidth) / value[by]
            cells = [
                w.title() if by == "Gannet" else "",
                by,
                shown(value[by]),
                shown(min(line["best"] for line in warm(lines[by]))),
                f"{best / value[by]:.2f}",
                f"{100 * part:.0f} %" if part else "–",
                shown(cold.get("compile", math.nan)),
                f"{shown(cold['first'])}, {shown(middle(warm(lines[by]), 'first'))}",
                shown(middle(warm(lines[by]), "memory")),
            ]
            text.append("| " + " | ".join(cells) + " |")
        ratios.setdefault(w.kind, {})[w.title()] = best / value["Gannet"]
        if w.what == "step" and w.kind != "rule":
            least = min(middle(warm(lines[by]), "memory") for by in w.peers)
            memory[w.title()] = middle(warm(lines["Gannet"]), "memory") / least
    return "\n".join([*text, "", *summary(chosen, found, ratios, memory)])


def summary(chosen, found, ratios, memory):
    text = ["| best peer : Gannet | geometric mean | least | wanted: mean, least |", "|---|---|---|---|"]
    for kind, cells in ratios.items():
        name, most, least = BARS[kind]
        worst = min(cells, key=cells.get)
        wanted = f"{most}, {least:.2f}" if most else "20 × PyTorch"
        text.append(f"| {name} | {mean(cells.values()):.2f} | {cells[worst]:.2f} ({worst}) | {wanted} |")
    for w in chosen:
        held = lines_of(found, w)
        value = {by: middle(warm(lines), "value") for by, lines in held.items()}
        if w.kind == "tiny":
            text.append(f"| tiny network against PyTorch | {value['torch'] / value['Gannet']:.1f} | | 20 |")
        if w.kind == "rule":
            text.append(f"| {w.name} against the loop in C | {value['loop'] / value['Gannet']:.2f} | | 0.85 |")
            eager = value["torch"] / value["Gannet"]
            text.append(f"| {w.name} against PyTorch eager | {eager:.1f} | | 4 |")
        if w.kind in ("train", "tiny", "pinn"):
            jax = middle(held["jax"], "first") / middle(held["Gannet"], "first")
            name = next(by for by in w.peers if "compile" in by)
            cold = held[name][0]["first"] / held["Gannet"][0]["first"]
            text.append(f"| {w.title()}: start to first step, JAX; {name} cold | {jax:.0f}; {cold:.0f} | | 20; 100 |")
    if memory:
        worst = max(memory, key=memory.get)
        cells = f"{mean(memory.values()):.2f} | {memory[worst]:.2f} ({worst})"
        text.append(f"| peak memory, Gannet : least peer | {cells} | 0.35 |")
    return text
