//! Values that must come out the same to the last bit wherever they are computed.
//! Law: a value that is compared with an extremum of itself is stored, or every computation of it rounds alike.
//!
//! Kernels fuse a product with the sum that it enters where the product has no other use there, so that the same
//! expression may round differently in two kernels. Nobody sees that, except who asks which entry *is* the maximum, as
//! the gradient of a maximum does: no entry might be.

use super::context::Context;
use crate::graph::{NodeId, Op};
use gannet_lang::program::Fun;
use std::collections::BTreeSet;

impl Context<'_> {
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
