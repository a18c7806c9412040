//! Which set of edges is meant: by its name, by a name that stands for it, by what a variable indexes, or all that arrive
//! at a dim.

use super::edges::EdgeSet;
use super::value::{Scope, Value};
use super::{Check, Elab, fail};
use crate::ast::{Expr, Ident};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::DimId;
use std::collections::BTreeMap;
use std::rc::Rc;

impl Elab<'_> {
    /// The sets of edges that can be meant here: those of the unit's data, or all, and the computed ones.
    pub fn sets_in_sight(&self, scope: &Rc<Scope>) -> Vec<EdgeSet> {
        let mut sets: Vec<EdgeSet> = match self.data {
            Some(k) => self.items.filled_by(k).cloned().collect(),
            None => self.items.edges.clone(),
        };
        sets.extend(self.made_in_sight(scope));
        sets
    }

    /// The set of edges with that dim.
    pub fn edges_over(&self, dim: DimId) -> Option<EdgeSet> {
        let declared = self.items.edges.iter().find(|e| e.dim == dim);
        declared.or_else(|| self.made_over(dim).map(|m| &m.set)).cloned()
    }

    /// The set of edges of that name, or the one that a name in sight stands for.
    pub(super) fn edges_named(&mut self, name: &Ident, scope: &Rc<Scope>) -> Option<EdgeSet> {
        match (scope.get(&name.name), self.items.edge_set(&name.name)) {
            (Some(Value::Dim(dim)), _) => return self.edges_over(dim),
            (_, Some(set)) => return Some(set.clone()),
            _ => {}
        }
        // A definition of a train block is evaluated when it is asked for.
        match self.quietly(&Expr::name(&name.name, name.span), scope) {
            Some(Value::Dim(dim)) => self.edges_over(dim),
            _ => None,
        }
    }

    /// The sets of edges in sight that arrive at a dim, as their dims: what `for R in edges into paper` goes through.
    pub fn edges_into(&mut self, dim: &Ident, scope: &Rc<Scope>) -> Check<Value> {
        let value = self.eval(&Expr::name(&dim.name, dim.span), scope)?;
        let to = self.index_dim(&value, dim.span)?;
        let into: Vec<Value> =
            self.sets_in_sight(scope).into_iter().filter(|e| e.dst == to).map(|e| Value::Dim(e.dim)).collect();
        if into.is_empty() {
            let message = format!("no edges arrive at `{}`", dim.name);
            return fail(self.no_set(message, dim.span, Code::G0101, scope));
        }
        Ok(Value::Tuple(into))
    }

    /// The set of edges that a variable goes over: the one written, the one whose arrays it indexes, the one of its name,
    /// or the only one.
    pub fn set_of(&mut self, edge: &Ident, set: Option<&Ident>, body: &[&Expr], scope: &Rc<Scope>) -> Check<EdgeSet> {
        if let Some(set) = set {
            return match self.edges_named(set, scope) {
                Some(found) => Ok(found),
                None => fail(self.no_set(format!("there are no edges `{}`", set.name), set.span, Code::G0101, scope)),
            };
        }
        let mut found = BTreeMap::new();
        for e in body {
            self.infer(std::slice::from_ref(&edge.name), e, scope, &mut found);
        }
        if let Some(dim) = found.get(&edge.name) {
            return match self.edges_over(*dim) {
                Some(found) => Ok(found),
                None => {
                    let message =
                        format!("`{}` is an index of `{}`, which are no edges", edge.name, self.dim_name(*dim));
                    fail(self.no_set(message, edge.span, Code::G0210, scope))
                }
            };
        }
        if let Some(set) = self.edges_named(edge, scope) {
            return Ok(set);
        }
        match &self.sets_in_sight(scope)[..] {
            [one] => Ok(one.clone()),
            _ => {
                let message = format!("which edges the variable `{}` goes over is not clear", edge.name);
                fail(self.no_set(message, edge.span, Code::G0211, scope))
            }
        }
    }

    pub fn no_set(&self, message: String, span: Span, code: Code, scope: &Rc<Scope>) -> Diagnostic {
        let names: Vec<String> = self.sets_in_sight(scope).into_iter().map(|e| e.name).collect();
        let d = Diagnostic::error(code, span, message);
        match names.first() {
            Some(first) => {
                d.hint(format!("write the set, `sum[e: {first} -> v](...)`; there are {}", names.join(", ")))
            }
            None => d.hint("declare edges: `edges cite: node -> node`"),
        }
    }
}
