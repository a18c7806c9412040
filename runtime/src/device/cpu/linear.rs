//! Library operations on large operands, by well-kept crates: `faer` for factorizations, `rustfft` for transforms.
//! Law: what they give agrees with the plain code of [`gannet_compiler::library`], which says what signs and orders are, runs
//! where an operand is small, and decides where there may be no result. One thread computes a result, so it does not depend
//! on their number.

use faer::linalg::solvers::{PartialPivLu, Solve};
use faer::{Mat, MatRef, Side};
use gannet_compiler::library::{self, CUT, Entries, SINGULAR, least_pivot, point_up, upper};
use gannet_lang::program::{LibFun, Way};
use rustfft::{FftPlanner, num_complex::Complex};

/// Rows, columns or entries below which the plain code is as fast.
const SMALL: usize = 32;

/// All parts of an operation on one member of a batch; see [`library::eval`].
///
/// # Errors
/// What is wrong with the operands: the end of a sentence that starts with the operation's name.
pub fn eval(fun: LibFun, sizes: &[usize], operands: &[&[f64]]) -> Result<Vec<Entries>, String> {
    large(fun, sizes, operands).map_or_else(|| library::eval(fun, sizes, operands), Ok)
}

/// By the crates; `None` where an operand is small or not finite, or where there may be no result: the plain code decides.
fn large(fun: LibFun, sizes: &[usize], operands: &[&[f64]]) -> Option<Vec<Entries>> {
    let a = operands[0];
    let finite = operands.iter().all(|o| o.iter().all(|x| x.is_finite()));
    if sizes.iter().take(2).any(|n| *n < SMALL) || !finite {
        return None;
    }
    match fun {
        LibFun::Fft(way) => Some(fourier(way, a, operands[1])),
        LibFun::Solve => solve(sizes[0], sizes[2], a, operands[1]),
        LibFun::LogDet => logdet(sizes[0], a),
        LibFun::Cholesky => cholesky(sizes[0], a),
        LibFun::Qr => Some(qr(sizes[0], sizes[1], a)),
        LibFun::Eigh => eigh(sizes[0], a),
        LibFun::Svd => svd(sizes[0], sizes[1], a),
        LibFun::Pinv => pinv(sizes[0], sizes[1], a),
        LibFun::Sort | LibFun::Recur(_) | LibFun::Expm | LibFun::Assign | LibFun::Host(..) => None,
    }
}

fn rows(m: MatRef<'_, f64>) -> Vec<f64> {
    (0..m.nrows()).flat_map(|i| (0..m.ncols()).map(move |j| m[(i, j)])).collect()
}

fn fourier(way: Way, re: &[f64], im: &[f64]) -> Vec<Vec<f64>> {
    let mut x: Vec<Complex<f64>> = re.iter().zip(im).map(|(re, im)| Complex::new(*re, *im)).collect();
    let mut planner = FftPlanner::new();
    let plan = match way {
        Way::Forth => planner.plan_fft_forward(x.len()),
        Way::Back => planner.plan_fft_inverse(x.len()),
    };
    plan.process(&mut x);
    vec![x.iter().map(|z| z.re).collect(), x.iter().map(|z| z.im).collect()]
}

/// The elimination with pivots, and these; nothing of a matrix that is singular up to rounding.
fn eliminated(n: usize, a: &[f64]) -> Option<(PartialPivLu<f64>, Vec<f64>)> {
    let lu = MatRef::from_row_major_slice(a, n, n).partial_piv_lu();
    let pivots: Vec<f64> = (0..n).map(|k| lu.U()[(k, k)]).collect();
    let least = least_pivot(n, a);
    pivots.iter().all(|p| p.abs() > least).then_some((lu, pivots))
}

fn solve(n: usize, m: usize, a: &[f64], b: &[f64]) -> Option<Vec<Vec<f64>>> {
    let (lu, _) = eliminated(n, a)?;
    Some(vec![rows(lu.solve(MatRef::from_row_major_slice(b, n, m)).as_ref())])
}

fn logdet(n: usize, a: &[f64]) -> Option<Vec<Vec<f64>>> {
    let (lu, pivots) = eliminated(n, a)?;
    let odd = odd(lu.P().arrays().0);
    let sign = pivots.iter().fold(if odd { -1.0 } else { 1.0 }, |s, p| if *p < 0.0 { -s } else { s });
    Some(vec![vec![pivots.iter().map(|p| p.abs().ln()).sum()], vec![sign]])
}

/// Does a permutation exchange an odd number of pairs?
fn odd(order: &[usize]) -> bool {
    let mut seen = vec![false; order.len()];
    let mut odd = false;
    for start in 0..order.len() {
        let mut at = order[start];
        while !std::mem::replace(&mut seen[at], true) {
            odd ^= at != start;
            at = order[at];
        }
    }
    odd
}

/// The symmetric part.
fn symmetric(n: usize, a: &[f64]) -> Mat<f64> {
    Mat::from_fn(n, n, |i, j| 0.5 * (a[i * n + j] + a[j * n + i]))
}

fn cholesky(n: usize, a: &[f64]) -> Option<Vec<Vec<f64>>> {
    let l = symmetric(n, a).llt(Side::Lower).ok()?;
    let positive = (0..n).all(|k| l.L()[(k, k)].powi(2) > SINGULAR * a[k * n + k].abs());
    positive.then(|| vec![rows(l.L())])
}

fn qr(m: usize, n: usize, a: &[f64]) -> Vec<Vec<f64>> {
    let qr = MatRef::from_row_major_slice(a, m, n).qr();
    let (mut q, mut r) = (rows(qr.compute_thin_Q().as_ref()), rows(qr.thin_R()));
    upper(m, n, &mut q, &mut r);
    vec![q, r]
}

fn eigh(n: usize, a: &[f64]) -> Option<Vec<Vec<f64>>> {
    let e = symmetric(n, a).self_adjoint_eigen(Side::Lower).ok()?;
    let mut vectors = rows(e.U());
    point_up(n, n, &mut vectors, &mut []);
    Some(vec![e.S().column_vector().iter().copied().collect(), vectors])
}

fn svd(m: usize, n: usize, a: &[f64]) -> Option<Vec<Vec<f64>>> {
    let e = MatRef::from_row_major_slice(a, m, n).thin_svd().ok()?;
    let (mut u, mut v) = (rows(e.U()), rows(e.V()));
    point_up(m, m.min(n), &mut u, &mut v);
    Some(vec![u, e.S().column_vector().iter().copied().collect(), v])
}

fn pinv(m: usize, n: usize, a: &[f64]) -> Option<Vec<Vec<f64>>> {
    let e = MatRef::from_row_major_slice(a, m, n).thin_svd().ok()?;
    let s = e.S().column_vector();
    let least = CUT * s[0];
    let weighted = Mat::from_fn(n, s.nrows(), |i, k| if s[k] > least { e.V()[(i, k)] / s[k] } else { 0.0 });
    Some(vec![rows((weighted * e.U().transpose()).as_ref())])
}

#[cfg(test)]
mod tests;
