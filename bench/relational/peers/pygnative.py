"""The layers that PyTorch Geometric comes with, as users run them. They do not compute what the others do: RGATConv has
one vector of attention for all relations, HGTConv has biases, and RGCNConv no activation; their weights are their own."""

import torch
from torch_geometric.nn import HGTConv, RGATConv, RGCNConv


def flat(params, fields):
    src, dst, relation = torch.tensor(fields["edges"]).long().T.contiguous()
    return torch.stack([src, dst]), relation, len(fields["per_relation"])


def make(model, form, params, fields):
    x = params["x"]
    edge_index, relation, relations = flat(params, fields)
    wide = x.shape[1]
    if model == "rgcn":
        layer = RGCNConv(wide, params["own"].shape[1], relations, aggr="mean", is_sorted=True)
        run = lambda: layer(x, edge_index, relation)
    elif model == "rgat":
        heads, size = params["left"].shape[1:]
        layer = RGATConv(wide, size, relations, heads=heads)
        run = lambda: layer(x, edge_index, relation)
    else:
        layer, run = hgt(params, fields, edge_index, relation, relations)
    return {"x": x, **dict(layer.named_parameters())}, run


def hgt(params, fields, edge_index, relation, relations):
    """HGTConv wants nodes by type, and relations between two types."""
    x, heads = params["x"], params["attend"].shape[1]
    kind = torch.tensor(fields["kind"]).long()
    kinds = len(fields["per_kind"])
    order = torch.argsort(kind, stable=True)
    place = torch.argsort(order)
    sizes = fields["per_kind"].tolist()
    starts = torch.cumsum(torch.tensor([0, *sizes]), 0)
    src, dst = edge_index
    triple = (relation * kinds + kind[src]) * kinds + kind[dst]
    edges = {}
    for t in torch.unique(triple).tolist():
        of = triple == t
        r, a, b = t // kinds**2, t // kinds % kinds, t % kinds
        ends = torch.stack([place[src[of]] - starts[a], place[dst[of]] - starts[b]])
        edges[(str(a), str(r), str(b))] = ends
    names = [str(k) for k in range(kinds)]
    layer = HGTConv(x.shape[1], params["last"].shape[-1], (names, list(edges)), heads)

    def run():
        found = layer(dict(zip(names, x[order].split(sizes))), edges)
        rows = [found.get(name) for name in names]
        return torch.cat([x.new_zeros(n, x.shape[1]) if y is None else y for n, y in zip(sizes, rows)])[place]

    # Before the first call it does not know all of its parameters' sizes.
    with torch.no_grad():
        run()
    return layer, run
