//! Elimination: linear systems, determinants, Cholesky's factor, and the exponential.

/// A pivot below this part of the largest entry is 0 up to rounding.
pub const SINGULAR: f64 = 1e-15;

/// A matrix eliminated in place, and the order of its rows; `None` at a pivot that is 0 up to rounding.
struct Eliminated {
    a: Vec<f64>,
    rows: Vec<usize>,
    odd: bool,
}

/// The pivot of an elimination up to which the matrix counts as singular.
pub fn least_pivot(n: usize, a: &[f64]) -> f64 {
    SINGULAR * n as f64 * a.iter().fold(0.0, |m: f64, x| m.max(x.abs()))
}

/// Gauss's elimination with the largest pivot of each column; multipliers stay below the diagonal.
fn eliminate(n: usize, a: &[f64]) -> Option<Eliminated> {
    let mut a = a.to_vec();
    let (mut rows, mut odd): (Vec<usize>, bool) = ((0..n).collect(), false);
    let least = least_pivot(n, &a);
    for k in 0..n {
        let pivot = (k..n).reduce(|p, i| if a[i * n + k].abs() > a[p * n + k].abs() { i } else { p })?;
        if a[pivot * n + k].abs() <= least {
            return None;
        }
        if pivot != k {
            (0..n).for_each(|j| a.swap(k * n + j, pivot * n + j));
            rows.swap(k, pivot);
            odd = !odd;
        }
        for i in k + 1..n {
            let factor = a[i * n + k] / a[k * n + k];
            a[i * n + k] = factor;
            for j in k + 1..n {
                a[i * n + j] -= factor * a[k * n + j];
            }
        }
    }
    Some(Eliminated { a, rows, odd })
}

/// `x` with `a x = b`, `b` of `m` columns.
pub fn solve(n: usize, m: usize, a: &[f64], b: &[f64]) -> Result<Vec<f64>, String> {
    let Some(e) = eliminate(n, a) else { return Err("the matrix is singular".into()) };
    let mut x: Vec<f64> = e.rows.iter().flat_map(|r| b[r * m..(r + 1) * m].iter().copied()).collect();
    for i in 0..n {
        for k in 0..i {
            (0..m).for_each(|j| x[i * m + j] -= e.a[i * n + k] * x[k * m + j]);
        }
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            (0..m).for_each(|j| x[i * m + j] -= e.a[i * n + k] * x[k * m + j]);
        }
        (0..m).for_each(|j| x[i * m + j] /= e.a[i * n + i]);
    }
    Ok(x)
}

/// `log |det a|` and its sign; of a singular matrix minus infinity and 0, of an empty one 0 and 1.
pub fn logdet(n: usize, a: &[f64]) -> (f64, f64) {
    let Some(e) = eliminate(n, a) else { return (f64::NEG_INFINITY, 0.0) };
    let diagonal = (0..n).map(|i| e.a[i * n + i]);
    let sign = diagonal.clone().fold(if e.odd { -1.0 } else { 1.0 }, |s, x| if x < 0.0 { -s } else { s });
    (diagonal.map(|x| x.abs().ln()).sum(), sign)
}

/// The lower triangle `l` with `a = l l'`, of the symmetric part of `a`.
pub fn cholesky(n: usize, a: &[f64]) -> Result<Vec<f64>, String> {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = 0.5 * (a[i * n + j] + a[j * n + i]) - known;
            if i == j && rest <= SINGULAR * a[i * n + i].abs() {
                return Err(format!("the matrix is not positive definite (pivot {i} is {rest:.3e})"));
            }
            l[i * n + j] = if i == j { rest.sqrt() } else { rest / l[j * n + j] };
        }
    }
    Ok(l)
}

/// `a b` of square matrices.
fn product(n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut c = vec![0.0; n * n];
    for i in 0..n {
        for k in 0..n {
            let x = a[i * n + k];
            (0..n).for_each(|j| c[i * n + j] += x * b[k * n + j]);
        }
    }
    c
}

/// Terms of the series: at a norm of 1/2 the rest is below 1e-19.
const TERMS: usize = 16;

/// The exponential by scaling and squaring of its series.
pub fn expm(n: usize, a: &[f64]) -> Vec<f64> {
    let norm = (0..n).map(|i| a[i * n..(i + 1) * n].iter().map(|x| x.abs()).sum::<f64>()).fold(0.0, f64::max);
    let halvings = if norm > 0.5 { (2.0 * norm).log2().ceil() as i32 } else { 0 };
    let scaled: Vec<f64> = a.iter().map(|x| x * 0.5_f64.powi(halvings)).collect();
    let unit = |i: usize| f64::from(u8::from(i / n == i % n));
    let mut sum: Vec<f64> = (0..n * n).map(unit).collect();
    let mut term = sum.clone();
    for k in 1..=TERMS {
        term = product(n, &term, &scaled).into_iter().map(|x| x / k as f64).collect();
        sum.iter_mut().zip(&term).for_each(|(s, t)| *s += t);
    }
    (0..halvings).fold(sum, |e, _| product(n, &e, &e))
}
