//! Loops with states and inner problems: clauses in any order.

use super::{Builder, Node, Parts, Rule};
use crate::ast::{ArgminExpr, Expr, Ident, LoopExpr, LoopKind};
use crate::diag::Span;

impl Builder<'_> {
    pub(super) fn loop_expr(&mut self, node: Node) -> LoopExpr {
        let span = self.span(&node);
        let kind = match node.as_rule() {
            Rule::scan_expr => LoopKind::Scan,
            Rule::fix_expr => LoopKind::Fix,
            _ => LoopKind::Iterate,
        };
        let mut parts = Parts::of(node);
        let over = parts.take(Rule::name).map(|n| self.ident(&n));
        let first = parts.take(Rule::ops).map(|n| self.expr(n));
        let (over, count) = match over {
            Some(var) => (Some((var, first.expect("`scan` names a dim"))), None),
            None => (None, first),
        };
        let mut from = self.loop_states(&mut parts);
        for more in parts.all(Rule::loop_from) {
            from.extend(self.loop_states(&mut Parts::of(more)));
        }
        let (condition, until) = self.loop_condition(&mut parts, span);
        let max = self.once(&mut parts, Rule::loop_max, "max").map(|mut p| self.need_expr(&mut p));
        let by = self.once(&mut parts, Rule::loop_by, "by").map(|mut p| self.ident(&p.need(Rule::name)));
        let body = self.statements(parts.need(Rule::block));
        LoopExpr { kind, over, count, condition, until, max, by, from, body }
    }

    fn loop_states(&mut self, parts: &mut Parts) -> Vec<(Ident, Expr)> {
        let states = parts.all(Rule::loop_state).into_iter().map(Parts::of);
        states.map(|mut p| (self.ident(&p.need(Rule::name)), self.need_expr(&mut p))).collect()
    }

    /// `while c` or `until c`, and which of the two it is.
    fn loop_condition(&mut self, parts: &mut Parts, span: Span) -> (Option<Expr>, bool) {
        let go_on = self.once(parts, Rule::loop_while, "while").map(|mut p| self.need_expr(&mut p));
        let stop = self.once(parts, Rule::loop_until, "until").map(|mut p| self.need_expr(&mut p));
        if go_on.is_some() && stop.is_some() {
            self.error(span, "a loop has `while` or `until`, not both", "join the two conditions by `and`");
        }
        let until = stop.is_some();
        (go_on.or(stop), until)
    }

    /// The children of the only clause of this kind.
    pub(super) fn once<'i>(&mut self, parts: &mut Parts<'i>, rule: Rule, word: &str) -> Option<Parts<'i>> {
        let clause = parts.take(rule)?;
        if let Some(again) = parts.take(rule) {
            self.error(self.span(&again), format!("`{word}` stands here twice"), "leave one of them out");
        }
        Some(Parts::of(clause))
    }

    /// `argmin u of E(u, x) from 0 by lbfgs() max 500`.
    pub(super) fn argmin_expr(&mut self, node: Node) -> ArgminExpr {
        let mut parts = Parts::of(node);
        let var = self.ident(&parts.need(Rule::name));
        let of = self.expr(parts.need(Rule::ops));
        let mut clause = |rule, word: &str| self.once(&mut parts, rule, word).map(|mut p| self.need_expr(&mut p));
        ArgminExpr {
            var,
            of,
            from: clause(Rule::argmin_from, "from"),
            by: clause(Rule::argmin_by, "by"),
            until: clause(Rule::loop_until, "until"),
            max: clause(Rule::loop_max, "max"),
        }
    }
}
