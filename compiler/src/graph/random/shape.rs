//! Growth by reads and fibers.
//! Law: an unguarded read is in range; a fiber's targets are no axes that it keeps.

use super::{Grower, Real};
use crate::graph::{At, NodeId, Red};
use gannet_lang::program::{Axis, Fun};

impl Grower {
    fn any_axis(&mut self) -> Axis {
        let axes = self.all_axes();
        self.rng.pick(&axes)
    }

    pub(super) fn any_read(&mut self) {
        match self.rng.below(8) {
            0..=2 => self.read(false),
            3..=6 => self.read(true),
            _ => self.read_whole(),
        }
    }

    /// A place that is in range for the axis: an axis of the same dim or a smaller one, mirrored, the first, a gather.
    pub(super) fn inside(&mut self, axis: Axis) -> (At, Vec<NodeId>) {
        let other = self.any_axis();
        let (n, m) = (self.size(axis) as i64, self.size(other) as i64);
        let affine = |c: i64, offset| At::Affine { terms: [(c, other)].into_iter().collect(), offset };
        match self.rng.below(5) {
            0 if m <= n => (affine(1, n - m), vec![]),
            1 if m <= n => (affine(-1, m - 1), vec![]),
            2 => (At::Affine { terms: Default::default(), offset: self.rng.below(n as usize) as i64 }, vec![]),
            3 => (At::axis(Axis { ix: 1 - axis.ix.min(1), ..axis }), vec![]),
            _ => (At::Arg(1), vec![self.index_of(axis)]),
        }
    }

    /// A place that may lie outside: a shift, a window, a stride, a difference, a computed index.
    fn anywhere(&mut self, axis: Axis) -> (At, Vec<NodeId>) {
        let (i, j) = (self.any_axis(), self.any_axis());
        let offset = self.rng.below(4) as i64 - 2;
        let mut terms = match self.rng.below(5) {
            0 => vec![(1, axis)],
            1 => vec![(1, i), (1, j)],
            2 => vec![(2, i), (1, j)],
            3 => vec![(1, i), (-1, j)],
            _ => return (At::Arg(1), vec![self.near_index()]),
        };
        terms.sort_by_key(|t| t.1);
        if i == j && terms.len() == 2 {
            terms = vec![(terms[0].0, i)];
        }
        (At::Affine { terms: terms.into_iter().collect(), offset }, vec![])
    }

    fn read(&mut self, guarded: bool) {
        let (x, other) = (self.real(), self.real());
        let mut axes = self.graph.ty(x.id).axes.to_vec();
        if axes.is_empty() {
            return;
        }
        self.rng.shuffle(&mut axes);
        axes.truncate(1 + usize::from(self.rng.once_in(3)));
        let (mut at, mut indices) = (Vec::new(), Vec::new());
        for axis in axes {
            let (to, operands) = if guarded { self.anywhere(axis) } else { self.inside(axis) };
            let to = if operands.is_empty() { to } else { At::Arg(1 + indices.len() as u8) };
            indices.extend(operands);
            at.push((axis, to));
        }
        let outside = if self.rng.once_in(2) { self.graph.num(0.5) } else { other.id };
        let id = self.graph.read(x.id, &at, &indices, guarded.then_some(outside));
        if self.entries(&self.graph.ty(id).axes) <= self.config.max_entries {
            self.keep(id, x.bound.max(other.bound).max(0.5));
        }
    }

    pub(super) fn fiber(&mut self) {
        let x = self.real();
        let mut over = self.graph.ty(x.id).axes.to_vec();
        if over.is_empty() {
            return;
        }
        self.rng.shuffle(&mut over);
        over.truncate(1 + usize::from(self.rng.once_in(2)));
        let target = self.any_axis();
        let (at, indices) = if self.rng.once_in(3) {
            let mut terms: Vec<(i64, Axis)> = over.iter().map(|a| (1, *a)).collect();
            terms.sort_by_key(|t| t.1);
            (At::Affine { terms: terms.into_iter().collect(), offset: self.rng.below(3) as i64 - 1 }, vec![])
        } else {
            let index = self.index_of(target);
            (At::Arg(1), vec![index])
        };
        let all: Vec<NodeId> = std::iter::once(x.id).chain(indices.iter().copied()).collect();
        let union = self.graph.union(&all);
        let collides = union.iter().any(|a| *a == target && !over.contains(a));
        if !collides && self.entries(&union) * self.size(target) <= self.config.max_entries {
            self.add_fiber(x, (target, at), &over, &indices);
        }
    }

    fn add_fiber(&mut self, x: Real, at: (Axis, At), over: &[Axis], indices: &[NodeId]) {
        let red = if self.config.smooth { Red::Sum } else { self.rng.pick(&[Red::Sum, Red::Sum, Red::Max, Red::Min]) };
        let mut id = self.graph.fiber(red, x.id, &[at], over, indices);
        if red != Red::Sum {
            // Places that nothing reaches hold an infinity.
            let (reached, zero) = (self.graph.map1(Fun::IsFinite, id), self.graph.num(0.0));
            id = self.graph.select(reached, id, zero);
        }
        self.keep(id, x.bound * self.entries(over) as f64);
    }
}
