//! Train blocks, tasks and checks as units.

use super::items::Items;
use super::value::{Instance, Objective, Scope, Value};
use super::{Check, Definition, Elab, Frame, Mode, Options, fail};
use crate::ast::{BinaryOp, Body, CheckDecl, Expr, ExprKind, ParamDecl, ReportDecl, Stmt, TrainStmt};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::program::{
    Axis, Dim, DimId, Elem, Fun, Function, Hyper, HyperId, Input, InputId, Op, Output, ParamId, Part, Report, Schedule,
    Size, StateId, Ty, Unit, UnitKind,
};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// One `minimize` line.
struct Goal<'a> {
    loss: &'a Expr,
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
            data: None,
            batch: None,
            schedule: Schedule::default(),
            reports: vec![],
            runs: vec![],
            functions: vec![],
        };
        Elab {
            items,
            options,
            unit,
            active: vec![],
            mode: Mode::default(),
            frames: vec![],
            known: HashMap::new(),
            faults: vec![],
            pass: String::new(),
            passed_sites: BTreeMap::new(),
            call_paths: BTreeMap::new(),
            numbers: BTreeMap::new(),
            called: BTreeMap::new(),
            globals: Rc::new(Scope::default()),
            sites: BTreeMap::new(),
            points: 0,
            first_params: vec![],
            first_states: vec![],
            next_states: BTreeMap::new(),
            depth: 0,
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
        if matches!(definition.stmt, Stmt::Param(_) | Stmt::State(_)) {
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

    /// A field of the data set as the rows of the batch.
    fn batch_field(&mut self, name: &str) -> Check<Option<Value>> {
        let Some(data) = self.data else { return Ok(None) };
        let Some(k) = self.items.fields[data].iter().position(|f| f.name == name) else { return Ok(None) };
        let part = match &self.mode.report {
            None => Part::Batch,
            Some(Some(split)) => Part::Split(split.clone()),
            Some(None) if self.items.has_split(data, "test") => Part::Split("test".to_string()),
            Some(None) => Part::All,
        };
        let rows = self.unit.batch.expect("a unit with data has batches");
        Ok(Some(self.input(data, k, part, rows)))
    }

    /// A data input, found or added.
    pub fn input(&mut self, data: usize, k: usize, part: Part, rows: DimId) -> Value {
        let field = &self.items.fields[data][k];
        let name = format!("{}.{}", self.items.data[data].name.name, field.name);
        let span = field.span;
        let mut axes = vec![Axis { dim: rows, ix: 0 }];
        for dim in &field.dims {
            let ix = axes.iter().filter(|a| a.dim == *dim).count() as u32;
            axes.push(Axis { dim: *dim, ix });
        }
        let ty = Ty { elem: field.elem, axes: axes.clone() };
        let found = self.unit.inputs.iter().position(|i| i.name == name && i.part == part && i.ty.axes[0].dim == rows);
        let id = match found {
            Some(k) => InputId::new(k),
            None => {
                self.unit.inputs.push(Input { name, field: Some(k), part, ty: ty.clone() });
                InputId::new(self.unit.inputs.len() - 1)
            }
        };
        let term = self.term(Op::Input(id), ty.elem, axes.clone(), span);
        Value::Tensor(super::value::Tensor { id: term, axes })
    }

    /// `digits.image`, `digits.test.image`, `digits.test`.
    pub fn data_field(&mut self, k: usize, split: Option<&str>, field: &crate::ast::Ident) -> Check<Value> {
        if split.is_none() && (self.items.has_split(k, &field.name) || field.name == "train") {
            return Ok(Value::Data(k, Some(field.name.clone())));
        }
        let Some(f) = self.items.fields[k].iter().position(|f| f.name == field.name) else {
            let known = self.items.fields[k].iter().map(|f| f.name.clone()).collect();
            return fail(self.no_field(&field.name, field.span, known));
        };
        if self.data.is_none() && self.unit.kind != UnitKind::Train {
            self.data = Some(k);
            self.unit.data = Some(k);
        }
        if self.data != Some(k) {
            return fail(
                Diagnostic::error(Code::G0105, field.span, "these data belong to another train block")
                    .hint("name the data set: `train name on data { ... }`"),
            );
        }
        let rows = self.row_dim(&Value::Data(k, split.map(str::to_string))).expect("data have a dim");
        let part = split.map_or(Part::All, |s| Part::Split(s.to_string()));
        Ok(self.input(k, f, part, rows))
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
        let t = self.step_number(Span::default());
        names.push(("t".to_string(), Value::Tensor(t)));
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
                TrainStmt::Net { name, value } => {
                    let instance = self.net_line(&name.name, value)?;
                    instances.push(instance);
                    (vec![name.name.clone()], name.span, None)
                }
                TrainStmt::Stmt(s) => {
                    let (names, span) = defined(s);
                    (names, span, Some(s.clone()))
                }
                TrainStmt::Every { .. } => continue,
                TrainStmt::Stage { name, .. } => return self.later(name.span, "`stage`"),
                _ => continue,
            };
            if let Some(Stmt::Each { span, .. }) = &inner {
                return fail(
                    Diagnostic::error(Code::G0406, *span, "`each` belongs into a rule")
                        .hint("it walks over the tensors of the tree that the rule trains"),
                );
            }
            for name in &names {
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

    /// A net whose static arguments all have defaults needs none of them written.
    fn with_defaults(&mut self, net: super::value::Net, span: Span) -> Check<super::value::Net> {
        let decl = net.decl.clone();
        if let Some(p) = decl.statics.iter().find(|p| p.default.is_none()) {
            let message = format!("`{}` needs its static argument `{}`", decl.name.name, p.name.name);
            let names: Vec<&str> = decl.statics.iter().map(|p| p.name.name.as_str()).collect();
            return fail(
                Diagnostic::error(Code::G0303, span, message).label(p.name.span, "declared here").hint(format!(
                    "write `{}({})`",
                    decl.name.name,
                    names.join(", ")
                )),
            );
        }
        let scope = self.globals.clone();
        match self.call_net(net, &[], span, &scope)? {
            Value::Net(net) => Ok(net),
            _ => unreachable!("static arguments give a net"),
        }
    }

    fn net_line(&mut self, name: &str, value: &Expr) -> Check<Rc<Instance>> {
        let scope = self.train_scope();
        let v = self.eval(value, &scope)?;
        let Value::Net(net) = v else {
            return fail(Diagnostic::error(Code::G0302, value.span, format!("a net is needed here, not {}", v.what())));
        };
        let net = if net.applied { net } else { self.with_defaults(net, value.span)? };
        let instance = Rc::new(Instance { net, path: name.to_string(), frozen: false, at: vec![] });
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
    ) -> Result<Unit, Diagnostics> {
        match self.fill(params, body, span, data, args) {
            Ok(()) if self.faults.is_empty() => Ok(self.unit),
            Ok(()) => Err(Diagnostics(self.faults)),
            Err(last) => {
                self.faults.push(*last);
                Err(Diagnostics(self.faults))
            }
        }
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
        self.open_block(params, args, data)?;
        let instances = self.collect(body)?;
        self.schedule(body, span)?;
        let is_train = self.unit.kind == UnitKind::Train;
        if is_train {
            if let Err(fault) = self.step_function(body, span) {
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
        self.unit.functions.insert(0, Function { name: "init".to_string(), outputs });
        self.unit.sites = self.sites.len() as u32;
        Ok(())
    }

    /// Every line of a task is looked at, whether or not a report needs it.
    fn task_lines(&mut self) -> Check<()> {
        self.mode = Mode { report: Some(None), ..Mode::default() };
        let scope = self.train_scope();
        for k in 0..self.definitions.len() {
            let name = self.definitions[k].names[0].clone();
            if scope.get(&name).is_none() {
                self.definition(&name, &scope)?;
            }
        }
        Ok(())
    }

    /// A train block says how long it runs.
    fn has_length(&self, body: &[TrainStmt], span: Span) -> Check<()> {
        let s = &self.unit.schedule;
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

    fn schedule(&mut self, body: &[TrainStmt], span: Span) -> Check<()> {
        let scope = self.train_scope();
        for stmt in body {
            match stmt {
                TrainStmt::Batch(e) => self.unit.schedule.batch = Some(self.count_of(e, &scope)?),
                TrainStmt::Epochs(e) => self.unit.schedule.epochs = Some(self.count_of(e, &scope)?),
                TrainStmt::Steps(e) => self.unit.schedule.steps = Some(self.count_of(e, &scope)?),
                _ => {}
            }
        }
        if self.unit.kind == UnitKind::Train {
            self.has_length(body, span)?;
        }
        let batch_dim = self.unit.batch;
        if let Some((_, n)) =
            self.options.dims.iter().find(|(n, _)| batch_dim.is_some_and(|d| self.unit.dims[d.index()].name == *n))
        {
            self.unit.schedule.batch = Some(*n);
        }
        Ok(())
    }

    fn count_of(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<u64> {
        let v = self.eval(e, scope)?;
        self.static_count(&v, e.span)
    }

    fn step_function(&mut self, body: &[TrainStmt], span: Span) -> Check<()> {
        let goals: Vec<Goal<'_>> = body
            .iter()
            .filter_map(|s| match s {
                TrainStmt::Minimize { maximize, loss, over, rule, every, span, .. } => {
                    Some(Goal { loss, over, rule, maximize: *maximize, every: every.as_ref(), span: *span })
                }
                _ => None,
            })
            .collect();
        for s in body {
            if let TrainStmt::Minimize { outputs: Some(l), .. } = s {
                return self.later(l.span, "`minimize ... where`");
            }
        }
        if goals.is_empty() {
            return fail(
                Diagnostic::error(Code::G0401, span, format!("`{}` trains nothing", self.unit.name))
                    .hint("add a line: `minimize LOSS over NET by RULE`"),
            );
        }
        self.mode = Mode { training: true, advance: true, ..Mode::default() };
        let scope = self.train_scope();
        for k in 0..self.definitions.len() {
            let name = self.definitions[k].names[0].clone();
            if scope.get(&name).is_none() {
                self.definition(&name, &scope)?;
            }
        }
        let mut losses = Vec::new();
        for (k, goal) in goals.iter().enumerate() {
            self.frames = vec![Frame { path: "loss".to_string(), ..Frame::default() }];
            let t = self.in_pass(&goal_pass(k), |elab| elab.eval_tensor(goal.loss, &scope))?;
            losses.push((
                self.mean_loss(t.clone(), false, goal.loss.span)?,
                self.mean_loss(t, goal.maximize, goal.loss.span)?,
            ));
        }
        let mut outputs = Vec::new();
        for (k, (goal, (_, descended))) in goals.iter().zip(&losses).enumerate() {
            self.goal(k, goal, descended, &scope, &mut outputs)?;
        }
        self.every_lines(body, &scope, &mut outputs)?;
        for (id, term) in std::mem::take(&mut self.next_states) {
            outputs.push((Output::State(id), term));
        }
        outputs.push((Output::Loss, losses[0].0.id));
        self.unit.names.push(("loss".to_string(), losses[0].0.id));
        self.frames.clear();
        self.unit.functions.push(Function { name: "step".to_string(), outputs });
        Ok(())
    }

    fn goal(
        &mut self,
        number: usize,
        goal: &Goal<'_>,
        loss: &super::value::Tensor,
        scope: &Rc<Scope>,
        outputs: &mut Vec<(Output, crate::program::TermId)>,
    ) -> Check<()> {
        let mut over = Vec::new();
        for e in goal.over {
            match self.eval(e, scope)? {
                Value::Instance(i) => over.extend(self.params_of(&i)),
                Value::Tensor(t) => match self.unit.terms[t.id.index()].op {
                    Op::Param(p) => over.push(p),
                    _ => {
                        return fail(Diagnostic::error(
                            Code::G0401,
                            e.span,
                            "this is no parameter, so it cannot be trained",
                        ));
                    }
                },
                other => {
                    return fail(
                        Diagnostic::error(Code::G0401, e.span, format!("{} cannot be trained", other.what()))
                            .hint("name a net or a parameter"),
                    );
                }
            }
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
        let objective =
            Objective { loss: goal.loss.clone(), pass: goal_pass(number), negated: goal.maximize, over: over.clone() };
        let others = std::mem::take(&mut self.next_states);
        let next = self.apply_rules(&rules, w.clone(), g, Some(Rc::new(objective)), "", goal.span)?;
        let turn = goal.every.map(|e| self.turn(e, scope)).transpose()?;
        for ((p, leaf), own) in over.iter().zip(&next.leaves).zip(&w.leaves) {
            let t = self.spread_like(&leaf.value, &own.value, goal.span)?;
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

    /// Is it the turn of what happens every so many steps?
    fn turn(&mut self, every: &Expr, scope: &Rc<Scope>) -> Check<super::value::Tensor> {
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
    fn at_turn(
        &mut self,
        turn: Option<&super::value::Tensor>,
        next: &super::value::Tensor,
        now: &super::value::Tensor,
        span: Span,
    ) -> Check<super::value::Tensor> {
        let Some(turn) = turn else { return Ok(next.clone()) };
        let (next, axes) = self.align(now, next, (span, span))?;
        Ok(self.map_aligned(Fun::Select, &[turn.clone(), next, now.clone()], axes, span))
    }

    /// `every k steps { p' = ... }`: next values of states and parameters at their turn.
    fn every_lines(
        &mut self,
        body: &[TrainStmt],
        scope: &Rc<Scope>,
        outputs: &mut Vec<(Output, crate::program::TermId)>,
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

    fn every_line(
        &mut self,
        l: &crate::ast::Let,
        turn: &super::value::Tensor,
        scope: &Rc<Scope>,
        outputs: &mut Vec<(Output, crate::program::TermId)>,
    ) -> Check<()> {
        let (name, span) = (&l.targets[0].name, l.value.span);
        let now = self.eval(&name_expr(name), scope)?;
        let v = self.let_value(l, scope)?;
        let (Value::Tensor(now), next) = (now, self.tensor(&v, span)?) else {
            return fail(Diagnostic::error(
                Code::G0107,
                name.span,
                format!("`{}` is neither a state nor a parameter", name.name),
            ));
        };
        let next = self.spread_like(&next, &now, span)?;
        match self.unit.terms[now.id.index()].op {
            Op::State(id) => {
                // What another line gives as the next value holds at other steps.
                let before = self.next_states.get(&id).copied().unwrap_or(now.id);
                let before = super::value::Tensor { id: before, axes: now.axes.clone() };
                let t = self.at_turn(Some(turn), &next, &before, span)?;
                self.next_states.insert(id, t.id);
            }
            Op::Param(p) => {
                let known = outputs.iter().position(|(o, _)| *o == Output::Param(p));
                let before =
                    super::value::Tensor { id: known.map_or(now.id, |k| outputs[k].1), axes: now.axes.clone() };
                let t = self.at_turn(Some(turn), &next, &before, span)?;
                match known {
                    Some(k) => outputs[k].1 = t.id,
                    None => outputs.push((Output::Param(p), t.id)),
                }
            }
            _ => {
                let message = format!("`{}` is neither a state nor a parameter", name.name);
                return fail(Diagnostic::error(Code::G0107, name.span, message).hint("only these have next values"));
            }
        }
        scope.set(format!("{}'", name.name), Value::Tensor(next));
        Ok(())
    }

    fn report_functions(&mut self, reports: &[(&ReportDecl, bool)]) -> Check<()> {
        let mut functions: BTreeMap<String, Vec<(Output, crate::program::TermId)>> = BTreeMap::new();
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
            let evaluated = self.in_pass(&report.name.name, |elab| elab.eval_tensor(&report.value, &scope));
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

    /// A trained net as a function of arrays, where the types of its arguments are known.
    fn net_function(&mut self, instance: &Rc<Instance>) -> Check<()> {
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
            pairs.push((
                param.name.name.clone(),
                Value::Tensor(super::value::Tensor { id: term, axes }),
                param.name.span,
            ));
        }
        let before = self.unit.params.len();
        let Ok((Value::Tensor(t), _)) = self.run_net(instance, pairs, instance.net.decl.span) else { return Ok(()) };
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
    pub fn check_unit(mut self, decl: &CheckDecl) -> Check<Unit> {
        let scope = Scope::inside(&self.globals.clone());
        let Body { stmts, value, span } = &decl.body;
        for stmt in stmts {
            self.stmt(stmt, &scope)?;
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
        Ok(self.unit)
    }
}

fn name_expr(name: &crate::ast::Ident) -> Expr {
    Expr { kind: Box::new(ExprKind::Name { name: name.name.clone(), primed: false }), span: name.span }
}

/// The name of a loss for its draws.
fn goal_pass(number: usize) -> String {
    format!("loss {number}")
}

/// The nearest scope of a train block's lines.
fn block_scope(scope: &Rc<Scope>) -> Option<Rc<Scope>> {
    Scope::nearest(scope, "<block>")
}

/// The names that a statement defines, and its place.
fn defined(stmt: &Stmt) -> (Vec<String>, Span) {
    match stmt {
        Stmt::Let(l) if l.targets.iter().all(|t| t.primed) => {
            (l.targets.iter().map(|t| format!("{}'", t.name.name)).collect(), l.span)
        }
        Stmt::Let(l) => (l.targets.iter().map(|t| t.name.name.clone()).collect(), l.span),
        Stmt::Param(d) | Stmt::Const(d) => (vec![d.name.name.clone()], d.name.span),
        Stmt::State(ds) => (ds.iter().map(|d| d.name.name.clone()).collect(), ds[0].name.span),
        Stmt::Sample { name, span, .. } => (vec![name.name.clone()], *span),
        Stmt::Each { span, .. } => (vec![], *span),
        Stmt::For { var, span, .. } => (vec![var.name.clone()], *span),
    }
}
