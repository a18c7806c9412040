//! Reads and fibers inside bodies: indices, what keeps them in range, and what holds outside.
//! Law: no address leaves its buffer, whatever the index operands hold.

use super::{Builder, Env, Pos, at};
use crate::graph::{At, NodeId, Op, Red, Subst, neutral};
use crate::plan::{Inst, Kind, ValueId};
use gannet_lang::program::{Axis, DimId, Elem, Fun, Size};
use smallvec::SmallVec;

impl Builder<'_, '_> {
    /// The index that a form or an index operand gives.
    fn index(&mut self, to: &At, args: &[NodeId], env: &Env) -> Pos {
        match to {
            At::Affine { terms, offset } => {
                let mut pos = Pos { terms: SmallVec::new(), offset: *offset };
                terms.iter().for_each(|(c, a)| pos.add(*c, at(env, *a)));
                pos
            }
            At::Arg(k) => Pos::value(self.value(args[*k as usize], env)),
        }
    }

    pub(super) fn read(&mut self, id: NodeId, subst: &Subst, guarded: bool, env: &Env) -> ValueId {
        let node = self.cx.graph.node(id);
        let x = node.args[0];
        let mut inner: Env = self
            .cx
            .graph
            .ty(x)
            .axes
            .iter()
            .filter(|a| subst.iter().all(|s| s.0 != **a))
            .map(|a| (*a, at(env, *a).clone()))
            .collect();
        let mut conditions: Vec<ValueId> = Vec::new();
        for (axis, to) in subst {
            let pos = self.index(to, &node.args, env);
            let (low, high) = self.may_leave(*axis, to, &node.args, guarded);
            let pos = if low || high { self.clamp(*axis, &pos, low, high, guarded, &mut conditions) } else { pos };
            inner.push((*axis, pos));
        }
        inner.sort();
        let value = self.value(x, &inner);
        if conditions.is_empty() {
            return value;
        }
        let outside = self.value(*node.args.last().expect("a value outside"), env);
        let all = conditions.into_iter().reduce(|a, b| self.map(Kind::Bool, Fun::And, &[a, b])).expect("conditions");
        self.map(self.cx.kind(id), Fun::Select, &[all, value, outside])
    }

    /// An index kept in range; where the read is guarded, with the conditions under which it was.
    fn clamp(&mut self, axis: Axis, pos: &Pos, low: bool, high: bool, guarded: bool, out: &mut Vec<ValueId>) -> Pos {
        let zero = self.constant(Kind::Int, 0.0);
        let mut v = self.pos_value(pos);
        let size = self.put(Kind::Int, Inst::Size(axis.dim));
        if guarded && low {
            out.push(self.map(Kind::Bool, Fun::Ge, &[v, zero]));
        }
        if guarded && high {
            out.push(self.map(Kind::Bool, Fun::Lt, &[v, size]));
        }
        if high {
            let one = self.constant(Kind::Int, -1.0);
            let last = self.map(Kind::Int, Fun::Add, &[size, one]);
            v = self.map(Kind::Int, Fun::Min, &[v, last]);
        }
        if low {
            v = self.map(Kind::Int, Fun::Max, &[v, zero]);
        }
        Pos::value(v)
    }

    /// May the index fall below 0, or beyond the last entry?
    fn may_leave(&self, axis: Axis, to: &At, args: &[NodeId], guarded: bool) -> (bool, bool) {
        let fixed = |d: DimId| match self.cx.graph.tables.dims[d.index()].size {
            Size::Fixed(n) => Some(n as i64),
            _ => None,
        };
        match to {
            At::Arg(k) => {
                // Elements of the axis's own dim are in range since they were loaded or computed.
                let safe = self.cx.graph.ty(args[*k as usize]).elem == Elem::Index(axis.dim) && !guarded;
                (!safe, !safe)
            }
            At::Affine { .. } if !guarded => (false, false),
            At::Affine { .. } if to.as_axis().is_some_and(|a| a.dim == axis.dim) => (false, false),
            At::Affine { terms, offset } => {
                let sizes: Option<Vec<(i64, i64)>> = terms.iter().map(|(c, a)| Some((*c, fixed(a.dim)? - 1))).collect();
                let low = match &sizes {
                    Some(s) => offset + s.iter().map(|(c, n)| (c * n).min(0)).sum::<i64>() < 0,
                    None => *offset < 0 || terms.iter().any(|t| t.0 < 0),
                };
                let high = match (&sizes, fixed(axis.dim)) {
                    (Some(s), Some(n)) => offset + s.iter().map(|(c, m)| (c * m).max(0)).sum::<i64>() >= n,
                    _ => true,
                };
                (low, high)
            }
        }
    }

    /// A fiber over nothing: the operand where all indices are met, else the neutral element.
    pub(super) fn one_hot(&mut self, id: NodeId, red: Red, subst: &Subst, env: &Env) -> ValueId {
        let node = self.cx.graph.node(id);
        let value = self.value(node.args[0], env);
        let kind = self.cx.kind(id);
        let mut all: Option<ValueId> = None;
        for (axis, to) in subst {
            let pos = self.index(to, &node.args, env);
            let (here, there) = (self.pos_value(at(env, *axis)), self.pos_value(&pos));
            let meets = self.map(Kind::Bool, Fun::Eq, &[here, there]);
            all = Some(all.map_or(meets, |a| self.map(Kind::Bool, Fun::And, &[a, meets])));
        }
        let Some(all) = all else { return value };
        let outside = self.constant(kind, neutral(red));
        self.map(kind, Fun::Select, &[all, value, outside])
    }

    /// The place in the result of a scatter, and whether it lies inside (if it may not).
    pub fn scatter_place(&mut self, id: NodeId, env: &Env) -> (Env, Option<ValueId>) {
        let node = self.cx.graph.node(id);
        let Op::Fiber { at: subst, .. } = &node.op else { unreachable!("fuse: a scatter is a fiber") };
        let mut conditions: Vec<ValueId> = Vec::new();
        let mut place: Env = SmallVec::new();
        for (axis, to) in subst {
            let pos = self.index(to, &node.args, env);
            let (low, high) = match to {
                At::Arg(_) => self.may_leave(*axis, to, &node.args, false),
                _ => self.may_leave(*axis, to, &node.args, true),
            };
            let pos = if low || high { self.clamp(*axis, &pos, low, high, true, &mut conditions) } else { pos };
            place.push((*axis, pos));
        }
        let named: Vec<Axis> = place.iter().map(|p| p.0).collect();
        let kept = self.cx.graph.ty(id).axes.iter().filter(|a| !named.contains(a));
        place.extend(kept.map(|a| (*a, at(env, *a).clone())));
        let inside = conditions.into_iter().reduce(|a, b| self.map(Kind::Bool, Fun::And, &[a, b]));
        (place, inside)
    }

    /// `value` where `inside`, else the neutral element.
    pub fn masked(&mut self, kind: Kind, red: Red, value: ValueId, inside: ValueId) -> ValueId {
        let outside = self.constant(kind, neutral(red));
        self.map(kind, Fun::Select, &[inside, value, outside])
    }

    /// A value that a filling kernel writes.
    pub fn neutral(&mut self, kind: Kind, red: Red) -> ValueId {
        self.constant(kind, neutral(red))
    }
}
