//! Synthetic data, `data NAME { x ~ normal[n, d]; y = ... }`, and fields that are computed from those of files.
//! Law: the first dim of the last definition counts the rows; whatever has it in front is a field, the rest are helpers. The
//! numbers are drawn once, with a seed of their own: runs with other seeds see the same rows.

use super::items::Items;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{DataDecl, DataStmt, Expr, Let, Stmt, Target, TypeAxis};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Data, DimId, Elem, Field, FieldExpr, Function, Op, Output, ParamId, Part, StateId, Ty, Unit};
use std::rc::Rc;

/// A unit that draws data: its function `data` has one output a field.
pub struct Drawn {
    pub unit: Unit,
    fields: Vec<(String, Ty, Span)>,
}

/// What counts the rows of a data set.
#[derive(Clone, Copy)]
enum Rows {
    /// The first dim of the last definition.
    First,
    /// The data set's own dim.
    Over(DimId),
    /// Nothing: data with edges have no rows, and whatever is defined is a field.
    None,
}

impl Items {
    /// Puts in the fields of a synthetic data set.
    pub fn settle_synthetic(&mut self, data: &mut Data, k: usize, drawn: Drawn) {
        let Drawn { unit, fields } = drawn;
        let known = |items: &mut Items, d: DimId| match items.dim_named(&unit.dims[d.index()].name) {
            Some(found) => found,
            None => {
                items.dims.push(unit.dims[d.index()].clone());
                DimId::new(items.dims.len() - 1)
            }
        };
        for (name, ty, span) in fields {
            let elem = match ty.elem {
                Elem::Index(d) => Elem::Index(known(self, d)),
                other => other,
            };
            let rows = usize::from(!data.whole);
            let dims = ty.axes[rows..].iter().map(|a| known(self, a.dim)).collect();
            let value = if data.source.is_some() { FieldExpr::Computed } else { FieldExpr::Whole };
            data.fields.push(Field { name, elem, dims, value, span });
        }
        self.fields[k].clone_from(&data.fields);
        data.drawn = Some(Box::new(unit));
    }
}

impl Elab<'_> {
    /// The unit of a data set: of synthetic data, or of the fields that are computed from those read.
    pub fn data_unit(mut self, decl: &DataDecl, k: usize) -> Check<Drawn> {
        let scope = Scope::inside(&self.globals.clone());
        let mut names = Vec::new();
        let rows = if decl.source.is_some() { self.fields_read(k, &scope) } else { Rows::First };
        for stmt in &decl.body {
            let stmt = match stmt {
                DataStmt::Stmt(s @ (Stmt::Let(_) | Stmt::Sample { .. } | Stmt::Const(_))) => s.clone(),
                DataStmt::Stmt(other) => {
                    let at = super::train::defined(other).1;
                    return fail(
                        Diagnostic::error(Code::G0301, at, "a data block defines by draws and equations")
                            .hint("for example `x ~ normal[n, d]`, `y = sum[d](x)`"),
                    );
                }
                DataStmt::Field(f) if decl.source.is_some() && super::data::reads(&f.value) => continue,
                DataStmt::SplitFrom { .. } | DataStmt::Edges(_) if decl.source.is_some() => continue,
                DataStmt::Field(f) => {
                    let mut ty = f.ty.clone();
                    // The type of a field beside those of a file is that of one row.
                    if let Rows::Over(_) = rows {
                        ty.axes.insert(0, TypeAxis::Dim(Expr::name(&decl.name.name, f.ty.span)));
                    }
                    let target = Target { name: f.name.clone(), primed: false, indices: None, ty: Some(ty) };
                    Stmt::Let(Let { targets: vec![target], value: f.value.clone(), span: f.name.span })
                }
                DataStmt::Split { .. } => continue,
                DataStmt::Edges(e) => {
                    return fail(
                        Diagnostic::error(Code::G0306, e.name.span, "edges of synthetic data cannot be compiled yet")
                            .hint("read them from a file: `data name from \"folder\" { edges link: node -> node = file \"edges.npy\" }`"),
                    );
                }
                DataStmt::SplitFrom { span, .. } => {
                    return fail(
                        Diagnostic::error(Code::G0301, *span, "synthetic data have no files for a split")
                            .hint("take a part of the rows: `split test 20%`"),
                    );
                }
            };
            let (defined, span) = super::train::defined(&stmt);
            self.stmt(&stmt, &scope)?;
            names.extend(defined.into_iter().map(|n| (n, span)));
        }
        if let (None, Some(other)) = (&decl.source, self.data) {
            let other = &self.items.data[other].name;
            let message = format!("the data `{}` are made of the data `{}`", decl.name.name, other.name);
            let d = Diagnostic::error(Code::G0301, decl.name.span, message).label(other.span, "declared here");
            return fail(d.hint(
                "read the file in this block too, `data b from \"a.csv\" { ... }`, or compute it where it is used",
            ));
        }
        self.fields_of(decl, &names, rows, &scope)
    }

    /// Puts the fields that are read into the scope, over all rows.
    fn fields_read(&mut self, k: usize, scope: &Rc<Scope>) -> Rows {
        (self.data, self.unit.data) = (Some(k), Some(k));
        let rows = self.row_dim(&Value::Data(k, None));
        for (f, field) in self.items.fields[k].iter().enumerate() {
            let value = match rows {
                Some(dim) => self.input(k, f, Part::All, &[Some(dim)]),
                None => self.whole_input(k, f),
            };
            scope.set(&field.name, value);
        }
        rows.map_or(Rows::None, Rows::Over)
    }

    fn fields_of(mut self, decl: &DataDecl, names: &[(String, Span)], rows: Rows, scope: &Rc<Scope>) -> Check<Drawn> {
        let tensor = |name: &str| match scope.get(name) {
            Some(Value::Tensor(t)) => Some(t),
            _ => None,
        };
        let first = names.last().and_then(|(n, _)| tensor(n)).and_then(|t| t.axes.first().map(|a| a.dim));
        let rows = match (rows, first) {
            (Rows::None, _) => None,
            (Rows::Over(dim), _) | (Rows::First, Some(dim)) => Some(dim),
            (Rows::First, None) => {
                let message = format!("the data `{}` have no rows", decl.name.name);
                return fail(
                    Diagnostic::error(Code::G0404, decl.name.span, message)
                        .hint("the first dim of the last definition counts the rows: `y = ...` over `[n]`"),
                );
            }
        };
        let (mut fields, mut outputs) = (Vec::new(), Vec::new());
        for (name, span) in names {
            let counted = |t: &Tensor| rows.is_none_or(|rows| t.axes.first().is_some_and(|a| a.dim == rows));
            let Some(t) = tensor(name).filter(counted) else { continue };
            let read = self.data.is_some_and(|k| self.items.fields[k].iter().any(|f| f.name == *name));
            if read || fields.iter().any(|f: &(String, Ty, Span)| f.0 == *name) {
                let d = Diagnostic::error(Code::G0102, *span, format!("the field `{name}` is declared twice"));
                return fail(d.hint("give one of them another name"));
            }
            let Tensor { id, axes } = t;
            let ty = Ty { elem: self.ty(id).elem, axes };
            let view = self.ordered_term(Op::View(id), ty.clone(), *span);
            outputs.push((Output::Value(name.clone()), view));
            fields.push((name.clone(), ty, *span));
        }
        let mut first: Vec<_> =
            self.first_params.iter().enumerate().map(|(k, t)| (Output::Param(ParamId::new(k)), *t)).collect();
        first.extend(self.first_states.iter().enumerate().map(|(k, t)| (Output::State(StateId::new(k)), *t)));
        self.unit.functions.push(Function { name: "init".to_string(), outputs: first });
        self.unit.functions.push(Function { name: "data".to_string(), outputs });
        self.unit.sites = self.sites.len() as u32;
        Ok(Drawn { unit: self.unit, fields })
    }
}
