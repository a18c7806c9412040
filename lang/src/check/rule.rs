//! Rules: state machines on the tree of trained parameters.
//!
//! In a chain, transforms on the gradient (`on g`) run first to last; a rule on the weights that is not the last one
//! (`decay(k) |> sgd()`) gives the weights that the next one starts from.

use super::net::role_named;
use super::run::RuleState;
use super::value::{Leaf, Objective, Rule, Scope, Tensor, Tree, Value};
use super::{Check, Elab, Mode, fail};
use crate::ast::{Init, Stmt, VarDecl};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Elem, Role, StateId};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The name of the trained tree in the rule of a scope.
fn names_weights(scope: &Rc<Scope>) -> String {
    match scope.get("<weights>") {
        Some(Value::Text(name)) => name,
        _ => "w".to_string(),
    }
}

/// The states of a rule: name, then one state a leaf or a single one.
type RuleStates = Vec<(String, Vec<StateId>, bool, Span)>;

impl Elab<'_> {
    /// The next weights by a chain of rules.
    pub fn apply_rules(
        &mut self,
        rules: &[Rule],
        w: Tree,
        g: Option<Tree>,
        objective: Option<Rc<Objective>>,
        prefix: &str,
        span: Span,
    ) -> Check<Tree> {
        let (mut w, mut g) = (w, g);
        let mut done = false;
        for rule in rules {
            let head = rule.decl.head.clone();
            if head.weights.is_some() {
                w = self.apply_rule(rule, &w, g.as_ref(), objective.as_ref(), prefix)?;
                done = true;
            } else {
                let Some(gradient) = &g else {
                    return fail(Diagnostic::error(
                        Code::G0406,
                        rule.span,
                        format!("`{}` needs a gradient to change", rule.decl.name.name),
                    ));
                };
                g = Some(self.apply_rule(rule, &gradient.clone(), Some(gradient), objective.as_ref(), prefix)?);
            }
        }
        if !done {
            return fail(
                Diagnostic::error(Code::G0406, span, "this changes the gradient, but no rule uses it")
                    .hint("end the chain with a rule: `clip(1) |> sgd(lr)`"),
            );
        }
        Ok(w)
    }

    fn apply_rule(
        &mut self,
        rule: &Rule,
        subject: &Tree,
        g: Option<&Tree>,
        objective: Option<&Rc<Objective>>,
        prefix: &str,
    ) -> Check<Tree> {
        let decl = rule.decl.clone();
        let name = &decl.name.name;
        let scope = Scope::inside(&self.globals.clone());
        let args = if rule.args.is_empty() && !decl.params.is_empty() {
            let outer = scope.clone();
            self.pair(name, &decl.params, &[], rule.span, &outer)?.into_iter().map(|(n, v, _)| (n, v)).collect()
        } else {
            rule.args.clone()
        };
        for (n, v) in args {
            scope.set(n, v);
        }
        let t = self.step_number(rule.span);
        scope.set("t", Value::Tensor(t));
        let own = format!("{prefix}{name}");
        scope.set("<rule>", Value::Text(format!("{own}.")));
        if let Some(w) = &decl.head.weights {
            scope.set("<weights>", Value::Text(w.name.clone()));
        }
        let result = match (&decl.head.weights, &decl.head.gradient) {
            (Some(w), gradient) => {
                scope.set(&w.name, Value::Tree(subject.clone()));
                if let Some(gname) = gradient {
                    let Some(g) = g else {
                        return fail(Diagnostic::error(Code::G0406, rule.span, format!("`{name}` needs a gradient")));
                    };
                    scope.set(&gname.name, Value::Tree(g.clone()));
                }
                w.name.clone()
            }
            (None, Some(gname)) => {
                scope.set(&gname.name, Value::Tree(subject.clone()));
                gname.name.clone()
            }
            (None, None) => {
                return fail(Diagnostic::error(Code::G0402, decl.name.span, format!("`{name}` acts on nothing")));
            }
        };
        if let Some(l) = &decl.head.objective {
            let Some(o) = objective else {
                return fail(Diagnostic::error(
                    Code::G0406,
                    rule.span,
                    format!("`{name}` minimizes an objective and cannot be called by another rule"),
                ));
            };
            scope.set(&l.name, Value::Objective(o.clone()));
        }
        if let Some(z) = &decl.head.outputs {
            return self.later(z.span, "a rule that reads outputs (`of z`)");
        }
        let mut states: RuleStates = Vec::new();
        for stmt in &decl.body {
            self.rule_stmt(stmt, subject, &own, &result, &mut states, &scope)?;
        }
        self.advance_states(&states, &scope)?;
        let key = format!("{result}'");
        match scope.get(&key) {
            Some(v) => self.like_tree(subject, &v, rule.span),
            None => fail(
                Diagnostic::error(Code::G0403, decl.span, format!("`{name}` gives no next value `{key}`"))
                    .hint(format!("add an equation: `{key} = ...`")),
            ),
        }
    }

    /// The step as a number.
    pub fn step_number(&mut self, span: Span) -> Tensor {
        Tensor { id: self.term(crate::program::Op::Step, Elem::Real, vec![], span), axes: vec![] }
    }

    fn rule_stmt(
        &mut self,
        stmt: &Stmt,
        subject: &Tree,
        own: &str,
        result: &str,
        states: &mut RuleStates,
        scope: &Rc<Scope>,
    ) -> Check<()> {
        match stmt {
            Stmt::State(decls) => decls.iter().try_for_each(|d| self.rule_state(d, subject, own, states, scope)),
            Stmt::Let(l) => {
                let value = self.let_value(l, scope)?;
                match l.targets.as_slice() {
                    [t] if t.primed => {
                        let name = &t.name.name;
                        if name != result && !states.iter().any(|s| s.0 == *name) {
                            return fail(
                                Diagnostic::error(
                                    Code::G0107,
                                    t.name.span,
                                    format!("`{name}` is no state of this rule"),
                                )
                                .hint(format!("declare it: `state {name} = 0`")),
                            );
                        }
                        scope.set(format!("{name}'"), value);
                        Ok(())
                    }
                    targets => self.bind(targets, value, l.span, scope),
                }
            }
            Stmt::Each { roles, pattern, body, otherwise, span } => {
                if let Some(p) = pattern {
                    return self.later(p.span, "`each` with named axes");
                }
                let roles = roles.iter().map(role_named).collect::<Check<Vec<Role>>>()?;
                self.each(&roles, body, otherwise.as_deref(), subject, result, *span, scope)
            }
            Stmt::Sample { name, dist, like, span } => {
                let value = self.sample(&name.name, dist, like.as_ref(), *span, scope)?;
                scope.set(&name.name, value);
                Ok(())
            }
            Stmt::Param(d) | Stmt::Const(d) => fail(
                Diagnostic::error(Code::G0406, d.name.span, "a rule has states, not parameters").hint("use `state`"),
            ),
            Stmt::For { .. } => self.stmt(stmt, scope),
        }
    }

    /// `state m = 0`: one state a leaf, of the leaf's shape; with a type of its own, one state.
    fn rule_state(
        &mut self,
        decl: &VarDecl,
        subject: &Tree,
        own: &str,
        states: &mut RuleStates,
        scope: &Rc<Scope>,
    ) -> Check<()> {
        let name = &decl.name.name;
        let span = decl.name.span;
        if let Some(Init::Draw(e)) = &decl.init {
            return self.later(e.span, "a rule's state that starts from a draw");
        }
        let first = |elab: &mut Self| -> Check<Value> {
            let mode = Mode { first: true, instead: BTreeMap::new(), ..elab.mode.clone() };
            elab.in_mode(mode, |elab| {
                let start = Scope::inside(scope);
                let params: Vec<_> = subject.leaves.iter().filter_map(|l| l.param).collect();
                if params.len() == subject.leaves.len() {
                    let tree = elab.tree_of(&params, "", span);
                    start.set(names_weights(scope), Value::Tree(tree));
                }
                match &decl.init {
                    Some(Init::Value(e)) => elab.eval(e, &start),
                    _ => Ok(Value::Num(0.0)),
                }
            })
        };
        let value = first(self)?;
        if let Some(ty) = &decl.ty {
            let (elem, axes) = self.closed_type(ty, scope)?;
            let t = self.tensor(&value, span)?;
            let t = self.spread_like_axes(&t, &Tensor { id: t.id, axes: axes.clone() }, span)?;
            let id = self.new_state(format!("{own}.{name}"), elem, axes, t.id, span);
            self.rule_states.push(RuleState { rule: own.into(), name: name.clone(), tensors: vec![(None, id)] });
            let now = self.state_value(id, span);
            scope.set(name, Value::Tensor(now));
            states.push((name.clone(), vec![id], true, span));
            return Ok(());
        }
        let mut ids = Vec::new();
        let mut leaves = Vec::new();
        let firsts = self.like_tree(subject, &value, span)?;
        for (leaf, first) in subject.leaves.iter().zip(firsts.leaves) {
            let axes = leaf.value.axes.clone();
            let id = self.new_state(format!("{own}.{name}.{}", leaf.name), Elem::Real, axes, first.value.id, span);
            ids.push(id);
            let value = self.state_value(id, span);
            leaves.push(Leaf { value, param: None, ..leaf.clone() });
        }
        let tensors = leaves.iter().cloned().map(Some).zip(ids.iter().copied()).collect();
        self.rule_states.push(RuleState { rule: own.into(), name: name.clone(), tensors });
        scope.set(name, Value::Tree(Tree { leaves }));
        states.push((name.clone(), ids, false, span));
        Ok(())
    }

    /// `each weight { ... }`: the body with every tree taken leaf by leaf.
    #[allow(clippy::too_many_arguments)]
    fn each(
        &mut self,
        roles: &[Role],
        body: &[Stmt],
        otherwise: Option<&[Stmt]>,
        subject: &Tree,
        result: &str,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<()> {
        let trees: Vec<(String, Tree)> = scope
            .all()
            .into_iter()
            .filter_map(|n| match scope.get(&n) {
                Some(Value::Tree(t)) if t.leaves.len() == subject.leaves.len() => Some((n, t)),
                _ => None,
            })
            .collect();
        let mut next: BTreeMap<String, Vec<Option<Value>>> = BTreeMap::new();
        for (k, leaf) in subject.leaves.iter().enumerate() {
            let fits = roles.is_empty() || roles.contains(&leaf.role);
            let Some(stmts) = (if fits { Some(body) } else { otherwise }) else { continue };
            let inner = Scope::inside(scope);
            for (name, tree) in &trees {
                inner.set(name.as_str(), Value::Tensor(tree.leaves[k].value.clone()));
            }
            for stmt in stmts {
                let Stmt::Let(l) = stmt else {
                    if let Stmt::State(decls) = stmt {
                        return fail(
                            Diagnostic::error(
                                Code::G0406,
                                decls[0].name.span,
                                "a rule's states are declared before `each`",
                            )
                            .hint("a state without a type has one tensor for each parameter"),
                        );
                    }
                    self.stmt(stmt, &inner)?;
                    continue;
                };
                let value = self.let_value(l, &inner)?;
                match l.targets.as_slice() {
                    [t] if t.primed => {
                        let name = t.name.name.clone();
                        if name != result && !trees.iter().any(|x| x.0 == name) {
                            return fail(Diagnostic::error(
                                Code::G0107,
                                t.name.span,
                                format!("`{name}` is no state of this rule"),
                            ));
                        }
                        inner.set(format!("{name}'"), value.clone());
                        next.entry(name).or_insert_with(|| vec![None; subject.leaves.len()])[k] = Some(value);
                    }
                    targets => self.bind(targets, value, l.span, &inner)?,
                }
            }
        }
        if !next.contains_key(result) && scope.get(&format!("{result}'")).is_none() {
            next.insert(result.to_string(), vec![None; subject.leaves.len()]);
        }
        for (name, values) in next {
            let now = match scope.get(&format!("{name}'")).or_else(|| scope.get(&name)) {
                Some(v) => self.like_tree(subject, &v, span)?,
                None => unreachable!("checked when it was assigned"),
            };
            let mut leaves = Vec::new();
            for (leaf, value) in now.leaves.into_iter().zip(values) {
                let value = match value {
                    Some(v) => {
                        let t = self.tensor(&v, span)?;
                        self.spread_like(&t, &leaf.value, span)?
                    }
                    None => leaf.value.clone(),
                };
                leaves.push(Leaf { value, param: None, ..leaf });
            }
            scope.set(format!("{name}'"), Value::Tree(Tree { leaves }));
        }
        Ok(())
    }

    fn advance_states(&mut self, states: &RuleStates, scope: &Rc<Scope>) -> Check<()> {
        for (name, ids, single, span) in states {
            let Some(v) = scope.get(&format!("{name}'")) else {
                return fail(
                    Diagnostic::error(Code::G0403, *span, format!("the state `{name}` has no next value"))
                        .hint(format!("add an equation: `{name}' = ...`")),
                );
            };
            if *single {
                let t = self.tensor(&v, *span)?;
                let axes = self.unit.states[ids[0].index()].ty.axes.clone();
                let t = self.spread_like_axes(&t, &Tensor { id: t.id, axes }, *span)?;
                self.next_states.insert(ids[0], t.id);
                continue;
            }
            let mut like = Tree { leaves: Vec::new() };
            for id in ids {
                let value = self.state_value(*id, *span);
                like.leaves.push(Leaf { name: String::new(), role: Role::Weight, param: None, value });
            }
            let tree = self.like_tree(&like, &v, *span)?;
            for (id, (leaf, own)) in ids.iter().zip(tree.leaves.iter().zip(&like.leaves)) {
                let t = self.spread_like(&leaf.value, &own.value, *span)?;
                self.next_states.insert(*id, t.id);
            }
        }
        Ok(())
    }
}
