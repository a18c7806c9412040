//! A compiled function on the CPU: a plan, its machine code, and its binding to sizes and memory.
//! Law: running a bound function allocates nothing, and its results do not depend on the number of threads.

use super::contract::{self, Batch, Epilogue, Offsets, Operand, OperandMut, Product};
use super::library::BoundLibrary;
pub use super::library::Fault;
use super::memory::Memory;
use super::profile::Clock;
use super::repeat::{BoundRepeat, Given};
use crate::entries::in_order;
use gannet_compiler::emit::cpu::{Compiled, Context, EpilogueFn, TraversalFn, compile};
use gannet_compiler::plan::arena::arrange;
use gannet_compiler::plan::{Access, BufferId, Condition, Contraction, Extent, Home, Kernel, Kind, Plan};
use gannet_lang::program::{Axis, InputId, Output};
use std::sync::Arc;
use std::time::Instant;

/// Iterations times instructions below which a traversal is not split: what one hand-over to another thread costs.
const SPLIT_WORK: i64 = 32 * 1024;
/// Parts of a long traversal for each thread: enough that a late thread finds some left, and no more, since each part
/// computes again what does not change along the loop.
const PARTS_PER_THREAD: i64 = 16;

/// A plan with its machine code.
pub struct Executable {
    /// What runs.
    pub plan: Plan,
    code: Compiled,
    /// The steps of loops, by kernel.
    steps: Vec<Option<Arc<Executable>>>,
}

impl Executable {
    /// Emits machine code for a plan.
    pub fn new(plan: Plan) -> Arc<Executable> {
        let code = compile(&plan);
        let step = |kernel: &Kernel| match kernel {
            Kernel::Repeat(l) => Some(Executable::new(l.step.clone())),
            _ => None,
        };
        let steps = plan.kernels.iter().map(step).collect();
        Arc::new(Executable { plan, code, steps })
    }

    /// Bytes of an entry of that kind.
    pub fn bytes_of(&self, kind: Kind) -> usize {
        entry_bytes(kind, self.plan.double)
    }
}

/// Bytes of a stored entry.
pub fn entry_bytes(kind: Kind, double: bool) -> usize {
    match kind {
        Kind::Real if double => 8,
        Kind::Real | Kind::Int => 4,
        Kind::Bool => 1,
    }
}

/// The parameters and states of a unit.
#[derive(Debug)]
pub struct Store {
    /// By `ParamId`.
    pub params: Vec<Memory>,
    /// By `StateId`.
    pub states: Vec<Memory>,
}

/// An executable bound to the sizes of its dims and to memory.
pub struct Bound {
    executable: Arc<Executable>,
    sizes: Vec<i64>,
    arena: Memory,
    results: Vec<(BufferId, Memory)>,
    pointers: Vec<*mut u8>,
    work: Vec<Work>,
    scratch: Memory,
    threads: usize,
    pub(super) clock: Option<Clock>,
    /// Bytes of scratch memory that the binding holds.
    pub peak: usize,
}

// SAFETY: the pointers point into memory that the binding or the store owns; a run borrows the binding exclusively.
unsafe impl Send for Bound {}

/// A kernel with its sizes known.
enum Work {
    Traversal { call: TraversalFn, count: i64, grain: i64 },
    Contraction(Box<BoundContraction>),
    Library(Box<BoundLibrary>),
    Repeat(Box<BoundRepeat>),
}

struct BoundContraction {
    m: usize,
    n: usize,
    k: usize,
    a: BoundAccess,
    b: BoundAccess,
    c: Option<BoundAccess>,
    batch: usize,
    epilogue: Option<EpilogueFn>,
}

struct BoundAccess {
    buffer: BufferId,
    /// The number of the first entry.
    start: isize,
    batch: BoundOffsets,
    rows: BoundOffsets,
    columns: BoundOffsets,
}

enum BoundOffsets {
    Strided(isize),
    Table(Vec<i64>),
}

impl BoundOffsets {
    /// Offsets along the row-major product of axes: one stride if they merge, else a table.
    fn of(extents: &[i64], strides: &[i64]) -> BoundOffsets {
        let axes: Vec<(i64, i64)> =
            extents.iter().copied().zip(strides.iter().copied()).filter(|(n, _)| *n != 1).collect();
        let merges = axes.windows(2).all(|w| w[0].1 == w[1].0 * w[1].1);
        match axes.last() {
            None => BoundOffsets::Strided(0),
            Some((_, stride)) if merges => BoundOffsets::Strided(*stride as isize),
            Some(_) => {
                let mut table = vec![0];
                for (n, stride) in axes {
                    let mut longer = Vec::with_capacity(table.len() * n as usize);
                    table.iter().for_each(|base| longer.extend((0..n).map(|i| base + i * stride)));
                    table = longer;
                }
                BoundOffsets::Table(table)
            }
        }
    }

    fn view(&self) -> Offsets<'_> {
        match self {
            BoundOffsets::Strided(s) => Offsets::Strided(*s),
            BoundOffsets::Table(t) => Offsets::Table(t),
        }
    }
}

impl Bound {
    /// Binds to the sizes of all dims (by `DimId`) and the memory of parameters and states. Inputs are set later.
    pub fn new(executable: &Arc<Executable>, sizes: &[u64], store: &Store, threads: usize) -> Bound {
        let plan = &executable.plan;
        let arrangement = arrange(plan, sizes);
        let arena_bytes = arrangement.total;
        let arena = Memory::zeroed(arena_bytes);
        let (mut pointers, mut results, mut peak) = (Vec::new(), Vec::new(), arena_bytes);
        for (k, buffer) in plan.buffers.iter().enumerate() {
            let id = BufferId::new(k);
            pointers.push(match buffer.home {
                Home::Input(_) | Home::Arg(_) => std::ptr::null_mut(),
                Home::Param(p) => store.params[p.index()].as_ptr(),
                Home::State(s) => store.states[s.index()].as_ptr(),
                Home::Result => {
                    let bytes = plan.entries(id).eval(sizes) as usize * executable.bytes_of(buffer.kind);
                    let memory = Memory::zeroed(bytes);
                    peak += memory.len();
                    let pointer = memory.as_ptr();
                    results.push((id, memory));
                    pointer
                }
                // SAFETY: the arrangement keeps offsets inside the arena; a buffer that no kernel uses has none.
                Home::Temp => unsafe { arena.as_ptr().add(arrangement.offsets[k]) },
            });
        }
        let work: Vec<Work> =
            (0..plan.kernels.len()).map(|k| bind_kernel(executable, k, sizes, store, threads)).collect();
        let scratch = Memory::zeroed(
            work.iter().map(|w| w.scratch(threads)).max().unwrap_or(0) * if plan.double { 8 } else { 4 },
        );
        peak += scratch.len();
        peak += work.iter().map(|w| if let Work::Repeat(l) = w { l.peak() } else { 0 }).sum::<usize>();
        let sizes = sizes.iter().map(|n| *n as i64).collect();
        let executable = executable.clone();
        Bound { executable, sizes, arena, results, pointers, work, scratch, threads, clock: None, peak }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.executable.plan
    }

    /// The size of each dim.
    pub fn sizes(&self) -> &[i64] {
        &self.sizes
    }

    /// Scratch memory in bytes.
    pub fn arena_bytes(&self) -> usize {
        self.arena.len()
    }

    /// Gives an input's memory, in the storage order and kind of its buffer.
    ///
    /// # Safety
    /// The memory holds all entries and lives, unchanged, through every run until it is set anew.
    pub unsafe fn set_input(&mut self, input: InputId, data: *const u8) {
        for (k, buffer) in self.executable.plan.buffers.iter().enumerate() {
            if buffer.home == Home::Input(input) {
                self.pointers[k] = data.cast_mut();
            }
        }
    }

    /// The inputs that the plan reads.
    pub fn inputs(&self) -> impl Iterator<Item = InputId> + '_ {
        self.executable.plan.buffers.iter().filter_map(|b| if let Home::Input(i) = b.home { Some(i) } else { None })
    }

    /// Runs all kernels once.
    ///
    /// # Errors
    /// A library operation that has no result for its operands.
    pub fn run_kernels(&mut self, hypers: &[f64], step: f64, seed: u64) -> Result<(), Fault> {
        let context = Context::new(&self.pointers, &self.sizes, hypers, step, seed);
        let (pointers, double) = (&self.pointers, self.executable.plan.double);
        for (k, work) in self.work.iter_mut().enumerate() {
            // SAFETY: an earlier kernel wrote the byte.
            let holds = |c: &Condition| unsafe { *pointers[c.buffer.index()] != 0 } == c.holds;
            if !self.executable.plan.only[k].iter().all(holds) {
                continue;
            }
            let start = self.clock.as_ref().map(|_| Instant::now());
            match work {
                Work::Traversal { call, count, grain } => traverse(*call, &context, 0, *count, *grain),
                Work::Library(c) => c.run(pointers)?,
                Work::Repeat(l) => l.run(pointers, Given { hypers, step, seed })?,
                Work::Contraction(c) if double => c.run::<f64>(pointers, &context, &mut self.scratch, self.threads),
                Work::Contraction(c) => c.run::<f32>(pointers, &context, &mut self.scratch, self.threads),
            }
            if let (Some(clock), Some(start)) = (&mut self.clock, start) {
                clock.ran(k, start);
            }
        }
        Ok(())
    }

    /// The steps of kernels that are loops.
    pub(super) fn steps_mut(&mut self) -> impl Iterator<Item = &mut Bound> {
        self.work.iter_mut().filter_map(|w| if let Work::Repeat(l) = w { Some(l.steps_mut()) } else { None }).flatten()
    }

    /// The step of a kernel that is a loop, on each thread that takes steps.
    pub(super) fn steps_of(&self, kernel: usize) -> Vec<&Bound> {
        if let Work::Repeat(l) = &self.work[kernel] { l.steps().collect() } else { Vec::new() }
    }

    /// The buffer of the operand of that number, if this is the step of a loop and reads it.
    pub fn argument(&self, k: usize) -> Option<BufferId> {
        self.executable.plan.argument(k)
    }

    /// Where a buffer lies.
    pub fn pointer(&self, b: BufferId) -> *mut u8 {
        self.pointers[b.index()]
    }

    /// Says where a buffer lies from now on.
    pub fn set_pointer(&mut self, b: BufferId, at: *mut u8) {
        self.pointers[b.index()] = at;
    }

    /// A truth value.
    pub fn truth(&self, b: BufferId) -> bool {
        self.entry(b, 0) != 0.0
    }

    /// Runs all kernels once, then moves outputs that could not be written in place. To be called inside the thread
    /// pool whose size the binding was made for.
    ///
    /// # Errors
    /// A library operation that has no result for its operands; parameters and states then hold what was written so
    /// far.
    ///
    /// # Panics
    /// If an input that the plan reads was not set.
    pub fn run(&mut self, hypers: &[f64], step: f64, seed: u64, store: &mut Store) -> Result<(), Fault> {
        for (k, pointer) in self.pointers.iter().enumerate() {
            assert!(!pointer.is_null(), "input {} is set", self.executable.plan.buffers[k].name);
        }
        self.run_kernels(hypers, step, seed)?;
        self.settle(store);
        Ok(())
    }

    /// Copies next values that lie elsewhere to their parameters and states.
    fn settle(&self, store: &mut Store) {
        let plan = &self.executable.plan;
        for (output, id) in &plan.outputs {
            let (home, target) = match output {
                Output::Param(p) => (Home::Param(*p), &store.params[p.index()]),
                Output::State(s) => (Home::State(*s), &store.states[s.index()]),
                _ => continue,
            };
            if plan.buffer(*id).home != home {
                let bytes = self.bytes(*id);
                // SAFETY: both hold all entries of the tensor, and a buffer with another home is other memory.
                unsafe { std::ptr::copy(self.pointers[id.index()], target.as_ptr(), bytes) };
            }
        }
    }

    fn bytes(&self, id: BufferId) -> usize {
        let sizes: Vec<u64> = self.sizes.iter().map(|n| *n as u64).collect();
        self.plan().entries(id).eval(&sizes) as usize * self.executable.bytes_of(self.plan().buffer(id).kind)
    }

    /// A scalar output as a number, without allocating.
    pub fn scalar(&self, output: &Output) -> Option<f64> {
        let (_, id) = self.plan().outputs.iter().find(|(o, _)| o == output)?;
        Some(self.entry(*id, 0))
    }

    /// An output's entries as numbers, in the buffer's storage order.
    pub fn values(&self, output: &Output) -> Option<Vec<f64>> {
        let (_, id) = self.plan().outputs.iter().find(|(o, _)| o == output)?;
        let sizes: Vec<u64> = self.sizes.iter().map(|n| *n as u64).collect();
        let count = self.plan().entries(*id).eval(&sizes) as usize;
        Some((0..count).map(|k| self.entry(*id, k)).collect())
    }

    /// An output's entries in row-major order of these axes.
    ///
    /// # Panics
    /// If the axes are not those of the output.
    pub fn ordered(&self, output: &Output, axes: &[Axis]) -> Option<Vec<f64>> {
        let (_, id) = self.plan().outputs.iter().find(|(o, _)| o == output)?;
        let values = self.values(output)?;
        let size = |a: &Axis| self.sizes[a.dim.index()] as usize;
        Some(in_order(&self.plan().buffer(*id).axes, axes, size, values))
    }

    /// An input's entries as numbers, in its storage order; `None`: the plan does not read it.
    pub fn input(&self, input: InputId) -> Option<Vec<f64>> {
        let found = self.plan().buffers.iter().position(|b| b.home == Home::Input(input))?;
        let id = BufferId::new(found);
        let sizes: Vec<u64> = self.sizes.iter().map(|n| *n as u64).collect();
        let count = self.plan().entries(id).eval(&sizes) as usize;
        (!self.pointers[found].is_null()).then(|| (0..count).map(|k| self.entry(id, k)).collect())
    }

    fn entry(&self, id: BufferId, k: usize) -> f64 {
        let at = self.pointers[id.index()];
        // SAFETY: callers stay below the number of entries; the buffer's kind says what is stored.
        unsafe {
            match self.plan().buffer(id).kind {
                Kind::Real if self.executable.plan.double => *at.cast::<f64>().add(k),
                Kind::Real => f64::from(*at.cast::<f32>().add(k)),
                Kind::Int => f64::from(*at.cast::<i32>().add(k)),
                Kind::Bool => f64::from(*at.add(k)),
            }
        }
    }

    /// Memory of results, kept alive by the binding.
    pub fn result_bytes(&self) -> usize {
        self.results.iter().map(|(_, m)| m.len()).sum()
    }
}

/// Runs `lo..hi` of a traversal, halving the range over the pool's threads down to the grain.
fn traverse(call: TraversalFn, context: &Context, lo: i64, hi: i64, grain: i64) {
    if hi - lo <= grain {
        if lo < hi {
            // SAFETY: the code was compiled for the plan that the context's buffers belong to.
            unsafe { call(context, lo, hi) };
        }
        return;
    }
    // Long parts start at multiples of 16 entries: two threads then share no cache line of a flat result.
    let half = lo + (hi - lo) / 2;
    let rounded = (half + 15) / 16 * 16;
    let middle = if rounded < hi { rounded } else { half };
    rayon::join(|| traverse(call, context, lo, middle, grain), || traverse(call, context, middle, hi, grain));
}

fn bind_kernel(executable: &Executable, k: usize, sizes: &[u64], store: &Store, threads: usize) -> Work {
    match &executable.plan.kernels[k] {
        Kernel::Traversal(t) => {
            let count = t.outer.range.count(sizes);
            let per_iteration = super::work::of_body(&t.outer.body, sizes).max(1);
            let parts = PARTS_PER_THREAD * threads as i64;
            let grain = if t.parallel { (SPLIT_WORK / per_iteration).max(count / parts).max(1) } else { count };
            let call = executable.code.traversal(k).expect("a traversal has code");
            Work::Traversal { call, count, grain }
        }
        Kernel::Contraction(c) => Work::Contraction(Box::new(bind_contraction(executable, k, c, sizes))),
        Kernel::Repeat(c) => {
            let step = executable.steps[k].as_ref().expect("a loop has a step");
            Work::Repeat(Box::new(BoundRepeat::new(c, step, &executable.plan.buffers, sizes, store, threads)))
        }
        Kernel::Library(c) => Work::Library(Box::new(BoundLibrary::new(&executable.plan, c, sizes))),
    }
}

fn bind_contraction(executable: &Executable, k: usize, c: &Contraction, sizes: &[u64]) -> BoundContraction {
    let eval = |extents: &[Extent]| -> Vec<i64> { extents.iter().map(|e| e.eval(sizes)).collect() };
    let (batch, m, n, sum) = (eval(&c.batch), eval(&c.m), eval(&c.n), eval(&c.k));
    let access = |a: &Access, rows: &[i64], columns: &[i64]| BoundAccess {
        buffer: a.buffer,
        start: a.start(sizes) as isize,
        batch: BoundOffsets::of(&batch, &eval(&a.batch)),
        rows: BoundOffsets::of(rows, &eval(&a.rows)),
        columns: BoundOffsets::of(columns, &eval(&a.columns)),
    };
    let count = |v: &[i64]| v.iter().product::<i64>() as usize;
    BoundContraction {
        m: count(&m),
        n: count(&n),
        k: count(&sum),
        a: access(&c.a, &m, &sum),
        b: access(&c.b, &sum, &n),
        c: c.c.as_ref().map(|c| access(c, &m, &n)),
        batch: count(&batch),
        epilogue: executable.code.epilogue(k),
    }
}

impl Work {
    fn scratch(&self, threads: usize) -> usize {
        match self {
            Work::Traversal { .. } | Work::Library(_) | Work::Repeat(_) => 0,
            Work::Contraction(c) => contract::scratch_len(c.m, c.n, c.k, threads),
        }
    }
}

impl BoundAccess {
    fn operand<T>(&self, pointers: &[*mut u8]) -> Operand<'_, T> {
        Operand { base: self.base(pointers), rows: self.rows.view(), cols: self.columns.view() }
    }

    fn base<T>(&self, pointers: &[*mut u8]) -> *mut T {
        pointers[self.buffer.index()].cast::<T>().wrapping_offset(self.start)
    }
}

impl BoundContraction {
    fn run<T: contract::Element>(&self, pointers: &[*mut u8], context: &Context, scratch: &mut Memory, threads: usize) {
        let c =
            self.c.as_ref().map(|c| OperandMut { base: c.base(pointers), rows: c.rows.view(), cols: c.columns.view() });
        let product = Product {
            m: self.m,
            n: self.n,
            k: self.k,
            a: self.a.operand(pointers),
            b: self.b.operand(pointers),
            c,
            accumulate: false,
            epilogue: self.epilogue.map(|call| Epilogue { call, ctx: std::ptr::from_ref(context).cast() }),
            batch: Batch {
                count: self.batch,
                a: self.a.batch.view(),
                b: self.b.batch.view(),
                c: self.c.as_ref().map_or(Offsets::Strided(0), |c| c.batch.view()),
            },
        };
        let length = scratch.len() / std::mem::size_of::<T>();
        // SAFETY: the scratch is as long as `scratch_len` asked for; buffers hold all entries of the accesses.
        unsafe {
            let scratch = std::slice::from_raw_parts_mut(scratch.as_ptr().cast::<T>(), length);
            contract::run(&product, scratch, threads);
        }
    }
}
