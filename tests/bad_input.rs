//! What the command line says to wrong models, wrong data and broken runs: each finding has a code, a place and a way
//! out, and nothing half-written is left.

#[macro_use]
mod common;

use std::path::Path;
use std::process::{Command, Stdio};

const MODEL: &str = "dim feature = 3
dim class = 2

data points from \"points.csv\" {
  x: real[feature] = columns 0..3
  y: class         = column 3
}

net f(x: real[.., feature]) -> real[.., class] {
  linear(class)(x)
}

train fit(lr = 0.1) on points {
  net g = f
  minimize cross_entropy(g(x), y) over g by sgd(lr)
  batch 2
  epochs 2
  report hits = accuracy(g(x), y)
}
";

const DATA: &str = "1,2,3,0\n4,5,6,1\n7,8,9,1\n";

/// Standard error and exit code of a run in a folder with this model and these data.
fn run(model: &str, data: Option<&str>, args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("model.gnt"), model).expect("written");
    if let Some(data) = data {
        std::fs::write(folder.path().join("points.csv"), data).expect("written");
    }
    finish(command(folder.path()).args(args), folder.path())
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
    command.current_dir(folder).env_remove("GANNET_DATA");
    command
}

fn finish(command: &mut Command, folder: &Path) -> String {
    common::said_by(command).replace(&folder.display().to_string(), "[dir]")
}

fn train(model: &str, data: Option<&str>, more: &[&str]) -> String {
    let args: Vec<&str> = ["train", "model.gnt"].iter().chain(more).copied().collect();
    run(model, data, &args)
}

says! {
    too_few_columns train(MODEL, Some("1,2,3\n4,5,6\n"), &[]);
    ragged_line train(MODEL, Some("1,2,3,0\n4,5,6\n"), &[]);
    label_out_of_range train(MODEL, Some("1,2,3,0\n4,5,6,7\n"), &[]);
    missing_file train(MODEL, None, &[]);
    empty_file train(MODEL, Some(""), &[]);
    nan_in_the_data train(MODEL, Some("1,2,3,0\n4,nan,6,1\n"), &[]);
    text_in_the_data train(MODEL, Some("1,2,3,0\n4,many,6,1\n"), &[]);
    batch_larger_than_the_data train(MODEL, Some(DATA), &["--dim", "batch=100"]);
    unknown_argument train(MODEL, Some(DATA), &["--set", "rate=0.1"]);
    unknown_dim train(MODEL, Some(DATA), &["--dim", "bach=2"]);
    unknown_block run(MODEL, Some(DATA), &["train", "model.gnt", "fitt"]);
    unknown_stage run(MODEL, Some(DATA), &["emit", "grph", "model.gnt"]);
    unknown_code run(MODEL, None, &["explain", "G9999"]);
    missing_model run(MODEL, None, &["check", "other.gnt"]);
    folder_below_a_file train(MODEL, Some(DATA), &["--quiet", "--out", "points.csv/run"]);
    not_finite train(MODEL, Some(DATA), &["--quiet", "--check-finite", "--set", "lr=1e38"]);
    unlike_dims run(&MODEL.replace("linear(class)(x)", "param w: real[class, feature] ~ glorot\n  x @ w"), None, &["check", "model.gnt"]);
    near_miss run(&MODEL.replace("cross_entropy", "cross_entrpy"), None, &["check", "model.gnt"]);
    cyclic_definition run(&MODEL.replace("  batch 2", "  a = b + 1\n  b = a\n  batch 2"), None, &["check", "model.gnt"]);
    unbound_index run(&MODEL.replace("linear(class)(x)", "y[b] = sum[i](x[b, k])\n  linear(class)(x)"), None, &["check", "model.gnt"]);
    two_sizes run(&MODEL.replace("dim class = 2", "dim class = 2\ndim class = 3"), None, &["check", "model.gnt"]);
    no_gradient_rule run(&MODEL.replace("by sgd(lr)", "by clip(lr)"), None, &["check", "model.gnt"]);
}

#[test]
fn full_disk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("model.gnt"), MODEL).expect("written");
    std::fs::write(folder.path().join("points.csv"), DATA).expect("written");
    let mut shell = Command::new("sh");
    let line = format!("ulimit -f 0; exec {} train model.gnt --quiet --out run", env!("CARGO_BIN_EXE_gannet"));
    let text = finish(shell.arg("-c").arg(line).current_dir(folder.path()), folder.path());
    assert!(text.contains("G0602") && text.ends_with("exit 1"), "{text}");
    let left = std::fs::read_dir(folder.path().join("run")).expect("the folder was made").count();
    assert_eq!(left, 0, "nothing half-written is left");
}

#[test]
fn a_reader_that_leaves_does_not_end_a_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("model.gnt"), MODEL).expect("written");
    std::fs::write(folder.path().join("points.csv"), DATA).expect("written");
    for args in [&["train", "model.gnt", "--out", "run"][..], &["emit", "plan", "model.gnt"], &["test", "model.gnt"]] {
        let mut child = command(folder.path())
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        drop(child.stdout.take());
        let out = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(!text.contains("panicked"), "{args:?}: {text}");
        assert_eq!(out.status.code(), Some(0), "{args:?}: {text}");
    }
    assert!(folder.path().join("run/weights.safetensors").exists(), "the run is written");
}

#[cfg(unix)]
#[test]
fn interrupted_run_keeps_its_state() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("model.gnt"), MODEL).expect("written");
    std::fs::write(folder.path().join("points.csv"), DATA).expect("written");
    let mut child = command(folder.path())
        .args(["train", "model.gnt", "--steps", "200000000", "--out", "run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    while let Some(Ok(line)) = lines.next() {
        if line.starts_with("compile") {
            break;
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    for _ in lines {}
    let out = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("G0604"), "{text}");
    assert_eq!(out.status.code(), Some(130));
    let weights = std::fs::read(folder.path().join("run/weights.safetensors")).expect("the weights were written");
    assert!(weights.len() > 32, "the file is whole");
}

#[test]
fn json_lines_end_with_the_reports() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("model.gnt"), MODEL).expect("written");
    std::fs::write(folder.path().join("points.csv"), DATA).expect("written");
    let out = command(folder.path()).args(["train", "model.gnt", "--json", "--threads", "1", "--real", "f64"]).output();
    let out = out.expect("the binary runs");
    let text = String::from_utf8(out.stdout).expect("text");
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let last = lines.last().expect("there are lines");
    assert_eq!(last["event"], "end");
    assert!(last["run"]["reports"]["hits"].is_number());
    assert!(folder.path().join("runs/fit/loss.svg").exists());
}
