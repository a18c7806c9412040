//! How long checking a long file takes.
//! Law: a file of a thousand lines is checked while a person notices no wait. The wanted time is 50 ms on a quiet
//! machine, and `bench/RESULTS.md` has the measured one; the test allows for a busy machine and sees what grows faster
//! than the file.

use std::process::Command;

/// Milliseconds that the best of several checks may take in a release build on a busy machine.
const LIMIT: f64 = 200.0;

#[test]
fn a_thousand_lines_are_checked_at_once() {
    let run = Command::new(env!("CARGO_BIN_EXE_gannet")).args(["bench", "check", "--json"]).output();
    let run = run.expect("the command starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&run.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is one JSON object"))
        .collect();
    let best = |unit: &str| {
        let line = lines.iter().find(|l| l["unit"] == unit);
        line.and_then(|l| l["best"].as_f64()).unwrap_or_else(|| panic!("no line has the unit {unit}: {lines:?}"))
    };
    assert!(best("lines") >= 1000.0);
    if !cfg!(debug_assertions) {
        assert!(best("ms") < LIMIT, "{} ms for {} lines", best("ms"), best("lines"));
    }
}
