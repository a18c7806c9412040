//! The Graph: pure equations over named axes, hash-consed.
//! Law: operands have smaller ids than users; two nodes with the same operation and operands are one node.

mod build_ops;
mod op;
pub mod random;

pub use op::{At, Axes, Num, Op, Red, Subst};

use gannet_lang::diag::Span;
use gannet_lang::ids;
use gannet_lang::program::{Axis, Dim, Elem, Fun, Hyper, Input, Output, Param, Size, State, Unit};
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
            assumed: Vec::new(),
        };
        tables.assumed =
            unit.dims.iter().map(|d| if let Size::Fixed(n) = d.size { n } else { ASSUMED_OPEN_SIZE }).collect();
        if let (Some(dim), Some(batch)) = (unit.batch, unit.schedule.batch) {
            tables.assumed[dim.index()] = batch;
        }
        tables
    }

    /// The assumed number of entries of a set of axes.
    pub fn entries(&self, axes: &[Axis]) -> f64 {
        axes.iter().map(|a| self.assumed[a.dim.index()] as f64).product()
    }
}

/// A graph with named outputs.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// What the leaves are.
    pub tables: Arc<Tables>,
    nodes: Vec<Node>,
    spans: Vec<Span>,
    known: HashMap<(Op, Args), NodeId>,
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

    /// An empty graph over the same leaves.
    pub fn like(other: &Graph) -> Self {
        Graph::new(other.tables.clone())
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
        self.spans[id.index()]
    }

    /// Names the place of nodes that have none yet (rewrites keep the first place).
    pub fn set_span(&mut self, id: NodeId, span: Span) {
        if self.spans[id.index()] == Span::default() {
            self.spans[id.index()] = span;
        }
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

    /// Adds a node as it is (no simplification), or finds it.
    ///
    /// # Panics
    /// If operands do not fit the operation: that is a fault of the pass that builds.
    pub fn add(&mut self, op: Op, args: impl IntoIterator<Item = NodeId>) -> NodeId {
        let args: Args = args.into_iter().collect();
        if let Some(&id) = self.known.get(&(op.clone(), args.clone())) {
            return id;
        }
        let ty = self.infer(&op, &args);
        let id = NodeId::new(self.nodes.len());
        self.known.insert((op.clone(), args.clone()), id);
        self.nodes.push(Node { op, args, ty });
        self.spans.push(Span::default());
        id
    }

    /// Which nodes the outputs need.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.len()];
        for (_, id) in &self.outputs {
            live[id.index()] = true;
        }
        for id in self.ids().rev() {
            if live[id.index()] {
                for arg in &self.node(id).args {
                    live[arg.index()] = true;
                }
            }
        }
        live
    }

    /// Rebuilds the live part, node by node, through `f`, which is given the new graph, the old node's id, the old node
    /// and its new operands. Dead code is not rebuilt; spans, names and outputs are carried over.
    pub fn rebuild(&self, mut f: impl FnMut(&mut Graph, NodeId, &Node, &[NodeId]) -> NodeId) -> Graph {
        let mut new = Graph::like(self);
        let live = self.live();
        let mut map = vec![NodeId(u32::MAX); self.len()];
        for id in self.ids().filter(|id| live[id.index()]) {
            let node = self.node(id);
            let args: Args = node.args.iter().map(|a| map[a.index()]).collect();
            let new_id = f(&mut new, id, node, &args);
            new.set_span(new_id, self.span(id));
            map[id.index()] = new_id;
        }
        new.outputs = self.outputs.iter().map(|(o, id)| (o.clone(), map[id.index()])).collect();
        new.names =
            self.names.iter().filter(|(_, id)| live[id.index()]).map(|(n, id)| (n.clone(), map[id.index()])).collect();
        new
    }

    /// Checks every node against the typing rules and every law of this level; the text says what is wrong.
    pub fn verify(&self) -> Result<(), String> {
        for id in self.ids() {
            let node = self.node(id);
            if node.args.iter().any(|a| *a >= id) {
                return Err(format!("{id} uses a node that does not come before it"));
            }
            if self.infer(&node.op, &node.args) != node.ty {
                return Err(format!("{id} has another type than its operation gives"));
            }
        }
        Ok(())
    }

    /// The typing rules.
    fn infer(&self, op: &Op, args: &[NodeId]) -> Type {
        let table = |ty: &gannet_lang::program::Ty| Type { elem: ty.elem, axes: sorted(ty.axes.iter().copied()) };
        let real = |axes: Axes| Type { elem: Elem::Real, axes };
        match op {
            Op::Input(i) => table(&self.tables.inputs[i.index()].ty),
            Op::Param(p) => table(&self.tables.params[p.index()].ty),
            Op::State(s) => table(&self.tables.states[s.index()].ty),
            Op::Hyper(_) | Op::Step | Op::Size(_) => real(Axes::new()),
            Op::Const(_, elem) => Type { elem: *elem, axes: Axes::new() },
            Op::Iota(axis) => Type { elem: Elem::Index(axis.dim), axes: SmallVec::from_slice(&[*axis]) },
            Op::Random(_, _, axes) => real(sorted(axes.iter().copied())),
            Op::Map(fun) => Type { elem: self.map_elem(*fun, args), axes: self.union(args) },
            Op::Reduce(red, axes) => self.infer_reduce(*red, axes, args[0]),
            Op::Contract(axes) => {
                assert!(args.len() >= 2, "a contraction has two factors or more");
                let all = self.union(args);
                assert!(axes.iter().all(|a| all.contains(a)), "a summed axis occurs in a factor");
                real(all.into_iter().filter(|a| !axes.contains(a)).collect())
            }
            Op::Read { at, guarded } => self.infer_read(at, *guarded, args),
            Op::Fiber { red, at, over } => self.infer_fiber(*red, at, over, args),
            Op::Point(_) | Op::Stop => self.ty(args[0]).clone(),
            Op::Grad { axes, shared } => {
                let of = self.ty(args[0]).axes.iter().copied();
                let kept = axes.iter().map(|(_, name)| *name);
                let _ = shared;
                real(sorted(of.chain(kept)))
            }
            Op::Custom { inputs } => {
                assert_eq!(args.len(), 2 + 2 * *inputs as usize, "value, inputs, cotangent, cotangents");
                self.ty(args[0]).clone()
            }
        }
    }

    fn infer_reduce(&self, red: Red, axes: &Axes, x: NodeId) -> Type {
        let ty = self.ty(x);
        assert!(axes.iter().all(|a| ty.has(*a)), "reduced axes {axes:?} belong to the operand {:?}", ty.axes);
        let elem = match red {
            Red::ArgMax | Red::ArgMin => {
                assert_eq!(axes.len(), 1, "argmax goes over one axis");
                Elem::Index(axes[0].dim)
            }
            _ => ty.elem,
        };
        Type { elem, axes: ty.axes.iter().copied().filter(|a| !axes.contains(a)).collect() }
    }

    fn infer_read(&self, at: &Subst, guarded: bool, args: &[NodeId]) -> Type {
        let ty = self.ty(args[0]);
        assert!(at.iter().all(|(a, _)| ty.has(*a)), "substituted axes {at:?} belong to the operand {:?}", ty.axes);
        let kept = ty.axes.iter().copied().filter(|a| at.iter().all(|(b, _)| a != b));
        let mut axes: Vec<Axis> = kept.collect();
        for (_, to) in at {
            match to {
                At::Affine { terms, .. } => axes.extend(terms.iter().map(|t| t.1)),
                At::Arg(k) => axes.extend(self.ty(args[*k as usize]).axes.iter().copied()),
            }
        }
        if guarded {
            axes.extend(self.ty(*args.last().expect("a guarded read has a value outside")).axes.iter().copied());
        }
        Type { elem: ty.elem, axes: sorted(axes) }
    }

    fn infer_fiber(&self, red: Red, at: &Subst, over: &Axes, args: &[NodeId]) -> Type {
        let _ = red;
        let ty = self.ty(args[0]);
        // The operand is taken over the union of its axes and the reduced ones: along a reduced axis that it lacks, it repeats.
        let kept = ty.axes.iter().copied().filter(|a| !over.contains(a));
        let extra = args[1..].iter().flat_map(|a| self.ty(*a).axes.iter().copied()).filter(|a| !over.contains(a));
        let named = at.iter().map(|(a, _)| *a);
        Type { elem: ty.elem, axes: sorted(kept.chain(extra).chain(named)) }
    }

    /// The union of the operands' axes.
    pub fn union(&self, args: &[NodeId]) -> Axes {
        sorted(args.iter().flat_map(|a| self.ty(*a).axes.iter().copied()))
    }

    fn map_elem(&self, fun: Fun, args: &[NodeId]) -> Elem {
        let elem = |k: usize| self.ty(args[k]).elem;
        match fun {
            Fun::Lt
            | Fun::Le
            | Fun::Gt
            | Fun::Ge
            | Fun::Eq
            | Fun::Ne
            | Fun::And
            | Fun::Or
            | Fun::Not
            | Fun::IsFinite => Elem::Bool,
            Fun::ToReal => Elem::Real,
            Fun::ToInt => Elem::Int,
            Fun::Select if elem(1) == elem(2) => elem(1),
            Fun::Select => Elem::Int,
            Fun::Add | Fun::Mul | Fun::Sub | Fun::Min | Fun::Max | Fun::Neg | Fun::Abs | Fun::IntDiv | Fun::Mod
                if args.iter().all(|a| self.ty(*a).elem != Elem::Real) =>
            {
                Elem::Int
            }
            _ => {
                assert!(args.iter().all(|a| self.ty(*a).elem == Elem::Real), "{fun:?} takes reals");
                Elem::Real
            }
        }
    }
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
