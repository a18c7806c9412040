//! `--check-finite` names the first equation that made a NaN or an infinity, the index of the entry, and what it was made
//! of: each fault here is seeded in a known line.

#[macro_use]
mod common;

use std::process::Command;

const DATA: &str = "1,2,0\n0,5,1\n7,-8,1\n30,9,0\n";

/// A model whose net has this body, one row a batch entry: `x` and `y` are the columns.
fn model(body: &str) -> String {
    format!(
        "data points from \"points.csv\" {{
  x: real = column 0
  y: real = column 1
  z: real = column 2
}}

net f(x: real[..], y: real[..]) -> real[..] {{
  param w: real[2] = 1
{body}
}}

train fit(lr = 0.1) on points {{
  net g = f
  minimize mean((g(x, y) - z)^2) over g by sgd(lr)
  steps 3
}}
"
    )
}

fn run(model: &str, args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("model.gnt"), model).expect("written");
    std::fs::write(folder.path().join("points.csv"), DATA).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
    command.current_dir(folder.path()).args(["train", "model.gnt", "--quiet", "--check-finite"]).args(args);
    common::said_by(&mut command)
}

/// The finding, and the line of the model that it points to.
fn located(body: &str, line: &str, args: &[&str]) -> String {
    let model = model(body);
    let said = run(&model, args);
    let number = 1 + model.lines().position(|l| l.trim() == line).expect("the line is in the model");
    assert!(said.contains(&format!("model.gnt:{number}:")), "the fault is in line {number}:\n{said}");
    said
}

says! {
    log_of_nought located("  h = w[0] * x\n  s = log(h)\n  s + y*w[1]", "s = log(h)", &[]);
    nought_by_nought located("  h = w[0] * x\n  s = h / x\n  s + y*w[1]", "s = h / x", &[]);
    exp_overflow located("  h = 30 * w[0] * x\n  s = exp(h)\n  s + y*w[1]", "s = exp(h)", &[]);
    sqrt_of_a_negative located("  h = w[0] * y\n  s = sqrt(h)\n  s + x*w[1]", "s = sqrt(h)", &[]);
    slope_of_sqrt_at_nought located("  h = w[0] * x\n  s = sqrt(h)\n  s + y*w[1]", "s = sqrt(h)", &[]);
    rate_too_large located("  x*w[0] + y*w[1]", "minimize mean((g(x, y) - z)^2) over g by sgd(lr)", &["--set", "lr=1e20"]);
    first_value run(&model("  x*w[0] + y*w[1]").replace("= 1\n", "= log(0)\n"), &[]);
}

#[test]
fn a_branch_not_taken_and_a_mask_are_no_faults() {
    let body = "  s = if x > 0 then log(x) else 0\n  m = if x > 100 then -inf else 0\n  s*w[0] + exp(m)*y*w[1]";
    assert_eq!(run(&model(body), &["--set", "lr=1e-4"]), "exit 0");
}

#[test]
fn a_fault_behind_a_mask_is_found() {
    let body = "  m = if x > 0 then -inf else 0\n  s = log(x)\n  (if x > 0 then s else m + s)*w[0] + y*w[1]";
    let said = located(body, "s = log(x)", &[]);
    assert!(said.contains("[points = 1]") || said.contains("[batch = 1]"), "{said}");
}
