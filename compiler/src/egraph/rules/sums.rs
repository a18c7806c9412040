//! Sums: of sums, of products, of constants; like terms and common factors.
//! Law: a sum over axes is linear, and an axis that nothing carries counts its entries.

use crate::egraph::bridge::Head;
use crate::egraph::rule::Set::Fast;
use crate::egraph::rule::Use::{Always, Choose};
use crate::egraph::rule::{Rule, Site, code};
use crate::graph::{Args, NodeId, Op, Red, sorted};
use gannet_lang::program::Fun;

const SUM: Head = Head::Reduce(Red::Sum);
const ADD: Head = Head::Map(Fun::Add);

/// The rules.
#[rustfmt::skip]
pub const SUMS: &[Rule] = &[
    code("sum-of-sum", Fast, Always, "sum A (sum B x) = sum A+B x", SUM, sum_of_sum),
    code("sum-of-product", Fast, Choose, "sum A (x * y) = contract A [x, y]", SUM, sum_of_product),
    code("sum-of-iota", Fast, Always, "sum a (iota a) = size a * (size a - 1) / 2", SUM, sum_of_iota),
    code("sum-of-terms", Fast, Choose, "sum A (x + y) = sum A x + sum A y, where a term lacks an axis or is a product", SUM, sum_of_terms),
    code("like-terms", Fast, Always, "a * x + b * x = (a + b) * x with constants a, b", ADD, like_terms),
    code("common-factor", Fast, Choose, "f * x + f * y = f * (x + y)", ADD, common_factor),
    code("common-sum", Fast, Choose, "sum A x + sum A y = sum A (x + y)", ADD, common_sum),
    code("distribute-number", Fast, Choose, "c * (x + y) = c * x + c * y with a constant c", Head::Map(Fun::Mul), distribute_number),
];

/// Also of contractions: `sum_one` of the builder joins either kind.
fn sum_of_sum(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Op::Reduce(_, outer) = site.node(id).op.clone() else { return None };
    let of = site.node(id).args[0];
    let (inner, factors) = site.as_sum(of)?;
    // Both bind the name: the inner one hides the outer one.
    if inner.iter().any(|a| outer.contains(a)) {
        return None;
    }
    Some(site.g.contract(&sorted(outer.into_iter().chain(inner)), &factors))
}

fn sum_of_product(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Op::Reduce(_, axes) = site.node(id).op.clone() else { return None };
    let factors = site.as_map(site.node(id).args[0], Fun::Mul)?;
    Some(site.g.contract(&axes, &factors))
}

fn sum_of_iota(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Op::Reduce(_, axes) = site.node(id).op.clone() else { return None };
    let of = site.as_map(site.node(id).args[0], Fun::ToReal)?[0];
    let (Op::Iota(axis), _) = site.form(of, |op| matches!(op, Op::Iota(_)))? else { return None };
    if axes[..] != [axis] {
        return None;
    }
    let (n, one, half) = (site.g.size(axis.dim), site.g.num(1.0), site.g.num(0.5));
    let less = site.g.map2(Fun::Sub, n, one);
    Some(site.g.mul_all(&[n, less, half]))
}

fn sum_of_terms(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Op::Reduce(_, axes) = site.node(id).op.clone() else { return None };
    let terms = site.as_map(site.node(id).args[0], Fun::Add)?;
    let gains = |t: &NodeId| axes.iter().any(|a| !site.g.ty(*t).has(*a)) || site.factors(*t).len() > 1;
    if difference(site, &terms) || !terms.iter().any(gains) {
        return None;
    }
    let sums: Args = terms.iter().map(|t| site.g.contract(&axes, &[*t])).collect();
    Some(site.g.add_all(&sums))
}

/// Is a term subtracted? What was centred before it is summed must not be taken apart: `sum (x - mean) * x` cancels less
/// than `sum x * x - mean * sum x`.
pub fn difference(site: &Site, terms: &[NodeId]) -> bool {
    terms.iter().any(|t| site.factors(*t).iter().any(|f| site.as_num(*f).is_some_and(|n| n < 0.0)))
}

/// A term as a constant times the rest.
fn coefficient(site: &mut Site, term: NodeId) -> (f64, NodeId) {
    let factors = site.factors(term);
    let (numbers, rest): (Args, Args) = factors.iter().copied().partition(|f| site.g.as_num(*f).is_some());
    if numbers.is_empty() || rest.is_empty() {
        return (1.0, term);
    }
    let number = numbers.iter().map(|n| site.g.as_num(*n).expect("numbers are constants")).product();
    (number, site.g.mul_all(&rest))
}

fn like_terms(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let terms = site.node(id).args.clone();
    let mut found: Vec<(f64, NodeId)> = Vec::new();
    for term in &terms {
        let (number, base) = coefficient(site, *term);
        match found.iter_mut().find(|(_, b)| site.same(*b, base)) {
            Some(known) => known.0 += number,
            None => found.push((number, base)),
        }
    }
    if found.len() == terms.len() {
        return None;
    }
    let parts: Args = found
        .into_iter()
        .filter(|(number, _)| *number != 0.0)
        .map(|(number, base)| {
            let number = site.g.num(number);
            site.g.mul_all(&[number, base])
        })
        .collect();
    Some(site.g.add_all(&parts))
}

/// The factor of most terms; among those of equally many, the one with the most entries.
fn common_factor(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let terms = site.node(id).args.clone();
    if !site.is_real(id) {
        return None;
    }
    let split: Vec<Args> = terms.iter().map(|t| site.factors(*t)).collect();
    let holds = |site: &Site, k: usize, f: NodeId| split[k].iter().position(|g| site.same(*g, f));
    let mut best: Option<((usize, u64), NodeId)> = None;
    for &f in split.iter().flatten() {
        let count = (0..terms.len()).filter(|k| holds(site, *k, f).is_some()).count();
        let rank = (count, site.g.entries(f) as u64);
        // The sign is no factor worth a node of its own.
        if count >= 2 && site.as_num(f) != Some(-1.0) && best.is_none_or(|b| rank > b.0) {
            best = Some((rank, f));
        }
    }
    let (_, f) = best?;
    let (mut inner, mut outer) = (Args::new(), Args::new());
    for (k, term) in terms.iter().enumerate() {
        match holds(site, k, f) {
            Some(at) => {
                let rest: Args = split[k].iter().enumerate().filter(|(i, _)| *i != at).map(|(_, g)| *g).collect();
                inner.push(site.g.mul_all(&rest));
            }
            None => outer.push(*term),
        }
    }
    let sum = site.g.add_all(&inner);
    outer.push(site.g.mul_all(&[f, sum]));
    Some(site.g.add_all(&outer))
}

fn common_sum(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let terms = site.node(id).args.clone();
    let sums: Vec<_> = terms.iter().map(|t| site.as_reduce(*t, Red::Sum)).collect();
    let first = sums.iter().flatten().find(|s| sums.iter().flatten().filter(|t| t.0 == s.0).count() >= 2)?;
    let axes = first.0.clone();
    let (mut inner, mut outer) = (Args::new(), Args::new());
    for (term, sum) in terms.iter().zip(&sums) {
        match sum {
            Some((a, of)) if *a == axes => inner.push(*of),
            _ => outer.push(*term),
        }
    }
    let sum = site.g.add_all(&inner);
    outer.push(site.g.reduce(Red::Sum, &axes, sum));
    Some(site.g.add_all(&outer))
}

fn distribute_number(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let factors = site.node(id).args.clone();
    let [x, y] = factors[..] else { return None };
    let (number, sum) = if site.g.as_num(x).is_some() { (x, y) } else { (y, x) };
    site.g.as_num(number)?;
    let terms = site.as_map(sum, Fun::Add)?;
    let parts: Args = terms.iter().map(|t| site.g.mul_all(&[number, *t])).collect();
    Some(site.g.add_all(&parts))
}
