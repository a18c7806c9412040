//! Statements and blocks.
//! Law: a line is read once as a list of pieces; what it is (an equation, a draw, a value, a record) is decided here.

use super::expr::make;
use super::{Builder, Node, Parts, Rule};
use crate::ast::{Body, Expr, ExprKind, Ident, Init, Let, Stmt, Target, TypeExpr, VarDecl};
use crate::diag::Span;

/// One part of a line: `target : ty = value`, or `target ~ draw like tree`.
pub(super) struct Piece {
    pub target: Expr,
    pub ty: Option<TypeExpr>,
    pub value: Option<Expr>,
    pub draw: Option<(Expr, Option<Expr>)>,
    pub span: Span,
}

impl Piece {
    /// Is it a value and nothing else?
    fn is_bare(&self) -> bool {
        self.ty.is_none() && self.value.is_none() && self.draw.is_none()
    }
}

/// What a line turns out to be.
pub(super) enum Line {
    Stmts(Vec<Stmt>),
    Value(Expr),
}

impl Builder<'_> {
    pub(super) fn pieces(&mut self, line: Node) -> Vec<Piece> {
        Parts::of(line).all(Rule::part).into_iter().map(|part| self.piece(part)).collect()
    }

    fn piece(&mut self, node: Node) -> Piece {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let target = self.need_expr(&mut parts);
        let ty = parts.take(Rule::ty).map(|n| self.ty(n));
        let draw = parts.take(Rule::ops).map(|n| self.expr(n));
        let like = parts.take(Rule::like).map(|n| self.need_expr(&mut Parts::of(n)));
        let value = parts.take(Rule::expr).map(|n| self.expr(n));
        Piece { target, ty, value, draw: draw.map(|d| (d, like)), span }
    }

    pub(super) fn line(&mut self, node: Node) -> Line {
        let span = self.span(&node);
        let mut pieces = self.pieces(node);
        if pieces.iter().all(Piece::is_bare) {
            let mut values: Vec<Expr> = pieces.into_iter().map(|p| p.target).collect();
            return Line::Value(if values.len() == 1 { values.remove(0) } else { make(ExprKind::Tuple(values), span) });
        }
        if pieces.len() > 1 && pieces.iter().all(|p| p.value.is_some()) {
            let lets = pieces.into_iter().map(|p| Stmt::Let(self.equation(p.span, vec![p])));
            return Line::Stmts(lets.collect());
        }
        if pieces.len() == 1 && pieces[0].draw.is_some() {
            let piece = pieces.remove(0);
            return Line::Stmts(self.sample(piece).into_iter().collect());
        }
        let last = pieces.last().expect("a line has a part");
        if last.value.is_some() && pieces[..pieces.len() - 1].iter().all(Piece::is_bare) {
            return Line::Stmts(vec![Stmt::Let(self.equation(span, pieces))]);
        }
        if last.ty.is_some() && last.value.is_none() {
            self.error(span, "a name with a type but no value", "give it a value: `x: real[n] = ...`");
        } else {
            self.error(span, "several definitions on one line", "put each on a line of its own, or `;` between them");
        }
        Line::Stmts(Vec::new())
    }

    /// `targets = value`; the value stands in the last piece.
    pub(super) fn equation(&mut self, span: Span, pieces: Vec<Piece>) -> Let {
        let mut targets = Vec::new();
        let mut defined = None;
        for piece in pieces {
            self.target(piece.target, piece.ty, &mut targets);
            defined = piece.value;
        }
        Let { targets, value: defined.expect("an equation has a value"), span }
    }

    fn target(&mut self, left: Expr, ty: Option<TypeExpr>, targets: &mut Vec<Target>) {
        let span = left.span;
        match *left.kind {
            ExprKind::Name { name, primed } => {
                targets.push(Target { name: Ident { name, span }, primed, indices: None, ty })
            }
            ExprKind::Bracket(on, items, None) if matches!(&*on.kind, ExprKind::Name { .. }) => {
                if let ExprKind::Name { name, primed } = *on.kind {
                    let name = Ident { name, span: on.span };
                    targets.push(Target { name, primed, indices: Some(items), ty });
                }
            }
            ExprKind::Tuple(parts) if ty.is_none() => {
                for part in parts {
                    self.target(part, None, targets);
                }
            }
            ExprKind::Call(..) => {
                self.error(span, "an equation defines a name, not a call", "write `fn f(x) = ...`, or `f = x => ...`")
            }
            ExprKind::Field(..) => {
                let hint = "values do not change; `theta with { enc.w = q }` is a tree with another leaf";
                self.error(span, "an equation defines a name, not a field", hint);
            }
            _ => self.error(span, "an equation defines a name", "write a name, `y[i]` or `(a, b)` left of `=`"),
        }
    }

    fn sample(&mut self, piece: Piece) -> Option<Stmt> {
        let (dist, like) = piece.draw.expect("a draw has a distribution");
        if let (ExprKind::Name { name, primed: false }, None) = (&*piece.target.kind, &piece.ty) {
            let name = Ident { name: name.clone(), span: piece.target.span };
            return Some(Stmt::Sample { name, dist, like, span: piece.span });
        }
        self.error(
            piece.target.span,
            "a draw defines a plain name",
            "write the axes at the distribution: `z ~ normal[n, d]`",
        );
        None
    }

    pub(super) fn stmt(&mut self, node: Node, stmts: &mut Vec<Stmt>) -> Option<Expr> {
        match node.as_rule() {
            Rule::line => match self.line(node) {
                Line::Stmts(lines) => stmts.extend(lines),
                Line::Value(value) => return Some(value),
            },
            Rule::param_stmt => stmts.extend(self.var_decls(node).into_iter().map(Stmt::Param)),
            Rule::const_stmt => stmts.extend(self.var_decls(node).into_iter().map(Stmt::Const)),
            Rule::state_stmt => stmts.push(Stmt::State(self.var_decls(node))),
            Rule::for_stmt => stmts.push(self.for_stmt(node)),
            Rule::each_stmt => stmts.push(self.each(node)),
            Rule::edges_decl => stmts.push(Stmt::Edges(Box::new(self.edges(node)))),
            Rule::save_stmt => {
                let names = Parts::of(node).all(Rule::name);
                stmts.push(Stmt::Save(self.idents(names)));
            }
            Rule::keep_stmt => stmts.extend(self.keep(node)),
            other => unreachable!("{other:?} is no statement"),
        }
        None
    }

    /// Statements that end in a value.
    pub(super) fn body(&mut self, block: Node) -> Body {
        let span = self.span(&block);
        let (mut stmts, mut value) = (Vec::new(), None::<Expr>);
        for node in Parts::of(block).rest() {
            if let Some(unused) = value.take() {
                self.unused(
                    unused.span,
                    "this value is not used",
                    "only the last line of a block is its value; name this one",
                );
            }
            value = self.stmt(node, &mut stmts);
        }
        Body { stmts, value, span }
    }

    /// As [`Self::body`], where a value must be.
    pub(super) fn valued(&mut self, block: Node, what: &str) -> Body {
        let end = self.span(&block).end;
        let body = self.body(block);
        if body.value.is_none() {
            let place = Span { file: self.file, start: end.saturating_sub(1), end };
            self.error(place, format!("{what} has no value"), "end the block with the value, on a line of its own");
        }
        body
    }

    /// Statements without a value.
    pub(super) fn statements(&mut self, block: Node) -> Vec<Stmt> {
        let mut stmts = Vec::new();
        for node in Parts::of(block).rest() {
            let value = self.stmt(node, &mut stmts);
            self.refuse_value(value);
        }
        stmts
    }

    pub(super) fn refuse_value(&mut self, value: Option<Expr>) {
        if let Some(value) = value {
            let hint = match called_method(&value) {
                Some(method) => crate::foreign::method(method),
                None => None,
            };
            let hint = hint.unwrap_or_else(|| "define a name by it: `name = ...`".into());
            self.unused(value.span, "a value alone does nothing here", &hint);
        }
    }

    /// `{mu, logvar}` and `{mu = x}` are records; any other braces are a block with a value.
    pub(super) fn braces(&mut self, node: Node) -> Expr {
        let span = self.span(&node);
        let block = Parts::of(node).need(Rule::block);
        let mut inner: Vec<Node> = Parts::of(block.clone()).rest().collect();
        if let [only] = inner.as_slice()
            && is_record(only)
        {
            let pieces = self.pieces(inner.remove(0));
            return make(ExprKind::Record(pieces.into_iter().filter_map(|p| self.entry_of(p)).collect()), span);
        }
        let body = self.valued(block, "this block");
        make(ExprKind::Block(body), span)
    }

    fn entry_of(&mut self, piece: Piece) -> Option<(Ident, Expr)> {
        let ExprKind::Name { name, primed: false } = &*piece.target.kind else {
            self.error(piece.target.span, "a field of a record is a name", "write `{mu = a, logvar = b}`");
            return None;
        };
        let name = Ident { name: name.clone(), span: piece.target.span };
        Some((name, piece.value.unwrap_or(piece.target)))
    }

    fn var_decls(&mut self, node: Node) -> Vec<VarDecl> {
        Parts::of(node).all(Rule::var_decl).into_iter().map(|decl| self.var_decl(decl)).collect()
    }

    fn var_decl(&mut self, node: Node) -> VarDecl {
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let ty = parts.take(Rule::ty).map(|n| self.ty(n));
        let value = self.once(&mut parts, Rule::init_value, "=").map(|mut p| self.need_expr(&mut p));
        let draw = self.once(&mut parts, Rule::init_draw, "~").map(|mut p| self.need_expr(&mut p));
        if let (Some(_), Some(draw)) = (&value, &draw) {
            self.error(draw.span, "both `=` and `~`", "a first value is an expression (`=`) or a draw (`~`)");
        }
        let like = self.once(&mut parts, Rule::like, "like").map(|mut p| self.need_expr(&mut p));
        let role = self.once(&mut parts, Rule::role, "role").map(|mut p| self.ident(&p.need(Rule::name)));
        let domain = self.once(&mut parts, Rule::domain, "in").map(|p| self.domain(p));
        VarDecl { name, ty, init: value.map(Init::Value).or(draw.map(Init::Draw)), like, role, domain }
    }

    /// `simplex`, or `box(lo, hi)` for `lo..hi`.
    fn domain(&mut self, mut parts: Parts) -> Expr {
        let ranged = parts.has(Rule::dots);
        let low = self.need_expr(&mut parts);
        if !ranged {
            return low;
        }
        let span = low.span;
        let name = |name: &str| make(ExprKind::Name { name: name.into(), primed: false }, span);
        let high = self.take_expr(&mut parts).unwrap_or_else(|| name("inf"));
        let args = [low, high].map(|value| crate::ast::Arg { name: None, value });
        make(ExprKind::Call(name("box"), args.into()), span)
    }

    /// `keep w' = project(w')`.
    fn keep(&mut self, node: Node) -> Option<Stmt> {
        let span = self.span(&node);
        match self.line(Parts::of(node).need(Rule::line)) {
            Line::Stmts(mut stmts) if stmts.len() == 1 => match stmts.remove(0) {
                Stmt::Let(l) => return Some(Stmt::Keep(l)),
                _ => self.error(span, "`keep` holds an equation", "write `keep w' = project(w')`"),
            },
            _ => self.error(span, "`keep` holds an equation", "write `keep w' = project(w')`"),
        }
        None
    }

    fn for_stmt(&mut self, node: Node) -> Stmt {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let var = self.ident(&parts.need(Rule::name));
        let over = match parts.take(Rule::edges_into) {
            Some(node) => {
                let span = self.span(&node);
                let dim = self.ident(&Parts::of(node).need(Rule::name));
                Expr { kind: Box::new(ExprKind::EdgesInto(dim)), span }
            }
            None => self.need_expr(&mut parts),
        };
        Stmt::For { var, over, body: self.statements(parts.need(Rule::block)), span }
    }

    fn each(&mut self, node: Node) -> Stmt {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let roles = parts.all(Rule::each_role).into_iter().map(|r| self.ident(&Parts::of(r).need(Rule::name)));
        let roles = roles.collect();
        let pattern = parts.take(Rule::each_pattern).map(|p| self.each_pattern(p));
        let body = self.statements(parts.need(Rule::block));
        let otherwise = parts.take(Rule::block).map(|b| self.statements(b));
        Stmt::Each { roles, pattern, body, otherwise, span }
    }

    /// `w[r, c]` as an expression.
    fn each_pattern(&mut self, node: Node) -> Expr {
        let span = self.span(&node);
        let names = Parts::of(node).all(Rule::name);
        let mut names = self.idents(names).into_iter().map(|n| Expr::name(n.name, n.span));
        let tensor = names.next().expect("a pattern names a tensor");
        make(ExprKind::Bracket(tensor, names.map(crate::ast::IndexItem::Expr).collect(), None), span)
    }
}

/// Is this line, alone between braces, a list of fields?
fn is_record(line: &Node) -> bool {
    if line.as_rule() != Rule::line {
        return false;
    }
    let parts: Vec<Node> = line.clone().into_inner().filter(|n| n.as_rule() == Rule::part).collect();
    let fields = parts.iter().all(|part| {
        let mut children = part.clone().into_inner();
        let name = children.next().is_some_and(|target| is_plain_name(target.as_str().trim()));
        name && children.all(|child| matches!(child.as_rule(), Rule::eq | Rule::expr))
    });
    let valued = |part: &Node| part.clone().into_inner().any(|child| child.as_rule() == Rule::eq);
    fields && (parts.len() > 1 || parts.iter().any(valued))
}

fn is_plain_name(text: &str) -> bool {
    text.chars().all(super::layout::is_name_char) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// `step` of `optimizer.step()`.
fn called_method(value: &Expr) -> Option<&str> {
    let ExprKind::Call(on, _) = &*value.kind else { return None };
    let ExprKind::Field(_, method) = &*on.kind else { return None };
    Some(&method.name)
}
