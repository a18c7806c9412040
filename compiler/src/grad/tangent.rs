//! Forward mode: the tangent of each operation's result from those of its operands, one table, exhaustive over `Op`.
//! Law: a tangent is linear in the tangents of the variables; a node without one does not move.
//!
//! A tangent may lack axes of its node, along which it repeats, and may have further ones: independent directions, which
//! every node on the way hands on. Such an axis is kept as it is if no node on the way binds an axis of that name, and
//! renamed otherwise, so that no sum over the batch swallows the direction that an entry of the batch has of its own.

use super::cotangent::{Ctx, Term};
use super::partial::{Partial, partial};
use super::{Swept, sweep};
use crate::graph::{Args, Axes, AxisNames, NodeId, Op, Place, Red, Subst};
use gannet_lang::program::{Axis, Elem, Fun};
use std::collections::BTreeMap;

/// The tangents found so far in one direction; `None`: it does not move.
pub(super) type Tangents = BTreeMap<NodeId, Option<NodeId>>;

/// Forward sweeps by their direction, each variable with its tangent: several derivatives share one.
pub(super) type Sweeps = BTreeMap<Vec<(NodeId, NodeId)>, Tangents>;

impl Ctx<'_> {
    /// The derivative of `args[0]` along the directions, an [`Op::Along`]; `sweeps` are those done before.
    pub fn along(&mut self, names: &[AxisNames], args: &[NodeId], sweeps: &mut Sweeps) -> Option<NodeId> {
        let (of, count) = (args[0], names.len());
        let (wrts, given) = (&args[1..=count], &args[1 + count..]);
        let path = self.path(of, wrts);
        let mut seeds: Vec<(NodeId, NodeId)> = Vec::new();
        let mut back: Vec<(Axis, Axis)> = Vec::new();
        for (k, wrt) in wrts.iter().enumerate() {
            let own: Vec<Axis> = names[k].iter().map(|n| n.0).collect();
            let mut renames: Vec<(Axis, Axis)> = names[k].iter().map(|n| (n.1, n.0)).collect();
            for axis in self.axes(given[k]).iter().copied().filter(|a| names[k].iter().all(|n| n.1 != *a)) {
                if !own.contains(&axis) && path.iter().all(|id| !self.binds(*id, axis)) {
                    continue;
                }
                let known = back.iter().find(|b| b.1 == axis).map(|b| b.0);
                let apart = known.unwrap_or_else(|| self.fresh(axis.dim));
                if known.is_none() {
                    back.push((apart, axis));
                }
                renames.push((axis, apart));
            }
            seeds.push((*wrt, self.rename(given[k], &renames)));
        }
        let tangents = sweeps.entry(seeds.clone()).or_default();
        let moved = self.pushed(of, &seeds, tangents)?;
        Some(self.named_back(moved, &back))
    }

    /// Directions under their names again; where the result has that axis too, the entry's own direction counts.
    fn named_back(&mut self, moved: NodeId, back: &[(Axis, Axis)]) -> NodeId {
        back.iter().fold(moved, |x, (apart, axis)| self.rename(x, &[(*apart, *axis)]))
    }

    /// The nodes through which `of` depends on the variables, those included, operands first.
    fn path(&self, of: NodeId, wrts: &[NodeId]) -> Vec<NodeId> {
        let mut active = vec![false; of.index() + 1];
        for k in 0..=of.index() {
            let id = NodeId::new(k);
            let moved = |a: &NodeId| active[a.index()];
            active[k] = wrts.contains(&id) || self.g.node(id).args.iter().any(moved);
        }
        self.below(of).into_iter().filter(|id| active[id.index()]).collect()
    }

    /// What `of` needs and itself, operands first.
    fn below(&self, of: NodeId) -> Vec<NodeId> {
        let mut needed = vec![false; of.index() + 1];
        needed[of.index()] = true;
        for k in (0..=of.index()).rev() {
            if needed[k] {
                self.g.node(NodeId::new(k)).args.iter().for_each(|a| needed[a.index()] = true);
            }
        }
        (0..=of.index()).filter(|k| needed[*k]).map(NodeId::new).collect()
    }

    /// Does an axis of that name end in this node?
    fn binds(&self, id: NodeId, axis: Axis) -> bool {
        self.binds_in(self.g, id, axis)
    }

    fn binds_in(&self, g: &crate::graph::Graph, id: NodeId, axis: Axis) -> bool {
        match &g.node(id).op {
            Op::Reduce(_, axes) | Op::Contract(axes) => axes.contains(&axis),
            Op::Read { at, .. } => at.iter().any(|n| n.0 == axis),
            Op::Fiber { at, over, .. } => over.contains(&axis) || at.iter().any(|n| n.0 == axis),
            // Its transposition sums over the axes of the hand-written cotangents.
            Op::Custom { .. } | Op::Library(_) | Op::Part(_) => true,
            Op::Loop(body) => body.axis == axis || body.graph.ids().any(|id| self.binds_in(&body.graph, id, axis)),
            _ => false,
        }
    }

    /// The tangent of `of`, computed from those of what it needs.
    pub fn pushed(&mut self, of: NodeId, seeds: &[(NodeId, NodeId)], done: &mut Tangents) -> Option<NodeId> {
        for id in self.below(of) {
            if done.contains_key(&id) {
                continue;
            }
            let seed = seeds.iter().filter(|s| s.0 == id).map(|s| s.1).collect::<Vec<_>>();
            let first = self.g.len();
            let tangent = match seed.as_slice() {
                [] => self.tangent(id, done),
                one => Some(self.g.add_all(one)),
            };
            let place = self.g.place(id);
            self.g.place_from(first, Place { phase: self.scratch.phase, ..place });
            done.insert(id, tangent);
        }
        done[&of]
    }

    /// The tangent of one node.
    fn tangent(&mut self, y: NodeId, done: &Tangents) -> Option<NodeId> {
        let node = self.g.node(y).clone();
        let moved: Vec<Option<NodeId>> = node.args.iter().map(|a| done.get(a).copied().flatten()).collect();
        if let Op::Part(k) = node.op
            && node.ty.elem == Elem::Real
        {
            return match (&self.g.node(node.args[0]).op, moved[0]) {
                (Op::Library(_), _) => self.library_tangent(y, node.args[0], done),
                (_, tangents) => self.part_tangent(tangents?, k as usize),
            };
        }
        if node.ty.elem != Elem::Real || moved.iter().all(Option::is_none) {
            return None;
        }
        match &node.op {
            Op::Input(_) | Op::Param(_) | Op::State(_) | Op::Hyper(_) | Op::Step | Op::Const(..) => None,
            Op::Size(_) | Op::Iota(_) | Op::Random(..) | Op::Stop | Op::Arg(..) => None,
            Op::Loop(_) => Some(self.loop_tangent(y, &moved)),
            Op::Point(_) => moved[0],
            Op::Map(Fun::Select) => Some(self.selected(node.args[0], moved[1], moved[2])),
            Op::Map(fun) => self.mapped(y, *fun, &node.args, &moved),
            Op::Reduce(red, axes) => self.reduced(y, *red, axes, node.args[0], moved[0]?),
            Op::Contract(axes) => self.contracted(axes, &node.args, &moved),
            Op::Read { at, guarded } => self.read_tangent(at, *guarded, &node.args, &moved),
            Op::Fiber { red, at, over } => self.fiber_tangent(y, *red, (at, over), &node.args, moved[0]?),
            Op::Custom { inputs } => self.transposed(y, *inputs as usize, &node.args, &moved),
            // Their parts have tangents.
            Op::Library(_) | Op::Part(_) => None,
            Op::Grad { .. } | Op::Along(_) => unreachable!("inner derivatives are expanded before outer ones"),
        }
    }

    /// Of the branch that is taken, whatever the other one does.
    fn selected(&mut self, cond: NodeId, a: Option<NodeId>, b: Option<NodeId>) -> NodeId {
        let zero = self.g.num(0.0);
        self.g.select(cond, a.unwrap_or(zero), b.unwrap_or(zero))
    }

    /// The sum over the operands of partial derivative times tangent.
    fn mapped(&mut self, y: NodeId, fun: Fun, args: &Args, moved: &[Option<NodeId>]) -> Option<NodeId> {
        let mut terms = Vec::new();
        for (k, dx) in moved.iter().enumerate() {
            let Some(dx) = *dx else { continue };
            match partial(self.g, fun, args, y, k) {
                Partial::Zero => {}
                Partial::One => terms.push(dx),
                Partial::Times(p) => terms.push(self.scaled(dx, p)),
                Partial::Where { cond, holds } => terms.push(self.only(cond, holds, dx)),
            }
        }
        self.summed(&terms)
    }

    /// The tangent times a partial derivative, which may be infinite where a selection left the tangent at 0.
    fn scaled(&mut self, dx: NodeId, p: NodeId) -> NodeId {
        self.times(&Term { value: dx, deltas: vec![], live: None }, p).value
    }

    fn summed(&mut self, terms: &[NodeId]) -> Option<NodeId> {
        match terms {
            [] => None,
            [one] => Some(*one),
            many => Some(self.g.add_all(many)),
        }
    }

    fn reduced(&mut self, y: NodeId, red: Red, axes: &[Axis], x: NodeId, dx: NodeId) -> Option<NodeId> {
        match red {
            Red::Sum => Some(self.contraction(axes, &[dx])),
            Red::Prod => {
                let others = self.product_of_others(axes, x);
                Some(self.contraction(axes, &[dx, others]))
            }
            Red::Max | Red::Min => {
                // Equal extremal entries share evenly.
                let extremal = self.g.map2(Fun::Eq, x, y);
                let count = self.g.reduce(Red::Sum, axes, extremal);
                let picked = self.only(extremal, true, dx);
                let (sum, share) = (self.g.reduce(Red::Sum, axes, picked), self.g.recip(count));
                Some(self.g.mul_all(&[sum, share]))
            }
            Red::Any | Red::All | Red::ArgMax | Red::ArgMin => None,
        }
    }

    /// A product's rule: each factor in turn gives way to its tangent.
    fn contracted(&mut self, axes: &[Axis], args: &Args, moved: &[Option<NodeId>]) -> Option<NodeId> {
        let mut terms = Vec::new();
        for (k, dx) in moved.iter().enumerate() {
            let Some(dx) = *dx else { continue };
            let others = args.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, a)| *a);
            let factors: Vec<NodeId> = others.chain([dx]).collect();
            terms.push(self.contraction(axes, &factors));
        }
        self.summed(&terms)
    }

    /// The tangent is read at the same places; outside, that of the value outside counts.
    fn read_tangent(&mut self, at: &Subst, guarded: bool, args: &Args, moved: &[Option<NodeId>]) -> Option<NodeId> {
        let places = self.places(at, args);
        let zero = self.g.num(0.0);
        let outside = if guarded { moved[args.len() - 1] } else { None };
        let Some(dx) = moved[0] else {
            let outside = outside?;
            let inside = self.inside(&places)?;
            return Some(self.only(inside, false, outside));
        };
        let whole = at.iter().all(|n| self.g.ty(dx).has(n.0));
        if whole && !guarded {
            return Some(self.g.read(dx, at, &args[1..], None));
        }
        Some(self.read_at(dx, &places, outside.unwrap_or(zero)))
    }

    fn fiber_tangent(
        &mut self,
        y: NodeId,
        red: Red,
        (at, over): (&Subst, &Axes),
        args: &Args,
        dx: NodeId,
    ) -> Option<NodeId> {
        let (x, places) = (args[0], self.places(at, args));
        let moved = match red {
            Red::Sum => dx,
            Red::Max | Red::Min => {
                let zero = self.g.num(0.0);
                let there = self.read_at(y, &places, zero);
                let extremal = self.g.map2(Fun::Eq, x, there);
                let count = self.fiber_sum(extremal, &places, over);
                let share = self.g.recip(count);
                let part = self.g.mul_all(&[dx, share]);
                self.only(extremal, true, part)
            }
            Red::Prod => {
                let others = self.fiber_product_of_others(x, &places, over);
                self.g.mul_all(&[dx, others])
            }
            Red::Any | Red::All | Red::ArgMax | Red::ArgMin => return None,
        };
        // Along an axis that only the operand has, its tangent repeats and is counted as often.
        let moved = self.g.broadcast(moved, over);
        Some(self.g.fiber(Red::Sum, moved, at, over, &args[1..]))
    }

    /// A gradient by hand says how cotangents go back; tangents go forward by the transposed map, which is the gradient
    /// by the cotangent of what the inputs' cotangents give when they meet the inputs' tangents.
    fn transposed(&mut self, y: NodeId, inputs: usize, args: &Args, moved: &[Option<NodeId>]) -> Option<NodeId> {
        let (point, mut terms) = (args[1 + inputs], Vec::new());
        for k in 0..inputs {
            let (Some(dx), input, back) = (moved[1 + k], args[1 + k], args[2 + inputs + k]) else { continue };
            let axes = self.g.union(&[input, point, back]);
            terms.push(self.contraction(&axes, &[dx, back]));
        }
        let meeting = self.summed(&terms)?;
        self.by_cotangent(y, meeting, point)
    }

    /// The gradient by the cotangent of `y` of what is linear in it.
    fn by_cotangent(&mut self, y: NodeId, meeting: NodeId, point: NodeId) -> Option<NodeId> {
        let Swept { found, copies } = sweep(self, meeting, &[], &[point]);
        let names: Vec<(Axis, Axis)> = self.axes(y).iter().map(|a| (*a, *a)).collect();
        let terms = found.get(&point).cloned()?;
        Some(self.gather(terms, &names, &copies))
    }

    /// A part of a library operation goes forward by the transposed adjoint, as a gradient by hand does.
    fn library_tangent(&mut self, y: NodeId, whole: NodeId, done: &Tangents) -> Option<NodeId> {
        let moved = |x: NodeId| done.get(&x).copied().flatten();
        if self.g.node(whole).args.iter().all(|x| moved(*x).is_none()) {
            return None;
        }
        // Any point will do that nothing else depends on: its value drops out.
        let point = self.g.fresh_point(y);
        let cotangent = Term { value: point, deltas: vec![], live: None };
        let mut terms = Vec::new();
        for (x, back) in self.part_operands(y, &cotangent, &|x| moved(x).is_some()) {
            let axes = self.g.union(&[x, back.value]);
            let dx = moved(x).expect("only what moves is asked for");
            terms.push(self.contraction(&axes, &[dx, back.value]));
        }
        let meeting = self.summed(&terms)?;
        self.by_cotangent(y, meeting, point)
    }
}
