//! `gannet test`: the checks of files and folders.
//! Law: files are run side by side, as many as there are threads, but a further one begins only
//! while enough memory is free; what is printed, and in which order, does not depend on that.

use super::args::TestArgs;
use super::{files::unreadable, show};
use gannet::{CheckResult, Error, Model, Options};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// What became of a file's checks.
type Outcome = Result<Vec<(String, Result<CheckResult, Error>)>, Error>;

/// A file whose checks were run.
struct Done {
    /// Its place among the files.
    file: usize,
    /// Warnings, as they are printed.
    warnings: String,
    outcome: Outcome,
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
    let options = args.run.options();
    let workers = options.threads.min(paths.len()).max(1);
    // A run's results do not depend on its threads.
    let each = Options { threads: (options.threads / workers).max(1), ..options };
    let (sender, receiver) = channel();
    let (next, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let gate = Mutex::new(());
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let (paths, each, next, running, gate) = (&paths, &each, &next, &running, &gate);
            scope.spawn(move || work(paths, args, each, (next, running), gate, sender));
        }
        drop(sender);
        print_in_order(&paths, receiver, &mut tally);
    });
    for file in &left_out {
        say!("left out: {}", file.display());
    }
    say!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Takes files in order until there are none. A worker checks a file itself: a checked file stays on its thread.
fn work(
    paths: &[PathBuf],
    args: &TestArgs,
    options: &Options,
    (next, running): (&AtomicUsize, &AtomicUsize),
    gate: &Mutex<()>,
    sender: Sender<Done>,
) {
    loop {
        let waiting = gate.lock().expect("no worker panics at the gate");
        wait_for_memory(running);
        let file = next.fetch_add(1, Ordering::SeqCst);
        let Some(path) = paths.get(file) else { return };
        running.fetch_add(1, Ordering::SeqCst);
        drop(waiting);
        let start = Instant::now();
        let mut warnings = String::new();
        let outcome = Model::from_file(path, &args.run.dims).map(|model| {
            warnings = show::warnings_text(&model);
            model.check_results(options)
        });
        running.fetch_sub(1, Ordering::SeqCst);
        let seconds = start.elapsed().as_secs_f64();
        if sender.send(Done { file, warnings, outcome, seconds }).is_err() {
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
fn print_in_order(paths: &[PathBuf], receiver: Receiver<Done>, tally: &mut Tally) {
    let mut waiting: BTreeMap<usize, Done> = BTreeMap::new();
    let mut printed = 0;
    for done in receiver {
        waiting.insert(done.file, done);
        while let Some(done) = waiting.remove(&printed) {
            print_file(&paths[printed], done, tally);
            printed += 1;
        }
    }
}

fn print_file(path: &Path, done: Done, tally: &mut Tally) {
    say!("{}", path.display());
    super::put(std::io::stderr(), format_args!("{}", done.warnings));
    match done.outcome {
        Ok(results) => print_checks(results, tally),
        Err(error) => {
            show::error(&error);
            say!("  FAILED the file does not run");
            tally.failed += 1;
        }
    }
    say!("  ({:.1} s)", done.seconds);
}

fn print_checks(results: Vec<(String, Result<CheckResult, Error>)>, tally: &mut Tally) {
    let mut shown = Vec::new();
    for (name, result) in results {
        match result {
            Ok(result) => {
                let verdict = if result.passed { "ok" } else { "FAILED" };
                say!("  {verdict:<7}{}{}", result.text, numbers(&result));
                *(if result.passed { &mut tally.passed } else { &mut tally.failed }) += 1;
            }
            Err(error) => {
                // A run that several checks need is explained once.
                if !shown.contains(&error.diagnostics) {
                    show::error(&error);
                    shown.push(error.diagnostics);
                }
                say!("  FAILED {name}  (it does not run)");
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
