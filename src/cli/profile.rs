//! `gannet profile`: where the time of training steps goes, kernel by kernel, with the source line of each.

use super::args::ProfileArgs;
use super::progress::{Style, Watcher};
use gannet::lang::diag::Sources;
use gannet::runtime::device::cpu::profile::KernelTime;
use gannet::{Error, Model, Options};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Steps that are measured, unless `--steps` says otherwise.
const STEPS: u64 = 50;

/// Trains some steps and shows what each kernel took.
///
/// # Errors
/// What `train` finds wrong.
pub fn profile(args: &ProfileArgs) -> Result<ExitCode, Error> {
    let model = Model::from_file(&args.file, &args.run.dims)?;
    let mut options = Options { profile: true, ..args.run.options() };
    if options.steps.is_none() && options.epochs.is_none() {
        options.steps = Some(STEPS);
    }
    let mut watcher = Watcher::new(Style::Quiet);
    let run = model.train_watched(args.name.as_deref(), &options, &mut watcher, &AtomicBool::new(false))?;
    for (function, times) in &run.outcome.profile {
        if args.json {
            show_json(function, times, model.sources());
        } else {
            show(function, times, model.sources());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(function: &str, times: &[KernelTime], sources: &Sources) {
    let steps = times.first().map_or(1, |t| t.calls).max(1);
    let all: Duration = times.iter().map(|t| t.time).sum();
    let each = all.as_secs_f64() * 1e3 / steps as f64;
    say!("{function}: {each:.3} ms a step, {steps} steps, {} kernels", times.len());
    say!("{:>9} {:>6} {:>9} {:>8}  {:11} {:24} computes", "ms", "share", "GFLOP/s", "GB/s", "kernel", "line");
    rows(times, steps, all, 0, sources);
}

/// The kernels, the longest first; those of a loop's step below it.
fn rows(times: &[KernelTime], steps: u64, all: Duration, depth: usize, sources: &Sources) {
    let mut order: Vec<&KernelTime> = times.iter().collect();
    order.sort_by_key(|t| std::cmp::Reverse(t.time));
    for t in order {
        let seconds = t.time.as_secs_f64().max(1e-12);
        let (flops, bytes) = (t.flops * t.calls as f64 / seconds * 1e-9, t.bytes * t.calls as f64 / seconds * 1e-9);
        let share = 100.0 * seconds / all.as_secs_f64().max(1e-12);
        let ms = seconds * 1e3 / steps as f64;
        let (file, line) = (sources.name(t.span.file), sources.position(t.span).0);
        let at = format!("{}:{line}", file.rsplit('/').next().unwrap_or(file));
        let form = format!("{}{}", "  ".repeat(depth), t.form);
        let name: String = t.name.chars().take(60).collect();
        say!("{ms:9.3} {share:5.1}% {flops:9.2} {bytes:8.2}  {form:11} {at:24} {name}");
        rows(&t.inside, steps, all, depth + 1, sources);
    }
}

fn show_json(function: &str, times: &[KernelTime], sources: &Sources) {
    for t in times {
        let (file, line) = (sources.name(t.span.file), sources.position(t.span).0);
        let row = serde_json::json!({
            "function": function, "kernel": t.name, "form": t.form, "file": file, "line": line, "calls": t.calls,
            "seconds": t.time.as_secs_f64(), "flops": t.flops, "bytes": t.bytes,
        });
        say!("{row}");
        show_json(&format!("{function}/{}", t.name), &t.inside, sources);
    }
}
