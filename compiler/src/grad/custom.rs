//! Gradients by hand: the term for an input's cotangent, with the cotangent point replaced by the real one.
//! Law: a hand-written cotangent is linear in the point, so a delta of an axis that it keeps apart may stay pending.

use super::cotangent::{Ctx, Term};
use crate::graph::{At, NodeId, Op};
use gannet_lang::program::Axis;
use std::collections::BTreeMap;

impl Ctx<'_> {
    /// The cotangent of input `k` of a node with a gradient by hand.
    pub fn custom_input(&mut self, y: NodeId, inputs: usize, k: usize, t: &Term) -> Term {
        let args = self.g.node(y).args.clone();
        let (input, point, back) = (args[1 + k], args[1 + inputs], args[2 + inputs + k]);
        let path = self.between(point, back);
        let mixed: Vec<Axis> =
            self.axes(point).iter().copied().filter(|a| path.iter().any(|id| self.mixes(*id, *a))).collect();
        let mut t = self.write_deltas(t.clone(), |a| mixed.contains(&a));
        t.value = self.g.broadcast(t.value, &mixed);
        let mut done = BTreeMap::from([(point, t.value)]);
        for id in path {
            let node = self.g.node(id).clone();
            let args: Vec<NodeId> = node.args.iter().map(|a| done.get(a).copied().unwrap_or(*a)).collect();
            let new = self.g.remake(&node.op, &args);
            done.insert(id, new);
        }
        t.value = done.get(&back).copied().unwrap_or(back);
        t.live = t.live.filter(|_| mixed.is_empty());
        // What the hand-written gradient sums over itself is gone; what it keeps, or lets pass, is summed here.
        let gone = |a: &Axis| mixed.contains(a) && !self.g.ty(back).has(*a);
        let over = self.g.union(&[point, back]);
        let over: Vec<Axis> = over.iter().copied().filter(|a| !self.g.ty(input).has(*a) && !gone(a)).collect();
        self.sum_out(&t, &[], &over)
    }

    /// The nodes after `from` up to `to` that depend on `from`, operands first.
    fn between(&self, from: NodeId, to: NodeId) -> Vec<NodeId> {
        let mut path = Vec::new();
        let mut depends = vec![false; (to.index() + 1).saturating_sub(from.index())];
        for (k, id) in (from.index()..=to.index()).map(NodeId::new).enumerate() {
            depends[k] =
                id == from || self.g.node(id).args.iter().any(|a| *a >= from && depends[a.index() - from.index()]);
            if depends[k] && id != from {
                path.push(id);
            }
        }
        path
    }

    /// Does the operation combine entries along the axis, or move them?
    fn mixes(&self, id: NodeId, axis: Axis) -> bool {
        let mentions = |at: &At| match at {
            At::Affine { terms, .. } => terms.iter().any(|t| t.1 == axis),
            At::Arg(_) => false,
        };
        match &self.g.node(id).op {
            Op::Map(_) | Op::Point(_) | Op::Stop => false,
            Op::Reduce(_, axes) | Op::Contract(axes) => axes.contains(&axis),
            Op::Read { at, .. } => at.iter().any(|(a, to)| *a == axis || mentions(to)),
            Op::Fiber { at, over, .. } => over.contains(&axis) || at.iter().any(|(a, to)| *a == axis || mentions(to)),
            // These are not looked into.
            _ => true,
        }
    }
}
