//! Each operation by what defines it, on random operands.

use super::eval;
use gannet_lang::program::{LibFun, Way};

/// Pseudorandom numbers in (-1, 1) (SplitMix64).
pub fn numbers(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..n).map(|_| draw()).collect()
}

fn product(m: usize, k: usize, n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    (0..m * n).map(|e| (0..k).map(|l| a[e / n * k + l] * b[l * n + e % n]).sum()).collect()
}

fn turned(m: usize, n: usize, a: &[f64]) -> Vec<f64> {
    (0..m * n).map(|e| a[e % m * n + e / m]).collect()
}

fn unit(n: usize) -> Vec<f64> {
    (0..n * n).map(|e| f64::from(u8::from(e / n == e % n))).collect()
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= 1e-11 * (1.0 + y.abs()), "{a:?} is not {b:?}");
    }
}

fn ascending(x: &[f64]) -> bool {
    x.windows(2).all(|w| w[0] <= w[1])
}

#[test]
fn sorting_is_stable_and_puts_nan_last() {
    let x = [2.0, f64::NAN, -1.0, 2.0, f64::NEG_INFINITY, 0.0];
    let parts = eval(LibFun::Sort, &[6], &[&x]).expect("sorts");
    assert_eq!(parts[0], [4.0, 2.0, 5.0, 0.0, 3.0, 1.0]);
    assert_eq!(parts[1], [3.0, 5.0, 1.0, 4.0, 0.0, 2.0]);
}

#[test]
fn recurrences_go_both_ways() {
    let (a, b) = ([9.0, 2.0, 3.0], [1.0, 1.0, 1.0]);
    assert_eq!(eval(LibFun::Recur(Way::Forth), &[3], &[&a, &b]).expect("runs")[0], [1.0, 3.0, 10.0]);
    assert_eq!(eval(LibFun::Recur(Way::Back), &[3], &[&a, &b]).expect("runs")[0], [28.0, 3.0, 1.0]);
}

#[test]
fn transforms_invert_each_other() {
    for n in [1, 2, 5, 8] {
        let (re, im) = (numbers(n as u64, n), numbers(90 + n as u64, n));
        let there = eval(LibFun::Fft(Way::Forth), &[n], &[&re, &im]).expect("runs");
        let back = eval(LibFun::Fft(Way::Back), &[n], &[&there[0], &there[1]]).expect("runs");
        close(&back[0].iter().map(|x| x / n as f64).collect::<Vec<_>>(), &re);
        close(&back[1].iter().map(|x| x / n as f64).collect::<Vec<_>>(), &im);
        close(&[there[0][0]], &[re.iter().sum()]);
    }
}

#[test]
fn systems_are_solved() {
    for n in 1..7 {
        let (a, b) = (numbers(n as u64, n * n), numbers(50 + n as u64, n * 3));
        let x = &eval(LibFun::Solve, &[n, n, 3], &[&a, &b]).expect("regular")[0];
        close(&product(n, n, 3, &a, x), &b);
        let parts = eval(LibFun::LogDet, &[n, n], &[&a]).expect("runs");
        let twice: Vec<f64> = a.iter().map(|x| 2.0 * x).collect();
        let scaled = eval(LibFun::LogDet, &[n, n], &[&twice]).expect("runs");
        close(&[scaled[0][0]], &[parts[0][0] + n as f64 * 2f64.ln()]);
    }
    assert!(eval(LibFun::Solve, &[2, 2, 1], &[&[1.0, 2.0, 2.0, 4.0], &[1.0, 1.0]]).is_err());
    let d = eval(LibFun::LogDet, &[2, 2], &[&[0.0, 2.0, 3.0, 0.0]]).expect("runs");
    close(&[d[0][0], d[1][0]], &[6f64.ln(), -1.0]);
}

#[test]
fn factors_multiply_to_the_matrix() {
    for (m, n) in [(1, 1), (3, 3), (5, 3), (6, 6), (7, 2)] {
        let a = numbers((10 * m + n) as u64, m * n);
        let qr = eval(LibFun::Qr, &[m, n, n], &[&a]).expect("runs");
        close(&product(m, n, n, &qr[0], &qr[1]), &a);
        close(&product(n, m, n, &turned(m, n, &qr[0]), &qr[0]), &unit(n));
        assert!((0..n).all(|k| qr[1][k * n + k] >= 0.0 && (0..k).all(|j| qr[1][k * n + j] == 0.0)));
        let gram = product(n, m, n, &turned(m, n, &a), &a);
        let l = &eval(LibFun::Cholesky, &[n, n], &[&gram]).expect("definite")[0];
        close(&product(n, n, n, l, &turned(n, n, l)), &gram);
        let e = eval(LibFun::Eigh, &[n, n, n], &[&gram]).expect("runs");
        let scaled: Vec<f64> = (0..n * n).map(|k| e[1][k] * e[0][k % n]).collect();
        close(&product(n, n, n, &scaled, &turned(n, n, &e[1])), &gram);
        close(&product(n, n, n, &turned(n, n, &e[1]), &e[1]), &unit(n));
        assert!(ascending(&e[0]));
    }
    assert!(eval(LibFun::Cholesky, &[2, 2], &[&[1.0, 2.0, 2.0, 1.0]]).is_err());
}

#[test]
fn singular_values_of_any_shape_and_rank() {
    for (m, n, rank) in [(1, 1, 1), (4, 4, 4), (5, 3, 3), (3, 5, 3), (4, 4, 2), (3, 2, 0)] {
        let (x, y) = (numbers(m as u64, m * rank), numbers(77 + n as u64, rank * n));
        let a = product(m, rank, n, &x, &y);
        let k = m.min(n);
        let s = eval(LibFun::Svd, &[m, n, k], &[&a]).expect("runs");
        let scaled: Vec<f64> = (0..m * k).map(|e| s[0][e] * s[1][e % k]).collect();
        close(&product(m, k, n, &scaled, &turned(n, k, &s[2])), &a);
        close(&product(k, m, k, &turned(m, k, &s[0]), &s[0]), &unit(k));
        close(&product(k, n, k, &turned(n, k, &s[2]), &s[2]), &unit(k));
        assert!(s[1].windows(2).all(|w| w[0] >= w[1]));
        let p = &eval(LibFun::Pinv, &[m, n], &[&a]).expect("runs")[0];
        close(&product(m, m, n, &product(m, n, m, &a, p), &a), &a);
        close(&product(n, n, m, &product(n, m, n, p, &a), p), p);
    }
}

#[test]
fn the_exponential_of_a_rotation() {
    let e = &eval(LibFun::Expm, &[2, 2, 4], &[&[0.0, -3.0, 3.0, 0.0]]).expect("runs")[0];
    close(e, &[3f64.cos(), -3f64.sin(), 3f64.sin(), 3f64.cos()]);
}

/// The least cost over all choices of different columns.
fn least(rows: usize, columns: usize, cost: &[f64], taken: u32, row: usize) -> f64 {
    if row == rows {
        return 0.0;
    }
    let free = (0..columns).filter(|j| taken & (1 << j) == 0);
    free.map(|j| cost[row * columns + j] + least(rows, columns, cost, taken | 1 << j, row + 1))
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn assignments_are_optimal() {
    for seed in 0..60 {
        let (rows, columns) = (1 + seed % 5, 5 + seed % 2);
        let cost = numbers(seed as u64, rows * columns);
        let columns_of = &eval(LibFun::Assign, &[rows, columns], &[&cost]).expect("runs")[0];
        let total: f64 = columns_of.iter().enumerate().map(|(i, j)| cost[i * columns + *j as usize]).sum();
        close(&[total], &[least(rows, columns, &cost, 0, 0)]);
        let mut all: Vec<i64> = columns_of.iter().map(|j| *j as i64).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), rows);
    }
}
