//! Loops: their step is lowered on its own, with the storage orders of what it is given.

use super::cluster::Cluster;
use super::context::Context;
use super::refs::Stored;
use super::{Given, lower_step};
use crate::graph::{NodeId, Op};
use crate::plan::{BufferId, Kernel, Repeat};
use gannet_lang::program::Axis;

impl Context<'_> {
    /// The kernel of a loop; the roots of its cluster are the parts that are read.
    pub fn repeat(&self, cluster: &Cluster, id: NodeId) -> Kernel {
        let node = self.graph.node(id);
        let Op::Loop(body) = &node.op else { unreachable!("fuse: {id} is no loop") };
        let operands: Vec<BufferId> = node.args.iter().map(|a| self.place[&Stored::Node(*a)]).collect();
        let order = |b: &BufferId| -> Vec<Axis> {
            self.buffers[b.index()].axes.iter().copied().filter(|a| *a != body.axis).collect()
        };
        let orders: Vec<Vec<Axis>> = operands.iter().map(order).collect();
        let step = lower_step(&body.graph, &self.options, Given { orders: &orders, states: body.states });
        let mut results = vec![None; body.steps_part() + 1];
        for root in &cluster.roots {
            let Op::Part(k) = self.graph.node(root.node()).op else { unreachable!("fuse: {root:?} is no part") };
            results[k as usize] = self.targets.get(root).map(|t| t[0]);
        }
        Kernel::Repeat(Box::new(Repeat {
            name: self.name(cluster.roots[0].node()),
            span: self.graph.span(id),
            axis: body.axis,
            count: self.extent(body.axis),
            reverse: body.reverse,
            test: body.test,
            states: body.states,
            slices: body.slices,
            operands,
            step,
            results,
        }))
    }
}
