//! What `gannet explain FILE` and `gannet profile` tell is what happened.

use gannet::Model;
use gannet::compiler::CompileOptions;
use gannet::compiler::egraph::Change;
use gannet::compiler::graph::Phase;
use std::path::Path;
use std::process::Command;

const SIDE: &str = "dim sample = 64
dim in = 8
train side {
  param w: real[in] = 0
  x ~ normal[sample, in]
  s = sign(sum[in](x))
  minimize -log(sigmoid(s * (x @ w))) over w by sgd(0.1)
  steps 3
  report accuracy = mean((x @ w > 0) == (s > 0))
}
";

/// Runs the command line; what it printed.
fn gannet(words: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_gannet")).args(words).output().expect("the binary runs");
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).display().to_string()
}

#[test]
fn rules_are_told_with_their_places() {
    let model = Model::from_source("side.gnt", SIDE).unwrap_or_else(|e| panic!("{e}"));
    let unit = model.unit(None, &[]).expect("there is one");
    let told = model.explain(&unit, "step", &CompileOptions::default());
    let steps: Vec<_> = told.reports.iter().flat_map(|r| &r.steps).collect();
    let stable = steps.iter().find(|s| s.rule == "log-sigmoid").expect("the rule fires");
    assert_eq!(model.sources().position(stable.place.span).0, 7);
    assert_eq!(stable.place.phase, Some(Phase::Forward));
    assert!(stable.before.starts_with("log(sigmoid(") && stable.after.contains("softplus("), "{stable:?}");
    // The gradient's `1 - sigmoid` comes of the same line, and is no longer there.
    let changes: Vec<&Change> = told.reports.iter().flat_map(|r| &r.regions).flat_map(|r| &r.changes).collect();
    let gradient = changes.iter().find(|c| c.proof.iter().any(|s| s.rule == "one-minus-sigmoid")).expect("chosen");
    assert_eq!(gradient.place.phase, Some(Phase::Backward));
}

/// Each form that an e-graph chose is led to by rules, the last of which makes it, up to the forms of its operands.
#[test]
fn what_is_chosen_is_proved() {
    let mut proved = 0;
    for file in ["bench/transformer.gnt", "bench/pinn.gnt", "bench/lstm.gnt", "examples/digits_mlp.gnt"] {
        let model = Model::from_file(example(file), &[]).unwrap_or_else(|e| panic!("{e}"));
        let unit = model.unit(None, &[]).expect("there is one");
        let told = model.explain(&unit, "step", &CompileOptions::default());
        let plain =
            model.stages(&unit, "step", &CompileOptions { stop_after: Some("rewrite".into()), ..Default::default() });
        assert_eq!(told.after.to_string(), plain.rewritten.to_string(), "telling changes nothing");
        for change in told.reports.iter().flat_map(|r| &r.regions).flat_map(|r| &r.changes) {
            assert!(!change.proof.is_empty(), "{file}: {change:?}");
            proved += 1;
        }
    }
    assert!(proved > 10, "{proved}");
}

#[test]
fn the_command_lists_lines_and_rules() {
    let all = gannet(&["explain", &example("bench/transformer.gnt")]);
    assert!(all.contains("e-graphs of") && all.contains("layers.gnt:20") && all.contains("square-recip-sqrt"), "{all}");
    let line = gannet(&["explain", &example("bench/transformer.gnt"), "--line", "27"]);
    assert!(line.contains("common-factor") && line.contains("softmax[s](score[h, t, s])"), "{line}");
    let nothing = gannet(&["explain", &example("bench/transformer.gnt"), "--line", "1"]);
    assert!(nothing.contains("no rule changed"), "{nothing}");
}

/// Parts of the step add up to the whole; the trace holds every call, those of a loop's step inside of it.
#[test]
fn the_profile_knows_the_parts_of_a_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.json");
    let path = trace.to_str().expect("text");
    let lines = gannet(&["profile", &example("examples/digits_mlp.gnt"), "--steps", "7", "--json", "--trace", path]);
    let rows: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    for part in ["forward", "backward", "update"] {
        let of =
            |row: &serde_json::Value| row["sources"].as_array().is_some_and(|s| s.iter().any(|s| s["part"] == part));
        assert!(rows.iter().any(of), "{part}");
    }
    for row in &rows {
        let shares: f64 = row["sources"].as_array().into_iter().flatten().filter_map(|s| s["share"].as_f64()).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{row}");
        assert!(row["estimate"].as_f64().is_some_and(|s| s > 0.0), "{row}");
    }
    let text = std::fs::read_to_string(&trace).expect("written");
    let trace: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let calls = trace["traceEvents"].as_array().expect("events").iter().filter(|e| e["ph"] == "X").count();
    assert_eq!(calls as u64, rows.iter().filter_map(|r| r["calls"].as_u64()).sum::<u64>());
}
