//! Calls: of functions, axis functions, nets, rules, objectives and runs.

use super::builtin::builtin;
use super::library::is_library;
use super::value::{Closure, Instance, Net, Rule, Scope, Tensor, Value};
use super::{Check, Elab, fail, near};
use crate::ast::{Arg, Expr, ExprKind, FnDecl, Ident, IndexItem, ParamDecl};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Op, Run, RunId};
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
            if let Value::Builtin(known) = self.eval(base, scope)?
                && is_library(known)
            {
                return match guard {
                    None => self.library_call(known, items, args, span, scope),
                    Some(g) => self.later(g.span, "a guard of a library operation"),
                };
            }
            if let Value::Fn(decl) = self.eval(base, scope)? {
                return self.axis_function(&decl, items, guard.as_ref(), args, span, scope);
            }
        }
        let callee = self.eval(f, scope)?;
        match callee {
            Value::Builtin(name) => self.call_builtin(name, args, span, scope),
            Value::Fn(decl) => self.call_fn(&decl, args, span, scope),
            Value::Lambda(closure) => self.call_lambda(&closure, args, span, scope),
            Value::Net(net) => self.call_net(net, args, span, scope),
            Value::Instance(instance) => self.call_instance(&instance, args, span, scope),
            Value::Rules(rules) => self.call_rule(rules, args, span, scope),
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
                    Code::G0301,
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
                        Diagnostic::error(Code::G0301, span, message)
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
        let d = Diagnostic::error(Code::G0301, name.span, format!("`{what}` has no argument `{}`", name.name));
        fail(match near(&name.name, params.iter().map(|p| p.name.name.clone())) {
            Some(n) => d.hint(format!("did you mean `{n}`?")),
            None => d.hint(format!("it is `{what}({})`", listed(params))),
        })
    }

    fn call_fn(&mut self, decl: &Rc<FnDecl>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if !decl.axes.is_empty() {
            return fail(
                Diagnostic::error(Code::G0301, span, format!("`{}` needs to know its dim", decl.name.name))
                    .hint(format!("write `{}[dim](...)`", decl.name.name)),
            );
        }
        let pairs = self.pair(&decl.name.name, &decl.params, args, span, scope)?;
        if let Some(tree) = pairs.iter().find_map(|p| if let Value::Tree(t) = &p.1 { Some(t.clone()) } else { None })
            && decl.params.iter().all(|p| p.ty.is_none())
            && pairs.iter().filter(|p| matches!(p.1, Value::Tree(_))).count() == 1
            && pairs.len() == 1
        {
            let values = [Value::Tree(tree.clone())];
            return self.leafwise(&tree, &values, span, |elab, parts| {
                let pairs = vec![(pairs[0].0.clone(), parts[0].clone(), pairs[0].2)];
                elab.run_fn(decl, pairs, span)
            });
        }
        self.run_fn(decl, pairs, span)
    }

    fn run_fn(&mut self, decl: &Rc<FnDecl>, mut pairs: Vec<(String, Value, Span)>, span: Span) -> Check<Value> {
        let inner = Scope::inside(&self.home(decl.name.span));
        for ((name, value, at), param) in pairs.iter_mut().zip(&decl.params) {
            if let Some(ty) = &param.ty {
                *value =
                    self.expect_type(value, ty, name, *at, &inner).map_err(|d| called(d, span, &decl.name.name))?;
            }
            inner.set(name.as_str(), value.clone());
        }
        inner.set("<fn>", Value::Truth(true));
        if decl.backward.is_some() {
            return self.with_backward(decl, pairs, &inner, span);
        }
        let value = self.body(&decl.body, &inner).map_err(|d| called(d, span, &decl.name.name))?;
        match &decl.result {
            Some(ty) => self.expect_type(&value, ty, &decl.name.name, decl.body.span, &inner),
            None => Ok(value),
        }
    }

    /// A function with a gradient by hand.
    fn with_backward(
        &mut self,
        decl: &Rc<FnDecl>,
        pairs: Vec<(String, Value, Span)>,
        inner: &Rc<Scope>,
        span: Span,
    ) -> Check<Value> {
        let backward = decl.backward.as_ref().expect("the caller looked");
        let mut inputs = Vec::new();
        for (name, value, at) in &pairs {
            if matches!(value, Value::Tensor(_)) {
                let t = self.tensor(value, *at)?;
                let ty = self.ty(t.id).clone();
                let point = self.point();
                let id = self.term(Op::Point(t.id, point), ty.elem, ty.axes, *at);
                let t = Tensor { id, axes: t.axes };
                inner.set(name, Value::Tensor(t.clone()));
                inputs.push(t);
            }
        }
        let value = self.body(&decl.body, inner)?;
        let value = self.tensor(&value, decl.body.span)?;
        let ty = self.ty(value.id).clone();
        let point = self.point();
        let cotangent = self.term(Op::Point(value.id, point), Elem::Real, ty.axes.clone(), span);
        let scope = Scope::inside(inner);
        scope.set(&backward.cotangent.name, Value::Tensor(Tensor { id: cotangent, axes: value.axes.clone() }));
        let back = self.body(&backward.body, &scope)?;
        let parts = match back {
            Value::Tuple(parts) => parts,
            one => vec![one],
        };
        if parts.len() != inputs.len() {
            let message = format!("`backward` gives {} gradients for {} arguments", parts.len(), inputs.len());
            return fail(Diagnostic::error(Code::G0305, backward.span, message));
        }
        let mut terms = Vec::new();
        for (part, input) in parts.iter().zip(&inputs) {
            let t = self.tensor(part, backward.span)?;
            terms.push(self.summed_like(&t, input, backward.span)?.id);
        }
        let op = Op::Custom { value: value.id, inputs: inputs.iter().map(|t| t.id).collect(), cotangent, back: terms };
        let id = self.term(op, ty.elem, ty.axes, span);
        Ok(Value::Tensor(Tensor { id, axes: value.axes }))
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

    /// A cotangent in the shape of its input: summed over the axes along which the input was repeated.
    fn summed_like(&mut self, t: &Tensor, input: &Tensor, span: Span) -> Check<Tensor> {
        let (t, _) = self.align(input, t, (span, span))?;
        let own = self.ty(input.id).axes.clone();
        let extra: Vec<Axis> = self.ty(t.id).axes.iter().copied().filter(|a| !own.contains(a)).collect();
        let t = if extra.is_empty() { t } else { self.reduce(crate::program::Red::Sum, &t, &extra, None, span) };
        self.spread_like(&t, input, span)
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

    fn call_instance(&mut self, instance: &Rc<Instance>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let name = instance.net.decl.name.name.clone();
        let pairs = self.pair(&name, &instance.net.decl.params.clone(), args, span, scope)?;
        self.run_net(instance, pairs, span).map(|(v, _)| v)
    }

    fn call_rule(&mut self, mut rules: Vec<Rule>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let mut values = Vec::new();
        for arg in args {
            if arg.name.is_none() {
                values.push(self.eval(&arg.value, scope)?);
            }
        }
        if values.iter().any(|v| matches!(v, Value::Tree(_))) {
            let [w, g] = values.as_slice() else {
                return fail(Diagnostic::error(
                    Code::G0301,
                    span,
                    "a rule is applied to the parameters and the gradient: `base(w, g)`",
                ));
            };
            let (Value::Tree(w), Value::Tree(g)) = (w, g) else {
                return fail(Diagnostic::error(Code::G0406, span, "a rule is applied to two trees: `base(w, g)`"));
            };
            let prefix =
                scope.get("<rule>").map(|v| if let Value::Text(t) = v { t } else { String::new() }).unwrap_or_default();
            return self.apply_rules(&rules, w.clone(), Some(g.clone()), None, &prefix, span).map(Value::Tree);
        }
        let Some(last) = rules.last_mut() else { unreachable!("a chain has a rule") };
        if !last.args.is_empty() || rules.len() != 1 {
            return fail(Diagnostic::error(Code::G0406, span, "this rule has its arguments already"));
        }
        let decl = rules[0].decl.clone();
        let pairs = self.pair(&decl.name.name, &decl.params, args, span, scope)?;
        rules[0].args = pairs.into_iter().map(|(n, v, _)| (n, v)).collect();
        rules[0].span = span;
        Ok(Value::Rules(rules))
    }

    fn call_program(&mut self, name: &str, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let mut params = self.items.program_params(name);
        params.push("seed".to_string());
        let mut given = Vec::new();
        for (k, arg) in args.iter().enumerate() {
            let key = match &arg.name {
                Some(n) => n.name.clone(),
                None => params.get(k).cloned().unwrap_or_default(),
            };
            if !params.contains(&key) {
                let at = arg.name.as_ref().map_or(arg.value.span, |n| n.span);
                let d = Diagnostic::error(Code::G0301, at, format!("`{name}` has no argument `{key}`"));
                return fail(d.hint(format!("its arguments are {}", params.join(", "))));
            }
            let v = self.eval(&arg.value, scope)?;
            given.push((key, self.static_num(&v, arg.value.span)?));
        }
        let run = Run { train: name.to_string(), args: given, span };
        let same = |r: &Run| r.train == run.train && r.args == run.args;
        let k = match self.unit.runs.iter().position(same) {
            Some(k) => k,
            None => {
                self.unit.runs.push(run);
                self.unit.runs.len() - 1
            }
        };
        Ok(Value::Run(k))
    }

    /// `a.b`.
    pub fn field(&mut self, base: &Expr, field: &Ident, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if let ExprKind::Call(f, args) = &*base.kind
            && let Some(found) = self.inner_equation(f, args, field, span, scope)?
        {
            return Ok(found);
        }
        let v = self.eval(base, scope)?;
        if let Some(end) = self.edge_field(&v, field, span) {
            return end;
        }
        if let Some(found) = self.loop_field(&v, &field.name) {
            return Ok(found);
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
                Some((_, v)) => Ok(v.clone()),
                None => fail(self.no_field(&field.name, field.span, fields.into_iter().map(|f| f.0).collect())),
            },
            Value::Data(k, split) => self.data_field(k, split.as_deref(), field),
            Value::Instance(instance) if field.name == "frozen" => {
                Ok(Value::Instance(Rc::new(Instance { frozen: true, ..(*instance).clone() })))
            }
            Value::Instance(instance) => {
                let tree = self.instance_tree(&instance, span);
                self.tree_field(&tree, field)
            }
            Value::Tree(tree) => self.tree_field(&tree, field),
            Value::Run(k) => {
                let mut names = self.items.reports(&self.unit.runs[k].train);
                names.extend(["loss".to_string(), "finite".to_string()]);
                if !names.contains(&field.name) {
                    return fail(self.no_field(&field.name, field.span, names));
                }
                let id = self.term(Op::Run(RunId::new(k), field.name.clone()), Elem::Real, vec![], span);
                Ok(Value::Tensor(Tensor { id, axes: vec![] }))
            }
            other => fail(Diagnostic::error(
                Code::G0105,
                field.span,
                format!("{} has no field `{}`", other.what(), field.name),
            )),
        }
    }

    pub fn no_field(&self, name: &str, span: Span, known: Vec<String>) -> Diagnostic {
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

    /// A function of the language by its name.
    pub fn builtin_value(&self, name: &str) -> Option<Value> {
        builtin(name).map(Value::Builtin)
    }
}

/// Adds the place of the call to a finding inside what was called.
pub fn called(mut d: Box<Diagnostic>, span: Span, name: &str) -> Box<Diagnostic> {
    if d.span != Some(span) && d.labels.len() < 6 {
        d.labels.push(crate::diag::Label { span, text: format!("in this call of `{name}`") });
    }
    d
}

fn listed(params: &[ParamDecl]) -> String {
    params.iter().map(|p| p.name.name.as_str()).collect::<Vec<_>>().join(", ")
}
