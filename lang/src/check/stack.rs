//! Tensors made of parts: `[a, b, c]` and `concat[dim](a, b)`.

use super::value::{Tensor, Value};
use super::{Check, Elab, fail};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{At, Axis, DimId, Elem, Fun, Op, Size, SizeExpr};

impl Elab<'_> {
    /// `[a, b, c]`: equal types over the dim `3`; records and trees part by part. Functions and nets make a list, which
    /// `for` walks over.
    pub fn stack(&mut self, parts: &[Value], spans: &[Span], span: Span) -> Check<Value> {
        if parts.is_empty() {
            return fail(Diagnostic::error(Code::G0305, span, "an empty list has no type"));
        }
        let callable = |v: &Value| {
            matches!(v, Value::Fn(_) | Value::Lambda(_) | Value::Builtin(_) | Value::Net(_) | Value::Instance(_))
        };
        if parts.iter().any(|v| callable(v) && !matches!(v, Value::Instance(_))) && parts.iter().all(callable) {
            return Ok(Value::Tuple(parts.to_vec()));
        }
        self.together(parts, span, &mut |elab, parts| elab.stack_tensors(parts, spans, span))
    }

    fn stack_tensors(&mut self, parts: &[Value], spans: &[Span], span: Span) -> Check<Value> {
        let (parts, axes) = self.alike(parts, spans)?;
        let dim = self.number_dim(parts.len() as u64);
        let axis = self.outer_axis(dim, &axes, &parts);
        let iota = self.term(Op::Iota(axis), Elem::Index(dim), vec![axis], span);
        let elem = self.elem(&parts[0]);
        let mut so_far = parts[parts.len() - 1].id;
        for (k, part) in parts.iter().enumerate().rev().skip(1) {
            let number = self.constant(k as f64, Elem::Int, span);
            let here = self.term(Op::Map(Fun::Eq, vec![iota, number.id]), Elem::Bool, vec![axis], span);
            let mut all = self.ty(part.id).axes.clone();
            all.extend(self.ty(so_far).axes.iter().copied());
            all.push(axis);
            so_far = self.term(Op::Map(Fun::Select, vec![here, part.id, so_far]), elem, all, span);
        }
        let id = self.spread(so_far, &[axis], span);
        Ok(Value::Tensor(Tensor { id, axes: std::iter::once(axis).chain(axes).collect() }))
    }

    /// Parts of one type: aligned, spread over the union of their positions, and of one element type.
    fn alike(&mut self, parts: &[Value], spans: &[Span]) -> Check<(Vec<Tensor>, Vec<Axis>)> {
        let tensors: Check<Vec<Tensor>> = parts.iter().zip(spans).map(|(v, s)| self.tensor(v, *s)).collect();
        let mut tensors = tensors?;
        let mut whole = tensors[0].clone();
        for k in 1..tensors.len() {
            let (part, union) = self.align(&whole, &tensors[k], (spans[0], spans[k]))?;
            if union.len() != tensors[0].axes.len() || part.axes.len() != union.len() {
                let message =
                    format!("the parts differ: `{}` and `{}`", self.shown(&tensors[0]), self.shown(&tensors[k]));
                let d = Diagnostic::error(Code::G0201, spans[0].to(spans[k]), message);
                return fail(
                    d.label(spans[0], self.shown(&tensors[0]))
                        .label(spans[k], self.shown(&tensors[k]))
                        .hint("all parts have the same dims"),
                );
            }
            tensors[k] = part;
            whole.axes = union;
        }
        if tensors.iter().any(|t| self.elem(t) != self.elem(&tensors[0])) {
            for (t, s) in tensors.iter_mut().zip(spans) {
                *t = if self.elem(t) == Elem::Real { t.clone() } else { self.map1(Fun::ToReal, t, *s) };
            }
        }
        Ok((tensors, whole.axes))
    }

    /// An axis that none of the parts has, with or without a position.
    fn outer_axis(&self, dim: DimId, axes: &[Axis], parts: &[Tensor]) -> Axis {
        let mut taken = axes.to_vec();
        taken.extend(parts.iter().flat_map(|t| self.ty(t.id).axes.clone()));
        self.fresh_axis(dim, &taken)
    }

    /// `concat[channel](a, b)`: one after the other along a dim that may differ in size. The parts may have other dims
    /// at that place: without a dim the first position of each is joined.
    pub fn concat(&mut self, dim: Option<DimId>, parts: &[Value], spans: &[Span], span: Span) -> Check<Value> {
        let mut tensors = Vec::new();
        for (v, s) in parts.iter().zip(spans) {
            tensors.push(self.tensor(v, *s)?);
        }
        let Some(first) = tensors.first() else {
            return fail(Diagnostic::error(Code::G0301, span, "`concat` joins one tensor or more"));
        };
        let place = match dim {
            None => Some(0),
            Some(d) => first.axes.iter().position(|a| a.dim == d),
        };
        let Some(place) = place.filter(|p| *p < first.axes.len()) else {
            let message = format!("`{}` has no dim to join along", self.shown(first));
            return fail(Diagnostic::error(Code::G0210, spans[0], message).hint("name one of its dims"));
        };
        for (t, s) in tensors.iter().zip(spans) {
            let other = |k: usize| t.axes.get(k).map(|a| a.dim) != first.axes.get(k).map(|a| a.dim);
            if t.axes.len() != first.axes.len() || (0..t.axes.len()).any(|k| k != place && other(k)) {
                let message = format!("`{}` and `{}` cannot be joined", self.shown(first), self.shown(t));
                return fail(
                    Diagnostic::error(Code::G0201, *s, message).hint("the dims that are not joined are the same"),
                );
            }
        }
        let sizes: Vec<SizeExpr> = tensors.iter().map(|t| self.size_of(t.axes[place].dim)).collect();
        let total = sizes.iter().cloned().reduce(added).expect("there is one part or more");
        let dim = self.size_dim(total);
        self.joined(&tensors, place, dim, &sizes, span)
    }

    /// The size of a dim as an expression.
    pub(super) fn size_of(&self, dim: DimId) -> SizeExpr {
        match self.unit.dims[dim.index()].size {
            Size::Fixed(n) => SizeExpr::Const(n as i64),
            _ => SizeExpr::Dim(dim),
        }
    }

    /// Reads each part at its offset, the next one outside it.
    fn joined(&mut self, parts: &[Tensor], place: usize, dim: DimId, sizes: &[SizeExpr], span: Span) -> Check<Value> {
        let rest: Vec<Axis> = parts[0].axes.iter().copied().filter(|a| *a != parts[0].axes[place]).collect();
        let axis = self.outer_axis(dim, &rest, parts);
        let real = parts.iter().any(|t| self.elem(t) != self.elem(&parts[0]));
        let mut offsets = vec![SizeExpr::Const(0)];
        for size in &sizes[..sizes.len() - 1] {
            offsets.push(added(offsets[offsets.len() - 1].clone(), size.clone()));
        }
        let mut so_far: Option<crate::program::TermId> = None;
        for (part, offset) in parts.iter().zip(&offsets).rev() {
            let others = part.axes.iter().enumerate().filter(|(k, _)| *k != place).map(|(_, a)| *a);
            let names: Vec<(Axis, Axis)> = others.zip(rest.iter().copied()).collect();
            let from = part.axes[place];
            let t = self.rename(part, &names, span);
            let t = if real && self.elem(&t) != Elem::Real { self.map1(Fun::ToReal, &t, span) } else { t };
            let elem = self.elem(&t);
            let outside = match so_far {
                Some(id) => id,
                None => self.constant(0.0, elem, span).id,
            };
            let mut axes = self.ty(t.id).axes.clone();
            axes.retain(|a| *a != from);
            axes.push(axis);
            axes.extend(self.ty(outside).axes.iter().copied());
            let at = match offset {
                SizeExpr::Const(n) => At::Affine { terms: vec![(1, axis)], offset: -n },
                // Behind a part of an open size: the place less that size, computed.
                size => {
                    let start = self.size_dim(size.clone());
                    let start = self.tensor(&Value::Dim(start), span)?;
                    let start = self.map1(Fun::ToInt, &start, span);
                    let place = self.iota(axis, span);
                    At::Term(self.map_aligned(Fun::Sub, &[place, start], vec![], span).id)
                }
            };
            let at = vec![(from, at)];
            so_far = Some(self.term(Op::Read { of: t.id, at, otherwise: Some(outside) }, elem, axes, span));
        }
        let mut axes = rest;
        axes.insert(place, axis);
        Ok(Value::Tensor(Tensor { id: so_far.expect("there is one part or more"), axes }))
    }
}

fn added(a: SizeExpr, b: SizeExpr) -> SizeExpr {
    match (&a, &b) {
        (SizeExpr::Const(x), SizeExpr::Const(y)) => SizeExpr::Const(x + y),
        _ => SizeExpr::Add(Box::new(a), Box::new(b)),
    }
}
