//! Reductions of the Program from those of the Graph, over whole axes and along fibers.
//! Law: over nothing, sum, count, mean, var, argmax and argmin are 0, prod is 1, max and logsumexp -inf, min inf.

use crate::graph::{At, Graph, NodeId, Num, Op, Red, neutral};
use gannet_lang::program::{self as p, Axis, Elem, Fun};

/// What is reduced over.
pub struct Over<'a> {
    /// The reduced axes.
    pub axes: &'a [Axis],
    /// Along fibers: the axis of the result, and for each entry the index along it.
    pub fiber: Option<(Axis, NodeId)>,
}

impl Over<'_> {
    /// The reduction of `x`, of which entries that the guard leaves out take no part.
    pub fn reduce(&self, g: &mut Graph, red: p::Red, x: NodeId, guard: Option<NodeId>) -> NodeId {
        match red {
            p::Red::Sum => self.fold(g, Red::Sum, x, guard),
            p::Red::Prod => {
                let x = g.to_real(x);
                self.fold(g, Red::Prod, x, guard)
            }
            p::Red::Max => self.fold(g, Red::Max, x, guard),
            p::Red::Min => self.fold(g, Red::Min, x, guard),
            p::Red::Any => self.fold(g, Red::Any, x, guard),
            p::Red::All => self.fold(g, Red::All, x, guard),
            p::Red::ArgMax => self.best(g, Red::ArgMax, x, guard),
            p::Red::ArgMin => self.best(g, Red::ArgMin, x, guard),
            p::Red::Count => self.count(g, x, guard),
            p::Red::Mean => self.mean(g, x, guard),
            p::Red::Var => {
                let mean = self.mean(g, x, guard);
                let mean = self.back(g, mean);
                let x = g.to_real(x);
                let away = g.map2(Fun::Sub, x, mean);
                let square = g.mul_all(&[away, away]);
                self.mean(g, square, guard)
            }
            p::Red::LogSumExp => self.logsumexp(g, x, guard),
        }
    }

    /// A value of the result at each entry that is reduced.
    fn back(&self, g: &mut Graph, whole: NodeId) -> NodeId {
        match self.fiber {
            None => whole,
            Some((at, key)) => g.read(whole, &[(at, At::Arg(1))], &[key], None),
        }
    }

    /// A reduction where entries that the guard leaves out hold the neutral element.
    fn fold(&self, g: &mut Graph, red: Red, x: NodeId, guard: Option<NodeId>) -> NodeId {
        let x = match guard {
            None => x,
            Some(guard) => {
                let none = match g.ty(x).elem {
                    Elem::Real => g.num(neutral(red)),
                    Elem::Bool => g.add(Op::Const(Num::new(neutral(red)), Elem::Bool), []),
                    _ if red == Red::Sum => g.int(0),
                    _ => g.int(if neutral(red) > 0.0 { i64::from(i32::MAX) } else { i64::from(i32::MIN) }),
                };
                g.select(guard, x, none)
            }
        };
        match self.fiber {
            None => g.reduce(red, self.axes, x),
            Some((at, key)) => {
                let x = if red == Red::Sum { g.to_real(x) } else { x };
                let x = g.broadcast(x, self.axes);
                g.fiber(red, x, &[(at, At::Arg(1))], self.axes, &[key])
            }
        }
    }

    /// The first place of the largest or smallest entry. Along fibers: the first place that holds it.
    fn best(&self, g: &mut Graph, red: Red, x: NodeId, guard: Option<NodeId>) -> NodeId {
        // Truth values have no neutral element that is less than false.
        let x = if g.ty(x).elem == Elem::Bool { g.map1(Fun::ToInt, x) } else { x };
        if self.fiber.is_none() {
            return self.fold(g, red, x, guard);
        }
        let extreme = self.fold(g, if red == Red::ArgMax { Red::Max } else { Red::Min }, x, guard);
        let extreme = self.back(g, extreme);
        let mut here = g.map2(Fun::Eq, x, extreme);
        if g.ty(x).elem == Elem::Real {
            // The extreme of entries of which one is NaN equals none of them; that one is meant.
            let nan = g.map2(Fun::Ne, x, x);
            here = g.map2(Fun::Or, here, nan);
        }
        if let Some(guard) = guard {
            here = g.map2(Fun::And, here, guard);
        }
        let place = g.add(Op::Iota(self.axes[0]), []);
        let first = self.fold(g, Red::Min, place, Some(here));
        let (nothing, zero) = (g.int(i64::from(i32::MAX)), g.int(0));
        let empty = g.map2(Fun::Eq, first, nothing);
        g.select(empty, zero, first)
    }

    /// How many entries there are, or of truth values how many hold; only those that the guard lets through.
    fn count(&self, g: &mut Graph, x: NodeId, guard: Option<NodeId>) -> NodeId {
        let holds = match (g.ty(x).elem == Elem::Bool, guard) {
            (true, Some(guard)) => g.map2(Fun::And, guard, x),
            (true, None) => x,
            (false, Some(guard)) => guard,
            (false, None) if self.fiber.is_none() => return g.count(self.axes),
            (false, None) => g.add(Op::Const(Num::new(1.0), Elem::Bool), []),
        };
        let what = g.to_real(holds);
        self.fold(g, Red::Sum, what, None)
    }

    /// The sum over the number of entries; of nothing it is 0.
    fn mean(&self, g: &mut Graph, x: NodeId, guard: Option<NodeId>) -> NodeId {
        let x = g.to_real(x);
        let sum = self.fold(g, Red::Sum, x, guard);
        let count = match (guard, self.fiber) {
            (None, None) => g.count(self.axes),
            (None, Some(_)) => {
                let one = g.num(1.0);
                self.fold(g, Red::Sum, one, None)
            }
            (Some(guard), _) => {
                let ones = g.to_real(guard);
                self.fold(g, Red::Sum, ones, None)
            }
        };
        if g.as_num(count).is_some_and(|n| n > 0.0) {
            return g.map2(Fun::Div, sum, count);
        }
        let one = g.num(1.0);
        let count = g.map2(Fun::Max, count, one);
        g.map2(Fun::Div, sum, count)
    }

    /// Shifted by the largest entry, through which no gradient flows; -inf over nothing.
    fn logsumexp(&self, g: &mut Graph, x: NodeId, guard: Option<NodeId>) -> NodeId {
        let x = g.to_real(x);
        let max = self.fold(g, Red::Max, x, guard);
        let max = g.add(Op::Stop, [max]);
        let finite = g.map1(Fun::IsFinite, max);
        let zero = g.num(0.0);
        let shift = g.select(finite, max, zero);
        let there = self.back(g, shift);
        let away = g.map2(Fun::Sub, x, there);
        let exp = g.map1(Fun::Exp, away);
        let sum = self.fold(g, Red::Sum, exp, guard);
        let log = g.map1(Fun::Log, sum);
        if guard.is_none() && self.fiber.is_none() {
            return g.add_all(&[log, shift]);
        }
        // Over nothing it is a constant: its gradient is 0 and not 0/0.
        let none = g.num(f64::NEG_INFINITY);
        let empty = g.map2(Fun::Eq, sum, zero);
        let log = g.select(empty, none, log);
        g.add_all(&[log, shift])
    }
}
