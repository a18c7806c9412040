//! Train blocks, tasks and checks as units.

pub use super::definitions::{block_scope, defined};
use super::items::Items;
use super::run::Elaborated;
use super::value::{Instance, Member, Objective, Scope, Value};
use super::{Check, Definition, Elab, Frame, Mode, Options, fail};
use crate::ast::{Expr, Let, ParamDecl, ReportDecl, Stmt, TrainStmt};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::program::{
    Axis, Dim, DimId, Elem, Function, Hyper, HyperId, Op, Output, ParamId, Schedule, Size, StateId, Unit, UnitKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Paths of the instances that call sites own: path around, place, how often passed before.
pub type CallPaths = BTreeMap<(String, Span, usize), String>;

/// One `minimize` line.
struct Goal<'a> {
    loss: &'a Expr,
    outputs: Option<&'a Let>,
    over: &'a [Expr],
    rule: &'a Expr,
    every: Option<&'a Expr>,
    maximize: bool,
    span: Span,
}

impl<'a> Elab<'a> {
    /// An elaborator of an empty unit.
    pub fn new(items: &'a Items, options: &'a Options, name: &str, kind: UnitKind) -> Self {
        let unit = Unit {
            name: name.to_string(),
            kind,
            double: false,
            dims: items.dims.clone(),
            terms: vec![],
            names: vec![],
            inputs: vec![],
            params: vec![],
            states: vec![],
            hypers: vec![],
            sites: 0,
            loops: Vec::new(),
            data: None,
            batch: None,
            schedule: Schedule::default(),
            stages: vec![],
            reports: vec![],
            runs: vec![],
            asks: vec![],
            hosts: vec![],
            functions: vec![],
        };
        Elab {
            items,
            options,
            unit,
            active: vec![],
            fibers: BTreeMap::new(),
            mode: Mode::default(),
            frames: vec![],
            known: Default::default(),
            faults: vec![],
            recovers: false,
            pass: String::new(),
            passed_sites: BTreeMap::new(),
            call_paths: BTreeMap::new(),
            instances: BTreeMap::new(),
            looked: BTreeSet::new(),
            late_states: vec![],
            guards: vec![],
            next_guard: None,
            shared: vec![],
            looking: false,
            calls: BTreeMap::new(),
            unused: BTreeSet::new(),
            domains: BTreeMap::new(),
            narrow_states: BTreeMap::new(),
            advanced: BTreeSet::new(),
            stride: None,
            carriers: vec![],
            stage: String::new(),
            clock: None,
            rule_states: vec![],
            numbers: BTreeMap::new(),
            called: BTreeMap::new(),
            globals: Rc::new(Scope::default()),
            library: Rc::new(Scope::default()),
            sites: BTreeMap::new(),
            lenient: false,
            made: Vec::new(),
            loop_fields: BTreeMap::new(),
            points: 0,
            first_params: vec![],
            first_points: BTreeMap::new(),
            first_states: vec![],
            next_states: BTreeMap::new(),
            depth: 0,
            held: vec![],
            definitions: vec![],
            open: vec![],
            open_globals: vec![],
            data: None,
        }
    }

    /// The scope of a train block's lines in the mode of now: fresh, so that definitions are evaluated anew.
    pub fn train_scope(&mut self) -> Rc<Scope> {
        let base = self.globals.get("<train>");
        let scope = Scope::inside(&self.globals.clone());
        if let Some(Value::Record(names)) = base {
            for (n, v) in names {
                scope.set(n, v);
            }
        }
        scope.set("<block>", Value::Truth(true));
        scope
    }

    /// A definition of the train block, evaluated now if need be.
    pub fn definition(&mut self, name: &str, scope: &Rc<Scope>) -> Check<Option<Value>> {
        let Some(block) = block_scope(scope) else { return Ok(None) };
        let Some(k) = self.definitions.iter().position(|d| d.names.iter().any(|n| n == name)) else {
            return self.batch_field(name);
        };
        let definition = self.definitions[k].clone();
        if self.open.contains(&k) {
            return fail(
                Diagnostic::error(Code::G0103, definition.span, format!("the definition of `{name}` needs itself"))
                    .hint("a definition may use what does not depend on it"),
            );
        }
        self.open.push(k);
        let active = std::mem::take(&mut self.active);
        let frames = std::mem::replace(&mut self.frames, vec![Frame { path: name.to_string(), ..Frame::default() }]);
        if matches!(definition.stmt, Stmt::Param(_) | Stmt::State(_) | Stmt::Const(_)) {
            self.frames[0].path.clear();
        }
        let done = self.in_pass(name, |elab| elab.stmt(&definition.stmt, &block));
        self.frames = frames;
        self.active = active;
        self.open.pop();
        done?;
        if let Some(Value::Tensor(t)) = block.get(name) {
            self.unit.names.push((name.to_string(), t.id));
        }
        Ok(block.get(name))
    }

    /// Arguments of the program as hyperparameters; `t` and the data set's names.
    fn open_block(&mut self, params: &[ParamDecl], args: &[(String, f64)], data: Option<usize>) -> Check<()> {
        let mut names = Vec::new();
        for param in params {
            let span = param.name.span;
            let default = match &param.default {
                Some(d) => {
                    let v = self.eval(d, &self.globals.clone())?;
                    self.static_num(&v, d.span)?
                }
                None => {
                    return fail(
                        Diagnostic::error(
                            Code::G0404,
                            span,
                            format!("the argument `{}` needs a default", param.name.name),
                        )
                        .hint(format!("`{} = 0.1`", param.name.name)),
                    );
                }
            };
            let value = args.iter().find(|(n, _)| *n == param.name.name).map_or(default, |(_, v)| *v);
            let id = HyperId::new(self.unit.hypers.len());
            self.unit.hypers.push(Hyper { name: param.name.name.clone(), default: value });
            let term = self.term(Op::Hyper(id), Elem::Real, vec![], span);
            names.push((param.name.name.clone(), Value::Hyper(super::value::Tensor { id: term, axes: vec![] }, value)));
        }
        if self.unit.kind == UnitKind::Train {
            let t = self.step_number(Span::default());
            names.push(("t".to_string(), Value::Tensor(t)));
        }
        let batch = match self.unit.dims.iter().position(|d| d.name == "batch") {
            Some(k) => DimId::new(k),
            None => self.add_dim(Dim { name: "batch".to_string(), size: Size::Open, span: None }),
        };
        if data.is_some() {
            names.push(("batch".to_string(), Value::Dim(batch)));
        }
        self.unit.batch = Some(batch);
        self.unit.data = data;
        self.data = data;
        self.globals.set("<train>", Value::Record(names));
        Ok(())
    }

    /// Collects nets and definitions of a block.
    fn collect(&mut self, body: &[TrainStmt]) -> Check<Vec<Rc<Instance>>> {
        let mut instances = Vec::new();
        let mut taken: BTreeMap<String, Span> = BTreeMap::new();
        for stmt in body {
            let (names, span, inner): (Vec<String>, Span, Option<Stmt>) = match stmt {
                TrainStmt::Net { name, over, value } => {
                    self.note_calls(&name.name, body);
                    let instance = self.net_line(&name.name, over, value)?;
                    instances.push(instance);
                    (vec![name.name.clone()], name.span, None)
                }
                TrainStmt::Stmt(s) => {
                    let (names, span) = defined(s);
                    (names, span, Some(s.clone()))
                }
                TrainStmt::Every { .. } => continue,
                _ => continue,
            };
            if let Some(Stmt::For { span, .. }) = &inner {
                return fail(
                    Diagnostic::error(Code::G0301, *span, "the lines of this block have no order, so a loop has no place among them")
                        .hint("put it into a net or a function, or into a value: `y = { z = x; for k in 3 { z' = f(z) }; z }`"),
                );
            }
            if let Some(Stmt::Each { span, .. }) = &inner {
                return fail(
                    Diagnostic::error(Code::G0406, *span, "`each` belongs into a rule")
                        .hint("it walks over the tensors of the tree that the rule trains"),
                );
            }
            for name in &names {
                self.not_the_blocks_own(name, span)?;
                if let Some(first) = taken.insert(name.clone(), span) {
                    return fail(
                        Diagnostic::error(Code::G0102, span, format!("`{name}` is defined twice"))
                            .label(first, "first here"),
                    );
                }
            }
            if let Some(stmt) = inner
                && !names.is_empty()
            {
                self.definitions.push(Definition { names, stmt, span });
            }
        }
        Ok(instances)
    }

    /// The step's number, the dim of the rows and the arguments are there before the lines are.
    fn not_the_blocks_own(&self, name: &str, span: Span) -> Check<()> {
        let Some(Value::Record(own)) = self.globals.get("<train>") else { return Ok(()) };
        let what = match own.iter().find(|n| n.0 == name).map(|n| &n.1) {
            Some(Value::Hyper(..)) => "an argument of the block",
            Some(Value::Dim(_)) => "the dim of the rows of a batch here",
            Some(Value::Tensor(_)) => "the number of the step here",
            _ => return Ok(()),
        };
        let d = Diagnostic::error(Code::G0102, span, format!("`{name}` is {what}"));
        fail(d.label(span, "and cannot be defined").hint("choose another name"))
    }

    /// `net f = mlp(64)`, `net f[worker] = mlp(64)`.
    fn net_line(&mut self, name: &str, over: &[Expr], value: &Expr) -> Check<Rc<Instance>> {
        let scope = self.train_scope();
        let mut family = Vec::new();
        for e in over {
            let v = self.eval(e, &scope)?;
            family.push(Member { dim: self.index_dim(&v, e.span)?, at: None });
        }
        let v = self.eval(value, &scope)?;
        let Value::Net(net) = v else {
            return fail(Diagnostic::error(Code::G0302, value.span, format!("a net is needed here, not {}", v.what())));
        };
        let net = if net.applied { net } else { self.with_defaults(net, value.span)? };
        let instance = Rc::new(Instance::single(net, name.to_string(), family));
        if let Some(Value::Record(mut names)) = self.globals.get("<train>") {
            names.push((name.to_string(), Value::Instance(instance.clone())));
            self.globals.set("<train>", Value::Record(names));
        }
        Ok(instance)
    }

    /// A train block or task.
    pub fn program_unit(
        mut self,
        params: &[ParamDecl],
        body: &[TrainStmt],
        span: Span,
        data: Option<usize>,
        args: &[(String, f64)],
    ) -> Result<Elaborated, Diagnostics> {
        let done = self.fill(params, body, span, data, args);
        self.finished(done)
    }

    /// The unit, if nothing was found wrong.
    pub fn finished(mut self, done: Check<()>) -> Result<Elaborated, Diagnostics> {
        self.faults.extend(done.err().map(|d| *d));
        if !self.faults.is_empty() {
            return Err(super::faults::shown(self.faults));
        }
        Ok(Elaborated { unit: self.unit, call_paths: self.call_paths, rule_states: self.rule_states })
    }

    /// Fills the unit. What is wrong in one report leaves the others to be looked at.
    fn fill(
        &mut self,
        params: &[ParamDecl],
        body: &[TrainStmt],
        span: Span,
        data: Option<usize>,
        args: &[(String, f64)],
    ) -> Check<()> {
        self.recovers = true;
        self.open_block(params, args, data)?;
        let instances = self.collect(body)?;
        super::stage::check_stages(body)?;
        if !super::stage::has_stages(body) {
            self.unit.schedule = self.schedule(body, span)?;
        }
        let is_train = self.unit.kind == UnitKind::Train;
        if is_train {
            if let Err(fault) = self.step_functions(body, span) {
                self.faults.push(*fault);
            }
        } else {
            self.task_lines()?;
        }
        let reports: Vec<(&ReportDecl, bool)> = body
            .iter()
            .filter_map(|s| match s {
                TrainStmt::Report(r) => Some((r, false)),
                TrainStmt::Plot(r) => Some((r, true)),
                _ => None,
            })
            .collect();
        self.report_functions(&reports)?;
        for instance in &instances {
            self.net_function(instance)?;
        }
        let mut outputs: Vec<_> =
            self.first_params.iter().enumerate().map(|(k, t)| (Output::Param(ParamId::new(k)), *t)).collect();
        outputs.extend(self.first_states.iter().enumerate().map(|(k, t)| (Output::State(StateId::new(k)), *t)));
        // What a run trained is there before, and stays.
        outputs.retain(|(what, first)| match (what, &self.unit.term(*first).op) {
            (Output::Param(p), Op::Param(first)) => p != first,
            (Output::State(s), Op::State(first)) => s != first,
            _ => true,
        });
        self.unit.functions.insert(0, Function { name: "init".to_string(), outputs });
        self.unit.sites = self.sites.len() as u32;
        self.forget_unused();
        Ok(())
    }

    /// The step of these lines.
    pub fn step_function(&mut self, body: &[TrainStmt], function: &str, span: Span) -> Check<()> {
        let goals: Vec<Goal<'_>> = body
            .iter()
            .filter_map(|s| match s {
                TrainStmt::Minimize { maximize, loss, outputs, over, rule, every, span } => Some(Goal {
                    loss,
                    outputs: outputs.as_ref(),
                    over,
                    rule,
                    maximize: *maximize,
                    every: every.as_ref(),
                    span: *span,
                }),
                _ => None,
            })
            .collect();
        if goals.is_empty() {
            return fail(
                Diagnostic::error(Code::G0401, span, format!("`{}` trains nothing", self.unit.name))
                    .hint("add a line: `minimize LOSS over NET by RULE`"),
            );
        }
        self.mode = Mode { training: true, advance: true, ..Mode::default() };
        let scope = self.train_scope();
        let waiting = self.all_definitions(&scope, true)?;
        let mut losses = Vec::new();
        for (k, goal) in goals.iter().enumerate() {
            self.frames = vec![Frame { path: "loss".to_string(), ..Frame::default() }];
            let pass = self.goal_pass(k);
            let t = self.in_pass(&pass, |elab| elab.loss_value(goal.loss, goal.outputs, &scope))?;
            losses.push((
                t.axes.clone(),
                self.mean_loss(t.clone(), false, goal.loss.span)?,
                self.mean_loss(t, goal.maximize, goal.loss.span)?,
            ));
        }
        if waiting {
            self.all_definitions(&scope, false)?;
        }
        let mut outputs = Vec::new();
        for (k, (goal, (axes, _, descended))) in goals.iter().zip(&losses).enumerate() {
            self.goal(k, goal, axes, descended, &scope, &mut outputs)?;
        }
        for (goal, (_, _, descended)) in goals.iter().zip(&losses) {
            self.settle_late_states(descended, goal.span)?;
        }
        self.every_lines(body, &scope, &mut outputs)?;
        for (id, term) in std::mem::take(&mut self.next_states) {
            outputs.push((Output::State(id), term));
        }
        outputs.push((Output::Loss, losses[0].1.id));
        let outputs = self.near_step(outputs)?;
        self.unit.names.push(("loss".to_string(), losses[0].1.id));
        self.frames.clear();
        self.unit.functions.push(Function { name: function.to_string(), outputs });
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn goal(
        &mut self,
        number: usize,
        goal: &Goal<'_>,
        axes: &[Axis],
        loss: &super::value::Tensor,
        scope: &Rc<Scope>,
        outputs: &mut Vec<(Output, crate::program::TermId)>,
    ) -> Check<()> {
        let mut over = Vec::new();
        for e in goal.over {
            let v = self.eval(e, scope)?;
            let Some(params) = self.learnable(&v) else {
                let message = "this is no parameter, so it cannot be trained";
                return fail(Diagnostic::error(Code::G0401, e.span, message).hint("name a net or a parameter"));
            };
            over.extend(params);
        }
        for (k, p) in over.iter().enumerate() {
            let before = outputs.iter().any(|(o, _)| *o == Output::Param(*p)) || over[..k].contains(p);
            if before {
                let message = format!("`{}` is trained twice", self.unit.params[p.index()].name);
                return fail(
                    Diagnostic::error(Code::G0406, goal.span, message)
                        .hint("add the losses, or train different parameters by the two lines"),
                );
            }
        }
        if over.is_empty() {
            return fail(
                Diagnostic::error(Code::G0401, goal.span, "there is no parameter to train")
                    .hint("does the loss use the net? Parameters come into being where the net is called"),
            );
        }
        let Value::Rules(rules) = self.eval(goal.rule, scope)? else {
            return fail(
                Diagnostic::error(Code::G0402, goal.rule.span, "a rule is needed here")
                    .hint("for example `by adam(lr)`"),
            );
        };
        let w = self.tree_of(&over, "", goal.span);
        let needs_gradient = rules.iter().any(|r| r.decl.head.gradient.is_some());
        let g = if needs_gradient {
            match self.gradient_by(loss, &Value::Tree(w.clone()), goal.span)? {
                Value::Tree(g) => Some(g),
                _ => unreachable!("the gradient by a tree is a tree"),
            }
        } else {
            None
        };
        let objective = Objective {
            loss: goal.loss.clone(),
            outputs: goal.outputs.cloned(),
            axes: axes.to_vec(),
            pass: self.goal_pass(number),
            negated: goal.maximize,
            over: over.clone(),
            inner: None,
        };
        let others = std::mem::take(&mut self.next_states);
        self.stride = goal.every.map(|e| self.count_of(e, scope)).transpose()?;
        let next = self.apply_rules(&rules, w.clone(), g, Some(Rc::new(objective)), &self.stage.clone(), goal.span);
        self.stride = None;
        let next = next?;
        let turn = goal.every.map(|e| self.turn(e, scope)).transpose()?;
        for ((p, leaf), own) in over.iter().zip(&next.leaves).zip(&w.leaves) {
            let t = self.spread_like(&leaf.value, &own.value, goal.span)?;
            let t = self.kept(*p, &t)?;
            let t = self.spread_like(&t, &own.value, goal.span)?;
            let t = self.at_turn(turn.as_ref(), &t, &own.value, goal.span)?;
            outputs.push((Output::Param(*p), t.id));
        }
        for (id, term) in std::mem::replace(&mut self.next_states, others) {
            let now = self.state_value(id, goal.span);
            let next = super::value::Tensor { id: term, axes: now.axes.clone() };
            let t = self.at_turn(turn.as_ref(), &next, &now, goal.span)?;
            self.next_states.insert(id, t.id);
        }
        Ok(())
    }

    /// The name of a loss for its draws.
    fn goal_pass(&self, number: usize) -> String {
        format!("{}loss {number}", self.stage)
    }
}
