#!/usr/bin/env python3
"""Writes the data of the workloads as npy files: FOLDER/WORKLOAD/FIELD.npy, a fixed seed each."""

import sys
from pathlib import Path

import numpy as np


def arrays():
    def rng(seed):
        return np.random.default_rng(seed)

    r = rng(1)
    yield "mlp", {"image": r.random((128, 784)), "label": r.integers(0, 10, 128)}
    r = rng(2)
    yield "cnn", {"image": r.random((64, 1, 28, 28)), "label": r.integers(0, 10, 64)}
    r = rng(3)
    yield "transformer", {"text": r.integers(0, 1000, (8, 129))}
    r = rng(4)
    yield "lstm", {"signal": r.standard_normal((32, 100, 64)), "label": r.integers(0, 10, 32)}
    r = rng(5)
    yield "pinn", {"x": 2 * r.random(10_000) - 1, "s": r.random(10_000)}


def main():
    folder = Path(sys.argv[1])
    for workload, fields in arrays():
        (folder / workload).mkdir(parents=True, exist_ok=True)
        for name, values in fields.items():
            kind = np.float32 if values.dtype.kind == "f" else np.int32
            np.save(folder / workload / f"{name}.npy", values.astype(kind))
    rows = (Path(__file__).parent / "../examples/data/digits.csv").read_text().splitlines()[: 1 + 64]
    (folder / "rows.csv").write_text("\n".join(rows))
    table = np.array([[float(x) for x in row.split(",")] for row in rows[1:]])
    (folder / "persample").mkdir(exist_ok=True)
    np.save(folder / "persample/image.npy", (table[:, :64] / 16).astype(np.float32))
    np.save(folder / "persample/label.npy", table[:, 64].astype(np.int32))


if __name__ == "__main__":
    main()
