//! The step loop of a train block.
//! Law: after each step the session holds a complete state; an interrupted run keeps the last one.

use crate::batches::{Batches, FEWER, FRESH_SEED, Fresh, Grouped, Shuffled};
use crate::data::Dataset;
use crate::device::Bound;
use crate::device::cpu::machine;
use crate::device::cpu::memory::Memory;
use crate::device::cpu::profile::Profile;
use crate::finite::Watch;
use crate::near::Finder;
use crate::session::{Session, gather};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{HyperId, InputId, Output, Part, Schedule, Stage};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What an observer sees of a step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done, from 1.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// The epoch of the step, from 1.
    pub epoch: u64,
    /// Epochs of the whole run.
    pub epochs: u64,
    /// The loss of the step.
    pub loss: f64,
    /// Rows trained on so far.
    pub rows: u64,
    /// Time since the first step.
    pub elapsed: Duration,
}

/// Watches a run.
pub trait Observer {
    /// Before the first step: the session, and how many steps there will be.
    fn started(&mut self, session: &Session, steps: u64) {
        let _ = (session, steps);
    }
    /// After a step.
    fn stepped(&mut self, progress: &Progress) {
        let _ = progress;
    }
    /// Values of reports, at the end and wherever `every` asks.
    fn reported(&mut self, step: u64, values: &[(String, Vec<f64>)]) {
        let _ = (step, values);
    }
}

/// An observer that looks away.
pub struct Quiet;

impl Observer for Quiet {}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The loss of every step.
    pub losses: Vec<f32>,
    /// The reports after the last step.
    pub reports: Vec<(String, Vec<f64>)>,
    /// Time of the step loop.
    pub elapsed: Duration,
    /// Bytes of parameters, states, data and scratch memory at the peak.
    pub peak: usize,
    /// Was the run ended before its last step?
    pub interrupted: bool,
    /// What each kernel of each stage's step took, if that was asked for.
    pub profile: Option<Profile>,
}

/// A step function bound to one size of batches, with memory for the batch's rows.
struct Step {
    bound: Bound,
    inputs: Vec<Rows>,
    /// Inputs of another batch, for `L(w; fresh)`.
    fresh: Vec<Rows>,
    /// Inputs of a part of a graph, which the binding reads.
    _part: Vec<Memory>,
}

/// An input over the rows of a batch.
struct Rows {
    id: InputId,
    field: usize,
    memory: Memory,
}

impl Step {
    /// `groups` times `each` rows.
    fn new(session: &mut Session, function: &str, (groups, each): (usize, usize)) -> Result<Step, Diagnostic> {
        let mut bound = session.bind(function, groups as u64)?;
        let ids = bound.inputs();
        let (mut inputs, mut fresh) = (Vec::new(), Vec::new());
        for id in ids {
            let input = &session.unit.inputs[id.index()];
            let held = match input.part {
                Part::Batch => &mut inputs,
                Part::Fresh => &mut fresh,
                _ => continue,
            };
            let field = input.field.expect("a batch input has a field");
            let column = &session.data.as_ref().expect("a batch input has data").columns[field];
            let memory = Memory::zeroed(groups * each * column.width * column.values.entry_bytes());
            // SAFETY: the memory lives beside the binding and is as large as the batch's rows.
            unsafe { bound.set_input(id, memory.as_ptr()) };
            held.push(Rows { id, field, memory });
        }
        Ok(Step { bound, inputs, fresh, _part: Vec::new() })
    }

    /// On what these seeds see.
    fn near(session: &mut Session, function: &str, finder: &mut Finder, seeds: &[u32]) -> Result<Step, Diagnostic> {
        let (bound, part) = finder.step(session, function, seeds)?;
        Ok(Step { bound, inputs: Vec::new(), fresh: Vec::new(), _part: part })
    }

    fn fill(&mut self, data: &Dataset, rows: &[u32]) {
        Step::gather_all(&mut self.bound, &mut self.inputs, data, rows);
    }

    fn fill_fresh(&mut self, data: &Dataset, rows: &[u32]) {
        Step::gather_all(&mut self.bound, &mut self.fresh, data, rows);
    }

    fn gather_all(bound: &mut Bound, inputs: &mut [Rows], data: &Dataset, rows: &[u32]) {
        for Rows { id, field, memory } in inputs {
            let column = &data.columns[*field];
            gather(&column.values, column.width, rows, memory);
            bound.changed(*id);
        }
    }
}

/// A stage of a run: its step, for whole batches and for the last one of an epoch, and the order of its batches.
struct Phase {
    function: String,
    steps: u64,
    per_epoch: u64,
    /// Takes the number of steps before it.
    before: Option<HyperId>,
    full: Step,
    short: Option<Step>,
    /// Binds each step anew, where it runs on a part of a graph.
    near: Option<Finder>,
    /// Rows of a batch.
    size: usize,
    batches: Batches,
    fresh: Fresh,
    epochs_before: u64,
    epochs_in_all: u64,
}

impl Phase {
    /// Compiles a stage's step. Its orders are those of the epochs after `epochs_before`.
    fn new(session: &mut Session, rows: &[u32], stage: &Stage, epochs_before: u64) -> Result<Phase, Diagnostic> {
        let schedule = &stage.schedule;
        let mut near = finder(session, schedule);
        let seeds = near.as_ref().map(Finder::seeds).transpose()?;
        let rows = seeds.as_deref().unwrap_or(rows);
        let each = schedule.groups.as_ref().map_or(1, |g| g.rows as usize);
        let count = batch_size(session, rows.len(), schedule)?;
        let size = count * each;
        let per_epoch = rows.len().div_ceil(size.max(1)).max(1) as u64;
        let epochs = session.options.epochs.or(schedule.epochs);
        let steps = match (session.options.steps, session.options.epochs, schedule.steps, epochs) {
            (Some(n), ..) => n,
            (None, Some(e), ..) => e * per_epoch,
            (None, None, Some(n), _) => n,
            (None, None, None, Some(e)) => e * per_epoch,
            _ => per_epoch,
        };
        let goes_through = session.data.is_some() && size > 0 && schedule.groups.is_none() && near.is_none();
        let last = if goes_through { rows.len() % size } else { 0 };
        let full = match &mut near {
            Some(finder) => Step::near(session, &stage.function, finder, &rows[..size])?,
            None => Step::new(session, &stage.function, (count, each))?,
        };
        let short = if last > 0 { Some(Step::new(session, &stage.function, (last, 1))?) } else { None };
        let data = session.data.clone();
        let batches = |seed| match (&schedule.groups, &data) {
            (Some(g), Some(data)) => {
                Grouped::new(data, rows, g, count, (seed, epochs_before * per_epoch)).map(Batches::Grouped)
            }
            _ => Ok(Batches::Shuffled(Shuffled::new(rows, size, seed, epochs_before))),
        };
        let seed = session.options.seed;
        Ok(Phase {
            function: stage.function.clone(),
            steps,
            per_epoch,
            before: None,
            full,
            short,
            near,
            size,
            batches: batches(seed)?,
            fresh: Fresh { batches: batches(seed ^ FRESH_SEED)?, rows: Vec::with_capacity(size) },
            epochs_before,
            epochs_in_all: 0,
        })
    }

    fn next_step(
        &mut self,
        session: &mut Session,
        data: Option<&Arc<Dataset>>,
        trained: &mut u64,
    ) -> Result<&mut Step, Diagnostic> {
        let Some(data) = data else { return Ok(&mut self.full) };
        let size = self.size;
        let rows = self.batches.next();
        *trained += rows.len() as u64;
        if let Some(finder) = &mut self.near {
            // States of nodes are gathered from the host's.
            session.fetch()?;
            let mut step = Step::near(session, &self.function, finder, rows)?;
            step.bound.take_clock(&mut self.full.bound);
            self.full = step;
            return Ok(&mut self.full);
        }
        let step = match &mut self.short {
            Some(short) if rows.len() < size => short,
            _ => &mut self.full,
        };
        step.fill(data, rows);
        if !step.fresh.is_empty() {
            step.fill_fresh(data, self.fresh.next(rows.len()));
        }
        Ok(step)
    }
}

/// Finds the neighbourhoods of a schedule's batches, if it has such.
fn finder(session: &Session, schedule: &Schedule) -> Option<Finder> {
    let (near, data) = (schedule.near.as_ref()?, session.data.clone()?);
    Some(Finder::new(near, data, session.size(near.node)?))
}

/// The stages of a run; without `stage` lines it is one.
fn phases(session: &mut Session, rows: &[u32]) -> Result<Vec<Phase>, Diagnostic> {
    let stages = session.unit.stages.clone();
    let whole = Stage {
        name: String::new(),
        function: "step".to_string(),
        schedule: session.unit.schedule.clone(),
        before: HyperId::new(0),
    };
    let staged = !stages.is_empty();
    let mut phases = Vec::new();
    let mut epochs = 0;
    for stage in if staged { &stages[..] } else { std::slice::from_ref(&whole) } {
        let mut phase = Phase::new(session, rows, stage, epochs)?;
        phase.before = staged.then_some(stage.before);
        epochs += phase.steps.div_ceil(phase.per_epoch);
        phases.push(phase);
    }
    phases.iter_mut().for_each(|p| p.epochs_in_all = epochs);
    Ok(phases)
}

/// Trains to the end of the schedule.
///
/// `stop` is looked at after every step: once it is set, the run ends with its last complete state.
///
/// # Errors
/// A batch larger than the data; under `check_finite` the equation at which a value stopped being finite.
pub fn train(
    session: &mut Session,
    observer: &mut (dyn Observer + Send),
    stop: &AtomicBool,
) -> Result<Outcome, Diagnostic> {
    train_looked_at(session, observer, stop, None)
}

/// Looks at the session and at what has just run, after each step.
pub type Look<'a> = &'a mut (dyn FnMut(&Session, &Bound, &str) -> Result<(), Diagnostic> + Send);

/// As [`train`], looked at after each step, with the state of then on the host.
///
/// # Errors
/// Those of [`train`], and what is found.
pub fn train_looked_at(
    session: &mut Session,
    observer: &mut (dyn Observer + Send),
    stop: &AtomicBool,
    mut look: Option<Look<'_>>,
) -> Result<Outcome, Diagnostic> {
    let rows = session.data.as_ref().map(|d| d.train().to_vec()).unwrap_or_default();
    let mut phases = phases(session, &rows)?;
    let steps = phases.iter().map(|p| p.steps).sum();
    observer.started(session, steps);
    let mut losses = Vec::with_capacity(usize::try_from(steps).unwrap_or(0));
    let data = session.data.clone();
    let pool = session.pool();
    let start = Instant::now();
    let mut interrupted = false;
    let mut watch = session.options.check_finite.then(|| Watch::new(session));
    // The whole loop runs inside the pool: entering it costs more than a small step.
    pool.install(|| -> Result<(), Diagnostic> {
        let (mut trained, mut done) = (0, 0);
        for phase in &mut phases {
            if let Some(before) = phase.before {
                session.hypers[before.index()] = session.step as f64;
            }
            let (epochs_before, epochs) = (phase.epochs_before, phase.epochs_in_all);
            let function = phase.function.clone();
            for n in 1..=phase.steps {
                let step = phase.next_step(session, data.as_ref(), &mut trained)?;
                session.step += 1;
                done += 1;
                let at = session.step as f64;
                watch.iter_mut().for_each(|w| w.keep(&session.store));
                step.bound.run(&session.hypers, at, session.options.seed, &mut session.store)?;
                let loss = step.bound.scalar(&Output::Loss).unwrap_or(f64::NAN);
                losses.push(loss as f32);
                if watch.is_some() || look.is_some() {
                    session.fetch()?;
                }
                watch.iter().try_for_each(|w| w.look(session, &step.bound, &function))?;
                look.iter_mut().try_for_each(|look| look(session, &step.bound, &function))?;
                let epoch = epochs_before + (n - 1) / phase.per_epoch + 1;
                let elapsed = start.elapsed();
                observer.stepped(&Progress { step: done, steps, epoch, epochs, loss, rows: trained, elapsed });
                report_if_due(session, observer, n, phase.per_epoch, done == steps)?;
                if stop.load(Ordering::Relaxed) && done < steps {
                    interrupted = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    })?;
    let elapsed = start.elapsed();
    session.fetch()?;
    let reports = session.reports()?;
    observer.reported(session.step, &reports);
    let machine = session.options.profile.then(|| pool.install(machine::measure));
    let times = |machine: &_| phases.iter().map(|p| (p.function.clone(), p.full.bound.times(machine))).collect();
    let profile = machine.map(|machine| Profile { functions: times(&machine), machine });
    Ok(Outcome { losses, reports, elapsed, peak: session.peak_bytes(), interrupted, profile })
}

/// Evaluates the reports of a task, which trains nothing.
///
/// # Errors
/// Dims without a size.
pub fn evaluate(session: &mut Session, observer: &mut (dyn Observer + Send)) -> Result<Outcome, Diagnostic> {
    let start = Instant::now();
    observer.started(session, 0);
    let reports = session.reports()?;
    observer.reported(0, &reports);
    let (elapsed, peak) = (start.elapsed(), session.peak_bytes());
    Ok(Outcome { losses: vec![], reports, elapsed, peak, interrupted: false, profile: None })
}

/// The size of the dim of batches: rows, or groups of rows.
fn batch_size(session: &Session, rows: usize, schedule: &Schedule) -> Result<usize, Diagnostic> {
    let named = session
        .options
        .dims
        .iter()
        .find(|(n, _)| session.unit.batch.is_some_and(|d| session.unit.dims[d.index()].name == *n));
    let wanted = named.map(|(_, n)| *n).or(schedule.batch);
    match wanted {
        Some(n) if schedule.groups.as_ref().is_some_and(|g| n > rows as u64 / g.rows) => {
            let each = schedule.groups.as_ref().map_or(1, |g| g.rows);
            let message = format!("a batch of {n} groups of {each} rows is larger than the training data, {rows} rows");
            Err(Diagnostic::error(Code::G0506, None, message).hint(FEWER))
        }
        Some(n) if session.data.is_some() && n as usize > rows => {
            let message = format!("a batch of {n} rows is larger than the training data, {rows} rows");
            Err(Diagnostic::error(Code::G0506, None, message).hint(format!("use `batch {rows}` or less")))
        }
        Some(0) => {
            Err(Diagnostic::error(Code::G0506, None, "a batch needs at least one row").hint("use `batch 1` or more"))
        }
        Some(n) => Ok(n as usize),
        None => Ok(rows.max(1)),
    }
}

fn report_if_due(
    session: &mut Session,
    observer: &mut (dyn Observer + Send),
    step: u64,
    per_epoch: u64,
    last: bool,
) -> Result<(), Diagnostic> {
    let due = |every: Option<(u64, bool)>| match every {
        Some((n, epochs)) => step.is_multiple_of(n.max(1) * if epochs { per_epoch } else { 1 }),
        None => false,
    };
    if last || !session.unit.reports.iter().any(|r| due(r.every)) {
        return Ok(());
    }
    let wanted: Vec<bool> = session.unit.reports.iter().map(|r| due(r.every)).collect();
    let values = session.reports()?;
    let values: Vec<_> = values.into_iter().zip(wanted).filter(|(_, w)| *w).map(|(v, _)| v).collect();
    observer.reported(session.step, &values);
    Ok(())
}
