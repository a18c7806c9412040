//! Orthogonal factorizations: Householder's QR, Jacobi's rotations for eigenvectors and singular vectors.

/// Sweeps of rotations; ten suffice for any size that is tried.
const SWEEPS: usize = 60;
/// Singular values below this part of the largest count as 0 in a pseudo-inverse: what f32 data can tell from 0.
pub const CUT: f64 = 1e-6;

/// `a = q r` of `m` rows and `n <= m` columns, with no negative entry on the diagonal of `r`.
pub fn qr(m: usize, n: usize, a: &[f64]) -> Vec<Vec<f64>> {
    let mut r = a.to_vec();
    let mut mirrors: Vec<Vec<f64>> = Vec::new();
    for k in 0..n {
        let mut v: Vec<f64> = (0..m).map(|i| if i < k { 0.0 } else { r[i * n + k] }).collect();
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v[k] += if v[k] < 0.0 { -length } else { length };
        mirror(&v, m, n, &mut r);
        mirrors.push(v);
    }
    let mut q = vec![0.0; m * n];
    (0..n).for_each(|k| q[k * n + k] = 1.0);
    mirrors.iter().rev().for_each(|v| mirror(v, m, n, &mut q));
    r.truncate(n * n);
    upper(m, n, &mut q, &mut r);
    vec![q, r]
}

/// Clears `r` below its diagonal and turns its rows, with the columns of `q`, so that no entry on the diagonal is negative.
pub fn upper(m: usize, n: usize, q: &mut [f64], r: &mut [f64]) {
    for k in 0..n {
        (0..k).for_each(|j| r[k * n + j] = 0.0);
        if r[k * n + k] < 0.0 {
            (k..n).for_each(|j| r[k * n + j] = -r[k * n + j]);
            (0..m).for_each(|i| q[i * n + k] = -q[i * n + k]);
        }
    }
}

/// Reflects the columns of a matrix of `m` rows at the plane across `v`.
fn mirror(v: &[f64], m: usize, n: usize, a: &mut [f64]) {
    let square: f64 = v.iter().map(|x| x * x).sum();
    if square == 0.0 {
        return;
    }
    for j in 0..n {
        let along: f64 = (0..m).map(|i| v[i] * a[i * n + j]).sum();
        (0..m).for_each(|i| a[i * n + j] -= 2.0 * along / square * v[i]);
    }
}

/// Sine and cosine of the rotation that makes `[[a, b], [b, d]]` diagonal.
fn rotation(a: f64, b: f64, d: f64) -> (f64, f64) {
    let tau = (d - a) / (2.0 * b);
    let t = if tau >= 0.0 { 1.0 / (tau + (1.0 + tau * tau).sqrt()) } else { -1.0 / (-tau + (1.0 + tau * tau).sqrt()) };
    let c = 1.0 / (1.0 + t * t).sqrt();
    (t * c, c)
}

/// Eigenvalues of the symmetric part, ascending, and eigenvectors as columns.
pub fn eigh(n: usize, a: &[f64]) -> Vec<Vec<f64>> {
    let mut a: Vec<f64> = (0..n * n).map(|k| 0.5 * (a[k] + a[k % n * n + k / n])).collect();
    let mut v: Vec<f64> = (0..n * n).map(|k| f64::from(u8::from(k / n == k % n))).collect();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let b = a[p * n + q];
                let small = f64::EPSILON * 1e-2 * (a[p * n + p].abs() * a[q * n + q].abs()).sqrt();
                if b == 0.0 || b.abs() <= small || b.abs() < f64::MIN_POSITIVE {
                    continue;
                }
                rotated = true;
                let (s, c) = rotation(a[p * n + p], b, a[q * n + q]);
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[k * n + p], v[k * n + q]);
                    (v[k * n + p], v[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
            }
        }
        if !rotated {
            break;
        }
    }
    let values: Vec<f64> = (0..n).map(|k| a[k * n + k]).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| values[*i].total_cmp(&values[*j]));
    let mut vectors: Vec<f64> = (0..n * n).map(|k| v[k / n * n + order[k % n]]).collect();
    point_up(n, n, &mut vectors, &mut []);
    vec![order.iter().map(|k| values[*k]).collect(), vectors]
}

/// Turns columns so that the largest entry of each is positive, and the columns of `also` with them.
pub fn point_up(m: usize, k: usize, columns: &mut [f64], also: &mut [f64]) {
    for j in 0..k {
        let largest = (0..m).map(|i| columns[i * k + j]).fold(0.0_f64, |best, x| {
            // Entries that are equal up to rounding must not make the sign depend on rounding: the first counts.
            if x.abs() > best.abs() * (1.0 + 1e-9) { x } else { best }
        });
        if largest < 0.0 {
            (0..m).for_each(|i| columns[i * k + j] = -columns[i * k + j]);
            also.iter_mut().skip(j).step_by(k).for_each(|x| *x = -*x);
        }
    }
}

/// `a = u diag(s) v'` of `m` rows and `n` columns, with the lesser number of columns in `u` and `v`.
pub fn svd(m: usize, n: usize, a: &[f64]) -> Vec<Vec<f64>> {
    if m < n {
        let turned: Vec<f64> = (0..m * n).map(|k| a[k % m * n + k / m]).collect();
        let [v, s, u] = <[Vec<f64>; 3]>::try_from(tall_svd(n, m, &turned)).expect("three parts");
        let (mut u, mut v) = (u, v);
        point_up(m, m, &mut u, &mut v);
        return vec![u, s, v];
    }
    let [mut u, s, mut v] = <[Vec<f64>; 3]>::try_from(tall_svd(m, n, a)).expect("three parts");
    point_up(m, n, &mut u, &mut v);
    vec![u, s, v]
}

/// One-sided rotations: columns of `a` are made orthogonal.
fn tall_svd(m: usize, n: usize, a: &[f64]) -> Vec<Vec<f64>> {
    let mut a = a.to_vec();
    let mut v: Vec<f64> = (0..n * n).map(|k| f64::from(u8::from(k / n == k % n))).collect();
    let dot = |a: &[f64], p: usize, q: usize| (0..m).map(|i| a[i * n + p] * a[i * n + q]).sum::<f64>();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let (x, b, y) = (dot(&a, p, p), dot(&a, p, q), dot(&a, q, q));
                if b == 0.0 || b.abs() <= f64::EPSILON * (x * y).sqrt() || b.abs() < f64::MIN_POSITIVE {
                    continue;
                }
                rotated = true;
                let (s, c) = rotation(x, b, y);
                let turn = |rows: usize, w: &mut [f64]| {
                    for i in 0..rows {
                        let (x, y) = (w[i * n + p], w[i * n + q]);
                        (w[i * n + p], w[i * n + q]) = (c * x - s * y, s * x + c * y);
                    }
                };
                turn(m, &mut a);
                turn(n, &mut v);
            }
        }
        if !rotated {
            break;
        }
    }
    let lengths: Vec<f64> = (0..n).map(|j| dot(&a, j, j).sqrt()).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| lengths[*j].total_cmp(&lengths[*i]));
    let s: Vec<f64> = order.iter().map(|j| lengths[*j]).collect();
    let mut u: Vec<f64> = (0..m * n).map(|k| a[k / n * n + order[k % n]]).collect();
    let least = s.first().copied().unwrap_or(0.0) * f64::EPSILON;
    for j in 0..n {
        if s[j] > least && s[j] > 0.0 {
            (0..m).for_each(|i| u[i * n + j] /= s[j]);
        } else {
            complete(m, n, j, &mut u);
        }
    }
    vec![u, s, (0..n * n).map(|k| v[k / n * n + order[k % n]]).collect()]
}

/// Column `j` becomes a unit vector orthogonal to the columns before it.
fn complete(m: usize, n: usize, j: usize, u: &mut [f64]) {
    let mut best = (0.0, Vec::new());
    for unit in 0..m {
        let mut w: Vec<f64> = (0..m).map(|i| f64::from(u8::from(i == unit))).collect();
        for _ in 0..2 {
            for k in 0..j {
                let along: f64 = (0..m).map(|i| w[i] * u[i * n + k]).sum();
                (0..m).for_each(|i| w[i] -= along * u[i * n + k]);
            }
        }
        let length = w.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > best.0 + 1e-9 {
            best = (length, w);
        }
    }
    (0..m).for_each(|i| u[i * n + j] = best.1[i] / best.0);
}

/// The pseudo-inverse, `n` rows and `m` columns.
pub fn pinv(m: usize, n: usize, a: &[f64]) -> Vec<f64> {
    let k = m.min(n);
    let [u, s, v] = <[Vec<f64>; 3]>::try_from(svd(m, n, a)).expect("three parts");
    let least = CUT * s.first().copied().unwrap_or(0.0);
    let kept: Vec<usize> = (0..k).filter(|j| s[*j] > least).collect();
    let entry = |e: usize| kept.iter().map(|j| v[e / m * k + j] / s[*j] * u[e % m * k + j]).sum();
    (0..n * m).map(entry).collect()
}
