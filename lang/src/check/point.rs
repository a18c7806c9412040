//! Derivatives with respect to a value that was computed before: what depends on it is built again on a point.
//! Law: the copy has the types of the original, and points inside it are points of its own.

use super::value::{Scope, Value};
use super::{Check, Elab};
use crate::diag::Span;
use crate::print_program::operands;
use crate::program::{At, Direction, Loop, LoopId, LoopPart, Op, ParamId, PointId, TermId};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Elab<'_> {
    /// Is it a parameter or a point, by which one may differentiate directly?
    pub fn is_variable(&self, id: TermId) -> bool {
        matches!(self.unit.terms[id.index()].op, Op::Param(_) | Op::Point(..))
    }

    /// Does `of` depend on the term, or on the parameter that it is?
    pub fn depends(&self, of: TermId, on: TermId) -> bool {
        let param = |id: TermId| match self.unit.terms[id.index()].op {
            Op::Param(p) => Some(p),
            _ => None,
        };
        let wanted: Option<ParamId> = param(on);
        let mut seen = vec![false; of.index() + 1];
        let mut open = vec![of];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id.index()], true) {
                continue;
            }
            if id == on || (wanted.is_some() && param(id) == wanted) {
                return true;
            }
            open.extend(operands(&self.unit.terms[id.index()].op));
        }
        false
    }

    /// The first value of a parameter, kept apart from equal ones: two biases that start at 0 are two variables.
    pub(super) fn first_point(&mut self, p: ParamId) -> TermId {
        if let Some(found) = self.first_points.get(&p) {
            return *found;
        }
        let first = self.first_params[p.index()];
        let (ty, span) = (self.ty(first).clone(), self.unit.params[p.index()].span);
        let point = self.point();
        let id = self.term(Op::Point(first, point), ty.elem, ty.axes, span);
        self.first_points.insert(p, id);
        id
    }

    /// Differentiates by a name: the other arguments of the function that has it as an argument are held fixed, even if
    /// the call computed them from the same value.
    pub fn by_name<T>(&mut self, name: &str, scope: &Rc<Scope>, f: impl FnOnce(&mut Self) -> Check<T>) -> Check<T> {
        let home = Scope::nearest(scope, name);
        let mut held = Vec::new();
        if let Some(Value::Record(arguments)) = home.and_then(|s| s.own("<arguments>"))
            && arguments.iter().any(|a| a.0 == name)
        {
            for (_, value) in arguments.iter().filter(|a| a.0 != name) {
                match value {
                    Value::Tensor(t) => held.push(t.id),
                    Value::Tree(tree) => held.extend(tree.leaves.iter().map(|l| l.value.id)),
                    _ => {}
                }
            }
        }
        let before = std::mem::replace(&mut self.held, held);
        let result = f(self);
        self.held = before;
        result
    }

    /// `of` built again on a point with the value of `by`, and that point.
    pub fn on_point(&mut self, of: TermId, by: TermId, span: Span) -> (TermId, TermId) {
        let (of, start) = self.all_on_point(&[of], by, span);
        (of[0], start)
    }

    /// Several terms built again on one point.
    pub fn all_on_point(&mut self, of: &[TermId], by: TermId, span: Span) -> (Vec<TermId>, TermId) {
        let ty = self.ty(by).clone();
        let point = self.point();
        let start = self.term(Op::Point(by, point), ty.elem, ty.axes, span);
        (self.rebuilt(of, BTreeMap::from([(by, start)])), start)
    }

    /// Terms built again with other terms in place of some.
    pub fn rebuilt(&mut self, of: &[TermId], mut map: BTreeMap<TermId, TermId>) -> Vec<TermId> {
        let needed = self.below(of);
        let loops = self.loops_on(&needed, &mut map);
        for id in (0..needed.len()).map(TermId::new).filter(|id| needed[id.index()]) {
            if map.contains_key(&id) {
                continue;
            }
            let op = self.unit.terms[id.index()].op.clone();
            if !self.held.contains(&id) && operands(&op).iter().any(|t| map.contains_key(t)) {
                let fresh = if matches!(op, Op::Point(..)) { Some(self.point()) } else { None };
                let to = |t: TermId| map.get(&t).copied().unwrap_or(t);
                let mut op = mapped(op, fresh, &to);
                if let Op::LoopOut { of, .. } = &mut op
                    && let Some(copy) = loops.get(of)
                {
                    let l = self.unit.loops[of.index()].clone();
                    let all = |ids: &[TermId]| ids.iter().map(|t| to(*t)).collect();
                    self.unit.loops[copy.index()] = Loop {
                        first: all(&l.first),
                        next: all(&l.next),
                        go_on: l.go_on.map(|(test, t)| (test, to(t))),
                        ..l
                    };
                    *of = *copy;
                }
                let term = self.unit.terms[id.index()].clone();
                let new = self.ordered_term(op, term.ty, term.span);
                map.insert(id, new);
            }
        }
        of.iter().map(|t| map.get(t).copied().unwrap_or(*t)).collect()
    }

    /// New loops for those that depend on a key of `map`; their states get new terms in it.
    fn loops_on(&mut self, needed: &[bool], map: &mut BTreeMap<TermId, TermId>) -> BTreeMap<LoopId, LoopId> {
        let mut loops = BTreeMap::new();
        for k in (0..needed.len()).filter(|k| needed[*k]) {
            let Op::LoopOut { of: l, .. } = self.unit.terms[k].op else { continue };
            if !loops.contains_key(&l) && map.keys().any(|by| self.depends(TermId::new(k), *by)) {
                let copy = LoopId::new(self.unit.loops.len());
                self.unit.loops.push(self.unit.loops[l.index()].clone());
                loops.insert(l, copy);
            }
        }
        for k in (0..needed.len()).filter(|k| needed[*k]) {
            if let Op::LoopState(l, state) = self.unit.terms[k].op
                && let Some(copy) = loops.get(&l)
            {
                let term = self.unit.terms[k].clone();
                let new = self.ordered_term(Op::LoopState(*copy, state), term.ty, term.span);
                map.insert(TermId::new(k), new);
            }
        }
        loops
    }

    /// Which terms some terms need.
    fn below(&self, of: &[TermId]) -> Vec<bool> {
        let mut needed = vec![false; of.iter().map(|t| t.index() + 1).max().unwrap_or(0)];
        of.iter().for_each(|t| needed[t.index()] = true);
        for k in (0..needed.len()).rev() {
            if needed[k] {
                for t in operands(&self.unit.terms[k].op) {
                    needed[t.index()] = true;
                }
            }
        }
        needed
    }
}

/// An operation with other operands.
fn mapped(op: Op, point: Option<PointId>, to: &dyn Fn(TermId) -> TermId) -> Op {
    let all = |ids: Vec<TermId>| ids.into_iter().map(to).collect::<Vec<_>>();
    match op {
        Op::Map(fun, args) => Op::Map(fun, all(args)),
        Op::Reduce { red, axes, of, guard } => Op::Reduce { red, axes, of: to(of), guard: guard.map(to) },
        Op::Read { of, at, otherwise } => {
            let at = at.into_iter().map(|(axis, at)| match at {
                At::Term(t) => (axis, At::Term(to(t))),
                affine => (axis, affine),
            });
            Op::Read { of: to(of), at: at.collect(), otherwise: otherwise.map(to) }
        }
        Op::Library(lib, args) => Op::Library(lib, all(args)),
        Op::Part(x, k) => Op::Part(to(x), k),
        Op::Fiber { red, over, of, at, key, guard } => {
            Op::Fiber { red, over, of: to(of), at, key: to(key), guard: guard.map(to) }
        }
        Op::View(x) => Op::View(to(x)),
        Op::Point(x, p) => Op::Point(to(x), point.unwrap_or(p)),
        Op::Flat { parts, axis } => Op::Flat { parts: parts.into_iter().map(|(t, a)| (to(t), a)).collect(), axis },
        Op::Stop(x) => Op::Stop(to(x)),
        Op::Grad { of, wrt, axes, shared } => Op::Grad { of: to(of), wrt: to(wrt), axes, shared },
        Op::Along { of, by } => {
            let by = by.into_iter().map(|d| Direction { wrt: to(d.wrt), axes: d.axes, tangent: to(d.tangent) });
            Op::Along { of: to(of), by: by.collect() }
        }
        Op::Custom { value, inputs, cotangent, back } => {
            Op::Custom { value: to(value), inputs: all(inputs), cotangent: to(cotangent), back: all(back) }
        }
        leaf @ (Op::Const(_)
        | Op::Input(_)
        | Op::Param(_)
        | Op::State(_)
        | Op::Hyper(_)
        | Op::Step
        | Op::Size(_)
        | Op::Iota(_)
        | Op::Random(..)
        | Op::LoopState(..)) => leaf,
        Op::LoopOut { of, part, needs } => {
            let part = if let LoopPart::Each(t) = part { LoopPart::Each(to(t)) } else { part };
            Op::LoopOut { of, part, needs: all(needs) }
        }
    }
}
