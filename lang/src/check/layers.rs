//! Blocks repeated over a dim: `for l in layer { x' = block(8)(x) }`. A parameter of the block has the dim's axis in front.
//! Law: unrolled or not, a loop over a dim has the same parameters and, but for rounding and draws, the same values.
//!
//! One or two turns are unrolled. More of them, or as many as the run says, are one loop that is compiled once, whatever
//! its length, and whose backward pass computes a turn again from what entered it. Measured on residual blocks of width 128
//! (batch 64, 4 to 16 turns), the loop takes 0.33 to 1.1 of the time of its unrolling and a fourteenth to a half of its
//! compile time: it stays in the cache, and the turns' parameters are updated by one kernel.

use super::repeat::{Carried, Repeat};
use super::value::{Member, Scope, Tensor, Value};
use super::{Check, Elab, Frame, fail};
use crate::ast::{Expr, Ident, Let, LoopExpr, LoopKind, Stmt, Target};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{DimId, Elem, LoopPart, Op, Size, StateId};
use std::rc::Rc;

/// Turns up to which a loop over a dim is unrolled, unless the options say otherwise.
pub const FEW_TURNS: u64 = 2;

/// The next value of a net's state that one turn of a loop computes for its own member.
#[derive(Clone, Debug)]
pub struct LateNext {
    pub state: StateId,
    /// Over the axes of one member, and the loop's.
    pub next: Tensor,
    /// The members at work.
    pub members: Vec<Tensor>,
    pub span: Span,
}

impl Elab<'_> {
    /// `for l in layer { ... }`.
    pub fn layers(&mut self, var: &Ident, dim: DimId, body: &[Stmt], span: Span, scope: &Rc<Scope>) -> Check<()> {
        let states = self.carried_by(body, scope);
        match self.unit.dims[dim.index()].size {
            // What is no tensor, and what carries nothing, has turns that are known only one by one.
            Size::Fixed(n) if n <= self.options.unroll || states.is_empty() => {
                self.unrolled_layers(var, (dim, n), body, scope)
            }
            _ if states.is_empty() => {
                let name = self.dim_name(dim);
                let d = Diagnostic::error(Code::G0301, span, format!("this loop over `{name}` carries no tensor"));
                fail(d.hint("give one a next value in it, `x' = x + linear(8)(x)`; or give the dim its size"))
            }
            _ => self.looped_layers(var, dim, body, states, span, scope),
        }
    }

    /// What the loop carries, with the values before it: names that are primed in the body and are no states of nets.
    /// Nothing if one of them is neither a tensor nor a tree.
    fn carried_by(&self, body: &[Stmt], scope: &Rc<Scope>) -> Vec<Carried> {
        let mut carried: Vec<Carried> = Vec::new();
        for stmt in body {
            let Stmt::Let(l) = stmt else { continue };
            for t in l.targets.iter().filter(|t| t.primed) {
                let name = &t.name.name;
                if carried.iter().any(|c| c.name.name == *name) || is_state(name, body, scope) {
                    continue;
                }
                let Some(first) = scope.get(name).filter(|v| {
                    let number = matches!(v, Value::Num(_) | Value::Hyper(..) | Value::Dim(_) | Value::Truth(_));
                    number || matches!(v, Value::Tensor(_) | Value::Tree(_))
                }) else {
                    return Vec::new();
                };
                carried.push(Carried { name: t.name.clone(), first, span: t.name.span });
            }
        }
        carried
    }

    /// All turns, one after the other.
    fn unrolled_layers(
        &mut self,
        var: &Ident,
        (dim, turns): (DimId, u64),
        body: &[Stmt],
        scope: &Rc<Scope>,
    ) -> Check<()> {
        // The members' parameters come into being together, with the variable as an index.
        let frame = self.frames.last().cloned().unwrap_or_default();
        let axis = self.fresh_axis(dim, &[]);
        let iota = self.iota(axis, var.span);
        self.first_look(|elab| {
            let inner = Scope::inside(scope);
            inner.set(&var.name, Value::Tensor(iota.clone()));
            elab.within(&[axis], |elab| elab.layer(&iota, dim, body, &inner, &inner))
        })?;
        for k in 0..turns {
            let passed = self.frames.last().map(|f| f.passed.clone());
            let inner = Scope::inside(scope);
            inner.set(&var.name, Value::Num(k as f64));
            let at = self.constant(k as f64, Elem::Int, var.span);
            self.layer(&at, dim, body, &inner, scope)?;
            if let (Some(f), Some(passed)) = (self.frames.last_mut(), passed)
                && k + 1 < turns
            {
                f.passed = passed;
            }
        }
        if let Some(f) = self.frames.last_mut() {
            f.family = frame.family;
        }
        Ok(())
    }

    /// One loop, whose step is the block at the index of the turn.
    fn looped_layers(
        &mut self,
        var: &Ident,
        dim: DimId,
        body: &[Stmt],
        states: Vec<Carried>,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<()> {
        let names: Vec<Ident> = states.iter().map(|s| s.name.clone()).collect();
        let ast = LoopExpr {
            kind: LoopKind::Iterate,
            over: Some((var.clone(), Expr::name(&var.name, var.span))),
            count: None,
            condition: None,
            until: false,
            max: None,
            by: None,
            from: vec![],
            body: body.to_vec(),
        };
        let value = self.repeat_over(&ast, dim, states, true, span, scope)?;
        let parts = match value {
            Value::Record(fields) => fields.into_iter().map(|f| f.1).collect(),
            one => vec![one],
        };
        for (name, part) in names.iter().zip(parts) {
            scope.set(&name.name, part);
        }
        Ok(())
    }

    /// One turn: call sites inside are members of families over the dim.
    fn layer(&mut self, at: &Tensor, dim: DimId, body: &[Stmt], inner: &Rc<Scope>, outer: &Rc<Scope>) -> Check<()> {
        let before = self.enter_member(dim, at);
        let done = self.turn_of_loop(body, inner, outer, true);
        self.leave_member(before);
        done
    }

    /// From here on what is called belongs to a member of a family over the dim.
    pub(super) fn enter_member(&mut self, dim: DimId, at: &Tensor) -> Vec<Member> {
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
        }
        let frame = self.frames.last_mut().expect("there is one now");
        let before = frame.family.clone();
        frame.family.push(Member { dim, at: Some(at.clone()) });
        before
    }

    /// The families that were at work before.
    pub(super) fn leave_member(&mut self, before: Vec<Member>) {
        self.frames.last_mut().expect("entered").family = before;
    }

    /// The values on the right of an equation, each with its name on the left.
    pub(super) fn next_values<'t>(&mut self, l: &'t Let, inner: &Rc<Scope>) -> Check<Vec<(&'t Target, Value)>> {
        let v = self.let_value(l, inner)?;
        let next = Scope::inside(inner);
        self.bind(&l.targets, v, l.span, &next)?;
        let value = |t: &Target| next.own(&t.name.name).expect("it was just bound");
        Ok(l.targets.iter().map(|t| (t, value(t))).collect())
    }

    /// One turn of an unrolled loop: what is primed carries, from the end of the turn on.
    pub fn turn_of_loop(&mut self, body: &[Stmt], inner: &Rc<Scope>, outer: &Rc<Scope>, same_shape: bool) -> Check<()> {
        let mut carried: Vec<(String, Value)> = Vec::new();
        for stmt in body {
            let own = |t: &Target| inner.get(&format!("<state {}>", t.name.name)).is_some();
            match stmt {
                Stmt::Let(l) if l.targets.iter().all(|t| t.primed && !own(t)) => {
                    for (t, v) in self.next_values(l, inner)? {
                        if same_shape && let Some(now) = inner.get(&t.name.name) {
                            self.same_dims(&now, &v, &t.name, l.value.span)?;
                        }
                        inner.set(format!("{}'", t.name.name), v.clone());
                        carried.push((t.name.name.clone(), v));
                    }
                }
                _ => self.stmt(stmt, inner)?,
            }
        }
        carried.into_iter().for_each(|(name, v)| outer.set(name, v));
        Ok(())
    }

    /// What a loop over a dim carries has the same dims in each turn.
    pub(super) fn same_dims(&self, now: &Value, next: &Value, name: &Ident, span: Span) -> Check<()> {
        let (Some(a), Some(b)) = (self.sample_tensor(now), self.sample_tensor(next)) else { return Ok(()) };
        let dims = |t: &Tensor| {
            let mut dims: Vec<DimId> = t.axes.iter().map(|a| a.dim).collect();
            dims.sort();
            dims
        };
        if dims(&a) == dims(&b) {
            return Ok(());
        }
        let message = format!("`{}` changes its shape from `{}` to `{}`", name.name, self.shown(&a), self.shown(&b));
        fail(
            Diagnostic::error(Code::G0201, span, message).hint(
                "a loop over a dim keeps shapes; a loop over a list may change them: `for n in [32, 16] { ... }`",
            ),
        )
    }

    /// Next values of net states that the steps of a loop computed: where each step has a member of its own, those of all
    /// steps.
    pub(super) fn late_nexts(&mut self, repeat: &Repeat<'_>, late: Vec<LateNext>) -> Check<()> {
        for mut one in late {
            let id = one.next.id;
            if one.members.iter().any(|m| self.unit.terms[m.id.index()].op == Op::Iota(repeat.axis)) {
                let id = self.spread(id, &[repeat.axis], one.span);
                let ty = self.ty(id).clone();
                let inside = self.in_loop(repeat.id, id);
                one.next.id = if inside { self.loop_out(repeat, LoopPart::Each(id), ty.elem, ty.axes) } else { id };
            } else if self.in_loop(repeat.id, id) || self.ty(id).axes.contains(&repeat.axis) {
                let message = "a state advances once, and this loop computes a next value at every step";
                let d = Diagnostic::error(Code::G0208, one.span, message);
                return fail(d.hint("make it a state of the loop, or freeze the net: `f.frozen(x[t])`"));
            }
            match self.carriers.last_mut() {
                Some(around) => around.late.push(one),
                None => self.advance_members(one)?,
            }
        }
        Ok(())
    }
}

/// Does the name belong to a state of a net, declared in the loop's body or around it?
fn is_state(name: &str, body: &[Stmt], scope: &Rc<Scope>) -> bool {
    let declared = |stmt: &Stmt| matches!(stmt, Stmt::State(decls) if decls.iter().any(|d| d.name.name == name));
    body.iter().any(declared) || scope.get(&format!("<state {name}>")).is_some()
}
