//! Reductions, over whole dims and over index variables, and derivatives.

use super::builtin::reduction;
use super::value::{Instance, Leaf, Scope, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, Expr, ExprKind, IndexItem};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, Op, Red};
use std::rc::Rc;

/// Reductions over a number with more terms than this are not unrolled.
const UNROLL_LIMIT: u64 = 10_000;

impl Elab<'_> {
    /// `sum(x)`: over all positional axes.
    pub fn reduce_whole(&mut self, red: Red, v: &Value, at: Span, span: Span) -> Check<Value> {
        if let Value::Tree(t) = v {
            let t = t.clone();
            return self.leafwise(&t, std::slice::from_ref(v), span, |elab, p| elab.reduce_whole(red, &p[0], at, span));
        }
        let t = self.tensor(v, at)?;
        if t.axes.is_empty() {
            return Ok(Value::Tensor(t));
        }
        if matches!(red, Red::ArgMax | Red::ArgMin) && t.axes.len() != 1 {
            return fail(
                Diagnostic::error(
                    Code::G0210,
                    span,
                    format!("argmax goes over one dim, `{}` has {}", self.shown(&t), t.axes.len()),
                )
                .hint("name the dim: `argmax[class](x)`"),
            );
        }
        Ok(Value::Tensor(self.reduce(red, &t, &t.axes.clone(), None, span)))
    }

    /// `sum[i, j | guard](body)`, `mean[batch](x)`.
    pub fn reduction_call(
        &mut self,
        red: Red,
        items: &[IndexItem],
        guard: Option<&Expr>,
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let [Arg { name: None, value: body }] = args else {
            return fail(Diagnostic::error(
                Code::G0301,
                span,
                format!("a reduction takes one argument, {} given", args.len()),
            ));
        };
        if let [IndexItem::Bind { var, value: Some(count), .. }] = items {
            return self.unroll_reduction(red, &var.name, count, body, span, scope);
        }
        let whole = if self.indexes(items, body, scope) { None } else { self.whole_dims(items, scope)? };
        if let Some(dims) = whole {
            if let Some(g) = guard {
                return fail(
                    Diagnostic::error(
                        Code::G0104,
                        g.span,
                        "a guard speaks of index variables, and a dim is reduced here",
                    )
                    .hint("name a variable: `sum[j: dim | j < 3](x[j])`"),
                );
            }
            let v = self.eval(body, scope)?;
            return self.reduce_dims(red, &v, &dims, body.span, span);
        }
        self.reduce_vars(red, items, guard, body, span, scope)
    }

    /// The dims that all items name, unless one is an index variable.
    pub fn whole_dims(
        &mut self,
        items: &[IndexItem],
        scope: &Rc<Scope>,
    ) -> Check<Option<Vec<(crate::program::DimId, Span)>>> {
        let mut dims = Vec::new();
        for item in items {
            let IndexItem::Expr(e) = item else { return Ok(None) };
            let v = match &*e.kind {
                ExprKind::Name { name, primed: false } => match scope.get(name) {
                    Some(v) => v,
                    None => match self
                        .definition(name, scope)?
                        .map_or_else(|| self.global(name, e.span), |v| Ok(Some(v)))?
                    {
                        Some(v) => v,
                        None => return Ok(None),
                    },
                },
                ExprKind::Number(n) => Value::Num(*n),
                ExprKind::Field(..) => self.eval(e, scope)?,
                _ => return Ok(None),
            };
            match self.row_dim(&v) {
                Some(d) => dims.push((d, e.span)),
                None => match v {
                    Value::Dim(d) => dims.push((d, e.span)),
                    Value::Num(_) => dims.push((self.dim(&v, e.span)?, e.span)),
                    _ => return Ok(None),
                },
            }
        }
        Ok(Some(dims))
    }

    fn reduce_dims(
        &mut self,
        red: Red,
        v: &Value,
        dims: &[(crate::program::DimId, Span)],
        at: Span,
        span: Span,
    ) -> Check<Value> {
        if let Value::Tree(t) = v {
            let t = t.clone();
            return self
                .leafwise(&t, std::slice::from_ref(v), span, |elab, p| elab.reduce_dims(red, &p[0], dims, at, span));
        }
        let t = self.tensor(v, at)?;
        let mut over = Vec::new();
        for (dim, place) in dims {
            let found: Vec<Axis> = t.axes.iter().copied().filter(|a| a.dim == *dim).collect();
            if found.is_empty() {
                let message = format!("`{}` is no dim of `{}`", self.dim_name(*dim), self.shown(&t));
                return fail(
                    Diagnostic::error(Code::G0210, *place, message)
                        .label(at, self.shown(&t))
                        .hint("reduce over one of its dims"),
                );
            }
            if found.len() > 1 {
                let message = format!("`{}` has the dim `{}` twice", self.shown(&t), self.dim_name(*dim));
                return fail(
                    Diagnostic::error(Code::G0204, *place, message)
                        .label(at, self.shown(&t))
                        .hint("say which one with an index variable: `y[i] = sum[j](x[i, j])`"),
                );
            }
            over.extend(found);
        }
        Ok(Value::Tensor(self.reduce(red, &t, &over, None, span)))
    }

    fn reduce_vars(
        &mut self,
        red: Red,
        items: &[IndexItem],
        guard: Option<&Expr>,
        body: &Expr,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let plain = self.plain_items(items, body, scope)?;
        let bodies: Vec<&Expr> = std::iter::once(body).chain(guard).collect();
        let vars = self.bind_vars(&plain, &bodies, scope)?;
        let inner = Scope::inside(scope);
        let axes: Vec<Axis> = vars.iter().map(|v| v.1).collect();
        for (name, axis) in &vars {
            let iota = self.iota(*axis, span);
            inner.set(name, Value::Tensor(iota));
        }
        let fibers = self.fibers.clone();
        let found = self.within(&axes, |elab| {
            let (mut alongs, rest) = elab.alongs(items, &vars, guard, &inner, scope)?;
            let along = if alongs.is_empty() { None } else { Some(alongs.remove(0)) };
            let value = elab.eval(body, &inner)?;
            let mut guard: Option<Tensor> = None;
            for part in &rest {
                let g = elab.guard(part, &inner)?;
                guard = elab.both_guards(guard, Some(g), span);
            }
            for other in alongs {
                let key = Tensor { id: other.key, axes: vec![] };
                let same = elab.map2(Fun::Eq, &key, &other.to, span)?;
                guard = elab.both_guards(guard, Some(same), span);
            }
            Ok((value, guard, along))
        });
        self.fibers = fibers;
        let (value, guard, along) = found?;
        let around = self.guards_of(&plain, &vars, span, scope);
        let guard = self.both_guards(guard, around, span).map(|g| g.id);
        self.each_tensor(&value, body.span, &mut |elab, t| match &along {
            Some(along) => elab.reduce_along(red, t, &axes, guard, along, span),
            None => Ok(elab.reduce_closed(red, t.clone(), &axes, guard, span)),
        })
    }

    /// The condition of a reduction: one truth value for each choice of the variables.
    pub fn guard(&mut self, g: &Expr, scope: &Rc<Scope>) -> Check<Tensor> {
        let t = self.eval_tensor(g, scope)?;
        if t.axes.is_empty() && self.elem(&t) == Elem::Bool {
            return Ok(t);
        }
        let code = if t.axes.is_empty() { Code::G0205 } else { Code::G0208 };
        fail(
            Diagnostic::error(code, g.span, format!("a guard is one truth value, this is `{}`", self.shown(&t)))
                .hint("compare entries: `sum[j | x[j] > 0](...)`"),
        )
    }

    fn reduce_closed(
        &mut self,
        red: Red,
        t: Tensor,
        axes: &[Axis],
        guard: Option<crate::program::TermId>,
        span: Span,
    ) -> Tensor {
        let id = self.spread(t.id, axes, span);
        let t = Tensor { id, axes: t.axes };
        self.reduce(red, &t, axes, guard, span)
    }

    /// `mean[s: seed = 3](body)`: the variable is a number known now.
    fn unroll_reduction(
        &mut self,
        red: Red,
        var: &str,
        count: &Expr,
        body: &Expr,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let v = self.eval(count, scope)?;
        let n = self.static_count(&v, count.span)?;
        if n == 0 || n > UNROLL_LIMIT {
            return fail(Diagnostic::error(
                Code::G0303,
                count.span,
                format!("a reduction over a number goes over 1 to {UNROLL_LIMIT} values, not {n}"),
            ));
        }
        let mut values = Vec::new();
        for k in 0..n {
            let inner = Scope::inside(scope);
            inner.set(var, Value::Num(k as f64));
            values.push(self.eval(body, &inner)?);
        }
        let fun = match red {
            Red::Sum | Red::Mean | Red::Count => Fun::Add,
            Red::Prod => Fun::Mul,
            Red::Max => Fun::Max,
            Red::Min => Fun::Min,
            Red::Any => Fun::Or,
            Red::All => Fun::And,
            // The others need all values side by side.
            Red::ArgMax | Red::ArgMin | Red::LogSumExp | Red::Var => {
                let spans = vec![body.span; values.len()];
                let stacked = self.stack(&values, &spans, span)?;
                return self
                    .each_tensor(&stacked, span, &mut |elab, t| Ok(elab.reduce(red, t, &t.axes[..1], None, span)));
            }
        };
        let mut values = values.into_iter();
        let mut total = values.next().expect("there is one value at least");
        for v in values {
            total = self.apply_fun(fun, &[total, v], &[body.span, body.span], span)?;
        }
        if red == Red::Mean {
            return self.apply_fun(Fun::Div, &[total, Value::Num(n as f64)], &[span, span], span);
        }
        Ok(total)
    }

    /// `grad[w](L)`, `grad[u = e](L)`.
    pub fn gradient(&mut self, items: &[IndexItem], args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let [Arg { name: None, value: body }] = args else {
            return fail(
                Diagnostic::error(Code::G0301, span, "`grad` takes one argument, the scalar to differentiate")
                    .hint("`grad[w](loss)`"),
            );
        };
        match items {
            [IndexItem::Bind { var, dim: None, value: Some(e) }] => {
                let at = self.eval(e, scope)?;
                let point = self.make_point(&at, e.span)?;
                let inner = Scope::inside(scope);
                inner.set(&var.name, point.clone());
                let of = self.scalar(body, &inner)?;
                self.gradient_by(&of, &point, span)
            }
            [IndexItem::Expr(e)] => {
                let by = self.eval(e, scope)?;
                let of = self.scalar(body, scope)?;
                // Parameters come into being at a net's first evaluation, perhaps just now.
                let by = if let Value::Instance(i) = &by { Value::Tree(self.instance_tree(i, span)) } else { by };
                match &*e.kind {
                    ExprKind::Name { name, .. } => self.by_name(name, scope, |elab| elab.gradient_by(&of, &by, e.span)),
                    _ => self.gradient_by(&of, &by, e.span),
                }
            }
            _ => fail(
                Diagnostic::error(Code::G0301, span, "`grad` differentiates by one thing")
                    .hint("`grad[w](loss)` or `grad[u = x[n]](f(u))`"),
            ),
        }
    }

    /// The tree of an instance's parameters.
    pub fn instance_tree(&mut self, instance: &Instance, span: Span) -> Tree {
        let params = self.params_of(instance);
        let mut tree = self.tree_of(&params, &format!("{}.", instance.path), span);
        let chosen = instance.chosen();
        for (leaf, p) in tree.leaves.iter_mut().zip(&params) {
            if let Some((_, t)) = instance.at.iter().find(|a| a.0 == *p) {
                leaf.value = t.clone();
                leaf.param = None;
            }
            let given = self.unit.params[p.index()].ty.axes.len() - leaf.value.axes.len();
            if given < chosen.len() {
                leaf.value = self.pick(&leaf.value, &chosen[given..], span);
                leaf.param = None;
            }
        }
        tree
    }

    pub fn scalar(&mut self, body: &Expr, scope: &Rc<Scope>) -> Check<Tensor> {
        let t = self.eval_tensor(body, scope)?;
        if t.axes.is_empty() {
            return Ok(t);
        }
        fail(
            Diagnostic::error(
                Code::G0208,
                body.span,
                format!("`grad` differentiates a scalar, this is `{}`", self.shown(&t)),
            )
            .hint("take its mean or sum, or one entry in index notation: `J[n] = grad[w](loss[n])`"),
        )
    }

    /// The value as a point of its own.
    fn make_point(&mut self, v: &Value, span: Span) -> Check<Value> {
        let v = self.as_tree(v, span);
        self.each_tensor(&v, span, &mut |elab, t| {
            let ty = elab.ty(t.id).clone();
            let point = elab.point();
            let id = elab.term(Op::Point(t.id, point), ty.elem, ty.axes, span);
            Ok(Tensor { id, axes: t.axes.clone() })
        })
    }

    /// The gradient of a scalar by a tensor or, leaf by leaf, by a tree.
    pub fn gradient_by(&mut self, of: &Tensor, by: &Value, span: Span) -> Check<Value> {
        match by {
            Value::Tree(tree) => {
                let mut leaves = Vec::new();
                for leaf in &tree.leaves {
                    let value = self.gradient_leaf(of, &leaf.value, span)?;
                    leaves.push(Leaf { value, param: None, ..leaf.clone() });
                }
                Ok(Value::Tree(Tree { leaves }))
            }
            Value::Tensor(t) | Value::Hyper(t, _) => self.gradient_leaf(of, &t.clone(), span).map(Value::Tensor),
            Value::Record(_) | Value::Tuple(_) => {
                self.each_tensor(by, span, &mut |elab, t| elab.gradient_leaf(of, t, span))
            }
            Value::Instance(i) => {
                let tree = self.instance_tree(i, span);
                self.gradient_by(of, &Value::Tree(tree), span)
            }
            other => fail(
                Diagnostic::error(Code::G0304, span, format!("there is no gradient by {}", other.what()))
                    .hint("differentiate by a parameter, a net instance, or a point: `grad[u = x](f(u))`"),
            ),
        }
    }

    fn gradient_leaf(&mut self, of: &Tensor, by: &Tensor, span: Span) -> Check<Tensor> {
        if self.elem(by) != Elem::Real {
            return fail(Diagnostic::error(Code::G0304, span, format!("there is no gradient by `{}`", self.shown(by))));
        }
        // A parameter read inside index notation stands behind a renaming: differentiate by what is renamed.
        let (mut wrt, positions) = self.unrenamed(by);
        self.has_slope(of.id, wrt, span)?;
        let mut of = of.clone();
        if !self.is_variable(wrt) {
            if !self.depends(of.id, wrt) {
                return fail(
                    Diagnostic::error(Code::G0304, span, "what is differentiated does not depend on this")
                        .hint("write the value as a function of it, or bind a point: `grad[u = x](f(u))`"),
                );
            }
            (of.id, wrt) = self.on_point(of.id, wrt, span);
        }
        let of_axes = self.ty(of.id).axes.clone();
        let own = self.ty(wrt).axes.clone();
        let shared: Vec<Axis> = own.iter().copied().filter(|a| !positions.contains(a) && of_axes.contains(a)).collect();
        let mut taken: Vec<Axis> = of_axes.clone();
        let mut names = Vec::new();
        for axis in &own {
            let name = if shared.contains(axis) {
                *axis
            } else if taken.contains(axis) || self.active.contains(axis) {
                self.fresh_axis(axis.dim, &taken)
            } else {
                *axis
            };
            taken.push(name);
            names.push(name);
        }
        let to = |a: &Axis| own.iter().position(|x| x == a).map_or(*a, |k| names[k]);
        let positional: Vec<Axis> = positions.iter().map(to).collect();
        let mut axes = of_axes;
        axes.extend(names.iter().copied());
        let id = self.term(Op::Grad { of: of.id, wrt, axes: names, shared }, Elem::Real, axes, span);
        Ok(Tensor { id, axes: positional })
    }

    /// What stands behind renamings, with its axes in the order of the positions.
    pub fn unrenamed(&self, t: &Tensor) -> (crate::program::TermId, Vec<Axis>) {
        let (mut id, mut axes) = (t.id, t.axes.clone());
        while let Op::Read { of, at, otherwise: None } = &self.unit.terms[id.index()].op {
            let mut back = Vec::new();
            for (from, to) in at {
                match to {
                    crate::program::At::Affine { terms, offset: 0 } if terms.len() == 1 && terms[0].0 == 1 => {
                        back.push((terms[0].1, *from))
                    }
                    _ => return (id, axes),
                }
            }
            // A read by an active variable is no renaming: its axis has no position.
            if !back.iter().all(|(to, _)| axes.contains(to)) {
                return (id, axes);
            }
            axes.iter_mut().for_each(|a| {
                if let Some((_, from)) = back.iter().find(|(to, _)| to == a) {
                    *a = *from;
                }
            });
            id = *of;
        }
        (id, axes)
    }

    /// Is that the name of a reduction here?
    pub fn reduction_named(&self, name: &str, scope: &Rc<Scope>) -> Option<Red> {
        if scope.get(name).is_some() { None } else { reduction(name) }
    }
}
