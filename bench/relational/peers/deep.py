"""The layers of the comparison by DGL's own functions, on one graph whose edges lie sorted by relation: `TypedLinear`
for segments, `edge_softmax`, and sums by `update_all`."""

import math

import dgl
import dgl.function as fn
import numpy as np
import torch
from dgl.nn.functional import edge_softmax

F = torch.nn.functional


def segments(x, w, sizes):
    """What `TypedLinear` does with rows that are sorted: DGL's product for segments."""
    return dgl.ops.segment_mm(x, w, sizes)


def make(model, form, params, fields):
    """Parameters and the layer as a function without arguments."""
    p = params
    src, dst, relation = torch.tensor(fields["edges"]).long().T.contiguous()
    nodes = len(fields["kind"])
    g = dgl.graph((src, dst), num_nodes=nodes)
    g = g.formats(["coo", "csr", "csc"])
    g.create_formats_()
    norm = torch.tensor(fields["norm"])[:, None]
    sizes = torch.tensor(fields["per_relation"]).long()
    kind = torch.tensor(fields["kind"]).long()
    order = torch.tensor(np.argsort(fields["kind"], kind="stable"))
    back = torch.argsort(order)
    kinds = torch.tensor(fields["per_kind"]).long()

    def linear(x, w):
        """By type of nodes."""
        return segments(x[order], w, kinds)[back]

    def rgcn():
        with g.local_scope():
            g.ndata["x"] = p["x"]
            g.apply_edges(lambda e: {"m": segments(e.src["x"], p["w"], sizes) * norm})
            g.update_all(fn.copy_e("m", "m"), fn.sum("m", "y"))
            return torch.relu(g.ndata["y"] + p["x"] @ p["own"] + p["b"])

    def rgat():
        heads, size = p["w"].shape[1], p["w"].shape[3]
        w = p["w"].permute(0, 2, 1, 3).flatten(2)

        def scores(e):
            z = segments(e.src["x"], w, sizes).view(-1, heads, size)
            at = segments(e.dst["x"], w, sizes).view(-1, heads, size)
            u = (z * p["left"][relation]).sum(-1, True) + (at * p["right"][relation]).sum(-1, True)
            return {"z": z, "u": F.leaky_relu(u, 0.2)}

        with g.local_scope():
            g.ndata["x"] = p["x"]
            g.apply_edges(scores)
            g.edata["m"] = edge_softmax(g, g.edata["u"]) * g.edata["z"]
            g.update_all(fn.copy_e("m", "m"), fn.sum("m", "y"))
            return g.ndata["y"].flatten(1)

    def hgt():
        heads, size = p["attend"].shape[1:3]

        def typed(x, w):
            return torch.stack([segments(x[:, h].contiguous(), w[:, h].contiguous(), sizes) for h in range(heads)], 1)

        with g.local_scope():
            for name in ("key", "query", "value"):
                g.ndata[name] = linear(p["x"], p[name].flatten(2)).view(-1, heads, size)
            g.apply_edges(lambda e: {"k": typed(e.src["key"], p["attend"]), "m": typed(e.src["value"], p["message"])})
            g.apply_edges(fn.e_dot_v("k", "query", "u"))
            u = g.edata["u"] * (p["mu"][relation] / math.sqrt(size))[..., None]
            g.edata["m"] = edge_softmax(g, u) * g.edata["m"]
            g.update_all(fn.copy_e("m", "m"), fn.sum("m", "o"))
            o = g.ndata["o"].flatten(1)
        full = model == "hgt-full"
        gate = torch.sigmoid(p["skip"])[kind, None]
        y = gate * linear(F.gelu(o) if full else o, p["last"].flatten(1, 2))
        return y + (1 - gate) * p["x"] if full else y

    return p, {"rgcn": rgcn, "rgat": rgat, "hgt": hgt, "hgt-full": hgt}[model]
