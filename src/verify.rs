//! The same steps on several devices, and how far apart they are.
//! Law: all start from the same values, draw the same numbers and see the same batches; nothing is brought together again
//! between steps.

use crate::checks::Runs;
use crate::model::{Error, Model};
use gannet_compiler::build::build;
use gannet_compiler::grad::differentiate;
use gannet_compiler::graph::{Graph, Tables};
use gannet_lang::diag::Diagnostic;
use gannet_lang::program::{InputId, Output, ParamId, StateId, Unit, UnitKind};
use gannet_runtime::device::{Bound, Choice};
use gannet_runtime::reference::{Env, diagnose, eval};
use gannet_runtime::session::{Options, Session};
use gannet_runtime::train::{Quiet, evaluate, train_looked_at};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Who computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The reference evaluator, in double precision.
    Reference,
    /// Machine code.
    Cpu,
    /// Shaders.
    Gpu,
}

/// What a way computed, step by step: values by name.
#[derive(Default)]
pub struct Trace {
    steps: Vec<BTreeMap<String, Vec<f64>>>,
    reports: BTreeMap<String, Vec<f64>>,
}

/// How far one way is from the first, in one value.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The loss, a parameter, a state or a report.
    pub name: String,
    /// The largest difference of an entry, relative to the value's largest entry.
    pub largest: f64,
    /// The step after which it was that large; `None`: a report after the last step.
    pub step: Option<usize>,
    /// The first step after which it was beyond the bound.
    pub beyond: Option<usize>,
}

impl Model {
    /// Runs a block's steps in several ways; how far each is from the first, by name, largest first.
    ///
    /// # Errors
    /// What stops a run.
    pub fn verify(
        &self,
        name: Option<&str>,
        options: &Options,
        ways: &[Way],
        bound: f64,
    ) -> Result<Vec<(Way, Vec<Difference>)>, Error> {
        let unit = self.unit(name, &options.hypers)?;
        let wanted = |way| ways.contains(&way);
        let (cpu, reference) = self.trace(&unit, options, Choice::Cpu, wanted(Way::Reference))?;
        let gpu = if wanted(Way::Gpu) { self.trace(&unit, options, Choice::Gpu, false)?.0 } else { Trace::default() };
        let of = |way: Way| match way {
            Way::Reference => &reference,
            Way::Cpu => &cpu,
            Way::Gpu => &gpu,
        };
        let Some((first, rest)) = ways.split_first() else { return Ok(Vec::new()) };
        Ok(rest.iter().map(|way| (*way, differences(of(*first), of(*way), bound))).collect())
    }

    /// What a device computes, and what the reference evaluator does on the same batches.
    fn trace(&self, unit: &Unit, options: &Options, device: Choice, exact: bool) -> Result<(Trace, Trace), Error> {
        let options = Options { device, ..options.clone() };
        let mut inner = options.clone();
        inner.hypers.clear();
        let runs = &mut Runs::default();
        let mut session = self.session_with_runs(unit.clone(), &options, &inner, runs)?;
        let mut own = Trace::default();
        let mut reference = exact.then(|| Reference::new(&session));
        let outcome = if unit.kind == UnitKind::Train {
            let mut look = |session: &Session, bound: &Bound, function: &str| {
                own.steps.push(state(session, bound));
                reference.as_mut().map_or(Ok(()), |r| r.step(session, bound, function))
            };
            train_looked_at(&mut session, &mut Quiet, &AtomicBool::new(false), Some(&mut look))
        } else {
            evaluate(&mut session, &mut Quiet)
        };
        let outcome = outcome.map_err(|d| self.error(d))?;
        own.reports = outcome.reports.into_iter().collect();
        let reference = match reference {
            Some(mut r) => {
                r.reports(&mut session).map_err(|d| self.error(d))?;
                r.trace
            }
            None => Trace::default(),
        };
        Ok((own, reference))
    }
}

fn parameter(unit: &Unit, p: ParamId) -> String {
    format!("parameter {}", unit.params[p.index()].name)
}

fn state_of(unit: &Unit, s: StateId) -> String {
    format!("state {}", unit.states[s.index()].name)
}

/// The state of a session after a step.
fn state(session: &Session, bound: &Bound) -> BTreeMap<String, Vec<f64>> {
    let unit = &session.unit;
    let params = (0..unit.params.len()).map(|k| (parameter(unit, ParamId::new(k)), session.param(k).1));
    let states = (0..unit.states.len()).map(|k| (state_of(unit, StateId::new(k)), session.state(k)));
    let loss = bound.values(&Output::Loss).map(|x| ("loss".to_string(), x));
    params.chain(states).chain(loss).collect()
}

/// The reference evaluator beside a run.
struct Reference {
    env: Env,
    graphs: BTreeMap<String, Graph>,
    trace: Trace,
}

impl Reference {
    fn new(session: &Session) -> Reference {
        // Sizes and inputs come with each function that runs.
        let env = session.leaves(Vec::new(), Vec::new());
        Reference { env, graphs: BTreeMap::new(), trace: Trace::default() }
    }

    /// The outputs of a function, on what the run saw, in the declared orders of axes.
    fn outputs(
        &mut self,
        session: &Session,
        bound: &Bound,
        function: &str,
    ) -> Result<Vec<(Output, Vec<f64>)>, Diagnostic> {
        let unit = &session.unit;
        let graph = self.graphs.entry(function.to_string()).or_insert_with(|| {
            let found = unit.function(function).expect("what ran is a function of the unit");
            differentiate(&build(unit, found, Arc::new(Tables::of(unit))))
        });
        let sizes: Vec<usize> = bound.sizes().iter().map(|n| *n as usize).collect();
        let inputs = (0..unit.inputs.len()).map(|k| bound.input(InputId::new(k)).unwrap_or_default());
        let (inputs, hypers, step) = (inputs.collect(), session.hypers.clone(), session.step as f64);
        self.env = Env { sizes, inputs, hypers, step, ..std::mem::take(&mut self.env) };
        let found = eval(graph, &self.env).map_err(|fault| diagnose(&fault, graph))?;
        let axes = |o: &Output| match o {
            Output::Param(p) => unit.params[p.index()].ty.axes.clone(),
            Output::State(s) => unit.states[s.index()].ty.axes.clone(),
            Output::Report(k) => unit.reports[*k].ty.axes.clone(),
            Output::Loss | Output::Value(_) => Vec::new(),
        };
        Ok(found.into_iter().map(|(o, t)| (o.clone(), t.ordered(&axes(&o)))).collect())
    }

    fn step(&mut self, session: &Session, bound: &Bound, function: &str) -> Result<(), Diagnostic> {
        let mut values = BTreeMap::new();
        for (output, x) in self.outputs(session, bound, function)? {
            match output {
                Output::Param(p) => self.env.params[p.index()] = x,
                Output::State(s) => self.env.states[s.index()] = x,
                Output::Loss => drop(values.insert("loss".to_string(), x)),
                Output::Report(_) | Output::Value(_) => {}
            }
        }
        let unit = &session.unit;
        let params = self.env.params.iter().enumerate().map(|(k, x)| (parameter(unit, ParamId::new(k)), x.clone()));
        let states = self.env.states.iter().enumerate().map(|(k, x)| (state_of(unit, StateId::new(k)), x.clone()));
        values.extend(params.chain(states));
        self.trace.steps.push(values);
        Ok(())
    }

    fn reports(&mut self, session: &mut Session) -> Result<(), Diagnostic> {
        let named = session.unit.functions.iter().filter(|f| f.name.starts_with("report") && !f.outputs.is_empty());
        let names: Vec<String> = named.map(|f| f.name.clone()).collect();
        for name in names {
            let rows = session.report_rows(&name);
            let bound = session.bind(&name, rows)?;
            for (output, x) in self.outputs(session, &bound, &name)? {
                if let Output::Report(k) = output {
                    self.trace.reports.insert(session.unit.reports[k].name.clone(), x);
                }
            }
        }
        Ok(())
    }
}

/// How far apart two values are: the largest difference of an entry, relative to the largest entry.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let size = a.iter().chain(b).filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    let one = |(x, y): (&f64, &f64)| if x == y || (x.is_nan() && y.is_nan()) { 0.0 } else { (x - y).abs() };
    let most = a.iter().zip(b).map(one).fold(0.0f64, |m, x| if x.is_nan() { f64::INFINITY } else { m.max(x) });
    if most == 0.0 { 0.0 } else { most / size.max(f64::MIN_POSITIVE) }
}

fn differences(first: &Trace, other: &Trace, bound: f64) -> Vec<Difference> {
    let mut all: BTreeMap<String, Difference> = BTreeMap::new();
    let mut note = |name: &str, step: Option<usize>, a: &[f64], b: &[f64]| {
        let new = || Difference { name: name.to_string(), largest: 0.0, step, beyond: None };
        let d = all.entry(name.to_string()).or_insert_with(new);
        let far = apart(a, b);
        if far > d.largest {
            (d.largest, d.step) = (far, step);
        }
        // A report stands after all steps.
        let at = step.unwrap_or(first.steps.len());
        if far > bound && d.beyond.is_none() {
            d.beyond = Some(at);
        }
    };
    for (k, (a, b)) in first.steps.iter().zip(&other.steps).enumerate() {
        for (name, x) in a {
            note(name, Some(k + 1), x, b.get(name).map_or(&[], Vec::as_slice));
        }
    }
    for (name, x) in &first.reports {
        note(&format!("report {name}"), None, x, other.reports.get(name).map_or(&[], Vec::as_slice));
    }
    let mut all: Vec<Difference> = all.into_values().collect();
    all.sort_by(|a, b| b.largest.total_cmp(&a.largest).then(a.name.cmp(&b.name)));
    all
}
