//! Synthetic data: `data NAME { x ~ normal[n, d]; y = ... }`.
//! Law: the first dim of the last definition counts the rows; whatever has it in front is a field, the rest are helpers. The
//! numbers are drawn once, with a seed of their own: runs with other seeds see the same rows.

use super::items::Items;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{DataDecl, DataStmt, Let, Stmt, Target};
use crate::diag::{Code, Diagnostic};
use crate::program::{Data, DimId, Elem, Field, FieldExpr, Function, Op, Output, ParamId, StateId, Ty, Unit};
use std::rc::Rc;

/// A unit that draws data: its function `data` has one output a field.
pub struct Drawn {
    pub unit: Unit,
    fields: Vec<(String, Ty, crate::diag::Span)>,
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
            let dims = ty.axes[1..].iter().map(|a| known(self, a.dim)).collect();
            data.fields.push(Field { name, elem, dims, value: FieldExpr::Whole, span });
        }
        self.fields[k].clone_from(&data.fields);
        data.drawn = Some(Box::new(unit));
    }
}

impl Elab<'_> {
    /// The unit of a synthetic data set.
    pub fn data_unit(mut self, decl: &DataDecl) -> Check<Drawn> {
        let scope = Scope::inside(&self.globals.clone());
        let mut names = Vec::new();
        for stmt in &decl.body {
            let stmt = match stmt {
                DataStmt::Stmt(s @ (Stmt::Let(_) | Stmt::Sample { .. } | Stmt::Const(_))) => s.clone(),
                DataStmt::Stmt(other) => {
                    let at = super::train::defined(other).1;
                    return fail(
                        Diagnostic::error(Code::G0301, at, "synthetic data are draws and equations")
                            .hint("for example `x ~ normal[n, d]`, `y = sum[d](x)`"),
                    );
                }
                DataStmt::Field(f) => {
                    let target = Target { name: f.name.clone(), primed: false, indices: None, ty: Some(f.ty.clone()) };
                    Stmt::Let(Let { targets: vec![target], value: f.value.clone(), span: f.name.span })
                }
                DataStmt::Split { .. } => continue,
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
        self.fields_of(decl, &names, &scope)
    }

    fn fields_of(mut self, decl: &DataDecl, names: &[(String, crate::diag::Span)], scope: &Rc<Scope>) -> Check<Drawn> {
        let tensor = |name: &str| match scope.get(name) {
            Some(Value::Tensor(t)) => Some(t),
            _ => None,
        };
        let rows = names.last().and_then(|(n, _)| tensor(n)).and_then(|t| t.axes.first().copied());
        let Some(rows) = rows else {
            return fail(
                Diagnostic::error(Code::G0404, decl.name.span, format!("the data `{}` have no rows", decl.name.name))
                    .hint("the first dim of the last definition counts the rows: `y = ...` over `[n]`"),
            );
        };
        let (mut fields, mut outputs) = (Vec::new(), Vec::new());
        for (name, span) in names {
            let Some(t) = tensor(name).filter(|t| t.axes.first().is_some_and(|a| a.dim == rows.dim)) else { continue };
            if fields.iter().any(|f: &(String, Ty, crate::diag::Span)| f.0 == *name) {
                return fail(Diagnostic::error(Code::G0102, *span, format!("the field `{name}` is declared twice")));
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
