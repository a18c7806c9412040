//! Loops on the CPU: the step's kernels run once for each place; states change hands by pointers.
//! Law: what a step writes is no memory that it reads; places at which no step was taken hold 0. Steps of a loop without
//! states know nothing of each other, so each thread takes some of them.

use super::execute::{Bound, Executable, Fault, Store};
use super::memory::Memory;
use gannet_compiler::plan::{Buffer, BufferId, Extent, Repeat};
use gannet_lang::program::{Axis, LoopTest};
use rayon::prelude::*;
use std::sync::Arc;

/// Steps of a loop without states for each thread, at least: with fewer, the kernels of a step are shared among threads.
const LEAST: usize = 2;

/// What a run is given besides memory.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Hyperparameters.
    pub hypers: &'a [f64],
    /// The step of training.
    pub step: f64,
    /// Keys the draws.
    pub seed: u64,
}

/// A loop bound to sizes.
pub struct BoundRepeat {
    call: Repeat,
    /// One, or one for each thread.
    lanes: Vec<Lane>,
    count: usize,
    /// The step's buffer of each operand that it reads.
    args: Vec<Option<BufferId>>,
    /// Of each state: how the step's next value is brought into the order in which it is read, if that is another.
    reorder: Vec<Option<(Move, Memory)>>,
    /// From each state's last value to the result around.
    last: Vec<Move>,
    kept: Vec<Kept>,
}

/// What takes steps, one after the other.
struct Lane {
    inner: Bound,
    /// Of each operand: what is done to bring it to the step.
    operands: Vec<Operand>,
    /// Of each result of the step, by buffer: the memories that it is written to in turn, or the place of a kept output.
    outputs: Vec<Output>,
}

/// An operand as the step sees it.
struct Operand {
    /// Bytes from place to place, for slices that lie in one piece.
    stride: usize,
    /// Slices that do not are copied here.
    copied: Option<(Move, Memory)>,
}

/// A buffer that the step writes and others read.
struct Output {
    buffer: BufferId,
    memory: [Memory; 2],
    /// It is written straight to its place of this kept result.
    direct: Option<usize>,
}

/// A result that is kept of every step.
struct Kept {
    target: Option<BufferId>,
    /// Bytes of one place.
    bytes: usize,
    source: BufferId,
    /// Not written in place: copied after the step.
    copy: Option<Move>,
}

/// A copy of a tensor into another order of axes.
struct Move {
    /// Size, and bytes from entry to entry at the source, of each axis of the target, outermost first.
    axes: Vec<(usize, usize)>,
    /// Bytes of an entry.
    entry: usize,
    /// Bytes in all.
    bytes: usize,
    plain: bool,
}

impl Move {
    /// From a tensor in one order of axes, each with its size, to one in another order (of some of the axes).
    fn new(from: &[Axis], to: &[Axis], size: &dyn Fn(Axis) -> usize, entry: usize) -> Move {
        let stride = |axis: Axis| {
            let k = from.iter().position(|a| *a == axis).expect("both have the axis");
            from[k + 1..].iter().map(|a| size(*a)).product::<usize>() * entry
        };
        let axes: Vec<(usize, usize)> = to.iter().map(|a| (size(*a), stride(*a))).collect();
        let bytes = axes.iter().map(|a| a.0).product::<usize>() * entry;
        Move { axes, entry, bytes, plain: from == to }
    }

    /// # Safety
    /// Both memories hold all entries and do not overlap.
    unsafe fn run(&self, from: *const u8, to: *mut u8) {
        if self.plain {
            // SAFETY: by contract.
            unsafe { std::ptr::copy_nonoverlapping(from, to, self.bytes) };
            return;
        }
        // SAFETY: by contract.
        unsafe { self.level(&self.axes, from, to, self.bytes) };
    }

    /// # Safety
    /// As for `run`.
    unsafe fn level(&self, axes: &[(usize, usize)], from: *const u8, to: *mut u8, bytes: usize) {
        let Some(((count, stride), rest)) = axes.split_first() else {
            // SAFETY: one entry of each.
            unsafe { std::ptr::copy_nonoverlapping(from, to, self.entry) };
            return;
        };
        let step = bytes.checked_div(*count).unwrap_or(0);
        for k in 0..*count {
            // SAFETY: entry k of this axis lies inside both.
            unsafe { self.level(rest, from.add(k * stride), to.add(k * step), step) };
        }
    }
}

impl BoundRepeat {
    /// Binds a loop to sizes; `code` is the machine code of its step, `outer` are the buffers around it.
    pub fn new(
        call: &Repeat,
        code: &Arc<Executable>,
        outer: &[Buffer],
        sizes: &[u64],
        store: &Store,
        threads: usize,
    ) -> BoundRepeat {
        let plan = &code.plan;
        let size = |a: Axis| Extent::of(a.dim, &plan.tables).eval(sizes) as usize;
        let count = size(call.axis);
        let entry = |b: BufferId| code.bytes_of(plan.buffer(b).kind);
        let bytes = |b: BufferId| plan.bytes(b, sizes) as usize;
        let apart = call.states == 0 && call.test.is_none() && threads > 1 && count >= LEAST * threads;
        let lane = |threads: usize| {
            let operands = call.operands.iter().map(|b| operand(call, code, &outer[b.index()], &size)).collect();
            let mut outputs: Vec<Output> = Vec::new();
            for (_, b) in &plan.outputs {
                if outputs.iter().all(|o| o.buffer != *b) {
                    let memory = [Memory::zeroed(bytes(*b)), Memory::zeroed(bytes(*b))];
                    outputs.push(Output { buffer: *b, memory, direct: None });
                }
            }
            Lane { inner: Bound::new(code, sizes, store, threads), operands, outputs }
        };
        let mut lanes: Vec<Lane> = if apart { (0..threads).map(|_| lane(1)).collect() } else { vec![lane(threads)] };
        let mut direct: Vec<(BufferId, usize)> = Vec::new();
        let mut kept = Vec::new();
        for k in 0..call.kept() {
            let source = call.output(call.states + k);
            let target = call.results[call.states + k];
            let mut copy = None;
            if let Some(target) = target {
                let order: Vec<Axis> = outer[target.index()].axes[1..].to_vec();
                let same = order == plan.buffer(source).axes;
                if same && direct.iter().all(|d| d.0 != source) {
                    direct.push((source, k));
                } else {
                    copy = Some(Move::new(&plan.buffer(source).axes, &order, &size, entry(source)));
                }
            }
            kept.push(Kept { target, bytes: bytes(source), source, copy });
        }
        let (mut reorder, mut last) = (Vec::new(), Vec::new());
        for k in 0..call.states {
            let now = &outer[call.operands[k].index()];
            let next = plan.buffer(call.output(k));
            let bytes = code.bytes_of(now.kind);
            let copy = || (Move::new(&next.axes, &now.axes, &size, bytes), Memory::zeroed(entries(now, &size) * bytes));
            reorder.push((next.axes != now.axes).then(copy));
            let to = call.results[k].map_or(&now.axes, |b| &outer[b.index()].axes);
            last.push(Move::new(&now.axes, to, &size, bytes));
        }
        for output in lanes.iter_mut().flat_map(|l| &mut l.outputs) {
            output.direct = direct.iter().find(|d| d.0 == output.buffer).map(|d| d.1);
        }
        let args = (0..call.operands.len()).map(|k| lanes[0].inner.argument(k)).collect();
        BoundRepeat { call: call.clone(), lanes, count, args, reorder, last, kept }
    }

    /// Its step, on each of the threads that take steps.
    pub fn steps(&self) -> impl Iterator<Item = &Bound> {
        self.lanes.iter().map(|l| &l.inner)
    }

    /// Its step, on each of the threads, to change how it runs.
    pub fn steps_mut(&mut self) -> impl Iterator<Item = &mut Bound> {
        self.lanes.iter_mut().map(|l| &mut l.inner)
    }

    /// Bytes of memory that the binding holds.
    pub fn peak(&self) -> usize {
        let copied = |o: &Operand| o.copied.as_ref().map_or(0, |c| c.1.len());
        let lane = |l: &Lane| {
            let outputs: usize = l.outputs.iter().flat_map(|o| o.memory.iter()).map(Memory::len).sum();
            l.inner.peak + outputs + l.operands.iter().map(copied).sum::<usize>()
        };
        self.lanes.iter().map(lane).sum()
    }

    /// Runs all steps.
    ///
    /// # Errors
    /// A library operation that has no result.
    pub fn run(&mut self, outer: &[*mut u8], given: Given<'_>) -> Result<(), Fault> {
        if self.lanes.len() > 1 {
            return self.run_apart(&Around(outer), given);
        }
        let mut states: Vec<*mut u8> =
            self.call.operands[..self.call.states].iter().map(|b| outer[b.index()]).collect();
        let mut turn = 0;
        let mut steps = 0;
        for n in 0..self.count {
            let place = if self.call.reverse { self.count - 1 - n } else { n };
            let lane = &mut self.lanes[0];
            lane.give(&self.call, &self.args, outer, &states, place);
            lane.aim(&self.kept, outer, place, turn);
            lane.inner.run_kernels(given.hypers, given.step, given.seed)?;
            let go_on = self.call.condition().is_none_or(|b| lane.inner.truth(b));
            if self.call.test == Some(LoopTest::Before) && !go_on {
                break;
            }
            lane.keep(&self.kept, outer, place);
            self.advance(&mut states);
            turn = 1 - turn;
            steps += 1;
            if !go_on {
                break;
            }
        }
        self.finish(outer, &states, steps);
        Ok(())
    }

    /// Runs the steps of a loop without states, each thread its part of them.
    fn run_apart(&mut self, outer: &Around<'_>, given: Given<'_>) -> Result<(), Fault> {
        let (call, args, kept, count, lanes) = (&self.call, &self.args, &self.kept, self.count, self.lanes.len());
        self.lanes.par_iter_mut().enumerate().try_for_each(|(k, lane)| {
            for place in k * count / lanes..(k + 1) * count / lanes {
                lane.give(call, args, outer.all(), &[], place);
                lane.aim(kept, outer.all(), place, 0);
                lane.inner.run_kernels(given.hypers, given.step, given.seed)?;
                lane.keep(kept, outer.all(), place);
            }
            Ok(())
        })?;
        self.finish(outer.all(), &[], count);
        Ok(())
    }

    /// Next values become the values now.
    fn advance(&self, states: &mut [*mut u8]) {
        for (k, state) in states.iter_mut().enumerate() {
            let next = self.lanes[0].inner.pointer(self.call.output(k));
            *state = match &self.reorder[k] {
                None => next,
                Some((copy, memory)) => {
                    // SAFETY: the copy was made for these two; the step that reads the memory is over.
                    unsafe { copy.run(next, memory.as_ptr()) };
                    memory.as_ptr()
                }
            };
        }
    }

    /// Last values, zeros at places without a step, the number of steps.
    fn finish(&self, outer: &[*mut u8], states: &[*mut u8], steps: usize) {
        for (k, copy) in self.last.iter().enumerate() {
            if let Some(target) = self.call.results[k] {
                // SAFETY: the copy was made for these two.
                unsafe { copy.run(states[k], outer[target.index()]) };
            }
        }
        let untaken = if self.call.reverse { 0..self.count - steps } else { steps..self.count };
        for kept in self.kept.iter().filter(|_| !untaken.is_empty()) {
            if let Some(target) = kept.target {
                // SAFETY: the places lie inside the result.
                unsafe {
                    let from = outer[target.index()].add(untaken.start * kept.bytes);
                    from.write_bytes(0, untaken.len() * kept.bytes);
                }
            }
        }
        if let Some(target) = self.call.results.last().copied().flatten() {
            // SAFETY: a whole number is stored as i32.
            unsafe { *outer[target.index()].cast::<i32>() = steps as i32 };
        }
    }
}

impl Lane {
    /// Sets the operands of a step.
    fn give(&mut self, call: &Repeat, args: &[Option<BufferId>], outer: &[*mut u8], states: &[*mut u8], place: usize) {
        for (k, operand) in self.operands.iter_mut().enumerate() {
            let Some(b) = args[k] else { continue };
            let at = outer[call.operands[k].index()];
            let at = match (states.get(k), &mut operand.copied) {
                (Some(state), _) => *state,
                // SAFETY: the place lies inside the operand, and the copy was made for these two.
                (None, Some((copy, memory))) => unsafe {
                    copy.run(at.add(place * operand.stride), memory.as_ptr());
                    memory.as_ptr()
                },
                // SAFETY: the place lies inside the operand.
                (None, None) => unsafe { at.add(place * operand.stride) },
            };
            self.inner.set_pointer(b, at);
        }
    }

    /// Sets where the step writes.
    fn aim(&mut self, kept: &[Kept], outer: &[*mut u8], place: usize, turn: usize) {
        for output in &self.outputs {
            let at = match output.direct {
                None => output.memory[turn].as_ptr(),
                Some(k) => {
                    let kept = &kept[k];
                    let target = outer[kept.target.expect("a direct result has a target").index()];
                    // SAFETY: the place lies inside the result.
                    unsafe { target.add(place * kept.bytes) }
                }
            };
            self.inner.set_pointer(output.buffer, at);
        }
    }

    /// Copies what is kept of the step and was not written in place.
    fn keep(&self, kept: &[Kept], outer: &[*mut u8], place: usize) {
        for kept in kept {
            if let (Some(target), Some(copy)) = (kept.target, &kept.copy) {
                // SAFETY: the place lies inside the result, which the step does not touch otherwise.
                unsafe { copy.run(self.inner.pointer(kept.source), outer[target.index()].add(place * kept.bytes)) };
            }
        }
    }
}

/// The buffers around a loop. Steps of a loop without states write places of their own, and read what no step writes.
struct Around<'a>(&'a [*mut u8]);

// SAFETY: see above.
unsafe impl Sync for Around<'_> {}

impl Around<'_> {
    fn all(&self) -> &[*mut u8] {
        self.0
    }
}

/// The entries of a buffer.
fn entries(buffer: &Buffer, size: &dyn Fn(Axis) -> usize) -> usize {
    buffer.axes.iter().map(|a| size(*a)).product()
}

fn operand(call: &Repeat, code: &Executable, outer: &Buffer, size: &dyn Fn(Axis) -> usize) -> Operand {
    let entry = code.bytes_of(outer.kind);
    let order: Vec<Axis> = outer.axes.iter().copied().filter(|a| *a != call.axis).collect();
    let bytes = order.iter().map(|a| size(*a)).product::<usize>() * entry;
    let at = outer.axes.iter().position(|a| *a == call.axis);
    match at {
        None => Operand { stride: 0, copied: None },
        Some(0) => Operand { stride: bytes, copied: None },
        Some(at) => {
            let stride = outer.axes[at + 1..].iter().map(|a| size(*a)).product::<usize>() * entry;
            let copy = Move { plain: false, ..Move::new(&outer.axes, &order, size, entry) };
            Operand { stride, copied: Some((copy, Memory::zeroed(bytes))) }
        }
    }
}
