//! Rules: state machines on the tree of trained parameters.
//!
//! In a chain, transforms on the gradient (`on g`) run first to last; a rule on the weights that is not the last one
//! (`decay(k) |> sgd()`) gives the weights that the next one starts from.

use super::carry::Slot;
use super::each::Each;
use super::run::RuleState;
use super::store::role_named;
use super::value::{Leaf, Objective, Rule, Scope, Tensor, Tree, Value};
use super::{Check, Elab, Mode, fail};
use crate::ast::{Expr, ExprKind, IndexItem, Init, Stmt, TypeAxis, TypeExpr, VarDecl};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, Op, Role, Ty, UnitKind};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The name of the trained tree in the rule of a scope.
fn names_weights(scope: &Rc<Scope>) -> String {
    match scope.get("<weights>") {
        Some(Value::Text(name)) => name,
        _ => "w".to_string(),
    }
}

/// First weights, as the scope has those of now: a tree, or inside `each` its one tensor.
fn as_before(scope: &Rc<Scope>, mut tree: Tree) -> Value {
    match scope.get(&names_weights(scope)) {
        Some(Value::Tensor(_)) if tree.leaves.len() == 1 => Value::Tensor(tree.leaves.remove(0).value),
        _ => Value::Tree(tree),
    }
}

/// The states of a rule: name, then one state a leaf or a single one.
type RuleStates = Vec<(String, Vec<Slot>, bool, Span)>;

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
        let scope = Scope::inside(&self.home(decl.name.span));
        let args = if rule.args.is_empty() && !decl.params.is_empty() {
            let outer = scope.clone();
            self.pair(name, &decl.params, &[], rule.span, &outer)?.into_iter().map(|(n, v, _)| (n, v)).collect()
        } else {
            rule.args.clone()
        };
        for (n, v) in args {
            scope.set(n, v);
        }
        let t = self.rule_step(rule.span)?;
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
                return fail(
                    Diagnostic::error(
                        Code::G0406,
                        rule.span,
                        format!("`{name}` minimizes an objective, and none is given here"),
                    )
                    .hint(format!("hand it over as a function: `{name}()(w, g, u => E(u))`")),
                );
            };
            scope.set(&l.name, Value::Objective(o.clone()));
        }
        if let (Some(z), Some(o)) = (&decl.head.outputs, objective) {
            if o.outputs.as_ref().is_none_or(|l| l.targets.len() != 1) {
                let message = format!("`{name}` reads the outputs of the objective, and this line names none");
                return fail(
                    Diagnostic::error(Code::G0406, rule.span, message)
                        .label(z.span, "read here")
                        .hint("name them: `minimize loss(z, y) where z = f(x) over f by rule()`"),
                );
            }
            scope.set(&z.name, Value::Outputs(o.clone()));
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

    /// The step as a number, from 1; in a stage, its own.
    pub fn step_number(&mut self, span: Span) -> Tensor {
        let step = self.term(Op::Step, Elem::Real, vec![], span);
        let Some(before) = self.clock else { return Tensor { id: step, axes: vec![] } };
        let before = self.term(Op::Hyper(before), Elem::Real, vec![], span);
        Tensor { id: self.term(Op::Map(Fun::Sub, vec![step, before]), Elem::Real, vec![], span), axes: vec![] }
    }

    /// How often the rule was applied, this time included: the step, unless it is applied every so many steps.
    fn rule_step(&mut self, span: Span) -> Check<Tensor> {
        if let Some(t) = self.step_of_loop(span)? {
            return Ok(t);
        }
        // A task has no steps: what is applied in it is applied for the first time.
        if self.unit.kind != UnitKind::Train {
            return Ok(self.constant(1.0, Elem::Real, span));
        }
        let t = self.step_number(span);
        match self.stride {
            None | Some(1) => Ok(t),
            Some(n) => {
                let n = self.constant(n as f64, Elem::Real, span);
                let turns = self.map2(Fun::Div, &t, &n, span)?;
                Ok(self.map1(Fun::Floor, &turns, span))
            }
        }
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
                let names = pattern.as_ref().map(pattern_names).unwrap_or_default();
                let shape =
                    |r: &&crate::ast::Ident| pattern.is_none() || !matches!(r.name.as_str(), "matrix" | "vector");
                let roles = roles.iter().filter(shape).map(role_named).collect::<Check<Vec<Role>>>()?;
                let names = pattern.as_ref().map(|_| names.as_slice());
                let each = Each { roles, names, body, otherwise: otherwise.as_deref(), span: *span };
                self.each(&each, subject, (own, result), scope)
            }
            Stmt::Sample { name, dist, like, span } => {
                let value = self.sample(&name.name, dist, like.as_ref(), *span, scope)?;
                scope.set(&name.name, value);
                Ok(())
            }
            Stmt::Param(d) | Stmt::Const(d) => fail(
                Diagnostic::error(Code::G0406, d.name.span, "a rule has states, not parameters").hint("use `state`"),
            ),
            Stmt::Keep(l) => fail(
                Diagnostic::error(Code::G0406, l.span, "`keep` belongs to a parameter, where it is declared")
                    .hint("a rule gives its next value: `w' = ...`"),
            ),
            Stmt::For { .. } | Stmt::Save(_) | Stmt::Edges(_) => self.stmt(stmt, scope),
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
        let history = decl.ty.as_ref().filter(|ty| ty.elem.name == "tree");
        if let Some(ty) = decl.ty.as_ref().filter(|_| history.is_none()) {
            let ty = self.state_type(ty, scope)?;
            let (slot, now) = self.state_tensor(decl, ty, subject, format!("{own}.{name}"), scope)?;
            self.note_states(own, name, vec![(None, slot.clone())]);
            scope.set(name, Value::Tensor(now));
            states.push((name.clone(), vec![slot], true, span));
            return Ok(());
        }
        let value = self.first_of_state(decl, subject, scope)?;
        let around = self.around_loop(subject);
        let mut slots = Vec::new();
        let mut leaves = Vec::new();
        let firsts = if history.is_some() { None } else { Some(self.like_tree(subject, &value, span)?) };
        for (k, leaf) in subject.leaves.iter().enumerate() {
            let axes = self.state_axes(history, &leaf.value.axes, scope)?;
            let first = match (&decl.init, &firsts, &value) {
                (Some(Init::Draw(e)), ..) => {
                    self.draw_first(e, &axes, &format!("{own} {name} {}", leaf.name), scope)?
                }
                (_, Some(firsts), _) => firsts.leaves[k].value.clone(),
                (_, None, Value::Tree(t)) if t.leaves.len() == subject.leaves.len() => t.leaves[k].value.clone(),
                _ => self.tensor(&value, span)?,
            };
            let like = Tensor { id: leaf.value.id, axes: axes.clone() };
            let first = self.spread_like_axes(&first, &like, span)?;
            let state = format!("{own}.{name}.{}", leaf.name).trim_end_matches('.').to_string();
            let (slot, value) = self.rule_slot(state, Ty { elem: Elem::Real, axes }, first.id, &around, span)?;
            slots.push(slot);
            leaves.push(Leaf { value, param: None, ..leaf.clone() });
        }
        self.note_states(own, name, leaves.iter().cloned().map(Some).zip(slots.iter().cloned()).collect());
        scope.set(name, Value::Tree(Tree { leaves }));
        states.push((name.clone(), slots, false, span));
        Ok(())
    }

    /// A state with a type of its own, and its value now.
    pub fn state_tensor(
        &mut self,
        decl: &VarDecl,
        ty: Ty,
        subject: &Tree,
        name: String,
        scope: &Rc<Scope>,
    ) -> Check<(Slot, Tensor)> {
        let span = decl.name.span;
        let value = self.first_of_state(decl, subject, scope)?;
        let t = match &decl.init {
            Some(Init::Draw(e)) => {
                let (of, own) = name.rsplit_once('.').unwrap_or(("", &name));
                self.draw_first(e, &ty.axes, &format!("{of} {own}"), scope)?
            }
            _ => self.tensor(&value, span)?,
        };
        let t = self.first_in(&t, ty.elem, &decl.name)?;
        let like = Tensor { id: t.id, axes: ty.axes.clone() };
        let t = self.spread_like_axes(&t, &like, span)?;
        let around = self.around_loop(subject);
        self.rule_slot(name, ty, t.id, &around, span)
    }

    /// The type that a state of a rule is declared with.
    pub fn state_type(&mut self, ty: &TypeExpr, scope: &Rc<Scope>) -> Check<Ty> {
        if super::types::is_narrow(&ty.elem.name) {
            let message = format!("a rule's state keeps `real` or `int`, not `{}`", ty.elem.name);
            let d = Diagnostic::error(Code::G0205, ty.elem.span, message);
            return fail(d.hint(format!("round what it is given: `m' = {}(...)`", ty.elem.name)));
        }
        let (elem, axes) = self.closed_type(ty, scope)?;
        Ok(Ty { elem, axes })
    }

    /// The first value of a rule's state, at the first weights.
    fn first_of_state(&mut self, decl: &VarDecl, subject: &Tree, scope: &Rc<Scope>) -> Check<Value> {
        let start = Scope::inside(scope);
        let first = |elab: &mut Self| match &decl.init {
            Some(Init::Value(e)) => elab.eval(e, &start),
            _ => Ok(Value::Num(0.0)),
        };
        if self.in_a_loop() {
            let tree = self.first_in_loop(subject);
            start.set(names_weights(scope), as_before(scope, tree));
            return first(self);
        }
        let mode = Mode { first: true, instead: BTreeMap::new(), ..self.mode.clone() };
        self.in_mode(mode, |elab| {
            let params: Vec<_> = subject.leaves.iter().filter_map(|l| l.param).collect();
            if params.len() == subject.leaves.len() {
                let tree = elab.tree_of(&params, "", decl.name.span);
                start.set(names_weights(scope), as_before(scope, tree));
            }
            first(elab)
        })
    }

    /// Notes states that a run's fields may name; those that a loop carries end with it.
    pub fn note_states(&mut self, own: &str, name: &str, slots: Vec<(Option<Leaf>, Slot)>) {
        let held = |(leaf, slot)| match slot {
            Slot::State(id) => Some((leaf, id)),
            Slot::Carried(_) => None,
        };
        let tensors: Vec<_> = slots.into_iter().filter_map(held).collect();
        if !tensors.is_empty() {
            self.rule_states.push(RuleState { rule: own.into(), name: name.into(), tensors });
        }
    }

    /// The axes of a state's tensor for a leaf: in front those of a history, `state h: tree[past]`.
    fn state_axes(&mut self, history: Option<&TypeExpr>, leaf: &[Axis], scope: &Rc<Scope>) -> Check<Vec<Axis>> {
        let mut axes: Vec<Axis> = Vec::new();
        for axis in history.iter().flat_map(|ty| &ty.axes) {
            let TypeAxis::Dim(e) = axis else {
                let span = history.map_or_else(Span::default, |ty| ty.span);
                return fail(Diagnostic::error(Code::G0209, span, "a history names its dims: `tree[past]`"));
            };
            let v = self.eval(e, scope)?;
            let dim = self.dim(&v, e.span)?;
            let taken: Vec<Axis> = axes.iter().chain(leaf).copied().collect();
            axes.push(self.fresh_axis(dim, &taken));
        }
        axes.extend(leaf.iter().copied());
        Ok(axes)
    }

    /// What a rule gives a state as its next value.
    pub fn next_of_state(&self, name: &str, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let next = scope.get(&format!("{name}'"));
        next.map_or_else(
            || {
                let d = Diagnostic::error(Code::G0403, span, format!("the state `{name}` has no next value"));
                fail(d.hint(format!("add an equation: `{name}' = ...`")))
            },
            Ok,
        )
    }

    /// The next value of a state that is one tensor.
    pub fn advance_tensor(&mut self, slot: &Slot, next: &Value, span: Span) -> Check<()> {
        let t = self.tensor(next, span)?;
        let now = self.slot_value(slot, span);
        let t = self.spread_like_axes(&t, &now, span)?;
        self.advance_slot(slot, t.id);
        Ok(())
    }

    fn advance_states(&mut self, states: &RuleStates, scope: &Rc<Scope>) -> Check<()> {
        for (name, ids, single, span) in states {
            let v = self.next_of_state(name, *span, scope)?;
            if *single {
                self.advance_tensor(&ids[0], &v, *span)?;
                continue;
            }
            let mut like = Tree { leaves: Vec::new() };
            for slot in ids {
                let value = self.slot_value(slot, *span);
                like.leaves.push(Leaf { name: String::new(), role: Role::Weight, param: None, value });
            }
            let tree = self.like_tree(&like, &v, *span)?;
            for (slot, (leaf, own)) in ids.iter().zip(tree.leaves.iter().zip(&like.leaves)) {
                let t = self.spread_like(&leaf.value, &own.value, *span)?;
                self.advance_slot(slot, t.id);
            }
        }
        Ok(())
    }
}

/// The names of a tensor's axes in `each w[r, c]`.
fn pattern_names(pattern: &Expr) -> Vec<String> {
    let ExprKind::Bracket(_, items, _) = &*pattern.kind else { return Vec::new() };
    let name = |i: &IndexItem| match i {
        IndexItem::Expr(e) => match &*e.kind {
            ExprKind::Name { name, .. } => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    items.iter().filter_map(name).collect()
}
