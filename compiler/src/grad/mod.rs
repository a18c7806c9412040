//! Differentiation: removes every `Grad`, `Along`, `Custom`, `Point` and `Stop` of a graph.
//! Law: the new graph's outputs equal the old one's, with each gradient written as ordinary equations.
//!
//! Reverse mode. A gradient `Grad(of, wrt)` sends a cotangent from `of` back to `wrt` through the nodes in between,
//! latest first. Operands come before users, so an inner gradient is ordinary equations by the time an outer one meets
//! it: gradients nest to any order. `of` may have axes: the cotangent then carries a copy of each (see `cotangent`), and
//! the result is a Jacobian. Axes in `shared` are independent copies of the whole problem and need nothing special.
//!
//! Forward mode. An `Along` pushes tangents from its variables to `of` (see `tangent`), also after inner derivatives of
//! either kind.
//!
//! Choices: at kinks the derivative is 0 (`relu`, `abs`, equal operands of `max` and `min`); equal extremal entries of
//! a reduction share its cotangent evenly; the branch that a `Select` does not take never makes a NaN.

mod adjoint;
mod conjugate;
mod cotangent;
mod custom;
mod library;
mod partial;
mod place;
mod reads;
mod relabel;
mod repeat;
mod repeat_along;
mod tangent;

pub use partial::{Partial, partial};

use crate::graph::{Graph, Node, NodeId, Op, Phase, Place};
use cotangent::{Ctx, Scratch, Term};
use gannet_lang::program::{Axis, Elem, Output};
use std::collections::BTreeMap;
use tangent::Sweeps;

/// The name of the pass.
pub const DIFFERENTIATE: &str = "differentiate";

/// The graph without `Grad`, `Along`, `Custom`, `Point` and `Stop`; see the module.
pub fn differentiate(graph: &Graph) -> Graph {
    clear(&clear_bodies(&expand(graph)).trim_loops())
}

/// Gradients written as equations, inner ones first: a loop's step is a graph of its own.
fn expand(graph: &Graph) -> Graph {
    let inner = graph.map_bodies(&|g| Expansion::new(g).run());
    Expansion::new(&inner).run()
}

/// Without what only differentiation looks at.
fn clear(graph: &Graph) -> Graph {
    graph.rebuild(|new, _, node, args| match &node.op {
        Op::Point(_) | Op::Stop | Op::Custom { .. } => args[0],
        op => new.remake(op, args),
    })
}

fn clear_bodies(graph: &Graph) -> Graph {
    graph.map_bodies(&clear)
}

/// What is differentiated, and along which axes as independent copies.
type Goal = (NodeId, Vec<Axis>);

/// The cotangents that one sweep found.
struct Swept {
    /// Axis of `of`, and its copy.
    copies: Vec<(Axis, Axis)>,
    /// Of each `wrt` that `of` depends on.
    found: BTreeMap<NodeId, Vec<Term>>,
}

/// Replaces gradients by equations; points and the like stay, since outer gradients need them.
struct Expansion<'g> {
    old: &'g Graph,
    /// With respect to what each goal (in old ids) is differentiated: one sweep serves them all.
    goals: BTreeMap<Goal, Vec<NodeId>>,
    /// New ids of old nodes.
    map: BTreeMap<NodeId, NodeId>,
    swept: BTreeMap<Goal, Swept>,
    /// Forward sweeps by direction.
    pushed: Sweeps,
    scratch: Scratch,
}

impl<'g> Expansion<'g> {
    fn new(old: &'g Graph) -> Self {
        let mut goals: BTreeMap<Goal, Vec<NodeId>> = BTreeMap::new();
        let live = old.live();
        for node in old.ids().filter(|id| live[id.index()]).map(|id| old.node(id)) {
            if let Op::Grad { shared, .. } = &node.op {
                goals.entry((node.args[0], shared.to_vec())).or_default().push(node.args[1]);
            }
        }
        let (map, swept) = (BTreeMap::new(), BTreeMap::new());
        Expansion { old, goals, map, swept, pushed: Sweeps::new(), scratch: Scratch::beyond(old) }
    }

    fn run(mut self) -> Graph {
        let old = self.old;
        let phases = phases(old);
        old.rebuild(|new, id, node, args| {
            self.scratch.phase = phases[id.index()];
            let new_id = match &node.op {
                Op::Grad { axes, shared } => self.expand(new, node, args, axes, shared),
                Op::Along(names) => {
                    let mut ctx = Ctx { g: new, scratch: &mut self.scratch };
                    let moved = ctx.along(names, args, &mut self.pushed);
                    let moved = moved.unwrap_or_else(|| ctx.g.num(0.0));
                    ctx.g.broadcast(moved, &node.ty.axes)
                }
                op => new.remake(op, args),
            };
            self.map.insert(id, new_id);
            new.set_place(new_id, Place { phase: phases[id.index()], ..Place::default() });
            new_id
        })
    }

    fn expand(
        &mut self,
        g: &mut Graph,
        node: &Node,
        args: &[NodeId],
        names: &[(Axis, Axis)],
        shared: &[Axis],
    ) -> NodeId {
        let goal = (node.args[0], shared.to_vec());
        let mut ctx = Ctx { g, scratch: &mut self.scratch };
        if !self.swept.contains_key(&goal) {
            let wrts: Vec<NodeId> = self.goals[&goal].iter().filter_map(|w| self.map.get(w).copied()).collect();
            let swept = sweep(&mut ctx, args[0], shared, &wrts);
            self.swept.insert(goal.clone(), swept);
        }
        let swept = &self.swept[&goal];
        let terms = swept.found.get(&args[1]).cloned().unwrap_or_default();
        let gradient = ctx.gather(terms, names, &swept.copies);
        ctx.g.broadcast(gradient, &node.ty.axes)
    }
}

/// The phase of each node that has none yet. Forward is what the loss, a report or anything that is differentiated depends
/// on, a derivative inside of the loss among it; other derivatives are backward, and what is made of these is the update.
fn phases(graph: &Graph) -> Vec<Option<Phase>> {
    let live = graph.live();
    let gradients = || graph.ids().filter(|id| live[id.index()] && matches!(graph.node(*id).op, Op::Grad { .. }));
    if gradients().next().is_none() {
        return vec![None; graph.len()];
    }
    let shown = graph.outputs.iter().filter(|(o, _)| matches!(o, Output::Loss | Output::Report(_))).map(|o| o.1);
    let forward = graph.needed_for(shown.chain(gradients().map(|id| graph.node(id).args[0])));
    let mut phases = vec![None; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        phases[id.index()] = Some(match &node.op {
            _ if forward[id.index()] => Phase::Forward,
            Op::Grad { .. } => Phase::Backward,
            _ => Phase::Update,
        });
    }
    phases
}

/// One reverse sweep from `of` to all of `wrts`.
fn sweep(ctx: &mut Ctx<'_>, of: NodeId, shared: &[Axis], wrts: &[NodeId]) -> Swept {
    let own: Vec<Axis> = ctx.axes(of).iter().copied().filter(|a| !shared.contains(a)).collect();
    let copies: Vec<(Axis, Axis)> = own.iter().map(|a| (*a, ctx.fresh(a.dim))).collect();
    let seed = Term { value: ctx.g.num(1.0), deltas: copies.clone(), live: None };
    let found = flow(ctx, vec![(of, seed)], wrts);
    Swept { copies, found }
}

/// What flows to each of `wrts`, given cotangents of some nodes.
fn sweep_from(ctx: &mut Ctx<'_>, seeds: &[(NodeId, NodeId)], wrts: &[NodeId]) -> BTreeMap<NodeId, Vec<Term>> {
    let seeds = seeds.iter().map(|(y, value)| (*y, Term { value: *value, deltas: vec![], live: None })).collect();
    flow(ctx, seeds, wrts)
}

fn flow(ctx: &mut Ctx<'_>, seeds: Vec<(NodeId, Term)>, wrts: &[NodeId]) -> BTreeMap<NodeId, Vec<Term>> {
    let most = seeds.iter().map(|s| s.0.index() + 1).max().unwrap_or(0);
    let active = active_from(ctx.g, most, wrts);
    let mut found = BTreeMap::new();
    let mut open: BTreeMap<NodeId, Vec<Term>> = BTreeMap::new();
    for (y, seed) in seeds {
        if active[y.index()] {
            open.entry(y).or_default().push(seed);
        }
    }
    while let Some((y, terms)) = open.pop_last() {
        let first = ctx.g.len();
        if matches!(ctx.g.node(y).op, Op::Loop(_)) {
            for (x, term) in ctx.loop_adjoint(y, &|id| active[id.index()]) {
                if active[x.index()] {
                    open.entry(x).or_default().push(term);
                }
            }
            let place = ctx.g.place(y);
            ctx.g.place_from(first, Place { phase: ctx.scratch.phase, ..place });
            continue;
        }
        let terms = ctx.merge(terms);
        for t in &terms {
            for (x, term) in ctx.adjoint(y, t, &|id| active[id.index()]) {
                open.entry(x).or_default().push(term);
            }
        }
        let place = ctx.g.place(y);
        ctx.g.place_from(first, Place { phase: ctx.scratch.phase, ..place });
        if wrts.contains(&y) {
            found.insert(y, terms);
        }
    }
    found
}

/// Which of the first nodes depend smoothly on one of `wrts`.
fn active_from(g: &Graph, count: usize, wrts: &[NodeId]) -> Vec<bool> {
    let mut active = vec![false; count];
    for id in (0..count).map(NodeId::new) {
        let node = g.node(id);
        let reached = |(k, a): (usize, &NodeId)| adjoint::passes(&node.op, k) && active[a.index()];
        active[id.index()] =
            wrts.contains(&id) || (node.ty.elem == Elem::Real && node.args.iter().enumerate().any(reached));
    }
    active
}

impl Ctx<'_> {
    /// The sum of the terms of `wrt`'s cotangent, with `wrt`'s axes under their names in the result, and the copies
    /// under the names of what they are copies of.
    fn gather(&mut self, terms: Vec<Term>, names: &[(Axis, Axis)], copies: &[(Axis, Axis)]) -> NodeId {
        let mut values = Vec::new();
        for t in terms {
            let t = self.rename_term(&t, names);
            let mut value = self.write_deltas(t, |_| true).value;
            for (axis, copy) in copies {
                value = self.relabel(value, *copy, *axis);
            }
            values.push(value);
        }
        if values.is_empty() { self.g.num(0.0) } else { self.g.add_all(&values) }
    }
}
