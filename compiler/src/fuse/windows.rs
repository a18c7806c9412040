//! Windows as factors of products: a convolution reads its image in place, window by window, without a copy of each.
//! Law: what lies outside an image is nought; it is written once, as a border, so that all windows are read by strides.

use super::renames::names_of;
use crate::graph::{At, Graph, NodeId, Op};
use gannet_lang::program::{Axis, Dim, DimId, Elem, Size};
use smallvec::SmallVec;
use std::sync::Arc;

/// Windows must hold so many times the entries of the image with its border.
const OVERLAP: f64 = 2.0;

/// A read of windows that may reach outside, where nought is found, as a read of a copy with a border; else the node
/// itself.
pub(super) fn bordered(g: &mut Graph, id: NodeId) -> NodeId {
    border(g, id).unwrap_or(id)
}

fn border(g: &mut Graph, id: NodeId) -> Option<NodeId> {
    let node = g.node(id).clone();
    let (x, at, outside) = guarded_read(g, id)?;
    if node.ty.elem != Elem::Real || g.as_num(outside) != Some(0.0) {
        return None;
    }
    let leaves = |(a, to): &&(Axis, At)| to.as_axis().is_none_or(|b| b.dim != a.dim);
    let (leaving, renamed): (Vec<_>, Vec<_>) = at.iter().partition(leaves);
    let windows: Vec<Window> = leaving.into_iter().map(|(a, to)| Window::of(g, *a, to)).collect::<Option<_>>()?;
    let mut entries = g.entries(x);
    for r in &windows {
        entries *= (r.high - r.low + 1) as f64 / g.tables.entries(&[r.axis]);
    }
    if g.entries(id) < OVERLAP * entries {
        return None;
    }
    let (mut edges, mut places): (Vec<(Axis, At)>, Vec<(Axis, At)>) =
        (Vec::new(), renamed.into_iter().cloned().collect());
    for r in windows {
        let wide = widened(g, r.axis, (r.high - r.low + 1) as u64);
        edges.push((r.axis, At::affine([(1, wide)], r.low)));
        places.push((wide, At::affine(r.terms, r.offset - r.low)));
    }
    let image = g.read(x, &edges, &[], Some(outside));
    Some(g.read(image, &places, &[], None))
}

/// What a guarded read by forms reads, where, and what it finds outside, seen through renamings of its result.
fn guarded_read(g: &Graph, id: NodeId) -> Option<(NodeId, Vec<(Axis, At)>, NodeId)> {
    let node = g.node(id);
    let Op::Read { at, guarded } = &node.op else { return None };
    if *guarded {
        return Some((node.args[0], at.to_vec(), *node.args.last()?));
    }
    let names = names_of(&node.op)?;
    let (x, inner, outside) = guarded_read(g, node.args[0])?;
    let name = |a: Axis| names.iter().find(|n| n.0 == a).map_or(a, |n| n.1);
    let kept = g.ty(x).axes.iter().filter(|a| inner.iter().all(|(b, _)| b != *a));
    let kept: Vec<(Axis, At)> = kept.filter(|a| name(**a) != **a).map(|a| (*a, At::axis(name(*a)))).collect();
    let forms = inner.into_iter().map(|(a, to)| match to {
        At::Affine { terms, offset } => Some((a, At::affine(terms.iter().map(|(c, t)| (*c, name(*t))), offset))),
        At::Arg(_) => None,
    });
    Some((x, forms.chain(kept.into_iter().map(Some)).collect::<Option<_>>()?, outside))
}

/// Where a read finds an axis of its operand: a form, and the least and largest index it gives.
struct Window {
    axis: Axis,
    terms: SmallVec<[(i64, Axis); 2]>,
    offset: i64,
    low: i64,
    high: i64,
}

impl Window {
    fn of(g: &Graph, axis: Axis, to: &At) -> Option<Window> {
        let At::Affine { terms, offset } = to else { return None };
        let size = |a: Axis| g.tables.fixed(a).filter(|n| *n > 0);
        size(axis)?;
        let (mut low, mut high) = (*offset, *offset);
        for (c, a) in terms {
            let far = c * (size(*a)? - 1);
            (low, high) = (low + far.min(0), high + far.max(0));
        }
        Some(Window { axis, terms: terms.clone(), offset: *offset, low, high })
    }
}

/// An axis of that size for an image with a border along `axis`; the same one each time it is asked for.
fn widened(g: &mut Graph, axis: Axis, size: u64) -> Axis {
    let name = format!("{} with border", g.tables.dims[axis.dim.index()].name);
    let same = |d: &Dim| d.name == name && d.size == Size::Fixed(size);
    let dim = g.tables.dims.iter().position(same).unwrap_or_else(|| {
        let tables = Arc::make_mut(&mut g.tables);
        tables.dims.push(Dim { name: name.clone(), size: Size::Fixed(size), span: None });
        tables.assumed.push(size);
        tables.dims.len() - 1
    });
    Axis { dim: DimId::new(dim), ix: axis.ix }
}
