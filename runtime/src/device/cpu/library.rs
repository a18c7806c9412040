//! Library kernels on the CPU: each member of a batch is gathered into contiguous f64 entries, computed, and scattered
//! back, whatever the storage orders and the precision of the plan.
//! Law: one thread computes a member, so results do not depend on the number of threads. Scratch memory of a member is
//! allocated when it runs; everything else is made when the plan is bound.

use super::linear;
use gannet_compiler::graph::Tables;
use gannet_compiler::library::{eval_with, fault};
use gannet_compiler::plan::{BufferId, Kind, LibraryCall, Plan, Strided};
use gannet_lang::diag::Span;
use gannet_lang::program::LibFun;
use rayon::prelude::*;
use std::sync::Arc;

/// Estimated operations below which members of a batch are not spread over threads.
const SPLIT_FLOPS: f64 = 20_000.0;

/// An operation without a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The equation.
    pub span: Span,
    /// What happened.
    pub message: String,
}

/// A call with its sizes known.
pub struct BoundLibrary {
    fun: LibFun,
    /// Has the functions of the embedding program.
    tables: Arc<Tables>,
    span: Span,
    groups: Vec<usize>,
    members: usize,
    /// Members that one thread takes at a time.
    grain: usize,
    operands: Vec<BoundStrided>,
    results: Vec<Option<BoundStrided>>,
}

struct BoundStrided {
    buffer: BufferId,
    kind: Kind,
    double: bool,
    batch: Vec<i64>,
    entries: Vec<i64>,
}

/// Buffers, shared by threads that write different members.
#[derive(Clone, Copy)]
struct Pointers<'a>(&'a [*mut u8]);

// SAFETY: members of a batch occupy different entries of a result, and no kernel writes a buffer that it reads.
unsafe impl Sync for Pointers<'_> {}
// SAFETY: as above.
unsafe impl Send for Pointers<'_> {}

impl Pointers<'_> {
    fn at(&self, b: BufferId) -> *mut u8 {
        self.0[b.index()]
    }
}

impl BoundLibrary {
    /// Binds a call to the sizes of all dims.
    pub fn new(plan: &Plan, c: &LibraryCall, sizes: &[u64]) -> BoundLibrary {
        let bound = |s: &Strided, own: &[usize]| BoundStrided {
            buffer: s.buffer,
            kind: plan.buffer(s.buffer).kind,
            double: plan.double,
            batch: c.batch_offsets(s, sizes),
            entries: c.entry_offsets(s, own, sizes),
        };
        let signature = c.fun.signature();
        let members = c.batch.iter().map(|e| e.eval(sizes).max(0) as usize).product::<usize>();
        let each = c.flops(sizes) / members.max(1) as f64;
        BoundLibrary {
            fun: c.fun,
            tables: plan.tables.clone(),
            span: c.span,
            groups: c.group_sizes(sizes),
            members,
            grain: (SPLIT_FLOPS / each.max(1.0)).ceil() as usize,
            operands: c.operands.iter().zip(signature.operands).map(|(o, own)| bound(o, own)).collect(),
            results: c.results.iter().zip(signature.parts).map(|(r, p)| Some(bound(r.as_ref()?, p.groups))).collect(),
        }
    }

    /// Runs every member of the batch.
    ///
    /// # Errors
    /// The first member, in the order of the batch, for which the operation has no result.
    pub fn run(&self, pointers: &[*mut u8]) -> Result<(), Fault> {
        let pointers = Pointers(pointers);
        let failed = if self.members <= self.grain {
            (0..self.members).find_map(|m| self.member(pointers, m).err())
        } else {
            let members = (0..self.members).into_par_iter().with_min_len(self.grain.max(1));
            members.find_map_first(|m| self.member(pointers, m).err())
        };
        match failed {
            None => Ok(()),
            Some(reason) => Err(Fault { span: self.span, message: fault(&self.tables.hosts, self.fun, &reason) }),
        }
    }

    fn member(&self, pointers: Pointers<'_>, m: usize) -> Result<(), String> {
        // SAFETY: offsets stay inside the buffers, whose sizes the same extents gave.
        let operands: Vec<Vec<f64>> =
            self.operands.iter().map(|o| unsafe { o.gather(pointers.at(o.buffer), m) }).collect();
        let operands: Vec<&[f64]> = operands.iter().map(Vec::as_slice).collect();
        let parts = eval_with(&self.tables.hosts, self.fun, &self.groups, &operands, linear::eval)?;
        for (result, part) in self.results.iter().zip(&parts) {
            if let Some(r) = result {
                // SAFETY: as above; see `Pointers` for threads.
                unsafe { r.scatter(pointers.at(r.buffer), m, part) };
            }
        }
        Ok(())
    }
}

impl BoundStrided {
    /// The entries of a member.
    ///
    /// # Safety
    /// The buffer holds all entries that the offsets name.
    unsafe fn gather(&self, buffer: *mut u8, m: usize) -> Vec<f64> {
        let start = self.batch[m];
        let at = self.entries.iter().map(|e| (start + e) as usize);
        // SAFETY: the caller's.
        unsafe {
            match self.kind {
                Kind::Real if self.double => at.map(|k| *buffer.cast::<f64>().add(k)).collect(),
                Kind::Real => at.map(|k| f64::from(*buffer.cast::<f32>().add(k))).collect(),
                Kind::Int => at.map(|k| f64::from(*buffer.cast::<i32>().add(k))).collect(),
                Kind::Bool => at.map(|k| f64::from(*buffer.add(k))).collect(),
            }
        }
    }

    /// Writes the entries of a member.
    ///
    /// # Safety
    /// As [`BoundStrided::gather`], and nobody else uses these entries.
    unsafe fn scatter(&self, buffer: *mut u8, m: usize, values: &[f64]) {
        let start = self.batch[m];
        for (e, x) in self.entries.iter().zip(values) {
            let k = (start + e) as usize;
            // SAFETY: the caller's.
            unsafe {
                match self.kind {
                    Kind::Real if self.double => *buffer.cast::<f64>().add(k) = *x,
                    Kind::Real => *buffer.cast::<f32>().add(k) = *x as f32,
                    Kind::Int => *buffer.cast::<i32>().add(k) = *x as i32,
                    Kind::Bool => *buffer.add(k) = u8::from(*x != 0.0),
                }
            }
        }
    }
}
