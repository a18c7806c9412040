//! Writes the bodies of kernels: values of nodes at places given by loops, each value in the outermost loop that knows
//! what it needs.
//! Law: a value is defined once in a loop's body, before its uses; a load never comes before the store that it reads.

mod reads;

use super::context::Context;
use super::refs::Stored;
use crate::graph::{Axes, NodeId, Op, Red};
use crate::plan::{Acc, Address, BufferId, Extent, Index, Inst, Kind, Loop, LoopId, Mode, Range, Scope, Stmt, ValueId};
use gannet_lang::program::{Axis, Fun};
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;

/// An index: a sum of counters and whole-number values with coefficients, and a constant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pos {
    terms: SmallVec<[(Index, i64); 2]>,
    offset: i64,
}

impl Pos {
    /// So much further on.
    pub fn moved(&self, by: i64) -> Self {
        Pos { offset: self.offset + by, ..self.clone() }
    }

    /// A loop's counter.
    pub fn counter(id: LoopId) -> Self {
        Pos { terms: smallvec![(Index::Loop(id), 1)], offset: 0 }
    }

    fn value(id: ValueId) -> Self {
        Pos { terms: smallvec![(Index::Value(id), 1)], offset: 0 }
    }

    fn add(&mut self, c: i64, other: &Pos) {
        self.offset += c * other.offset;
        for (index, d) in &other.terms {
            match self.terms.iter_mut().find(|t| t.0 == *index) {
                Some(term) => term.1 += c * d,
                None => self.terms.push((*index, c * d)),
            }
        }
        self.terms.retain(|t| t.1 != 0);
        self.terms.sort();
    }
}

/// Where along each axis.
pub(super) type Env = SmallVec<[(Axis, Pos); 4]>;

/// The place along an axis.
fn at(env: &Env, axis: Axis) -> &Pos {
    &env.iter().find(|(a, _)| *a == axis).unwrap_or_else(|| panic!("fuse: axis {axis:?} has no place")).1
}

/// An open loop.
struct Level {
    id: LoopId,
    range: Range,
    body: Vec<Stmt>,
    /// Written at the end of the body, after all loads of the old values.
    stores: Vec<Stmt>,
    known: BTreeMap<(NodeId, Env), ValueId>,
}

/// A body being written.
pub(super) struct Builder<'a, 'g> {
    cx: &'a Context<'g>,
    scope: Scope,
    levels: Vec<Level>,
    /// The level of each value, by id.
    depths: Vec<usize>,
    /// The contraction whose tiles this body takes.
    tile: Option<NodeId>,
}

impl<'a, 'g> Builder<'a, 'g> {
    /// An empty body.
    pub fn new(cx: &'a Context<'g>, tile: Option<NodeId>) -> Self {
        Builder { cx, scope: Scope::default(), levels: Vec::new(), depths: Vec::new(), tile }
    }

    /// Opens a loop inside the innermost one.
    pub fn open(&mut self, range: Range, name: String) -> LoopId {
        let id = LoopId::new(self.scope.loops.len());
        self.scope.loops.push(name);
        let level = Level { id, range, body: Vec::new(), stores: Vec::new(), known: BTreeMap::new() };
        self.levels.push(level);
        id
    }

    /// Opens a loop along an axis.
    pub fn open_axis(&mut self, axis: Axis) -> Pos {
        let range = Range::Full(self.cx.extent(axis));
        Pos::counter(self.open(range, self.axis_name(axis)))
    }

    fn axis_name(&self, axis: Axis) -> String {
        let name = &self.cx.graph.tables.dims[axis.dim.index()].name;
        if axis.ix == 0 { name.clone() } else { format!("{name}.{}", axis.ix) }
    }

    /// The innermost loop, closed.
    fn pop(&mut self, accs: Vec<Acc>) -> Loop {
        let Level { id, range, mut body, stores, .. } = self.levels.pop().expect("a loop is open");
        body.extend(stores);
        Loop { id, range, mode: Mode::Serial, accs, body }
    }

    /// Closes the innermost loop.
    pub fn close(&mut self) {
        let inner = self.pop(Vec::new());
        self.levels.last_mut().expect("the outermost loop is finished").body.push(Stmt::Loop(inner));
    }

    /// Closes the outermost loop.
    pub fn finish(mut self) -> (Loop, Scope) {
        while self.levels.len() > 1 {
            self.close();
        }
        (self.pop(Vec::new()), self.scope)
    }

    /// The id that the next loop gets.
    pub fn next_loop(&self) -> LoopId {
        LoopId::new(self.scope.loops.len())
    }

    /// The number of open loops.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Writes a value at the end of the innermost loop's body.
    pub fn store(&mut self, buffer: BufferId, address: Address, value: ValueId) {
        self.levels.last_mut().expect("a loop is open").stores.push(Stmt::Store(buffer, address, value));
    }

    /// Combines a value with an entry, at the end of the innermost loop's body.
    pub fn accumulate(&mut self, red: Red, buffer: BufferId, address: Address, value: ValueId) {
        self.levels.last_mut().expect("a loop is open").stores.push(Stmt::Accumulate(red, buffer, address, value));
    }

    /// The address of an entry of a buffer.
    pub fn address(&self, buffer: BufferId, env: &Env) -> Address {
        let axes = &self.cx.buffers[buffer.index()].axes;
        self.flat(axes, env)
    }

    /// The number of an entry in row-major order.
    fn flat(&self, axes: &[Axis], env: &Env) -> Address {
        let mut address = Address::default();
        for (axis, stride) in axes.iter().zip(self.cx.strides(axes)) {
            let pos = at(env, *axis);
            address.terms.extend(pos.terms.iter().map(|(index, c)| (*index, *c, stride.clone())));
            if pos.offset != 0 {
                address.offset.push((pos.offset, stride));
            }
        }
        address
    }

    /// The value of a root, computed even if it is stored.
    pub fn define(&mut self, id: NodeId, env: &Env) -> ValueId {
        let env = self.restrict(id, env);
        if let Some(v) = self.known(id, &env) {
            return v;
        }
        let v = self.compute(id, &env);
        self.remember(id, env, v);
        v
    }

    /// The value of a node.
    pub fn value(&mut self, id: NodeId, env: &Env) -> ValueId {
        let env = self.restrict(id, env);
        if let Some(v) = self.known(id, &env) {
            return v;
        }
        let v = match self.cx.place.get(&Stored::Node(id)) {
            Some(&buffer) if self.tile != Some(id) => {
                let address = self.address(buffer, &env);
                self.put(self.cx.kind(id), Inst::Load(buffer, address))
            }
            _ => self.compute(id, &env),
        };
        self.remember(id, env, v);
        v
    }

    fn restrict(&self, id: NodeId, env: &Env) -> Env {
        self.cx.graph.ty(id).axes.iter().map(|a| (*a, at(env, *a).clone())).collect()
    }

    fn known(&self, id: NodeId, env: &Env) -> Option<ValueId> {
        let key = (id, env.clone());
        self.levels.iter().find_map(|l| l.known.get(&key).copied())
    }

    fn remember(&mut self, id: NodeId, env: Env, v: ValueId) {
        let depth = self.depths[v.index()];
        self.levels[depth].known.insert((id, env), v);
    }

    fn index_depth(&self, index: Index) -> usize {
        match index {
            Index::Value(v) => self.depths[v.index()],
            Index::Loop(id) => self.levels.iter().position(|l| l.id == id).expect("the loop is open"),
        }
    }

    fn env_depth(&self, env: &Env) -> usize {
        env.iter().flat_map(|(_, p)| p.terms.iter()).map(|t| self.index_depth(t.0)).max().unwrap_or(0)
    }

    /// The outermost level at which an instruction can stand.
    fn inst_depth(&self, inst: &Inst) -> usize {
        let address = |a: &Address| a.terms.iter().map(|t| self.index_depth(t.0)).max().unwrap_or(0);
        match inst {
            Inst::Const(_) | Inst::Size(_) | Inst::Hyper(_) | Inst::Step => 0,
            Inst::Counter(id) => self.index_depth(Index::Loop(*id)),
            Inst::Tile => self.levels.len() - 1,
            Inst::Load(_, a) | Inst::Random(_, _, a) => address(a),
            Inst::Map(_, args) => args.iter().map(|v| self.depths[v.index()]).max().unwrap_or(0),
        }
    }

    fn new_value(&mut self, kind: Kind, depth: usize) -> ValueId {
        self.scope.values.push(kind);
        self.depths.push(depth);
        ValueId::new(self.depths.len() - 1)
    }

    /// Defines a value at the outermost level possible, or finds the same one.
    fn put(&mut self, kind: Kind, inst: Inst) -> ValueId {
        let depth = self.inst_depth(&inst);
        // A load is known by its node, not by its address: memory may change between.
        if !matches!(inst, Inst::Load(..)) {
            for s in &self.levels[depth].body {
                if let Stmt::Let(v, known) = s
                    && *known == inst
                    && self.scope.values[v.index()] == kind
                {
                    return *v;
                }
            }
        }
        let v = self.new_value(kind, depth);
        self.levels[depth].body.push(Stmt::Let(v, inst));
        v
    }

    fn constant(&mut self, kind: Kind, n: f64) -> ValueId {
        self.put(kind, Inst::Const(n))
    }

    fn map(&mut self, kind: Kind, fun: Fun, args: &[ValueId]) -> ValueId {
        self.put(kind, Inst::Map(fun, args.iter().copied().collect()))
    }

    /// An index as a whole number.
    fn pos_value(&mut self, pos: &Pos) -> ValueId {
        let mut sum: Vec<ValueId> = Vec::new();
        for (index, c) in &pos.terms {
            let v = match index {
                Index::Loop(id) => self.put(Kind::Int, Inst::Counter(*id)),
                Index::Value(v) => *v,
            };
            sum.push(if *c == 1 {
                v
            } else {
                let c = self.constant(Kind::Int, *c as f64);
                self.map(Kind::Int, Fun::Mul, &[v, c])
            });
        }
        if pos.offset != 0 || sum.is_empty() {
            sum.push(self.constant(Kind::Int, pos.offset as f64));
        }
        if sum.len() == 1 { sum[0] } else { self.map(Kind::Int, Fun::Add, &sum) }
    }

    /// A sum without some of its terms.
    pub fn rest(&mut self, id: NodeId, without: &[NodeId], env: &Env) -> ValueId {
        let terms = self.cx.graph.node(id).args.iter().filter(|a| !without.contains(a));
        let values: SmallVec<[ValueId; 4]> = terms.map(|a| self.value(*a, env)).collect();
        match values.len() {
            0 => self.neutral(self.cx.kind(id), Red::Sum),
            1 => values[0],
            _ => self.map(self.cx.kind(id), Fun::Add, &values),
        }
    }

    fn compute(&mut self, id: NodeId, env: &Env) -> ValueId {
        let node = self.cx.graph.node(id);
        let kind = self.cx.kind(id);
        if self.tile == Some(id) {
            return self.put(kind, Inst::Tile);
        }
        if self.cx.splits.contains_key(&id) {
            return self.join_partials(id, env);
        }
        match &node.op {
            Op::Input(_) | Op::Param(_) | Op::State(_) | Op::Arg(..) => {
                unreachable!("fuse: {id} has no buffer")
            }
            Op::Hyper(h) => self.put(kind, Inst::Hyper(*h)),
            Op::Step => self.put(kind, Inst::Step),
            Op::Const(n, _) => self.constant(kind, n.get()),
            Op::Size(dim) => self.put(kind, Inst::Size(*dim)),
            Op::Iota(axis) => self.pos_value(at(env, *axis)),
            Op::Random(dist, site, axes) => {
                let address = self.flat(axes, env);
                self.put(kind, Inst::Random(*dist, *site, address))
            }
            Op::Map(fun) => {
                let args: SmallVec<[ValueId; 4]> = node.args.iter().map(|a| self.value(*a, env)).collect();
                self.map(kind, *fun, &args)
            }
            Op::Reduce(red, axes) => self.reduce(*red, axes, &node.args, env, kind, None),
            Op::Contract(axes) => self.reduce(Red::Sum, axes, &node.args, env, kind, None),
            Op::Read { at, guarded } => self.read(id, at, *guarded, env),
            Op::Fiber { red, at, over } => {
                assert!(over.is_empty(), "fuse: a scatter has a kernel of its own");
                self.one_hot(id, *red, at, env)
            }
            Op::Library(_) | Op::Loop(_) | Op::Part(_) => unreachable!("fuse: {id} is not computed in a body"),
            Op::Point(_) | Op::Grad { .. } | Op::Along(_) | Op::Custom { .. } | Op::Stop => {
                panic!("fuse: {id} is removed by differentiation: {:?}", node.op)
            }
        }
    }

    /// A reduction of the product of `factors`, in loops where its place is known; `block` replaces one axis's range.
    fn reduce(
        &mut self,
        red: Red,
        axes: &Axes,
        factors: &[NodeId],
        env: &Env,
        kind: Kind,
        block: Option<(Axis, Range)>,
    ) -> ValueId {
        let mut depth = self.env_depth(env);
        if let Some((_, Range::Block { outer, .. })) = &block {
            depth = depth.max(self.index_depth(Index::Loop(*outer)));
        }
        let saved = self.levels.split_off(depth + 1);
        let mut inner = env.clone();
        for axis in self.inner_order(factors, axes) {
            let full = Range::Full(self.cx.extent(axis));
            let range = block.as_ref().filter(|b| b.0 == axis).map_or(full, |b| b.1.clone());
            let id = self.open(range, self.axis_name(axis));
            inner.retain(|e| e.0 != axis);
            inner.push((axis, Pos::counter(id)));
        }
        let values: SmallVec<[ValueId; 4]> = factors.iter().map(|f| self.value(*f, &inner)).collect();
        let element = self.cx.kind(factors[0]);
        let value = if values.len() == 1 { values[0] } else { self.map(element, Fun::Mul, &values) };
        let mut value = self.inside(value, element);
        for _ in axes {
            let level = self.levels.len() - 1;
            let result = self.new_value(kind, level - 1);
            let done = self.pop(vec![Acc { result, red, value }]);
            self.levels[level - 1].body.push(Stmt::Loop(done));
            value = result;
        }
        self.levels.extend(saved);
        value
    }

    /// Order of reduced axes, outermost first: the storage order of what is read.
    fn inner_order(&self, factors: &[NodeId], axes: &Axes) -> Vec<Axis> {
        let mut order: Vec<Axis> = axes.to_vec();
        let model = factors.iter().map(|f| match self.cx.orders.get(f) {
            Some(order) => order.clone(),
            None => self.cx.model_order(*f, axes),
        });
        let shared = |o: &Vec<Axis>| o.iter().filter(|a| axes.contains(a)).count();
        let model = model.reduce(|a, b| if shared(&b) > shared(&a) { b } else { a }).unwrap_or_default();
        order.sort_by_key(|a| (model.iter().position(|m| m == a).map_or(0, |p| p + 1), *a));
        order
    }

    /// A value as one that is defined in the innermost loop.
    fn inside(&mut self, value: ValueId, kind: Kind) -> ValueId {
        let depth = self.levels.len() - 1;
        if self.depths[value.index()] == depth {
            return value;
        }
        let fun = if kind == Kind::Bool { Fun::Or } else { Fun::Max };
        let v = self.new_value(kind, depth);
        self.levels[depth].body.push(Stmt::Let(v, Inst::Map(fun, smallvec![value, value])));
        v
    }

    /// One block's part of a split reduction; `outer` counts the blocks.
    pub fn partial(&mut self, id: NodeId, env: &Env, outer: LoopId) -> ValueId {
        let node = self.cx.graph.node(id);
        let split = self.cx.splits[&id];
        let (red, axes) = match &node.op {
            Op::Reduce(red, axes) => (*red, axes),
            Op::Contract(axes) => (Red::Sum, axes),
            op => unreachable!("fuse: {op:?} is not split"),
        };
        let range = Range::Block { outer, size: split.size, extent: self.cx.extent(split.axis) };
        self.reduce(red, axes, &node.args, env, self.cx.kind(id), Some((split.axis, range)))
    }

    /// The sum of all blocks' parts.
    fn join_partials(&mut self, id: NodeId, env: &Env) -> ValueId {
        let split = self.cx.splits[&id];
        let red = match &self.cx.graph.node(id).op {
            Op::Reduce(red, _) => *red,
            _ => Red::Sum,
        };
        let saved = self.levels.split_off(self.env_depth(env) + 1);
        let range = Range::Blocks { size: split.size, extent: self.cx.extent(split.axis) };
        let block = self.open(range, format!("{} blocks", self.axis_name(split.axis)));
        let buffer = self.cx.place[&Stored::Partial(id)];
        let address = self.block_address(buffer, block, env);
        let value = self.put(self.cx.kind(id), Inst::Load(buffer, address));
        let depth = self.levels.len() - 2;
        let result = self.new_value(self.cx.kind(id), depth);
        let done = self.pop(vec![Acc { result, red, value }]);
        self.levels[depth].body.push(Stmt::Loop(done));
        self.levels.extend(saved);
        result
    }

    /// The address of a block's entry in a buffer of partial results.
    pub fn block_address(&self, buffer: BufferId, block: LoopId, env: &Env) -> Address {
        let axes = &self.cx.buffers[buffer.index()].axes;
        let mut address = self.flat(axes, env);
        let entries = axes.iter().fold(Extent::constant(1), |n, a| n.times(&self.cx.extent(*a)));
        address.terms.insert(0, (Index::Loop(block), 1, entries));
        address
    }
}
