//! Index notation: comprehensions, reads, and finding the dims of index variables.

use super::value::{Scope, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::{BinaryOp, Expr, ExprKind, IndexItem, UnaryOp};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{At, Axis, DimId, Elem, Op, Size, SizeExpr};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A whole-number combination of index variables.
struct Affine {
    terms: Vec<(i64, Axis)>,
    offset: i64,
}

impl Elab<'_> {
    /// `y[b, o] = value`.
    pub fn comprehension(&mut self, items: &[IndexItem], value: &Expr, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let vars = self.bind_vars(items, value, scope)?;
        let inner = Scope::inside(scope);
        let axes: Vec<Axis> = vars.iter().map(|v| v.1).collect();
        for (name, axis) in &vars {
            let iota = self.iota(*axis, span);
            inner.set(name, Value::Tensor(iota));
        }
        let result = self.within(&axes, |elab| elab.eval(value, &inner))?;
        match result {
            Value::Tree(mut tree) => {
                for leaf in &mut tree.leaves {
                    leaf.value = self.close_over(&axes, &leaf.value, span);
                }
                Ok(Value::Tree(tree))
            }
            other => {
                let t = self.tensor(&other, value.span)?;
                Ok(Value::Tensor(self.close_over(&axes, &t, span)))
            }
        }
    }

    /// Gives the variables' axes positions in front.
    fn close_over(&mut self, axes: &[Axis], t: &Tensor, span: Span) -> Tensor {
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
                Diagnostic::error(Code::G0301, g.span, "a guard belongs to a reduction")
                    .hint("for example `sum[j | j < i](x[j])`"),
            );
        }
        match self.eval(base, scope)? {
            Value::Tree(tree) => {
                let mut leaves = tree.leaves.clone();
                for leaf in &mut leaves {
                    leaf.value = self.read(&leaf.value.clone(), items, outside.as_ref(), base.span, span, scope)?;
                    leaf.param = None;
                }
                Ok(Value::Tree(Tree { leaves }))
            }
            v @ (Value::Tensor(_) | Value::Hyper(..) | Value::Num(_)) => {
                let t = self.tensor(&v, base.span)?;
                self.read(&t, items, outside.as_ref(), base.span, span, scope).map(Value::Tensor)
            }
            other => fail(Diagnostic::error(Code::G0207, span, format!("{} has no indices", other.what()))),
        }
    }

    fn read(
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
                    match self.affine(e, scope).map_err(unbound)? {
                        Some(affine) => {
                            self.in_range(&affine, axis, outside.is_some(), t, e.span)?;
                            at.push((axis, At::Affine { terms: affine.terms, offset: affine.offset }));
                        }
                        None => {
                            let index = self.eval_tensor(e, scope).map_err(unbound)?;
                            self.index_in_range(&index, axis, outside.is_some(), t, e.span)?;
                            indices.push((k, index));
                        }
                    }
                }
                IndexItem::Range(from, to, s) => {
                    let (dim, from) = self.slice((from.as_ref(), to.as_ref()), axis, *s, scope)?;
                    let mut taken: Vec<Axis> = positions.iter().flatten().copied().collect();
                    taken.extend(self.ty(t.id).axes.iter().copied());
                    let new = self.fresh_axis(dim, &taken);
                    positions[k] = Some(new);
                    at.push((axis, At::Affine { terms: vec![(1, new)], offset: from }));
                }
                IndexItem::Bind { var, .. } => {
                    return fail(Diagnostic::error(Code::G0104, var.span, "an index is needed here, not a binding"));
                }
                IndexItem::Fiber { edge, .. } => {
                    return fail(Diagnostic::error(Code::G0104, edge.span, "an index is needed here, not an arrow"));
                }
                IndexItem::Rest(_) => unreachable!("skipped above"),
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

    /// The dim of a slice and where it starts.
    fn slice(
        &mut self,
        bounds: (Option<&Expr>, Option<&Expr>),
        axis: Axis,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<(DimId, i64)> {
        let mut count = |e: &Expr| -> Check<i64> {
            let v = self.eval(e, scope)?;
            Ok(self.static_count(&v, e.span)? as i64)
        };
        let from = bounds.0.map_or(Ok(0), &mut count)?;
        let to = bounds.1.map(&mut count).transpose()?;
        let size = if let Size::Fixed(n) = self.unit.dims[axis.dim.index()].size { Some(n as i64) } else { None };
        let Some(to) = to.or(size) else {
            let rest = SizeExpr::Sub(Box::new(SizeExpr::Dim(axis.dim)), Box::new(SizeExpr::Const(from)));
            return Ok((self.size_dim(rest), from));
        };
        if from > to || size.is_some_and(|n| to > n) {
            let message = format!("the slice {from}..{to} is not inside `{}`", self.dim_name(axis.dim));
            return fail(
                Diagnostic::error(Code::G0206, span, message).hint("a slice goes up to, not including, its end"),
            );
        }
        Ok((self.number_dim((to - from) as u64), from))
    }

    /// An index expression as a combination of index variables, if it is one.
    fn affine(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<Option<Affine>> {
        Ok(match &*e.kind {
            ExprKind::Number(n) if n.fract() == 0.0 => Some(Affine { terms: vec![], offset: *n as i64 }),
            ExprKind::Name { .. } => match self.eval(e, scope)? {
                Value::Num(n) if n.fract() == 0.0 => Some(Affine { terms: vec![], offset: n as i64 }),
                Value::Tensor(t) => match self.unit.terms[t.id.index()].op {
                    Op::Iota(axis) if t.axes.is_empty() => Some(Affine { terms: vec![(1, axis)], offset: 0 }),
                    _ => None,
                },
                Value::Dim(d) => match self.unit.dims[d.index()].size {
                    Size::Fixed(n) => Some(Affine { terms: vec![], offset: n as i64 }),
                    _ => None,
                },
                _ => None,
            },
            ExprKind::Unary(UnaryOp::Neg, x) => self.affine(x, scope)?.map(|a| a.times(-1)),
            ExprKind::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), a, b) => {
                let (a, b) = (self.affine(a, scope)?, self.affine(b, scope)?);
                a.zip(b).map(|(a, b)| a.plus(b.times(if *op == BinaryOp::Add { 1 } else { -1 })))
            }
            ExprKind::Binary(BinaryOp::Mul, a, b) => match (self.affine(a, scope)?, self.affine(b, scope)?) {
                (Some(a), Some(b)) if a.terms.is_empty() => Some(b.times(a.offset)),
                (Some(a), Some(b)) if b.terms.is_empty() => Some(a.times(b.offset)),
                _ => None,
            },
            // Sizes that are known now: `(height - 1) div 2`.
            ExprKind::Binary(BinaryOp::IntDiv | BinaryOp::Mod, ..) => match self.eval(e, scope)? {
                Value::Num(n) if n.fract() == 0.0 => Some(Affine { terms: vec![], offset: n as i64 }),
                _ => None,
            },
            _ => None,
        })
    }

    /// Proves that an affine index stays inside, or asks for `else`.
    fn in_range(&self, a: &Affine, axis: Axis, guarded: bool, t: &Tensor, span: Span) -> Check<()> {
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
        let mut low = Some(a.offset);
        let mut high = Some(a.offset);
        for (c, x) in &a.terms {
            let reach = size(x.dim).map(|n| c.saturating_mul(n - 1));
            low = low.zip(reach).map(|(l, r)| l.saturating_add(r.min(0)));
            high = high.zip(reach).map(|(h, r)| h.saturating_add(r.max(0)));
        }
        let n = size(axis.dim);
        if let (Some(l), Some(h), Some(n)) = (low, high, n)
            && l >= 0
            && h < n
        {
            return Ok(());
        }
        if a.terms.is_empty() && a.offset == 0 && n.is_none() {
            // The first entry of an open dim: a dim that has no entry has no tensor to read either.
            return Ok(());
        }
        let reach = low.zip(high).map(|(l, h)| format!(", it goes from {l} to {h}")).unwrap_or_default();
        let message = format!("this index may fall outside `{}`{reach}", self.dim_name(axis.dim));
        fail(Diagnostic::error(Code::G0206, span, message).hint("say what lies outside: `(x[i - 1] else 0)`"))
    }

    fn index_in_range(&self, i: &Tensor, axis: Axis, guarded: bool, t: &Tensor, span: Span) -> Check<()> {
        match self.elem(i) {
            Elem::Index(d) if d == axis.dim || guarded => Ok(()),
            Elem::Int if guarded => Ok(()),
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
