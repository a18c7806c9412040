//! Gradients by hand: `fn f(x, w) = ... backward dy -> { ... (dx, dw) }`.
//! Law: the block sees the function's arguments and equations (or what it says it saves) and the gradient that arrives.

use super::call::called;
use super::value::{LateState, Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{FnDecl, Ident, Stmt};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Op};
use std::rc::Rc;

impl Elab<'_> {
    /// A function with a gradient by hand.
    pub fn with_backward(
        &mut self,
        decl: &Rc<FnDecl>,
        pairs: Vec<(String, Value, Span)>,
        inner: &Rc<Scope>,
        span: Span,
    ) -> Check<Value> {
        let backward = decl.backward.as_ref().expect("the caller looked");
        let mut inputs = Vec::new();
        for ((name, value, at), param) in pairs.iter().zip(&decl.params) {
            // A number has a gradient like any tensor where the argument is declared to be one.
            let real = param.ty.as_ref().is_some_and(|ty| ty.elem.name == "real");
            let value = match value {
                Value::Num(_) | Value::Hyper(..) if real => Value::Tensor(self.tensor(value, *at)?),
                other => other.clone(),
            };
            if let Value::Tensor(t) = &value {
                let ty = self.ty(t.id).clone();
                if let Op::State(id) = self.unit.terms[t.id.index()].op {
                    // A state of the calling net, which the backward block may set.
                    inner.set(format!("<state {name}>"), Value::Num(f64::from(id.0)));
                }
                if ty.elem != Elem::Real {
                    continue;
                }
                let point = self.point();
                let id = self.term(Op::Point(t.id, point), ty.elem, ty.axes, *at);
                let t = Tensor { id, axes: t.axes.clone() };
                inner.set(name, Value::Tensor(t.clone()));
                inputs.push((name.clone(), t));
            }
        }
        let value = self.fn_value(decl, inner, span)?;
        let value = self.tensor(&value, decl.body.span)?;
        let ty = self.ty(value.id).clone();
        let point = self.point();
        let cotangent = self.term(Op::Point(value.id, point), Elem::Real, ty.axes.clone(), span);
        let scope = self.backward_scope(decl, inner)?;
        scope.set(&backward.cotangent.name, Value::Tensor(Tensor { id: cotangent, axes: value.axes.clone() }));
        let others = std::mem::take(&mut self.next_states);
        let back = self.body(&backward.body, &scope).map_err(|d| called(unsaved(d, inner), span, &decl.name.name));
        let set = std::mem::replace(&mut self.next_states, others);
        let parts = match back? {
            Value::Tuple(parts) => parts,
            one => vec![one],
        };
        if parts.len() > inputs.len() {
            let message = format!("`backward` gives {} gradients for {} arguments", parts.len(), inputs.len());
            return fail(
                Diagnostic::error(Code::G0305, backward.span, message).hint(
                    "one for each real tensor among the arguments, in their order; the last ones may be left out",
                ),
            );
        }
        // Arguments without a gradient of their own get none.
        inputs.truncate(parts.len());
        let mut terms = Vec::new();
        for (part, (_, input)) in parts.iter().zip(&inputs) {
            let t = self.tensor(part, backward.span)?;
            self.varies_with_value(&t, &[&ty.axes, &self.ty(input.id).axes], decl, span)?;
            terms.push(self.summed_like(&t, input, backward.span)?.id);
        }
        let inputs = inputs.iter().map(|(_, t)| t.id).collect();
        let op = Op::Custom { value: value.id, inputs, cotangent, back: terms };
        let mut id = self.term(op, ty.elem, ty.axes.clone(), span);
        if !set.is_empty() {
            let point = self.point();
            id = self.term(Op::Point(id, point), ty.elem, ty.axes, span);
            self.late_states.extend(set.into_iter().map(|(state, next)| LateState { state, next, cotangent, at: id }));
        }
        Ok(Value::Tensor(Tensor { id, axes: value.axes }))
    }

    /// A gradient that is drawn anew for each index around belongs to a value, or an argument, that varies with it.
    fn varies_with_value(&self, t: &Tensor, known: &[&[Axis]], decl: &FnDecl, span: Span) -> Check<()> {
        let own = &self.ty(t.id).axes;
        let stray = own.iter().find(|a| self.active.contains(a) && known.iter().all(|axes| !axes.contains(a)));
        let Some(axis) = stray else { return Ok(()) };
        let (dim, name) = (self.dim_name(axis.dim), &decl.name.name);
        let message = format!("the gradient of `{name}` is another one for each index of `{dim}`, its value is not");
        let d = Diagnostic::error(Code::G0305, span, message);
        let d = d.label(decl.backward.as_ref().map_or(decl.name.span, |b| b.span), "drawn or computed for each here");
        fail(d.hint("let the argument vary with the index too: `z[k] = x`, then `grad[v = z[k]](...)`"))
    }

    /// What a backward block sees: the function's arguments and equations, or only what it says it saves.
    fn backward_scope(&mut self, decl: &FnDecl, inner: &Rc<Scope>) -> Check<Rc<Scope>> {
        let saved: Vec<&Ident> = decl
            .body
            .stmts
            .iter()
            .flat_map(|s| if let Stmt::Save(names) = s { names.as_slice() } else { &[] })
            .collect();
        if saved.is_empty() {
            return Ok(Scope::inside(inner));
        }
        let scope = Scope::inside(&self.home(decl.name.span));
        scope.set("<fn>", Value::Truth(true));
        for name in saved {
            match inner.own(&name.name) {
                Some(v) => scope.set(&name.name, v),
                None => {
                    let message = format!("`{}` is no argument and no equation of this function", name.name);
                    return fail(Diagnostic::error(Code::G0101, name.span, message));
                }
            }
            if let Some(id) = inner.own(&format!("<state {}>", name.name)) {
                scope.set(format!("<state {}>", name.name), id);
            }
        }
        // Numbers cost nothing to keep.
        for param in &decl.params {
            if let Some(v @ (Value::Num(_) | Value::Dim(_) | Value::Truth(_))) = inner.own(&param.name.name) {
                scope.set(&param.name.name, v);
            }
        }
        Ok(scope)
    }

    /// States that backward blocks set, from the gradient that arrives there.
    pub fn settle_late_states(&mut self, loss: &Tensor, span: Span) -> Check<()> {
        for late in std::mem::take(&mut self.late_states) {
            if !self.depends(loss.id, late.at) {
                self.late_states.push(late);
                continue;
            }
            let axes = self.ty(late.at).axes.clone();
            let Value::Tensor(dy) =
                self.gradient_by(loss, &Value::Tensor(Tensor { id: late.at, axes: axes.clone() }), span)?
            else {
                unreachable!("the gradient by a tensor is one")
            };
            let names: Vec<(Axis, Axis)> = dy.axes.iter().copied().zip(axes).collect();
            let dy = self.rename(&dy, &names, span);
            let next = self.rebuilt(&[late.next], std::collections::BTreeMap::from([(late.cotangent, dy.id)]))[0];
            self.next_states.insert(late.state, next);
        }
        Ok(())
    }

    /// A cotangent in the shape of its input: summed over the axes along which the input was repeated.
    fn summed_like(&mut self, t: &Tensor, input: &Tensor, span: Span) -> Check<Tensor> {
        let (t, _) = self.align(input, t, (span, span))?;
        let own = self.ty(input.id).axes.clone();
        let extra: Vec<Axis> = self.ty(t.id).axes.iter().copied().filter(|a| !own.contains(a)).collect();
        let t = if extra.is_empty() { t } else { self.reduce(crate::program::Red::Sum, &t, &extra, None, span) };
        self.spread_like(&t, input, span)
    }
}

/// A name that the function has and does not save is no unknown one.
fn unsaved(d: Box<Diagnostic>, inner: &Rc<Scope>) -> Box<Diagnostic> {
    let name = d.message.strip_prefix("unknown name `").and_then(|m| m.strip_suffix('`'));
    match name.filter(|n| d.code == Code::G0101 && inner.own(n).is_some()) {
        Some(name) => Box::new(
            Diagnostic::error(Code::G0101, d.span, format!("`{name}` is not among what the function saves"))
                .hint(format!("save it, `save {name}`, or use what is saved")),
        ),
        None => d,
    }
}
