//! What random graphs are made of: tables, numbers, and nodes that the builder does not simplify.
//! Law: everything follows from a seed.

use gannet_compiler::graph::{Graph, NodeId, Op, Red, Tables, sorted};
use gannet_lang::diag::Span;
use gannet_lang::program::{Axis, Dim, DimId, Elem, Fun, Hyper, Input, Param, ParamId, Part, Role, Size, Ty};
use gannet_runtime::reference::Env;
use std::sync::Arc;

pub const SIZES: [usize; 4] = [3, 4, 2, 5];

pub fn axis(dim: u32) -> Axis {
    Axis { dim: DimId(dim), ix: 0 }
}

/// The second axis over dim 0.
pub fn twin() -> Axis {
    Axis { dim: DimId(0), ix: 1 }
}

/// Axes of the parameters. The twin axis makes matrices over one dim.
pub fn shapes() -> Vec<Vec<Axis>> {
    let (n, m, k, e) = (axis(0), axis(1), axis(2), axis(3));
    vec![
        vec![n],
        vec![n, m],
        vec![m],
        vec![m, k],
        vec![n, m, k],
        vec![],
        vec![n],
        vec![n, m],
        vec![m, k],
        vec![e],
        vec![n, twin()],
        vec![e, m],
        vec![k],
        vec![m],
    ]
}

pub fn tables() -> Arc<Tables> {
    let span = Span::default();
    let dims =
        SIZES.iter().enumerate().map(|(k, n)| Dim { name: format!("d{k}"), size: Size::Fixed(*n as u64), span: None });
    let param = |(k, axes): (usize, Vec<Axis>)| Param {
        name: format!("p{k}"),
        ty: Ty { elem: Elem::Real, axes },
        role: Role::Weight,
        span,
    };
    let index = |name: &str, axes: Vec<Axis>| Input {
        name: name.into(),
        field: None,
        part: Part::Argument,
        ty: Ty { elem: Elem::Index(DimId(0)), axes },
    };
    Arc::new(Tables {
        dims: dims.collect(),
        inputs: vec![index("of_edge", vec![axis(3)]), index("of_m", vec![axis(1)])],
        params: shapes().into_iter().enumerate().map(param).collect(),
        states: vec![],
        hypers: vec![Hyper { name: "h".into(), default: 0.5 }],
        hosts: vec![],
        assumed: SIZES.iter().map(|n| *n as u64 * 40).collect(),
    })
}

/// A small generator of its own: tests must not change when a library does.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) ^ (self.0 >> 11 & 0xffff)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() % 1_000_003) as f64 / 1_000_003.0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

pub fn env(dice: &mut Dice, low: f64) -> Env {
    let count = |axes: &[Axis]| axes.iter().map(|a| SIZES[a.dim.index()]).product::<usize>();
    let index = |dice: &mut Dice, n: usize| (0..n).map(|_| dice.below(SIZES[0]) as f64).collect::<Vec<f64>>();
    Env {
        sizes: SIZES.to_vec(),
        inputs: vec![index(dice, SIZES[3]), index(dice, SIZES[1])],
        params: shapes().iter().map(|s| (0..count(s)).map(|_| low + (1.4 - low) * dice.unit()).collect()).collect(),
        states: vec![],
        hypers: vec![0.7],
        step: 3.0,
        seed: 1,
    }
}

pub fn param(g: &mut Graph, k: u32) -> NodeId {
    g.add(Op::Param(ParamId(k)), [])
}

pub fn any_param(g: &mut Graph, dice: &mut Dice) -> NodeId {
    let k = dice.below(9) as u32;
    param(g, k)
}

/// A node as it is, whatever the builder would make of it.
pub fn raw(g: &mut Graph, fun: Fun, args: &[NodeId]) -> NodeId {
    let mut args = args.to_vec();
    if matches!(fun, Fun::Add | Fun::Mul) {
        args.sort();
    }
    g.add(Op::Map(fun), args)
}

pub fn raw_reduce(g: &mut Graph, red: Red, axes: &[Axis], x: NodeId) -> NodeId {
    g.add(Op::Reduce(red, sorted(axes.iter().copied())), [x])
}

pub fn raw_contract(g: &mut Graph, axes: &[Axis], factors: &[NodeId]) -> NodeId {
    let mut factors = factors.to_vec();
    factors.sort();
    g.add(Op::Contract(sorted(axes.iter().copied())), factors)
}
