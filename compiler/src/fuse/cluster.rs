//! Clusters: which stored things one kernel computes.
//! Law: between two members of a cluster there is no path through another cluster.

use super::context::{Context, Split};
use super::refs::{Ref, Stored};
use crate::graph::{Axes, NodeId, Op};
use crate::plan::{Blocks, Home};
use gannet_lang::program::{Axis, Output};
use std::collections::{BTreeMap, BTreeSet};

/// Kernels have about so many instructions at most.
const LARGE: usize = 240;
/// Kernels with less work than this are merged for their own sake, even if they then run on one thread.
const SMALL: f64 = 16384.0;
/// A cluster with more work than this keeps its threads: merging it into fewer outer iterations would cost more than the
/// hand-over to another thread that it spares.
const MUCH: f64 = 131_072.0;
/// Arrays of more entries do not stay in a cache from one walk across them to the next.
const LARGE_ARRAY: f64 = 262_144.0;
/// Outer iterations that suffice for all threads.
const PARALLEL: f64 = 32.0;

/// What kind of kernel a cluster becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Roots with common outer axes.
    Traversal,
    /// A product and what is done with its tiles.
    Product(NodeId),
    /// A fiber that is scattered.
    Scatter,
    /// The first step of split reductions.
    Partial(Split),
    /// A library operation or a loop; its roots are its parts.
    Parts(NodeId),
}

/// The members of a kernel.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub kind: Kind,
    /// Sorted.
    pub roots: Vec<Stored>,
    /// Axes of the outer loops: all roots have them, and all uses within the cluster are of the same entry along them.
    pub outer: Axes,
    work: f64,
    width: usize,
}

/// All clusters; merged ones are gone.
pub(super) struct Clusters {
    pub list: Vec<Option<Cluster>>,
    /// The cluster of each root.
    pub owner: BTreeMap<Stored, usize>,
    /// What each root reads.
    pub refs: BTreeMap<Stored, Vec<Ref>>,
    /// The roots that read each stored thing.
    pub users: BTreeMap<Stored, Vec<Stored>>,
}

impl Clusters {
    /// Every stored thing a cluster of its own, with a buffer.
    pub fn new(cx: &mut Context) -> Self {
        let mut all =
            Clusters { list: Vec::new(), owner: BTreeMap::new(), refs: BTreeMap::new(), users: BTreeMap::new() };
        for id in cx.nodes() {
            if cx.is_leaf(id) {
                let home = match cx.graph.node(id).op {
                    Op::Input(i) => Home::Input(i),
                    Op::Param(p) => Home::Param(p),
                    Op::State(s) => Home::State(s),
                    Op::Arg(k, ..) => Home::Arg(k),
                    _ => unreachable!("a leaf"),
                };
                let axes = cx.orders[&id].clone();
                let buffer = cx.buffer(cx.name(id), cx.kind(id), axes, None, home);
                cx.place.insert(Stored::Node(id), buffer);
            } else if cx.stored[id.index()] {
                all.add_stored(cx, id);
            }
        }
        all.add_copies(cx);
        for (root, refs) in &all.refs {
            for r in refs {
                let list: &mut Vec<Stored> = all.users.entry(r.stored).or_default();
                if !list.contains(root) {
                    list.push(*root);
                }
            }
        }
        all
    }

    fn add_stored(&mut self, cx: &mut Context, id: NodeId) {
        let scattered = cx.placed.contains_key(&id);
        if let Some(split) = cx.splits.get(&id).copied() {
            let blocks = Blocks { size: split.size, extent: cx.extent(split.axis) };
            self.add_root(cx, Stored::Partial(id), Kind::Partial(split), Some(blocks));
        }
        if let Some(whole) = cx.whole(id) {
            return self.add_part(cx, id, whole);
        }
        let kind = match scattered {
            true => Kind::Scatter,
            false if cx.products.contains_key(&id) => Kind::Product(id),
            false => Kind::Traversal,
        };
        self.add_root(cx, Stored::Node(id), kind, None);
    }

    /// All stored parts of a node are computed together.
    fn add_part(&mut self, cx: &mut Context, id: NodeId, whole: NodeId) {
        let root = Stored::Node(id);
        let known = self.list.iter().position(|c| c.as_ref().is_some_and(|c| c.kind == Kind::Parts(whole)));
        self.add_root(cx, root, Kind::Parts(whole), None);
        if let (Some(k), Some(Some(new))) = (known, self.list.pop_if(|_| known.is_some())) {
            self.owner.insert(root, k);
            self.list[k].as_mut().expect("not merged yet").roots.extend(new.roots);
        }
    }

    fn add_root(&mut self, cx: &mut Context, root: Stored, kind: Kind, blocks: Option<Blocks>) {
        let id = root.node();
        let axes = cx.orders.get(&id).cloned().unwrap_or_default();
        let buffer = cx.buffer(cx.name(id), cx.kind(id), axes, blocks, Home::Temp);
        if !matches!(root, Stored::Copy(..)) {
            cx.place.insert(root, buffer);
        }
        cx.targets.insert(root, vec![buffer]);
        self.refs.insert(root, cx.refs(root));
        let outer = cx.graph.ty(id).axes.clone();
        let cluster = Cluster { kind, roots: vec![root], outer, work: cx.work(id), width: cx.width[id.index()] + 2 };
        self.owner.insert(root, self.list.len());
        self.list.push(Some(cluster));
    }

    /// Outputs that are a leaf's value, or a second home of what no traversal computes, are copied.
    fn add_copies(&mut self, cx: &mut Context) {
        let mut seen: BTreeSet<NodeId> = BTreeSet::new();
        for (k, (output, id)) in cx.graph.outputs.clone().into_iter().enumerate() {
            let leaf = cx.is_leaf(id);
            let itself = match (&cx.graph.node(id).op, &output) {
                (Op::Param(p), Output::Param(q)) => p == q,
                (Op::State(s), Output::State(t)) => s == t,
                _ => false,
            };
            let traversal = !leaf && self.of(Stored::Node(id)).is_some_and(|c| c.kind == Kind::Traversal);
            let second = !seen.insert(id);
            if !itself && (leaf || (second && !traversal)) {
                self.add_root(cx, Stored::Copy(id, k), Kind::Traversal, None);
            }
        }
    }

    /// The cluster that computes a stored thing.
    pub fn of(&self, stored: Stored) -> Option<&Cluster> {
        self.list[*self.owner.get(&stored)?].as_ref()
    }

    fn cluster(&self, i: usize) -> &Cluster {
        self.list[i].as_ref().expect("a cluster that was not merged")
    }

    /// The clusters that read what a cluster computes.
    pub fn successors(&self, i: usize) -> BTreeSet<usize> {
        let users = self.cluster(i).roots.iter().filter_map(|r| self.users.get(r)).flatten();
        users.map(|u| self.owner[u]).filter(|u| *u != i).collect()
    }

    /// Is there a path from one cluster to another through a third?
    fn detour(&self, from: usize, to: usize) -> bool {
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        let mut todo: Vec<usize> = self.successors(from).into_iter().filter(|s| *s != to).collect();
        while let Some(i) = todo.pop() {
            if i == to {
                return true;
            }
            if seen.insert(i) {
                todo.extend(self.successors(i));
            }
        }
        false
    }

    /// Merges until nothing more pays.
    pub fn merge(&mut self, cx: &Context) {
        while self.merge_epilogues(cx) {}
        while self.merge_chains(cx) || self.merge_siblings(cx) {}
        while self.merge_epilogues(cx) {}
        while self.merge_small(cx) {}
    }

    fn merge_epilogues(&mut self, cx: &Context) -> bool {
        let mut changed = false;
        for i in 0..self.list.len() {
            let Some(Cluster { kind: Kind::Product(_), .. }) = self.list[i] else { continue };
            for j in self.successors(i) {
                changed |= self.try_epilogue(cx, i, j);
            }
        }
        changed
    }

    /// Lets a product take over a traversal of the same entries.
    fn try_epilogue(&mut self, cx: &Context, i: usize, j: usize) -> bool {
        let (Some(product), Some(other)) = (self.list[i].clone(), self.list[j].clone()) else { return false };
        let Kind::Product(id) = product.kind else { return false };
        let axes = &cx.graph.ty(id).axes;
        let reduces = |r: &Stored| {
            let reduction = matches!(cx.graph.node(r.node()).op, Op::Reduce(..) | Op::Contract(_));
            reduction || !matches!(r, Stored::Node(_)) || cx.graph.ty(r.node()).axes != *axes
        };
        let full = other.roots.iter().flat_map(|r| &self.refs[r]).all(|r| r.full || !product.roots.contains(&r.stored));
        if other.kind != Kind::Traversal || other.roots.iter().any(reduces) || !full || self.detour(i, j) {
            return false;
        }
        let merged = self.joined(&product, &other, product.outer.clone());
        if merged.width > LARGE || !cx.due_together(&product, &other) || cx.product(&merged, id).is_none() {
            return false;
        }
        self.replace(i, j, merged);
        true
    }

    fn merge_chains(&mut self, cx: &Context) -> bool {
        let mut changed = false;
        for i in 0..self.list.len() {
            if self.list[i].is_none() {
                continue;
            }
            for j in self.successors(i) {
                changed |= self.list[i].is_some() && self.list[j].is_some() && self.try_traversals(cx, i, j, false);
            }
        }
        changed
    }

    /// Merges clusters that read the same things.
    fn merge_siblings(&mut self, cx: &Context) -> bool {
        let mut changed = false;
        let groups: Vec<Vec<Stored>> = self.users.values().filter(|u| u.len() > 1).cloned().collect();
        for users in groups {
            let mut owners: Vec<usize> = users.iter().map(|u| self.owner[u]).collect();
            owners.sort();
            owners.dedup();
            for w in owners.windows(2) {
                changed |= self.list[w[0]].is_some()
                    && self.list[w[1]].is_some()
                    && self.try_traversals(cx, w[0], w[1], false);
            }
        }
        changed
    }

    /// Merges clusters with little work, related or not.
    fn merge_small(&mut self, cx: &Context) -> bool {
        let small = |c: &Option<Cluster>| c.as_ref().is_some_and(|c| c.kind == Kind::Traversal && c.work < SMALL);
        let list: Vec<usize> = (0..self.list.len()).filter(|i| small(&self.list[*i])).collect();
        let mut changed = false;
        for (at, &i) in list.iter().enumerate() {
            for &j in &list[at + 1..] {
                changed |= small(&self.list[i]) && small(&self.list[j]) && self.try_traversals(cx, i, j, true);
            }
        }
        changed
    }

    fn try_traversals(&mut self, cx: &Context, i: usize, j: usize, small: bool) -> bool {
        let (a, b) = (self.cluster(i).clone(), self.cluster(j).clone());
        let kinds = matches!((a.kind, b.kind), (Kind::Traversal, Kind::Traversal))
            || matches!((a.kind, b.kind), (Kind::Partial(s), Kind::Partial(t)) if s == t && a.outer == b.outer);
        if !kinds || a.width + b.width > LARGE || !cx.due_together(&a, &b) {
            return false;
        }
        let outer = match a.kind {
            Kind::Partial(_) => a.outer.clone(),
            _ => self.common_outer(&a, &b),
        };
        let size = |axes: &Axes| cx.graph.tables.entries(axes);
        let (before, after) = (size(&a.outer).min(size(&b.outer)), size(&outer));
        let tiny = a.work + b.work < SMALL;
        let enough = after >= before || after >= PARALLEL || (tiny && small);
        // A scalar beside a large pass must not put all of it into one iteration.
        let keeps = |c: &Cluster| c.work < MUCH || after >= PARALLEL || after >= size(&c.outer);
        let keeps = |c: &Cluster| keeps(c) && c.roots.iter().all(|r| !cx.goes_across(*r, &c.outer, &outer));
        let worth = enough && keeps(&a) && keeps(&b) && self.gains(cx, &a, &b);
        if !worth || self.detour(i, j) || self.detour(j, i) {
            return false;
        }
        let merged = self.joined(&a, &b, outer);
        self.replace(i, j, merged);
        true
    }

    /// Is anything spared by one kernel instead of two? Long passes that read no entry in common gain nothing, and more
    /// streams through memory at once than it can follow cost much.
    fn gains(&self, cx: &Context, a: &Cluster, b: &Cluster) -> bool {
        let refs = |c: &Cluster| -> Vec<Ref> { c.roots.iter().flat_map(|r| &self.refs[r]).cloned().collect() };
        let (ra, rb) = (refs(a), refs(b));
        let related = |c: &Cluster, refs: &[Ref]| refs.iter().any(|r| c.roots.contains(&r.stored));
        let large = |s: Stored| cx.graph.entries(s.node()) > LARGE_ARRAY;
        let common = |x: &Ref| x.full && large(x.stored) && rb.iter().any(|y| y.full && y.stored == x.stored);
        let long = |c: &Cluster| c.work >= MUCH && c.roots.iter().any(|r| large(*r));
        !long(a) || !long(b) || related(a, &rb) || related(b, &ra) || ra.iter().any(common)
    }

    /// The axes along which both clusters can walk together.
    fn common_outer(&self, a: &Cluster, b: &Cluster) -> Axes {
        let member = |s: &Stored| a.roots.contains(s) || b.roots.contains(s);
        let refs: Vec<&Ref> =
            a.roots.iter().chain(&b.roots).flat_map(|r| &self.refs[r]).filter(|r| member(&r.stored)).collect();
        let shared = a.outer.iter().copied().filter(|x| b.outer.contains(x));
        shared.filter(|x| refs.iter().all(|r| r.same.contains(x))).collect()
    }

    fn joined(&self, a: &Cluster, b: &Cluster, outer: Axes) -> Cluster {
        let mut roots = [a.roots.clone(), b.roots.clone()].concat();
        roots.sort();
        Cluster { kind: a.kind, roots, outer, work: a.work + b.work, width: a.width + b.width }
    }

    fn replace(&mut self, i: usize, j: usize, merged: Cluster) {
        merged.roots.iter().for_each(|r| {
            self.owner.insert(*r, i);
        });
        self.list[i] = Some(merged);
        self.list[j] = None;
    }
}

impl Context<'_> {
    /// Would a large root that went through memory in order with outer loops over `before` no longer do so with `after`?
    fn goes_across(&self, root: Stored, before: &Axes, after: &Axes) -> bool {
        let Some(order) = self.orders.get(&root.node()) else { return false };
        let size = |axes: &[Axis]| self.graph.tables.entries(axes);
        let first = order.iter().find(|a| size(&[**a]) > 1.0);
        size(order) > LARGE_ARRAY && first.is_some_and(|a| before.contains(a) && !after.contains(a))
    }
}
