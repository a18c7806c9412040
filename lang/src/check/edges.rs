//! Sets of edges as declarations: their dims and ends, and how a data set fills them.
//! Law: every set has the dims of its ends; a set made from others has theirs.

use super::items::Items;
use super::{Check, fail, near};
use crate::ast::{BinaryOp, DataDecl, DataStmt, EdgesDecl, Expr, ExprKind};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Arrivals, DimId, EdgeExpr, Edges, Elem, End, Field, FieldExpr};

/// A declared set of edges.
#[derive(Clone, Debug)]
pub struct EdgeSet {
    pub name: String,
    /// The dim of the edges.
    pub dim: DimId,
    pub src: DimId,
    pub dst: DimId,
    /// The dim of their types.
    pub by: Option<DimId>,
    /// The set that these edges were drawn from.
    pub of: Option<DimId>,
    pub span: Span,
}

impl EdgeSet {
    /// The dim whose indices an end holds.
    pub fn end(&self, end: End) -> Option<DimId> {
        match end {
            End::Src => Some(self.src),
            End::Dst => Some(self.dst),
            End::Type => self.by,
            End::Twin => (self.src == self.dst).then_some(self.dim),
            End::Of => self.of,
        }
    }
}

/// Source, target and type of a set.
type Ends = (DimId, DimId, Option<DimId>);

impl Items {
    /// The set of edges of that name.
    pub fn edge_set(&self, name: &str) -> Option<&EdgeSet> {
        self.edges.iter().find(|e| e.name == name)
    }

    /// Has the data set edges, and so no rows?
    pub fn is_whole(&self, data: usize) -> bool {
        self.data[data].body.iter().any(|s| matches!(s, DataStmt::Edges(_)))
    }

    /// The sets of edges that the data set fills.
    pub fn filled_by(&self, data: usize) -> impl Iterator<Item = &EdgeSet> {
        self.edges.iter().filter(move |e| {
            let name = format!("{}.src", e.name);
            self.fields.get(data).is_some_and(|fields| fields.iter().any(|f| f.name == name))
        })
    }

    /// Finds the ends of all declared sets: those of the top level first, then those of the data blocks.
    pub fn declare_edges(&mut self) -> Check<()> {
        let in_data = self.data.iter().flat_map(|d| &d.body).filter_map(|s| match s {
            DataStmt::Edges(e) => Some(e),
            _ => None,
        });
        // A set may be made from one that a data block declares: what is written with its ends comes first.
        let all: Vec<EdgesDecl> = self.edge_decls.iter().chain(in_data).cloned().collect();
        let (written, made): (Vec<_>, Vec<_>) = all.into_iter().partition(|e| e.ends.is_some());
        for decl in written.iter().chain(&made) {
            let known = self.edge_set(&decl.name.name).is_some();
            if known && decl.ends.is_none() {
                continue;
            }
            let (src, dst, by) = self.ends_of(decl)?;
            let Some(dim) = self.dim_named(&decl.name.name) else {
                return fail(self.no_edges(&decl.name.name, decl.name.span));
            };
            self.edges.push(EdgeSet {
                name: decl.name.name.clone(),
                dim,
                src,
                dst,
                by,
                of: None,
                span: decl.name.span,
            });
        }
        Ok(())
    }

    fn ends_of(&self, decl: &EdgesDecl) -> Check<Ends> {
        let dim = |e: &Expr| -> Check<DimId> {
            let found = if let ExprKind::Name { name, .. } = &*e.kind { self.dim_named(name) } else { None };
            match (found, &*e.kind) {
                (Some(d), _) => Ok(d),
                (None, ExprKind::Name { name, .. }) => {
                    fail(self.unknown(name, e.span).hint(format!("edges go from a dim to a dim: declare `dim {name}`")))
                }
                _ => fail(
                    Diagnostic::error(Code::G0301, e.span, "an end of edges is the name of a dim")
                        .hint("for example `edges cite: paper -> paper`"),
                ),
            }
        };
        match (&decl.ends, &decl.value) {
            (_, Some(value)) if decl.arrow.is_some() || super::made::top_of(value).is_some() => {
                fail(no_edge_expr(value))
            }
            (Some((src, dst)), _) => Ok((dim(src)?, dim(dst)?, decl.by.as_ref().map(dim).transpose()?)),
            (None, Some(value)) => self.made_from(value),
            (None, None) => unreachable!("the grammar demands ends or a value"),
        }
    }

    /// The ends of edges that are made from other edges.
    fn made_from(&self, e: &Expr) -> Check<Ends> {
        match &*e.kind {
            ExprKind::Name { name, .. } => match self.edge_set(name) {
                Some(set) => Ok((set.src, set.dst, set.by)),
                None => fail(self.no_edges(name, e.span)),
            },
            ExprKind::Binary(BinaryOp::Add, a, b) => {
                let (x, y) = (self.made_from(a)?, self.made_from(b)?);
                if x == y {
                    return Ok(x);
                }
                let message = "edges are joined that do not go between the same dims";
                let d = Diagnostic::error(Code::G0201, e.span, message);
                let d = d.label(a.span, self.shown_ends(x)).label(b.span, self.shown_ends(y));
                fail(d.hint("both sides need the same source, target and types"))
            }
            ExprKind::Call(f, args) => match (&*f.kind, &args[..]) {
                (ExprKind::Name { name, .. }, [arg]) if name == "reverse" => {
                    let (src, dst, by) = self.made_from(&arg.value)?;
                    Ok((dst, src, by))
                }
                (ExprKind::Name { name, .. }, [arg]) if name == "loops" => {
                    let dim = self.loop_dim(&arg.value)?;
                    Ok((dim, dim, None))
                }
                _ => fail(no_edge_expr(e)),
            },
            _ => fail(no_edge_expr(e)),
        }
    }

    fn loop_dim(&self, e: &Expr) -> Check<DimId> {
        let found = if let ExprKind::Name { name, .. } = &*e.kind { self.dim_named(name) } else { None };
        found.map_or_else(
            || {
                fail(
                    Diagnostic::error(
                        Code::G0301,
                        e.span,
                        "`loops` takes a dim and gives each of its elements an edge to itself",
                    )
                    .hint("for example `cite + loops(paper)`"),
                )
            },
            Ok,
        )
    }

    fn shown_ends(&self, (src, dst, by): Ends) -> String {
        let name = |d: DimId| self.dims[d.index()].name.clone();
        let by = by.map(|d| format!(" by {}", name(d))).unwrap_or_default();
        format!("{} -> {}{by}", name(src), name(dst))
    }

    fn no_edges(&self, name: &str, span: Span) -> Diagnostic {
        let d = Diagnostic::error(Code::G0101, span, format!("there are no edges `{name}`"));
        match near(name, self.edges.iter().map(|e| e.name.clone())) {
            Some(n) => d.hint(format!("did you mean `{n}`?")),
            None => d.hint(format!("declare them with their ends: `edges {name}: node -> node`")),
        }
    }

    /// The sets that a data block reads, and after them those of the top level that can be made from these.
    pub fn data_edges(&self, decl: &DataDecl, fields: &mut Vec<Field>) -> Check<Vec<Edges>> {
        let mut sets: Vec<Edges> = Vec::new();
        for stmt in &decl.body {
            if let DataStmt::Edges(e) = stmt {
                let Some(value) = &e.value else {
                    return fail(
                        Diagnostic::error(
                            Code::G0404,
                            e.span,
                            format!("the edges `{}` come from nowhere", e.name.name),
                        )
                        .hint(format!("name a file: `edges {} ... = file \"edges.npy\"`", e.name.name)),
                    );
                };
                let value = self.edge_source(value, e, &sets, fields)?;
                self.add_set(e, value, &mut sets, fields)?;
            }
        }
        if sets.is_empty() {
            return Ok(sets);
        }
        for e in self.edge_decls.iter().filter(|e| e.value.is_some()) {
            let value = e.value.as_ref().expect("just filtered");
            if available(value, &sets) {
                let value = self.edge_source(value, e, &sets, fields)?;
                self.add_set(e, value, &mut sets, fields)?;
            }
        }
        Ok(sets)
    }

    /// Adds a set and a field for each of its index arrays.
    fn add_set(&self, decl: &EdgesDecl, value: EdgeExpr, sets: &mut Vec<Edges>, fields: &mut Vec<Field>) -> Check<()> {
        let name = &decl.name.name;
        let Some(set) = self.edge_set(name) else { return fail(self.no_edges(name, decl.name.span)) };
        if let Some(first) = sets.iter().find(|s| s.name == *name) {
            return fail(
                Diagnostic::error(Code::G0102, decl.name.span, format!("the edges `{name}` are filled twice"))
                    .label(first.span, "first here"),
            );
        }
        let span = decl.name.span;
        sets.push(Edges { name: name.clone(), dim: set.dim, src: set.src, dst: set.dst, by: set.by, value, span });
        for end in End::ALL {
            if let Some(dim) = set.end(end) {
                let value = FieldExpr::End(sets.len() - 1, end);
                let name = format!("{name}.{}", end.word());
                fields.push(Field { name, elem: Elem::Index(dim), dims: vec![set.dim], value, span });
            }
        }
        for what in Arrivals::ALL {
            let (elem, dim) = match what {
                Arrivals::Order => (Elem::Index(set.dim), set.dim),
                Arrivals::First | Arrivals::Count => (Elem::Int, set.dst),
            };
            let value = FieldExpr::Arrivals(sets.len() - 1, what);
            fields.push(Field { name: what.field(name), elem, dims: vec![dim], value, span });
        }
        Ok(())
    }

    fn edge_source(&self, e: &Expr, decl: &EdgesDecl, sets: &[Edges], fields: &[Field]) -> Check<EdgeExpr> {
        let typed = self.edge_set(&decl.name.name).is_some_and(|s| s.by.is_some());
        let value = match &*e.kind {
            ExprKind::FileRef(_) | ExprKind::Columns(..) => {
                let ends = self.column_ends(decl, typed)?;
                EdgeExpr::Table(self.field_expr(e)?, ends)
            }
            ExprKind::Tuple(parts) => {
                let wanted = if typed { 3 } else { 2 };
                if parts.len() != wanted {
                    let what = if typed { "source, target and type" } else { "source and target" };
                    let message = format!("{} columns are given for {what}", parts.len());
                    return fail(
                        Diagnostic::error(Code::G0404, e.span, message).hint(format!("{wanted} are needed: {what}")),
                    );
                }
                EdgeExpr::Columns(parts.iter().map(|p| self.field_expr(p)).collect::<Check<_>>()?)
            }
            _ => self.edge_expr(e, sets)?,
        };
        match &decl.condition {
            None => Ok(value),
            Some(c) => {
                let EdgeExpr::Set(k) = value else {
                    return fail(
                        Diagnostic::error(Code::G0301, c.span, "`where` chooses from a set of edges that has a name")
                            .hint("name it first: `edges all = a + b`, then `edges some = all where w > 0`"),
                    );
                };
                let condition = self.field_condition(c, sets[k].dim, fields)?;
                Ok(EdgeExpr::Where(Box::new(value), condition))
            }
        }
    }

    /// What the columns of a file of edges are.
    fn column_ends(&self, decl: &EdgesDecl, typed: bool) -> Check<Vec<Option<End>>> {
        if decl.columns.is_empty() {
            let types = typed.then_some(Some(End::Type));
            return Ok([Some(End::Src), Some(End::Dst)].into_iter().chain(types).collect());
        }
        let mut ends = Vec::new();
        for column in &decl.columns {
            match End::named(&column.name) {
                Some(End::Type) if !typed => {
                    return fail(
                        Diagnostic::error(
                            Code::G0404,
                            column.span,
                            format!("the edges `{}` have no types", decl.name.name),
                        )
                        .hint("declare what they are of: `edges fact: node -> node by relation`"),
                    );
                }
                Some(End::Twin | End::Of) => {
                    let message = format!("`{}` of an edge is found, not read", column.name);
                    return fail(
                        Diagnostic::error(Code::G0301, column.span, message).hint("a column that is not read is `_`"),
                    );
                }
                None if column.name != "_" => {
                    return fail(
                        Diagnostic::error(Code::G0301, column.span, "a column of edges is `src`, `dst`, `type` or `_`")
                            .hint("for example `file \"triples.npy\" as src, type, dst`"),
                    );
                }
                end if end.is_some() && ends.contains(&end) => {
                    let message = format!("`{}` is named twice", column.name);
                    return fail(
                        Diagnostic::error(Code::G0102, column.span, message).hint("a column that is not read is `_`"),
                    );
                }
                end => ends.push(end),
            }
        }
        for (end, needed) in [(End::Src, true), (End::Dst, true), (End::Type, typed)] {
            if needed && !ends.contains(&Some(end)) {
                let message = format!("no column is `{}`", end.word());
                return fail(Diagnostic::error(Code::G0404, decl.span, message).hint("for example `as src, dst`"));
            }
        }
        Ok(ends)
    }

    /// Edges made from others of the same data set.
    fn edge_expr(&self, e: &Expr, sets: &[Edges]) -> Check<EdgeExpr> {
        match &*e.kind {
            ExprKind::Name { name, .. } => match sets.iter().position(|s| s.name == *name) {
                Some(k) => Ok(EdgeExpr::Set(k)),
                None => fail(
                    Diagnostic::error(
                        Code::G0105,
                        e.span,
                        format!("the data do not read the edges `{name}` before this"),
                    )
                    .hint(format!("read them first: `edges {name} = file \"edges.npy\"`")),
                ),
            },
            ExprKind::Binary(BinaryOp::Add, a, b) => {
                Ok(EdgeExpr::Join(vec![self.edge_expr(a, sets)?, self.edge_expr(b, sets)?]))
            }
            ExprKind::Call(f, args) => match (&*f.kind, &args[..]) {
                (ExprKind::Name { name, .. }, [arg]) if name == "reverse" => {
                    Ok(EdgeExpr::Reverse(Box::new(self.edge_expr(&arg.value, sets)?)))
                }
                (ExprKind::Name { name, .. }, [arg]) if name == "loops" => {
                    Ok(EdgeExpr::Loops(self.loop_dim(&arg.value)?))
                }
                _ => fail(no_edge_expr(e)),
            },
            _ => fail(no_edge_expr(e)),
        }
    }

    /// The condition of `where`: fields over a dim (the edges, say, `fact.type` among them), numbers and scalar functions.
    pub fn field_condition(&self, e: &Expr, dim: DimId, fields: &[Field]) -> Check<FieldExpr> {
        let over = &self.dims[dim.index()].name;
        let lookup = |name: &str, span: Span| -> Check<FieldExpr> {
            match fields.iter().position(|f| f.name == name) {
                Some(k) if fields[k].dims == [dim] => Ok(FieldExpr::Field(k)),
                Some(_) => fail(
                    Diagnostic::error(Code::G0205, span, format!("`{name}` has not one number for each `{over}`"))
                        .hint(format!("a condition speaks of fields over `{over}`, for example `w: real[{over}]`")),
                ),
                None => fail(
                    Diagnostic::error(Code::G0105, span, format!("the data have no field `{name}` before this"))
                        .hint(format!("declare the field above, over `{over}`: `w: real[{over}] = column 2`")),
                ),
            }
        };
        self.field_expr_with(e, &lookup)
    }
}

/// Are all the sets that an expression needs there?
fn available(e: &Expr, sets: &[Edges]) -> bool {
    match &*e.kind {
        ExprKind::Name { name, .. } => sets.iter().any(|s| s.name == *name),
        ExprKind::Binary(_, a, b) => available(a, sets) && available(b, sets),
        ExprKind::Call(f, args) => match &*f.kind {
            ExprKind::Name { name, .. } if name == "loops" => true,
            _ => args.iter().all(|a| available(&a.value, sets)),
        },
        _ => false,
    }
}

fn no_edge_expr(e: &Expr) -> Diagnostic {
    if matches!(*e.kind, ExprKind::SampleOf { .. }) {
        let d = Diagnostic::error(
            Code::G0301,
            e.span,
            "edges are sampled anew in each step, so this has a place in a body",
        );
        return d.hint(
            "write it in the net, function, task or train block that uses them: `edges near = sample 10 of cite[-> v]`",
        );
    }
    if super::made::top_of(e).is_some() {
        let d = Diagnostic::error(Code::G0301, e.span, "edges chosen by scores have a place in a body");
        return d.hint("write it in the net, function, task or train block that knows the scores: `edges near[u -> v] = top[5](score[u, v])`");
    }
    Diagnostic::error(Code::G0301, e.span, "edges are read in a data block, or made from other edges")
        .hint("`file \"edges.npy\"` in a data block; `reverse(cite)`, `cite + reverse(cite)`, `cite + loops(node)`, `cite where w > 0`")
}
