//! `gannet bench FILE [NAME]`: what the steps and the reports of a block of any file take.
//! Law: a time is one whole step, the batch's rows and the loss included; what is timed can be checked, for the
//! losses and some of the reports' entries are shown with it.

use super::{Clock, median_and_best, milliseconds, on_threads};
use crate::cli::args::{BenchArgs, Measured};
use gannet::lang::diag::Diagnostic;
use gannet::lang::program::{Output, UnitKind};
use gannet::runtime::train::{Observer, Progress, train};
use gannet::{Error, Model, Options};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// More steps than any measurement makes.
const MOST: u64 = 1_000_000;
/// Fewer say nothing of a median.
const LEAST: usize = 5;
/// Losses and entries of a report that are shown.
const SHOWN: usize = 10;

/// Measures a block's training steps, then each of its report functions.
///
/// # Errors
/// What is wrong with the file, its data or the run.
pub fn file(args: &BenchArgs, path: &Path) -> Result<(), Error> {
    let options = Options { dims: args.dims.clone(), ..on_threads(args) };
    let model = Model::from_file(path, &args.dims)?;
    let unit = model.unit(args.block.as_deref(), &[])?;
    let mut found = Vec::new();
    if unit.kind == UnitKind::Train && args.what != Some(Measured::Report) {
        found.push(steps(&model, args, &options)?);
    }
    if args.what != Some(Measured::Step) {
        found.extend(reports(&model, args, &options)?);
    }
    for mut line in found {
        if args.json {
            line["file"] = json!(path.display().to_string());
            line["block"] = json!(unit.name);
            line["by"] = json!("Gannet");
            line["unit"] = json!("ms");
            line["threads"] = json!(options.threads);
            say!("{line}");
        } else {
            let number = |key: &str| line[key].as_f64().unwrap_or(f64::NAN);
            let (what, value, best) = (line["what"].as_str().unwrap_or(""), number("value"), number("best"));
            let (runs, compile) = (number("runs"), number("compile"));
            say!("{what:16} median {value:.4} ms, best {best:.4} ms of {runs} runs; compiled in {compile:.3} s");
        }
    }
    Ok(())
}

/// Notes what each step takes, and ends the run when the time is up.
struct Watch<'a> {
    seconds: f64,
    /// Say when the first step is done.
    json: bool,
    clock: Clock,
    stop: &'a AtomicBool,
}

impl Observer for Watch<'_> {
    fn stepped(&mut self, progress: &Progress) {
        self.clock.stepped(progress);
        let done = self.clock.times.len();
        if self.json && done == 1 {
            say!("{}", json!({ "event": "first step" }));
        }
        if progress.elapsed.as_secs_f64() >= self.seconds && done >= LEAST {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

fn steps(model: &Model, args: &BenchArgs, options: &Options) -> Result<Value, Error> {
    let mut unit = model.unit(args.block.as_deref(), &[])?;
    unit.functions.retain(|f| !f.name.starts_with("report"));
    let options = Options { steps: Some(MOST), ..options.clone() };
    let mut session = model.session(unit, &options)?;
    let stop = AtomicBool::new(false);
    let mut watch = Watch { seconds: args.seconds, json: args.json, clock: Clock::default(), stop: &stop };
    let outcome = train(&mut session, &mut watch, &stop).map_err(|d| model.error(d))?;
    let compile: f64 = session.compile_time.iter().map(|(_, d)| d.as_secs_f64()).sum();
    let losses: Vec<f32> = outcome.losses.iter().copied().take(SHOWN).collect();
    let mut line = summary("step", watch.clock.times, compile);
    line["losses"] = json!(losses);
    Ok(line)
}

fn reports(model: &Model, args: &BenchArgs, options: &Options) -> Result<Vec<Value>, Error> {
    let unit = model.unit(args.block.as_deref(), &[])?;
    let named = unit.functions.iter().filter(|f| f.name.starts_with("report") && !f.outputs.is_empty());
    let outputs: Vec<(String, Output)> = named.map(|f| (f.name.clone(), f.outputs[0].0.clone())).collect();
    let mut session = model.session(unit, options)?;
    let mut lines = Vec::new();
    for (name, output) in outputs {
        let rows = session.report_rows(&name);
        let start = Instant::now();
        let mut bound = session.bind(&name, rows).map_err(|d| model.error(d))?;
        let compile = start.elapsed().as_secs_f64();
        let (pool, hypers) = (session.pool(), session.hypers.clone());
        let mut times = Vec::new();
        let start = Instant::now();
        let ran = pool.install(|| -> Result<(), Diagnostic> {
            while times.len() < LEAST || start.elapsed().as_secs_f64() < args.seconds {
                let begun = Instant::now();
                bound.run(&hypers, 1.0, options.seed, &mut session.store)?;
                times.push(milliseconds(begun));
                if args.json && times.len() == 1 {
                    say!("{}", json!({ "event": "first step" }));
                }
            }
            Ok(())
        });
        ran.map_err(|d| model.error(d))?;
        let mut line = summary(&name, times, compile);
        if let Output::Report(k) = output {
            let axes = session.unit.reports[k].ty.axes.clone();
            let values = bound.ordered(&output, &axes).unwrap_or_default();
            line["values"] = json!(spread(&values));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// Ten entries from all over; all of fewer.
fn spread(values: &[f64]) -> Vec<f64> {
    if values.len() < SHOWN {
        return values.to_vec();
    }
    (0..SHOWN).map(|k| values[k * values.len() / SHOWN]).collect()
}

/// Median and best without the first tenth, in which caches fill and threads wake.
fn summary(what: &str, mut times: Vec<f64>, compile: f64) -> Value {
    let warm = (times.len() / 10).max(2).min(times.len().saturating_sub(1));
    let counted = times.split_off(warm);
    let runs = counted.len();
    let (value, best) = median_and_best(counted);
    json!({ "what": what, "value": value, "best": best, "runs": runs, "compile": compile })
}
