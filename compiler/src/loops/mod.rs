//! What loops keep: passes over loops and the loops that go back over their steps.
//! Law: every value stays what it is; only where it is computed, and whether it is stored in between, changes.

mod keep;
mod names;
mod pieces;
mod sums;

use crate::graph::{Axes, Graph, Node, NodeId, Op};
use std::cell::Cell;

/// The bytes that loops may still store beyond their states.
struct Budget(Cell<f64>);

/// Bytes of an entry.
const WIDTH: f64 = 4.0;

impl Budget {
    /// Takes the room for arrays of so many entries, if there is any left.
    fn take(&self, entries: f64) -> bool {
        let left = self.0.get() - entries * WIDTH;
        if left >= 0.0 {
            self.0.set(left);
        }
        left >= 0.0
    }
}

/// Stores what going back would otherwise compute again, and takes sums over all steps out of loops; what is stored for
/// either takes at most `memory` bytes, with the sizes that the tables assume.
pub fn store(graph: &Graph, memory: Option<u64>) -> Graph {
    let budget = Budget(Cell::new(memory.map_or(f64::INFINITY, |bytes| bytes as f64)));
    let one = |g: &Graph| sums::take_out(&names::own_names(&keep::keep(g, &budget)), &budget);
    one(&graph.map_bodies(&one)).trim_loops()
}

/// [`pieces`], in the graph and in the steps of its loops.
pub fn piece_by_piece(graph: &Graph, bytes: u64) -> Graph {
    let one = |g: &Graph| pieces::piece_by_piece(g, bytes as f64);
    one(&graph.map_bodies(&one))
}

/// A renaming of axes: each becomes another, and nothing lies outside.
fn is_renaming(op: &Op) -> bool {
    matches!(op, Op::Read { at, guarded: false } if at.iter().all(|(_, to)| to.as_axis().is_some()))
}

/// What is stored of a value: it without renamings, and these, from the outermost.
fn stored(g: &Graph, mut id: NodeId) -> (NodeId, Vec<NodeId>) {
    let mut names = Vec::new();
    while is_renaming(&g.node(id).op) {
        names.push(id);
        id = g.node(id).args[0];
    }
    (id, names)
}

/// The number of the operand that a node of a body stands for.
fn operand(node: &Node) -> Option<usize> {
    match node.op {
        Op::Arg(k, ..) => Some(k as usize),
        _ => None,
    }
}

/// A node of a body as an operand of this number.
fn as_operand(k: usize, node: &Node) -> Op {
    Op::Arg(k as u32, node.ty.elem, Axes::from_slice(&node.ty.axes))
}
