//! The tangents of loops.
//! Law: a loop's tangent is a loop whose states are those of the loop and their tangents; that of a fixed point is a fixed
//! point by itself, `dz = (df/dz) dz + (df/dw) dw`.

use super::cotangent::{Ctx, Scratch};
use super::repeat::{active_operands, finish_implicit, inline, leaves_in, points_on};
use super::tangent::Tangents;
use crate::graph::{Args, Axes, Body, Graph, LoopBuilder, NodeId, Op, sorted};
use gannet_lang::program::{Axis, Implicit};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A loop whose tangent is built.
#[derive(Clone)]
pub(super) struct Moved {
    id: NodeId,
    pub(super) body: Arc<Body>,
    pub(super) args: Args,
    /// Tangents of the operands, over the axes of these and further directions.
    pub(super) by: Vec<Option<NodeId>>,
    /// Operands that move, states by way of others included.
    pub(super) active: Vec<bool>,
    /// Axes of directions.
    pub(super) directions: Axes,
}

impl Ctx<'_> {
    /// The loop that computes the tangents of a loop's results; which of its parts is which is noted.
    pub fn loop_tangent(&mut self, id: NodeId, by: &[Option<NodeId>]) -> NodeId {
        let Op::Loop(body) = self.g.node(id).op.clone() else { unreachable!("only loops are given") };
        let args = self.g.node(id).args.clone();
        let active = active_operands(self.g, &body, &args, &|k| by[k].is_some());
        let mut directions: Vec<Axis> = Vec::new();
        for (x, dx) in args.iter().zip(by) {
            let own = self.axes(*x);
            dx.iter().for_each(|dx| directions.extend(self.axes(*dx).iter().copied().filter(|a| !own.contains(a))));
        }
        let m = Moved { id, body, args, by: by.to_vec(), active, directions: sorted(directions) };
        if m.body.fixed.is_some() { self.fixed_tangent(&m) } else { self.doubled(&m) }
    }

    /// The tangent of a part, given the loop of tangents.
    pub fn part_tangent(&mut self, of: NodeId, part: usize) -> Option<NodeId> {
        let k = self.scratch.tangent_parts[&of].get(&part).copied()?;
        Some(self.g.part(of, k))
    }

    /// The loop with the tangents of its states as further states.
    fn doubled(&mut self, m: &Moved) -> NodeId {
        let mut builder = LoopBuilder::new(m.body.axis);
        builder.reverse = m.body.reverse;
        let mut step = Graph::like(self.g);
        let mut seen = Vec::new();
        for k in 0..m.args.len() {
            seen.push(match k < m.body.states {
                true => builder.state(self.g, &mut step, m.args[k]),
                false => builder.outer(self.g, &mut step, m.args[k]),
            });
        }
        let leaves = points_on(&mut step, &seen);
        let states: Vec<usize> = (0..m.body.states).filter(|k| m.active[*k]).collect();
        let seeds = self.tangent_leaves(m, &mut builder, &mut step, &leaves, &states);
        let map = inline(&m.body.graph, &mut step, &leaves);
        let next: Vec<NodeId> = m.body.next().map(|id| map[&id]).collect();
        let each: Vec<NodeId> = m.body.each().map(|id| map[&id]).collect();
        let wanted: Vec<NodeId> = states.iter().map(|k| next[*k]).chain(each.iter().copied()).collect();
        let moved = pushed_in(&mut step, &wanted, &seeds);
        let go_on = m.body.go_on().map(|id| (m.body.test.expect("it has a condition"), map[&id]));
        let zero = step.num(0.0);
        let mut after = next;
        after.extend(moved[..states.len()].iter().map(|d| d.unwrap_or(zero)));
        let kept: Vec<(usize, NodeId)> =
            moved[states.len()..].iter().enumerate().filter_map(|(j, d)| d.map(|d| (j, d))).collect();
        let values: Vec<NodeId> = kept.iter().map(|k| k.1).collect();
        let whole = builder.finish(self.g, step, &after, go_on, &values);
        let count = m.body.states;
        let mut parts: BTreeMap<usize, usize> = states.iter().enumerate().map(|(at, k)| (*k, count + at)).collect();
        parts.extend(kept.iter().enumerate().map(|(at, (j, _))| (count + j, count + states.len() + at)));
        self.scratch.tangent_parts.insert(whole, parts);
        whole
    }

    /// Leaves of the step for tangents: states first, then what is given; each with the leaf that it moves.
    fn tangent_leaves(
        &mut self,
        m: &Moved,
        builder: &mut LoopBuilder,
        step: &mut Graph,
        leaves: &BTreeMap<usize, NodeId>,
        states: &[usize],
    ) -> Vec<(NodeId, NodeId)> {
        let mut seeds = Vec::new();
        for k in states {
            let first = m.by[*k].unwrap_or_else(|| self.g.num(0.0));
            let axes = sorted(self.axes(m.args[*k]).iter().chain(&m.directions).copied());
            let first = self.g.broadcast(first, &axes);
            seeds.push((leaves[k], builder.state(self.g, step, first)));
        }
        for k in m.body.states..m.args.len() {
            if let Some(dx) = m.by[k] {
                seeds.push((leaves[&k], builder.outer(self.g, step, dx)));
            }
        }
        seeds
    }

    /// The tangents of a fixed point.
    fn fixed_tangent(&mut self, m: &Moved) -> NodeId {
        let mut builder = LoopBuilder::new(m.body.axis);
        builder.fixed = m.body.fixed;
        let mut step = Graph::like(self.g);
        let states: Vec<usize> = (0..m.body.states).filter(|k| m.active[*k]).collect();
        let outer: Vec<NodeId> =
            (0..m.args.len()).map(|k| if k < m.body.states { self.g.part(m.id, k) } else { m.args[k] }).collect();
        let leaves = leaves_in(self.g, &mut builder, &mut step, &outer);
        // The first value of a fixed point does not count.
        let mut still = Moved { by: m.by.clone(), ..m.clone() };
        still.by[..m.body.states].fill(None);
        if m.body.fixed == Some(Implicit::Conjugate) {
            self.solve_tangents(m, &outer, &mut still.by);
        }
        let seeds = self.tangent_leaves(&still, &mut builder, &mut step, &leaves, &states);
        let map = inline(&m.body.graph, &mut step, &leaves);
        let wanted: Vec<NodeId> = m.body.next().enumerate().filter(|n| m.active[n.0]).map(|n| map[&n.1]).collect();
        let moved = pushed_in(&mut step, &wanted, &seeds);
        let nothing = step.num(0.0);
        let now: Vec<NodeId> = seeds[..states.len()].iter().map(|s| s.1).collect();
        let after: Vec<NodeId> = moved.iter().map(|d| d.unwrap_or(nothing)).collect();
        let whole = finish_implicit(self.g, builder, step, &m.body, (&now, &after));
        let parts = states.iter().enumerate().map(|(at, k)| (*k, at)).collect();
        self.scratch.tangent_parts.insert(whole, parts);
        whole
    }
}

/// The tangents of nodes of a step's graph, given those of its leaves.
fn pushed_in(step: &mut Graph, wanted: &[NodeId], seeds: &[(NodeId, NodeId)]) -> Vec<Option<NodeId>> {
    let mut scratch = Scratch::beyond(step);
    let mut ctx = Ctx { g: step, scratch: &mut scratch };
    let mut done = Tangents::new();
    wanted.iter().map(|id| ctx.pushed(*id, seeds, &mut done)).collect()
}
