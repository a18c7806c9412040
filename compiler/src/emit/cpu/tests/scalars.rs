//! Every scalar function, of reals, whole numbers and truth values, in lanes and one by one.

use super::*;
use gannet_lang::program::{HyperId, SiteId};

const UNARY: &[Fun] = &[
    Fun::Neg,
    Fun::Abs,
    Fun::Sign,
    Fun::Recip,
    Fun::Exp,
    Fun::Expm1,
    Fun::Log,
    Fun::Log1p,
    Fun::Sqrt,
    Fun::Sin,
    Fun::Cos,
    Fun::Tan,
    Fun::Tanh,
    Fun::Sigmoid,
    Fun::Softplus,
    Fun::Erf,
    Fun::Floor,
    Fun::Ceil,
    Fun::Round,
    Fun::ToReal,
];
const BINARY: &[Fun] =
    &[Fun::Add, Fun::Mul, Fun::Sub, Fun::Div, Fun::Pow, Fun::Min, Fun::Max, Fun::Atan2, Fun::IntDiv, Fun::Mod];
const COMPARE: &[Fun] = &[Fun::Lt, Fun::Le, Fun::Gt, Fun::Ge, Fun::Eq, Fun::Ne];

/// `out[i] = fun(in0[i], in1[i], ...)`.
fn pointwise(fun: Fun, args: &[Kind], result: Kind, mode: Mode, double: bool) -> Plan {
    let mut b = Builder::new(1);
    b.plan.double = double;
    let i = b.loop_id();
    let mut body = vec![];
    let loads: Vec<ValueId> = args
        .iter()
        .map(|k| {
            let buffer = b.buffer(*k, &[0]);
            b.put(&mut body, *k, Inst::Load(buffer, at(&[(i, one())])))
        })
        .collect();
    let v = b.map(&mut body, result, fun, &loads);
    let out = b.buffer(result, &[0]);
    body.push(Stmt::Store(out, at(&[(i, one())]), v));
    let outer = over(i, 0, mode, vec![], body);
    b.finish(outer)
}

fn check_pointwise(fun: Fun, args: &[Kind], result: Kind, data: impl Fn(&mut Numbers, Kind, usize) -> Vec<f64>) {
    for mode in [Mode::Serial, Mode::Vector] {
        for double in [false, true] {
            let plan = pointwise(fun, args, result, mode, double);
            for n in [0, 1, 2, 3, 4, 5, 7, 8, 9, 19, 37] {
                let mut numbers = Numbers(n as u64 + 3);
                let mut buffers: Vec<Vec<f64>> = args.iter().map(|k| data(&mut numbers, *k, n)).collect();
                buffers.push(vec![0.0; n]);
                let tolerance = if double { 1e-14 } else { 1e-6 };
                check(&plan, &[n as u64], &buffers, tolerance, &format!("{fun:?} {args:?} {mode:?} {double} {n}"));
            }
        }
    }
}

fn plain(numbers: &mut Numbers, kind: Kind, n: usize) -> Vec<f64> {
    match kind {
        Kind::Real => numbers.reals(n),
        Kind::Int => numbers.below(n, 15).iter().map(|x| x - 7.0).collect(),
        Kind::Bool => numbers.below(n, 2),
    }
}

#[test]
fn functions_of_reals() {
    for fun in UNARY {
        check_pointwise(*fun, &[Kind::Real], Kind::Real, plain);
    }
    for fun in BINARY {
        check_pointwise(*fun, &[Kind::Real, Kind::Real], Kind::Real, plain);
    }
    for fun in COMPARE {
        check_pointwise(*fun, &[Kind::Real, Kind::Real], Kind::Bool, plain);
    }
    check_pointwise(Fun::ToInt, &[Kind::Real], Kind::Int, plain);
    for fun in [Fun::Add, Fun::Mul] {
        check_pointwise(fun, &[Kind::Real; 4], Kind::Real, plain);
    }
}

#[test]
fn special_values() {
    let special = |_: &mut Numbers, _: Kind, n: usize| {
        let all = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1e-40, 1e38, -1e38, 1000.0, -1000.0, -1.0];
        (0..n).map(|k| all[k % all.len()]).collect::<Vec<f64>>()
    };
    for fun in UNARY.iter().chain(&[Fun::IsFinite]) {
        let result = if *fun == Fun::IsFinite { Kind::Bool } else { Kind::Real };
        // Angles of 1e38 are reduced alike, but the interpreter's argument is not rounded to f32 first.
        if !matches!(fun, Fun::Sin | Fun::Cos | Fun::Tan | Fun::Softplus | Fun::Recip) {
            check_pointwise(*fun, &[Kind::Real], result, special);
        }
    }
}

#[test]
fn extrema_of_nan_are_nan() {
    let sometimes = |numbers: &mut Numbers, _: Kind, n: usize| {
        let nan = numbers.below(n, 3);
        numbers.reals(n).iter().zip(nan).map(|(x, k)| if k == 0.0 { f64::NAN } else { *x }).collect::<Vec<f64>>()
    };
    for fun in [Fun::Min, Fun::Max] {
        check_pointwise(fun, &[Kind::Real, Kind::Real], Kind::Real, sometimes);
    }
}

/// Of f32 numbers over all exponents, ties and bounds among them.
#[test]
fn numbers_of_narrow_types() {
    let hard = |numbers: &mut Numbers, _: Kind, n: usize| {
        let edges = [
            0.0,
            -0.0,
            1.003_906_25,
            1.011_718_75,
            65503.9,
            65519.996,
            65520.0,
            -65520.0,
            3e-8,
            2.98e-8,
            8.9e-8,
            6.1e-5,
            -6.1e-5,
            1e-40,
            3.4e38,
            -3.39e38,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        let exponents = numbers.below(n, 90);
        let picks = numbers.below(n, 2 * edges.len() as u64);
        let x = numbers.reals(n);
        let any = |k: usize| f64::from((x[k] * 2.0_f64.powf(exponents[k] - 45.0)) as f32);
        let edge = |k: usize| edges.get(picks[k] as usize).map(|e| f64::from(*e as f32));
        (0..n).map(|k| edge(k).unwrap_or_else(|| any(k))).collect::<Vec<f64>>()
    };
    for fun in [Fun::ToF32, Fun::ToF16, Fun::ToBf16] {
        check_pointwise(fun, &[Kind::Real], Kind::Real, hard);
    }
}

#[test]
fn functions_of_whole_numbers() {
    for fun in [Fun::Neg, Fun::Abs] {
        check_pointwise(fun, &[Kind::Int], Kind::Int, plain);
    }
    for fun in [Fun::Add, Fun::Mul, Fun::Sub, Fun::Min, Fun::Max] {
        check_pointwise(fun, &[Kind::Int, Kind::Int], Kind::Int, plain);
        check_pointwise(fun, &[Kind::Bool, Kind::Int], Kind::Int, plain);
        check_pointwise(fun, &[Kind::Bool, Kind::Bool], Kind::Int, plain);
    }
    for fun in [Fun::IntDiv, Fun::Mod] {
        check_pointwise(fun, &[Kind::Int, Kind::Int], Kind::Int, |numbers, _, n| {
            plain(numbers, Kind::Int, n).iter().map(|x| if *x == 0.0 { 3.0 } else { *x }).collect()
        });
    }
    for fun in COMPARE {
        check_pointwise(*fun, &[Kind::Int, Kind::Int], Kind::Bool, plain);
        check_pointwise(*fun, &[Kind::Int, Kind::Bool], Kind::Bool, plain);
        check_pointwise(*fun, &[Kind::Bool, Kind::Bool], Kind::Bool, plain);
    }
    check_pointwise(Fun::ToReal, &[Kind::Int], Kind::Real, plain);
    check_pointwise(Fun::ToInt, &[Kind::Int], Kind::Int, plain);
}

#[test]
fn functions_of_truth_values() {
    for fun in [Fun::And, Fun::Or] {
        check_pointwise(fun, &[Kind::Bool, Kind::Bool], Kind::Bool, plain);
    }
    check_pointwise(Fun::Not, &[Kind::Bool], Kind::Bool, plain);
    check_pointwise(Fun::ToReal, &[Kind::Bool], Kind::Real, plain);
    check_pointwise(Fun::ToInt, &[Kind::Bool], Kind::Int, plain);
    for kind in [Kind::Real, Kind::Int, Kind::Bool] {
        check_pointwise(Fun::Select, &[Kind::Bool, kind, kind], kind, plain);
    }
    check_pointwise(Fun::Select, &[Kind::Bool, Kind::Bool, Kind::Int], Kind::Int, plain);
}

#[test]
fn division_by_nought_in_a_branch_not_taken_stops_nothing() {
    for fun in [Fun::IntDiv, Fun::Mod] {
        let plan = pointwise(fun, &[Kind::Int, Kind::Int], Kind::Int, Mode::Vector, false);
        let buffers = [vec![f64::from(i32::MIN), 5.0, 1.0], vec![-1.0, 0.0, 0.0], vec![0.0; 3]];
        run_code(&plan, &[3], &buffers, &[(0, 3)], 0);
    }
}

/// Instructions without operands: `out[i] = c0 + size + hyper + step + counter` and draws.
#[test]
fn leaves() {
    for mode in [Mode::Serial, Mode::Vector] {
        for double in [false, true] {
            let mut b = Builder::new(1);
            b.plan.double = double;
            let i = b.loop_id();
            let mut body = vec![];
            let kinds = [Inst::Const(2.5), Inst::Size(DimId(0)), Inst::Hyper(HyperId(1)), Inst::Step];
            let mut all: Vec<ValueId> = kinds.map(|inst| b.put(&mut body, Kind::Real, inst)).to_vec();
            let counter = b.put(&mut body, Kind::Int, Inst::Counter(i));
            all.push(b.map(&mut body, Kind::Real, Fun::ToReal, &[counter]));
            let sum = b.map(&mut body, Kind::Real, Fun::Add, &all);
            let whole = b.put(&mut body, Kind::Int, Inst::Size(DimId(0)));
            let whole = b.map(&mut body, Kind::Int, Fun::Sub, &[whole, counter]);
            let (out, ints) = (b.buffer(Kind::Real, &[0]), b.buffer(Kind::Int, &[0]));
            body.push(Stmt::Store(out, at(&[(i, one())]), sum));
            body.push(Stmt::Store(ints, at(&[(i, one())]), whole));
            for (k, dist) in super::super::host::DISTS.into_iter().enumerate() {
                let apart = [1, 3][k % 2];
                let entry = Address { terms: vec![(Index::Loop(i), apart, one())], offset: vec![(k as i64, one())] };
                let x = b.put(&mut body, Kind::Real, Inst::Random(dist, SiteId(k as u32), entry));
                let drawn = b.buffer(Kind::Real, &[0]);
                body.push(Stmt::Store(drawn, at(&[(i, one())]), x));
            }
            let plan = b.finish(over(i, 0, mode, vec![], body));
            for n in [1, 6, 13] {
                let buffers = vec![vec![0.0; n]; plan.buffers.len()];
                check(&plan, &[n as u64], &buffers, 1e-6, &format!("leaves {mode:?} {n}"));
            }
        }
    }
}
