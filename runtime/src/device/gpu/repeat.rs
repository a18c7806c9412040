//! Loops on a device: the host records the step once for each place; states change hands by copies on the device.
//! Law: where the number of steps is fixed, the host reads nothing between them; places at which no step was taken hold 0.

use super::Gpu;
use super::execute::{Given, Kernels};
use super::memory::{Place, Store, WORD};
use super::pipeline::Access;
use super::stream::{Dispatch, Stream};
use gannet_compiler::emit::wgsl::{GROUP, Region, Reorder, reorder, spread};
use gannet_compiler::plan::{BufferId, Extent, Plan, Repeat};
use gannet_lang::diag::Diagnostic;
use gannet_lang::program::{Axis, LoopTest};
use std::sync::Arc;

/// A copy of a tensor, perhaps into another order of axes.
enum Move {
    Plain(Place, Place),
    Turned(Dispatch),
}

impl Move {
    fn record(&self, stream: &mut Stream<'_>) {
        match self {
            Move::Plain(from, to) => stream.copy(from, to),
            Move::Turned(d) => stream.dispatch(d),
        }
    }
}

/// A part of an operand that a step sees.
struct Slice {
    /// All parts, one after the other.
    whole: Place,
    bytes: u64,
    arg: Place,
}

/// A result that is kept of every step.
struct Kept {
    /// Into the order in which it is kept.
    turn: Option<Move>,
    from: Place,
    /// All places, one after the other.
    target: Place,
    bytes: u64,
}

/// A loop bound to sizes.
pub struct BoundRepeat {
    step: Kernels,
    count: u64,
    reverse: bool,
    test: Option<(LoopTest, BufferId)>,
    /// Before the first step: operands that do not change, first values, operands with the loop's axis outermost.
    before: Vec<Move>,
    slices: Vec<Slice>,
    kept: Vec<Kept>,
    /// After a step: next values become the values now.
    advance: Vec<Move>,
    /// Last values.
    last: Vec<Move>,
    /// Where the number of steps goes.
    steps: Option<Place>,
    bytes: u64,
}

/// What the binding of a loop is made from.
struct Making<'a> {
    gpu: &'a Arc<Gpu>,
    outer: &'a Kernels,
    call: &'a Repeat,
    step: Kernels,
    scratch: u64,
}

impl BoundRepeat {
    /// Binds a loop of these kernels' plan.
    ///
    /// # Errors
    /// A step that the device cannot run.
    pub fn new(outer: &Kernels, call: &Repeat, store: &Arc<Store>) -> Result<BoundRepeat, Diagnostic> {
        let plan = Arc::new(call.step.clone());
        let step = Kernels::new(&outer.gpu, &plan, &outer.sizes, store)?;
        let mut making = Making { gpu: &outer.gpu, outer, call, step, scratch: 0 };
        let (mut before, slices) = making.operands()?;
        let kept = making.kept()?;
        let (advance, last) = making.states(&mut before)?;
        let test = call.test.zip(call.condition());
        let steps = call.results.last().copied().flatten().map(|b| outer.place(b).clone());
        let count = call.count.eval(&outer.sizes).max(0) as u64;
        let bytes = making.step.bytes + making.scratch;
        let (step, reverse) = (making.step, call.reverse);
        Ok(BoundRepeat { step, count, reverse, test, before, slices, kept, advance, last, steps, bytes })
    }

    /// Bytes of the device that the loop holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says with which arguments its steps will run.
    pub fn set_arguments(&self, given: Given<'_>) {
        self.step.set_arguments(given);
    }

    /// Records all steps.
    ///
    /// # Errors
    /// What a step's kernels find.
    pub fn record(&self, outer: &Kernels, stream: &mut Stream<'_>) -> Result<(), Diagnostic> {
        self.before.iter().for_each(|m| m.record(stream));
        // Steps that are not taken leave nothing of earlier runs.
        if self.test.is_some() {
            self.kept.iter().for_each(|k| stream.clear(&k.target));
        }
        let mut steps = 0;
        for n in 0..self.count {
            let place = if self.reverse { self.count - 1 - n } else { n };
            self.slices.iter().for_each(|s| stream.copy(&s.whole.slice(place, s.bytes), &s.arg));
            self.step.record(stream)?;
            let go_on = match self.test {
                Some((_, condition)) => self.step.truth(condition, stream)?,
                None => true,
            };
            if !go_on && matches!(self.test, Some((LoopTest::Before, _))) {
                break;
            }
            for kept in &self.kept {
                kept.turn.iter().for_each(|m| m.record(stream));
                stream.copy(&kept.from, &kept.target.slice(place, kept.bytes));
            }
            self.advance.iter().for_each(|m| m.record(stream));
            steps += 1;
            if !go_on {
                break;
            }
        }
        self.last.iter().for_each(|m| m.record(stream));
        if let Some(place) = &self.steps {
            // The host writes before all that is not handed over yet, and the place may still be another buffer's.
            stream.submit();
            outer.gpu.write_words(place, &[steps as u32]);
        }
        Ok(())
    }
}

impl Making<'_> {
    fn size(&self, a: Axis) -> u64 {
        Extent::of(a.dim, &self.outer.plan.tables).eval(&self.outer.sizes).max(0) as u64
    }

    fn scratch(&mut self, bytes: u64) -> Result<Place, Diagnostic> {
        self.scratch += bytes;
        Ok(Place { buffer: self.gpu.region("scratch of a loop", bytes)?, offset: 0, bytes })
    }

    /// A copy between places of different regions.
    fn moved(&self, from: (&Place, &[Axis]), to: (&Place, &[Axis])) -> Result<Move, Diagnostic> {
        let stride = |axis: &Axis| {
            let k = from.1.iter().position(|a| a == axis).expect("both have the axis");
            from.1[k + 1..].iter().map(|a| self.size(*a)).product::<u64>()
        };
        let order = Reorder { axes: to.1.iter().map(|a| (self.size(*a), stride(a))).collect() };
        if order.plain() {
            return Ok(Move::Plain(from.0.clone(), to.0.clone()));
        }
        self.gpu.fits_binding("an operand of a loop", from.0.bytes.max(to.0.bytes))?;
        let pipeline = self.gpu.pipeline(&reorder(&order), "reorder", 1, &[Access::Read, Access::Write])?;
        let group = self.gpu.group(&pipeline, 1, &[from.0.clone(), to.0.clone()]);
        Ok(Move::Turned(Dispatch { pipeline, group, groups: spread(order.entries().div_ceil(GROUP.into())) }))
    }

    fn axes(plan: &Plan, b: BufferId) -> Vec<Axis> {
        plan.buffer(b).axes.clone()
    }

    fn operands(&mut self) -> Result<(Vec<Move>, Vec<Slice>), Diagnostic> {
        let (mut before, mut slices) = (Vec::new(), Vec::new());
        let sliced = self.call.states..self.call.states + self.call.slices;
        for (k, operand) in self.call.operands.iter().enumerate() {
            let Some(arg) = self.step.plan.argument(k) else { continue };
            let arg = self.step.place(arg).clone();
            let from = self.outer.place(*operand).clone();
            let axes = Self::axes(&self.outer.plan, *operand);
            if !sliced.contains(&k) || !axes.contains(&self.call.axis) {
                before.push(Move::Plain(from, arg));
                continue;
            }
            let mut whole = from.clone();
            if axes[0] != self.call.axis {
                let rest = axes.iter().copied().filter(|a| *a != self.call.axis);
                let order: Vec<Axis> = std::iter::once(self.call.axis).chain(rest).collect();
                whole = self.scratch(from.bytes)?;
                before.push(self.moved((&from, &axes), (&whole, &order))?);
            }
            slices.push(Slice { whole, bytes: arg.bytes, arg });
        }
        Ok((before, slices))
    }

    fn kept(&mut self) -> Result<Vec<Kept>, Diagnostic> {
        let mut all = Vec::new();
        for k in 0..self.call.kept() {
            let Some(target) = self.call.results[self.call.states + k] else { continue };
            let source = self.call.output(self.call.states + k);
            let order = Self::axes(&self.outer.plan, target)[1..].to_vec();
            let own = Self::axes(&self.step.plan, source);
            let mut from = self.step.place(source).clone();
            let mut turn = None;
            if own != order {
                let scratch = self.scratch(from.bytes)?;
                turn = Some(self.moved((&from, &own), (&scratch, &order))?);
                from = scratch;
            }
            let bytes = from.bytes;
            all.push(Kept { turn, from, target: self.outer.place(target).clone(), bytes });
        }
        Ok(all)
    }

    /// Copies after a step and after the last one. A next value that is one of the step's operands is set aside before
    /// any of these is overwritten.
    fn states(&mut self, before: &mut Vec<Move>) -> Result<(Vec<Move>, Vec<Move>), Diagnostic> {
        let (mut aside, mut advance, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for k in 0..self.call.states {
            let now = Self::axes(&self.outer.plan, self.call.operands[k]);
            let next = self.call.output(k);
            let own = Self::axes(&self.step.plan, next);
            // A state that no step reads is still carried to the end.
            let held = match self.step.plan.argument(k) {
                Some(arg) => self.step.place(arg).clone(),
                None => {
                    let first = self.outer.place(self.call.operands[k]).clone();
                    let held = self.scratch(first.bytes)?;
                    before.push(Move::Plain(first, held.clone()));
                    held
                }
            };
            let mut from = self.step.place(next).clone();
            if self.step.region(next) == Region::Args {
                let scratch = self.scratch(from.bytes.max(WORD))?;
                aside.push(self.moved((&from, &own), (&scratch, &own))?);
                from = Place { bytes: from.bytes, ..scratch };
            }
            advance.push(self.moved((&from, &own), (&held, &now))?);
            if let Some(target) = self.call.results[k] {
                let to = Self::axes(&self.outer.plan, target);
                last.push(self.moved((&held, &now), (self.outer.place(target), &to))?);
            }
        }
        aside.extend(advance);
        Ok((aside, last))
    }
}
