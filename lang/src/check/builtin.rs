//! Built-in functions: scalar functions by name, their folding on numbers, and the few others.

use super::library::{ALONG, MATRIX, is_library};
use super::value::{Scope, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::Arg;
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{DimId, Elem, Fun, Op, Red, Size};
use std::rc::Rc;

/// Scalar functions with their number of arguments.
pub const SCALAR: &[(&str, Fun, usize)] = &[
    ("abs", Fun::Abs, 1),
    ("sign", Fun::Sign, 1),
    ("exp", Fun::Exp, 1),
    ("expm1", Fun::Expm1, 1),
    ("log", Fun::Log, 1),
    ("log1p", Fun::Log1p, 1),
    ("sqrt", Fun::Sqrt, 1),
    ("sin", Fun::Sin, 1),
    ("cos", Fun::Cos, 1),
    ("tan", Fun::Tan, 1),
    ("tanh", Fun::Tanh, 1),
    ("sigmoid", Fun::Sigmoid, 1),
    ("softplus", Fun::Softplus, 1),
    ("erf", Fun::Erf, 1),
    ("floor", Fun::Floor, 1),
    ("ceil", Fun::Ceil, 1),
    ("round", Fun::Round, 1),
    ("is_finite", Fun::IsFinite, 1),
    ("real", Fun::ToReal, 1),
    ("int", Fun::ToInt, 1),
    ("f32", Fun::ToF32, 1),
    ("f16", Fun::ToF16, 1),
    ("bf16", Fun::ToBf16, 1),
    ("atan2", Fun::Atan2, 2),
    ("pow", Fun::Pow, 2),
];

/// The rounding to a narrow type of reals.
pub fn rounding(elem: &str) -> Option<Fun> {
    let narrow = |f: &Fun| matches!(f, Fun::ToF32 | Fun::ToF16 | Fun::ToBf16);
    SCALAR.iter().find(|s| s.0 == elem).map(|s| s.1).filter(narrow)
}

/// Reductions.
pub const REDUCTIONS: &[(&str, Red)] = &[
    ("sum", Red::Sum),
    ("mean", Red::Mean),
    ("prod", Red::Prod),
    ("max", Red::Max),
    ("min", Red::Min),
    ("any", Red::Any),
    ("all", Red::All),
    ("argmax", Red::ArgMax),
    ("argmin", Red::ArgMin),
    ("logsumexp", Red::LogSumExp),
    ("var", Red::Var),
    ("count", Red::Count),
];

/// Everything else that is called by a name of the language.
pub const OTHERS: &[&str] = &["grad", "along", "stop", "norm", "dot", "flat", "size", "concat", "unflat", "plan"];

/// Names of the language that this version does not compile yet.
pub const LATER: &[&str] = &["reverse"];

/// The built-in of that name.
pub fn builtin(name: &str) -> Option<&'static str> {
    let names = SCALAR.iter().map(|s| s.0).chain(REDUCTIONS.iter().map(|r| r.0)).chain(OTHERS.iter().copied());
    let library = ALONG.iter().chain(MATRIX).copied();
    names.chain(library).chain(LATER.iter().copied()).find(|n| *n == name)
}

/// The reduction of that name.
pub fn reduction(name: &str) -> Option<Red> {
    REDUCTIONS.iter().find(|r| r.0 == name).map(|r| r.1)
}

impl Elab<'_> {
    /// A scalar function of values: folded on numbers, leaf by leaf on trees.
    pub fn apply_fun(&mut self, fun: Fun, args: &[Value], spans: &[Span], span: Span) -> Check<Value> {
        if args.iter().any(|a| matches!(a, Value::Instance(_))) {
            let args: Vec<Value> = args.iter().map(|a| self.as_tree(a, span)).collect();
            return self.apply_fun(fun, &args, spans, span);
        }
        let known: Vec<Value> = args.iter().map(|a| self.sized(a)).collect();
        if let Some(v) = fold(fun, &known) {
            return Ok(v);
        }
        if let Some(n) = args.iter().find_map(|a| if let Value::Tree(t) = a { Some(t.clone()) } else { None }) {
            return self.leafwise(&n, args, span, |elab, parts| elab.apply_fun(fun, parts, spans, span));
        }
        let tensors: Check<Vec<Tensor>> = args.iter().zip(spans).map(|(a, s)| self.tensor(a, *s)).collect();
        let mut tensors = tensors?;
        self.keep_whole(fun, args, &mut tensors, span);
        self.operands_fit(fun, &tensors, spans)?;
        // Each operand is aligned with the union so far; then the earlier ones need no renaming, since a union keeps names.
        let mut axes = tensors[0].axes.clone();
        let mut so_far = tensors[0].clone();
        for k in 1..tensors.len() {
            let (b, union) = self.align(&so_far, &tensors[k], (spans[0], spans[k]))?;
            tensors[k] = b;
            so_far.axes.clone_from(&union);
            axes = union;
        }
        let t = self.map_aligned(fun, &tensors, axes, span);
        // A hyperparameter may be needed now, for a size or a count: its value is carried along.
        let now: Vec<Value> =
            known.iter().map(|v| if let Value::Hyper(_, x) = v { Value::Num(*x) } else { v.clone() }).collect();
        Ok(match fold(fun, &now) {
            Some(Value::Num(x)) => Value::Hyper(t, x),
            _ => Value::Tensor(t),
        })
    }

    /// Beside whole numbers, a written whole number and a size are whole numbers too: `(i + 1) mod n` is an index.
    fn keep_whole(&mut self, fun: Fun, args: &[Value], tensors: &mut [Tensor], span: Span) {
        use Fun::{Add, IntDiv, Max, Min, Mod, Mul, Sub};
        let is_whole = |elab: &Self, t: &Tensor| matches!(elab.elem(t), Elem::Int | Elem::Index(_));
        if !matches!(fun, Add | Sub | Mul | Min | Max | IntDiv | Mod) || !tensors.iter().any(|t| is_whole(self, t)) {
            return;
        }
        let size = |elab: &Self, t: &Tensor| t.axes.is_empty() && elab.size_expr(t.id).is_some();
        let fits = |elab: &Self, v: &Value, t: &Tensor| match v {
            Value::Num(x) => x.fract() == 0.0 && x.abs() < f64::from(i32::MAX),
            Value::Dim(_) => true,
            _ => is_whole(elab, t) || size(elab, t),
        };
        if !args.iter().zip(tensors.iter()).all(|(v, t)| fits(self, v, t)) {
            return;
        }
        for (v, t) in args.iter().zip(tensors.iter_mut()) {
            match v {
                Value::Num(x) => *t = self.constant(*x, Elem::Int, span),
                _ if is_whole(self, t) => {}
                _ => match self.unit.terms[t.id.index()].op {
                    Op::Const(x) => *t = self.constant(x, Elem::Int, span),
                    _ => *t = self.map1(Fun::ToInt, t, span),
                },
            }
        }
    }

    /// An instance as the tree of its parameters.
    pub fn as_tree(&mut self, v: &Value, span: Span) -> Value {
        match v {
            Value::Instance(i) => {
                // What is wrong in the net is said where it is called.
                let _ = self.opened(i, span);
                Value::Tree(self.instance_tree(i, span))
            }
            other => other.clone(),
        }
    }

    /// A dim of a known size as a number.
    fn sized(&self, v: &Value) -> Value {
        match v {
            Value::Dim(d) => match self.unit.dims[d.index()].size {
                Size::Fixed(n) => Value::Num(n as f64),
                _ => v.clone(),
            },
            other => other.clone(),
        }
    }

    /// The dim that an index variable goes over. (One that goes along a fiber meets some of its entries.)
    fn index_of_dim(&self, v: &Value) -> Option<DimId> {
        let Value::Tensor(t) = v else { return None };
        match self.unit.terms[t.id.index()].op {
            Op::Iota(axis) if !self.fibers.contains_key(&axis) => Some(axis.dim),
            _ => None,
        }
    }

    /// Conditions are truth values, and indices are compared with indices of the same dim.
    fn operands_fit(&self, fun: Fun, tensors: &[Tensor], spans: &[Span]) -> Check<()> {
        let truths = match fun {
            Fun::Select => 1,
            Fun::And | Fun::Or | Fun::Not => tensors.len(),
            _ => 0,
        };
        for (t, at) in tensors[..truths].iter().zip(spans) {
            if self.elem(t) != Elem::Bool {
                let message = format!("a condition is `bool`, this is `{}`", self.shown(t));
                return fail(Diagnostic::error(Code::G0205, *at, message).hint("compare it: `x > 0`"));
            }
        }
        let index = |t: &Tensor| match (&self.unit.terms[t.id.index()].op, self.elem(t)) {
            // A variable used as a value is its integer.
            (Op::Iota(_), _) => None,
            (_, Elem::Index(d)) => Some(d),
            _ => None,
        };
        if let (Fun::Eq | Fun::Ne, [a, b]) = (fun, tensors)
            && let (Some(x), Some(y)) = (index(a), index(b))
            && x != y
        {
            let message = format!(
                "an index of `{}` is compared with one of `{}`",
                self.unit.dims[x.index()].name,
                self.unit.dims[y.index()].name
            );
            let d = Diagnostic::error(Code::G0205, spans[0].to(spans[1]), message);
            return fail(
                d.label(spans[0], self.shown(a))
                    .label(spans[1], self.shown(b))
                    .hint("if their numbers are meant, say so: `int(a) == int(b)`"),
            );
        }
        Ok(())
    }

    /// A call of a built-in.
    pub fn call_builtin(&mut self, name: &'static str, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if let Some(named) = args.iter().find_map(|a| a.name.as_ref()) {
            if crate::foreign::axis_argument(&named.name) {
                return fail(super::call::numbered_axis(name, named));
            }
            let d = Diagnostic::error(Code::G0307, named.span, format!("`{name}` takes no named arguments"));
            return fail(d.hint(format!("write `{name}(x)`")));
        }
        if is_library(name) {
            return self.library_call(name, &[], args, span, scope);
        }
        let mut values = Vec::new();
        for arg in args {
            let value = self.eval(&arg.value, scope)?;
            values.push(self.as_tree(&value, arg.value.span));
        }
        let spans: Vec<Span> = args.iter().map(|a| a.value.span).collect();
        if let Some((_, fun, arity)) = SCALAR.iter().find(|s| s.0 == name) {
            self.arity(name, *arity, values.len(), span)?;
            return self.apply_fun(*fun, &values, &spans, span);
        }
        if matches!(name, "max" | "min") && values.len() >= 2 {
            let fun = if name == "max" { Fun::Max } else { Fun::Min };
            let mut so_far = values[0].clone();
            for k in 1..values.len() {
                so_far = self.apply_fun(fun, &[so_far, values[k].clone()], &[spans[0], spans[k]], span)?;
            }
            return Ok(so_far);
        }
        if let Some(red) = reduction(name) {
            self.arity(name, 1, values.len(), span)?;
            return self.reduce_whole(red, &values[0], spans[0], span);
        }
        match name {
            "stop" => {
                self.arity(name, 1, values.len(), span)?;
                self.stop(&values[0], span)
            }
            "norm" => {
                self.arity(name, 1, values.len(), span)?;
                let squares = self.dot(&values[0], &values[0], span)?;
                Ok(Value::Tensor(self.map1(Fun::Sqrt, &squares, span)))
            }
            "dot" => {
                self.arity(name, 2, values.len(), span)?;
                self.dot(&values[0], &values[1], span).map(Value::Tensor)
            }
            "flat" => {
                self.arity(name, 1, values.len(), span)?;
                self.flat(&values[0], spans[0]).map(Value::Tensor)
            }
            "plan" => {
                self.arity(name, 1, values.len(), span)?;
                self.plan_of(&values[0], spans[0])
            }
            "concat" => self.concat(None, &values, &spans, span),
            "size" => {
                self.arity(name, 1, values.len(), span)?;
                let own = self.row_dim(&values[0]).or_else(|| self.index_of_dim(&values[0]));
                let d = own.map_or_else(|| self.dim(&values[0], span), Ok)?;
                self.tensor(&Value::Dim(d), span).map(Value::Tensor)
            }
            "grad" => fail(
                Diagnostic::error(Code::G0301, span, "`grad` needs to know what to differentiate by")
                    .hint("write `grad[w](loss)`"),
            ),
            "along" => fail(
                Diagnostic::error(Code::G0301, span, "`along` needs a variable and a direction")
                    .hint("write `along[x = v](f(x))`"),
            ),
            other => self.later(span, &format!("`{other}`")),
        }
    }

    fn arity(&self, name: &str, wanted: usize, given: usize, span: Span) -> Check<()> {
        if wanted == given {
            return Ok(());
        }
        let plural = if wanted == 1 { "" } else { "s" };
        let message = format!("`{name}` takes {wanted} argument{plural}, {given} given");
        let d = Diagnostic::error(Code::G0301, span, message);
        fail(match reduction(name) {
            Some(_) => d.hint(format!("a dim is named in brackets: `{name}[class](x)`")),
            None => d,
        })
    }

    fn stop(&mut self, v: &Value, span: Span) -> Check<Value> {
        if let Value::Tree(t) = v {
            let t = t.clone();
            return self.leafwise(&t, std::slice::from_ref(v), span, |elab, parts| elab.stop(&parts[0], span));
        }
        let t = self.tensor(v, span)?;
        let ty = self.ty(t.id).clone();
        let id = self.term(Op::Stop(t.id), ty.elem, ty.axes, span);
        Ok(Value::Tensor(Tensor { id, axes: t.axes }))
    }

    /// The sum of products of entries, over all leaves.
    pub fn dot(&mut self, a: &Value, b: &Value, span: Span) -> Check<Tensor> {
        if let Value::Tree(tree) = a {
            let products = self.leafwise(tree, &[a.clone(), b.clone()], span, |elab, parts| {
                elab.dot(&parts[0], &parts[1], span).map(Value::Tensor)
            })?;
            let Value::Tree(Tree { leaves }) = products else { unreachable!("leaf by leaf gives a tree") };
            let mut total: Option<Tensor> = None;
            for leaf in leaves {
                total = Some(match total {
                    None => leaf.value,
                    Some(t) => self.map2(Fun::Add, &t, &leaf.value, span)?,
                });
            }
            return total.map_or_else(|| Ok(self.constant(0.0, Elem::Real, span)), Ok);
        }
        let (x, y) = (self.tensor(a, span)?, self.tensor(b, span)?);
        let product = self.map2(Fun::Mul, &x, &y, span)?;
        let axes = product.axes.clone();
        Ok(if axes.is_empty() { product } else { self.reduce(Red::Sum, &product, &axes, None, span) })
    }
}

/// Scalar functions of numbers known now.
fn fold(fun: Fun, args: &[Value]) -> Option<Value> {
    let x: Vec<f64> = args
        .iter()
        .map(|a| match a {
            Value::Num(x) => Some(*x),
            Value::Truth(b) => Some(f64::from(u8::from(*b))),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let num = |v: f64| Some(Value::Num(v));
    let truth = |v: bool| Some(Value::Truth(v));
    match fun {
        Fun::Neg => num(-x[0]),
        Fun::Abs => num(x[0].abs()),
        Fun::Exp => num(x[0].exp()),
        Fun::Log => num(x[0].ln()),
        Fun::Sqrt => num(x[0].sqrt()),
        Fun::Sin => num(x[0].sin()),
        Fun::Cos => num(x[0].cos()),
        Fun::Tanh => num(x[0].tanh()),
        Fun::Floor => num(x[0].floor()),
        Fun::Ceil => num(x[0].ceil()),
        Fun::Round => num(x[0].round_ties_even()),
        Fun::Add => num(x.iter().sum()),
        Fun::Mul => num(x.iter().product()),
        Fun::Sub => num(x[0] - x[1]),
        Fun::Div => num(x[0] / x[1]),
        Fun::Pow => num(x[0].powf(x[1])),
        Fun::Min => num(x[0].min(x[1])),
        Fun::Max => num(x[0].max(x[1])),
        Fun::IntDiv => num((x[0] / x[1]).floor()),
        Fun::Mod => num(x[0] - (x[0] / x[1]).floor() * x[1]),
        Fun::Lt => truth(x[0] < x[1]),
        Fun::Le => truth(x[0] <= x[1]),
        Fun::Gt => truth(x[0] > x[1]),
        Fun::Ge => truth(x[0] >= x[1]),
        Fun::Eq => truth(x[0] == x[1]),
        Fun::Ne => truth(x[0] != x[1]),
        Fun::And => truth(x[0] != 0.0 && x[1] != 0.0),
        Fun::Or => truth(x[0] != 0.0 || x[1] != 0.0),
        Fun::Not => truth(x[0] == 0.0),
        Fun::Sign => num(if x[0] == 0.0 { 0.0 } else { x[0].signum() }),
        Fun::Recip => num(1.0 / x[0]),
        Fun::Expm1 => num(x[0].exp_m1()),
        Fun::Log1p => num(x[0].ln_1p()),
        Fun::Tan => num(x[0].tan()),
        Fun::Sigmoid => num(1.0 / (1.0 + (-x[0]).exp())),
        Fun::Softplus => num(x[0].max(0.0) + (-x[0].abs()).exp().ln_1p()),
        Fun::IsFinite => truth(x[0].is_finite()),
        Fun::ToReal => num(x[0]),
        Fun::ToInt => num(x[0].trunc()),
        Fun::Atan2 => num(x[0].atan2(x[1])),
        // The error function has no exact form here; a constant term is folded later.
        Fun::Erf | Fun::Select | Fun::ToF32 | Fun::ToF16 | Fun::ToBf16 => None,
    }
}
