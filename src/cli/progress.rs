//! What a training run shows: a bar on a terminal, plain lines elsewhere, JSON lines on request.

use gannet::runtime::session::Session;
use gannet::runtime::train::{Observer, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A bar that moves.
    Bar,
    /// A line now and then.
    Lines,
    /// One JSON object a line.
    Json,
    /// Nothing.
    Quiet,
}

impl Style {
    /// By the flags and by what standard output is.
    pub fn choose(json: bool, quiet: bool) -> Style {
        match (json, quiet) {
            (true, _) => Style::Json,
            (_, true) => Style::Quiet,
            _ if std::io::stdout().is_terminal() => Style::Bar,
            _ => Style::Lines,
        }
    }
}

/// A bar or a line is renewed at most this often.
const RENEW: Duration = Duration::from_millis(100);
/// Lines of a run that is not shown on a terminal.
const LINES: u64 = 10;

/// Shows a run.
pub struct Watcher {
    style: Style,
    bar: Option<ProgressBar>,
    last: Instant,
    started: Instant,
    /// The moment the first step began, after compiling.
    pub first_step: Option<Instant>,
}

impl Watcher {
    /// A watcher for a run that begins now.
    pub fn new(style: Style) -> Watcher {
        Watcher { style, bar: None, last: Instant::now(), started: Instant::now(), first_step: None }
    }

    fn line(&self, p: &Progress) -> String {
        let seconds = p.elapsed.as_secs_f64();
        let left = seconds / p.step as f64 * (p.steps - p.step) as f64;
        let rate = if p.rows > 0 { p.rows as f64 } else { p.step as f64 } / seconds.max(1e-9);
        let unit = if p.rows > 0 { "rows" } else { "steps" };
        format!("loss {:<9.5} {} {unit}/s, {left:.1} s left", p.loss, amount(rate))
    }
}

/// 1234567 as `1.23 M`.
pub fn amount(x: f64) -> String {
    match x {
        x if x >= 1e9 => format!("{:.2} G", x / 1e9),
        x if x >= 1e6 => format!("{:.2} M", x / 1e6),
        x if x >= 1e3 => format!("{:.1} k", x / 1e3),
        x => format!("{x:.0} "),
    }
}

impl Observer for Watcher {
    fn started(&mut self, session: &Session, steps: u64) {
        let compile: Duration = session.compile_time.iter().map(|(_, d)| *d).sum();
        let kernels = session.kernels("step");
        let parameters = session.parameter_count();
        let peak = session.peak_bytes();
        match self.style {
            Style::Json => say!(
                "{}",
                json!({ "event": "compiled", "program": session.unit.name, "parameters": parameters,
                        "compile_ms": compile.as_secs_f64() * 1e3, "kernels": kernels, "peak_bytes": peak, "steps": steps })
            ),
            Style::Quiet => {}
            _ => {
                say!(
                    "train    {}: {parameters} parameters in {} tensors",
                    session.unit.name,
                    session.unit.params.len()
                );
                say!(
                    "compile  {:.0} ms, {kernels} kernels a step, {:.1} MiB at the peak, {} threads",
                    compile.as_secs_f64() * 1e3,
                    peak as f64 / (1024.0 * 1024.0),
                    session.options.threads
                );
            }
        }
        if self.style == Style::Bar {
            let bar = ProgressBar::new(steps);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}").expect("the template is right");
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            self.bar = Some(bar);
        }
        self.first_step = Some(Instant::now());
    }

    fn stepped(&mut self, p: &Progress) {
        let due = match self.style {
            Style::Quiet => false,
            Style::Bar => self.last.elapsed() >= RENEW || p.step == p.steps,
            Style::Lines | Style::Json => p.step.is_multiple_of(p.steps.div_ceil(LINES)) || p.step == p.steps,
        };
        if !due {
            return;
        }
        self.last = Instant::now();
        match self.style {
            Style::Bar => {
                if let Some(bar) = &self.bar {
                    bar.set_position(p.step);
                    bar.set_message(self.line(p));
                }
            }
            Style::Json => say!(
                "{}",
                json!({ "event": "step", "step": p.step, "epoch": p.epoch, "loss": p.loss, "rows": p.rows,
                        "seconds": p.elapsed.as_secs_f64() })
            ),
            _ => say!("epoch {}/{}, step {}/{}: {}", p.epoch, p.epochs, p.step, p.steps, self.line(p)),
        }
    }

    fn reported(&mut self, step: u64, values: &[(String, Vec<f64>)]) {
        let _ = self.started;
        for (name, values) in values {
            let shown = gannet::runtime::record::number_or_list(values);
            match self.style {
                Style::Quiet => {}
                Style::Json => say!("{}", json!({ "event": "report", "step": step, "name": name, "value": shown })),
                _ => {
                    let text = match values.as_slice() {
                        [one] => format!("{one:.6}"),
                        many => format!("{many:.4?}"),
                    };
                    match &self.bar {
                        Some(bar) if !bar.is_finished() && step < bar.length().unwrap_or(0) => {
                            bar.println(format!("step {step}: {name} = {text}"));
                        }
                        Some(bar) => {
                            bar.finish();
                            say!("report   {name} = {text}");
                        }
                        None => say!("report   {name} = {text}"),
                    }
                }
            }
        }
    }
}
