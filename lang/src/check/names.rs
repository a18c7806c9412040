//! Names of declarations that nothing uses: a function, net or rule is elaborated where it is called, so what is never
//! called would never be looked at.
//! Law: it only says that a name is unknown when no scope that the text could be evaluated in has it.

use super::items::Items;
use super::variables::children;
use super::{builtin, near};
use crate::ast::{
    Body, Expr, ExprKind, FnDecl, Ident, IndexItem, Init, NetDecl, RuleDecl, Stmt, TypeAxis, TypeExpr, VarDecl,
};
use crate::diag::{Code, Diagnostic};
use std::collections::HashSet;

/// The names in sight, innermost last.
struct Names<'a> {
    items: &'a Items,
    /// What the file and the library declare.
    declared: HashSet<String>,
    known: Vec<String>,
    found: Vec<Diagnostic>,
    /// Inside an index: an unknown name is a variable that nothing binds.
    index: bool,
}

/// Unknown names in the program's own functions, nets and rules.
pub fn unknown_names(items: &Items) -> Vec<Diagnostic> {
    let declared = items.names().into_iter().collect();
    let mut names = Names { items, declared, known: Vec::new(), found: Vec::new(), index: false };
    for decl in items.fns.values().filter(|d| !items.is_library(d.name.span.file)) {
        names.function(decl);
    }
    for decl in items.nets.values().filter(|d| !items.is_library(d.name.span.file)) {
        names.net(decl);
    }
    for decl in items.rules.values().filter(|d| !items.is_library(d.name.span.file)) {
        names.rule(decl);
    }
    names.found
}

impl Names<'_> {
    fn scoped(&mut self, f: impl FnOnce(&mut Self)) {
        let before = self.known.len();
        f(self);
        self.known.truncate(before);
    }

    fn know(&mut self, name: &Ident) {
        self.known.push(name.name.clone());
    }

    fn params(&mut self, params: &[crate::ast::ParamDecl]) {
        for p in params {
            if let Some(d) = &p.default {
                self.expr(d);
            }
            if let Some(ty) = &p.ty {
                self.signature(ty);
            }
            self.know(&p.name);
        }
    }

    /// A signature binds the names of dims that it finds.
    fn signature(&mut self, ty: &TypeExpr) {
        self.know(&ty.elem);
        for axis in &ty.axes {
            match axis {
                TypeAxis::Dim(e) | TypeAxis::Named(_, e) => match &*e.kind {
                    ExprKind::Name { name, .. } => self.known.push(name.clone()),
                    _ => self.expr(e),
                },
                TypeAxis::Rest(_) => {}
            }
            if let TypeAxis::Named(name, _) = axis {
                self.know(name);
            }
        }
    }

    fn function(&mut self, decl: &FnDecl) {
        self.scoped(|n| {
            decl.axes.iter().for_each(|a| n.know(a));
            n.params(&decl.params);
            decl.result.iter().for_each(|ty| n.signature(ty));
            n.scoped(|n| n.body(&decl.body));
            if let Some(b) = &decl.backward {
                n.know(&b.cotangent);
                decl.body.stmts.iter().for_each(|s| n.defines(s));
                n.body(&b.body);
            }
        });
    }

    fn net(&mut self, decl: &NetDecl) {
        self.scoped(|n| {
            n.params(&decl.statics);
            n.params(&decl.params);
            decl.result.iter().for_each(|ty| n.signature(ty));
            n.body(&decl.body);
        });
    }

    fn rule(&mut self, decl: &RuleDecl) {
        self.scoped(|n| {
            n.known.push("t".to_string());
            let head = &decl.head;
            for name in [&head.weights, &head.gradient, &head.objective, &head.outputs].into_iter().flatten() {
                n.know(name);
            }
            n.params(&decl.params);
            n.stmts(&decl.body);
        });
    }

    fn body(&mut self, body: &Body) {
        self.stmts(&body.stmts);
        body.value.iter().for_each(|v| self.expr(v));
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
            self.defines(stmt);
        }
    }

    fn defines(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Let(l) => l.targets.iter().for_each(|t| self.know(&t.name)),
            Stmt::Param(d) | Stmt::Const(d) => self.know(&d.name),
            Stmt::State(ds) => ds.iter().for_each(|d| self.know(&d.name)),
            Stmt::Sample { name, .. } => self.know(name),
            Stmt::Edges(d) => self.know(&d.name),
            Stmt::Each { .. } | Stmt::For { .. } | Stmt::Keep(_) | Stmt::Save(_) => {}
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Let(l) | Stmt::Keep(l) => self.scoped(|n| {
                for target in &l.targets {
                    target.indices.iter().flatten().for_each(|i| n.binder(i));
                }
                n.expr(&l.value);
            }),
            Stmt::Save(_) => {}
            Stmt::Edges(d) => self.scoped(|n| {
                d.arrow.iter().flat_map(|(u, v)| [u, v]).for_each(|i| n.binder(i));
                // What edges are made from is looked at where their names are known.
                if d.arrow.is_some() {
                    d.value.iter().for_each(|e| n.expr(e));
                }
            }),
            Stmt::Param(d) | Stmt::Const(d) => self.variable(d),
            Stmt::State(ds) => ds.iter().for_each(|d| self.variable(d)),
            Stmt::Sample { .. } => {}
            Stmt::Each { pattern, body, otherwise, .. } => {
                self.scoped(|n| {
                    if let Some(ExprKind::Bracket(_, items, _)) = pattern.as_ref().map(|p| &*p.kind) {
                        items.iter().for_each(|i| n.binder(i));
                    }
                    n.stmts(body);
                });
                self.scoped(|n| otherwise.iter().for_each(|o| n.stmts(o)));
            }
            Stmt::For { var, over, body, .. } => {
                self.expr(over);
                self.scoped(|n| {
                    n.know(var);
                    n.stmts(body);
                });
            }
        }
    }

    fn variable(&mut self, d: &VarDecl) {
        if let Some(Init::Value(e)) = &d.init {
            self.expr(e);
        }
    }

    fn binder(&mut self, item: &IndexItem) {
        match item {
            IndexItem::Expr(e) => {
                // A library operation takes several indices as one: `solve[(i, k), (j, l)](...)`.
                let parts =
                    if let ExprKind::Tuple(parts) = &*e.kind { parts.as_slice() } else { std::slice::from_ref(e) };
                for part in parts {
                    if let ExprKind::Name { name, .. } = &*part.kind {
                        self.known.push(name.clone());
                    }
                }
            }
            IndexItem::Bind { var, value, .. } => {
                value.iter().for_each(|v| self.expr(v));
                self.know(var);
            }
            IndexItem::Fiber { edge, node, .. } => {
                self.know(edge);
                self.know(node);
            }
            IndexItem::Rest(_) | IndexItem::Range(..) => {}
        }
    }

    fn expr(&mut self, e: &Expr) {
        match &*e.kind {
            ExprKind::Name { name, primed: false } => self.name(name, e),
            ExprKind::Lambda(params, body) => self.scoped(|n| {
                params.iter().for_each(|p| n.know(p));
                n.expr(body);
            }),
            ExprKind::Block(body) => self.scoped(|n| n.body(body)),
            ExprKind::Call(f, args) => match &*f.kind {
                // Brackets before a parenthesis bind: a reduction, a derivative, an axis.
                ExprKind::Bracket(base, items, guard) => self.scoped(|n| {
                    n.expr(base);
                    items.iter().for_each(|i| n.binder(i));
                    guard.iter().for_each(|g| n.expr(g));
                    args.iter().for_each(|a| n.expr(&a.value));
                }),
                _ => children(e).into_iter().for_each(|c| self.expr(c)),
            },
            ExprKind::Bracket(base, items, guard) => {
                self.expr(base);
                let before = std::mem::replace(&mut self.index, true);
                for item in items {
                    if let IndexItem::Expr(e) = item {
                        self.expr(e);
                    }
                }
                self.index = before;
                guard.iter().for_each(|g| self.expr(g));
            }
            // A field's name and the paths of `with` are looked up in the value.
            ExprKind::With(base, pairs) => {
                self.expr(base);
                pairs.iter().for_each(|(_, v)| self.expr(v));
            }
            ExprKind::Loop(_) | ExprKind::Argmin(_) => {}
            _ => children(e).into_iter().for_each(|c| self.expr(c)),
        }
    }

    /// A name is reported where it first stands.
    fn find(&mut self, d: Diagnostic) {
        if self.found.iter().all(|f| f.message != d.message) {
            self.found.push(d);
        }
    }

    fn name(&mut self, name: &str, e: &Expr) {
        const WORDS: [&str; 7] = ["pi", "π", "inf", "eps", "true", "false", "training"];
        if self.known.iter().any(|k| k == name)
            || self.declared.contains(name)
            || WORDS.contains(&name)
            || builtin::builtin(name).is_some()
            || super::net::DISTRIBUTIONS.contains(&name)
        {
            return;
        }
        let mut all: Vec<String> = self.known.clone();
        all.extend(self.items.names());
        all.extend(builtin::SCALAR.iter().map(|s| s.0.to_string()));
        all.extend(builtin::REDUCTIONS.iter().map(|s| s.0.to_string()));
        let d = Diagnostic::error(Code::G0101, e.span, format!("unknown name `{name}`"));
        if self.index && (name.chars().count() <= 2 || near(name, all.clone()).is_none()) {
            return self.find(*super::index::unbound(Box::new(d)));
        }
        if let Some(d) = super::foreign_name(name, e.span) {
            return self.find(d);
        }
        self.find(match near(name, all) {
            Some(n) => d.hint(format!("did you mean `{n}`?")),
            None => d.hint("names are defined by equations, `param`, `dim`, `data`, or imported by `use`"),
        });
    }
}
