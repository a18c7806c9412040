//! Values that must come out the same to the last bit wherever they are computed.
//! Law: a value that is compared with an extremum of itself is stored, or every computation of it rounds alike.
//!
//! Kernels fuse a product with the sum that it enters where the product has no other use there, so that the same
//! expression may round differently in two kernels. Nobody sees that, except who asks which entry *is* the maximum, as
//! the gradient of a maximum does: no entry might be.

use super::context::Context;
use crate::graph::{NodeId, Op, Red};
use gannet_lang::program::{Elem, Fun};
use std::collections::BTreeSet;

impl Context<'_> {
    /// The nodes from which both sides of comparisons with extrema are picked.
    pub fn compared_with_extremum(&self) -> BTreeSet<NodeId> {
        let mut all = BTreeSet::new();
        for id in self.nodes() {
            let node = self.graph.node(id);
            let compares = matches!(&node.op, Op::Map(Fun::Eq | Fun::Ne | Fun::Lt | Fun::Le | Fun::Gt | Fun::Ge));
            if compares && node.args.iter().all(|a| self.graph.ty(*a).elem == Elem::Real) {
                let (sources, extremum) = self.picked_from(&node.args);
                all.extend(sources.into_iter().filter(|_| extremum));
            }
        }
        all
    }

    /// What the entries of some nodes are picked from, and whether an extremum over axes does so.
    fn picked_from(&self, nodes: &[NodeId]) -> (BTreeSet<NodeId>, bool) {
        let (mut seen, mut sources, mut extremum) = (BTreeSet::new(), BTreeSet::new(), false);
        let mut todo = nodes.to_vec();
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = self.graph.node(id);
            match &node.op {
                Op::Reduce(Red::Max | Red::Min, _) | Op::Fiber { red: Red::Max | Red::Min, .. } => {
                    extremum = true;
                    todo.push(node.args[0]);
                }
                Op::Read { guarded: true, .. } => todo.extend([node.args[0], node.args[node.args.len() - 1]]),
                Op::Read { .. } => todo.push(node.args[0]),
                Op::Map(Fun::Max | Fun::Min) => todo.extend(&node.args),
                Op::Map(Fun::Select) => todo.extend(&node.args[1..]),
                _ => {
                    sources.insert(id);
                }
            }
        }
        (sources, extremum)
    }

    /// Does a node, computed from what is stored, come out the same to the last bit in every kernel? (Its operands are
    /// known to be stored or not.)
    pub fn rounds_alike(&self, id: NodeId) -> bool {
        let mut seen = BTreeSet::new();
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            if !seen.insert(id) || self.is_leaf(id) || self.stored[id.index()] {
                continue;
            }
            let node = self.graph.node(id);
            let inline = |fun: Fun| {
                let made = |a: &NodeId| !self.stored[a.index()] && self.graph.node(*a).op == Op::Map(fun);
                node.args.iter().any(made)
            };
            let differs = match &node.op {
                Op::Map(Fun::Add) => inline(Fun::Mul) || (node.args.len() > 2 && inline(Fun::Neg)),
                Op::Map(Fun::Mul) => inline(Fun::Recip),
                _ => false,
            };
            if differs {
                return false;
            }
            todo.extend(&node.args);
        }
        true
    }
}
