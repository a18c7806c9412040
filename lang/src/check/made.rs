//! Sets of edges that the program computes: `edges near[u -> v] = top[5](score[u, v])`, `edges some = (from, to)`.
//! Law: a set is a dim of its own with an index array for each end, whatever its arrays were computed from.

use super::edges::EdgeSet;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, BinaryOp, EdgesDecl, Expr, ExprKind, IndexItem};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{At, Axis, Dim, DimId, Elem, End, Fun, Op, Size, SizeExpr, TermId};
use std::rc::Rc;

/// A computed set.
#[derive(Clone, Debug)]
pub struct Made {
    pub set: EdgeSet,
    /// What it was computed from: the same arrays under the same name are the same set.
    from: Vec<TermId>,
    /// Its arrays over its own dim.
    ends: Vec<(End, Tensor)>,
}

/// Source, target and what else there is of each edge, over one axis. A twin is the place of an edge, a whole number.
pub(super) type Arrays = Vec<(End, Tensor)>;

impl Elab<'_> {
    /// `edges near... = ...` in a body: the name stands for the set's dim.
    pub fn edges_stmt(&mut self, decl: &EdgesDecl, scope: &Rc<Scope>) -> Check<()> {
        let name = &decl.name;
        let Some(value) = &decl.value else {
            let message = format!("the edges `{}` come from nowhere", name.name);
            let d = Diagnostic::error(Code::G0404, decl.span, message);
            return fail(d.hint("edges that are computed have a value: `edges near[u -> v] = top[5](score[u, v])`"));
        };
        if let Some(c) = decl.condition.as_ref() {
            let message = "the number of computed edges does not depend on values";
            let d = Diagnostic::error(Code::G0301, c.span, message);
            return fail(d.hint("give the others a weight of 0, or choose by `top`"));
        }
        let arrays = match &decl.arrow {
            Some((u, v)) => self.top_edges((u, v), value, scope)?,
            None => self.edge_arrays(value, scope)?,
        };
        let dim = self.made_set(decl, arrays, scope)?;
        scope.set(&name.name, Value::Dim(dim));
        Ok(())
    }

    /// The computed set with that dim.
    pub fn made_over(&self, dim: DimId) -> Option<&Made> {
        self.made.iter().find(|m| m.set.dim == dim)
    }

    /// The index array of a computed set.
    pub fn made_end(&self, dim: DimId, end: End) -> Option<Tensor> {
        self.made_over(dim)?.ends.iter().find(|e| e.0 == end).map(|e| e.1.clone())
    }

    /// The computed sets that a name in sight stands for.
    pub fn made_in_sight(&self, scope: &Rc<Scope>) -> Vec<EdgeSet> {
        let seen = |m: &&Made| matches!(scope.get(&m.set.name), Some(Value::Dim(d)) if d == m.set.dim);
        self.made.iter().filter(seen).map(|m| m.set.clone()).collect()
    }

    /// The set of these arrays: each is read over an axis of a dim of its own.
    fn made_set(&mut self, decl: &EdgesDecl, arrays: Arrays, scope: &Rc<Scope>) -> Check<DimId> {
        let (name, span) = (decl.name.name.clone(), decl.name.span);
        let from: Vec<TermId> = arrays.iter().map(|a| a.1.id).collect();
        if let Some(known) = self.made.iter().find(|m| m.set.name == name && m.from == from) {
            return Ok(known.set.dim);
        }
        let old = arrays[0].1.axes[0];
        let size = match self.size_of(old.dim) {
            SizeExpr::Const(n) => Size::Fixed(n as u64),
            size => Size::Of(size),
        };
        let dim = self.add_dim(Dim { name: name.clone(), size, span: Some(span) });
        let own = self.fresh_axis(dim, &[]);
        let mut ends = Vec::new();
        let mut dims = Vec::new();
        for (end, t) in arrays {
            let at = At::Affine { terms: vec![(1, own)], offset: 0 };
            let id = self.read_axis(&t, old, at, &[own], None, span);
            let whole = Tensor { id, axes: vec![own] };
            let whole = if end == End::Twin { self.edge_at(dim, &whole, span) } else { whole };
            let Elem::Index(d) = self.elem(&whole) else { unreachable!("looked at when it was read") };
            dims.push(d);
            ends.push((end, whole));
        }
        let end = |end: End| ends.iter().position(|e| e.0 == end).map(|k| dims[k]);
        let set = EdgeSet { name, dim, src: dims[0], dst: dims[1], by: end(End::Type), of: end(End::Of), span };
        self.declared_ends(decl, &set, scope)?;
        self.made.push(Made { set, from, ends });
        Ok(dim)
    }

    /// The edges of a set that stand at these places.
    fn edge_at(&mut self, dim: DimId, places: &Tensor, span: Span) -> Tensor {
        let edge = self.fresh_axis(dim, &places.axes);
        let id = self.term(Op::Iota(edge), Elem::Index(dim), vec![edge], span);
        let all = Tensor { id, axes: vec![edge] };
        let id = self.read_axis(&all, edge, At::Term(places.id), &places.axes, None, span);
        Tensor { id, axes: places.axes.clone() }
    }

    /// The place of each edge of a set, as a whole number, and so many more.
    fn places(&mut self, axis: Axis, more: &Tensor, span: Span) -> Tensor {
        let iota = self.term(Op::Iota(axis), Elem::Index(axis.dim), vec![axis], span);
        let number = self.term(Op::Map(Fun::ToInt, vec![iota]), Elem::Int, vec![axis], span);
        self.map_aligned(Fun::Add, &[Tensor { id: number, axes: vec![axis] }, more.clone()], vec![axis], span)
    }

    /// Ends that are written down are those that were computed.
    fn declared_ends(&mut self, decl: &EdgesDecl, set: &EdgeSet, scope: &Rc<Scope>) -> Check<()> {
        let Some((src, dst)) = &decl.ends else { return Ok(()) };
        let written = [Some(src), Some(dst), decl.by.as_ref()].into_iter().zip([Some(set.src), Some(set.dst), set.by]);
        for (e, found) in written {
            let Some(e) = e else { continue };
            let v = self.eval(e, scope)?;
            if Some(self.dim(&v, e.span)?) != found {
                let found = found.map_or("nothing".to_string(), |d| self.dim_name(d));
                let message = format!("the edges `{}` hold indices of `{found}` here", set.name);
                let d = Diagnostic::error(Code::G0201, e.span, message);
                return fail(d.hint("`edges name: source -> target by type`"));
            }
        }
        Ok(())
    }

    /// `(from, to)`, `(from, to, type)`, `reverse(near)`, `near + loops(node)`.
    fn edge_arrays(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<Arrays> {
        match &*e.kind {
            ExprKind::Tuple(parts) if (2..=3).contains(&parts.len()) => self.written_arrays(parts, scope),
            ExprKind::Name { .. } => {
                let v = self.eval(e, scope)?;
                let set = match v {
                    Value::Dim(d) => self.edges_over(d),
                    _ => None,
                };
                let Some(set) = set else { return fail(no_computed_edges(e)) };
                // Whether the edges of data have twins is known only when they are read.
                let there = |end: &End| match end {
                    End::Twin => self.made_end(set.dim, End::Twin).is_some(),
                    end => set.end(*end).is_some(),
                };
                let ends: Vec<End> = End::ALL.into_iter().filter(there).collect();
                ends.into_iter().map(|end| Ok((end, self.edge_array(&set, end, e.span)?))).collect()
            }
            ExprKind::Binary(BinaryOp::Add, a, b) => {
                let (x, y) = (self.edge_arrays(a, scope)?, self.edge_arrays(b, scope)?);
                self.both_sets(x, y, (a.span, b.span), e.span)
            }
            ExprKind::Call(f, args) => match (&*f.kind, &args[..]) {
                (ExprKind::Name { name, .. }, [arg]) if name == "reverse" => {
                    let mut arrays = self.edge_arrays(&arg.value, scope)?;
                    arrays.swap(0, 1);
                    (arrays[0].0, arrays[1].0) = (End::Src, End::Dst);
                    Ok(arrays)
                }
                (ExprKind::Name { name, .. }, [arg]) if name == "loops" => {
                    let v = self.eval(&arg.value, scope)?;
                    let dim = self.dim(&v, arg.value.span)?;
                    let axis = self.fresh_axis(dim, &[]);
                    let id = self.term(Op::Iota(axis), Elem::Index(dim), vec![axis], e.span);
                    let same = Tensor { id, axes: vec![axis] };
                    let zero = self.constant(0.0, Elem::Int, e.span);
                    let twin = self.places(axis, &zero, e.span);
                    Ok(vec![(End::Src, same.clone()), (End::Dst, same), (End::Twin, twin)])
                }
                _ => fail(no_computed_edges(e)),
            },
            ExprKind::SampleOf { count, set, .. } => self.sampled_edges(count, set, e.span, scope),
            _ => fail(no_computed_edges(e)),
        }
    }

    fn written_arrays(&mut self, parts: &[Expr], scope: &Rc<Scope>) -> Check<Arrays> {
        let mut arrays: Arrays = Vec::new();
        for (part, end) in parts.iter().zip(End::ALL) {
            let t = self.eval_tensor(part, scope)?;
            if t.axes.len() != 1 || !matches!(self.elem(&t), Elem::Index(_)) {
                let message = format!("an end of edges is an index for each edge, this is `{}`", self.shown(&t));
                let d = Diagnostic::error(Code::G0205, part.span, message);
                return fail(d.hint("for example `from: node[pair]`, `argmax[node](score)`"));
            }
            let mut own = t.clone();
            if let Some((_, first)) = arrays.first() {
                if first.axes[0].dim != t.axes[0].dim {
                    let message = format!("the ends `{}` and `{}` differ in length", self.shown(first), self.shown(&t));
                    let d = Diagnostic::error(Code::G0201, part.span, message).label(parts[0].span, "the first end");
                    return fail(d.hint("all ends go over the same dim, one entry an edge"));
                }
                own = self.rename(&t, &[(t.axes[0], first.axes[0])], part.span);
            }
            arrays.push((end, own));
        }
        Ok(arrays)
    }

    /// One set after the other.
    fn both_sets(&mut self, x: Arrays, y: Arrays, spans: (Span, Span), span: Span) -> Check<Arrays> {
        let twins = self.both_twins(&x, &y, spans, span)?;
        // Which edge one was drawn from is not known of the others.
        let [x, y] =
            [x, y].map(|all| all.into_iter().filter(|a| !matches!(a.0, End::Of | End::Twin)).collect::<Arrays>());
        let elems = |elab: &Self, a: &Arrays| a.iter().map(|t| elab.elem(&t.1)).collect::<Vec<Elem>>();
        if elems(self, &x) != elems(self, &y) {
            let shown = |elab: &Self, a: &Arrays| a.iter().map(|t| elab.shown(&t.1)).collect::<Vec<_>>().join(" -> ");
            let d = Diagnostic::error(Code::G0201, span, "edges are joined that do not go between the same dims");
            let d = d.label(spans.0, shown(self, &x)).label(spans.1, shown(self, &y));
            return fail(d.hint("both sides need the same source, target and types"));
        }
        let mut joined = Vec::new();
        for ((end, a), (_, b)) in x.into_iter().zip(y) {
            let both = self.concat(None, &[Value::Tensor(a), Value::Tensor(b)], &[spans.0, spans.1], span)?;
            joined.push((end, self.tensor(&both, span)?));
        }
        joined.extend(twins.map(|t| (End::Twin, t)));
        let to = joined[0].1.axes[0];
        Ok(joined.into_iter().map(|(end, t)| (end, self.rename(&t, &[(t.axes[0], to)], span))).collect())
    }

    /// The twins of two sets one after the other: where the second is the reverse of the first, each edge has its own;
    /// where both have twins, these.
    fn both_twins(&mut self, x: &Arrays, y: &Arrays, spans: (Span, Span), span: Span) -> Check<Option<Tensor>> {
        let of = |a: &Arrays, end: End| a.iter().find(|e| e.0 == end).map(|e| e.1.clone());
        let id = |a: &Arrays, end: End| of(a, end).map(|t| t.id);
        let [known_x, known_y] = [x, y].map(|a| of(a, End::Twin).map(|t| self.map1(Fun::ToInt, &t, span)));
        let reversed = id(x, End::Src) == id(y, End::Dst)
            && id(x, End::Dst) == id(y, End::Src)
            && id(x, End::Type) == id(y, End::Type);
        let (first, second) = (x[0].1.axes[0], y[0].1.axes[0]);
        let zero = self.constant(0.0, Elem::Int, span);
        let count = self.term(Op::Size(first.dim), Elem::Real, vec![], span);
        let count = self.map1(Fun::ToInt, &Tensor { id: count, axes: vec![] }, span);
        let (a, b) = match (reversed, known_x, known_y) {
            (true, ..) => (self.places(first, &count, span), self.places(second, &zero, span)),
            (false, Some(a), Some(b)) => (a, self.map_aligned(Fun::Add, &[b.clone(), count], b.axes, span)),
            _ => return Ok(None),
        };
        let both = self.concat(None, &[Value::Tensor(a), Value::Tensor(b)], &[spans.0, spans.1], span)?;
        self.tensor(&both, span).map(Some)
    }

    /// `near[u -> v] = top[5 | u != v](score[u, v])`: for each target the sources with the largest scores. The edges of a
    /// target stand one after the other, the best first.
    fn top_edges(&mut self, arrow: (&IndexItem, &IndexItem), value: &Expr, scope: &Rc<Scope>) -> Check<Arrays> {
        let Some((count, guard, score)) = top_of(value) else {
            let d = Diagnostic::error(Code::G0301, value.span, "`name[u -> v]` chooses edges by their scores");
            return fail(d.hint("`edges near[u -> v] = top[5 | u != v](score[u, v])`"));
        };
        let k = self.eval(count, scope)?;
        let k = self.static_count(&k, count.span)?;
        let bodies: Vec<&Expr> = std::iter::once(score).chain(guard).collect();
        let vars = self.bind_vars(&[arrow.0.clone(), arrow.1.clone()], &bodies, scope)?;
        let (source, target) = (vars[0].1, vars[1].1);
        let inner = Scope::inside(scope);
        for (name, axis) in &vars {
            let iota = self.iota(*axis, value.span);
            inner.set(name, Value::Tensor(iota));
        }
        let span = value.span;
        let best = self.within(&[source, target], |elab| {
            let t = elab.eval_tensor(score, &inner)?;
            if !t.axes.is_empty() {
                let message = format!("a score is one number for each pair, this is `{}`", elab.shown(&t));
                let d = Diagnostic::error(Code::G0208, score.span, message);
                return fail(d.hint("reduce it: `-sum[k]((p[u, k] - p[v, k])^2)`"));
            }
            let t = match guard {
                Some(g) => {
                    let holds = elab.eval_tensor(g, &inner)?;
                    let lowest = elab.constant(f64::NEG_INFINITY, Elem::Real, span);
                    let real = elab.map1(Fun::ToReal, &t, span);
                    elab.map_aligned(Fun::Select, &[holds, real, lowest], vec![], span)
                }
                None => t,
            };
            let id = elab.spread(t.id, &[source, target], span);
            elab.best_sources(&Tensor { id, axes: vec![] }, source, k, span)
        })?;
        Ok(self.laid_out(&[(End::Src, best.0)], best.1, target, k, span))
    }

    /// For each target the `k` best sources, over an axis of that size.
    fn best_sources(&mut self, score: &Tensor, source: Axis, k: u64, span: Span) -> Check<(TermId, Axis)> {
        let t = Tensor { id: score.id, axes: vec![source] };
        let call = super::library::Call { groups: vec![vec![source]], args: vec![t], spans: vec![span], span };
        let Value::Record(fields) = self.top(&call, k)? else { unreachable!("values and indices") };
        let Value::Tensor(index) = &fields[1].1 else { unreachable!("indices are a tensor") };
        Ok((index.id, index.axes[0]))
    }

    /// Index arrays over (target, place) as arrays over `k * target` edges, with the targets behind the first.
    pub(super) fn laid_out(
        &mut self,
        arrays: &[(End, TermId)],
        place: Axis,
        target: Axis,
        k: u64,
        span: Span,
    ) -> Arrays {
        let k_size = Box::new(SizeExpr::Const(k as i64));
        let size = match self.size_of(target.dim) {
            SizeExpr::Const(n) => SizeExpr::Const(n * k as i64),
            size => SizeExpr::Mul(k_size, Box::new(size)),
        };
        let dim = self.size_dim(size);
        let mut taken: Vec<Axis> = arrays.iter().flat_map(|a| self.ty(a.1).axes.clone()).collect();
        taken.push(target);
        let edge = self.fresh_axis(dim, &taken);
        let number = self.term(Op::Iota(edge), Elem::Index(dim), vec![edge], span);
        let k = self.constant(k as f64, Elem::Int, span);
        let [row, within] =
            [Fun::IntDiv, Fun::Mod].map(|f| self.term(Op::Map(f, vec![number, k.id]), Elem::Int, vec![edge], span));
        let plain = |id: TermId| Tensor { id, axes: vec![] };
        let mut out = Vec::new();
        for (end, id) in arrays {
            let of = self.read_axis(&plain(*id), target, At::Term(row), &[edge], None, span);
            let of = self.read_axis(&plain(of), place, At::Term(within), &[edge], None, span);
            out.push((*end, Tensor { id: of, axes: vec![edge] }));
        }
        let iota = self.term(Op::Iota(target), Elem::Index(target.dim), vec![target], span);
        let dst = self.read_axis(&plain(iota), target, At::Term(row), &[edge], None, span);
        out.insert(1, (End::Dst, Tensor { id: dst, axes: vec![edge] }));
        out
    }
}

/// The number, the guard and the score of `top[5 | u != v](score[u, v])`.
pub fn top_of(e: &Expr) -> Option<(&Expr, Option<&Expr>, &Expr)> {
    let ExprKind::Call(f, args) = &*e.kind else { return None };
    let ExprKind::Bracket(base, items, guard) = &*f.kind else { return None };
    let ExprKind::Name { name, .. } = &*base.kind else { return None };
    match (name.as_str(), &items[..], &args[..]) {
        ("top", [IndexItem::Expr(k)], [Arg { value, .. }]) => Some((k, guard.as_ref(), value)),
        _ => None,
    }
}

fn no_computed_edges(e: &Expr) -> Diagnostic {
    Diagnostic::error(Code::G0301, e.span, "these are no edges").hint(
        "edges are computed as `near[u -> v] = top[5](score[u, v])`, from index arrays `(from, to)`, or from other edges: `reverse(near)`, `near + loops(node)`",
    )
}
