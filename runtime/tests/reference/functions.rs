//! Every scalar function, by numbers from tables or by identities.

use gannet_compiler::graph::{Graph, Num, Op, Tables, fun_arity};
use gannet_lang::program::{Elem, Fun, Output};
use gannet_runtime::reference::{Env, eval};
use std::f64::consts::{FRAC_PI_4, LN_2, SQRT_2};
use std::sync::Arc;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// Function, arguments, value.
const CASES: &[(Fun, &[f64], f64)] = &[
    (Fun::Neg, &[2.5], -2.5),
    (Fun::Abs, &[-2.5], 2.5),
    (Fun::Sign, &[-2.5], -1.0),
    (Fun::Sign, &[0.0], 0.0),
    (Fun::Sign, &[7.0], 1.0),
    (Fun::Recip, &[4.0], 0.25),
    (Fun::Recip, &[0.0], INF),
    (Fun::Exp, &[1.0], std::f64::consts::E),
    (Fun::Exp, &[-INF], 0.0),
    (Fun::Expm1, &[1e-12], 1.000_000_000_000_5e-12),
    (Fun::Log, &[2.0], LN_2),
    (Fun::Log, &[0.0], -INF),
    (Fun::Log1p, &[1e-12], 9.999_999_999_995e-13),
    (Fun::Sqrt, &[2.0], SQRT_2),
    (Fun::Sqrt, &[-1.0], NAN),
    (Fun::Sin, &[1.0], 0.841_470_984_807_896_5),
    (Fun::Cos, &[1.0], 0.540_302_305_868_139_8),
    (Fun::Tan, &[FRAC_PI_4], 1.0),
    (Fun::Tanh, &[0.5], 0.462_117_157_260_009_8),
    (Fun::Sigmoid, &[2.0], 0.880_797_077_977_882_4),
    (Fun::Sigmoid, &[-800.0], 0.0),
    (Fun::Softplus, &[0.0], LN_2),
    (Fun::Softplus, &[800.0], 800.0),
    (Fun::Softplus, &[-40.0], 4.248_354_255_291_589e-18),
    (Fun::Erf, &[0.5], 0.520_499_877_813_046_5),
    (Fun::Floor, &[-1.5], -2.0),
    (Fun::Ceil, &[-1.5], -1.0),
    (Fun::Round, &[2.5], 2.0),
    (Fun::Round, &[3.5], 4.0),
    (Fun::Not, &[0.0], 1.0),
    (Fun::Not, &[1.0], 0.0),
    (Fun::IsFinite, &[1.0], 1.0),
    (Fun::IsFinite, &[-INF], 0.0),
    (Fun::IsFinite, &[NAN], 0.0),
    (Fun::ToReal, &[3.0], 3.0),
    (Fun::ToInt, &[-1.7], -1.0),
    (Fun::Add, &[1.0, 2.0, 4.0], 7.0),
    (Fun::Mul, &[2.0, 3.0, -4.0], -24.0),
    (Fun::Pow, &[2.0, 10.0], 1024.0),
    (Fun::Pow, &[2.0, -0.5], 1.0 / SQRT_2),
    (Fun::Min, &[1.0, -2.0], -2.0),
    (Fun::Max, &[1.0, -2.0], 1.0),
    (Fun::Atan2, &[1.0, 1.0], FRAC_PI_4),
    (Fun::Atan2, &[0.0, -1.0], std::f64::consts::PI),
    (Fun::IntDiv, &[-7.0, 2.0], -4.0),
    (Fun::IntDiv, &[7.0, -2.0], -4.0),
    (Fun::Mod, &[-7.0, 3.0], 2.0),
    (Fun::Mod, &[7.0, -3.0], -2.0),
    (Fun::Lt, &[1.0, 2.0], 1.0),
    (Fun::Lt, &[NAN, 2.0], 0.0),
    (Fun::Le, &[2.0, 2.0], 1.0),
    (Fun::Gt, &[1.0, 2.0], 0.0),
    (Fun::Ge, &[2.0, NAN], 0.0),
    (Fun::Eq, &[NAN, NAN], 0.0),
    (Fun::Eq, &[2.0, 2.0], 1.0),
    (Fun::Ne, &[NAN, NAN], 1.0),
    (Fun::And, &[1.0, 0.0], 0.0),
    (Fun::And, &[1.0, 1.0], 1.0),
    (Fun::Or, &[1.0, 0.0], 1.0),
    (Fun::Or, &[0.0, 0.0], 0.0),
    (Fun::Select, &[1.0, 5.0, NAN], 5.0),
    (Fun::Select, &[0.0, NAN, 6.0], 6.0),
];

fn constant(g: &mut Graph, fun: Fun, k: usize, x: f64) -> gannet_compiler::graph::NodeId {
    let truth = matches!(fun, Fun::And | Fun::Or | Fun::Not) || (fun == Fun::Select && k == 0);
    g.add(Op::Const(Num::new(x), if truth { Elem::Bool } else { Elem::Real }), [])
}

#[test]
fn values() {
    for (fun, args, wanted) in CASES {
        let mut g = Graph::new(Arc::new(Tables::default()));
        let ids: Vec<_> = args.iter().enumerate().map(|(k, x)| constant(&mut g, *fun, k, *x)).collect();
        let id = g.add(Op::Map(*fun), ids);
        g.outputs.push((Output::Loss, id));
        let got = eval(&g, &Env::default()).expect("no read can fail")[0].1.data[0];
        let close = got == *wanted || (got - wanted).abs() <= 4e-16 * wanted.abs() || (got.is_nan() && wanted.is_nan());
        assert!(close, "{fun:?} {args:?} = {got}, not {wanted}");
        assert!(fun_arity(*fun) <= args.len());
    }
}

/// The builder's foldings agree with what is folded.
#[test]
fn folding_keeps_values() {
    for (fun, args, wanted) in CASES {
        let mut g = Graph::new(Arc::new(Tables::default()));
        let ids: Vec<_> = args.iter().enumerate().map(|(k, x)| constant(&mut g, *fun, k, *x)).collect();
        let id = g.map(*fun, &ids);
        g.outputs.push((Output::Loss, id));
        g.verify().unwrap_or_else(|e| panic!("{fun:?} {args:?}: {e}"));
        let got = eval(&g, &Env::default()).expect("no read can fail")[0].1.data[0];
        let close = got == *wanted || (got - wanted).abs() <= 4e-16 * wanted.abs() || (got.is_nan() && wanted.is_nan());
        assert!(close, "{fun:?} {args:?} = {got}, not {wanted}");
    }
}
