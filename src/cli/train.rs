//! `gannet train`.

use super::args::TrainArgs;
use super::progress::{Style, Watcher};
use super::show;
use gannet::lang::diag::{Code, Diagnostic};
use gannet::runtime::record::reports_json;
use gannet::{Error, Model};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The exit code of a run that was ended by Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Trains, shows and records a run.
pub fn train(args: &TrainArgs) -> Result<ExitCode, Error> {
    let start = Instant::now();
    let style = Style::choose(args.json, args.quiet);
    let model = Model::from_file(&args.file, &args.run.dims)?;
    let checked = start.elapsed();
    show::warnings(&model);
    let mut watcher = Watcher::new(style);
    let stop = stop_on_ctrl_c();
    let run = model.train_watched(args.name.as_deref(), &args.run.options(), &mut watcher, &stop)?;
    let trained = start.elapsed();
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&run.session.unit.name));
    let written = run.write(&folder)?;
    match style {
        Style::Json => {
            say!("{}", serde_json::json!({ "event": "end", "run": reports_json(&run.session, &run.outcome) }))
        }
        Style::Quiet => {}
        _ => {
            let names: Vec<String> =
                written.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).collect();
            say!("wrote    {}: {}", folder.display(), names.join(", "));
        }
    }
    if args.timings {
        timings(&run.session.compile_time, checked, &run.outcome, trained, start.elapsed());
    }
    if run.outcome.interrupted {
        let message = format!("interrupted after step {}; the state of that step was saved", run.session.step);
        let d =
            Diagnostic::error(Code::G0604, None, message).hint(format!("its weights are in `{}`", folder.display()));
        show::error(&model.error(d));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the process.
fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let set = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    // Without a handler Ctrl-C just ends the process: nothing half-written is left even then.
    let _ = set;
    stop
}

fn timings(
    compiled: &[(String, std::time::Duration)],
    checked: std::time::Duration,
    outcome: &gannet::runtime::train::Outcome,
    trained: std::time::Duration,
    all: std::time::Duration,
) {
    let ms = |d: std::time::Duration| d.as_secs_f64() * 1e3;
    tell!("time     check {:.1} ms", ms(checked));
    for (name, time) in compiled {
        tell!("time     compile {name} {:.1} ms", ms(*time));
    }
    let steps = outcome.losses.len().max(1) as f64;
    tell!("time     steps {:.1} ms ({:.3} ms each)", ms(outcome.elapsed), ms(outcome.elapsed) / steps);
    tell!("time     write {:.1} ms, whole command {:.1} ms", ms(all - trained), ms(all));
}
