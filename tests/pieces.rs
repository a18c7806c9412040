//! What is computed piece by piece is what is computed whole, stored or not, on any number of threads.

use gannet::compiler::plan::{Kernel, Plan};
use gannet::{Model, Options};

/// A training step of attention: its scores are larger than what they are made of, forward and backward.
fn source() -> String {
    let body = "q[b: sample, t: time, h: head, i: width] = sum[c: channel](x[b, t, c] * wq[c, h, i])
  k[b: sample, s: time, h: head, i: width] = sum[c: channel](x[b, s, c] * wk[c, h, i])
  v[b: sample, s: time, h: head, i: width] = sum[c: channel](x[b, s, c] * wv[c, h, i])
  score[b: sample, h: head, t: time, s: time] = if s <= t then sum[i](q[b, t, h, i] * k[b, s, h, i]) / sqrt(5) else -inf
  y[b: sample, t: time, h: head, i: width] = sum[s](softmax[s](score[b, h, t, s]) * v[b, s, h, i])";
    format!(
        "dim sample = 6, time = 20, head = 3, width = 5, channel = 7
train t {{
  param wq: real[channel, head, width] ~ normal
  param wk: real[channel, head, width] ~ normal
  param wv: real[channel, head, width] ~ normal
  x ~ normal[sample, time, channel]
  {body}
  largest = max(score)
  minimize mean(y^2) + 0.001*mean(tanh(y)) over wq, wk, wv by sgd(0.1)
  steps 4
  report y = y
  report largest = largest
}}
"
    )
}

/// Parameters and reports after training, as bits, and the peak memory.
fn run(text: &str, pieces: u64, threads: usize, rewrites: bool, double: bool) -> (Vec<f64>, usize) {
    let model = Model::from_source("t.gnt", text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let mut options = Options { threads, double, ..Options::default() };
    (options.compile.pieces, options.compile.rewrites) = (pieces, rewrites);
    let run = model.train("t", &options).unwrap_or_else(|e| panic!("{e}"));
    let params = ["wq", "wk", "wv"].iter().flat_map(|n| run.param(n).expect("a parameter"));
    let reports = run.outcome.reports.iter().flat_map(|r| r.1.iter().copied());
    (params.chain(reports).collect(), run.outcome.peak)
}

fn plan(text: &str, pieces: u64) -> Plan {
    let model = Model::from_source("t.gnt", text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let unit = model.unit(None, &[]).expect("there is one");
    let options = gannet::compiler::CompileOptions { pieces, verify: true, ..Default::default() };
    model.stages(&unit, "step", &options).plan
}

fn loops(plan: &Plan) -> usize {
    plan.kernels.iter().filter(|k| matches!(k, Kernel::Repeat(_))).count()
}

#[test]
fn attention_runs_piece_by_piece() {
    let text = source();
    // Forward and backward are one group: both lie between the products that make scores and those that use them.
    assert!(loops(&plan(&text, 1)) >= 1 && loops(&plan(&text, u64::MAX)) == 0);
    let (plain, _) = run(&text, u64::MAX, 1, false, true);
    for (pieces, threads) in [(1, 1), (1, 2), (u64::MAX, 1)] {
        let (found, _) = run(&text, pieces, threads, true, true);
        assert_eq!(found.len(), plain.len());
        for (a, b) in plain.iter().zip(&found) {
            assert!((a - b).abs() <= 1e-9 * (1.0 + a.abs()), "{pieces} {threads}: {a} {b}");
        }
    }
}

#[test]
fn pieces_are_the_same_bits_on_any_number_of_threads() {
    let text = source();
    let bits = |threads: usize| run(&text, 1, threads, true, false).0.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let one = bits(1);
    // Two threads take three pieces each; four take kernels of a piece together, since there are too few pieces.
    for threads in [2, 3, 4] {
        assert_eq!(one, bits(threads), "{threads} threads");
    }
}

#[test]
fn no_array_of_scores_is_stored() {
    let longer = source()
        .replace("time = 20", "time = 96")
        .replace("report y = y\n", "")
        .replace("  report largest = largest\n", "");
    let largest = |plan: &Plan| {
        let sizes = plan.tables.assumed.clone();
        plan.buffers.iter().enumerate().map(|(k, _)| plan.bytes(gannet::compiler::plan::BufferId::new(k), &sizes)).max()
    };
    let (whole, pieces) = (plan(&longer, u64::MAX), plan(&longer, 1 << 10));
    let scores = 6 * 3 * 96 * 96 * 4;
    assert!(largest(&whole).is_some_and(|b| b as usize >= scores), "{whole}");
    assert!(largest(&pieces).is_some_and(|b| (b as usize) < scores), "{pieces}");
    let (_, before) = run(&longer, u64::MAX, 1, true, false);
    let (_, after) = run(&longer, 1 << 10, 1, true, false);
    assert!(after < before, "{after} {before}");
}
