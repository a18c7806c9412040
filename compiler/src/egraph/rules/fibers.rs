//! Fibers: sums along the fibers of a map between index sets.
//! Law: a fiber is the adjoint of a read, and linear.

use super::reads::Reading;
use crate::egraph::bridge::Head;
use crate::egraph::rule::Set::{Exact, Fast};
use crate::egraph::rule::Use::{Always, Choose};
use crate::egraph::rule::{Rule, Site, code};
use crate::graph::{Args, At, Axes, NodeId, Op, Red, Subst, sorted};
use gannet_lang::program::{Axis, Elem, Fun};

/// The rules.
#[rustfmt::skip]
pub const FIBERS: &[Rule] = &[
    code("fiber-rename", Exact, Always, "fiber over i, j = i, of x = x[i = j]", Head::Fiber, fiber_rename),
    code("fiber-nothing", Fast, Always, "fiber over i, into no axis, of x = sum i x", Head::Fiber, fiber_nothing),
    code("fiber-scale", Fast, Always, "fiber of f * x = f * fiber of x, if f lacks what is reduced and indexed", Head::Fiber, fiber_scale),
    code("join-fibers", Fast, Choose, "fiber of x + fiber of y = fiber of (x + y), along the same map", Head::Map(Fun::Add), join_fibers),
    code("sum-of-fiber", Fast, Always, "sum j (fiber over i, j = index) x = sum i x", Head::Reduce(Red::Sum), sum_of_fiber),
    code("contract-fiber", Fast, Choose, "contract j [fiber over i, j = index, of x; y] = contract i [x, y[j = index]]", Head::Contract, contract_fiber),
];

/// A sum along fibers taken apart.
struct Fibers {
    of: NodeId,
    at: Subst,
    over: Axes,
    indices: Args,
}

impl Fibers {
    fn new(op: &Op, args: &[NodeId]) -> Option<Fibers> {
        let Op::Fiber { red: Red::Sum, at, over } = op else { return None };
        Some(Fibers { of: args[0], at: at.clone(), over: over.clone(), indices: args[1..].into() })
    }

    fn at(site: &Site, id: NodeId) -> Option<Fibers> {
        let node = site.node(id);
        Fibers::new(&node.op, &node.args)
    }

    fn form(site: &Site, id: NodeId) -> Option<Fibers> {
        let (op, args) = site.form(id, |op| matches!(op, Op::Fiber { red: Red::Sum, .. }))?;
        Fibers::new(&op, &args)
    }

    /// Does every entry land inside of the result?
    fn in_range(&self, site: &Site) -> bool {
        self.at.iter().all(|(a, to)| match to {
            At::Affine { .. } => to.as_axis().is_some_and(|b| b.dim == a.dim),
            At::Arg(k) => site.g.ty(self.indices[usize::from(*k) - 1]).elem == Elem::Index(a.dim),
        })
    }

    /// The axes on which the place of an entry depends.
    fn index_axes(&self, site: &Site) -> Axes {
        let read = Reading { of: self.of, at: self.at.clone(), indices: self.indices.clone(), outside: None };
        sorted(read.brought(site.g))
    }
}

fn fiber_rename(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let f = Fibers::at(site, id)?;
    let ([(to, at)], [over]) = (&f.at[..], &f.over[..]) else { return None };
    let ty = site.g.ty(f.of);
    if at.as_axis() != Some(*over) || to.dim != over.dim || !ty.has(*over) || ty.has(*to) {
        return None;
    }
    Some(site.g.rename(f.of, &[(*over, *to)]))
}

fn fiber_nothing(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let f = Fibers::at(site, id)?;
    f.at.is_empty().then(|| site.g.contract(&f.over, &[f.of]))
}

fn fiber_scale(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let f = Fibers::at(site, id)?;
    let factors = site.as_map(f.of, Fun::Mul)?;
    let named: Vec<Axis> = f.at.iter().map(|(a, _)| *a).collect();
    let stays = |x: &NodeId| site.touches(*x, &f.over) || site.touches(*x, &named);
    let (inner, mut outer): (Args, Args) = factors.iter().copied().partition(stays);
    // Something must carry the reduced axes, so that a repeated operand is not taken for a single one.
    if outer.is_empty() || f.over.iter().any(|a| !inner.iter().any(|x| site.g.ty(*x).has(*a))) {
        return None;
    }
    let product = site.g.mul_all(&inner);
    outer.push(site.g.fiber(Red::Sum, product, &f.at, &f.over, &f.indices));
    Some(site.g.mul_all(&outer))
}

/// Joins two fibers along the same map: one sweep in place of two.
fn join_fibers(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let terms = site.node(id).args.clone();
    let fibers: Vec<Option<Fibers>> = terms.iter().map(|t| Fibers::form(site, *t)).collect();
    let pairs = (0..terms.len()).flat_map(|i| (i + 1..terms.len()).map(move |j| (i, j)));
    let (i, j) = pairs.into_iter().find(|(i, j)| match (&fibers[*i], &fibers[*j]) {
        (Some(x), Some(y)) => {
            let alike = x.at == y.at && x.over == y.over && x.indices == y.indices;
            alike && site.g.ty(x.of) == site.g.ty(y.of)
        }
        _ => false,
    })?;
    let (Some(x), Some(y)) = (&fibers[i], &fibers[j]) else { return None };
    let sum = site.g.add_all(&[x.of, y.of]);
    let joined = site.g.fiber(Red::Sum, sum, &x.at, &x.over, &x.indices);
    let rest = terms.iter().enumerate().filter(|(k, _)| *k != i && *k != j).map(|(_, t)| *t);
    let all: Args = rest.chain([joined]).collect();
    Some(site.g.add_all(&all))
}

fn sum_of_fiber(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Op::Reduce(_, axes) = site.node(id).op.clone() else { return None };
    let f = Fibers::form(site, site.node(id).args[0])?;
    let named: Vec<Axis> = f.at.iter().map(|(a, _)| *a).collect();
    if axes[..] != named[..] || !f.in_range(site) || site.touches(f.of, &named) {
        return None;
    }
    Some(site.g.contract(&f.over, &[f.of]))
}

fn contract_fiber(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Op::Contract(axes) = site.node(id).op.clone() else { return None };
    let factors = site.node(id).args.clone();
    let (k, f) = factors.iter().enumerate().find_map(|(k, x)| Some((k, Fibers::form(site, *x)?)))?;
    let ([(to, at)], true) = (&f.at[..], f.in_range(site)) else { return None };
    let others: Args = factors.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, x)| *x).collect();
    let outer: Axes = axes.iter().copied().filter(|a| a != to).collect();
    let clashes = others.iter().any(|x| site.touches(*x, &f.over)) || f.over.iter().any(|a| axes.contains(a));
    let extra = f.index_axes(site).iter().any(|a| !f.over.contains(a) && !site.g.ty(f.of).has(*a));
    if !axes.contains(to) || clashes || extra || site.touches(f.of, &[*to]) {
        return None;
    }
    let read = Reading { of: f.of, at: [(*to, at.clone())].into_iter().collect(), indices: f.indices, outside: None };
    let mut all: Args = others.iter().map(|x| read.of(site.g, *x)).collect();
    all.push(f.of);
    Some(site.g.contract(&sorted(outer.into_iter().chain(f.over)), &all))
}
