//! Memory and order: which members of clusters are written at all, which outputs overwrite their old values, and when
//! each kernel runs.
//! Law: a value is overwritten only after everything that reads the old one.

use super::cluster::{Cluster, Clusters, Kind};
use super::context::Context;
use super::refs::Stored;
use crate::graph::Op;
use crate::plan::{BufferId, Condition, Home, Inst, Kernel, Plan, Stmt, overwrites_early};
use gannet_lang::program::{Axis, Output};
use std::collections::{BTreeMap, BTreeSet};

/// Inside a kernel, an entry that costs less is computed again rather than stored.
const CHEAP: f64 = 24.0;
/// The same for a reduction, whose operands are computed again as well.
const SHORT: f64 = 4.0;

/// The plan of the clusters.
pub(super) fn schedule(cx: Context, clusters: Clusters) -> Plan {
    let mut s = Schedule { cx, clusters, after: BTreeMap::new() };
    s.drop_unwritten();
    s.conditions_first();
    let outputs = s.place_outputs();
    let (mut kernels, mut only, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    for i in s.order() {
        let made = s.emit(i);
        only.extend(made.iter().map(|_| s.only(i)));
        let from = s.cx.sources(s.clusters.list[i].as_ref().expect("a cluster"));
        sources.extend(made.iter().map(|_| from.clone()));
        kernels.extend(made);
    }
    let Context { graph, options, buffers, .. } = s.cx;
    let (tables, double) = (graph.tables.clone(), options.double);
    let mut plan = Plan { tables, double, buffers, kernels, only, sources, outputs };
    compact(&mut plan);
    plan
}

struct Schedule<'g> {
    cx: Context<'g>,
    clusters: Clusters,
    /// Clusters that run after a cluster because they overwrite what it reads.
    after: BTreeMap<usize, BTreeSet<usize>>,
}

impl Schedule<'_> {
    /// What runs only under a condition runs after it is known.
    fn conditions_first(&mut self) {
        for (i, cluster) in self.clusters.list.iter().enumerate().filter_map(|(i, c)| Some((i, c.as_ref()?))) {
            for (condition, _) in self.cx.due(cluster) {
                let first = self.clusters.owner[&Stored::Node(condition)];
                self.after.entry(first).or_default().insert(i);
            }
        }
    }

    /// The conditions of a cluster's kernels.
    fn only(&self, i: usize) -> Vec<Condition> {
        let due = self.cx.due(self.clusters.list[i].as_ref().expect("a cluster"));
        let condition = |(node, holds)| Condition { buffer: self.cx.place[&Stored::Node(node)], holds };
        due.into_iter().map(condition).collect()
    }

    /// Members that are read only within their kernel, at the entry being computed or cheaply, get no memory.
    fn drop_unwritten(&mut self) {
        let outputs: BTreeSet<Stored> = self.cx.graph.outputs.iter().map(|(_, n)| Stored::Node(*n)).collect();
        let clusters: Vec<(usize, Cluster)> =
            self.clusters.list.iter().enumerate().filter_map(|(i, c)| Some((i, c.clone()?))).collect();
        for (i, cluster) in clusters {
            let mut roots = cluster.roots.clone();
            roots.sort_by_key(|r| std::cmp::Reverse(r.node()));
            // Whether an unwritten member is needed only at the entry being computed.
            let mut at_entry: BTreeMap<Stored, bool> = BTreeMap::new();
            // How dear an entry of an unwritten member makes those it needs: costs of a chain of them multiply.
            let mut times: BTreeMap<Stored, f64> = BTreeMap::new();
            for root in roots {
                let users = self.clusters.users.get(&root).cloned().unwrap_or_default();
                let own = matches!(root, Stored::Node(_)) && matches!(cluster.kind, Kind::Traversal | Kind::Product(_));
                if !own || outputs.contains(&root) || users.iter().any(|u| self.clusters.owner[u] != i) {
                    continue;
                }
                let entry = users.iter().all(|u| {
                    let full = self.clusters.refs[u].iter().filter(|r| r.stored == root).all(|r| r.full);
                    full && at_entry.get(u).copied().unwrap_or(true)
                });
                let reduction = matches!(self.cx.graph.node(root.node()).op, Op::Reduce(..) | Op::Contract(_));
                let limit = if reduction { SHORT } else { CHEAP };
                let before = users.iter().filter_map(|u| times.get(u)).fold(1.0, |a: f64, b| a.max(*b));
                let cost = before * self.cx.cost[root.node().index()].max(1.0);
                if entry || cost <= limit {
                    at_entry.insert(root, entry);
                    times.insert(root, if entry { before } else { cost });
                    self.cx.place.remove(&root);
                    self.cx.targets.remove(&root);
                }
            }
        }
    }

    /// Finds each output its memory: parameters and states are overwritten where that is safe.
    fn place_outputs(&mut self) -> Vec<(Output, BufferId)> {
        let mut outputs: Vec<(Output, BufferId)> = Vec::new();
        for (k, (output, id)) in self.cx.graph.outputs.clone().into_iter().enumerate() {
            let copy = Stored::Copy(id, k);
            let root = if self.clusters.owner.contains_key(&copy) { copy } else { Stored::Node(id) };
            let home = self.leaf_of(&output);
            let buffer = if self.cx.is_leaf(id) && root != copy {
                self.cx.place[&root]
            } else {
                let in_place = home.filter(|leaf| self.try_in_place(root, *leaf));
                in_place.unwrap_or_else(|| self.result(root, &output))
            };
            outputs.push((output, buffer));
        }
        outputs
    }

    /// The buffer of the parameter or state that an output is the next value of; made if nothing reads it.
    fn leaf_of(&mut self, output: &Output) -> Option<BufferId> {
        let tables = self.cx.graph.tables.clone();
        let (home, name, ty) = match output {
            Output::Param(p) => (Home::Param(*p), &tables.params[p.index()].name, &tables.params[p.index()].ty),
            Output::State(s) => (Home::State(*s), &tables.states[s.index()].name, &tables.states[s.index()].ty),
            _ => return None,
        };
        if let Some(i) = self.cx.buffers.iter().position(|b| b.home == home) {
            return Some(BufferId::new(i));
        }
        let kind = match ty.elem {
            gannet_lang::program::Elem::Real => crate::plan::Kind::Real,
            gannet_lang::program::Elem::Bool => crate::plan::Kind::Bool,
            _ => crate::plan::Kind::Int,
        };
        Some(self.cx.buffer(name.clone(), kind, ty.axes.clone(), None, home))
    }

    /// A buffer of its own for an output.
    fn result(&mut self, root: Stored, output: &Output) -> BufferId {
        let targets = self.cx.targets[&root].clone();
        let shared = |b: &&BufferId| self.cx.buffers[b.index()].home == Home::Result;
        let plain = !matches!(output, Output::Param(_) | Output::State(_));
        if let (true, Some(buffer)) = (plain, targets.iter().find(shared)) {
            return *buffer;
        }
        let id = root.node();
        let axes: Vec<Axis> = match output {
            Output::Param(p) => self.cx.graph.tables.params[p.index()].ty.axes.clone(),
            Output::State(s) => self.cx.graph.tables.states[s.index()].ty.axes.clone(),
            _ => self.cx.orders.get(&id).cloned().unwrap_or_default(),
        };
        let name = match output {
            Output::Param(_) | Output::State(_) => format!("{} next", self.cx.name(id)),
            _ => self.cx.name(id),
        };
        let buffer = self.cx.buffer(name, self.cx.kind(id), axes, None, Home::Result);
        self.add_target(root, buffer);
        buffer
    }

    /// Writes a root to one more buffer; it takes the place of scratch memory.
    fn add_target(&mut self, root: Stored, buffer: BufferId) {
        let targets = self.cx.targets.get_mut(&root).expect("an output is written");
        let scratch = self.cx.buffers[targets[0].index()].home == Home::Temp;
        if !scratch {
            targets.push(buffer);
            return;
        }
        targets[0] = buffer;
        if !matches!(root, Stored::Copy(..)) {
            self.cx.place.insert(root, buffer);
        }
    }

    /// Lets a root overwrite a leaf, if all that read the leaf can run before, or read the same entry just before it is
    /// written.
    fn try_in_place(&mut self, root: Stored, leaf: BufferId) -> bool {
        let node = self.cx.graph.ids().find(|n| self.cx.place.get(&Stored::Node(*n)) == Some(&leaf));
        let node = node.filter(|n| self.cx.is_leaf(*n));
        let kernel = self.clusters.owner[&root];
        let readers: BTreeSet<usize> = node
            .and_then(|n| self.clusters.users.get(&Stored::Node(n)))
            .map(|users| users.iter().map(|u| self.clusters.owner[u]).collect())
            .unwrap_or_default();
        let reads_itself = readers.contains(&kernel);
        let kind = self.clusters.list[kernel].as_ref().expect("a cluster").kind;
        let others: Vec<usize> = readers.into_iter().filter(|r| *r != kernel).collect();
        if (kind == Kind::Scatter && reads_itself) || others.iter().any(|r| self.runs_before(kernel, *r)) {
            return false;
        }
        let (targets, place) = (self.cx.targets[&root].clone(), self.cx.place.get(&root).copied());
        self.add_target(root, leaf);
        if self.emit(kernel).iter().any(|k| overwrites_early(k, leaf)) {
            self.cx.targets.insert(root, targets);
            place.map(|p| self.cx.place.insert(root, p));
            return false;
        }
        others.into_iter().for_each(|r| {
            self.after.entry(r).or_default().insert(kernel);
        });
        true
    }

    fn next(&self, i: usize) -> BTreeSet<usize> {
        let mut next = self.clusters.successors(i);
        next.extend(self.after.get(&i).into_iter().flatten().copied());
        next
    }

    /// Is there a path from one cluster to another?
    fn runs_before(&self, from: usize, to: usize) -> bool {
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        let mut todo = vec![from];
        while let Some(i) = todo.pop() {
            if i == to {
                return true;
            }
            if seen.insert(i) {
                todo.extend(self.next(i));
            }
        }
        false
    }

    /// Clusters in the order in which they run: of those that can, the one whose members come first in the graph.
    fn order(&self) -> Vec<usize> {
        let clusters: Vec<usize> = (0..self.clusters.list.len()).filter(|i| self.clusters.list[*i].is_some()).collect();
        let next: BTreeMap<usize, BTreeSet<usize>> = clusters.iter().map(|i| (*i, self.next(*i))).collect();
        let mut waits: BTreeMap<usize, usize> = clusters.iter().map(|i| (*i, 0)).collect();
        next.values().flatten().for_each(|i| *waits.get_mut(i).expect("a cluster") += 1);
        let key = |i: usize| {
            let roots = &self.clusters.list[i].as_ref().expect("a cluster").roots;
            (roots.iter().map(|r| r.node()).max(), i)
        };
        let mut ready: BTreeSet<_> = waits.iter().filter(|w| *w.1 == 0).map(|w| key(*w.0)).collect();
        let mut order = Vec::new();
        while let Some((_, i)) = ready.pop_first() {
            order.push(i);
            for n in &next[&i] {
                let wait = waits.get_mut(n).expect("a cluster");
                *wait -= 1;
                if *wait == 0 {
                    ready.insert(key(*n));
                }
            }
        }
        assert_eq!(order.len(), clusters.len(), "fuse: kernels form a cycle");
        order
    }

    fn emit(&self, i: usize) -> Vec<Kernel> {
        let cluster = self.clusters.list[i].as_ref().expect("a cluster");
        match cluster.kind {
            Kind::Traversal => vec![self.cx.traversal(cluster)],
            Kind::Partial(split) => vec![self.cx.partials(cluster, split)],
            Kind::Scatter => self.cx.scatter(cluster),
            Kind::Parts(id) if matches!(self.cx.graph.node(id).op, Op::Loop(_)) => vec![self.cx.repeat(cluster, id)],
            Kind::Parts(id) => vec![self.cx.library(cluster, id)],
            Kind::Product(id) => {
                let kernel = self.cx.product(cluster, id);
                let name = self.cx.name(id);
                vec![kernel.unwrap_or_else(|| panic!("fuse: the product {name} was merged with what it cannot take"))]
            }
        }
    }
}

/// Removes buffers that nothing uses.
fn compact(plan: &mut Plan) {
    let mut used = vec![false; plan.buffers.len()];
    let mut mark = |b: &mut BufferId| used[b.index()] = true;
    plan.kernels.iter_mut().for_each(|k| for_buffers(k, &mut mark));
    plan.only.iter_mut().flatten().for_each(|c| mark(&mut c.buffer));
    plan.outputs.iter_mut().for_each(|o| mark(&mut o.1));
    let mut new = vec![None; used.len()];
    let mut kept = Vec::new();
    for (i, buffer) in std::mem::take(&mut plan.buffers).into_iter().enumerate() {
        if used[i] {
            new[i] = Some(BufferId::new(kept.len()));
            kept.push(buffer);
        }
    }
    let mut rename = |b: &mut BufferId| *b = new[b.index()].expect("a used buffer");
    plan.kernels.iter_mut().for_each(|k| for_buffers(k, &mut rename));
    plan.only.iter_mut().flatten().for_each(|c| rename(&mut c.buffer));
    plan.outputs.iter_mut().for_each(|o| rename(&mut o.1));
    plan.buffers = kept;
}

fn for_buffers(kernel: &mut Kernel, f: &mut impl FnMut(&mut BufferId)) {
    match kernel {
        Kernel::Traversal(t) => in_body(&mut t.outer.body, f),
        Kernel::Contraction(c) => {
            f(&mut c.a.buffer);
            f(&mut c.b.buffer);
            c.c.iter_mut().for_each(|c| f(&mut c.buffer));
            c.epilogue.iter_mut().for_each(|e| in_body(&mut e.rows.body, f));
        }
        Kernel::Repeat(c) => {
            c.operands.iter_mut().for_each(&mut *f);
            c.results.iter_mut().flatten().for_each(f);
        }
        Kernel::Library(c) => {
            c.operands.iter_mut().for_each(|o| f(&mut o.buffer));
            c.results.iter_mut().flatten().for_each(|r| f(&mut r.buffer));
        }
    }
}

fn in_body(body: &mut [Stmt], f: &mut impl FnMut(&mut BufferId)) {
    for s in body {
        match s {
            Stmt::Let(_, Inst::Load(b, _)) | Stmt::Store(b, _, _) | Stmt::Accumulate(_, b, _, _) => f(b),
            Stmt::Loop(l) => in_body(&mut l.body, f),
            Stmt::Let(..) => {}
        }
    }
}
