//! The commands.

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::put(std::io::stdout(), format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to standard error.
macro_rules! tell {
    ($($text:tt)*) => { $crate::cli::put(std::io::stderr(), format_args!("{}\n", format_args!($($text)*))) };
}

mod args;
mod bench;
mod devices;
mod emit;
mod explain;
mod files;
mod fmt;
mod lint;
mod profile;
mod progress;
mod show;
mod test;
mod trace;
mod train;
mod verify;

use args::{Cli, Command};
use clap::Parser;
use gannet::Error;
use std::process::ExitCode;

/// Prints. Whoever reads may have left (`gannet train ... | head`): the command goes on, and a run is written.
fn put(mut to: impl std::io::Write, text: std::fmt::Arguments) {
    let _ = to.write_fmt(text);
}

/// Parses the arguments and runs the command. 0: done; 1: a finding in the model, the data or the run; 2: wrong use.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Train(args) => train::train(args),
        Command::Test(args) => test::test(args),
        Command::Check(args) => check(args),
        Command::Lint(args) => lint::lint(args),
        Command::Fmt(args) => fmt::fmt(args),
        Command::Emit(args) => emit::emit(args),
        Command::Verify(args) => verify::verify(args),
        Command::Devices => Ok(devices::devices()),
        Command::Explain(args) => explain::explain(args),
        Command::Profile(args) => profile::profile(args),
        Command::Bench(args) => bench::bench(args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            show::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn check(args: &args::FileArgs) -> Result<ExitCode, Error> {
    let start = std::time::Instant::now();
    let model = gannet::Model::from_file(&args.file, &args.dims)?;
    show::warnings(&model);
    let program = &model.checked().program;
    for unit in &program.units {
        let signature = model.signature(&unit.name)?;
        let data = signature.data.map(|d| format!(" on {d}")).unwrap_or_default();
        say!("{}{data}: {} parameters in {} tensors", unit.name, signature.parameters, signature.tensors.len());
        for (name, ty) in &signature.tensors {
            say!("  {name}: {ty}");
        }
    }
    say!(
        "ok: {} programs, {} checks ({:.1} ms)",
        program.units.len(),
        program.checks.len(),
        start.elapsed().as_secs_f64() * 1e3
    );
    Ok(ExitCode::SUCCESS)
}
