//! The Graph's text form: it prints and reads back, so a pass can be tested on text alone.
//! Law: `parse(print(graph))` has the live equations of `graph`, with the same outputs and names.
//!
//! One equation a line, outputs last; a name stands behind `#`:
//!
//! ```text
//! %0 = input in0 "x" : real[batch, in]
//! %1 = param w0 "w" : real[in, out]
//! %2 = contract [in] %0 %1 : real[batch, out]  # h
//! %3 = const 0 : real
//! %4 = map.max %2 %3 : real[batch, out]
//! %5 = read [batch = batch - 1] %4 else %3 : real[batch, out]
//! %6 = fiber.sum [node = arg1] over [edge] %5 %7 : real[node]
//! %8 = library.eigh [node] [node.1] [k] %9 : real
//! %10 = part 0 %8 : real[k]
//! output value "y" = %5
//! ```
//!
//! An axis is written as its dim, and `.1` for the second axis over it. A dim whose name is not unique, or would be read
//! as something else there, is written `name@3` with its number.

mod expression;
mod parse;
mod scan;

pub use parse::ParseError;

use super::{At, Graph, NodeId, Op, Red, Subst, Tables, Type};
use gannet_lang::program::{Axis, DimId, Dist, Elem, Fun, Implicit, Output};
use std::fmt::{self, Display, Formatter};

/// Names of element types, which no dim may be mistaken for.
const ELEMS: [(&str, Elem); 3] = [("real", Elem::Real), ("int", Elem::Int), ("bool", Elem::Bool)];

/// How each scalar function is written, here and in rewrite rules.
pub(crate) const FUNS: [(&str, Fun); 45] = [
    ("neg", Fun::Neg),
    ("abs", Fun::Abs),
    ("sign", Fun::Sign),
    ("recip", Fun::Recip),
    ("exp", Fun::Exp),
    ("expm1", Fun::Expm1),
    ("log", Fun::Log),
    ("log1p", Fun::Log1p),
    ("sqrt", Fun::Sqrt),
    ("sin", Fun::Sin),
    ("cos", Fun::Cos),
    ("tan", Fun::Tan),
    ("tanh", Fun::Tanh),
    ("sigmoid", Fun::Sigmoid),
    ("softplus", Fun::Softplus),
    ("erf", Fun::Erf),
    ("floor", Fun::Floor),
    ("ceil", Fun::Ceil),
    ("round", Fun::Round),
    ("not", Fun::Not),
    ("is_finite", Fun::IsFinite),
    ("to_real", Fun::ToReal),
    ("to_int", Fun::ToInt),
    ("to_f32", Fun::ToF32),
    ("to_f16", Fun::ToF16),
    ("to_bf16", Fun::ToBf16),
    ("add", Fun::Add),
    ("mul", Fun::Mul),
    ("sub", Fun::Sub),
    ("div", Fun::Div),
    ("pow", Fun::Pow),
    ("min", Fun::Min),
    ("max", Fun::Max),
    ("atan2", Fun::Atan2),
    ("int_div", Fun::IntDiv),
    ("mod", Fun::Mod),
    ("lt", Fun::Lt),
    ("le", Fun::Le),
    ("gt", Fun::Gt),
    ("ge", Fun::Ge),
    ("eq", Fun::Eq),
    ("ne", Fun::Ne),
    ("and", Fun::And),
    ("or", Fun::Or),
    ("select", Fun::Select),
];

const REDS: [(&str, Red); 8] = [
    ("sum", Red::Sum),
    ("prod", Red::Prod),
    ("max", Red::Max),
    ("min", Red::Min),
    ("any", Red::Any),
    ("all", Red::All),
    ("argmax", Red::ArgMax),
    ("argmin", Red::ArgMin),
];

const DISTS: [(&str, Dist); 5] = [
    ("normal", Dist::Normal),
    ("uniform", Dist::Uniform),
    ("rademacher", Dist::Rademacher),
    ("gumbel", Dist::Gumbel),
    ("exponential", Dist::Exponential),
];

/// The word of a table for a value.
fn word<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table.iter().find(|(_, v)| v == value).map(|(w, _)| *w).expect("the table is complete")
}

/// How a dim is written.
fn dim_label(tables: &Tables, dim: DimId) -> String {
    let name = &tables.dims[dim.index()].name;
    let unique = tables.dims.iter().filter(|d| d.name == *name).count() == 1;
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let reserved = ELEMS.iter().any(|(w, _)| w == name) || (name.starts_with("arg") && name.len() > 3);
    if plain && unique && !reserved { name.clone() } else { numbered_label(tables, dim) }
}

/// The long form of a dim's label, with its number.
fn numbered_label(tables: &Tables, dim: DimId) -> String {
    let name = &tables.dims[dim.index()].name;
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if plain { format!("{name}@{}", dim.0) } else { format!("@{}", dim.0) }
}

/// A constant: as short as it reads back.
fn number_text(x: f64) -> String {
    let text = format!("{x:?}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}

struct Label<'g, T>(&'g Tables, T);

impl Display for Label<'_, Axis> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&dim_label(self.0, self.1.dim))?;
        if self.1.ix > 0 { write!(f, ".{}", self.1.ix) } else { Ok(()) }
    }
}

impl Display for Label<'_, &[Axis]> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.1.iter().map(|a| Label(self.0, *a).to_string()).collect();
        write!(f, "[{}]", axes.join(", "))
    }
}

impl Display for Label<'_, Elem> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.1 {
            Elem::Index(dim) => f.write_str(&dim_label(self.0, dim)),
            elem => f.write_str(word(&ELEMS, &elem)),
        }
    }
}

impl Display for Label<'_, &Type> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Label(self.0, self.1.elem))?;
        if self.1.axes.is_empty() { Ok(()) } else { write!(f, "{}", Label(self.0, &self.1.axes[..])) }
    }
}

impl Display for Label<'_, &At> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (terms, offset) = match self.1 {
            At::Arg(k) => return write!(f, "arg{k}"),
            At::Affine { terms, offset } => (terms, *offset),
        };
        for (k, (c, axis)) in terms.iter().enumerate() {
            let sign = match (k, *c < 0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            f.write_str(sign)?;
            if c.unsigned_abs() != 1 {
                write!(f, "{}*", c.unsigned_abs())?;
            }
            // A number's dim would be read as the offset.
            let number = self.0.dims[axis.dim.index()].name.starts_with(|c: char| c.is_ascii_digit());
            let dim = if number { numbered_label(self.0, axis.dim) } else { dim_label(self.0, axis.dim) };
            f.write_str(&dim)?;
            if axis.ix > 0 {
                write!(f, ".{}", axis.ix)?;
            }
        }
        match (terms.is_empty(), offset) {
            (true, _) => write!(f, "{offset}"),
            (false, 0) => Ok(()),
            (false, _) => write!(f, " {} {}", if offset < 0 { '-' } else { '+' }, offset.unsigned_abs()),
        }
    }
}

impl Display for Label<'_, &Subst> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let place = |(axis, at): &(Axis, At)| format!("{} = {}", Label(self.0, *axis), Label(self.0, at));
        write!(f, "[{}]", self.1.iter().map(place).collect::<Vec<_>>().join(", "))
    }
}

/// Axes and their names elsewhere.
fn names_text(t: &Tables, names: &[(Axis, Axis)]) -> String {
    let name = |(axis, name): &(Axis, Axis)| format!("{} as {}", Label(t, *axis), Label(t, *name));
    format!("[{}]", names.iter().map(name).collect::<Vec<_>>().join(", "))
}

/// The operation without its operands.
fn print_op(f: &mut Formatter<'_>, t: &Tables, op: &Op) -> fmt::Result {
    match op {
        Op::Input(i) => write!(f, "input {i} {:?}", t.inputs[i.index()].name),
        Op::Param(p) => write!(f, "param {p} {:?}", t.params[p.index()].name),
        Op::State(s) => write!(f, "state {s} {:?}", t.states[s.index()].name),
        Op::Hyper(h) => write!(f, "hyper {h} {:?}", t.hypers[h.index()].name),
        Op::Step => f.write_str("step"),
        Op::Const(n, _) => write!(f, "const {}", number_text(n.get())),
        Op::Size(d) => write!(f, "size {}", dim_label(t, *d)),
        Op::Iota(axis) => write!(f, "iota {}", Label(t, *axis)),
        Op::Random(dist, site, axes) => write!(f, "random.{} {site} {}", word(&DISTS, dist), Label(t, &axes[..])),
        Op::Map(fun) => write!(f, "map.{}", word(&FUNS, fun)),
        Op::Reduce(red, axes) => write!(f, "reduce.{} {}", word(&REDS, red), Label(t, &axes[..])),
        Op::Contract(axes) => write!(f, "contract {}", Label(t, &axes[..])),
        Op::Read { at, .. } => write!(f, "read {}", Label(t, at)),
        Op::Fiber { red, at, over } => {
            write!(f, "fiber.{} {} over {}", word(&REDS, red), Label(t, at), Label(t, &over[..]))
        }
        Op::Library(lib) => {
            write!(f, "library.{}", lib.fun.signature().name)?;
            lib.groups.iter().try_for_each(|g| write!(f, " {}", Label(t, &g[..])))
        }
        Op::Part(k) => write!(f, "part {k}"),
        Op::Point(p) => write!(f, "point {p}"),
        Op::Grad { axes, shared } => {
            write!(f, "grad {} shared {}", names_text(t, axes), Label(t, &shared[..]))
        }
        Op::Along(directions) => {
            write!(f, "along {}", directions.len())?;
            directions.iter().try_for_each(|names| write!(f, " {}", names_text(t, names)))
        }
        Op::Custom { inputs } => write!(f, "custom {inputs}"),
        Op::Stop => f.write_str("stop"),
        Op::Arg(k, elem, axes) => {
            let ty = Type { elem: *elem, axes: axes.clone() };
            write!(f, "arg {k} {}", Label(t, &ty))
        }
        Op::Loop(body) => print_loop(f, t, body),
    }
}

/// A loop with its step, indented, in braces.
fn print_loop(f: &mut Formatter<'_>, t: &Tables, body: &super::Body) -> fmt::Result {
    let way = if body.reverse { " reverse" } else { "" };
    let fixed = match body.fixed {
        None => "",
        Some(Implicit::Repeat) => " fixed",
        Some(Implicit::Conjugate) => " fixed cg",
    };
    let test = body.test.map(|w| format!(" test {w:?}").to_lowercase()).unwrap_or_default();
    writeln!(f, "loop {}{way}{fixed}{test} states {} slices {} {{", Label(t, body.axis), body.states, body.slices)?;
    for line in body.graph.to_string().lines() {
        writeln!(f, "  {line}")?;
    }
    f.write_str("}")
}

/// What an output is, as it is written.
pub fn output_label(output: &Output) -> String {
    match output {
        Output::Param(p) => format!("param {p}"),
        Output::State(s) => format!("state {s}"),
        Output::Loss => "loss".into(),
        Output::Report(k) => format!("report {k}"),
        Output::Value(name) => format!("value {name:?}"),
    }
}

impl Graph {
    fn print_node(&self, f: &mut Formatter<'_>, id: NodeId) -> fmt::Result {
        let node = self.node(id);
        write!(f, "{id} = ")?;
        print_op(f, &self.tables, &node.op)?;
        let guarded = matches!(node.op, Op::Read { guarded: true, .. });
        for (k, arg) in node.args.iter().enumerate() {
            let outside = guarded && k + 1 == node.args.len();
            write!(f, "{} {arg}", if outside { " else" } else { "" })?;
        }
        write!(f, " : {}", Label(&self.tables, &node.ty))?;
        let names: Vec<String> =
            self.names.iter().filter(|n| n.1 == id).map(|n| n.0.replace('\n', " ").replace(", ", " ")).collect();
        if names.is_empty() { writeln!(f) } else { writeln!(f, "  # {}", names.join(", ")) }
    }
}

impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let live = self.live();
        for id in self.ids().filter(|id| live[id.index()] || self.outputs.is_empty()) {
            self.print_node(f, id)?;
        }
        self.outputs.iter().try_for_each(|(output, id)| writeln!(f, "output {} = {id}", output_label(output)))
    }
}
