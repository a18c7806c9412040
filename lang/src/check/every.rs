//! What happens only every so many steps: `minimize ... every 2 steps`, `every 10 steps { p' = ... }`.

use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Expr, Stmt, TrainStmt};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Elem, Fun, Op, Output, TermId};
use std::rc::Rc;

impl Elab<'_> {
    /// Is it the turn of what happens every so many steps?
    pub fn turn(&mut self, every: &Expr, scope: &Rc<Scope>) -> Check<Tensor> {
        let n = self.count_of(every, scope)?;
        if n == 0 {
            return fail(Diagnostic::error(Code::G0303, every.span, "every 0 steps is never"));
        }
        let t = self.step_number(every.span);
        let n = self.constant(n as f64, Elem::Real, every.span);
        let rest = self.map2(Fun::Mod, &t, &n, every.span)?;
        let zero = self.constant(0.0, Elem::Real, every.span);
        self.map2(Fun::Eq, &rest, &zero, every.span)
    }

    /// The next value at its turn, else the value now.
    pub fn at_turn(&mut self, turn: Option<&Tensor>, next: &Tensor, now: &Tensor, span: Span) -> Check<Tensor> {
        let Some(turn) = turn else { return Ok(next.clone()) };
        let (next, axes) = self.align(now, next, (span, span))?;
        Ok(self.map_aligned(Fun::Select, &[turn.clone(), next, now.clone()], axes, span))
    }

    /// `every k steps { p' = ... }`: next values of states and parameters at their turn.
    pub fn every_lines(
        &mut self,
        body: &[TrainStmt],
        scope: &Rc<Scope>,
        outputs: &mut Vec<(Output, TermId)>,
    ) -> Check<()> {
        for stmt in body {
            let TrainStmt::Every { steps, body, .. } = stmt else { continue };
            let turn = self.turn(steps, scope)?;
            let inner = Scope::inside(scope);
            for stmt in body {
                match stmt {
                    Stmt::Let(l) if l.targets.len() == 1 && l.targets[0].primed => {
                        self.every_line(l, &turn, &inner, outputs)?;
                    }
                    other => self.stmt(other, &inner)?,
                }
            }
        }
        Ok(())
    }

    /// `p' = ...`, of a tensor or leaf by leaf of a tree: a net's parameters, or a state that is like them.
    pub fn every_line(
        &mut self,
        l: &crate::ast::Let,
        turn: &Tensor,
        scope: &Rc<Scope>,
        outputs: &mut Vec<(Output, TermId)>,
    ) -> Check<()> {
        let (name, span) = (&l.targets[0].name, l.value.span);
        let now = self.eval(&Expr::name(&name.name, name.span), scope)?;
        let v = self.let_value(l, scope)?;
        let next = match self.as_tree(&now, name.span) {
            Value::Tensor(now) => {
                let next = self.tensor(&v, span)?;
                Value::Tensor(self.next_at(&name.name, &now, &next, turn, l, outputs)?)
            }
            Value::Tree(mut now) => {
                let v = self.as_tree(&v, span);
                let next = self.like_tree(&now, &v, span)?;
                for (leaf, next) in now.leaves.iter_mut().zip(next.leaves) {
                    let of = format!("{}.{}", name.name, leaf.name);
                    leaf.value = self.next_at(&of, &leaf.value, &next.value, turn, l, outputs)?;
                    leaf.param = None;
                }
                Value::Tree(now)
            }
            _ => return fail(no_next(&name.name, name.span)),
        };
        scope.set(format!("{}'", name.name), next);
        Ok(())
    }

    /// Notes a next value at its turn, and gives it over the dims of the value now.
    fn next_at(
        &mut self,
        name: &str,
        now: &Tensor,
        next: &Tensor,
        turn: &Tensor,
        l: &crate::ast::Let,
        outputs: &mut Vec<(Output, TermId)>,
    ) -> Check<Tensor> {
        let span = l.value.span;
        let next = self.spread_like(next, now, span)?;
        match self.unit.terms[now.id.index()].op {
            Op::State(id) => {
                // What another line gives as the next value holds at other steps.
                let before = self.next_states.get(&id).copied().unwrap_or(now.id);
                let before = Tensor { id: before, axes: now.axes.clone() };
                let next = self.kept_state(id, &next, span)?;
                let t = self.at_turn(Some(turn), &next, &before, span)?;
                self.next_states.insert(id, t.id);
            }
            Op::Param(p) => {
                let known = outputs.iter().position(|(o, _)| *o == Output::Param(p));
                let before = Tensor { id: known.map_or(now.id, |k| outputs[k].1), axes: now.axes.clone() };
                let next = self.kept(p, &next)?;
                let t = self.at_turn(Some(turn), &next, &before, span)?;
                match known {
                    Some(k) => outputs[k].1 = t.id,
                    None => outputs.push((Output::Param(p), t.id)),
                }
            }
            _ => return fail(no_next(name, l.targets[0].name.span)),
        }
        Ok(next)
    }
}

fn no_next(name: &str, span: Span) -> Diagnostic {
    let message = format!("`{name}` is neither a state nor a parameter");
    Diagnostic::error(Code::G0107, span, message).hint("only these have next values")
}
