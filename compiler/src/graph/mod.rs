//! The Graph: pure equations over named axes, hash-consed.
//! Law: operands have smaller ids than users; two nodes with the same operation and operands are one node.

mod body;
mod build_ops;
mod extrema;
mod op;
pub mod random;
pub(crate) mod sign;
mod text;
mod typing;
mod verify;

pub use body::{Body, LoopBuilder};
pub use op::{At, Axes, AxisNames, Num, Op, Red, Subst};
pub(crate) use text::FUNS;
pub use text::{ParseError, output_label};
pub use typing::fun_arity;

use gannet_lang::diag::Span;
use gannet_lang::ids;
use gannet_lang::program::{Axis, Dim, Elem, Host, Hyper, Input, Output, Param, PointId, Size, State, Unit};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

ids! {
    /// A node of a graph.
    NodeId = "%";
}

/// The type of a node: element type and axes, sorted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// Of one entry.
    pub elem: Elem,
    /// Sorted.
    pub axes: Axes,
}

impl Type {
    /// Has it that axis?
    pub fn has(&self, axis: Axis) -> bool {
        self.axes.binary_search(&axis).is_ok()
    }
}

/// Operands of a node.
pub type Args = SmallVec<[NodeId; 4]>;

/// One equation.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// From what.
    pub args: Args,
    /// Of what type.
    pub ty: Type,
}

/// What the leaves of a graph are; shared by all graphs of a unit.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Dims.
    pub dims: Vec<Dim>,
    /// Data inputs; the type lists the axes in storage order.
    pub inputs: Vec<Input>,
    /// Parameters; the type lists the axes in storage order.
    pub params: Vec<Param>,
    /// States; the type lists the axes in storage order.
    pub states: Vec<State>,
    /// Scalars.
    pub hypers: Vec<Hyper>,
    /// Functions of the embedding program.
    pub hosts: Vec<Host>,
    /// The size a cost model assumes for a dim whose size is open, by dim.
    pub assumed: Vec<u64>,
}

/// What open dims are taken for when costs are compared and nothing better is known.
const ASSUMED_OPEN_SIZE: u64 = 64;

impl Tables {
    /// The tables of a unit.
    pub fn of(unit: &Unit) -> Self {
        let mut tables = Tables {
            dims: unit.dims.clone(),
            inputs: unit.inputs.clone(),
            params: unit.params.clone(),
            states: unit.states.clone(),
            hypers: unit.hypers.clone(),
            hosts: unit.hosts.clone(),
            assumed: Vec::new(),
        };
        tables.assumed =
            unit.dims.iter().map(|d| if let Size::Fixed(n) = d.size { n } else { ASSUMED_OPEN_SIZE }).collect();
        if let (Some(dim), Some(batch)) = (unit.batch, unit.schedule.batch) {
            tables.assumed[dim.index()] = batch;
        }
        tables
    }

    /// The size of an axis, if the program fixes it.
    pub fn fixed(&self, axis: Axis) -> Option<i64> {
        match self.dims[axis.dim.index()].size {
            Size::Fixed(n) => Some(n as i64),
            _ => None,
        }
    }

    /// The assumed number of entries of a set of axes.
    pub fn entries(&self, axes: &[Axis]) -> f64 {
        axes.iter().map(|a| self.assumed[a.dim.index()] as f64).product()
    }
}

/// Which part of a training step an equation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// What the program says before any gradient of its loss is looked at.
    Forward,
    /// What differentiation makes of it.
    Backward,
    /// What becomes of the gradients: the rules.
    Update,
}

/// Where an equation comes from. Rides beside the nodes: two nodes are one whatever their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// In the source; the default, if it is not known yet.
    pub span: Span,
    /// In the step; not known before differentiation.
    pub phase: Option<Phase>,
}

/// A graph with named outputs.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// What the leaves are.
    pub tables: Arc<Tables>,
    nodes: Vec<Node>,
    places: Vec<Place>,
    known: HashMap<(Op, Args), NodeId>,
    /// Points made so far by passes, in this graph and in bodies of loops.
    points: u32,
    /// Outputs and their nodes.
    pub outputs: Vec<(Output, NodeId)>,
    /// Names of equations, for dumps and faults.
    pub names: Vec<(String, NodeId)>,
}

impl Graph {
    /// An empty graph over these leaves.
    pub fn new(tables: Arc<Tables>) -> Self {
        Graph { tables, ..Graph::default() }
    }

    /// An empty graph over the same leaves. Its fresh points are none of the other's so far.
    pub fn like(other: &Graph) -> Self {
        Graph { points: other.points, ..Graph::new(other.tables.clone()) }
    }

    /// `x` as a variable of its own, kept apart from equal values and from every other point. (Points of a program count
    /// up from 0, these down from the last number.)
    pub fn fresh_point(&mut self, x: NodeId) -> NodeId {
        self.add(Op::Point(PointId(u32::MAX - self.points)), [x])
    }

    /// Notes the fresh points that come in with a node.
    fn count_points(&mut self, op: &Op) {
        let seen = match op {
            Op::Point(p) if p.0 > u32::MAX / 2 => u32::MAX - p.0 + 1,
            Op::Loop(body) => body.graph.points,
            _ => 0,
        };
        self.points = self.points.max(seen);
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// A node's type.
    pub fn ty(&self, id: NodeId) -> &Type {
        &self.nodes[id.index()].ty
    }

    /// A node's place in the source.
    pub fn span(&self, id: NodeId) -> Span {
        self.places[id.index()].span
    }

    /// Where a node comes from.
    pub fn place(&self, id: NodeId) -> Place {
        self.places[id.index()]
    }

    /// Names the span and the phase of a node as far as it has none yet (rewrites keep the first place).
    pub fn set_place(&mut self, id: NodeId, place: Place) {
        let known = &mut self.places[id.index()];
        if known.span == Span::default() {
            known.span = place.span;
        }
        known.phase = known.phase.or(place.phase);
    }

    /// Nodes from this number on have this place, as far as none is known.
    pub fn place_from(&mut self, first: usize, place: Place) {
        (first..self.len()).for_each(|k| self.set_place(NodeId::new(k), place));
    }

    /// All ids in order: operands before users.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId::new)
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Is there no node?
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a node as it is (no simplification), or finds it. Operands may come in any order where order does not matter.
    ///
    /// # Panics
    /// If operands do not fit the operation: that is a fault of the pass that builds.
    pub fn add(&mut self, op: Op, args: impl IntoIterator<Item = NodeId>) -> NodeId {
        let args = in_order(&op, args.into_iter().collect());
        if let Some(&id) = self.known.get(&(op.clone(), args.clone())) {
            return id;
        }
        let ty = self.type_of(&op, &args).unwrap_or_else(|e| panic!("{op:?} {args:?}: {e}"));
        let id = NodeId::new(self.nodes.len());
        self.count_points(&op);
        self.known.insert((op.clone(), args.clone()), id);
        self.nodes.push(Node { op, args, ty });
        self.places.push(Place::default());
        id
    }

    /// The node with that operation and operands, if there is one.
    pub fn find(&self, op: &Op, args: &[NodeId]) -> Option<NodeId> {
        self.known.get(&(op.clone(), in_order(op, args.iter().copied().collect()))).copied()
    }

    /// Which nodes the outputs need.
    pub fn live(&self) -> Vec<bool> {
        self.needed_for(self.outputs.iter().map(|o| o.1))
    }

    /// These nodes, and all that they are made of.
    pub fn needed_for(&self, roots: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        let mut needed = vec![false; self.len()];
        roots.into_iter().for_each(|id| needed[id.index()] = true);
        for id in self.ids().rev() {
            if needed[id.index()] {
                for arg in &self.node(id).args {
                    needed[arg.index()] = true;
                }
            }
        }
        needed
    }

    /// These nodes, and all that is made of them.
    pub fn made_of(&self, roots: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        let mut made = vec![false; self.len()];
        roots.into_iter().for_each(|id| made[id.index()] = true);
        for id in self.ids() {
            made[id.index()] |= self.node(id).args.iter().any(|a| made[a.index()]);
        }
        made
    }

    /// The live users of each node.
    pub fn users(&self) -> Vec<Vec<NodeId>> {
        let live = self.live();
        let mut users: Vec<Vec<NodeId>> = vec![Vec::new(); self.len()];
        for id in self.ids().filter(|id| live[id.index()]) {
            for arg in &self.node(id).args {
                if users[arg.index()].last() != Some(&id) {
                    users[arg.index()].push(id);
                }
            }
        }
        users
    }

    /// Rebuilds the live part, node by node, through `f`, which is given the new graph, the old node's id, the old node
    /// and its new operands, in the order of the old ones. Dead code is not rebuilt; spans, names and outputs are carried over.
    pub fn rebuild(&self, mut f: impl FnMut(&mut Graph, NodeId, &Node, &[NodeId]) -> NodeId) -> Graph {
        let mut new = Graph::like(self);
        let live = self.live();
        let mut map = vec![NodeId(u32::MAX); self.len()];
        for id in self.ids().filter(|id| live[id.index()]) {
            let node = self.node(id);
            let args: Args = node.args.iter().map(|a| map[a.index()]).collect();
            let first = new.len();
            let new_id = f(&mut new, id, node, &args);
            new.set_place(new_id, self.place(id));
            new.place_from(first, self.place(id));
            map[id.index()] = new_id;
        }
        new.outputs = self.outputs.iter().map(|(o, id)| (o.clone(), map[id.index()])).collect();
        new.names =
            self.names.iter().filter(|(_, id)| live[id.index()]).map(|(n, id)| (n.clone(), map[id.index()])).collect();
        new
    }

    /// The assumed number of entries of a node.
    pub fn entries(&self, id: NodeId) -> f64 {
        self.tables.entries(&self.ty(id).axes)
    }

    /// The union of the operands' axes.
    pub fn union(&self, args: &[NodeId]) -> Axes {
        sorted(args.iter().flat_map(|a| self.ty(*a).axes.iter().copied()))
    }
}

/// Operands whose order does not matter, sorted: one set of operands is one node.
fn in_order(op: &Op, mut args: Args) -> Args {
    if op.is_unordered() {
        args.sort_unstable();
    }
    args
}

/// A sorted set of axes.
pub fn sorted(axes: impl IntoIterator<Item = Axis>) -> Axes {
    let mut axes: Axes = axes.into_iter().collect();
    axes.sort();
    axes.dedup();
    axes
}

/// The neutral element of a reduction.
pub fn neutral(red: Red) -> f64 {
    match red {
        Red::Sum | Red::Any => 0.0,
        Red::Prod | Red::All => 1.0,
        Red::Max | Red::ArgMax => f64::NEG_INFINITY,
        Red::Min | Red::ArgMin => f64::INFINITY,
    }
}
