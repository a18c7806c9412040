//! Running the checks of a model: train what they need, then evaluate their conditions with the reference evaluator.
//! Law: runs are cached by their arguments, so checks share them.

use crate::model::{Error, Model};
use gannet_compiler::CompileOptions;
use gannet_lang::program::{Output, Run as NeededRun, Unit};
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

/// Reports of finished runs, by train block and arguments.
#[derive(Default)]
struct Cache(BTreeMap<String, BTreeMap<String, f64>>);

impl Model {
    /// Runs every check of the file.
    ///
    /// # Errors
    /// Whatever stops a run that a check needs.
    pub fn run_checks(&self, options: &Options) -> Result<Vec<CheckResult>, Error> {
        let mut cache = Cache::default();
        let checks = self.checked().program.checks.clone();
        checks.iter().map(|check| self.run_check(check, options, &mut cache)).collect()
    }

    fn run_check(&self, check: &Unit, options: &Options, cache: &mut Cache) -> Result<CheckResult, Error> {
        let mut reports = Vec::new();
        for run in &check.runs {
            reports.push(self.reports_of(run, options, cache)?);
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

    fn reports_of(
        &self,
        run: &NeededRun,
        options: &Options,
        cache: &mut Cache,
    ) -> Result<BTreeMap<String, f64>, Error> {
        let key = format!("{}{:?}", run.train, run.args);
        if let Some(found) = cache.0.get(&key) {
            return Ok(found.clone());
        }
        let mut options = options.clone();
        for (name, value) in &run.args {
            match name.as_str() {
                "seed" => options.seed = *value as u64,
                _ => options.hypers.push((name.clone(), *value)),
            }
        }
        let run = self.train(&run.train, &options)?;
        let mut values: BTreeMap<String, f64> =
            run.outcome.reports.iter().filter_map(|(n, v)| v.first().map(|x| (n.clone(), *x))).collect();
        let loss = run.outcome.losses.last().copied().map_or(f64::NAN, f64::from);
        values.entry("loss".to_string()).or_insert(loss);
        let finite = run.outcome.losses.iter().all(|l| l.is_finite());
        values.entry("finite".to_string()).or_insert(f64::from(u8::from(finite)));
        cache.0.insert(key, values.clone());
        Ok(values)
    }
}
