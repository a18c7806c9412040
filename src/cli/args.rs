//! What the command line takes.

use clap::{Args, Parser, Subcommand, ValueEnum};
use gannet::Options;
use gannet::runtime::device::Choice;
use std::path::PathBuf;

/// A small declarative language for neural networks and the rules that train them.
#[derive(Parser)]
#[command(name = "gannet", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Train a network: `gannet train examples/digits_mlp.gnt`.
    Train(TrainArgs),
    /// Run the checks of files or folders.
    Test(TestArgs),
    /// Check a file's names, types and shapes without running it.
    Check(FileArgs),
    /// Look for traps that shapes cannot see.
    Lint(LintArgs),
    /// Put files, or all `.gnt` files below folders, into the one style.
    Fmt(FmtArgs),
    /// Print a stage of the compilation.
    Emit(EmitArgs),
    /// Run the same steps on several devices and say how far apart they are
    Verify(VerifyArgs),
    /// List the devices of this machine and their limits.
    Devices,
    /// Explain a code of a diagnostic, `gannet explain G0203`, or what rewriting does to a file's equations.
    Explain(ExplainArgs),
    /// Show where the time of training steps goes, kernel by kernel
    Profile(ProfileArgs),
    /// Measure compile time, training steps and optimizer passes on this machine.
    Bench(BenchArgs),
}

/// `gannet lint`.
#[derive(Args)]
pub struct LintArgs {
    /// Files, or folders.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
}

/// `gannet fmt`.
#[derive(Args)]
pub struct FmtArgs {
    /// Files, or folders; of Markdown files the blocks of Gannet are formatted.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Change nothing; say which files are not formatted, and fail if there are any.
    #[arg(long)]
    pub check: bool,
}

/// A file, perhaps with sizes.
#[derive(Args)]
pub struct FileArgs {
    /// The model file.
    pub file: PathBuf,
    /// Sizes of open dims: `--dim batch=32`.
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = parse_dim)]
    pub dims: Vec<(String, u64)>,
}

/// How to run.
#[derive(Args)]
pub struct RunArgs {
    /// Keys every random draw.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Passes over the training data, instead of the program's.
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Training steps, instead of the program's.
    #[arg(long)]
    pub steps: Option<u64>,
    /// Arguments of the program: `--set lr=0.01`.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_set)]
    pub set: Vec<(String, f64)>,
    /// Sizes of open dims: `--dim batch=32`.
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = parse_dim)]
    pub dims: Vec<(String, u64)>,
    /// Threads (default: all cores). Results do not depend on it.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Precision of reals.
    #[arg(long, default_value = "f32")]
    pub real: Real,
    /// Stop at the first step that is not finite, and say where.
    #[arg(long)]
    pub check_finite: bool,
    /// Without the rewriting stage.
    #[arg(long)]
    pub no_rewrites: bool,
    /// Where to run.
    #[arg(long, default_value = "cpu")]
    pub device: Device,
    /// Bytes that loops may store for the way back, as 64M, 1G; the rest is computed again (default: all that pays)
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub memory: Option<u64>,
}

/// Where a run is computed.
#[derive(Clone, Copy, ValueEnum)]
pub enum Device {
    /// On the CPU.
    Cpu,
    /// On a GPU.
    Gpu,
    /// On a GPU, if the machine has one.
    Auto,
}

impl Device {
    /// As the library takes it.
    pub fn choice(self) -> Choice {
        match self {
            Device::Cpu => Choice::Cpu,
            Device::Gpu => Choice::Gpu,
            Device::Auto => Choice::Auto,
        }
    }
}

/// Precision of reals.
#[derive(Clone, Copy, ValueEnum)]
pub enum Real {
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

/// `gannet train`.
#[derive(Args)]
pub struct TrainArgs {
    /// The model file.
    pub file: PathBuf,
    /// The train block (default: the first).
    pub name: Option<String>,
    /// How to run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Folder of the run's files (default: runs/NAME).
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub json: bool,
    /// Nothing but errors.
    #[arg(long)]
    pub quiet: bool,
    /// Where the time went.
    #[arg(long)]
    pub timings: bool,
}

/// `gannet profile`.
#[derive(Args)]
pub struct ProfileArgs {
    /// The model file.
    pub file: PathBuf,
    /// The train block (default: the first).
    pub name: Option<String>,
    /// How to run (50 steps, unless told otherwise).
    #[command(flatten)]
    pub run: RunArgs,
    /// One JSON object a kernel instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Writes when each kernel ran as a trace that Perfetto and Chrome's `about:tracing` show.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// `gannet verify`.
#[derive(Args)]
pub struct VerifyArgs {
    /// The model file.
    pub file: PathBuf,
    /// The train block or task (default: the first).
    pub name: Option<String>,
    /// How to run (50 steps, unless told otherwise).
    #[command(flatten)]
    pub run: RunArgs,
    /// Who computes; the others are compared with the first.
    #[arg(long, value_delimiter = ',', default_value = "reference,cpu,gpu")]
    pub devices: Vec<Computer>,
    /// The largest relative difference that passes.
    #[arg(long, default_value_t = 1e-3)]
    pub bound: f64,
}

/// Who computes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Computer {
    /// The reference evaluator, in double precision.
    Reference,
    /// Machine code.
    Cpu,
    /// Shaders.
    Gpu,
}

/// `gannet test`.
#[derive(Args)]
pub struct TestArgs {
    /// Files, or folders whose `.gnt` files are taken.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Leave out files of folders whose name contains this; each is named in the output.
    #[arg(long, value_name = "TEXT")]
    pub skip: Vec<String>,
    /// How to run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `gannet emit`.
#[derive(Args)]
pub struct EmitArgs {
    /// `ast`, `program`, `graph`, `graph:built`, `graph:differentiated`, `graph:rewritten`, `plan`, `clif` or `wgsl`.
    pub stage: String,
    /// The model file.
    pub file: PathBuf,
    /// The train block or task (default: the first).
    #[arg(long)]
    pub name: Option<String>,
    /// `init`, `step`, `report`, `net f` (default: the training step, or a task's reports).
    #[arg(long)]
    pub function: Option<String>,
    /// The plan as a picture, in SVG.
    #[arg(long)]
    pub svg: bool,
    /// How to compile.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `gannet explain`.
#[derive(Args)]
pub struct ExplainArgs {
    /// A code, or a model file.
    pub what: PathBuf,
    /// The train block or task (default: the first).
    pub name: Option<String>,
    /// `init`, `step`, `report`, `net f` (default: the training step, or a task's reports).
    #[arg(long)]
    pub function: Option<String>,
    /// Everything that happened on this line.
    #[arg(long, value_name = "N")]
    pub line: Option<usize>,
    /// How to compile.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `gannet bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// Threads (default: all cores).
    #[arg(long)]
    pub threads: Option<usize>,
    /// Where to run.
    #[arg(long, default_value = "cpu")]
    pub device: Device,
    /// Only workloads whose name contains this; or a model file, whose steps and reports are measured.
    pub filter: Option<String>,
    /// The train block or task of the file (default: the first).
    pub block: Option<String>,
    /// Of a file: its steps or its reports alone.
    #[arg(long)]
    pub what: Option<Measured>,
    /// Of a file: how long to measure each.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Of a file: sizes of open dims.
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = parse_dim)]
    pub dims: Vec<(String, u64)>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// What of a file is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measured {
    /// Training steps.
    Step,
    /// Reports.
    Report,
}

impl RunArgs {
    /// As the library takes them.
    pub fn options(&self) -> Options {
        let mut options = Options {
            seed: self.seed,
            double: matches!(self.real, Real::F64),
            dims: self.dims.clone(),
            hypers: self.set.clone(),
            epochs: self.epochs,
            steps: self.steps,
            check_finite: self.check_finite,
            device: self.device.choice(),
            ..Options::default()
        };
        if let Some(threads) = self.threads {
            options.threads = threads.max(1);
        }
        options.compile.rewrites = !self.no_rewrites;
        options.compile.memory = self.memory;
        options
    }
}

fn parse_pair<T: std::str::FromStr>(text: &str, what: &str) -> Result<(String, T), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; write NAME={what}"))?;
    let value = value.trim().parse().map_err(|_| format!("`{value}` is not a {what}"))?;
    Ok((name.trim().to_string(), value))
}

fn parse_dim(text: &str) -> Result<(String, u64), String> {
    parse_pair(text, "size")
}

fn parse_set(text: &str) -> Result<(String, f64), String> {
    parse_pair(text, "number")
}

/// `800`, `64k`, `1.5G`: a number of bytes, in powers of 1024.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a number of bytes; write it as 800, 64k, 100M or 1.5G");
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (number, power) = match lower.char_indices().next_back() {
        Some((at, 'k')) => (&lower[..at], 1),
        Some((at, 'm')) => (&lower[..at], 2),
        Some((at, 'g')) => (&lower[..at], 3),
        _ => (lower, 0),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number * 1024f64.powi(power);
    if bytes.is_finite() && bytes >= 0.0 { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn bytes_have_units() {
        let cases = [("800", 800), ("64k", 65536), ("1.5G", 1_610_612_736), ("2 MB", 2_097_152), ("0", 0)];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "-1", "many", "1T", "inf", "µ"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
