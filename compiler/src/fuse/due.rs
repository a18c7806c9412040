//! What need not be computed where a scalar condition does not hold: `every 10 steps { ... }`, `if t < 100 then ...`.
//! Law: a node's demand holds wherever any output looks at it. What chooses an address is always computed, so that stale
//! memory is at most a wrong number which nobody looks at.

use super::cluster::{Cluster, Kind};
use super::context::Context;
use super::refs::Stored;
use crate::graph::{Graph, NodeId, Op, Red};
use gannet_lang::program::{Elem, Fun};
use std::collections::{BTreeMap, BTreeSet};

/// Conditions that all hold, or do not, as the flag says, wherever a value is looked at.
pub(super) type Demand = BTreeSet<(NodeId, bool)>;

/// Less work than this is done whether somebody needs it or not.
const LITTLE: f64 = 16384.0;

/// The demand of each node.
pub(super) fn demands(graph: &Graph, live: &[bool]) -> Vec<Demand> {
    let early = early(graph, live);
    let mut found: Vec<Option<Demand>> = vec![None; graph.len()];
    for (_, id) in &graph.outputs {
        found[id.index()] = Some(Demand::new());
    }
    for id in graph.ids().collect::<Vec<_>>().into_iter().rev().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let address = matches!(node.ty.elem, Elem::Int | Elem::Index(_));
        let mut own = found[id.index()].clone().unwrap_or_default();
        if address {
            found[id.index()] = Some(Demand::new());
            // Which entry is the largest is a place inside of the axis, whatever the entries are.
            let inside = matches!(node.op, Op::Reduce(Red::ArgMax | Red::ArgMin, _));
            own = if inside { own } else { Demand::new() };
        }
        // A leaf may be overwritten before the last kernel has looked at it.
        let made = |id: NodeId| early[id.index()] && matches!(graph.node(id).op, Op::Map(_));
        let chosen = matches!(node.op, Op::Map(Fun::Select)) && made(node.args[0]);
        for (k, arg) in node.args.iter().enumerate() {
            let mut demand = own.clone();
            if chosen && k > 0 {
                demand.insert((node.args[0], k == 1));
            }
            let known = &mut found[arg.index()];
            *known = Some(match known.take() {
                Some(other) => other.intersection(&demand).copied().collect(),
                None => demand,
            });
        }
    }
    found.into_iter().map(Option::unwrap_or_default).collect()
}

/// Truth values without axes that are known before any kernel has run: made of numbers, the step, and leaves without axes.
fn early(graph: &Graph, live: &[bool]) -> Vec<bool> {
    let mut early = vec![false; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let leaf = matches!(
            node.op,
            Op::Const(..) | Op::Hyper(_) | Op::Step | Op::Size(_) | Op::Input(_) | Op::Param(_) | Op::State(_)
        ) || matches!(node.op, Op::Arg(..));
        let made = matches!(node.op, Op::Map(_)) && node.args.iter().all(|a| early[a.index()]);
        early[id.index()] = node.ty.axes.is_empty() && (leaf || made);
    }
    early
}

impl Context<'_> {
    /// The conditions that are worth looking at: those on which much work depends.
    pub fn conditions(&self, demands: &[Demand]) -> BTreeSet<NodeId> {
        let much = |id: &NodeId| match &self.graph.node(*id).op {
            Op::Part(_) | Op::Library(_) | Op::Loop(_) => true,
            Op::Reduce(..) | Op::Contract(_) | Op::Fiber { .. } => self.work(*id) >= LITTLE,
            _ => false,
        };
        let heavy = self.nodes().into_iter().filter(much);
        heavy.flat_map(|id| demands[id.index()].iter().map(|c| c.0).collect::<Vec<_>>()).collect()
    }

    /// What must hold so that a cluster has to run.
    pub fn due(&self, cluster: &Cluster) -> Demand {
        let of = |root: &Stored| match root {
            Stored::Node(n) | Stored::Partial(n) => self.due.get(n).cloned().unwrap_or_default(),
            Stored::Copy(..) => Demand::new(),
        };
        let all = cluster.roots.iter().map(of);
        all.reduce(|a, b| a.intersection(&b).copied().collect()).unwrap_or_default()
    }

    /// May two clusters be one, for all that is known of when they are due? A condition stays by itself, to be there
    /// first; what is only computed entry by entry may as well be computed always.
    pub fn due_together(&self, a: &Cluster, b: &Cluster) -> bool {
        let conditions = |c: &Cluster| c.roots.iter().any(|r| self.conditions.contains(&r.node()));
        if conditions(a) || conditions(b) {
            return false;
        }
        let entrywise = |c: &Cluster| {
            let plain = |r: &Stored| matches!(self.graph.node(r.node()).op, Op::Map(_) | Op::Read { .. });
            c.kind == Kind::Traversal && c.roots.iter().all(plain)
        };
        let (first, second) = (self.due(a), self.due(b));
        let loses = |own: &Demand, other: &Demand, c: &Cluster| !own.is_subset(other) && !entrywise(c);
        !loses(&first, &second, a) && !loses(&second, &first, b)
    }
}

/// The demands of stored nodes, as far as they speak of these conditions.
pub(super) fn of_conditions(demands: Vec<Demand>, conditions: &BTreeSet<NodeId>) -> BTreeMap<NodeId, Demand> {
    let mut due = BTreeMap::new();
    for (k, demand) in demands.into_iter().enumerate() {
        let demand: Demand = demand.into_iter().filter(|c| conditions.contains(&c.0)).collect();
        // A condition is always computed.
        let id = NodeId::new(k);
        if !demand.is_empty() && !conditions.contains(&id) {
            due.insert(id, demand);
        }
    }
    due
}
