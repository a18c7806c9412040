//! Runs as values: what a check or task reads of a train block that was run with certain arguments.
//! Law: a run is elaborated once for each choice of its arguments; what is read of it has the type that it has there.

use super::train::CallPaths;
use super::value::{Instance, Leaf, Net, Scope, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, Ident, TrainStmt};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{
    Axis, Dim, DimId, Elem, Input, InputId, Op, Param, ParamId, Part, Run, RunId, Size, SizeExpr, State, StateId, Ty,
    Unit, UnitKind,
};
use std::rc::Rc;

/// A state of a rule of a unit: a tensor, or one tensor for each leaf of the trained tree.
#[derive(Clone, Debug)]
pub struct RuleState {
    /// The rule: `adam`, `sam.sgd`.
    pub rule: String,
    /// The state's name.
    pub name: String,
    /// Each with the leaf that it belongs to; a state with a type of its own has one without a leaf.
    pub tensors: Vec<(Option<Leaf>, StateId)>,
}

/// A unit with what is needed to call its nets from another one.
#[derive(Clone, Debug)]
pub struct Elaborated {
    pub unit: Unit,
    pub call_paths: CallPaths,
    pub rule_states: Vec<RuleState>,
}

/// What `plan(x)` says.
const PLAN_FIELDS: [&str; 4] = ["kernels", "flops", "bytes", "peak"];

impl Elab<'_> {
    /// `digits_mlp(lr = 1e-2, seed = 3)`.
    pub fn call_program(&mut self, name: &str, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let mut params = self.items.program_params(name);
        params.push("seed".to_string());
        let mut given: Vec<(String, f64)> = Vec::new();
        for (k, arg) in args.iter().enumerate() {
            let key = match &arg.name {
                Some(n) => n.name.clone(),
                None => params.get(k).cloned().unwrap_or_default(),
            };
            let at = arg.name.as_ref().map_or(arg.value.span, |n| n.span);
            if !params.contains(&key) {
                let d = Diagnostic::error(Code::G0301, at, format!("`{name}` has no argument `{key}`"));
                return fail(d.hint(format!("its arguments are {}", params.join(", "))));
            }
            if given.iter().any(|(n, _)| *n == key) {
                return fail(Diagnostic::error(Code::G0301, at, format!("the argument `{key}` is given twice")));
            }
            let v = self.eval(&arg.value, scope)?;
            given.push((key, self.static_num(&v, arg.value.span)?));
        }
        // The order in which arguments are named does not make another run.
        given.sort_by_key(|(n, _)| params.iter().position(|p| p == n));
        Ok(self.run(name, given, true, span))
    }

    /// The run of these arguments, found or added.
    fn run(&mut self, train: &str, args: Vec<(String, f64)>, rewrites: bool, span: Span) -> Value {
        let same = |r: &Run| r.train == train && r.args == args && r.rewrites == rewrites;
        Value::Run(match self.unit.runs.iter().position(same) {
            Some(k) => k,
            None => {
                let (params, states) = (vec![], vec![]);
                self.unit.runs.push(Run { train: train.to_string(), args, rewrites, params, states, span });
                self.unit.runs.len() - 1
            }
        })
    }

    /// `x with rewrites off`.
    pub fn unoptimized(&mut self, k: usize, span: Span) -> Value {
        let Run { train, args, .. } = self.unit.runs[k].clone();
        self.run(&train, args, false, span)
    }

    /// `plan(x)`: the compiled plan of a run's step, or of a task.
    pub fn plan_of(&mut self, v: &Value, span: Span) -> Check<Value> {
        match v {
            Value::Run(k) => Ok(Value::Plan(*k)),
            Value::Program(name) => match self.run(name, vec![], true, span) {
                Value::Run(k) => Ok(Value::Plan(k)),
                _ => unreachable!("a run is a run"),
            },
            other => fail(
                Diagnostic::error(Code::G0302, span, format!("{} has no plan", other.what()))
                    .hint("a train block or task has one: `plan(digits_mlp()).kernels`"),
            ),
        }
    }

    /// `plan(x).kernels`.
    pub fn plan_field(&mut self, k: usize, field: &Ident, span: Span) -> Check<Value> {
        if !PLAN_FIELDS.contains(&field.name.as_str()) {
            let known = PLAN_FIELDS.iter().map(ToString::to_string).collect();
            return fail(self.no_field(&field.name, field.span, known));
        }
        self.elaborated(k)?;
        let part = Part::Plan(RunId::new(k), field.name.clone());
        Ok(Value::Tensor(self.run_input(part, Elem::Real, vec![], span)))
    }

    /// The unit of a run.
    fn elaborated(&mut self, k: usize) -> Check<Rc<Elaborated>> {
        let Run { train, args, span, .. } = &self.unit.runs[k];
        super::program::elaborated(self.items, self.options, train, args).map_err(|found| {
            let first = found.0.into_iter().next().expect("a refusal has a reason");
            Box::new(Diagnostic { span: first.span.or(Some(*span)), ..first })
        })
    }

    /// `run.accuracy`, `run.loss[step]`, `run.f`, `run.adam.m`.
    pub fn run_field(&mut self, k: usize, field: &Ident, span: Span) -> Check<Value> {
        let run = self.elaborated(k)?;
        let name = &field.name;
        let part = || Part::Run(RunId::new(k), name.clone());
        if let Some(report) = run.unit.reports.iter().find(|r| r.name == *name) {
            let axes = report.ty.axes.iter().map(|a| self.axis_of(&run.unit, *a)).collect();
            let elem = self.elem_of(&run.unit, report.ty.elem);
            return Ok(Value::Tensor(self.run_input(part(), elem, axes, span)));
        }
        let trains = run.unit.kind == UnitKind::Train;
        if trains && name == "loss" {
            let dim = self.steps_dim(&run.unit, k);
            return Ok(Value::Tensor(self.run_input(part(), Elem::Real, vec![Axis { dim, ix: 0 }], span)));
        }
        if trains && name == "finite" {
            return Ok(Value::Tensor(self.run_input(part(), Elem::Bool, vec![], span)));
        }
        if let Some(net) = self.run_net_line(k, &run, name)? {
            return Ok(net);
        }
        if let Some(p) = run.unit.params.iter().position(|p| p.name == *name) {
            let p = self.run_param(k, &run.unit, p);
            return Ok(Value::Tensor(self.param_value(p, span)));
        }
        if let Some(s) = run.unit.states.iter().position(|s| s.name == *name) {
            let s = self.run_state(k, &run.unit, s);
            return Ok(Value::Tensor(self.state_value(s, span)));
        }
        if let Some(record) = self.rule_record(&run.rule_states, name, Some((k, &run.unit)), span) {
            return Ok(record);
        }
        let mut known: Vec<String> = run.unit.reports.iter().map(|r| r.name.clone()).collect();
        if trains {
            known.extend(["loss".to_string(), "finite".to_string()]);
        }
        known.extend(self.net_lines(k).into_iter().map(|(n, _)| n));
        fail(self.no_field(name, field.span, known))
    }

    /// `run.loss.last`, if the tensor is the loss of a run's steps.
    pub fn last_loss(&mut self, t: &Tensor, span: Span) -> Option<Tensor> {
        let Op::Input(i) = self.unit.terms[t.id.index()].op else { return None };
        match &self.unit.inputs[i.index()].part {
            Part::Run(run, name) if name == "loss" && t.axes.len() == 1 => {
                let part = Part::Run(*run, "loss.last".to_string());
                Some(self.run_input(part, Elem::Real, vec![], span))
            }
            _ => None,
        }
    }

    /// The states of a rule as a record: of this unit, or of a run's.
    pub fn rule_record(
        &mut self,
        states: &[RuleState],
        rule: &str,
        run: Option<(usize, &Unit)>,
        span: Span,
    ) -> Option<Value> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        for state in states.iter().filter(|s| s.rule == rule) {
            let mut leaves = Vec::new();
            for (leaf, id) in &state.tensors {
                let id = run.map_or(*id, |(k, unit)| self.run_state(k, unit, id.index()));
                let value = self.state_value(id, span);
                match leaf {
                    Some(leaf) => leaves.push(Leaf { value, param: None, ..leaf.clone() }),
                    None => fields.push((state.name.clone(), Value::Tensor(value))),
                }
            }
            if !leaves.is_empty() {
                fields.push((state.name.clone(), Value::Tree(Tree { leaves })));
            }
        }
        let prefix = format!("{rule}.");
        let mut inner: Vec<String> = states
            .iter()
            .filter_map(|s| s.rule.strip_prefix(&prefix).and_then(|r| r.split('.').next()).map(str::to_string))
            .collect();
        inner.dedup();
        for name in inner {
            if let Some(record) = self.rule_record(states, &format!("{prefix}{name}"), run, span) {
                fields.push((name, record));
            }
        }
        (!fields.is_empty()).then_some(Value::Record(fields))
    }

    /// An input that holds a value of a run.
    fn run_input(&mut self, part: Part, elem: Elem, axes: Vec<Axis>, span: Span) -> Tensor {
        let ty = Ty { elem, axes: axes.clone() };
        let id = match self.unit.inputs.iter().position(|i| i.part == part) {
            Some(k) => InputId::new(k),
            None => {
                let name = match &part {
                    Part::Run(run, name) => format!("{run}.{name}"),
                    Part::Plan(run, name) => format!("plan({run}).{name}"),
                    _ => unreachable!("these are a run's"),
                };
                self.unit.inputs.push(Input { name, field: None, part, ty: ty.clone() });
                InputId::new(self.unit.inputs.len() - 1)
            }
        };
        Tensor { id: self.term(Op::Input(id), ty.elem, axes.clone(), span), axes }
    }

    /// The dim of a run's steps: named by their number if that is known.
    fn steps_dim(&mut self, unit: &Unit, k: usize) -> DimId {
        if let Some(n) = unit.total_steps() {
            return self.number_dim(n);
        }
        let name = format!("{}.step", RunId::new(k));
        match self.unit.dims.iter().position(|d| d.name == name) {
            Some(d) => DimId::new(d),
            None => self.add_dim(Dim { name, size: Size::Open, span: None }),
        }
    }

    fn net_lines(&self, k: usize) -> Vec<(String, crate::ast::Expr)> {
        let name = &self.unit.runs[k].train;
        let body = self.items.trains.iter().find(|t| t.name.name == *name).map(|t| &t.body);
        let body = body.or_else(|| self.items.tasks.iter().find(|t| t.name.name == *name).map(|t| &t.body));
        body.into_iter()
            .flatten()
            .filter_map(|s| match s {
                TrainStmt::Net { name, value, over } if over.is_empty() => Some((name.name.clone(), value.clone())),
                _ => None,
            })
            .collect()
    }

    /// A trained net of a run, which may be called.
    fn run_net_line(&mut self, k: usize, run: &Elaborated, name: &str) -> Check<Option<Value>> {
        let lines = self.net_lines(k);
        if !lines.iter().any(|(n, _)| n == name) {
            return Ok(None);
        }
        let scope = Scope::inside(&self.globals.clone());
        for hyper in &run.unit.hypers {
            scope.set(&hyper.name, Value::Num(hyper.default));
        }
        for (net, value) in lines {
            let mut v = self.eval(&value, &scope)?;
            if let Value::Net(Net { applied: false, .. }) = &v
                && let Value::Net(unapplied) = v
            {
                v = Value::Net(self.with_defaults(unapplied, value.span)?);
            }
            if let Value::Net(applied) = v {
                let path = format!("{}.{net}", RunId::new(k));
                v = Value::Instance(Rc::new(Instance { net: applied, path, frozen: true, at: vec![], family: vec![] }));
            }
            scope.set(&net, v.clone());
            if net == name {
                self.adopt(k, run, name);
                return Ok(Some(v));
            }
        }
        Ok(None)
    }

    /// Takes over the parameters and states of a run's net, and the paths of the instances inside it.
    fn adopt(&mut self, k: usize, run: &Elaborated, net: &str) {
        let prefix = format!("{net}.");
        for p in 0..run.unit.params.len() {
            if run.unit.params[p].name.starts_with(&prefix) {
                self.run_param(k, &run.unit, p);
            }
        }
        for s in 0..run.unit.states.len() {
            if run.unit.states[s].name.starts_with(&prefix) {
                self.run_state(k, &run.unit, s);
            }
        }
        let here = |path: &str| format!("{}.{path}", RunId::new(k));
        for ((around, place, passed), path) in &run.call_paths {
            if around == net || around.starts_with(&prefix) {
                self.call_paths.insert((here(around), *place, *passed), here(path));
            }
        }
    }

    /// The parameter of this unit that holds a trained one.
    fn run_param(&mut self, k: usize, unit: &Unit, p: usize) -> ParamId {
        let own = &unit.params[p];
        let name = format!("{}.{}", RunId::new(k), own.name);
        if let Some(found) = self.unit.params.iter().position(|p| p.name == name) {
            return ParamId::new(found);
        }
        let ty = self.type_of(unit, &own.ty);
        let id = ParamId::new(self.unit.params.len());
        // Its first value is the trained one, which is there before first values are made.
        let first = self.term(Op::Param(id), ty.elem, ty.axes.clone(), own.span);
        self.unit.params.push(Param { name, ty, role: own.role, span: own.span });
        self.first_params.push(first);
        self.unit.runs[k].params.push((id, p));
        id
    }

    /// The state of this unit that holds a run's last one.
    fn run_state(&mut self, k: usize, unit: &Unit, s: usize) -> StateId {
        let own = &unit.states[s];
        if let Some((id, _)) = self.unit.runs[k].states.iter().find(|(_, position)| *position == s) {
            return *id;
        }
        let ty = self.type_of(unit, &own.ty);
        let id = StateId::new(self.unit.states.len());
        let first = self.term(Op::State(id), ty.elem, ty.axes.clone(), own.span);
        let name = format!("{}.{}", RunId::new(k), own.name);
        self.unit.states.push(State { name, ty, span: own.span });
        self.first_states.push(first);
        self.unit.runs[k].states.push((id, s));
        id
    }

    fn type_of(&mut self, unit: &Unit, ty: &Ty) -> Ty {
        Ty { elem: self.elem_of(unit, ty.elem), axes: ty.axes.iter().map(|a| self.axis_of(unit, *a)).collect() }
    }

    fn axis_of(&mut self, unit: &Unit, axis: Axis) -> Axis {
        Axis { dim: self.dim_of(unit, axis.dim), ix: axis.ix }
    }

    fn elem_of(&mut self, unit: &Unit, elem: Elem) -> Elem {
        match elem {
            Elem::Index(d) => Elem::Index(self.dim_of(unit, d)),
            other => other,
        }
    }

    /// The dim of this unit that a dim of another unit of the same program is.
    fn dim_of(&mut self, unit: &Unit, dim: DimId) -> DimId {
        if dim.index() < self.items.dims.len() {
            return dim;
        }
        let other = unit.dims[dim.index()].clone();
        let size = match other.size {
            Size::Of(e) => Size::Of(self.size_in(unit, &e)),
            known => known,
        };
        match self.unit.dims.iter().position(|d| d.name == other.name && d.size == size) {
            Some(k) => DimId::new(k),
            None => self.add_dim(Dim { size, ..other }),
        }
    }

    fn size_in(&mut self, unit: &Unit, e: &SizeExpr) -> SizeExpr {
        match e {
            SizeExpr::Const(n) => SizeExpr::Const(*n),
            SizeExpr::Dim(d) => SizeExpr::Dim(self.dim_of(unit, *d)),
            SizeExpr::Add(a, b) => SizeExpr::Add(Box::new(self.size_in(unit, a)), Box::new(self.size_in(unit, b))),
            SizeExpr::Sub(a, b) => SizeExpr::Sub(Box::new(self.size_in(unit, a)), Box::new(self.size_in(unit, b))),
            SizeExpr::Mul(a, b) => SizeExpr::Mul(Box::new(self.size_in(unit, a)), Box::new(self.size_in(unit, b))),
            SizeExpr::Div(a, b) => SizeExpr::Div(Box::new(self.size_in(unit, a)), Box::new(self.size_in(unit, b))),
            SizeExpr::Mod(a, b) => SizeExpr::Mod(Box::new(self.size_in(unit, a)), Box::new(self.size_in(unit, b))),
        }
    }
}
