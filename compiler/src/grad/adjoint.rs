//! The adjoint of each operation: one table, exhaustive over `Op`.
//! Law: the cotangent of an operand is linear in the cotangent of the result, and zero results are not written.

use super::cotangent::{Ctx, Term};
use super::partial::{Partial, partial};
use crate::graph::{Args, NodeId, Op, Red};
use gannet_lang::program::{Axis, Fun};

/// May a change of the operand at position `k` change the result of this operation?
pub(super) fn passes(op: &Op, k: usize) -> bool {
    match op {
        Op::Custom { inputs } => (1..=*inputs as usize).contains(&k),
        Op::Library(lib) => lib.fun.smooth(),
        Op::Stop => false,
        _ => true,
    }
}

impl Ctx<'_> {
    /// What the term of node `y`'s cotangent gives to each active operand.
    pub fn adjoint(&mut self, y: NodeId, t: &Term, active: &dyn Fn(NodeId) -> bool) -> Vec<(NodeId, Term)> {
        let node = self.g.node(y).clone();
        if let Op::Part(_) = node.op {
            return self.part_operands(y, t, active);
        }
        let live = |k: usize| passes(&node.op, k) && active(node.args[k]);
        let operands: Vec<usize> = (0..node.args.len()).filter(|k| live(*k)).collect();
        let mut out = Vec::new();
        for k in operands {
            let x = node.args[k];
            let term = match &node.op {
                Op::Input(_) | Op::Param(_) | Op::State(_) | Op::Hyper(_) | Op::Step | Op::Const(..) => None,
                Op::Size(_) | Op::Iota(_) | Op::Random(..) | Op::Stop | Op::Arg(..) => None,
                Op::Point(_) => Some(t.clone()),
                Op::Map(fun) => self.map_operand(y, *fun, &node.args, k, t),
                Op::Reduce(red, axes) => self.reduce_operand(y, *red, axes, x, t),
                Op::Contract(_) => self.factor(y, &node.args, k, t),
                Op::Read { .. } if k == 0 => Some(self.read_operand(y, t)),
                Op::Read { guarded: true, .. } if k + 1 == node.args.len() => self.outside_operand(y, t),
                Op::Read { .. } => None,
                Op::Fiber { red, .. } if k == 0 => self.fiber_operand(y, *red, t),
                Op::Fiber { .. } => None,
                Op::Custom { inputs } => Some(self.custom_input(y, *inputs as usize, k - 1, t)),
                Op::Library(_) | Op::Loop(_) | Op::Part(_) => {
                    unreachable!("parts give to the operands of what they are parts of")
                }
                Op::Grad { .. } | Op::Along(_) => unreachable!("inner gradients are expanded before outer ones"),
            };
            out.extend(term.map(|term| (x, term)));
        }
        out
    }

    /// The axes of `y` that `x` lacks: `x` repeats along them, so its cotangent is summed over them.
    fn repeated(&self, y: NodeId, x: NodeId) -> Vec<Axis> {
        self.axes(y).iter().copied().filter(|a| !self.g.ty(x).has(*a)).collect()
    }

    fn map_operand(&mut self, y: NodeId, fun: Fun, args: &Args, k: usize, t: &Term) -> Option<Term> {
        let x = args[k];
        let over = self.repeated(y, x);
        let mut factors = Vec::new();
        if matches!(fun, Fun::Add | Fun::Mul) {
            if args[..k].contains(&x) {
                return None;
            }
            factors.extend(self.multiplicity(args, x));
        }
        Some(match partial(self.g, fun, args, y, k) {
            Partial::Zero => return None,
            Partial::One => self.sum_out(t, &factors, &over),
            Partial::Times(p) if over.is_empty() || self.may_be_nonfinite(p) => {
                let t = self.times(t, p);
                self.sum_out(&t, &factors, &over)
            }
            Partial::Times(p) => {
                factors.push(p);
                self.sum_out(t, &factors, &over)
            }
            Partial::Where { cond, holds } => {
                let t = self.masked(t, cond, holds, fun == Fun::Select);
                self.sum_out(&t, &factors, &over)
            }
        })
    }

    /// How often an operand occurs, where that is more than once.
    fn multiplicity(&mut self, args: &[NodeId], x: NodeId) -> Option<NodeId> {
        let count = args.iter().filter(|a| **a == x).count();
        (count > 1).then(|| self.g.num(count as f64))
    }

    /// A factor's cotangent: the sum of the cotangent times the other factors, over all axes that the factor lacks.
    fn factor(&mut self, y: NodeId, args: &Args, k: usize, t: &Term) -> Option<Term> {
        let x = args[k];
        if args[..k].contains(&x) {
            return None;
        }
        let mut factors: Vec<NodeId> = args.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, a)| *a).collect();
        factors.extend(self.multiplicity(args, x));
        let all = self.g.union(args);
        let over: Vec<Axis> = all.iter().copied().filter(|a| !self.g.ty(x).has(*a)).collect();
        debug_assert!(self.axes(y).iter().all(|a| all.contains(a)));
        Some(self.sum_out(t, &factors, &over))
    }

    fn reduce_operand(&mut self, y: NodeId, red: Red, axes: &[Axis], x: NodeId, t: &Term) -> Option<Term> {
        match red {
            // The summed axes reappear, and along them the cotangent repeats.
            Red::Sum => Some(t.clone()),
            Red::Prod => {
                let others = self.product_of_others(axes, x);
                Some(self.times(t, others))
            }
            Red::Max | Red::Min => {
                let extremal = self.g.map2(Fun::Eq, x, y);
                let count = self.g.reduce(Red::Sum, axes, extremal);
                Some(self.shared_among(t, extremal, count))
            }
            Red::Any | Red::All | Red::ArgMax | Red::ArgMin => None,
        }
    }

    /// Equal extremal entries share the cotangent evenly.
    pub fn shared_among(&mut self, t: &Term, extremal: NodeId, count: NodeId) -> Term {
        let share = self.g.recip(count);
        let value = self.g.mul_all(&[t.value, share]);
        let t = Term { value, ..t.clone() };
        self.masked(&t, extremal, true, false)
    }

    /// For each entry the product of the others, written as a product over a second copy of the axes: a quotient would
    /// be wrong at zeros, and so would its derivatives.
    pub fn product_of_others(&mut self, axes: &[Axis], x: NodeId) -> NodeId {
        let copies: Vec<(Axis, Axis)> = axes.iter().map(|a| (*a, self.fresh(a.dim))).collect();
        let mut same = None;
        for (a, copy) in &copies {
            let (i, j) = (self.iota(*a), self.iota(*copy));
            let eq = self.g.map2(Fun::Eq, i, j);
            same = self.and(same, Some(eq));
        }
        let (one, copied) = (self.g.num(1.0), self.rename(x, &copies));
        let other = self.g.select(same.expect("a reduction has an axis"), one, copied);
        let over: Vec<Axis> = copies.iter().map(|c| c.1).collect();
        self.g.reduce(Red::Prod, &over, other)
    }
}
