//! Takes sums over all steps out of loops.
//!
//! The gradient of what every step shares is a state that each step adds a product to: `s' = s + x[t] y[t]`. Where the
//! state is larger than the factors, the loop keeps these, and one contraction over the steps too gives the sum.

use super::{Budget, is_renaming, operand, stored};
use crate::graph::{Body, Graph, NodeId, Op, Red, sorted};
use gannet_lang::program::Fun;
use std::collections::{BTreeMap, BTreeSet};

/// A state that is a sum, with the terms that each step adds.
struct Sum {
    state: usize,
    terms: Vec<NodeId>,
}

/// Every loop of the graph without the states that can be summed after it.
pub(super) fn take_out(graph: &Graph, budget: &Budget) -> Graph {
    let mut taken: BTreeMap<NodeId, Taken> = BTreeMap::new();
    graph.rebuild(|out, id, node, args| match &node.op {
        Op::Loop(body) => match Taken::from(out, body, args, budget) {
            Some(found) => {
                let made = found.made;
                taken.insert(id, found);
                made
            }
            None => out.add(node.op.clone(), args.iter().copied()),
        },
        Op::Part(k) => match taken.get(&node.args[0]) {
            Some(found) => found.part(out, *k as usize),
            None => out.add(node.op.clone(), args.iter().copied()),
        },
        op => out.add(op.clone(), args.iter().copied()),
    })
}

/// A loop without some of its states.
struct Taken {
    made: NodeId,
    /// What the old loop's parts are: a part of the new one, or a sum.
    parts: Vec<Result<usize, NodeId>>,
}

impl Taken {
    fn part(&self, out: &mut Graph, k: usize) -> NodeId {
        match self.parts[k] {
            Ok(part) => out.part(self.made, part),
            Err(sum) => sum,
        }
    }

    /// The loop rebuilt, if any state of it can go.
    fn from(out: &mut Graph, body: &Body, args: &[NodeId], budget: &Budget) -> Option<Taken> {
        let mut kept: Vec<NodeId> = body.each().collect();
        let before = kept.len();
        let sums = sums(body, &mut kept, budget);
        if sums.is_empty() {
            return None;
        }
        let gone: BTreeSet<usize> = sums.iter().map(|s| s.state).collect();
        let states = body.states - sums.len();
        let made = {
            let graph = without(body, &gone, &kept[before..]);
            let args = args.iter().enumerate().filter(|(k, _)| !gone.contains(k)).map(|(_, a)| *a);
            let body = body.with(states, body.slices, graph);
            out.add(Op::Loop(body), args)
        };
        let outside = Outside { body, args, kept: &kept, made, states };
        let mut parts: Vec<Result<usize, NodeId>> = Vec::new();
        let mut left = 0..states;
        for k in 0..body.states {
            parts.push(match sums.iter().find(|s| s.state == k) {
                Some(sum) => Err(outside.sum(out, sum)),
                None => Ok(left.next().expect("the others stay")),
            });
        }
        parts.extend((0..before).map(|j| Ok(states + j)));
        parts.push(Ok(states + kept.len()));
        Some(Taken { made, parts })
    }
}

/// The states that are sums of terms that can be added up later; what must be kept for that is added to `kept`.
fn sums(body: &Body, kept: &mut Vec<NodeId>, budget: &Budget) -> Vec<Sum> {
    let g = &body.graph;
    if body.test.is_some() || body.fixed.is_some() {
        return Vec::new();
    }
    let users = g.users();
    let mut found: Vec<Sum> = Vec::new();
    for state in 0..body.states {
        let Some(terms) = terms(body, state, &users) else { continue };
        let Some(more) = to_keep(body, &terms, kept) else { continue };
        let size: f64 = more.iter().map(|f| g.entries(*f)).sum();
        let larger = g.entries(g.outputs[state].1) >= size;
        // A loop carries something.
        let others = found.len() + 1 < body.states;
        if larger && others && budget.take(g.tables.entries(&[body.axis]) * size) {
            kept.extend(more);
            found.push(Sum { state, terms });
        }
    }
    found
}

/// What must be kept besides to add up these terms later; nothing if one is no sum of products that change.
fn to_keep(body: &Body, terms: &[NodeId], kept: &[NodeId]) -> Option<BTreeSet<NodeId>> {
    let mut more = BTreeSet::new();
    for term in terms {
        let (_, factors) = factors(&body.graph, *term)?;
        if !factors.iter().any(|f| varies(body, *f)) {
            return None;
        }
        more.extend(factors.into_iter().filter(|f| !kept.contains(f) && must_be_kept(body, *f)));
    }
    Some(more)
}

/// What a step adds to a state that nothing else reads.
fn terms(body: &Body, state: usize, users: &[Vec<NodeId>]) -> Option<Vec<NodeId>> {
    let g = &body.graph;
    let next = g.outputs[state].1;
    let now = g.node(next).args.iter().copied().find(|a| operand(g.node(*a)) == Some(state))?;
    let adds = matches!(g.node(next).op, Op::Map(Fun::Add));
    let once = g.node(next).args.iter().filter(|a| **a == now).count() == 1;
    let alone = users[now.index()] == [next] && users[next.index()].is_empty();
    let named = |id: NodeId| g.outputs.iter().filter(|o| o.1 == id).count();
    if !(adds && once && alone && named(now) == 0 && named(next) == 1) {
        return None;
    }
    let terms: Vec<NodeId> = g.node(next).args.iter().copied().filter(|a| *a != now && !is_nought(g, *a)).collect();
    (!terms.is_empty()).then_some(terms)
}

/// Noughts that only give a value its axes.
fn is_nought(g: &Graph, id: NodeId) -> bool {
    let node = g.node(id);
    matches!(node.op, Op::Map(Fun::Mul)) && node.args.iter().any(|a| g.as_num(*a) == Some(0.0)) && is_constant(g, id)
}

/// Does it depend on nothing that changes from step to step but places?
fn is_constant(g: &Graph, id: NodeId) -> bool {
    let node = g.node(id);
    match node.op {
        Op::Const(..) | Op::Iota(_) | Op::Size(_) | Op::Hyper(_) | Op::Step => true,
        Op::Map(_) => node.args.iter().all(|a| is_constant(g, *a)),
        _ => false,
    }
}

/// A term as a sum over axes of a product, renamed and multiplied by numbers: what is made of the sum, from the outside
/// in, then the sum; and the factors.
fn factors(g: &Graph, term: NodeId) -> Option<(Vec<NodeId>, Vec<NodeId>)> {
    let (mut id, mut names) = (term, Vec::new());
    while let Some(inner) = scaled_or_renamed(g, id) {
        names.push(id);
        id = inner;
    }
    let sums = matches!(g.node(id).op, Op::Contract(_) | Op::Reduce(Red::Sum, _));
    sums.then(|| {
        let found = g.node(id).args.iter().map(|a| stored(g, *a).0).collect();
        names.push(id);
        (names, found)
    })
}

/// What a node renames, or multiplies by numbers.
fn scaled_or_renamed(g: &Graph, id: NodeId) -> Option<NodeId> {
    let node = g.node(id);
    if is_renaming(&node.op) {
        return Some(node.args[0]);
    }
    let mut varying = node.args.iter().filter(|a| !is_constant(g, **a));
    match (&node.op, varying.next(), varying.next()) {
        (Op::Map(Fun::Mul), Some(one), None) => Some(*one),
        _ => None,
    }
}

/// Neither an operand that the graph around knows nor a number.
fn must_be_kept(body: &Body, id: NodeId) -> bool {
    let node = body.graph.node(id);
    !is_constant(&body.graph, id) && operand(node).is_none_or(|k| k < body.states)
}

/// Does it change from step to step?
fn varies(body: &Body, id: NodeId) -> bool {
    let same = |k: usize| k >= body.states + body.slices;
    !is_constant(&body.graph, id) && !operand(body.graph.node(id)).is_some_and(same)
}

/// The body without some states, which keeps more.
fn without(body: &Body, gone: &BTreeSet<usize>, more: &[NodeId]) -> Graph {
    let mut graph = body.graph.clone();
    let next = body.next().enumerate().filter(|(k, _)| !gone.contains(k)).map(|(_, id)| id);
    graph.outputs = Body::outputs(next, None, body.each().chain(more.iter().copied()));
    graph.renumbered(|k| k - gone.range(..k).count())
}

/// The graph around the new loop.
struct Outside<'a> {
    body: &'a Body,
    args: &'a [NodeId],
    kept: &'a [NodeId],
    made: NodeId,
    states: usize,
}

impl Outside<'_> {
    /// The state's first value and all that the steps add.
    fn sum(&self, out: &mut Graph, sum: &Sum) -> NodeId {
        let mut all = vec![self.args[sum.state]];
        for term in &sum.terms {
            let (chain, _) = factors(&self.body.graph, *term).expect("it was found to be a sum");
            all.push(self.term(out, &chain));
        }
        out.add_all(&all)
    }

    fn term(&self, out: &mut Graph, chain: &[NodeId]) -> NodeId {
        let g = &self.body.graph;
        let (bottom, names) = chain.split_last().expect("a chain ends in a sum");
        let (Op::Contract(axes) | Op::Reduce(_, axes)) = &g.node(*bottom).op else { unreachable!("it is a sum") };
        let axes = sorted(axes.iter().copied().chain([self.body.axis]));
        let found: Vec<NodeId> = g.node(*bottom).args.iter().map(|f| self.value(out, *f)).collect();
        let whole = out.contract_factors(&axes, &found);
        names.iter().rev().fold(whole, |x, id| {
            let inner = scaled_or_renamed(g, *id);
            let with = |a: &NodeId, out: &mut Graph| if Some(*a) == inner { x } else { self.value(out, *a) };
            let args: Vec<NodeId> = g.node(*id).args.iter().map(|a| with(a, out)).collect();
            out.remake(&g.node(*id).op, &args)
        })
    }

    /// A factor of every step.
    fn value(&self, out: &mut Graph, id: NodeId) -> NodeId {
        let node = self.body.graph.node(id);
        if is_constant(&self.body.graph, id) {
            let args: Vec<NodeId> = node.args.iter().map(|a| self.value(out, *a)).collect();
            return out.remake(&node.op, &args);
        }
        if is_renaming(&node.op) {
            let x = self.value(out, node.args[0]);
            return out.remake(&node.op, &[x]);
        }
        match operand(node).filter(|k| *k >= self.body.states) {
            Some(k) => self.args[k],
            None => {
                let j = self.kept.iter().position(|x| *x == id).expect("what is needed is kept");
                out.part(self.made, self.states + j)
            }
        }
    }
}
