#!/usr/bin/env python3
"""The relational layers and their gradients as dense loops over edges and nodes in double precision: what is true.

    oracle.py MODEL --weights FILE --data FOLDER --out FILE     writes outputs, the loss and its gradients
    oracle.py self-test --data FOLDER                           holds the gradients against finite differences

Everything is computed from edges and weights as the equations say; nothing is shared with what is measured. Edge e goes
from s to t by relation r; In(v) are the edges that arrive at v, y(v) is the type of v. The loss is the mean cross-entropy of
the outputs, over all nodes.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "peers"))
from common import data, weights  # noqa: E402

erf = np.vectorize(math.erf)


class Graph:
    def __init__(self, fields):
        self.edges = [tuple(int(k) for k in edge) for edge in fields["edges"]]
        self.kind = [int(k) for k in fields["kind"]]
        self.label = [int(k) for k in fields["label"]]
        self.nodes = len(self.kind)
        alike = {}
        for s, t, r in self.edges:
            alike[r, t] = alike.get((r, t), 0) + 1
        self.norm = [1 / alike[r, t] for s, t, r in self.edges]
        self.into = [[] for _ in range(self.nodes)]
        for e, (s, t, r) in enumerate(self.edges):
            self.into[t].append(e)


def zeros_like(p):
    return {name: np.zeros_like(w) for name, w in p.items()}


def softmax(g, u):
    """Over the edges that arrive at each node, head by head."""
    a = np.zeros_like(u)
    for into in g.into:
        if into:
            e = np.exp(u[into] - u[into].max(0))
            a[into] = e / e.sum(0)
    return a


def softmax_back(g, a, da):
    du = np.zeros_like(a)
    for into in g.into:
        if into:
            du[into] = a[into] * (da[into] - (a[into] * da[into]).sum(0))
    return du


# RGCN: Y[v] = relu( sum_{e in In(v)} X[s] W[r] / |In_r(v)| + X[v] own + b )


def rgcn(g, p):
    y = np.zeros((g.nodes, p["w"].shape[2]))
    for v in range(g.nodes):
        y[v] = p["x"][v] @ p["own"] + p["b"]
    for e, (s, t, r) in enumerate(g.edges):
        y[t] += g.norm[e] * (p["x"][s] @ p["w"][r])
    return np.maximum(y, 0), y


def rgcn_back(g, p, y, dy):
    d = zeros_like(p)
    dy = dy * (y > 0)
    for v in range(g.nodes):
        d["x"][v] += p["own"] @ dy[v]
        d["own"] += np.outer(p["x"][v], dy[v])
        d["b"] += dy[v]
    for e, (s, t, r) in enumerate(g.edges):
        dm = g.norm[e] * dy[t]
        d["x"][s] += p["w"][r] @ dm
        d["w"][r] += np.outer(p["x"][s], dm)
    return d


# RGAT: Z[e, h] = X[s] W[r, h],  u[e, h] = leaky_relu(<Z[e, h], left[r, h]> + <X[t] W[r, h], right[r, h]>),
#       Y[v, h] = sum_{e in In(v)} softmax(u)[e, h] Z[e, h]


def rgat(g, p):
    heads, size = p["w"].shape[1], p["w"].shape[3]
    z, at = (np.zeros((len(g.edges), heads, size)) for _ in range(2))
    u = np.zeros((len(g.edges), heads))
    for e, (s, t, r) in enumerate(g.edges):
        for h in range(heads):
            z[e, h] = p["x"][s] @ p["w"][r, h]
            at[e, h] = p["x"][t] @ p["w"][r, h]
            u[e, h] = z[e, h] @ p["left"][r, h] + at[e, h] @ p["right"][r, h]
    a = softmax(g, np.where(u > 0, u, 0.2 * u))
    y = np.zeros((g.nodes, heads, size))
    for e, (s, t, r) in enumerate(g.edges):
        for h in range(heads):
            y[t, h] += a[e, h] * z[e, h]
    return y.reshape(g.nodes, -1), (z, at, u, a)


def rgat_back(g, p, kept, dy):
    z, at, u, a = kept
    heads, size = a.shape[1], z.shape[2]
    d, dy = zeros_like(p), dy.reshape(g.nodes, heads, size)
    da = np.zeros_like(a)
    for e, (s, t, r) in enumerate(g.edges):
        for h in range(heads):
            da[e, h] = dy[t, h] @ z[e, h]
    du = softmax_back(g, a, da) * np.where(u > 0, 1, 0.2)
    for e, (s, t, r) in enumerate(g.edges):
        for h in range(heads):
            dz = a[e, h] * dy[t, h] + du[e, h] * p["left"][r, h]
            dat = du[e, h] * p["right"][r, h]
            d["left"][r, h] += du[e, h] * z[e, h]
            d["right"][r, h] += du[e, h] * at[e, h]
            d["x"][s] += p["w"][r, h] @ dz
            d["x"][t] += p["w"][r, h] @ dat
            d["w"][r, h] += np.outer(p["x"][s], dz) + np.outer(p["x"][t], dat)
    return d


# HGT: K[v, h] = X[v] key[y(v), h], Q and V likewise,  u[e, h] = mu[r, h] / sqrt(d) * K[s, h] attend[r, h] Q[t, h],
#      O[v, h] = sum_{e in In(v)} softmax(u)[e, h] V[s, h] message[r, h],  Y[v] = sigmoid(skip[y(v)]) * O[v] last[y(v)];
#      in full gelu(O) instead of O, and (1 - sigmoid(skip[y(v)])) X[v] is added


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def gelu_slope(x):
    return 0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def hgt(g, p, full=False):
    heads, size = p["attend"].shape[1], p["attend"].shape[2]
    k, q, v = (np.einsum("vi,vihj->vhj", p["x"], p[name][g.kind]) for name in ("key", "query", "value"))
    u = np.zeros((len(g.edges), heads))
    m = np.zeros((len(g.edges), heads, size))
    for e, (s, t, r) in enumerate(g.edges):
        for h in range(heads):
            u[e, h] = p["mu"][r, h] / math.sqrt(size) * (k[s, h] @ p["attend"][r, h] @ q[t, h])
            m[e, h] = v[s, h] @ p["message"][r, h]
    a = softmax(g, u)
    o = np.zeros((g.nodes, heads, size))
    for e, (s, t, r) in enumerate(g.edges):
        o[t] += a[e, :, None] * m[e]
    b = gelu(o) if full else o
    out = np.einsum("vhk,vhko->vo", b, p["last"][g.kind])
    gate = 1 / (1 + np.exp(-p["skip"][g.kind]))[:, None]
    y = gate * out + ((1 - gate) * p["x"] if full else 0)
    return y, (k, q, v, m, a, o, b, out, gate)


def hgt_back(g, p, kept, dy, full=False):
    k, q, v, m, a, o, b, out, gate = kept
    heads, size = a.shape[1], m.shape[2]
    d = zeros_like(p)
    dgate = (dy * (out - (p["x"] if full else 0))).sum(1)
    for n in range(g.nodes):
        d["skip"][g.kind[n]] += dgate[n] * gate[n, 0] * (1 - gate[n, 0])
        d["last"][g.kind[n]] += b[n][:, :, None] * (gate[n] * dy[n])
    if full:
        d["x"] += (1 - gate) * dy
    do = np.einsum("vo,vhko->vhk", gate * dy, p["last"][g.kind])
    do = do * gelu_slope(o) if full else do
    da = np.zeros_like(a)
    for e, (s, t, r) in enumerate(g.edges):
        for h in range(heads):
            da[e, h] = do[t, h] @ m[e, h]
    du = softmax_back(g, a, da)
    dk, dq, dv = np.zeros_like(k), np.zeros_like(q), np.zeros_like(v)
    for e, (s, t, r) in enumerate(g.edges):
        for h in range(heads):
            dm = a[e, h] * do[t, h]
            dv[s, h] += p["message"][r, h] @ dm
            d["message"][r, h] += np.outer(v[s, h], dm)
            w, mu, du_ = p["attend"][r, h], p["mu"][r, h] / math.sqrt(size), du[e, h]
            d["mu"][r, h] += du_ / math.sqrt(size) * (k[s, h] @ w @ q[t, h])
            dk[s, h] += du_ * mu * (w @ q[t, h])
            dq[t, h] += du_ * mu * (k[s, h] @ w)
            d["attend"][r, h] += du_ * mu * np.outer(k[s, h], q[t, h])
    for name, dz in ("key", dk), ("query", dq), ("value", dv):
        for n in range(g.nodes):
            d["x"][n] += np.einsum("ihj,hj->i", p[name][g.kind[n]], dz[n])
            d[name][g.kind[n]] += np.multiply.outer(p["x"][n], dz[n])
    return d


LAYERS = {
    "rgcn": (rgcn, rgcn_back),
    "rgat": (rgat, rgat_back),
    "hgt": (hgt, hgt_back),
    "hgt-full": (lambda g, p: hgt(g, p, True), lambda g, p, kept, dy: hgt_back(g, p, kept, dy, True)),
}


def evaluated(model, g, p):
    """Outputs, loss and gradients."""
    forward, back = LAYERS[model]
    y, kept = forward(g, p)
    shifted = y - y.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    nodes = range(g.nodes)
    dy = np.exp(logs)
    dy[nodes, g.label] -= 1
    return y, -logs[nodes, g.label].mean(), back(g, p, kept, dy / g.nodes)


def drawn(model, relations, kinds, nodes, wide=64, heads=1, seed=0):
    """Weights, where no file has any."""
    size = wide // heads
    shapes = {
        "rgcn": {"w": (relations, wide, wide), "own": (wide, wide), "b": (wide,)},
        "rgat": {
            "w": (relations, heads, wide, size),
            "left": (relations, heads, size),
            "right": (relations, heads, size),
        },
        "hgt": {
            **{name: (kinds, wide, heads, size) for name in ("key", "query", "value")},
            **{name: (relations, heads, size, size) for name in ("attend", "message")},
            "mu": (relations, heads),
            "last": (kinds, heads, size, wide),
            "skip": (kinds,),
        },
    }[model.split("-")[0]]
    rng = np.random.default_rng(seed)
    return {name: 0.3 * rng.standard_normal(shape) for name, shape in {"x": (nodes, wide), **shapes}.items()}


def self_test(fields):
    """Each gradient against central differences along a random direction."""
    g = Graph(fields)
    for model in LAYERS:
        for heads in (1,) if model == "rgcn" else (1, 2):
            p = drawn(model, len(fields["per_relation"]), len(fields["per_kind"]), g.nodes, 8, heads)
            # The drawn labels of the graph are of more classes than these 8.
            g.label = [int(k) % 8 for k in fields["label"]]
            _, _, d = evaluated(model, g, p)
            rng = np.random.default_rng(1)
            for name in p:
                v, h = rng.standard_normal(p[name].shape), 1e-5
                more, less = ({**p, name: p[name] + sign * h * v} for sign in (1, -1))
                slope = (evaluated(model, g, more)[1] - evaluated(model, g, less)[1]) / (2 * h)
                off = abs(slope - (d[name] * v).sum()) / np.linalg.norm(d[name])
                if not off < 1e-6:
                    raise SystemExit(f"{model}, {heads} heads: the gradient by {name} is off by {off:.1e}")
            print(f"{model}, {heads} heads: {len(p)} gradients agree with differences")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[*LAYERS, "self-test"])
    parser.add_argument("--weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out")
    args = parser.parse_args()
    fields = data(args.data)
    if args.model == "self-test":
        return self_test(fields)
    held = {name.split(".")[-1]: x for name, x in weights(args.weights).items()}
    y, loss, d = evaluated(args.model, Graph(fields), {name: x.astype(np.float64) for name, x in held.items()})
    np.savez(args.out, y=y, loss=loss, **d)


if __name__ == "__main__":
    main()
