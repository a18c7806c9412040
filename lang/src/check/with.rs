//! `with`: a value with a part replaced. `theta with { enc.w = q }`, `r with { mu = 0 }`, `x with [i] = v`.

use super::value::{Scope, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::{Expr, ExprKind};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, Op};
use std::rc::Rc;

impl Elab<'_> {
    /// `base with ...`.
    pub fn with(&mut self, base: &Expr, pairs: &[(Expr, Expr)], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let value = self.eval(base, scope)?;
        if let [(place, new)] = pairs
            && let ExprKind::Stack(indices) = &*place.kind
        {
            let new = self.eval_tensor(new, scope)?;
            let base = self.tensor(&value, base.span)?;
            return self.entry_replaced(&base, indices, new, span, scope).map(Value::Tensor);
        }
        if let (Value::Run(k) | Value::Plan(k), [(what, how)]) = (&value, pairs) {
            if leaf_path(what).as_deref() != Some("rewrites") || leaf_path(how).as_deref() != Some("off") {
                return fail(
                    Diagnostic::error(Code::G0301, span, "a run is changed by `with rewrites off` only")
                        .hint("give other arguments in the call: `digits_mlp(lr = 1e-2)`"),
                );
            }
            return Ok(match (self.unoptimized(*k, span), &value) {
                (Value::Run(k), Value::Plan(_)) => Value::Plan(k),
                (run, _) => run,
            });
        }
        match value {
            Value::Instance(i) => {
                let tree = self.instance_tree(&i, base.span);
                self.leaves_replaced(tree, pairs, scope)
            }
            Value::Tree(tree) => self.leaves_replaced(tree, pairs, scope),
            Value::Record(fields) => self.fields_replaced(fields, pairs, scope),
            other => {
                let message =
                    format!("`with` replaces a part of a tree, a record or a tensor, not of {}", other.what());
                fail(Diagnostic::error(Code::G0205, span, message).hint("an entry of a tensor: `x with [i] = v`"))
            }
        }
    }

    /// `theta with { enc.w = q }`; a path to a subtree replaces all of it.
    fn leaves_replaced(&mut self, mut tree: Tree, pairs: &[(Expr, Expr)], scope: &Rc<Scope>) -> Check<Value> {
        for (place, value) in pairs {
            let path = self.path_of(place, "for example `theta with { enc.w = q }`")?;
            let prefix = format!("{path}.");
            let below: Vec<usize> = (0..tree.leaves.len())
                .filter(|k| tree.leaves[*k].name == path || tree.leaves[*k].name.starts_with(&prefix))
                .collect();
            let new = self.eval(value, scope)?;
            let new = self.as_tree(&new, value.span);
            let parts: Vec<Tensor> = match &new {
                _ if below.is_empty() => {
                    let known = tree.leaves.iter().map(|l| l.name.clone()).collect();
                    return fail(self.no_field(&path, place.span, known));
                }
                Value::Tree(t) if t.leaves.len() == below.len() => t.leaves.iter().map(|l| l.value.clone()).collect(),
                Value::Tree(t) => {
                    let message =
                        format!("`{path}` has {} tensors, the tree in its place {}", below.len(), t.leaves.len());
                    return fail(Diagnostic::error(Code::G0201, value.span, message));
                }
                other => vec![self.tensor(other, value.span)?; below.len()],
            };
            for (k, part) in below.into_iter().zip(parts) {
                let like = tree.leaves[k].value.clone();
                tree.leaves[k].value = self.spread_like(&part, &like, value.span)?;
                tree.leaves[k].param = None;
            }
        }
        Ok(Value::Tree(tree))
    }

    /// `r with { mu = 0 }`.
    fn fields_replaced(
        &mut self,
        mut fields: Vec<(String, Value)>,
        pairs: &[(Expr, Expr)],
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        for (place, value) in pairs {
            let name = self.path_of(place, "for example `r with { mu = 0 }`")?;
            let Some(k) = fields.iter().position(|f| f.0 == name) else {
                return fail(self.no_field(&name, place.span, fields.into_iter().map(|f| f.0).collect()));
            };
            fields[k].1 = self.eval(value, scope)?;
        }
        Ok(Value::Record(fields))
    }

    fn path_of(&self, place: &Expr, hint: &str) -> Check<String> {
        match leaf_path(place) {
            Some(path) => Ok(path),
            None => fail(Diagnostic::error(Code::G0105, place.span, "a part is named by its path").hint(hint)),
        }
    }

    /// `x with [i, j] = v`: the entry (or, with fewer indices than dims, the row) at that place; an index that falls
    /// outside replaces nothing.
    fn entry_replaced(
        &mut self,
        x: &Tensor,
        indices: &[Expr],
        new: Tensor,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Tensor> {
        if indices.len() > x.axes.len() {
            let message = format!("{} indices, but `{}` has {} dims", indices.len(), self.shown(x), x.axes.len());
            return fail(Diagnostic::error(Code::G0207, span, message));
        }
        let mut here: Option<Tensor> = None;
        for (e, axis) in indices.iter().zip(&x.axes) {
            let at = self.place(e, *axis, scope)?;
            let iota = Tensor { axes: vec![], ..self.iota(*axis, span) };
            let same = self.map_aligned(Fun::Eq, &[iota, at], vec![], span);
            here = Some(match here {
                None => same,
                Some(h) => self.map_aligned(Fun::And, &[h, same], vec![], span),
            });
        }
        let here = here.expect("there is one index at least");
        let rest: Vec<Axis> = x.axes[indices.len()..].to_vec();
        let row = Tensor { id: x.id, axes: rest.clone() };
        let (new, union) = self.align(&row, &new, (span, span))?;
        if union.len() != rest.len() {
            let message = format!("`{}` does not fit into `{}` at this place", self.shown(&new), self.shown(x));
            return fail(Diagnostic::error(Code::G0209, span, message).hint("the value has the dims that stay whole"));
        }
        let new = if self.elem(x) == Elem::Real && self.elem(&new) != Elem::Real {
            self.map1(Fun::ToReal, &new, span)
        } else {
            new
        };
        Ok(self.map_aligned(Fun::Select, &[here, new, x.clone()], x.axes.clone(), span))
    }

    /// One whole number as the index of an entry.
    fn place(&mut self, e: &Expr, axis: Axis, scope: &Rc<Scope>) -> Check<Tensor> {
        let v = self.eval(e, scope).map_err(super::index::unbound)?;
        if let Value::Num(x) | Value::Hyper(_, x) = &v {
            let size = self.size_form(axis.dim).known();
            if x.fract() != 0.0 || *x < 0.0 || size.is_some_and(|n| *x >= n as f64) {
                let message = format!("{x} is no index of `{}`", self.dim_name(axis.dim));
                return fail(Diagnostic::error(Code::G0206, e.span, message).hint("indices count from 0"));
            }
            return Ok(self.constant(*x, Elem::Int, e.span));
        }
        let t = self.tensor(&v, e.span)?;
        if !t.axes.is_empty() {
            let message = format!("the index of one entry is a number, this is `{}`", self.shown(&t));
            return fail(
                Diagnostic::error(Code::G0208, e.span, message)
                    .hint("in index notation: `y[n] = x[n] with [i[n]] = 0`"),
            );
        }
        match self.elem(&t) {
            Elem::Int => Ok(t),
            Elem::Index(d) if d == axis.dim || matches!(self.unit.terms[t.id.index()].op, Op::Iota(_)) => Ok(t),
            _ => fail(Diagnostic::error(
                Code::G0205,
                e.span,
                format!("an index of `{}` is needed, this is `{}`", self.dim_name(axis.dim), self.shown(&t)),
            )),
        }
    }
}

/// `enc.w` as a path.
fn leaf_path(e: &Expr) -> Option<String> {
    match &*e.kind {
        ExprKind::Name { name, primed: false } => Some(name.clone()),
        ExprKind::Field(base, name) => Some(format!("{}.{}", leaf_path(base)?, name.name)),
        _ => None,
    }
}
