//! The Program: what a checked source means, as typed terms over named axes.
//! Law: a term's operands have smaller ids than the term; every term has a type; nothing in here can still be a
//! user's mistake, so everything later that fails is our bug.
//!
//! A source is elaborated by instantiation: functions, nets and rules are applied where they are called, with their
//! static arguments known, so a [`Unit`] holds first-order equations only. One unit is one train block (with one choice
//! of static arguments), one task or one check. It carries several [`Function`]s (first values, step, reports, the
//! trained nets) over one arena of terms.

use crate::diag::Span;
use crate::ids;

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
#[derive(Clone, Debug, PartialEq)]
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
    /// The report of a run, a scalar (only in checks and tasks).
    Run(RunId, String),
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

/// What part of the data an input holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// The rows of the current batch (the dim `batch`).
    Batch,
    /// Every row (the dim named like the data set).
    All,
    /// The rows of a split (`train`, `test`).
    Split(String),
    /// An argument of a function (a trained net called from outside).
    Argument,
}

/// A data input.
#[derive(Clone, Debug)]
pub struct Input {
    /// `digits.image`.
    pub name: String,
    /// The field (index into the data set's fields), if it comes from data.
    pub field: Option<usize>,
    /// Which rows.
    pub part: Part,
    /// Its type, the rows' axis first.
    pub ty: Ty,
}

/// What a tensor is for; rules choose by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The default.
    Weight,
    /// Added to something.
    Bias,
    /// Multiplies a normalized value.
    Scale,
}

/// A parameter tensor.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its path: `f.linear1.w`.
    pub name: String,
    /// Its type.
    pub ty: Ty,
    /// What it is for.
    pub role: Role,
    /// Where it was declared.
    pub span: Span,
}

/// A state tensor.
#[derive(Clone, Debug)]
pub struct State {
    /// Its path: `adam.m.f.linear1.w`.
    pub name: String,
    /// Its type.
    pub ty: Ty,
    /// Where it was declared.
    pub span: Span,
}

/// A scalar argument of the program.
#[derive(Clone, Debug)]
pub struct Hyper {
    /// Its name, as `--set` takes it.
    pub name: String,
    /// Its value unless set.
    pub default: f64,
}

/// What a function's output is.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A parameter's (first or next) value.
    Param(ParamId),
    /// A state's (first or next) value.
    State(StateId),
    /// The loss of the step.
    Loss,
    /// A reported value, by position in [`Unit::reports`].
    Report(usize),
    /// The condition of a check, or the value of a net.
    Value(String),
}

/// A part of a unit that is compiled on its own.
#[derive(Clone, Debug)]
pub struct Function {
    /// `init`, `step`, `report` (test split or all data), `report on train`, `net f`, `check`.
    pub name: String,
    /// Outputs and their terms.
    pub outputs: Vec<(Output, TermId)>,
}

/// A report of a train block or task.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// The split it is exact over; `None`: the test split, or all the data where there is none.
    pub on: Option<String>,
    /// Also every so many steps (or epochs, if the flag is set).
    pub every: Option<(u64, bool)>,
    /// Its type.
    pub ty: Ty,
    /// Drawn as a curve.
    pub plot: bool,
}

/// How long and on what a train block runs.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// The rows of a batch; `None`: all rows at once.
    pub batch: Option<u64>,
    /// Passes over the training rows.
    pub epochs: Option<u64>,
    /// Steps; wins over `epochs`.
    pub steps: Option<u64>,
}

/// A run that a check or task needs: a train block with arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The train block.
    pub train: String,
    /// Arguments in the order given; `seed` is one of them.
    pub args: Vec<(String, f64)>,
    /// Where it stands.
    pub span: Span,
}

/// Which kind of program.
#[derive(Clone, Debug, PartialEq)]
pub enum UnitKind {
    /// A train block.
    Train,
    /// A task.
    Task,
    /// A check.
    Check,
}

/// One elaborated program.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The train block's or task's name, the check's text.
    pub name: String,
    /// Which kind.
    pub kind: UnitKind,
    /// Computes in double precision whatever the option.
    pub double: bool,
    /// Dims; terms speak of them by id.
    pub dims: Vec<Dim>,
    /// All terms of all functions.
    pub terms: Vec<Term>,
    /// Names of equations, for dumps and reports of faults, in order of definition.
    pub names: Vec<(String, TermId)>,
    /// Data inputs.
    pub inputs: Vec<Input>,
    /// Parameters.
    pub params: Vec<Param>,
    /// States.
    pub states: Vec<State>,
    /// Scalar arguments.
    pub hypers: Vec<Hyper>,
    /// Number of sites that draw random numbers.
    pub sites: u32,
    /// The data set it runs on, by position in [`Program::data`].
    pub data: Option<usize>,
    /// The dim of batches.
    pub batch: Option<DimId>,
    /// How long it runs.
    pub schedule: Schedule,
    /// Its reports.
    pub reports: Vec<Report>,
    /// Runs that it needs.
    pub runs: Vec<Run>,
    /// Its functions.
    pub functions: Vec<Function>,
}

impl Unit {
    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == name)
    }

    /// A term.
    pub fn term(&self, id: TermId) -> &Term {
        &self.terms[id.index()]
    }
}

/// Where a field's values come from; computed in f64 when the data are loaded.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldExpr {
    /// Columns `from..to` of the table.
    Columns(usize, usize),
    /// One column by number.
    Column(usize),
    /// One column by the header's name.
    Named(String),
    /// A whole array: a file in the source's folder.
    File(String),
    /// The source itself, if it is one array (npy, idx).
    Whole,
    /// A number.
    Number(f64),
    /// A scalar function of such values.
    Map(Fun, Vec<FieldExpr>),
}

/// A field of a data set.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Element type of one row; an index is checked against its dim when loaded. Dims are those of [`Program::dims`].
    pub elem: Elem,
    /// Dims of one row.
    pub dims: Vec<DimId>,
    /// Where the values come from.
    pub value: FieldExpr,
    /// Where the field was declared.
    pub span: Span,
}

/// How the rows of a split are found.
#[derive(Clone, Debug)]
pub enum Split {
    /// This part of the rows, drawn with the seed.
    Part {
        /// Its name.
        name: String,
        /// 0 to 1.
        part: f64,
    },
    /// Files of its own: for each field (by position) its values.
    From {
        /// Its name.
        name: String,
        /// One for each field.
        fields: Vec<FieldExpr>,
    },
}

/// A data set.
#[derive(Clone, Debug)]
pub struct Data {
    /// Its name.
    pub name: String,
    /// The file or folder as written; `None`: synthetic, drawn by the unit's `data` function.
    pub source: Option<String>,
    /// Its fields.
    pub fields: Vec<Field>,
    /// Its splits.
    pub splits: Vec<Split>,
    /// Where it was declared.
    pub span: Span,
}

/// A checked source file.
#[derive(Clone, Debug)]
pub struct Program {
    /// Dims declared at the top level (a unit's own dims start with these, under the same ids).
    pub dims: Vec<Dim>,
    /// Data sets.
    pub data: Vec<Data>,
    /// Train blocks and tasks with their default arguments, in order.
    pub units: Vec<Unit>,
    /// Checks, in order.
    pub checks: Vec<Unit>,
}
