//! The step loop of a train block.
//! Law: after each step the session holds a complete state; an interrupted run keeps the last one.

use crate::data::Dataset;
use crate::device::cpu::execute::Bound;
use crate::device::cpu::memory::Memory;
use crate::finite::Watch;
use crate::session::{Session, gather, no_result};
use crate::shuffle::shuffle;
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{InputId, Output, Part};
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
}

/// Rows and order of the batches of a run.
struct Batches {
    rows: Vec<u32>,
    size: usize,
    seed: u64,
    at: usize,
    epoch: u64,
}

impl Batches {
    /// The next batch's rows; each epoch has its own order. The last batch of an epoch may be shorter.
    fn next(&mut self) -> &[u32] {
        if self.at >= self.rows.len() {
            self.at = 0;
            self.epoch += 1;
        }
        if self.at == 0 && self.size < self.rows.len() {
            self.rows.sort_unstable();
            shuffle(&mut self.rows, self.seed, self.epoch);
        }
        let end = (self.at + self.size).min(self.rows.len());
        let batch = &self.rows[self.at..end];
        self.at = end;
        batch
    }
}

/// The step function bound to one batch size, with memory for the batch's rows.
struct Step {
    bound: Bound,
    inputs: Vec<(usize, Memory)>,
}

impl Step {
    fn new(session: &mut Session, rows: usize) -> Result<Step, Diagnostic> {
        let mut bound = session.bind("step", rows as u64)?;
        let ids: Vec<InputId> = bound.inputs().collect();
        let mut inputs = Vec::new();
        for id in ids {
            let input = &session.unit.inputs[id.index()];
            if input.part != Part::Batch {
                continue;
            }
            let field = input.field.expect("a batch input has a field");
            let column = &session.data.as_ref().expect("a batch input has data").columns[field];
            let memory = Memory::zeroed(rows * column.width * column.values.entry_bytes());
            // SAFETY: the memory lives beside the binding and is as large as the batch's rows.
            unsafe { bound.set_input(id, memory.as_ptr()) };
            inputs.push((field, memory));
        }
        Ok(Step { bound, inputs })
    }

    fn fill(&mut self, data: &Dataset, rows: &[u32]) {
        for (field, memory) in &mut self.inputs {
            let column = &data.columns[*field];
            gather(&column.values, column.width, rows, memory);
        }
    }
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
    let schedule = session.unit.schedule.clone();
    let rows = session.data.as_ref().map(|d| d.train().to_vec()).unwrap_or_default();
    let size = batch_size(session, rows.len(), schedule.batch)?;
    let per_epoch = rows.len().div_ceil(size.max(1)).max(1) as u64;
    let epochs = session.options.epochs.or(schedule.epochs);
    let steps = match (session.options.steps, session.options.epochs, schedule.steps, epochs) {
        (Some(n), ..) => n,
        (None, Some(e), ..) => e * per_epoch,
        (None, None, Some(n), _) => n,
        (None, None, None, Some(e)) => e * per_epoch,
        _ => per_epoch,
    };
    let last = if session.data.is_some() && size > 0 { rows.len() % size } else { 0 };
    let mut full = Step::new(session, size)?;
    let mut short = if last > 0 { Some(Step::new(session, last)?) } else { None };
    observer.started(session, steps);
    let mut batches = Batches { rows, size, seed: session.options.seed, at: 0, epoch: 0 };
    let mut losses = Vec::with_capacity(usize::try_from(steps).unwrap_or(0));
    let data = session.data.clone();
    let pool = session.pool();
    let start = Instant::now();
    let mut interrupted = false;
    let mut watch = session.options.check_finite.then(|| Watch::new(session));
    // The whole loop runs inside the pool: entering it costs more than a small step.
    pool.install(|| -> Result<(), Diagnostic> {
        let mut trained = 0;
        for n in 1..=steps {
            let step = next_step(&mut full, &mut short, &mut batches, data.as_ref(), &mut trained);
            session.step += 1;
            let at = session.step as f64;
            watch.iter_mut().for_each(|w| w.keep(&session.store));
            let ran = step.bound.run(&session.hypers, at, session.options.seed, &mut session.store);
            ran.map_err(|fault| no_result(&fault))?;
            let loss = step.bound.scalar(&Output::Loss).unwrap_or(f64::NAN);
            losses.push(loss as f32);
            watch.iter().try_for_each(|w| w.look(session, &step.bound, "step"))?;
            let (epoch, epochs) = (batches.epoch + 1, steps.div_ceil(per_epoch));
            observer.stepped(&Progress {
                step: n,
                steps,
                epoch,
                epochs,
                loss,
                rows: trained,
                elapsed: start.elapsed(),
            });
            report_if_due(session, observer, n, per_epoch, n == steps)?;
            if stop.load(Ordering::Relaxed) && n < steps {
                interrupted = true;
                break;
            }
        }
        Ok(())
    })?;
    let elapsed = start.elapsed();
    let reports = session.reports()?;
    observer.reported(session.step, &reports);
    Ok(Outcome { losses, reports, elapsed, peak: session.peak_bytes(), interrupted })
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
    Ok(Outcome { losses: vec![], reports, elapsed: start.elapsed(), peak: session.peak_bytes(), interrupted: false })
}

fn next_step<'a>(
    full: &'a mut Step,
    short: &'a mut Option<Step>,
    batches: &mut Batches,
    data: Option<&Arc<Dataset>>,
    trained: &mut u64,
) -> &'a mut Step {
    let Some(data) = data else { return full };
    let size = batches.size;
    let rows = batches.next();
    *trained += rows.len() as u64;
    let step = match short {
        Some(short) if rows.len() < size => short,
        _ => full,
    };
    step.fill(data, rows);
    step
}

fn batch_size(session: &Session, rows: usize, batch: Option<u64>) -> Result<usize, Diagnostic> {
    let named = session
        .options
        .dims
        .iter()
        .find(|(n, _)| session.unit.batch.is_some_and(|d| session.unit.dims[d.index()].name == *n));
    let wanted = named.map(|(_, n)| *n).or(batch);
    match wanted {
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
