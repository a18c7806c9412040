//! Library operations between kernels: operands come to the host, the CPU's library computes, results go back.
//! Law: what is computed is what the CPU computes, on the same numbers.

use super::execute::Kernels;
use super::memory::{Place, to_host};
use super::stream::Stream;
use crate::device::cpu::execute::entry_bytes;
use crate::device::cpu::library::BoundLibrary;
use crate::device::cpu::memory::Memory;
use crate::session::no_result;
use gannet_compiler::plan::{BufferId, LibraryCall};
use gannet_lang::diag::Diagnostic;

/// A library operation with its sizes known.
pub struct HostCall {
    call: BoundLibrary,
    operands: Vec<BufferId>,
    results: Vec<BufferId>,
}

impl HostCall {
    /// Binds a call of these kernels' plan.
    pub fn new(kernels: &Kernels, c: &LibraryCall) -> HostCall {
        let mut operands: Vec<BufferId> = c.operands.iter().map(|o| o.buffer).collect();
        operands.sort();
        operands.dedup();
        let results = c.results.iter().flatten().map(|r| r.buffer).collect();
        HostCall { call: BoundLibrary::new(&kernels.plan, c, &kernels.sizes), operands, results }
    }

    /// Waits for all that is recorded, and computes.
    ///
    /// # Errors
    /// The operation has no result for its operands; a lost device.
    pub fn run(&self, kernels: &Kernels, stream: &mut Stream<'_>) -> Result<(), Diagnostic> {
        let places: Vec<&Place> = self.operands.iter().map(|b| kernels.place(*b)).collect();
        let read = stream.read(&places, &kernels.gpu.staging(&places))?;
        let kind = |b: &BufferId| kernels.plan.buffer(*b).kind;
        let memory = |b: &BufferId| {
            let entries = kernels.place(*b).bytes as usize / 4;
            Memory::zeroed(entries * entry_bytes(kind(b), false))
        };
        let mut pointers = vec![std::ptr::null_mut(); kernels.places.len()];
        let mut held: Vec<Memory> = self.operands.iter().map(memory).collect();
        for ((b, words), memory) in self.operands.iter().zip(&read).zip(&mut held) {
            to_host(words, kind(b), memory.bytes_mut());
            pointers[b.index()] = memory.as_ptr();
        }
        let results: Vec<Memory> = self.results.iter().map(memory).collect();
        for (b, memory) in self.results.iter().zip(&results) {
            pointers[b.index()] = memory.as_ptr();
        }
        self.call.run(&pointers).map_err(|fault| no_result(&fault))?;
        for (b, memory) in self.results.iter().zip(&results) {
            let place = kernels.place(*b);
            let bytes = place.bytes as usize / 4 * entry_bytes(kind(b), false);
            kernels.gpu.upload(place, kind(b), &memory.bytes()[..bytes]);
        }
        Ok(())
    }
}
