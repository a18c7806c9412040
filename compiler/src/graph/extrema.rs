//! Which values a graph compares with extrema of themselves: asks which entry *is* the maximum, as the gradient of a
//! maximum does.
//! Law: passes leave such values and their extrema equal to the last bit, or no entry might be found.

use super::{Graph, NodeId, Op, Red};
use gannet_lang::program::{Elem, Fun};
use std::collections::BTreeSet;

impl Graph {
    /// The nodes from which both sides of comparisons with extrema are picked.
    pub fn compared_with_extremum(&self) -> BTreeSet<NodeId> {
        let mut all = BTreeSet::new();
        let live = self.live();
        for id in self.ids().filter(|id| live[id.index()]) {
            let node = self.node(id);
            let compares = matches!(&node.op, Op::Map(Fun::Eq | Fun::Ne | Fun::Lt | Fun::Le | Fun::Gt | Fun::Ge));
            if compares && node.args.iter().all(|a| self.ty(*a).elem == Elem::Real) {
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
            let node = self.node(id);
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
}
