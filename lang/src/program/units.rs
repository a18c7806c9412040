//! Units: what the leaves of terms are, functions, reports, data sets.

use super::host::Host;
use super::schedule::{Schedule, Stage};
use super::terms::*;
use crate::diag::Span;

/// What part of the data an input holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// The rows of the current batch (the dim `batch`).
    Batch,
    /// The rows of another batch of the same size (`L(w; fresh)`).
    Fresh,
    /// Every row (the dim named like the data set).
    All,
    /// The rows of a split (`train`, `test`).
    Split(String),
    /// The seeds of a batch of neighbourhoods, over the dim `batch`.
    Seeds,
    /// Of a state that the step does not change, the entries of the nodes or edges of a batch of neighbourhoods.
    Near(StateId),
    /// An argument of a function (a trained net called from outside).
    Argument,
    /// A value of a finished run: a report, `loss` (of every step), `loss.last`, `finite`.
    Run(RunId, String),
    /// What the compiled plan of a run's step says: `kernels`, `flops`, `bytes`, `peak`.
    Plan(RunId, String),
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

/// A run that a check or task needs: a train block with arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The train block.
    pub train: String,
    /// Arguments in the order given; `seed` is one of them.
    pub args: Vec<(String, f64)>,
    /// Is it compiled with the rewriting passes (`x with rewrites off`)?
    pub rewrites: bool,
    /// Parameters of this unit that hold trained ones: ours, and the position in the run's unit.
    pub params: Vec<(ParamId, usize)>,
    /// States of this unit that hold the run's last ones.
    pub states: Vec<(StateId, usize)>,
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
    /// Loops with states.
    pub loops: Vec<Loop>,
    /// The data set it runs on, by position in [`Program::data`].
    pub data: Option<usize>,
    /// The dim of batches.
    pub batch: Option<DimId>,
    /// How long it runs; with stages, the first of them.
    pub schedule: Schedule,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// Its reports.
    pub reports: Vec<Report>,
    /// Runs that it needs.
    pub runs: Vec<Run>,
    /// Functions of the embedding program that it calls.
    pub hosts: Vec<Host>,
    /// What the program asks of the sizes that it does not know.
    pub asks: Vec<Ask>,
    /// Its functions.
    pub functions: Vec<Function>,
}

impl Unit {
    /// The function that is meant where none is named: the training step, or what a task reports.
    pub fn main_function(&self) -> &'static str {
        if self.kind == UnitKind::Train { "step" } else { "report" }
    }

    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == name)
    }

    /// The steps of a whole run, if the text says it.
    pub fn total_steps(&self) -> Option<u64> {
        match (self.kind == UnitKind::Train, self.stages.is_empty()) {
            (true, true) => self.schedule.steps,
            (true, false) => self.stages.iter().map(|s| s.schedule.steps).sum(),
            (false, _) => None,
        }
    }

    /// A term.
    pub fn term(&self, id: TermId) -> &Term {
        &self.terms[id.index()]
    }
}

/// Entries that are read of an axis whose size is known only when the program runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The dim of the axis.
    pub dim: DimId,
    /// The first of them.
    pub from: i64,
    /// Behind the last of them: not before the first, and not beyond the axis.
    pub to: SizeExpr,
    /// The slice or index.
    pub span: Span,
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
    /// An index array of the set of edges at this position in [`Data::edges`].
    End(usize, End),
    /// What is known of the edges that arrive at each target of the set at this position.
    Arrivals(usize, Arrivals),
    /// The entries of an earlier field (in the condition of edges).
    Field(usize),
    /// Zeros but for listed entries: an array of their indices `[n, rank]`, and one of their values (without: ones).
    Sparse(String, Option<String>),
    /// Pixels of the images of the source's folder that a pattern fits.
    Images(String),
    /// For each file that a pattern fits, the number of the folder that it lies in.
    Folders(String),
    /// Windows of a text.
    Symbols {
        /// A file of the source's folder; `None`: the source itself.
        file: Option<String>,
        /// Bytes, or else characters.
        bytes: bool,
        /// From the start of one window to that of the next; `None`: its length.
        every: Option<usize>,
    },
    /// The text cells of a column, numbered in their sorted order.
    Category(Box<FieldExpr>),
    /// Computed from the other fields by the data set's unit; it comes behind all that are read.
    Computed,
    /// A number.
    Number(f64),
    /// A scalar function of such values.
    Map(Fun, Vec<FieldExpr>),
}

/// An index array of a set of edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Where each edge leaves.
    Src,
    /// Where it arrives.
    Dst,
    /// Of which type it is.
    Type,
    /// The edge that leads back, of the same type.
    Twin,
    /// Of sampled edges, which edge of the set it is that they were drawn from.
    Of,
}

impl End {
    /// All of them; those that files give come first.
    pub const ALL: [End; 5] = [End::Src, End::Dst, End::Type, End::Twin, End::Of];

    /// Its word: `e.src`.
    pub fn word(self) -> &'static str {
        match self {
            End::Src => "src",
            End::Dst => "dst",
            End::Type => "type",
            End::Twin => "twin",
            End::Of => "of",
        }
    }

    /// The end of that word.
    pub fn named(word: &str) -> Option<End> {
        End::ALL.into_iter().find(|end| end.word() == word)
    }
}

/// A set's edges grouped by their targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// The edges, those of a target one after the other: an edge for each edge.
    Order,
    /// Where those of a target start in that order.
    First,
    /// How many they are.
    Count,
}

impl Arrivals {
    /// All of them.
    pub const ALL: [Arrivals; 3] = [Arrivals::Order, Arrivals::First, Arrivals::Count];

    /// Its field of a set of edges; no program can write this name.
    pub fn field(self, set: &str) -> String {
        format!("{set}.arrivals {self:?}")
    }
}

/// Where edges come from; they are found when the data are loaded.
#[derive(Clone, Debug)]
pub enum EdgeExpr {
    /// Source, target and perhaps type, each from a column of its own.
    Columns(Vec<FieldExpr>),
    /// The columns of one array or table, and what each is.
    Table(FieldExpr, Vec<Option<End>>),
    /// An earlier set of the same data.
    Set(usize),
    /// The same edges the other way round.
    Reverse(Box<EdgeExpr>),
    /// One set after the other.
    Join(Vec<EdgeExpr>),
    /// From each element of the dim to itself.
    Loops(DimId),
    /// Only those for which the condition is not 0.
    Where(Box<EdgeExpr>, FieldExpr),
}

/// A set of edges of a data set.
#[derive(Clone, Debug)]
pub struct Edges {
    /// Its name.
    pub name: String,
    /// The dim of the edges.
    pub dim: DimId,
    /// The dim of sources.
    pub src: DimId,
    /// The dim of targets.
    pub dst: DimId,
    /// The dim of types.
    pub by: Option<DimId>,
    /// Where they come from.
    pub value: EdgeExpr,
    /// Where they were declared.
    pub span: Span,
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
    /// One whole without rows, because it has edges: the dims of its fields are all that they have.
    pub whole: bool,
    /// Its sets of edges; each has its index arrays among the fields.
    pub edges: Vec<Edges>,
    /// Its fields.
    pub fields: Vec<Field>,
    /// Its splits.
    pub splits: Vec<Split>,
    /// The unit whose function `data` has one output for each field that is not read, in order: all fields of synthetic
    /// data, those that are computed from others.
    pub drawn: Option<Box<Unit>>,
    /// Where it was declared.
    pub span: Span,
}

impl Data {
    /// The fields that are read from files or are ends of edges.
    pub fn read(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|f| !matches!(f.value, FieldExpr::Computed))
    }
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
