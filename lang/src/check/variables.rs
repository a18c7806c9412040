//! Index variables: what binds them, and their dims, found from where they index.

use super::value::{Scope, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, BinaryOp, Body, Expr, ExprKind, IndexItem, Stmt};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, DimId, Elem};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Elab<'_> {
    /// Names and axes of the variables that items bind, their dims written or inferred from `bodies`.
    pub fn bind_vars(
        &mut self,
        items: &[IndexItem],
        bodies: &[&Expr],
        scope: &Rc<Scope>,
    ) -> Check<Vec<(String, Axis)>> {
        let mut wanted: Vec<(String, Option<DimId>, Span)> = Vec::new();
        for item in items {
            match item {
                IndexItem::Bind { var, dim: Some(dim), value: None } => {
                    let v = self.eval(dim, scope)?;
                    let dim = self.index_dim(&v, dim.span)?;
                    wanted.push((var.name.clone(), Some(dim), var.span));
                }
                IndexItem::Expr(e) => match &*e.kind {
                    ExprKind::Name { name, primed: false } => wanted.push((name.clone(), None, e.span)),
                    _ => {
                        return fail(
                            Diagnostic::error(Code::G0104, e.span, "an index variable is a name")
                                .hint("for example `y[i, j] = ...`"),
                        );
                    }
                },
                IndexItem::Fiber { edge, .. } => {
                    return fail(
                        Diagnostic::error(
                            Code::G0104,
                            edge.span,
                            "an arrow belongs to a reduction or an axis function",
                        )
                        .hint("for example `h[v] = sum[e -> v](m[e])`, `a[e] = softmax[e -> v](s[e])`"),
                    );
                }
                IndexItem::Bind { var, .. } => return self.later(var.span, "this form of index variable"),
                IndexItem::Rest(s) | IndexItem::Range(_, _, s) => {
                    return fail(Diagnostic::error(Code::G0104, *s, "an index variable is needed here"));
                }
            }
        }
        for (k, (name, _, span)) in wanted.iter().enumerate() {
            if wanted[..k].iter().any(|w| w.0 == *name) {
                let message = format!("the index variable `{name}` is bound twice");
                return fail(Diagnostic::error(Code::G0102, *span, message).hint("two axes need two names: `y[i, j]`"));
            }
        }
        let names: Vec<String> = wanted.iter().filter(|w| w.1.is_none()).map(|w| w.0.clone()).collect();
        let found = self.inferred(&names, bodies, scope);
        let mut out: Vec<(String, Axis)> = Vec::new();
        for (name, dim, span) in wanted {
            let dim = dim
                .or_else(|| found.get(&name).copied())
                .or_else(|| bodies.first().and_then(|body| self.edge_guess(&name, body, scope)))
                .or_else(|| if let Some(Value::Dim(d)) = scope.get(&name) { Some(d) } else { None });
            let Some(dim) = dim else {
                self.faults_of_indexed(&name, bodies, scope)?;
                return fail(
                    Diagnostic::error(
                        Code::G0211,
                        span,
                        format!("the dim of the index variable `{name}` is not clear"),
                    )
                    .hint(format!("it indexes nothing here; write its dim: `{name}: dim`")),
                );
            };
            let taken: Vec<Axis> = out.iter().map(|o| o.1).collect();
            out.push((name, self.fresh_axis(dim, &taken)));
        }
        Ok(out)
    }

    /// Is one of these names, which a signature gave to a dim (`a: real[i: node]`), the index of a read in the body? Then
    /// it is a variable over that dim.
    pub fn indexes(&mut self, items: &[IndexItem], body: &Expr, scope: &Rc<Scope>) -> bool {
        let names: Vec<String> = items
            .iter()
            .filter_map(|item| match item {
                IndexItem::Expr(e) => match &*e.kind {
                    ExprKind::Name { name, primed: false } => Some(name.clone()),
                    _ => None,
                },
                _ => None,
            })
            .filter(|name| matches!(scope.get(name), Some(Value::Dim(_))))
            .collect();
        is_index(&names, body) && !self.inferred(&names, &[body], scope).is_empty()
    }

    /// The dims of variables, inferred; what is found helps to find the others: in `softmax[class](s[k])[j]` it is
    /// clear what `j` indexes once `k` has a dim.
    fn inferred(&mut self, names: &[String], bodies: &[&Expr], scope: &Rc<Scope>) -> BTreeMap<String, DimId> {
        let mut found = BTreeMap::new();
        let mut before = usize::MAX;
        while found.len() < names.len() && before != found.len() {
            before = found.len();
            let inner = Scope::inside(scope);
            let mut axes: Vec<Axis> = Vec::new();
            for (name, dim) in &found {
                let axis = self.fresh_axis(*dim, &axes);
                axes.push(axis);
                let iota = self.iota(axis, bodies[0].span);
                inner.set(name, Value::Tensor(iota));
            }
            let missing: Vec<String> = names.iter().filter(|n| !found.contains_key(*n)).cloned().collect();
            let searched = self.within(&axes, |elab| {
                bodies.iter().for_each(|body| elab.infer(&missing, body, &inner, &mut found));
                Ok(())
            });
            searched.expect("a search finds nothing wrong");
        }
        found
    }

    /// The dims of what is indexed, in order: of a tensor, of each part of a record or tree, of a family of nets.
    fn indexed_dims(&self, v: &Value) -> Option<Vec<DimId>> {
        match v {
            Value::Instance(i) => Some(i.open_dims()),
            Value::Objective(o) => Some(o.axes.iter().map(|a| a.dim).collect()),
            _ => self.sample_tensor(v).map(|t| t.axes.iter().map(|a| a.dim).collect()),
        }
    }

    /// Looks through an expression for places where the variables index something whose type is known.
    pub fn infer(&mut self, vars: &[String], e: &Expr, scope: &Rc<Scope>, found: &mut BTreeMap<String, DimId>) {
        if let ExprKind::Bracket(base, items, _) = &*e.kind
            && items.iter().any(|i| names_one(i, vars))
            && let Some(dims) = self.quietly(base, scope).and_then(|v| self.indexed_dims(&v))
        {
            let skip = items.iter().position(|i| matches!(i, IndexItem::Rest(_)));
            for (k, item) in items.iter().enumerate() {
                let at = match skip {
                    Some(s) if k > s => (dims.len() + k).checked_sub(items.len()),
                    _ => Some(k),
                };
                if let IndexItem::Expr(i) = item
                    && let ExprKind::Name { name, .. } = &*i.kind
                    && vars.contains(name)
                    && let Some(dim) = at.and_then(|at| dims.get(at))
                {
                    found.entry(name.clone()).or_insert(*dim);
                }
            }
        }
        match &*e.kind {
            // Inside, the point has its name.
            ExprKind::Call(f, args) => {
                let scope = self.with_points(f, scope);
                self.infer_node(vars, f, args, &scope, found);
                for child in std::iter::once(f).chain(args.iter().map(|a| &a.value)) {
                    self.infer(vars, child, &scope, found);
                }
            }
            ExprKind::Block(body) => {
                let scope = Scope::inside(scope);
                for stmt in &body.stmts {
                    if let Stmt::Let(l) = stmt {
                        self.infer(vars, &l.value, &scope, found);
                        if let [target] = &l.targets[..]
                            && target.indices.is_none()
                            && let Some(v) = self.quietly(&l.value, &scope)
                        {
                            scope.set(&target.name.name, v);
                        }
                    }
                }
                body.value.iter().for_each(|v| self.infer(vars, v, &scope, found));
            }
            _ => children(e).into_iter().for_each(|child| self.infer(vars, child, scope, found)),
        }
    }

    /// In `sum[e -> v](...)`, `v` is of the dim at which the edges arrive.
    fn infer_node(
        &mut self,
        vars: &[String],
        f: &Expr,
        args: &[Arg],
        scope: &Rc<Scope>,
        found: &mut BTreeMap<String, DimId>,
    ) {
        let ExprKind::Bracket(_, items, guard) = &*f.kind else { return };
        guard.iter().for_each(|g| self.infer_equation(vars, g, scope, found));
        for item in items {
            if let IndexItem::Fiber { edge, set, node, arrives } = item
                && vars.contains(&node.name)
                && !found.contains_key(&node.name)
            {
                let body: Vec<&Expr> = args.iter().map(|a| &a.value).collect();
                // An edge variable that is bound around this is not inferred again.
                let known = match scope.get(&edge.name) {
                    Some(Value::Tensor(t)) => match self.elem(&t) {
                        Elem::Index(d) => self.edges_over(d),
                        _ => None,
                    },
                    _ => self.set_of(edge, set.as_ref(), &body, scope).ok(),
                };
                if let Some(set) = known {
                    found.insert(node.name.clone(), if *arrives { set.dst } else { set.src });
                }
            }
        }
    }

    /// In `sum[v | graph_of[v] = g](...)`, `g` is of the dim whose indices `graph_of` holds.
    fn infer_equation(&mut self, vars: &[String], g: &Expr, scope: &Rc<Scope>, found: &mut BTreeMap<String, DimId>) {
        match &*g.kind {
            ExprKind::Binary(BinaryOp::And, a, b) => {
                self.infer_equation(vars, a, scope, found);
                self.infer_equation(vars, b, scope, found);
            }
            ExprKind::Binary(BinaryOp::Eq, a, b) => {
                for (array, var) in [(a, b), (b, a)] {
                    if let (ExprKind::Bracket(base, ..), ExprKind::Name { name, .. }) = (&*array.kind, &*var.kind)
                        && vars.contains(name)
                        && let Some(Value::Tensor(t)) = self.quietly(base, scope)
                        && let Elem::Index(d) = self.elem(&t)
                    {
                        found.entry(name.clone()).or_insert(d);
                    }
                }
            }
            _ => {}
        }
    }

    /// The scope of what `grad[u = e]` differentiates: `u` has the type of `e`.
    fn with_points(&mut self, f: &Expr, scope: &Rc<Scope>) -> Rc<Scope> {
        let inner = Scope::inside(scope);
        if let ExprKind::Bracket(base, items, _) = &*f.kind
            && matches!(&*base.kind, ExprKind::Name { name, .. } if name == "grad")
        {
            for item in items {
                if let IndexItem::Bind { var, dim: None, value: Some(e) } = item
                    && let Some(v) = self.quietly(e, scope)
                {
                    inner.set(&var.name, v);
                }
            }
        }
        inner
    }

    /// A variable's dim is not clear where what it indexes has a fault: then that is what to say.
    fn faults_of_indexed(&mut self, var: &str, bodies: &[&Expr], scope: &Rc<Scope>) -> Check<()> {
        let mut open = bodies.to_vec();
        while let Some(e) = open.pop() {
            if let ExprKind::Bracket(base, items, _) = &*e.kind
                && matches!(&*base.kind, ExprKind::Name { .. })
                && names_any(items, var)
            {
                self.eval(base, scope)?;
            }
            open.extend(children(e));
        }
        Ok(())
    }

    /// Evaluates what is indexed, to learn its type, and forgets what it finds wrong and which call sites it passed.
    pub fn quietly(&mut self, e: &Expr, scope: &Rc<Scope>) -> Option<Value> {
        self.on_trial(|elab| elab.eval(e, scope))
    }

    /// Does something to learn types, and forgets what it finds wrong and which call sites it passed.
    pub fn on_trial<T>(&mut self, f: impl FnOnce(&mut Self) -> Check<T>) -> Option<T> {
        let (frames, passed, names) = (self.frames.clone(), self.passed_sites.clone(), self.unit.names.len());
        let (active, open, depth) = (self.active.clone(), self.open.clone(), self.depth);
        let fibers = self.fibers.clone();
        let value = self.attempt(f);
        self.frames = frames;
        self.passed_sites = passed;
        self.unit.names.truncate(names);
        self.active = active;
        self.fibers = fibers;
        self.open = open;
        self.depth = depth;
        value
    }
}

/// Is the index one of these variables?
fn names_one(item: &IndexItem, vars: &[String]) -> bool {
    match item {
        IndexItem::Expr(e) => matches!(&*e.kind, ExprKind::Name { name, .. } if vars.contains(name)),
        _ => false,
    }
}

/// Is one of the indices this variable?
fn names_any(items: &[IndexItem], var: &str) -> bool {
    items.iter().any(|item| names_one(item, &[var.to_string()]))
}

/// The name of an index variable, if the item is one.
pub fn variable(item: &IndexItem) -> Option<&str> {
    match item {
        IndexItem::Expr(e) => match &*e.kind {
            ExprKind::Name { name, .. } => Some(name),
            _ => None,
        },
        IndexItem::Bind { var, .. } => Some(&var.name),
        _ => None,
    }
}

/// The direct parts of an expression.
pub fn children(e: &Expr) -> Vec<&Expr> {
    fn of_args<'e>(args: &'e [Arg], out: &mut Vec<&'e Expr>) {
        out.extend(args.iter().map(|a| &a.value));
    }
    fn of_items<'e>(items: &'e [IndexItem], out: &mut Vec<&'e Expr>) {
        for item in items {
            match item {
                IndexItem::Expr(e) => out.push(e),
                IndexItem::Bind { value: Some(v), .. } => out.push(v),
                IndexItem::Range(a, b, _) => out.extend(a.iter().chain(b)),
                _ => {}
            }
        }
    }
    fn of_body<'e>(body: &'e Body, out: &mut Vec<&'e Expr>) {
        for s in &body.stmts {
            if let Stmt::Let(l) = s {
                out.push(&l.value);
            }
        }
        out.extend(&body.value);
    }
    let mut out = Vec::new();
    match &*e.kind {
        ExprKind::Unary(_, a) | ExprKind::Field(a, _) | ExprKind::Lambda(_, a) | ExprKind::Column(a) => out.push(a),
        ExprKind::Binary(_, a, b)
        | ExprKind::At(a, b)
        | ExprKind::Else(a, b)
        | ExprKind::Pipe(a, b)
        | ExprKind::Columns(a, b) => {
            out.extend([a, b]);
        }
        ExprKind::Call(f, args) => {
            out.push(f);
            of_args(args, &mut out);
        }
        ExprKind::Bracket(base, items, guard) => {
            out.push(base);
            of_items(items, &mut out);
            out.extend(guard);
        }
        ExprKind::With(a, edits) => {
            out.push(a);
            out.extend(edits.iter().flat_map(|(x, y)| [x, y]));
        }
        ExprKind::Tuple(parts) | ExprKind::Stack(parts) => out.extend(parts),
        ExprKind::Record(fields) => out.extend(fields.iter().map(|f| &f.1)),
        ExprKind::If(a, b, c) => out.extend([a, b, c]),
        ExprKind::Block(body) => of_body(body, &mut out),
        ExprKind::Loop(l) => out.extend(super::repeat::parts(l)),
        ExprKind::Argmin(a) => out.extend(super::argmin::parts(a)),
        ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Name { .. }
        | ExprKind::FileRef(_)
        | ExprKind::EdgesInto(_) => {}
        ExprKind::SampleOf { count, .. } => out.push(count),
    }
    out
}

/// Does one of the names stand alone between brackets?
fn is_index(names: &[String], e: &Expr) -> bool {
    !names.is_empty()
        && (matches!(&*e.kind, ExprKind::Bracket(_, items, _) if items.iter().any(|i| names_one(i, names)))
            || match &*e.kind {
                ExprKind::Block(body) => {
                    body.stmts.iter().any(|s| matches!(s, Stmt::Let(l) if is_index(names, &l.value)))
                        || body.value.iter().any(|v| is_index(names, v))
                }
                _ => children(e).into_iter().any(|child| is_index(names, child)),
            })
}
