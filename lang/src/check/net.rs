//! Nets: instances, parameters, states, and evaluation at other parameters.

use super::call::called;
use super::value::{Instance, Net, Scope, Tensor, Value};
use super::{Check, Elab, Frame, Mode, fail};
use crate::ast::{Arg, Expr, ExprKind, Ident, Init, Let, Target, VarDecl};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, Op, Param, ParamId, Red, Role, State, StateId, Ty};
use std::rc::Rc;

/// The distributions that `~` draws from.
pub const DISTRIBUTIONS: [&str; 8] =
    ["normal", "uniform", "bernoulli", "rademacher", "categorical", "gumbel", "exponential", "permutation"];

impl Elab<'_> {
    /// An instance of a net under a name.
    pub fn instance(&mut self, net: Net, name: &str) -> Value {
        let path = match self.frames.last() {
            Some(f) if !f.path.is_empty() => format!("{}.{name}", f.path),
            _ => name.to_string(),
        };
        Value::Instance(Rc::new(Instance { net, path, frozen: false, at: vec![] }))
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
        // The call site keeps its number, whichever branches an evaluation takes before it.
        if let Some(path) = self.call_paths.get(&key) {
            return Rc::new(Instance { net, path: path.clone(), frozen: false, at: vec![] });
        }
        let number = self.numbers.entry(base.clone()).or_insert(0);
        *number += 1;
        let path = format!("{base}{number}");
        self.call_paths.insert(key, path.clone());
        Rc::new(Instance { net, path, frozen: false, at: vec![] })
    }

    /// Evaluates a net's body; returns its value and its scope (for `f(x).h`).
    pub fn run_net(
        &mut self,
        instance: &Rc<Instance>,
        pairs: Vec<(String, Value, Span)>,
        span: Span,
    ) -> Check<(Value, Rc<Scope>)> {
        if instance.frozen || !instance.at.is_empty() {
            let mut mode = self.mode.clone();
            mode.instead.extend(instance.at.iter().copied());
            mode.advance &= !instance.frozen && instance.at.is_empty();
            mode.training &= !instance.frozen;
            return self.in_mode(mode, |elab| elab.run_body(instance, pairs, span));
        }
        self.run_body(instance, pairs, span)
    }

    fn run_body(
        &mut self,
        instance: &Rc<Instance>,
        pairs: Vec<(String, Value, Span)>,
        span: Span,
    ) -> Check<(Value, Rc<Scope>)> {
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
        self.frames.push(Frame { path: instance.path.clone(), ..Frame::default() });
        let value = self.body(&decl.body, &inner);
        self.frames.pop();
        let value = value.map_err(|d| called(d, span, &decl.name.name))?;
        let value = match &decl.result {
            Some(ty) => self.expect_type(&value, ty, &decl.name.name, decl.body.span, &inner)?,
            None => value,
        };
        Ok((value, inner))
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
        let ExprKind::Name { .. } = &*f.kind else { return Ok(None) };
        let Ok(Value::Instance(instance)) = self.eval(f, scope) else { return Ok(None) };
        let name = instance.net.decl.name.name.clone();
        let pairs = self.pair(&name, &instance.net.decl.params.clone(), args, span, scope)?;
        let (value, inner) = self.run_net(&instance, pairs, span)?;
        if let Some(found) = inner.get(&field.name) {
            return Ok(Some(found));
        }
        match value {
            Value::Record(fields) => match fields.iter().find(|f| f.0 == field.name) {
                Some((_, v)) => Ok(Some(v.clone())),
                None => fail(self.no_field(&field.name, field.span, fields.into_iter().map(|f| f.0).collect())),
            },
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
        let v = self.eval(base, scope)?;
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
        let own = self.params_of(&instance);
        if own.is_empty() {
            return fail(
                Diagnostic::error(Code::G0401, base.span, "this net has no parameters at this place")
                    .hint("its parameters come into being where it is first called"),
            );
        }
        let given = match self.eval(theta, scope)? {
            Value::Instance(other) => self.instance_tree(&other, theta.span),
            Value::Tree(tree) => tree,
            other => {
                let message = format!("the parameters of a net are a tree, not {}", other.what());
                return fail(Diagnostic::error(Code::G0205, theta.span, message));
            }
        };
        if given.leaves.len() != own.len() {
            let message = format!("the net has {} parameters, the tree {}", own.len(), given.leaves.len());
            return fail(Diagnostic::error(Code::G0201, span, message));
        }
        let mut at = Vec::new();
        for (p, leaf) in own.iter().zip(&given.leaves) {
            let axes = self.unit.params[p.index()].ty.axes.clone();
            let like = Tensor { id: leaf.value.id, axes };
            at.push((*p, self.spread_like(&leaf.value, &like, theta.span)?.id));
        }
        Ok(Value::Instance(Rc::new(Instance { at, ..(*instance).clone() })))
    }

    /// `theta with { enc.w = q }`.
    pub fn with(&mut self, base: &Expr, pairs: &[(Expr, Expr)], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let base_value = self.eval(base, scope)?;
        if let (Value::Run(k) | Value::Plan(k), [(what, how)]) = (&base_value, pairs) {
            if leaf_path(what).as_deref() != Some("rewrites") || leaf_path(how).as_deref() != Some("off") {
                return fail(
                    Diagnostic::error(Code::G0301, span, "a run is changed by `with rewrites off` only")
                        .hint("give other arguments in the call: `digits_mlp(lr = 1e-2)`"),
                );
            }
            return Ok(match (self.unoptimized(*k, span), &base_value) {
                (Value::Run(k), Value::Plan(_)) => Value::Plan(k),
                (run, _) => run,
            });
        }
        let mut tree = match base_value {
            Value::Instance(i) => self.instance_tree(&i, base.span),
            Value::Tree(tree) => tree,
            _ => return self.later(span, "`with` on anything but a tree"),
        };
        for (place, value) in pairs {
            let Some(path) = leaf_path(place) else {
                return fail(
                    Diagnostic::error(Code::G0105, place.span, "a leaf is named by its path")
                        .hint("for example `theta with { enc.w = q }`"),
                );
            };
            let new = self.eval_tensor(value, scope)?;
            let Some(k) = tree.leaves.iter().position(|l| l.name == path) else {
                let known = tree.leaves.iter().map(|l| l.name.clone()).collect();
                return fail(self.no_field(&path, place.span, known));
            };
            let like = tree.leaves[k].value.clone();
            tree.leaves[k].value = self.spread_like(&new, &like, value.span)?;
            tree.leaves[k].param = None;
        }
        Ok(Value::Tree(tree))
    }

    /// The scalar that is descended: a tensor is averaged, a maximized one negated.
    pub fn mean_loss(&mut self, t: Tensor, negated: bool, span: Span) -> Check<Tensor> {
        let t = if t.axes.is_empty() { t } else { self.reduce(Red::Mean, &t, &t.axes.clone(), None, span) };
        let t = if self.elem(&t) == Elem::Real { t } else { self.map1(Fun::ToReal, &t, span) };
        Ok(if negated { self.map1(Fun::Neg, &t, span) } else { t })
    }

    /// The path of a variable declared here.
    fn path(&self, name: &str) -> String {
        match self.frames.last() {
            Some(f) if !f.path.is_empty() => format!("{}.{name}", f.path),
            _ => name.to_string(),
        }
    }

    /// `param w: real[in, out] ~ glorot`.
    pub fn param_stmt(&mut self, decl: &VarDecl, scope: &Rc<Scope>) -> Check<()> {
        self.outside_functions(decl, "a parameter", scope)?;
        let name = self.path(&decl.name.name);
        if let Some(d) = &decl.domain {
            return self.later(d.span, "a parameter's domain");
        }
        let Some(ty) = &decl.ty else {
            return fail(
                Diagnostic::error(
                    Code::G0209,
                    decl.name.span,
                    format!("the parameter `{}` needs a type", decl.name.name),
                )
                .hint("for example `param w: real[in, out] ~ glorot`"),
            );
        };
        let (elem, axes) = self.closed_type(ty, scope)?;
        let found = self.unit.params.iter().position(|p| p.name == name);
        let id = match found {
            Some(k) if self.unit.params[k].ty.axes == axes => ParamId::new(k),
            Some(k) => {
                let d =
                    Diagnostic::error(Code::G0209, ty.span, format!("the parameter `{name}` would have two shapes"));
                return fail(
                    d.label(self.unit.params[k].span, "declared here").hint("give each use an instance of its own"),
                );
            }
            None => {
                let role = self.role(decl)?;
                self.unit.params.push(Param { name, ty: Ty { elem, axes: axes.clone() }, role, span: decl.name.span });
                let id = ParamId::new(self.unit.params.len() - 1);
                let first = self.first_value(decl, elem, &axes, scope)?;
                self.first_params.push(first);
                id
            }
        };
        let value = self.param_value(id, decl.name.span);
        scope.set(&decl.name.name, Value::Tensor(value));
        Ok(())
    }

    /// Functions are pure, and a check trains nothing.
    fn outside_functions(&self, decl: &VarDecl, what: &str, scope: &Rc<Scope>) -> Check<()> {
        let path = self.path(&decl.name.name);
        let trained = self.unit.params.iter().any(|p| p.name == path) || self.unit.states.iter().any(|s| s.name == path);
        if scope.get("<fn>").is_none() && (trained || self.unit.kind != crate::program::UnitKind::Check) {
            return Ok(());
        }
        fail(
            Diagnostic::error(Code::G0301, decl.name.span, format!("{what} belongs into a net or a train block"))
                .hint("make the function a `net`, or pass the tensor as an argument"),
        )
    }

    fn role(&self, decl: &VarDecl) -> Check<Role> {
        match &decl.role {
            None => Ok(Role::Weight),
            Some(r) => role_named(r),
        }
    }

    /// The term of a first value, over all axes.
    fn first_value(
        &mut self,
        decl: &VarDecl,
        elem: Elem,
        axes: &[Axis],
        scope: &Rc<Scope>,
    ) -> Check<crate::program::TermId> {
        let span = decl.name.span;
        let active = std::mem::take(&mut self.active);
        let mode = Mode { first: true, instead: Default::default(), ..self.mode.clone() };
        // The definitions of a block were perhaps evaluated before, from the states' values instead of their first ones.
        let block = super::train::block_scope(scope).is_some();
        let result = self.in_mode(mode, |elab| {
            let scope = &if block { elab.train_scope() } else { scope.clone() };
            let t = match &decl.init {
                Some(Init::Value(e)) => elab.eval_tensor(e, scope)?,
                Some(Init::Draw(e)) => elab.draw_first(e, axes, &decl.name.name, scope)?,
                None => {
                    return fail(
                        Diagnostic::error(Code::G0301, span, format!("`{}` has no first value", decl.name.name))
                            .hint("`= 0`, `~ glorot`, `~ normal(0, 0.1)`"),
                    );
                }
            };
            let like = Tensor { id: t.id, axes: axes.to_vec() };
            let (t, union) = elab.align(&like, &t, (span, span))?;
            if union.len() != axes.len() {
                let message = format!("the first value `{}` has dims that `{}` lacks", elab.shown(&t), decl.name.name);
                return fail(Diagnostic::error(Code::G0209, span, message));
            }
            let t =
                if elem == Elem::Real && elab.elem(&t) != Elem::Real { elab.map1(Fun::ToReal, &t, span) } else { t };
            Ok(elab.spread(t.id, axes, span))
        });
        self.active = active;
        result
    }

    /// `state mu: real[c] = 0` in a net or train block.
    pub fn state_stmt(&mut self, decl: &VarDecl, scope: &Rc<Scope>) -> Check<()> {
        self.outside_functions(decl, "a state", scope)?;
        let name = self.path(&decl.name.name);
        let (elem, axes) = match &decl.ty {
            Some(ty) => self.closed_type(ty, scope)?,
            None => (Elem::Real, vec![]),
        };
        let id = match self.unit.states.iter().position(|s| s.name == name) {
            Some(k) => StateId::new(k),
            None => {
                let first = self.first_value(decl, elem, &axes, scope)?;
                self.new_state(name, elem, axes, first, decl.name.span)
            }
        };
        let value = self.state_value(id, decl.name.span);
        scope.set(&decl.name.name, Value::Tensor(value));
        scope.set(format!("<state {}>", decl.name.name), Value::Num(f64::from(id.0)));
        Ok(())
    }

    /// Adds a state.
    pub fn new_state(
        &mut self,
        name: String,
        elem: Elem,
        axes: Vec<Axis>,
        first: crate::program::TermId,
        span: Span,
    ) -> StateId {
        self.unit.states.push(State { name, ty: Ty { elem, axes }, span });
        self.first_states.push(first);
        StateId::new(self.unit.states.len() - 1)
    }

    /// A state's value now.
    pub fn state_value(&mut self, id: StateId, span: Span) -> Tensor {
        let ty = self.unit.states[id.index()].ty.clone();
        let term = if self.mode.first {
            self.first_states[id.index()]
        } else {
            self.term(Op::State(id), ty.elem, ty.axes.clone(), span)
        };
        Tensor { id: term, axes: ty.axes }
    }

    /// `mu' = ...` in a net or train block.
    pub fn primed_stmt(&mut self, l: &Let, target: &Target, scope: &Rc<Scope>) -> Check<()> {
        let name = &target.name.name;
        let Some(Value::Num(id)) = scope.get(&format!("<state {name}>")) else {
            return fail(
                Diagnostic::error(
                    Code::G0107,
                    target.name.span,
                    format!("`{name}` is no state, so it has no next value"),
                )
                .hint(format!("declare it: `state {name} = 0`")),
            );
        };
        let id = StateId(id as u32);
        let v = self.let_value(l, scope)?;
        let t = self.tensor(&v, l.value.span)?;
        let ty = self.unit.states[id.index()].ty.clone();
        let like = Tensor { id: t.id, axes: ty.axes.clone() };
        let t = self.spread_like_axes(&t, &like, l.value.span)?;
        scope.set(format!("{name}'"), Value::Tensor(t.clone()));
        if self.mode.advance && !self.mode.first {
            self.next_states.entry(id).or_insert(t.id);
        }
        Ok(())
    }

    /// Aligned with and repeated over exactly these axes.
    pub fn spread_like_axes(&mut self, t: &Tensor, like: &Tensor, span: Span) -> Check<Tensor> {
        let (aligned, union) = self.align(like, t, (span, span))?;
        if union.len() != like.axes.len() {
            let message = format!("a next value has the shape of its state; `{}` has other dims", self.shown(t));
            return fail(Diagnostic::error(Code::G0209, span, message));
        }
        let id = self.spread(aligned.id, &like.axes, span);
        Ok(Tensor { id, axes: like.axes.clone() })
    }
}

/// `enc.w` as a path.
fn leaf_path(e: &Expr) -> Option<String> {
    match &*e.kind {
        ExprKind::Name { name, primed: false } => Some(name.clone()),
        ExprKind::Field(base, name) => Some(format!("{}.{}", leaf_path(base)?, name.name)),
        _ => None,
    }
}

/// The role of that name.
pub fn role_named(r: &Ident) -> Check<Role> {
    match r.name.as_str() {
        "weight" => Ok(Role::Weight),
        "bias" => Ok(Role::Bias),
        "scale" => Ok(Role::Scale),
        other => fail(
            Diagnostic::error(Code::G0405, r.span, format!("there is no role `{other}`"))
                .hint("roles are weight, bias and scale"),
        ),
    }
}
