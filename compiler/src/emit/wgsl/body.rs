//! Bodies of kernels: the plan's statements as WGSL statements.

use super::extent;
use super::memory::Memory;
use crate::graph::{Red, neutral};
use crate::plan::{Acc, Address, BufferId, Index, Inst, Kind, Loop, LoopId, Plan, Range, Scope, Stmt, ValueId};
use gannet_lang::program::{Dist, Fun};

/// Stands for an infinity, which WGSL cannot write down.
const HUGE: &str = "3.4028234e38";

/// Collects the lines of one kernel.
pub struct Body<'a> {
    plan: &'a Plan,
    scope: &'a Scope,
    memory: &'a Memory<'a>,
    text: String,
    depth: usize,
    /// What `Inst::Tile` reads, in an epilogue.
    pub tile: String,
    /// Loops whose counters exist already: their bodies are run once, for this invocation's entry.
    pub given: Vec<LoopId>,
}

impl<'a> Body<'a> {
    /// An empty body.
    pub fn new(plan: &'a Plan, scope: &'a Scope, memory: &'a Memory<'a>) -> Self {
        Body { plan, scope, memory, text: String::new(), depth: 1, tile: String::new(), given: Vec::new() }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(&"  ".repeat(self.depth));
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Opens a block.
    pub fn open(&mut self, line: impl AsRef<str>) {
        self.line(line);
        self.depth += 1;
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    /// Adds statements.
    pub fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Let(v, inst) => {
                    let value = self.inst(*v, inst);
                    self.line(format!("let {v} = {value};"));
                }
                Stmt::Loop(l) => self.looped(l),
                Stmt::Store(b, at, v) => self.store(*b, at, *v, None),
                Stmt::Accumulate(red, b, at, v) => self.store(*b, at, *v, Some(*red)),
            }
        }
    }

    fn store(&mut self, buffer: BufferId, at: &Address, value: ValueId, red: Option<Red>) {
        let (at, kind) = (address(at), self.plan.buffer(buffer).kind);
        let value = match red {
            None => value.to_string(),
            Some(red) => combine(red, kind, &self.memory.load(buffer, &at), &value.to_string()),
        };
        self.line(self.memory.store(buffer, &at, &value));
    }

    fn looped(&mut self, l: &Loop) {
        if self.given.contains(&l.id) {
            return self.stmts(&l.body);
        }
        let (from, to) = match &l.range {
            Range::Full(e) => ("0".to_string(), extent(e)),
            Range::Block { outer, size, extent: e } => {
                (format!("{outer} * {size}"), format!("min({outer} * {size} + {size}, {})", extent(e)))
            }
            Range::Blocks { size, extent: e } => {
                ("0".to_string(), format!("(({} + {}) / {size})", extent(e), size - 1))
            }
        };
        for acc in &l.accs {
            self.start(acc);
        }
        let c = l.id;
        self.open(format!("for (var {c} = {from}; {c} < {to}; {c}++) {{"));
        self.stmts(&l.body);
        for acc in &l.accs {
            self.step(acc, &c.to_string());
        }
        self.close();
        for acc in &l.accs {
            self.line(format!("let {} = acc_{};", acc.result, acc.result));
        }
    }

    fn start(&mut self, acc: &Acc) {
        let (r, kind) = (acc.result, self.kind(acc.value));
        match acc.red {
            Red::ArgMax | Red::ArgMin => {
                self.line(format!("var acc_{r} = 0;"));
                self.line(format!("var best_{r} = {};", number(neutral(acc.red), kind)));
            }
            Red::Any | Red::All => self.line(format!("var acc_{r} = {};", acc.red == Red::All)),
            red => self.line(format!("var acc_{r} = {};", number(neutral(red), kind))),
        }
    }

    fn step(&mut self, acc: &Acc, counter: &str) {
        let (r, v) = (acc.result, acc.value);
        match acc.red {
            Red::ArgMax | Red::ArgMin => {
                let sign = if acc.red == Red::ArgMax { ">" } else { "<" };
                let nan = match self.kind(v) {
                    Kind::Real => format!(" || (is_nan({v}) && !is_nan(best_{r}))"),
                    _ => String::new(),
                };
                self.line(format!("if ({v} {sign} best_{r}{nan}) {{ best_{r} = {v}; acc_{r} = {counter}; }}"));
            }
            red => {
                let name = format!("acc_{r}");
                self.line(format!("{name} = {};", combine(red, self.kind(v), &name, &v.to_string())));
            }
        }
    }

    fn kind(&self, v: ValueId) -> Kind {
        self.scope.values[v.index()]
    }

    fn inst(&mut self, v: ValueId, inst: &Inst) -> String {
        match inst {
            Inst::Const(x) => number(*x, self.kind(v)),
            Inst::Counter(l) => l.to_string(),
            Inst::Size(d) => match (&self.plan.tables.dims[d.index()].size, self.kind(v)) {
                (gannet_lang::program::Size::Fixed(n), kind) => number(*n as f64, kind),
                (_, Kind::Real) => format!("f32(arguments.size_{})", d.0),
                _ => format!("arguments.size_{}", d.0),
            },
            Inst::Hyper(h) => format!("arguments.hyper_{}", h.0),
            Inst::Step => "arguments.step".to_string(),
            Inst::Tile => self.tile.clone(),
            Inst::Load(b, at) => self.memory.load(*b, &address(at)),
            Inst::Map(fun, args) => {
                let kinds: Vec<Kind> = args.iter().map(|a| self.kind(*a)).collect();
                let names: Vec<String> = args.iter().map(ToString::to_string).collect();
                map(*fun, &names, &kinds)
            }
            Inst::Random(dist, site, at) => {
                let draw = match dist {
                    Dist::Normal => "draw_normal",
                    Dist::Uniform => "draw_uniform",
                    Dist::Rademacher => "draw_rademacher",
                    Dist::Gumbel => "draw_gumbel",
                    Dist::Exponential => "draw_exponential",
                };
                format!("{draw}({}u, u32({}))", site.0, address(at))
            }
        }
    }
}

/// An address as an `i32` expression.
pub fn address(at: &Address) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (index, coefficient, stride) in &at.terms {
        let name = match index {
            Index::Loop(l) => l.to_string(),
            Index::Value(v) => v.to_string(),
        };
        let mut factors = vec![name];
        if *coefficient != 1 {
            factors.push(format!("({coefficient})"));
        }
        if !stride.is(1) {
            factors.push(extent(stride));
        }
        parts.push(factors.join(" * "));
    }
    for (coefficient, stride) in &at.offset {
        parts.push(format!("({coefficient}) * {}", extent(stride)));
    }
    if parts.is_empty() { "0".to_string() } else { parts.join(" + ") }
}

/// A literal of a kind.
pub fn number(x: f64, kind: Kind) -> String {
    match kind {
        Kind::Real if x == f64::INFINITY => HUGE.to_string(),
        Kind::Real if x == f64::NEG_INFINITY => format!("-{HUGE}"),
        Kind::Real => {
            let x = (x as f32).clamp(f32::MIN, f32::MAX);
            format!("{x:?}f")
        }
        Kind::Int if x == f64::INFINITY => "2147483647".to_string(),
        Kind::Int if x == f64::NEG_INFINITY => "(-2147483647 - 1)".to_string(),
        Kind::Int => format!("{}", x as i64),
        Kind::Bool => format!("{}", x != 0.0),
    }
}

fn combine(red: Red, kind: Kind, a: &str, b: &str) -> String {
    match red {
        Red::Sum => format!("{a} + {b}"),
        Red::Prod => format!("{a} * {b}"),
        Red::Max => map(Fun::Max, &[a.to_string(), b.to_string()], &[kind]),
        Red::Min => map(Fun::Min, &[a.to_string(), b.to_string()], &[kind]),
        Red::Any => format!("{a} || {b}"),
        Red::All => format!("{a} && {b}"),
        Red::ArgMax | Red::ArgMin => unreachable!("handled with the counter"),
    }
}

fn map(fun: Fun, x: &[String], kinds: &[Kind]) -> String {
    let call = |name: &str| format!("{name}({})", x.join(", "));
    let infix = |sign: &str| format!("({})", x.join(&format!(" {sign} ")));
    let whole = kinds.first() != Some(&Kind::Real);
    match fun {
        Fun::Neg => format!("(-{})", x[0]),
        Fun::Recip => format!("(1.0 / {})", x[0]),
        Fun::Abs => call("abs"),
        Fun::Sign => call("sign"),
        Fun::Exp => call("exp"),
        Fun::Log => call("log"),
        Fun::Sqrt => call("sqrt"),
        Fun::Sin => call("sin"),
        Fun::Cos => call("cos"),
        Fun::Tan => call("tan"),
        Fun::Tanh => call("tanh_stable"),
        Fun::Expm1 => call("expm1"),
        Fun::Log1p => call("log1p"),
        Fun::Sigmoid => call("sigmoid"),
        Fun::Softplus => call("softplus"),
        Fun::Erf => call("erf"),
        Fun::Floor => call("floor"),
        Fun::Ceil => call("ceil"),
        Fun::Round => call("round"),
        Fun::Not => format!("!{}", x[0]),
        Fun::IsFinite => call("is_finite"),
        Fun::ToReal if kinds[0] == Kind::Bool => format!("select(0.0, 1.0, {})", x[0]),
        Fun::ToReal => call("f32"),
        Fun::ToInt if kinds[0] == Kind::Bool => format!("select(0, 1, {})", x[0]),
        Fun::ToInt => call("i32"),
        Fun::ToF32 => x[0].clone(),
        Fun::ToF16 => call("to_f16"),
        Fun::ToBf16 => call("to_bf16"),
        Fun::Add => infix("+"),
        Fun::Mul => infix("*"),
        Fun::Sub => infix("-"),
        Fun::Div => infix("/"),
        Fun::Pow => call("power"),
        Fun::Min | Fun::Max if whole => call(if fun == Fun::Min { "min" } else { "max" }),
        Fun::Min => call("smaller"),
        Fun::Max => call("larger"),
        Fun::Atan2 => call("atan2"),
        Fun::IntDiv if whole => call("floor_div"),
        Fun::IntDiv => format!("floor({} / {})", x[0], x[1]),
        Fun::Mod if whole => call("floor_mod"),
        Fun::Mod => format!("({a} - floor({a} / {b}) * {b})", a = x[0], b = x[1]),
        Fun::Lt => infix("<"),
        Fun::Le => infix("<="),
        Fun::Gt => infix(">"),
        Fun::Ge => infix(">="),
        Fun::Eq => infix("=="),
        Fun::Ne => infix("!="),
        Fun::And => infix("&&"),
        Fun::Or => infix("||"),
        Fun::Select => format!("select({}, {}, {})", x[2], x[1], x[0]),
    }
}
