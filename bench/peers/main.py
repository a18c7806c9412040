#!/usr/bin/env python3
"""Measures one peer on one workload and prints JSON lines.

    main.py WORKLOAD PEER step|report --weights FILE --data FOLDER [--seconds 2] [--threads 2] [--block adam]
"""

import argparse
import importlib
import os


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload")
    parser.add_argument("peer")
    parser.add_argument("what", choices=["step", "report"])
    parser.add_argument("--weights")
    parser.add_argument("--data")
    parser.add_argument("--block", help="of `optimizers`: the rule")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    # JAX and OpenBLAS take as many threads as there are cores for them.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)

    from common import data, measure, weights

    held = weights(args.weights) if args.weights else {}
    fields = data(args.data) if args.data else {}
    library = args.peer.split("-")[0]
    make = getattr(importlib.import_module(args.workload), f"with_{library}")
    if library == "torch":
        import torch

        torch.set_num_threads(args.threads)
    run, numbers = make(args, held, fields)
    measure(args.what, run, numbers, args.seconds)


if __name__ == "__main__":
    main()
