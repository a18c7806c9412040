//! What a scalar condition leaves out is not computed: `every k steps`, and the branch of an `if` that is not taken.

use gannet::{Model, Options};

/// Runs a block; its kernels' names with how often they ran, and the reports by name.
fn calls(source: &str) -> (Vec<(String, u64)>, Vec<(String, Vec<f64>)>) {
    let model = Model::from_source("due.gnt", source).unwrap_or_else(|e| panic!("{source}\n{e}"));
    let run = model.train("t", &Options { profile: true, ..Options::default() }).unwrap_or_else(|e| panic!("{e}"));
    let profile = run.outcome.profile.expect("asked for");
    let kernels = profile.functions.iter().flat_map(|(_, kernels)| kernels);
    (kernels.map(|k| (k.name.clone(), k.calls)).collect(), run.outcome.reports.clone())
}

fn often(kernels: &[(String, u64)], calls: u64) -> bool {
    kernels.iter().any(|k| k.1 == calls)
}

#[test]
fn every_so_many_steps() {
    let (kernels, reports) = calls(
        "dim k = 48
data some { x ~ normal[64, k] }
train t on some {
  param w: real[k] = 0
  state gram: real[k, k] = 0
  state count: int = 0
  minimize (x @ w - x[.., 0])^2 over w by sgd(0.01)
  every 5 steps {
    gram'[a: k, b: k] = sum[n: batch](x[n, a] * x[n, b])
    count' = count + 1
  }
  steps 23
  report count = count
  report gram = gram
}
",
    );
    assert!(often(&kernels, 4) && often(&kernels, 23), "{kernels:?}");
    let report = |name: &str| reports.iter().find(|r| r.0 == name).expect("reported").1.clone();
    assert_eq!(report("count"), [4.0]);
    let trace: f64 = report("gram").iter().step_by(49).sum();
    assert!((2000.0..4200.0).contains(&trace), "{trace}");
}

/// An index is always computed, since it may become an address; what it is the index of need not be.
#[test]
fn the_place_of_an_extremum_every_so_many_steps() {
    let (kernels, reports) = calls(
        "dim k = 48
data some { x ~ normal[64, k] }
train t on some {
  param w: real[k] = 0
  state best: k = 0
  minimize (x @ w - x[.., 0])^2 over w by sgd(0.01)
  every 5 steps {
    gram[a: k, b: k] = sum[n: batch](x[n, a] * x[n, b])
    best' = argmax[a: k](sum[b: k](abs(gram[a, b])))
  }
  steps 23
  report best = real(best)
}
",
    );
    assert!(often(&kernels, 4) && often(&kernels, 23), "{kernels:?}");
    assert!(reports[0].1[0] >= 0.0 && reports[0].1[0] < 48.0);
}

#[test]
fn the_branch_that_is_taken() {
    let (kernels, reports) = calls(
        "dim k = 32
train t {
  param w: real[k, k] ~ normal
  state root: real[k, k] = 0
  ridge[a: k, b: k] = real(a == b)
  root' = if t mod 4 == 1 then pinv(w @ w.T + ridge) else root
  minimize 0.5 * sum((w - 1)^2) over w by sgd(0.1)
  steps 10
  report far = sum((w - 1)^2)
  report root = max(abs(root))
}
",
    );
    // Steps 1, 5 and 9.
    assert!(often(&kernels, 3) && often(&kernels, 10), "{kernels:?}");
    assert!(reports.iter().all(|r| r.1[0].is_finite() && r.1[0] > 0.0), "{reports:?}");
}

/// The same with the condition in a state, and with both branches dear; against a run that computes both.
#[test]
fn a_condition_of_a_state() {
    let block = |rest: &str| {
        format!(
            "dim k = 160
data some {{ x ~ normal[64, k] }}
train t on some {{
  param w: real[k] ~ normal
  state turn: real = 0
  turn' = turn + 1
  gram[a: k, b: k] = sum[n: batch](x[n, a] * x[n, b]) / 64
  both = {rest}
  minimize (x @ w)^2 + sum(stop(both) * w) over w by sgd(0.01)
  steps 9
  report w = w
}}
"
        )
    };
    let (kernels, one) = calls(&block("if turn mod 3 < 1 then gram @ w else (gram * gram) @ w"));
    let (always, other) = calls(&block("{ c = real(turn mod 3 < 1); c * (gram @ w) + (1 - c) * ((gram * gram) @ w) }"));
    assert!(always.iter().all(|k| k.1 == 9), "{always:?}");
    assert!(kernels.iter().any(|k| k.1 < 9), "{kernels:?}");
    for (a, b) in one[0].1.iter().zip(&other[0].1) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}
