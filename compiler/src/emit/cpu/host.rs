//! Host functions that compiled code calls for what it does not compute in vectors.

use crate::{philox, scalar};
use gannet_lang::program::{Dist, Fun};

macro_rules! unary {
    ($($name:ident $fun:ident;)*) => {
        $(extern "C" fn $name(x: f64) -> f64 { scalar::eval(Fun::$fun, &[x]) })*

        /// The name of the host function of a scalar function of one argument.
        pub fn unary_name(fun: Fun) -> Option<&'static str> {
            match fun { $(Fun::$fun => Some(concat!("gannet_", stringify!($name))),)* _ => None }
        }

        fn unary_symbols() -> Vec<(&'static str, *const u8)> {
            vec![$((concat!("gannet_", stringify!($name)), $name as *const u8)),*]
        }
    };
}

unary! {
    exp Exp;
    expm1 Expm1;
    log Log;
    log1p Log1p;
    sin Sin;
    cos Cos;
    tan Tan;
    tanh Tanh;
    sigmoid Sigmoid;
    softplus Softplus;
    erf Erf;
    f32 ToF32;
    f16 ToF16;
    bf16 ToBf16;
}

extern "C" fn pow(x: f64, y: f64) -> f64 {
    x.powf(y)
}

extern "C" fn atan2(x: f64, y: f64) -> f64 {
    x.atan2(y)
}

/// Whole division rounded down; by nought it is nought, so that a branch not taken cannot stop the program.
extern "C" fn floor_div(a: i32, b: i32) -> i32 {
    if b == 0 { 0 } else { (f64::from(a) / f64::from(b)).floor() as i32 }
}

extern "C" fn floor_mod(a: i32, b: i32) -> i32 {
    if b == 0 { 0 } else { a.wrapping_sub(floor_div(a, b).wrapping_mul(b)) }
}

extern "C" fn random(dist: i32, seed: i64, site: i32, step: i32, entry: i64) -> f64 {
    philox::draw(DISTS[dist as usize], seed as u64, site as u32, step as u32, entry as u64)
}

/// Four draws of neighbouring entries, rounded to f32 where `to` points.
///
/// # Safety
/// `to` has room for four f32.
unsafe extern "C" fn random_lanes(
    dist: i32,
    seed: i64,
    site: i32,
    step: i32,
    first: i64,
    to: *mut [f32; philox::LANES],
) {
    let all = philox::draws(DISTS[dist as usize], seed as u64, site as u32, step as u32, first as u64);
    // SAFETY: as the caller promises.
    unsafe { to.write_unaligned(all.map(|x| x as f32)) };
}

/// Distributions by the number that compiled code hands over.
pub const DISTS: [Dist; 5] = [Dist::Normal, Dist::Uniform, Dist::Rademacher, Dist::Gumbel, Dist::Exponential];

/// All host functions by name.
pub fn symbols() -> Vec<(&'static str, *const u8)> {
    let mut all = unary_symbols();
    all.extend([
        ("gannet_pow", pow as *const u8),
        ("gannet_atan2", atan2 as *const u8),
        ("gannet_floor_div", floor_div as *const u8),
        ("gannet_floor_mod", floor_mod as *const u8),
        ("gannet_random", random as *const u8),
        ("gannet_random_lanes", random_lanes as *const u8),
    ]);
    all
}
