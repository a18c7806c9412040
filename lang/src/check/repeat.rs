//! Loops with states: `scan t in time from h = 0 { h' = ... }`, `iterate`, `fix`.
//! Law: a state has the same type at every step; what a step needs besides the states does not depend on them, so it is
//! a tensor over the steps like any other.
//!
//! The body is evaluated with the loop's variable as one more active index variable. A first value such as 0 says little
//! of a state's shape, so the body is first evaluated on trial until the shapes no longer grow.

use super::carry::{Carrier, Unnamed};
use super::value::{Leaf, Scope, Tensor, Tree, Value};
use super::{Check, Elab, Mode, fail};
use crate::ast::{Expr, Ident, LoopExpr, LoopKind, Stmt};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, DimId, Elem, Fun, Implicit, Loop, LoopId, LoopTest, Op, Red, TermId};
use std::rc::Rc;

/// Steps that a loop with a condition takes at most, unless `max` says otherwise.
const MOST_STEPS: u64 = 1000;
/// How often the body is tried to find the shapes of states: a shape passes from state to state once a round.
const ROUNDS: usize = 8;

/// A state of a loop while its shape is being found.
pub(super) struct Carried {
    pub(super) name: Ident,
    /// Its first value.
    pub(super) first: Value,
    pub(super) span: Span,
}

/// A loop that is being elaborated.
pub(super) struct Repeat<'e> {
    pub(super) ast: &'e LoopExpr,
    pub(super) id: LoopId,
    pub(super) axis: Axis,
    pub(super) span: Span,
    pub(super) states: Vec<Carried>,
    /// Has each step a member of its own of the families called in it?
    pub(super) layers: bool,
}

impl Elab<'_> {
    /// A loop's value: of a `scan` a record of everything over its steps, of the others the last values.
    pub fn repeat(&mut self, ast: &LoopExpr, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let dim = match (&ast.over, &ast.count, &ast.max) {
            (Some((_, over)), ..) => {
                let v = self.eval(over, scope)?;
                self.index_dim(&v, over.span)?
            }
            (None, Some(count), _) | (None, None, Some(count)) => {
                let v = self.eval(count, scope)?;
                self.dim(&v, count.span)?
            }
            _ => self.number_dim(MOST_STEPS),
        };
        let mut states = Vec::new();
        for (name, first) in &ast.from {
            let value = self.eval(first, scope)?;
            states.push(Carried { name: name.clone(), first: self.as_tree(&value, first.span), span: first.span });
        }
        if states.is_empty() {
            return fail(
                Diagnostic::error(Code::G0301, span, "this loop carries nothing from step to step")
                    .hint("give it a state: `scan t in time from h = 0 { h' = ... }`"),
            );
        }
        self.repeat_over(ast, dim, states, false, span, scope)
    }

    /// A loop over a dim that carries these states.
    pub(super) fn repeat_over(
        &mut self,
        ast: &LoopExpr,
        dim: DimId,
        states: Vec<Carried>,
        layers: bool,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let (id, axis) = (LoopId::new(self.unit.loops.len()), self.fresh_axis(dim, &[]));
        let mut repeat = Repeat { ast, id, axis, span, states, layers };
        self.unit.loops.push(Loop { axis, fixed: None, first: vec![], next: vec![], go_on: None });
        self.within(&[axis], |elab| elab.repeated(&mut repeat, scope))
    }

    fn repeated(&mut self, repeat: &mut Repeat<'_>, scope: &Rc<Scope>) -> Check<Value> {
        for state in &mut repeat.states {
            state.first = self.settled(state.first.clone(), state.span);
        }
        self.find_shapes(repeat, scope);
        let start = self.start_scope(repeat, scope)?;
        let inner = Scope::inside(&start);
        let body = self.loop_body(repeat, |elab, stmt| elab.loop_stmt(stmt, repeat, &inner));
        let Carrier { unnamed, late, .. } = self.carriers.pop().expect("entered with the states");
        body?;
        let (mut first, mut next) = (Vec::new(), Vec::new());
        for state in &repeat.states {
            let Some(after) = inner.get(&format!("{}'", state.name.name)) else {
                let message = format!("the state `{}` has no next value", state.name.name);
                return fail(
                    Diagnostic::error(Code::G0107, state.name.span, message)
                        .hint(format!("give it one in the loop: `{}' = ...`", state.name.name)),
                );
            };
            for (a, b) in self.carried(&state.first, &after, state.span)? {
                let b = self.next_like(&a, &b, repeat.axis, state)?;
                first.push(a.id);
                next.push(b);
            }
        }
        for state in unnamed {
            first.push(state.first);
            next.push(self.next_unnamed(&state, repeat.axis)?);
        }
        let go_on = self.loop_condition(repeat, &start, &inner, &mut next)?;
        let fixed = self.implicit(repeat.ast)?;
        self.unit.loops[repeat.id.index()] = Loop { axis: repeat.axis, fixed, first, next, go_on };
        self.late_nexts(repeat, late)?;
        self.loop_value(repeat, &inner)
    }

    /// How the implicit gradient is solved, if there is one.
    fn implicit(&self, ast: &LoopExpr) -> Check<Option<Implicit>> {
        let Some(by) = &ast.by else { return Ok((ast.kind == LoopKind::Fix).then_some(Implicit::Repeat)) };
        if ast.kind == LoopKind::Fix && by.name == "cg" {
            return Ok(Some(Implicit::Conjugate));
        }
        let message = match ast.kind {
            LoopKind::Fix => format!("`{}` is no way to solve the implicit gradient", by.name),
            _ => "only the gradient of `fix` is implicit".to_string(),
        };
        let d = Diagnostic::error(Code::G0301, by.span, message);
        fail(d.hint("`fix u = u0 by cg { u' = u - grad[u](E(u)) }`: conjugate gradients, for a symmetric step"))
    }

    /// The next value of a state that a rule has in the loop, over exactly its axes.
    fn next_unnamed(&mut self, state: &Unnamed, axis: Axis) -> Check<TermId> {
        let next = state.next.expect("rules advance their states");
        let held = self.ty(state.first).axes.clone();
        if self.ty(next).axes.iter().any(|a| *a != axis && !held.contains(a)) {
            let message = format!("the state `{}` has other dims at the next step of the loop", state.name);
            return fail(Diagnostic::error(Code::G0209, state.span, message));
        }
        Ok(self.spread(next, &held, state.span))
    }

    /// The scope in which the states have their values now, and the variable its place. From here on rules keep their
    /// states in the loop.
    fn start_scope(&mut self, repeat: &Repeat<'_>, scope: &Rc<Scope>) -> Check<Rc<Scope>> {
        let start = Scope::inside(scope);
        if let Some((var, _)) = &repeat.ast.over {
            let iota = self.iota(repeat.axis, var.span);
            start.set(&var.name, Value::Tensor(iota));
        }
        let mut named: Vec<(Tensor, Tensor)> = Vec::new();
        for state in &repeat.states {
            let now = self.map_value(&state.first, state.span, |elab, t| {
                let ty = elab.ty(t.id).clone();
                let id = elab.term(Op::LoopState(repeat.id, named.len() as u32), ty.elem, ty.axes, state.span);
                let now = Tensor { id, axes: t.axes.clone() };
                named.push((t.clone(), now.clone()));
                now
            })?;
            start.set(&state.name.name, now);
        }
        self.carriers.push(Carrier { id: repeat.id, axis: repeat.axis, named, unnamed: vec![], late: vec![] });
        Ok(start)
    }

    /// Does something with each statement of the body.
    fn loop_body(&mut self, repeat: &Repeat<'_>, mut f: impl FnMut(&mut Self, &Stmt) -> Check<()>) -> Check<()> {
        let around = repeat.layers.then(|| {
            let at = self.iota(repeat.axis, repeat.span);
            self.enter_member(repeat.axis.dim, &at)
        });
        let done = repeat.ast.body.iter().try_for_each(|stmt| f(self, stmt));
        if let Some(around) = around {
            self.leave_member(around);
        }
        done
    }

    /// A statement of the body: next values of states, or anything else.
    fn loop_stmt(&mut self, stmt: &Stmt, repeat: &Repeat<'_>, inner: &Rc<Scope>) -> Check<()> {
        let Stmt::Let(l) = stmt else { return self.stmt(stmt, inner) };
        let carried = |name: &str| repeat.states.iter().any(|s| s.name.name == name);
        let own = |name: &str| repeat.layers && !carried(name) && inner.get(&format!("<state {name}>")).is_some();
        if !l.targets.iter().any(|t| t.primed) || l.targets.iter().any(|t| own(&t.name.name)) {
            return self.stmt(stmt, inner);
        }
        for t in &l.targets {
            if !t.primed || !carried(&t.name.name) {
                let message = format!("`{}` is no state of this loop, so it has no next value", t.name.name);
                let names: Vec<&str> = repeat.states.iter().map(|s| s.name.name.as_str()).collect();
                let d = Diagnostic::error(Code::G0107, t.name.span, message);
                return fail(d.hint(format!("its states are {}", names.join(", "))));
            }
        }
        for (t, v) in self.next_values(l, inner)? {
            let first = repeat.states.iter().find(|s| s.name.name == t.name.name).map(|s| &s.first);
            if repeat.layers
                && let Some(first @ Value::Tensor(_)) = first
            {
                self.same_dims(first, &v, &t.name, l.value.span)?;
            }
            inner.set(format!("{}'", t.name.name), v);
        }
        Ok(())
    }

    /// Widens first values until they have the shapes of the next ones. What is wrong is found afterwards, in earnest.
    fn find_shapes(&mut self, repeat: &mut Repeat<'_>, scope: &Rc<Scope>) {
        for _ in 0..ROUNDS {
            let Ok(start) = self.start_scope(repeat, scope) else { return };
            let inner = Scope::inside(&start);
            let lenient = std::mem::replace(&mut self.lenient, true);
            let mode = Mode { advance: false, ..self.mode.clone() };
            let mut condition = None;
            let tried = self.in_mode(mode, |elab| {
                elab.loop_body(repeat, |elab, stmt| {
                    elab.on_trial(|elab| elab.loop_stmt(stmt, repeat, &inner));
                    Ok(())
                })?;
                condition = elab.condition_before(repeat, &start);
                Ok(())
            });
            self.carriers.pop();
            self.lenient = lenient;
            tried.expect("trials do not fail");
            let mut grown = false;
            for state in &mut repeat.states {
                if let Some(next) = inner.get(&format!("{}'", state.name.name))
                    && let Some(wider) = self.widened(&state.first, &next, repeat.axis, state.span)
                {
                    state.first = wider;
                    grown = true;
                }
            }
            if let Some(condition) = condition.filter(|_| !grown) {
                grown = self.apart(repeat, &condition);
            }
            if !grown {
                return;
            }
        }
    }

    /// The condition that each entry of the index variables around is stopped by, on trial.
    fn condition_before(&mut self, repeat: &Repeat<'_>, start: &Rc<Scope>) -> Option<Tensor> {
        let condition = repeat.ast.condition.as_ref().filter(|_| !repeat.ast.until)?;
        self.on_trial(|elab| elab.eval_tensor(condition, start))
    }

    /// Widens states over the index variables that the condition depends on: each of their entries stops by itself, so it
    /// has values of its own. Were there any to widen?
    fn apart(&mut self, repeat: &mut Repeat<'_>, condition: &Tensor) -> bool {
        let mut grown = false;
        for state in &mut repeat.states {
            let wider = self.map_value(&state.first, state.span, |elab, t| {
                let wider = elab.wider(t, condition, repeat.axis, state.span);
                grown |= wider.is_some();
                wider.unwrap_or_else(|| t.clone())
            });
            state.first = wider.unwrap_or_else(|_| state.first.clone());
        }
        grown
    }

    /// The first value over the axes of the next one, if it lacks some.
    fn widened(&mut self, first: &Value, next: &Value, axis: Axis, span: Span) -> Option<Value> {
        match (first, next) {
            (Value::Tree(a), Value::Tree(b)) if a.leaves.len() == b.leaves.len() => {
                let mut leaves = a.leaves.clone();
                let mut grown = false;
                for (leaf, other) in leaves.iter_mut().zip(&b.leaves) {
                    if let Some(wider) = self.wider(&leaf.value, &other.value, axis, span) {
                        leaf.value = wider;
                        grown = true;
                    }
                }
                grown.then_some(Value::Tree(Tree { leaves }))
            }
            (Value::Tree(_), _) => None,
            (_, Value::Tree(b)) => {
                let t = self.tensor(first, span).ok()?;
                let mut leaves = Vec::new();
                for leaf in &b.leaves {
                    let value = self.wider(&t, &leaf.value, axis, span).unwrap_or_else(|| t.clone());
                    leaves.push(Leaf { value, param: None, ..leaf.clone() });
                }
                Some(Value::Tree(Tree { leaves }))
            }
            _ => {
                let number = matches!(first, Value::Num(_) | Value::Hyper(..));
                let (mut a, b) = (self.tensor(first, span).ok()?, self.tensor(next, span).ok()?);
                let whole = number && matches!(self.elem(&b), Elem::Int | Elem::Index(_));
                if whole {
                    a = self.map1(Fun::ToInt, &a, span);
                }
                match self.wider(&a, &b, axis, span) {
                    Some(wider) => Some(Value::Tensor(wider)),
                    None => (whole || !matches!(first, Value::Tensor(_))).then_some(Value::Tensor(a)),
                }
            }
        }
    }

    fn wider(&mut self, first: &Tensor, next: &Tensor, axis: Axis, span: Span) -> Option<Tensor> {
        let all: Vec<Axis> = self.ty(next.id).axes.iter().copied().filter(|a| *a != axis).collect();
        let dims = |t: &Tensor| -> Vec<_> { t.axes.iter().map(|a| a.dim).collect() };
        let mut missing = dims(next);
        for d in dims(first) {
            missing.iter().position(|m| *m == d).map(|k| missing.remove(k));
        }
        let held = self.ty(first.id).axes.clone();
        let free = all.iter().filter(|a| !next.axes.contains(a)).any(|a| !held.contains(a));
        if missing.is_empty() && !free {
            return None;
        }
        let (a, _) = self.align(next, first, (span, span)).ok()?;
        let order: Vec<Axis> = next.axes.iter().copied().filter(|x| *x != axis).collect();
        let mut whole = order.clone();
        whole.extend(a.axes.iter().filter(|x| !order.contains(x)));
        let mut over = all;
        over.extend(whole.iter().copied());
        let id = self.spread(a.id, &over, span);
        Some(Tensor { id, axes: whole })
    }

    /// The tensors of a first value and those of the next value that belong to them.
    fn carried(&mut self, first: &Value, next: &Value, span: Span) -> Check<Vec<(Tensor, Tensor)>> {
        match (first, next) {
            (Value::Tree(a), Value::Tree(b)) if a.leaves.len() == b.leaves.len() => {
                Ok(a.leaves.iter().zip(&b.leaves).map(|(x, y)| (x.value.clone(), y.value.clone())).collect())
            }
            (Value::Tree(_), _) | (_, Value::Tree(_)) => fail(Diagnostic::error(
                Code::G0209,
                span,
                "the first value and the next value of this state are not trees of one shape",
            )),
            _ => Ok(vec![(self.tensor(first, span)?, self.tensor(next, span)?)]),
        }
    }

    /// A next value over exactly the axes of the state (and the loop's own), of the state's element type.
    fn next_like(&mut self, first: &Tensor, next: &Tensor, axis: Axis, state: &Carried) -> Check<TermId> {
        let span = state.span;
        let next = match (self.elem(first), self.elem(next)) {
            (a, b) if a == b => next.clone(),
            (Elem::Real, _) => self.map1(Fun::ToReal, next, span),
            (Elem::Int, Elem::Index(_)) | (Elem::Index(_), Elem::Int) => self.map1(Fun::ToInt, next, span),
            _ => {
                let message = format!(
                    "the state `{}` starts as `{}` and goes on as `{}`",
                    state.name.name,
                    self.shown(first),
                    self.shown(next)
                );
                return fail(Diagnostic::error(Code::G0209, span, message).hint("start it with a value of that type"));
            }
        };
        let (next, union) = self.align(first, &next, (span, span))?;
        let held = self.ty(first.id).axes.clone();
        let fits =
            union.len() == first.axes.len() && self.ty(next.id).axes.iter().all(|a| *a == axis || held.contains(a));
        if !fits {
            let message = format!(
                "the state `{}` starts as `{}` and goes on as `{}`",
                state.name.name,
                self.shown(first),
                self.shown(&next)
            );
            let d = Diagnostic::error(Code::G0209, span, message);
            return fail(d.hint("a state keeps its dims: start it with a tensor of the whole shape"));
        }
        Ok(self.spread(next.id, &held, span))
    }

    /// The condition, a scalar. With index variables around, each of their entries keeps its values once its own
    /// condition fails before a step, and the loop goes on while any entry does.
    fn loop_condition(
        &mut self,
        repeat: &Repeat<'_>,
        start: &Rc<Scope>,
        inner: &Rc<Scope>,
        next: &mut [TermId],
    ) -> Check<Option<(LoopTest, TermId)>> {
        let Some(condition) = &repeat.ast.condition else {
            if repeat.ast.by.is_some() {
                // The first value is the solution: no step is taken.
                let never = self.constant(0.0, Elem::Bool, repeat.span);
                return Ok(Some((LoopTest::Before, never.id)));
            }
            if repeat.ast.kind == LoopKind::Fix {
                let d = Diagnostic::error(Code::G0301, repeat.span, "`fix` needs to know when it is there");
                return fail(d.hint("for example `fix z = 0 until norm(z' - z) < 1e-6 max 200 { ... }`"));
            }
            return Ok(None);
        };
        let test = if repeat.ast.until { LoopTest::After } else { LoopTest::Before };
        let holds = self.eval_tensor(condition, if repeat.ast.until { inner } else { start })?;
        if !holds.axes.is_empty() || self.elem(&holds) != Elem::Bool {
            let message = format!("a condition is one truth value, this is `{}`", self.shown(&holds));
            let d = Diagnostic::error(Code::G0205, condition.span, message);
            return fail(d.hint("compare a number: `while loss > 0.1`; or reduce: `all(x > 0)`"));
        }
        let mut go = if repeat.ast.until { self.map1(Fun::Not, &holds, condition.span) } else { holds };
        let around: Vec<Axis> = self.ty(go.id).axes.iter().copied().filter(|a| *a != repeat.axis).collect();
        if !around.is_empty() {
            if test == LoopTest::Before {
                self.frozen_entries(repeat.id, go.id, next, condition.span);
            }
            go = self.reduce(Red::Any, &go, &around, None, condition.span);
        }
        Ok(Some((test, go.id)))
    }

    /// Next values only where the condition holds.
    fn frozen_entries(&mut self, id: LoopId, go: TermId, next: &mut [TermId], span: Span) {
        for (k, value) in next.iter_mut().enumerate() {
            let ty = self.ty(*value).clone();
            let state = self.state_term(id, k as u32);
            let mut axes = ty.axes.clone();
            axes.extend(self.ty(go).axes.iter().copied());
            *value = self.term(Op::Map(Fun::Select, vec![go, *value, state]), ty.elem, axes, span);
        }
    }

    /// The term that stands for a state.
    pub(super) fn state_term(&self, id: LoopId, k: u32) -> TermId {
        let found = self.unit.terms.iter().rposition(|t| t.op == Op::LoopState(id, k));
        TermId::new(found.expect("states were given terms before the body"))
    }

    /// `a @ b` where the shape of one side is not known yet.
    pub fn guessed_matmul(&mut self, a: &Tensor, b: &Tensor, span: Span) -> Option<Tensor> {
        match (a.axes.last(), b.axes.first()) {
            _ if !self.lenient => None,
            (None, Some(first)) => Some(self.reduce(Red::Sum, b, &[*first], None, span)),
            (Some(last), None) => Some(self.reduce(Red::Sum, a, &[*last], None, span)),
            (None, None) => Some(a.clone()),
            _ => None,
        }
    }
}

/// The variable and range of a loop, for those who look through expressions.
pub fn parts(ast: &LoopExpr) -> Vec<&Expr> {
    let mut out: Vec<&Expr> = ast.from.iter().map(|f| &f.1).collect();
    out.extend(ast.over.iter().map(|o| &o.1));
    out.extend(ast.count.iter().chain(&ast.condition).chain(&ast.max));
    for stmt in &ast.body {
        if let Stmt::Let(l) = stmt {
            out.push(&l.value);
        }
    }
    out
}
