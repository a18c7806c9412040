//! A bound function, whichever device it runs on.
//! Law: whoever holds it need not know which.

use super::cpu;
use super::cpu::execute::Store;
use super::cpu::profile::KernelTime;
#[cfg(feature = "gpu")]
use super::gpu;
#[cfg(feature = "gpu")]
use crate::entries::in_order;
use crate::session::no_result;
use gannet_compiler::plan::{Machine, Plan};
use gannet_lang::diag::Diagnostic;
use gannet_lang::program::{Axis, InputId, Output};

/// A function bound to the sizes of its dims and to memory.
#[allow(clippy::large_enum_variant)]
pub enum Bound {
    /// On the CPU.
    Cpu(cpu::execute::Bound),
    /// On a GPU.
    #[cfg(feature = "gpu")]
    Gpu(gpu::Bound),
}

/// The same call on either.
macro_rules! either {
    ($self:expr, $bound:ident => $call:expr) => {
        match $self {
            Bound::Cpu($bound) => $call,
            #[cfg(feature = "gpu")]
            Bound::Gpu($bound) => $call,
        }
    };
}

impl Bound {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        either!(self, b => b.plan())
    }

    /// The size of each dim.
    pub fn sizes(&self) -> &[i64] {
        either!(self, b => b.sizes())
    }

    /// The inputs that the plan reads.
    pub fn inputs(&self) -> Vec<InputId> {
        either!(self, b => b.inputs().collect())
    }

    /// Bytes of scratch memory that the binding holds.
    pub fn peak(&self) -> usize {
        match self {
            Bound::Cpu(b) => b.peak,
            #[cfg(feature = "gpu")]
            Bound::Gpu(b) => b.peak(),
        }
    }

    /// Gives an input's memory, in the storage order and kind of its buffer. Where its content changes later,
    /// [`Bound::changed`] has to say so.
    ///
    /// # Safety
    /// The memory holds all entries and lives through every run until it is set anew.
    pub unsafe fn set_input(&mut self, input: InputId, data: *const u8) {
        // SAFETY: by contract.
        either!(self, b => unsafe { b.set_input(input, data) });
    }

    /// The content of an input's memory is another one now.
    pub fn changed(&mut self, input: InputId) {
        match self {
            // It reads the host's memory where it lies.
            Bound::Cpu(_) => {}
            #[cfg(feature = "gpu")]
            Bound::Gpu(b) => b.changed(input),
        }
        let _ = input;
    }

    /// Runs all kernels once. To be called inside the thread pool whose size the binding was made for.
    ///
    /// # Errors
    /// A library operation that has no result for its operands; a device that is lost.
    ///
    /// # Panics
    /// If an input that the plan reads was not set.
    pub fn run(&mut self, hypers: &[f64], step: f64, seed: u64, store: &mut Store) -> Result<(), Diagnostic> {
        match self {
            Bound::Cpu(b) => b.run(hypers, step, seed, store).map_err(|fault| no_result(&fault)),
            #[cfg(feature = "gpu")]
            Bound::Gpu(b) => b.run(hypers, step, seed, store),
        }
    }

    /// A scalar output as a number.
    pub fn scalar(&self, output: &Output) -> Option<f64> {
        match self {
            Bound::Cpu(b) => b.scalar(output),
            #[cfg(feature = "gpu")]
            Bound::Gpu(b) => b.values(output)?.first().copied(),
        }
    }

    /// An output's entries as numbers, in the buffer's storage order.
    pub fn values(&self, output: &Output) -> Option<Vec<f64>> {
        either!(self, b => b.values(output))
    }

    /// An output's entries in row-major order of these axes.
    ///
    /// # Panics
    /// If the axes are not those of the output.
    pub fn ordered(&self, output: &Output, axes: &[Axis]) -> Option<Vec<f64>> {
        match self {
            Bound::Cpu(b) => b.ordered(output, axes),
            #[cfg(feature = "gpu")]
            Bound::Gpu(b) => {
                let (_, id) = b.plan().outputs.iter().find(|(o, _)| o == output)?;
                let size = |a: &Axis| b.sizes()[a.dim.index()] as usize;
                Some(in_order(&b.plan().buffer(*id).axes, axes, size, b.values(output)?))
            }
        }
    }

    /// An input's entries as numbers, in its storage order; `None`: the plan does not read it.
    pub fn input(&self, input: InputId) -> Option<Vec<f64>> {
        either!(self, b => b.input(input))
    }

    /// Measures every kernel from here on, on the CPU only; `traced`, if each call is noted by itself.
    pub fn start_clock(&mut self, traced: bool) {
        if let Bound::Cpu(b) = self {
            b.start_clock(traced);
        }
    }

    /// Goes on with the measurements of another binding of the same plan.
    pub fn take_clock(&mut self, before: &mut Bound) {
        match (self, before) {
            (Bound::Cpu(own), Bound::Cpu(before)) => own.take_clock(before),
            #[cfg(feature = "gpu")]
            _ => {}
        }
    }

    /// What each kernel took since the clock was started, beside what was to be expected; nothing without one.
    pub fn times(&self, machine: &Machine) -> Vec<KernelTime> {
        match self {
            Bound::Cpu(b) => b.times(machine),
            #[cfg(feature = "gpu")]
            Bound::Gpu(_) => Vec::new(),
        }
    }
}
