//! Library operations from a model file to the CPU: what defines each holds in single precision, on any number of
//! threads, and what has no result is a finding that names the equation.
#![allow(missing_docs)]

use gannet::{Model, Options};
use std::path::Path;

fn model(text: &str) -> Model {
    Model::from_source("test.gnt", text).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn what_defines_them_holds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/library.gnt");
    let model = Model::from_file(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
    for threads in [1, 3] {
        let options = Options { threads, ..Options::default() };
        let results = model.run_checks(&options).unwrap_or_else(|e| panic!("{e}"));
        assert!(results.len() > 15);
        for r in results {
            assert!(r.passed, "{} with {threads} threads: {:?}", r.text, r.sides);
        }
    }
}

#[test]
fn the_batch_is_solved_alike_on_any_number_of_threads() {
    let text = "dim member = 300, row = 12
        task t {
          a ~ normal[member, row, row]
          g[m: member, i: row, j: row] = sum[k](a[m, i, k] * a[m, j, k]) + (i == j)
          b ~ normal[member, row]
          x[m: member, j: row] = solve[i, j](g[m, i, j], b[m, i])
          report x = x
          report lam = eigh(g).values
        }";
    let run = |threads| {
        let options = Options { threads, ..Options::default() };
        let run = model(text).train("t", &options).unwrap_or_else(|e| panic!("{e}"));
        run.outcome.reports
    };
    let one = run(1);
    assert_eq!(one[0].1.len(), 300 * 12);
    assert!(one == run(2) && one == run(5), "every entry to the bit");
}

#[test]
fn a_singular_system_is_a_finding() {
    let text = "task t { a = [[1, 2], [2, 4]]; report x = sum(solve(a, [1, 1])) }";
    let Err(error) = model(text).train("t", &Options::default()) else { panic!("it has no solution") };
    let shown = error.to_string();
    assert!(shown.contains("G0606") && shown.contains("singular") && shown.contains("solve(a, [1, 1])"), "{shown}");
}

#[test]
fn a_matrix_with_nan_is_none() {
    let text = "task t { a = [[1, 0], [0, 1]]; z = 0*log(0 - 1); report x = sum(solve(a + z, [1, 1])) }";
    let run = model(text).train("t", &Options::default()).unwrap_or_else(|e| panic!("{e}"));
    assert!(run.report("x").is_some_and(f64::is_nan));
}
