//! Rewrites before lowering: products of many factors become products of two, and the adjoints of affine reads become
//! guarded reads, so that fewer entries are scattered.
//! Law: the values of all outputs stay.

use super::tiles::tiled;
use super::windows::bordered;
use crate::graph::{At, Axes, Graph, NodeId, Num, Op, Red, Subst, neutral, sorted};
use gannet_lang::program::{Axis, Elem, Fun};
use smallvec::SmallVec;

/// Fewer multiplications than this are not worth a contraction.
const SMALL_PRODUCT: f64 = 8192.0;
/// A contraction's rows, columns and summed entries are at least so many each.
const THIN: f64 = 4.0;

/// The axes of a product of two factors, by their part in it.
pub(super) struct Parts {
    /// In both factors and the result.
    pub batch: Axes,
    /// In the left factor and the result.
    pub m: Axes,
    /// In the right factor and the result.
    pub n: Axes,
    /// Summed, in both.
    pub k: Axes,
}

/// The parts of a product, if it pays to run it as a contraction.
pub(super) fn parts(graph: &Graph, summed: &[Axis], a: &[Axis], b: &[Axis]) -> Option<Parts> {
    let both = |x: &Axis| a.contains(x) && b.contains(x);
    if !summed.iter().all(both) {
        return None;
    }
    let free = |of: &[Axis], other: &[Axis]| -> Axes { of.iter().copied().filter(|x| !other.contains(x)).collect() };
    let batch: Axes = a.iter().copied().filter(|x| b.contains(x) && !summed.contains(x)).collect();
    let parts = Parts { batch, m: free(a, b), n: free(b, a), k: sorted(summed.iter().copied()) };
    let size = |axes: &[Axis]| graph.tables.entries(axes);
    let (m, n, k) = (size(&parts.m), size(&parts.n), size(&parts.k));
    let thick = m >= THIN && n >= THIN && k >= THIN;
    (thick && m * n * k * size(&parts.batch) >= SMALL_PRODUCT).then_some(parts)
}

/// The graph that is lowered.
pub(super) fn prepare(graph: &Graph) -> Graph {
    super::renames::push_renames(graph).rebuild(|new, _, node, args| match &node.op {
        Op::Map(Fun::Gt) => positive(new, args),
        Op::Contract(axes) => contract(new, axes, args),
        Op::Library(_) | Op::Loop(_) => library(new, &node.op, args),
        Op::Fiber { red, at, over } if !over.is_empty() => fiber(new, *red, at, over, args),
        op => new.add(op.clone(), args.iter().copied()),
    })
}

/// A library kernel reads its operands from memory. A constant among them is stored as a node of its own, so that its
/// other users still know it.
fn library(g: &mut Graph, op: &Op, args: &[NodeId]) -> NodeId {
    let constant = |op: &Op| matches!(op, Op::Const(..) | Op::Hyper(_) | Op::Step | Op::Size(_) | Op::Iota(_));
    let mut operands = Vec::new();
    for arg in args {
        let plain = constant(&g.node(*arg).op);
        operands.push(if plain { g.add(Op::Map(Fun::Max), [*arg, *arg]) } else { *arg });
    }
    g.add(op.clone(), operands)
}

/// `z > 0`, read off `max(z, 0)` where that is computed anyway: then `z` itself need not be kept.
fn positive(g: &mut Graph, args: &[NodeId]) -> NodeId {
    let (z, zero) = (args[0], args[1]);
    let rectified = [[z, zero], [zero, z]].iter().find_map(|x| g.find(&Op::Map(Fun::Max), x));
    let z = rectified.filter(|_| g.as_num(zero) == Some(0.0)).unwrap_or(z);
    g.add(Op::Map(Fun::Gt), [z, zero])
}

/// Groups the factors in two where a contraction is the result, and sums first what only one of them has.
fn contract(g: &mut Graph, axes: &Axes, factors: &[NodeId]) -> NodeId {
    let whole = |g: &mut Graph| g.add(Op::Contract(axes.clone()), factors.iter().copied());
    let Some([left, right]) = two_groups(g, factors) else { return whole(g) };
    let (la, ra) = (g.union(&left), g.union(&right));
    let both: Axes = axes.iter().copied().filter(|x| la.contains(x) && ra.contains(x)).collect();
    let only = |of: &Axes| -> Axes { of.iter().copied().filter(|x| axes.contains(x) && !both.contains(x)).collect() };
    let (only_left, only_right) = (only(&la), only(&ra));
    let without = |of: &Axes, less: &Axes| -> Axes { of.iter().copied().filter(|x| !less.contains(x)).collect() };
    if parts(g, &both, &without(&la, &only_left), &without(&ra, &only_right)).is_none() {
        return whole(g);
    }
    let (a, b) = (g.mul_all(&left), g.mul_all(&right));
    let (a, b) = (g.reduce(Red::Sum, &only_left, a), g.reduce(Red::Sum, &only_right, b));
    let (a, b) = (bordered(g, a), bordered(g, b));
    g.add(Op::Contract(both), [a, b])
}

/// Factors in two groups: the pair with the smallest union of axes is joined until two are left.
fn two_groups(g: &Graph, factors: &[NodeId]) -> Option<[Vec<NodeId>; 2]> {
    let mut groups: Vec<Vec<NodeId>> = factors.iter().map(|f| vec![*f]).collect();
    while groups.len() > 2 {
        let mut best: Option<(f64, usize, usize)> = None;
        for i in 0..groups.len() {
            for j in i + 1..groups.len() {
                let both = [groups[i].clone(), groups[j].clone()].concat();
                let cost = g.tables.entries(&g.union(&both));
                if best.is_none_or(|b| cost < b.0) {
                    best = Some((cost, i, j));
                }
            }
        }
        let (_, i, j) = best?;
        let moved = groups.remove(j);
        groups[i].extend(moved);
    }
    let right = groups.pop()?;
    let left = groups.pop()?;
    Some([left, right])
}

/// Does the form give every choice of its axes another number (a number written in mixed digits)?
fn places_apart(g: &Graph, to: &At) -> bool {
    let At::Affine { terms, .. } = to else { return false };
    let mut terms: Vec<(i64, f64)> = terms.iter().map(|(c, a)| (c.abs(), g.tables.entries(&[*a]))).collect();
    terms.sort_by_key(|t| t.0);
    let fits = |w: &[(i64, f64)]| w[1].0 as f64 >= w[0].0 as f64 * w[0].1;
    terms.len() > 1 && terms.windows(2).all(fits)
}

/// An over-axis solved for: `axis = sign * (target - rest)`.
struct Solved {
    axis: Axis,
    target: Axis,
    sign: i64,
    /// The other terms of the form.
    rest: SmallVec<[(i64, Axis); 2]>,
    offset: i64,
}

/// The adjoint of an affine read as a sum of guarded reads, where each step of the read's form can be inverted.
fn fiber(g: &mut Graph, red: Red, at: &Subst, over: &Axes, args: &[NodeId]) -> NodeId {
    let whole = |g: &mut Graph| g.add(Op::Fiber { red, at: at.clone(), over: over.clone() }, args.iter().copied());
    let affine = at.iter().all(|(_, to)| matches!(to, At::Affine { .. }));
    if !affine || matches!(red, Red::ArgMax | Red::ArgMin) {
        return whole(g);
    }
    let (solved, open) = solve(g, at, over);
    // Entries that all have places of their own are put there; a look from each place would find nothing mostly.
    if !open.is_empty() && at.iter().any(|(_, to)| places_apart(g, to)) {
        return tiled(g, red, at, over, args).unwrap_or_else(|| whole(g));
    }
    // What is left is a loop over these for every entry of the result: worth it only while it is short.
    if solved.is_empty() || g.tables.entries(&open) > 64.0 {
        return whole(g);
    }
    let mut x = args[0];
    for a in over {
        if !g.ty(x).has(*a) {
            x = spread(g, x, *a);
        }
    }
    // Fresh names for all reduced axes: the result may use theirs.
    let fresh: Vec<(Axis, Axis)> = open.iter().map(|a| (*a, fresh_axis(g, *a, args[0], at))).collect();
    let name = |a: Axis| fresh.iter().find(|f| f.0 == a).map_or(a, |f| f.1);
    let outside = nothing(g, red, x);
    let (mut reads, mut conditions): (Vec<(Axis, At)>, Vec<NodeId>) = (Vec::new(), Vec::new());
    for (a, to) in &fresh {
        reads.push((*a, At::axis(*to)));
    }
    for s in &solved {
        let rest = s.rest.iter().map(|(c, a)| (-s.sign * c, name(*a)));
        let mut terms: SmallVec<[(i64, Axis); 2]> = std::iter::once((s.sign, s.target)).chain(rest).collect();
        terms.sort_by_key(|t| t.1);
        reads.push((s.axis, At::Affine { terms, offset: -s.sign * s.offset }));
    }
    for (a, to) in at.iter().filter(|(a, _)| solved.iter().all(|s| s.target != *a)) {
        conditions.push(equation(g, *a, to, &solved, &name));
    }
    let mut value = g.read(x, &reads, &[], Some(outside));
    for c in conditions {
        value = g.select(c, value, outside);
    }
    let open: Vec<Axis> = fresh.iter().map(|f| f.1).filter(|a| g.ty(value).has(*a)).collect();
    g.reduce(red, &open, value)
}

/// What a reduction of none of the entries of `x` is.
pub(super) fn nothing(g: &mut Graph, red: Red, x: NodeId) -> NodeId {
    match g.ty(x).elem {
        Elem::Real => g.num(neutral(red)),
        elem => g.add(Op::Const(Num::new(neutral(red)), elem), []),
    }
}

/// `x` repeated along an axis that it lacks.
pub(super) fn spread(g: &mut Graph, x: NodeId, axis: Axis) -> NodeId {
    let iota = g.add(Op::Iota(axis), []);
    let here = g.map2(Fun::Ge, iota, iota);
    g.add(Op::Map(Fun::Select), [here, x, x])
}

/// Solves the forms for as many reduced axes as possible, long ones first; returns them and those left over.
fn solve(g: &Graph, at: &Subst, over: &Axes) -> (Vec<Solved>, Axes) {
    let mut order: Vec<Axis> = over.to_vec();
    order.sort_by(|a, b| g.tables.entries(&[*b]).total_cmp(&g.tables.entries(&[*a])).then(a.cmp(b)));
    let mut solved: Vec<Solved> = Vec::new();
    for axis in order {
        let form = at.iter().find_map(|(target, to)| {
            let At::Affine { terms, offset } = to else { return None };
            let sign = terms.iter().find(|t| t.1 == axis && t.0.abs() == 1)?.0;
            let rest: SmallVec<[(i64, Axis); 2]> = terms.iter().copied().filter(|t| t.1 != axis).collect();
            let used = solved.iter().any(|s| s.target == *target || rest.iter().any(|t| t.1 == s.axis));
            let circular = solved.iter().any(|s| s.rest.iter().any(|t| t.1 == axis));
            // A form with a free axis of the result's own name stays: names would meet.
            let clash = rest.iter().any(|t| !over.contains(&t.1) && at.iter().any(|(a, _)| *a == t.1));
            (!used && !circular && !clash).then_some(Solved { axis, target: *target, sign, rest, offset: *offset })
        });
        solved.extend(form);
    }
    let open = over.iter().copied().filter(|a| solved.iter().all(|s| s.axis != *a)).collect();
    (solved, open)
}

/// An axis over the same dim that neither the operand nor the result has.
fn fresh_axis(g: &Graph, axis: Axis, x: NodeId, at: &Subst) -> Axis {
    let forms = at.iter().flat_map(|(a, to)| {
        let terms: Vec<Axis> = match to {
            At::Affine { terms, .. } => terms.iter().map(|t| t.1).collect(),
            At::Arg(_) => Vec::new(),
        };
        terms.into_iter().chain([*a])
    });
    let used = g.ty(x).axes.iter().copied().chain(forms).filter(|a| a.dim == axis.dim).map(|a| a.ix + 1).max();
    // Distinct reduced axes of one dim stay distinct: each moves up by the same amount.
    Axis { dim: axis.dim, ix: axis.ix + used.unwrap_or(0) }
}

/// `a = form`, with solved axes replaced by what they are.
fn equation(g: &mut Graph, a: Axis, to: &At, solved: &[Solved], name: &dyn Fn(Axis) -> Axis) -> NodeId {
    let At::Affine { terms, offset } = to else { unreachable!("only affine forms are inverted") };
    let mut sum: Vec<(i64, Axis)> = Vec::new();
    let mut constant = *offset;
    for (c, axis) in terms {
        match solved.iter().find(|s| s.axis == *axis) {
            None => sum.push((*c, name(*axis))),
            Some(s) => {
                sum.push((c * s.sign, s.target));
                sum.extend(s.rest.iter().map(|(d, b)| (-c * s.sign * d, name(*b))));
                constant -= c * s.sign * s.offset;
            }
        }
    }
    let mut terms = vec![g.int(constant)];
    for (c, axis) in sum {
        let (c, i) = (g.int(c), g.add(Op::Iota(axis), []));
        terms.push(g.mul_all(&[c, i]));
    }
    let right = g.add_all(&terms);
    let left = g.add(Op::Iota(a), []);
    g.map2(Fun::Eq, left, right)
}
