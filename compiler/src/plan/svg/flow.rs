//! Who writes what whom reads: what the picture's lines stand for.
//! Law: a kernel stands after all whose writes it reads, and after all that use what it overwrites.

use crate::plan::{BufferId, Home, Kernel, Plan};
use std::collections::BTreeSet;

/// What a kernel reads.
pub struct Operand {
    /// From where.
    pub buffer: BufferId,
    /// The kernels that wrote what it reads; none where that was there before the run.
    pub from: Vec<usize>,
}

/// What a kernel does to buffers.
#[derive(Default)]
pub struct Uses {
    /// What it reads of others, in the order of its body.
    pub reads: Vec<Operand>,
    /// What it writes.
    pub writes: Vec<BufferId>,
    /// The kernels that have to be over before it.
    pub after: BTreeSet<usize>,
}

/// A buffer while the kernels are gone through.
#[derive(Clone, Default)]
struct Life {
    writers: Vec<usize>,
    readers: Vec<usize>,
}

/// What each kernel does.
pub fn flow(plan: &Plan) -> Vec<Uses> {
    let mut lives = vec![Life::default(); plan.buffers.len()];
    let kernels = plan.kernels.iter().enumerate();
    kernels
        .map(|(k, kernel)| {
            let mut touched = Touched::default();
            plan.only.get(k).into_iter().flatten().for_each(|c| touched.read(c.buffer));
            touched.kernel(kernel);
            uses(plan, k, touched, &mut lives)
        })
        .collect()
}

fn uses(plan: &Plan, k: usize, touched: Touched, lives: &mut [Life]) -> Uses {
    let mut uses = Uses { writes: touched.writes, ..Uses::default() };
    for buffer in touched.reads {
        let life = &mut lives[buffer.index()];
        // What nobody wrote yet is the kernel's own, written in it before it is read.
        let own = matches!(plan.buffer(buffer).home, Home::Temp | Home::Result) && life.writers.is_empty();
        if !own {
            life.readers.push(k);
            uses.after.extend(&life.writers);
            uses.reads.push(Operand { buffer, from: life.writers.clone() });
        }
    }
    for buffer in &uses.writes {
        let life = &mut lives[buffer.index()];
        uses.after.extend(life.writers.iter().chain(&life.readers).filter(|i| **i != k));
        // Until somebody reads it, all that write to it fill it together.
        if !life.readers.is_empty() {
            *life = Life::default();
        }
        life.writers.push(k);
    }
    uses
}

/// The buffers that a kernel writes.
pub fn writes(kernel: &Kernel) -> Vec<BufferId> {
    let mut touched = Touched::default();
    touched.kernel(kernel);
    touched.writes
}

/// Buffers as a kernel comes across them, each once.
#[derive(Default)]
struct Touched {
    reads: Vec<BufferId>,
    writes: Vec<BufferId>,
}

impl Touched {
    /// What the kernel itself wrote before is nothing that it reads of others.
    fn read(&mut self, buffer: BufferId) {
        if !self.reads.contains(&buffer) && !self.writes.contains(&buffer) {
            self.reads.push(buffer);
        }
    }

    fn write(&mut self, buffer: BufferId) {
        if !self.writes.contains(&buffer) {
            self.writes.push(buffer);
        }
    }

    fn kernel(&mut self, kernel: &Kernel) {
        kernel.each_use(&mut |b, written| if written { self.write(b) } else { self.read(b) });
    }
}
