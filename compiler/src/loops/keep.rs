//! Keeps what a loop computed and a loop back over its steps computes again.
//!
//! The loop back (see [`crate::grad`]) holds a copy of the forward step. Where a copy costs more than storing the
//! value and reading it again, as those of products do, the forward loop keeps the value of every step, and the copy
//! becomes a slice of what is kept.

use super::{Budget, WIDTH, as_operand, is_renaming, operand};
use crate::egraph;
use crate::graph::{Body, Graph, NodeId, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Seconds to write a byte and to read it again.
const THERE_AND_BACK: f64 = 2e-10;

/// A loop, another that computes values of its steps again, and those that are worth keeping: in the step of the first,
/// and in that of the second.
struct Pair {
    first: NodeId,
    again: NodeId,
    kept: Vec<(NodeId, NodeId)>,
}

/// Keeps values as long as there is something worth it.
pub(super) fn keep(graph: &Graph, budget: &Budget) -> Graph {
    let mut graph = graph.clone();
    while let Some(pair) = find(&graph, budget) {
        graph = pair.applied(&graph);
    }
    graph
}

fn body(g: &Graph, id: NodeId) -> &Arc<Body> {
    match &g.node(id).op {
        Op::Loop(body) => body,
        _ => unreachable!("it is a loop"),
    }
}

fn find(g: &Graph, budget: &Budget) -> Option<Pair> {
    let live = g.live();
    let is_loop = |id: &NodeId| live[id.index()] && matches!(&g.node(*id).op, Op::Loop(b) if b.fixed.is_none());
    let loops: Vec<NodeId> = g.ids().filter(is_loop).collect();
    for (k, first) in loops.iter().enumerate() {
        for again in &loops[k + 1..] {
            let kept = worth_keeping(g, *first, *again, budget);
            if !kept.is_empty() {
                return Some(Pair { first: *first, again: *again, kept });
            }
        }
    }
    None
}

/// The copies that one loop's step holds of another's values: where both see the same operands, the same is computed.
fn copies(g: &Graph, first: NodeId, again: NodeId) -> BTreeMap<NodeId, NodeId> {
    let (f, b) = (body(g, first), body(g, again));
    let mut found = BTreeMap::new();
    if f.axis != b.axis {
        return found;
    }
    let seen = |k: usize| match k < f.states {
        true => f.before(k).and_then(|part| g.find(&Op::Part(part as u32), &[first])),
        false => Some(g.node(first).args[k]),
    };
    let live = f.graph.live();
    for id in f.graph.ids().filter(|id| live[id.index()]) {
        let node = f.graph.node(id);
        let copy = match operand(node) {
            Some(k) => seen(k).and_then(|outer| {
                let places = g.node(again).args.iter().enumerate().skip(b.states);
                let (place, _) = places.into_iter().find(|(_, x)| **x == outer)?;
                b.graph.find(&as_operand(place, node), &[])
            }),
            None => {
                let args: Option<Vec<NodeId>> = node.args.iter().map(|a| found.get(a).copied()).collect();
                args.and_then(|args| b.graph.find(&node.op, &args))
            }
        };
        found.extend(copy.map(|copy| (id, copy)));
    }
    found
}

/// The values of the first loop's steps that are worth keeping for the second, with their copies there.
fn worth_keeping(g: &Graph, first: NodeId, again: NodeId, budget: &Budget) -> Vec<(NodeId, NodeId)> {
    let copies = copies(g, first, again);
    let (f, b) = (&body(g, first).graph, &body(g, again).graph);
    let originals: BTreeMap<NodeId, NodeId> = copies.iter().map(|(id, copy)| (*copy, *id)).collect();
    let users = b.users();
    let mut kept: Vec<(NodeId, NodeId)> = Vec::new();
    let mut cut = BTreeSet::new();
    // From the last to the first: what only leads to a value that is kept is not computed again anyway.
    for (copy, id) in originals.iter().rev().filter(|(_, id)| is_costly(f, **id)) {
        if !needed(b, &cut)[copy.index()] {
            continue;
        }
        let (id, copy) = with_users((f, *id), (b, *copy), &originals, &users);
        let steps = g.tables.entries(&[body(g, first).axis]);
        if budget.take(steps * f.entries(id)) {
            cut.insert(copy);
            kept.push((id, copy));
        }
    }
    kept
}

/// Does computing it again take longer than storing it and reading it?
fn is_costly(g: &Graph, id: NodeId) -> bool {
    match &g.node(id).op {
        Op::Contract(_) => egraph::cost_of(g, id) > g.entries(id) * WIDTH * THERE_AND_BACK,
        Op::Part(_) => matches!(g.node(g.node(id).args[0]).op, Op::Library(_)),
        _ => false,
    }
}

/// Which nodes the outputs need if these are given.
fn needed(g: &Graph, given: &BTreeSet<NodeId>) -> Vec<bool> {
    let mut needed = vec![false; g.len()];
    g.outputs.iter().for_each(|(_, id)| needed[id.index()] = true);
    for id in g.ids().rev().filter(|id| !given.contains(id)) {
        if needed[id.index()] {
            g.node(id).args.iter().for_each(|a| needed[a.index()] = true);
        }
    }
    needed
}

/// What is made of a value before it is used in several ways, if that is no larger: then that is kept instead.
fn with_users(
    (f, mut id): (&Graph, NodeId),
    (b, mut copy): (&Graph, NodeId),
    originals: &BTreeMap<NodeId, NodeId>,
    users: &[Vec<NodeId>],
) -> (NodeId, NodeId) {
    while let [user] = users[copy.index()][..]
        && !b.outputs.iter().any(|o| o.1 == copy)
        && let Some(next) = originals.get(&user)
        && b.entries(user) <= b.entries(copy)
        && f.ty(*next).elem == f.ty(id).elem
    {
        (id, copy) = (*next, user);
    }
    while is_renaming(&f.node(id).op) {
        (id, copy) = (f.node(id).args[0], b.node(copy).args[0]);
    }
    (id, copy)
}

impl Pair {
    fn applied(&self, g: &Graph) -> Graph {
        let extended = self.extended(body(g, self.first));
        let (old, new) = (body(g, self.first).steps_part(), extended.steps_part());
        let mut first = None;
        g.rebuild(|out, id, node, args| match &node.op {
            Op::Loop(_) if id == self.first => {
                let made = out.add(Op::Loop(extended.clone()), args.iter().copied());
                first = Some(made);
                made
            }
            Op::Part(k) if node.args[0] == self.first => {
                let k = *k as usize;
                out.part(args[0], if k == old { new } else { k })
            }
            Op::Loop(b) if id == self.again => {
                let first = first.expect("the first loop comes before");
                // The first new part takes the number that the count of steps had.
                let slices: Vec<NodeId> = (0..self.kept.len()).map(|j| out.part(first, old + j)).collect();
                let place = b.states + b.slices;
                let all = args[..place].iter().chain(&slices).chain(&args[place..]).copied();
                let reading = self.reading(b);
                out.add(Op::Loop(reading), all.collect::<Vec<_>>())
            }
            op => out.add(op.clone(), args.iter().copied()),
        })
    }

    /// The first loop, which keeps more.
    fn extended(&self, first: &Body) -> Arc<Body> {
        Body::new(first, first.keeping(first.each().chain(self.kept.iter().map(|k| k.0))))
    }

    /// The second loop, with slices of what is kept in place of the copies.
    fn reading(&self, again: &Body) -> Arc<Body> {
        let (place, more) = (again.states + again.slices, self.kept.len());
        let graph = again.graph.rebuild(|out, id, node, args| {
            if let Some(j) = self.kept.iter().position(|(_, copy)| *copy == id) {
                return out.add(as_operand(place + j, node), []);
            }
            match operand(node) {
                Some(k) => out.add(as_operand(if k < place { k } else { k + more }, node), []),
                None => out.add(node.op.clone(), args.iter().copied()),
            }
        });
        again.with(again.states, again.slices + more, graph)
    }
}
