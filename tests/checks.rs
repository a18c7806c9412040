//! `gannet test`: its output has one order and its numbers do not depend on the number of threads.

use std::path::Path;
use std::process::Command;

const LINE: &str = r#"
dim feature = 2
data points from "points.csv" {
  x: real[feature] = columns 0..2
  y: real          = column 2
}

net line(x: real[.., feature]) -> real[..] {
  param w: real[feature] ~ normal
  sum[feature](x * w)
}

train fit(lr = 0.1) on points {
  net f = line
  minimize (f(x) - y)^2 over f by sgd(lr)
  steps 50
  report error = mean((f(x) - y)^2)
}
"#;

fn tested(folder: &Path, threads: &str) -> (bool, Vec<String>) {
    let run = Command::new(env!("CARGO_BIN_EXE_gannet")).args(["test", "--threads", threads]).arg(folder).output();
    let run = run.expect("the command starts");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    // Times differ.
    (run.status.success(), text.lines().filter(|l| !l.trim_start().starts_with('(')).map(str::to_string).collect())
}

#[test]
fn runs_are_made_side_by_side_and_printed_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("it can be written");
    write("points.csv", "0,0,0\n1,0,2\n0,1,-1\n1,1,1\n".into());
    let many = (0..4).map(|s| format!("check \"seed {s}\" {{ fit(seed = {s}).error < 0.5 }}\n")).collect::<String>();
    write("a.gnt", format!("{LINE}{many}"));
    write("b.gnt", format!("{LINE}check \"never\" {{ fit().error < 0 }}\ncheck \"sum\" {{ 1 + 1 == 2 }}\n"));
    write("c.gnt", format!("{LINE}check \"diverges not\" {{ fit(lr = 0.2).finite == 1 }}\n"));
    let (good, lines) = tested(folder.path(), "4");
    assert!(!good);
    assert_eq!((good, lines.clone()), tested(folder.path(), "1"));
    let at = |text: &str| lines.iter().position(|l| l.contains(text)).unwrap_or_else(|| panic!("{text}: {lines:?}"));
    let order = ["a.gnt", "seed 0", "seed 1", "seed 2", "seed 3", "b.gnt", "never", "sum", "c.gnt", "diverges not"];
    assert!(order.windows(2).all(|w| at(w[0]) < at(w[1])), "{lines:?}");
    assert!(lines[at("never")].contains("FAILED") && lines[at("sum")].contains("(2.000000 against 2.000000)"));
    assert_eq!(lines.last().map(String::as_str), Some("6 passed, 1 failed"));
}

/// A run that stops takes only the checks with it that need it.
#[test]
fn a_run_that_stops_fails_its_checks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("{LINE}check \"needs it\" {{ fit().error < 1 }}\ncheck \"sum\" {{ 1 + 1 == 2 }}\n");
    std::fs::write(folder.path().join("a.gnt"), text).expect("it can be written");
    let (good, lines) = tested(folder.path(), "2");
    assert!(!good && lines.iter().any(|l| l.contains("FAILED needs it")), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("1 passed, 1 failed"));
}
