//! `gannet verify`: the same steps on several devices.

use super::args::{Computer, VerifyArgs};
use super::show;
use gannet::{Error, Model, Options, Way};
use std::process::ExitCode;

/// Steps, unless `--steps` says otherwise.
const STEPS: u64 = 50;

/// Runs the steps everywhere and prints, value by value, how far apart they are; 1 if one is beyond the bound.
///
/// # Errors
/// What `train` finds wrong.
pub fn verify(args: &VerifyArgs) -> Result<ExitCode, Error> {
    let model = Model::from_file(&args.file, &args.run.dims)?;
    show::warnings(&model);
    let mut options: Options = args.run.options();
    if options.steps.is_none() && options.epochs.is_none() {
        options.steps = Some(STEPS);
    }
    let ways: Vec<Way> = args.devices.iter().map(|c| way(*c)).collect();
    let found = model.verify(args.name.as_deref(), &options, &ways, args.bound)?;
    let mut passed = true;
    for (way, differences) in &found {
        say!("{} against {}: {} values", named(*way), named(ways[0]), differences.len());
        differences.iter().for_each(|d| say!("  {:9.2e}  {}{}", d.largest, d.name, after(d.step)));
        let beyond = differences.iter().filter_map(|d| Some((d.beyond?, d)));
        match beyond.min_by_key(|(step, _)| *step) {
            Some((step, d)) => {
                passed = false;
                say!("  the first beyond {:.1e}: {}, after step {step}", args.bound, d.name);
            }
            None => say!("  all within {:.1e}", args.bound),
        }
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn after(step: Option<usize>) -> String {
    step.map_or(String::new(), |s| format!(", after step {s}"))
}

fn way(c: Computer) -> Way {
    match c {
        Computer::Reference => Way::Reference,
        Computer::Cpu => Way::Cpu,
        Computer::Gpu => Way::Gpu,
    }
}

fn named(way: Way) -> &'static str {
    match way {
        Way::Reference => "reference",
        Way::Cpu => "cpu",
        Way::Gpu => "gpu",
    }
}
