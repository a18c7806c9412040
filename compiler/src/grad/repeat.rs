//! The adjoints of loops.
//! Law: the cotangent of what enters a loop is found by a loop over the same places the other way round, which computes
//! each step again from the states before it; of a fixed point it is found by another fixed point.
//!
//! With states `h' = f(h, x[t], w)`: going back, `l = (df/dh)' l + e[t]`, the cotangents of `x[t]` are kept of every
//! step, and those of `w` are summed up in a state. A fixed point `z = f(z, w)` has the cotangent
//! `u = g + (df/dz)' u` (the implicit function theorem), and `w` gets `(df/dw)' u`.

use super::cotangent::{Ctx, Scratch, Term};
use super::{active_from, sweep_from};
use crate::graph::{Args, Axes, Body, Graph, LoopBuilder, NodeId, Op, Red, sorted};
use gannet_lang::program::{Elem, Fun, Implicit, LoopTest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A fixed point of cotangents is found when a step changes them by less than this part of their size and by no less
/// than the step before did: rounding is all that is left.
const ROUGH: f64 = 1e-7;
/// It is also found when a step changes them by less than this.
const EXACT: f64 = 1e-13;

/// The loop whose adjoint is built.
struct Forward {
    id: NodeId,
    body: Arc<Body>,
    args: Args,
    /// Of each operand: does what is differentiated depend on it through the loop?
    active: Vec<bool>,
    /// Cotangents of the parts: over the axes of the part and those of copies.
    parts: BTreeMap<usize, NodeId>,
    /// Axes of cotangents that are copies of axes of what is differentiated.
    copies: Axes,
}

impl Ctx<'_> {
    /// Notes what flows to one of the results of a loop.
    pub fn part_term(&mut self, of: NodeId, part: usize, t: &Term) {
        self.scratch.parts.entry(of).or_default().push((part, t.clone()));
    }

    /// What the cotangents of a loop's results give to its operands.
    pub fn loop_adjoint(&mut self, id: NodeId, active: &dyn Fn(NodeId) -> bool) -> Vec<(NodeId, Term)> {
        let terms = self.scratch.parts.remove(&id).unwrap_or_default();
        let Op::Loop(body) = self.g.node(id).op.clone() else { unreachable!("only loops have parts") };
        let args = self.g.node(id).args.clone();
        let mut sums: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
        for (part, t) in terms {
            let value = self.write_deltas(t, |_| true).value;
            sums.entry(part).or_default().push(value);
        }
        let mut parts = BTreeMap::new();
        let mut copies: Vec<_> = Vec::new();
        for (part, values) in sums {
            let value = self.g.add_all(&values);
            let own = body.part_type(part).expect("it was read").axes;
            copies.extend(self.axes(value).iter().copied().filter(|a| !own.contains(a)));
            parts.insert(part, value);
        }
        let active = active_operands(self.g, &body, &args, &|k| active(args[k]));
        let forward = Forward { id, body, args, active, parts, copies: sorted(copies) };
        let found = if forward.body.fixed.is_some() { self.implicit(&forward) } else { self.backward(&forward) };
        found.into_iter().map(|(x, value)| (x, Term { value, deltas: vec![], live: None })).collect()
    }

    /// The loop back.
    fn backward(&mut self, f: &Forward) -> Vec<(NodeId, NodeId)> {
        let mut builder = LoopBuilder::new(f.body.axis);
        builder.reverse = !f.body.reverse;
        let mut step = Graph::like(self.g);
        let states: Vec<usize> = (0..f.body.states).filter(|k| f.active[*k]).collect();
        let cotangents: Vec<NodeId> = states
            .iter()
            .map(|k| {
                let first = f.parts.get(k).copied().unwrap_or_else(|| self.g.num(0.0));
                let first = self.over(first, f, *k);
                builder.state(self.g, &mut step, first)
            })
            .collect();
        let sums: Vec<(usize, NodeId)> = (f.body.states + f.body.slices..f.args.len())
            .filter(|k| f.active[*k])
            .map(|k| {
                let zero = self.g.num(0.0);
                let zero = self.over(zero, f, k);
                (k, builder.state(self.g, &mut step, zero))
            })
            .collect();
        let inner = self.replay(f, &mut builder, &mut step);
        let mut seeds: Vec<(NodeId, NodeId)> = Vec::new();
        let next: Vec<NodeId> = f.body.next().collect();
        seeds.extend(states.iter().zip(&cotangents).map(|(k, l)| (inner.map[&next[*k]], *l)));
        for (j, each) in f.body.each().enumerate() {
            if let Some(value) = f.parts.get(&(f.body.states + j)) {
                let value = self.g.broadcast(*value, &[f.body.axis]);
                let value = builder.outer(self.g, &mut step, value);
                seeds.push((inner.map[&each], value));
            }
        }
        let taken = self.taken(f, &mut builder, &mut step);
        let found = cotangents_in(&mut step, &seeds, &inner.leaves);
        let mut next = Vec::new();
        for (k, now) in states.iter().zip(&cotangents) {
            let value = found[k];
            next.push(taken.map_or(value, |t| step.select(t, value, *now)));
        }
        let zero = step.num(0.0);
        for (k, now) in &sums {
            let value = taken.map_or(found[k], |t| step.select(t, found[k], zero));
            next.push(step.add_all(&[*now, value]));
        }
        let slices: Vec<usize> = (f.body.states..f.body.states + f.body.slices).filter(|k| f.active[*k]).collect();
        let each: Vec<NodeId> =
            slices.iter().map(|k| taken.map_or(found[k], |t| step.select(t, found[k], zero))).collect();
        let back = builder.finish(self.g, step, &next, None, &each);
        let ends = states.iter().copied().chain(sums.iter().map(|s| s.0)).chain(slices).enumerate();
        ends.map(|(part, k)| (f.args[k], self.g.part(back, part))).collect()
    }

    /// A value over the axes of an operand and those of copies.
    fn over(&mut self, value: NodeId, f: &Forward, operand: usize) -> NodeId {
        let own = self.axes(f.args[operand]);
        let all = sorted(own.iter().chain(&f.copies).copied());
        self.g.broadcast(value, &all)
    }

    /// Was the step taken? (A loop that stops early leaves places at which none was.)
    fn taken(&mut self, f: &Forward, builder: &mut LoopBuilder, step: &mut Graph) -> Option<NodeId> {
        f.body.test?;
        let steps = self.g.part(f.id, f.body.steps_part());
        let place = self.g.add(Op::Iota(f.body.axis), []);
        let place = builder.outer(self.g, step, place);
        let steps = builder.outer(self.g, step, steps);
        Some(step.map2(Fun::Lt, place, steps))
    }

    /// The forward step again, on the states as they were before it.
    fn replay(&mut self, f: &Forward, builder: &mut LoopBuilder, step: &mut Graph) -> Replay {
        let outer: Vec<NodeId> = (0..f.args.len())
            .map(|k| match k < f.body.states {
                true => {
                    let part = f.body.before(k).expect("the states before each step are kept until loops are trimmed");
                    self.g.part(f.id, part)
                }
                false => f.args[k],
            })
            .collect();
        let leaves = leaves_in(self.g, builder, step, &outer);
        let map = inline(&f.body.graph, step, &leaves);
        let leaves = leaves.into_iter().filter(|(k, _)| f.active[*k]).collect();
        Replay { map, leaves }
    }

    /// The cotangents of what a fixed point depends on.
    fn implicit(&mut self, f: &Forward) -> Vec<(NodeId, NodeId)> {
        let states: Vec<usize> = (0..f.body.states).collect();
        let given: Vec<NodeId> = states
            .iter()
            .map(|k| {
                let value = f.parts.get(k).copied().unwrap_or_else(|| self.g.num(0.0));
                self.over(value, f, *k)
            })
            .collect();
        let ends: Vec<NodeId> = states.iter().map(|k| self.g.part(f.id, *k)).collect();
        let next: Vec<NodeId> = f.body.next().collect();
        let mut builder = LoopBuilder::new(f.body.axis);
        builder.fixed = f.body.fixed;
        let mut step = Graph::like(self.g);
        let outer: Vec<NodeId> = (0..f.args.len()).map(|k| self.at_end(f, &ends, k)).collect();
        let first = self.first_of_implicit(&f.body, &outer, &given);
        let now: Vec<NodeId> = first.iter().map(|g| builder.state(self.g, &mut step, *g)).collect();
        let leaves = leaves_in(self.g, &mut builder, &mut step, &outer);
        let map = inline(&f.body.graph, &mut step, &leaves);
        let seeds: Vec<(NodeId, NodeId)> = states.iter().map(|k| (map[&next[*k]], now[*k])).collect();
        let wanted: BTreeMap<usize, NodeId> = leaves.into_iter().filter(|(k, _)| *k < f.body.states).collect();
        let found = cotangents_in(&mut step, &seeds, &wanted);
        let mut after = Vec::new();
        for k in &states {
            let g = builder.outer(self.g, &mut step, given[*k]);
            after.push(step.add_all(&[g, found[k]]));
        }
        let solved = finish_implicit(self.g, builder, step, &f.body, (&now, &after));
        // One step at the fixed point, outside of any loop, gives the cotangents of everything else.
        let leaves = points_on(self.g, &outer);
        let map = inline(&f.body.graph, self.g, &leaves);
        let seeds: Vec<(NodeId, NodeId)> = states.iter().map(|k| (map[&next[*k]], self.g.part(solved, *k))).collect();
        let wanted = leaves.into_iter().filter(|(k, _)| *k >= f.body.states && f.active[*k]).collect();
        let found = cotangents_of(self, &seeds, &wanted);
        found.into_iter().map(|(k, value)| (f.args[k], value)).collect()
    }

    /// An operand of a fixed point's loop as its last step sees it.
    fn at_end(&mut self, f: &Forward, ends: &[NodeId], k: usize) -> NodeId {
        match ends.get(k) {
            Some(end) => *end,
            None => f.args[k],
        }
    }
}

/// The forward step inside the step back.
struct Replay {
    /// Nodes of the forward step and their copies.
    map: BTreeMap<NodeId, NodeId>,
    /// The points that stand for active operands.
    leaves: BTreeMap<usize, NodeId>,
}

/// Operands through which something flows. A state may be reached by way of other states.
pub(super) fn active_operands(g: &Graph, body: &Body, args: &[NodeId], active: &dyn Fn(usize) -> bool) -> Vec<bool> {
    let real = |x: NodeId| g.ty(x).elem == Elem::Real;
    let mut on: Vec<bool> = (0..args.len()).map(|k| active(k) && real(args[k])).collect();
    loop {
        let leaf = |id: &NodeId| matches!(body.graph.node(*id).op, Op::Arg(k, ..) if on[k as usize]);
        let leaves: Vec<NodeId> = body.graph.ids().filter(leaf).collect();
        let reached = active_from(&body.graph, body.graph.len(), &leaves);
        let mut grown = false;
        for (k, next) in body.next().enumerate() {
            if reached[next.index()] && !on[k] && real(args[k]) {
                on[k] = true;
                grown = true;
            }
        }
        if !grown {
            return on;
        }
    }
}

/// Points on what the step sees of some nodes: a point keeps a leaf apart from equal ones, which other derivatives may
/// flow to.
pub(super) fn leaves_in(
    g: &Graph,
    builder: &mut LoopBuilder,
    step: &mut Graph,
    outer: &[NodeId],
) -> BTreeMap<usize, NodeId> {
    let seen: Vec<NodeId> = outer.iter().map(|x| builder.outer(g, step, *x)).collect();
    points_on(step, &seen)
}

/// A point on each of some nodes, by number.
pub(super) fn points_on(g: &mut Graph, nodes: &[NodeId]) -> BTreeMap<usize, NodeId> {
    nodes.iter().enumerate().map(|(k, x)| (k, g.fresh_point(*x))).collect()
}

/// Copies a body into a graph, with these nodes for its operands.
pub(super) fn inline(body: &Graph, into: &mut Graph, leaves: &BTreeMap<usize, NodeId>) -> BTreeMap<NodeId, NodeId> {
    let live = body.live();
    let mut map = BTreeMap::new();
    for id in body.ids().filter(|id| live[id.index()]) {
        let node = body.node(id);
        let args: Vec<NodeId> = node.args.iter().map(|a| map[a]).collect();
        let new = match &node.op {
            Op::Arg(k, ..) => leaves[&(*k as usize)],
            op => into.remake(op, &args),
        };
        into.set_place(new, body.place(id));
        map.insert(id, new);
    }
    map
}

/// The cotangents of leaves over all their axes, given those of some nodes; 0 where nothing flows.
fn cotangents_of(
    ctx: &mut Ctx<'_>,
    seeds: &[(NodeId, NodeId)],
    leaves: &BTreeMap<usize, NodeId>,
) -> BTreeMap<usize, NodeId> {
    let wrts: Vec<NodeId> = leaves.values().copied().collect();
    let mut found = sweep_from(ctx, seeds, &wrts);
    let mut out = BTreeMap::new();
    for (k, leaf) in leaves {
        let terms = found.remove(leaf).unwrap_or_default();
        let values: Vec<NodeId> = terms.into_iter().map(|t| ctx.write_deltas(t, |_| true).value).collect();
        let value = if values.is_empty() { ctx.g.num(0.0) } else { ctx.g.add_all(&values) };
        let axes = ctx.axes(*leaf);
        out.insert(*k, ctx.g.broadcast(value, &axes));
    }
    out
}

/// As [`cotangents_of`], in a graph of its own.
pub(super) fn cotangents_in(
    g: &mut Graph,
    seeds: &[(NodeId, NodeId)],
    leaves: &BTreeMap<usize, NodeId>,
) -> BTreeMap<usize, NodeId> {
    let mut scratch = Scratch::beyond(g);
    cotangents_of(&mut Ctx { g, scratch: &mut scratch }, seeds, leaves)
}

/// The loop of an implicit gradient: it ends at once if the gradient was solved before, else when it no longer changes.
pub(super) fn finish_implicit(
    around: &mut Graph,
    mut builder: LoopBuilder,
    mut step: Graph,
    body: &Body,
    (now, after): (&[NodeId], &[NodeId]),
) -> NodeId {
    if body.fixed == Some(Implicit::Conjugate) {
        let zero = step.num(0.0);
        let go_on = step.map2(Fun::Lt, zero, zero);
        return builder.finish(around, step, after, Some((LoopTest::Before, go_on)), &[]);
    }
    let (moved, size) = change(&mut step, now, after);
    let far = around.num(f64::from(f32::MAX));
    let before = builder.state(around, &mut step, far);
    let [rough, exact] = [ROUGH, EXACT].map(|tolerance| {
        let square = step.num(tolerance * tolerance);
        let least = step.mul_all(&[square, size]);
        step.map2(Fun::Gt, moved, least)
    });
    let falls = step.map2(Fun::Lt, moved, before);
    let more = step.map2(Fun::Or, rough, falls);
    let go_on = step.map2(Fun::And, exact, more);
    let after: Vec<NodeId> = after.iter().copied().chain([moved]).collect();
    builder.finish(around, step, &after, Some((LoopTest::After, go_on)), &[])
}

/// The squared change of values from one step to the next and their squared size, without gradients.
fn change(g: &mut Graph, now: &[NodeId], next: &[NodeId]) -> (NodeId, NodeId) {
    let (mut moved, mut size) = (vec![g.num(0.0)], vec![g.num(0.0)]);
    for (a, b) in now.iter().zip(next) {
        let away = g.map2(Fun::Sub, *b, *a);
        for (x, sums) in [(away, &mut moved), (*b, &mut size)] {
            let square = g.mul_all(&[x, x]);
            let axes = g.ty(square).axes.clone();
            sums.push(g.reduce(Red::Sum, &axes, square));
        }
    }
    let (moved, size) = (g.add_all(&moved), g.add_all(&size));
    (g.add(Op::Stop, [moved]), g.add(Op::Stop, [size]))
}
