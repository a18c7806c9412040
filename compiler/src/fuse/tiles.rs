//! Tiles: the adjoint of reads that cut an axis into tiles looks up the one entry of each place.
//! Law: an axis is taken apart like a number in mixed digits, all of which are used.

use super::prepare::{nothing, spread};
use crate::graph::{At, Axes, Graph, NodeId, Op, Red, Subst};
use gannet_lang::program::{Axis, Fun};
use smallvec::SmallVec;

/// The fiber as a guarded read, if every place is reached by one entry at most and can be taken apart to find it.
pub(super) fn tiled(g: &mut Graph, red: Red, at: &Subst, over: &Axes, args: &[NodeId]) -> Option<NodeId> {
    let mut x = args[0];
    if !worth_looking(g, at, over, x) {
        return None;
    }
    let forms: Vec<(Axis, Digits)> = at.iter().map(|(a, to)| Some((*a, digits(g, to)?))).collect::<Option<_>>()?;
    let mut used: Vec<Axis> = forms.iter().flat_map(|(_, d)| d.axes.iter().map(|t| t.1)).collect();
    used.sort();
    if used.windows(2).any(|w| w[0] == w[1]) || used[..] != over[..] {
        return None;
    }
    // Without its first digit a place beyond the last entry could not be told from one that has an entry.
    for (_, d) in &forms {
        if !g.ty(x).has(d.axes[0].1) {
            x = spread(g, x, d.axes[0].1);
        }
    }
    let outside = nothing(g, red, x);
    let (mut reads, mut indices): (Vec<(Axis, At)>, Vec<NodeId>) = (Vec::new(), Vec::new());
    for (a, d) in forms {
        let place = g.add(Op::Iota(a), []);
        let shift = g.int(-d.offset);
        let place = g.add_all(&[place, shift]);
        for (k, (unit, axis)) in d.axes.iter().enumerate() {
            if !g.ty(x).has(*axis) {
                continue;
            }
            let unit = g.int(*unit);
            let mut digit = g.map2(Fun::IntDiv, place, unit);
            if k > 0 {
                let size = g.int(g.tables.fixed(*axis)?);
                digit = g.map2(Fun::Mod, digit, size);
            }
            reads.push((*axis, At::Arg(indices.len() as u8 + 1)));
            indices.push(digit);
        }
    }
    Some(g.read(x, &reads, &indices, Some(outside)))
}

/// Places are looked up only where most of them hold an entry, and where one look serves several entries side by side.
fn worth_looking(g: &Graph, at: &Subst, over: &Axes, x: NodeId) -> bool {
    let row = |a: &Axis| g.tables.inputs.iter().any(|i| i.ty.axes.first() == Some(a));
    let kept: Vec<Axis> = g.ty(x).axes.iter().copied().filter(|a| !over.contains(a) && !row(a)).collect();
    let places: Vec<Axis> = at.iter().map(|(a, _)| *a).collect();
    g.tables.entries(&kept) >= SIDE_BY_SIDE && 2.0 * g.tables.entries(over) >= g.tables.entries(&places)
}

/// Entries that share a look.
const SIDE_BY_SIDE: f64 = 8.0;

/// A form as digits: unit and axis, the most significant first.
pub(super) struct Digits {
    pub axes: SmallVec<[(i64, Axis); 2]>,
    pub offset: i64,
}

pub(super) fn digits(g: &Graph, to: &At) -> Option<Digits> {
    let At::Affine { terms, offset } = to else { return None };
    let mut axes = terms.clone();
    axes.sort_by_key(|t| std::cmp::Reverse(t.0));
    let complete = axes.windows(2).all(|w| g.tables.fixed(w[1].1).is_some_and(|n| w[0].0 == w[1].0 * n));
    (complete && axes.last()?.0 == 1).then_some(Digits { axes, offset: *offset })
}
