//! What a node costs: an estimate of time from operations and bytes with the sizes that the tables assume.
//! Law: costs are for comparing two forms of one value, not for predicting a run.

use crate::graph::{Axes, Graph, NodeId, Op, Red};
use gannet_lang::program::{Axis, Fun};

/// Seconds per multiplication and addition in the register kernel of a contraction, on one core.
const PRODUCT: f64 = 2.5e-11;
/// Seconds per byte to or from memory.
const BYTE: f64 = 1e-10;
/// Bytes of an entry.
const WIDTH: f64 = 4.0;
/// Seconds per entry of a cheap scalar operation inside a traversal.
const CHEAP: f64 = 1e-10;
/// Of a division or root.
const DIVIDE: f64 = 3e-10;
/// Of an exponential, a logarithm or a compound of them.
const TRANSCENDENTAL: f64 = 1e-9;
/// Of a read through an index array.
const GATHER: f64 = 5e-10;
/// Of a random number.
const DRAW: f64 = 2e-9;
/// Seconds that a kernel takes to start.
const LAUNCH: f64 = 5e-7;
/// A contraction is done by the register kernel where each entry of the larger operand is used so often.
const REUSE: f64 = 4.0;
/// Seconds for any node at all: of two equal forms the smaller one is taken.
const NODE: f64 = 1e-10;

/// Seconds for the node, given its operands. Elementwise results fuse with their users, so they cost no bytes.
pub fn cost(g: &Graph, id: NodeId) -> f64 {
    let node = g.node(id);
    let entries = |axes: &[Axis]| g.tables.entries(axes);
    let own = entries(&node.ty.axes);
    match &node.op {
        Op::Map(fun) => NODE + own * map(*fun) * node.args.len().saturating_sub(1).max(1) as f64,
        Op::Reduce(red, axes) => NODE + reduction(g, *red, axes, node.args[0]),
        Op::Contract(axes) => NODE + super::order::cost(g, axes, &node.args),
        Op::Read { at, .. } => NODE + own * if at.iter().any(|(_, to)| to.as_axis().is_none()) { GATHER } else { 0.0 },
        Op::Fiber { over, .. } => {
            let axes = g.union(&node.args).into_iter().chain(over.iter().copied());
            let all: Axes = crate::graph::sorted(axes);
            NODE + LAUNCH + entries(&all) * GATHER + own * WIDTH * BYTE
        }
        Op::Random(..) => NODE + own * DRAW,
        Op::Loop(body) => NODE + entries(&[body.axis]) * super::estimate(&body.graph),
        _ => 0.0,
    }
}

fn map(fun: Fun) -> f64 {
    use Fun::*;
    match fun {
        Exp | Expm1 | Log | Log1p | Sin | Cos | Tan | Tanh | Sigmoid | Softplus | Erf | Atan2 => TRANSCENDENTAL,
        Pow => 2.0 * TRANSCENDENTAL,
        Recip | Div | Sqrt | IntDiv | Mod => DIVIDE,
        _ => CHEAP,
    }
}

fn reduction(g: &Graph, _red: Red, axes: &[Axis], x: NodeId) -> f64 {
    let all = g.entries(x);
    let result: Vec<Axis> = g.ty(x).axes.iter().copied().filter(|a| !axes.contains(a)).collect();
    LAUNCH + all * CHEAP + g.tables.entries(&result) * WIDTH * BYTE
}

/// Seconds to sum a tensor of `all` entries down to `result`.
pub fn sum(all: f64, result: f64) -> f64 {
    LAUNCH + all * CHEAP + result * WIDTH * BYTE
}

/// Seconds for a contraction of operands with `a` and `b` entries over a loop nest of `all` entries. Where entries are
/// used only a few times it is a traversal, which reads its operands as they are computed.
pub fn product(all: f64, a: f64, b: f64, result: f64) -> f64 {
    if all < REUSE * a.max(b) {
        return LAUNCH + all * 2.0 * CHEAP + result * WIDTH * BYTE;
    }
    LAUNCH + all * PRODUCT + (a + b + result) * WIDTH * BYTE
}

/// Seconds to multiply two operands entry by entry into an operand of a contraction.
pub fn multiply(all: f64) -> f64 {
    all * (CHEAP + WIDTH * BYTE)
}
