//! Expressions.

use super::value::{Closure, Scope, Tensor, Value};
use super::{Check, DEPTH_LIMIT, Elab, fail, near};
use crate::ast::{BinaryOp, Body, Expr, ExprKind, Stmt, Target, UnaryOp};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Elem, Fun, Op};
use std::rc::Rc;

impl Elab<'_> {
    /// Evaluates an expression.
    pub fn eval(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<Value> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            self.depth -= 1;
            return fail(
                Diagnostic::error(Code::G0103, e.span, "this needs itself: calls are nested too deeply")
                    .hint("a function, net or rule cannot call itself; use a loop"),
            );
        }
        let result = self.eval_inner(e, scope);
        self.depth -= 1;
        result
    }

    /// Evaluates to a tensor.
    pub fn eval_tensor(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<Tensor> {
        let v = self.eval(e, scope)?;
        self.tensor(&v, e.span)
    }

    fn eval_inner(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<Value> {
        match &*e.kind {
            ExprKind::Number(x) => Ok(Value::Num(*x)),
            ExprKind::Text(t) => Ok(Value::Text(t.clone())),
            ExprKind::Name { name, primed } => self.name(name, *primed, e.span, scope),
            ExprKind::Unary(op, x) => self.unary(*op, x, e.span, scope),
            ExprKind::Binary(op, a, b) => self.binary(*op, a, b, e.span, scope),
            ExprKind::Call(f, args) => self.call(f, args, e.span, scope),
            ExprKind::Bracket(base, items, guard) => self.bracket(base, items, guard.as_ref(), None, e.span, scope),
            ExprKind::Else(read, outside) => match &*read.kind {
                ExprKind::Bracket(base, items, guard) => {
                    let outside = self.eval_tensor(outside, scope)?;
                    self.bracket(base, items, guard.as_ref(), Some(outside), e.span, scope)
                }
                _ => fail(
                    Diagnostic::error(
                        Code::G0311,
                        e.span,
                        "`else` gives the value of a read outside its dim, and this is no read",
                    )
                    .hint("write `(x[i - 1] else 0)`"),
                ),
            },
            ExprKind::Field(base, field) => self.field(base, field, e.span, scope),
            ExprKind::At(base, theta) => self.at_parameters(base, theta, e.span, scope),
            ExprKind::Tuple(parts) => {
                Ok(Value::Tuple(parts.iter().map(|p| self.eval(p, scope)).collect::<Check<_>>()?))
            }
            ExprKind::Record(fields) => {
                let mut out = Vec::new();
                for (name, value) in fields {
                    out.push((name.name.clone(), self.eval(value, scope)?));
                }
                Ok(Value::Record(out))
            }
            ExprKind::If(c, a, b) => self.choose(c, a, b, e.span, scope),
            ExprKind::Lambda(params, body) => Ok(Value::Lambda(Rc::new(Closure {
                params: params.iter().map(|p| p.name.clone()).collect(),
                body: body.clone(),
                scope: scope.clone(),
            }))),
            ExprKind::Block(body) => {
                let inner = Scope::inside(scope);
                self.body(body, &inner)
            }
            ExprKind::Pipe(a, b) => match (self.eval(a, scope)?, self.eval(b, scope)?) {
                (Value::Rules(mut first), Value::Rules(second)) => {
                    first.extend(second);
                    Ok(Value::Rules(first))
                }
                (Value::Rules(_), b) => fail(
                    Diagnostic::error(Code::G0402, e.span, format!("`|>` joins rules, and this ends in {}", b.what()))
                        .hint("for example `clip(1) |> adam(lr)`"),
                ),
                (a, _) => fail(
                    Diagnostic::error(Code::G0402, e.span, format!("`|>` joins rules, and this is {}", a.what()))
                        .hint("for example `clip(1) |> adam(lr)`"),
                ),
            },
            ExprKind::Stack(parts) => {
                let spans: Vec<Span> = parts.iter().map(|p| p.span).collect();
                let values: Check<Vec<Value>> = parts.iter().map(|p| self.eval(p, scope)).collect();
                self.stack(&values?, &spans, e.span)
            }
            ExprKind::With(base, pairs) => self.with(base, pairs, e.span, scope),
            ExprKind::Loop(l) => self.repeat(l, e.span, scope),
            ExprKind::Argmin(a) => self.argmin(a, e.span, scope),
            ExprKind::EdgesInto(dim) => self.edges_into(dim, scope),
            ExprKind::SampleOf { .. } => fail(
                Diagnostic::error(Code::G0301, e.span, "sampled edges are a set, not a value")
                    .hint("name it: `edges near = sample 10 of cite[-> v]`, then `sum[e: near -> v](...)`"),
            ),
            ExprKind::Columns(..) | ExprKind::Column(_) | ExprKind::FileRef(_) => fail(
                Diagnostic::error(Code::G0313, e.span, "columns and files are read in `data` blocks only")
                    .hint("declare a field: `data name from \"file.csv\" { x: real = column 0 }`"),
            ),
        }
    }

    /// Refuses what a later version has.
    pub fn later<T>(&self, span: Span, what: &str) -> Check<T> {
        fail(
            Diagnostic::error(Code::G0306, span, format!("{what} cannot be compiled yet"))
                .hint("`gannet explain G0306` lists what this version compiles"),
        )
    }

    /// Statements and the value they end in.
    pub fn body(&mut self, body: &Body, scope: &Rc<Scope>) -> Check<Value> {
        for stmt in &body.stmts {
            if let Err(fault) = self.stmt(stmt, scope) {
                self.go_on(stmt, fault, scope)?;
            }
        }
        match &body.value {
            Some(value) => self.eval(value, scope),
            None => fail(
                Diagnostic::error(Code::G0301, body.span, "this block ends without a value")
                    .hint("the last line of a block is its value"),
            ),
        }
    }

    /// A statement of straight code.
    pub fn stmt(&mut self, stmt: &Stmt, scope: &Rc<Scope>) -> Check<()> {
        match stmt {
            Stmt::Let(l) => {
                if let Some(t) = l.targets.iter().find(|t| t.primed) {
                    return self.primed_stmt(l, t, scope);
                }
                let value = self.let_value(l, scope)?;
                self.bind(&l.targets, value, l.span, scope)
            }
            Stmt::Sample { name, dist, like, span } => {
                let value = self.sample(&name.name, dist, like.as_ref(), *span, scope)?;
                scope.set(&name.name, value);
                Ok(())
            }
            Stmt::Param(decl) => self.param_stmt(decl, scope),
            Stmt::State(decls) => decls.iter().try_for_each(|d| self.state_stmt(d, scope)),
            // Drawn once and never advanced.
            Stmt::Const(decl) => self.state_stmt(decl, scope),
            Stmt::Keep(l) => self.keep_stmt(l, scope),
            // Read where the function's backward block is.
            Stmt::Save(_) => Ok(()),
            Stmt::Edges(decl) => self.edges_stmt(decl, scope),
            Stmt::Each { span, .. } => fail(
                Diagnostic::error(Code::G0406, *span, "`each` belongs into a rule")
                    .hint("it walks over the tensors of the tree that the rule trains"),
            ),
            Stmt::For { var, over, body, span } => self.unrolled(var, over, body, *span, scope),
        }
    }

    /// The value of an equation; with index variables on the left, a comprehension.
    pub fn let_value(&mut self, l: &crate::ast::Let, scope: &Rc<Scope>) -> Check<Value> {
        match l.targets.as_slice() {
            [Target { indices: Some(items), .. }] => self.comprehension(items, &l.value, l.span, scope),
            // `(p[i], q[i]) = ...`: one set of variables for all names.
            [Target { indices: Some(items), .. }, rest @ ..] if rest.iter().all(|t| t.indices.is_some()) => {
                if let Some(other) = rest.iter().find(|t| variables(t) != variables(&l.targets[0])) {
                    let message = "names that are defined together have the same index variables";
                    return fail(Diagnostic::error(Code::G0104, other.name.span, message));
                }
                self.comprehension(items, &l.value, l.span, scope)
            }
            [Target { ty: Some(ty), name, .. }] => {
                let v = self.eval(&l.value, scope)?;
                self.expect_type(&v, ty, &name.name, l.value.span, scope)
            }
            _ => self.eval(&l.value, scope),
        }
    }

    /// Defines the names of an equation.
    pub fn bind(&mut self, targets: &[Target], value: Value, span: Span, scope: &Rc<Scope>) -> Check<()> {
        if let [one] = targets {
            // A net with all its static arguments, bound to a name, is one instance that its users share.
            let value = match value {
                Value::Net(net) if net.applied && !self.frames.is_empty() => self.instance(net, &one.name.name),
                other => other,
            };
            self.name_equation(&one.name.name, &value, scope);
            scope.set(&one.name.name, value);
            return Ok(());
        }
        let parts = match value {
            Value::Tuple(parts) => parts,
            Value::Record(fields) => fields.into_iter().map(|(_, v)| v).collect(),
            other => {
                return fail(Diagnostic::error(
                    Code::G0305,
                    span,
                    format!("{} names stand on the left, but the right is {}", targets.len(), other.what()),
                ));
            }
        };
        // `((a, b), c) = ...` names the parts of parts.
        let parts = if parts.len() == targets.len() { parts } else { parts.into_iter().flat_map(opened).collect() };
        if parts.len() != targets.len() {
            return fail(Diagnostic::error(
                Code::G0305,
                span,
                format!("{} names stand on the left, but {} values on the right", targets.len(), parts.len()),
            ));
        }
        for (t, v) in targets.iter().zip(parts) {
            scope.set(&t.name.name, v);
        }
        Ok(())
    }

    /// Keeps the name of a net's equation, with the path of the instance, for dumps and reports of faults.
    fn name_equation(&mut self, name: &str, value: &Value, scope: &Rc<Scope>) {
        let (Value::Tensor(t), Some(frame)) = (value, self.frames.last()) else { return };
        if scope.get("<fn>").is_some() || frame.path.is_empty() || frame.path == name {
            return;
        }
        let named = (format!("{}.{name}", frame.path), t.id);
        if !self.unit.names.contains(&named) {
            self.unit.names.push(named);
        }
    }

    fn name(&mut self, name: &str, primed: bool, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if primed {
            let key = format!("{name}'");
            return match scope.get(&key) {
                Some(v) => Ok(self.settled(v, span)),
                None => fail(
                    Diagnostic::error(Code::G0107, span, format!("`{name}'` has no value here"))
                        .hint("a primed name is the next value of a state; it may be read after its equation"),
                ),
            };
        }
        match scope.get(name) {
            Some(Value::Faulty) => return fail(super::faults::noted(span)),
            Some(v) => return Ok(self.settled(v, span)),
            None => {}
        }
        if let Some(v) = self.definition(name, scope)? {
            return Ok(self.settled(v, span));
        }
        if let Some(v) = self.global(name, span)? {
            return Ok(v);
        }
        if name.starts_with(|c: char| c.is_ascii_digit())
            && let Ok(n) = name.parse::<f64>()
        {
            return Ok(Value::Num(n));
        }
        let mut known = scope.all();
        known.extend(self.known_names());
        let d = Diagnostic::error(Code::G0101, span, format!("unknown name `{name}`"));
        if super::net::DISTRIBUTIONS.contains(&name) {
            let d = Diagnostic::error(Code::G0109, span, format!("`{name}` is a distribution and no value"));
            return fail(d.hint(format!("draw from it: `z ~ {name}[batch]`")));
        }
        if let Some(d) = super::foreign_name(name, span) {
            return fail(d);
        }
        fail(match near(name, known) {
            Some(n) => d.hint(format!("did you mean `{n}`?")),
            None => d.hint("names are defined by equations, `param`, `dim`, `data`, or imported by `use`"),
        })
    }

    /// A value as it may be used here: its positional axes kept apart from active index variables.
    pub fn settled(&mut self, v: Value, span: Span) -> Value {
        let settled = match &v {
            Value::Tensor(t) if t.axes.iter().any(|a| self.active.contains(a)) => {
                Value::Tensor(self.clear_of_active(t, span))
            }
            Value::Tree(tree) => {
                let mut tree = tree.clone();
                for leaf in &mut tree.leaves {
                    leaf.value = self.clear_of_active(&leaf.value, span);
                }
                Value::Tree(tree)
            }
            _ => return v,
        };
        self.same_fields(&v, &settled);
        settled
    }

    fn unary(&mut self, op: UnaryOp, x: &Expr, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let v = self.eval(x, scope)?;
        match (op, &v) {
            (UnaryOp::Neg, Value::Num(x)) => Ok(Value::Num(-x)),
            (UnaryOp::Not, Value::Truth(b)) => Ok(Value::Truth(!b)),
            (UnaryOp::Neg, _) => self.apply_fun(Fun::Neg, &[v], &[x.span], span),
            (UnaryOp::Not, _) => self.apply_fun(Fun::Not, &[v], &[x.span], span),
        }
    }

    fn binary(&mut self, op: BinaryOp, a: &Expr, b: &Expr, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let (x, y) = (self.eval(a, scope)?, self.eval(b, scope)?);
        if op == BinaryOp::MatMul {
            let (s, t) = (self.tensor(&x, a.span)?, self.tensor(&y, b.span)?);
            if let Some(guess) = self.guessed_matmul(&s, &t, span) {
                return Ok(Value::Tensor(guess));
            }
            return self.matmul(&s, &t, (a.span, b.span), span).map(Value::Tensor);
        }
        let fun = match op {
            BinaryOp::Add => Fun::Add,
            BinaryOp::Sub => Fun::Sub,
            BinaryOp::Mul => Fun::Mul,
            BinaryOp::Div => Fun::Div,
            BinaryOp::IntDiv => Fun::IntDiv,
            BinaryOp::Mod => Fun::Mod,
            BinaryOp::Pow => Fun::Pow,
            BinaryOp::Lt => Fun::Lt,
            BinaryOp::Le => Fun::Le,
            BinaryOp::Gt => Fun::Gt,
            BinaryOp::Ge => Fun::Ge,
            BinaryOp::Eq => Fun::Eq,
            BinaryOp::Ne => Fun::Ne,
            BinaryOp::And => Fun::And,
            BinaryOp::Or => Fun::Or,
            BinaryOp::MatMul => unreachable!("handled above"),
        };
        self.apply_fun(fun, &[x, y], &[a.span, b.span], span)
    }

    fn choose(&mut self, c: &Expr, a: &Expr, b: &Expr, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        match self.eval(c, scope)? {
            Value::Truth(true) => self.eval(a, scope),
            Value::Truth(false) => self.eval(b, scope),
            cond => {
                let (x, y) = (self.eval(a, scope)?, self.eval(b, scope)?);
                self.select_values(&cond, x, y, (c.span, a.span, b.span), span)
            }
        }
    }

    fn select_values(&mut self, c: &Value, x: Value, y: Value, spans: (Span, Span, Span), span: Span) -> Check<Value> {
        self.together(&[x, y], span, &mut |elab, parts| {
            let args = [c.clone(), parts[0].clone(), parts[1].clone()];
            elab.apply_fun(Fun::Select, &args, &[spans.0, spans.1, spans.2], span)
        })
    }

    /// `a @ b`: contracts the last dim of `a` with the first of `b`.
    pub fn matmul(&mut self, a: &Tensor, b: &Tensor, spans: (Span, Span), span: Span) -> Check<Tensor> {
        let (Some(last), Some(first)) = (a.axes.last().copied(), b.axes.first().copied()) else {
            let d = Diagnostic::error(Code::G0203, span, "`@` contracts a dim, and a scalar has none");
            return fail(
                d.label(spans.0, self.shown(a)).label(spans.1, self.shown(b)).hint("multiply by a scalar with `*`"),
            );
        };
        if last.dim != first.dim {
            return fail(self.unlike(a, b, spans, span));
        }
        // Axes of `b` that would meet axes of `a` by name step aside, then the contracted ones meet.
        let mut names = Vec::new();
        let mut taken: Vec<_> = a.axes.iter().chain(&b.axes).copied().collect();
        for axis in &b.axes[1..] {
            if a.axes.contains(axis) {
                let fresh = self.fresh_axis(axis.dim, &taken);
                taken.push(fresh);
                names.push((*axis, fresh));
            }
        }
        if first != last {
            names.push((first, last));
        }
        let b = self.rename(b, &names, spans.1);
        let mut axes = a.axes.clone();
        axes.extend(b.axes[1..].iter().copied());
        let product = self.map_aligned(Fun::Mul, &[a.clone(), b], axes, span);
        Ok(self.reduce(crate::program::Red::Sum, &product, &[last], None, span))
    }

    fn unlike(&self, a: &Tensor, b: &Tensor, spans: (Span, Span), span: Span) -> Diagnostic {
        let (last, first) = (a.axes[a.axes.len() - 1].dim, b.axes[0].dim);
        let message = format!(
            "`@` contracts the last dim of the left, `{}`, with the first of the right, `{}`, and they differ",
            self.dim_name(last),
            self.dim_name(first)
        );
        let mut d = Diagnostic::error(Code::G0203, span, message);
        d = d.label(spans.0, self.shown(a)).label(spans.1, self.shown(b));
        for dim in [last, first] {
            if let Some(place) = self.unit.dims[dim.index()].span {
                d = d.label(place, format!("`{}` is declared here", self.unit.dims[dim.index()].name));
            }
        }
        if b.axes.last().is_some_and(|x| x.dim == last) && b.axes.len() == 2 {
            return d.hint("transpose the right operand: `.T`");
        }
        if a.axes[0].dim == first {
            return d.hint("exchange the operands, or transpose the left one with `.T`");
        }
        d.hint("write the contraction in index notation, `sum[i](x[.., i] * w[i, o])`, or change a dim")
    }

    /// `for k in [1, 2, 3] { ... }` and `for k in 3 { ... }`, unrolled; primed names carry.
    fn unrolled(
        &mut self,
        var: &crate::ast::Ident,
        over: &Expr,
        body: &[Stmt],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<()> {
        let values: Vec<Value> = match &*over.kind {
            ExprKind::Stack(items) => items.iter().map(|i| self.eval(i, scope)).collect::<Check<_>>()?,
            _ => match self.eval(over, scope)? {
                Value::Tuple(parts) => parts,
                Value::Dim(dim) => return self.layers(var, dim, body, span, scope),
                v => {
                    let n = self.static_count(&v, over.span)?;
                    (0..n).map(|k| Value::Num(k as f64)).collect()
                }
            },
        };
        for (k, value) in values.into_iter().enumerate() {
            let inner = Scope::inside(scope);
            inner.set(&var.name, value);
            if let Some(f) = self.frames.last_mut() {
                f.turns.push(k + 1);
            }
            let done = self.turn_of_loop(body, &inner, scope, false);
            if let Some(f) = self.frames.last_mut() {
                f.turns.pop();
            }
            done?;
        }
        Ok(())
    }

    /// A comparison or a function of an index's number needs no change of kind; arithmetic with reals does, later.
    pub fn iota(&mut self, axis: crate::program::Axis, span: Span) -> Tensor {
        Tensor { id: self.term(Op::Iota(axis), Elem::Index(axis.dim), vec![axis], span), axes: vec![] }
    }
}

/// The parts of a tuple inside a tuple.
fn opened(v: Value) -> Vec<Value> {
    match v {
        Value::Tuple(parts) => parts.into_iter().flat_map(opened).collect(),
        other => vec![other],
    }
}

/// The index variables on the left of an equation.
fn variables(t: &Target) -> Vec<Option<&str>> {
    t.indices.iter().flatten().map(super::variables::variable).collect()
}
