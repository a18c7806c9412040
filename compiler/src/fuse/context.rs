//! What all steps of lowering know: which nodes are stored, in which order of axes, in which buffers.
//! Law: the storage order of a node never depends on how kernels are merged.

use super::due::{self, Demand};
use super::parts::Placed;
use super::prepare::{Parts, parts};
use super::refs::Stored;
use super::{Given, LowerOptions};
use crate::graph::{At, Graph, NodeId, Op};
use crate::plan::{Blocks, Buffer, BufferId, Extent, Home, Kind, additions};
use gannet_lang::program::{Axis, Elem, Output};
use std::collections::{BTreeMap, BTreeSet};

/// An expression that costs so much is stored rather than computed in several places.
const DEAR: f64 = 12.0;
/// So many nodes are computed in one place at most before one of them is stored.
const WIDE: usize = 100;
/// A reduction of this many entries is worth splitting.
const LONG: f64 = 32768.0;

/// How a long reduction is split: blocks of `size` entries along `axis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// Along which of the reduced axes.
    pub axis: Axis,
    /// Entries in a block.
    pub size: i64,
}

/// How a factor of a contraction lies in memory.
pub(super) struct Reach {
    /// The stored node that it is read from.
    pub base: NodeId,
    /// The stride of each of the factor's axes.
    pub strides: BTreeMap<Axis, Extent>,
    /// Where its first entry lies: coefficient, stride.
    pub offset: Vec<(i64, Extent)>,
}

/// The common knowledge.
pub(super) struct Context<'g> {
    pub graph: &'g Graph,
    pub options: LowerOptions,
    pub live: Vec<bool>,
    /// Nodes that have a kernel (not the leaves).
    pub stored: Vec<bool>,
    /// Nodes run as contractions.
    pub products: BTreeMap<NodeId, Parts>,
    /// What is put together from terms that are written where they stand: scatters, and sums of them.
    pub placed: BTreeMap<NodeId, Placed>,
    /// Reductions in two steps.
    pub splits: BTreeMap<NodeId, Split>,
    /// The price of one entry, computed from stored nodes.
    pub cost: Vec<f64>,
    /// The number of nodes that one entry is computed from.
    pub width: Vec<usize>,
    /// Storage orders of stored nodes and leaves.
    pub orders: BTreeMap<NodeId, Vec<Axis>>,
    pub buffers: Vec<Buffer>,
    /// Where each stored thing is read; stored nodes that are not here are computed where they are used.
    pub place: BTreeMap<Stored, BufferId>,
    /// All buffers that a stored thing is written to.
    pub targets: BTreeMap<Stored, Vec<BufferId>>,
    /// Truth values without axes, stored, under which others are due.
    pub conditions: BTreeSet<NodeId>,
    /// Of nodes that need not always be computed the conditions under which they must.
    pub due: BTreeMap<NodeId, Demand>,
}

impl<'g> Context<'g> {
    /// Decides what is stored and how.
    pub fn new(graph: &'g Graph, options: LowerOptions, given: Given<'_>) -> Self {
        let n = graph.len();
        let mut cx = Context {
            graph,
            options,
            live: graph.live(),
            stored: vec![false; n],
            products: BTreeMap::new(),
            placed: BTreeMap::new(),
            splits: BTreeMap::new(),
            cost: vec![0.0; n],
            width: vec![0; n],
            orders: BTreeMap::new(),
            buffers: Vec::new(),
            place: BTreeMap::new(),
            targets: BTreeMap::new(),
            conditions: BTreeSet::new(),
            due: BTreeMap::new(),
        };
        if options.fusion {
            let demands = due::demands(graph, &cx.live);
            cx.conditions = cx.conditions(&demands);
            cx.due = due::of_conditions(demands, &cx.conditions);
        }
        cx.find_products();
        cx.choose_stored();
        cx.choose_orders(given);
        cx.choose_splits();
        cx
    }

    /// Live nodes, operands first.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.graph.ids().filter(|id| self.live[id.index()]).collect()
    }

    /// Is it data, a parameter or a state?
    pub fn is_leaf(&self, id: NodeId) -> bool {
        matches!(self.graph.node(id).op, Op::Input(_) | Op::Param(_) | Op::State(_) | Op::Arg(..))
    }

    /// The size of an axis.
    pub fn extent(&self, axis: Axis) -> Extent {
        Extent::of(axis.dim, &self.graph.tables)
    }

    /// The stride of each axis of a storage order.
    pub fn strides(&self, order: &[Axis]) -> Vec<Extent> {
        let mut stride = Extent::constant(1);
        let mut strides: Vec<Extent> = Vec::with_capacity(order.len());
        for axis in order.iter().rev() {
            strides.push(stride.clone());
            stride = stride.times(&self.extent(*axis));
        }
        strides.reverse();
        strides
    }

    /// The kind of a node's values.
    pub fn kind(&self, id: NodeId) -> Kind {
        match self.graph.ty(id).elem {
            Elem::Real => Kind::Real,
            Elem::Bool => Kind::Bool,
            Elem::Int | Elem::Index(_) => Kind::Int,
        }
    }

    /// The name of an equation, or what is computed.
    pub fn name(&self, id: NodeId) -> String {
        let tables = &self.graph.tables;
        if let Some((name, _)) = self.graph.names.iter().find(|(_, n)| *n == id) {
            return name.clone();
        }
        match &self.graph.node(id).op {
            Op::Input(i) => tables.inputs[i.index()].name.clone(),
            Op::Param(p) => tables.params[p.index()].name.clone(),
            Op::State(s) => tables.states[s.index()].name.clone(),
            op => {
                let output = self.graph.outputs.iter().find(|(_, n)| *n == id).map(|(o, _)| match o {
                    Output::Param(p) => format!("{}'", tables.params[p.index()].name),
                    Output::State(s) => format!("{}'", tables.states[s.index()].name),
                    Output::Loss => "loss".to_string(),
                    Output::Report(r) => format!("report{r}"),
                    Output::Value(v) => v.clone(),
                });
                output.unwrap_or_else(|| format!("{}{id}", op_name(op)))
            }
        }
    }

    /// A new buffer.
    pub fn buffer(
        &mut self,
        name: String,
        kind: Kind,
        axes: Vec<Axis>,
        blocks: Option<Blocks>,
        home: Home,
    ) -> BufferId {
        self.buffers.push(Buffer { name, kind, axes, blocks, home });
        BufferId::new(self.buffers.len() - 1)
    }

    /// How a factor of a contraction is read from stored memory. `None`: it has to be computed first.
    pub fn access(&self, factor: NodeId) -> Option<Reach> {
        if self.is_leaf(factor) || self.stored[factor.index()] {
            let order = self.orders.get(&factor)?;
            let strides = order.iter().copied().zip(self.strides(order)).collect();
            return Some(Reach { base: factor, strides, offset: Vec::new() });
        }
        let node = self.graph.node(factor);
        let Op::Read { at, guarded: false } = &node.op else { return None };
        let Reach { base, strides, mut offset } = self.access(node.args[0])?;
        let mut result: BTreeMap<Axis, Extent> = BTreeMap::new();
        for (axis, stride) in strides {
            let terms = match at.iter().find(|(a, _)| *a == axis) {
                None => vec![(1, axis)],
                Some((_, At::Affine { terms, offset: start })) => {
                    offset.extend((*start != 0).then(|| (*start, stride.clone())));
                    terms.to_vec()
                }
                Some(_) => return None,
            };
            for (c, to) in terms {
                let step = stride.times(&Extent::constant(c));
                match result.get_mut(&to) {
                    None => {
                        result.insert(to, step);
                    }
                    Some(sum) if sum.dims == step.dims => sum.factor += step.factor,
                    Some(_) => return None,
                }
            }
        }
        Some(Reach { base, strides: result, offset })
    }

    /// Does a factor reach stored memory by strides alone? (As `access`, before orders are known.)
    fn strided(&self, factor: NodeId) -> bool {
        let node = self.graph.node(factor);
        self.is_leaf(factor) || self.stored[factor.index()] || (self.plain_read(factor) && self.strided(node.args[0]))
    }

    /// Is it a read through sums of multiples of axes, each of them named once?
    fn plain_read(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        let Op::Read { at, guarded: false } = &node.op else { return false };
        let mut all: Vec<Axis> = self.graph.ty(node.args[0]).axes.to_vec();
        all.retain(|a| at.iter().all(|(b, _)| a != b));
        for (_, to) in at {
            let At::Affine { terms, .. } = to else { return false };
            all.extend(terms.iter().map(|t| t.1));
        }
        let count = all.len();
        all.sort();
        all.dedup();
        all.len() == count
    }

    /// Can a product's factor be read from it by strides, with no copy of its own?
    fn read_in_place(&self, id: NodeId, users: &[Vec<NodeId>]) -> bool {
        !self.strided(id) && self.leads_to_factor(id, users)
    }

    /// Is it a product's factor through reads by strides that make it no smaller?
    fn leads_to_factor(&self, id: NodeId, users: &[Vec<NodeId>]) -> bool {
        let entries = |n: NodeId| self.graph.entries(n);
        let factor = |u: NodeId| users[u.index()].iter().any(|p| self.products.contains_key(p));
        let reads = users[id.index()].iter().filter(|u| self.plain_read(**u) && entries(**u) >= entries(id));
        reads.into_iter().any(|u| factor(*u) || self.leads_to_factor(*u, users))
    }

    /// Is it what becomes of a product's entries, which nobody else asks for? Then it is stored in their stead.
    fn ends_product(&self, id: NodeId, users: &[Vec<NodeId>]) -> bool {
        let node = self.graph.node(id);
        let alike = |a: &NodeId| users[a.index()].len() == 1 && self.graph.ty(*a).axes == node.ty.axes;
        matches!(node.op, Op::Map(_))
            && node.ty.elem == Elem::Real
            && node.args.iter().filter(|a| alike(a)).any(|a| match self.products.get(a) {
                Some(parts) => parts.batch.is_empty(),
                None => self.stored[a.index()] && self.ends_product(*a, users),
            })
    }

    fn find_products(&mut self) {
        for id in self.nodes() {
            let node = self.graph.node(id);
            if let (Op::Contract(axes), [a, b]) = (&node.op, &node.args[..]) {
                let ty = |x: &NodeId| &self.graph.ty(*x).axes;
                if let Some(parts) = parts(self.graph, axes, ty(a), ty(b)) {
                    self.products.insert(id, parts);
                }
            }
        }
    }

    fn choose_stored(&mut self) {
        let users = self.graph.users();
        let compared = self.graph.compared_with_extremum();
        let mut inline: Vec<Vec<NodeId>> = vec![Vec::new(); self.graph.len()];
        let outputs: Vec<NodeId> = self.graph.outputs.iter().map(|o| o.1).collect();
        self.find_placed(&users, &outputs);
        let absorbed = self.absorbed();
        for id in self.nodes() {
            let i = id.index();
            if self.is_leaf(id) {
                continue;
            }
            let node = self.graph.node(id);
            let mut set: Vec<NodeId> = node.args.iter().flat_map(|a| inline[a.index()].iter().copied()).collect();
            set.push(id);
            set.sort();
            set.dedup();
            self.width[i] = set.len();
            self.cost[i] = set.iter().map(|n| self.entry_cost(*n)).sum();
            let constant = matches!(node.op, Op::Const(..) | Op::Hyper(_) | Op::Step | Op::Size(_) | Op::Iota(_));
            let forced = matches!(node.op, Op::Part(_))
                || !constant
                    && (self.conditions.contains(&id)
                        || matches!(node.op, Op::Reduce(..) | Op::Contract(_))
                        || self.placed.contains_key(&id)
                        || !self.options.fusion
                        || set.len() > WIDE
                        || compared.contains(&id) && !self.rounds_alike(id));
            if self.has_parts(id) {
                continue;
            }
            let operand = users[i].iter().any(|u| self.has_parts(*u));
            // What stands in a few places only is written there.
            if absorbed.contains(&id) && !self.placed.contains_key(&id) {
                inline[i] = set;
                continue;
            }
            let worth =
                || self.worth_storing(id, &users[i]) || self.read_in_place(id, &users) || self.ends_product(id, &users);
            self.stored[i] = forced || operand || outputs.contains(&id) || (!constant && worth());
            if !self.stored[i] {
                inline[i] = set;
            }
        }
    }

    /// Is a node without reductions stored, for what it costs and how it is used?
    fn worth_storing(&self, id: NodeId, users: &[NodeId]) -> bool {
        let ty = self.graph.ty(id);
        let cost = self.cost[id.index()];
        let strided = self.strided(id);
        users.iter().any(|u| self.products.contains_key(u) && !strided)
            || (!ty.axes.is_empty() && cost >= DEAR && (users.len() > 1 || self.repeated(id, users)))
            || users.iter().any(|u| {
                let contract = matches!(self.graph.node(*u).op, Op::Contract(_));
                let in_place = strided && self.products.contains_key(u);
                contract && cost >= 4.0 && !in_place && self.repeated(id, &[*u])
            })
    }

    /// Do users need each entry several times?
    fn repeated(&self, id: NodeId, users: &[NodeId]) -> bool {
        let own = self.graph.entries(id);
        users.iter().any(|u| {
            let node = self.graph.node(*u);
            let inner: &[Axis] = match &node.op {
                Op::Reduce(_, axes) | Op::Contract(axes) => axes,
                _ => &[],
            };
            let all = self.graph.tables.entries(&node.ty.axes) * self.graph.tables.entries(inner);
            all > 2.0 * own
        })
    }

    /// The price of one entry, beyond its operands': about one for an addition.
    fn entry_cost(&self, id: NodeId) -> f64 {
        let node = self.graph.node(id);
        match &node.op {
            Op::Map(fun) => additions(*fun, node.args.len()),
            Op::Random(..) => 40.0,
            Op::Read { at, .. } => at.iter().filter(|(_, to)| to.as_axis().is_none()).count() as f64 * 2.0,
            Op::Reduce(_, axes) | Op::Contract(axes) => self.graph.tables.entries(axes),
            Op::Fiber { over, .. } => 2.0 + self.graph.tables.entries(over),
            _ => 0.0,
        }
    }

    /// The total price of a stored node.
    pub fn work(&self, id: NodeId) -> f64 {
        let node = self.graph.node(id);
        let (inner, outer): (f64, f64) = match &node.op {
            Op::Reduce(_, axes) | Op::Contract(axes) => {
                (self.graph.tables.entries(axes), self.graph.tables.entries(&node.ty.axes))
            }
            Op::Fiber { .. } => (1.0, self.graph.tables.entries(&self.graph.union(&node.args))),
            _ => (1.0, self.graph.tables.entries(&node.ty.axes)),
        };
        let below = self.cost[id.index()] - inner + 1.0;
        outer * inner * below.max(1.0)
    }

    fn choose_splits(&mut self) {
        for id in self.nodes() {
            if self.products.contains_key(&id) || !self.options.fusion {
                continue;
            }
            let node = self.graph.node(id);
            let (Op::Reduce(_, axes) | Op::Contract(axes)) = &node.op else { continue };
            if matches!(node.op, Op::Reduce(crate::graph::Red::ArgMax | crate::graph::Red::ArgMin, _)) {
                continue;
            }
            let size = |axes: &[Axis]| self.graph.tables.entries(axes);
            let (kept, summed) = (size(&node.ty.axes), size(axes));
            if kept * summed < LONG || kept >= 64.0 && kept * summed < 4.0 * LONG {
                continue;
            }
            let axis = *axes.iter().max_by(|a, b| size(&[**a]).total_cmp(&size(&[**b])).then(b.cmp(a))).expect("axes");
            // Column sums walk rows: only tall ones are cut, and rows of an innermost axis need no cutting at all.
            if kept >= 64.0 && self.innermost(id) == Some(axis) {
                continue;
            }
            let rest = kept * summed / size(&[axis]);
            let block = (LONG / 2.0 / rest).clamp(8.0, LONG / 2.0) as i64;
            if size(&[axis]) >= 2.0 * block as f64 {
                self.splits.insert(id, Split { axis, size: block });
            }
        }
    }

    /// The innermost stored axis of the largest stored thing that a node is computed from.
    fn innermost(&self, id: NodeId) -> Option<Axis> {
        self.model_order(id, &[]).last().copied()
    }
}

/// A short name of an operation.
fn op_name(op: &Op) -> String {
    match op {
        Op::Map(fun) => format!("{fun:?}").to_lowercase(),
        Op::Reduce(red, _) => format!("{red:?}").to_lowercase(),
        Op::Contract(_) => "contract".into(),
        Op::Read { .. } => "read".into(),
        Op::Fiber { .. } => "fiber".into(),
        Op::Random(..) => "random".into(),
        Op::Part(_) => "part".into(),
        _ => "value".into(),
    }
}
