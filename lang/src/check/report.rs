//! Reports, trained nets as functions of arrays, and checks: what a unit computes besides its step.

use super::value::{Instance, Scope, Tensor, Value};
use super::{Check, Elab, Frame, Mode, fail};
use crate::ast::{BinaryOp, Body, CheckDecl, ExprKind, ReportDecl};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::program::{Elem, Function, Input, InputId, Op, Output, Part, Report, TermId, Ty, Unit};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Elab<'_> {
    pub fn report_functions(&mut self, reports: &[(&ReportDecl, bool)]) -> Check<()> {
        let mut functions: BTreeMap<String, Vec<(Output, TermId)>> = BTreeMap::new();
        let mut scopes: BTreeMap<String, (Mode, Rc<Scope>)> = BTreeMap::new();
        for (k, (report, plot)) in reports.iter().enumerate() {
            if let Some(earlier) = reports[..k].iter().find(|r| r.0.name.name == report.name.name) {
                return fail(
                    Diagnostic::error(
                        Code::G0102,
                        report.name.span,
                        format!("two reports are named `{}`", report.name.name),
                    )
                    .label(earlier.0.name.span, "first here"),
                );
            }
            let on = report.on.as_ref().map(|o| o.name.clone());
            if let (Some(o), Some(d)) = (&report.on, self.data)
                && o.name != "train"
                && !self.items.has_split(d, &o.name)
            {
                return fail(Diagnostic::error(Code::G0105, o.span, format!("the data have no split `{}`", o.name)));
            }
            let key = on.as_ref().map_or("report".to_string(), |o| format!("report on {o}"));
            let (mode, scope) = match scopes.get(&key) {
                Some(found) => found.clone(),
                None => {
                    self.mode = Mode { report: Some(on.clone()), ..Mode::default() };
                    let scope = self.train_scope();
                    scopes.insert(key.clone(), (self.mode.clone(), scope.clone()));
                    (self.mode.clone(), scope)
                }
            };
            self.mode = mode;
            self.frames = vec![Frame { path: report.name.name.clone(), ..Frame::default() }];
            let evaluated = self.in_pass(&report.name.name, |elab| elab.reported(report, &scope));
            self.frames.clear();
            self.active.clear();
            self.open.clear();
            let t = match evaluated {
                Ok(t) => t,
                Err(fault) => {
                    self.faults.push(*fault);
                    continue;
                }
            };
            let every = match &report.every {
                None => None,
                Some((n, unit)) => Some((self.count_of(n, &scope)?, unit.name.starts_with("epoch"))),
            };
            let ty = Ty { elem: self.elem(&t), axes: t.axes.clone() };
            self.unit.reports.push(Report { name: report.name.name.clone(), on, every, ty, plot: *plot });
            functions.entry(key).or_default().push((Output::Report(k), t.id));
        }
        for (name, outputs) in functions {
            self.unit.functions.push(Function { name, outputs });
        }
        Ok(())
    }

    fn reported(&mut self, report: &ReportDecl, scope: &Rc<Scope>) -> Check<Tensor> {
        let v = match &report.indices {
            Some(items) => self.comprehension(items, &report.value, report.name.span, scope)?,
            None => self.eval(&report.value, scope)?,
        };
        self.tensor(&v, report.value.span)
    }

    /// A trained net as a function of arrays, where the types of its arguments are known.
    pub fn net_function(&mut self, instance: &Rc<Instance>) -> Check<()> {
        self.mode = Mode { report: Some(None), ..Mode::default() };
        let mut pairs = Vec::new();
        let Some(types) = self.called.get(&instance.path).cloned() else { return Ok(()) };
        for (param, (_, Ty { elem, axes })) in instance.net.decl.params.iter().zip(types) {
            let name = format!("{}.{}", instance.path, param.name.name);
            self.unit.inputs.push(Input {
                name,
                field: None,
                part: Part::Argument,
                ty: Ty { elem, axes: axes.clone() },
            });
            let id = InputId::new(self.unit.inputs.len() - 1);
            let term = self.term(Op::Input(id), elem, axes.clone(), param.name.span);
            pairs.push((param.name.name.clone(), Value::Tensor(Tensor { id: term, axes }), param.name.span));
        }
        let before = self.unit.params.len();
        let done = self.attempt(|elab| elab.run_net(instance, pairs, instance.net.decl.span));
        let Some(run) = done else { return Ok(()) };
        let Value::Tensor(t) = run.value else { return Ok(()) };
        if self.unit.params.len() != before {
            return Ok(());
        }
        // The value's axes in the order that the user sees.
        let ty = Ty { elem: self.elem(&t), axes: t.axes.clone() };
        let value = self.ordered_term(Op::View(t.id), ty, instance.net.decl.span);
        let outputs = vec![(Output::Value("value".to_string()), value)];
        self.unit.functions.push(Function { name: format!("net {}", instance.path), outputs });
        Ok(())
    }

    /// A check: its condition and, of a comparison, both sides.
    pub fn check_unit(mut self, decl: &CheckDecl) -> Result<Unit, Diagnostics> {
        self.recovers = true;
        let done = self.fill_check(decl);
        self.finished(done).map(|done| done.unit)
    }

    fn fill_check(&mut self, decl: &CheckDecl) -> Check<()> {
        let scope = Scope::inside(&self.globals.clone());
        let Body { stmts, value, span } = &decl.body;
        for stmt in stmts {
            if let Err(fault) = self.stmt(stmt, &scope) {
                self.go_on(stmt, fault, &scope)?;
            }
        }
        let Some(condition) = value else {
            return fail(
                Diagnostic::error(Code::G0301, *span, "a check ends in a condition")
                    .hint("for example `f().accuracy > 0.9`"),
            );
        };
        let t = self.eval_tensor(condition, &scope)?;
        if !t.axes.is_empty() || self.elem(&t) != Elem::Bool {
            return fail(
                Diagnostic::error(
                    Code::G0205,
                    condition.span,
                    format!("a check's condition is one truth value, this is `{}`", self.shown(&t)),
                )
                .hint("use `all(...)`"),
            );
        }
        let mut outputs = vec![(Output::Value("condition".to_string()), t.id)];
        if let ExprKind::Binary(op, a, b) = &*condition.kind
            && matches!(op, BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq | BinaryOp::Ne)
        {
            for (name, side) in [("left", a), ("right", b)] {
                let t = self.eval_tensor(side, &scope)?;
                if t.axes.is_empty() {
                    outputs.push((Output::Value(name.to_string()), t.id));
                }
            }
        }
        self.unit.functions.push(Function { name: "check".to_string(), outputs });
        Ok(())
    }
}
