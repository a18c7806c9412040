//! Implicit gradients by conjugate gradients (Hestenes and Stiefel 1952), for fixed points whose step has a symmetric
//! derivative `J`: minima (`u' = u - grad[u](E)`) and linear equations (`x' = x + b - A x`).
//! Law: the solution is found without a gradient of its own and then given to a fixed point, so that it has derivatives
//! of every order whatever was done to find it.

use super::cotangent::Ctx;
use super::repeat::{cotangents_in, inline, leaves_in, points_on};
use super::repeat_along::Moved;
use super::tangent::Tangents;
use crate::graph::{Body, Graph, LoopBuilder, NodeId, Op, Red, sorted};
use gannet_lang::program::{Axis, Fun, Implicit, LoopTest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Equations are solved when the residual is this part of the right side. Derivatives of derivatives build on the
/// solution, so it is as exact as f64 allows; in f32 the search ends at the last step.
const TOLERANCE: f64 = 1e-13;

impl Ctx<'_> {
    /// Where the search for an implicit gradient starts: at its right side, or at the solution.
    pub fn first_of_implicit(&mut self, body: &Arc<Body>, outer: &[NodeId], given: &[NodeId]) -> Vec<NodeId> {
        match body.fixed {
            Some(Implicit::Conjugate) => self.conjugate(body, outer, given),
            _ => given.to_vec(),
        }
    }

    /// First tangents of the states of a fixed point: the solution of `(1 - J) dz = (df/dw) dw`.
    pub fn solve_tangents(&mut self, m: &Moved, outer: &[NodeId], by: &mut [Option<NodeId>]) {
        let leaves = points_on(self.g, outer);
        let seeds: Vec<(NodeId, NodeId)> =
            by.iter().enumerate().filter_map(|(k, dx)| dx.map(|dx| (leaves[&k], dx))).collect();
        let map = inline(&m.body.graph, self.g, &leaves);
        let next: Vec<NodeId> = m.body.next().map(|id| map[&id]).collect();
        let mut done = Tangents::new();
        let right: Vec<NodeId> = next
            .iter()
            .enumerate()
            .map(|(k, id)| {
                let moved = self.pushed(*id, &seeds, &mut done).unwrap_or_else(|| self.g.num(0.0));
                let all = sorted(self.axes(m.args[k]).iter().chain(&m.directions).copied());
                self.g.broadcast(moved, &all)
            })
            .collect();
        let solved = self.conjugate(&m.body, outer, &right);
        for (k, x) in solved.into_iter().enumerate() {
            by[k] = m.active[k].then_some(x);
        }
    }

    /// `(1 - J) x = right` at these operands of the step. Axes of `right` that a state has not are independent equations.
    fn conjugate(&mut self, body: &Arc<Body>, outer: &[NodeId], right: &[NodeId]) -> Vec<NodeId> {
        let own: Vec<Vec<Axis>> = (0..body.states).map(|k| self.axes(outer[k]).to_vec()).collect();
        let mut builder = LoopBuilder::new(body.axis);
        let mut step = Graph::like(self.g);
        let zero = self.g.num(0.0);
        let mut x = Vec::new();
        for b in right {
            let axes = self.axes(*b);
            let first = self.g.broadcast(zero, &axes);
            x.push(builder.state(self.g, &mut step, first));
        }
        let [r, p] =
            [0; 2].map(|_| -> Vec<NodeId> { right.iter().map(|b| builder.state(self.g, &mut step, *b)).collect() });
        let leaves = leaves_in(self.g, &mut builder, &mut step, outer);
        let map = inline(&body.graph, &mut step, &leaves);
        let seeds: Vec<(NodeId, NodeId)> = body.next().zip(&p).map(|(next, p)| (map[&next], *p)).collect();
        let wanted: BTreeMap<usize, NodeId> = leaves.into_iter().filter(|(k, _)| *k < body.states).collect();
        let found = cotangents_in(&mut step, &seeds, &wanted);
        let q: Vec<NodeId> = p.iter().enumerate().map(|(k, p)| step.map2(Fun::Sub, *p, found[&k])).collect();
        let (rr, pq) = (dot(&mut step, &own, &r, &r), dot(&mut step, &own, &p, &q));
        let a = ratio(&mut step, rr, pq);
        let x_next = plus(&mut step, &x, a, &p);
        let back = step.map1(Fun::Neg, a);
        let r_next = plus(&mut step, &r, back, &q);
        let rr_next = dot(&mut step, &own, &r_next, &r_next);
        let b = ratio(&mut step, rr_next, rr);
        let p_next = plus(&mut step, &r_next, b, &p);
        let size = dot(self.g, &own, right, right);
        let size = builder.outer(self.g, &mut step, size);
        let least = step.num(TOLERANCE * TOLERANCE);
        let least = step.mul_all(&[least, size]);
        let open = step.map2(Fun::Gt, rr, least);
        let axes = step.ty(open).axes.clone();
        let go_on = step.reduce(Red::Any, &axes, open);
        let next: Vec<NodeId> = [x_next, r_next, p_next].concat();
        let solved = builder.finish(self.g, step, &next, Some((LoopTest::Before, go_on)), &[]);
        (0..right.len())
            .map(|k| {
                let part = self.g.part(solved, k);
                self.g.add(Op::Stop, [part])
            })
            .collect()
    }
}

/// The dot product over the states' own axes.
fn dot(g: &mut Graph, own: &[Vec<Axis>], a: &[NodeId], b: &[NodeId]) -> NodeId {
    let mut sums = Vec::new();
    for ((x, y), axes) in a.iter().zip(b).zip(own) {
        let product = g.mul_all(&[*x, *y]);
        sums.push(g.reduce(Red::Sum, axes, product));
    }
    g.add_all(&sums)
}

/// `a / b` where `b` is positive, else 0: an equation that is solved does not move.
fn ratio(g: &mut Graph, a: NodeId, b: NodeId) -> NodeId {
    let (zero, one) = (g.num(0.0), g.num(1.0));
    let positive = g.map2(Fun::Gt, b, zero);
    let safe = g.select(positive, b, one);
    let value = g.map2(Fun::Div, a, safe);
    g.select(positive, value, zero)
}

/// `a + c b`.
fn plus(g: &mut Graph, a: &[NodeId], c: NodeId, b: &[NodeId]) -> Vec<NodeId> {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(a, b)| {
            let moved = g.mul_all(&[c, *b]);
            g.add_all(&[*a, moved])
        })
        .collect()
}
