//! Every operation of the Graph but scalar functions, by hand.

use gannet_compiler::graph::{Graph, Tables};
use gannet_compiler::philox;
use gannet_lang::diag::Span;
use gannet_lang::program::{Axis, Dim, DimId, Dist, Elem, Hyper, Input, Param, Part, Role, Size, State, Ty};
use gannet_runtime::reference::{Env, Fault, diagnose, eval};
use std::sync::Arc;

const N: DimId = DimId(0);
const M: DimId = DimId(1);

fn ty(elem: Elem, axes: &[(DimId, u32)]) -> Ty {
    Ty { elem, axes: axes.iter().map(|(dim, ix)| Axis { dim: *dim, ix: *ix }).collect() }
}

/// Dims n (2), m (3), none (0). in0: real[m, n] stored with m first; in1: m[n]; w0: real[m, m.1]; s0: real[m]; lr.
fn tables() -> Arc<Tables> {
    let dim = |name: &str| Dim { name: name.into(), size: Size::Open, span: None };
    let input = |name: &str, ty| Input { name: name.into(), field: None, part: Part::Argument, ty };
    let w = ty(Elem::Real, &[(M, 0), (M, 1)]);
    Arc::new(Tables {
        dims: ["n", "m", "none"].map(dim).to_vec(),
        inputs: vec![input("x", ty(Elem::Real, &[(M, 0), (N, 0)])), input("at", ty(Elem::Index(M), &[(N, 0)]))],
        params: vec![Param { name: "w".into(), ty: w, role: Role::Weight, span: Span::default() }],
        states: vec![State { name: "s".into(), ty: ty(Elem::Real, &[(M, 0)]), span: Span::default() }],
        hypers: vec![Hyper { name: "lr".into(), default: 0.1 }],
        hosts: vec![],
        assumed: vec![2, 3, 0],
    })
}

fn env() -> Env {
    Env {
        sizes: vec![2, 3, 0],
        inputs: vec![vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0], vec![2.0, 0.0]],
        params: vec![vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]],
        states: vec![vec![-1.0, 4.0, 4.0]],
        hypers: vec![0.5],
        step: 7.0,
        seed: 11 << 33,
    }
}

const LEAVES: &str = "%0 = input in0 : real[n, m]\n%1 = input in1 : m[n]\n%2 = param w0 : real[m, m.1]\n\
                      %3 = state s0 : real[m]\n%4 = const 100 : real\n%5 = const 1 : bool\n";

// A fault speaks of nodes of the graph.
#[allow(clippy::result_large_err)]
fn run(line: &str, env: &Env) -> Result<Vec<f64>, (Fault, Graph)> {
    let text = format!("{LEAVES}%9 = {line}\noutput value \"y\" = %9\n");
    let graph = Graph::parse(&text, tables()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    eval(&graph, env).map(|mut y| y.remove(0).1.data).map_err(|fault| (fault, graph))
}

fn check(line: &str, wanted: &[f64]) {
    let got = run(line, &env()).unwrap_or_else(|(fault, _)| panic!("{line}: {fault:?}"));
    assert_eq!(got, wanted, "{line}");
}

#[test]
fn leaves() {
    check("input in0 : real[n, m]", &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
    check("hyper h0 : real", &[0.5]);
    check("step : real", &[7.0]);
    check("size m : real", &[3.0]);
    check("iota m.1 : m[m.1]", &[0.0, 1.0, 2.0]);
    check("const -inf : real", &[f64::NEG_INFINITY]);
    check("stop %3 : real[m]", &[-1.0, 4.0, 4.0]);
    check("point p0 %3 : real[m]", &[-1.0, 4.0, 4.0]);
}

/// The result has its axes sorted, whatever the storage order of the leaves.
#[test]
fn maps_align_by_axes() {
    check("map.add %0 %3 : real[n, m]", &[0.0, 6.0, 7.0, 9.0, 24.0, 34.0]);
    check("map.mul %2 %3 : real[m, m.1]", &[-1.0, -2.0, -3.0, 16.0, 20.0, 24.0, 28.0, 32.0, 36.0]);
}

#[test]
fn reductions() {
    check("reduce.sum [m] %0 : real[n]", &[6.0, 60.0]);
    check("reduce.sum [n, m] %0 : real", &[66.0]);
    check("reduce.prod [n] %0 : real[m]", &[10.0, 40.0, 90.0]);
    check("reduce.max [m] %3 : real", &[4.0]);
    check("reduce.min [m] %3 : real", &[-1.0]);
    check("reduce.argmax [m] %3 : m", &[1.0]);
    check("reduce.argmin [m] %0 : m[n]", &[0.0, 0.0]);
    check("contract [m] %0 %3 : real[n]", &[19.0, 190.0]);
    check("contract [m, n] %0 %3 %3 : real", &[1.0 + 32.0 + 48.0 + 10.0 + 320.0 + 480.0]);
    for (red, wanted) in [("any", 1.0), ("all", 0.0)] {
        let text = format!(
            "%0 = state s0 : real[m]\n%1 = const 0 : real\n%2 = map.gt %0 %1 : bool[m]\n%3 = reduce.{red} [m] %2 : bool\noutput value \"y\" = %3"
        );
        let graph = Graph::parse(&text, tables()).expect(red);
        assert_eq!(eval(&graph, &env()).expect("defined")[0].1.data, [wanted]);
    }
}

#[test]
fn reductions_over_nothing_are_neutral() {
    let cases = [("sum", 0.0), ("prod", 1.0), ("max", f64::NEG_INFINITY), ("min", f64::INFINITY)];
    for (red, wanted) in cases {
        let text = format!(
            "%0 = iota none : none[none]\n%1 = map.to_real %0 : real[none]\n%2 = reduce.{red} [none] %1 : real\noutput loss = %2"
        );
        let graph = Graph::parse(&text, tables()).expect(red);
        assert_eq!(eval(&graph, &env()).expect("defined")[0].1.data, [wanted]);
    }
}

#[test]
fn extrema_of_what_is_no_number() {
    let with = |values: [f64; 3]| Env { states: vec![values.to_vec()], ..env() };
    let nan = f64::NAN;
    let low = f64::NEG_INFINITY;
    let value = |line, values| run(line, &with(values)).map_err(|(fault, _)| fault).expect("defined");
    for values in [[nan, 2.0, 1.0], [1.0, nan, 2.0], [1.0, 2.0, nan]] {
        assert!(value("reduce.max [m] %3 : real", values)[0].is_nan());
        assert!(value("reduce.min [m] %3 : real", values)[0].is_nan());
    }
    assert_eq!(value("reduce.argmax [m] %3 : m", [2.0, nan, nan]), [1.0]);
    assert_eq!(value("reduce.argmin [m] %3 : m", [nan, 2.0, nan]), [0.0]);
    assert_eq!(value("reduce.argmax [m] %3 : m", [low; 3]), [0.0]);
}

#[test]
fn reads() {
    check("read [m = arg1] %0 %1 : real[n]", &[3.0, 10.0]);
    check("read [m.1 = m] %2 : real[m]", &[1.0, 5.0, 9.0]);
    check("read [m = m.1, m.1 = m] %2 : real[m, m.1]", &[1.0, 4.0, 7.0, 2.0, 5.0, 8.0, 3.0, 6.0, 9.0]);
    check("read [m = -m + 2] %3 : real[m]", &[4.0, 4.0, -1.0]);
    check("read [m = 1] %0 : real[n]", &[2.0, 20.0]);
    check("read [m = m - 1] %3 else %4 : real[m]", &[100.0, -1.0, 4.0]);
    check("read [m = 2*n + m.1 - 1] %3 else %4 : real[n, m.1]", &[100.0, -1.0, 4.0, 4.0, 4.0, 100.0]);
    check("read [m = n, m.1 = arg1] %2 %1 : real[n]", &[3.0, 4.0]);
}

#[test]
fn fibers() {
    // Row by row of n (by place in `at`): what has no axis m is added where `at` says; the rest stays 0.
    check("fiber.sum [m.1 = arg1] over [n] %0 %1 : real[m, m.1]", &[10.0, 0.0, 1.0, 20.0, 0.0, 2.0, 30.0, 0.0, 3.0]);
    check("fiber.max [n = arg1] over [n] %4 %1 : real[n]", &[100.0, f64::NEG_INFINITY]);
    check("fiber.sum [m.1 = m] over [m] %3 : real[m.1]", &[-1.0, 4.0, 4.0]);
    check("fiber.sum [m = m - 1] over [m] %3 : real[m]", &[4.0, 4.0, 0.0]);
    check("fiber.sum [n = m + m.1 - 1] over [m, m.1] %2 : real[n]", &[2.0 + 4.0, 3.0 + 5.0 + 7.0]);
    // Along a reduced axis that the operand lacks, it repeats.
    check("fiber.sum [m.1 = n] over [m, n] %3 : real[m.1]", &[7.0, 7.0, 0.0]);
    check("fiber.prod [n = m.1] over [m.1] %2 : real[n, m]", &[1.0, 4.0, 7.0, 2.0, 5.0, 8.0]);
}

#[test]
fn draws_are_numbered_in_the_order_listed() {
    let draw = |entry| philox::draw(Dist::Uniform, 11 << 33, 4, 7, entry);
    check("random.uniform r4 [m, n] : real[n, m]", &[0, 2, 4, 1, 3, 5].map(draw));
}

#[test]
fn a_read_outside_is_a_fault() {
    let env = Env { inputs: vec![vec![0.0; 6], vec![0.0, 3.0]], ..env() };
    let Err((fault, graph)) = run("read [m = arg1] %0 %1 : real[n]", &env) else { panic!("it lies outside") };
    assert_eq!(fault.message, "index 3 lies outside `m`, which has 3 entries");
    assert_eq!(diagnose(&fault, &graph).message, fault.message);
    assert!(run("read [m = arg1] %0 %1 else %4 : real[n]", &env).is_ok());
}
