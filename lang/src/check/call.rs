//! Calls: of functions, axis functions, nets, rules, objectives and runs.

use super::builtin::builtin;
use super::library::is_library;
use super::value::{Closure, Instance, Net, Scope, Tensor, Value};
use super::{Check, Elab, fail, near};
use crate::ast::{Arg, Expr, ExprKind, FnDecl, Ident, IndexItem, ParamDecl};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::Elem;
use std::rc::Rc;

impl Elab<'_> {
    /// `f(...)`.
    pub fn call(&mut self, f: &Expr, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if let ExprKind::Bracket(base, items, guard) = &*f.kind
            && let ExprKind::Name { name, primed: false } = &*base.kind
        {
            if let Some(red) = self.reduction_named(name, scope) {
                return self.reduction_call(red, items, guard.as_ref(), args, span, scope);
            }
            if scope.get(name).is_none() {
                match name.as_str() {
                    "grad" => return self.gradient(items, args, span, scope),
                    "along" => return self.along(items, args, span, scope),
                    "concat" => return self.concat_call(items, args, span, scope),
                    _ => {}
                }
            }
            match self.eval(base, scope)? {
                Value::Builtin(known) if is_library(known) => {
                    return match guard {
                        None => self.library_call(known, items, args, span, scope),
                        Some(g) => self.later(g.span, "a guard of a library operation"),
                    };
                }
                Value::Fn(decl) => return self.axis_function(&decl, items, guard.as_ref(), args, span, scope),
                Value::Objective(o) if guard.is_none() => return self.objective_entry(&o, items, args, span, scope),
                _ => {}
            }
        }
        let callee = self.eval(f, scope)?;
        match callee {
            Value::Builtin("unflat") => self.unflat(args, span, scope),
            Value::Builtin("size") => self.size_call(args, span, scope),
            Value::Builtin(name) => self.call_builtin(name, args, span, scope),
            Value::Fn(decl) => self.call_fn(&decl, args, span, scope),
            Value::Lambda(closure) => self.call_lambda(&closure, args, span, scope),
            Value::Net(net) => self.call_net(net, args, span, scope),
            Value::Instance(instance) => self.call_instance(&instance, args, span, scope),
            Value::Rules(rules) => self.call_rule(rules, args, span, scope),
            Value::Outputs(objective) => self.call_outputs(&objective, args, span, scope),
            Value::Objective(objective) => self.call_objective(&objective, args, span, scope),
            Value::Program(name) => self.call_program(&name, args, span, scope),
            other => fail(Diagnostic::error(Code::G0302, f.span, format!("{} cannot be called", other.what()))),
        }
    }

    /// Pairs arguments with parameters, by position and name, filling in defaults.
    pub fn pair(
        &mut self,
        what: &str,
        params: &[ParamDecl],
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Vec<(String, Value, Span)>> {
        let mut out: Vec<Option<(Value, Span)>> = vec![None; params.len()];
        let mut next = 0;
        for arg in args {
            let k = match &arg.name {
                Some(name) => self.param_named(what, params, name)?,
                None => {
                    next += 1;
                    next - 1
                }
            };
            if k >= params.len() {
                let message = format!(
                    "`{what}` takes {} argument{}, {} given",
                    params.len(),
                    if params.len() == 1 { "" } else { "s" },
                    args.len()
                );
                return fail(
                    Diagnostic::error(Code::G0301, arg.value.span, message)
                        .hint(format!("it is `{what}({})`", listed(params))),
                );
            }
            if out[k].is_some() {
                return fail(Diagnostic::error(
                    Code::G0308,
                    arg.value.span,
                    format!("the argument `{}` is given twice", params[k].name.name),
                ));
            }
            out[k] = Some((self.eval(&arg.value, scope)?, arg.value.span));
        }
        let mut pairs = Vec::new();
        let home = params.first().map_or_else(|| self.globals.clone(), |p| self.home(p.name.span));
        let known = Scope::inside(&home);
        for (param, given) in params.iter().zip(out) {
            let (value, at) = match (given, &param.default) {
                (Some(g), _) => g,
                (None, Some(d)) => (self.eval(d, &known)?, d.span),
                // Schedules are functions of the step, which a call need not write.
                (None, None) if param.name.name == "t" && scope.get("t").is_some() => {
                    (scope.get("t").expect("just looked"), span)
                }
                (None, None) => {
                    let message = format!("`{what}` needs the argument `{}`", param.name.name);
                    return fail(
                        Diagnostic::error(Code::G0309, span, message)
                            .hint(format!("it is `{what}({})`", listed(params))),
                    );
                }
            };
            known.set(&param.name.name, value.clone());
            pairs.push((param.name.name.clone(), value, at));
        }
        Ok(pairs)
    }

    fn param_named(&self, what: &str, params: &[ParamDecl], name: &Ident) -> Check<usize> {
        if let Some(k) = params.iter().position(|p| p.name.name == name.name) {
            return Ok(k);
        }
        if crate::foreign::axis_argument(&name.name) {
            return fail(numbered_axis(what, name));
        }
        let d = Diagnostic::error(Code::G0307, name.span, format!("`{what}` has no argument `{}`", name.name));
        fail(match near(&name.name, params.iter().map(|p| p.name.name.clone())) {
            Some(n) => d.hint(format!("did you mean `{n}`?")),
            None => d.hint(format!("it is `{what}({})`", listed(params))),
        })
    }

    fn call_fn(&mut self, decl: &Rc<FnDecl>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if !decl.axes.is_empty() {
            let named = args.iter().filter_map(|a| a.name.as_ref());
            if let Some(axis) = named.into_iter().find(|n| crate::foreign::axis_argument(&n.name)) {
                return fail(numbered_axis(&decl.name.name, axis));
            }
            return fail(
                Diagnostic::error(Code::G0310, span, format!("`{}` needs to know its dim", decl.name.name))
                    .hint(format!("write `{}[dim](...)`", decl.name.name)),
            );
        }
        let pairs = self.pair(&decl.name.name, &decl.params, args, span, scope)?;
        if let Some(tree) = pairs.iter().find_map(|p| if let Value::Tree(t) = &p.1 { Some(t.clone()) } else { None })
            && decl.params.iter().all(|p| p.ty.is_none())
            && pairs.iter().filter(|p| matches!(p.1, Value::Tree(_))).count() == 1
            && pairs.len() == 1
            // What speaks of the whole tree, as `norm` does, sees the whole of it.
            && self.on_trial(|elab| elab.run_fn(decl, pairs.clone(), span)).is_none()
        {
            let values = [Value::Tree(tree.clone())];
            return self.leafwise(&tree, &values, span, |elab, parts| {
                let pairs = vec![(pairs[0].0.clone(), parts[0].clone(), pairs[0].2)];
                elab.run_fn(decl, pairs, span)
            });
        }
        self.run_fn(decl, pairs, span)
    }

    pub fn run_fn(&mut self, decl: &Rc<FnDecl>, mut pairs: Vec<(String, Value, Span)>, span: Span) -> Check<Value> {
        let inner = Scope::inside(&self.home(decl.name.span));
        for ((name, value, at), param) in pairs.iter_mut().zip(&decl.params) {
            if let Some(ty) = &param.ty {
                *value =
                    self.expect_type(value, ty, name, *at, &inner).map_err(|d| called(d, span, &decl.name.name))?;
            }
            inner.set(name.as_str(), value.clone());
        }
        inner.set("<fn>", Value::Truth(true));
        inner.set("<arguments>", arguments(&pairs));
        if decl.backward.is_some() {
            return self.with_backward(decl, pairs, &inner, span);
        }
        let value = self.fn_value(decl, &inner, span)?;
        match &decl.result {
            Some(ty) => self.expect_type(&value, ty, &decl.name.name, decl.body.span, &inner),
            None => Ok(value),
        }
    }

    /// The value of a function's body, or of the embedding program's function.
    pub fn fn_value(&mut self, decl: &Rc<FnDecl>, inner: &Rc<Scope>, span: Span) -> Check<Value> {
        if decl.host {
            return self.host_value(decl, inner, span);
        }
        self.body(&decl.body, inner).map_err(|d| called(d, span, &decl.name.name))
    }

    /// `concat[channel](a, b)`.
    fn concat_call(&mut self, items: &[IndexItem], args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let [IndexItem::Expr(e)] = items else {
            return fail(Diagnostic::error(Code::G0301, span, "`concat` joins along one dim: `concat[channel](a, b)`"));
        };
        let v = self.eval(e, scope)?;
        let dim = self.index_dim(&v, e.span)?;
        let mut values = Vec::new();
        for arg in args {
            values.push(self.eval(&arg.value, scope)?);
        }
        let spans: Vec<Span> = args.iter().map(|a| a.value.span).collect();
        self.concat(Some(dim), &values, &spans, span)
    }

    fn call_lambda(&mut self, closure: &Rc<Closure>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if args.len() != closure.params.len() {
            let message = format!("this function takes {} arguments, {} given", closure.params.len(), args.len());
            return fail(Diagnostic::error(Code::G0301, span, message));
        }
        let inner = Scope::inside(&closure.scope);
        for (name, arg) in closure.params.iter().zip(args) {
            let v = self.eval(&arg.value, scope)?;
            inner.set(name, v);
        }
        self.eval(&closure.body, &inner)
    }

    pub fn call_net(&mut self, mut net: Net, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if net.applied {
            let instance = self.anonymous(net, span);
            return self.call_instance(&instance, args, span, scope);
        }
        if self.wants_data(&net, args, scope) {
            let net = self.with_defaults(net, span)?;
            return self.call_net(net, args, span, scope);
        }
        let name = net.decl.name.name.clone();
        let pairs = self.pair(&name, &net.decl.statics.clone(), args, span, scope)?;
        for ((name, value, at), param) in pairs.into_iter().zip(&net.decl.statics.clone()) {
            let value = match &param.ty {
                Some(ty) => self.expect_type(&value, ty, &name, at, scope)?,
                None => value,
            };
            net.statics.push((name, value));
        }
        net.applied = true;
        Ok(Value::Net(net))
    }

    /// `layernorm(x)`: static arguments that all have defaults need not be written where what is given is data.
    fn wants_data(&mut self, net: &Net, args: &[Arg], scope: &Rc<Scope>) -> bool {
        let decl = &net.decl;
        if args.is_empty() || args.len() > decl.params.len() || decl.statics.iter().any(|s| s.default.is_none()) {
            return false;
        }
        let tensor = self.quietly(&args[0].value, scope);
        matches!(tensor, Some(Value::Tensor(t)) if !t.axes.is_empty() || matches!(self.elem(&t), Elem::Index(_)))
    }

    fn call_instance(&mut self, instance: &Rc<Instance>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let name = instance.net.decl.name.name.clone();
        let pairs = self.pair(&name, &instance.net.decl.params.clone(), args, span, scope)?;
        self.run_net(instance, pairs, span).map(|run| run.value)
    }

    /// `a.b`.
    pub fn field(&mut self, base: &Expr, field: &Ident, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if let ExprKind::Call(f, args) = &*base.kind
            && let Some(found) = self.inner_equation(f, args, field, span, scope)?
        {
            return Ok(found);
        }
        let v = self.eval(base, scope)?;
        if let Some(found) = self.loop_field(&v, &field.name) {
            return Ok(self.settled(found, span));
        }
        if let Some(end) = self.edge_field(&v, field, span) {
            return end;
        }
        match v {
            Value::Tensor(t) if field.name == "T" => {
                if t.axes.len() != 2 {
                    return fail(Diagnostic::error(
                        Code::G0207,
                        span,
                        format!("`.T` transposes a matrix, this is `{}`", self.shown(&t)),
                    ));
                }
                Ok(Value::Tensor(Tensor { id: t.id, axes: vec![t.axes[1], t.axes[0]] }))
            }
            Value::Record(fields) => match fields.iter().find(|f| f.0 == field.name) {
                Some((_, v)) => Ok(self.settled(v.clone(), span)),
                None => fail(self.no_field(&field.name, field.span, fields.into_iter().map(|f| f.0).collect())),
            },
            Value::Data(k, split) => self.data_field(k, split.as_deref(), field),
            Value::Instance(instance) if field.name == "frozen" => {
                Ok(Value::Instance(Rc::new(Instance { frozen: true, ..(*instance).clone() })))
            }
            Value::Instance(instance) => {
                self.opened(&instance, span)?;
                if let Some(inner) = self.sub_instance(&instance, &field.name) {
                    return Ok(Value::Instance(Rc::new(inner)));
                }
                let tree = self.instance_tree(&instance, span);
                self.tree_field(&tree, field)
            }
            Value::Tree(tree) => self.tree_field(&tree, field),
            Value::Run(k) => self.run_field(k, field, span),
            Value::Plan(k) => self.plan_field(k, field, span),
            Value::Program(name) => self.not_run(&name, field),
            Value::Rules(rules) if rules.len() == 1 => self.rule_field(&rules[0].decl.name.name.clone(), field, span),
            Value::Tensor(t) if field.name == "last" && self.last_loss(&t, span).is_some() => {
                Ok(Value::Tensor(self.last_loss(&t, span).expect("just looked")))
            }
            other => fail(self.no_method(&other, field)),
        }
    }

    /// A field of what has none.
    fn no_method(&self, v: &Value, field: &Ident) -> Diagnostic {
        let what = match v {
            Value::Tensor(t) => format!("this is `{}`, and it", self.shown(t)),
            other => other.what().to_string(),
        };
        let message = format!("{what} has no field `{}`", field.name);
        match crate::foreign::method(&field.name) {
            Some(hint) => Diagnostic::error(Code::G0213, field.span, message).hint(hint),
            None => Diagnostic::error(Code::G0105, field.span, message),
        }
    }

    fn not_run<T>(&self, name: &str, field: &Ident) -> Check<T> {
        let message = format!("`{name}` is a train block or task, and `{}` is a field of its runs", field.name);
        fail(Diagnostic::error(Code::G0302, field.span, message).hint(format!("run it: `{name}().{}`", field.name)))
    }

    /// `adam.m`: a state of a rule of this train block.
    fn rule_field(&mut self, rule: &str, field: &Ident, span: Span) -> Check<Value> {
        let states = self.rule_states.clone();
        match self.rule_record(&states, rule, None, span) {
            Some(Value::Record(fields)) => match fields.iter().find(|f| f.0 == field.name) {
                Some((_, v)) => Ok(v.clone()),
                None => fail(self.no_field(&field.name, field.span, fields.into_iter().map(|f| f.0).collect())),
            },
            _ => {
                let message = format!("no line of this block trains by `{rule}` with a state `{}`", field.name);
                fail(Diagnostic::error(Code::G0105, field.span, message))
            }
        }
    }

    pub fn no_field(&self, name: &str, span: Span, known: Vec<String>) -> Diagnostic {
        if !known.iter().any(|k| near(name, [k.clone()]).is_some())
            && let Some(hint) = crate::foreign::method(name)
        {
            return Diagnostic::error(Code::G0213, span, format!("there is no field `{name}`")).hint(hint);
        }
        let d = Diagnostic::error(Code::G0105, span, format!("there is no field `{name}`"));
        match near(name, known.clone()) {
            Some(n) => d.hint(format!("did you mean `{n}`?")),
            None => d.hint(format!("there are {}", known.join(", "))),
        }
    }

    fn tree_field(&mut self, tree: &super::value::Tree, field: &Ident) -> Check<Value> {
        if let Some(leaf) = tree.leaves.iter().find(|l| l.name == field.name) {
            return Ok(Value::Tensor(leaf.value.clone()));
        }
        let prefix = format!("{}.", field.name);
        let inner: Vec<_> = tree
            .leaves
            .iter()
            .filter_map(|l| {
                l.name.strip_prefix(&prefix).map(|n| super::value::Leaf { name: n.to_string(), ..l.clone() })
            })
            .collect();
        if inner.is_empty() {
            let known = tree.leaves.iter().map(|l| l.name.clone()).collect();
            return fail(self.no_field(&field.name, field.span, known));
        }
        Ok(Value::Tree(super::value::Tree { leaves: inner }))
    }

    /// A function of the standard library by its name.
    pub fn library_fn(&mut self, name: &str, span: Span) -> Check<Rc<FnDecl>> {
        match self.global(name, span)? {
            Some(Value::Fn(decl)) => Ok(decl),
            _ => fail(Diagnostic::error(Code::G0106, span, format!("this needs `{name}` of the standard library"))),
        }
    }

    /// `size(flat(f))` is known from shapes: the net need not be called.
    fn size_call(&mut self, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if let [Arg { name: None, value }] = args
            && let ExprKind::Call(f, inner) = &*value.kind
            && let (ExprKind::Name { name, .. }, [Arg { name: None, value: of }]) = (&*f.kind, inner.as_slice())
            && name == "flat"
        {
            let tree = self.shape_of(of, scope)?;
            let flat = self.flat(&Value::Tree(tree), span)?;
            return Ok(Value::Dim(flat.axes[0].dim));
        }
        self.call_builtin("size", args, span, scope)
    }

    /// A function of the language by its name.
    pub fn builtin_value(&self, name: &str) -> Option<Value> {
        builtin(name).map(Value::Builtin)
    }
}

/// `softmax(x, axis = 1)`.
pub fn numbered_axis(function: &str, name: &Ident) -> Diagnostic {
    let message = format!("`{function}` is told its dim by name, not by `{}`", name.name);
    Diagnostic::error(Code::G0212, name.span, message)
        .hint(format!("write the dim in brackets: `{function}[class](x)`; in the order of axes nothing is meant"))
}

/// Adds the place of the call to a finding inside what was called.
pub fn called(mut d: Box<Diagnostic>, span: Span, name: &str) -> Box<Diagnostic> {
    if d.span != Some(span) && d.labels.len() < 6 {
        d.labels.push(crate::diag::Label { span, text: format!("in this call of `{name}`") });
    }
    d
}

/// The arguments of a call by their names.
pub fn arguments(pairs: &[(String, Value, Span)]) -> Value {
    Value::Record(pairs.iter().map(|(name, value, _)| (name.clone(), value.clone())).collect())
}

fn listed(params: &[ParamDecl]) -> String {
    params.iter().map(|p| p.name.name.as_str()).collect::<Vec<_>>().join(", ")
}
