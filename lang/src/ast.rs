//! The Ast: what was written, with spans.
//! Law: nothing is resolved here; a name is a name and `f(x)` is a call of something.

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

/// One line of a train block.
#[derive(Clone, Debug)]
pub enum TrainStmt {
    /// `net f = classifier`.
    Net {
        /// The instance's name.
        name: Ident,
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

/// An equation: `x = e`, `(a, b) = e`, `m, v = e`, `y[b, o] = e`, `w' = e`.
#[derive(Clone, Debug)]
pub struct Let {
    /// What is defined; several for a tuple.
    pub targets: Vec<Target>,
    /// Its value.
    pub value: Expr,
    /// The whole equation.
    pub span: Span,
}

/// The left side of an equation.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name.
    pub name: Ident,
    /// Is it the next value?
    pub primed: bool,
    /// Index variables bound on the left: `y[b: batch, o]`.
    pub indices: Option<Vec<IndexItem>>,
    /// The written type: `x: real[batch] = ...`.
    pub ty: Option<TypeExpr>,
}

/// How a parameter, state or constant starts.
#[derive(Clone, Debug)]
pub enum Init {
    /// `= 0`: an expression.
    Value(Expr),
    /// `~ glorot`, `~ normal(0, 0.1)`: a draw.
    Draw(Expr),
}

/// A declared parameter, state or constant.
#[derive(Clone, Debug)]
pub struct VarDecl {
    /// Its name.
    pub name: Ident,
    /// Its type; a rule's state takes the type of `w`, or that of `like`.
    pub ty: Option<TypeExpr>,
    /// Its first value.
    pub init: Option<Init>,
    /// `like w`.
    pub like: Option<Expr>,
    /// `role bias`.
    pub role: Option<Ident>,
    /// `in 0..`, `in simplex`: the domain that holds after every step.
    pub domain: Option<Expr>,
}

/// A statement.
#[derive(Clone, Debug)]
pub enum Stmt {
    /// An equation.
    Let(Let),
    /// `param w: real[in, out] ~ glorot role weight`.
    Param(VarDecl),
    /// `state m = 0, v = 0`.
    State(Vec<VarDecl>),
    /// `const B: real[d, m] ~ normal`.
    Const(VarDecl),
    /// `z ~ normal[batch, latent]`, `z ~ normal like w`.
    Sample {
        /// The name.
        name: Ident,
        /// The distribution with its axes: a `Name`, `Call` or `Index`.
        dist: Expr,
        /// `like w`.
        like: Option<Expr>,
        /// The whole statement.
        span: Span,
    },
    /// `each weight { ... }`, `each matrix w[r, c] { ... } else { ... }`.
    Each {
        /// The roles (empty: every tensor).
        roles: Vec<Ident>,
        /// `w[r, c]`: names for the axes.
        pattern: Option<Expr>,
        /// For tensors that fit.
        body: Vec<Stmt>,
        /// For the others.
        otherwise: Option<Vec<Stmt>>,
        /// The whole block.
        span: Span,
    },
    /// `for l in layer { x' = ... }`, `for k in [1, 2, 3] { ... }`.
    For {
        /// The variable.
        var: Ident,
        /// A dim, a number, or a list.
        over: Expr,
        /// The body.
        body: Vec<Stmt>,
        /// The whole loop.
        span: Span,
    },
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: Box<ExprKind>,
    /// Where it stands.
    pub span: Span,
}

/// The forms of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `1e-3`, `64`; a percentage is divided by 100.
    Number(f64),
    /// `"text"`.
    Text(String),
    /// `x`, `x'` (primed).
    Name {
        /// The name.
        name: String,
        /// Is it the next value?
        primed: bool,
    },
    /// `-x`, `not x`.
    Unary(UnaryOp, Expr),
    /// `a + b`.
    Binary(BinaryOp, Expr, Expr),
    /// `f(x)`, `f(lr = 1e-3)`, `sum[i](x[i])` (a call of a `Bracket`).
    Call(Expr, Vec<Arg>),
    /// `x[b, i]`, `softmax[class]`, `sum[j | j < i]`, `x[.., 0..8]`.
    Bracket(Expr, Vec<IndexItem>, Option<Expr>),
    /// `f.w`, `r.h`, `x.T`.
    Field(Expr, Ident),
    /// `f{theta}`: `f` at other parameters.
    At(Expr, Expr),
    /// `theta with { enc.w = Q }` (leaf and value), `x with [i, j] = v` (a `Stack` of the indices and the
    /// value), `x with rewrites off` (two names).
    With(Expr, Vec<(Expr, Expr)>),
    /// `(a, b)`.
    Tuple(Vec<Expr>),
    /// `{mu, logvar}`, `{mu = x}`.
    Record(Vec<(Ident, Expr)>),
    /// `[a, b, c]`.
    Stack(Vec<Expr>),
    /// `if c then a else b`.
    If(Expr, Expr, Expr),
    /// `x[i - 1] else 0`.
    Else(Expr, Expr),
    /// `x => x^2`, `(a, b) => a*b`.
    Lambda(Vec<Ident>, Expr),
    /// `{ y = 2*x  y + 1 }` as a value.
    Block(Body),
    /// `clip(1) |> adam()`.
    Pipe(Expr, Expr),
    /// `columns 0..64`, with half-open bounds.
    Columns(Expr, Expr),
    /// `column 64`, `column "price"`.
    Column(Expr),
    /// `file "train-images.gz"`: a whole array of the source's folder.
    FileRef(String),
    /// `scan t in time from h = 0 { ... }`, `fix ...`, `iterate 20 from y = 0 { ... }`: loops whose
    /// parts are kept as written for the checker.
    Loop(Box<LoopExpr>),
}

/// A loop whose states are primed names.
#[derive(Clone, Debug)]
pub struct LoopExpr {
    /// `scan`, `fix` or `iterate`.
    pub kind: LoopKind,
    /// `scan t in time`: variable and dim.
    pub over: Option<(Ident, Expr)>,
    /// `iterate 20`: the count.
    pub count: Option<Expr>,
    /// `while cond` (continue) or `until cond` (negated by the parser with `not`).
    pub condition: Option<Expr>,
    /// `max 30`.
    pub max: Option<Expr>,
    /// `from h = 0, c = 0`.
    pub from: Vec<(Ident, Expr)>,
    /// The body.
    pub body: Vec<Stmt>,
}

/// Which loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// Over a dim, keeping every state.
    Scan,
    /// To a fixed point, with the implicit gradient.
    Fix,
    /// A number of times, or while a condition holds.
    Iterate,
}

/// An argument of a call.
#[derive(Clone, Debug)]
pub struct Arg {
    /// `lr = 1e-3` names it.
    pub name: Option<Ident>,
    /// Its value.
    pub value: Expr,
}

/// One entry between brackets.
#[derive(Clone, Debug)]
pub enum IndexItem {
    /// `i`, `2*i + p - 1`, `label[b]`, `0`.
    Expr(Expr),
    /// `j: i`, `s: seed = 3`, `u = w + e`.
    Bind {
        /// The variable.
        var: Ident,
        /// Its dim.
        dim: Option<Expr>,
        /// Its size, or the point at which to differentiate.
        value: Option<Expr>,
    },
    /// `..`.
    Rest(Span),
    /// `0..8`, `3..`.
    Range(Option<Expr>, Option<Expr>, Span),
    /// `e -> v` (arrivals) or `e <- v` (departures).
    Fiber {
        /// The edge variable.
        edge: Ident,
        /// The node variable.
        node: Ident,
        /// `->`?
        arrives: bool,
    },
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-x`.
    Neg,
    /// `not x`.
    Not,
}

/// Operators with two operands.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    /// `a div b`, rounded down.
    IntDiv,
    /// `a mod b`.
    Mod,
    /// `a ^ b`.
    Pow,
    /// `a @ b`: contracts the last dim of `a` with the first of `b`.
    MatMul,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Or,
}
