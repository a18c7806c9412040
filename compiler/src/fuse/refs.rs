//! From which stored things a root is computed, and at which places.
//! Law: an axis counts as identical only if the root's entry and the entry read have the same index along it.

use super::context::Context;
use crate::graph::{At, Axes, NodeId, Op};
use gannet_lang::program::Axis;
use std::collections::BTreeSet;

/// Something a kernel writes, or a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stored {
    /// A node's value.
    Node(NodeId),
    /// The partial results of a split reduction.
    Partial(NodeId),
    /// A leaf's value as the output of this number.
    Copy(NodeId, usize),
}

impl Stored {
    /// The node.
    pub fn node(self) -> NodeId {
        match self {
            Stored::Node(n) | Stored::Partial(n) | Stored::Copy(n, _) => n,
        }
    }
}

/// A use of a stored thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ref {
    /// What is read.
    pub stored: Stored,
    /// Along these axes, the entry of the root itself.
    pub same: Axes,
    /// Along all its axes.
    pub full: bool,
}

/// Axis of a node and the root's axis that it is, if any.
type Places = Vec<(Axis, Option<Axis>)>;

impl Context<'_> {
    /// Everything stored that a root is computed from.
    pub fn refs(&self, root: Stored) -> Vec<Ref> {
        let node = root.node();
        let places: Places = self.graph.ty(node).axes.iter().map(|a| (*a, Some(*a))).collect();
        let mut walk = Walk { cx: self, seen: BTreeSet::new(), refs: BTreeSet::new() };
        match root {
            Stored::Node(_) if self.splits.contains_key(&node) => walk.note(Stored::Partial(node), &places),
            Stored::Copy(..) => walk.note(Stored::Node(node), &places),
            _ => walk.operands(node, &places),
        }
        walk.refs.into_iter().collect()
    }
}

struct Walk<'a, 'g> {
    cx: &'a Context<'g>,
    seen: BTreeSet<(NodeId, Places)>,
    refs: BTreeSet<Ref>,
}

impl Walk<'_, '_> {
    fn note(&mut self, stored: Stored, places: &Places) {
        let same: Axes = places.iter().filter(|(a, to)| *to == Some(*a)).map(|(a, _)| *a).collect();
        let full = same.len() == places.len();
        self.refs.insert(Ref { stored, same, full });
    }

    fn visit(&mut self, id: NodeId, places: &Places) {
        let axes = &self.cx.graph.ty(id).axes;
        let places: Places = places.iter().filter(|(a, _)| axes.contains(a)).copied().collect();
        if self.cx.is_leaf(id) || self.cx.stored[id.index()] {
            self.note(Stored::Node(id), &places);
        } else if self.seen.insert((id, places.clone())) {
            self.operands(id, &places);
        }
    }

    fn operands(&mut self, id: NodeId, places: &Places) {
        let node = self.cx.graph.node(id);
        match &node.op {
            Op::Reduce(_, axes) | Op::Contract(axes) => {
                let inner: Places = with(places, axes.iter().map(|a| (*a, None)));
                node.args.iter().for_each(|a| self.visit(*a, &inner));
            }
            // Outside its source a guarded read takes the nearest entry, which may be one that another entry computes.
            Op::Read { at, guarded } => {
                let of = |to: &At| to.as_axis().filter(|_| !guarded).and_then(|a| places.iter().find(|p| p.0 == a)?.1);
                self.visit(node.args[0], &with(places, at.iter().map(|(a, to)| (*a, of(to)))));
                node.args[1..].iter().for_each(|a| self.visit(*a, places));
            }
            Op::Fiber { at, over, .. } => {
                let named = at.iter().map(|(a, _)| (*a, None));
                let inner = with(places, named.chain(over.iter().map(|a| (*a, None))));
                node.args.iter().for_each(|a| self.visit(*a, if over.is_empty() { places } else { &inner }));
            }
            // The kernel reads whole operands.
            Op::Library(_) | Op::Loop(_) => node.args.iter().for_each(|a| {
                let nowhere = self.cx.graph.ty(*a).axes.iter().map(|x| (*x, None)).collect();
                self.visit(*a, &nowhere);
            }),
            _ => node.args.iter().for_each(|a| self.visit(*a, places)),
        }
    }
}

/// Places with some replaced.
fn with(places: &Places, new: impl Iterator<Item = (Axis, Option<Axis>)>) -> Places {
    let new: Places = new.collect();
    let mut all: Places = places.iter().filter(|(a, _)| new.iter().all(|n| n.0 != *a)).copied().collect();
    all.extend(new);
    all.sort();
    all
}
