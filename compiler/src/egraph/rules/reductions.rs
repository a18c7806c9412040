//! Maxima, minima, products and truths along axes.
//! Law: what does not vary along an axis, and what keeps the order, passes through a maximum along it.

use crate::egraph::bridge::Head;
use crate::egraph::rule::Set::{Exact, Fast, Order};
use crate::egraph::rule::Use::Always;
use crate::egraph::rule::{Condition, Rule, Site, code};
use crate::graph::{Args, Axes, NodeId, Op, Red, sorted};
use gannet_lang::program::{Axis, Fun};

const MAX: Head = Head::Reduce(Red::Max);
const MIN: Head = Head::Reduce(Red::Min);
const ARGMAX: Head = Head::Reduce(Red::ArgMax);
const ARGMIN: Head = Head::Reduce(Red::ArgMin);
const ANY: Head = Head::Reduce(Red::Any);
const ALL: Head = Head::Reduce(Red::All);
const PROD: Head = Head::Reduce(Red::Prod);

/// The rules.
#[rustfmt::skip]
pub const REDUCTIONS: &[Rule] = &[
    code("max-of-max", Exact, Always, "max A (max B x) = max A+B x", MAX, extremum_of_extremum),
    code("min-of-min", Exact, Always, "min A (min B x) = min A+B x", MIN, extremum_of_extremum),
    code("max-of-terms", Order, Always, "max A (x + c) = max A x + c, if c lacks A", MAX, extremum_of_terms),
    code("min-of-terms", Order, Always, "min A (x + c) = min A x + c, if c lacks A", MIN, extremum_of_terms),
    code("max-of-product", Order, Always, "max A (c * x) = c * max A x, if c is positive and lacks A", MAX, extremum_of_product),
    code("min-of-product", Order, Always, "min A (c * x) = c * min A x, if c is positive and lacks A", MIN, extremum_of_product),
    code("max-of-neg", Exact, Always, "max A (-x) = -(min A x)", MAX, extremum_of_neg),
    code("min-of-neg", Exact, Always, "min A (-x) = -(max A x)", MIN, extremum_of_neg),
    code("max-of-rising", Order, Always, "max A f(x) = f(max A x), if f rises", MAX, extremum_of_rising),
    code("min-of-rising", Order, Always, "min A f(x) = f(min A x), if f rises", MIN, extremum_of_rising),
    code("argmax-of-rising", Fast, Always, "argmax a f(x) = argmax a x, if f rises", ARGMAX, arg_of_rising),
    code("argmax-of-terms", Fast, Always, "argmax a (x + c) = argmax a x, if c lacks a", ARGMAX, arg_of_terms),
    code("argmax-of-product", Fast, Always, "argmax a (c * x) = argmax a x, if c is positive and lacks a", ARGMAX, arg_of_product),
    code("argmin-of-rising", Fast, Always, "argmin a f(x) = argmin a x, if f rises", ARGMIN, arg_of_rising),
    code("argmin-of-terms", Fast, Always, "argmin a (x + c) = argmin a x, if c lacks a", ARGMIN, arg_of_terms),
    code("argmin-of-product", Fast, Always, "argmin a (c * x) = argmin a x, if c is positive and lacks a", ARGMIN, arg_of_product),
    code("argmax-of-negative", Fast, Always, "argmax a (c * x) = argmin a x, if c is a negative constant", ARGMAX, arg_of_negative),
    code("argmin-of-negative", Fast, Always, "argmin a (c * x) = argmax a x, if c is a negative constant", ARGMIN, arg_of_negative),
    code("max-of-bounded", Order, Always, "max A max(x, c) = max(max A x, c), and min(x, c) alike, if c lacks A", MAX, extremum_of_bounded),
    code("min-of-bounded", Order, Always, "min A min(x, c) = min(min A x, c), and max(x, c) alike, if c lacks A", MIN, extremum_of_bounded),
    code("all-of-all", Exact, Always, "all A (all B x) = all A+B x", ALL, extremum_of_extremum),
    code("prod-of-prod", Fast, Always, "prod A (prod B x) = prod A+B x", PROD, extremum_of_extremum),
    code("any-of-not", Exact, Always, "any A (not x) = not all A x", ANY, quantified_not),
    code("all-of-not", Exact, Always, "all A (not x) = not any A x", ALL, quantified_not),
    code("all-of-or", Exact, Always, "all A (x or c) = (all A x) or c, if c lacks A", ALL, quantified_with),
    code("prod-of-exp", Fast, Always, "prod A exp(x) = exp(sum A x)", PROD, prod_of_exp),
    code("log-of-prod", Fast, Always, "log(prod A x) = sum A log(x), if x is positive", Head::Map(Fun::Log), log_of_prod),
    code("not-any-not", Exact, Always, "not any A (not x) = all A x", Head::Map(Fun::Not), not_any_not),
];

fn parts(site: &Site, id: NodeId) -> (Red, Axes, NodeId) {
    match &site.node(id).op {
        Op::Reduce(red, axes) => (*red, axes.clone(), site.node(id).args[0]),
        other => panic!("a rule of reductions was tried at {other:?}"),
    }
}

/// The reduction over those of the axes that the operand has; a maximum of equal entries is that entry.
fn reduce(site: &mut Site, red: Red, axes: &[Axis], x: NodeId) -> NodeId {
    let own: Axes = axes.iter().copied().filter(|a| site.g.ty(x).has(*a)).collect();
    site.g.reduce(red, &own, x)
}

fn extremum_of_extremum(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, outer, of) = parts(site, id);
    let (inner, x) = site.as_reduce(of, red)?;
    if inner.iter().any(|a| outer.contains(a)) {
        return None;
    }
    Some(site.g.reduce(red, &sorted(outer.into_iter().chain(inner)), x))
}

/// Operands of the function that have one of the axes, and the others; nothing if either is empty.
fn split(site: &Site, of: NodeId, fun: Fun, axes: &[Axis]) -> Option<(Args, Args)> {
    let args = site.as_map(of, fun)?;
    let (inner, outer): (Args, Args) = args.iter().copied().partition(|a| site.touches(*a, axes));
    (!inner.is_empty() && !outer.is_empty() && site.is_real(of)).then_some((inner, outer))
}

fn extremum_of_terms(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let (inner, mut outer) = split(site, of, Fun::Add, &axes)?;
    let sum = site.g.add_all(&inner);
    outer.push(reduce(site, red, &axes, sum));
    Some(site.g.add_all(&outer))
}

/// Factors without the axes that are known to be positive move out.
fn positive_split(site: &Site, of: NodeId, axes: &[Axis]) -> Option<(Args, Args)> {
    let args = site.as_map(of, Fun::Mul)?;
    let moves = |a: &NodeId| !site.touches(*a, axes) && Condition::Positive.holds(site.g, *a);
    let (outer, inner): (Args, Args) = args.iter().copied().partition(moves);
    let valid = inner.iter().any(|a| site.touches(*a, axes)) && !outer.is_empty() && site.is_real(of);
    valid.then_some((inner, outer))
}

fn extremum_of_product(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let (inner, mut outer) = positive_split(site, of, &axes)?;
    let product = site.g.mul_all(&inner);
    outer.push(reduce(site, red, &axes, product));
    Some(site.g.mul_all(&outer))
}

fn extremum_of_neg(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let factors = site.as_map(of, Fun::Mul)?;
    let sign = factors.iter().position(|f| site.as_num(*f) == Some(-1.0))?;
    let rest: Args = factors.iter().enumerate().filter(|(k, _)| *k != sign).map(|(_, f)| *f).collect();
    let x = site.g.mul_all(&rest);
    let other = if red == Red::Max { Red::Min } else { Red::Max };
    let found = reduce(site, other, &axes, x);
    Some(site.g.neg(found))
}

fn rising(op: &Op) -> bool {
    use Fun::{Ceil, Erf, Exp, Expm1, Floor, Log, Log1p, Round, Sigmoid, Softplus, Sqrt, Tanh};
    let rises = [Exp, Expm1, Log, Log1p, Sqrt, Sigmoid, Softplus, Tanh, Erf, Floor, Ceil, Round];
    matches!(op, Op::Map(fun) if rises.contains(fun))
}

fn extremum_of_rising(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let (Op::Map(fun), args) = site.form(of, rising)? else { return None };
    let x = site.g.reduce(red, &axes, args[0]);
    Some(site.g.map1(fun, x))
}

fn arg_of_rising(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    // Steps would make ties that the operand does not have.
    let strict = |op: &Op| rising(op) && !matches!(op, Op::Map(Fun::Floor | Fun::Ceil | Fun::Round));
    let (_, args) = site.form(of, strict)?;
    Some(site.g.reduce(red, &axes, args[0]))
}

fn arg_of_terms(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let (inner, _) = split(site, of, Fun::Add, &axes)?;
    let sum = site.g.add_all(&inner);
    Some(site.g.reduce(red, &axes, sum))
}

fn arg_of_product(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let (inner, _) = positive_split(site, of, &axes)?;
    let product = site.g.mul_all(&inner);
    Some(site.g.reduce(red, &axes, product))
}

fn arg_of_negative(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let factors = site.as_map(of, Fun::Mul)?;
    let k = factors.iter().position(|f| site.as_num(*f).is_some_and(|n| n < 0.0))?;
    let rest: Args = factors.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, f)| *f).collect();
    let x = site.g.mul_all(&rest);
    let other = if red == Red::ArgMax { Red::ArgMin } else { Red::ArgMax };
    Some(site.g.reduce(other, &axes, x))
}

/// A bound that is the same for all entries bounds their extremum.
fn extremum_of_bounded(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    [Fun::Max, Fun::Min].into_iter().find_map(|fun| {
        let (inner, outer) = split(site, of, fun, &axes)?;
        let found = reduce(site, red, &axes, inner[0]);
        Some(site.g.map2(fun, found, outer[0]))
    })
}

fn quantified_not(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let x = site.as_map(of, Fun::Not)?[0];
    let other = if red == Red::Any { Red::All } else { Red::Any };
    let found = site.g.reduce(other, &axes, x);
    Some(site.g.map1(Fun::Not, found))
}

/// Only where it holds over no entries too: `any` of nothing is false, `all` of nothing true.
fn quantified_with(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (red, axes, of) = parts(site, id);
    let fun = if red == Red::Any { Fun::And } else { Fun::Or };
    let args = site.as_map(of, fun)?;
    let (inner, outer): (Args, Args) = args.iter().copied().partition(|a| site.touches(*a, &axes));
    let ([x], [c]) = (&inner[..], &outer[..]) else { return None };
    let found = site.g.reduce(red, &axes, *x);
    Some(site.g.map2(fun, found, *c))
}

fn prod_of_exp(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (_, axes, of) = parts(site, id);
    let x = site.as_map(of, Fun::Exp)?[0];
    let sum = site.g.reduce(Red::Sum, &axes, x);
    Some(site.g.map1(Fun::Exp, sum))
}

fn log_of_prod(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, x) = site.as_reduce(site.node(id).args[0], Red::Prod)?;
    if !Condition::Positive.holds(site.g, x) {
        return None;
    }
    let log = site.g.map1(Fun::Log, x);
    Some(site.g.reduce(Red::Sum, &axes, log))
}

fn not_any_not(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, of) = site.as_reduce(site.node(id).args[0], Red::Any)?;
    let x = site.as_map(of, Fun::Not)?[0];
    Some(site.g.reduce(Red::All, &axes, x))
}
