//! Declarations: dims, data, functions, nets, rules, train blocks, tasks, checks.

use super::expressions::*;
use crate::diag::Span;

/// A name with the place where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Ident {
    /// The name; Greek letters stand by their names (`λ` is `lambda`).
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// One source file.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// The declarations in their order.
    pub items: Vec<Item>,
}

/// A top-level declaration.
#[derive(Clone, Debug)]
pub enum Item {
    /// `dim batch`, `dim class = 10`, `dim a, b = 3`.
    Dim(DimDecl),
    /// `data digits from "digits.csv" { ... }`.
    Data(DataDecl),
    /// `fn gelu(x) = ...`.
    Fn(FnDecl),
    /// `net linear(out: dim)(x: real[.., in]) -> real[.., out] { ... }`.
    Net(NetDecl),
    /// `rule adam(lr = 1e-3) on w with g { ... }`.
    Rule(RuleDecl),
    /// `train digits_mlp(lr = 1e-3) on digits { ... }`.
    Train(TrainDecl),
    /// `task rank(n = 3) [real f64] { ... }`.
    Task(TaskDecl),
    /// `check "text" { condition }`.
    Check(CheckDecl),
    /// `use std.rules` or `use "other.gnt" { encoder }`.
    Use(UseDecl),
    /// A top-level equation, visible everywhere: `tau = 2 * pi`.
    Let(Let),
    /// `edges fact: node -> node by relation`, `edges back = reverse(fact)`.
    Edges(EdgesDecl),
}

/// A set of edges: an index set with an index array for each end.
#[derive(Clone, Debug)]
pub struct EdgesDecl {
    /// Its name, which is also the dim of the edges.
    pub name: Ident,
    /// The dims of sources and targets; `None`: those of what it is made from.
    pub ends: Option<(Expr, Expr)>,
    /// `near[u -> v]`: index variables of source and target, for edges chosen by scores.
    pub arrow: Option<(IndexItem, IndexItem)>,
    /// `by relation`: the dim of the edges' types.
    pub by: Option<Expr>,
    /// Where it comes from: a file, columns, a tuple of columns, or other edges.
    pub value: Option<Expr>,
    /// `as src, type, dst`: what the columns of the file are.
    pub columns: Vec<Ident>,
    /// `where w > 0`: only edges for which this holds.
    pub condition: Option<Expr>,
    /// The whole declaration.
    pub span: Span,
}

/// One declared dim.
#[derive(Clone, Debug)]
pub struct DimDecl {
    /// Its name, which is also the type of its elements.
    pub name: Ident,
    /// Its size, or `None` for an open dim.
    pub size: Option<Expr>,
}

/// `use` of a library module or of a file.
#[derive(Clone, Debug)]
pub struct UseDecl {
    /// `std.rules`, or the file's path as written.
    pub path: String,
    /// Is `path` a file?
    pub file: bool,
    /// The names to import; empty: all.
    pub names: Vec<Ident>,
    /// The whole declaration.
    pub span: Span,
}

/// A data set.
#[derive(Clone, Debug)]
pub struct DataDecl {
    /// Its name, which is also the dim of its rows.
    pub name: Ident,
    /// The file or folder as written, with its place; `None` for synthetic data.
    pub source: Option<(String, Span)>,
    /// Fields and synthetic definitions, in order.
    pub body: Vec<DataStmt>,
    /// The whole declaration.
    pub span: Span,
}

/// One line of a data block.
#[derive(Clone, Debug)]
pub enum DataStmt {
    /// `image: real[pixel] = columns 0..64 / 16`.
    Field(FieldDecl),
    /// `split test 20%`: the last names come from the shuffled rows.
    Split {
        /// `test` or another split's name.
        name: Ident,
        /// The part of the rows, 0 to 1.
        part: f64,
        /// The whole line.
        span: Span,
    },
    /// `split test { image = file "t10k-images.gz" / 255 ... }`: a split with files of its own.
    SplitFrom {
        /// `test` or another split's name.
        name: Ident,
        /// Field name and where it comes from.
        fields: Vec<(Ident, Expr)>,
        /// The whole block.
        span: Span,
    },
    /// `edges cite: node -> node = file "edges.npy"`.
    Edges(EdgesDecl),
    /// A definition or a draw of synthetic data: `x ~ normal[n, d]`, `y = f(x)`.
    Stmt(Stmt),
}

/// A field of a data set.
#[derive(Clone, Debug)]
pub struct FieldDecl {
    /// Its name.
    pub name: Ident,
    /// The type of one row.
    pub ty: TypeExpr,
    /// Where it comes from; holds `Columns`, `Column`, `FileRef` and arithmetic.
    pub value: Expr,
}

/// `real[.., in]`, `class[batch]`, `real`, `class`.
#[derive(Clone, Debug)]
pub struct TypeExpr {
    /// `real`, `bool`, `f32`, ... or a dim's name.
    pub elem: Ident,
    /// The axes, in order.
    pub axes: Vec<TypeAxis>,
    /// The whole type.
    pub span: Span,
}

/// One axis of a written type.
#[derive(Clone, Debug)]
pub enum TypeAxis {
    /// `..`: any leading dims.
    Rest(Span),
    /// `batch`, `128`, `2*h`.
    Dim(Expr),
    /// `i: node`: a named position.
    Named(Ident, Expr),
}

/// A parameter of a function, net, rule, train block or task.
#[derive(Clone, Debug)]
pub struct ParamDecl {
    /// Its name.
    pub name: Ident,
    /// Its type if written; `dim`, `net`, `fn` are types of static arguments.
    pub ty: Option<TypeExpr>,
    /// Its default.
    pub default: Option<Expr>,
}

/// A pure function.
#[derive(Clone, Debug)]
pub struct FnDecl {
    /// Its name.
    pub name: Ident,
    /// The axes it abstracts over: `fn softmax[i](x)`.
    pub axes: Vec<Ident>,
    /// Its arguments.
    pub params: Vec<ParamDecl>,
    /// The declared result type.
    pub result: Option<TypeExpr>,
    /// Its value.
    pub body: Body,
    /// `backward dy -> ...`: the gradient by hand.
    pub backward: Option<Backward>,
    /// `extern fn`: the program that embeds this one computes the value; the body is empty.
    pub host: bool,
    /// The comment lines directly above.
    pub doc: String,
}

/// A gradient given by hand.
#[derive(Clone, Debug)]
pub struct Backward {
    /// The name of the cotangent of the result.
    pub cotangent: Ident,
    /// One expression for one argument, or a block that primes nothing and ends in a tuple.
    pub body: Body,
    /// The whole clause.
    pub span: Span,
}

/// Statements and the value they end in.
#[derive(Clone, Debug)]
pub struct Body {
    /// The statements before the value.
    pub stmts: Vec<Stmt>,
    /// The value; `None` where a body has none (rules).
    pub value: Option<Expr>,
    /// The whole body.
    pub span: Span,
}

/// A network.
#[derive(Clone, Debug)]
pub struct NetDecl {
    /// Its name.
    pub name: Ident,
    /// Static arguments: dims, numbers, functions, nets.
    pub statics: Vec<ParamDecl>,
    /// Data arguments.
    pub params: Vec<ParamDecl>,
    /// The declared result type.
    pub result: Option<TypeExpr>,
    /// Parameters, states, equations and the value.
    pub body: Body,
    /// The comment lines directly above.
    pub doc: String,
    /// The whole declaration.
    pub span: Span,
}

/// What a rule acts on: `on w with g`, `on g`, `on w minimizing L of z`.
#[derive(Clone, Debug)]
pub struct RuleHead {
    /// The parameter tree; `None` for a gradient transform (`on g`).
    pub weights: Option<Ident>,
    /// The gradient tree: `with g`, or the `g` of `on g`.
    pub gradient: Option<Ident>,
    /// The objective: `minimizing L`.
    pub objective: Option<Ident>,
    /// The outputs: `of z`.
    pub outputs: Option<Ident>,
}

/// An update rule or a gradient transform.
#[derive(Clone, Debug)]
pub struct RuleDecl {
    /// Its name.
    pub name: Ident,
    /// Hyperparameters and rules it takes.
    pub params: Vec<ParamDecl>,
    /// What it acts on.
    pub head: RuleHead,
    /// States, equations, primed equations, `each` blocks.
    pub body: Vec<Stmt>,
    /// The comment lines directly above.
    pub doc: String,
    /// The whole declaration.
    pub span: Span,
}

/// A training program.
#[derive(Clone, Debug)]
pub struct TrainDecl {
    /// Its name.
    pub name: Ident,
    /// Its arguments, all with defaults.
    pub params: Vec<ParamDecl>,
    /// The data set, if any.
    pub data: Option<Ident>,
    /// Its lines.
    pub body: Vec<TrainStmt>,
    /// The whole declaration.
    pub span: Span,
}

/// `batch of node[64] neighbours cite 2 hops where seen`.
#[derive(Clone, Debug)]
pub struct NearDecl {
    /// The dim that batches are drawn from.
    pub node: Ident,
    /// Seeds in a batch.
    pub count: Expr,
    /// The edges whose sources the seeds see.
    pub edges: Ident,
    /// How far.
    pub hops: Expr,
    /// Which nodes may be seeds.
    pub condition: Option<Expr>,
    /// The whole line.
    pub span: Span,
}

/// One line of a train block.
#[derive(Clone, Debug)]
pub enum TrainStmt {
    /// `net f = classifier`, `net f[worker] = mlp(64)`.
    Net {
        /// The instance's name.
        name: Ident,
        /// The dims over which it is a family.
        over: Vec<Expr>,
        /// The net, perhaps with static arguments.
        value: Expr,
    },
    /// `minimize LOSS over THINGS by RULE [every k steps]`.
    Minimize {
        /// `maximize` hands the rule the negated gradient.
        maximize: bool,
        /// The objective: a scalar, or a tensor that is averaged.
        loss: Expr,
        /// `where z = f(x)`: outputs named for the rule.
        outputs: Option<Let>,
        /// What is trained.
        over: Vec<Expr>,
        /// The rule, perhaps with transforms: `clip(1) |> adam(lr)`.
        rule: Expr,
        /// Only every so many steps.
        every: Option<Expr>,
        /// The whole line.
        span: Span,
    },
    /// `batch 64`.
    Batch(Expr),
    /// `batch of class[5] x sample[16]`: of so many classes so many rows.
    BatchOf {
        /// The dim of a field of the data, whose values group the rows.
        groups: Ident,
        /// Groups in a batch.
        count: Expr,
        /// The dim of the rows of a group.
        rows: Ident,
        /// Rows of a group.
        each: Expr,
    },
    /// `batch of node[64] neighbours cite 2 hops where seen`.
    BatchNear(Box<NearDecl>),
    /// `epochs 20`.
    Epochs(Expr),
    /// `steps 1000`.
    Steps(Expr),
    /// `report NAME = expr [on train] [every k steps|epochs]`.
    Report(ReportDecl),
    /// `plot NAME = expr [every k steps]`.
    Plot(ReportDecl),
    /// `every k steps { p' = ... }`.
    Every {
        /// How many steps.
        steps: Expr,
        /// Primed equations.
        body: Vec<Stmt>,
        /// The whole block.
        span: Span,
    },
    /// `stage NAME { ... }`.
    Stage {
        /// Its name.
        name: Ident,
        /// Its lines.
        body: Vec<TrainStmt>,
    },
    /// `param`, `state`, a draw, a definition.
    Stmt(Stmt),
}

/// A value to report.
#[derive(Clone, Debug)]
pub struct ReportDecl {
    /// Its name.
    pub name: Ident,
    /// `report x[i] = ...`: the index variables, as on the left of an equation.
    pub indices: Option<Vec<IndexItem>>,
    /// What is reported.
    pub value: Expr,
    /// `on train`: the split it is exact over; default the test split, or all the data where there is none.
    pub on: Option<Ident>,
    /// `every k steps` or `every k epochs` (with the unit's name).
    pub every: Option<(Expr, Ident)>,
}

/// A computation that trains nothing.
#[derive(Clone, Debug)]
pub struct TaskDecl {
    /// Its name.
    pub name: Ident,
    /// Its arguments, all with defaults.
    pub params: Vec<ParamDecl>,
    /// `real f64`: computes in double precision.
    pub double: bool,
    /// Its lines (`Report`, `Plot`, `Net`, `Stmt`).
    pub body: Vec<TrainStmt>,
    /// The whole declaration.
    pub span: Span,
}

/// A test in the language.
#[derive(Clone, Debug)]
pub struct CheckDecl {
    /// What it claims.
    pub text: String,
    /// Definitions and the condition.
    pub body: Body,
    /// The whole declaration.
    pub span: Span,
}
