//! What every scalar function means, in f64: the one place that the constant folder, the reference evaluator and the
//! tests share.

use crate::graph::Red;
use gannet_lang::program::Fun;

/// The value of `fun` at `x` (truth values are 0 and 1, whole numbers are exact).
pub fn eval(fun: Fun, x: &[f64]) -> f64 {
    let truth = |b: bool| if b { 1.0 } else { 0.0 };
    match fun {
        Fun::Neg => -x[0],
        Fun::Abs => x[0].abs(),
        Fun::Sign => {
            if x[0] > 0.0 {
                1.0
            } else if x[0] < 0.0 {
                -1.0
            } else {
                x[0] * 0.0
            }
        }
        Fun::Recip => 1.0 / x[0],
        Fun::Exp => x[0].exp(),
        Fun::Expm1 => x[0].exp_m1(),
        Fun::Log => x[0].ln(),
        Fun::Log1p => x[0].ln_1p(),
        Fun::Sqrt => x[0].sqrt(),
        Fun::Sin => x[0].sin(),
        Fun::Cos => x[0].cos(),
        Fun::Tan => x[0].tan(),
        Fun::Tanh => x[0].tanh(),
        Fun::Sigmoid => 1.0 / (1.0 + (-x[0]).exp()),
        Fun::Softplus => x[0].max(0.0) + (-x[0].abs()).exp().ln_1p(),
        Fun::Erf => libm::erf(x[0]),
        Fun::Floor => x[0].floor(),
        Fun::Ceil => x[0].ceil(),
        Fun::Round => x[0].round_ties_even(),
        Fun::Not => truth(x[0] == 0.0),
        Fun::IsFinite => truth(x[0].is_finite()),
        Fun::ToReal => x[0],
        Fun::ToInt => x[0].trunc(),
        Fun::ToF32 => to_format(x[0], 24, -126, f64::from(f32::MAX)),
        Fun::ToF16 => to_format(x[0], 11, -14, 65504.0),
        Fun::ToBf16 => to_format(x[0], 8, -126, f64::from(f32::from_bits(0x7f7f_0000))),
        Fun::Add => x.iter().sum(),
        Fun::Mul => x.iter().product(),
        Fun::Sub => x[0] - x[1],
        Fun::Div => x[0] / x[1],
        Fun::Pow => x[0].powf(x[1]),
        Fun::Min => {
            if x[1] < x[0] || x[1].is_nan() {
                x[1]
            } else {
                x[0]
            }
        }
        Fun::Max => {
            if x[1] > x[0] || x[1].is_nan() {
                x[1]
            } else {
                x[0]
            }
        }
        Fun::Atan2 => x[0].atan2(x[1]),
        Fun::IntDiv => (x[0] / x[1]).floor(),
        Fun::Mod => x[0] - (x[0] / x[1]).floor() * x[1],
        Fun::Lt => truth(x[0] < x[1]),
        Fun::Le => truth(x[0] <= x[1]),
        Fun::Gt => truth(x[0] > x[1]),
        Fun::Ge => truth(x[0] >= x[1]),
        Fun::Eq => truth(x[0] == x[1]),
        Fun::Ne => truth(x[0] != x[1]),
        Fun::And => truth(x[0] != 0.0 && x[1] != 0.0),
        Fun::Or => truth(x[0] != 0.0 || x[1] != 0.0),
        Fun::Select => {
            if x[0] != 0.0 {
                x[1]
            } else {
                x[2]
            }
        }
    }
}

/// Does `new` take the place of `old` in an argmax or argmin? The first of equal entries stays, and the first NaN.
pub fn better(red: Red, new: f64, old: f64) -> bool {
    let more = if red == Red::ArgMax { new > old } else { new < old };
    more || (new.is_nan() && !old.is_nan())
}

/// The nearest number with so many significant bits and this least exponent of a normal number, ties to even; infinite
/// where it would be larger than the largest.
fn to_format(x: f64, bits: i32, least: i32, largest: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let unit = 2.0_f64.powi(exponent.max(least) - bits + 1);
    let y = (x / unit).round_ties_even() * unit;
    if y.abs() > largest { f64::INFINITY.copysign(x) } else { y }
}
