"""The layers that DGL comes with, as users run them: RelGraphConv and HGTConv, which adds the residual but has no GELU.
There is no RGAT with a vector of attention for each relation. Their weights are their own."""

import dgl
import torch
from dgl.nn import HGTConv, RelGraphConv


def make(model, form, params, fields):
    x = params["x"]
    src, dst, relation = torch.tensor(fields["edges"]).long().T.contiguous()
    g = dgl.graph((src, dst), num_nodes=len(fields["kind"])).formats(["coo", "csr", "csc"])
    g.create_formats_()
    norm = torch.tensor(fields["norm"])[:, None]
    kind = torch.tensor(fields["kind"]).long()
    relations, kinds = len(fields["per_relation"]), len(fields["per_kind"])
    if model == "rgcn":
        layer = RelGraphConv(x.shape[1], params["own"].shape[1], relations, activation=torch.relu)
        run = lambda: layer(g, x, relation, norm, presorted=True)
    else:
        heads, size = params["attend"].shape[1:3]
        layer = HGTConv(x.shape[1], size, heads, kinds, relations, dropout=0.0)
        # Sorted by relation but not by type of nodes: DGL then sorts both anew in each call.
        run = lambda: layer(g, x, kind, relation)
    return {"x": x, **dict(layer.named_parameters())}, run
