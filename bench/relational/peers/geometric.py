"""The layers of the comparison in PyTorch Geometric's own form: messages along edges, softmax and sums by its
functions. Edges lie sorted by relation, and a product with the matrix of a relation is one for each segment."""

import math

import numpy as np
import torch
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax

F = torch.nn.functional


def typed(x, w, sizes):
    """Rows of one type after the other, each times the matrix of its type."""
    return torch.cat([part @ w[r] for r, part in enumerate(x.split(sizes))])


class RGCN(MessagePassing):
    def __init__(self, sizes):
        super().__init__(aggr="add", node_dim=0)
        self.sizes = sizes

    def forward(self, p, edge_index, edge_type, norm):
        y = self.propagate(edge_index, x=p["x"], w=p["w"], norm=norm)
        return torch.relu(y + p["x"] @ p["own"] + p["b"])

    def message(self, x_j, w, norm):
        return norm[:, None] * typed(x_j, w, self.sizes)


class RGAT(MessagePassing):
    def __init__(self, sizes):
        super().__init__(aggr="add", node_dim=0)
        self.sizes = sizes

    def forward(self, p, edge_index, edge_type, norm):
        self.heads, self.size = p["w"].shape[1], p["w"].shape[3]
        w = p["w"].permute(0, 2, 1, 3).flatten(2)
        y = self.propagate(edge_index, x=p["x"], w=w, left=p["left"], right=p["right"], edge_type=edge_type)
        return y.flatten(1)

    def message(self, x_i, x_j, w, left, right, edge_type, index, ptr, size_i):
        z = typed(x_j, w, self.sizes).view(-1, self.heads, self.size)
        at = typed(x_i, w, self.sizes).view(-1, self.heads, self.size)
        u = (z * left[edge_type]).sum(-1) + (at * right[edge_type]).sum(-1)
        a = softmax(F.leaky_relu(u, 0.2), index, ptr, size_i)
        return a[..., None] * z


class HGT(MessagePassing):
    def __init__(self, sizes, kind, full):
        super().__init__(aggr="add", node_dim=0)
        self.sizes, self.full = sizes, full
        self.kind = torch.tensor(kind)
        self.order = torch.tensor(np.argsort(kind, kind="stable"))
        self.back = torch.argsort(self.order)
        self.kinds = np.bincount(kind).tolist()

    def linear(self, x, w):
        """By type of nodes."""
        return typed(x[self.order], w, self.kinds)[self.back]

    def forward(self, p, edge_index, edge_type, norm):
        heads, size = p["attend"].shape[1:3]
        k, q, v = (self.linear(p["x"], p[n].flatten(2)).view(-1, heads, size) for n in ("key", "query", "value"))
        y = self.propagate(edge_index, k=k, q=q, v=v, p=p, edge_type=edge_type).flatten(1)
        gate = torch.sigmoid(p["skip"])[self.kind, None]
        out = gate * self.linear(F.gelu(y) if self.full else y, p["last"].flatten(1, 2))
        return out + (1 - gate) * p["x"] if self.full else out

    def message(self, k_j, q_i, v_j, p, edge_type, index, ptr, size_i):
        heads, size = k_j.shape[1:]
        k = torch.stack([typed(k_j[:, h], p["attend"][:, h], self.sizes) for h in range(heads)], 1)
        m = torch.stack([typed(v_j[:, h], p["message"][:, h], self.sizes) for h in range(heads)], 1)
        u = p["mu"][edge_type] / math.sqrt(size) * (k * q_i).sum(-1)
        return softmax(u, index, ptr, size_i)[..., None] * m


def make(model, form, params, fields):
    """Parameters and the layer as a function without arguments."""
    src, dst, relation = torch.tensor(fields["edges"]).long().T.contiguous()
    edge_index = torch.stack([src, dst])
    norm = torch.tensor(fields["norm"])
    sizes = fields["per_relation"].tolist()
    made = {"rgcn": RGCN, "rgat": RGAT}
    layer = made[model](sizes) if model in made else HGT(sizes, fields["kind"], model == "hgt-full")
    return params, lambda: layer(params, edge_index, relation, norm)
