//! Families: independent instances of a net over a dim (`net f[worker] = mlp(64)`).
//! Law: a parameter of a family has the family's axes in front; inside a body each of these axes stands at one member.

use super::value::{Instance, Member, Scope, Tensor, Value};
use super::{Check, Elab, Mode, fail};
use crate::ast::IndexItem;
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{At, Axis, DimId, Elem, Op};
use std::rc::Rc;

/// What running a net's body gives.
pub struct Ran {
    pub value: Value,
    /// The equations of the body.
    pub scope: Rc<Scope>,
    /// Axes of a whole family: what is read from the scope gets them as positions.
    pub axes: Vec<Axis>,
}

impl<'a> Elab<'a> {
    /// `f[k]`: one member of a family; fewer indices than dims leave the others whole.
    pub fn member(
        &mut self,
        instance: &Rc<Instance>,
        items: &[IndexItem],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let open = instance.open_dims().len();
        if items.len() > open {
            let message = format!("{} indices, but the family goes over {open} dim(s)", items.len());
            return fail(Diagnostic::error(Code::G0207, span, message));
        }
        let mut chosen = (**instance).clone();
        let first = chosen.family.len() - open;
        for (k, item) in items.iter().enumerate() {
            let IndexItem::Expr(e) = item else {
                let d = Diagnostic::error(Code::G0104, span, "a member of a family is chosen by an index");
                return fail(d.hint("`f[k](x)` in index notation, `f(x)` for all of them"));
            };
            let v = self.eval(e, scope).map_err(super::index::unbound)?;
            let t = match &v {
                Value::Num(x) => self.constant(*x, Elem::Int, e.span),
                other => self.tensor(other, e.span)?,
            };
            self.is_member(&v, &t, chosen.family[first + k].dim, e.span)?;
            chosen.family[first + k].at = Some(t);
        }
        Ok(Value::Instance(Rc::new(chosen)))
    }

    /// Is that the index of a member, proved to be one?
    fn is_member(&self, v: &Value, t: &Tensor, dim: DimId, span: Span) -> Check<()> {
        if !t.axes.is_empty() {
            let message = format!("a member is chosen by one whole number, this is `{}`", self.shown(t));
            let d = Diagnostic::error(Code::G0208, span, message);
            return fail(d.hint("in index notation: `y[n] = f[k[n]](x[n])`"));
        }
        let whole = match v {
            Value::Num(x) => x.fract() == 0.0,
            _ => matches!(self.elem(t), Elem::Int | Elem::Index(_)),
        };
        if !whole {
            let message = format!("an index is a whole number, this is `{}`", self.shown(t));
            return fail(Diagnostic::error(Code::G0205, span, message));
        }
        if !self.range(t.id).within(&self.size_form(dim)) {
            let message = format!("this index may fall outside the family's dim `{}`", self.dim_name(dim));
            return fail(Diagnostic::error(Code::G0206, span, message).hint("choose by an index of that dim"));
        }
        Ok(())
    }

    /// All members at once: each on its part of the arguments that carry the family's axes.
    pub fn run_family(&mut self, instance: &Rc<Instance>, pairs: Vec<(String, Value, Span)>, span: Span) -> Check<Ran> {
        let (all, axes) = self.whole(instance, span);
        let run = self.within(&axes, |elab| {
            let mut own = Vec::new();
            for (name, value, at) in pairs {
                let value = if elab.sample_tensor(&value).is_none() {
                    value
                } else {
                    elab.each_tensor(&value, at, &mut |elab, t| Ok(elab.of_member(t, &axes, at)))?
                };
                own.push((name, value, at));
            }
            elab.run_net(&Rc::new(all), own, span)
        })?;
        let value = self.each_tensor(&run.value, span, &mut |elab, t| Ok(elab.close_over(&axes, t, span)))?;
        Ok(Ran { value, scope: run.scope, axes })
    }

    /// The instance at a new index variable for each open dim, and the variables' axes.
    fn whole(&mut self, instance: &Instance, span: Span) -> (Instance, Vec<Axis>) {
        let mut axes: Vec<Axis> = Vec::new();
        let mut all = instance.clone();
        for member in all.family.iter_mut().filter(|m| m.at.is_none()) {
            let axis = self.fresh_axis(member.dim, &axes);
            axes.push(axis);
            member.at = Some(self.iota(axis, span));
        }
        (all, axes)
    }

    /// An argument as one member sees it: without the family's axes.
    fn of_member(&mut self, t: &Tensor, axes: &[Axis], span: Span) -> Tensor {
        let mut t = self.clear_of_active(t, span);
        for axis in axes {
            if let Some(k) = t.axes.iter().position(|a| a.dim == axis.dim) {
                t = self.rename(&t, &[(t.axes[k], *axis)], span);
                t.axes.remove(k);
            }
        }
        t
    }

    /// The tensor at members of its first axes.
    pub fn pick(&mut self, t: &Tensor, members: &[Tensor], span: Span) -> Tensor {
        if members.is_empty() {
            return t.clone();
        }
        let (first, rest) = t.axes.split_at(members.len());
        let ty = self.ty(t.id).clone();
        let mut at = Vec::new();
        let mut axes: Vec<Axis> = ty.axes.iter().copied().filter(|a| !t.axes.contains(a)).collect();
        for (axis, member) in first.iter().zip(members) {
            let to = match self.unit.terms[member.id.index()].op {
                Op::Iota(a) => At::Affine { terms: vec![(1, a)], offset: 0 },
                Op::Const(x) => At::Affine { terms: vec![], offset: x as i64 },
                _ => At::Term(member.id),
            };
            axes.extend(self.ty(member.id).axes.iter().copied());
            at.push((*axis, to));
        }
        // What stays steps aside where an index variable has its name.
        let mut positions = Vec::new();
        for axis in rest {
            let own = if axes.contains(axis) || self.active.contains(axis) {
                let taken: Vec<Axis> = axes.iter().chain(rest).chain(&positions).copied().collect();
                self.fresh_axis(axis.dim, &taken)
            } else {
                *axis
            };
            if own != *axis {
                at.push((*axis, At::Affine { terms: vec![(1, own)], offset: 0 }));
            }
            positions.push(own);
        }
        axes.extend(positions.iter().copied());
        at.retain(|(from, to)| !matches!(to, At::Affine { terms, offset: 0 } if *terms == [(1, *from)]));
        if at.is_empty() {
            return Tensor { id: t.id, axes: positions };
        }
        let id = self.term(Op::Read { of: t.id, at, otherwise: None }, ty.elem, axes, span);
        Tensor { id, axes: positions }
    }

    /// Runs something for the parameters that it brings into being, and forgets the rest of what it did.
    pub fn first_look<T>(&mut self, f: impl FnOnce(&mut Elab<'a>) -> Check<T>) -> Check<T> {
        let (frames, passed, names) = (self.frames.clone(), self.passed_sites.clone(), self.unit.names.len());
        let mode = Mode { advance: false, ..self.mode.clone() };
        let done = self.in_mode(mode, f);
        self.frames = frames;
        self.passed_sites = passed;
        self.unit.names.truncate(names);
        done
    }

    /// Brings the parameters of all members into being, where one member is called first.
    pub fn open_family(&mut self, instance: &Rc<Instance>, pairs: &[(String, Value, Span)], span: Span) -> Check<()> {
        let variable = |t: &Tensor| matches!(self.unit.terms[t.id.index()].op, Op::Iota(_));
        let single = instance.family.iter().all(|m| m.at.as_ref().is_some_and(variable));
        if single || !self.looked.insert(instance.path.clone()) {
            return Ok(());
        }
        let open = instance.family.iter().map(|m| Member { dim: m.dim, at: None }).collect();
        let open = Instance { family: open, ..(**instance).clone() };
        let (all, axes) = self.whole(&open, span);
        let pairs = pairs.to_vec();
        self.first_look(|elab| elab.within(&axes, |elab| elab.run_net(&Rc::new(all), pairs, span)))?;
        Ok(())
    }
}
