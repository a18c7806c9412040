//! Making terms: types of operations, alignment of axes by dim, renaming.
//! Law: two positional axes of one tensor differ; a positional axis is never one of an active index variable.

use super::value::{Tensor, Value};
use super::{Check, Elab, fail};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{At, Axis, Dim, DimId, Elem, Fun, Op, Red, Size, SizeExpr, Term, TermId, Ty};

impl Elab<'_> {
    /// Adds a term.
    pub fn term(&mut self, op: Op, elem: Elem, axes: Vec<Axis>, span: Span) -> TermId {
        let mut axes = axes;
        axes.sort();
        axes.dedup();
        self.ordered_term(op, Ty { elem, axes }, span)
    }

    /// Adds a term whose axes keep their order, or finds it.
    pub fn ordered_term(&mut self, op: Op, ty: Ty, span: Span) -> TermId {
        self.known.find_or_add(&mut self.unit.terms, Term { op, ty, span })
    }

    pub fn ty(&self, id: TermId) -> &Ty {
        &self.unit.terms[id.index()].ty
    }

    pub fn elem(&self, t: &Tensor) -> Elem {
        self.ty(t.id).elem
    }

    /// A constant.
    pub fn constant(&mut self, x: f64, elem: Elem, span: Span) -> Tensor {
        Tensor { id: self.term(Op::Const(x), elem, vec![], span), axes: vec![] }
    }

    /// The name of a dim, with its size where that is known and not the name itself.
    pub fn dim_name(&self, dim: DimId) -> String {
        let d = &self.unit.dims[dim.index()];
        match d.size {
            Size::Fixed(n) if d.name != n.to_string() => format!("{} = {n}", d.name),
            _ => d.name.clone(),
        }
    }

    /// A tensor's type in the user's words.
    pub fn shown(&self, t: &Tensor) -> String {
        let elem = match self.elem(t) {
            Elem::Real => "real".to_string(),
            Elem::Int => "int".to_string(),
            Elem::Bool => "bool".to_string(),
            Elem::Index(d) => self.unit.dims[d.index()].name.clone(),
        };
        let dims: Vec<String> = t.axes.iter().map(|a| self.dim_name(a.dim)).collect();
        if dims.is_empty() { elem } else { format!("{elem}[{}]", dims.join(", ")) }
    }

    /// The dim named by a number.
    pub fn number_dim(&mut self, n: u64) -> DimId {
        let name = n.to_string();
        if let Some(k) = self.unit.dims.iter().position(|d| d.name == name && d.size == Size::Fixed(n)) {
            return DimId::new(k);
        }
        self.add_dim(Dim { name, size: Size::Fixed(n), span: None })
    }

    pub fn add_dim(&mut self, dim: Dim) -> DimId {
        self.unit.dims.push(dim);
        DimId::new(self.unit.dims.len() - 1)
    }

    /// An axis over a dim that is none of the active ones and none of `taken`.
    pub fn fresh_axis(&self, dim: DimId, taken: &[Axis]) -> Axis {
        (0..)
            .map(|ix| Axis { dim, ix })
            .find(|a| !self.active.contains(a) && !taken.contains(a))
            .expect("there are enough numbers")
    }

    /// The tensor with axes renamed (positions follow).
    pub fn rename(&mut self, t: &Tensor, names: &[(Axis, Axis)], span: Span) -> Tensor {
        if names.iter().all(|(a, b)| a == b) {
            return t.clone();
        }
        let names: Vec<_> = names.iter().filter(|(a, b)| a != b).copied().collect();
        let to = |a: Axis| names.iter().find(|(x, _)| *x == a).map_or(a, |(_, y)| *y);
        let ty = self.ty(t.id).clone();
        let at = names
            .iter()
            .filter(|(a, _)| ty.axes.contains(a))
            .map(|(a, b)| (*a, At::Affine { terms: vec![(1, *b)], offset: 0 }))
            .collect();
        let axes = ty.axes.iter().map(|a| to(*a)).collect();
        let id = self.term(Op::Read { of: t.id, at, otherwise: None }, ty.elem, axes, span);
        Tensor { id, axes: t.axes.iter().map(|a| to(*a)).collect() }
    }

    /// The tensor with positional axes moved away from active index variables.
    pub fn clear_of_active(&mut self, t: &Tensor, span: Span) -> Tensor {
        let mut names = Vec::new();
        let mut taken = t.axes.clone();
        for axis in &t.axes {
            if self.active.contains(axis) {
                let fresh = self.fresh_axis(axis.dim, &taken);
                taken.push(fresh);
                names.push((*axis, fresh));
            }
        }
        self.rename(t, &names, span)
    }

    /// Aligns positional axes of `b` with those of `a` by dim. Returns `b` renamed and the positions of the union.
    pub fn align(&mut self, a: &Tensor, b: &Tensor, spans: (Span, Span)) -> Check<(Tensor, Vec<Axis>)> {
        if a.axes.iter().map(|x| x.dim).eq(b.axes.iter().map(|x| x.dim)) {
            let names: Vec<_> = b.axes.iter().copied().zip(a.axes.iter().copied()).collect();
            let b = self.rename_apart(b, &names, spans.1);
            return Ok((b, a.axes.clone()));
        }
        let count = |t: &Tensor, d: DimId| t.axes.iter().filter(|x| x.dim == d).count();
        let mut names = Vec::new();
        for axis in &b.axes {
            let (in_a, in_b) = (count(a, axis.dim), count(b, axis.dim));
            if in_a > 0 && (in_a > 1 || in_b > 1) {
                let d = Diagnostic::error(
                    Code::G0204,
                    spans.0.to(spans.1),
                    format!(
                        "`{}` occurs twice in one operand, so it is not clear which axes belong together",
                        self.unit.dims[axis.dim.index()].name
                    ),
                );
                let d = d.label(spans.0, self.shown(a)).label(spans.1, self.shown(b));
                return fail(d.hint("use index notation, for example `y[i, j] = a[i, j] + b[j]`"));
            }
            match a.axes.iter().find(|x| x.dim == axis.dim) {
                Some(to) => names.push((*axis, *to)),
                None if a.axes.contains(axis) => unreachable!("an axis of another dim is another axis"),
                None => {}
            }
        }
        let b = self.rename_apart(b, &names, spans.1);
        let mut union = a.axes.clone();
        if b.axes.len() > a.axes.len() && a.axes.iter().all(|x| b.axes.contains(x)) {
            union = b.axes.clone();
        } else {
            union.extend(b.axes.iter().filter(|x| !a.axes.contains(x)));
        }
        Ok((b, union))
    }

    /// Renames even where old and new names overlap crosswise: substitution is simultaneous.
    fn rename_apart(&mut self, t: &Tensor, names: &[(Axis, Axis)], span: Span) -> Tensor {
        self.rename(t, names, span)
    }

    /// A scalar function of two tensors.
    pub fn map2(&mut self, fun: Fun, a: &Tensor, b: &Tensor, span: Span) -> Check<Tensor> {
        self.map2_at(fun, a, b, (span, span), span)
    }

    /// As `map2`, with the operands' places for messages.
    pub fn map2_at(&mut self, fun: Fun, a: &Tensor, b: &Tensor, spans: (Span, Span), span: Span) -> Check<Tensor> {
        let (b, axes) = self.align(a, b, spans)?;
        Ok(self.map_aligned(fun, &[a.clone(), b], axes, span))
    }

    /// A scalar function of aligned tensors.
    pub fn map_aligned(&mut self, fun: Fun, args: &[Tensor], axes: Vec<Axis>, span: Span) -> Tensor {
        let mut all = Vec::new();
        let elems: Vec<Elem> = args.iter().map(|a| self.elem(a)).collect();
        for a in args {
            all.extend(self.ty(a.id).axes.iter().copied());
        }
        let elem = map_elem(fun, &elems);
        let id = self.term(Op::Map(fun, args.iter().map(|a| a.id).collect()), elem, all, span);
        Tensor { id, axes }
    }

    /// A scalar function of one tensor.
    pub fn map1(&mut self, fun: Fun, a: &Tensor, span: Span) -> Tensor {
        self.map_aligned(fun, std::slice::from_ref(a), a.axes.clone(), span)
    }

    /// Reduces positional axes.
    pub fn reduce(&mut self, red: Red, t: &Tensor, over: &[Axis], guard: Option<TermId>, span: Span) -> Tensor {
        let ty = self.ty(t.id).clone();
        let mut axes = ty.axes.clone();
        if let Some(g) = guard {
            axes.extend(self.ty(g).axes.iter().copied());
        }
        axes.retain(|a| !over.contains(a));
        let elem = match red {
            Red::ArgMax | Red::ArgMin => Elem::Index(over[0].dim),
            Red::Mean | Red::Var | Red::LogSumExp | Red::Count => Elem::Real,
            Red::Any | Red::All => Elem::Bool,
            Red::Sum | Red::Prod => Elem::Real,
            // Where the guard lets nothing through, it is no index.
            Red::Max | Red::Min if guard.is_some() && matches!(ty.elem, Elem::Index(_)) => Elem::Int,
            Red::Max | Red::Min => ty.elem,
        };
        let op = Op::Reduce { red, axes: over.to_vec(), of: t.id, guard };
        let id = self.term(op, elem, axes, span);
        Tensor { id, axes: t.axes.iter().copied().filter(|a| !over.contains(a)).collect() }
    }

    /// A tensor from anything that stands for one.
    pub fn tensor(&mut self, v: &Value, span: Span) -> Check<Tensor> {
        match v {
            Value::Tensor(t) | Value::Hyper(t, _) => Ok(t.clone()),
            Value::Num(x) => Ok(self.constant(*x, Elem::Real, span)),
            Value::Truth(b) => Ok(self.constant(f64::from(u8::from(*b)), Elem::Bool, span)),
            Value::Dim(d) => match self.unit.dims[d.index()].size {
                Size::Fixed(n) => Ok(self.constant(n as f64, Elem::Real, span)),
                _ => Ok(Tensor { id: self.term(Op::Size(*d), Elem::Real, vec![], span), axes: vec![] }),
            },
            other => {
                fail(Diagnostic::error(Code::G0205, span, format!("a tensor is needed here, not {}", other.what())))
            }
        }
    }

    /// A number that must be known now.
    pub fn static_num(&self, v: &Value, span: Span) -> Check<f64> {
        match v {
            Value::Num(x) | Value::Hyper(_, x) => Ok(*x),
            Value::Truth(b) => Ok(f64::from(u8::from(*b))),
            Value::Dim(d) => match self.unit.dims[d.index()].size {
                Size::Fixed(n) => Ok(n as f64),
                _ => fail(
                    Diagnostic::error(
                        Code::G0303,
                        span,
                        format!(
                            "the size of `{}` is not known before the program runs",
                            self.unit.dims[d.index()].name
                        ),
                    )
                    .hint("declare its size: `dim name = 10`"),
                ),
            },
            other => fail(
                Diagnostic::error(
                    Code::G0303,
                    span,
                    format!("a number known before the program runs is needed here, not {}", other.what()),
                )
                .hint("sizes, counts and static arguments cannot depend on data"),
            ),
        }
    }

    /// A whole number that must be known now.
    pub fn static_count(&self, v: &Value, span: Span) -> Check<u64> {
        let x = self.static_num(v, span)?;
        if x.fract() != 0.0 || !(0.0..9e15).contains(&x) {
            return fail(Diagnostic::error(Code::G0303, span, format!("a whole number is needed here, not {x}")));
        }
        Ok(x as u64)
    }

    /// An integer expression over dims that a scalar stands for.
    pub fn size_expr(&self, id: TermId) -> Option<SizeExpr> {
        use SizeExpr as S;
        Some(match &self.unit.terms[id.index()].op {
            Op::Const(x) if x.fract() == 0.0 && x.abs() < 9e15 => S::Const(*x as i64),
            Op::Size(d) => S::Dim(*d),
            Op::Map(Fun::ToInt | Fun::ToReal, args) => self.size_expr(args[0])?,
            Op::Map(fun, args) if args.len() == 2 => {
                let (a, b) = (Box::new(self.size_expr(args[0])?), Box::new(self.size_expr(args[1])?));
                match fun {
                    Fun::Add => S::Add(a, b),
                    Fun::Sub => S::Sub(a, b),
                    Fun::Mul => S::Mul(a, b),
                    Fun::IntDiv => S::Div(a, b),
                    Fun::Mod => S::Mod(a, b),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    /// The dim of that size, named by the expression.
    pub fn size_dim(&mut self, size: SizeExpr) -> DimId {
        match size {
            SizeExpr::Dim(d) => return d,
            SizeExpr::Const(n) if n >= 0 => return self.number_dim(n as u64),
            _ => {}
        }
        let size = Size::Of(size);
        if let Some(k) = self.unit.dims.iter().position(|d| d.size == size) {
            return DimId::new(k);
        }
        let Size::Of(expr) = &size else { unreachable!("made above") };
        let name = shown_size(expr, &self.unit.dims);
        self.add_dim(Dim { name, size, span: None })
    }

    /// A dim: itself, or the one named by a number or a size.
    pub fn dim(&mut self, v: &Value, span: Span) -> Check<DimId> {
        match v {
            Value::Dim(d) => Ok(*d),
            Value::Tensor(t) if t.axes.is_empty() && self.size_expr(t.id).is_some() => {
                let size = self.size_expr(t.id).expect("just looked");
                Ok(self.size_dim(size))
            }
            Value::Num(_) | Value::Hyper(..) => {
                let n = self.static_count(v, span)?;
                Ok(self.number_dim(n))
            }
            other => fail(
                Diagnostic::error(Code::G0303, span, format!("a dim is needed here, not {}", other.what()))
                    .hint("a dim is declared, a number, or computed from them; it cannot depend on data"),
            ),
        }
    }
}

/// A size as a user writes it.
pub fn shown_size(size: &SizeExpr, dims: &[Dim]) -> String {
    let two = |a: &SizeExpr, op: &str, b: &SizeExpr| format!("({} {op} {})", shown_size(a, dims), shown_size(b, dims));
    match size {
        SizeExpr::Const(n) => n.to_string(),
        SizeExpr::Dim(d) => dims[d.index()].name.clone(),
        SizeExpr::Add(a, b) => two(a, "+", b),
        SizeExpr::Sub(a, b) => two(a, "-", b),
        SizeExpr::Mul(a, b) => two(a, "*", b),
        SizeExpr::Div(a, b) => two(a, "div", b),
        SizeExpr::Mod(a, b) => two(a, "mod", b),
    }
}

/// The element type of a scalar function's result.
fn map_elem(fun: Fun, elems: &[Elem]) -> Elem {
    let whole = |e: &Elem| matches!(e, Elem::Int | Elem::Index(_));
    match fun {
        Fun::Lt | Fun::Le | Fun::Gt | Fun::Ge | Fun::Eq | Fun::Ne | Fun::And | Fun::Or | Fun::Not | Fun::IsFinite => {
            Elem::Bool
        }
        Fun::ToInt => Elem::Int,
        Fun::Select if elems[1] == elems[2] => elems[1],
        Fun::Select if whole(&elems[1]) && whole(&elems[2]) => Elem::Int,
        Fun::Neg | Fun::Abs | Fun::Add | Fun::Sub | Fun::Mul | Fun::Min | Fun::Max | Fun::IntDiv | Fun::Mod
            if elems.iter().all(whole) =>
        {
            Elem::Int
        }
        _ => Elem::Real,
    }
}
