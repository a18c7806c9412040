//! Declarations.
//! Law: one function a declaration, named as its rule in the grammar.

use super::expr::{make, text_of};
use super::stmt::Line;
use super::{Builder, Node, Parts, Rule};
use crate::ast::*;
use crate::diag::Span;

impl Builder<'_> {
    pub(super) fn file(&mut self, node: Node) -> File {
        let mut items = Vec::new();
        for item in Parts::of(node).rest() {
            self.item(item, &mut items);
        }
        File { items }
    }

    fn item(&mut self, node: Node, items: &mut Vec<Item>) {
        match node.as_rule() {
            Rule::dim_decl => items.extend(self.dims(node).into_iter().map(Item::Dim)),
            Rule::data_decl => items.push(Item::Data(self.data(node))),
            Rule::fn_decl | Rule::extern_decl => items.push(Item::Fn(self.function(node))),
            Rule::net_decl => items.push(Item::Net(self.net(node))),
            Rule::rule_decl => items.push(Item::Rule(self.rule(node))),
            Rule::train_decl => items.push(Item::Train(self.train(node))),
            Rule::task_decl => items.push(Item::Task(self.task(node))),
            Rule::check_decl => items.push(Item::Check(self.check(node))),
            Rule::use_decl => items.push(Item::Use(self.import(node))),
            Rule::edges_decl => items.push(Item::Edges(self.edges(node))),
            Rule::line => self.top_line(node, items),
            other => unreachable!("{other:?} is no declaration"),
        }
    }

    fn top_line(&mut self, node: Node, items: &mut Vec<Item>) {
        let span = self.span(&node);
        match self.line(node) {
            Line::Value(value) => self.refuse_value(Some(value)),
            Line::Stmts(stmts) => {
                for stmt in stmts {
                    match stmt {
                        Stmt::Let(equation) => items.push(Item::Let(equation)),
                        _ => self.error(
                            span,
                            "a draw outside a block",
                            "draw inside a net, a task, a `data` or a `train` block",
                        ),
                    }
                }
            }
        }
    }

    fn dims(&mut self, node: Node) -> Vec<DimDecl> {
        let entries = Parts::of(node).all(Rule::dim_entry).into_iter().map(Parts::of);
        entries.map(|mut p| DimDecl { name: self.ident(&p.need(Rule::name)), size: self.take_expr(&mut p) }).collect()
    }

    fn import(&mut self, node: Node) -> UseDecl {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let file = parts.take(Rule::text).map(|n| text_of(&n));
        let module = parts.take(Rule::module_path).map(|n| n.as_str().trim().to_string());
        let names = parts.take(Rule::use_names).map(|n| self.idents(Parts::of(n).all(Rule::name)));
        let is_file = file.is_some();
        UseDecl { path: file.or(module).unwrap_or_default(), file: is_file, names: names.unwrap_or_default(), span }
    }

    fn data(&mut self, node: Node) -> DataDecl {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let source = parts.take(Rule::data_source).map(|n| Parts::of(n).need(Rule::text));
        let source = source.map(|n| (text_of(&n), self.span(&n)));
        let mut body = Vec::new();
        for stmt in Parts::of(parts.need(Rule::data_block)).rest() {
            self.data_stmt(stmt, &mut body);
        }
        DataDecl { name, source, body, span }
    }

    fn data_stmt(&mut self, node: Node, body: &mut Vec<DataStmt>) {
        match node.as_rule() {
            Rule::edges_decl => body.push(DataStmt::Edges(self.edges(node))),
            Rule::split_part => body.push(self.split_part(node)),
            Rule::split_from => body.push(self.split_from(node)),
            _ => {
                let mut stmts = Vec::new();
                let value = self.stmt(node, &mut stmts);
                self.refuse_value(value);
                body.extend(stmts.into_iter().map(field_or_stmt));
            }
        }
    }

    pub(super) fn edges(&mut self, node: Node) -> EdgesDecl {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let (mut ends, mut by, mut value, mut columns, mut condition) = (None, None, None, Vec::new(), None);
        let arrow = parts.take(Rule::edges_arrow).map(|node| {
            let [u, v] = <[Node; 2]>::try_from(Parts::of(node).all(Rule::arrow_end))
                .unwrap_or_else(|_| unreachable!("an arrow has two ends"));
            (self.arrow_end(u), self.arrow_end(v))
        });
        if let Some(node) = parts.take(Rule::edges_ends) {
            let mut written = Parts::of(node).all(Rule::ops).into_iter().map(|n| self.expr(n));
            ends = written.next().zip(written.next());
            by = written.next();
        }
        if let Some(node) = parts.take(Rule::edges_from) {
            let mut from = Parts::of(node);
            columns = from.take(Rule::edges_as).map_or(vec![], |n| self.idents(Parts::of(n).all(Rule::name)));
            condition = from.take(Rule::edges_where).map(|n| self.need_expr(&mut Parts::of(n)));
            value = from.take(Rule::ops).map(|n| self.expr(n));
        }
        EdgesDecl { name, ends, arrow, by, value, columns, condition, span }
    }

    /// `u` or `u: node` of `edges near[u -> v]`.
    fn arrow_end(&mut self, node: Node) -> IndexItem {
        let mut names = self.idents(Parts::of(node).all(Rule::name)).into_iter();
        let var = names.next().expect("an end has a name");
        match names.next() {
            None => IndexItem::Expr(Expr::name(var.name, var.span)),
            dim => IndexItem::Bind { var, dim: dim.map(|d| Expr::name(d.name, d.span)), value: None },
        }
    }

    fn split_part(&mut self, node: Node) -> DataStmt {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let (name, number) = (self.ident(&parts.need(Rule::name)), parts.need(Rule::number));
        let part = self.number(&number);
        if !(part > 0.0 && part < 1.0) {
            self.error(
                self.span(&number),
                "a split is a part of the rows, more than 0 and less than all",
                "write `split test 20%`",
            );
        }
        DataStmt::Split { name, part, span }
    }

    fn split_from(&mut self, node: Node) -> DataStmt {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let mut fields = Vec::new();
        for line in parts.all(Rule::line) {
            for piece in self.pieces(line) {
                match (&*piece.target.kind, piece.value, piece.draw) {
                    (ExprKind::Name { name, primed: false }, Some(value), None) => {
                        fields.push((Ident { name: name.clone(), span: piece.target.span }, value))
                    }
                    _ => self.error(
                        piece.span,
                        "a field and where it comes from are expected",
                        "write `image = file \"t10k.gz\"`",
                    ),
                }
            }
        }
        DataStmt::SplitFrom { name, fields, span }
    }

    /// `fn f(x) = ...`, or `extern fn f(x: real[n]) -> real[n]`, which has no body.
    fn function(&mut self, node: Node) -> FnDecl {
        let (span, host) = (self.span(&node), node.as_rule() == Rule::extern_decl);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let axes = parts.take(Rule::fn_axes).map(|n| self.idents(Parts::of(n).all(Rule::name)));
        let params = self.params(&mut parts);
        let result = self.result(&mut parts);
        let body = match parts.take(Rule::block) {
            Some(block) => self.valued(block, "this function"),
            None if host => Body { stmts: Vec::new(), value: None, span },
            None => self.value_body(parts.need(Rule::expr)),
        };
        let backward = parts.take(Rule::backward).map(|n| self.backward(n));
        let axes = axes.unwrap_or_default();
        FnDecl { name, axes, params, result, body, backward, host, doc: self.doc(span) }
    }

    /// An expression as a body; that of a block is its own.
    fn value_body(&mut self, node: Node) -> Body {
        let value = self.expr(node);
        let span = value.span;
        match *value.kind {
            ExprKind::Block(body) => body,
            kind => Body { stmts: Vec::new(), value: Some(make(kind, span)), span },
        }
    }

    fn backward(&mut self, node: Node) -> Backward {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let cotangent = self.ident(&parts.need(Rule::name));
        Backward { cotangent, body: self.value_body(parts.need(Rule::expr)), span }
    }

    /// The next parameter list, or none.
    fn params(&mut self, parts: &mut Parts) -> Vec<ParamDecl> {
        let list = parts.take(Rule::params);
        list.map(|n| Parts::of(n).all(Rule::param)).unwrap_or_default().into_iter().map(|p| self.param(p)).collect()
    }

    fn param(&mut self, node: Node) -> ParamDecl {
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        ParamDecl { name, ty: parts.take(Rule::ty).map(|n| self.ty(n)), default: self.take_expr(&mut parts) }
    }

    fn result(&mut self, parts: &mut Parts) -> Option<TypeExpr> {
        parts.take(Rule::result).map(|n| self.ty(Parts::of(n).need(Rule::ty)))
    }

    fn net(&mut self, node: Node) -> NetDecl {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let first = self.params(&mut parts);
        let (statics, params) = match parts.has(Rule::params) {
            true => (first, self.params(&mut parts)),
            false => (Vec::new(), first),
        };
        let result = self.result(&mut parts);
        let body = self.valued(parts.need(Rule::block), "this net");
        NetDecl { name, statics, params, result, body, doc: self.doc(span), span }
    }

    fn rule(&mut self, node: Node) -> RuleDecl {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let params = self.params(&mut parts);
        let head = self.rule_head(&mut parts);
        let body = self.statements(parts.need(Rule::block));
        RuleDecl { name, params, head, body, doc: self.doc(span), span }
    }

    fn rule_head(&mut self, parts: &mut Parts) -> RuleHead {
        let on = self.ident(&parts.need(Rule::name));
        let gradient = parts.take(Rule::head_gradient).map(|n| self.ident(&Parts::of(n).need(Rule::name)));
        let Some(mut objective) = parts.take(Rule::head_objective).map(Parts::of) else {
            return match gradient {
                None => RuleHead { weights: None, gradient: Some(on), objective: None, outputs: None },
                gradient => RuleHead { weights: Some(on), gradient, objective: None, outputs: None },
            };
        };
        let outputs = objective.take(Rule::head_outputs).map(|n| self.ident(&Parts::of(n).need(Rule::name)));
        let objective = Some(self.ident(&objective.need(Rule::name)));
        RuleHead { weights: Some(on), gradient, objective, outputs }
    }

    fn check(&mut self, node: Node) -> CheckDecl {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let text = text_of(&parts.need(Rule::text));
        CheckDecl { text, body: self.valued(parts.need(Rule::block), "this check"), span }
    }

    fn train(&mut self, node: Node) -> TrainDecl {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let params = self.params(&mut parts);
        let data = parts.take(Rule::train_on).map(|n| self.ident(&Parts::of(n).need(Rule::name)));
        TrainDecl { name, params, data, body: self.train_block(parts.need(Rule::train_block)), span }
    }

    fn task(&mut self, node: Node) -> TaskDecl {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need(Rule::name));
        let params = self.params(&mut parts);
        let precision = parts.take(Rule::task_real).map(|n| self.ident(&Parts::of(n).need(Rule::name)));
        let double = precision.as_ref().is_some_and(|p| p.name == "f64");
        if let Some(other) = precision.filter(|p| !matches!(p.name.as_str(), "f32" | "f64")) {
            self.error(other.span, format!("`{}` is no precision", other.name), "write `real f64` or `real f32`");
        }
        TaskDecl { name, params, double, body: self.train_block(parts.need(Rule::train_block)), span }
    }

    fn train_block(&mut self, node: Node) -> Vec<TrainStmt> {
        let mut body = Vec::new();
        for stmt in Parts::of(node).rest() {
            if let Some(own) = self.train_stmt(stmt.clone()) {
                body.push(own);
                continue;
            }
            let mut stmts = Vec::new();
            match self.stmt(stmt, &mut stmts).map(size_line) {
                Some(Ok(size)) => body.push(size),
                Some(Err(value)) => self.refuse_value(Some(value)),
                None => {}
            }
            body.extend(stmts.into_iter().map(TrainStmt::Stmt));
        }
        body
    }

    /// `batch of class[5] x sample[16]`.
    fn batch_of(&mut self, mut parts: Parts) -> TrainStmt {
        let [(groups, count), (rows, each)] = [(); 2].map(|()| {
            let mut side = Parts::of(parts.need(Rule::batch_group));
            (self.ident(&side.need(Rule::name)), self.need_expr(&mut side))
        });
        TrainStmt::BatchOf { groups, count, rows, each }
    }

    /// `batch of node[64] neighbours cite 2 hops where seen`.
    fn batch_near(&mut self, mut parts: Parts, span: Span) -> NearDecl {
        let mut group = Parts::of(parts.need(Rule::batch_group));
        let (node, count) = (self.ident(&group.need(Rule::name)), self.need_expr(&mut group));
        let (edges, hops) = (self.ident(&parts.need(Rule::name)), self.need_expr(&mut parts));
        let condition = parts.take(Rule::edges_where).map(|n| self.need_expr(&mut Parts::of(n)));
        NearDecl { node, count, edges, hops, condition, span }
    }

    /// A statement of train blocks alone.
    fn train_stmt(&mut self, node: Node) -> Option<TrainStmt> {
        let (rule, span) = (node.as_rule(), self.span(&node));
        let mut parts = Parts::of(node);
        Some(match rule {
            Rule::net_stmt => {
                let name = self.ident(&parts.need(Rule::name));
                let over = parts.take(Rule::family).map(|n| {
                    let dims = Parts::of(n).all(Rule::ops);
                    dims.into_iter().map(|d| self.expr(d)).collect()
                });
                TrainStmt::Net { name, over: over.unwrap_or_default(), value: self.need_expr(&mut parts) }
            }
            Rule::minimize => self.minimize(parts, span),
            Rule::batch => TrainStmt::Batch(self.need_expr(&mut parts)),
            Rule::batch_of => self.batch_of(parts),
            Rule::batch_near => TrainStmt::BatchNear(Box::new(self.batch_near(parts, span))),
            Rule::epochs => TrainStmt::Epochs(self.need_expr(&mut parts)),
            Rule::steps => TrainStmt::Steps(self.need_expr(&mut parts)),
            Rule::report => TrainStmt::Report(self.report(parts)),
            Rule::plot => TrainStmt::Plot(self.report(parts)),
            Rule::every_block => {
                let steps = self.every_steps(parts.need(Rule::every_clause));
                TrainStmt::Every { steps, body: self.statements(parts.need(Rule::block)), span }
            }
            Rule::stage => TrainStmt::Stage {
                name: self.ident(&parts.need(Rule::name)),
                body: self.train_block(parts.need(Rule::train_block)),
            },
            _ => return None,
        })
    }

    fn minimize(&mut self, mut parts: Parts, span: Span) -> TrainStmt {
        let maximize = parts.has(Rule::k_maximize);
        let outputs = parts.take(Rule::where_clause).and_then(|n| self.where_clause(n));
        let every = parts.take(Rule::every_clause).map(|n| self.every_steps(n));
        let over = Parts::of(parts.need(Rule::over_list)).all(Rule::ops).into_iter().map(|n| self.expr(n)).collect();
        let (loss, rule) = (self.need_expr(&mut parts), self.need_expr(&mut parts));
        TrainStmt::Minimize { maximize, loss, outputs, over, rule, every, span }
    }

    fn where_clause(&mut self, node: Node) -> Option<Let> {
        let span = self.span(&node);
        let line = Parts::of(node).need(Rule::line);
        if let Line::Stmts(stmts) = self.line(line)
            && let Ok([Stmt::Let(equation)]) = <[Stmt; 1]>::try_from(stmts)
        {
            return Some(equation);
        }
        self.error(span, "`where` names the outputs by one equation", "write `where z = f(x)`");
        None
    }

    fn report(&mut self, mut parts: Parts) -> ReportDecl {
        let name = self.ident(&parts.need(Rule::name));
        let indices = parts.take(Rule::report_index).map(|n| self.index_items(Parts::of(n)));
        let value = self.need_expr(&mut parts);
        let on = self.once(&mut parts, Rule::report_on, "on").map(|mut p| self.ident(&p.need(Rule::name)));
        let every = parts.take(Rule::every_clause).map(|n| self.every(n));
        for again in parts.all(Rule::every_clause) {
            self.error(self.span(&again), "`every` stands here twice", "leave one of them out");
        }
        ReportDecl { name, indices, value, on, every }
    }

    /// `every 100 steps`, `every epoch`: how many of what.
    fn every(&mut self, node: Node) -> (Expr, Ident) {
        let mut parts = Parts::of(node);
        let unit = |n: &Node, b: &Self| {
            let name = if n.as_str().starts_with("epoch") { "epochs" } else { "steps" };
            Ident { name: name.into(), span: b.span(n) }
        };
        if let Some(one) = parts.take(Rule::every_one) {
            return (make(ExprKind::Number(1.0), self.span(&one)), unit(&one, self));
        }
        let count = self.need_expr(&mut parts);
        (count, unit(&parts.need(Rule::every_unit), self))
    }

    fn every_steps(&mut self, node: Node) -> Expr {
        let (count, unit) = self.every(node);
        if unit.name != "steps" {
            self.error(unit.span, "only `report` and `plot` count epochs", "write `every 100 steps`");
        }
        count
    }
}

/// `batch (2*n)` reads like a call; alone on a line of a train block it is the line.
fn size_line(value: Expr) -> Result<TrainStmt, Expr> {
    let ExprKind::Call(on, args) = &*value.kind else { return Err(value) };
    let ([Arg { name: None, value: size }], ExprKind::Name { name, primed: false }) = (args.as_slice(), &*on.kind)
    else {
        return Err(value);
    };
    match name.as_str() {
        "batch" => Ok(TrainStmt::Batch(size.clone())),
        "epochs" => Ok(TrainStmt::Epochs(size.clone())),
        "steps" => Ok(TrainStmt::Steps(size.clone())),
        _ => Err(value),
    }
}

/// In a data block an equation with a type is a field.
fn field_or_stmt(stmt: Stmt) -> DataStmt {
    match stmt {
        Stmt::Let(mut equation) if is_field(&equation) => {
            let target = equation.targets.remove(0);
            let ty = target.ty.expect("a field has a type");
            DataStmt::Field(FieldDecl { name: target.name, ty, value: equation.value })
        }
        stmt => DataStmt::Stmt(stmt),
    }
}

fn is_field(equation: &Let) -> bool {
    matches!(equation.targets.as_slice(), [Target { ty: Some(_), primed: false, indices: None, .. }])
}
