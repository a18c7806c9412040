//! Loops of a Plan: a plan of one step, and what it is given at each.
//! Law: the step's plan reads its operands and writes its results; which memory these are is the loop's affair.

use super::{BufferId, Estimate, Extent, Machine, Plan};
use gannet_lang::diag::Span;
use gannet_lang::program::{Axis, LoopTest};

/// Runs the plan of a step once for each place of an axis.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// For dumps and profiles.
    pub name: String,
    /// The source it comes from.
    pub span: Span,
    /// One place for each step.
    pub axis: Axis,
    /// How many places.
    pub count: Extent,
    /// From the last place to the first?
    pub reverse: bool,
    /// Where the step's condition is looked at, if it has one.
    pub test: Option<LoopTest>,
    /// How many of the operands are first values of states.
    pub states: usize,
    /// How many of those after them are seen place by place.
    pub slices: usize,
    /// In the order of the step's `Arg`s. Their buffers have the axes of the step's, slices the loop's axis besides.
    pub operands: Vec<BufferId>,
    /// The step. Its outputs: next values, the condition if there is one, what is kept of every step.
    pub step: Plan,
    /// Where results go, if anybody reads them: last values of the states, then what is kept of every step (the loop's
    /// axis besides those of the step's output), then the number of steps.
    pub results: Vec<Option<BufferId>>,
}

impl Repeat {
    /// The estimate of all steps, given the sizes of all dims.
    pub fn estimate(&self, sizes: &[u64], machine: &Machine) -> Estimate {
        let mut all = Estimate::default();
        let count = self.count.eval(sizes) as f64;
        for kernel in &self.step.kernels {
            let once = kernel.estimate_on(&self.step, sizes, machine);
            all.flops += count * once.flops;
            all.bytes += count * once.bytes;
            all.seconds += count * once.seconds;
        }
        all
    }

    /// The step's output of that number, past the condition where there is one: next values, then what is kept.
    pub fn output(&self, k: usize) -> BufferId {
        let shift = if k < self.states { 0 } else { usize::from(self.test.is_some()) };
        self.step.outputs[k + shift].1
    }

    /// The step's output that holds the condition.
    pub fn condition(&self) -> Option<BufferId> {
        self.test.map(|_| self.step.outputs[self.states].1)
    }

    /// What is kept of every step: how many outputs.
    pub fn kept(&self) -> usize {
        self.step.outputs.len() - self.states - usize::from(self.test.is_some())
    }
}
