//! `gannet profile`: where the time of training steps goes: by part of the step, by source line, by kernel.
//! Law: what a kernel took is shared among its equations by their estimated costs; the shares add up to the whole.

use super::args::ProfileArgs;
use super::progress::{Style, Watcher};
use super::trace;
use gannet::compiler::graph::Phase;
use gannet::compiler::plan::{Estimate, Machine};
use gannet::lang::diag::{Sources, Span};
use gannet::runtime::device::cpu::profile::KernelTime;
use gannet::{Error, Model, Options};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// Steps that are measured, unless `--steps` says otherwise.
const STEPS: u64 = 50;
/// Lines of the source that are listed.
const LINES: usize = 20;
/// Lines with a smaller share of the time are not.
const TRIFLE: f64 = 5e-4;

/// Trains some steps and shows what each kernel took.
///
/// # Errors
/// What `train` finds wrong; a trace that cannot be written.
pub fn profile(args: &ProfileArgs) -> Result<ExitCode, Error> {
    let model = Model::from_file(&args.file, &args.run.dims)?;
    let mut options = Options { profile: true, trace: args.trace.is_some(), ..args.run.options() };
    if options.steps.is_none() && options.epochs.is_none() {
        options.steps = Some(STEPS);
    }
    let mut watcher = Watcher::new(Style::Quiet);
    let run = model.train_watched(args.name.as_deref(), &options, &mut watcher, &AtomicBool::new(false))?;
    let profile = run.outcome.profile.expect("a profile was asked for");
    for (function, times) in &profile.functions {
        if args.json {
            show_json(function, times, model.sources(), &profile.machine);
        } else {
            show(function, times, model.sources(), &profile.machine);
        }
    }
    if let Some(path) = &args.trace {
        trace::write(path, &profile.functions, model.sources()).map_err(|d| model.error(d))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(function: &str, times: &[KernelTime], sources: &Sources, machine: &Machine) {
    let steps = times.first().map_or(1, |t| t.calls).max(1) as f64;
    let all = times.iter().map(seconds).sum::<f64>() / steps;
    say!("{function}: {:.3} ms a step, {steps} steps, {} kernels", all * 1e3, times.len());
    let (product, memory) = (machine.product * 1e-9, machine.memory * 1e-9);
    say!("this machine, {} threads: products {product:.0} GFLOP/s, memory {memory:.0} GB/s", machine.threads);
    show_lines(times, steps, sources);
    say!("");
    say!(
        "{:>9} {:>6} {:>9} {:>8} {:>12} {:>9}  {:11} {:8} {:24} computes",
        "ms",
        "share",
        "GFLOP/s",
        "GB/s",
        "bound",
        "estimate",
        "kernel",
        "part",
        "line"
    );
    rows(times, &Frame { steps, all, sources, machine }, 0);
}

fn seconds(t: &KernelTime) -> f64 {
    t.time.as_secs_f64()
}

/// Seconds a step of each line, forward, backward, update and unknown.
type Lines = BTreeMap<(usize, usize), ([f64; 4], Span)>;

/// The parts of the step, then its lines, the longest first.
fn show_lines(times: &[KernelTime], steps: f64, sources: &Sources) {
    let mut lines = Lines::new();
    times.iter().for_each(|t| count_lines(t, seconds(t) / steps, None, sources, &mut lines));
    let part = |k: usize| lines.values().map(|l| l.0[k]).sum::<f64>();
    let all = (0..4).map(part).sum::<f64>().max(1e-12);
    if part(3) < all {
        let text = |k: usize, name: &str| format!("{name} {:.3} ms ({:.0} %)", part(k) * 1e3, 100.0 * part(k) / all);
        say!("{}, {}, {}", text(0, "forward"), text(1, "backward"), text(2, "update"));
    }
    say!("");
    say!("{:>9} {:>6} {:>9} {:>9} {:>9}  line", "ms", "share", "forward", "backward", "update");
    let mut order: Vec<&([f64; 4], Span)> = lines.values().collect();
    order.sort_by(|a, b| b.0.iter().sum::<f64>().total_cmp(&a.0.iter().sum::<f64>()));
    order.retain(|l| l.0.iter().sum::<f64>() >= TRIFLE * all);
    for (parts, span) in order.iter().take(LINES) {
        let own: f64 = parts.iter().sum();
        let [forward, backward, update, _] = parts.map(|x| x * 1e3);
        let text: String = line_text(sources, *span).chars().take(70).collect();
        let share = 100.0 * own / all;
        let at = position(sources, *span);
        say!("{:9.3} {share:5.1}% {forward:9.3} {backward:9.3} {update:9.3}  {at:16} {text}", own * 1e3);
    }
    if order.len() > LINES {
        say!("          and {} lines more", order.len() - LINES);
    }
}

/// Shares what a kernel took among its lines; a loop's among those of its step.
fn count_lines(t: &KernelTime, took: f64, around: Option<Phase>, sources: &Sources, lines: &mut Lines) {
    let own = t.sources.first().and_then(|s| s.place.phase).or(around);
    let inside: f64 = t.inside.iter().map(seconds).sum();
    for step in &t.inside {
        count_lines(step, took * seconds(step) / inside.max(1e-12), own, sources, lines);
    }
    for source in t.sources.iter().filter(|_| inside == 0.0) {
        let span = source.place.span;
        let known = lines.entry((span.file.0 as usize, sources.position(span).0)).or_insert(([0.0; 4], span));
        known.0[column(source.place.phase.or(around))] += took * source.share;
    }
}

fn column(phase: Option<Phase>) -> usize {
    match phase {
        Some(Phase::Forward) => 0,
        Some(Phase::Backward) => 1,
        Some(Phase::Update) => 2,
        None => 3,
    }
}

/// `file.gnt:12`, or nothing where no line is known.
pub(super) fn position(sources: &Sources, span: Span) -> String {
    if span == Span::default() {
        return "-".to_string();
    }
    let file = sources.name(span.file);
    format!("{}:{}", file.rsplit('/').next().unwrap_or(file), sources.position(span).0)
}

/// The line that a span begins in.
pub(super) fn line_text(sources: &Sources, span: Span) -> &str {
    let known = span != Span::default();
    let line = sources.position(span).0;
    let text = if known { sources.text(span.file).lines().nth(line - 1) } else { None };
    text.unwrap_or("").trim()
}

/// What all rows of a table share.
struct Frame<'a> {
    steps: f64,
    /// Seconds a step.
    all: f64,
    sources: &'a Sources,
    machine: &'a Machine,
}

/// The kernels, the longest first; those of a loop's step below it.
fn rows(times: &[KernelTime], frame: &Frame, depth: usize) {
    let mut order: Vec<&KernelTime> = times.iter().collect();
    order.sort_by_key(|t| std::cmp::Reverse(t.time));
    for t in order {
        let calls = t.calls.max(1) as f64;
        let once = (seconds(t) / calls).max(1e-12);
        let Estimate { flops, bytes, seconds: estimate } = t.estimate;
        let (flop_rate, byte_rate) = (flops / once * 1e-9, bytes / once * 1e-9);
        let ms = seconds(t) * 1e3 / frame.steps;
        let share = 100.0 * ms * 1e-3 / frame.all.max(1e-12);
        let form = format!("{}{}", "  ".repeat(depth), t.form);
        let (part, at) = (parts(t), position(frame.sources, t.span));
        let name: String = t.name.chars().take(60).collect();
        let bound = bound(t, frame.machine);
        let expected = estimate * calls / frame.steps * 1e3;
        say!(
            "{ms:9.3} {share:5.1}% {flop_rate:9.2} {byte_rate:8.2} {bound:>12} {expected:9.3}  {form:11} {part:8} {at:24} {name}"
        );
        rows(&t.inside, frame, depth + 1);
    }
}

/// What bounds a kernel, and how near it comes: over 100 % of memory where caches serve it.
fn bound(t: &KernelTime, machine: &Machine) -> String {
    let (compute, memory) = (t.estimate.flops / machine.product, t.estimate.bytes / machine.memory);
    let once = (seconds(t) / t.calls.max(1) as f64).max(1e-12);
    let (name, least) = if compute > memory { ("compute", compute) } else { ("memory", memory) };
    format!("{name} {:3.0}%", 100.0 * least / once)
}

/// `f`, `b` and `u` for the parts of the step that a kernel works for, the largest share first.
fn parts(t: &KernelTime) -> String {
    let mut shares = [0.0; 4];
    t.sources.iter().for_each(|s| shares[column(s.place.phase)] += s.share);
    let mut order: Vec<usize> = (0..3).filter(|k| shares[*k] > 0.01).collect();
    order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
    order.iter().map(|k| ["fwd", "bwd", "upd"][*k]).collect::<Vec<_>>().join("+")
}

fn show_json(function: &str, times: &[KernelTime], sources: &Sources, machine: &Machine) {
    for t in times {
        let (file, line) = (sources.name(t.span.file), sources.position(t.span).0);
        let source = |s: &gannet::compiler::plan::Source| {
            let (file, line) = (sources.name(s.place.span.file), sources.position(s.place.span).0);
            let phase = s.place.phase.map(|p| format!("{p:?}").to_lowercase());
            serde_json::json!({ "file": file, "line": line, "part": phase, "share": s.share })
        };
        let row = serde_json::json!({
            "function": function, "kernel": t.name, "form": t.form, "file": file, "line": line, "calls": t.calls,
            "seconds": seconds(t), "best": t.best.as_secs_f64(), "flops": t.estimate.flops, "bytes": t.estimate.bytes,
            "estimate": t.estimate.seconds, "bound": bound(t, machine),
            "sources": t.sources.iter().map(source).collect::<Vec<_>>(),
        });
        say!("{row}");
        show_json(&format!("{function}/{}", t.name), &t.inside, sources, machine);
    }
}
