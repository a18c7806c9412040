#!/usr/bin/env python3
"""Measures one peer on one layer and graph, and prints JSON lines; or writes what it computes, to be compared.

    main.py rgcn|rgat|hgt|hgt-full PEER step|report|check --weights FILE --data FOLDER [--seconds 2]
            [--threads 2] [--out FILE] [--frozen]
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent.parent / "peers"))

MODULES = {"torch": "tuned", "old": "tuned", "pyg": "geometric", "dgl": "deep"}  # others are called as their modules


def resident():
    """Megabytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def shaped(w):
    """Gannet's names without those of nets."""
    return {name.split(".")[-1]: x for name, x in w.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("peer")
    parser.add_argument("what", choices=["step", "report", "check"])
    parser.add_argument("--weights")
    parser.add_argument("--data")
    parser.add_argument("--out")
    parser.add_argument("--frozen", action="store_true", help="the inputs of the nodes are not trained")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)
    os.environ["DGLBACKEND"] = "pytorch"

    import importlib

    import numpy as np
    import torch
    from common import data, measure, torch_numbers, torch_report, torch_step, weights

    torch.set_num_threads(args.threads)
    kind, *form = args.peer.split("-")
    layers = importlib.import_module(MODULES.get(kind, kind))
    fields = data(args.data)
    params = {name: torch.tensor(x) for name, x in shaped(weights(args.weights)).items()}
    label = torch.tensor(fields["label"]).long()
    loaded = resident()
    start = time.perf_counter()
    params, layer = layers.make(args.model, form, params, fields)
    plan = time.perf_counter() - start
    loss = lambda: torch.nn.functional.cross_entropy(layer(), label)
    compiled = "compile" in form
    if args.what == "check":
        if compiled:
            layer = torch.compile(layer)
        for p in params.values():
            p.requires_grad_(True)
        loss().backward()
        found = {name: p.grad.numpy() for name, p in params.items()}
        np.savez(args.out, y=layer().detach().numpy(), **found)
        return
    if args.what == "report":
        run = torch_report(torch, layer, compiled)
    else:
        trained = {k: p for k, p in params.items() if k != "x" or not args.frozen}
        run = torch_step(torch, trained, loss, ("adam", 1e-2, {}), compiled)
    print(json.dumps({"event": "loaded", "plan": plan, "loaded": loaded}), flush=True)
    measure(args.what, run, torch_numbers, args.seconds)


if __name__ == "__main__":
    main()
