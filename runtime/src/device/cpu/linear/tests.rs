//! The crates against the plain code: the same parts up to rounding, the same faults.

use super::*;

/// Numbers in -1..1 from a linear congruential generator.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(2) + 1;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn agree(fun: LibFun, sizes: &[usize], operands: &[&[f64]], tolerance: f64) {
    let (fast, plain) = (eval(fun, sizes, operands), library::eval(fun, sizes, operands));
    let (fast, plain) = match (fast, plain) {
        (Ok(f), Ok(p)) => (f, p),
        (f, p) => return assert_eq!(f.err(), p.err(), "{fun:?} {sizes:?}"),
    };
    assert_eq!(fast.len(), plain.len());
    for (part, (f, p)) in fast.iter().zip(&plain).enumerate() {
        assert_eq!(f.len(), p.len(), "{fun:?} {sizes:?}, part {part}");
        let worst = f.iter().zip(p).filter(|(x, y)| x != y).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(worst <= tolerance, "{fun:?} {sizes:?}, part {part}: {worst:.2e}");
    }
}

#[test]
fn square_matrices() {
    for n in [32, 33, 47, 64] {
        let a = numbers(n * n, n as u64);
        let b = numbers(n * 3, 7);
        let gram: Vec<f64> =
            (0..n * n).map(|k| (0..n).map(|l| a[k / n * n + l] * a[k % n * n + l]).sum::<f64>() / n as f64).collect();
        let definite: Vec<f64> = (0..n * n).map(|k| gram[k] + f64::from(u8::from(k / n == k % n))).collect();
        agree(LibFun::Solve, &[n, n, 3], &[&a, &b], 1e-9);
        agree(LibFun::LogDet, &[n, n], &[&a], 1e-9);
        agree(LibFun::Cholesky, &[n, n], &[&definite], 1e-12);
        agree(LibFun::Eigh, &[n, n, n], &[&definite], 1e-9);
        agree(LibFun::Qr, &[n, n, n], &[&a], 1e-9);
        agree(LibFun::Svd, &[n, n, n], &[&a], 1e-8);
        agree(LibFun::Pinv, &[n, n, n], &[&definite], 1e-9);
    }
}

#[test]
fn tall_and_wide() {
    for (m, n) in [(40, 33), (33, 40), (90, 32)] {
        let a = numbers(m * n, (m + n) as u64);
        if m >= n {
            agree(LibFun::Qr, &[m, n, n], &[&a], 1e-10);
        }
        agree(LibFun::Svd, &[m, n, m.min(n)], &[&a], 1e-9);
        agree(LibFun::Pinv, &[m, n, m.min(n)], &[&a], 1e-9);
    }
}

#[test]
fn without_a_result() {
    let n = 40;
    let mut a = numbers(n * n, 3);
    (0..n).for_each(|j| a[5 * n + j] = 2.0 * a[9 * n + j]);
    agree(LibFun::Solve, &[n, n, 1], &[&a, &numbers(n, 4)], 0.0);
    agree(LibFun::LogDet, &[n, n], &[&a], 0.0);
    agree(LibFun::Cholesky, &[n, n], &[&a], 0.0);
    a[3] = f64::NAN;
    let parts = eval(LibFun::Eigh, &[n, n, n], &[&a]).expect("NaN is no fault");
    assert!(parts.iter().flatten().all(|x| x.is_nan()));
}

#[test]
fn of_lower_rank() {
    let (m, n, k) = (50, 40, 7);
    let (x, y) = (numbers(m * k, 1), numbers(k * n, 2));
    let a: Vec<f64> = (0..m * n).map(|e| (0..k).map(|l| x[e / n * k + l] * y[l * n + e % n]).sum::<f64>()).collect();
    agree(LibFun::Pinv, &[m, n, n], &[&a], 1e-9);
    let parts = eval(LibFun::Svd, &[m, n, n], &[&a]).expect("every matrix has one");
    assert!(parts[1][k] < 1e-12 * parts[1][0]);
}

#[test]
fn transforms() {
    for n in [32, 37, 60, 128] {
        let (re, im) = (numbers(n, 1), numbers(n, 2));
        agree(LibFun::Fft(Way::Forth), &[n], &[&re, &im], 1e-11);
        agree(LibFun::Fft(Way::Back), &[n], &[&re, &im], 1e-11);
    }
}

#[test]
fn permutations() {
    assert!(!odd(&[0, 1, 2]));
    assert!(odd(&[1, 0, 2]));
    assert!(!odd(&[1, 2, 0]));
}
