//! What the gradients of the samples of a batch cost, against the gradient of the batch.

use super::{Bench, DIGITS_DATA, Measure, write};
use gannet::{Error, Options};
use std::time::Instant;

const MODEL: &str = include_str!("../../../bench/persample.gnt");
const ROWS: usize = 64;
const WARM: usize = 20;
const TIMES: usize = 200;

/// The digits network at batch 64: the whole gradient, all samples' gradients, and the mean of them at most 1 long.
pub fn persample(bench: &Bench) -> Result<Vec<Measure>, Error> {
    let text = String::from_utf8_lossy(DIGITS_DATA);
    let rows: Vec<&str> = text.lines().take(1 + ROWS).collect();
    write(&bench.folder.path.join("rows.csv"), rows.join("\n").as_bytes())?;
    let whole = Measure::of("persample", "gradient of the batch, 64-128-10, batch 64", times(bench, "whole")?, "ms");
    let each = Measure::of("persample", "gradients of its 64 samples, written out", times(bench, "each")?, "ms");
    let clipped = Measure::of("persample", "mean of the clipped ones, not written out", times(bench, "clipped")?, "ms");
    let mut ratio =
        Measure::single("persample", "samples' gradients against the batch's", each.value / whole.value, "x");
    ratio.best = each.best / whole.best;
    let mut other = Measure::single("persample", "clipped ones against the batch's", clipped.value / whole.value, "x");
    other.best = clipped.best / whole.best;
    Ok(vec![whole, each, clipped, ratio, other])
}

/// Times of evaluating a block's report.
fn times(bench: &Bench, block: &str) -> Result<Vec<f64>, Error> {
    let model = bench.model("bench/persample.gnt", MODEL)?;
    let options = Options { ..bench.options.clone() };
    let mut session = model.session(model.unit(Some(block), &[])?, &options)?;
    let mut bound = session.bind("report", ROWS as u64).map_err(|d| model.error(d))?;
    let pool = session.pool();
    let (hypers, seed) = (session.hypers.clone(), options.seed);
    let mut times = Vec::new();
    pool.install(|| {
        for _ in 0..WARM + TIMES {
            let start = Instant::now();
            bound.run(&hypers, 1.0, seed, &mut session.store).expect("a product has a result");
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    });
    Ok(times.split_off(WARM))
}
