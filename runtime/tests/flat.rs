//! Flat vectors taken leaf by leaf have the values that they have when they are laid out.
#![allow(missing_docs)]

use gannet_compiler::flat::by_leaves;
use gannet_compiler::grad::differentiate;
use gannet_compiler::graph::{At, Graph, NodeId, Op, Red, Tables};
use gannet_lang::diag::Span;
use gannet_lang::program::{Axis, Dim, DimId, Elem, Fun, Input, InputId, Output, Param, ParamId, Part, Role, Size, Ty};
use gannet_runtime::reference::{Env, eval};
use std::sync::Arc;

const SIZES: [u64; 4] = [2, 3, 4, 17];

fn ax(dim: usize, ix: u32) -> Axis {
    Axis { dim: DimId::new(dim), ix }
}

/// A matrix over (3, 4), a vector over 4 and a scalar, each once for each of two samples: 17 numbers a sample.
const LEAVES: [&[(usize, u32)]; 3] = [&[(1, 0), (2, 0)], &[(2, 0)], &[]];

fn tables() -> Tables {
    let dim = |(k, n): (usize, &u64)| Dim { name: format!("d{k}"), size: Size::Fixed(*n), span: None };
    let ty = |axes: Vec<Axis>| Ty { elem: Elem::Real, axes };
    let leaves = LEAVES.iter().map(|own| own.iter().map(|(d, k)| ax(*d, *k)).collect::<Vec<Axis>>());
    Tables {
        dims: SIZES.iter().enumerate().map(dim).collect(),
        params: leaves
            .map(|axes| Param { name: "w".into(), ty: ty(axes), role: Role::Weight, span: Span::default() })
            .collect(),
        inputs: vec![
            Input { name: "x".into(), field: None, part: Part::Argument, ty: ty(vec![ax(0, 0)]) },
            Input { name: "v".into(), field: None, part: Part::Argument, ty: ty(vec![ax(3, 0)]) },
        ],
        assumed: SIZES.to_vec(),
        ..Tables::default()
    }
}

fn env() -> Env {
    let wave = |n: usize, k: usize| (0..n).map(|i| (1.7 * i as f64 + k as f64).sin()).collect::<Vec<f64>>();
    Env {
        sizes: SIZES.iter().map(|n| *n as usize).collect(),
        params: vec![wave(12, 1), wave(4, 2), wave(1, 3)],
        inputs: vec![wave(2, 4), wave(17, 5)],
        ..Env::default()
    }
}

/// One vector a sample: each leaf times a function of the sample.
fn vector(g: &mut Graph, axis: Axis) -> NodeId {
    let x = g.add(Op::Input(InputId::new(0)), []);
    let (mut parts, mut offset) = (Vec::new(), 0);
    for (k, own) in LEAVES.iter().enumerate() {
        let w = g.add(Op::Param(ParamId::new(k)), []);
        let shift = g.num(k as f64 + 0.5);
        let shifted = g.add_all(&[x, shift]);
        let leaf = g.mul_all(&[w, shifted]);
        let (mut stride, mut terms) = (1, Vec::new());
        for (d, ix) in own.iter().rev() {
            terms.push((stride, ax(*d, *ix)));
            stride *= SIZES[*d] as i64;
        }
        let over: Vec<Axis> = own.iter().map(|(d, k)| ax(*d, *k)).collect();
        parts.push(g.fiber(Red::Sum, leaf, &[(axis, At::affine(terms, offset))], &over, &[]));
        offset += stride;
    }
    g.add_all(&parts)
}

/// Values before and after agree; returns how many fibers are left.
fn check(build: impl Fn(&mut Graph) -> Vec<NodeId>) -> usize {
    let mut g = Graph::new(Arc::new(tables()));
    for (k, id) in build(&mut g).into_iter().enumerate() {
        g.outputs.push((Output::Value(format!("y{k}")), id));
    }
    let g = differentiate(&g);
    let new = by_leaves(&g);
    new.verify().expect("well typed");
    let message = |f: gannet_runtime::reference::Fault| panic!("{}\n{g}\n{new}", f.message);
    let (a, b) = (eval(&g, &env()).unwrap_or_else(message), eval(&new, &env()).unwrap_or_else(message));
    for ((_, a), (_, b)) in a.iter().zip(&b) {
        assert_eq!(a.axes, b.axes);
        for (x, y) in a.data.iter().zip(&b.data) {
            assert!((x - y).abs() < 1e-12 * (1.0 + x.abs()), "{x} {y}\n{g}\n{new}");
        }
    }
    let live = new.live();
    new.ids().filter(|id| live[id.index()] && matches!(new.node(*id).op, Op::Fiber { .. })).count()
}

const K: Axis = Axis { dim: DimId(3), ix: 0 };

#[test]
fn a_vector_that_is_wanted_is_laid_out() {
    assert_eq!(check(|g| vec![vector(g, K)]), 3);
}

#[test]
fn norms_products_and_extrema_lay_nothing_out() {
    let left = check(|g| {
        let j = vector(g, K);
        let square = g.mul_all(&[j, j]);
        let norm = g.reduce(Red::Sum, &[K], square);
        let largest = g.reduce(Red::Max, &[K], j);
        let zero = g.num(0.0);
        let positive = g.map2(Fun::Gt, j, zero);
        let any = g.reduce(Red::Any, &[K], positive);
        let other = g.rename(j, &[(ax(0, 0), ax(0, 1))]);
        let gram = g.contract(&[K], &[j, other]);
        vec![norm, largest, any, gram]
    });
    assert_eq!(left, 0);
}

#[test]
fn a_mean_over_samples_is_laid_out_once() {
    let left = check(|g| {
        let j = vector(g, K);
        let square = g.mul_all(&[j, j]);
        let norm = g.reduce(Red::Sum, &[K], square);
        let scale = g.map1(Fun::Recip, norm);
        vec![g.contract(&[ax(0, 0)], &[j, scale])]
    });
    assert_eq!(left, 3);
}

#[test]
fn another_vector_is_read_at_the_leaves_places() {
    let left = check(|g| {
        let j = vector(g, K);
        let v = g.add(Op::Input(InputId::new(1)), []);
        let product = g.contract(&[K], &[j, v]);
        let sum = g.add_all(&[j, v]);
        let total = g.reduce(Red::Sum, &[K, ax(0, 0)], sum);
        vec![product, total]
    });
    assert_eq!(left, 0);
}

#[test]
fn names_of_the_axis_and_outer_products() {
    check(|g| {
        let j = vector(g, K);
        let other = g.rename(j, &[(K, ax(3, 1))]);
        let outer = g.contract(&[ax(0, 0)], &[j, other]);
        let index = g.add(Op::Const(gannet_compiler::graph::Num::new(1.0), Elem::Index(DimId::new(0))), []);
        let one = g.read(j, &[(ax(0, 0), At::Arg(1))], &[index], None);
        vec![outer, one, other]
    });
}

#[test]
fn gradients_through_a_vector() {
    let left = check(|g| {
        let j = vector(g, K);
        let s = g.map1(Fun::Sin, j);
        let loss = g.reduce(Red::Sum, &[K, ax(0, 0)], s);
        (0..3)
            .map(|k| {
                let w = g.add(Op::Param(ParamId::new(k)), []);
                let axes = g.ty(w).axes.iter().map(|a| (*a, *a)).collect();
                g.add(Op::Grad { axes, shared: Default::default() }, [loss, w])
            })
            .collect()
    });
    assert_eq!(left, 0);
}
