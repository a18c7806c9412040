//! A plain evaluator of graphs in f64, entry by entry.
//! Law: no cleverness; every operation is its definition.

use gannet_compiler::graph::{Args, At, Graph, NodeId, Op, Red, neutral};
use gannet_compiler::scalar;
use gannet_lang::program::{Axis, Fun, Size};
use std::collections::BTreeMap;

/// Where each axis stands.
type Point = BTreeMap<Axis, i64>;

/// Entries of a tensor in row-major order of its sorted axes.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub axes: Vec<Axis>,
    pub sizes: Vec<usize>,
    pub data: Vec<f64>,
}

impl Tensor {
    pub fn at(&self, p: &Point) -> f64 {
        let place = self.axes.iter().zip(&self.sizes).fold(0, |k, (a, n)| k * n + p[a] as usize);
        self.data[place]
    }
}

pub fn size(g: &Graph, axis: Axis) -> usize {
    match g.tables.dims[axis.dim.index()].size {
        Size::Fixed(n) => n as usize,
        _ => panic!("tests fix all sizes"),
    }
}

fn points(g: &Graph, axes: &[Axis]) -> Vec<Point> {
    axes.iter().fold(vec![Point::new()], |all, a| {
        let with = |p: &Point, k: usize| p.iter().map(|(a, k)| (*a, *k)).chain([(*a, k as i64)]).collect();
        all.iter().flat_map(|p| (0..size(g, *a)).map(move |k| with(p, k))).collect()
    })
}

/// Values of all nodes, given those of the leaves.
pub fn evaluate(g: &Graph, leaf: &dyn Fn(&Op) -> Vec<f64>) -> Vec<Tensor> {
    let mut values: Vec<Tensor> = Vec::new();
    for id in g.ids() {
        let axes = g.ty(id).axes.to_vec();
        let sizes: Vec<usize> = axes.iter().map(|a| size(g, *a)).collect();
        let data = match &g.node(id).op {
            Op::Input(_) | Op::Param(_) | Op::State(_) => leaf(&g.node(id).op),
            Op::Fiber { .. } => fiber(g, id, &axes, &values),
            _ => points(g, &axes).iter().map(|p| entry(g, id, p, &values)).collect(),
        };
        assert_eq!(data.len(), sizes.iter().product::<usize>(), "{id} {:?}", g.node(id));
        values.push(Tensor { axes, sizes, data });
    }
    values
}

fn place(at: &At, args: &Args, p: &Point, values: &[Tensor]) -> i64 {
    match at {
        At::Affine { terms, offset } => terms.iter().map(|(k, a)| k * p[a]).sum::<i64>() + offset,
        At::Arg(k) => values[args[*k as usize].index()].at(p) as i64,
    }
}

fn join(red: Red, a: f64, b: f64) -> f64 {
    match red {
        Red::Sum => a + b,
        Red::Prod => a * b,
        Red::Max => a.max(b),
        Red::Min => a.min(b),
        Red::Any => scalar::eval(Fun::Or, &[a, b]),
        Red::All => scalar::eval(Fun::And, &[a, b]),
        Red::ArgMax | Red::ArgMin => panic!("not joined"),
    }
}

fn entry(g: &Graph, id: NodeId, p: &Point, values: &[Tensor]) -> f64 {
    let node = g.node(id);
    let arg = |k: usize, p: &Point| values[node.args[k].index()].at(p);
    let over = |axes: &[Axis]| -> Vec<Point> {
        points(g, axes).into_iter().map(|q| p.iter().chain(&q).map(|(a, k)| (*a, *k)).collect()).collect()
    };
    match &node.op {
        Op::Const(n, _) => n.get(),
        Op::Size(d) => size(g, Axis { dim: *d, ix: 0 }) as f64,
        Op::Iota(a) => p[a] as f64,
        Op::Map(fun) => scalar::eval(*fun, &(0..node.args.len()).map(|k| arg(k, p)).collect::<Vec<_>>()),
        Op::Reduce(red, axes) => over(axes).iter().fold(neutral(*red), |s, q| join(*red, s, arg(0, q))),
        Op::Contract(axes) => over(axes).iter().map(|q| (0..node.args.len()).map(|k| arg(k, q)).product::<f64>()).sum(),
        Op::Read { at, guarded } => {
            let mut q = p.clone();
            let found: Vec<(Axis, i64)> = at.iter().map(|(a, to)| (*a, place(to, &node.args, p, values))).collect();
            let inside = found.iter().all(|(a, k)| *k >= 0 && *k < size(g, *a) as i64);
            q.extend(found);
            assert!(inside || *guarded, "a read outside: {node:?}");
            if inside { arg(0, &q) } else { arg(node.args.len() - 1, p) }
        }
        Op::Point(_) | Op::Stop | Op::Custom { .. } => arg(0, p),
        op => panic!("tests have no {op:?}"),
    }
}

fn fiber(g: &Graph, id: NodeId, axes: &[Axis], values: &[Tensor]) -> Vec<f64> {
    let node = g.node(id);
    let Op::Fiber { red, at, over } = &node.op else { unreachable!() };
    let kept: Vec<Axis> = axes.iter().copied().filter(|a| at.iter().all(|n| n.0 != *a)).collect();
    let all: Vec<Axis> = kept.iter().copied().chain(over.iter().copied()).collect();
    let mut result: BTreeMap<Point, f64> = points(g, axes).into_iter().map(|p| (p, neutral(*red))).collect();
    for p in points(g, &all) {
        let mut q: Point = p.iter().filter(|(a, _)| kept.contains(a)).map(|(a, k)| (*a, *k)).collect();
        q.extend(at.iter().map(|(a, to)| (*a, place(to, &node.args, &p, values))));
        if let Some(r) = result.get_mut(&q) {
            *r = join(*red, *r, values[node.args[0].index()].at(&p));
        }
    }
    points(g, axes).iter().map(|p| result[p]).collect()
}
