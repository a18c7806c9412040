//! The Plan: kernels, buffers and their order. Every choice is made here; the emitters make none.
//! Law: kernels run one after the other in the order listed; a buffer is read only after what writes it.
//!
//! There are two templates of kernels. A [`Traversal`] is a loop nest with a fused body of scalar instructions; its
//! outermost loop may be split over threads at any place. A [`Contraction`] is a sum of products of two operands with an
//! optional epilogue, a body run on finished tiles. Bodies are the same small loop language, [`Stmt`] and [`Inst`].
//! Everything else is a [`LibraryCall`], or a [`Repeat`] of the plan of a loop's step.

pub mod arena;
mod cost;
pub mod interpret;
mod library;
mod repeat;
mod svg;
mod text;
mod uses;
mod verify;

pub use arena::{Arrangement, arrange, arrange_by};
pub(crate) use cost::additions;
pub use cost::{Estimate, Machine};
pub use library::{LibraryCall, Strided};
pub use repeat::Repeat;
pub(crate) use verify::overwrites_early;

use crate::graph::{Place, Red, Tables};
use gannet_lang::diag::Span;
use gannet_lang::ids;
use gannet_lang::program::{Axis, DimId, Dist, Fun, HyperId, InputId, Output, ParamId, SiteId, StateId};
use smallvec::SmallVec;
use std::sync::Arc;

ids! {
    /// A buffer.
    BufferId = "b";
    /// A scalar value in a kernel's body.
    ValueId = "v";
    /// A loop of a kernel.
    LoopId = "l";
}

/// The type of a stored number or of a scalar value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// f32, or f64 when the plan computes in double precision.
    Real,
    /// i32.
    Int,
    /// One byte when stored, 0 or 1.
    Bool,
}

/// A number of entries: a constant times sizes of dims that are known only when the plan is bound to data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The constant part (sizes of fixed dims are folded into it).
    pub factor: i64,
    /// Open dims, sorted; a dim may occur twice.
    pub dims: SmallVec<[DimId; 2]>,
}

impl Extent {
    /// A constant.
    pub fn constant(factor: i64) -> Self {
        Extent { factor, dims: SmallVec::new() }
    }

    /// The size of a dim.
    pub fn of(dim: DimId, tables: &Tables) -> Self {
        match tables.dims[dim.index()].size {
            gannet_lang::program::Size::Fixed(n) => Extent::constant(n as i64),
            _ => Extent { factor: 1, dims: SmallVec::from_slice(&[dim]) },
        }
    }

    /// The product.
    pub fn times(&self, other: &Extent) -> Extent {
        let mut dims = self.dims.clone();
        dims.extend(other.dims.iter().copied());
        dims.sort();
        Extent { factor: self.factor * other.factor, dims }
    }

    /// The value, given the sizes of all dims.
    pub fn eval(&self, sizes: &[u64]) -> i64 {
        self.dims.iter().fold(self.factor, |n, d| n * sizes[d.index()] as i64)
    }

    /// The number of entries of axes together, given the sizes of all dims.
    pub fn product(axes: &[Extent], sizes: &[u64]) -> i64 {
        axes.iter().map(|e| e.eval(sizes).max(0)).product()
    }

    /// Is it this constant?
    pub fn is(&self, n: i64) -> bool {
        self.factor == n && (self.dims.is_empty() || n == 0)
    }
}

/// Where a buffer's memory comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Home {
    /// A data input, given by the caller.
    Input(InputId),
    /// A parameter's memory. A kernel that writes it overwrites the value now: the plan's order makes that safe.
    Param(ParamId),
    /// A state's memory, likewise.
    State(StateId),
    /// An operand of the loop whose step this is, given by the loop.
    Arg(u32),
    /// A result that the caller reads after the run.
    Result,
    /// Scratch in the arena, live from its first write to its last read.
    Temp,
}

/// `ceil(extent / size)` blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    /// Entries in a block.
    pub size: i64,
    /// All entries.
    pub extent: Extent,
}

impl Blocks {
    /// How many, given the sizes of all dims.
    pub fn count(&self, sizes: &[u64]) -> i64 {
        let extent = self.extent.eval(sizes);
        (extent + self.size - 1) / self.size
    }
}

/// A buffer's number of entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries {
    /// In each block.
    pub each: Extent,
    /// The blocks, if there are any.
    pub blocks: Option<Blocks>,
}

impl Entries {
    /// The number, given the sizes of all dims.
    pub fn eval(&self, sizes: &[u64]) -> i64 {
        self.each.eval(sizes) * self.blocks.as_ref().map_or(1, |b| b.count(sizes))
    }
}

/// An array in memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// For dumps.
    pub name: String,
    /// Of one entry.
    pub kind: Kind,
    /// Row-major storage order.
    pub axes: Vec<Axis>,
    /// The blocks of a split reduction: an outermost axis that is no axis of the graph.
    pub blocks: Option<Blocks>,
    /// Where its memory comes from.
    pub home: Home,
}

/// The number of an entry of a buffer: `sum(coefficient * index * stride) + sum(coefficient * stride)`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Address {
    /// Index, coefficient, stride.
    pub terms: Vec<(Index, i64, Extent)>,
    /// Constant parts: coefficient, stride.
    pub offset: Vec<(i64, Extent)>,
}

/// A factor of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Index {
    /// A loop's counter.
    Loop(LoopId),
    /// A whole-number value (a gather).
    Value(ValueId),
}

/// What computes a scalar value.
#[derive(Clone, Debug, PartialEq)]
pub enum Inst {
    /// A number of the value's kind.
    Const(f64),
    /// A loop's counter, `Kind::Int`.
    Counter(LoopId),
    /// A dim's size, as the value's kind.
    Size(DimId),
    /// A hyperparameter.
    Hyper(HyperId),
    /// The step.
    Step,
    /// The entry of the finished tile (in epilogues only).
    Tile,
    /// A stored number.
    Load(BufferId, Address),
    /// A scalar function; operands have the kinds that `graph::Op::Map` asks for. Add and Mul may have many operands.
    Map(Fun, SmallVec<[ValueId; 3]>),
    /// A draw; the address numbers the entry.
    Random(Dist, SiteId, Address),
}

/// How far a loop runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// `0..extent`.
    Full(Extent),
    /// One block: `outer*size .. min(outer*size + size, extent)`; a `Blocks` loop is `outer`.
    Block {
        /// The loop over blocks.
        outer: LoopId,
        /// Entries in a block.
        size: i64,
        /// All entries.
        extent: Extent,
    },
    /// `0..ceil(extent / size)`: over blocks.
    Blocks {
        /// Entries in a block.
        size: i64,
        /// All entries.
        extent: Extent,
    },
}

impl Range {
    /// The number of iterations, given the sizes of all dims: of a block, that of a whole one.
    pub fn count(&self, sizes: &[u64]) -> i64 {
        let n = match self {
            Range::Full(extent) => extent.eval(sizes),
            Range::Block { size, extent, .. } => (*size).min(extent.eval(sizes)),
            Range::Blocks { size, extent } => (extent.eval(sizes) + size - 1) / size,
        };
        n.max(0)
    }

    /// The number of iterations, at most, if it is fixed.
    pub fn known(&self) -> Option<i64> {
        match self {
            Range::Full(e) => e.dims.is_empty().then_some(e.factor),
            Range::Block { size, .. } => Some(*size),
            Range::Blocks { size, extent } => extent.dims.is_empty().then(|| (extent.factor + size - 1) / size),
        }
    }
}

/// How a loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One entry after the other.
    Serial,
    /// Lanes at a time: addresses are unit-stride or constant along it (others are gathered lane by lane); accumulators
    /// have one partial result a lane, combined in a fixed order at the end. Statements and loops inside it are executed
    /// for all lanes together, so no inner loop's range depends on this loop.
    Vector,
}

/// A reduction over the iterations of a loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Acc {
    /// The result, defined after the loop.
    pub result: ValueId,
    /// How. For `ArgMax` and `ArgMin` the result is the counter of the first extremal entry.
    pub red: Red,
    /// What is reduced, defined inside the loop.
    pub value: ValueId,
}

/// A statement of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// Defines a value, once.
    Let(ValueId, Inst),
    /// A loop.
    Loop(Loop),
    /// Writes an entry.
    Store(BufferId, Address, ValueId),
    /// `entry = red(entry, value)`: only where no two threads can meet (the parallel loop is part of the address).
    Accumulate(Red, BufferId, Address, ValueId),
}

/// A loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// Its counter.
    pub id: LoopId,
    /// How far.
    pub range: Range,
    /// How.
    pub mode: Mode,
    /// Reductions over it.
    pub accs: Vec<Acc>,
    /// What is done each time.
    pub body: Vec<Stmt>,
}

/// Names and kinds of a kernel's values and loops.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The kind of each value, by id.
    pub values: Vec<Kind>,
    /// A name for each loop, by id.
    pub loops: Vec<String>,
}

/// A loop nest with a fused body.
#[derive(Clone, Debug)]
pub struct Traversal {
    /// For dumps and profiles: the equations it computes.
    pub name: String,
    /// The source it comes from.
    pub span: Span,
    /// Kinds of values.
    pub scope: Scope,
    /// The outermost loop: no accumulators; threads take parts of its range. Bodies of different iterations touch
    /// different entries.
    pub outer: Loop,
    /// May its range be split over threads? (`false` for scatters along it.)
    pub parallel: bool,
}

/// An operand or result of a contraction: strides of each of the contraction's loops in it, in the order of `batch`,
/// then of the two groups that it has.
#[derive(Clone, Debug)]
pub struct Access {
    /// Which buffer.
    pub buffer: BufferId,
    /// Stride along each batch axis (0 where the buffer lacks it).
    pub batch: Vec<Extent>,
    /// Strides along its first group: `m` for a and c, `k` for b.
    pub rows: Vec<Extent>,
    /// Strides along its second group: `k` for a, `n` for b and c.
    pub columns: Vec<Extent>,
    /// Where the first entry lies: coefficient, stride.
    pub offset: Vec<(i64, Extent)>,
}

impl Access {
    /// The number of the first entry, given the sizes of all dims.
    pub fn start(&self, sizes: &[u64]) -> i64 {
        self.offset.iter().map(|(c, stride)| c * stride.eval(sizes)).sum()
    }
}

/// `c[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n]`, each of batch, m, n, k being zero or more axes.
#[derive(Clone, Debug)]
pub struct Contraction {
    /// For dumps and profiles.
    pub name: String,
    /// The source it comes from.
    pub span: Span,
    /// Sizes of the batch axes.
    pub batch: Vec<Extent>,
    /// Sizes of the row axes.
    pub m: Vec<Extent>,
    /// Sizes of the column axes.
    pub n: Vec<Extent>,
    /// Sizes of the summed axes.
    pub k: Vec<Extent>,
    /// Left operand.
    pub a: Access,
    /// Right operand.
    pub b: Access,
    /// Where the sums are stored, unless the epilogue takes them.
    pub c: Option<Access>,
    /// What is done with finished tiles.
    pub epilogue: Option<Epilogue>,
}

/// A body over the entries of a finished tile. Only where `batch` is empty: its counters number the rows and the columns
/// in row-major order of `m` and `n`.
#[derive(Clone, Debug)]
pub struct Epilogue {
    /// Kinds of values.
    pub scope: Scope,
    /// The loop over rows (serial); its only statement besides row-wise values is the loop over columns (vector).
    pub rows: Loop,
    /// The counter of the columns' loop inside `rows`.
    pub columns: LoopId,
}

/// A kernel.
#[derive(Clone, Debug)]
pub enum Kernel {
    /// A loop nest.
    Traversal(Traversal),
    /// A sum of products.
    Contraction(Box<Contraction>),
    /// An operation of the library.
    Library(Box<LibraryCall>),
    /// A loop with states.
    Repeat(Box<Repeat>),
}

/// A truth value without axes that an earlier kernel writes, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where it stands.
    pub buffer: BufferId,
    /// True, or false?
    pub holds: bool,
}

/// A part of a kernel's work, by estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// Where its equations stand, and in which part of the step.
    pub place: Place,
    /// Of the kernel's work.
    pub share: f64,
}

/// What runs: kernels over buffers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the leaves are.
    pub tables: Arc<Tables>,
    /// Reals are f64.
    pub double: bool,
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// In the order in which they run.
    pub kernels: Vec<Kernel>,
    /// Of each kernel when it has to run: where one of the conditions fails, nobody looks at what it would write.
    pub only: Vec<Vec<Condition>>,
    /// Of each kernel what it computes, by place, the largest share first.
    pub sources: Vec<Vec<Source>>,
    /// Outputs and where they are found after the run. Where an output's buffer has the home of that very parameter or
    /// state, it is updated in place; where it has another one, the runtime copies it there after the last kernel.
    pub outputs: Vec<(Output, BufferId)>,
}

impl Plan {
    /// A buffer.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// The buffer of the operand of that number, if this is the step of a loop and reads it.
    pub fn argument(&self, k: usize) -> Option<BufferId> {
        self.buffers.iter().position(|b| b.home == Home::Arg(k as u32)).map(BufferId::new)
    }

    /// The number of entries of a buffer.
    pub fn entries(&self, id: BufferId) -> Entries {
        let buffer = self.buffer(id);
        let one = Extent::constant(1);
        let each = buffer.axes.iter().fold(one, |n, a| n.times(&Extent::of(a.dim, &self.tables)));
        Entries { each, blocks: buffer.blocks.clone() }
    }
}
