//! Where the time of a bound function goes, kernel by kernel.

use super::execute::Bound;
use gannet_compiler::plan::Kernel;
use gannet_lang::diag::Span;
use std::time::{Duration, Instant};

/// A kernel's share of the time.
#[derive(Clone, Debug)]
pub struct KernelTime {
    /// The equations that it computes.
    pub name: String,
    /// `traversal`, `contraction`, `library` or `loop`.
    pub form: &'static str,
    /// The source it comes from.
    pub span: Span,
    /// How often it ran.
    pub calls: u64,
    /// In all calls together.
    pub time: Duration,
    /// Estimated operations of one call.
    pub flops: f64,
    /// Estimated bytes that one call reads and writes, each buffer once.
    pub bytes: f64,
    /// Of a loop: the kernels of its step.
    pub inside: Vec<KernelTime>,
}

/// Measures kernels while it exists.
#[derive(Debug, Default)]
pub struct Clock {
    kernels: Vec<(u64, Duration)>,
}

impl Clock {
    /// For so many kernels.
    pub fn new(kernels: usize) -> Clock {
        Clock { kernels: vec![(0, Duration::ZERO); kernels] }
    }

    /// A kernel ran since then.
    pub fn ran(&mut self, kernel: usize, since: Instant) {
        let (calls, time) = &mut self.kernels[kernel];
        *calls += 1;
        *time += since.elapsed();
    }

    /// Calls and time of a kernel.
    pub fn of(&self, kernel: usize) -> (u64, Duration) {
        self.kernels[kernel]
    }
}

impl Bound {
    /// Measures every kernel from here on.
    pub fn start_clock(&mut self) {
        self.clock = Some(Clock::new(self.plan().kernels.len()));
        self.steps_mut().for_each(Bound::start_clock);
    }

    /// Goes on with the measurements of another binding of the same plan.
    pub fn take_clock(&mut self, before: &mut Bound) {
        self.clock = before.clock.take();
        self.steps_mut().zip(before.steps_mut()).for_each(|(own, before)| own.take_clock(before));
    }

    /// What each kernel took since the clock was started; nothing without one.
    pub fn times(&self) -> Vec<KernelTime> {
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
            let (calls, time) = clock.of(k);
            let estimate = kernel.estimate(plan, &sizes);
            let inside = self.step_of(k).map(Bound::times).unwrap_or_default();
            let (flops, bytes) = (estimate.flops, estimate.bytes);
            KernelTime { name: name.clone(), form, span, calls, time, flops, bytes, inside }
        };
        plan.kernels.iter().enumerate().map(time).collect()
    }
}
