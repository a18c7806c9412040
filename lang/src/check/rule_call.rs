//! Calls of rules: with hyperparameters, and on weights and a gradient.

use super::argmin::named;
use super::value::{Inner, Leaf, Objective, Rule, Scope, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::Arg;
use crate::diag::{Code, Diagnostic, Span};
use crate::program::Role;
use std::rc::Rc;

impl Elab<'_> {
    pub fn call_rule(&mut self, mut rules: Vec<Rule>, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let mut values = Vec::new();
        for arg in args {
            if arg.name.is_none() {
                values.push(self.eval(&arg.value, scope)?);
            }
        }
        if let Some(next) = self.rule_on_tensors(&rules, &values, span, scope)? {
            return Ok(next);
        }
        if values.iter().any(|v| matches!(v, Value::Tree(_))) {
            let [w, g, rest @ ..] = values.as_slice() else {
                return fail(Diagnostic::error(
                    Code::G0301,
                    span,
                    "a rule is applied to the parameters and the gradient: `base(w, g)`",
                ));
            };
            let (Value::Tree(w), Value::Tree(g)) = (w, g) else {
                return fail(Diagnostic::error(Code::G0406, span, "a rule is applied to two trees: `base(w, g)`"));
            };
            let prefix = rule_prefix(scope);
            let objective = inner_objective(rest.first(), false, span);
            return self.apply_rules(&rules, w.clone(), Some(g.clone()), objective, &prefix, span).map(Value::Tree);
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

    /// `sgd(0.1)(u, g)` of tensors: a tree with one leaf each.
    fn rule_on_tensors(
        &mut self,
        rules: &[Rule],
        values: &[Value],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Option<Value>> {
        let named = rules.iter().all(|r| !r.args.is_empty() || r.decl.params.is_empty());
        let [Value::Tensor(w), g @ (Value::Tensor(_) | Value::Num(_)), ..] = values else { return Ok(None) };
        if !named || values.len() > 3 {
            return Ok(None);
        }
        let leaf = |value| Tree { leaves: vec![Leaf { name: String::new(), role: Role::Weight, param: None, value }] };
        let w = leaf(w.clone());
        let g = self.like_tree(&w, g, span)?;
        let objective = inner_objective(values.get(2), true, span);
        let mut next = self.apply_rules(rules, w, Some(g), objective, &rule_prefix(scope), span)?;
        Ok(Some(Value::Tensor(next.leaves.remove(0).value)))
    }
}

/// The third argument of a rule that minimizes: the objective as a function.
fn inner_objective(function: Option<&Value>, tensor: bool, span: Span) -> Option<Rc<Objective>> {
    let objective = Objective {
        loss: named("<function>", span),
        outputs: None,
        axes: vec![],
        pass: String::new(),
        negated: false,
        over: vec![],
        inner: Some(Inner { function: function?.clone(), tensor }),
    };
    Some(Rc::new(objective))
}

/// What the states of a rule that is called here are named by.
fn rule_prefix(scope: &Rc<Scope>) -> String {
    match scope.get("<rule>") {
        Some(Value::Text(t)) => t,
        _ => String::new(),
    }
}
