//! Errors of the transcendental functions over their whole range, in units in the last place of f32.

use super::*;

/// Applies a function to numbers through compiled code, vector and remainder.
fn apply(fun: Fun, x: &[f64]) -> Vec<f64> {
    let mut b = Builder::new(1);
    let i = b.loop_id();
    let (from, to) = (b.buffer(Kind::Real, &[0]), b.buffer(Kind::Real, &[0]));
    let mut body = vec![];
    let v = b.put(&mut body, Kind::Real, Inst::Load(from, at(&[(i, one())])));
    let y = b.map(&mut body, Kind::Real, fun, &[v]);
    body.push(Stmt::Store(to, at(&[(i, one())]), y));
    let plan = b.finish(over(i, 0, Mode::Vector, vec![], body));
    let n = x.len();
    run_code(&plan, &[n as u64], &[x.to_vec(), vec![0.0; n]], &[(0, n as i64)], 0).swap_remove(1)
}

/// The distance in units in the last place of the exact result rounded to f32; below the smallest normal number, of
/// that number.
fn ulps(got: f64, want: f64) -> f64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let rounded = want as f32;
    if f64::from(rounded) == got {
        return 0.0;
    }
    let exponent = rounded.abs().max(f32::MIN_POSITIVE).log2().floor();
    (got - want).abs() / 2f64.powi(exponent as i32 - 23)
}

/// Numbers spread over `from..to`, rounded to f32, with the ends of the range and its middle dense.
fn spread(from: f64, to: f64) -> Vec<f64> {
    let n = 60_001;
    let even = (0..n).map(|k| from + (to - from) * k as f64 / (n - 1) as f64);
    let geometric = (0..20_000).flat_map(|k| {
        let m = 10f64.powf(-38.0 + k as f64 * 0.0038);
        [m, -m]
    });
    even.chain(geometric.filter(move |x| (from..=to).contains(x))).map(|x| f64::from(x as f32)).collect()
}

fn worst(fun: Fun, from: f64, to: f64) -> (f64, f64) {
    let x = spread(from, to);
    let y = apply(fun, &x);
    let mut worst = (0.0, 0.0);
    for (x, y) in x.iter().zip(&y) {
        let error = ulps(*y, crate::scalar::eval(fun, &[*x]));
        assert!(!error.is_nan(), "{fun:?} of {x} is {y}");
        if error > worst.0 {
            worst = (error, *x);
        }
    }
    worst
}

#[test]
fn errors_are_within_the_documented_bounds() {
    let bounds = [
        (Fun::Exp, -110.0, 90.0, 2.0),
        (Fun::Expm1, -30.0, 90.0, 3.0),
        (Fun::Log, 0.0, 3.4e38, 2.0),
        (Fun::Log, 0.4, 2.5, 2.0),
        (Fun::Log1p, -0.999, 3.4e38, 3.0),
        (Fun::Log1p, -0.9, 4.0, 3.0),
        (Fun::Tanh, -12.0, 12.0, 4.0),
        (Fun::Sigmoid, -87.0, 90.0, 4.0),
        (Fun::Softplus, -87.0, 90.0, 4.0),
        (Fun::Erf, -6.0, 6.0, 4.0),
        (Fun::Sin, -100.0, 100.0, 2.0),
        (Fun::Cos, -100.0, 100.0, 2.0),
    ];
    let mut report = String::new();
    let mut fine = true;
    for (fun, from, to, bound) in bounds {
        let (error, x) = worst(fun, from, to);
        report.push_str(&format!("{fun:?} in {from}..{to}: {error:.2} ulp at {x:e}, at most {bound}\n"));
        fine &= error <= bound;
    }
    println!("{report}");
    assert!(fine, "{report}");
}

#[test]
fn edges() {
    let inf = f64::INFINITY;
    let nan = f64::NAN;
    let cases: &[(Fun, &[(f64, f64)])] = &[
        (Fun::Exp, &[(-1000.0, 0.0), (1000.0, inf), (inf, inf), (-inf, 0.0), (nan, nan), (0.0, 1.0), (88.8, inf)]),
        (Fun::Expm1, &[(-1000.0, -1.0), (1000.0, inf), (-inf, -1.0), (inf, inf), (nan, nan), (0.0, 0.0)]),
        (Fun::Log, &[(0.0, -inf), (-1.0, nan), (inf, inf), (-inf, nan), (nan, nan), (1.0, 0.0)]),
        (Fun::Log1p, &[(-1.0, -inf), (-2.0, nan), (inf, inf), (nan, nan), (0.0, 0.0)]),
        (Fun::Tanh, &[(inf, 1.0), (-inf, -1.0), (nan, nan), (0.0, 0.0), (50.0, 1.0)]),
        (Fun::Sigmoid, &[(inf, 1.0), (-inf, 0.0), (nan, nan), (0.0, 0.5), (-200.0, 0.0)]),
        (Fun::Softplus, &[(inf, inf), (-inf, 0.0), (nan, nan), (200.0, 200.0)]),
        (Fun::Erf, &[(inf, 1.0), (-inf, -1.0), (nan, nan), (0.0, 0.0)]),
    ];
    for (fun, pairs) in cases {
        let x: Vec<f64> = pairs.iter().map(|p| p.0).collect();
        for ((x, want), got) in pairs.iter().zip(apply(*fun, &x)) {
            assert!(got == *want || (got.is_nan() && want.is_nan()), "{fun:?} of {x} is {got}, not {want}");
        }
    }
}
