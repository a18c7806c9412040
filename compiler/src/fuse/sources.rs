//! Where the work of a kernel comes from: the equations that it computes, by source line and part of the step.
//! Law: the shares of a kernel add up to 1.

use super::cluster::Cluster;
use super::context::Context;
use super::refs::Stored;
use crate::egraph::cost_of;
use crate::graph::{NodeId, Op};
use crate::plan::Source;
use std::collections::BTreeSet;

/// Seconds of a node that costs nothing by estimate: something must tell where a copy comes from.
const TRIFLE: f64 = 1e-12;

impl Context<'_> {
    /// The shares of a cluster's kernels.
    pub fn sources(&self, cluster: &Cluster) -> Vec<Source> {
        let mut seen = BTreeSet::new();
        for root in &cluster.roots {
            match root {
                Stored::Copy(n, _) => drop(seen.insert(*n)),
                Stored::Node(n) | Stored::Partial(n) => self.computed(*n, &mut seen),
            }
        }
        let mut sources: Vec<Source> = Vec::new();
        let all: f64 = seen.iter().map(|id| self.weight(*id)).sum();
        for id in seen {
            let (place, share) = (self.graph.place(id), self.weight(id) / all);
            match sources.iter_mut().find(|s| s.place == place) {
                Some(known) => known.share += share,
                None => sources.push(Source { place, share }),
            }
        }
        sources.sort_by(|a, b| b.share.total_cmp(&a.share));
        sources
    }

    /// A node that is stored, and those that are computed where it needs them.
    fn computed(&self, id: NodeId, seen: &mut BTreeSet<NodeId>) {
        if !seen.insert(id) {
            return;
        }
        let node = self.graph.node(id);
        for arg in &node.args {
            if matches!(self.graph.node(*arg).op, Op::Library(_) | Op::Loop(_)) && matches!(node.op, Op::Part(_)) {
                seen.insert(*arg);
            } else if !self.is_leaf(*arg) && !self.stored[arg.index()] {
                self.computed(*arg, seen);
            }
        }
    }

    fn weight(&self, id: NodeId) -> f64 {
        TRIFLE + cost_of(self.graph, id)
    }
}
