//! `gannet bench`: what compiling, a training step, an optimizer's pass and whole runs take on this machine.
//! Law: what is measured is what a user gets, the library's own path from source to trained network; data that a
//! measurement needs and no example has are noise, written to a temporary folder that is removed at the end.

mod file;
mod large;
mod persample;

use super::args::BenchArgs;
use gannet::lang::diag::{Code, Diagnostic};
use gannet::runtime::session::Session;
use gannet::runtime::train::{Observer, Progress};
use gannet::{Error, Model, Options};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

const MLP: &str = include_str!("../../../bench/mlp.gnt");
const TINY: &str = include_str!("../../../bench/tiny.gnt");
const ADAM: &str = include_str!("../../../bench/adam.gnt");
const DIGITS: &str = include_str!("../../../examples/digits_mlp.gnt");
const DIGITS_DATA: &[u8] = include_bytes!("../../../examples/data/digits.csv");
const FASHION: &str = include_str!("../../../examples/fashion_mnist.gnt");

/// Steps before a step's time counts: caches fill, pages are mapped, threads wake.
const WARM: usize = 50;
const ADAM_PARAMETERS: f64 = 1e7;

/// One number that was measured.
struct Measure {
    workload: &'static str,
    what: &'static str,
    value: f64,
    best: f64,
    unit: &'static str,
}

impl Measure {
    /// The median and the best of several times.
    fn of(workload: &'static str, what: &'static str, times: Vec<f64>, unit: &'static str) -> Measure {
        let (value, best) = median_and_best(times);
        Measure { workload, what, value, best, unit }
    }

    /// A number that is no time: its best is itself.
    fn single(workload: &'static str, what: &'static str, value: f64, unit: &'static str) -> Measure {
        Measure { workload, what, value, best: value, unit }
    }

    fn show(&self, json: bool, threads: usize) {
        let Measure { workload, what, value, best, unit } = self;
        if json {
            let line = json!({ "workload": workload, "by": "Gannet", "what": what, "value": value, "best": best,
                               "unit": unit, "threads": threads });
            say!("{line}");
        } else {
            say!("{workload:8} {what:42} {value:>10.3} {best:>10.3} {unit}");
        }
    }
}

fn median_and_best(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let at = |k: usize| times.get(k).copied().unwrap_or(f64::NAN);
    (at(times.len() / 2), at(0))
}

/// The options with as many threads as are asked for.
fn on_threads(args: &BenchArgs) -> Options {
    let options = Options::default();
    let device = args.device.choice();
    Options { threads: args.threads.map_or(options.threads, |n| n.max(1)), device, ..options }
}

/// A workload: its name and what measures it.
type Workload = (&'static str, fn(&Bench) -> Result<Vec<Measure>, Error>);

const WORKLOADS: [Workload; 10] = [
    ("check", check),
    ("compile", compile),
    ("mlp", mlp),
    ("tiny", tiny),
    ("adam", adam),
    ("adabelief", adabelief),
    ("lion", lion),
    ("persample", persample::persample),
    ("digits", digits),
    ("fashion", fashion),
];

/// What all workloads share.
struct Bench {
    folder: Folder,
    options: Options,
}

/// Measures the workloads whose names contain the filter.
///
/// # Errors
/// A filter that names none of them, a temporary folder that cannot be written, data that cannot be read.
pub fn bench(args: &BenchArgs) -> Result<ExitCode, Error> {
    let filter = args.filter.as_deref().unwrap_or("");
    if filter.ends_with(".gnt") {
        file::file(args, Path::new(filter))?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<&Workload> = WORKLOADS.iter().filter(|(name, _)| name.contains(filter)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = WORKLOADS.iter().map(|(name, _)| *name).collect();
        let d = Diagnostic::error(Code::G0701, None, format!("no workload is named like `{filter}`"));
        return Err(bare(d.hint(format!("there are {}", names.join(", ")))));
    }
    let bench = Bench { folder: Folder::new()?, options: on_threads(args) };
    let threads = bench.options.threads;
    if !args.json {
        say!("{:8} {:42} {:>10} {:>10}   ({threads} threads)", "workload", "what", "median", "best");
    }
    for (_, run) in chosen {
        for measure in run(&bench)? {
            measure.show(args.json, threads);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Names, types and shapes of a file of a thousand lines, from its text.
fn check(bench: &Bench) -> Result<Vec<Measure>, Error> {
    const TIMES: usize = 20;
    let text = large::source();
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let start = Instant::now();
        bench.model("bench/large.gnt", &text)?;
        times.push(milliseconds(start));
    }
    Ok(vec![
        Measure::single("check", "lines of the file", text.lines().count() as f64, "lines"),
        Measure::of("check", "names, types and shapes of that file", times, "ms"),
    ])
}

/// From source text to a training step that could run at once: check, every stage, machine code, memory.
fn compile(bench: &Bench) -> Result<Vec<Measure>, Error> {
    const TIMES: usize = 10;
    bench.folder.noise()?;
    let (mut checks, mut steps, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let (_, data) = bench.mlp_data()?;
    for _ in 0..TIMES {
        let start = Instant::now();
        let model = bench.model("bench/mlp.gnt", MLP)?;
        let unit = model.unit(None, &[])?;
        checks.push(milliseconds(start));
        let (set, sizes) = data.clone();
        let mut session = Session::new(unit, set, sizes, bench.options.clone()).map_err(|d| model.error(d))?;
        let before_step = Instant::now();
        session.bind("step", 128).map_err(|d| model.error(d))?;
        steps.push(milliseconds(before_step));
        all.push(milliseconds(start));
    }
    Ok(vec![
        Measure::of("compile", "MLP 784-512-512-10: check", checks, "ms"),
        Measure::of("compile", "its training step: stages, machine code", steps, "ms"),
        Measure::of("compile", "source to runnable step, first values drawn", all, "ms"),
    ])
}

/// Training steps of the multilayer perceptron at batch 128.
fn mlp(bench: &Bench) -> Result<Vec<Measure>, Error> {
    bench.folder.noise()?;
    let times = bench.steps("bench/mlp.gnt", MLP)?;
    Ok(vec![Measure::of("mlp", "training step 784-512-512-10, batch 128", times, "ms")])
}

/// Training steps of a network that is overhead alone.
fn tiny(bench: &Bench) -> Result<Vec<Measure>, Error> {
    let times = bench.steps("bench/tiny.gnt", TINY)?;
    Ok(vec![Measure::of("tiny", "training step 32-32-1, batch 16", times, "ms")])
}

/// Passes of Adam over ten million parameters: reads w, g, m, v and writes w, m, v.
fn adam(bench: &Bench) -> Result<Vec<Measure>, Error> {
    bench.rule("adam", "adam(1e-3)", "step of Adam over 10 million parameters", 28.0)
}

/// The same for AdaBelief (Zhuang et al. 2020), which has as much to move.
fn adabelief(bench: &Bench) -> Result<Vec<Measure>, Error> {
    bench.rule("adabelief", "adabelief(1e-3)", "step of AdaBelief over 10 million parameters", 28.0)
}

/// The same for Lion (Chen et al. 2023): reads w, g, m and writes w, m.
fn lion(bench: &Bench) -> Result<Vec<Measure>, Error> {
    bench.rule("lion", "lion(1e-4)", "step of Lion over 10 million parameters", 20.0)
}

/// The digits example, three seeds.
fn digits(bench: &Bench) -> Result<Vec<Measure>, Error> {
    let folder = bench.folder.path.join("data");
    write(&folder.join("digits.csv"), DIGITS_DATA)?;
    let (mut seconds, mut accuracy) = (Vec::new(), 0.0);
    const SEEDS: u64 = 3;
    for seed in 0..SEEDS {
        let start = Instant::now();
        let model = bench.model("examples/digits_mlp.gnt", DIGITS)?;
        let run = model.train("digits_mlp", &Options { seed, ..bench.options.clone() })?;
        seconds.push(start.elapsed().as_secs_f64());
        accuracy += run.report("accuracy").unwrap_or(f64::NAN) / SEEDS as f64;
    }
    Ok(vec![
        Measure::of("digits", "source to trained network, 30 epochs", seconds, "s"),
        Measure::single("digits", "test accuracy, mean of 3 seeds", accuracy, ""),
    ])
}

/// Fashion-MNIST, if its data are at hand.
fn fashion(bench: &Bench) -> Result<Vec<Measure>, Error> {
    let places = std::env::var_os("GANNET_DATA").unwrap_or_default();
    if !std::env::split_paths(&places).any(|p| p.join("fashion-mnist").exists()) {
        tell!("fashion is left out: set GANNET_DATA to the folder that holds fashion-mnist");
        return Ok(Vec::new());
    }
    let start = Instant::now();
    let model = bench.model("examples/fashion_mnist.gnt", FASHION)?;
    let run = model.train("fashion_mlp", &bench.options)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(vec![
        Measure::single("fashion", "source to trained network, 10 epochs", seconds, "s"),
        Measure::single("fashion", "test accuracy", run.report("accuracy").unwrap_or(f64::NAN), ""),
    ])
}

impl Bench {
    /// A model whose data lie in the temporary folder.
    fn model(&self, name: &str, text: &str) -> Result<Model, Error> {
        Ok(Model::from_source(name, text)?.data_folder(&self.folder.path))
    }

    fn mlp_data(&self) -> Result<(Model, Loaded), Error> {
        let model = self.model("bench/mlp.gnt", MLP)?;
        let unit = model.unit(None, &[])?;
        let data = model.load_data(&unit, &self.options)?;
        Ok((model, data))
    }

    /// Steps of `bench/adam.gnt` with this rule, which moves so many bytes for each parameter.
    fn rule(&self, workload: &'static str, rule: &str, what: &'static str, bytes: f64) -> Result<Vec<Measure>, Error> {
        let times = self.steps("bench/adam.gnt", &ADAM.replace("adam(1e-3)", rule))?;
        let step = Measure::of(workload, what, times, "ms");
        let rate = bytes * ADAM_PARAMETERS / 1e6;
        let mut bandwidth = Measure::single(workload, "its bandwidth", rate / step.value, "GB/s");
        bandwidth.best = rate / step.best;
        Ok(vec![step, bandwidth])
    }

    /// Times of the training steps of a model's first train block, in milliseconds.
    fn steps(&self, name: &str, text: &str) -> Result<Vec<f64>, Error> {
        let mut clock = Clock::default();
        let model = self.model(name, text)?;
        model.train_watched(None, &self.options, &mut clock, &AtomicBool::new(false))?;
        Ok(clock.times.split_off(WARM.min(clock.times.len())))
    }
}

/// A data set with the sizes that it binds.
type Loaded = (Option<std::sync::Arc<gannet::runtime::data::Dataset>>, gannet::runtime::data::Sizes);

/// Notes what every step takes.
#[derive(Default)]
struct Clock {
    last: f64,
    times: Vec<f64>,
}

impl Observer for Clock {
    fn stepped(&mut self, progress: &Progress) {
        let now = progress.elapsed.as_secs_f64() * 1e3;
        self.times.push(now - self.last);
        self.last = now;
    }
}

/// A temporary folder, removed when dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Result<Folder, Error> {
        let path = std::env::temp_dir().join(format!("gannet-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| unwritable(&path, &e))?;
        Ok(Folder { path })
    }

    /// Data of the shape of `bench/mlp.gnt`, in its folder: 1280 rows, ten batches.
    fn noise(&self) -> Result<(), Error> {
        const ROWS: usize = 1280;
        // The high bits of a linear congruential generator (Knuth, MMIX).
        let mut state: u64 = 1;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        let image: Vec<u8> = (0..ROWS * 784).flat_map(|_| draw().to_le_bytes()).collect();
        let label: Vec<u8> = (0..ROWS).flat_map(|_| ((draw() * 10.0) as i32).to_le_bytes()).collect();
        write(&self.path.join("mlp/image.npy"), &npy("<f4", &format!("{ROWS}, 784"), &image))?;
        write(&self.path.join("mlp/label.npy"), &npy("<i4", &format!("{ROWS},"), &label))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed stays behind in the system's temporary folder; nothing depends on it.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// An array as an npy file of version 1.0 (NumPy enhancement proposal 1): its header ends at a multiple of 64 bytes.
fn npy(dtype: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let head = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    let length = (10 + head.len() + 1).next_multiple_of(64) - 10;
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((length as u16).to_le_bytes());
    file.extend(format!("{head:<width$}\n", width = length - 1).bytes());
    file.extend(numbers);
    file
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, bytes)).map_err(|e| unwritable(path, &e))
}

fn unwritable(path: &Path, e: &std::io::Error) -> Error {
    let d = Diagnostic::error(Code::G0602, None, format!("`{}` cannot be written: {e}", path.display()));
    bare(d.hint("set TMPDIR to a folder with room for 5 MB"))
}

/// A finding that speaks of no source.
fn bare(d: Diagnostic) -> Error {
    Error { diagnostics: d.into(), sources: Default::default() }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
