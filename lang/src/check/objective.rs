//! Objectives as functions: `L(w)`, an entry `L[n](w)`, on another batch `L(w; fresh)`, at outputs `L(z)`, outputs `z(w)`.
//! Law: an objective is evaluated with the batch and the draws of its step, whatever the parameters; `fresh` is one other
//! batch with draws of its own, the same for every evaluation of a step.

use super::argmin;
use super::value::{Inner, Objective, Scope, Tensor, Tree, Value};
use super::{Check, Elab, Frame, Mode, fail};
use crate::ast::{Arg, Expr, IndexItem, Let, Stmt};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::Axis;
use std::rc::Rc;

/// Where an objective is evaluated.
struct Place {
    /// At these parameters, if not at those of now.
    tree: Option<Tree>,
    /// With these outputs in place of the net's.
    outputs: Option<Tensor>,
    fresh: bool,
    span: Span,
}

impl Elab<'_> {
    /// The loss of a `minimize` line before it is averaged; `where z = ...` comes first.
    pub fn loss_value(&mut self, loss: &Expr, outputs: Option<&Let>, scope: &Rc<Scope>) -> Check<Tensor> {
        let inner = Scope::inside(scope);
        if let Some(l) = outputs {
            self.stmt(&Stmt::Let(l.clone()), &inner)?;
        }
        let t = self.eval_tensor(loss, &inner)?;
        self.at_seeds(t, loss.span)
    }

    /// `L(w)`, `L(w; fresh)`, `L(z)`: the scalar that is descended.
    pub fn call_objective(&mut self, o: &Rc<Objective>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if let Some(inner) = &o.inner {
            return self.call_inner(inner, args, span, scope);
        }
        let place = self.objective_place(o, args, span, scope)?;
        let t = self.objective_at(o, &place, false)?;
        self.mean_loss(t, o.negated, o.loss.span).map(Value::Tensor)
    }

    /// `L(u)` of an inner problem.
    fn call_inner(&mut self, inner: &Inner, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let [Arg { name: None, value }] = args else {
            let d =
                Diagnostic::error(Code::G0301, span, "the objective of an inner problem takes its variable: `L(u)`");
            return fail(d.hint("it has no batch, so none is fresh"));
        };
        let at = match self.eval(value, scope)? {
            Value::Tree(mut tree) if inner.tensor && tree.leaves.len() == 1 => {
                Value::Tensor(tree.leaves.remove(0).value)
            }
            other => other,
        };
        let here = Scope::inside(scope);
        here.set("<function>", inner.function.clone());
        here.set("<at>", at);
        let call = argmin::call(argmin::named("<function>", span), vec![argmin::named("<at>", value.span)], span);
        self.scalar(&call, &here).map(Value::Tensor)
    }

    /// `L[n](w)`: one entry of the loss, of a sample or of one of several objectives.
    pub fn objective_entry(
        &mut self,
        o: &Rc<Objective>,
        items: &[IndexItem],
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        if items.len() > o.axes.len() {
            let message = format!("the loss has {} dims, {} indices are given", o.axes.len(), items.len());
            return fail(Diagnostic::error(Code::G0207, span, message).label(o.loss.span, "the loss").hint(
                "leave the loss a tensor: `minimize cross_entropy(f(x), y)`, or stack objectives: `minimize [a, b]`",
            ));
        }
        let place = self.objective_place(o, args, span, scope)?;
        let t = self.objective_at(o, &place, false)?;
        let t = self.clear_of_active(&t, span);
        let t = self.read(&t, items, None, span, span, scope)?;
        let t = if self.elem(&t) == crate::program::Elem::Real {
            t
        } else {
            self.map1(crate::program::Fun::ToReal, &t, span)
        };
        Ok(Value::Tensor(if o.negated { self.map1(crate::program::Fun::Neg, &t, span) } else { t }))
    }

    /// `z(w)`: the outputs at other parameters.
    pub fn call_outputs(&mut self, o: &Rc<Objective>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let place = self.objective_place(o, args, span, scope)?;
        if place.tree.is_none() {
            let message = "the outputs are a function of the parameters";
            return fail(Diagnostic::error(Code::G0205, span, message).hint("write `z(w)`"));
        }
        self.objective_at(o, &place, true).map(Value::Tensor)
    }

    fn objective_place(&mut self, o: &Rc<Objective>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Place> {
        let (value, fresh) = match args {
            [Arg { name: None, value }] => (value, false),
            [Arg { name: None, value }, Arg { name: Some(name), .. }] if name.name == "fresh" => (value, true),
            _ => {
                let d = Diagnostic::error(Code::G0301, span, "the objective takes the parameters: `L(w)`");
                return fail(d.hint("the loss on another batch is `L(w; fresh)`"));
            }
        };
        match self.eval(value, scope)? {
            Value::Tree(tree) if tree.leaves.len() == o.over.len() => {
                Ok(Place { tree: Some(tree), outputs: None, fresh, span: value.span })
            }
            Value::Tree(tree) => {
                let message =
                    format!("the objective is of {} tensors, this tree has {}", o.over.len(), tree.leaves.len());
                fail(Diagnostic::error(Code::G0201, value.span, message))
            }
            Value::Tensor(t) if o.outputs.is_some() => {
                Ok(Place { tree: None, outputs: Some(t), fresh, span: value.span })
            }
            other => {
                let message = format!("the objective takes a tree of parameters, not {}", other.what());
                let d = Diagnostic::error(Code::G0205, value.span, message);
                fail(match other {
                    Value::Tensor(_) => d.hint("a loss of outputs is named so: `rule r() on w minimizing L of z`, `minimize loss where z = f(x)`"),
                    _ => d,
                })
            }
        }
    }

    /// The loss (or the outputs) somewhere else, before it is averaged.
    fn objective_at(&mut self, o: &Rc<Objective>, place: &Place, only_outputs: bool) -> Check<Tensor> {
        let mut mode = Mode { advance: false, fresh: place.fresh, ..self.mode.clone() };
        // Only the index variables on which the place depends are around: a draw is that of the step.
        let mut around: Vec<Axis> = Vec::new();
        for (p, leaf) in o.over.iter().zip(place.tree.iter().flat_map(|t| &t.leaves)) {
            let own = self.unit.params[p.index()].ty.axes.clone();
            let renames: Vec<(Axis, Axis)> = leaf.value.axes.iter().copied().zip(own).collect();
            let t = self.rename(&leaf.value, &renames, place.span);
            around.extend(self.ty(t.id).axes.iter().filter(|a| self.active.contains(a)));
            mode.instead.insert(*p, t);
        }
        if let Some(t) = &place.outputs {
            around.extend(self.ty(t.id).axes.iter().filter(|a| self.active.contains(a)));
        }
        let around = self.active.iter().copied().filter(|a| around.contains(a)).collect();
        let active = std::mem::replace(&mut self.active, around);
        // As in the step: draws and instances are found by their paths.
        let frames = std::mem::replace(&mut self.frames, vec![Frame { path: "loss".to_string(), ..Frame::default() }]);
        let passed = std::mem::take(&mut self.passed_sites);
        let result =
            self.in_mode(mode, |elab| elab.in_pass(&o.pass, |elab| elab.objective_body(o, place, only_outputs)));
        self.passed_sites = passed;
        self.active = active;
        self.frames = frames;
        result
    }

    fn objective_body(&mut self, o: &Rc<Objective>, place: &Place, only_outputs: bool) -> Check<Tensor> {
        let train = self.train_scope();
        let Some(l) = o.outputs.as_ref().filter(|_| place.outputs.is_some() || only_outputs) else {
            return self.loss_value(&o.loss, o.outputs.as_ref(), &train);
        };
        let inner = Scope::inside(&train);
        let name = &l.targets[0].name.name;
        match &place.outputs {
            Some(t) => inner.set(name, Value::Tensor(t.clone())),
            None => self.stmt(&Stmt::Let(l.clone()), &inner)?,
        }
        if !only_outputs {
            return self.eval_tensor(&o.loss, &inner);
        }
        let z = inner.get(name).expect("just defined");
        self.tensor(&z, l.span)
    }
}
