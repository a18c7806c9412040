//! Axis functions: `softmax[class](logits)`, and in index notation `softmax[j](s[b, i, j])`.

use super::call::called;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, Expr, ExprKind, FnDecl, IndexItem};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Op};
use std::rc::Rc;

impl Elab<'_> {
    /// `softmax[class](logits)`: the function's axis is bound to a dim or an index variable; its arguments become
    /// functions of the index.
    pub fn axis_function(
        &mut self,
        decl: &Rc<FnDecl>,
        items: &[IndexItem],
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let name = &decl.name.name;
        if decl.axes.len() != items.len() || items.len() != 1 {
            let message = format!(
                "`{name}` goes over {} dim{}, {} given",
                decl.axes.len(),
                if decl.axes.len() == 1 { "" } else { "s" },
                items.len()
            );
            return fail(Diagnostic::error(Code::G0301, span, message));
        }
        let IndexItem::Expr(item) = &items[0] else {
            return self.later(span, "this form of axis");
        };
        let known = match &*item.kind {
            ExprKind::Name { name, .. } if scope.get(name).is_none() => match self.definition(name, scope)? {
                Some(v) => Some(v),
                None => self.global(name, item.span)?,
            },
            _ => Some(self.eval(item, scope)?),
        };
        // Over an index variable: evaluated with the variable active, then abstracted over it.
        let variable = match &known {
            Some(Value::Tensor(t)) => match self.unit.terms[t.id.index()].op {
                Op::Iota(axis) => Some((axis, true)),
                _ => None,
            },
            None => {
                let joined =
                    Expr { kind: Box::new(ExprKind::Tuple(args.iter().map(|a| a.value.clone()).collect())), span };
                let vars = self.bind_vars(items, &joined, scope)?;
                Some((vars[0].1, false))
            }
            _ => None,
        };
        let pairs = match variable {
            Some((axis, active)) => {
                let inner = Scope::inside(scope);
                if !active && let ExprKind::Name { name, .. } = &*item.kind {
                    let iota = self.iota(axis, span);
                    inner.set(name, Value::Tensor(iota));
                }
                let extra: &[Axis] = if active { &[] } else { std::slice::from_ref(&axis) };
                let pairs = self.within(extra, |elab| elab.pair(name, &decl.params, args, span, &inner))?;
                let value = self.run_axis_fn(decl, pairs, Some(axis), axis.dim, span)?;
                return self.used_up(value, axis, active, item);
            }
            None => self.pair(name, &decl.params, args, span, scope)?,
        };
        let v = known.expect("a variable was handled above");
        let dim = self.index_dim(&v, item.span)?;
        self.run_axis_fn(decl, pairs, None, dim, span)
    }

    /// A variable that the call itself binds must not be left in the value.
    fn used_up(&self, value: Value, axis: Axis, bound: bool, item: &Expr) -> Check<Value> {
        let left = matches!(&value, Value::Tensor(t) if self.ty(t.id).axes.contains(&axis));
        if bound || !left {
            return Ok(value);
        }
        fail(
            Diagnostic::error(
                Code::G0104,
                item.span,
                "the value has an entry for each index, and the variable is bound nowhere",
            )
            .hint("bind it on the left, `a[i, j] = softmax[j](s[i, j])`, or name the dim: `softmax[class](s)`"),
        )
    }

    pub fn run_axis_fn(
        &mut self,
        decl: &Rc<FnDecl>,
        pairs: Vec<(String, Value, Span)>,
        variable: Option<Axis>,
        dim: crate::program::DimId,
        span: Span,
    ) -> Check<Value> {
        let mut order: Vec<Axis> = Vec::new();
        let mut over: Option<Axis> = variable;
        let inner = Scope::inside(&self.home(decl.name.span));
        let mut seen = false;
        for (name, value, at) in &pairs {
            let mut value = value.clone();
            if let Value::Tensor(t) = &value {
                let found = match variable {
                    Some(axis) => self.ty(t.id).axes.contains(&axis).then_some(axis),
                    None => t.axes.iter().copied().find(|a| a.dim == dim),
                };
                if variable.is_none() && t.axes.iter().filter(|a| a.dim == dim).count() > 1 {
                    let message = format!("`{}` has the dim `{}` twice", self.shown(t), self.dim_name(dim));
                    return fail(
                        Diagnostic::error(Code::G0204, *at, message)
                            .hint(format!("use index notation: `y[i, j] = {}[j](x[i, j])`", decl.name.name)),
                    );
                }
                if let Some(axis) = found {
                    seen = true;
                    if order.is_empty() {
                        order.clone_from(&t.axes);
                        over = Some(axis);
                    }
                    let t = self.rename(t, &[(axis, over.expect("just set"))], *at);
                    let mut axes = vec![over.expect("just set")];
                    axes.extend(t.axes.iter().copied().filter(|a| Some(*a) != over));
                    value = Value::Tensor(Tensor { id: t.id, axes });
                } else if let Some(axis) = t.axes.iter().find(|a| Some(**a) == over) {
                    unreachable!("the axis {axis:?} was looked for");
                }
            }
            inner.set(name.as_str(), value);
        }
        if !seen {
            let message = format!("no argument of `{}` has the dim `{}`", decl.name.name, self.dim_name(dim));
            return fail(Diagnostic::error(Code::G0210, span, message).hint("name a dim of the argument"));
        }
        let over = over.expect("an argument has it");
        // Inside, the index is a variable of its own; outside it is the arguments' axis again.
        let hidden: Vec<Axis> = self.active.iter().copied().filter(|a| *a == over).collect();
        let mut taken = order.clone();
        taken.push(over);
        let index = self.fresh_axis(dim, &taken);
        self.active.retain(|a| *a != over);
        let iota = self.iota(index, span);
        inner.set(&decl.axes[0].name, Value::Tensor(iota));
        let value =
            self.within(&[index], |elab| elab.body(&decl.body, &inner)).map_err(|d| called(d, span, &decl.name.name));
        self.active.extend(hidden);
        let value = value?;
        let t = self.tensor(&value, span)?;
        let has = self.ty(t.id).axes.contains(&index);
        let t = if has { self.rename(&t, &[(index, over)], span) } else { t };
        let mut axes: Vec<Axis> =
            order.iter().copied().filter(|a| t.axes.contains(a) || (*a == over && has && variable.is_none())).collect();
        axes.extend(t.axes.iter().copied().filter(|a| !axes.contains(a)).collect::<Vec<_>>());
        if variable.is_none() && has && !axes.contains(&over) {
            axes.push(over);
        }
        Ok(Value::Tensor(Tensor { id: t.id, axes }))
    }
}
