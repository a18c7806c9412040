#!/usr/bin/env python3
"""Holds outputs and gradients against those of the oracle, and says how far off they are, of the largest entry.

    compare.py ORACLE.npz GIVEN.npz|reports.json RELATIVE ABSOLUTE RELATIVE ABSOLUTE

The limits are those of outputs, then those of gradients; an absolute one counts in the largest entry.
"""

import json
import sys

import numpy as np


def main():
    oracle = np.load(sys.argv[1])
    limits = [float(limit) for limit in sys.argv[3:]]
    if sys.argv[2].endswith(".json"):
        with open(sys.argv[2]) as held:
            given = json.load(held)["reports"]
    else:
        given = np.load(sys.argv[2])
    worst, wrong = {}, []
    for name in oracle:
        if name == "loss":
            continue
        truth = oracle[name]
        found = np.array(given[name], np.float64).reshape(truth.shape)
        most = np.abs(truth).max()
        off = np.abs(found - truth)
        relative, absolute = limits[:2] if name == "y" else limits[2:]
        if not (off <= relative * np.abs(truth) + absolute * most).all():
            wrong.append(name)
        kind = "outputs" if name == "y" else "gradients"
        worst[kind] = max(worst.get(kind, 0), off.max() / most)
    print(", ".join(f"{kind} within {off:.0e}" for kind, off in worst.items()))
    if wrong:
        sys.exit("wrong: " + ", ".join(wrong))


if __name__ == "__main__":
    main()
