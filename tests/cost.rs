//! The cost model against the clock: estimates of kernels' times follow what they take.
//! Law: on a busy machine times are off by any factor, so the test holds ranks against each other, loosely; `bench/cost`
//! measures how near the estimates come.

use gannet::{Model, Options};

const MODELS: [&str; 3] = ["examples/digits_mlp.gnt", "examples/transformer.gnt", "examples/autoencoder.gnt"];

/// The place of each value among all.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut places = vec![0.0; values.len()];
    order.iter().enumerate().for_each(|(place, k)| places[*k] = place as f64);
    places
}

/// Spearman's rank correlation.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let apart: f64 = ranks(a).iter().zip(ranks(b)).map(|(x, y)| (x - y).powi(2)).sum();
    1.0 - 6.0 * apart / (n * (n * n - 1.0))
}

#[test]
fn estimates_follow_the_clock() {
    let (mut estimated, mut measured) = (Vec::new(), Vec::new());
    for file in MODELS {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let model = Model::from_file(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
        let options = Options { profile: true, steps: Some(30), ..Options::default() };
        let name = model.unit(None, &[]).expect("there is one").name;
        let run = model.train(&name, &options).unwrap_or_else(|e| panic!("{e}"));
        let profile = run.outcome.profile.expect("asked for");
        for t in profile.functions.iter().flat_map(|f| &f.1).filter(|t| t.calls > 0) {
            estimated.push(t.estimate.seconds);
            measured.push(t.best.as_secs_f64());
        }
    }
    let rho = correlation(&estimated, &measured);
    let near = estimated.iter().zip(&measured).filter(|(e, m)| (0.5..=2.0).contains(&(*e / *m))).count();
    println!("{} kernels: rank correlation {rho:.2}, {near} within a factor of 2", estimated.len());
    assert!(estimated.len() > 15 && rho > 0.7, "{rho}: {estimated:?} {measured:?}");
}
