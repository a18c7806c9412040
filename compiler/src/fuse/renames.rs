//! Moves renamings of axes from results to operands, where memory is read through strides and a renaming is free, so
//! that producer and user speak of the same axes.
//! Law: only what a renaming alone uses is moved; nothing is computed twice.

use crate::graph::{Args, Axes, Graph, NodeId, Op, Red, sorted};
use gannet_lang::program::{Axis, Fun};

/// Old axis and new one.
type Names = Vec<(Axis, Axis)>;

/// The graph with renamings moved towards its leaves.
pub(super) fn push_renames(graph: &Graph) -> Graph {
    let mut uses = vec![0usize; graph.len()];
    let live = graph.live();
    for id in graph.ids().filter(|id| live[id.index()]) {
        graph.node(id).args.iter().for_each(|a| uses[a.index()] += 1);
    }
    graph.outputs.iter().for_each(|(_, id)| uses[id.index()] += 1);
    let mut map = vec![NodeId(u32::MAX); graph.len()];
    graph.rebuild(|new, id, node, args| {
        let moved = names_of(&node.op).and_then(|names| {
            let push = Push { old: graph, uses: &uses, map: &map };
            push.renamed(new, node.args[0], &names)
        });
        let result = moved.unwrap_or_else(|| match &node.op {
            Op::Reduce(red, axes) => reduce(new, *red, axes, args[0]),
            op => new.add(op.clone(), args.iter().copied()),
        });
        map[id.index()] = result;
        result
    })
}

/// The names, if the operation only renames.
pub(super) fn names_of(op: &Op) -> Option<Names> {
    let Op::Read { at, guarded: false } = op else { return None };
    let names: Option<Names> = at.iter().map(|(a, to)| Some((*a, to.as_axis().filter(|b| b.dim == a.dim)?))).collect();
    let names = names?;
    let targets = sorted(names.iter().map(|n| n.1));
    (targets.len() == names.len()).then_some(names)
}

/// A reduction of a renamed operand reduces the operand's own axes where their names are free, so that the same
/// reduction under two names is one node.
fn reduce(g: &mut Graph, red: Red, axes: &Axes, x: NodeId) -> NodeId {
    let node = g.node(x).clone();
    let Some(names) = names_of(&node.op) else { return g.add(Op::Reduce(red, axes.clone()), [x]) };
    // A target that the operand has as well makes a diagonal.
    let diagonal = |b: &Axis| g.ty(node.args[0]).has(*b) && names.iter().all(|n| n.0 != *b);
    if names.iter().any(|n| diagonal(&n.1)) {
        return g.add(Op::Reduce(red, axes.clone()), [x]);
    }
    let free = |n: &(Axis, Axis)| axes.contains(&n.1) && !node.ty.has(n.0);
    let kept: Names = names.iter().filter(|n| !free(n)).copied().collect();
    let back = |b: &Axis| names.iter().find(|n| free(n) && n.1 == *b).map_or(*b, |n| n.0);
    if kept.len() == names.len() {
        return g.add(Op::Reduce(red, axes.clone()), [x]);
    }
    let axes = sorted(axes.iter().map(back));
    let base = g.rename(node.args[0], &kept);
    reduce(g, red, &axes, base)
}

struct Push<'a> {
    old: &'a Graph,
    uses: &'a [usize],
    map: &'a [NodeId],
}

impl Push<'_> {
    /// The old node with axes renamed, if it can be computed so and nobody needs it otherwise.
    fn renamed(&self, g: &mut Graph, id: NodeId, names: &Names) -> Option<NodeId> {
        let node = self.old.node(id);
        let inside = self.old.union(&node.args);
        let meets = |b: &Axis| inside.contains(b) && names.iter().all(|n| n.0 != *b);
        if self.uses[id.index()] != 1 || names.iter().any(|n| meets(&n.1)) {
            return None;
        }
        let bound: Axes = match &node.op {
            Op::Contract(axes) | Op::Reduce(_, axes) => axes.clone(),
            Op::Map(_) => Axes::new(),
            _ => return None,
        };
        let names: Names = names.iter().filter(|n| !bound.contains(&n.0)).copied().collect();
        if names.iter().any(|n| bound.contains(&n.1)) {
            return None;
        }
        let args: Args = node.args.iter().map(|a| self.operand(g, *a, &names)).collect();
        Some(match &node.op {
            Op::Map(Fun::Add) => g.add_all(&args),
            Op::Map(Fun::Mul) => g.mul_all(&args),
            op => g.add(op.clone(), args),
        })
    }

    fn operand(&self, g: &mut Graph, id: NodeId, names: &Names) -> NodeId {
        let names: Names = names.iter().filter(|n| self.old.ty(id).has(n.0)).copied().collect();
        let moved = if names.is_empty() { None } else { self.renamed(g, id, &names) };
        moved.unwrap_or_else(|| g.rename(self.map[id.index()], &names))
    }
}
