//! Fibers: reductions and axis functions over the entries whose index array holds a given index, `sum[e -> v](m[e])`.
//! Law: inside a fiber of `v` the variable `v` is the index array's entry, so nothing is laid out over both.

use super::edges::EdgeSet;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{BinaryOp, Expr, ExprKind, Ident, IndexItem};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{At, Axis, DimId, Elem, End, Op, Red, TermId};
use std::collections::HashMap;
use std::rc::Rc;

/// What a reduction goes along: the entries whose key is the target.
#[derive(Clone, Debug)]
pub struct Along {
    /// For each entry of the reduced variables an index.
    pub key: TermId,
    /// The index that is asked for.
    pub to: Tensor,
}

impl Elab<'_> {
    /// The dim that `e.src`, `e.dst` or `e.type` in an expression give the variable `e`, if only one set can be meant.
    pub fn edge_guess(&self, var: &str, body: &Expr, scope: &Rc<Scope>) -> Option<DimId> {
        if let Some(set) = self.items.edge_set(var) {
            return Some(set.dim);
        }
        fn uses(e: &Expr, var: &str, typed: &mut bool) -> bool {
            if let ExprKind::Field(base, field) = &*e.kind
                && let ExprKind::Name { name, .. } = &*base.kind
                && name == var
                && let Some(end) = End::named(&field.name)
            {
                *typed |= end == End::Type;
                return true;
            }
            // All of it is looked at: what is used of types may stand anywhere.
            let used: Vec<bool> = super::variables::children(e).into_iter().map(|c| uses(c, var, typed)).collect();
            used.contains(&true)
        }
        let mut typed = false;
        if !uses(body, var, &mut typed) {
            return None;
        }
        match &self.sets_in_sight(scope).into_iter().filter(|s| !typed || s.by.is_some()).collect::<Vec<_>>()[..] {
            [one] => Some(one.dim),
            _ => None,
        }
    }

    /// An index array of a set of edges, whole.
    pub(super) fn edge_array(&mut self, set: &EdgeSet, end: End, span: Span) -> Check<Tensor> {
        let array = self.edge_input(set, end, span)?;
        Ok(self.clear_of_active(&array, span))
    }

    fn edge_input(&mut self, set: &EdgeSet, end: End, span: Span) -> Check<Tensor> {
        if end == End::Twin && set.src != set.dst {
            let (a, b) = (self.dim_name(set.src), self.dim_name(set.dst));
            let message = format!("the edges `{}` go from `{a}` to `{b}`, so none leads back", set.name);
            let d = Diagnostic::error(Code::G0105, span, message).label(set.span, "declared here");
            return fail(d.hint("an edge has a twin where sources and targets are of one dim"));
        }
        if end == End::Twin && self.made_over(set.dim).is_some() && self.made_end(set.dim, End::Twin).is_none() {
            let message = format!("which edges of `{}` lead back is not known: they were computed", set.name);
            let d = Diagnostic::error(Code::G0105, span, message).label(set.span, "declared here");
            return fail(d.hint(format!("join them with their reverse: `edges both = {0} + reverse({0})`", set.name)));
        }
        if end == End::Of && set.of.is_none() {
            let d = Diagnostic::error(Code::G0105, span, format!("the edges `{}` were not sampled", set.name));
            return fail(
                d.label(set.span, "declared here").hint("`.of` is the edge that a sampled one was drawn from"),
            );
        }
        let Some(_) = set.end(end) else {
            return fail(
                Diagnostic::error(Code::G0105, span, format!("the edges `{}` have no types", set.name))
                    .label(set.span, "declared here")
                    .hint(format!("declare what they are of: `edges {} ... by relation`", set.name)),
            );
        };
        if let Some(made) = self.made_end(set.dim, end) {
            return Ok(made);
        }
        self.set_input(set, &format!("{}.{}", set.name, end.word()), span)
    }

    /// A field of a set of edges, where the data of this program fill it.
    pub(super) fn set_input(&mut self, set: &EdgeSet, name: &str, span: Span) -> Check<Tensor> {
        let place = |k: &usize| self.items.fields[*k].iter().position(|f| f.name == name);
        let found = match self.data {
            Some(k) => place(&k).map(|f| (k, f)),
            None => (0..self.items.fields.len()).find_map(|k| place(&k).map(|f| (k, f))),
        };
        match found {
            Some((k, f)) if self.take_data(k) => match self.whole_input(k, f) {
                Value::Tensor(t) => Ok(t),
                _ => unreachable!("an input is a tensor"),
            },
            _ => fail(
                Diagnostic::error(Code::G0105, span, format!("no data fill the edges `{}` here", set.name))
                    .label(set.span, "declared here")
                    .hint(format!(
                        "read them in the data block of this program: `edges {} = file \"edges.npy\"`",
                        set.name
                    )),
            ),
        }
    }

    /// `e.src` for an index `e` of edges.
    pub fn edge_end(&mut self, set: &EdgeSet, end: End, at: &Tensor, span: Span) -> Check<Tensor> {
        let array = self.edge_input(set, end, span)?;
        let own = array.axes[0];
        let elem = self.elem(&array);
        let (to, axes) = match self.unit.terms[at.id.index()].op {
            Op::Iota(axis) if axis == own => return Ok(Tensor { id: array.id, axes: vec![] }),
            Op::Iota(axis) => (At::Affine { terms: vec![(1, axis)], offset: 0 }, vec![axis]),
            _ => (At::Term(at.id), self.ty(at.id).axes.clone()),
        };
        let id = self.term(Op::Read { of: array.id, at: vec![(own, to)], otherwise: None }, elem, axes, span);
        Ok(Tensor { id, axes: at.axes.clone() })
    }

    /// `e.src`, `fact.type`: an end of an index of edges, or a whole index array.
    pub fn edge_field(&mut self, v: &Value, field: &Ident, span: Span) -> Option<Check<Value>> {
        let end = End::named(&field.name)?;
        match v {
            Value::Dim(d) => {
                let set = self.edges_over(*d)?;
                Some(self.edge_array(&set, end, span).map(Value::Tensor))
            }
            Value::Tensor(t) => {
                let Elem::Index(d) = self.elem(t) else { return None };
                let set = self.edges_over(d)?;
                Some(self.edge_end(&set, end, &t.clone(), span).map(Value::Tensor))
            }
            _ => None,
        }
    }

    /// A reduction's items with `e -> v` written as the variable `e` and its dim.
    pub fn plain_items(&mut self, items: &[IndexItem], body: &Expr, scope: &Rc<Scope>) -> Check<Vec<IndexItem>> {
        items
            .iter()
            .map(|item| match item {
                IndexItem::Fiber { edge, set, .. } => {
                    let set = self.set_of(edge, set.as_ref(), &[body], scope)?;
                    let dim = Some(Expr::name(set.name, edge.span));
                    Ok(IndexItem::Bind { var: edge.clone(), dim, value: None })
                }
                other => Ok(other.clone()),
            })
            .collect()
    }

    /// What the reduction of these variables goes along, one for each arrow, variable of a fiber, or equation of the
    /// guard; and what is left of the guard. `inner` has the variables, and gets the node's variable.
    pub fn alongs(
        &mut self,
        items: &[IndexItem],
        vars: &[(String, Axis)],
        guard: Option<&Expr>,
        inner: &Rc<Scope>,
        scope: &Rc<Scope>,
    ) -> Check<(Vec<Along>, Vec<Expr>)> {
        let mut found = Vec::new();
        for (item, (_, axis)) in items.iter().zip(vars) {
            match item {
                IndexItem::Fiber { edge, node, arrives, .. } => {
                    let Some(Value::Tensor(to)) = scope.get(&node.name) else {
                        return fail(unbound_node(node));
                    };
                    let key = self.arrow_key(*axis, *arrives, edge.span)?;
                    self.same_dim(&to, &key, node.span)?;
                    inner.set(&node.name, Value::Tensor(key.clone()));
                    found.push(Along { key: key.id, to });
                }
                _ => found.extend(self.inherited(item, *axis, scope)),
            }
        }
        let mut rest = Vec::new();
        for part in guard.map(conjuncts).unwrap_or_default() {
            match self.equation(part, vars, inner)? {
                Some(along) => found.push(along),
                None => rest.push(part.clone()),
            }
        }
        Ok((found, rest))
    }

    /// The end of an edge variable at which it meets the node's variable.
    pub fn arrow_key(&mut self, axis: Axis, arrives: bool, span: Span) -> Check<Tensor> {
        let set = self.edges_over(axis.dim).expect("the variable was bound to edges");
        let iota = self.iota(axis, span);
        self.edge_end(&set, if arrives { End::Dst } else { End::Src }, &iota, span)
    }

    /// The target of an arrow is an index of the dim that the edges reach.
    fn same_dim(&self, to: &Tensor, key: &Tensor, span: Span) -> Check<()> {
        if self.elem(to) == self.elem(key) {
            return Ok(());
        }
        let (Elem::Index(d), shown) = (self.elem(key), self.shown(to)) else { unreachable!("a key is an index") };
        let message = format!("the edges meet `{}`, and this is `{shown}`", self.dim_name(d));
        fail(
            Diagnostic::error(Code::G0206, span, message)
                .hint("`e -> v` are the edges that arrive at v, `e <- v` those that leave it"),
        )
    }

    /// Inside an axis function along fibers, a variable that ranges over its index stays in the fiber.
    fn inherited(&mut self, item: &IndexItem, axis: Axis, scope: &Rc<Scope>) -> Option<Along> {
        let name = match item {
            IndexItem::Expr(e) => e,
            IndexItem::Bind { dim: Some(e), value: None, .. } => e,
            _ => return None,
        };
        let ExprKind::Name { name, .. } = &*name.kind else { return None };
        let Some(Value::Tensor(t)) = scope.get(name) else { return None };
        let Op::Iota(own) = self.unit.terms[t.id.index()].op else { return None };
        let (key, node) = *self.fibers.get(&own)?;
        let span = self.unit.terms[key.index()].span;
        let key = self.rename(&Tensor { id: key, axes: vec![] }, &[(own, axis)], span);
        // What goes over the new variable's range stays in the fiber too.
        self.fibers.insert(axis, (key.id, node));
        let to = self.iota(node, span);
        Some(Along { key: key.id, to })
    }

    /// `graph_of[v] = g`: an index array over reduced variables, and an index that does not depend on them.
    fn equation(&mut self, e: &Expr, vars: &[(String, Axis)], inner: &Rc<Scope>) -> Check<Option<Along>> {
        let ExprKind::Binary(BinaryOp::Eq, a, b) = &*e.kind else { return Ok(None) };
        let (x, y) = (self.eval(a, inner)?, self.eval(b, inner)?);
        let (Value::Tensor(x), Value::Tensor(y)) = (x, y) else { return Ok(None) };
        let reduced = |elab: &Self, t: &Tensor| elab.ty(t.id).axes.iter().any(|a| vars.iter().any(|v| v.1 == *a));
        let (key, to, name) = match (reduced(self, &x), reduced(self, &y)) {
            (true, false) => (x, y, b),
            (false, true) => (y, x, a),
            _ => return Ok(None),
        };
        let index = matches!(self.elem(&key), Elem::Index(_)) && self.elem(&key) == self.elem(&to);
        let plain = key.axes.is_empty() && to.axes.is_empty();
        // A comparison of variables themselves only selects an entry.
        let variable = matches!(self.unit.terms[key.id.index()].op, Op::Iota(_));
        let meets = self.variable_of(&to).is_some_and(|v| self.ty(key.id).axes.contains(&v));
        if !index || !plain || variable || meets {
            return Ok(None);
        }
        if let ExprKind::Name { name, .. } = &*name.kind
            && self.variable_of(&to).is_some()
        {
            inner.set(name, Value::Tensor(key.clone()));
        }
        Ok(Some(Along { key: key.id, to }))
    }

    fn variable_of(&self, t: &Tensor) -> Option<Axis> {
        match self.unit.terms[t.id.index()].op {
            Op::Iota(axis) if t.axes.is_empty() => Some(axis),
            _ => None,
        }
    }

    /// Reduces `t` over the axes of variables along a fiber.
    pub fn reduce_along(
        &mut self,
        red: Red,
        t: &Tensor,
        axes: &[Axis],
        guard: Option<TermId>,
        along: &Along,
        span: Span,
    ) -> Check<Tensor> {
        if matches!(red, Red::ArgMax | Red::ArgMin) && axes.len() != 1 {
            return self.later(span, "argmax over several variables of a fiber");
        }
        let own = self.variable_of(&along.to);
        let mut of = self.spread(t.id, axes, span);
        let mut guard = guard;
        if let Some(v) = own {
            of = self.taken_at(of, v, along.key, span);
            guard = guard.map(|g| self.taken_at(g, v, along.key, span));
        }
        let (elem, key_elem) = (self.ty(of).elem, self.ty(along.key).elem);
        let Elem::Index(dim) = key_elem else { unreachable!("a key is an index") };
        let mut all: Vec<Axis> = Vec::new();
        for id in [of, along.key].into_iter().chain(guard) {
            all.extend(self.ty(id).axes.iter().copied());
        }
        let taken: Vec<Axis> = all.iter().chain(&t.axes).copied().collect();
        let at = own.unwrap_or_else(|| self.fresh_axis(dim, &taken));
        all.retain(|a| !axes.contains(a));
        all.push(at);
        let elem = match red {
            Red::ArgMax | Red::ArgMin => Elem::Index(axes[0].dim),
            Red::Any | Red::All => Elem::Bool,
            // Over nothing they are no index.
            Red::Max | Red::Min if elem != Elem::Real => Elem::Int,
            _ => Elem::Real,
        };
        let op = Op::Fiber { red, over: axes.to_vec(), of, at, key: along.key, guard };
        let id = self.term(op, elem, all, span);
        let id = if own.is_some() { id } else { self.taken_at(id, at, along.to.id, span) };
        Ok(Tensor { id, axes: t.axes.clone() })
    }

    /// The term with an axis taken from an index. It is read below scalar functions, so that these are not laid out
    /// over the axis and what the index goes over.
    pub fn taken_at(&mut self, id: TermId, axis: Axis, index: TermId, span: Span) -> TermId {
        self.taken(id, axis, index, span, &mut HashMap::new())
    }

    fn taken(
        &mut self,
        id: TermId,
        axis: Axis,
        index: TermId,
        span: Span,
        done: &mut HashMap<TermId, TermId>,
    ) -> TermId {
        let itself = matches!(self.unit.terms[index.index()].op, Op::Iota(to) if to == axis);
        if itself || !self.ty(id).axes.contains(&axis) {
            return id;
        }
        if let Some(known) = done.get(&id) {
            return *known;
        }
        let (op, ty) = (self.unit.terms[id.index()].op.clone(), self.ty(id).clone());
        let own = self.unit.terms[id.index()].span;
        let new = match op {
            Op::Iota(_) => index,
            Op::Map(fun, args) => {
                let args: Vec<TermId> = args.into_iter().map(|a| self.taken(a, axis, index, span, done)).collect();
                let axes = args.iter().flat_map(|a| self.ty(*a).axes.clone()).collect();
                self.term(Op::Map(fun, args), ty.elem, axes, own)
            }
            Op::Read { of, at, otherwise: None } => match self.taken_below(of, &at, (axis, index), span, done) {
                Some(new) => new,
                None => self.read_at(id, axis, index, span),
            },
            _ => self.read_at(id, axis, index, span),
        };
        done.insert(id, new);
        new
    }

    fn read_at(&mut self, id: TermId, axis: Axis, index: TermId, span: Span) -> TermId {
        let ty = self.ty(id).clone();
        let mut axes: Vec<Axis> = ty.axes.iter().copied().filter(|a| *a != axis).collect();
        axes.extend(self.ty(index).axes.iter().copied());
        let op = Op::Read { of: id, at: vec![(axis, self.place_of(index))], otherwise: None };
        self.term(op, ty.elem, axes, span)
    }

    fn place_of(&self, index: TermId) -> At {
        match self.unit.terms[index.index()].op {
            Op::Iota(to) => At::Affine { terms: vec![(1, to)], offset: 0 },
            _ => At::Term(index),
        }
    }

    /// Where names of axes meet at a renaming, it goes down first.
    fn taken_renamed(
        &mut self,
        of: TermId,
        at: &[(Axis, At)],
        (axis, index): (Axis, TermId),
        span: Span,
    ) -> Option<TermId> {
        let [(from, At::Affine { terms, offset: 0 })] = at else { return None };
        let [(1, to)] = terms[..] else { return None };
        if to == axis {
            // The name goes, whatever it was.
            let free = !self.ty(of).axes.contains(&to);
            return if free { Some(self.taken_at(of, *from, index, span)) } else { None };
        }
        if !matches!(self.unit.terms[of.index()].op, Op::Map(..) | Op::Read { .. }) {
            return None;
        }
        let name = self.iota(to, span);
        let renamed = self.taken_at(of, *from, name.id, span);
        let same = matches!(&self.unit.terms[renamed.index()].op, Op::Read { of: inner, .. } if *inner == of);
        if same { None } else { Some(self.taken_at(renamed, axis, index, span)) }
    }

    /// A read with an axis taken from an index, as one read; `None` where the names of axes would meet.
    fn taken_below(
        &mut self,
        of: TermId,
        at: &[(Axis, At)],
        (axis, index): (Axis, TermId),
        span: Span,
        done: &mut HashMap<TermId, TermId>,
    ) -> Option<TermId> {
        let named = |a: &Axis| at.iter().any(|(b, _)| a == b);
        let brought = self.ty(index).axes.clone();
        let inside = self.ty(of).axes.clone();
        if brought.iter().any(|a| named(a) || inside.contains(a)) {
            return self.taken_renamed(of, at, (axis, index), span);
        }
        let mut new_at = Vec::new();
        for (from, to) in at {
            let to = match to {
                At::Affine { terms, offset } => match &terms[..] {
                    [(1, a)] if *a == axis && *offset == 0 => self.place_of(index),
                    _ if terms.iter().any(|t| t.1 == axis) => return None,
                    _ => to.clone(),
                },
                At::Term(t) => At::Term(self.taken(*t, axis, index, span, done)),
            };
            new_at.push((*from, to));
        }
        let of = if named(&axis) { of } else { self.taken(of, axis, index, span, done) };
        let ty = self.ty(of).clone();
        new_at.retain(|(from, to)| !matches!(to, At::Affine { terms, offset: 0 } if terms[..] == [(1, *from)]));
        if new_at.is_empty() {
            return Some(of);
        }
        let mut axes: Vec<Axis> = ty.axes.iter().copied().filter(|a| new_at.iter().all(|n| n.0 != *a)).collect();
        for (_, to) in &new_at {
            match to {
                At::Affine { terms, .. } => axes.extend(terms.iter().map(|t| t.1)),
                At::Term(t) => axes.extend(self.ty(*t).axes.iter().copied()),
            }
        }
        Some(self.term(Op::Read { of, at: new_at, otherwise: None }, ty.elem, axes, span))
    }
}

/// The parts of a condition that `and` joins.
fn conjuncts(e: &Expr) -> Vec<&Expr> {
    match &*e.kind {
        ExprKind::Binary(BinaryOp::And, a, b) => conjuncts(a).into_iter().chain(conjuncts(b)).collect(),
        _ => vec![e],
    }
}

/// The node of an arrow must be an index here.
pub fn unbound_node(node: &Ident) -> Diagnostic {
    Diagnostic::error(Code::G0104, node.span, format!("the index variable `{}` is bound nowhere", node.name))
        .hint(format!("bind it on the left of the equation: `h[{}] = sum[e -> {}](...)`", node.name, node.name))
}
