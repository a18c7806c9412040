//! Growth by real values: scalar functions with safe arguments, reductions, contractions, common compositions.
//! Law: whatever the argument, the value is finite and its bound holds.

use super::{Grower, Real};
use crate::graph::{NodeId, Red};
use gannet_lang::program::{Axis, Fun};

/// Added before a jump, so that no exact tie decides on which side a value lies.
const OFF_TIES: f64 = 0.2371;
/// Multiplied before rounding, for the same reason.
const OFF_GRID: f64 = 1.37;

/// A sum of products whose bound is larger is not made: its rounding errors would outlast the scaling.
const LARGEST: f64 = 2000.0;

impl Grower {
    fn num(&mut self, x: f64) -> NodeId {
        self.graph.num(x)
    }

    /// `1 + x^2`.
    fn positive(&mut self, x: Real) -> Real {
        let (one, square) = (self.num(1.0), self.graph.mul_all(&[x.id, x.id]));
        Real { id: self.graph.add_all(&[one, square]), bound: 1.0 + x.bound * x.bound }
    }

    /// A value at which functions with jumps are safe.
    pub(super) fn off_ties(&mut self, x: Real) -> NodeId {
        let (scale, shift) = (self.num(OFF_GRID), self.num(OFF_TIES));
        let x = self.graph.mul_all(&[scale, x.id]);
        self.graph.add_all(&[x, shift])
    }

    pub(super) fn unary(&mut self) {
        let x = self.real();
        let kinds = if self.config.smooth { 15 } else { 21 };
        let kind = self.rng.below(kinds);
        let positive = self.positive(x);
        let b = x.bound;
        let simple = |s: &mut Self, fun, bound| (s.graph.map1(fun, x.id), bound);
        let (id, bound) = match kind {
            0 => simple(self, Fun::Neg, b),
            1 => simple(self, Fun::Sin, 1.0),
            2 => simple(self, Fun::Cos, 1.0),
            3 => simple(self, Fun::Tanh, 1.0),
            4 => simple(self, Fun::Sigmoid, 1.0),
            5 => simple(self, Fun::Softplus, b + 1.0),
            6 => simple(self, Fun::Erf, 1.0),
            7 => simple(self, Fun::Exp, b.exp()),
            8 => simple(self, Fun::Expm1, b.exp()),
            9 => (self.graph.map1(Fun::Log, positive.id), positive.bound.ln()),
            10 => {
                let square = self.graph.mul_all(&[x.id, x.id]);
                (self.graph.map1(Fun::Log1p, square), positive.bound.ln())
            }
            11 => (self.graph.map1(Fun::Sqrt, positive.id), positive.bound.sqrt()),
            12 => (self.graph.recip(positive.id), 1.0),
            13 => {
                let small = self.graph.map1(Fun::Sin, x.id);
                (self.graph.map1(Fun::Tan, small), 1.6)
            }
            14 => {
                let three = self.num(3.0);
                (self.graph.pow(x.id, three), b * b * b)
            }
            15 => simple(self, Fun::Abs, b),
            16 => {
                let zero = self.num(0.0);
                (self.graph.map2(Fun::Max, x.id, zero), b)
            }
            17 => self.jump(Fun::Sign, x, 1.0),
            18 => self.jump(Fun::Floor, x, 2.0 * b + 2.0),
            19 => self.jump(Fun::Ceil, x, 2.0 * b + 2.0),
            _ => self.jump(Fun::Round, x, 2.0 * b + 2.0),
        };
        self.keep(id, bound);
    }

    fn jump(&mut self, fun: Fun, x: Real, bound: f64) -> (NodeId, f64) {
        let x = self.off_ties(x);
        (self.graph.map1(fun, x), bound)
    }

    pub(super) fn binary(&mut self) {
        let (x, y) = (self.real(), self.real());
        if self.entries(&self.graph.union(&[x.id, y.id])) > self.config.max_entries {
            return;
        }
        let kinds = if self.config.smooth { 6 } else { 10 };
        let positive = self.positive(y);
        let (id, bound) = match self.rng.below(kinds) {
            0 => (self.graph.add_all(&[x.id, y.id]), x.bound + y.bound),
            1 => (self.graph.map2(Fun::Sub, x.id, y.id), x.bound + y.bound),
            2 => (self.graph.mul_all(&[x.id, y.id]), x.bound * y.bound),
            3 => (self.graph.map2(Fun::Div, x.id, positive.id), x.bound),
            4 => (self.graph.map2(Fun::Atan2, x.id, positive.id), 1.6),
            5 => {
                let exponent = self.graph.map1(Fun::Sin, x.id);
                (self.graph.pow(positive.id, exponent), positive.bound)
            }
            6 => (self.graph.map2(Fun::Min, x.id, y.id), x.bound.max(y.bound)),
            7 => (self.graph.map2(Fun::Max, x.id, y.id), x.bound.max(y.bound)),
            8 => {
                let x = self.off_ties(x);
                (self.graph.map2(Fun::Mod, x, positive.id), positive.bound)
            }
            _ => {
                let bound = 2.0 * x.bound + 2.0;
                let x = self.off_ties(x);
                (self.graph.map2(Fun::IntDiv, x, positive.id), bound)
            }
        };
        self.keep(id, bound);
    }

    /// One or two of a node's axes.
    fn axes_of(&mut self, id: NodeId) -> Vec<Axis> {
        let mut axes = self.graph.ty(id).axes.to_vec();
        self.rng.shuffle(&mut axes);
        axes.truncate(1 + self.rng.below(2));
        axes
    }

    pub(super) fn reduction(&mut self) {
        let x = self.real();
        let axes = self.axes_of(x.id);
        let entries = self.entries(&axes) as f64;
        let kinds = if self.config.smooth { 3 } else { 5 };
        let (id, bound) = match self.rng.below(kinds) {
            0 => (self.graph.reduce(Red::Sum, &axes, x.id), x.bound * entries),
            1 => (self.mean(&axes, x.id), x.bound),
            2 if entries <= 16.0 => {
                let x = self.graph.map1(Fun::Sin, x.id);
                (self.graph.reduce(Red::Prod, &axes, x), 1.0)
            }
            3 => (self.graph.reduce(Red::Max, &axes, x.id), x.bound),
            4 => (self.graph.reduce(Red::Min, &axes, x.id), x.bound),
            _ => return,
        };
        self.keep(id, bound);
    }

    fn mean(&mut self, axes: &[Axis], x: NodeId) -> NodeId {
        let sum = self.graph.reduce(Red::Sum, axes, x);
        let count = self.graph.count(axes);
        self.graph.map2(Fun::Div, sum, count)
    }

    /// Two to four factors, of which the first has the summed axes.
    pub(super) fn contraction(&mut self) {
        let count = 2 + self.rng.below(3);
        let factors: Vec<Real> = (0..count).map(|_| self.real()).collect();
        let ids: Vec<NodeId> = factors.iter().map(|f| f.id).collect();
        let axes = self.axes_of(ids[0]);
        let bound = factors.iter().map(|f| f.bound).product::<f64>() * self.entries(&axes) as f64;
        if self.entries(&self.graph.union(&ids)) > self.config.max_entries || bound > LARGEST {
            return;
        }
        let id = self.graph.contract(&axes, &ids);
        self.keep(id, bound);
    }

    /// What models are made of: softmax, logsumexp, normalization, a common factor, two layers.
    pub(super) fn composite(&mut self) {
        let (x, y, z) = (self.real(), self.real(), self.real());
        let axes = self.axes_of(x.id);
        if self.entries(&self.graph.union(&[x.id, y.id, z.id])) > self.config.max_entries {
            return;
        }
        let (id, bound) = match self.rng.below(5) {
            0 => {
                let exp = self.graph.map1(Fun::Exp, x.id);
                let sum = self.graph.reduce(Red::Sum, &axes, exp);
                (self.graph.map2(Fun::Div, exp, sum), 1.0)
            }
            1 => {
                let exp = self.graph.map1(Fun::Exp, x.id);
                let sum = self.graph.reduce(Red::Sum, &axes, exp);
                (self.graph.map1(Fun::Log, sum), x.bound + (self.entries(&axes) as f64).ln())
            }
            2 => self.normalized(x, &axes),
            3 => {
                let (left, right) = (self.graph.mul_all(&[x.id, y.id]), self.graph.mul_all(&[x.id, z.id]));
                (self.graph.add_all(&[left, right]), x.bound * (y.bound + z.bound))
            }
            _ => {
                let inner = self.graph.contract(&axes, &[x.id, y.id]);
                let inner = self.graph.map1(Fun::Tanh, inner);
                let axes = self.axes_of(inner);
                (self.graph.contract(&axes, &[inner, z.id]), z.bound * self.entries(&axes) as f64)
            }
        };
        self.keep(id, bound);
    }

    fn normalized(&mut self, x: Real, axes: &[Axis]) -> (NodeId, f64) {
        let mean = self.mean(axes, x.id);
        let away = self.graph.map2(Fun::Sub, x.id, mean);
        let square = self.graph.mul_all(&[away, away]);
        let (var, one) = (self.mean(axes, square), self.num(1.0));
        let wide = self.graph.add_all(&[var, one]);
        let deviation = self.graph.map1(Fun::Sqrt, wide);
        (self.graph.map2(Fun::Div, away, deviation), 2.0 * x.bound)
    }
}
