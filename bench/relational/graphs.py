#!/usr/bin/env python3
"""Makes the graphs that the relational layers are measured on, as npy files: FOLDER/NAME/graph/FIELD.npy.

    graphs.py FOLDER NAME... [--sets DATA]

`T0` is for tests. AIFB, MUTAG, FB15k-237 and WN18RR are read from the folder of data sets DATA (what the environment
variable GANNET_DATA names); graphs called `...-like` and `sweep-RATIO` are drawn, a fixed seed each. Fields:

    edges     int32 [edges, 3]: source, target, relation; sorted by relation, then target, then source
    norm      f32 [edges]: 1 / the number of the edges of this relation that arrive at this target
    kind      int32 [nodes]: the type of each node
    label     int32 [nodes]: the class that training is for, one of 32, drawn
    per_relation, per_kind: how many edges and nodes there are of each, which also says how many relations and types
"""

import argparse
import gzip
import io
import json
import os
from pathlib import Path

import numpy as np

# As many as the narrowest layer that is measured has outputs.
CLASSES = 32


class Like:
    """A graph to draw. `ratio` is the number of distinct (source, relation) over that of edges, `into` the same of
    targets; `sizes` and `degrees` are the exponents of Zipf's law for relations and for nodes. With `back`, half of the
    relations lead back along the edges of the other half. `schema` has the parts that types are of the nodes, then
    the two types and the part of the edges of each relation, instead of drawn ones."""

    def __init__(self, nodes, edges, relations, kinds, ratio, into=None, sizes=1.0, degrees=0.8, back=True, schema=None):
        self.nodes, self.edges, self.relations, self.kinds = nodes, edges, relations, kinds
        self.ratio, self.into, self.sizes, self.degrees, self.back = ratio, into or ratio, sizes, degrees, back
        self.schema = schema


# Authors, papers, fields, institutions: who wrote, what is cited, what it is about, where the author works.
MAG = (
    [0.585, 0.3797, 0.0308, 0.0045],
    [(0, 1, 0.3385), (1, 1, 0.2566), (1, 2, 0.3555), (0, 3, 0.0494)],
)
# Counts as DGL and OGB have them. Ratios: of MUTAG measured on the real graph, of AM as published; those of BGS and of
# biokg are guesses, that of mag is about the most that its four relations allow. The last three are a tenth of the size.
DRAWN = {
    "mutag-like": Like(27_163, 148_100, 50, 5, 0.515),
    "bgs-like": Like(94_806, 672_884, 122, 27, 0.5),
    "am-like": Like(88_168, 566_868, 108, 7, 0.57),
    "biokg-like": Like(9_377, 476_268, 51, 5, 0.15, sizes=0.7, degrees=0.6, back=False),
    "mag-like": Like(193_974, 2_111_101, 4, 4, 0.15, into=0.067, degrees=0.6, back=False, schema=MAG),
}
for _ratio in 0.1, 0.25, 0.5, 0.75, 1.0:
    DRAWN[f"sweep-{_ratio}"] = Like(100_000, 1_000_000, 50, 1, _ratio, into=0.5, sizes=0.5, degrees=0.5, back=False)

READ = ["aifb", "mutag", "fb15k-237", "wn18rr"]
NAMES = ["T0", *READ, *DRAWN]


def zipf(n, exponent):
    weights = np.arange(1, n + 1) ** -float(exponent)
    return weights / weights.sum()


def parts(total, weights):
    """`total` in whole parts, each of one at least."""
    found = np.maximum(1, np.floor(total * weights)).astype(np.int64)
    order = np.argsort(-weights)
    off = total - found.sum()
    for k in range(abs(int(off))):
        found[order[k % len(order)]] += np.sign(off)
    return found


def distinct(total, ratio, sizes, rooms):
    """How many ends a relation has: as large a part of its edges as leads to `ratio` in all, where there is room."""
    low, high = 0.0, 1e6
    for _ in range(100):
        part = (low + high) / 2
        counts = np.clip(np.round(part * sizes), 1, np.minimum(sizes, rooms))
        low, high = (part, high) if counts.sum() < ratio * total else (low, part)
    return counts.astype(np.int64)


def ends(rng, nodes, popularity, count, edges):
    """`edges` ends, of exactly `count` of these nodes; what is popular is taken first and more often."""
    keys = np.log(popularity) + rng.gumbel(size=len(nodes))
    chosen = np.argpartition(-keys, count - 1)[:count]
    weights = popularity[chosen] / popularity[chosen].sum()
    more = rng.choice(count, size=edges - count, p=weights)
    found = np.concatenate([np.arange(count), more])
    return nodes[chosen[rng.permutation(found)]]


def merged(rng, src, dst, tries=30):
    """Changes partners until no edge is there twice; what is left then is dropped, whose ends are all met elsewhere."""
    for _ in range(tries):
        _, first = np.unique(src * (dst.max() + 1) + dst, return_index=True)
        again = np.setdiff1d(np.arange(len(src)), first)
        if not len(again):
            return src, dst
        moved = np.unique(np.concatenate([again, rng.choice(len(src), size=min(len(src), 4 * len(again)))]))
        dst = dst.copy()
        dst[moved] = dst[rng.permutation(moved)]
    _, first = np.unique(src * (dst.max() + 1) + dst, return_index=True)
    return src[first], dst[first]


def drawn(name):
    """Edges and types of a graph by its description."""
    like = DRAWN[name]
    rng = np.random.default_rng(list(name.encode()))
    shares = np.array(like.schema[0]) if like.schema else zipf(like.kinds, 0.7)
    kind = np.repeat(np.arange(like.kinds), parts(like.nodes, shares / shares.sum()))
    groups = [np.flatnonzero(kind == k) for k in range(like.kinds)]
    popularity = [rng.permutation(zipf(len(g), like.degrees)) for g in groups]
    half = like.relations // 2 if like.back else like.relations
    total = like.edges // 2 if like.back else like.edges
    room = np.array([len(g) for g in groups], float)
    if like.schema:
        pairs = np.array([row[:2] for row in like.schema[1]])
        sizes = parts(total, np.array([row[2] for row in like.schema[1]]))
    else:
        # Large relations are between types with many nodes.
        pairs = rng.choice(like.kinds, size=(half, 2), p=np.sqrt(room) / np.sqrt(room).sum())
        held = np.prod(room[pairs], 1)
        sizes = parts(total, zipf(half, like.sizes))[np.argsort(np.argsort(-held))]
    sources = distinct(total, like.ratio, sizes, room[pairs[:, 0]])
    targets = distinct(total, like.into, sizes, room[pairs[:, 1]])
    lists = []
    for r, (a, b) in enumerate(pairs):
        src = ends(rng, groups[a], popularity[a], sources[r], sizes[r])
        dst = ends(rng, groups[b], popularity[b], targets[r], sizes[r])
        src, dst = merged(rng, src, dst)
        lists.append(np.stack([src, dst, np.full(len(src), r)], 1))
    edges = np.concatenate(lists)
    if like.back:
        edges = both_ways(edges, half)
    found = len(np.unique(edges[:, [0, 2]], axis=0)) / len(edges)
    if abs(found / like.ratio - 1) > 0.05 or abs(len(edges) / like.edges - 1) > 0.05:
        raise SystemExit(f"{name}: {len(edges)} edges and a ratio of {found:.3f}, wanted {like.edges} and {like.ratio}")
    return edges, kind, like.relations


def both_ways(edges, relations):
    """Each edge also the other way round, by a relation of its own."""
    back = np.stack([edges[:, 1], edges[:, 0], edges[:, 2] + relations], 1)
    return np.concatenate([edges, back])


def array(path):
    held = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.load(io.BytesIO(held))


def knowledge(folder):
    """Head, relation and tail of all three splits; one type of nodes."""
    triples = np.concatenate([array(folder / f"{part}.npy.gz") for part in ("train", "valid", "test")])
    relations = len((folder / "relations.tsv").read_text().splitlines()) - 1
    nodes = len(gzip.decompress((folder / "entities.tsv.gz").read_bytes()).splitlines()) - 1
    return triples, np.zeros(nodes, np.int64), relations


def resources(folder, kinds):
    """The triples of an RDF graph. Types of nodes: literals, the classes with the most members, and the rest."""
    triples = array(folder / "triples.npy.gz")
    names = [line.split("\t")[1] for line in (folder / "relations.tsv").read_text().splitlines()[1:]]
    lines = gzip.decompress((folder / "nodes.tsv.gz").read_bytes()).decode().splitlines()[1:]
    literal = np.array([line.split("\t")[1] == "literal" for line in lines])
    of = triples[triples[:, 1] == names.index("<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>")]
    members = np.bincount(of[:, 2], minlength=len(lines))
    kind = np.full(len(lines), kinds - 1)
    # The smallest of the chosen classes last, so that it has the word.
    for k, c in enumerate(np.argsort(-members, kind="stable")[: kinds - 2]):
        kind[of[of[:, 2] == c, 0]] = k + 1
    kind[literal] = 0
    return triples, kind, len(names)


def read(name, sets):
    if name in ("aifb", "mutag"):
        triples, kind, relations = resources(sets / f"rdf_{name}", {"aifb": 7, "mutag": 5}[name])
    else:
        triples, kind, relations = knowledge(sets / f"kg_{name.replace('-', '_')}")
    triples = np.unique(triples, axis=0)
    return both_ways(triples[:, [0, 2, 1]].astype(np.int64), relations), kind, 2 * relations


def tiny():
    """64 nodes of 3 types, 256 edges of 5 relations: relation 3 has none, node 63 has none, an edge from a node to
    itself, and one that is there three times."""
    rng = np.random.default_rng(0)
    edges = rng.integers(0, [63, 63, 4], (252, 3))
    edges[:, 2] += edges[:, 2] == 3
    edges = np.concatenate([edges, [[7, 7, 0], [5, 9, 2], [5, 9, 2], [5, 9, 2]]])
    return edges, rng.integers(0, 3, 64), 5


def write(folder, name, sets):
    if name == "T0":
        edges, kind, relations = tiny()
    elif name in READ:
        if sets is None:
            raise SystemExit(f"{name} is read from the folder of data sets: say --sets, or set GANNET_DATA")
        edges, kind, relations = read(name, Path(sets) / "graphs")
    else:
        edges, kind, relations = drawn(name)
    edges = edges[np.lexsort((edges[:, 0], edges[:, 1], edges[:, 2]))]
    arriving = edges[:, 2] * len(kind) + edges[:, 1]
    _, which, count = np.unique(arriving, return_inverse=True, return_counts=True)
    leaving = np.unique(edges[:, 2] * len(kind) + edges[:, 0])
    fields = {
        "edges": edges.astype(np.int32),
        "norm": (1 / count[which]).astype(np.float32),
        "kind": kind.astype(np.int32),
        "label": np.random.default_rng(1).integers(0, CLASSES, len(kind)).astype(np.int32),
        "per_relation": np.bincount(edges[:, 2], minlength=relations).astype(np.int32),
        "per_kind": np.bincount(kind).astype(np.int32),
    }
    (folder / name / "graph").mkdir(parents=True, exist_ok=True)
    for field, values in fields.items():
        np.save(folder / name / "graph" / f"{field}.npy", values)
    about = {
        "nodes": len(kind),
        "kinds": len(fields["per_kind"]),
        "edges": len(edges),
        "relations": relations,
        "sources": len(leaving),
        "targets": len(count),
        "most edges of a relation": int(fields["per_relation"].max()),
        "most edges into a node": int(np.bincount(edges[:, 1]).max()),
    }
    (folder / name / "about.json").write_text(json.dumps(about) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--sets", default=os.environ.get("GANNET_DATA"))
    args = parser.parse_args()
    for name in args.names:
        if not (args.folder / name / "about.json").exists():
            write(args.folder, name, args.sets)
        print(name, (args.folder / name / "about.json").read_text().strip())


if __name__ == "__main__":
    main()
