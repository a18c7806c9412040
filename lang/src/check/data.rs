//! Data blocks: fields, where they come from, splits.

use super::builtin::{SCALAR, rounding};
use super::items::Items;
use super::{Check, fail};
use crate::ast::{BinaryOp, DataDecl, DataStmt, Expr, ExprKind, TypeAxis, TypeExpr, UnaryOp};
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::program::{Data, Dim, DimId, Elem, Field, FieldExpr, Fun, Size, Split};

/// Words for what no file stores as it is.
const MADE: [&str; 5] = ["images", "folders", "characters", "bytes", "category"];

/// Finds what a name in a field's expression is.
type Lookup<'l> = dyn Fn(&str, Span) -> Check<FieldExpr> + 'l;

impl Items {
    /// Checks all data blocks; fields are kept for name resolution.
    pub fn check_data(&mut self) -> Result<Vec<Data>, Diagnostics> {
        let (mut out, mut faults) = (Vec::new(), Vec::new());
        if let Err(d) = self.declare_edges() {
            return Err(Diagnostics(vec![*d]));
        }
        for decl in self.data.clone() {
            match self.data_set(&decl) {
                Ok(data) => {
                    self.fields.push(data.fields.clone());
                    out.push(data);
                }
                Err(d) => {
                    self.fields.push(Vec::new());
                    faults.push(*d);
                }
            }
        }
        if faults.is_empty() { Ok(out) } else { Err(Diagnostics(faults)) }
    }

    fn data_set(&mut self, decl: &DataDecl) -> Check<Data> {
        let mut fields: Vec<Field> = Vec::new();
        let mut splits = Vec::new();
        let whole = decl.body.iter().any(|s| matches!(s, DataStmt::Edges(_)));
        let Some((source, _)) = &decl.source else { return self.synthetic(decl) };
        for stmt in &decl.body {
            match stmt {
                DataStmt::Field(f) if !reads(&f.value) => {}
                DataStmt::Field(f) => {
                    if let Some(first) = fields.iter().find(|x| x.name == f.name.name) {
                        return fail(
                            Diagnostic::error(
                                Code::G0102,
                                f.name.span,
                                format!("the field `{}` is declared twice", f.name.name),
                            )
                            .label(first.span, "first here"),
                        );
                    }
                    let (elem, dims) = self.field_type(&f.ty)?;
                    let value = narrowed(&f.ty.elem.name, self.field_expr(&f.value)?);
                    if whole && dims.is_empty() {
                        return fail(
                            Diagnostic::error(
                                Code::G0209,
                                f.ty.span,
                                "data with edges have no rows: a field names all its dims",
                            )
                            .hint(format!("for example `{}: {}[node]`", f.name.name, f.ty.elem.name)),
                        );
                    }
                    self.columns_fit(&f.value, &value, &dims[usize::from(whole)..])?;
                    fields.push(Field { name: f.name.name.clone(), elem, dims, value, span: f.name.span });
                }
                DataStmt::Edges(_) => {}
                DataStmt::Split { span, .. } | DataStmt::SplitFrom { span, .. } if whole => {
                    return fail(
                        Diagnostic::error(Code::G0404, *span, "data with edges have no rows that could be split")
                            .hint("declare which nodes are seen, `seen: bool[node] = file \"split.npy\" == 1`, and train on these: `mean[v | seen[v]](loss[v])`"),
                    );
                }
                DataStmt::Split { name, part, span } => {
                    splits.push(self.part(&splits, name, *part, *span)?);
                }
                DataStmt::SplitFrom { name, fields: given, span } => {
                    self.split_once(&splits, name)?;
                    if let Some((other, _)) = given.iter().find(|g| fields.iter().all(|f| f.name != g.0.name)) {
                        let d = Diagnostic::error(
                            Code::G0105,
                            other.span,
                            format!("the data have no field `{}`", other.name),
                        );
                        let known = fields.iter().map(|f| f.name.clone());
                        return fail(match super::near(&other.name, known) {
                            Some(n) => d.hint(format!("did you mean `{n}`?")),
                            None => d.hint("declare the field before the split"),
                        });
                    }
                    let mut values = Vec::new();
                    for field in &fields {
                        let Some((_, e)) = given.iter().find(|g| g.0.name == field.name) else {
                            return fail(Diagnostic::error(
                                Code::G0404,
                                *span,
                                format!("the split `{}` lacks the field `{}`", name.name, field.name),
                            ));
                        };
                        values.push(self.field_expr(e)?);
                    }
                    splits.push(Split::From { name: name.name.clone(), fields: values });
                }
                // Computed when the fields are known.
                DataStmt::Stmt(_) => {}
            }
        }
        let edges = if whole { self.data_edges(decl, &mut fields)? } else { Vec::new() };
        if fields.is_empty() {
            return fail(
                Diagnostic::error(Code::G0404, decl.span, format!("the data `{}` declare no field", decl.name.name))
                    .hint("for example `x: real = column 0`"),
            );
        }
        let (name, source) = (decl.name.name.clone(), Some(source.clone()));
        Ok(Data { name, source, whole, edges, fields, splits, drawn: None, span: decl.name.span })
    }

    /// Synthetic data, whose fields are found when their definitions are elaborated.
    fn synthetic(&self, decl: &DataDecl) -> Check<Data> {
        let mut splits = Vec::new();
        for stmt in &decl.body {
            if let DataStmt::Split { name, part, span } = stmt {
                splits.push(self.part(&splits, name, *part, *span)?);
            }
        }
        let (name, span) = (decl.name.name.clone(), decl.name.span);
        Ok(Data { name, source: None, whole: false, edges: vec![], fields: vec![], splits, drawn: None, span })
    }

    /// `split test 20%`.
    fn part(&self, splits: &[Split], name: &crate::ast::Ident, part: f64, span: crate::diag::Span) -> Check<Split> {
        if !(0.0..1.0).contains(&part) || part == 0.0 {
            return fail(
                Diagnostic::error(Code::G0303, span, "a split takes more than 0 % and less than 100 % of the rows")
                    .hint("for example `split test 20%`"),
            );
        }
        self.split_once(splits, name)?;
        Ok(Split::Part { name: name.name.clone(), part })
    }

    fn split_once(&self, splits: &[Split], name: &crate::ast::Ident) -> Check<()> {
        let taken = splits.iter().any(|s| match s {
            Split::Part { name: n, .. } | Split::From { name: n, .. } => *n == name.name,
        });
        if !taken {
            return Ok(());
        }
        fail(
            Diagnostic::error(Code::G0102, name.span, format!("the split `{}` is declared twice", name.name))
                .hint("splits have different names: `split test 10%`, `split validation 10%`"),
        )
    }

    /// As many columns as the type has entries; an open dim is bound by the columns.
    fn columns_fit(&mut self, at: &Expr, value: &FieldExpr, dims: &[DimId]) -> Check<()> {
        let Some(columns) = width(value) else { return Ok(()) };
        let size =
            |items: &Self, d: DimId| if let Size::Fixed(n) = items.dims[d.index()].size { Some(n) } else { None };
        if let [one] = dims
            && self.dims[one.index()].size == Size::Open
        {
            self.dims[one.index()].size = Size::Fixed(columns);
            return Ok(());
        }
        let entries: Option<u64> = dims.iter().map(|d| size(self, *d)).product();
        let Some(entries) = entries.filter(|n| *n != columns) else { return Ok(()) };
        let names: Vec<String> = dims.iter().map(|d| self.dims[d.index()].name.clone()).collect();
        let plural = |n: u64, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
        let of = if names.is_empty() { "one number".to_string() } else { format!("`{}`", names.join(", ")) };
        let message = format!(
            "{} for {of}, which has {}",
            plural(columns, "column"),
            plural(entries, "entry").replace("entrys", "entries")
        );
        let mut d = Diagnostic::error(Code::G0502, at.span, message);
        for dim in dims {
            if let Some(place) = self.dims[dim.index()].span {
                let name = &self.dims[dim.index()].name;
                let size = size(self, *dim).map(|n| format!(" of size {n}")).unwrap_or_default();
                d = d.label(place, format!("`{name}`{size}"));
            }
        }
        fail(d.hint("a range ends one past its last column: `columns 0..64` has 64 columns"))
    }

    fn field_type(&mut self, ty: &TypeExpr) -> Check<(Elem, Vec<DimId>)> {
        let mut dims = Vec::new();
        for axis in &ty.axes {
            let (TypeAxis::Dim(e) | TypeAxis::Named(_, e)) = axis else {
                return fail(Diagnostic::error(Code::G0209, ty.span, "a field names all its dims"));
            };
            let named = match &*e.kind {
                ExprKind::Name { name, .. } => self.dim_named(name),
                _ => None,
            };
            dims.push(match named {
                Some(d) => d,
                None => {
                    let n = self.number(e)?;
                    self.number_dim(n as u64)
                }
            });
        }
        let elem = match ty.elem.name.as_str() {
            "real" | "f64" => Elem::Real,
            narrow if rounding(narrow).is_some() => Elem::Real,
            "int" | "i32" => Elem::Int,
            "bool" => Elem::Bool,
            name => match self.dim_named(name) {
                Some(d) => Elem::Index(d),
                None => {
                    return fail(
                        self.unknown(name, ty.elem.span).hint("a field is `real`, `int`, `bool` or an index of a dim"),
                    );
                }
            },
        };
        Ok((elem, dims))
    }

    fn number_dim(&mut self, n: u64) -> DimId {
        let name = n.to_string();
        if let Some(d) = self.dim_named(&name) {
            return d;
        }
        self.dims.push(Dim { name, size: Size::Fixed(n), span: None });
        DimId::new(self.dims.len() - 1)
    }

    /// Where a field's values come from.
    pub fn field_expr(&self, e: &Expr) -> Check<FieldExpr> {
        self.field_expr_with(e, &|name, span| fail(self.unknown(name, span)))
    }

    /// As `field_expr`; `lookup` finds names that are no numbers.
    pub fn field_expr_with(&self, e: &Expr, lookup: &Lookup) -> Check<FieldExpr> {
        let map = |fun, args: Vec<&Expr>| -> Check<FieldExpr> {
            let args = args.into_iter().map(|a| self.field_expr_with(a, lookup));
            Ok(FieldExpr::Map(fun, args.collect::<Check<_>>()?))
        };
        let count = |e: &Expr| -> Check<usize> {
            let n = self.number(e)?;
            if n < 0.0 || n.fract() != 0.0 {
                return fail(Diagnostic::error(
                    Code::G0303,
                    e.span,
                    format!("a column is a whole number from 0, not {n}"),
                ));
            }
            Ok(n as usize)
        };
        match &*e.kind {
            ExprKind::Columns(a, b) => {
                let (from, to) = (count(a)?, count(b)?);
                if to <= from {
                    return fail(
                        Diagnostic::error(Code::G0303, e.span, format!("`columns {from}..{to}` takes no column"))
                            .hint("the end is one past the last column"),
                    );
                }
                Ok(FieldExpr::Columns(from, to))
            }
            ExprKind::Column(c) => match &*c.kind {
                ExprKind::Text(name) => Ok(FieldExpr::Named(name.clone())),
                _ => Ok(FieldExpr::Column(count(c)?)),
            },
            ExprKind::FileRef(name) => Ok(FieldExpr::File(name.clone())),
            ExprKind::Number(n) => Ok(FieldExpr::Number(*n)),
            ExprKind::Name { name, .. } => match self.number(e) {
                Ok(n) => Ok(FieldExpr::Number(n)),
                Err(_) => lookup(name, e.span),
            },
            ExprKind::Field(base, field) => match &*base.kind {
                ExprKind::Name { name, .. } => lookup(&format!("{name}.{}", field.name), e.span),
                _ => fail(self.no_field_expr(e)),
            },
            ExprKind::Unary(UnaryOp::Neg, x) => map(Fun::Neg, vec![x]),
            ExprKind::Binary(op, a, b) => {
                let fun = match op {
                    BinaryOp::Add => Fun::Add,
                    BinaryOp::Sub => Fun::Sub,
                    BinaryOp::Mul => Fun::Mul,
                    BinaryOp::Div => Fun::Div,
                    BinaryOp::Pow => Fun::Pow,
                    BinaryOp::IntDiv => Fun::IntDiv,
                    BinaryOp::Mod => Fun::Mod,
                    BinaryOp::Lt => Fun::Lt,
                    BinaryOp::Le => Fun::Le,
                    BinaryOp::Gt => Fun::Gt,
                    BinaryOp::Ge => Fun::Ge,
                    BinaryOp::Eq => Fun::Eq,
                    BinaryOp::Ne => Fun::Ne,
                    BinaryOp::And => Fun::And,
                    BinaryOp::Or => Fun::Or,
                    _ => return fail(self.no_field_expr(e)),
                };
                map(fun, vec![a, b])
            }
            ExprKind::Call(f, args) => match &*f.kind {
                ExprKind::Name { name, .. } if name == "sparse" => self.sparse(args, e),
                ExprKind::Name { name, .. } if MADE.contains(&name.as_str()) => self.made_field(name, args, e),
                ExprKind::Name { name, .. } => match SCALAR.iter().find(|s| s.0 == name && s.2 == args.len()) {
                    Some((_, fun, _)) => map(*fun, args.iter().map(|a| &a.value).collect()),
                    None => fail(self.no_field_expr(e)),
                },
                _ => fail(self.no_field_expr(e)),
            },
            _ => fail(self.no_field_expr(e)),
        }
    }

    /// `sparse(file "coo.npy")`, `sparse(file "coo.npy", file "values.npy")`.
    fn sparse(&self, args: &[crate::ast::Arg], e: &Expr) -> Check<FieldExpr> {
        let files: Vec<Option<String>> = args
            .iter()
            .map(|a| if let ExprKind::FileRef(name) = &*a.value.kind { Some(name.clone()) } else { None })
            .collect();
        match &files[..] {
            [Some(indices)] => Ok(FieldExpr::Sparse(indices.clone(), None)),
            [Some(indices), Some(values)] => Ok(FieldExpr::Sparse(indices.clone(), Some(values.clone()))),
            _ => fail(
                Diagnostic::error(Code::G0301, e.span, "`sparse` takes a file of indices and perhaps one of values")
                    .hint("for example `x: real[node, word] = sparse(file \"coo.npy\")`"),
            ),
        }
    }

    /// `images("*/*.png")`, `folders("*/*.png")`, `characters(every = 64)`, `bytes(file "a.bin")`, `category(column 4)`.
    fn made_field(&self, name: &str, args: &[crate::ast::Arg], e: &Expr) -> Check<FieldExpr> {
        let wrong = || {
            let (what, hint) = match name {
                "images" => ("takes a pattern of file names", "`images(\"*/*.png\")`"),
                "folders" => ("takes a pattern of file names", "`folders(\"*/*.png\")`: the folder of each file"),
                "category" => ("takes one column", "`category(column \"species\")`"),
                _ => {
                    ("takes a file and the distance of windows, or neither", "`characters(file \"a.txt\", every = 64)`")
                }
            };
            fail(Diagnostic::error(Code::G0301, e.span, format!("`{name}` {what}")).hint(hint))
        };
        match (name, args) {
            ("images" | "folders", [one]) => match &*one.value.kind {
                ExprKind::Text(pattern) if name == "images" => Ok(FieldExpr::Images(pattern.clone())),
                ExprKind::Text(pattern) => Ok(FieldExpr::Folders(pattern.clone())),
                _ => wrong(),
            },
            ("category", [one]) => match self.field_expr(&one.value)? {
                column @ (FieldExpr::Column(_) | FieldExpr::Named(_)) => Ok(FieldExpr::Category(Box::new(column))),
                _ => wrong(),
            },
            ("characters" | "bytes", args) => {
                let (mut file, mut every) = (None, None);
                for arg in args {
                    match (&arg.name, &*arg.value.kind) {
                        (None, ExprKind::FileRef(name)) if file.is_none() => file = Some(name.clone()),
                        (Some(n), _) if n.name == "every" => every = Some(self.distance(&arg.value)?),
                        _ => return wrong(),
                    }
                }
                Ok(FieldExpr::Symbols { file, bytes: name == "bytes", every })
            }
            _ => wrong(),
        }
    }

    /// How far apart windows of a text start.
    fn distance(&self, e: &Expr) -> Check<usize> {
        match self.fixed(e)? {
            0 => fail(
                Diagnostic::error(Code::G0303, e.span, "windows that start every 0 symbols are all one window")
                    .hint("with `every = 1` a window starts at each symbol"),
            ),
            n => Ok(n as usize),
        }
    }

    fn no_field_expr(&self, e: &Expr) -> Diagnostic {
        Diagnostic::error(Code::G0301, e.span, "a field is made of columns or a file, numbers and scalar functions")
            .hint("for example `columns 0..64 / 16`, `log(column 3)`, `file \"x.npy\"`; prepare the rest in definitions: `z = x - mean(x)`")
    }
}

/// The nearest numbers of a narrow type.
fn narrowed(elem: &str, value: FieldExpr) -> FieldExpr {
    match rounding(elem) {
        Some(fun) => FieldExpr::Map(fun, vec![value]),
        None => value,
    }
}

/// Does the expression read a file, or else only other fields?
pub fn reads(e: &Expr) -> bool {
    match &*e.kind {
        ExprKind::Columns(..) | ExprKind::Column(_) | ExprKind::FileRef(_) => true,
        ExprKind::Call(f, _) if matches!(&*f.kind, ExprKind::Name { name, .. } if MADE.contains(&name.as_str())) => {
            true
        }
        _ => super::variables::children(e).into_iter().any(reads),
    }
}

/// Has a data block fields that a program of its own computes: all those of synthetic data, definitions beside a file?
pub fn computes(decl: &DataDecl) -> bool {
    let computed = |s: &DataStmt| match s {
        DataStmt::Stmt(_) => true,
        DataStmt::Field(f) => !reads(&f.value),
        _ => false,
    };
    decl.source.is_none() || decl.body.iter().any(computed)
}

/// How many numbers of a row an expression takes, if the text says it.
fn width(e: &FieldExpr) -> Option<u64> {
    match e {
        FieldExpr::Columns(from, to) => Some((to - from) as u64),
        FieldExpr::Column(_) | FieldExpr::Named(_) | FieldExpr::Category(_) => Some(1),
        FieldExpr::File(_)
        | FieldExpr::Whole
        | FieldExpr::Number(_)
        | FieldExpr::End(..)
        | FieldExpr::Arrivals(..)
        | FieldExpr::Field(_)
        | FieldExpr::Computed
        | FieldExpr::Images(_)
        | FieldExpr::Folders(_)
        | FieldExpr::Symbols { .. }
        | FieldExpr::Sparse(..) => None,
        FieldExpr::Map(_, args) => args.iter().filter_map(width).max(),
    }
}
