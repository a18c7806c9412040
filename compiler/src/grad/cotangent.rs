//! Cotangents: what flows backwards, and the few linear operations that every adjoint is made of.
//! Law: a cotangent is the sum of its terms, and a term is a tensor times Kronecker deltas that are not written out.
//!
//! Differentiating a tensor `of[n]` gives, for each node, one cotangent for each entry `n'` of `of`. At the start it is
//! `1 * delta(n, n')`. As long as operations keep `n` apart, the delta stays pending; a sum over `n` resolves it by
//! putting `n'` for `n`. So per-sample gradients of a network never see two batch axes at once.

use crate::graph::{Axes, Graph, NodeId, Num, Op, Phase, Red, sorted};
use gannet_lang::program::{Axis, DimId, Elem, Fun};
use std::collections::BTreeMap;

/// One term of a node's cotangent: `value * product of delta(axis, copy)`.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// Its axes are some of the node's (it repeats along the others) and some copies.
    pub value: NodeId,
    /// Pending deltas: an axis of the node, and the copy of an axis of what is differentiated. Sorted.
    pub deltas: Vec<(Axis, Axis)>,
    /// False where the value is 0 because a `Select` took the other branch; `None`: nowhere. A partial that may be
    /// infinite or NaN is applied under this condition.
    pub live: Option<NodeId>,
}

/// What survives from one sweep to the next.
#[derive(Default)]
pub(super) struct Scratch {
    next_ix: Vec<u32>,
    nonfinite: Vec<bool>,
    /// To which part of a step belongs what is made now.
    pub phase: Option<Phase>,
    /// What flows to the results of operations that have several.
    pub parts: BTreeMap<NodeId, Vec<(usize, Term)>>,
    /// Of each loop of tangents: the part that is the tangent of a part.
    pub tangent_parts: BTreeMap<NodeId, BTreeMap<usize, usize>>,
}

impl Scratch {
    /// Fresh axes lie beyond all axes of the graph.
    pub fn beyond(graph: &Graph) -> Self {
        let mut scratch = Scratch { next_ix: vec![0; graph.tables.dims.len()], ..Scratch::default() };
        scratch.step_beyond(graph);
        scratch
    }

    fn step_beyond(&mut self, graph: &Graph) {
        for id in graph.ids() {
            for axis in &graph.ty(id).axes {
                let next = &mut self.next_ix[axis.dim.index()];
                *next = (*next).max(axis.ix + 1);
            }
            if let Op::Loop(body) = &graph.node(id).op {
                self.step_beyond(&body.graph);
            }
        }
    }
}

/// The graph that grows during differentiation, with what the operations below need.
pub(super) struct Ctx<'g> {
    pub g: &'g mut Graph,
    pub scratch: &'g mut Scratch,
}

impl Ctx<'_> {
    /// An axis that occurs nowhere yet.
    pub fn fresh(&mut self, dim: DimId) -> Axis {
        let next = &mut self.scratch.next_ix[dim.index()];
        *next += 1;
        Axis { dim, ix: *next - 1 }
    }

    pub fn axes(&self, x: NodeId) -> Axes {
        self.g.ty(x).axes.clone()
    }

    pub fn iota(&mut self, axis: Axis) -> NodeId {
        self.g.add(Op::Iota(axis), [])
    }

    pub fn never(&mut self) -> NodeId {
        self.g.add(Op::Const(Num::new(0.0), Elem::Bool), [])
    }

    pub fn and(&mut self, a: Option<NodeId>, b: Option<NodeId>) -> Option<NodeId> {
        match (a, b) {
            // The new condition comes last: see `either`.
            (Some(a), Some(b)) if a != b => Some(self.g.map2(Fun::And, a, b)),
            (a, b) => a.or(b),
        }
    }

    /// `x` where `cond` is `holds`, else 0.
    pub fn only(&mut self, cond: NodeId, holds: bool, x: NodeId) -> NodeId {
        let zero = self.g.num(0.0);
        if x == zero {
            return zero;
        }
        if holds { self.g.select(cond, x, zero) } else { self.g.select(cond, zero, x) }
    }

    /// The parts of an `x` made by [`Ctx::only`].
    fn as_only(&self, x: NodeId) -> Option<(NodeId, bool, NodeId)> {
        let node = self.g.node(x);
        let zero = |id: NodeId| self.g.as_num(id) == Some(0.0);
        match node.op {
            Op::Map(Fun::Select) if zero(node.args[2]) => Some((node.args[0], true, node.args[1])),
            Op::Map(Fun::Select) if zero(node.args[1]) => Some((node.args[0], false, node.args[2])),
            _ => None,
        }
    }

    /// `x` with axes renamed at once; a renaming of a renaming becomes one.
    pub fn rename(&mut self, x: NodeId, names: &[(Axis, Axis)]) -> NodeId {
        let to = |a: Axis| names.iter().find(|(from, _)| *from == a).map_or(a, |n| n.1);
        let node = self.g.node(x);
        let Op::Read { at, guarded: false } = &node.op else { return self.g.rename(x, names) };
        if node.args.len() > 1 || at.iter().any(|(_, to)| to.as_axis().is_none()) {
            return self.g.rename(x, names);
        }
        let (inner, at) = (node.args[0], at.clone());
        let middle = |a: Axis| at.iter().find(|(from, _)| *from == a).and_then(|n| n.1.as_axis()).unwrap_or(a);
        let whole: Vec<(Axis, Axis)> = self.axes(inner).iter().map(|a| (*a, to(middle(*a)))).collect();
        self.g.rename(inner, &whole)
    }

    /// Value, condition and pending deltas renamed at once.
    pub fn rename_term(&mut self, t: &Term, names: &[(Axis, Axis)]) -> Term {
        let to = |a: Axis| names.iter().find(|(from, _)| *from == a).map_or(a, |n| n.1);
        let mut deltas: Vec<(Axis, Axis)> = t.deltas.iter().map(|(a, c)| (to(*a), *c)).collect();
        deltas.sort();
        let live = t.live.map(|l| self.rename(l, names));
        Term { value: self.rename(t.value, names), deltas, live }
    }

    /// Writes out the pending deltas of the axes for which `which` holds.
    pub fn write_deltas(&mut self, mut t: Term, which: impl Fn(Axis) -> bool) -> Term {
        let (written, kept): (Vec<_>, Vec<_>) = t.deltas.into_iter().partition(|(a, _)| which(*a));
        for (a, copy) in written {
            let (i, j) = (self.iota(a), self.iota(copy));
            let same = self.g.map2(Fun::Eq, i, j);
            t.value = self.only(same, true, t.value);
        }
        Term { deltas: kept, ..t }
    }

    /// Takes the first pending delta of `axis` out of the term.
    pub fn take_delta(t: &mut Term, axis: Axis) -> Option<Axis> {
        let at = t.deltas.iter().position(|(a, _)| *a == axis)?;
        Some(t.deltas.remove(at).1)
    }

    /// The term times a partial derivative, entry by entry.
    pub fn times(&mut self, t: &Term, partial: NodeId) -> Term {
        let fits = self.axes(partial).iter().all(|a| self.g.ty(t.value).has(*a));
        let masked = self.as_only(t.value).filter(|_| fits);
        let guard = t.live.filter(|_| self.may_be_nonfinite(partial));
        let value = match (masked, guard) {
            (Some((cond, holds, inner)), guard) => {
                let product = self.g.mul_all(&[inner, partial]);
                match guard {
                    Some(live) if self.implies(live, cond, holds) => self.only(live, true, product),
                    _ => {
                        let value = self.only(cond, holds, product);
                        guard.map_or(value, |live| self.only(live, true, value))
                    }
                }
            }
            (None, Some(live)) => {
                let product = self.g.mul_all(&[t.value, partial]);
                self.only(live, true, product)
            }
            (None, None) => self.g.mul_all(&[t.value, partial]),
        };
        Term { value, ..t.clone() }
    }

    /// Is it plain that `live` holds only where `cond` is `holds`?
    fn implies(&mut self, live: NodeId, cond: NodeId, holds: bool) -> bool {
        let literal = if holds { cond } else { self.g.map1(Fun::Not, cond) };
        let node = self.g.node(live);
        live == literal || (node.op == Op::Map(Fun::And) && node.args.contains(&literal))
    }

    /// The term where `cond` is `holds`, else 0. `branch`: the condition chooses a branch, see [`Term::live`].
    pub fn masked(&mut self, t: &Term, cond: NodeId, holds: bool, branch: bool) -> Term {
        let value = self.only(cond, holds, t.value);
        let mut live = t.live;
        if branch {
            let literal = if holds { cond } else { self.g.map1(Fun::Not, cond) };
            live = self.and(live, Some(literal));
        }
        Term { value, deltas: t.deltas.clone(), live }
    }

    /// The sum over `axes` of the term times `factors`: pending deltas resolve, everything else is a contraction.
    pub fn sum_out(&mut self, t: &Term, factors: &[NodeId], axes: &[Axis]) -> Term {
        let mut t = t.clone();
        let mut resolved = Vec::new();
        for axis in axes {
            if let Some(copy) = Self::take_delta(&mut t, *axis) {
                resolved.push((*axis, copy));
            }
        }
        let summed: Vec<Axis> = axes.iter().copied().filter(|a| resolved.iter().all(|r| r.0 != *a)).collect();
        let mut all = vec![t.value];
        for factor in factors {
            all.push(self.guarded_factor(*factor, t.live));
        }
        t.value = if summed.is_empty() { self.g.mul_all(&all) } else { self.contraction(&summed, &all) };
        t.live = t.live.map(|live| self.any(&summed, live));
        let t = self.rename_term(&t, &resolved);
        self.write_deltas(t, |a| resolved.iter().any(|r| r.1 == a))
    }

    /// The condition, true where it is so anywhere along the axes.
    pub fn any(&mut self, axes: &[Axis], live: NodeId) -> NodeId {
        let axes: Vec<Axis> = axes.iter().copied().filter(|a| self.g.ty(live).has(*a)).collect();
        self.g.reduce(Red::Any, &axes, live)
    }

    /// A factor that may be infinite is 0 where no live entry uses it.
    fn guarded_factor(&mut self, factor: NodeId, live: Option<NodeId>) -> NodeId {
        match live {
            Some(live) if self.may_be_nonfinite(factor) => {
                let extra: Vec<Axis> = self.axes(live).iter().copied().filter(|a| !self.g.ty(factor).has(*a)).collect();
                let used = self.any(&extra, live);
                self.only(used, true, factor)
            }
            _ => factor,
        }
    }

    /// The sum over `axes` of the product of `factors`. A factor stays one factor (it is wanted elsewhere too), unless
    /// it is an outer product or only scales another.
    pub fn contraction(&mut self, axes: &[Axis], factors: &[NodeId]) -> NodeId {
        let mut flat: Vec<NodeId> = factors.iter().flat_map(|f| self.take_apart(*f)).collect();
        let mut axes = sorted(axes.iter().copied());
        while let Some((place, axis, index)) = self.one_hot(&axes, &flat) {
            let (_, _, value) = self.as_only(flat[place]).expect("a one-hot factor is a selection");
            flat[place] = value;
            axes.retain(|a| *a != axis);
            let again: Vec<NodeId> = flat.iter().map(|f| self.at_index(*f, axis, index)).collect();
            flat = again.iter().flat_map(|f| self.take_apart(*f)).collect();
        }
        if axes.is_empty() { self.g.mul_all(&flat) } else { self.g.contract_factors(&axes, &flat) }
    }

    fn take_apart(&self, factor: NodeId) -> Vec<NodeId> {
        let node = self.g.node(factor);
        if node.op != Op::Map(Fun::Mul) {
            return vec![factor];
        }
        let scalar = |f: &NodeId| self.g.ty(*f).axes.is_empty();
        let one_tensor = node.args.iter().filter(|f| !scalar(f)).count() == 1;
        let outer = node.args.iter().all(|f| self.g.ty(*f).axes.len() < node.ty.axes.len());
        if outer || one_tensor { node.args.to_vec() } else { vec![factor] }
    }

    /// A factor `v` where a summed axis equals an index, else 0: the sum over that axis picks one entry.
    fn one_hot(&self, axes: &[Axis], factors: &[NodeId]) -> Option<(usize, Axis, NodeId)> {
        factors.iter().enumerate().find_map(|(place, f)| {
            let (cond, holds, _) = self.as_only(*f)?;
            let node = self.g.node(cond);
            if !holds || node.op != Op::Map(Fun::Eq) {
                return None;
            }
            [(0, 1), (1, 0)].into_iter().find_map(|(i, j)| {
                let Op::Iota(axis) = self.g.node(node.args[i]).op else { return None };
                let index = self.g.ty(node.args[j]);
                let fits = index.elem == Elem::Index(axis.dim) && !index.has(axis) && axes.contains(&axis);
                fits.then_some((place, axis, node.args[j]))
            })
        })
    }

    fn at_index(&mut self, x: NodeId, axis: Axis, index: NodeId) -> NodeId {
        if !self.g.ty(x).has(axis) {
            return x;
        }
        match self.g.node(index).op {
            Op::Iota(other) => self.rename(x, &[(axis, other)]),
            _ => self.g.read(x, &[(axis, crate::graph::At::Arg(1))], &[index], None),
        }
    }

    /// Terms with the same deltas are added up; zeros vanish.
    pub fn merge(&mut self, terms: Vec<Term>) -> Vec<Term> {
        let mut groups: BTreeMap<Vec<(Axis, Axis)>, Vec<Term>> = BTreeMap::new();
        for t in terms.into_iter().filter(|t| self.g.as_num(t.value) != Some(0.0)) {
            groups.entry(t.deltas.clone()).or_default().push(t);
        }
        groups.into_iter().map(|(deltas, terms)| self.merge_group(deltas, &terms)).collect()
    }

    fn merge_group(&mut self, deltas: Vec<(Axis, Axis)>, terms: &[Term]) -> Term {
        let mut values: Vec<NodeId> = Vec::new();
        for t in terms {
            let joined = values.iter().enumerate().find_map(|(k, v)| Some((k, self.both_branches(*v, t.value)?)));
            match joined {
                Some((k, (cond, a, b))) => values[k] = self.g.select(cond, a, b),
                None => values.push(t.value),
            }
        }
        let value = if values.len() == 1 { values[0] } else { self.g.add_all(&values) };
        let live = terms[1..].iter().fold(terms[0].live, |live, t| self.either(live, t.live));
        Term { value, deltas, live }
    }

    /// Two values, one where a condition is true and one where it is false: together one selection.
    fn both_branches(&self, x: NodeId, y: NodeId) -> Option<(NodeId, NodeId, NodeId)> {
        let ((c, holds, a), (d, other, b)) = (self.as_only(x)?, self.as_only(y)?);
        let pair = if holds { (c, a, b) } else { (c, b, a) };
        (c == d && holds != other).then_some(pair)
    }

    /// Live where either is: everywhere, if one is a condition and the other its opposite.
    fn either(&mut self, a: Option<NodeId>, b: Option<NodeId>) -> Option<NodeId> {
        let (a, b) = (a?, b?);
        let parts = |g: &Graph, x: NodeId| match g.node(x).op {
            Op::Map(Fun::And) => (Some(g.node(x).args[0]), g.node(x).args[1]),
            _ => (None, x),
        };
        let opposite = |g: &Graph, x: NodeId, y: NodeId| {
            let not = |x: NodeId, y: NodeId| g.node(x).op == Op::Map(Fun::Not) && g.node(x).args[0] == y;
            not(x, y) || not(y, x)
        };
        let ((outer, x), (other, y)) = (parts(self.g, a), parts(self.g, b));
        match () {
            () if a == b => Some(a),
            () if outer == other && opposite(self.g, x, y) => outer,
            () => Some(self.g.map2(Fun::Or, a, b)),
        }
    }

    /// May an entry be infinite or NaN although all leaves are finite? Says yes when in doubt.
    pub fn may_be_nonfinite(&mut self, id: NodeId) -> bool {
        for k in self.scratch.nonfinite.len()..=id.index() {
            let node = self.g.node(NodeId::new(k));
            let own = match node.op {
                Op::Const(n, _) => !n.get().is_finite(),
                Op::Map(fun) => grows(fun),
                Op::Reduce(Red::Max | Red::Min, _) => true,
                Op::Fiber { red: Red::Max | Red::Min, .. } => true,
                _ => false,
            };
            let may = own || node.args.iter().any(|a| self.scratch.nonfinite[a.index()]);
            self.scratch.nonfinite.push(may);
        }
        self.scratch.nonfinite[id.index()]
    }
}

/// May the function of moderate finite numbers be infinite or NaN?
fn grows(fun: Fun) -> bool {
    matches!(
        fun,
        Fun::Recip
            | Fun::Exp
            | Fun::Expm1
            | Fun::Log
            | Fun::Log1p
            | Fun::Sqrt
            | Fun::Tan
            | Fun::Pow
            | Fun::Div
            | Fun::Mod
            | Fun::IntDiv
    )
}
