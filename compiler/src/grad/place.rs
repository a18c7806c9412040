//! Places: where a read takes an axis from, with index operands by node rather than by position.
//! Law: a place is the same whole number, entry by entry, as the form in the graph that it came from.

use super::cotangent::{Ctx, Term};
use crate::graph::{Args, At, NodeId, Subst};
use gannet_lang::program::{Axis, DimId, Elem, Fun, Size};
use smallvec::SmallVec;

/// A whole-number expression that stands for an axis.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// `sum(coefficient * axis) + offset`.
    Affine(SmallVec<[(i64, Axis); 2]>, i64),
    /// An index array.
    Index(NodeId),
}

impl Place {
    /// A renaming to `axis`.
    pub fn axis(axis: Axis) -> Place {
        Place::affine([(1, axis)], 0)
    }

    /// The axis, if this is a renaming.
    pub fn as_axis(&self) -> Option<Axis> {
        match self {
            Place::Affine(terms, 0) if terms.len() == 1 && terms[0].0 == 1 => Some(terms[0].1),
            _ => None,
        }
    }

    /// An affine form with its terms sorted and merged.
    pub fn affine(terms: impl IntoIterator<Item = (i64, Axis)>, offset: i64) -> Place {
        let mut merged: SmallVec<[(i64, Axis); 2]> = SmallVec::new();
        let mut terms: Vec<(i64, Axis)> = terms.into_iter().collect();
        terms.sort_by_key(|t| t.1);
        for (k, axis) in terms {
            match merged.last_mut() {
                Some(last) if last.1 == axis => last.0 += k,
                _ => merged.push((k, axis)),
            }
        }
        merged.retain(|t| t.0 != 0);
        Place::Affine(merged, offset)
    }
}

impl Ctx<'_> {
    /// The places of a node's substitution.
    pub fn places(&self, at: &Subst, args: &Args) -> Vec<(Axis, Place)> {
        let place = |at: &At| match at {
            At::Affine { terms, offset } => Place::Affine(terms.clone(), *offset),
            At::Arg(k) => Place::Index(args[*k as usize]),
        };
        at.iter().map(|(axis, at)| (*axis, place(at))).collect()
    }

    /// The axes that a place mentions.
    pub fn place_axes(&self, place: &Place) -> Vec<Axis> {
        match place {
            Place::Affine(terms, _) => terms.iter().map(|t| t.1).collect(),
            Place::Index(index) => self.axes(*index).to_vec(),
        }
    }

    /// The place with axes renamed at once.
    pub fn rename_place(&mut self, place: &Place, names: &[(Axis, Axis)]) -> Place {
        let to = |a: Axis| names.iter().find(|(from, _)| *from == a).map_or(a, |n| n.1);
        match place {
            Place::Affine(terms, offset) => Place::affine(terms.iter().map(|(k, a)| (*k, to(*a))), *offset),
            Place::Index(index) => Place::Index(self.rename(*index, names)),
        }
    }

    /// The place as a node.
    pub fn place_value(&mut self, place: &Place) -> NodeId {
        match place {
            Place::Index(index) => *index,
            Place::Affine(terms, offset) => {
                let mut sum = Vec::new();
                for (k, axis) in terms {
                    let index = self.iota(*axis);
                    let factor = self.g.int(*k);
                    sum.push(if *k == 1 { index } else { self.g.mul_all(&[factor, index]) });
                }
                if *offset != 0 || sum.is_empty() {
                    sum.push(self.g.int(*offset));
                }
                if sum.len() == 1 { sum[0] } else { self.g.add_all(&sum) }
            }
        }
    }

    /// `index[axis] = place`.
    pub fn equals(&mut self, axis: Axis, place: &Place) -> NodeId {
        let (index, value) = (self.iota(axis), self.place_value(place));
        self.g.map2(Fun::Eq, index, value)
    }

    /// Does the place lie inside the dim at every entry, as far as types tell?
    fn surely_inside(&self, dim: DimId, place: &Place) -> bool {
        let fixed = |d: DimId| match self.g.tables.dims[d.index()].size {
            Size::Fixed(n) => Some(n as i64),
            _ => None,
        };
        match place {
            Place::Index(index) => self.g.ty(*index).elem == Elem::Index(dim),
            _ if place.as_axis().is_some_and(|a| a.dim == dim) => true,
            Place::Affine(terms, offset) => {
                let (mut low, mut high) = (*offset, *offset);
                for (k, axis) in terms {
                    let Some(n) = fixed(axis.dim) else { return false };
                    let far = k * (n - 1).max(0);
                    low += far.min(0);
                    high += far.max(0);
                }
                low >= 0 && fixed(dim).is_some_and(|n| high < n)
            }
        }
    }

    /// Where all the places lie inside; `None`: everywhere.
    pub fn inside(&mut self, places: &[(Axis, Place)]) -> Option<NodeId> {
        let mut all = None;
        for (axis, place) in places {
            if self.surely_inside(axis.dim, place) {
                continue;
            }
            let value = self.place_value(place);
            let (zero, size) = (self.g.int(0), self.size_of(axis.dim));
            let low = self.g.map2(Fun::Ge, value, zero);
            let high = self.g.map2(Fun::Lt, value, size);
            let both = self.g.map2(Fun::And, low, high);
            all = self.and(all, Some(both));
        }
        all
    }

    fn size_of(&mut self, dim: DimId) -> NodeId {
        match self.g.tables.dims[dim.index()].size {
            Size::Fixed(n) => self.g.int(n as i64),
            _ => self.g.size(dim),
        }
    }

    /// `x` read at places; entries outside hold `outside`. An axis that `x` lacks counts as one along which it repeats.
    pub fn read_at(&mut self, x: NodeId, places: &[(Axis, Place)], outside: NodeId) -> NodeId {
        let (own, absent): (Vec<_>, Vec<_>) = places.iter().cloned().partition(|(a, _)| self.g.ty(x).has(*a));
        let value = self.read_own(x, &own, outside);
        match self.inside(&absent) {
            Some(cond) => self.g.select(cond, value, outside),
            None => value,
        }
    }

    fn read_own(&mut self, x: NodeId, own: &[(Axis, Place)], outside: NodeId) -> NodeId {
        let renaming = |(a, p): &(Axis, Place)| p.as_axis().filter(|to| to.dim == a.dim).map(|to| (*a, to));
        let names: Option<Vec<(Axis, Axis)>> = own.iter().map(renaming).collect();
        if let Some(names) = names {
            return self.rename(x, &names);
        }
        let guarded = own.iter().any(|(a, p)| !self.surely_inside(a.dim, p));
        let (at, indices) = self.forms(own);
        self.g.read(x, &at, &indices, guarded.then_some(outside))
    }

    /// The places as the graph writes them, with the index operands.
    pub fn forms(&self, places: &[(Axis, Place)]) -> (Vec<(Axis, At)>, Vec<NodeId>) {
        let (mut at, mut indices) = (Vec::new(), Vec::new());
        for (axis, place) in places {
            at.push(match place {
                Place::Affine(terms, offset) => (*axis, At::Affine { terms: terms.clone(), offset: *offset }),
                Place::Index(index) => {
                    indices.push(*index);
                    (*axis, At::Arg(indices.len() as u8))
                }
            });
        }
        (at, indices)
    }

    /// The term read at places: 0 and not live outside.
    pub fn read_term(&mut self, t: &Term, places: &[(Axis, Place)]) -> Term {
        let (zero, never) = (self.g.num(0.0), self.never());
        let value = self.read_at(t.value, places, zero);
        let live = t.live.map(|live| self.read_at(live, places, never));
        Term { value, deltas: t.deltas.clone(), live }
    }
}
