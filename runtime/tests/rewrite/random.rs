//! Random graphs for the whole pass.
//! Law: values stay small, so that no comparison is of overflows.

use crate::leaves::{Dice, axis, param, shapes, tables};
use gannet_compiler::graph::{At, Graph, NodeId, Op, Red};
use gannet_lang::program::{Axis, Fun, HyperId, InputId, Output};

/// A random graph through the builder: every construct on operands drawn from what is there.
pub fn random(dice: &mut Dice, steps: usize) -> Graph {
    let mut g = Graph::new(tables());
    let mut pool: Vec<NodeId> = (0..shapes().len() as u32).map(|k| param(&mut g, k)).collect();
    pool.push(g.add(Op::Hyper(HyperId(0)), []));
    let edge = g.add(Op::Input(InputId(0)), []);
    for _ in 0..steps {
        let (x, y, z) = (dice.pick(&pool), dice.pick(&pool), dice.pick(&pool));
        let axes: Vec<Axis> = g.union(&[x, y]).to_vec();
        let bound: Vec<Axis> = axes.iter().copied().filter(|_| dice.below(2) == 0).collect();
        let own: Vec<Axis> = g.ty(x).axes.iter().copied().filter(|_| dice.below(2) == 0).collect();
        let c = g.num(dice.pick(&[-1.0, 0.5, 2.0, 0.0]));
        let new = match dice.below(14) {
            0 | 1 => g.map2(Fun::Add, x, y),
            2 | 3 => g.map2(Fun::Mul, x, y),
            4 => g.map2(Fun::Sub, x, y),
            5 => g.contract(&bound, &[x, y]),
            6 => g.contract(&bound, &[x, y, z]),
            7 => g.reduce(Red::Sum, &own, x),
            8 => g.reduce(Red::Max, &own, x),
            9 => g.map1(dice.pick(&[Fun::Tanh, Fun::Sigmoid, Fun::Softplus, Fun::Abs, Fun::Exp]), x),
            10 => g.mul_all(&[c, x]),
            11 if g.ty(x).has(axis(0)) && !g.ty(x).has(axis(3)) => g.read(x, &[(axis(0), At::Arg(1))], &[edge], None),
            12 if g.ty(x).has(axis(3)) && !g.ty(x).has(axis(0)) => {
                g.fiber(Red::Sum, x, &[(axis(0), At::Arg(1))], &[axis(3)], &[edge])
            }
            _ => {
                let zero = g.num(0.0);
                g.map2(Fun::Max, x, zero)
            }
        };
        // Values are kept small, so that no comparison is of overflows.
        let entries = g.ty(new).axes.len();
        pool.push(if entries > 3 {
            g.reduce(Red::Max, &[axis(0)].into_iter().filter(|a| g.ty(new).has(*a)).collect::<Vec<_>>(), new)
        } else {
            g.map1(Fun::Tanh, new)
        });
    }
    let last: Vec<NodeId> = pool[pool.len() - 3..].to_vec();
    g.outputs = last.into_iter().enumerate().map(|(k, id)| (Output::Value(format!("y{k}")), id)).collect();
    g
}
