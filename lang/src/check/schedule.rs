//! How long a train block runs, and on how many rows at a time.

use super::value::Scope;
use super::{Check, Elab, fail};
use crate::ast::{Expr, TrainStmt};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Schedule, UnitKind};
use std::rc::Rc;

impl Elab<'_> {
    /// What the lines say of rows and steps.
    pub fn schedule(&mut self, body: &[TrainStmt], span: Span) -> Check<Schedule> {
        let scope = self.train_scope();
        let mut schedule = Schedule::default();
        for stmt in body {
            match stmt {
                TrainStmt::Batch(e) => {
                    let batch = Some(self.count_of(e, &scope)?);
                    schedule = Schedule { batch, groups: None, near: None, ..schedule };
                }
                TrainStmt::BatchNear(decl) => {
                    let batch = Some(self.count_of(&decl.count, &scope)?);
                    let near = Some(self.neighbourhoods(decl)?);
                    schedule = Schedule { batch, groups: None, near, ..schedule };
                }
                TrainStmt::BatchOf { groups, count, rows, each } => {
                    schedule.batch = Some(self.count_of(count, &scope)?);
                    (schedule.groups, schedule.near) = (Some(self.grouped(groups, rows, each)?), None);
                }
                TrainStmt::Epochs(e) => (schedule.epochs, schedule.steps) = (Some(self.count_of(e, &scope)?), None),
                TrainStmt::Steps(e) => schedule.steps = Some(self.count_of(e, &scope)?),
                _ => {}
            }
        }
        if self.unit.kind == UnitKind::Train {
            self.has_length(body, &schedule, span)?;
        }
        let batch_dim = self.unit.batch;
        if let Some((_, n)) =
            self.options.dims.iter().find(|(n, _)| batch_dim.is_some_and(|d| self.unit.dims[d.index()].name == *n))
        {
            schedule.batch = Some(*n);
        }
        Ok(schedule)
    }

    /// A train block says how long it runs.
    pub fn has_length(&self, body: &[TrainStmt], s: &Schedule, span: Span) -> Check<()> {
        let minimizes = body.iter().any(|s| matches!(s, TrainStmt::Minimize { .. }));
        if minimizes && s.epochs.is_none() && s.steps.is_none() {
            return fail(
                Diagnostic::error(Code::G0404, span, format!("`{}` does not say how long it trains", self.unit.name))
                    .hint("add a line: `epochs 20` or `steps 1000`"),
            );
        }
        if s.steps.is_none() && self.data.is_none() {
            let at = body.iter().find_map(|s| if let TrainStmt::Epochs(e) = s { Some(e.span) } else { None });
            return match at {
                Some(at) => fail(
                    Diagnostic::error(Code::G0404, at, "an epoch is a pass over the data, and there are none")
                        .hint("write `steps 1000`, or name the data: `train name on data { ... }`"),
                ),
                None => Ok(()),
            };
        }
        Ok(())
    }

    pub fn count_of(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<u64> {
        let v = self.eval(e, scope)?;
        self.static_count(&v, e.span)
    }
}
