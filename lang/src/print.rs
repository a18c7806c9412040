//! The Ast as text, for `--emit ast`.
//! Law: brackets show how the text was read, so no precedence is needed to read it; the same tree prints the same.
//!
//! Declarations look as in the language, one statement a line; every operator has its own brackets.

use std::fmt::{self, Display, Formatter};

use crate::ast::*;

/// The text form of a file.
pub fn print(file: &File) -> String {
    let mut out = Out::default();
    for item in &file.items {
        out.item(item);
    }
    out.text
}

/// Lines with their indentation.
#[derive(Default)]
struct Out {
    text: String,
    depth: usize,
}

impl Out {
    fn line(&mut self, text: impl Display) {
        self.text.push_str(&"  ".repeat(self.depth));
        self.text.push_str(&text.to_string());
        self.text.push('\n');
    }

    /// `head {`, the lines of `inner`, `}`.
    fn block(&mut self, head: impl Display, inner: impl FnOnce(&mut Self)) {
        self.line(format_args!("{head} {{"));
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.line("}");
    }

    fn doc(&mut self, doc: &str) {
        doc.lines().for_each(|line| self.line(format!("# {line}").trim_end()));
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Dim(d) => self.line(format_args!("dim {}{}", d.name, Opt(" = ", &d.size, ""))),
            Item::Data(d) => self.data(d),
            Item::Fn(f) => self.function(f),
            Item::Net(n) => self.net(n),
            Item::Rule(r) => self.rule(r),
            Item::Train(t) => self.train(t),
            Item::Task(t) => {
                let real = if t.double { " real f64" } else { "" };
                self.block(format_args!("task {}({}){real}", t.name, List(&t.params)), |out| out.train_stmts(&t.body));
            }
            Item::Check(c) => self.block(format_args!("check {:?}", c.text), |out| out.body(&c.body)),
            Item::Use(u) => {
                let path = if u.file { format!("{:?}", u.path) } else { u.path.clone() };
                let names = if u.names.is_empty() { String::new() } else { format!(" {{ {} }}", List(&u.names)) };
                self.line(format_args!("use {path}{names}"));
            }
            Item::Let(equation) => self.line(equation),
            Item::Edges(d) => self.line(d),
        }
    }

    fn data(&mut self, d: &DataDecl) {
        let from = d.source.as_ref().map_or(String::new(), |(path, _)| format!(" from {path:?}"));
        self.block(format_args!("data {}{from}", d.name), |out| d.body.iter().for_each(|stmt| out.data_stmt(stmt)));
    }

    fn data_stmt(&mut self, stmt: &DataStmt) {
        match stmt {
            DataStmt::Field(f) => self.line(format_args!("{}: {} = {}", f.name, f.ty, f.value)),
            DataStmt::Split { name, part, .. } => self.line(format_args!("split {name} {part}")),
            DataStmt::SplitFrom { name, fields, .. } => self.block(format_args!("split {name}"), |out| {
                fields.iter().for_each(|(name, value)| out.line(format_args!("{name} = {value}")))
            }),
            DataStmt::Edges(d) => self.line(d),
            DataStmt::Stmt(stmt) => self.stmt(stmt),
        }
    }

    fn function(&mut self, f: &FnDecl) {
        self.doc(&f.doc);
        let axes = if f.axes.is_empty() { String::new() } else { format!("[{}]", List(&f.axes)) };
        let head = format!("fn {}{axes}({}){}", f.name, List(&f.params), Opt(" -> ", &f.result, ""));
        match (&f.body.value, f.body.stmts.is_empty()) {
            (Some(value), true) => self.line(format_args!("{head} = {value}")),
            _ => self.block(head, |out| out.body(&f.body)),
        }
        if let Some(b) = &f.backward {
            self.depth += 1;
            self.line(format_args!("backward {} -> {}", b.cotangent, Inline(&b.body)));
            self.depth -= 1;
        }
    }

    fn net(&mut self, n: &NetDecl) {
        self.doc(&n.doc);
        let statics = if n.statics.is_empty() { String::new() } else { format!("({})", List(&n.statics)) };
        let head = format!("net {}{statics}({}){}", n.name, List(&n.params), Opt(" -> ", &n.result, ""));
        self.block(head, |out| out.body(&n.body));
    }

    fn rule(&mut self, r: &RuleDecl) {
        self.doc(&r.doc);
        let head = match (&r.head.weights, &r.head.gradient) {
            (Some(w), g) => format!("{w}{}", Opt(" with ", g, "")),
            (None, g) => Opt("", g, "").to_string(),
        };
        let objective = format!("{}{}", Opt(" minimizing ", &r.head.objective, ""), Opt(" of ", &r.head.outputs, ""));
        self.block(format_args!("rule {}({}) on {head}{objective}", r.name, List(&r.params)), |out| out.stmts(&r.body));
    }

    fn train(&mut self, t: &TrainDecl) {
        let head = format!("train {}({}){}", t.name, List(&t.params), Opt(" on ", &t.data, ""));
        self.block(head, |out| out.train_stmts(&t.body));
    }

    fn train_stmts(&mut self, stmts: &[TrainStmt]) {
        stmts.iter().for_each(|stmt| self.train_stmt(stmt));
    }

    fn train_stmt(&mut self, stmt: &TrainStmt) {
        match stmt {
            TrainStmt::Net { name, over, value } if over.is_empty() => self.line(format_args!("net {name} = {value}")),
            TrainStmt::Net { name, over, value } => self.line(format_args!("net {name}[{}] = {value}", List(over))),
            TrainStmt::Minimize { maximize, loss, outputs, over, rule, every, .. } => {
                let word = if *maximize { "maximize" } else { "minimize" };
                let (outputs, every) = (Opt(" where ", outputs, ""), Opt(" every ", every, " steps"));
                self.line(format_args!("{word} {loss}{outputs} over {} by {rule}{every}", List(over)));
            }
            TrainStmt::Batch(size) => self.line(format_args!("batch {size}")),
            TrainStmt::BatchOf { groups, count, rows, each } => {
                self.line(format_args!("batch of {groups}[{count}] x {rows}[{each}]"))
            }
            TrainStmt::BatchNear(n) => {
                let only = Opt(" where ", &n.condition, "");
                self.line(format_args!("batch of {}[{}] neighbours {} {} hops{only}", n.node, n.count, n.edges, n.hops))
            }
            TrainStmt::Epochs(count) => self.line(format_args!("epochs {count}")),
            TrainStmt::Steps(count) => self.line(format_args!("steps {count}")),
            TrainStmt::Report(r) => self.line(format_args!("report {r}")),
            TrainStmt::Plot(r) => self.line(format_args!("plot {r}")),
            TrainStmt::Every { steps, body, .. } => {
                self.block(format_args!("every {steps} steps"), |out| out.stmts(body))
            }
            TrainStmt::Stage { name, body } => self.block(format_args!("stage {name}"), |out| out.train_stmts(body)),
            TrainStmt::Stmt(stmt) => self.stmt(stmt),
        }
    }

    fn body(&mut self, body: &Body) {
        self.stmts(&body.stmts);
        if let Some(value) = &body.value {
            self.line(value);
        }
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Each { roles, pattern, body, otherwise, .. } => {
                let roles = if roles.is_empty() { String::new() } else { format!(" {}", List(roles)) };
                self.block(format_args!("each{roles}{}", Opt(" ", pattern, "")), |out| out.stmts(body));
                if let Some(otherwise) = otherwise {
                    self.block("else", |out| out.stmts(otherwise));
                }
            }
            Stmt::For { var, over, body, .. } => self.block(format_args!("for {var} in {over}"), |out| out.stmts(body)),
            plain => self.line(plain),
        }
    }
}

/// `before value after`, or nothing.
struct Opt<'a, T>(&'a str, &'a Option<T>, &'a str);

impl<T: Display> Display for Opt<'_, T> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self.1 {
            Some(value) => write!(f, "{}{value}{}", self.0, self.2),
            None => Ok(()),
        }
    }
}

/// Entries with commas between them.
struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        for (i, entry) in self.0.iter().enumerate() {
            write!(f, "{}{entry}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// A body on one line.
struct Inline<'a>(&'a Body);

impl Display for Inline<'_> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let Body { stmts, value, .. } = self.0;
        match value {
            Some(value) if stmts.is_empty() => write!(f, "{value}"),
            value => {
                write!(f, "{{ ")?;
                stmts.iter().try_for_each(|stmt| write!(f, "{stmt}; "))?;
                value.iter().try_for_each(|value| write!(f, "{value} "))?;
                write!(f, "}}")
            }
        }
    }
}

impl Display for Ident {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Display for ReportDecl {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{}", self.name)?;
        self.indices.iter().try_for_each(|items| write!(f, "[{}]", List(items)))?;
        write!(f, " = {}{}", self.value, Opt(" on ", &self.on, ""))?;
        self.every.iter().try_for_each(|(count, unit)| write!(f, " every {count} {unit}"))
    }
}

impl Display for ParamDecl {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{}{}{}", self.name, Opt(": ", &self.ty, ""), Opt(" = ", &self.default, ""))
    }
}

impl Display for TypeExpr {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self.axes.as_slice() {
            [] => write!(f, "{}", self.elem),
            axes => write!(f, "{}[{}]", self.elem, List(axes)),
        }
    }
}

impl Display for TypeAxis {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            TypeAxis::Rest(_) => f.write_str(".."),
            TypeAxis::Dim(dim) => write!(f, "{dim}"),
            TypeAxis::Named(name, dim) => write!(f, "{name}: {dim}"),
        }
    }
}

impl Display for Let {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{} = {}", List(&self.targets), self.value)
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.primed { "'" } else { "" })?;
        self.indices.iter().try_for_each(|items| write!(f, "[{}]", List(items)))?;
        write!(f, "{}", Opt(": ", &self.ty, ""))
    }
}

impl Display for VarDecl {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{}{}", self.name, Opt(": ", &self.ty, ""))?;
        match &self.init {
            Some(Init::Value(value)) => write!(f, " = {value}")?,
            Some(Init::Draw(draw)) => write!(f, " ~ {draw}")?,
            None => {}
        }
        let (like, role) = (Opt(" like ", &self.like, ""), Opt(" role ", &self.role, ""));
        write!(f, "{like}{role}{}", Opt(" in ", &self.domain, ""))
    }
}

impl Display for Stmt {
    /// On one line; blocks as `each ... { a; b }`.
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Stmt::Let(equation) => write!(f, "{equation}"),
            Stmt::Param(decl) => write!(f, "param {decl}"),
            Stmt::State(decls) => write!(f, "state {}", List(decls)),
            Stmt::Const(decl) => write!(f, "const {decl}"),
            Stmt::Save(names) => write!(f, "save {}", List(names)),
            Stmt::Edges(decl) => write!(f, "{decl}"),
            Stmt::Keep(equation) => write!(f, "keep {equation}"),
            Stmt::Sample { name, dist, like, .. } => write!(f, "{name} ~ {dist}{}", Opt(" like ", like, "")),
            Stmt::Each { .. } | Stmt::For { .. } => {
                let mut out = Out::default();
                out.stmt(self);
                f.write_str(&out.text.split_whitespace().collect::<Vec<_>>().join(" "))
            }
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match &*self.kind {
            ExprKind::Number(value) if value.fract() == 0.0 && value.abs() < 1e15 => write!(f, "{value}"),
            ExprKind::Number(value) => write!(f, "{value:?}"),
            ExprKind::Text(text) | ExprKind::FileRef(text) => {
                let file = matches!(&*self.kind, ExprKind::FileRef(_));
                write!(f, "{}\"{text}\"", if file { "file " } else { "" })
            }
            ExprKind::Name { name, primed } => write!(f, "{name}{}", if *primed { "'" } else { "" }),
            ExprKind::Unary(UnaryOp::Neg, x) => write!(f, "(-{x})"),
            ExprKind::Unary(UnaryOp::Not, x) => write!(f, "(not {x})"),
            ExprKind::Binary(op, a, b) => write!(f, "({a} {op} {b})"),
            ExprKind::Call(function, args) => write!(f, "{function}({})", List(args)),
            ExprKind::Bracket(on, items, guard) => write!(f, "{on}[{}{}]", List(items), Opt(" | ", guard, "")),
            ExprKind::Field(on, name) => write!(f, "{on}.{name}"),
            ExprKind::At(on, at) => write!(f, "{on}{{{at}}}"),
            ExprKind::With(on, entries) => {
                let entries: Vec<String> = entries.iter().map(|(place, value)| format!("{place} = {value}")).collect();
                match on_entry(&entries) {
                    true => write!(f, "({on} with {})", List(&entries)),
                    false => write!(f, "({on} with {{ {} }})", entries.join("; ")),
                }
            }
            ExprKind::Tuple(parts) if parts.len() == 1 => write!(f, "({},)", parts[0]),
            ExprKind::Tuple(parts) => write!(f, "({})", List(parts)),
            ExprKind::Record(fields) => {
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                write!(f, "{{{}}}", List(&fields))
            }
            ExprKind::Stack(parts) => write!(f, "[{}]", List(parts)),
            ExprKind::If(c, a, b) => write!(f, "(if {c} then {a} else {b})"),
            ExprKind::Else(value, outside) => write!(f, "({value} else {outside})"),
            ExprKind::Lambda(params, body) => write!(f, "(({}) => {body})", List(params)),
            ExprKind::Block(body) => write!(f, "{}", Inline(body)),
            ExprKind::Pipe(a, b) => write!(f, "({a} |> {b})"),
            ExprKind::Columns(from, to) => write!(f, "(columns {from}..{to})"),
            ExprKind::Column(which) => write!(f, "(column {which})"),
            ExprKind::Loop(inner) => write!(f, "{inner}"),
            ExprKind::SampleOf { count, set, node } => write!(f, "(sample {count} of {set}[-> {node}])"),
            ExprKind::EdgesInto(dim) => write!(f, "edges into {dim}"),
            ExprKind::Argmin(inner) => write!(f, "{inner}"),
        }
    }
}

/// Is it `[i] = v`, an entry, and not a leaf?
fn on_entry(entries: &[String]) -> bool {
    entries.iter().any(|entry| entry.starts_with('['))
}

impl Display for ArgminExpr {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "(argmin {} of {}", self.var, self.of)?;
        write!(f, "{}{}", Opt(" from ", &self.from, ""), Opt(" by ", &self.by, ""))?;
        write!(f, "{}{})", Opt(" until ", &self.until, ""), Opt(" max ", &self.max, ""))
    }
}

impl Display for LoopExpr {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(match self.kind {
            LoopKind::Scan => "(scan",
            LoopKind::Fix => "(fix",
            LoopKind::Iterate => "(iterate",
        })?;
        let from: Vec<String> = self.from.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        if self.kind == LoopKind::Fix {
            write!(f, " {}", List(&from))?;
        }
        self.over.iter().try_for_each(|(var, dim)| write!(f, " {var} in {dim}"))?;
        write!(
            f,
            "{}{}",
            Opt(" ", &self.count, ""),
            Opt(if self.until { " until " } else { " while " }, &self.condition, "")
        )?;
        write!(f, "{}{}", Opt(" max ", &self.max, ""), Opt(" by ", &self.by, ""))?;
        if self.kind != LoopKind::Fix && !from.is_empty() {
            write!(f, " from {}", List(&from))?;
        }
        write!(f, " {{ ")?;
        self.body.iter().try_for_each(|stmt| write!(f, "{stmt}; "))?;
        f.write_str("})")
    }
}

impl Display for Arg {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{}{}", Opt("", &self.name, " = "), self.value)
    }
}

impl Display for EdgesDecl {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "edges {}", self.name)?;
        if let Some((u, v)) = &self.arrow {
            write!(f, "[{u} -> {v}]")?;
        }
        if let Some((src, dst)) = &self.ends {
            write!(f, ": {src} -> {dst}{}", Opt(" by ", &self.by, ""))?;
        }
        write!(f, "{}", Opt(" = ", &self.value, ""))?;
        for (k, column) in self.columns.iter().enumerate() {
            write!(f, "{}{column}", if k == 0 { " as " } else { ", " })?;
        }
        write!(f, "{}", Opt(" where ", &self.condition, ""))
    }
}

impl Display for IndexItem {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            IndexItem::Expr(e) => write!(f, "{e}"),
            IndexItem::Bind { var, dim, value } => write!(f, "{var}{}{}", Opt(": ", dim, ""), Opt(" = ", value, "")),
            IndexItem::Rest(_) => f.write_str(".."),
            IndexItem::Range(from, to, _) => write!(f, "{}..{}", Opt("", from, ""), Opt("", to, "")),
            IndexItem::Fiber { edge, set, node, arrives } => {
                write!(f, "{edge}{} {} {node}", Opt(": ", set, ""), if *arrives { "->" } else { "<-" })
            }
        }
    }
}

impl Display for BinaryOp {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::IntDiv => "div",
            BinaryOp::Mod => "mod",
            BinaryOp::Pow => "^",
            BinaryOp::MatMul => "@",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
        })
    }
}
