"""What `bench/relational/run` measures: layers on graphs, and who is held against Gannet."""

# Who computes the very same. `old` is `torch` in the environment of DGL, so that one sees what PyTorch's version does.
TUNED = ["torch-compact", "torch-first", "torch-compact-compile", "torch-first-compile", "old-compact"]
LIBRARIES = ["pyg", "dgl"]
# Who computes something like it: layers that libraries come with.
NATIVE = {"rgcn": ["pygnative", "dglnative"], "rgat": ["pygnative"], "hgt": ["pygnative", "dglnative"], "hgt-full": []}
OLDER = ("old", "dgl")  # peers of the second environment

READ = ["aifb", "mutag", "fb15k-237", "wn18rr"]
LIKE = ["mutag-like", "bgs-like", "am-like", "biokg-like", "mag-like"]
SWEEP = [f"sweep-{ratio}" for ratio in (0.1, 0.25, 0.5, 0.75, 1.0)]


class Case:
    """The steps or the outputs of a layer on a graph; `group` says what for."""

    def __init__(self, group, graph, model, what, heads=1, wide=(64, 64), native=True, frozen=False):
        self.group, self.graph, self.model, self.what = group, graph, model, what
        self.heads, self.wide, self.frozen = heads, wide, frozen
        self.peers = [*TUNED, *LIBRARIES]
        self.native = NATIVE[model] if native else []

    def everyone(self):
        return ["Gannet", *self.peers, *self.native]

    def layer(self):
        """Cases of one layer start from the same weights."""
        sizes = "" if self.wide == (64, 64) else f" {self.wide[0]} to {self.wide[1]}"
        heads = f" {self.heads} heads" if self.heads > 1 else ""
        return f"{self.graph} {self.model}{sizes}{heads}{' frozen' if self.frozen else ''}"

    def key(self):
        return self.layer().replace(" ", "-")

    def title(self):
        return f"{self.layer()} {'training step' if self.what == 'step' else 'inference'}"

    def file(self):
        return self.model.split("-")[0]

    def block(self, name=None):
        name = name or ("frozen" if self.frozen else "embedded")
        return f"{name}_full" if self.model == "hgt-full" else name

    def dims(self):
        """What the command line says of the sizes; the others come with the graph."""
        into, out = self.wide
        sizes = {} if self.model == "hgt-full" else {"in": into}
        sizes["out"] = out
        if self.model != "rgcn":
            sizes["head"] = self.heads
        return [word for name, size in sizes.items() for word in ("--dim", f"{name}={size}")]


def both(*of, **more):
    return [Case(*of, what, **more) for what in ("report", "step")]


CASES = [case for graph in [*READ, *LIKE] for model in ("rgcn", "rgat", "hgt") for case in both("main", graph, model)]
CASES += [case for model in ("rgat", "hgt") for case in both("heads", "fb15k-237", model, heads=4)]
CASES += [Case("frozen", "fb15k-237", model, "step", native=False, frozen=True) for model in ("rgcn", "rgat", "hgt")]
CASES += both("full", "fb15k-237", "hgt-full")
CASES += [case for graph in SWEEP for model in ("rgcn", "rgat", "hgt") for case in both("ratio", graph, model, native=False)]
CASES += [
    case
    for into in (32, 64, 128)
    for out in (32, 64, 128)
    for model in ("rgcn", "rgat", "hgt")
    for case in both("widths", "fb15k-237", model, wide=(into, out), native=False)
    if (into, out) != (64, 64)
]
GROUPS = list(dict.fromkeys(case.group for case in CASES))

# What is held against the oracle.
CHECKED = [
    Case("check", graph, model, "step", heads=heads)
    for graph in ("T0", "aifb")
    for model in ("rgcn", "rgat", "hgt", "hgt-full")
    for heads in ((1, 4) if graph == "T0" and model != "rgcn" else (1,))
]
