//! `gannet test`: the checks of files and folders.
//! Law: the runs that checks need are made side by side, as many as there are threads, but a further one begins only
//! while enough memory is free; what is printed, and in which order, does not depend on that.

use super::args::TestArgs;
use super::{files::unreadable, show};
use gannet::lang::program::Run as NeededRun;
use gannet::{CheckResult, Error, Model, Options, Reports, Runs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A run that a file's checks need.
struct Job {
    file: usize,
    run: NeededRun,
}

/// A file, and what is known about it so far.
struct File {
    path: PathBuf,
    model: Result<Model, Error>,
    /// Runs that are not finished.
    missing: usize,
    runs: Runs,
    seconds: f64,
}

/// Checks that held and checks that did not.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

/// Runs all checks and prints each with its numbers; ends with `N passed, N failed`.
///
/// # Errors
/// A folder that cannot be read. What is wrong with a file or a run counts as a failed check.
pub fn test(args: &TestArgs) -> Result<ExitCode, Error> {
    let (paths, left_out) = files(args)?;
    let mut files: Vec<File> = paths.iter().map(|path| read(path, args)).collect();
    let jobs = jobs(&mut files);
    let options = args.run.options();
    let workers = options.threads.min(jobs.len()).max(1);
    // A run's results do not depend on its threads.
    let each = Options { threads: (options.threads / workers).max(1), ..options };
    let (sender, receiver) = channel();
    let (next, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let gate = Mutex::new(());
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let (jobs, paths, each, next, running, gate) = (&jobs, &paths, &each, &next, &running, &gate);
            scope.spawn(move || work(jobs, paths, args, each, next, running, gate, sender));
        }
        drop(sender);
        print_in_order(&mut files, &jobs, &each, receiver, &mut tally);
    });
    for file in &left_out {
        println!("left out: {}", file.display());
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path, args: &TestArgs) -> File {
    let start = Instant::now();
    let model = Model::from_file(path, &args.run.dims);
    let seconds = start.elapsed().as_secs_f64();
    File { path: path.to_path_buf(), model, missing: 0, runs: Runs::default(), seconds }
}

fn jobs(files: &mut [File]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (k, file) in files.iter_mut().enumerate() {
        let runs = file.model.as_ref().map(Model::needed_runs).unwrap_or_default();
        file.missing = runs.len();
        jobs.extend(runs.into_iter().map(|run| Job { file: k, run }));
    }
    jobs
}

/// What a worker sends: which job, what became of it, and the seconds it took.
type Done = (usize, Result<Reports, Error>, f64);

/// Takes jobs in order until there are none. A worker checks a file itself: a checked file stays on its thread.
#[allow(clippy::too_many_arguments)]
fn work(
    jobs: &[Job],
    paths: &[PathBuf],
    args: &TestArgs,
    options: &Options,
    next: &AtomicUsize,
    running: &AtomicUsize,
    gate: &Mutex<()>,
    sender: Sender<Done>,
) {
    let mut at_hand: Option<(usize, Model)> = None;
    loop {
        let waiting = gate.lock().expect("no worker panics at the gate");
        wait_for_memory(running);
        let k = next.fetch_add(1, Ordering::SeqCst);
        let Some(job) = jobs.get(k) else { return };
        running.fetch_add(1, Ordering::SeqCst);
        drop(waiting);
        let start = Instant::now();
        let model = match at_hand.take() {
            Some((file, model)) if file == job.file => Ok(model),
            _ => Model::from_file(&paths[job.file], &args.run.dims),
        };
        let done = model.and_then(|model| {
            let done = model.reports_of(&job.run, options);
            at_hand = Some((job.file, model));
            done
        });
        running.fetch_sub(1, Ordering::SeqCst);
        if sender.send((k, done, start.elapsed().as_secs_f64())).is_err() {
            return;
        }
    }
}

/// The part of the memory that must be free before a run begins beside others.
const FREE_PART: f64 = 0.25;

/// Waits while other runs are under way and little memory is free. Where the system does not say, nobody waits.
fn wait_for_memory(running: &AtomicUsize) {
    while running.load(Ordering::SeqCst) > 0 && free_part().is_some_and(|part| part < FREE_PART) {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The part of the memory that is free, as Linux says it.
fn free_part() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(of("MemAvailable:")? / of("MemTotal:")?)
}

/// Prints each file as soon as it and all before it are done.
fn print_in_order(files: &mut [File], jobs: &[Job], options: &Options, receiver: Receiver<Done>, tally: &mut Tally) {
    let mut printed = 0;
    let mut print_ready = |files: &mut [File]| {
        while printed < files.len() && files[printed].missing == 0 {
            print_file(&files[printed], options, tally);
            printed += 1;
        }
    };
    print_ready(files);
    for (k, reports, seconds) in receiver {
        let file = &mut files[jobs[k].file];
        file.runs.add(&jobs[k].run, reports);
        file.missing -= 1;
        file.seconds += seconds;
        print_ready(files);
    }
}

fn print_file(file: &File, options: &Options, tally: &mut Tally) {
    let start = Instant::now();
    println!("{}", file.path.display());
    match &file.model {
        Ok(model) => {
            show::warnings(model);
            print_checks(model, file, options, tally);
        }
        Err(error) => {
            show::error(error);
            println!("  FAILED the file does not run");
            tally.failed += 1;
        }
    }
    println!("  ({:.1} s)", file.seconds + start.elapsed().as_secs_f64());
}

fn print_checks(model: &Model, file: &File, options: &Options, tally: &mut Tally) {
    let mut shown = Vec::new();
    for (k, check) in model.checked().program.checks.iter().enumerate() {
        match model.evaluate_check(k, &file.runs, options) {
            Ok(result) => {
                let verdict = if result.passed { "ok" } else { "FAILED" };
                println!("  {verdict:<7}{}{}", result.text, numbers(&result));
                *(if result.passed { &mut tally.passed } else { &mut tally.failed }) += 1;
            }
            Err(error) => {
                // A run that several checks need is explained once.
                if !shown.contains(&error.diagnostics) {
                    show::error(&error);
                    shown.push(error.diagnostics);
                }
                println!("  FAILED {}  (it does not run)", check.name);
                tally.failed += 1;
            }
        }
    }
}

fn numbers(result: &CheckResult) -> String {
    match result.sides {
        Some((left, right)) => format!("  ({left:.6} against {right:.6})"),
        None => String::new(),
    }
}

/// The files named, and the `.gnt` files of folders named, in order; then those of the folders that are left out.
fn files(args: &TestArgs) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for path in &args.paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(|e| unreadable(path, &e))?
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "gnt"))
            .collect();
        inside.sort();
        let skipped = |p: &PathBuf| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            args.skip.iter().any(|s| name.contains(s.as_str()))
        };
        let (skip, keep): (Vec<PathBuf>, Vec<PathBuf>) = inside.into_iter().partition(skipped);
        files.extend(keep);
        left_out.extend(skip);
    }
    Ok((files, left_out))
}
