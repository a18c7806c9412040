//! Library operations along one axis: sorting and what is read off it, sums and products up to each entry, transforms.
//! Law: a result has the positions of the argument.

use super::library::Call;
use super::value::{Tensor, Value};
use super::{Check, Elab, fail};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{At, Axis, Elem, Fun, LibFun, Op, TermId, Way, entries};

impl Elab<'_> {
    /// The first argument, with the axis that the operation goes along.
    pub fn along_axis(&mut self, call: &Call) -> Tensor {
        let x = &call.args[0];
        Tensor { id: self.spread(x.id, &call.groups[0], call.span), axes: x.axes.clone() }
    }

    /// The sorted values and their order.
    pub fn sorted(&mut self, call: &Call) -> Check<(Tensor, Tensor)> {
        let x = self.along_axis(call);
        let order = self.parts(call, LibFun::Sort, call.groups.clone(), std::slice::from_ref(&x))?.swap_remove(0);
        let ty = self.ty(x.id).clone();
        let op = Op::Read { of: x.id, at: vec![(call.groups[0][0], At::Term(order.id))], otherwise: None };
        let id = self.term(op, ty.elem, ty.axes, call.span);
        Ok((Tensor { id, axes: order.axes.clone() }, order))
    }

    /// The order of a tensor's entries along one of its positions.
    pub fn order_along(&mut self, x: &Tensor, axis: Axis, span: Span) -> Check<Tensor> {
        let call = Call { groups: vec![vec![axis]], args: vec![x.clone()], spans: vec![span], span };
        Ok(self.parts(&call, LibFun::Sort, call.groups.clone(), &call.args)?.swap_remove(0))
    }

    /// `x` with the axis `from` read at `to`; `outside` where that may leave it.
    pub fn read_axis(
        &mut self,
        x: &Tensor,
        from: Axis,
        to: At,
        more: &[Axis],
        outside: Option<TermId>,
        span: Span,
    ) -> TermId {
        let ty = self.ty(x.id).clone();
        let mut axes: Vec<Axis> = ty.axes.iter().copied().filter(|a| *a != from).collect();
        axes.extend_from_slice(more);
        self.term(Op::Read { of: x.id, at: vec![(from, to)], otherwise: outside }, ty.elem, axes, span)
    }

    /// The largest entries, descending, and where they stand; over the dim of their number, in the axis's place.
    pub fn top(&mut self, call: &Call, count: u64) -> Check<Value> {
        let (axis, span) = (call.groups[0][0], call.span);
        let x = self.along_axis(call);
        let size = entries(&[axis], &self.unit.dims);
        if size.is_some_and(|n| n < count) {
            let message = format!("`{}` has fewer than {count} entries", self.dim_name(axis.dim));
            return fail(Diagnostic::error(Code::G0206, span, message));
        }
        let minus = self.map1(Fun::Neg, &x, span);
        let order = self.parts(call, LibFun::Sort, call.groups.clone(), &[minus])?.swap_remove(0);
        let dim = self.number_dim(count);
        let taken = [self.ty(x.id).axes.clone(), call.own()].concat();
        let place = self.fresh_axis(dim, &taken);
        let at = At::Affine { terms: vec![(1, place)], offset: 0 };
        let (first, lowest) = (self.constant(0.0, Elem::Int, span), self.constant(f64::NEG_INFINITY, Elem::Real, span));
        let guard = |t: &Tensor| if size.is_some() { None } else { Some(t.id) };
        let index = self.read_axis(&order, axis, at, &[place], guard(&first), span);
        let read = self.ty(index).axes.clone();
        let at = At::Term(index);
        let values = self.read_axis(&x, axis, at, &read, guard(&lowest), span);
        let mut axes: Vec<Axis> = order.axes.iter().map(|a| if *a == axis { place } else { *a }).collect();
        if !axes.contains(&place) {
            axes.push(place);
        }
        let part = |id: TermId| Value::Tensor(Tensor { id, axes: axes.clone() });
        Ok(Value::Record(vec![("values".into(), part(values)), ("index".into(), part(index))]))
    }

    /// The quantile between sorted entries, by linear interpolation (the usual definition, number 7 of Hyndman and Fan).
    pub fn quantile(&mut self, call: &Call) -> Check<Value> {
        let (axis, span) = (call.groups[0][0], call.span);
        let (sorted, _) = self.sorted(call)?;
        let (two, zero) = ([span, span], self.constant(0.0, Elem::Real, span));
        let axes: Vec<Axis> = sorted.axes.iter().copied().filter(|a| *a != axis).collect();
        let last = self.apply_fun(Fun::Sub, &[Value::Dim(axis.dim), Value::Num(1.0)], &two, span)?;
        let q = call.args[1].clone();
        if self.ty(q.id).axes.contains(&axis) {
            let message = "the second argument of `quantile` is a number from 0 to 1 for each row, not for each entry";
            return fail(Diagnostic::error(Code::G0209, call.spans[1], message));
        }
        let place = self.apply_fun(Fun::Mul, &[Value::Tensor(q), last.clone()], &two, span)?;
        let low = self.apply_fun(Fun::Floor, std::slice::from_ref(&place), &[span], span)?;
        let next = self.apply_fun(Fun::Add, &[low.clone(), Value::Num(1.0)], &two, span)?;
        let high = self.apply_fun(Fun::Min, &[next, last], &two, span)?;
        let part = self.apply_fun(Fun::Sub, &[place, low.clone()], &two, span)?;
        let at = |elab: &mut Self, v: Value| -> Check<Value> {
            let place = elab.apply_fun(Fun::ToInt, &[v], &[span], span)?;
            let place = elab.tensor(&place, span)?;
            let index = elab.map1(Fun::ToInt, &place, span);
            let read = elab.ty(index.id).axes.clone();
            let id = elab.read_axis(&sorted, axis, At::Term(index.id), &read, Some(zero.id), span);
            let mut all = axes.clone();
            all.extend(index.axes.iter().copied().filter(|a| !axes.contains(a)));
            Ok(Value::Tensor(Tensor { id, axes: all }))
        };
        let (below, above) = (at(self, low)?, at(self, high)?);
        let step = self.apply_fun(Fun::Sub, &[above, below.clone()], &two, span)?;
        let step = self.apply_fun(Fun::Mul, &[part, step], &two, span)?;
        self.apply_fun(Fun::Add, &[below, step], &two, span)
    }

    /// Sums or products of all entries up to each: `h[i] = a[i]*h[i-1] + b[i]`, with `a = 1, b = x`, or with `a = x` and
    /// `b` the first entry alone.
    pub fn cumulated(&mut self, call: &Call, product: bool) -> Check<Tensor> {
        let (axis, span) = (call.groups[0][0], call.span);
        let x = self.along_axis(call);
        let args = if product {
            let (iota, zero) = (
                self.term(Op::Iota(axis), Elem::Index(axis.dim), vec![axis], span),
                self.constant(0.0, Elem::Int, span),
            );
            let first = self.term(Op::Map(Fun::Eq, vec![iota, zero.id]), Elem::Bool, vec![axis], span);
            let none = self.constant(0.0, Elem::Real, span);
            let real = self.map1(Fun::ToReal, &x, span);
            let ty = self.ty(real.id).clone();
            let b = self.term(Op::Map(Fun::Select, vec![first, real.id, none.id]), Elem::Real, ty.axes, span);
            [real.clone(), Tensor { id: b, axes: real.axes }]
        } else {
            [self.constant(1.0, Elem::Real, span), x]
        };
        let mut t = self.parts(call, LibFun::Recur(Way::Forth), call.groups.clone(), &args)?.swap_remove(0);
        // The positions are those of the argument.
        let order = &call.args[0].axes;
        t.axes.sort_by_key(|a| order.iter().position(|b| a == b).unwrap_or(order.len()));
        Ok(t)
    }

    /// Real and imaginary part of the transform, over the same dim; back: divided by the number of entries.
    pub fn fourier(&mut self, call: &Call, way: Way) -> Check<Value> {
        let (group, span) = (call.groups.clone(), call.span);
        let re = self.along_axis(call);
        let im = call.args.get(1).cloned().unwrap_or_else(|| self.constant(0.0, Elem::Real, span));
        let mut parts = self.parts(call, LibFun::Fft(way), group, &[re, im])?;
        if way == Way::Back {
            let size = self.tensor(&Value::Dim(call.groups[0][0].dim), span)?;
            for t in &mut parts {
                *t = self.map2(Fun::Div, t, &size, span)?;
            }
        }
        let [re, im] = <[Tensor; 2]>::try_from(parts).expect("two parts");
        Ok(Value::Record(vec![("re".into(), Value::Tensor(re)), ("im".into(), Value::Tensor(im))]))
    }
}
