//! Several findings in one block: what a faulty statement defines is marked, and the statements that do not need it are
//! looked at all the same.
//! Law: a finding that only follows from another is never shown.

use super::value::{Scope, Value};
use super::{Check, Elab};
use crate::ast::Stmt;
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use std::rc::Rc;

/// Findings of one unit beyond which nothing more is looked for.
const MOST: usize = 20;

/// Stands for a finding that is noted already.
pub fn noted(span: Span) -> Diagnostic {
    Diagnostic::error(Code::G0101, span, "")
}

/// Does it only say that something is noted already?
pub fn is_noted(d: &Diagnostic) -> bool {
    d.message.is_empty()
}

/// The findings to show.
pub fn shown(mut faults: Vec<Diagnostic>) -> Diagnostics {
    faults.retain(|d| !is_noted(d));
    Diagnostics(faults)
}

impl Elab<'_> {
    /// Notes the fault of a statement and goes on behind it, where that can be done.
    pub fn go_on(&mut self, stmt: &Stmt, fault: Box<Diagnostic>, scope: &Rc<Scope>) -> Check<()> {
        // A definition that needs itself would be looked at again and again.
        if !self.recovers || fault.code == Code::G0103 || self.faults.len() >= MOST {
            return Err(fault);
        }
        let (names, _) = super::train::defined(stmt);
        if names.is_empty() {
            return Err(fault);
        }
        if !is_noted(&fault) {
            self.faults.push(*fault);
        }
        for name in names {
            scope.set(name, Value::Faulty);
        }
        Ok(())
    }

    /// Evaluates and forgets what is found wrong.
    pub fn attempt<T>(&mut self, f: impl FnOnce(&mut Self) -> Check<T>) -> Option<T> {
        let before = self.faults.len();
        let done = f(self).ok();
        let good = self.faults.len() == before;
        self.faults.truncate(before);
        done.filter(|_| good)
    }
}
