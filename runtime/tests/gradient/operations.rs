//! Every function and operation against central differences.

use super::*;
use gannet_compiler::graph::{At, Red};
use gannet_lang::program::Fun;

pub fn affine(terms: &[(i64, Axis)], offset: i64) -> At {
    let mut terms: Vec<(i64, Axis)> = terms.to_vec();
    terms.sort_by_key(|t| t.1);
    At::Affine { terms: terms.into_iter().collect(), offset }
}

pub const A: fn(u32) -> Axis = |ix| ax(0, ix);
pub const B: fn(u32) -> Axis = |ix| ax(1, ix);
pub const C: fn(u32) -> Axis = |ix| ax(2, ix);
pub const D: fn(u32) -> Axis = |ix| ax(3, ix);

/// Where `fun` is smooth: operands are moved there.
pub fn smooth(g: &mut Graph, fun: Fun, x: NodeId) -> NodeId {
    match fun {
        Fun::Log | Fun::Log1p | Fun::Sqrt | Fun::Recip | Fun::Pow | Fun::Div | Fun::Atan2 | Fun::Mod => {
            let two = g.num(2.0);
            g.add_all(&[x, two])
        }
        _ => x,
    }
}

#[test]
fn functions_of_one_operand() {
    for fun in [
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
    ] {
        for order in 0..3 {
            check(model(&[&[B(0)]], &[], 7), |m| {
                let x = m.param(0);
                let x = smooth(&mut m.g, fun, x);
                let y = m.g.add(Op::Map(fun), [x]);
                nest(m, y, order)
            });
        }
    }
}

/// `order` times the derivative of the sum of squares.
pub fn nest(m: &mut Model, mut y: NodeId, order: usize) -> NodeId {
    let w = m.param(0);
    for _ in 0..order {
        let square = m.g.mul_all(&[y, y]);
        let axes = m.g.ty(y).axes.clone();
        let loss = m.g.reduce(Red::Sum, &axes, square);
        y = m.grad(loss, w, &[], &[]);
    }
    y
}

#[test]
fn functions_of_two_operands() {
    for fun in [Fun::Sub, Fun::Div, Fun::Pow, Fun::Min, Fun::Max, Fun::Atan2, Fun::Mod] {
        for order in 0..3 {
            check(model(&[&[B(0)], &[A(0), B(0)]], &[], 3), |m| {
                let (x, y) = (m.param(0), m.param(1));
                let (x, y) = (smooth(&mut m.g, fun, x), smooth(&mut m.g, fun, y));
                let z = m.g.add(Op::Map(fun), [x, y]);
                nest(m, z, order)
            });
        }
    }
}

#[test]
fn sums_and_products_with_repeated_operands() {
    for order in 0..3 {
        check(model(&[&[B(0)], &[A(0)]], &[], 3), |m| {
            let (x, y) = (m.param(0), m.param(1));
            let product = m.g.mul_all(&[x, x, y, x]);
            let z = m.g.add_all(&[x, product, x, y]);
            nest(m, z, order)
        });
        check(model(&[&[B(0)], &[A(0)]], &[], 3), |m| {
            let (x, y) = (m.param(0), m.param(1));
            let z = m.g.contract(&[B(0)], &[x, x, y, x]);
            nest(m, z, order)
        });
    }
}

#[test]
fn reductions() {
    for red in [Red::Sum, Red::Prod, Red::Max, Red::Min] {
        for axes in [vec![B(0)], vec![A(0), B(0)]] {
            for order in 0..2 {
                check(model(&[&[A(0), B(0)]], &[], 5), |m| {
                    let x = m.param(0);
                    let y = m.g.reduce(red, &axes, x);
                    nest(m, y, order)
                });
            }
        }
    }
}

#[test]
fn products_with_zeros_to_the_third_order() {
    for order in 0..3 {
        let mut start = model(&[&[B(0)]], &[], 5);
        start.params[0] = vec![0.0, 0.0, 2.0];
        check(start, |m| {
            let x = m.param(0);
            let one = m.g.num(0.3);
            let product = m.g.reduce(Red::Prod, &[B(0)], x);
            let y = m.g.add_all(&[product, one]);
            nest(m, y, order)
        });
    }
}

/// Axes of what is read, the substitution, and whether there is a value outside.
type ReadCase = (Vec<Axis>, Vec<(Axis, At)>, bool);

#[test]
fn reads() {
    let index = |d: usize| Elem::Index(DimId::new(d));
    let cases: Vec<ReadCase> = vec![
        (vec![A(0), B(0)], vec![(B(0), At::axis(B(1)))], false),
        (vec![B(0), B(1)], vec![(B(0), At::axis(B(1))), (B(1), At::axis(B(0)))], false),
        (vec![B(0), B(1)], vec![(B(1), At::axis(B(0)))], false),
        (vec![B(0), B(1)], vec![(B(0), At::axis(B(3))), (B(1), At::axis(B(3)))], false),
        (vec![A(0), D(0)], vec![(D(0), affine(&[], 3))], false),
        (vec![A(0), D(0)], vec![(D(0), affine(&[(1, B(0))], 2))], false),
        (vec![A(0), D(0)], vec![(D(0), affine(&[(-1, B(0))], 3))], false),
        (vec![A(0), D(0)], vec![(D(0), affine(&[(1, D(0)), (1, B(0))], -1))], true),
        (vec![A(0), D(0)], vec![(D(0), affine(&[(1, D(1)), (1, B(0))], -1))], true),
        (vec![A(0), D(0)], vec![(D(0), affine(&[(2, B(0)), (1, A(1))], -1))], true),
        (vec![A(0), D(0)], vec![(D(0), affine(&[(2, B(0)), (1, A(0))], -1))], true),
        (vec![A(0), D(0)], vec![(D(0), affine(&[(2, D(0))], -1))], true),
        (vec![A(0), D(0)], vec![(D(0), affine(&[(2, A(0))], 1))], false),
        (
            vec![D(0), D(1)],
            vec![(D(0), affine(&[(1, D(1)), (1, B(0))], -1)), (D(1), affine(&[(1, D(0)), (1, A(0))], 0))],
            true,
        ),
        (vec![A(0), B(0)], vec![(B(0), At::Arg(1))], false),
        (vec![A(0), B(0), D(0)], vec![(B(0), At::Arg(1)), (D(0), At::axis(D(2)))], false),
    ];
    for (axes, at, guarded) in cases {
        for jacobian in [false, true] {
            check(model(&[&axes, &[A(0), C(0)]], &[(index(1), &[A(0), C(0)])], 9), |m| {
                let (x, outside, index) = (m.param(0), m.param(1), m.input(0));
                let uses = at.iter().any(|a| a.1 == At::Arg(1));
                let indices: &[NodeId] = if uses { &[index] } else { &[] };
                let y = m.g.read(x, &at, indices, guarded.then_some(outside));
                let y = m.g.mul_all(&[y, y]);
                let all = m.g.ty(y).axes.clone();
                if jacobian { y } else { m.g.reduce(Red::Sum, &all, y) }
            });
        }
    }
}

#[test]
fn fibers() {
    let index = |d: usize| Elem::Index(DimId::new(d));
    for red in [Red::Sum, Red::Max, Red::Min, Red::Prod] {
        for (at, over) in [
            (vec![(B(0), At::Arg(1))], vec![C(0)]),
            (vec![(B(0), At::Arg(1)), (A(1), At::axis(A(0)))], vec![C(0), A(0)]),
            (vec![(B(0), At::Arg(1)), (D(0), affine(&[(1, A(0))], 2))], vec![C(0), A(0)]),
            (vec![(C(0), affine(&[(2, C(0))], -1))], vec![C(0)]),
            (vec![(C(1), At::axis(C(0)))], vec![C(0)]),
        ] {
            for jacobian in [false, true] {
                check(model(&[&[A(0), C(0)]], &[(index(1), &[C(0)])], 9), |m| {
                    let (x, index) = (m.param(0), m.input(0));
                    let uses = at.iter().any(|a| a.1 == At::Arg(1));
                    let indices: &[NodeId] = if uses { &[index] } else { &[] };
                    let y = m.g.fiber(red, x, &at, &over, indices);
                    // Places that nothing reaches hold infinities of max and min.
                    let finite = m.g.map1(Fun::IsFinite, y);
                    let zero = m.g.num(0.0);
                    let y = m.g.select(finite, y, zero);
                    let y = m.g.mul_all(&[y, y]);
                    let all = m.g.ty(y).axes.clone();
                    if jacobian { y } else { m.g.reduce(Red::Sum, &all, y) }
                });
            }
        }
    }
}

#[test]
fn selection_never_makes_a_nan() {
    // log, 1/x, x x log x, sqrt and exp at points where they or their partials are infinite.
    for fun in [Fun::Log, Fun::Recip, Fun::Sqrt, Fun::Exp] {
        let mut m = model(&[&[B(0)]], &[], 1);
        m.params[0] = vec![0.0, 2.0, 1e6];
        let x = m.param(0);
        let (low, high) = (m.g.num(0.5), m.g.num(1e3));
        let above = m.g.map2(Fun::Gt, x, low);
        let below = m.g.map2(Fun::Lt, x, high);
        let safe = m.g.map2(Fun::And, above, below);
        let y = m.g.map1(fun, x);
        let entropy = m.g.mul_all(&[x, x, y]);
        let w = m.g.rename(entropy, &[(B(0), B(1))]);
        let back = m.g.rename(w, &[(B(1), B(0))]);
        let squares = m.g.mul_all(&[back, back]);
        let chosen = m.g.select(safe, squares, low);
        let loss = m.g.reduce(Red::Sum, &[B(0)], chosen);
        let g1 = m.grad(loss, x, &[], &[]);
        let again = m.g.mul_all(&[g1, g1]);
        let sum = m.g.reduce(Red::Sum, &[B(0)], again);
        let g2 = m.grad(sum, x, &[], &[]);
        m.output(g1);
        m.output(g2);
        for t in m.run() {
            assert_eq!([t.data[0], t.data[2]], [0.0, 0.0], "{fun:?} {t:?}");
            assert!(t.data[1].is_finite() && t.data[1] != 0.0);
        }
    }
}

/// `loss` is a sum of chosen entries of something that is infinite, or has an infinite derivative, at 0.
pub fn check_finite(mut m: Model, loss: NodeId, want: &[f64]) {
    let x = m.param(0);
    let g1 = m.grad(loss, x, &[], &[]);
    let square = m.g.mul_all(&[g1, g1]);
    let axes = m.g.ty(square).axes.clone();
    let sum = m.g.reduce(Red::Sum, &axes, square);
    let g2 = m.grad(sum, x, &[], &[]);
    m.output(g1);
    m.output(g2);
    let got = m.run();
    assert!(got[0].data.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{:?}", got[0]);
    assert!(got[1].data.iter().all(|x| x.is_finite()), "{:?}", got[1]);
}

#[test]
fn the_branch_not_taken_stays_silent_through_reads_fibers_and_contractions() {
    let index = Elem::Index(DimId::new(1));
    let make = |inputs: &[(Elem, &[Axis])]| {
        let mut m = model(&[&[B(0)]], inputs, 1);
        m.params[0] = vec![0.0, 2.0, 4.0];
        let (x, half) = (m.param(0), m.g.num(0.5));
        (m, x, half)
    };
    // Entries read by index, chosen after the read.
    let (mut m, x, half) = make(&[(index, &[C(0)])]);
    m.inputs[0] = vec![0.0, 1.0, 1.0, 2.0];
    let (log, label) = (m.g.map1(Fun::Log, x), m.input(0));
    let read = m.g.read(log, &[(B(0), At::Arg(1))], &[label], None);
    let fine = m.g.map2(Fun::Gt, read, half);
    let chosen = m.g.select(fine, read, half);
    let loss = m.g.reduce(Red::Sum, &[C(0)], chosen);
    check_finite(m, loss, &[0.0, 1.0, 0.25]);
    // A window of it.
    let (mut m, x, half) = make(&[]);
    let log = m.g.map1(Fun::Log, x);
    let read = m.g.read(log, &[(B(0), affine(&[(1, B(0)), (1, A(0))], -1))], &[], Some(half));
    let fine = m.g.map2(Fun::Gt, read, half);
    let chosen = m.g.select(fine, read, half);
    let loss = m.g.reduce(Red::Sum, &[A(0), B(0)], chosen);
    check_finite(m, loss, &[0.0, 1.0, 0.25]);
    // Sums of entries along fibers, chosen after the sum.
    let (mut m, x, half) = make(&[(Elem::Index(DimId::new(0)), &[B(0)])]);
    m.inputs[0] = vec![0.0, 1.0, 1.0];
    let (log, owner) = (m.g.map1(Fun::Log, x), m.input(0));
    let sums = m.g.fiber(Red::Sum, log, &[(A(0), At::Arg(1))], &[B(0)], &[owner]);
    let fine = m.g.map2(Fun::Gt, sums, half);
    let chosen = m.g.select(fine, sums, half);
    let loss = m.g.reduce(Red::Sum, &[A(0)], chosen);
    check_finite(m, loss, &[0.0, 0.5, 0.25]);
    // Rows of a contraction.
    let (mut m, x, half) = make(&[]);
    let (log, row) = (m.g.map1(Fun::Log, x), m.g.add(Op::Iota(B(0)), []));
    let w = m.g.add(Op::Iota(A(0)), []);
    let w = m.g.to_real(w);
    let weights = m.g.map2(Fun::Add, w, x);
    let y = m.g.contract(&[A(0)], &[log, weights]);
    let zero = m.g.int(0);
    let fine = m.g.map2(Fun::Gt, row, zero);
    let chosen = m.g.select(fine, y, half);
    let loss = m.g.reduce(Red::Sum, &[B(0)], chosen);
    let slope = |x: f64| (1.0 + 2.0 * x) / x + 2.0 * x.ln();
    check_finite(m, loss, &[0.0, slope(2.0), slope(4.0)]);
}

#[test]
fn two_branches_give_one_selection() {
    // `if x > 0 then x else 0.1 x`: the gradient is one selection, and conditions do not pile up below it.
    let mut m = model(&[&[B(0)]], &[], 1);
    let x = m.param(0);
    let e = m.g.map1(Fun::Exp, x);
    let (zero, slope) = (m.g.num(0.0), m.g.num(0.1));
    let above = m.g.map2(Fun::Gt, e, zero);
    let less = m.g.mul_all(&[slope, e]);
    let y = m.g.select(above, e, less);
    let loss = m.g.reduce(Red::Sum, &[B(0)], y);
    let grad = m.grad(loss, x, &[], &[]);
    m.output(grad);
    let new = differentiate(&m.g);
    let count = |op: &dyn Fn(&Op) -> bool| new.ids().filter(|id| op(&new.node(*id).op)).count();
    assert_eq!(count(&|op| *op == Op::Map(Fun::Select)), 1, "{}", dump(&new));
    assert_eq!(count(&|op| matches!(op, Op::Map(Fun::Not | Fun::Or | Fun::And))), 0);
}

#[test]
fn the_second_derivative_survives_a_zero_cotangent() {
    // (x - 2)^2 where x > 0: at x = 2 the cotangent is exactly 0, its derivative is not.
    let mut start = model(&[&[]], &[], 1);
    start.params[0] = vec![2.0];
    check(start, |m| {
        let x = m.param(0);
        let log = m.g.map1(Fun::Log, x);
        let c = m.g.num(2f64.ln());
        let d = m.g.map2(Fun::Sub, log, c);
        let y = m.g.mul_all(&[d, d]);
        let zero = m.g.num(0.0);
        let cond = m.g.map2(Fun::Gt, x, zero);
        let y = m.g.select(cond, y, zero);
        m.grad(y, x, &[], &[])
    });
}

#[test]
fn kinks_have_derivative_zero() {
    let mut m = model(&[&[]], &[], 1);
    m.params[0] = vec![0.0];
    let (x, zero) = (m.param(0), m.g.num(0.0));
    for y in
        [m.g.map2(Fun::Max, x, zero), m.g.map2(Fun::Max, zero, x), m.g.map2(Fun::Min, x, zero), m.g.map1(Fun::Abs, x)]
    {
        let grad = m.grad(y, x, &[], &[]);
        m.output(grad);
    }
    let same = m.g.map2(Fun::Max, x, x);
    let grad = m.grad(same, x, &[], &[]);
    m.output(grad);
    let got: Vec<f64> = m.run().iter().map(|t| t.data[0]).collect();
    assert_eq!(got, [0.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn equal_extremal_entries_share() {
    let mut m = model(&[&[C(0)]], &[], 1);
    m.params[0] = vec![3.0, 1.0, 3.0, 2.0];
    let x = m.param(0);
    let y = m.g.reduce(Red::Max, &[C(0)], x);
    let grad = m.grad(y, x, &[], &[]);
    m.output(grad);
    assert_eq!(m.run()[0].data, [0.5, 0.0, 0.5, 0.0]);
}

#[test]
fn stop_passes_no_gradient_and_independence_is_zero() {
    let mut m = model(&[&[B(0)], &[A(0)]], &[], 1);
    let (x, w) = (m.param(0), m.param(1));
    let stopped = m.g.add(Op::Stop, [x]);
    let y = m.g.mul_all(&[x, stopped]);
    let of = m.grad(y, x, &[(B(0), B(1))], &[]);
    let none = m.grad(y, w, &[], &[]);
    m.output(of);
    m.output(none);
    m.output(x);
    let got = m.run();
    for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        assert_eq!(got[0].data[3 * i + j], if i == j { got[2].data[i] } else { 0.0 });
    }
    assert_eq!(got[1].data, [0.0; 6]);
}

/// `f(x)` with a gradient by hand, `back` of (input, cotangent).
pub fn custom(
    m: &mut Model,
    k: usize,
    x: NodeId,
    value: impl Fn(&mut Model, NodeId) -> NodeId,
    back: impl Fn(&mut Model, NodeId, NodeId) -> NodeId,
) -> NodeId {
    let input = m.point(2 * k, x);
    let value = value(m, input);
    let dy = m.point(2 * k + 1, value);
    let back = back(m, input, dy);
    m.g.add(Op::Custom { inputs: 1 }, [value, input, dy, back])
}

#[test]
fn a_true_gradient_by_hand_changes_nothing() {
    // softmax over B with its usual backward; A is kept apart.
    for order in 0..3 {
        check(model(&[&[A(0), B(0)]], &[], 5), |m| {
            let x = m.param(0);
            let softmax = |m: &mut Model, x: NodeId| {
                let e = m.g.map1(Fun::Exp, x);
                let sum = m.g.reduce(Red::Sum, &[B(0)], e);
                m.g.map2(Fun::Div, e, sum)
            };
            let y = custom(m, 0, x, softmax, |m, x, dy| {
                let y = softmax(m, x);
                let mean = m.g.contract(&[B(0)], &[y, dy]);
                let rest = m.g.map2(Fun::Sub, dy, mean);
                m.g.mul_all(&[y, rest])
            });
            nest(m, y, order)
        });
    }
}

#[test]
fn a_straight_through_gradient() {
    let mut m = model(&[&[B(0)]], &[], 5);
    m.params[0] = vec![0.5, -2.0, -0.25];
    let x = m.param(0);
    let y = custom(
        &mut m,
        0,
        x,
        |m, x| m.g.map1(Fun::Sign, x),
        |m, x, dy| {
            let (size, one) = (m.g.map1(Fun::Abs, x), m.g.num(1.0));
            let small = m.g.map2(Fun::Le, size, one);
            m.g.mul_all(&[dy, small])
        },
    );
    let loss = m.g.reduce(Red::Sum, &[B(0)], y);
    let g = m.grad(loss, x, &[], &[]);
    let jacobian = m.grad(y, x, &[(B(0), B(1))], &[]);
    m.output(y);
    m.output(g);
    m.output(jacobian);
    let got = m.run();
    assert_eq!(got[0].data, [1.0, -1.0, -1.0]);
    assert_eq!(got[1].data, [1.0, 0.0, 1.0]);
    assert_eq!(got[2].data, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
}
