"""One training step of the multilayer perceptron of `mlp.gnt` in PyTorch, eager, on the CPU.

Prints one JSON line: the median of the steps' times in milliseconds.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--warm", type=int, default=50)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    rows = 10 * args.batch
    images = torch.rand(rows, 784)
    labels = torch.randint(0, 10, (rows,))
    rule = torch.optim.Adam(net.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    times = []
    for step in range(args.warm + args.steps):
        start = time.perf_counter()
        at = step % 10 * args.batch  # a view: taking the batch costs nothing
        loss = loss_of(net(images[at : at + args.batch]), labels[at : at + args.batch])
        rule.zero_grad()
        loss.backward()
        rule.step()
        times.append(1e3 * (time.perf_counter() - start))
    print(
        json.dumps(
            {
                "workload": "mlp",
                "by": f"PyTorch {torch.__version__}",
                "value": statistics.median(times[args.warm :]),
                "best": min(times[args.warm :]),
                "unit": "ms",
                "threads": args.threads,
            }
        )
    )


if __name__ == "__main__":
    main()
