//! Batches of so many rows of each of some groups: `batch of class[5] x sample[16]`.
//! Law: a batch's fields lie over `batch`, which counts its groups, and the dim of the rows of a group; reports see single
//! rows as ever.

use super::value::Value;
use super::{Check, Elab, fail};
use crate::ast::{Expr, Ident};
use crate::diag::{Code, Diagnostic};
use crate::program::{Dim, DimId, Elem, Groups, Schedule, Size};

impl Elab<'_> {
    /// How the rows of the step in hand are grouped, if they are.
    pub fn groups(&self) -> Option<&Groups> {
        self.schedule_now().groups.as_ref()
    }

    /// How long and on what the step in hand runs.
    pub fn schedule_now(&self) -> &Schedule {
        self.unit.stages.last().map_or(&self.unit.schedule, |s| &s.schedule)
    }

    /// What a line `batch of groups[...] x rows[each]` says.
    pub fn grouped(&mut self, groups: &Ident, rows: &Ident, each: &Expr) -> Check<Groups> {
        let field = self.grouping_field(groups)?;
        let scope = self.train_scope();
        let count = self.count_of(each, &scope)?;
        if count == 0 {
            return fail(Diagnostic::error(Code::G0303, each.span, "a group has at least one row"));
        }
        Ok(Groups { field, dim: self.rows_dim(rows, count)?, rows: count })
    }

    /// The field of the data whose values are the groups: named itself, or by its dim.
    fn grouping_field(&mut self, groups: &Ident) -> Check<usize> {
        let Some(data) = self.data.filter(|k| !self.items.is_whole(*k)) else {
            let d = Diagnostic::error(Code::G0404, groups.span, "there are no rows to draw a batch from");
            return fail(d.hint("name the data: `train name on data { ... }`"));
        };
        let dim = if let Some(Value::Dim(dim)) = self.declared(groups)? { Some(dim) } else { None };
        let fields = &self.items.fields[data];
        let index = |f: &crate::program::Field| matches!(f.elem, Elem::Index(_)) && f.dims.is_empty();
        let of_dim = |f: &crate::program::Field| dim.is_some_and(|d| f.elem == Elem::Index(d));
        let fits: Vec<usize> = (0..fields.len())
            .filter(|k| index(&fields[*k]) && (of_dim(&fields[*k]) || fields[*k].name == groups.name))
            .collect();
        let d = |message: String| Diagnostic::error(Code::G0105, groups.span, message);
        match fits[..] {
            [k] => Ok(k),
            [] => {
                let known: Vec<&str> = fields.iter().filter(|f| index(f)).map(|f| f.name.as_str()).collect();
                let d = d(format!("no field of the data says which `{}` a row belongs to", groups.name));
                fail(match known.is_empty() {
                    true => d.hint("a field groups rows if its type is a dim: `label: class = column 64`"),
                    false => d.hint(format!("rows can be grouped by {}", known.join(", "))),
                })
            }
            _ => {
                let names: Vec<&str> = fits.iter().map(|k| fields[*k].name.as_str()).collect();
                let d = d(format!("several fields are a `{}`: {}", groups.name, names.join(", ")));
                fail(d.hint(format!("name the field: `batch of {}[...] x ...`", names[0])))
            }
        }
    }

    /// What a name stands for in the block.
    fn declared(&mut self, name: &Ident) -> Check<Option<Value>> {
        match self.train_scope().get(&name.name) {
            Some(value) => Ok(Some(value)),
            None => self.global(&name.name, name.span),
        }
    }

    /// The dim of the rows of a group: declared with their number, or new.
    fn rows_dim(&mut self, rows: &Ident, count: u64) -> Check<DimId> {
        let field = self.data.is_some_and(|k| self.items.fields[k].iter().any(|f| f.name == rows.name));
        let taken = field || self.definitions.iter().any(|d| d.names.contains(&rows.name));
        match self.declared(rows)? {
            Some(Value::Dim(dim)) if self.unit.dims[dim.index()].size == Size::Fixed(count) => Ok(dim),
            Some(Value::Dim(dim)) => {
                let size = self.dim_name(dim);
                let message = format!("a group has {count} rows, and the dim is `{size}`");
                fail(Diagnostic::error(Code::G0202, rows.span, message).hint("give them one size, or another name"))
            }
            None if !taken => {
                let name = rows.name.clone();
                let dim = self.add_dim(Dim { name: name.clone(), size: Size::Fixed(count), span: Some(rows.span) });
                if let Some(Value::Record(mut names)) = self.globals.get("<train>") {
                    names.push((name, Value::Dim(dim)));
                    self.globals.set("<train>", Value::Record(names));
                }
                Ok(dim)
            }
            _ => {
                let d = Diagnostic::error(Code::G0102, rows.span, format!("`{}` is something else here", rows.name));
                fail(d.hint("the rows of a group need a dim of their own: `batch of class[5] x sample[16]`"))
            }
        }
    }
}
