//! What a GPU cannot do is said, with a code and a way out.

use crate::common::has_gpu;
use gannet::lang::diag::Code;
use gannet::runtime::device::Choice;
use gannet::{Model, Options};
use std::process::Command;

fn on_gpu() -> Options {
    Options { device: Choice::Gpu, ..Options::default() }
}

#[test]
fn double_precision_is_refused() {
    if !has_gpu("double precision") {
        return;
    }
    let model = Model::from_source("t.gnt", "task t {\n  report y = 1.0\n}\n").expect("a task");
    let unit = model.unit(None, &[]).expect("the task");
    let refused = model.session(unit, &Options { double: true, ..on_gpu() }).map(|_| ()).expect_err("refused");
    assert_eq!(refused.diagnostics.0[0].code, Code::G0609, "{refused}");
}

/// 1 TiB is more than any device binds.
#[test]
fn what_is_too_large_is_refused_with_its_size() {
    if !has_gpu("a large result") {
        return;
    }
    let text = "dim n\n\ntask t {\n  x ~ normal[n, n]\n  report y = 2*x\n}\n";
    let model = Model::from_source("t.gnt", text).unwrap_or_else(|e| panic!("{e}"));
    let unit = model.unit(None, &[]).expect("the task");
    let options = Options { dims: vec![("n".into(), 524_288)], ..on_gpu() };
    let mut session = model.session(unit, &options).unwrap_or_else(|e| panic!("{e}"));
    let refused = session.bind("report", 1).map(|_| ()).expect_err("refused");
    assert_eq!(refused.code, Code::G0609);
    assert!(refused.message.contains("1048576 MiB"), "{}", refused.message);
}

/// Mesa's software driver ends loops early, without an error.
#[test]
fn a_driver_that_ends_loops_is_not_trusted() {
    if !has_gpu("long loops") || !gannet::runtime::device::adapters()[0].software {
        return;
    }
    let text = "dim n = 300000\n\ntask t {\n  x ~ normal[n]\n  report z = argmax(x)\n}\n";
    let model = Model::from_source("t.gnt", text).unwrap_or_else(|e| panic!("{e}"));
    let unit = model.unit(None, &[]).expect("the task");
    let mut session = model.session(unit, &on_gpu()).unwrap_or_else(|e| panic!("{e}"));
    let refused = session.bind("report", 1).map(|_| ()).expect_err("refused");
    assert_eq!(refused.code, Code::G0609);
    assert!(refused.message.contains("ends loops after"), "{}", refused.message);
}

fn without_drivers(arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_gannet"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("VK_DRIVER_FILES", "nowhere.json")
        .env("VK_ICD_FILENAMES", "nowhere.json")
        .output()
        .expect("the command starts");
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    (run.status.code(), text)
}

#[test]
fn a_machine_without_drivers_says_so() {
    let (code, text) = without_drivers(&["train", "examples/digits_mlp.gnt", "--device", "gpu", "--epochs", "1"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("G0608") && text.contains("--device cpu"), "{text}");
    let (code, text) = without_drivers(&["devices"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("cpu: ") && text.contains("no GPUs"), "{text}");
}

#[test]
fn auto_runs_on_the_cpu_where_there_is_no_gpu() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_string_lossy().into_owned();
    let arguments = ["train", "examples/digits_mlp.gnt", "--device", "auto", "--steps", "2", "--out", &out];
    let (code, text) = without_drivers(&arguments);
    assert_eq!(code, Some(0), "{text}");
}
