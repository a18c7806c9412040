//! Operations along one axis.

use gannet_lang::program::Way;
use std::cmp::Ordering;

/// Ascending, equal entries in their order, NaN after everything else.
pub fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Which entry has each place, and which place each entry has.
pub fn sort(x: &[f64]) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|i, j| compare(x[*i], x[*j]));
    let mut rank = vec![0.0; x.len()];
    order.iter().enumerate().for_each(|(place, i)| rank[*i] = place as f64);
    vec![order.into_iter().map(|i| i as f64).collect(), rank]
}

/// `h[i] = a[i]*h[before i] + b[i]`.
pub fn recur(way: Way, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut h = vec![0.0; a.len()];
    let mut last = 0.0;
    for step in 0..a.len() {
        let i = if way == Way::Forth { step } else { a.len() - 1 - step };
        // The first entry has nothing before it, whatever its factor is.
        last = if step == 0 { b[i] } else { a[i] * last + b[i] };
        h[i] = last;
    }
    h
}

/// The discrete Fourier transform by its definition.
pub fn fourier(way: Way, re: &[f64], im: &[f64]) -> Vec<Vec<f64>> {
    let n = re.len();
    let sign = if way == Way::Forth { -1.0 } else { 1.0 };
    let turn = |k: usize| (sign * std::f64::consts::TAU * k as f64 / n as f64).sin_cos();
    let (mut out_re, mut out_im) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..n {
        for i in 0..n {
            let (sin, cos) = turn(i * k % n);
            out_re[k] += re[i] * cos - im[i] * sin;
            out_im[k] += re[i] * sin + im[i] * cos;
        }
    }
    vec![out_re, out_im]
}
