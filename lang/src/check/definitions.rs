//! All definitions of a train block or task, evaluated in an order that works.

use super::value::Scope;
use super::{Check, Elab, Mode};
use crate::ast::Stmt;
use crate::diag::{Code, Span};
use std::rc::Rc;

impl Elab<'_> {
    /// Every line of a task is looked at, whether or not a report needs it.
    pub fn task_lines(&mut self) -> Check<()> {
        self.mode = Mode { report: Some(None), ..Mode::default() };
        let scope = self.train_scope();
        self.all_definitions(&scope, false).map(|_| ())
    }

    /// Evaluates every definition. One that speaks of parameters which only the loss brings into being may wait for it;
    /// says whether one does.
    pub fn all_definitions(&mut self, scope: &Rc<Scope>, may_wait: bool) -> Check<bool> {
        let mut waiting: Vec<String> = Vec::new();
        for k in 0..self.definitions.len() {
            let name = self.definitions[k].names[0].clone();
            if scope.get(&name).is_some() {
                continue;
            }
            // The next value of a state waits with the state.
            if waiting.iter().any(|w| name == format!("{w}'")) {
                continue;
            }
            match self.definition(&name, scope) {
                Err(d) if may_wait && d.code == Code::G0401 => waiting.push(name),
                Err(fault) => {
                    let stmt = self.definitions[k].stmt.clone();
                    self.go_on(&stmt, fault, scope)?;
                }
                Ok(_) => {}
            }
        }
        Ok(!waiting.is_empty())
    }
}

/// The nearest scope of a train block's lines.
pub fn block_scope(scope: &Rc<Scope>) -> Option<Rc<Scope>> {
    Scope::nearest(scope, "<block>")
}

/// The names that a statement defines, and its place.
pub fn defined(stmt: &Stmt) -> (Vec<String>, Span) {
    match stmt {
        Stmt::Let(l) if l.targets.iter().all(|t| t.primed) => {
            (l.targets.iter().map(|t| format!("{}'", t.name.name)).collect(), l.span)
        }
        Stmt::Let(l) => (l.targets.iter().map(|t| t.name.name.clone()).collect(), l.span),
        Stmt::Save(names) => (vec![], names[0].span),
        Stmt::Keep(l) => (l.targets.iter().map(|t| format!("<keep {}>", t.name.name)).collect(), l.span),
        Stmt::Param(d) | Stmt::Const(d) => (vec![d.name.name.clone()], d.name.span),
        Stmt::State(ds) => (ds.iter().map(|d| d.name.name.clone()).collect(), ds[0].name.span),
        Stmt::Sample { name, span, .. } => (vec![name.name.clone()], *span),
        Stmt::Each { span, .. } => (vec![], *span),
        Stmt::Edges(d) => (vec![d.name.name.clone()], d.name.span),
        Stmt::For { var, span, .. } => (vec![var.name.clone()], *span),
    }
}
