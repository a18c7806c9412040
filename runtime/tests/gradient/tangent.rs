//! Directional derivatives: everything whose Jacobian is checked is checked along directions too, and nested derivatives
//! of both kinds against central differences.

use super::*;
use crate::operations::{A, B, C};
use gannet_compiler::graph::{AxisNames, Red};
use gannet_lang::program::Fun;

/// Further axes of directions: none, one that occurs nowhere else, one that may collide with any axis in the graph.
const FURTHER: [Option<Axis>; 3] = [None, Some(Axis { dim: DimId(1), ix: 77 }), Some(Axis { dim: DimId(0), ix: 0 })];

/// Where the axes of parameters are found in a direction.
fn renamed(axis: Axis) -> Axis {
    Axis { ix: axis.ix + 60, ..axis }
}

/// The entry of the direction of parameter `k`.
fn entry(k: usize, own: &[usize], further: usize) -> f64 {
    let place = own.iter().fold(0, |sum, i| 3 * sum + i);
    (1.3 * place as f64 + 0.7 * k as f64 + 2.1 * further as f64).cos()
}

/// The same as equations.
fn direction(m: &mut Model, k: usize, further: Option<Axis>) -> NodeId {
    let mut place = m.g.num(0.0);
    let axes = m.g.tables.params[k].ty.axes.clone();
    let three = m.g.num(3.0);
    for axis in axes {
        let i = m.g.add(Op::Iota(renamed(axis)), []);
        let scaled = m.g.mul_all(&[three, place]);
        place = m.g.add_all(&[scaled, i]);
    }
    let slope = m.g.num(1.3);
    let mut sum = vec![m.g.mul_all(&[slope, place]), m.g.num(0.7 * k as f64)];
    if let Some(axis) = further {
        let (slope, i) = (m.g.num(2.1), m.g.add(Op::Iota(axis), []));
        sum.push(m.g.mul_all(&[slope, i]));
    }
    let sum = m.g.add_all(&sum);
    m.g.map1(Fun::Cos, sum)
}

impl Model {
    /// The derivative along directions of variables, each with the names of its axes in the direction.
    pub fn along(&mut self, of: NodeId, by: &[(NodeId, NodeId)], name: impl Fn(Axis) -> Axis) -> NodeId {
        let names = by.iter().map(|(w, _)| self.g.ty(*w).axes.iter().map(|a| (*a, name(*a))).collect::<AxisNames>());
        let op = Op::Along(names.collect());
        let args = std::iter::once(of).chain(by.iter().map(|b| b.0)).chain(by.iter().map(|b| b.1));
        self.g.add(op, args)
    }
}

/// Directional derivatives of `of` along directions of all parameters at once, as outputs.
pub fn outputs(m: &mut Model, of: NodeId) {
    for further in FURTHER {
        let by: Vec<(NodeId, NodeId)> = (0..m.params.len()).map(|k| (m.param(k), direction(m, k, further))).collect();
        let along = m.along(of, &by, renamed);
        m.output(along);
    }
}

/// The outputs that [`outputs`] made are what the Jacobians before them give.
pub fn check_outputs(m: &Model, got: &[Tensor]) {
    let count = m.params.len();
    for (further, along) in FURTHER.iter().zip(&got[1 + count..]) {
        for at in 0..along.data.len() {
            let place = places(along, at);
            let find = |a: Axis| place.iter().find(|p| p.0 == a).map(|p| p.1);
            let own = further.map_or(0, |a| find(a).expect("a further axis is one of the result"));
            let want: f64 = (0..count).map(|k| met(m, k, &got[1 + k], own, &find)).sum();
            let have = along.data[at];
            let close = (want - have).abs() <= 1e-8 * (1.0 + want.abs());
            assert!(close, "along {further:?} at {place:?}: {have}, but the Jacobian gives {want}\n{}", dump(&m.g));
        }
    }
}

/// The Jacobian by parameter `k` at a place, summed against its direction.
fn met(m: &Model, k: usize, jacobian: &Tensor, further: usize, find: &dyn Fn(Axis) -> Option<usize>) -> f64 {
    let axes = &m.g.tables.params[k].ty.axes;
    let sizes: Vec<usize> = axes.iter().map(|a| SIZES[a.dim.index()] as usize).collect();
    let mut sum = 0.0;
    for at in 0..sizes.iter().product::<usize>() {
        let (mut rest, mut own) = (at, vec![0; axes.len()]);
        for (i, n) in sizes.iter().enumerate().rev() {
            own[i] = rest % n;
            rest /= n;
        }
        let value = jacobian.get(|a| {
            let named = axes.iter().position(|b| Axis { ix: b.ix + 40, ..*b } == a);
            named.map_or_else(|| find(a).expect("an axis of the result"), |i| own[i])
        });
        sum += value * entry(k, &own, further);
    }
    sum
}

fn places(t: &Tensor, mut at: usize) -> Vec<(Axis, usize)> {
    let mut places = Vec::new();
    for (axis, n) in t.axes.iter().zip(&t.sizes).rev() {
        places.push((*axis, at % n));
        at /= n;
    }
    places
}

/// A smooth function of two parameters with sums, products and reads.
fn function(m: &mut Model) -> NodeId {
    let (x, w) = (m.param(0), m.param(1));
    let z = m.g.contract(&[A(0)], &[x, w]);
    let h = m.g.map1(Fun::Tanh, z);
    let s = m.g.map1(Fun::Sin, x);
    let p = m.g.mul_all(&[h, s]);
    let e = m.g.map1(Fun::Exp, p);
    m.g.reduce(Red::Sum, &[A(0)], e)
}

fn function_model() -> Model {
    model(&[&[A(0)], &[A(0), B(0)]], &[], 11)
}

/// The direction of all parameters, under their own names.
fn both(m: &mut Model) -> Vec<(NodeId, NodeId)> {
    let to = |m: &mut Model, k: usize| {
        let v = direction(m, k, None);
        let names: Vec<(Axis, Axis)> = m.g.tables.params[k].ty.axes.iter().map(|a| (renamed(*a), *a)).collect();
        (m.param(k), m.g.rename(v, &names))
    };
    vec![to(m, 0), to(m, 1)]
}

#[test]
fn forward_over_forward_to_the_third_order() {
    for order in 1..4 {
        check(function_model(), |m| {
            let mut y = function(m);
            let by = both(m);
            for _ in 0..order {
                y = m.along(y, &by, |a| a);
            }
            y
        });
    }
}

#[test]
fn both_modes_nest_in_either_order() {
    // Letters say which derivative is taken, the innermost first.
    for kinds in ["fr", "rf", "ffr", "frf", "rff", "rfr", "frr"] {
        check(function_model(), |m| {
            let y = function(m);
            let mut y = m.g.reduce(Red::Sum, &[B(0)], y);
            let by = both(m);
            for kind in kinds.chars() {
                if kind == 'f' {
                    y = m.along(y, &by, |a| a);
                } else {
                    let axes = m.g.ty(y).axes.clone();
                    let square = m.g.mul_all(&[y, y]);
                    let of = m.g.reduce(Red::Sum, &axes, square);
                    let w = m.param(0);
                    y = m.grad(of, w, &[], &[]);
                }
            }
            y
        });
    }
}

#[test]
fn forward_and_reverse_commute() {
    let mut m = function_model();
    let y = function(&mut m);
    let loss = m.g.reduce(Red::Sum, &[B(0)], y);
    let (w, by) = (m.param(1), both(&mut m));
    let g = m.grad(loss, w, &[], &[]);
    let product = m.along(g, &by, |a| a);
    let slope = m.along(loss, &by, |a| a);
    let other = m.grad(slope, w, &[], &[]);
    m.output(product);
    m.output(other);
    let got = m.run();
    for (a, b) in got[0].data.iter().zip(&got[1].data) {
        assert!((a - b).abs() < 1e-10, "{a} {b}");
    }
}

#[test]
fn a_sweep_is_shared() {
    // Two functions with a long part in common: along both costs little more than along one.
    let count = |outputs: usize| {
        let mut m = function_model();
        let (y, by) = (function(&mut m), both(&mut m));
        let ends = [m.g.map1(Fun::Sin, y), m.g.map1(Fun::Cos, y)];
        for end in &ends[..outputs] {
            let along = m.along(*end, &by, |a| a);
            m.output(along);
        }
        let new = differentiate(&m.g);
        new.live().iter().filter(|l| **l).count()
    };
    assert!(count(2) <= count(1) + 5, "{} and {}", count(1), count(2));
}

#[test]
fn an_entry_of_the_batch_has_its_own_direction() {
    // y[a] = sum_c tanh(x[a, c] w[c]), along w = v[a, c]: no second axis a appears.
    let mut m = model(&[&[C(0)]], &[(Elem::Real, &[A(0), C(0)]), (Elem::Real, &[A(0), C(0)])], 5);
    let (x, v, w) = (m.input(0), m.input(1), m.param(0));
    let z = m.g.mul_all(&[x, w]);
    let t = m.g.map1(Fun::Tanh, z);
    let y = m.g.reduce(Red::Sum, &[C(0)], t);
    let along = m.along(y, &[(w, v)], |a| a);
    m.output(along);
    let new = differentiate(&m.g);
    assert!(new.ids().all(|id| new.ty(id).axes.iter().all(|a| a.ix == 0)), "{}", dump(&new));
    let got = m.run();
    for a in 0..2 {
        let term = |c: usize| {
            let (x, v, w) = (m.inputs[0][4 * a + c], m.inputs[1][4 * a + c], m.params[0][c]);
            (1.0 - (x * w).tanh().powi(2)) * x * v
        };
        let want: f64 = (0..4).map(term).sum();
        assert!((got[0].data[a] - want).abs() < 1e-12);
    }
}

#[test]
fn a_direction_of_each_entry_survives_a_sum_over_the_batch() {
    // L = sum_a (w x[a])^2 has no axis a; along w = v[a] it has: 2 w sum(x^2) v[a].
    let mut m = model(&[&[]], &[(Elem::Real, &[A(0)]), (Elem::Real, &[A(0)])], 5);
    let (x, v, w) = (m.input(0), m.input(1), m.param(0));
    let z = m.g.mul_all(&[x, w]);
    let square = m.g.mul_all(&[z, z]);
    let loss = m.g.reduce(Red::Sum, &[A(0)], square);
    let along = m.along(loss, &[(w, v)], |a| a);
    m.output(along);
    let got = m.run();
    let sum: f64 = m.inputs[0].iter().map(|x| x * x).sum();
    for a in 0..2 {
        assert!((got[0].data[a] - 2.0 * m.params[0][0] * sum * m.inputs[1][a]).abs() < 1e-12);
    }
}

#[test]
fn the_branch_not_taken_and_kinks() {
    let mut m = model(&[&[C(0)]], &[], 5);
    m.params[0] = vec![-1.0, 0.0, 0.25, 4.0];
    let (x, zero, one) = (m.param(0), m.g.num(0.0), m.g.num(1.0));
    let positive = m.g.map2(Fun::Gt, x, zero);
    let root = m.g.map1(Fun::Sqrt, x);
    let chosen = m.g.select(positive, root, zero);
    let relu = m.g.map2(Fun::Max, x, zero);
    let behind = m.g.map1(Fun::Sqrt, relu);
    let abs = m.g.map1(Fun::Abs, x);
    for of in [chosen, relu, behind, abs] {
        let along = m.along(of, &[(x, one)], |a| a);
        m.output(along);
        let twice = m.along(along, &[(x, one)], |a| a);
        m.output(twice);
    }
    let got = m.run();
    assert_eq!(got[0].data, [0.0, 0.0, 1.0, 0.25], "the chosen branch's derivative");
    assert_eq!(got[1].data, [0.0, 0.0, -2.0, -0.03125], "and its second");
    assert_eq!(got[2].data, [0.0, 0.0, 1.0, 1.0], "of relu, 0 at its kink");
    assert_eq!(got[3].data, [0.0; 4]);
    assert_eq!(got[4].data, [0.0, 0.0, 1.0, 0.25], "an infinite slope behind a kink meets no tangent");
    assert_eq!(got[6].data, [-1.0, 0.0, 1.0, 1.0], "of abs, 0 at its kink");
}
