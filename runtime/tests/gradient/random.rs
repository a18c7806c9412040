//! Random smooth graphs: first to third derivatives, and Jacobians, against central differences.

use super::*;
use gannet_compiler::graph::{At, Red};
use gannet_lang::program::Fun;

const LEAVES: [&[Axis]; 3] =
    [&[], &[Axis { dim: DimId(0), ix: 0 }], &[Axis { dim: DimId(0), ix: 0 }, Axis { dim: DimId(1), ix: 0 }]];

fn index(dim: u32) -> Elem {
    Elem::Index(DimId(dim))
}

/// A smooth bounded function of one of the values so far, or a combination of several.
fn grow(m: &mut Model, rng: &mut Rng, values: &[NodeId]) -> NodeId {
    let pick = |rng: &mut Rng| values[rng.below(values.len() as u64) as usize];
    let (x, y) = (pick(rng), pick(rng));
    let axes: Vec<Axis> = m.g.ty(x).axes.iter().copied().filter(|a| a.dim.index() < 2).collect();
    let axis = |rng: &mut Rng| axes[rng.below(axes.len() as u64) as usize];
    let new = match rng.below(12) {
        0 => m.g.map1(Fun::Sin, x),
        1 => m.g.map1(Fun::Tanh, x),
        2 => m.g.map1(Fun::Sigmoid, x),
        3 => m.g.add_all(&[x, y]),
        4 | 5 => m.g.mul_all(&[x, y]),
        6 if !axes.is_empty() => {
            let a = axis(rng);
            m.g.contract(&[a], &[x, y])
        }
        7 if !axes.is_empty() => {
            let a = axis(rng);
            let other = Axis { dim: a.dim, ix: rng.below(3) as u32 };
            m.g.read(x, &[(a, At::axis(other))], &[], None)
        }
        8 if !axes.is_empty() => {
            let a = axis(rng);
            let terms = [(1, Axis { ix: 0, ..a }), (1, ax(0, 1))].into_iter().collect();
            m.g.read(x, &[(a, At::Affine { terms, offset: -1 })], &[], Some(y))
        }
        9 if !axes.is_empty() => {
            let a = axis(rng);
            let index = m.input(a.dim.index());
            m.g.read(x, &[(a, At::Arg(1))], &[index], None)
        }
        10 if !axes.is_empty() => {
            let a = axis(rng);
            let target = Axis { dim: DimId(rng.below(2) as u32), ix: rng.below(2) as u32 };
            if m.g.ty(x).has(target) && target != a {
                return x;
            }
            let index = m.input(2 + 2 * a.dim.index() + target.dim.index());
            let index = m.g.rename(index, &[(Axis { ix: 0, ..a }, a)]);
            m.g.fiber(Red::Sum, x, &[(target, At::Arg(1))], &[a], &[index])
        }
        11 if !axes.is_empty() => {
            let a = axis(rng);
            m.g.reduce(Red::Prod, &[a], x)
        }
        _ => m.g.map1(Fun::Cos, x),
    };
    if m.g.ty(new).axes.len() > 3 {
        let over = m.g.ty(new).axes[3..].to_vec();
        return m.g.reduce(Red::Sum, &over, new);
    }
    new
}

fn inputs() -> Vec<(Elem, &'static [Axis])> {
    const C: &[Axis] = &[Axis { dim: DimId(2), ix: 0 }];
    const A: &[Axis] = &[Axis { dim: DimId(0), ix: 0 }];
    const B: &[Axis] = &[Axis { dim: DimId(1), ix: 0 }];
    // Indices to read dims 0 and 1 along another axis; then maps from dim i to dim j.
    vec![(index(0), A), (index(1), C), (index(0), A), (index(1), A), (index(0), B), (index(1), B)]
}

fn random_graph(m: &mut Model, seed: u64, size: usize) -> NodeId {
    let mut rng = Rng(seed);
    let mut values: Vec<NodeId> = (0..LEAVES.len()).map(|k| m.param(k)).collect();
    for _ in 0..size {
        let recent = values.len().saturating_sub(5);
        let new = grow(m, &mut rng, &values[recent.min(values.len() - 1)..]);
        values.push(new);
    }
    let last = values.len() - 3;
    let of = m.g.add_all(&values[last..]);
    m.g.map1(Fun::Sin, of)
}

fn scalar_of(m: &mut Model, x: NodeId) -> NodeId {
    let axes = m.g.ty(x).axes.clone();
    let x = m.g.map1(Fun::Sin, x);
    m.g.reduce(Red::Sum, &axes, x)
}

#[test]
fn jacobians() {
    for seed in 0..150 {
        check(model(&LEAVES, &inputs(), seed), |m| {
            let y = random_graph(m, seed, 8);
            let over: Vec<Axis> = m.g.ty(y).axes.iter().copied().skip(2).collect();
            m.g.reduce(Red::Sum, &over, y)
        });
    }
}

#[test]
fn second_and_third_derivatives() {
    for seed in 0..60 {
        for order in 1..3 {
            check(model(&LEAVES, &inputs(), seed), |m| {
                let mut y = random_graph(m, 1000 + seed, 5);
                for k in 0..order {
                    let of = scalar_of(m, y);
                    let w = m.param((seed as usize + k) % LEAVES.len());
                    y = m.grad(of, w, &[], &[]);
                }
                y
            });
        }
    }
}

#[test]
fn derivatives_of_jacobians() {
    for seed in 0..60 {
        check(model(&LEAVES, &inputs(), seed), |m| {
            let y = random_graph(m, 2000 + seed, 4);
            let over: Vec<Axis> = m.g.ty(y).axes.iter().copied().skip(1).collect();
            let y = m.g.reduce(Red::Sum, &over, y);
            let w = m.param(1);
            let jacobian = m.grad(y, w, &[(ax(0, 0), ax(0, 9))], &[]);
            let square = m.g.mul_all(&[jacobian, jacobian]);
            let axes = m.g.ty(square).axes.clone();
            m.g.reduce(Red::Sum, &axes, square)
        });
    }
}
