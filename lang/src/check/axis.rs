//! Axis functions: `softmax[class](logits)`, and in index notation `softmax[j](s[b, i, j])`.

use super::call::called;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, Expr, ExprKind, FnDecl, IndexItem};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Fun, Op};
use std::rc::Rc;

/// What an axis function along fibers goes over.
struct FiberItem<'e> {
    var: crate::ast::Ident,
    axis: Axis,
    /// Is the variable bound outside the call?
    active: bool,
    /// The name for the index that all of a fiber share.
    node: crate::ast::Ident,
    arrives: bool,
    /// The index array, where it is no end of edges.
    equation: Option<&'e Expr>,
}

impl Elab<'_> {
    /// `softmax[class](logits)`: the function's axis is bound to a dim or an index variable; its arguments become
    /// functions of the index.
    pub fn axis_function(
        &mut self,
        decl: &Rc<FnDecl>,
        items: &[IndexItem],
        guard: Option<&Expr>,
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
        if guard.is_some_and(|g| shares_an_index(g, scope)) || matches!(items[0], IndexItem::Fiber { .. }) {
            return self.axis_function_along(decl, &items[0], guard, args, span, scope);
        }
        let (item, known) = match &items[0] {
            IndexItem::Expr(item) => (item.clone(), self.named_axis(item, scope)?),
            IndexItem::Bind { var, dim: Some(_), value: None } => (Expr::name(&var.name, var.span), None),
            _ => return self.later(span, "this form of axis"),
        };
        let item = &item;
        // Over an index variable: evaluated with the variable active, then abstracted over it.
        let variable = match &known {
            Some(Value::Tensor(t)) => match self.unit.terms[t.id.index()].op {
                Op::Iota(axis) => Some((axis, true)),
                _ => None,
            },
            None => {
                let joined =
                    Expr { kind: Box::new(ExprKind::Tuple(args.iter().map(|a| a.value.clone()).collect())), span };
                let vars = self.bind_vars(items, &[&joined], scope)?;
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
                let (pairs, guard) = self.within(extra, |elab| {
                    let pairs = elab.pair(name, &decl.params, args, span, &inner)?;
                    let own = guard.map(|g| elab.guard(g, &inner)).transpose()?;
                    let around = elab.guard_at(axis);
                    Ok((pairs, elab.both_guards(own, around, span)))
                })?;
                let value = self.guarded_axis_fn(decl, pairs, axis, guard, span)?;
                return match &items[0] {
                    IndexItem::Bind { .. } => Ok(self.over_all(value, axis)),
                    _ => self.used_up(value, axis, active, item),
                };
            }
            None => self.pair(name, &decl.params, args, span, scope)?,
        };
        if let Some(g) = guard {
            let message = "a guard speaks of index variables, and a dim is given here";
            let d = Diagnostic::error(Code::G0104, g.span, message);
            return fail(d.hint(format!("name a variable: `a[i, j] = {name}[j | j <= i](s[i, j])`")));
        }
        let v = known.expect("a variable was handled above");
        let dim = self.index_dim(&v, item.span)?;
        self.run_axis_fn(decl, pairs, None, dim, span)
    }

    /// `softmax[e -> v](score[e])`, `softmax[v | graph_of[v] = g](s[v])`: within each fiber. What keeps the variable has a
    /// value for each entry; what uses it up has one for the fiber that is asked for.
    fn axis_function_along(
        &mut self,
        decl: &Rc<FnDecl>,
        item: &IndexItem,
        guard: Option<&Expr>,
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let fiber = self.fiber_item(item, guard, args, span, scope)?;
        let inner = Scope::inside(scope);
        let (name, axis, active) = (&fiber.var.name, fiber.axis, fiber.active);
        let iota = self.iota(axis, span);
        inner.set(name, Value::Tensor(iota));
        let extra: &[Axis] = if active { &[] } else { std::slice::from_ref(&axis) };
        let (key, pairs) = self.within(extra, |elab| {
            let key = match fiber.equation {
                Some(e) => elab.eval_tensor(e, &inner)?,
                None => elab.arrow_key(axis, fiber.arrives, fiber.var.span)?,
            };
            inner.set(&fiber.node.name, Value::Tensor(key.clone()));
            Ok((key, elab.pair(&decl.name.name, &decl.params, args, span, &inner)?))
        })?;
        let crate::program::Elem::Index(dim) = self.elem(&key) else {
            let d = Diagnostic::error(Code::G0205, fiber.var.span, "a fiber belongs to an index array");
            return fail(d.hint("for example `softmax[v | graph_of[v] = g](s[v])`"));
        };
        let mut taken: Vec<Axis> = self.ty(key.id).axes.clone();
        for (_, v, _) in &pairs {
            if let Value::Tensor(t) = v {
                taken.extend(self.ty(t.id).axes.iter().copied());
            }
        }
        let node = self.fresh_axis(dim, &taken);
        let before = self.fibers.insert(axis, (key.id, node));
        let value = self.within(&[node], |elab| elab.run_axis_fn(decl, pairs, Some(axis), axis.dim, span));
        match before {
            Some(before) => self.fibers.insert(axis, before),
            None => self.fibers.remove(&axis),
        };
        let Value::Tensor(t) = value? else { unreachable!("an axis function gives a tensor") };
        let keeps = self.ty(t.id).axes.contains(&axis);
        let to = match (keeps || active, scope.get(&fiber.node.name)) {
            (true, _) => key,
            (false, Some(Value::Tensor(to))) => to,
            (false, _) => return fail(super::fiber::unbound_node(&fiber.node)),
        };
        let id = self.taken_at(t.id, node, to.id, span);
        let place = Expr::name(name, fiber.var.span);
        self.used_up(Value::Tensor(Tensor { id, axes: t.axes }), axis, active, &place)
    }

    /// The variable of an axis function along fibers, and what says to which fiber it belongs.
    fn fiber_item<'e>(
        &mut self,
        item: &'e IndexItem,
        guard: Option<&'e Expr>,
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<FiberItem<'e>> {
        let joined = Expr { kind: Box::new(ExprKind::Tuple(args.iter().map(|a| a.value.clone()).collect())), span };
        let bound = |elab: &Self, name: &str| match scope.get(name) {
            Some(Value::Tensor(t)) => match elab.unit.terms[t.id.index()].op {
                Op::Iota(axis) if t.axes.is_empty() => Some(axis),
                _ => None,
            },
            _ => None,
        };
        match (item, guard) {
            (IndexItem::Fiber { edge, set, node, arrives }, None) => {
                let (axis, active) = match bound(self, &edge.name) {
                    Some(axis) if self.edges_over(axis.dim).is_some() => (axis, true),
                    _ => {
                        let set = self.set_of(edge, set.as_ref(), &[&joined], scope)?;
                        (self.fresh_axis(set.dim, &[]), false)
                    }
                };
                Ok(FiberItem { var: edge.clone(), axis, active, node: node.clone(), arrives: *arrives, equation: None })
            }
            (IndexItem::Expr(e), Some(g)) => {
                let (ExprKind::Name { name, .. }, ExprKind::Binary(crate::ast::BinaryOp::Eq, key, to)) =
                    (&*e.kind, &*g.kind)
                else {
                    return self.later(g.span, "this guard of an axis function");
                };
                let ExprKind::Name { name: node, .. } = &*to.kind else {
                    return self.later(to.span, "a fiber of an expression");
                };
                let (axis, active) = match bound(self, name) {
                    Some(axis) => (axis, true),
                    None => {
                        let both = Expr { kind: Box::new(ExprKind::Tuple(vec![key.clone(), joined])), span };
                        (self.bind_vars(std::slice::from_ref(item), &[&both], scope)?[0].1, false)
                    }
                };
                let var = crate::ast::Ident { name: name.clone(), span: e.span };
                let node = crate::ast::Ident { name: node.clone(), span: to.span };
                Ok(FiberItem { var, axis, active, node, arrives: true, equation: Some(key) })
            }
            _ => self.later(span, "this form of axis"),
        }
    }

    /// What stands in the brackets of an axis function, if it is there: a dim or a bound variable.
    fn named_axis(&mut self, item: &Expr, scope: &Rc<Scope>) -> Check<Option<Value>> {
        match &*item.kind {
            ExprKind::Name { name, .. } if scope.get(name).is_none() => match self.definition(name, scope)? {
                Some(v) => Ok(Some(v)),
                None => self.global(name, item.span),
            },
            _ => self.eval(item, scope).map(Some),
        }
    }

    /// `softmax[q: class](z[i, q])` names its variable's dim, so its value is a tensor over it.
    fn over_all(&self, value: Value, axis: Axis) -> Value {
        match value {
            Value::Tensor(t) if self.ty(t.id).axes.contains(&axis) => {
                Value::Tensor(Tensor { id: t.id, axes: std::iter::once(axis).chain(t.axes).collect() })
            }
            other => other,
        }
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

    /// An axis function over a variable, where only entries take part for which the guard holds; the others get 0.
    fn guarded_axis_fn(
        &mut self,
        decl: &Rc<FnDecl>,
        pairs: Vec<(String, Value, Span)>,
        axis: Axis,
        guard: Option<Tensor>,
        span: Span,
    ) -> Check<Value> {
        self.next_guard = guard.clone().map(|g| (axis, g));
        let value = self.run_axis_fn(decl, pairs, Some(axis), axis.dim, span)?;
        let Some(guard) = guard else { return Ok(value) };
        self.each_tensor(&value, span, &mut |elab, t| {
            if !elab.ty(t.id).axes.contains(&axis) {
                return Ok(t.clone());
            }
            let elem = elab.elem(t);
            let zero = elab.constant(0.0, elem, span);
            Ok(elab.map_aligned(Fun::Select, &[guard.clone(), t.clone(), zero], t.axes.clone(), span))
        })
    }

    /// The guard of the axis function around, if the variable goes over its axis.
    pub fn guard_at(&self, axis: Axis) -> Option<Tensor> {
        self.guards.iter().rev().find(|g| g.0 == axis).map(|g| g.1.clone())
    }

    /// What the guards of axis functions around say of variables that a reduction binds: `j: i` goes over the entries of
    /// the function's index that take part.
    pub fn guards_of(
        &mut self,
        items: &[IndexItem],
        vars: &[(String, Axis)],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Option<Tensor> {
        if self.guards.is_empty() {
            return None;
        }
        let mut all = None;
        for (item, (name, axis)) in items.iter().zip(vars) {
            let over = match item {
                IndexItem::Bind { dim: Some(e), .. } => self.quietly(e, scope),
                _ => scope.get(name),
            };
            let Some(Value::Tensor(t)) = over else { continue };
            let Op::Iota(index) = self.unit.terms[t.id.index()].op else { continue };
            if let Some(guard) = self.guard_at(index) {
                let whole = Tensor { id: guard.id, axes: vec![index] };
                let there = self.rename(&whole, &[(index, *axis)], span);
                all = self.both_guards(all, Some(Tensor { id: there.id, axes: vec![] }), span);
            }
        }
        all
    }

    pub fn both_guards(&mut self, a: Option<Tensor>, b: Option<Tensor>, span: Span) -> Option<Tensor> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.map_aligned(Fun::And, &[a, b], vec![], span)),
            (a, b) => a.or(b),
        }
    }

    pub fn run_axis_fn(
        &mut self,
        decl: &Rc<FnDecl>,
        pairs: Vec<(String, Value, Span)>,
        variable: Option<Axis>,
        dim: crate::program::DimId,
        span: Span,
    ) -> Check<Value> {
        let guard = self.next_guard.take();
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
        // Along a fiber, the index inside stays in it.
        if let Some((key, node)) = self.fibers.get(&over).copied() {
            let key = self.rename(&Tensor { id: key, axes: vec![] }, &[(over, index)], span);
            self.fibers.insert(index, (key.id, node));
        }
        let iota = self.iota(index, span);
        inner.set(&decl.axes[0].name, Value::Tensor(iota));
        let guards = self.guards.len();
        if let Some((axis, guard)) = guard {
            let whole = Tensor { id: guard.id, axes: vec![axis] };
            let inside = self.rename(&whole, &[(axis, index)], span);
            self.guards.push((index, Tensor { id: inside.id, axes: vec![] }));
        }
        let value =
            self.within(&[index], |elab| elab.body(&decl.body, &inner)).map_err(|d| called(d, span, &decl.name.name));
        self.active.extend(hidden);
        self.guards.truncate(guards);
        let along = self.fibers.remove(&index).is_some();
        let value = value?;
        let t = self.tensor(&value, span)?;
        let has = self.ty(t.id).axes.contains(&index);
        let t = match (has, along) {
            (true, true) => {
                let outside = self.iota(over, span);
                Tensor { id: self.taken_at(t.id, index, outside.id, span), axes: t.axes }
            }
            (true, false) => self.rename(&t, &[(index, over)], span),
            (false, _) => t,
        };
        let mut axes: Vec<Axis> =
            order.iter().copied().filter(|a| t.axes.contains(a) || (*a == over && has && variable.is_none())).collect();
        axes.extend(t.axes.iter().copied().filter(|a| !axes.contains(a)).collect::<Vec<_>>());
        if variable.is_none() && has && !axes.contains(&over) {
            axes.push(over);
        }
        Ok(Value::Tensor(Tensor { id: t.id, axes }))
    }
}

/// Is it the equation of a fiber, `graph_of[v] = g`, with a name for the index that all of the fiber share?
fn shares_an_index(guard: &Expr, scope: &Scope) -> bool {
    let ExprKind::Binary(crate::ast::BinaryOp::Eq, _, to) = &*guard.kind else { return false };
    matches!(&*to.kind, ExprKind::Name { name, .. } if scope.get(name).is_none())
}
