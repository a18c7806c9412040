"""What `bench/run` measures: each workload with its peers, and the operations that its products take at least."""


class Workload:
    """One measurement: steps or reports of a block of a model file, and who is held against it."""

    def __init__(self, name, what, kind, peers, flops=0.0, file=None, block=None, data=None, size=None, bytes=0.0):
        self.name, self.what, self.kind, self.peers, self.flops, self.bytes = name, what, kind, peers, flops, bytes
        self.file = file or name.split()[0]
        self.block, self.size = block, size
        self.data = data or self.file

    def key(self):
        """Blocks of one name and size have the same first weights."""
        return "-".join(str(part) for part in (self.file, self.block, self.size) if part)

    def title(self):
        ends = {"train": "training step", "infer": "inference", "rows": "written out"}
        return f"{self.name} {ends[self.kind]}" if self.kind in ends else self.name


# Multiply-adds of the products of one forward pass, and of the part of it whose inputs need no gradient.
MLP = 128 * (784 * 512 + 512 * 512 + 512 * 10)
CNN = 64 * (784 * 9 * 32 + 784 * 9 * 32 * 64 + 196 * 64 * 128 + 128 * 10)
TRANSFORMER = 1024 * (4 * (4 * 256 * 256 + 2 * 128 * 256 + 2 * 256 * 1024) + 256 * 1000)
LSTM = 100 * 32 * (64 + 256) * 1024
PINN = 10_000 * 4 * (2 * 64 * 64 + 3 * 64)  # the value and three derivatives


def training(forward, first):
    """Forward, both gradients of each product, but none by the data."""
    return 2.0 * (3 * forward - first)


NETS = ["torch", "torch-compile", "jax"]
RULES = {
    "adam": ["torch-fused", "torch", "torch-compile", "jax", "loop"],
    "adamw": ["torch-fused", "torch", "torch-compile", "jax", "loop"],
    "lion": ["torch", "torch-compile", "jax", "loop"],
    "adabelief": ["torch", "torch-compile", "jax", "loop"],
    "agree": ["torch", "torch-compile", "jax", "loop"],
}
POINTS = ["torch", "torch-forward", "torch-forward-compile", "jax", "jax-backward"]
IMAGES = ["torch", "torch-last", "torch-compile", "torch-compile-last", "jax"]

WORKLOADS = [
    Workload("mlp", "step", "train", NETS, training(MLP, 128 * 784 * 512)),
    Workload("cnn", "step", "train", IMAGES, training(CNN, 64 * 784 * 9 * 32)),
    Workload("cnn", "report", "infer", [*IMAGES, "onnx"], 2.0 * CNN),
    Workload("transformer", "step", "train", NETS, training(TRANSFORMER, 0)),
    Workload("transformer", "report", "infer", [*NETS, "onnx"], 2.0 * TRANSFORMER),
    Workload("lstm", "step", "train", NETS, training(LSTM, 100 * 32 * 64 * 1024)),
    Workload("lstm", "report", "infer", [*NETS, "onnx"], 2.0 * LSTM),
    Workload("pinn", "step", "pinn", POINTS, 6.0 * PINN),
    Workload("private", "step", "samples", NETS, training(MLP, 128 * 784 * 512), data="mlp"),
    Workload("persample", "report", "rows", NETS, block="each"),
    Workload("tiny", "step", "tiny", NETS),
]
for _rule, _peers in RULES.items():
    _bytes = 2e8 if _rule == "lion" else 2.8e8
    WORKLOADS.append(
        Workload(f"rule {_rule}", "step", "rule", _peers, file="optimizers", block=f"by_{_rule}", bytes=_bytes)
    )
for _n in 512, 1024, 2048:
    WORKLOADS.append(
        Workload(f"product {_n}", "report", "product", ["numpy", "torch", "jax"], 2.0 * _n**3, file="product", size=_n)
    )
