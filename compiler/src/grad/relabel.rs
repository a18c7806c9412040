//! Renames an axis of an expression down to where the axis comes from.
//! Law: the value is that of a renaming read; what is gained is that a renaming back cancels instead of piling up.
//!
//! Resolved deltas rename `n` to a copy `n'` deep inside a gradient, and the result renames `n'` back to `n`. The nodes
//! in between exist for this gradient only, so rebuilding them costs nothing, and the copies vanish.

use super::cotangent::Ctx;
use crate::graph::{At, Node, NodeId, Op};
use gannet_lang::program::Axis;
use std::collections::{BTreeMap, BTreeSet};

impl Ctx<'_> {
    /// `root` with `from` named `to`, an axis that `root` does not have.
    pub fn relabel(&mut self, root: NodeId, from: Axis, to: Axis) -> NodeId {
        if !self.g.ty(root).has(from) {
            return root;
        }
        assert!(!self.g.ty(root).has(to), "an axis is renamed to one that is free");
        let mut done: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        for id in self.carriers(root, from) {
            let new = self.relabel_node(id, from, to, &done);
            let place = self.g.place(id);
            self.g.set_place(new, place);
            done.insert(id, new);
        }
        done.get(&root).copied().unwrap_or(root)
    }

    /// The nodes on which `root` depends through nodes that have the axis, operands first.
    fn carriers(&self, root: NodeId, axis: Axis) -> BTreeSet<NodeId> {
        let (mut found, mut open) = (BTreeSet::new(), vec![root]);
        while let Some(id) = open.pop() {
            if self.g.ty(id).has(axis) && found.insert(id) {
                open.extend(self.g.node(id).args.iter().copied());
            }
        }
        found
    }

    fn relabel_node(&mut self, id: NodeId, from: Axis, to: Axis, done: &BTreeMap<NodeId, NodeId>) -> NodeId {
        let node = self.g.node(id).clone();
        // An axis `to` that is bound inside would be captured.
        let captured = node.args.iter().any(|a| self.g.ty(*a).has(to));
        let args: Vec<NodeId> = node.args.iter().map(|a| done.get(a).copied().unwrap_or(*a)).collect();
        match &node.op {
            Op::Iota(_) => self.iota(to),
            Op::Map(_) | Op::Reduce(..) | Op::Contract(_) if !captured => self.g.remake(&node.op, &args),
            Op::Read { .. } => self.relabel_read(&node, &args, from, to),
            _ => self.g.rename(id, &[(from, to)]),
        }
    }

    /// The axis of a read comes from the forms, from index operands, or through from the operand.
    fn relabel_read(&mut self, node: &Node, args: &[NodeId], from: Axis, to: Axis) -> NodeId {
        let Op::Read { at, guarded } = &node.op else { unreachable!("a read") };
        let named = |a: Axis| at.iter().any(|n| n.0 == a);
        let (x, mut at_new): (NodeId, Vec<(Axis, At)>) = (node.args[0], Vec::new());
        for (axis, place) in at {
            at_new.push((*axis, rename_form(place, from, to)));
        }
        let through = self.g.ty(x).has(from) && !named(from);
        let mut new_x = x;
        if through && self.g.ty(x).has(to) {
            at_new.push((from, At::axis(to)));
        } else if through {
            new_x = args[0];
        }
        let last = args.len() - usize::from(*guarded);
        self.g.read(new_x, &at_new, &args[1..last], args.get(last).copied())
    }
}

/// The form with an axis renamed to one that it does not mention.
fn rename_form(at: &At, from: Axis, to: Axis) -> At {
    match at {
        At::Affine { terms, offset } => {
            let mut terms = terms.clone();
            terms.iter_mut().filter(|t| t.1 == from).for_each(|t| t.1 = to);
            terms.sort_by_key(|t| t.1);
            At::Affine { terms, offset: *offset }
        }
        At::Arg(k) => At::Arg(*k),
    }
}
