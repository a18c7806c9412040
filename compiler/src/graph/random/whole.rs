//! Growth by whole numbers and truth values, and selections by them.
//! Law: whole values stay small, and no exact tie of reals decides anything.

use super::Grower;
use crate::graph::{NodeId, Num, Op, Red};
use gannet_lang::program::{Axis, Elem, Fun};

impl Grower {
    fn whole(&mut self) -> NodeId {
        let k = self.rng.below(self.wholes.len());
        self.wholes[k]
    }

    fn truth(&mut self) -> NodeId {
        let k = self.rng.below(self.truths.len());
        self.truths[k]
    }

    pub(super) fn whole_or_truth(&mut self) {
        match self.rng.below(3) {
            0 => self.grow_whole(),
            1 => self.grow_truth(),
            _ => {
                let x = if self.rng.once_in(2) { self.whole() } else { self.truth() };
                let real = self.graph.to_real(x);
                let real = self.graph.map1(Fun::Sin, real);
                self.keep(real, 1.0);
            }
        }
    }

    /// Small again by a remainder, and with few axes.
    fn keep_whole(&mut self, id: NodeId) {
        if self.graph.ty(id).axes.len() < 3 {
            let seven = self.graph.int(7);
            let small = self.graph.map2(Fun::Mod, id, seven);
            self.wholes.push(small);
        }
    }

    fn grow_whole(&mut self) {
        let (x, y, c) = (self.whole(), self.whole(), self.truth());
        let amount = 1 + self.rng.below(3) as i64;
        let amount = self.graph.int(amount);
        let id = match self.rng.below(10) {
            0 => self.graph.add_all(&[x, y]),
            1 => self.graph.mul_all(&[x, amount]),
            2 => self.graph.neg(x),
            3 => self.graph.map2(Fun::Sub, x, y),
            4 => self.graph.map2(Fun::IntDiv, x, amount),
            5 => self.graph.map2(Fun::Min, x, y),
            6 => self.graph.select(c, amount, x),
            7 => self.largest(x),
            8 => self.extremal(),
            _ if !self.config.smooth => {
                let real = self.real();
                let real = self.off_ties(real);
                self.graph.map1(Fun::ToInt, real)
            }
            _ => return,
        };
        self.keep_whole(id);
    }

    fn largest(&mut self, x: NodeId) -> NodeId {
        let axes = self.graph.ty(x).axes.clone();
        let red = self.rng.pick(&[Red::Max, Red::Min]);
        self.graph.reduce(red, &axes, x)
    }

    /// Argmax or argmin of a real value that a slope keeps from ties.
    fn extremal(&mut self) -> NodeId {
        let x = self.real().id;
        let axes = self.graph.ty(x).axes.clone();
        if axes.is_empty() || self.config.smooth {
            return self.graph.int(1);
        }
        let axis: Axis = self.rng.pick(&axes);
        let place = self.graph.add(Op::Iota(axis), []);
        let slope = self.graph.num(0.011_37);
        let slope = self.graph.mul_all(&[slope, place]);
        let x = self.graph.add_all(&[x, slope]);
        let red = self.rng.pick(&[Red::ArgMax, Red::ArgMin]);
        let id = self.graph.reduce(red, &[axis], x);
        self.wholes.push(id);
        id
    }

    fn grow_truth(&mut self) {
        let (p, q) = (self.truth(), self.truth());
        let (x, y) = (self.whole(), self.whole());
        let compare = self.rng.pick(&[Fun::Lt, Fun::Le, Fun::Gt, Fun::Ge, Fun::Eq, Fun::Ne]);
        let id = match self.rng.below(8) {
            0 => self.graph.map2(Fun::And, p, q),
            1 => self.graph.map2(Fun::Or, p, q),
            2 => self.graph.map1(Fun::Not, p),
            3 => {
                let axes = self.graph.ty(p).axes.clone();
                let red = self.rng.pick(&[Red::Any, Red::All]);
                self.graph.reduce(red, &axes, p)
            }
            4 if !self.config.smooth => {
                let (a, b) = (self.real(), self.real());
                let a = self.off_ties(a);
                let compare = self.rng.pick(&[Fun::Lt, Fun::Le, Fun::Gt, Fun::Ge]);
                self.graph.map2(compare, a, b.id)
            }
            5 => {
                let a = self.real();
                self.graph.map1(Fun::IsFinite, a.id)
            }
            _ => self.graph.map2(compare, x, y),
        };
        if self.graph.ty(id).axes.len() < 4 {
            self.truths.push(id);
        }
    }

    /// `a` where a truth value holds, else `b`.
    pub(super) fn selection(&mut self) {
        let (c, a, b) = (self.truth(), self.real(), self.real());
        if self.entries(&self.graph.union(&[c, a.id, b.id])) <= self.config.max_entries {
            let id = self.graph.select(c, a.id, b.id);
            self.keep(id, a.bound.max(b.bound));
        }
    }

    /// A whole value that is an index of the axis' dim.
    pub(super) fn index_of(&mut self, axis: Axis) -> NodeId {
        let fits: Vec<NodeId> =
            self.wholes.iter().copied().filter(|w| self.graph.ty(*w).elem == Elem::Index(axis.dim)).collect();
        if self.rng.once_in(2) {
            return self.rng.pick(&fits);
        }
        let any = self.whole();
        let size = Num::new(self.size(axis) as f64);
        let size = self.graph.add(Op::Const(size, Elem::Int), []);
        self.graph.map2(Fun::Mod, any, size)
    }

    /// A whole value that may lie outside.
    pub(super) fn near_index(&mut self) -> NodeId {
        let (x, shift) = (self.whole(), self.rng.below(3) as i64 - 1);
        let shift = self.graph.int(shift);
        self.graph.add_all(&[x, shift])
    }

    /// Reads a whole or truth value at another place.
    pub(super) fn read_whole(&mut self) {
        let truth = self.rng.once_in(2);
        let x = if truth { self.truth() } else { self.whole() };
        if self.graph.ty(x).axes.is_empty() {
            return;
        }
        let axes = self.graph.ty(x).axes.clone();
        let axis = self.rng.pick(&axes);
        let (at, indices) = self.inside(axis);
        let id = self.graph.read(x, &[(axis, at)], &indices, None);
        if self.graph.ty(id).axes.len() < 3 {
            if truth { self.truths.push(id) } else { self.wholes.push(id) }
        }
    }
}
