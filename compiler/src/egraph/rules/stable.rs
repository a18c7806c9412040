//! Stable forms: the same function of the reals, without overflow or cancellation.
//! Law: a right side is finite wherever its left side is.

use crate::egraph::bridge::Head;
use crate::egraph::rule::Set::Fast;
use crate::egraph::rule::Use::{Always, Choose};
use crate::egraph::rule::{Condition, Rule, Site, code, pattern};
use crate::graph::{Args, Axes, NodeId, Op, Red};
use gannet_lang::program::{Axis, Fun};

/// Logarithms, exponentials and their compounds.
#[rustfmt::skip]
pub const STABLE: &[Rule] = &[
    pattern("log-one-minus-sigmoid", Fast, Always, "(log (add 1 (mul -1 (sigmoid ?x)))) => (neg (softplus ?x))"),
    pattern("log1p-minus-sigmoid", Fast, Always, "(log1p (mul -1 (sigmoid ?x))) => (neg (softplus ?x))"),
    pattern("log-one-minus-tanh-square", Fast, Always, "(log (add 1 (mul -1 (tanh ?x) (tanh ?x)))) => (mul 2 (add 0.6931471805599453 (neg ?x) (neg (softplus (mul -2 ?x)))))"),
    pattern("log-sigmoid", Fast, Always, "(log (sigmoid ?x)) => (neg (softplus (neg ?x)))"),
    pattern("log-1-exp", Fast, Always, "(log (add 1 (exp ?x))) => (softplus ?x)"),
    pattern("log1p-exp", Fast, Always, "(log1p (exp ?x)) => (softplus ?x)"),
    pattern("log-1-plus", Fast, Always, "(log (add 1 ?x)) => (log1p ?x) if varying ?x"),
    pattern("exp-minus-1", Fast, Always, "(add -1 (exp ?x)) => (expm1 ?x)"),
    pattern("log-recip", Fast, Always, "(log (recip ?x)) => (neg (log ?x))"),
    pattern("log-sqrt", Fast, Always, "(log (sqrt ?x)) => (mul 0.5 (log ?x))"),
    pattern("log-pow", Fast, Always, "(log (pow ?x ?c)) => (mul ?c (log ?x)) if positive ?x"),
    pattern("log-mul-exp", Fast, Always, "(log (mul (exp ?x) ?y)) => (add ?x (log ?y))"),
    pattern("log-mul-sigmoid", Fast, Always, "(log (mul (sigmoid ?x) ?y)) => (add (log (sigmoid ?x)) (log ?y))"),
    pattern("sigmoid-form", Fast, Always, "(recip (add 1 (exp ?x))) => (sigmoid (neg ?x))"),
    pattern("exp-sigmoid", Fast, Always, "(mul (exp ?x) (sigmoid (mul -1 ?x))) => (sigmoid ?x)"),
    pattern("exp-neg-sigmoid", Fast, Always, "(mul (exp (mul -1 ?x)) (sigmoid ?x)) => (sigmoid (neg ?x))"),
    pattern("one-minus-sigmoid", Fast, Choose, "(add 1 (mul -1 (sigmoid ?x))) => (sigmoid (neg ?x))"),
    pattern("tanh-form", Fast, Always, "(add -1 (mul 2 (sigmoid (mul 2 ?x)))) => (tanh ?x)"),
    pattern("tanh-of-sigmoid", Fast, Always, "(add 1 (mul -2 (sigmoid (mul -2 ?x)))) => (tanh ?x)"),
    pattern("tanh-written-out", Fast, Always, "(mul (recip (add (exp ?x) (exp (mul -1 ?x)))) (add (exp ?x) (mul -1 (exp (mul -1 ?x))))) => (tanh ?x)"),
    pattern("sigmoid-of-tanh", Fast, Choose, "(mul 0.5 (add 1 (tanh ?x))) => (sigmoid (mul 2 ?x))"),
    pattern("sigmoid-pair", Fast, Always, "(add (sigmoid ?x) (sigmoid (mul -1 ?x))) => 1"),
    pattern("sigmoid-slope-over", Fast, Always, "(mul (recip (add 1 (mul -1 (sigmoid ?x)))) (add 1 (mul -1 (sigmoid ?x)))) => 1"),
    pattern("tanh-slope-over", Fast, Always, "(mul (recip (add 1 (mul -1 (tanh ?x) (tanh ?x)))) (add 1 (mul -1 (tanh ?x) (tanh ?x)))) => 1"),
    pattern("softplus-minus", Fast, Always, "(add (softplus ?x) (mul -1 ?x)) => (softplus (neg ?x))"),
    pattern("softplus-odd", Fast, Always, "(add (softplus ?x) (mul -1 (softplus (mul -1 ?x)))) => ?x"),
    pattern("exp-neg-softplus", Fast, Always, "(exp (mul -1 (softplus ?x))) => (sigmoid (neg ?x))"),
    code("log-sum-exp", Fast, Always, "log(sum A exp(x)) = m + log(sum A exp(x - m)) with m = max A x", Head::Map(Fun::Log), log_sum_exp),
    code("log-mean-exp", Fast, Always, "log(c * sum A exp(x)) = log(c) + log(sum A exp(x)), if c is positive and has no axes", Head::Map(Fun::Log), log_mean_exp),
    code("softmax", Fast, Always, "exp(x) / sum A exp(x) = exp(x - m) / sum A exp(x - m) with m = max A x", Head::Map(Fun::Mul), softmax),
];

/// The summed axes and the exponent, if the node is a sum of exponentials that nobody shifted yet.
fn sum_of_exp(site: &Site, id: NodeId) -> Option<(Axes, NodeId)> {
    let (axes, of) = site.as_reduce(id, Red::Sum)?;
    let x = site.as_map(of, Fun::Exp)?[0];
    let terms = site.as_map(x, Fun::Add).unwrap_or_else(|| [x].into_iter().collect());
    let limited = |t: &NodeId| site.factors(*t).iter().any(|f| bounds(site, *f, BURIED));
    (!terms.iter().any(limited)).then_some((axes, x))
}

/// How deep other rules may have buried a maximum: sums, signs, rising functions and the choice that keeps it finite.
const BURIED: usize = 5;

/// Is there a maximum (or, after a sign, a minimum) along an axis in it, so that what it is subtracted from needs no
/// other?
fn bounds(site: &Site, id: NodeId, depth: usize) -> bool {
    site.forms(id).iter().any(|f| match &site.node(*f).op {
        Op::Reduce(Red::Max | Red::Min, _) => true,
        Op::Map(_) | Op::Read { .. } if depth > 0 => site.node(*f).args.iter().any(|a| bounds(site, *a, depth - 1)),
        _ => false,
    })
}

/// The maximum along the axes; 0 where it is infinite, so that nothing subtracts infinities.
fn shift(site: &mut Site, axes: &[Axis], x: NodeId) -> NodeId {
    let max = site.g.reduce(Red::Max, axes, x);
    let (finite, zero) = (site.g.map1(Fun::IsFinite, max), site.g.num(0.0));
    site.g.select(finite, max, zero)
}

fn log_sum_exp(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, x) = sum_of_exp(site, site.node(id).args[0])?;
    let m = shift(site, &axes, x);
    let shifted = site.g.map2(Fun::Sub, x, m);
    let e = site.g.map1(Fun::Exp, shifted);
    let sum = site.g.reduce(Red::Sum, &axes, e);
    let log = site.g.map1(Fun::Log, sum);
    Some(site.g.map2(Fun::Add, m, log))
}

fn log_mean_exp(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let factors = site.as_map(site.node(id).args[0], Fun::Mul)?;
    let k = factors.iter().position(|f| sum_of_exp(site, *f).is_some())?;
    let rest: Args = factors.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, f)| *f).collect();
    let single = |f: &NodeId| site.g.ty(*f).axes.is_empty() && Condition::Positive.holds(site.g, *f);
    if !rest.iter().all(single) {
        return None;
    }
    let (factor, sum) = (site.g.mul_all(&rest), site.g.map1(Fun::Log, factors[k]));
    let factor = site.g.map1(Fun::Log, factor);
    Some(site.g.map2(Fun::Add, factor, sum))
}

fn softmax(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let factors = site.node(id).args.clone();
    let (k, (axes, x)) = factors.iter().enumerate().find_map(|(k, f)| {
        let sum = site.as_map(*f, Fun::Recip)?[0];
        Some((k, sum_of_exp(site, sum)?))
    })?;
    let is_exp = |f: &NodeId| site.as_map(*f, Fun::Exp).is_some_and(|a| site.same(a[0], x));
    let e = factors.iter().position(is_exp)?;
    let m = shift(site, &axes, x);
    let shifted = site.g.map2(Fun::Sub, x, m);
    let exp = site.g.map1(Fun::Exp, shifted);
    let sum = site.g.reduce(Red::Sum, &axes, exp);
    let recip = site.g.recip(sum);
    let rest = factors.iter().enumerate().filter(|(i, _)| *i != k && *i != e).map(|(_, f)| *f);
    let all: Vec<NodeId> = rest.chain([exp, recip]).collect();
    Some(site.g.mul_all(&all))
}
