//! Contractions: sums of products.
//! Law: a bound axis may be moved to where its factors are, and a Kronecker delta is a substitution.

use super::sums::difference;
use crate::egraph::bridge::Head;
use crate::egraph::order;
use crate::egraph::rule::Set::{Exact, Fast};
use crate::egraph::rule::Use::{Always, Choose};
use crate::egraph::rule::{Rule, Site, code};
use crate::graph::{Args, At, Axes, NodeId, Op, Red, sorted};
use gannet_lang::program::{Axis, Elem, Fun};

const C: Head = Head::Contract;
/// Contractions grow by merging up to so many factors: longer ones are ordered, but not joined further.
const FACTORS: usize = 6;

/// The rules.
#[rustfmt::skip]
pub const CONTRACTIONS: &[Rule] = &[
    code("contract-delta", Fast, Always, "contract a [eq(iota a, i), x[a]] = x[i]", C, contract_delta),
    code("sum-delta", Exact, Always, "sum a select(eq(iota a, i), x[a], 0) = x[i]", Head::Reduce(Red::Sum), sum_delta),
    code("contract-pull", Fast, Always, "contract A [f, x, y] = f * contract A [x, y], if f lacks A", C, contract_pull),
    code("contract-flatten", Fast, Choose, "contract A [x * y, z] = contract A [x, y, z]", C, contract_flatten),
    code("contract-merge", Fast, Choose, "contract A [contract B [x, y], z] = contract A+B [x, y, z], if z lacks B", C, contract_merge),
    code("contract-split", Fast, Choose, "contract of three or more factors = contractions of two, in the cheapest order", C, contract_split),
    code("contract-sum-first", Fast, Choose, "contract A+b [x[b], y] = contract A [sum b x[b], y], if y lacks b", C, contract_sum_first),
    code("contract-distribute", Fast, Choose, "contract A [x + y, z] = contract A [x, z] + contract A [y, z], where a term lacks an axis", C, contract_distribute),
    code("common-contraction", Fast, Choose, "contract A [f, x] + contract A [f, y] = contract A [f, x + y]", Head::Map(Fun::Add), common_contraction),
];

fn bound(site: &Site, id: NodeId) -> Axes {
    match &site.node(id).op {
        Op::Contract(axes) | Op::Reduce(_, axes) => axes.clone(),
        other => panic!("a rule of contractions was tried at {other:?}"),
    }
}

/// All but the k-th.
fn without(args: &[NodeId], k: usize) -> Args {
    args.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, a)| *a).collect()
}

/// If the truth value is `axis = i` for one of the axes: that axis and `i`, an index of the same dim without the axis.
fn delta(site: &Site, truth: NodeId, axes: &[Axis]) -> Option<(Axis, NodeId)> {
    let args = site.as_map(truth, Fun::Eq)?;
    let [p, q] = args[..] else { return None };
    [(p, q), (q, p)].into_iter().find_map(|(p, q)| {
        let (Op::Iota(a), _) = site.form(p, |op| matches!(op, Op::Iota(a) if axes.contains(a)))? else { return None };
        (site.g.ty(q).elem == Elem::Index(a.dim) && !site.g.ty(q).has(a)).then_some((a, q))
    })
}

/// `x` with `axis` replaced by the index.
fn substitute(site: &mut Site, x: NodeId, axis: Axis, index: NodeId) -> NodeId {
    if !site.g.ty(x).has(axis) {
        return x;
    }
    match site.form(index, |op| matches!(op, Op::Iota(_))) {
        Some((Op::Iota(b), _)) => site.g.rename(x, &[(axis, b)]),
        _ => site.g.read(x, &[(axis, At::Arg(1))], &[index], None),
    }
}

fn contract_delta(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, factors) = (bound(site, id), site.node(id).args.clone());
    let (k, (axis, index)) = factors.iter().enumerate().find_map(|(k, f)| {
        let truth = site.as_map(*f, Fun::ToReal)?[0];
        Some((k, delta(site, truth, &axes)?))
    })?;
    let others: Args = without(&factors, k).into_iter().map(|f| substitute(site, f, axis, index)).collect();
    // An axis that only the delta carried counts once for each entry that the index reaches, which nobody knows here.
    let left: Axes = axes.into_iter().filter(|a| *a != axis).collect();
    if left.iter().any(|a| !others.iter().any(|f| site.g.ty(*f).has(*a))) {
        return None;
    }
    Some(site.g.contract(&left, &others))
}

fn sum_delta(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let axes = bound(site, id);
    let select = site.as_map(site.node(id).args[0], Fun::Select)?;
    if site.as_num(select[2]) != Some(0.0) {
        return None;
    }
    let (axis, index) = delta(site, select[0], &axes)?;
    let x = substitute(site, select[1], axis, index);
    let left: Axes = axes.into_iter().filter(|a| *a != axis).collect();
    if left.iter().any(|a| !site.g.ty(x).has(*a)) {
        return None;
    }
    Some(site.g.reduce(Red::Sum, &left, x))
}

fn contract_pull(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, factors) = (bound(site, id), site.node(id).args.clone());
    factors.iter().find(|f| !site.touches(**f, &axes))?;
    Some(site.g.contract(&axes, &factors))
}

fn contract_flatten(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, factors) = (bound(site, id), site.node(id).args.clone());
    let (k, inner) = factors.iter().enumerate().find_map(|(k, f)| Some((k, site.as_map(*f, Fun::Mul)?)))?;
    let all: Args = without(&factors, k).into_iter().chain(inner).collect();
    (all.len() <= FACTORS).then(|| site.g.contract(&axes, &all))
}

fn contract_merge(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, factors) = (bound(site, id), site.node(id).args.clone());
    let (k, (inner, more)) = factors.iter().enumerate().find_map(|(k, f)| {
        let (inner, more) = site.as_sum(*f)?;
        let clashes = |f: &NodeId| site.touches(*f, &inner);
        let free = !inner.iter().any(|a| axes.contains(a)) && !without(&factors, k).iter().any(clashes);
        free.then_some((k, (inner, more)))
    })?;
    let all: Args = without(&factors, k).into_iter().chain(more).collect();
    (all.len() <= FACTORS).then(|| site.g.contract(&sorted(axes.into_iter().chain(inner)), &all))
}

fn contract_split(site: &mut Site, id: NodeId) -> Option<NodeId> {
    if site.node(id).args.len() < 3 {
        return None;
    }
    let (axes, factors) = (bound(site, id), site.node(id).args.clone());
    Some(order::build(site.g, &axes, &factors))
}

fn contract_sum_first(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, factors) = (bound(site, id), site.node(id).args.clone());
    let alone = |a: &Axis| factors.iter().filter(|f| site.g.ty(**f).has(*a)).count() == 1;
    let (early, late): (Axes, Axes) = axes.iter().copied().partition(|a| alone(a));
    if early.is_empty() || factors.iter().any(|f| early.iter().all(|a| site.g.ty(*f).has(*a)) && late.is_empty()) {
        return None;
    }
    let summed: Args = factors
        .iter()
        .map(|f| {
            let own: Axes = early.iter().copied().filter(|a| site.g.ty(*f).has(*a)).collect();
            site.g.reduce(Red::Sum, &own, *f)
        })
        .collect();
    Some(site.g.contract(&late, &summed))
}

fn contract_distribute(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (axes, factors) = (bound(site, id), site.node(id).args.clone());
    let (k, terms) = factors.iter().enumerate().find_map(|(k, f)| {
        let terms = site.as_map(*f, Fun::Add)?;
        let own: Axes = axes.iter().copied().filter(|a| site.g.ty(*f).has(*a)).collect();
        let gains = |t: &NodeId| own.iter().any(|a| !site.g.ty(*t).has(*a));
        (terms.iter().any(gains) && !difference(site, &terms)).then_some((k, terms))
    })?;
    let others = without(&factors, k);
    let sums: Args = terms
        .iter()
        .map(|t| {
            let all: Args = others.iter().copied().chain([*t]).collect();
            site.g.contract(&axes, &all)
        })
        .collect();
    Some(site.g.add_all(&sums))
}

/// A term as number * contraction.
fn term(site: &Site, id: NodeId) -> Option<(Option<NodeId>, Axes, Args)> {
    let contraction = |f: NodeId| match site.form(f, |op| matches!(op, Op::Contract(_)))? {
        (Op::Contract(axes), args) => Some((axes, args)),
        _ => None,
    };
    if let Some((axes, args)) = contraction(id) {
        return Some((None, axes, args));
    }
    let factors = site.factors(id);
    let [x, y] = factors[..] else { return None };
    let (number, of) = if site.g.as_num(x).is_some() { (x, y) } else { (y, x) };
    site.g.as_num(number)?;
    let (axes, args) = contraction(of)?;
    Some((Some(number), axes, args))
}

fn common_contraction(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let args = site.node(id).args.clone();
    let terms: Vec<_> = args.iter().map(|t| term(site, *t)).collect();
    let pairs = (0..terms.len()).flat_map(|i| (i + 1..terms.len()).map(move |j| (i, j)));
    let (i, j, p, q) = pairs.into_iter().find_map(|(i, j)| {
        let ((_, a, xs), (_, b, ys)) = (terms[i].as_ref()?, terms[j].as_ref()?);
        let shared = xs.iter().enumerate().find_map(|(p, x)| Some((p, ys.iter().position(|y| site.same(*x, *y))?)));
        (a == b).then_some(shared?).map(|(p, q)| (i, j, p, q))
    })?;
    let rest = |site: &mut Site, k: usize, p: usize| {
        let (number, _, factors) = terms[k].as_ref().expect("the pair is of contractions");
        let all: Args = without(factors, p).into_iter().chain(*number).collect();
        site.g.mul_all(&all)
    };
    let (x, y) = (rest(site, i, p), rest(site, j, q));
    let (_, axes, factors) = terms[i].as_ref().expect("the pair is of contractions");
    let sum = site.g.add_all(&[x, y]);
    let joined = site.g.contract(axes, &[factors[p], sum]);
    let all: Args = without(&without(&args, j), i).into_iter().chain([joined]).collect();
    Some(site.g.add_all(&all))
}
