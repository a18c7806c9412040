//! Inner problems: `argmin u of E(u, x) from u0 by rule max n`.
//! Law: the value is where the rule arrives; its derivatives are those of the minimum, by the implicit function theorem,
//! whatever the rule did: `du = -(d2E/du2)^-1 d2E/(du dx) dx`.
//!
//! It is two loops: one in which the rule descends, and one that starts there, takes no step and has the implicit
//! gradient by conjugate gradients (the step `u' = u - grad[u](E)` has a symmetric derivative).

use super::value::{Scope, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, ArgminExpr, Expr, ExprKind, Ident, IndexItem, Let, LoopExpr, LoopKind, Stmt, Target};
use crate::diag::{Code, Diagnostic, Span};
use std::rc::Rc;

impl Elab<'_> {
    /// Where the objective is least.
    pub fn argmin(&mut self, ast: &ArgminExpr, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let lacking = |what: &str, hint: &str| {
            let message = format!("this inner problem does not say {what}");
            fail(Diagnostic::error(Code::G0301, span, message).hint(hint.to_string()))
        };
        let Some(from) = &ast.from else {
            return lacking("where it starts", "for example `argmin u of E(u) from u0 by lbfgs() max 100`");
        };
        let Some(by) = &ast.by else {
            return lacking("which rule descends", "for example `by lbfgs()` or `by sgd(0.1)`");
        };
        let u = || named(&ast.var.name, ast.var.span);
        let slope = gradient(ast, span);
        let objective = make(ExprKind::Lambda(vec![ast.var.clone()], ast.of.clone()), ast.of.span);
        let next = call(by.clone(), vec![u(), slope.clone(), objective], by.span);
        let descent = self.inner_loop(ast, LoopKind::Iterate, from.clone(), next, span);
        let found = self.eval(&descent, scope)?;
        let inner = Scope::inside(scope);
        inner.set("<found>", found.clone());
        let still = call(named("stop", span), vec![named("<found>", from.span)], span);
        let next = make(ExprKind::Binary(crate::ast::BinaryOp::Sub, u(), slope), span);
        let held = self.inner_loop(ast, LoopKind::Fix, still, next, span);
        let value = self.eval(&held, &inner)?;
        self.same_fields(&found, &value);
        Ok(value)
    }

    /// A loop of the variable alone.
    fn inner_loop(&self, ast: &ArgminExpr, kind: LoopKind, first: Expr, next: Expr, span: Span) -> Expr {
        let fix = kind == LoopKind::Fix;
        let target = Target { name: ast.var.clone(), primed: true, indices: None, ty: None };
        let ast = LoopExpr {
            kind,
            over: None,
            count: None,
            condition: ast.until.clone().filter(|_| !fix),
            until: ast.until.is_some() && !fix,
            max: if fix { None } else { ast.max.clone() },
            by: fix.then(|| Ident { name: "cg".to_string(), span }),
            from: vec![(ast.var.clone(), first)],
            body: vec![Stmt::Let(Let { targets: vec![target], value: next, span })],
        };
        make(ExprKind::Loop(Box::new(ast)), span)
    }
}

/// `grad[u = u](E)`.
fn gradient(ast: &ArgminExpr, span: Span) -> Expr {
    let at = named(&ast.var.name, ast.var.span);
    let by = IndexItem::Bind { var: ast.var.clone(), dim: None, value: Some(at) };
    let grad = make(ExprKind::Bracket(named("grad", span), vec![by], None), span);
    call(grad, vec![ast.of.clone()], ast.of.span)
}

/// The expressions in it.
pub fn parts(ast: &ArgminExpr) -> Vec<&Expr> {
    let clauses = [&ast.from, &ast.by, &ast.until, &ast.max];
    std::iter::once(&ast.of).chain(clauses.into_iter().flatten()).collect()
}

/// `f(a, b)`.
pub fn call(f: Expr, args: Vec<Expr>, span: Span) -> Expr {
    make(ExprKind::Call(f, args.into_iter().map(|value| Arg { name: None, value }).collect()), span)
}

/// A name as an expression.
pub fn named(name: &str, span: Span) -> Expr {
    make(ExprKind::Name { name: name.to_string(), primed: false }, span)
}

fn make(kind: ExprKind, span: Span) -> Expr {
    Expr { kind: Box::new(kind), span }
}
