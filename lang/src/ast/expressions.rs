//! Equations, statements and expressions.

use super::declarations::*;
use crate::diag::Span;

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
    /// `save x, code`: all that the function's backward block sees of it.
    Save(Vec<Ident>),
    /// `keep w' = project(w')`: holds after every step.
    Keep(Let),
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
    /// `edges near[u -> v] = top[5](score[u, v])`: edges that the program computes.
    Edges(Box<EdgesDecl>),
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: Box<ExprKind>,
    /// Where it stands.
    pub span: Span,
}

impl Expr {
    /// A plain name as an expression.
    pub fn name(name: impl Into<String>, span: Span) -> Expr {
        Expr { kind: Box::new(ExprKind::Name { name: name.into(), primed: false }), span }
    }
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
    /// The sets of edges that arrive at a dim, in `for R in edges into paper`.
    EdgesInto(Ident),
    /// `sample 10 of cite[-> v]`: of the edges that arrive at each target so many, drawn anew in every step.
    SampleOf {
        /// How many.
        count: Expr,
        /// The set.
        set: Ident,
        /// A name for the target; it says which end is meant.
        node: Ident,
    },
    /// `argmin u of E(u, x) from 0 by lbfgs() max 500`.
    Argmin(Box<ArgminExpr>),
}

/// An inner problem: where an objective is least.
#[derive(Clone, Debug)]
pub struct ArgminExpr {
    /// The variable.
    pub var: Ident,
    /// The objective, in which the variable stands.
    pub of: Expr,
    /// Where the search starts.
    pub from: Option<Expr>,
    /// The rule that descends.
    pub by: Option<Expr>,
    /// Where it stops early.
    pub until: Option<Expr>,
    /// How many steps it takes.
    pub max: Option<Expr>,
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
    /// `while cond` (looked at before each step) or `until cond` (looked at after it).
    pub condition: Option<Expr>,
    /// Is the condition the one to stop?
    pub until: bool,
    /// `max 30`.
    pub max: Option<Expr>,
    /// `by cg`: how the implicit gradient is solved.
    pub by: Option<Ident>,
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
        /// `e: cite -> v`: the set of edges that it goes over.
        set: Option<Ident>,
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
