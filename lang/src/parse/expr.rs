//! Expressions, indices and types.
//! Law: precedence stands in one table, [`PRATT`].

use std::sync::LazyLock;

use pest::pratt_parser::{Assoc, Op, PrattParser};

use super::stmt::Piece;
use super::{Builder, Node, Parts, Rule, name};
use crate::ast::{Arg, BinaryOp, Expr, ExprKind, Ident, IndexItem, TypeAxis, TypeExpr, UnaryOp};
use crate::diag::{Code, Diagnostic, Span};

/// From the loosest to the tightest.
static PRATT: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::op_pipe))
        .op(left(Rule::op_or))
        .op(left(Rule::op_and))
        .op(Op::prefix(Rule::op_not))
        .op(left(Rule::op_le)
            | left(Rule::op_ge)
            | left(Rule::op_eq)
            | left(Rule::op_ne)
            | left(Rule::op_lt)
            | left(Rule::op_gt))
        .op(left(Rule::op_add) | left(Rule::op_sub))
        .op(left(Rule::op_mul)
            | left(Rule::op_div)
            | left(Rule::op_int_div)
            | left(Rule::op_mod)
            | left(Rule::op_matmul))
        .op(Op::prefix(Rule::op_neg))
        .op(Op::infix(Rule::op_pow, Assoc::Right))
        .op(Op::prefix(Rule::op_root))
});

/// The operator of the Ast; `None` for `|>`.
fn binary(rule: Rule) -> Option<BinaryOp> {
    Some(match rule {
        Rule::op_or => BinaryOp::Or,
        Rule::op_and => BinaryOp::And,
        Rule::op_le => BinaryOp::Le,
        Rule::op_ge => BinaryOp::Ge,
        Rule::op_eq => BinaryOp::Eq,
        Rule::op_ne => BinaryOp::Ne,
        Rule::op_lt => BinaryOp::Lt,
        Rule::op_gt => BinaryOp::Gt,
        Rule::op_add => BinaryOp::Add,
        Rule::op_sub => BinaryOp::Sub,
        Rule::op_mul => BinaryOp::Mul,
        Rule::op_div => BinaryOp::Div,
        Rule::op_int_div => BinaryOp::IntDiv,
        Rule::op_mod => BinaryOp::Mod,
        Rule::op_matmul => BinaryOp::MatMul,
        Rule::op_pow => BinaryOp::Pow,
        _ => return None,
    })
}

fn is_comparison(rule: Rule) -> bool {
    matches!(rule, Rule::op_le | Rule::op_ge | Rule::op_eq | Rule::op_ne | Rule::op_lt | Rule::op_gt)
}

pub(super) fn make(kind: ExprKind, span: Span) -> Expr {
    Expr { kind: Box::new(kind), span }
}

fn named(name: &str, span: Span) -> Expr {
    make(ExprKind::Name { name: name.into(), primed: false }, span)
}

/// `f(x)` with the same place for both.
fn call_of(function: &str, args: Vec<Expr>, span: Span) -> Expr {
    let args = args.into_iter().map(|value| Arg { name: None, value }).collect();
    make(ExprKind::Call(named(function, span), args), span)
}

fn infix(left: Expr, op: Rule, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    make(
        match binary(op) {
            Some(op) => ExprKind::Binary(op, left, right),
            None => ExprKind::Pipe(left, right),
        },
        span,
    )
}

fn prefix(op: Rule, place: Span, operand: Expr) -> Expr {
    let span = place.to(operand.span);
    match op {
        Rule::op_neg => make(ExprKind::Unary(UnaryOp::Neg, operand), span),
        Rule::op_not => make(ExprKind::Unary(UnaryOp::Not, operand), span),
        _ => call_of("sqrt", vec![operand], span),
    }
}

impl Builder<'_> {
    pub(super) fn ident(&self, node: &Node) -> Ident {
        Ident { name: name::ascii(node.as_str().trim_end()), span: self.span(node) }
    }

    pub(super) fn idents(&self, nodes: Vec<Node>) -> Vec<Ident> {
        nodes.iter().map(|n| self.ident(n)).collect()
    }

    /// An `expr` or `ops` that the grammar demands among these children.
    pub(super) fn need_expr(&mut self, parts: &mut Parts) -> Expr {
        self.take_expr(parts).expect("the grammar demands an expression here")
    }

    pub(super) fn take_expr(&mut self, parts: &mut Parts) -> Option<Expr> {
        let node = parts.take(Rule::expr).or_else(|| parts.take(Rule::ops))?;
        Some(self.expr(node))
    }

    /// An `expr` or `ops`.
    pub(super) fn expr(&mut self, node: Node) -> Expr {
        if node.as_rule() == Rule::ops {
            return self.ops(node);
        }
        let mut parts = Parts::of(node);
        if let Some(lambda) = parts.take(Rule::lambda) {
            return self.lambda(lambda);
        }
        let value = self.ops(parts.need(Rule::ops));
        match parts.take(Rule::expr) {
            None => value,
            Some(outside) => {
                let outside = self.expr(outside);
                let span = value.span.to(outside.span);
                make(ExprKind::Else(value, outside), span)
            }
        }
    }

    fn lambda(&mut self, node: Node) -> Expr {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let params = self.idents(Parts::of(parts.need(Rule::lambda_params)).all(Rule::name));
        let body = self.need_expr(&mut parts);
        make(ExprKind::Lambda(params, body), span)
    }

    fn ops(&mut self, node: Node) -> Expr {
        self.refuse_chains(&node);
        let file = self.file;
        let place = |n: &Node| Span { file, start: n.as_span().start() as u32, end: n.as_span().end() as u32 };
        PRATT
            .map_primary(|n| self.term(n))
            .map_prefix(|op, operand| prefix(op.as_rule(), place(&op), operand))
            .map_infix(|left, op, right| infix(left, op.as_rule(), right))
            .parse(node.into_inner())
    }

    /// `a < b < c` would compare a truth value with `c`.
    fn refuse_chains(&mut self, node: &Node) {
        let mut compared = false;
        for child in node.clone().into_inner() {
            let rule = child.as_rule();
            if is_comparison(rule) && std::mem::replace(&mut compared, true) {
                self.error(self.span(&child), "comparisons do not chain", "write `a < b and b < c`");
            } else if matches!(rule, Rule::op_and | Rule::op_or | Rule::op_not | Rule::op_pipe) {
                compared = false;
            }
        }
    }

    fn term(&mut self, node: Node) -> Expr {
        let mut children = node.into_inner();
        let mut value = self.primary(children.next().expect("a term begins with a primary"));
        for child in children {
            value = self.postfix(value, child);
        }
        value
    }

    fn postfix(&mut self, on: Expr, node: Node) -> Expr {
        let span = on.span.to(self.span(&node));
        let kind = match node.as_rule() {
            Rule::call => ExprKind::Call(on, self.args(node)),
            Rule::bracket => self.bracket(on, node),
            Rule::field => ExprKind::Field(on, self.ident(&Parts::of(node).need(Rule::name))),
            Rule::at => ExprKind::At(on, self.need_expr(&mut Parts::of(node))),
            Rule::with => ExprKind::With(on, self.with(node)),
            Rule::square => {
                let exponent = if node.as_str() == "³" { 3.0 } else { 2.0 };
                ExprKind::Binary(BinaryOp::Pow, on, make(ExprKind::Number(exponent), self.span(&node)))
            }
            other => unreachable!("{other:?} follows no primary"),
        };
        make(kind, span)
    }

    fn args(&mut self, node: Node) -> Vec<Arg> {
        let mut parts = Parts::of(node);
        let semicolon = parts.take(Rule::semicolon);
        let mut args: Vec<Arg> = parts.all(Rule::arg).into_iter().map(|arg| self.arg(arg)).collect();
        if let Some(semicolon) = semicolon {
            // `L(w; fresh)` is `L(w, fresh = true)`.
            let is_fresh = |a: &Arg| {
                a.name.is_none() && matches!(&*a.value.kind, ExprKind::Name { name, primed: false } if name == "fresh")
            };
            match args.last_mut() {
                Some(arg) if is_fresh(arg) => {
                    arg.name = Some(Ident { name: "fresh".to_string(), span: arg.value.span });
                    arg.value = named("true", arg.value.span);
                }
                _ => self.unsupported(self.span(&semicolon), "an argument behind `;` other than `fresh`"),
            }
        }
        args
    }

    fn arg(&mut self, node: Node) -> Arg {
        let mut parts = Parts::of(node);
        let name = parts.take(Rule::name).map(|n| self.ident(&n));
        Arg { name, value: self.need_expr(&mut parts) }
    }

    fn bracket(&mut self, on: Expr, node: Node) -> ExprKind {
        let mut parts = Parts::of(node);
        let guard = parts.take(Rule::guard).map(|g| self.guard(g));
        let mut items = self.index_items(parts);
        if matches!(&*on.kind, ExprKind::Name { name, .. } if name == "∂") {
            items = items.into_iter().map(along_one).collect();
            return ExprKind::Bracket(named("along", on.span), items, guard);
        }
        ExprKind::Bracket(on, items, guard)
    }

    /// `j < i`, or `graph_of[v] = g`.
    fn guard(&mut self, node: Node) -> Expr {
        let mut parts = Parts::of(node);
        let left = self.need_expr(&mut parts);
        match self.take_expr(&mut parts) {
            Some(right) => infix(left, Rule::op_eq, right),
            None => left,
        }
    }

    pub(super) fn index_items(&mut self, parts: Parts) -> Vec<IndexItem> {
        parts.rest().filter_map(|node| self.index_item(node)).collect()
    }

    fn index_item(&mut self, node: Node) -> Option<IndexItem> {
        let (rule, span) = (node.as_rule(), self.span(&node));
        let mut parts = Parts::of(node);
        Some(match rule {
            Rule::rest => IndexItem::Rest(span),
            Rule::range_to => IndexItem::Range(None, Some(self.need_expr(&mut parts)), span),
            Rule::fiber => {
                let set = parts.take(Rule::fiber_dim).map(|n| self.ident(&Parts::of(n).need(Rule::name)));
                let (edge, node) = (self.ident(&parts.need(Rule::name)), self.ident(&parts.need(Rule::name)));
                IndexItem::Fiber { edge, set, node, arrives: parts.has(Rule::arrow) }
            }
            Rule::bind => {
                let var = self.ident(&parts.need(Rule::name));
                let dim = parts.take(Rule::ops).map(|n| self.expr(n));
                IndexItem::Bind { var, dim, value: parts.take(Rule::expr).map(|n| self.expr(n)) }
            }
            Rule::slice => {
                let (ranged, first) = (parts.has(Rule::dots), self.need_expr(&mut parts));
                match ranged {
                    true => IndexItem::Range(Some(first), self.take_expr(&mut parts), span),
                    false => IndexItem::Expr(first),
                }
            }
            _ => return None,
        })
    }

    fn with(&mut self, node: Node) -> Vec<(Expr, Expr)> {
        let inner = Parts::of(node).rest().last().expect("`with` has a form");
        let (rule, span) = (inner.as_rule(), self.span(&inner));
        let mut parts = Parts::of(inner);
        match rule {
            Rule::with_index => {
                let value = self.ops(parts.need(Rule::ops));
                let items = self.index_items(parts);
                let place = items.into_iter().filter_map(|item| self.entry(item, span)).collect();
                vec![(make(ExprKind::Stack(place), span), value)]
            }
            Rule::with_option => {
                let [option, setting] = [parts.need(Rule::name), parts.need(Rule::name)].map(|n| self.ident(&n));
                vec![(named(&option.name, option.span), named(&setting.name, setting.span))]
            }
            _ => {
                let pieces: Vec<Piece> = parts.all(Rule::line).into_iter().flat_map(|l| self.pieces(l)).collect();
                pieces.into_iter().filter_map(|piece| self.replacement(piece)).collect()
            }
        }
    }

    /// One index of `x with [i, j] = v`.
    fn entry(&mut self, item: IndexItem, span: Span) -> Option<Expr> {
        if let IndexItem::Expr(index) = item {
            return Some(index);
        }
        self.unsupported(span, "replacing more than one entry by `with`");
        None
    }

    fn replacement(&mut self, piece: Piece) -> Option<(Expr, Expr)> {
        if let (Some(value), None, None) = (piece.value, piece.ty, piece.draw) {
            return Some((piece.target, value));
        }
        self.error(piece.span, "a leaf and its new value are expected", "write `theta with { enc.w = q }`");
        None
    }

    fn primary(&mut self, node: Node) -> Expr {
        let span = self.span(&node);
        let kind = match node.as_rule() {
            Rule::var => return self.var(node),
            Rule::group => return self.group(node),
            Rule::braces => return self.braces(node),
            Rule::number => ExprKind::Number(self.number(&node)),
            Rule::text => ExprKind::Text(text_of(&node)),
            Rule::stack => ExprKind::Stack(Parts::of(node).all(Rule::expr).into_iter().map(|e| self.expr(e)).collect()),
            Rule::sign => return named(sign_name(node.as_str()), span),
            Rule::if_expr => {
                let mut parts = Parts::of(node);
                let [c, a, b] = [0; 3].map(|_| self.need_expr(&mut parts));
                ExprKind::If(c, a, b)
            }
            Rule::file_ref => ExprKind::FileRef(text_of(&Parts::of(node).need(Rule::text))),
            Rule::columns => self.columns(node),
            Rule::column => {
                ExprKind::Column(self.primary(Parts::of(node).rest().last().expect("`column` has a value")))
            }
            Rule::scan_expr | Rule::fix_expr | Rule::iterate_expr => ExprKind::Loop(Box::new(self.loop_expr(node))),
            Rule::argmin_of => ExprKind::Argmin(Box::new(self.argmin_expr(node))),
            Rule::sample_of => self.sample_of(node),
            other => unreachable!("{other:?} is no primary"),
        };
        make(kind, span)
    }

    /// `sample 10 of cite[-> v]`.
    fn sample_of(&mut self, node: Node) -> ExprKind {
        let mut parts = Parts::of(node);
        let number = parts.take(Rule::number).map(|n| self.primary(n));
        let mut names = self.idents(parts.all(Rule::name)).into_iter();
        let mut name = || names.next().expect("the grammar has a name here");
        let count = number.unwrap_or_else(|| {
            let count = name();
            Expr::name(count.name, count.span)
        });
        ExprKind::SampleOf { count, set: name(), node: name() }
    }

    fn var(&mut self, node: Node) -> Expr {
        let written = node.as_str();
        let plain = written.trim_end_matches(['\'', '′']);
        let kind = ExprKind::Name { name: name::ascii(plain), primed: plain.len() < written.len() };
        make(kind, self.span(&node))
    }

    pub(super) fn number(&mut self, node: &Node) -> f64 {
        let written = node.as_str();
        let (digits, unit) = match written.strip_suffix('%') {
            Some(digits) => (digits, 100.0),
            None => (written, 1.0),
        };
        match digits.parse::<f64>() {
            Ok(value) => value / unit,
            Err(_) => {
                let span = self.span(node);
                self.errors.push(Diagnostic::error(Code::G0003, span, format!("`{written}` is not a number")));
                0.0
            }
        }
    }

    /// `(a)` is `a` itself, with the place of the brackets.
    fn group(&mut self, node: Node) -> Expr {
        let span = self.span(&node);
        let single = !node.as_str().trim_end_matches([')', ' ', '\t', '\r']).ends_with(',');
        let mut inner: Vec<Expr> = Parts::of(node).all(Rule::expr).into_iter().map(|e| self.expr(e)).collect();
        match inner.pop() {
            Some(only) if inner.is_empty() && single => Expr { span, ..only },
            last => {
                inner.extend(last);
                make(ExprKind::Tuple(inner), span)
            }
        }
    }

    fn columns(&mut self, node: Node) -> ExprKind {
        let mut bounds = Parts::of(node).rest().filter(|n| matches!(n.as_rule(), Rule::column_bound | Rule::group));
        let mut bound = || bounds.next().expect("`columns` has two bounds");
        let (from, to) = (bound(), bound());
        ExprKind::Columns(self.column_bound(from), self.column_bound(to))
    }

    fn column_bound(&mut self, node: Node) -> Expr {
        if node.as_rule() == Rule::group {
            return self.group(node);
        }
        let span = self.span(&node);
        match Parts::of(node).rest().last().expect("a bound is something") {
            n if n.as_rule() == Rule::number => make(ExprKind::Number(self.number(&n)), span),
            n => named(&name::ascii(n.as_str()), span),
        }
    }

    pub(super) fn ty(&mut self, node: Node) -> TypeExpr {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let elem = self.ident(&parts.need(Rule::type_name));
        let axes = parts.all(Rule::type_axis).into_iter().map(|axis| self.type_axis(axis)).collect();
        TypeExpr { elem, axes, span }
    }

    fn type_axis(&mut self, node: Node) -> TypeAxis {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        match parts.take(Rule::named_axis).map(Parts::of) {
            Some(mut named) => TypeAxis::Named(self.ident(&named.need(Rule::name)), self.need_expr(&mut named)),
            None => match self.take_expr(&mut parts) {
                Some(dim) => TypeAxis::Dim(dim),
                None => TypeAxis::Rest(span),
            },
        }
    }
}

/// `∂[x](u)` is the derivative of `u` along `x` with speed 1.
fn along_one(item: IndexItem) -> IndexItem {
    match item {
        IndexItem::Expr(e) => match *e.kind {
            ExprKind::Name { name, primed: false } => IndexItem::Bind {
                var: Ident { name, span: e.span },
                dim: None,
                value: Some(make(ExprKind::Number(1.0), e.span)),
            },
            kind => IndexItem::Expr(make(kind, e.span)),
        },
        other => other,
    }
}

fn sign_name(sign: &str) -> &'static str {
    match sign {
        "∇" => "grad",
        "∞" => "inf",
        // Becomes `along` where its index is known, see `bracket`.
        _ => "∂",
    }
}

pub(super) fn text_of(node: &Node) -> String {
    node.as_str().trim().trim_matches('"').to_string()
}
