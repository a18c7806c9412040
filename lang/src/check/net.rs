//! Nets: instances, their evaluation, also at other parameters.

use super::call::called;
use super::family::Ran;
use super::value::{Instance, Net, Scope, Tensor, Tree, Value};
use super::{Check, Elab, Frame, fail};
use crate::ast::{Arg, Expr, ExprKind, Ident};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, Red, Ty};
use std::rc::Rc;

/// The distributions that `~` draws from.
pub const DISTRIBUTIONS: [&str; 8] =
    ["normal", "uniform", "bernoulli", "rademacher", "categorical", "gumbel", "exponential", "permutation"];

impl Elab<'_> {
    /// A net whose static arguments all have defaults needs none of them written.
    pub fn with_defaults(&mut self, net: Net, span: Span) -> Check<Net> {
        let decl = net.decl.clone();
        if let Some(p) = decl.statics.iter().find(|p| p.default.is_none()) {
            let message = format!("`{}` needs its static argument `{}`", decl.name.name, p.name.name);
            let names: Vec<&str> = decl.statics.iter().map(|p| p.name.name.as_str()).collect();
            return fail(
                Diagnostic::error(Code::G0303, span, message).label(p.name.span, "declared here").hint(format!(
                    "write `{}({})`",
                    decl.name.name,
                    names.join(", ")
                )),
            );
        }
        let scope = self.globals.clone();
        match self.call_net(net, &[], span, &scope)? {
            Value::Net(net) => Ok(net),
            _ => unreachable!("static arguments give a net"),
        }
    }

    /// An instance of a net under a name.
    pub fn instance(&mut self, net: Net, name: &str) -> Value {
        let path = match self.frames.last() {
            Some(f) if !f.path.is_empty() => format!("{}.{name}", f.path),
            _ => name.to_string(),
        };
        let family = self.frames.last().map(|f| f.family.clone()).unwrap_or_default();
        Value::Instance(Rc::new(Instance::single(net, path, family)))
    }

    /// An instance for one call, numbered by the order of first calls in the body around.
    pub fn anonymous(&mut self, net: Net, span: Span) -> Rc<Instance> {
        let name = net.decl.name.name.clone();
        let frame = match self.frames.last_mut() {
            Some(f) => f,
            None => {
                self.frames.push(Frame::default());
                self.frames.last_mut().expect("just pushed")
            }
        };
        let passed = frame.passed.entry(span).or_insert(0);
        let key = (frame.path.clone(), span, *passed);
        *passed += 1;
        let base = if frame.path.is_empty() { name } else { format!("{}.{name}", frame.path) };
        let family = frame.family.clone();
        // The call site keeps its number, whichever branches an evaluation takes before it.
        if let Some(path) = self.call_paths.get(&key) {
            return Rc::new(Instance::single(net, path.clone(), family));
        }
        let number = self.numbers.entry(base.clone()).or_insert(0);
        *number += 1;
        let path = format!("{base}{number}");
        self.call_paths.insert(key, path.clone());
        Rc::new(Instance::single(net, path, family))
    }

    /// Evaluates a net's body, for each member of a family.
    pub fn run_net(&mut self, instance: &Rc<Instance>, pairs: Vec<(String, Value, Span)>, span: Span) -> Check<Ran> {
        if !instance.open_dims().is_empty() {
            return self.run_family(instance, pairs, span);
        }
        self.open_family(instance, &pairs, span)?;
        let dims = instance.family.iter().map(|m| m.dim).collect();
        self.instances.entry(instance.path.clone()).or_insert_with(|| (instance.net.clone(), dims));
        if instance.frozen || !instance.at.is_empty() {
            let mut mode = self.mode.clone();
            mode.instead.extend(instance.at.iter().cloned());
            mode.advance &= !instance.frozen && instance.at.is_empty();
            mode.training &= !instance.frozen;
            return self.in_mode(mode, |elab| elab.run_body(instance, pairs, span));
        }
        self.run_body(instance, pairs, span)
    }

    fn run_body(&mut self, instance: &Rc<Instance>, pairs: Vec<(String, Value, Span)>, span: Span) -> Check<Ran> {
        let decl = instance.net.decl.clone();
        let inner = Scope::inside(&self.home(decl.name.span));
        for (name, value) in &instance.net.statics {
            inner.set(name.as_str(), value.clone());
        }
        inner.set("training", Value::Truth(self.mode.training));
        inner.set("<arguments>", super::call::arguments(&pairs));
        for ((name, value, at), param) in pairs.into_iter().zip(&decl.params) {
            let value = match &param.ty {
                Some(ty) => {
                    self.expect_type(&value, ty, &name, at, &inner).map_err(|d| called(d, span, &decl.name.name))?
                }
                None => value,
            };
            inner.set(name, value);
        }
        self.remember(instance, &inner);
        let family = instance.family.clone();
        self.frames.push(Frame { path: instance.path.clone(), family, ..Frame::default() });
        let value = self.body(&decl.body, &inner);
        self.frames.pop();
        let value = value.map_err(|d| called(d, span, &decl.name.name))?;
        let value = match &decl.result {
            Some(ty) => self.expect_type(&value, ty, &decl.name.name, decl.body.span, &inner)?,
            None => value,
        };
        Ok(Ran { value, scope: inner, axes: vec![] })
    }

    /// Keeps the types of the arguments of an instance's first call: a trained net is called from outside with the same.
    fn remember(&mut self, instance: &Instance, scope: &Rc<Scope>) {
        if self.called.contains_key(&instance.path) {
            return;
        }
        let mut types = Vec::new();
        for param in &instance.net.decl.params {
            let Some(Value::Tensor(t)) = scope.get(&param.name.name) else { return };
            let ty = self.ty(t.id).clone();
            // Called on single rows, it is called from outside on rows as well.
            let rows = ty.axes.iter().find(|a| Some(a.dim) == self.unit.batch && !t.axes.contains(a));
            let mut axes: Vec<Axis> = Vec::new();
            for dim in rows.into_iter().chain(&t.axes).map(|a| a.dim) {
                let ix = axes.iter().filter(|a| a.dim == dim).count() as u32;
                axes.push(Axis { dim, ix });
            }
            types.push((param.name.name.clone(), Ty { elem: ty.elem, axes }));
        }
        self.called.insert(instance.path.clone(), types);
    }

    /// `f(x).h`: the equation `h` inside that call.
    pub fn inner_equation(
        &mut self,
        f: &Expr,
        args: &[Arg],
        field: &Ident,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Option<Value>> {
        if !names_instance(f) {
            return Ok(None);
        }
        let Some(Value::Instance(instance)) = self.attempt(|elab| elab.eval(f, scope)) else { return Ok(None) };
        let name = instance.net.decl.name.name.clone();
        let pairs = self.pair(&name, &instance.net.decl.params.clone(), args, span, scope)?;
        let Ran { value, scope: inner, axes } = self.run_net(&instance, pairs, span)?;
        // What the call gives comes first: `f(x).s` is what `r = f(x)`, `r.s` is.
        if let Value::Record(fields) = &value
            && let Some((_, v)) = fields.iter().find(|f| f.0 == field.name)
        {
            return Ok(Some(v.clone()));
        }
        if let Some(found) = inner.own(&field.name) {
            if axes.is_empty() || self.sample_tensor(&found).is_none() {
                return Ok(Some(found));
            }
            return self.each_tensor(&found, span, &mut |elab, t| Ok(elab.close_over(&axes, t, span))).map(Some);
        }
        match value {
            Value::Record(fields) => {
                fail(self.no_field(&field.name, field.span, fields.into_iter().map(|f| f.0).collect()))
            }
            Value::Tensor(t) if field.name == "T" && t.axes.len() == 2 => {
                Ok(Some(Value::Tensor(Tensor { id: t.id, axes: vec![t.axes[1], t.axes[0]] })))
            }
            _ => fail(self.no_field(
                &field.name,
                field.span,
                inner.all().into_iter().filter(|n| !n.starts_with('<')).take(12).collect(),
            )),
        }
    }

    /// `f{theta}`: the net at other parameters, as a function of its data arguments.
    pub fn at_parameters(&mut self, base: &Expr, theta: &Expr, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let v = match self.eval(base, scope)? {
            Value::Net(net) if net.applied => Value::Instance(self.shared_net(net)),
            other => other,
        };
        let Value::Instance(instance) = v else {
            return fail(
                Diagnostic::error(
                    Code::G0302,
                    base.span,
                    format!("`f{{theta}}` needs an instance of a net, not {}", v.what()),
                )
                .hint("bind one: `net f = mlp(32, 10)`"),
            );
        };
        self.opened(&instance, base.span)?;
        let own = self.params_of(&instance);
        let given = match self.eval(theta, scope)? {
            Value::Instance(other) => self.instance_tree(&other, theta.span),
            Value::Tree(tree) => tree,
            other => {
                let message = format!("the parameters of a net are a tree, not {}", other.what());
                return fail(Diagnostic::error(Code::G0205, theta.span, message));
            }
        };
        if own.is_empty() {
            return self.not_called(given, &instance, base.span);
        }
        if given.leaves.len() != own.len() {
            let message = format!("the net has {} parameters, the tree {}", own.len(), given.leaves.len());
            return fail(Diagnostic::error(Code::G0201, span, message));
        }
        let chosen = instance.chosen().len();
        let mut at = Vec::new();
        for (p, leaf) in own.iter().zip(&given.leaves) {
            let whole = self.unit.params[p.index()].ty.axes.clone();
            let mut axes: Vec<Axis> = Vec::new();
            for axis in &whole[chosen..] {
                axes.push(self.fresh_axis(axis.dim, &axes));
            }
            let like = Tensor { id: leaf.value.id, axes };
            at.push((*p, self.spread_like(&leaf.value, &like, theta.span)?));
        }
        Ok(Value::Instance(Rc::new(Instance { at, ..(*instance).clone() })))
    }

    fn not_called(&self, given: Tree, instance: &Instance, span: Span) -> Check<Value> {
        let name = &instance.net.decl.name.name;
        let message = match given.leaves.len() {
            0 => format!("`{name}` has no parameters"),
            _ => format!("the parameters of `{name}` are not known at this place"),
        };
        fail(Diagnostic::error(Code::G0401, span, message).hint(
            "they come into being where the net is first called, or where its arguments' types name declared dims",
        ))
    }

    /// The scalar that is descended: a tensor is averaged, a maximized one negated.
    pub fn mean_loss(&mut self, t: Tensor, negated: bool, span: Span) -> Check<Tensor> {
        let t = if t.axes.is_empty() { t } else { self.reduce(Red::Mean, &t, &t.axes.clone(), None, span) };
        let t = if self.elem(&t) == Elem::Real { t } else { self.map1(Fun::ToReal, &t, span) };
        Ok(if negated { self.map1(Fun::Neg, &t, span) } else { t })
    }
}

/// Could it name an instance: `f`, `f[k]`, `f.enc`, `f{theta}`?
fn names_instance(e: &Expr) -> bool {
    match &*e.kind {
        ExprKind::Name { .. } => true,
        ExprKind::Bracket(base, _, None) | ExprKind::Field(base, _) | ExprKind::At(base, _) => names_instance(base),
        _ => false,
    }
}
