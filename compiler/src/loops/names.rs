//! What a loop keeps is kept once, with the names of axes that it is computed with.

use super::stored;
use crate::graph::{Body, Graph, NodeId, Op};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The graph with every kept value under its own names; renamings stand where it is read.
pub(super) fn own_names(graph: &Graph) -> Graph {
    let mut kept: BTreeMap<NodeId, Kept> = BTreeMap::new();
    graph.rebuild(|out, id, node, args| match &node.op {
        Op::Loop(body) => {
            let found = Kept::of(body);
            let made = out.add(Op::Loop(found.body.clone()), args.iter().copied());
            kept.insert(id, found);
            made
        }
        Op::Part(k) => match kept.get(&node.args[0]) {
            Some(found) => found.part(out, args[0], *k as usize),
            None => out.add(node.op.clone(), args.iter().copied()),
        },
        op => out.add(op.clone(), args.iter().copied()),
    })
}

/// A loop that keeps each value once.
struct Kept {
    body: Arc<Body>,
    /// Of each value that was kept: which one is now, and the renamings from that, the last first.
    each: Vec<(usize, Vec<Op>)>,
}

impl Kept {
    fn of(old: &Body) -> Kept {
        let mut roots: Vec<NodeId> = Vec::new();
        let mut each = Vec::new();
        for id in old.each() {
            let (root, names) = stored(&old.graph, id);
            let place = roots.iter().position(|r| *r == root).unwrap_or_else(|| {
                roots.push(root);
                roots.len() - 1
            });
            each.push((place, names.iter().map(|id| old.graph.node(*id).op.clone()).collect()));
        }
        Kept { body: Body::new(old, old.keeping(roots)), each }
    }

    /// What was part `k` of the loop.
    fn part(&self, out: &mut Graph, made: NodeId, k: usize) -> NodeId {
        let states = self.body.states;
        match k.checked_sub(states).map(|j| self.each.get(j)) {
            None => out.part(made, k),
            Some(None) => out.part(made, self.body.steps_part()),
            Some(Some((place, names))) => {
                let value = out.part(made, states + place);
                names.iter().rev().fold(value, |x, op| out.remake(op, &[x]))
            }
        }
    }
}
