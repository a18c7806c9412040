//! Directional derivatives: `along[x = v](f)`.
//! Law: `x` is a variable in sight, `v` has its shape, and the result has the shape of `f`.

use super::value::{Leaf, Scope, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, Expr, IndexItem};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Direction, Elem, Fun, Op, TermId};
use std::rc::Rc;

/// A way out that fits every wrong form.
const FORM: &str = "`along[x = v](f(x))` is the derivative of `f(x)` as `x` moves along `v`";

impl Elab<'_> {
    /// `along[x = v](f)`, for `x` a tensor or a tree.
    pub fn along(&mut self, items: &[IndexItem], args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let [Arg { name: None, value: body }] = args else {
            return fail(Diagnostic::error(Code::G0301, span, "`along` takes one argument").hint(FORM));
        };
        let [IndexItem::Bind { var, dim: None, value: Some(v) }] = items else {
            return fail(Diagnostic::error(Code::G0301, span, "`along` takes a variable and its direction").hint(FORM));
        };
        let name = Expr::name(&var.name, var.span);
        let value = self.eval(body, scope)?;
        // Parameters come into being at a net's first evaluation, perhaps just now.
        let by = self.eval(&name, scope)?;
        let by = self.as_tree(&by, var.span);
        let tangent = self.eval(v, scope)?;
        let tangent = self.as_tree(&tangent, v.span);
        let pairs = self.pairs(&by, &tangent, var.span, v.span)?;
        self.by_name(&var.name, scope, |elab| elab.along_value(value, &pairs, (body.span, var.span), span))
    }

    /// Variables with their tangents, leaf by leaf.
    fn pairs(&mut self, by: &Value, tangent: &Value, place: Span, span: Span) -> Check<Vec<(Tensor, Tensor)>> {
        let pairs = match by {
            Value::Tree(tree) => {
                let tangents = self.like_tree(tree, tangent, span)?;
                let leaves = tree.leaves.iter().zip(tangents.leaves);
                leaves.map(|(x, v)| (x.value.clone(), v.value)).collect()
            }
            Value::Tensor(x) | Value::Hyper(x, _) => vec![(x.clone(), self.tensor(tangent, span)?)],
            other => {
                let message = format!("there is no derivative along {}", other.what());
                return fail(Diagnostic::error(Code::G0304, place, message).hint(FORM));
            }
        };
        for (x, v) in &pairs {
            if self.elem(x) != Elem::Real {
                let message = format!("there is no derivative along `{}`", self.shown(x));
                return fail(Diagnostic::error(Code::G0304, place, message).hint("only reals move continuously"));
            }
            if v.axes.iter().any(|a| x.axes.iter().all(|b| b.dim != a.dim)) {
                let message = format!("the direction of `{}` has another shape: `{}`", self.shown(x), self.shown(v));
                let d = Diagnostic::error(Code::G0209, span, message).label(place, self.shown(x));
                return fail(
                    d.hint("a direction has the dims of its variable, or fewer: it is the same along the others"),
                );
            }
        }
        Ok(pairs)
    }

    /// Tensors at once; trees, tuples and records part by part.
    fn along_value(
        &mut self,
        value: Value,
        pairs: &[(Tensor, Tensor)],
        places: (Span, Span),
        span: Span,
    ) -> Check<Value> {
        let mut parts = Vec::new();
        self.tensors_in(&value, places.0, &mut parts)?;
        let mut done = self.along_all(parts, pairs, places.1, span)?.into_iter();
        Ok(refilled(value, &mut done))
    }

    fn tensors_in(&mut self, value: &Value, span: Span, out: &mut Vec<Tensor>) -> Check<()> {
        match value {
            Value::Tree(tree) => out.extend(tree.leaves.iter().map(|l| l.value.clone())),
            Value::Tuple(parts) => parts.iter().try_for_each(|p| self.tensors_in(p, span, out))?,
            Value::Record(fields) => fields.iter().try_for_each(|f| self.tensors_in(&f.1, span, out))?,
            other => out.push(self.tensor(other, span)?),
        }
        Ok(())
    }

    /// The derivatives of several tensors in one direction.
    fn along_all(
        &mut self,
        of: Vec<Tensor>,
        pairs: &[(Tensor, Tensor)],
        place: Span,
        span: Span,
    ) -> Check<Vec<Tensor>> {
        let mut ids: Vec<TermId> = of.iter().map(|t| t.id).collect();
        let (mut by, mut reached) = (Vec::new(), false);
        for (x, v) in pairs {
            // A parameter read inside index notation stands behind a renaming.
            let (mut wrt, positions) = self.unrenamed(x);
            reached |= self.is_variable(wrt) || ids.iter().any(|id| self.depends(*id, wrt));
            if !self.is_variable(wrt) {
                (ids, wrt) = self.all_on_point(&ids, wrt, span);
            }
            by.push(self.direction(wrt, &positions, x, v, span)?);
        }
        if !reached {
            return fail(
                Diagnostic::error(Code::G0304, place, "what is differentiated does not depend on this")
                    .hint("write the value as a function of it"),
            );
        }
        let mut out = Vec::new();
        for (t, id) in of.into_iter().zip(ids) {
            out.push(self.along_one(t, id, &by, span));
        }
        Ok(out)
    }

    /// The tangent, with the names that the variable's axes have in it.
    fn direction(&mut self, wrt: TermId, positions: &[Axis], x: &Tensor, v: &Tensor, span: Span) -> Check<Direction> {
        let v = if self.elem(v) == Elem::Real { v.clone() } else { self.map1(Fun::ToReal, v, span) };
        let (v, _) = self.align(x, &v, (span, span))?;
        let name = |a: &Axis| positions.iter().position(|p| p == a).map_or(*a, |k| x.axes[k]);
        let axes = self.ty(wrt).axes.iter().map(name).collect();
        Ok(Direction { wrt, axes, tangent: v.id })
    }

    fn along_one(&mut self, t: Tensor, id: TermId, by: &[Direction], span: Span) -> Tensor {
        if self.elem(&t) != Elem::Real {
            let nothing = self.constant(0.0, Elem::Real, span);
            return Tensor { id: self.spread(nothing.id, &t.axes, span), axes: t.axes };
        }
        let mut axes = self.ty(id).axes.clone();
        for d in by {
            let own = self.ty(d.tangent).axes.clone();
            axes.extend(own.into_iter().filter(|a| !d.axes.contains(a)));
        }
        let id = self.term(Op::Along { of: id, by: by.to_vec() }, Elem::Real, axes, span);
        Tensor { id, axes: t.axes }
    }
}

/// The value with its tensors replaced, in the same order.
fn refilled(value: Value, parts: &mut impl Iterator<Item = Tensor>) -> Value {
    let mut next = || parts.next().expect("as many as were taken out");
    match value {
        Value::Tree(tree) => {
            let leaves = tree.leaves.into_iter().map(|l| Leaf { value: next(), param: None, ..l });
            Value::Tree(Tree { leaves: leaves.collect() })
        }
        Value::Tuple(all) => Value::Tuple(all.into_iter().map(|v| refilled(v, parts)).collect()),
        Value::Record(all) => Value::Record(all.into_iter().map(|(n, v)| (n, refilled(v, parts))).collect()),
        _ => Value::Tensor(next()),
    }
}
