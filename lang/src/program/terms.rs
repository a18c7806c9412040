//! Dims, types, operations and terms.

use crate::diag::Span;
use crate::ids;
use crate::program::Lib;
use std::hash::{Hash, Hasher};

ids! {
    /// A dim of a unit.
    DimId = "d";
    /// A term.
    TermId = "t";
    /// A trained parameter tensor.
    ParamId = "w";
    /// A state tensor: of a rule, a net or a train block.
    StateId = "s";
    /// A data input.
    InputId = "in";
    /// A hyperparameter or other scalar that may change without compiling.
    HyperId = "h";
    /// A place in the program that draws random numbers.
    SiteId = "r";
    /// A point at which something is differentiated.
    PointId = "p";
    /// A loop with states.
    LoopId = "loop";
}

/// An index set.
#[derive(Clone, Debug, PartialEq)]
pub struct Dim {
    /// Its name; a number's dim is named by it.
    pub name: String,
    /// Its size.
    pub size: Size,
    /// Where it was declared, if anywhere.
    pub span: Option<Span>,
}

/// A dim's size.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    /// Known when the program was checked.
    Fixed(u64),
    /// Bound by the data, by an argument, or on the command line.
    Open,
    /// An integer expression over other dims.
    Of(SizeExpr),
}

/// An integer expression over dims.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq)]
pub enum SizeExpr {
    Const(i64),
    Dim(DimId),
    Add(Box<SizeExpr>, Box<SizeExpr>),
    Sub(Box<SizeExpr>, Box<SizeExpr>),
    Mul(Box<SizeExpr>, Box<SizeExpr>),
    Div(Box<SizeExpr>, Box<SizeExpr>),
    Mod(Box<SizeExpr>, Box<SizeExpr>),
}

/// An axis of a tensor: a dim, and which of several axes over the same dim it is.
///
/// The first axis over a dim has `ix` 0. A whole tensor `real[node, node]` has the axes `(node, 0)` and `(node, 1)`.
/// Two tensors that share an axis are aligned along it: broadcasting, batching and index notation are this one fact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Axis {
    /// The index set.
    pub dim: DimId,
    /// Which axis over that dim.
    pub ix: u32,
}

impl std::fmt::Debug for Axis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ix == 0 { write!(f, "{}", self.dim) } else { write!(f, "{}.{}", self.dim, self.ix) }
    }
}

/// The type of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Elem {
    /// f32, or f64 under `--real f64`.
    Real,
    /// A whole number (stored as i32).
    Int,
    /// 0 or 1 in arithmetic.
    Bool,
    /// An element of a dim: a number below its size (stored as i32).
    Index(DimId),
}

/// A term's type: element type and axes, in the order the user sees them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ty {
    /// Of one entry.
    pub elem: Elem,
    /// No axis occurs twice.
    pub axes: Vec<Axis>,
}

/// Scalar functions, applied entry by entry. The number of operands is fixed but for `Add` and `Mul`.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fun {
    Neg,
    Abs,
    /// -1, 0 or 1.
    Sign,
    /// 1/x.
    Recip,
    Exp,
    /// exp(x) - 1.
    Expm1,
    Log,
    /// log(1 + x).
    Log1p,
    Sqrt,
    Sin,
    Cos,
    Tan,
    Tanh,
    Sigmoid,
    /// log(1 + exp(x)).
    Softplus,
    Erf,
    Floor,
    Ceil,
    /// To the nearest, ties to even.
    Round,
    Not,
    /// 1 where neither NaN nor infinite.
    IsFinite,
    /// To `Elem::Real`.
    ToReal,
    /// To `Elem::Int`, rounding towards zero.
    ToInt,
    /// To the nearest number of single precision, ties to even; the same where reals are f32.
    ToF32,
    /// To the nearest number of IEEE half precision, ties to even; infinite beyond 65504.
    ToF16,
    /// To the nearest number with the exponents of f32 and 8 significant bits (bfloat16), ties to even.
    ToBf16,
    /// Sum of one or more operands.
    Add,
    /// Product of one or more operands.
    Mul,
    Sub,
    Div,
    Pow,
    Min,
    Max,
    Atan2,
    /// Whole division, rounded down.
    IntDiv,
    /// The remainder that has the divisor's sign.
    Mod,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Or,
    /// `Select(c, a, b)`: `a` where `c`, else `b`; the branch not taken never makes a NaN, nor in the gradient.
    Select,
}

/// Reductions over axes.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Red {
    Sum,
    Prod,
    Max,
    Min,
    Any,
    All,
    /// The first index of the largest entry; over one axis only.
    ArgMax,
    /// The first index of the smallest entry; over one axis only.
    ArgMin,
    /// Sum divided by the number of entries; 0 over nothing.
    Mean,
    /// Mean squared deviation from the mean.
    Var,
    /// log of the sum of exponentials, stable.
    LogSumExp,
    /// The number of entries for which the guard holds (of true ones without a guard).
    Count,
}

/// Distributions of counter-based random numbers (Philox 4x32-10, Salmon et al. 2011).
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dist {
    /// Mean 0, standard deviation 1.
    Normal,
    /// In (0, 1).
    Uniform,
    /// -1 or 1.
    Rademacher,
    /// Standard Gumbel.
    Gumbel,
    /// Mean 1.
    Exponential,
}

/// Where a read takes an axis of its operand from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// `sum(coefficient * axis) + offset`; one axis with coefficient 1 and offset 0 is a renaming.
    Affine {
        /// Coefficient and axis.
        terms: Vec<(i64, Axis)>,
        /// The constant part.
        offset: i64,
    },
    /// An index array or whole-number term.
    Term(TermId),
}

/// A variable and the tangent along which it moves.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Direction {
    /// A `Param` or `Point`.
    pub wrt: TermId,
    /// Names of `wrt`'s axes in the tangent, in the order of `wrt`'s type. The tangent repeats along those it lacks.
    pub axes: Vec<Axis>,
    /// Real.
    pub tangent: TermId,
}

/// The operations of the Program.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A number.
    Const(f64),
    /// A data input.
    Input(InputId),
    /// A parameter's value now.
    Param(ParamId),
    /// A state's value now.
    State(StateId),
    /// A hyperparameter.
    Hyper(HyperId),
    /// The step, from 1.
    Step,
    /// A dim's size as a number.
    Size(DimId),
    /// The index along an axis, as `Elem::Index`.
    Iota(Axis),
    /// Entry by entry, aligned by axes; the result has the union of the operands' axes.
    Map(Fun, Vec<TermId>),
    /// Over axes of `of`; entries where `guard` is false do not take part.
    Reduce {
        /// How.
        red: Red,
        /// Along which axes.
        axes: Vec<Axis>,
        /// Of what.
        of: TermId,
        /// Only where this holds.
        guard: Option<TermId>,
    },
    /// Over the entries of `over` along the fibers of an index array: `result[j]` is over those with `key = j`. Axes:
    /// those of the operands without `over`, and `at`, which no operand has. Over nothing: 0 for sum, count, mean, var,
    /// argmax and argmin, 1 for prod, -inf for max and logsumexp, inf for min.
    Fiber {
        /// How.
        red: Red,
        /// The axes that the key goes over.
        over: Vec<Axis>,
        /// Of what.
        of: TermId,
        /// The result's axis.
        at: Axis,
        /// For each entry the index along `at` to which it belongs.
        key: TermId,
        /// Only where this holds.
        guard: Option<TermId>,
    },
    /// Substitutes axes of `of`. Axes not named stay. Without `otherwise` every index is known to be in range.
    Read {
        /// What is read.
        of: TermId,
        /// Axis and what it becomes.
        at: Vec<(Axis, At)>,
        /// The value outside.
        otherwise: Option<TermId>,
    },
    /// Repeats nothing, only names positions: the same values with the axes in the type's order.
    View(TermId),
    /// Random numbers over the type's axes, one draw for each (seed, site, step, entry).
    Random(Dist, SiteId),
    /// A point: the same value, at which a derivative is taken.
    Point(TermId, PointId),
    /// The gradient of `of` with respect to `wrt`, a `Param` or `Point`. Axes of `of` that are not in `shared`
    /// are kept (a Jacobian); for each axis of `wrt`, `axes` has its name in the result; an axis in `shared` belongs
    /// to both (each entry of `of` along it depends on the same entry of `wrt`).
    Grad {
        /// What is differentiated.
        of: TermId,
        /// With respect to.
        wrt: TermId,
        /// Names of `wrt`'s axes in the result, in the order of `wrt`'s type.
        axes: Vec<Axis>,
        /// Axes along which both are independent copies.
        shared: Vec<Axis>,
    },
    /// The directional derivative of `of`: how it changes as each direction's variable moves along its tangent, all at
    /// once. Axes of a tangent that are not among the names of its variable's axes are independent directions, and
    /// axes of the result; one that `of` has too belongs to both.
    Along {
        /// What is differentiated.
        of: TermId,
        /// What moves, and where to.
        by: Vec<Direction>,
    },
    /// All entries of several tensors as one vector along `axis`, one after the other, each in row-major order of the
    /// axes that stand beside it, whose sizes are fixed. Further axes stay.
    Flat {
        /// Tensors with the axes that are laid out.
        parts: Vec<(TermId, Vec<Axis>)>,
        /// The axis of the vector.
        axis: Axis,
    },
    /// The same value, with no gradient.
    Stop(TermId),
    /// `value` with a gradient by hand: the cotangent of `inputs[k]` is `back[k]`, a term in which the point
    /// `cotangent` stands for the cotangent of `value`. Both `inputs` and `cotangent` are `Point` terms.
    Custom {
        /// The forward value, computed from the inputs.
        value: TermId,
        /// The inputs that get a gradient.
        inputs: Vec<TermId>,
        /// Stands for the cotangent.
        cotangent: TermId,
        /// One for each input.
        back: Vec<TermId>,
    },
    /// A library operation; it has no value of its own, only [`Op::Part`]s.
    Library(Lib, Vec<TermId>),
    /// A result of an operation that has several.
    Part(TermId, u8),
    /// The value now of a state of a loop: a leaf of the loop's body.
    LoopState(LoopId, u32),
    /// What a loop gives. `needs` are the terms that the loop is made of: first and next values of its states, its
    /// condition, and the term that is kept.
    LoopOut {
        /// Which loop.
        of: LoopId,
        /// Which of its results.
        part: LoopPart,
        /// All terms of the loop that the result needs.
        needs: Vec<TermId>,
    },
}

/// A result of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoopPart {
    /// The value of a state after the last step.
    Last(u32),
    /// A term of the body at every step: it has the loop's axis besides its own. 0 at steps that were not taken.
    Each(TermId),
    /// How many steps were taken, `Elem::Int`.
    Steps,
}

impl LoopPart {
    /// The term that is kept of every step.
    pub fn term(&self) -> Option<TermId> {
        match self {
            LoopPart::Each(t) => Some(*t),
            LoopPart::Last(_) | LoopPart::Steps => None,
        }
    }
}

/// Where a loop looks at its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoopTest {
    /// Before a step, on the states as they are: without it the step is not taken.
    Before,
    /// After a step, on states and next values: without it the step was the last one.
    After,
}

/// A loop with states (`scan`, `iterate`, `fix`). Its body are the terms that depend on its `LoopState`s; what does not
/// is computed once for all steps, over the loop's axis where it varies with the step.
#[derive(Clone, Debug)]
pub struct Loop {
    /// One place for each step. A term of the body may have it; a state has it not.
    pub axis: Axis,
    /// Is the result a fixed point, and how is its implicit gradient solved?
    pub fixed: Option<Implicit>,
    /// Of each state: its first value, over exactly the axes of the state.
    pub first: Vec<TermId>,
    /// Of each state: its next value.
    pub next: Vec<TermId>,
    /// While this truth value holds, there is a next step (up to the axis's size).
    pub go_on: Option<(LoopTest, TermId)>,
}

/// How the linear equation of an implicit gradient, `(1 - J) u = g` with the derivative `J` of a step, is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Implicit {
    /// By repeating `u' = g + J u`, which needs a step that contracts.
    Repeat,
    /// By conjugate gradients, which need `1 - J` to be symmetric and positive definite.
    Conjugate,
}

/// Constants are hashed by their bits; all else as it stands.
impl Hash for Op {
    fn hash<H: Hasher>(&self, h: &mut H) {
        std::mem::discriminant(self).hash(h);
        match self {
            Op::Const(x) => x.to_bits().hash(h),
            Op::Input(id) => id.hash(h),
            Op::Param(id) => id.hash(h),
            Op::State(id) => id.hash(h),
            Op::Hyper(id) => id.hash(h),
            Op::Step => {}
            Op::Size(dim) => dim.hash(h),
            Op::Iota(axis) => axis.hash(h),
            Op::Map(fun, xs) => (fun, xs).hash(h),
            Op::Reduce { red, axes, of, guard } => (red, axes, of, guard).hash(h),
            Op::Fiber { red, over, of, at, key, guard } => (red, over, of, at, key, guard).hash(h),
            Op::Read { of, at, otherwise } => (of, at, otherwise).hash(h),
            Op::View(x) | Op::Stop(x) => x.hash(h),
            Op::Random(dist, site) => (dist, site).hash(h),
            Op::Point(x, point) => (x, point).hash(h),
            Op::Grad { of, wrt, axes, shared } => (of, wrt, axes, shared).hash(h),
            Op::Along { of, by } => (of, by).hash(h),
            Op::Flat { parts, axis } => (parts, axis).hash(h),
            Op::Custom { value, inputs, cotangent, back } => (value, inputs, cotangent, back).hash(h),
            Op::Library(lib, xs) => (lib, xs).hash(h),
            Op::Part(x, k) => (x, k).hash(h),
            Op::LoopState(l, k) => (l, k).hash(h),
            Op::LoopOut { of, part, needs } => (of, part, needs).hash(h),
        }
    }
}

ids! {
    /// A run that a check or task needs.
    RunId = "run";
}

/// A term: operation, type, place.
#[derive(Clone, Debug)]
pub struct Term {
    /// The operation.
    pub op: Op,
    /// Its type.
    pub ty: Ty,
    /// The expression it stands for.
    pub span: Span,
}
