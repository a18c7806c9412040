//! Index notation: comprehensions, reads, and finding the dims of index variables.

use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Expr, IndexItem};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Ask, At, Axis, DimId, Elem, Fun, Op, Size, SizeExpr, TermId};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A whole-number combination of index variables.
#[derive(Clone)]
struct Affine {
    terms: Vec<(i64, Axis)>,
    offset: i64,
}

impl Elab<'_> {
    /// `y[b, o] = value`; in `y[.., o] = value` the value's own dims come where the dots stand, else last.
    pub fn comprehension(&mut self, items: &[IndexItem], value: &Expr, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let front = items.iter().position(|i| matches!(i, IndexItem::Rest(_))).unwrap_or(items.len());
        let mut items = items.to_vec();
        if front < items.len() {
            items.remove(front);
        }
        let vars = self.bind_vars(&items, &[value], scope)?;
        let inner = Scope::inside(scope);
        let axes: Vec<Axis> = vars.iter().map(|v| v.1).collect();
        for (name, axis) in &vars {
            let iota = self.iota(*axis, span);
            inner.set(name, Value::Tensor(iota));
        }
        let result = self.within(&axes, |elab| elab.eval(value, &inner))?;
        let mut close = |elab: &mut Self, t: &Tensor| {
            let mut closed = elab.close_over(&axes, t, span);
            closed.axes[front..].rotate_left(axes.len() - front);
            Ok(closed)
        };
        self.each_tensor(&result, value.span, &mut |elab, t| {
            let closed = close(elab, t)?;
            elab.close_fields((t, &closed), span, &mut close)?;
            Ok(closed)
        })
    }

    /// Gives the variables' axes positions in front.
    pub fn close_over(&mut self, axes: &[Axis], t: &Tensor, span: Span) -> Tensor {
        let id = self.spread(t.id, axes, span);
        Tensor { id, axes: axes.iter().chain(&t.axes).copied().collect() }
    }

    /// The dim that a value stands for as the range of an index variable: a dim, or that of another variable.
    pub fn index_dim(&mut self, v: &Value, span: Span) -> Check<DimId> {
        if let Value::Tensor(t) = v
            && let Op::Iota(axis) = self.unit.terms[t.id.index()].op
        {
            return Ok(axis.dim);
        }
        if let Some(d) = self.row_dim(v) {
            return Ok(d);
        }
        self.dim(v, span)
    }

    /// `x[...]`: a read, or a slice of one.
    pub fn bracket(
        &mut self,
        base: &Expr,
        items: &[IndexItem],
        guard: Option<&Expr>,
        outside: Option<Tensor>,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        if let Some(g) = guard {
            return fail(
                Diagnostic::error(Code::G0312, g.span, "a guard belongs to a reduction")
                    .hint("for example `sum[j | j < i](x[j])`"),
            );
        }
        match self.eval(base, scope)? {
            v @ (Value::Tensor(_)
            | Value::Hyper(..)
            | Value::Num(_)
            | Value::Tree(_)
            | Value::Record(_)
            | Value::Tuple(_)) => self.each_tensor(&v, base.span, &mut |elab, t| {
                elab.read(t, items, outside.as_ref(), base.span, span, scope)
            }),
            Value::Instance(instance) if !instance.open_dims().is_empty() => self.member(&instance, items, span, scope),
            other => fail(Diagnostic::error(Code::G0207, span, format!("{} has no indices", other.what()))),
        }
    }

    pub fn read(
        &mut self,
        t: &Tensor,
        items: &[IndexItem],
        outside: Option<&Tensor>,
        base: Span,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Tensor> {
        let rest = items.iter().position(|i| matches!(i, IndexItem::Rest(_)));
        let given = items.len() - usize::from(rest.is_some());
        if self.lenient && t.axes.is_empty() {
            return Ok(t.clone());
        }
        if given > t.axes.len() {
            let message = format!(
                "{given} indices, but `{}` has {} dim{}",
                self.shown(t),
                t.axes.len(),
                if t.axes.len() == 1 { "" } else { "s" }
            );
            return fail(Diagnostic::error(Code::G0207, span, message).label(base, self.shown(t)));
        }
        let mut at: Vec<(Axis, At)> = Vec::new();
        let mut positions: Vec<Option<Axis>> = t.axes.iter().map(|a| Some(*a)).collect();
        let mut indices: Vec<(usize, Tensor)> = Vec::new();
        for (k, item) in items.iter().enumerate() {
            let k = match rest {
                Some(r) if k == r => continue,
                Some(r) if k > r => t.axes.len() - (items.len() - k),
                _ => k,
            };
            let axis = t.axes[k];
            match item {
                IndexItem::Expr(e) => {
                    positions[k] = None;
                    let value = self.eval(e, scope).map_err(unbound)?;
                    match self.affine(&value) {
                        Some(affine) => {
                            self.in_range(&affine, axis, outside.is_some(), t, e.span)?;
                            at.push((axis, At::Affine { terms: affine.terms, offset: affine.offset }));
                        }
                        None => {
                            let index = self.tensor(&value, e.span)?;
                            self.index_in_range(&index, axis, outside.is_some(), t, e.span)?;
                            indices.push((k, index));
                        }
                    }
                }
                IndexItem::Range(from, to, s) => {
                    let (dim, from) = self.slice((from.as_ref(), to.as_ref()), axis, outside.is_some(), *s, scope)?;
                    let mut taken: Vec<Axis> = positions.iter().flatten().copied().collect();
                    taken.extend(self.ty(t.id).axes.iter().copied());
                    let new = self.fresh_axis(dim, &taken);
                    positions[k] = Some(new);
                    let mut terms = from.terms;
                    terms.push((1, new));
                    at.push((axis, At::Affine { terms, offset: from.offset }));
                }
                IndexItem::Bind { var, .. } => {
                    return fail(Diagnostic::error(Code::G0104, var.span, "an index is needed here, not a binding"));
                }
                IndexItem::Fiber { edge, .. } => {
                    return fail(Diagnostic::error(Code::G0104, edge.span, "an index is needed here, not an arrow"));
                }
                IndexItem::Rest(span) => {
                    return fail(
                        Diagnostic::error(Code::G0104, *span, "`..` stands here twice")
                            .hint("one `..` stands for all dims that have no index; give the others an index each"),
                    );
                }
            }
        }
        self.finish_read(t, at, positions, indices, outside, span)
    }

    /// Aligns index arrays with what stays whole, by dim, and makes the read.
    fn finish_read(
        &mut self,
        t: &Tensor,
        mut at: Vec<(Axis, At)>,
        positions: Vec<Option<Axis>>,
        indices: Vec<(usize, Tensor)>,
        outside: Option<&Tensor>,
        span: Span,
    ) -> Check<Tensor> {
        // What stays whole keeps its name; a slice has a new one, which is part of the result too.
        let whole: Vec<Axis> = positions.iter().flatten().copied().collect();
        let mut shape = Tensor { id: t.id, axes: whole };
        let mut inserted: BTreeMap<usize, Vec<Axis>> = BTreeMap::new();
        for (k, index) in indices {
            let (index, union) = self.align(&shape, &index, (span, span))?;
            let new: Vec<Axis> = union.iter().copied().filter(|a| !shape.axes.contains(a)).collect();
            shape.axes.extend(new.iter().copied());
            inserted.insert(k, new);
            at.push((t.axes[k], At::Term(index.id)));
        }
        let mut out = Vec::new();
        for (k, p) in positions.iter().enumerate() {
            out.extend(inserted.get(&k).into_iter().flatten().copied());
            out.extend(p.iter().copied());
        }
        let ty = self.ty(t.id).clone();
        let mut axes: Vec<Axis> = ty.axes.iter().copied().filter(|a| at.iter().all(|(b, _)| a != b)).collect();
        for (_, to) in &at {
            match to {
                At::Affine { terms, .. } => axes.extend(terms.iter().map(|x| x.1)),
                At::Term(i) => axes.extend(self.ty(*i).axes.iter().copied()),
            }
        }
        let otherwise = match outside {
            None => None,
            Some(o) => {
                let (o, _) = self.align(&Tensor { id: t.id, axes: out.clone() }, o, (span, span))?;
                axes.extend(self.ty(o.id).axes.iter().copied());
                Some(o.id)
            }
        };
        let id = self.term(Op::Read { of: t.id, at, otherwise }, ty.elem, axes, span);
        Ok(Tensor { id, axes: out })
    }

    /// The dim of a slice and where it starts: `from..to` with bounds that are numbers or sizes, or a window of a fixed
    /// size that moves with index variables, `x[2*i..2*i + 3]`.
    fn slice(
        &mut self,
        bounds: (Option<&Expr>, Option<&Expr>),
        axis: Axis,
        guarded: bool,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<(DimId, Affine)> {
        let from = bounds.0.map(|e| self.eval(e, scope).map_err(unbound)).transpose()?.unwrap_or(Value::Num(0.0));
        let to_value =
            bounds.1.map(|e| self.eval(e, scope).map_err(unbound)).transpose()?.unwrap_or(Value::Dim(axis.dim));
        let spans = (bounds.0.map_or(span, |e| e.span), bounds.1.map_or(span, |e| e.span));
        if let (Some(a), Some(b)) = (self.affine(&from), self.affine(&to_value))
            && !(a.terms.is_empty() && b.terms.is_empty())
        {
            let width = b.plus(a.clone().times(-1));
            if !width.terms.is_empty() || width.offset < 1 {
                let d =
                    Diagnostic::error(Code::G0303, span, "the size of a slice does not depend on an index variable");
                return fail(d.hint("a window has one size everywhere: `x[i..i + 3]`"));
            }
            let range = self.affine_range(&a.terms, a.offset + width.offset - 1);
            let starts = self.affine_range(&a.terms, a.offset);
            let inside = starts.within(&self.size_form(axis.dim)) && range.within(&self.size_form(axis.dim));
            if !guarded && !inside {
                let message = format!("this window may reach outside `{}`", self.dim_name(axis.dim));
                return fail(
                    Diagnostic::error(Code::G0206, span, message).hint("say what lies outside: `(x[i..i + 3] else 0)`"),
                );
            }
            return Ok((self.number_dim(width.offset as u64), a));
        }
        let (first, last) = (self.bound(&from, spans.0)?, self.bound(&to_value, spans.1)?);
        let SizeExpr::Const(offset) = first else {
            let message = "a slice starts at a number known before the program runs";
            return fail(Diagnostic::error(Code::G0303, spans.0, message).hint("the end may be a size: `x[1..n]`"));
        };
        let size = less(last, offset);
        let to = plus(size.clone(), offset);
        if !guarded {
            self.inside(Ask { dim: axis.dim, from: offset, to, span }, &size)?;
        }
        // `x[0..shown]` lies over the dim `shown`, whose size was written.
        let dim = match (&to_value, bounds.1) {
            (Value::Dim(d), Some(_)) if offset == 0 => *d,
            _ => self.size_dim(size),
        };
        Ok((dim, Affine { terms: vec![], offset }))
    }

    /// A slice of this width lies inside its axis, or whether it does shows when the data bind the sizes. Of a batch
    /// nothing can be asked: its last one has the rows that are left.
    fn inside(&mut self, ask: Ask, width: &SizeExpr) -> Check<()> {
        let spare = |elab: &Self| {
            let width = elab.form_of(width)?;
            let end = width.plus(&super::range::Form::constant(ask.from));
            Some([width, elab.size_form(ask.dim).minus(&end)])
        };
        let spare = spare(self);
        if spare.iter().flatten().filter(|form| form.is_natural()).count() == 2 {
            return Ok(());
        }
        let refuted = spare.iter().flatten().any(|form| form.known().is_some_and(|n| n < 0));
        if refuted || Some(ask.dim) == self.unit.batch {
            let shown = super::core::shown_size(&ask.to, &self.unit.dims);
            let message = format!("the slice {}..{shown} is not inside `{}`", ask.from, self.dim_name(ask.dim));
            let d = Diagnostic::error(Code::G0206, ask.span, message);
            return fail(d.hint("a slice goes up to, not including, its end"));
        }
        self.asked(ask);
        Ok(())
    }

    /// Leaves it to the sizes that the data bind.
    fn asked(&mut self, ask: Ask) {
        if !self.unit.asks.contains(&ask) {
            self.unit.asks.push(ask);
        }
    }

    /// A bound of a slice: a number or a size.
    fn bound(&mut self, v: &Value, span: Span) -> Check<SizeExpr> {
        if let Value::Num(_) | Value::Hyper(..) = v {
            return Ok(SizeExpr::Const(self.static_count(v, span)? as i64));
        }
        let dim = match v {
            Value::Dim(d) => *d,
            Value::Tensor(t) if t.axes.is_empty() && self.size_expr(t.id).is_some() => {
                return Ok(self.size_expr(t.id).expect("just looked"));
            }
            other => {
                return Ok(SizeExpr::Const(self.static_count(other, span)? as i64));
            }
        };
        Ok(match self.unit.dims[dim.index()].size {
            Size::Fixed(n) => SizeExpr::Const(n as i64),
            _ => SizeExpr::Dim(dim),
        })
    }

    /// An index as a combination of index variables, if it is one.
    fn affine(&self, v: &Value) -> Option<Affine> {
        match v {
            Value::Num(n) | Value::Hyper(_, n) if n.fract() == 0.0 => Some(Affine { terms: vec![], offset: *n as i64 }),
            Value::Dim(d) => self.size_form(*d).known().map(|offset| Affine { terms: vec![], offset }),
            Value::Tensor(t) if t.axes.is_empty() => self.affine_term(t.id),
            _ => None,
        }
    }

    fn affine_term(&self, id: TermId) -> Option<Affine> {
        Some(match &self.unit.terms[id.index()].op {
            Op::Iota(axis) => Affine { terms: vec![(1, *axis)], offset: 0 },
            Op::Const(n) if n.fract() == 0.0 => Affine { terms: vec![], offset: *n as i64 },
            Op::Map(Fun::Neg, args) => self.affine_term(args[0])?.times(-1),
            Op::Map(Fun::Add, args) if args.len() == 2 => self.affine_term(args[0])?.plus(self.affine_term(args[1])?),
            Op::Map(Fun::Sub, args) => self.affine_term(args[0])?.plus(self.affine_term(args[1])?.times(-1)),
            Op::Map(Fun::Mul, args) if args.len() == 2 => {
                let (a, b) = (self.affine_term(args[0])?, self.affine_term(args[1])?);
                match (a.terms.is_empty(), b.terms.is_empty()) {
                    (true, _) => b.times(a.offset),
                    (_, true) => a.times(b.offset),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    /// Proves that an affine index stays inside, or asks for `else`.
    fn in_range(&mut self, a: &Affine, axis: Axis, guarded: bool, t: &Tensor, span: Span) -> Check<()> {
        if guarded || matches!(a.terms.as_slice(), [(1, x)] if x.dim == axis.dim && a.offset == 0) {
            return Ok(());
        }
        let size = |d: DimId| if let Size::Fixed(n) = self.unit.dims[d.index()].size { Some(n as i64) } else { None };
        if let [(1, x)] = a.terms.as_slice()
            && a.offset == 0
            && (size(x.dim).is_none() || size(axis.dim).is_none())
        {
            let message = format!(
                "an index of `{}` is used where an index of `{}` is needed",
                self.dim_name(x.dim),
                self.dim_name(axis.dim)
            );
            return fail(
                Diagnostic::error(Code::G0206, span, message)
                    .label(span, self.shown(t))
                    .hint("read another dim, or say what lies outside: `(x[i] else 0)`"),
            );
        }
        let range = self.affine_range(&a.terms, a.offset);
        if range.within(&self.size_form(axis.dim)) {
            return Ok(());
        }
        let known = |forms: &[super::range::Form]| forms.first().and_then(super::range::Form::known);
        let reach = known(&range.low).zip(known(&range.high));
        let open = self.size_form(axis.dim).known().is_none() && Some(axis.dim) != self.unit.batch;
        if let Some((from @ 0.., last)) = reach
            && open
        {
            self.asked(Ask { dim: axis.dim, from, to: SizeExpr::Const(last + 1), span });
            return Ok(());
        }
        let reach = reach.map(|(l, h)| format!(", it goes from {l} to {h}")).unwrap_or_default();
        let message = format!("this index may fall outside `{}`{reach}", self.dim_name(axis.dim));
        fail(Diagnostic::error(Code::G0206, span, message).hint("say what lies outside: `(x[i - 1] else 0)`"))
    }

    fn index_in_range(&self, i: &Tensor, axis: Axis, guarded: bool, t: &Tensor, span: Span) -> Check<()> {
        match self.elem(i) {
            Elem::Index(d) if d == axis.dim || guarded => Ok(()),
            Elem::Int if guarded || self.range(i.id).within(&self.size_form(axis.dim)) => Ok(()),
            Elem::Int | Elem::Index(_) => {
                let message = format!(
                    "this index is `{}`, and `{}` is read by `{}`",
                    self.shown(i),
                    self.shown(t),
                    self.dim_name(axis.dim)
                );
                fail(Diagnostic::error(Code::G0206, span, message).hint("say what lies outside: `(x[i] else 0)`"))
            }
            _ => fail(Diagnostic::error(
                Code::G0205,
                span,
                format!("an index is a whole number, this is `{}`", self.shown(i)),
            )),
        }
    }
}

/// An unknown name in an index is a variable that nothing binds.
pub fn unbound(d: Box<Diagnostic>) -> Box<Diagnostic> {
    let Some(name) = d.message.strip_prefix("unknown name `").and_then(|m| m.strip_suffix('`')) else { return d };
    if d.code != Code::G0101 || (name.chars().count() > 2 && d.hints.iter().any(|h| h.starts_with("did you mean"))) {
        return d;
    }
    let message = format!("the index variable `{name}` is bound nowhere");
    Box::new(
        Diagnostic { labels: d.labels.clone(), ..Diagnostic::error(Code::G0104, d.span, message) }.hint(format!(
            "bind it on the left of the equation, `y[{name}] = ...`, or by a reduction, `sum[{name}](...)`"
        )),
    )
}

impl Affine {
    fn times(mut self, c: i64) -> Affine {
        self.terms.iter_mut().for_each(|t| t.0 = t.0.saturating_mul(c));
        self.offset = self.offset.saturating_mul(c);
        self
    }

    fn plus(mut self, other: Affine) -> Affine {
        for (c, axis) in other.terms {
            match self.terms.iter_mut().find(|t| t.1 == axis) {
                Some(t) => t.0 = t.0.saturating_add(c),
                None => self.terms.push((c, axis)),
            }
        }
        self.terms.retain(|t| t.0 != 0);
        self.offset = self.offset.saturating_add(other.offset);
        self
    }
}

/// A size less a number.
fn less(size: SizeExpr, n: i64) -> SizeExpr {
    match size {
        SizeExpr::Const(m) => SizeExpr::Const(m - n),
        size if n == 0 => size,
        size => SizeExpr::Sub(Box::new(size), Box::new(SizeExpr::Const(n))),
    }
}

fn plus(size: SizeExpr, n: i64) -> SizeExpr {
    match size {
        SizeExpr::Const(m) => SizeExpr::Const(m + n),
        size if n == 0 => size,
        size => SizeExpr::Add(Box::new(size), Box::new(SizeExpr::Const(n))),
    }
}
