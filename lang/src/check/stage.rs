//! Phases of a train block: `stage warmup { minimize ... epochs 2 }`.
//! Law: each stage has a step of its own; parameters and the states of nets go on from one to the next, those of rules
//! belong to their stage, and `t` counts the stage's steps.

use super::value::Value;
use super::{Check, Elab, fail};
use crate::ast::{Ident, TrainStmt};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Hyper, HyperId, Stage};

impl Elab<'_> {
    /// The step of a train block, or one for each stage.
    pub fn step_functions(&mut self, body: &[TrainStmt], span: Span) -> Check<()> {
        let stages = stages(body);
        if stages.is_empty() {
            return self.step_function(body, "step", span);
        }
        if let Some(TrainStmt::Minimize { span, .. }) = body.iter().find(|s| matches!(s, TrainStmt::Minimize { .. })) {
            let d = Diagnostic::error(Code::G0406, *span, "a block with stages trains in its stages");
            return fail(d.label(stages[0].0.span, "a stage").hint("put the line into a stage of its own"));
        }
        let whole = self.globals.get("<train>");
        for (k, (name, lines)) in stages.iter().enumerate() {
            if stages[..k].iter().any(|s| s.0.name == name.name) {
                let message = format!("the stage `{}` stands here twice", name.name);
                return fail(Diagnostic::error(Code::G0102, name.span, message));
            }
            let all: Vec<TrainStmt> = outside(body).chain(lines.iter()).cloned().collect();
            let function = if k == 0 { "step".to_string() } else { format!("step {}", name.name) };
            let schedule = self.schedule(&all, name.span)?;
            if k == 0 {
                self.unit.schedule = schedule.clone();
            }
            let before = self.stage_clock(name)?;
            self.unit.stages.push(Stage { name: name.name.clone(), function: function.clone(), schedule, before });
            self.stage = format!("{}.", name.name);
            self.advanced.clear();
            let done = self.step_function(&all, &function, name.span);
            self.stage.clear();
            self.clock = None;
            done?;
        }
        if let Some(whole) = whole {
            self.globals.set("<train>", whole);
        }
        Ok(())
    }

    /// `t` counts the steps of the stage from here on.
    fn stage_clock(&mut self, name: &Ident) -> Check<HyperId> {
        let before = HyperId::new(self.unit.hypers.len());
        self.unit.hypers.push(Hyper { name: format!("steps before {}", name.name), default: 0.0 });
        self.clock = Some(before);
        let t = self.step_number(name.span);
        if let Some(Value::Record(mut names)) = self.globals.get("<train>") {
            names.iter_mut().filter(|n| n.0 == "t").for_each(|n| n.1 = Value::Tensor(t.clone()));
            self.globals.set("<train>", Value::Record(names));
        }
        Ok(before)
    }
}

/// The stages of a block and their lines.
fn stages(body: &[TrainStmt]) -> Vec<(&Ident, &[TrainStmt])> {
    let mut stages = Vec::new();
    for stmt in body {
        if let TrainStmt::Stage { name, body } = stmt {
            stages.push((name, body.as_slice()));
        }
    }
    stages
}

/// Does the block train in stages?
pub fn has_stages(body: &[TrainStmt]) -> bool {
    !stages(body).is_empty()
}

/// The lines outside of stages.
fn outside(body: &[TrainStmt]) -> impl Iterator<Item = &TrainStmt> {
    body.iter().filter(|s| !matches!(s, TrainStmt::Stage { .. }))
}

/// What may stand in a stage.
pub fn check_stages(body: &[TrainStmt]) -> Check<()> {
    for (name, lines) in stages(body) {
        for line in lines {
            let fits = matches!(
                line,
                TrainStmt::Minimize { .. }
                    | TrainStmt::Every { .. }
                    | TrainStmt::Batch(_)
                    | TrainStmt::BatchOf { .. }
                    | TrainStmt::BatchNear(_)
                    | TrainStmt::Epochs(_)
                    | TrainStmt::Steps(_)
            );
            if !fits {
                let message = format!("the stage `{}` has a line that is not about training", name.name);
                let d = Diagnostic::error(Code::G0406, name.span, message);
                return fail(d.hint("nets, definitions and reports stand outside of the stages, which share them"));
            }
        }
    }
    Ok(())
}
