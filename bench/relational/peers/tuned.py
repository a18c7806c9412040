"""The layers as someone writes them who tunes PyTorch for the CPU.

Products are made for segments of rows of one relation; sums over edges and inner products at edges are sparse
products (CSR, 32-bit indices), so that nothing of the size edges times features is made. `compact` computes messages
once for each distinct (source, relation), `first` sums up before it multiplies, for each distinct (target, relation).
Vectors of attention are multiplied into the weights first. Both have gradients without atomic additions.
"""

import warnings

import numpy as np
import torch

F = torch.nn.functional
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")


def ptr(sorted_ids, n):
    return np.searchsorted(sorted_ids, np.arange(n + 1))


class Sparse:
    """A pattern of rows and columns for sparse products, with the one of its transpose; rows must be in order."""

    def __init__(self, rows, cols, shape):
        back = np.argsort(cols, kind="stable")
        self.shape = shape
        self.lines = torch.tensor(ptr(rows, shape[0]), dtype=torch.int32)
        self.cols = torch.tensor(cols, dtype=torch.int32)
        self.back_lines = torch.tensor(ptr(cols[back], shape[1]), dtype=torch.int32)
        self.back_cols = torch.tensor(rows[back], dtype=torch.int32)
        self.back = torch.tensor(back)
        self.ones = torch.ones(len(rows))

    def times(self, values, x):
        return torch.sparse_csr_tensor(self.lines, self.cols, values, self.shape, check_invariants=False) @ x

    def back_times(self, values, x):
        values = values.index_select(0, self.back)
        held = (self.back_lines, self.back_cols, values, self.shape[::-1])
        return torch.sparse_csr_tensor(*held, check_invariants=False) @ x

    def inner(self, a, b):
        """<a[row], b[column]> of each entry."""
        a, b = a.contiguous(), b.contiguous()
        zero = torch.sparse_csr_tensor(self.lines, self.cols, self.ones, self.shape, check_invariants=False)
        return torch.sparse.sampled_addmm(zero, a, b.T, beta=0.0).values()


class Sums(torch.autograd.Function):
    """Sums of `values` times rows of `x`; values that are constant have no gradient."""

    @staticmethod
    def forward(ctx, sparse, values, x):
        x = x.contiguous()
        ctx.sparse = sparse
        ctx.save_for_backward(values, x)
        return sparse.times(values, x)

    @staticmethod
    def backward(ctx, dy):
        values, x = ctx.saved_tensors
        dy = dy.contiguous()
        by_values = ctx.sparse.inner(dy, x) if ctx.needs_input_grad[1] else None
        return None, by_values, ctx.sparse.back_times(values, dy)


class Inner(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sparse, a, b):
        ctx.sparse = sparse
        ctx.save_for_backward(a, b)
        return sparse.inner(a, b)

    @staticmethod
    def backward(ctx, dv):
        a, b = ctx.saved_tensors
        return None, ctx.sparse.times(dv, b.contiguous()), ctx.sparse.back_times(dv, a.contiguous())


class Typed(torch.autograd.Function):
    """Rows of one type after the other, each times the matrix of its type; `segments` are (type, begin, end)."""

    @staticmethod
    def forward(ctx, segments, x, w):
        y = x.new_empty(len(x), w.shape[2])
        for r, a, b in segments:
            torch.mm(x[a:b], w[r], out=y[a:b])
        ctx.segments = segments
        ctx.save_for_backward(x, w)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dy = dy.contiguous()
        dx, dw = torch.empty_like(x), torch.zeros_like(w)
        for r, a, b in ctx.segments:
            torch.mm(dy[a:b], w[r].T, out=dx[a:b])
            torch.mm(x[a:b].T, dy[a:b], out=dw[r])
        return None, dx, dw


class Rows(torch.autograd.Function):
    """Rows of `x`; its gradient is a sparse product too."""

    @staticmethod
    def forward(ctx, rows, x):
        ctx.rows = rows
        return x.index_select(0, rows.index)

    @staticmethod
    def backward(ctx, dy):
        return None, ctx.rows.sparse.times(ctx.rows.sparse.ones, dy.contiguous())


class Softmax(torch.autograd.Function):
    """Over the edges that arrive at each node."""

    @staticmethod
    def forward(ctx, dst, nodes, u):
        most = u.new_full((nodes,), -torch.inf).scatter_reduce_(0, dst, u, "amax")
        e = torch.exp(u - most.index_select(0, dst))
        a = e / e.new_zeros(nodes).index_add_(0, dst, e).index_select(0, dst)
        ctx.dst, ctx.nodes = dst, nodes
        ctx.save_for_backward(a)
        return a

    @staticmethod
    def backward(ctx, da):
        (a,) = ctx.saved_tensors
        both = a * da
        return None, None, both - a * both.new_zeros(ctx.nodes).index_add_(0, ctx.dst, both).index_select(0, ctx.dst)


def segments(types):
    bounds = ptr(types, types.max() + 1).tolist()
    return [(r, a, b) for r, (a, b) in enumerate(zip(bounds, bounds[1:])) if b > a]


class Pairs:
    """The distinct pairs of a relation and an end, by relation; `of` is the pair of each edge."""

    def __init__(self, relation, end, nodes):
        pairs, self.of = np.unique(relation * nodes + end, return_inverse=True)
        ends = pairs % nodes
        self.count = len(pairs)
        self.segments = segments(pairs // nodes)
        self.index = torch.tensor(ends)
        order = np.argsort(ends, kind="stable")
        self.sparse = Sparse(ends[order], order, (nodes, len(pairs)))


class Kinds:
    """Nodes by type, and what brings them back; both only where they are not in this order already."""

    def __init__(self, kind):
        order = np.argsort(kind, kind="stable")
        self.sorted = bool((order[1:] > order[:-1]).all())
        self.segments = segments(kind[order])
        self.order, self.back = torch.tensor(order), torch.tensor(np.argsort(order))

    def linear(self, typed, x, w):
        if self.sorted:
            return typed(self.segments, x, w)
        return typed(self.segments, x.index_select(0, self.order), w).index_select(0, self.back)


def make(model, form, params, fields):
    """Parameters and the layer as a function without arguments."""
    src, dst, relation = fields["edges"].astype(np.int64).T
    kind = fields["kind"].astype(np.int64)
    nodes = len(kind)
    first = "first" in form
    sources, targets = Pairs(relation, src, nodes), Pairs(relation, dst, nodes)
    # Edges in the order of the rows of the sparse products that they are entries of.
    order = np.lexsort((src, dst, relation)) if first else np.lexsort((sources.of, dst))
    from_, into = sources.of[order], targets.of[order]
    edges = Sparse(into, src[order], (targets.count, nodes)) if first else Sparse(dst[order], from_, (nodes, sources.count))
    norm = torch.tensor(fields["norm"])[torch.tensor(order)]
    dst = torch.tensor(dst[order])
    from_, into = torch.tensor(from_), torch.tensor(into)
    kinds = Kinds(kind) if "hgt" in model else None
    typed, sums, inner, rows, softmax = (f.apply for f in (Typed, Sums, Inner, Rows, Softmax))
    if "compile" in form:
        # Their loops and sparse products are no graphs: what is compiled are the pieces between them.
        typed, sums, inner, rows, softmax = map(torch.compiler.disable, (typed, sums, inner, rows, softmax))
    p = params

    def spread(w):
        """[type, head, in, size] as [type, in, head * size]."""
        return w.permute(0, 2, 1, 3).flatten(2)

    def parts(z):
        return z.split(z.shape[1] // heads, 1) if heads > 1 else [z]

    def gathered(y):
        """From pairs of target and relation to targets."""
        return sums(targets.sparse, targets.sparse.ones, y)

    def joined(heads):
        return torch.cat(heads, 1) if len(heads) > 1 else heads[0]

    def rgcn():
        if first:
            y = gathered(typed(targets.segments, sums(edges, norm, p["x"]), p["w"]))
        else:
            y = sums(edges, norm, typed(sources.segments, rows(sources, p["x"]), p["w"]))
        return torch.relu(torch.addmm(p["b"], p["x"], p["own"]) + y)

    def rgat():
        x, w = p["x"], p["w"]
        left, right = ((w @ p[name][..., None])[..., 0].transpose(1, 2) for name in ("left", "right"))
        xs = rows(sources, x)
        l = typed(sources.segments, xs, left.contiguous())
        q = typed(targets.segments, rows(targets, x), right.contiguous())
        u = [F.leaky_relu(l[:, h].index_select(0, from_) + q[:, h].index_select(0, into), 0.2) for h in range(heads)]
        a = [softmax(dst, nodes, each) for each in u]
        if first:
            y = joined([typed(targets.segments, sums(edges, a[h], x), w[:, h]) for h in range(heads)])
            return gathered(y)
        z = parts(typed(sources.segments, xs, spread(w)))
        return joined([sums(edges, a[h], z[h]) for h in range(heads)])

    def hgt():
        x, size = p["x"], p["attend"].shape[-1]
        k, q, v = (parts(y) for y in parts3(kinds.linear(typed, x, torch.cat([p[n].flatten(2) for n in NAMES], 2))))
        attend = p["attend"] * (p["mu"] / size**0.5)[..., None, None]
        found = []
        for h in range(heads):
            if first:
                scored = typed(targets.segments, rows(targets, q[h]), attend[:, h].transpose(1, 2))
                u = inner(edges, scored, k[h])
            else:
                u = inner(edges, q[h], typed(sources.segments, rows(sources, k[h]), attend[:, h]))
            a = softmax(dst, nodes, u)
            if first:
                found.append(gathered(typed(targets.segments, sums(edges, a, v[h]), p["message"][:, h])))
            else:
                m = typed(sources.segments, rows(sources, v[h]), p["message"][:, h])
                found.append(sums(edges, a, m))
        o = joined(found)
        skip = torch.sigmoid(p["skip"])
        last = p["last"].flatten(1, 2) * skip[:, None, None]
        if model == "hgt":
            return kinds.linear(typed, o, last)
        return kinds.linear(typed, F.gelu(o), last) + (1 - skip)[kind_of, None] * x

    kind_of = torch.tensor(kind)
    heads = 1 if model == "rgcn" else p["w" if model == "rgat" else "attend"].shape[1]
    return p, {"rgcn": rgcn, "rgat": rgat, "hgt": hgt, "hgt-full": hgt}[model]


NAMES = ("key", "query", "value")


def parts3(y):
    return [part.contiguous() for part in y.chunk(3, 1)]
