//! Writes traversals: loop nests over the outer axes, with inner nests for roots that have more.
//! Law: a root joins an open nest only if it reads what that nest stores at the entry being computed.

use super::body::{Builder, Env, Pos};
use super::cluster::Cluster;
use super::context::{Context, Split};
use super::loops;
use super::refs::Stored;
use crate::graph::{At, Axes, NodeId, Op, Red, Subst, sorted};
use crate::plan::{BufferId, Extent, Kernel, Range, Traversal};
use gannet_lang::program::Axis;
use std::collections::BTreeMap;

/// Entries of a row that one thread adds up where rows stand in places: a line of memory of single precision.
const SHARE: i64 = 16;

impl Context<'_> {
    /// The kernel of a cluster of roots with common outer axes.
    pub fn traversal(&self, cluster: &Cluster) -> Kernel {
        let roots = self.emission_order(cluster);
        let mut b = Builder::new(self, None);
        let mut env = Env::new();
        for axis in self.outer_order(&roots, &cluster.outer) {
            let pos = b.open_axis(axis);
            env.push((axis, pos));
        }
        if env.is_empty() {
            b.open(Range::Full(Extent::constant(1)), "once".into());
        }
        let base = b.depth();
        let mut nest: Option<Axes> = None;
        for (root, joins) in &roots {
            let axes = &self.graph.ty(root.node()).axes;
            if !joins || nest.as_ref() != Some(axes) {
                close_to(&mut b, &mut env, base, cluster.outer.len());
                for axis in self.root_order(*root).into_iter().filter(|a| !cluster.outer.contains(a)) {
                    let pos = b.open_axis(axis);
                    env.push((axis, pos));
                }
                nest = Some(axes.clone());
            }
            self.emit_root(&mut b, *root, &env);
        }
        close_to(&mut b, &mut env, base, cluster.outer.len());
        self.finish(b, cluster, true)
    }

    /// The kernel of the blocks of split reductions.
    pub fn partials(&self, cluster: &Cluster, split: Split) -> Kernel {
        let mut b = Builder::new(self, None);
        let extent = self.extent(split.axis);
        let outer = b.open(Range::Blocks { size: split.size, extent }, "blocks".into());
        for root in &cluster.roots {
            let mut env = Env::new();
            for axis in self.root_order(*root) {
                let pos = b.open_axis(axis);
                env.push((axis, pos));
            }
            let value = b.partial(root.node(), &env, outer);
            let buffer = self.place[root];
            let address = b.block_address(buffer, outer, &env);
            b.store(buffer, address, value);
            close_to(&mut b, &mut env, 1, 0);
        }
        self.finish(b, cluster, true)
    }

    /// The kernels of what is put together from terms: one fills, with what else is added if it is a sum, and one for
    /// each term that stands in places accumulates.
    pub fn scatter(&self, cluster: &Cluster) -> Vec<Kernel> {
        let root = cluster.roots[0];
        let placed = &self.placed[&root.node()];
        let fill = (!placed.whole).then(|| self.filled(cluster, &placed.terms));
        let targets = &self.targets[&root];
        let terms = placed.terms.iter().map(|t| self.accumulated(cluster, *t, targets, placed.whole));
        fill.into_iter().chain(terms).collect()
    }

    fn red(&self, id: NodeId) -> Red {
        match &self.graph.node(id).op {
            Op::Fiber { red, .. } => *red,
            _ => Red::Sum,
        }
    }

    /// The kernel that writes what does not stand in places: other terms, or nothing.
    fn filled(&self, cluster: &Cluster, placed: &[NodeId]) -> Kernel {
        let root = cluster.roots[0];
        let id = root.node();
        let mut fill = Builder::new(self, None);
        let env = open_all(&mut fill, &self.root_order(root));
        let value = match placed.contains(&id) {
            true => fill.neutral(self.kind(id), self.red(id)),
            false => fill.rest(id, placed, &env),
        };
        for buffer in &self.targets[&root] {
            let address = fill.address(*buffer, &env);
            fill.store(*buffer, address, value);
        }
        self.finish(fill, cluster, true)
    }

    /// The kernel that writes the entries of a term into buffers, where they stand; `alone` if no two stand in one place.
    fn accumulated(&self, cluster: &Cluster, id: NodeId, targets: &[BufferId], alone: bool) -> Kernel {
        let node = self.graph.node(id);
        let piece = self.piece(id);
        let (mut inner, all): (Vec<Axis>, Axes) = match (&node.op, piece) {
            (_, Some((axis, ..))) => (vec![axis], self.graph.ty(node.args[0]).axes.clone()),
            (Op::Fiber { at, over, .. }, _) => {
                let inputs = self.graph.union(&node.args).into_iter();
                (by_step(at, over), sorted(inputs.chain(over.iter().copied())))
            }
            _ => unreachable!("fuse: a term stands in places"),
        };
        // Only an axis that the result keeps may be split over threads: two entries never meet across it. One of a single
        // place splits nothing, and its loop becomes one with that inside of it.
        inner.extend(
            all.iter()
                .copied()
                .filter(|a| !inner.contains(a) && self.graph.tables.fixed(*a) == Some(1))
                .collect::<Vec<_>>(),
        );
        let mut order: Vec<Axis> = all.iter().copied().filter(|a| !inner.contains(a)).collect();
        order.sort_by(|a, b| {
            let size = |a: &Axis| self.graph.tables.entries(&[*a]);
            size(b).total_cmp(&size(a)).then(a.cmp(b))
        });
        let parallel = alone || !order.is_empty();
        let mut b = Builder::new(self, None);
        let env = match order[..] {
            [row] if !alone && self.graph.tables.entries(&[row]) >= 2.0 * SHARE as f64 => {
                self.shared_out(&mut b, row, &inner)
            }
            _ => {
                order.extend(inner);
                open_all(&mut b, &order)
            }
        };
        let value = b.value(node.args[0], &env);
        let (place, inside) = match piece {
            Some((axis, to, start)) => (moved(&env, axis, to, start), None),
            None => b.scatter_place(id, &env),
        };
        let red = self.red(id);
        let value = inside.map_or(value, |c| b.masked(self.kind(id), red, value, c));
        for buffer in targets {
            let address = b.address(*buffer, &place);
            match alone {
                true => b.store(*buffer, address, value),
                false => b.accumulate(red, *buffer, address, value),
            }
        }
        self.finish(b, cluster, parallel)
    }

    /// Loops over what stands in places, with the one axis that stays shared out among threads: each takes whole lines of
    /// memory of every entry, instead of passing through all entries once for each vector.
    fn shared_out(&self, b: &mut Builder, row: Axis, inner: &[Axis]) -> Env {
        let extent = self.extent(row);
        let outer = b.open(Range::Blocks { size: SHARE, extent: extent.clone() }, "shares".into());
        let mut env = open_all(b, inner);
        let block = b.open(Range::Block { outer, size: SHARE, extent }, "share".into());
        env.push((row, Pos::counter(block)));
        env
    }

    fn finish(&self, b: Builder, cluster: &Cluster, parallel: bool) -> Kernel {
        let (outer, scope) = b.finish();
        let name = cluster.roots.iter().map(|r| self.name(r.node())).collect::<Vec<_>>().join(", ");
        let span = self.graph.span(cluster.roots[0].node());
        let mut traversal = Traversal { name, span, scope, outer, parallel };
        loops::merge(&mut traversal.outer);
        loops::vectorize(&mut traversal.outer, &self.graph.tables.assumed);
        Kernel::Traversal(traversal)
    }

    /// Computes and stores a root at the place given.
    pub fn emit_root(&self, b: &mut Builder, root: Stored, env: &Env) {
        let value = match root {
            Stored::Copy(n, _) => b.value(n, env),
            _ => b.define(root.node(), env),
        };
        let targets: Vec<BufferId> = self.targets.get(&root).cloned().unwrap_or_default();
        for buffer in targets {
            let address = b.address(buffer, env);
            b.store(buffer, address, value);
        }
    }

    /// The storage order of a root.
    pub fn root_order(&self, root: Stored) -> Vec<Axis> {
        self.orders.get(&root.node()).cloned().unwrap_or_else(|| self.graph.ty(root.node()).axes.to_vec())
    }

    /// Outer axes in the storage order of the largest root.
    fn outer_order(&self, roots: &[(Stored, bool)], outer: &Axes) -> Vec<Axis> {
        let size = |r: &Stored| self.graph.entries(r.node());
        let largest = roots.iter().map(|r| r.0).reduce(|a, b| if size(&b) > size(&a) { b } else { a });
        let order = largest.map(|r| self.root_order(r)).unwrap_or_default();
        order.into_iter().filter(|a| outer.contains(a)).collect()
    }

    /// Roots that are written, operands first, roots with the same axes together; and whether each may join the nest of
    /// the one before.
    fn emission_order(&self, cluster: &Cluster) -> Vec<(Stored, bool)> {
        let uses = Uses::new(self, cluster);
        let mut left: Vec<Stored> = cluster.roots.iter().copied().filter(|r| uses.written(*r)).collect();
        let mut order: Vec<(Stored, bool)> = Vec::new();
        let mut nest: Vec<Stored> = Vec::new();
        while !left.is_empty() {
            let ready: Vec<Stored> =
                left.iter().copied().filter(|r| left.iter().all(|o| o == r || !uses.needs(*r, *o))).collect();
            let same = |r: &Stored| {
                nest.first().is_some_and(|n| self.graph.ty(n.node()).axes == self.graph.ty(r.node()).axes)
                    && nest.iter().all(|n| uses.only_same_entry(*r, *n))
            };
            let joining = ready.iter().copied().find(same);
            let next = joining.unwrap_or_else(|| *ready.first().expect("fuse: roots of a kernel form no cycle"));
            if joining.is_none() {
                nest.clear();
            }
            nest.push(next);
            order.push((next, joining.is_some()));
            left.retain(|r| *r != next);
        }
        order
    }
}

/// Who uses what within a cluster, also through roots that are not written: `true` for uses at the same entry only.
struct Uses(BTreeMap<Stored, BTreeMap<Stored, bool>>, Vec<Stored>);

impl Uses {
    fn new(cx: &Context, cluster: &Cluster) -> Self {
        let mut all: BTreeMap<Stored, BTreeMap<Stored, bool>> = BTreeMap::new();
        // Operands have smaller ids than users, so one sweep closes the relation.
        let mut roots = cluster.roots.clone();
        roots.sort_by_key(|r| r.node());
        for root in &roots {
            let mut used: BTreeMap<Stored, bool> = BTreeMap::new();
            for r in cx.refs(*root) {
                let below = all.get(&r.stored).cloned().unwrap_or_default();
                for (other, full) in below.into_iter().chain([(r.stored, true)]) {
                    let entry = used.entry(other).or_insert(true);
                    *entry &= full && r.full;
                }
            }
            all.insert(*root, used);
        }
        let written = cluster.roots.iter().copied();
        let written = written.filter(|r| cx.targets.get(r).is_some_and(|t| !t.is_empty())).collect();
        Uses(all, written)
    }

    fn written(&self, root: Stored) -> bool {
        self.1.contains(&root)
    }

    fn needs(&self, user: Stored, used: Stored) -> bool {
        self.0[&user].contains_key(&used)
    }

    fn only_same_entry(&self, user: Stored, used: Stored) -> bool {
        self.0[&user].get(&used).copied().unwrap_or(true)
    }
}

/// Reduced axes, those that take the longest steps in the result outermost.
fn by_step(at: &Subst, over: &Axes) -> Vec<Axis> {
    let step = |a: &Axis| -> i64 {
        let terms = at.iter().filter_map(|(_, to)| if let At::Affine { terms, .. } = to { Some(terms) } else { None });
        terms.flatten().filter(|t| t.1 == *a).map(|t| t.0.abs()).max().unwrap_or(i64::MAX)
    };
    let mut order = over.to_vec();
    order.sort_by_key(|a| std::cmp::Reverse(step(a)));
    order
}

/// The entry `start` places further on along another axis.
fn moved(env: &Env, axis: Axis, to: Axis, start: i64) -> Env {
    let place = |(a, pos): &(Axis, Pos)| match *a == axis {
        true => (to, pos.moved(start)),
        false => (*a, pos.clone()),
    };
    let mut moved: Env = env.iter().map(place).collect();
    moved.sort();
    moved
}

fn open_all(b: &mut Builder, order: &[Axis]) -> Env {
    if order.is_empty() {
        b.open(Range::Full(Extent::constant(1)), "once".into());
    }
    let open = |a: &Axis| -> (Axis, Pos) { (*a, b.open_axis(*a)) };
    order.iter().map(open).collect()
}

fn close_to(b: &mut Builder, env: &mut Env, depth: usize, axes: usize) {
    while b.depth() > depth {
        b.close();
    }
    env.truncate(axes);
}
