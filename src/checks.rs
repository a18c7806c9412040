//! Running the checks of a model: train what they need, then evaluate their conditions with the reference evaluator.
//! Law: a run is known by its train block and arguments, so checks share it, and runs may be made in any order.

use crate::model::{Error, Model};
use gannet_compiler::CompileOptions;
use gannet_lang::program::{Output, Run as NeededRun};
use gannet_runtime::reference::{self, Env};
use gannet_runtime::session::Options;
use std::collections::BTreeMap;

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

/// The reports of a finished run, by name; with them its last `loss`, and whether all losses were `finite`.
pub type Reports = BTreeMap<String, f64>;

/// Finished runs, by train block and arguments.
#[derive(Clone, Debug, Default)]
pub struct Runs(BTreeMap<String, Result<Reports, Error>>);

impl Runs {
    /// Notes what became of a run.
    pub fn add(&mut self, run: &NeededRun, reports: Result<Reports, Error>) {
        self.0.insert(key(run), reports);
    }
}

fn key(run: &NeededRun) -> String {
    format!("{}{:?}", run.train, run.args)
}

impl Model {
    /// Runs every check of the file, one run after another.
    ///
    /// # Errors
    /// Whatever stops a run that a check needs.
    pub fn run_checks(&self, options: &Options) -> Result<Vec<CheckResult>, Error> {
        let mut runs = Runs::default();
        for run in self.needed_runs() {
            runs.add(&run, self.reports_of(&run, options));
        }
        (0..self.checked().program.checks.len()).map(|k| self.evaluate_check(k, &runs, options)).collect()
    }

    /// The runs that the checks need, each once, in the order in which they are asked for.
    pub fn needed_runs(&self) -> Vec<NeededRun> {
        let mut seen = std::collections::BTreeSet::new();
        let all = self.checked().program.checks.iter().flat_map(|check| &check.runs);
        all.filter(|run| seen.insert(key(run))).cloned().collect()
    }

    /// Evaluates a check, by its number in the program, from finished runs.
    ///
    /// # Errors
    /// What stopped a run that it needs; what stops its own evaluation.
    pub fn evaluate_check(&self, number: usize, runs: &Runs, options: &Options) -> Result<CheckResult, Error> {
        let check = &self.checked().program.checks[number];
        let mut reports = Vec::new();
        for run in &check.runs {
            match runs.0.get(&key(run)) {
                Some(Ok(found)) => reports.push(found),
                Some(Err(error)) => return Err(error.clone()),
                None => panic!("evaluate_check: the run {} was not made", key(run)),
            }
        }
        let compile = CompileOptions { rewrites: false, ..options.compile.clone() };
        let graph = self.stages(check, "check", &compile).differentiated;
        let env = Env::for_check(check, &graph, |run, name| reports[run.index()].get(name).copied());
        let values = reference::eval(&graph, &env).map_err(|fault| self.error(reference::diagnose(&fault, &graph)))?;
        let value = |name: &str| {
            values
                .iter()
                .find(|(o, _)| *o == Output::Value(name.to_string()))
                .and_then(|(_, v)| v.data.first().copied())
        };
        let passed = value("condition") == Some(1.0);
        let sides = value("left").zip(value("right"));
        Ok(CheckResult { text: check.name.clone(), passed, sides })
    }

    /// Makes a run and gives its reports.
    ///
    /// # Errors
    /// Whatever stops it.
    pub fn reports_of(&self, run: &NeededRun, options: &Options) -> Result<Reports, Error> {
        let mut options = options.clone();
        for (name, value) in &run.args {
            match name.as_str() {
                "seed" => options.seed = *value as u64,
                _ => options.hypers.push((name.clone(), *value)),
            }
        }
        let run = self.train(&run.train, &options)?;
        let mut values: Reports =
            run.outcome.reports.iter().filter_map(|(n, v)| v.first().map(|x| (n.clone(), *x))).collect();
        let loss = run.outcome.losses.last().copied().map_or(f64::NAN, f64::from);
        values.entry("loss".to_string()).or_insert(loss);
        let finite = run.outcome.losses.iter().all(|l| l.is_finite());
        values.entry("finite".to_string()).or_insert(f64::from(u8::from(finite)));
        Ok(values)
    }
}
