//! Running the checks of a model: train what they need, then evaluate their conditions, compiled in double precision.
//! Law: runs are cached by their arguments, so checks and tasks share them; a plan that is asked for is not run.

use crate::model::{Error, Model};
use crate::run::Run;
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{DimId, InputId, Output, Part, Run as NeededRun, RunId, Size, Unit, UnitKind};
use gannet_runtime::device::Choice;
use gannet_runtime::session::{Options, Session};
use gannet_runtime::train::Quiet;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

/// What became of a check.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// What it claims.
    pub text: String,
    /// Does it hold?
    pub passed: bool,
    /// The two sides of its comparison, if it is one of numbers.
    pub sides: Option<(f64, f64)>,
}

/// Finished runs, by train block and arguments.
#[derive(Default)]
pub(crate) struct Runs(BTreeMap<String, Rc<Run>>);

impl Model {
    /// Runs every check of the file, one run after another.
    ///
    /// # Errors
    /// Whatever stops a run that a check needs.
    pub fn run_checks(&self, options: &Options) -> Result<Vec<CheckResult>, Error> {
        self.check_results(options).into_iter().map(|(_, result)| result).collect()
    }

    /// What became of each check, by its text; one that does not run leaves the others alone.
    pub fn check_results(&self, options: &Options) -> Vec<(String, Result<CheckResult, Error>)> {
        let mut runs = Runs::default();
        let checks = self.checked().program.checks.clone();
        checks.iter().map(|check| (check.name.clone(), self.run_check(check, options, &mut runs))).collect()
    }

    fn run_check(&self, check: &Unit, options: &Options, runs: &mut Runs) -> Result<CheckResult, Error> {
        let own = Options { double: true, device: Choice::Cpu, hypers: vec![], ..options.clone() };
        let mut session = self.session_with_runs(check.clone(), &own, options, runs)?;
        let mut bound = session.bind("check", 1).map_err(|d| self.error(d))?;
        session.run(&mut bound).map_err(|d| self.error(d))?;
        let value = |name: &str| bound.scalar(&Output::Value(name.to_string()));
        let passed = value("condition") == Some(1.0);
        let sides = value("left").zip(value("right"));
        Ok(CheckResult { text: check.name.clone(), passed, sides })
    }

    /// A unit compiled and bound, with the runs that it reads: made with `options`, while its own are `own`.
    pub(crate) fn session_with_runs(
        &self,
        unit: Unit,
        own: &Options,
        options: &Options,
        runs: &mut Runs,
    ) -> Result<Session, Error> {
        if unit.runs.is_empty() && unit.kind != UnitKind::Check {
            return self.session(unit, own);
        }
        let mut finished: BTreeMap<usize, Rc<Run>> = BTreeMap::new();
        for (k, run) in unit.runs.iter().enumerate() {
            let read = |i: &gannet_lang::program::Input| matches!(&i.part, Part::Run(r, _) if r.index() == k);
            if unit.inputs.iter().any(read) || !run.params.is_empty() || !run.states.is_empty() {
                finished.insert(k, self.finished(run, options, runs)?);
            }
        }
        let (data, mut sizes) = self.load_data(&unit, own)?;
        for (k, dim) in unit.dims.iter().enumerate() {
            if dim.size == Size::Open
                && sizes.get(DimId::new(k)).is_none()
                && let Some(n) = finished.iter().find_map(|(run, done)| size_of(&dim.name, *run, done))
            {
                sizes.set(DimId::new(k), n);
            }
        }
        let mut own = own.clone();
        own.dims.retain(|(n, _)| unit.dims.iter().any(|d| d.name == *n));
        let mut session = Session::unset(unit, data, sizes, own).map_err(|d| self.error(d))?;
        self.give_runs(&mut session, &finished, options)?;
        // First values may be made of what runs trained.
        session.reset().map_err(|d| self.error(d))?;
        Ok(session)
    }

    /// Hands over what a unit reads of runs.
    fn give_runs(
        &self,
        session: &mut Session,
        finished: &BTreeMap<usize, Rc<Run>>,
        options: &Options,
    ) -> Result<(), Error> {
        for (k, run) in session.unit.runs.clone().iter().enumerate() {
            let Some(done) = finished.get(&k) else { continue };
            for (own, theirs) in &run.params {
                session.set_param(own.index(), &done.session.param(*theirs).1);
            }
            for (own, theirs) in &run.states {
                session.set_state(own.index(), &done.session.state(*theirs));
            }
        }
        let inputs = session.unit.inputs.clone();
        let mut plans: BTreeMap<RunId, [f64; 4]> = BTreeMap::new();
        for (k, input) in inputs.iter().enumerate() {
            let values = match &input.part {
                Part::Run(run, name) => finished[&run.index()].value(name),
                Part::Plan(run, name) => {
                    if !plans.contains_key(run) {
                        plans.insert(*run, self.plan_facts(&session.unit.runs[run.index()].clone(), options)?);
                    }
                    let place = ["kernels", "flops", "bytes", "peak"].iter().position(|n| n == name);
                    vec![plans[run][place.expect("a checked field of a plan")]]
                }
                _ => continue,
            };
            session.give(InputId::new(k), &values).map_err(|d| self.error(d))?;
        }
        Ok(())
    }

    /// A run, made now or before.
    fn finished(&self, needed: &NeededRun, options: &Options, runs: &mut Runs) -> Result<Rc<Run>, Error> {
        let key = format!("{}{:?}{}", needed.train, needed.args, needed.rewrites);
        if let Some(found) = runs.0.get(&key) {
            return Ok(found.clone());
        }
        let options = options_of(needed, options);
        let unit = self.unit(Some(&needed.train), &options.hypers)?;
        let run = self.run_unit(unit, &options, runs, &mut Quiet, &AtomicBool::new(false))?;
        let run = Rc::new(run);
        runs.0.insert(key, run.clone());
        Ok(run)
    }

    /// Kernels, flops, bytes and peak memory of the compiled step of a run (or of a task's reports).
    fn plan_facts(&self, needed: &NeededRun, options: &Options) -> Result<[f64; 4], Error> {
        let options = Options { device: Choice::Cpu, ..options_of(needed, options) };
        let unit = self.unit(Some(&needed.train), &options.hypers)?;
        let function = if unit.function("step").is_some() { "step" } else { "report" };
        if unit.function(function).is_none() {
            let message = format!("`{}` computes nothing, so it has no plan", unit.name);
            return Err(self.error(Diagnostic::error(Code::G0404, needed.span, message)));
        }
        let mut session = self.session_with_runs(unit, &options, &options, &mut Runs::default())?;
        session.plan_facts(function).map_err(|d| self.error(d))
    }
}

/// The options of a run: the caller's, with its arguments.
fn options_of(run: &NeededRun, options: &Options) -> Options {
    let mut options = options.clone();
    options.compile.rewrites &= run.rewrites;
    for (name, value) in &run.args {
        match name.as_str() {
            "seed" => options.seed = *value as u64,
            _ => options.hypers.push((name.clone(), *value)),
        }
    }
    options
}

/// The size that a run gives to a dim of the unit that reads it.
fn size_of(name: &str, k: usize, run: &Run) -> Option<u64> {
    if name == format!("{}.step", RunId::new(k)) {
        return Some(run.outcome.losses.len() as u64);
    }
    let place = run.session.unit.dims.iter().position(|d| d.name == name)?;
    run.session.size(DimId::new(place))
}
