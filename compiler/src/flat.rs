//! Flat vectors of trees, computed leaf by leaf.
//! Law: a value laid out as one vector equals the sum of its leaves, each put in its place; nothing is laid out that is
//! only mapped, summed, contracted or read back.
//!
//! `flat(tree)` is a sum of fibers: leaf `l` of axes `(i, o)` stands at `k = offset + i * size(o) + o`. The places of the
//! leaves do not meet and leave no gap, so whatever works entry by entry works on the leaves, and a reduction over `k`
//! is one over the leaves. The norm of a sample's gradient then never writes the gradient out, and their clipped mean is
//! laid out once, not once a sample.

use crate::graph::{Args, At, Axes, Graph, NodeId, Op, Red, sorted};
use gannet_lang::program::{Axis, DimId, Elem, Fun, Size};
use smallvec::SmallVec;

/// The axis of a vector, where a leaf stands in it, and the leaf's axes by stride.
type Placed = (Axis, Block, Vec<Axis>);

/// Leaves that stand in one block, each with its axes by stride.
type Leaves = Vec<(NodeId, Vec<Axis>)>;

/// Where a leaf stands in the vector.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    offset: i64,
    /// Stride and dim of each axis, the longest stride first.
    axes: Vec<(i64, DimId)>,
}

/// The blocks of a vector with the axes that its leaves have while they are apart: nothing else uses those names.
struct Layout {
    blocks: Vec<Block>,
    axes: Vec<Axes>,
}

/// A vector along `axis` as its leaves, in the order and over the axes of the layout.
#[derive(Clone)]
struct Flat {
    axis: Axis,
    layout: usize,
    leaves: Vec<NodeId>,
}

/// A value of the old graph in the new one.
#[derive(Clone)]
enum Value {
    Whole(NodeId),
    Apart(Flat),
}

struct Pass<'g> {
    old: &'g Graph,
    new: Graph,
    values: Vec<Option<Value>>,
    /// Vectors that were laid out, by old id.
    laid: Vec<Option<NodeId>>,
    layouts: Vec<Layout>,
    next_ix: Vec<u32>,
}

/// The graph with flat vectors taken apart where that serves.
pub fn by_leaves(graph: &Graph) -> Graph {
    let has_fibers = graph.ids().any(|id| matches!(graph.node(id).op, Op::Fiber { red: Red::Sum, .. }));
    if !has_fibers {
        return graph.clone();
    }
    Pass::new(graph).run()
}

impl<'g> Pass<'g> {
    fn new(old: &'g Graph) -> Self {
        let mut next_ix = vec![0; old.tables.dims.len()];
        for axis in old.ids().flat_map(|id| old.ty(id).axes.iter()) {
            next_ix[axis.dim.index()] = next_ix[axis.dim.index()].max(axis.ix + 1);
        }
        let (values, laid) = (vec![None; old.len()], vec![None; old.len()]);
        Pass { old, new: Graph::like(old), values, laid, layouts: Vec::new(), next_ix }
    }

    fn run(mut self) -> Graph {
        let live = self.old.live();
        for id in self.old.ids().filter(|id| live[id.index()]) {
            let first = self.new.len();
            let value = self.vector(id).or_else(|| self.apart(id)).unwrap_or_else(|| self.whole(id));
            self.new.place_from(first, self.old.place(id));
            self.values[id.index()] = Some(value);
        }
        let outputs = self.old.outputs.clone();
        self.new.outputs = outputs.into_iter().map(|(o, id)| (o, self.lay_out(id))).collect();
        for (name, id) in &self.old.names {
            if let Some(Value::Whole(new)) = &self.values[id.index()] {
                self.new.names.push((name.clone(), *new));
            }
        }
        self.new
    }

    fn fixed(&self, dim: DimId) -> Option<i64> {
        match self.old.tables.dims[dim.index()].size {
            Size::Fixed(n) => Some(n as i64),
            _ => None,
        }
    }

    /// The node of a value, laid out if need be.
    fn lay_out(&mut self, id: NodeId) -> NodeId {
        let flat = match self.values[id.index()].clone().expect("operands come first") {
            Value::Whole(new) => return new,
            Value::Apart(flat) => flat,
        };
        if let Some(done) = self.laid[id.index()] {
            return done;
        }
        let mut parts = Vec::new();
        for (l, leaf) in flat.leaves.iter().enumerate() {
            let (place, axes) = (self.place(flat.layout, l), self.layouts[flat.layout].axes[l].clone());
            parts.push(self.new.fiber(Red::Sum, *leaf, &[(flat.axis, place)], &axes, &[]));
        }
        let whole = self.new.add_all(&parts);
        self.laid[id.index()] = Some(whole);
        whole
    }

    /// Where leaf `l` stands, as a form of the layout's axes.
    fn place(&self, layout: usize, l: usize) -> At {
        let layout = &self.layouts[layout];
        let block = &layout.blocks[l];
        At::affine(block.axes.iter().zip(&layout.axes[l]).map(|((stride, _), axis)| (*stride, *axis)), block.offset)
    }

    fn whole(&mut self, id: NodeId) -> Value {
        let node = self.old.node(id);
        let args: Args = node.args.iter().map(|a| self.lay_out(*a)).collect();
        let new = self.new.remake(&node.op, &args);
        if *self.new.ty(new) == node.ty {
            return Value::Whole(new);
        }
        Value::Whole(self.new.add(node.op.clone(), args))
    }

    /// A sum of fibers whose places fill an axis without gaps, perhaps with other terms beside them.
    fn vector(&mut self, id: NodeId) -> Option<Value> {
        let node = self.old.node(id);
        let terms: Args = match node.op {
            Op::Map(Fun::Add) => node.args.clone(),
            Op::Fiber { .. } => Args::from_slice(&[id]),
            _ => return None,
        };
        let blocks: Vec<Option<Placed>> = terms.iter().map(|t| self.block(*t)).collect();
        let axis = blocks.iter().flatten().next()?.0;
        let mut found: Vec<(Block, Leaves)> = Vec::new();
        let mut rest = Vec::new();
        for (term, block) in terms.iter().zip(blocks) {
            match block.filter(|b| b.0 == axis) {
                None => rest.push(*term),
                Some((_, block, own)) => {
                    let leaf = self.old.node(*term).args[0];
                    match found.iter_mut().find(|f| f.0 == block) {
                        Some(f) => f.1.push((leaf, own)),
                        None => found.push((block, vec![(leaf, own)])),
                    }
                }
            }
        }
        found.sort_by_key(|f| f.0.offset);
        let blocks: Vec<Block> = found.iter().map(|f| f.0.clone()).collect();
        let renamed_only = matches!(&blocks[..], [one] if one.axes.len() <= 1);
        if renamed_only || !self.fills(&blocks, axis.dim) {
            return None;
        }
        let layout = self.layout(blocks);
        let mut leaves = Vec::new();
        for (l, (_, terms)) in found.into_iter().enumerate() {
            let mut sum = Vec::new();
            for (leaf, own) in terms {
                let names: Vec<(Axis, Axis)> = own.into_iter().zip(self.layouts[layout].axes[l].clone()).collect();
                let leaf = self.lay_out(leaf);
                sum.push(self.new.rename(leaf, &names));
            }
            leaves.push(self.new.add_all(&sum));
        }
        let mut flat = Flat { axis, layout, leaves };
        for term in rest {
            let other = self.in_leaves(term, &flat)?;
            for (leaf, other) in flat.leaves.iter_mut().zip(other) {
                *leaf = self.new.add_all(&[*leaf, other]);
            }
        }
        Some(Value::Apart(flat))
    }

    /// The axis, the block, and the leaf's axes by stride, if the node puts each entry of its operand in a place of its own.
    fn block(&self, id: NodeId) -> Option<Placed> {
        let node = self.old.node(id);
        let Op::Fiber { red: Red::Sum, at, over } = &node.op else { return None };
        let ([(axis, At::Affine { terms, offset })], 1) = (&at[..], node.args.len()) else { return None };
        let mut terms: Vec<(i64, Axis)> = terms.to_vec();
        terms.sort_by_key(|t| std::cmp::Reverse(t.0));
        let mut span = 1;
        for (stride, a) in terms.iter().rev() {
            if *stride != span {
                return None;
            }
            span *= self.fixed(a.dim)?;
        }
        let same = sorted(terms.iter().map(|t| t.1)) == *over && self.old.ty(node.args[0]).elem == Elem::Real;
        if !same || self.old.ty(node.args[0]).has(*axis) {
            return None;
        }
        let block = Block { offset: *offset, axes: terms.iter().map(|t| (t.0, t.1.dim)).collect() };
        Some((*axis, block, terms.into_iter().map(|t| t.1).collect()))
    }

    fn fills(&self, blocks: &[Block], dim: DimId) -> bool {
        let mut end = 0;
        for block in blocks {
            if block.offset != end {
                return false;
            }
            end += block.axes.iter().map(|a| self.fixed(a.1).unwrap_or(0)).product::<i64>();
        }
        self.fixed(dim) == Some(end)
    }

    fn layout(&mut self, blocks: Vec<Block>) -> usize {
        if let Some(k) = self.layouts.iter().position(|l| l.blocks == blocks) {
            return k;
        }
        let mut axes = Vec::new();
        for block in &blocks {
            let own = block.axes.iter().map(|(_, dim)| {
                let next = &mut self.next_ix[dim.index()];
                *next += 1;
                Axis { dim: *dim, ix: *next - 1 }
            });
            axes.push(own.collect());
        }
        self.layouts.push(Layout { blocks, axes });
        self.layouts.len() - 1
    }

    /// A value as leaves of the same layout along the same axis: what lacks the axis is the same in every leaf, and
    /// another vector is read at the leaves' places.
    fn in_leaves(&mut self, id: NodeId, like: &Flat) -> Option<Vec<NodeId>> {
        let count = like.leaves.len();
        if let Some(Value::Apart(flat)) = &self.values[id.index()]
            && flat.axis == like.axis
            && flat.layout == like.layout
        {
            return Some(flat.leaves.clone());
        }
        let whole = self.lay_out(id);
        if !self.new.ty(whole).has(like.axis) {
            return Some(vec![whole; count]);
        }
        Some(
            (0..count)
                .map(|l| {
                    let place = self.place(like.layout, l);
                    self.new.read(whole, &[(like.axis, place)], &[], None)
                })
                .collect(),
        )
    }

    /// The operation on the leaves, if an operand is apart and the operation can be done so.
    fn apart(&mut self, id: NodeId) -> Option<Value> {
        let node = self.old.node(id).clone();
        let like = node.args.iter().find_map(|a| match &self.values[a.index()] {
            Some(Value::Apart(flat)) => Some(flat.clone()),
            _ => None,
        })?;
        match &node.op {
            Op::Map(_) => self.each_leaf(&node.op, &node.args, &like),
            Op::Contract(axes) if !axes.contains(&like.axis) => self.each_leaf(&node.op, &node.args, &like),
            Op::Reduce(_, axes) if !axes.contains(&like.axis) => self.each_leaf(&node.op, &node.args, &like),
            Op::Contract(axes) => self.over_leaves(Red::Sum, axes, &node.args, &like),
            Op::Reduce(red, axes) => self.over_leaves(*red, axes, &node.args, &like),
            Op::Read { at, guarded: false } => self.read_leaves(at, &node.args, &like),
            _ => None,
        }
    }

    /// The leaves of all operands, one list for each leaf.
    fn split(&mut self, args: &[NodeId], like: &Flat) -> Option<Vec<Args>> {
        let mut split: Vec<Args> = vec![Args::new(); like.leaves.len()];
        for arg in args {
            for (to, leaf) in split.iter_mut().zip(self.in_leaves(*arg, like)?) {
                to.push(leaf);
            }
        }
        Some(split)
    }

    fn each_leaf(&mut self, op: &Op, args: &[NodeId], like: &Flat) -> Option<Value> {
        let split = self.split(args, like)?;
        let leaves = split.iter().map(|args| self.new.remake(op, args)).collect();
        Some(Value::Apart(Flat { leaves, ..like.clone() }))
    }

    /// A reduction over the vector's axis: over the axes of each leaf, and over the leaves.
    fn over_leaves(&mut self, red: Red, axes: &[Axis], args: &[NodeId], like: &Flat) -> Option<Value> {
        let join = red.join()?;
        let mut whole: Option<NodeId> = None;
        for (l, args) in self.split(args, like)?.into_iter().enumerate() {
            let own = self.layouts[like.layout].axes[l].clone();
            let over: Vec<Axis> = axes.iter().copied().filter(|a| *a != like.axis).chain(own).collect();
            let part = match red {
                Red::Sum => self.new.contract_factors(&over, &args),
                red => self.new.reduce(red, &over, args[0]),
            };
            whole = Some(whole.map_or(part, |w| self.new.map2(join, w, part)));
        }
        whole.map(Value::Whole)
    }

    /// Reads that leave the vector's axis alone, rename it, or pick exactly one leaf.
    fn read_leaves(&mut self, at: &[(Axis, At)], args: &[NodeId], like: &Flat) -> Option<Value> {
        if !matches!(&self.values[args[0].index()], Some(Value::Apart(_))) {
            return None;
        }
        let indices: Vec<NodeId> = args[1..].iter().map(|a| self.lay_out(*a)).collect();
        let others: Vec<(Axis, At)> = at.iter().filter(|n| n.0 != like.axis).cloned().collect();
        let brings = |to: &At, axis: Axis| match to {
            At::Affine { terms, .. } => terms.iter().any(|t| t.1 == axis),
            At::Arg(k) => self.new.ty(indices[*k as usize - 1]).has(axis),
        };
        // An index operand that no leaf used would be left over.
        let lacks = |l: &NodeId| others.iter().any(|n| !self.new.ty(*l).has(n.0));
        if !indices.is_empty() && like.leaves.iter().any(lacks) {
            return None;
        }
        let to = at.iter().find(|n| n.0 == like.axis).map(|n| n.1.clone());
        let axis = match &to {
            None => like.axis,
            Some(to) => match to.as_axis().filter(|a| a.dim == like.axis.dim) {
                Some(axis) => axis,
                None => return self.read_one(to, &others, &indices, like),
            },
        };
        if others.iter().any(|n| brings(&n.1, axis)) || like.leaves.iter().any(|l| self.new.ty(*l).has(axis)) {
            return None;
        }
        let leaves = like.leaves.iter().map(|l| self.read_own(*l, &others, &indices)).collect();
        Some(Value::Apart(Flat { axis, leaves, ..like.clone() }))
    }

    /// A leaf read at places of axes that it has; index operands keep their numbers.
    fn read_own(&mut self, leaf: NodeId, at: &[(Axis, At)], indices: &[NodeId]) -> NodeId {
        let own: Vec<(Axis, At)> = at.iter().filter(|n| self.new.ty(leaf).has(n.0)).cloned().collect();
        if own.is_empty() { leaf } else { self.new.read(leaf, &own, indices, None) }
    }

    /// The place of one leaf, under other names of its axes.
    fn read_one(&mut self, to: &At, others: &[(Axis, At)], indices: &[NodeId], like: &Flat) -> Option<Value> {
        let At::Affine { terms, offset } = to else { return None };
        let mut terms: SmallVec<[(i64, Axis); 2]> = terms.clone();
        terms.sort_by_key(|t| std::cmp::Reverse(t.0));
        let here: Vec<(i64, DimId)> = terms.iter().map(|t| (t.0, t.1.dim)).collect();
        let blocks = &self.layouts[like.layout].blocks;
        let l = blocks.iter().position(|b| b.offset == *offset && b.axes == here)?;
        let own = self.layouts[like.layout].axes[l].clone();
        let leaf = like.leaves[l];
        let mut at: Vec<(Axis, At)> = own.iter().zip(&terms).map(|(a, t)| (*a, At::axis(t.1))).collect();
        at.extend(others.iter().cloned());
        Some(Value::Whole(self.read_own(leaf, &at, indices)))
    }
}
