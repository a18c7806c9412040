//! Loops of written kernels: neighbours that walk memory as one become one loop, and one loop on each path runs in
//! lanes.
//! Law: which entries are computed, and in which order sums are taken along a loop, stays.

use crate::graph::Red;
use crate::plan::{Acc, Address, Extent, Index, Inst, Loop, LoopId, Mode, Range, Stmt, ValueId, additions};
use std::collections::BTreeSet;

/// The lanes that the cost model counts with.
const LANES: f64 = 4.0;

/// Merges nested loops wherever all addresses allow.
pub(super) fn merge(l: &mut Loop) {
    merge_except(l, None);
}

/// Merges nested loops, but never `keep` into the loop around it.
pub(super) fn merge_except(l: &mut Loop, keep: Option<LoopId>) {
    for s in &mut l.body {
        if let Stmt::Loop(inner) = s {
            merge_except(inner, keep);
        }
    }
    while collapse(l, keep) {}
}

/// Merges the only loop in a loop's body into it, if that changes no address.
fn collapse(outer: &mut Loop, keep: Option<LoopId>) -> bool {
    let Some(Stmt::Loop(inner)) = outer.body.last() else { return false };
    let (Range::Full(outer_size), Range::Full(inner_size)) = (&outer.range, &inner.range) else { return false };
    let lets = &outer.body[..outer.body.len() - 1];
    let apart = !lets.iter().all(|s| matches!(s, Stmt::Let(..))) || depend(lets, outer.id);
    if keep == Some(inner.id) || apart || counted(&inner.body, &[outer.id, inner.id]) {
        return false;
    }
    let Some(accs) = joined_accs(&outer.accs, &inner.accs) else { return false };
    let (single_outer, single_inner) = (outer_size.is(1), inner_size.is(1));
    let fits = single_outer
        || single_inner
        || addresses(&inner.body).iter().all(|a| stacked(a, outer.id, inner.id, inner_size));
    if !fits {
        return false;
    }
    let size = outer_size.times(inner_size);
    let (from, to) = (inner.id, outer.id);
    let Some(Stmt::Loop(inner)) = outer.body.pop() else { unreachable!("seen above") };
    let mut body = inner.body;
    for_addresses(&mut body, &mut |a| {
        let drop = if single_inner { from } else { to };
        a.terms.retain(|t| t.0 != Index::Loop(drop));
        a.terms.iter_mut().filter(|t| t.0 == Index::Loop(from)).for_each(|t| t.0 = Index::Loop(to));
    });
    outer.body.extend(body);
    outer.range = Range::Full(size);
    outer.accs = accs;
    true
}

/// The accumulators of a merged loop: none, or the inner ones under the outer ones' names.
fn joined_accs(outer: &[Acc], inner: &[Acc]) -> Option<Vec<Acc>> {
    if outer.len() != inner.len() {
        return None;
    }
    let pairs = outer.iter().map(|o| {
        let i = inner.iter().find(|i| i.result == o.value && i.red == o.red)?;
        let first = matches!(o.red, Red::ArgMax | Red::ArgMin);
        (!first).then_some(Acc { result: o.result, red: o.red, value: i.value })
    });
    pairs.collect()
}

/// Does any of the values depend on the loop's counter?
fn depend(lets: &[Stmt], id: LoopId) -> bool {
    let mut dependent: BTreeSet<ValueId> = BTreeSet::new();
    for s in lets {
        if let Stmt::Let(v, inst) = s
            && reads(inst, id, &dependent)
        {
            dependent.insert(*v);
        }
    }
    !dependent.is_empty()
}

fn reads(inst: &Inst, id: LoopId, dependent: &BTreeSet<ValueId>) -> bool {
    let address = |a: &Address| {
        a.terms.iter().any(|t| match t.0 {
            Index::Loop(l) => l == id,
            Index::Value(v) => dependent.contains(&v),
        })
    };
    match inst {
        Inst::Counter(l) => *l == id,
        Inst::Load(_, a) | Inst::Random(_, _, a) => address(a),
        Inst::Map(_, args) => args.iter().any(|v| dependent.contains(v)),
        Inst::Tile => true,
        Inst::Const(_) | Inst::Size(_) | Inst::Hyper(_) | Inst::Step => false,
    }
}

/// Is one of the counters used as a number, or in a range?
fn counted(body: &[Stmt], ids: &[LoopId]) -> bool {
    body.iter().any(|s| match s {
        Stmt::Let(_, Inst::Counter(l)) => ids.contains(l),
        Stmt::Loop(l) => matches!(&l.range, Range::Block { outer, .. } if ids.contains(outer)) || counted(&l.body, ids),
        _ => false,
    })
}

/// Does an address move by as much in one step of `outer` as in all of `inner`?
fn stacked(a: &Address, outer: LoopId, inner: LoopId, size: &Extent) -> bool {
    let of = |id: LoopId| -> Vec<(i64, &Extent)> {
        a.terms.iter().filter(|t| t.0 == Index::Loop(id)).map(|t| (t.1, &t.2)).collect()
    };
    match (&of(outer)[..], &of(inner)[..]) {
        ([], []) => true,
        ([(c, s)], [(d, t)]) => c == d && **s == t.times(size),
        _ => false,
    }
}

fn addresses(body: &[Stmt]) -> Vec<&Address> {
    let mut all = Vec::new();
    for s in body {
        match s {
            Stmt::Let(_, Inst::Load(_, a) | Inst::Random(_, _, a)) => all.push(a),
            Stmt::Store(_, a, _) | Stmt::Accumulate(_, _, a, _) => all.push(a),
            Stmt::Loop(l) => all.extend(addresses(&l.body)),
            Stmt::Let(..) => {}
        }
    }
    all
}

fn for_addresses(body: &mut [Stmt], f: &mut impl FnMut(&mut Address)) {
    for s in body {
        match s {
            Stmt::Let(_, Inst::Load(_, a) | Inst::Random(_, _, a)) => f(a),
            Stmt::Store(_, a, _) | Stmt::Accumulate(_, _, a, _) => f(a),
            Stmt::Loop(l) => for_addresses(&mut l.body, f),
            Stmt::Let(..) => {}
        }
    }
}

/// Chooses the loops that run in lanes: on every path the one that makes the nest cheapest.
pub(super) fn vectorize(l: &mut Loop, sizes: &[u64]) {
    let (_, choice) = best(l, sizes);
    apply(l, &choice);
    l.body.iter_mut().for_each(|s| sink(s, sizes));
}

/// A loop in lanes goes inside the loop that is all of its body, so that memory is walked through once, in order.
fn sink(s: &mut Stmt, sizes: &[u64]) {
    let Stmt::Loop(l) = s else { return };
    let trips = trips(&l.range, sizes);
    if l.mode == Mode::Vector && l.accs.is_empty() && (WHOLE_LINES..=FEW_LINES).contains(&trips) {
        let lets = l.body.len() - 1;
        let only = l.body[..lets].iter().all(|s| matches!(s, Stmt::Let(..)));
        let inner = match l.body.last() {
            Some(Stmt::Loop(inner)) if only && inner.accs.is_empty() => inner.clone(),
            _ => return,
        };
        let mut lanes = l.clone();
        lanes.body.truncate(lets);
        lanes.body.extend(inner.body.iter().cloned());
        *l = Loop { body: vec![Stmt::Loop(lanes)], ..inner };
    }
    l.body.iter_mut().for_each(|s| sink(s, sizes));
}

/// Entries that fill a few lines of a cache: less is not worth the start of a loop.
const WHOLE_LINES: f64 = 32.0;
/// Entries each in a line of its own that stay in a first-level cache.
const FEW_LINES: f64 = 256.0;

fn apply(l: &mut Loop, choice: &BTreeSet<LoopId>) {
    if choice.contains(&l.id) {
        l.mode = Mode::Vector;
    }
    for s in &mut l.body {
        if let Stmt::Loop(inner) = s {
            apply(inner, choice);
        }
    }
}

fn best(l: &Loop, sizes: &[u64]) -> (f64, BTreeSet<LoopId>) {
    let mut serial = 0.0;
    let mut choice = BTreeSet::new();
    for s in &l.body {
        match s {
            Stmt::Loop(inner) => {
                let (cost, inner) = best(inner, sizes);
                serial += cost;
                choice.extend(inner);
            }
            s => serial += price(s, None),
        }
    }
    let count = trips(&l.range, sizes);
    let plain = !l.accs.iter().any(|a| matches!(a.red, Red::ArgMax | Red::ArgMin));
    if count >= LANES && plain && in_lanes(&l.body, l.id) && !matches!(l.range, Range::Blocks { .. }) {
        let lanes = vector_cost(&l.body, l.id, &mut BTreeSet::new(), sizes);
        if lanes < serial {
            return (lanes * count, [l.id].into());
        }
    }
    (serial * count, choice)
}

fn vector_cost(body: &[Stmt], id: LoopId, differ: &mut BTreeSet<ValueId>, sizes: &[u64]) -> f64 {
    let mut sum = 0.0;
    for s in body {
        sum += match s {
            Stmt::Loop(l) => {
                let inside = vector_cost(&l.body, id, differ, sizes);
                differ
                    .extend(l.accs.iter().filter(|a| differ.contains(&a.value)).map(|a| a.result).collect::<Vec<_>>());
                trips(&l.range, sizes) * inside
            }
            s => price(s, Some((id, &*differ))),
        };
        if let Stmt::Let(v, inst) = s
            && reads(inst, id, differ)
        {
            differ.insert(*v);
        }
    }
    sum
}

/// May the body be executed for neighbouring iterations of a loop together?
fn in_lanes(body: &[Stmt], id: LoopId) -> bool {
    body.iter().all(|s| match s {
        Stmt::Loop(l) => {
            let plain = !l.accs.iter().any(|a| matches!(a.red, Red::ArgMax | Red::ArgMin));
            plain && !matches!(l.range, Range::Block { outer, .. } if outer == id) && in_lanes(&l.body, id)
        }
        // Two lanes must not meet in one entry.
        Stmt::Accumulate(_, _, a, _) => a.terms.iter().any(|t| t.0 == Index::Loop(id)),
        _ => true,
    })
}

fn trips(range: &Range, sizes: &[u64]) -> f64 {
    match range {
        Range::Full(e) => e.eval(sizes) as f64,
        Range::Block { size, extent, .. } => (extent.eval(sizes) as f64).min(*size as f64),
        Range::Blocks { size, extent } => (extent.eval(sizes) as f64 / *size as f64).ceil(),
    }
}

/// The price of a statement for one entry, alone or in lanes along a loop, where these values differ from lane to lane.
fn price(s: &Stmt, lanes: Option<(LoopId, &BTreeSet<ValueId>)>) -> f64 {
    let part = if lanes.is_some() { 1.0 / LANES } else { 1.0 };
    let access = |a: &Address| {
        let Some((id, differ)) = lanes else { return 1.0 };
        let gathers = a.terms.iter().any(|t| match t.0 {
            Index::Loop(l) => l == id && !(t.1 == 1 && t.2.is(1)),
            Index::Value(v) => differ.contains(&v),
        });
        if gathers { 1.5 } else { part }
    };
    match s {
        Stmt::Let(_, Inst::Load(_, a)) | Stmt::Store(_, a, _) => access(a),
        Stmt::Accumulate(_, _, a, _) => 2.0 * access(a),
        Stmt::Let(_, Inst::Random(..)) => 40.0,
        Stmt::Let(_, Inst::Map(fun, args)) => part * additions(*fun, args.len()),
        Stmt::Let(_, Inst::Counter(_) | Inst::Tile) => part,
        Stmt::Let(..) => 0.0,
        Stmt::Loop(_) => unreachable!("loops: the price of a loop is its body's"),
    }
}
