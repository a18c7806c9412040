//! What is known of the signs of values.
//! Law: what is said holds for all values of the leaves; NaN aside.

use super::{Graph, NodeId, Op, Red};
use gannet_lang::program::{Dist, Elem, Fun};

/// How deep signs are looked for: enough for sums of squares under roots, and bounded on shared graphs.
pub(crate) const SIGN_DEPTH: usize = 4;

/// Is it above 0 for certain?
pub(crate) fn positive(g: &Graph, id: NodeId, depth: usize) -> bool {
    let node = g.node(id);
    let all = |f: fn(&Graph, NodeId, usize) -> bool| depth > 0 && node.args.iter().all(|a| f(g, *a, depth - 1));
    let any = || depth > 0 && node.args.iter().any(|a| positive(g, *a, depth - 1));
    match &node.op {
        Op::Const(n, _) => n.get() > 0.0,
        Op::Map(Fun::Exp | Fun::Sigmoid | Fun::Softplus) | Op::Step | Op::Size(_) => true,
        Op::Random(dist, ..) => matches!(dist, Dist::Uniform | Dist::Exponential),
        Op::Map(Fun::Add) => all(nonnegative) && any(),
        Op::Map(Fun::Max) => any(),
        Op::Map(Fun::Mul | Fun::Recip | Fun::Sqrt | Fun::Min) | Op::Contract(_) => all(positive),
        Op::Map(Fun::Abs) => all(nonzero),
        Op::Map(Fun::Pow) => depth > 0 && positive(g, node.args[0], depth - 1),
        Op::Map(Fun::Select) => depth > 0 && node.args[1..].iter().all(|a| positive(g, *a, depth - 1)),
        Op::Reduce(Red::Sum | Red::Prod | Red::Max | Red::Min, _) => all(positive),
        Op::Read { guarded: false, .. } => depth > 0 && positive(g, node.args[0], depth - 1),
        _ => false,
    }
}

/// Is it 0 or above for certain?
pub(crate) fn nonnegative(g: &Graph, id: NodeId, depth: usize) -> bool {
    let node = g.node(id);
    let below = |a: &NodeId| nonnegative(g, *a, depth - 1);
    match &node.op {
        Op::Const(n, _) => n.get() >= 0.0,
        Op::Map(Fun::Abs | Fun::Sqrt) => true,
        Op::Map(Fun::ToReal) => matches!(g.ty(node.args[0]).elem, Elem::Bool | Elem::Index(_)),
        _ if depth == 0 => false,
        Op::Map(Fun::Mul) => {
            let odd = |a: &&NodeId| node.args.iter().filter(|b| b == a).count() % 2 == 1;
            node.args.iter().filter(odd).all(below)
        }
        Op::Map(Fun::Add | Fun::Recip | Fun::Min) => node.args.iter().all(below),
        Op::Map(Fun::Max) => node.args.iter().any(below),
        Op::Map(Fun::Pow) => below(&node.args[0]),
        Op::Map(Fun::Select) => node.args[1..].iter().all(below),
        Op::Contract(_) if node.args.len() == 2 && node.args[0] == node.args[1] => true,
        Op::Contract(_) | Op::Reduce(Red::Sum | Red::Prod | Red::Max | Red::Min, _) => node.args.iter().all(below),
        Op::Read { guarded: false, .. } | Op::Fiber { red: Red::Sum, .. } => below(&node.args[0]),
        _ => positive(g, id, depth),
    }
}

/// Is it never 0 for certain?
pub(crate) fn nonzero(g: &Graph, id: NodeId, depth: usize) -> bool {
    let node = g.node(id);
    match &node.op {
        Op::Const(n, _) => n.get() != 0.0,
        Op::Map(Fun::Mul | Fun::Recip) if depth > 0 => node.args.iter().all(|a| nonzero(g, *a, depth - 1)),
        _ => positive(g, id, depth),
    }
}
