//! Vectors put together from parts: sums of terms that each stand somewhere in the result and are nought elsewhere.
//! Law: a term is written only where it stands. If the terms fill the result without meeting, nothing else is written.

use super::context::Context;
use super::tiles::digits;
use crate::graph::{At, NodeId, Op, Red};
use gannet_lang::program::{Axis, Elem, Fun};
use std::collections::BTreeSet;

/// A placed term that has at most one entry for so many of the result is written where it stands; else it is looked up
/// from everywhere.
const SPARSE: f64 = 4.0;

/// Terms that are written where they stand: some of a sum's, or a scatter by itself.
pub(super) struct Placed {
    pub terms: Vec<NodeId>,
    /// Do they fill the result, each entry once?
    pub whole: bool,
}

impl Context<'_> {
    /// Finds sums of which several terms, or one where the sum is stored anyway, stand in places and are used nowhere
    /// else, and the scatters that are left.
    pub(super) fn find_placed(&mut self, users: &[Vec<NodeId>], outputs: &[NodeId]) {
        for id in self.nodes().into_iter().filter(|_| self.options.fusion) {
            let node = self.graph.node(id);
            let only = |a: &NodeId| users[a.index()].len() == 1 && !outputs.contains(a);
            let alike = |a: &NodeId| self.graph.ty(*a).axes == node.ty.axes;
            let stands = |a: &NodeId| self.is_sum_of_places(*a) || self.is_placed(*a);
            let terms: Vec<NodeId> = node.args.iter().copied().filter(|a| only(a) && alike(a) && stands(a)).collect();
            let large = terms.iter().filter(|a| self.is_sum_of_places(**a)).count();
            let real = node.op == Op::Map(Fun::Add) && node.ty.elem == Elem::Real;
            if real && (large > 1 || large == 1 && outputs.contains(&id)) {
                let whole = terms.len() == node.args.len() && self.fill(&terms);
                self.placed.insert(id, Placed { terms, whole });
            }
        }
        let absorbed: BTreeSet<NodeId> = self.absorbed();
        let alone = |id: &NodeId| is_scatter(&self.graph.node(*id).op) && !absorbed.contains(id);
        for id in self.nodes().into_iter().filter(alone).collect::<Vec<_>>() {
            let terms = vec![id];
            let whole = self.fill(&terms);
            self.placed.insert(id, Placed { terms, whole });
        }
    }

    /// Terms of sums that are written where they stand.
    pub(super) fn absorbed(&self) -> BTreeSet<NodeId> {
        self.placed.values().flat_map(|p| p.terms.iter().copied()).collect()
    }

    fn is_sum_of_places(&self, id: NodeId) -> bool {
        let op = &self.graph.node(id).op;
        is_scatter(op) && matches!(op, Op::Fiber { red: Red::Sum, .. })
    }

    /// A short piece of an axis, all of it inside.
    fn is_placed(&self, id: NodeId) -> bool {
        let entries = |id: NodeId| self.graph.tables.entries(&self.graph.ty(id).axes);
        self.piece(id).is_some() && SPARSE * entries(self.graph.node(id).args[0]) <= entries(id)
    }

    /// Of a read of a piece of an axis, nought outside: the operand's axis, the result's, and where the piece starts.
    pub(super) fn piece(&self, id: NodeId) -> Option<(Axis, Axis, i64)> {
        let node = self.graph.node(id);
        let Op::Read { at, guarded: true } = &node.op else { return None };
        let [(axis, At::Affine { terms, offset })] = &at[..] else { return None };
        let [(1, to)] = terms[..] else { return None };
        let x = node.args[0];
        let inside = *offset <= 0 && self.graph.tables.fixed(*axis)? - offset <= self.graph.tables.fixed(to)?;
        let zero = self.graph.as_num(*node.args.last()?) == Some(0.0);
        (inside && zero && !self.graph.ty(x).has(to)).then_some((*axis, to, -offset))
    }

    /// Do terms fill one axis of their sum from end to end, each entry once?
    fn fill(&self, terms: &[NodeId]) -> bool {
        let Some(mut pieces) = terms.iter().map(|t| self.interval(*t)).collect::<Option<Vec<_>>>() else {
            return false;
        };
        pieces.sort();
        let axis = pieces[0].0;
        let mut next = 0;
        let joined = pieces.iter().all(|(a, start, end)| {
            let fits = *a == axis && *start == next;
            next = *end;
            fits
        });
        joined && self.graph.tables.fixed(axis) == Some(next)
    }

    /// The axis along which a term stands, where it starts and where it ends, if it has one entry for each place there.
    fn interval(&self, id: NodeId) -> Option<(Axis, i64, i64)> {
        if let Some((axis, to, start)) = self.piece(id) {
            return Some((to, start, start + self.graph.tables.fixed(axis)?));
        }
        let node = self.graph.node(id);
        let Op::Fiber { at, over, .. } = &node.op else { return None };
        let [(axis, to)] = &at[..] else { return None };
        let digits = digits(self.graph, to)?;
        let mut used: Vec<Axis> = digits.axes.iter().map(|d| d.1).collect();
        used.sort();
        let entries = used.iter().map(|a| self.graph.tables.fixed(*a)).product::<Option<i64>>()?;
        (used[..] == over[..] && used.iter().all(|a| self.graph.ty(node.args[0]).has(*a))).then_some((
            *axis,
            digits.offset,
            digits.offset + entries,
        ))
    }
}

/// Does it add up entries wherever an index map sends them?
fn is_scatter(op: &Op) -> bool {
    matches!(op, Op::Fiber { over, .. } if !over.is_empty())
}
