//! Writes the kernels of library operations.
//! Law: every operand and every part is a stored node, so that the kernel reads and writes whole buffers.

use super::cluster::Cluster;
use super::context::Context;
use super::refs::Stored;
use crate::graph::{NodeId, Op};
use crate::plan::{BufferId, Extent, Kernel, LibraryCall, Strided};
use gannet_lang::program::Axis;

impl Context<'_> {
    /// The node of which a node is a part.
    pub fn whole(&self, id: NodeId) -> Option<NodeId> {
        let node = self.graph.node(id);
        matches!(node.op, Op::Part(_)).then(|| node.args[0])
    }

    /// Has the node no value of its own, only parts?
    pub fn has_parts(&self, id: NodeId) -> bool {
        matches!(self.graph.node(id).op, Op::Library(_) | Op::Loop(_))
    }

    /// The kernel of a library operation, with those of its parts that the cluster stores.
    pub fn library(&self, cluster: &Cluster, id: NodeId) -> Kernel {
        let node = self.graph.node(id);
        let Op::Library(lib) = &node.op else { unreachable!("fuse: {id} is no library operation") };
        let axes: Vec<&[Axis]> = node.args.iter().map(|a| &self.graph.ty(*a).axes[..]).collect();
        let (groups, batch) = (lib.all_groups(&axes), lib.batch(&axes));
        let signature = lib.fun.signature();
        let strided = |buffer: BufferId, own: &[usize]| Strided {
            buffer,
            batch: self.strides_in(buffer, &batch),
            own: own.iter().map(|g| self.strides_in(buffer, &groups[*g])).collect(),
        };
        let operand = |(arg, own): (&NodeId, &&[usize])| strided(self.place[&Stored::Node(*arg)], own);
        let mut results: Vec<Option<Strided>> = vec![None; signature.parts.len()];
        for root in &cluster.roots {
            let Op::Part(k) = self.graph.node(root.node()).op else { unreachable!("fuse: roots are parts") };
            let buffer = self.targets[root][0];
            results[k as usize] = Some(strided(buffer, signature.parts[k as usize].groups));
        }
        let extents = |axes: &[Axis]| axes.iter().map(|a| self.extent(*a)).collect::<Vec<Extent>>();
        Kernel::Library(Box::new(LibraryCall {
            name: cluster.roots.iter().map(|r| self.name(r.node())).collect::<Vec<_>>().join(", "),
            span: self.graph.span(cluster.roots[0].node()),
            fun: lib.fun,
            batch: extents(&batch),
            groups: groups.iter().map(|g| extents(g)).collect(),
            operands: node.args.iter().zip(signature.operands).map(operand).collect(),
            results,
        }))
    }

    /// The strides of axes in a buffer; 0 along those that it lacks.
    fn strides_in(&self, buffer: BufferId, axes: &[Axis]) -> Vec<Extent> {
        let order = &self.buffers[buffer.index()].axes;
        let strides = self.strides(order);
        let stride = |a: &Axis| order.iter().position(|b| a == b).map_or(Extent::constant(0), |p| strides[p].clone());
        axes.iter().map(stride).collect()
    }
}
