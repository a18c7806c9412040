//! Where the time of a bound function goes, kernel by kernel.

use super::execute::Bound;
use gannet_compiler::plan::{Estimate, Kernel, Machine, Source};
use gannet_lang::diag::Span;
use std::time::{Duration, Instant};

/// A trace holds so many calls of a kernel; later ones are counted only.
const TRACED: usize = 20_000;

/// Where the time of a run's steps went.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What the machine can do at best.
    pub machine: Machine,
    /// Of the step of each stage, what each kernel took.
    pub functions: Vec<(String, Vec<KernelTime>)>,
}

/// A call of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it began.
    pub start: Instant,
    /// How long it took.
    pub took: Duration,
    /// Which of the threads that take steps of a loop side by side made it; 0 elsewhere.
    pub lane: usize,
}

/// A kernel's share of the time.
#[derive(Clone, Debug)]
pub struct KernelTime {
    /// The equations that it computes.
    pub name: String,
    /// `traversal`, `contraction`, `library` or `loop`.
    pub form: &'static str,
    /// The source it comes from.
    pub span: Span,
    /// Of which lines and parts of the step its work is made.
    pub sources: Vec<Source>,
    /// How often it ran.
    pub calls: u64,
    /// In all calls together.
    pub time: Duration,
    /// The shortest call.
    pub best: Duration,
    /// Of one call.
    pub estimate: Estimate,
    /// Its calls, if they are traced.
    pub trace: Vec<Call>,
    /// Of a loop: the kernels of its step.
    pub inside: Vec<KernelTime>,
}

/// What a kernel took.
#[derive(Clone, Debug)]
struct Calls {
    count: u64,
    time: Duration,
    best: Duration,
    trace: Vec<Call>,
}

/// Measures kernels while it exists.
#[derive(Debug, Default)]
pub struct Clock {
    kernels: Vec<Calls>,
    traced: bool,
}

impl Clock {
    /// For so many kernels; `traced`, if each call is noted by itself.
    pub fn new(kernels: usize, traced: bool) -> Clock {
        let none = Calls { count: 0, time: Duration::ZERO, best: Duration::MAX, trace: Vec::new() };
        Clock { kernels: vec![none; kernels], traced }
    }

    /// A kernel ran since then.
    pub fn ran(&mut self, kernel: usize, since: Instant) {
        let took = since.elapsed();
        let calls = &mut self.kernels[kernel];
        calls.count += 1;
        calls.time += took;
        calls.best = calls.best.min(took);
        if self.traced && calls.trace.len() < TRACED {
            calls.trace.push(Call { start: since, took, lane: 0 });
        }
    }
}

/// What the kernels of a loop's step took on all threads that take steps.
fn together(lanes: impl Iterator<Item = Vec<KernelTime>>) -> Vec<KernelTime> {
    let add = |mut all: Vec<KernelTime>, lane: Vec<KernelTime>| {
        for (known, other) in all.iter_mut().zip(lane) {
            known.calls += other.calls;
            known.time += other.time;
            known.best = known.best.min(other.best);
            known.trace.extend(other.trace);
            let inside = [std::mem::take(&mut known.inside), other.inside];
            known.inside = together(inside.into_iter());
        }
        all
    };
    let numbered = lanes.enumerate().map(|(k, mut lane)| {
        on_lane(&mut lane, k);
        lane
    });
    numbered.reduce(add).unwrap_or_default()
}

/// Says of calls, and of those inside of them, who made them.
fn on_lane(times: &mut [KernelTime], lane: usize) {
    for t in times {
        t.trace.iter_mut().for_each(|call| call.lane = call.lane.max(lane));
        on_lane(&mut t.inside, lane);
    }
}

impl Bound {
    /// Measures every kernel from here on; `traced`, if each call is noted by itself.
    pub fn start_clock(&mut self, traced: bool) {
        self.clock = Some(Clock::new(self.plan().kernels.len(), traced));
        self.steps_mut().for_each(|step| step.start_clock(traced));
    }

    /// Goes on with the measurements of another binding of the same plan.
    pub fn take_clock(&mut self, before: &mut Bound) {
        self.clock = before.clock.take();
        self.steps_mut().zip(before.steps_mut()).for_each(|(own, before)| own.take_clock(before));
    }

    /// What each kernel took since the clock was started, beside what was to be expected; nothing without one.
    pub fn times(&self, machine: &Machine) -> Vec<KernelTime> {
        let Some(clock) = &self.clock else { return Vec::new() };
        let sizes: Vec<u64> = self.sizes().iter().map(|n| *n as u64).collect();
        let plan = self.plan();
        let time = |(k, kernel): (usize, &Kernel)| {
            let (form, name, span) = match kernel {
                Kernel::Traversal(t) => ("traversal", &t.name, t.span),
                Kernel::Contraction(c) => ("contraction", &c.name, c.span),
                Kernel::Library(c) => ("library", &c.name, c.span),
                Kernel::Repeat(l) => ("loop", &l.name, l.span),
            };
            let calls = &clock.kernels[k];
            KernelTime {
                name: name.clone(),
                form,
                span,
                sources: plan.sources[k].clone(),
                calls: calls.count,
                time: calls.time,
                best: calls.best,
                estimate: kernel.estimate_on(plan, &sizes, machine),
                trace: calls.trace.clone(),
                inside: together(self.steps_of(k).into_iter().map(|step| step.times(machine))),
            }
        };
        plan.kernels.iter().enumerate().map(time).collect()
    }
}
