"""The tables that `bench/relational/run` prints."""

import json
import math

from cases import LIBRARIES, TUNED
from tables import mean, middle, shown, warm

# Sets of peers with the least that the mean over graphs and each cell must be, of inference and of training steps.
BARS = {
    "PyTorch Geometric and DGL": (LIBRARIES, {"report": (2, 0.8), "step": (1.5, 0.8)}),
    "tuned PyTorch": (TUNED, {"report": (1.2, None), "step": (1.2, None)}),
}


def lines_of(found, case):
    """The measured lines of each contender, and why one has none."""
    held, status = {}, {}
    for line in found:
        if line["case"] == case.title():
            if "status" in line:
                status[line["by"]] = line["status"]
            else:
                held.setdefault(line["by"], []).append(line)
    return {by: lines for by, lines in held.items() if by not in status}, status


def about(graph, folder):
    held = json.loads((folder / graph / "about.json").read_text())
    sizes = f"{held['nodes']:,} | {held['kinds']} | {held['edges']:,} | {held['relations']}"
    ratios = f"{held['sources'] / held['edges']:.3f} | {held['targets'] / held['edges']:.3f}"
    return f"| {graph} | {sizes} | {ratios} | {held['most edges of a relation']:,} | {held['most edges into a node']:,} |"


def graphs(chosen, folder):
    columns = ["graph", "nodes", "types", "edges", "relations", "distinct (source, relation) : edges", "(target, relation)"]
    columns += ["most edges of a relation", "most into a node"]
    text = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return [*text, *(about(graph, folder) for graph in dict.fromkeys(case.graph for case in chosen))]


def cells(lines, ours):
    """What is shown of a contender."""
    value = middle(warm(lines), "value")
    cold = lines[0]
    return [
        shown(value),
        shown(min(line["best"] for line in warm(lines))),
        f"{value / ours:.2f}",
        shown(middle(warm(lines), "memory")),
        shown(cold.get("loaded", math.nan)),
        shown(cold.get("plan", math.nan)),
        shown(cold.get("compile", math.nan)),
        f"{shown(cold['first'])}, {shown(middle(warm(lines), 'first'))}",
    ]


def tables(chosen, found, folder):
    columns = ["layer", "by", "median ms", "best ms", "this : Gannet", "peak MB", "loaded MB", "plan s", "compile s"]
    columns += ["first step s: cold, warm"]
    text = [*graphs(chosen, folder), ""]
    for native in False, True:
        text += ["Layers that libraries come with, which compute something else:", ""] if native else []
        text += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        for case in chosen:
            held, status = lines_of(found, case)
            ours = middle(warm(held["Gannet"]), "value") if "Gannet" in held else math.nan
            for k, by in enumerate(case.native if native else ["Gannet", *case.peers]):
                name = "" if k else case.title()
                if by in held:
                    text.append(f"| {' | '.join([name, by, *cells(held[by], ours)])} |")
                elif by in status:
                    text.append(f"| {name} | {by} | {status[by]} |" + " |" * 7)
        text.append("")
    return "\n".join([*text, *summary(chosen, found)])


def best(held, peers, key="value"):
    found = [middle(warm(held[by]), key) for by in peers if by in held]
    return min(found, default=math.nan)


def row(name, ratios, bars):
    """A line of the summary; `ratios` by case."""
    known = {title: ratio for title, ratio in ratios.items() if not math.isnan(ratio)}
    if not known:
        return f"| {name} | – | – | – | |"
    worst, finest = min(known, key=known.get), max(known, key=known.get)
    wanted = ", ".join("–" if bar is None else f"{bar:.2f}" for bar in bars)
    return f"| {name} | {mean(known.values()):.2f} | {known[worst]:.2f} ({worst}) | {known[finest]:.2f} | {wanted} |"


def summary(chosen, found):
    """Over graphs, the best peer's time over Gannet's; who had no result is left out and counted below."""
    text = ["| best of these : Gannet | geometric mean | least | most | wanted: mean, least |", "|---|---|---|---|---|"]
    held = {case.title(): lines_of(found, case) for case in chosen}
    layers = list(dict.fromkeys((case.group, case.model, case.what) for case in chosen))
    for name, (peers, bars) in BARS.items():
        for what, label in ("report", "inference"), ("step", "training step"):
            of_all = {}
            for group, model, each in layers:
                if each != what:
                    continue
                ratios = {}
                for case in chosen:
                    lines = held[case.title()][0]
                    if (case.group, case.model, case.what) == (group, model, what) and "Gannet" in lines:
                        ratios[case.title()] = best(lines, peers) / middle(warm(lines["Gannet"]), "value")
                text.append(row(f"{name}: {group}, {model}, {label}", ratios, (None, None)))
                of_all.update(ratios)
            if of_all:
                text.append(row(f"**{name}: all, {label}**", of_all, bars[what]))
    memory = {}
    for case in chosen:
        lines = held[case.title()][0]
        if "Gannet" in lines:
            memory[case.title()] = best(lines, case.peers, "memory") / middle(warm(lines["Gannet"]), "memory")
    text += [row("peak memory, the least of all peers", memory, (None, None)), ""]
    for by in dict.fromkeys(by for case in chosen for by in case.everyone()):
        out = [f"{title} ({status[by]})" for title, (_, status) in held.items() if by in status]
        if out:
            text.append(f"- {by} has no result in {len(out)} of {len(chosen)}: {', '.join(out)}")
    return text
