//! Data as inputs: the fields of the block's data set, whole sets and their splits.

use super::value::Value;
use super::{Check, Elab, fail};
use crate::diag::{Code, Diagnostic};
use crate::program::{Axis, DimId, Input, InputId, Op, Part, Ty, UnitKind};

impl Elab<'_> {
    /// A field of the data set as the rows of the batch.
    pub fn batch_field(&mut self, name: &str) -> Check<Option<Value>> {
        let Some(data) = self.data.or_else(|| self.only_graph(name)) else { return Ok(None) };
        let Some(k) = self.items.fields[data].iter().position(|f| f.name == name) else { return Ok(None) };
        if self.items.is_whole(data) {
            return Ok(Some(self.whole_input(data, k)));
        }
        let part = match &self.mode.report {
            None if self.mode.fresh => Part::Fresh,
            None => Part::Batch,
            Some(Some(split)) => Part::Split(split.clone()),
            Some(None) if self.items.has_split(data, "test") => Part::Split("test".to_string()),
            Some(None) => Part::All,
        };
        let rows = self.unit.batch.expect("a unit with data has batches");
        let in_groups = if self.mode.report.is_none() { self.groups().map(|g| g.dim) } else { None };
        Ok(Some(self.input(data, k, part, &[Some(rows), in_groups])))
    }

    /// A data input, found or added; its rows lie over these dims.
    pub fn input(&mut self, data: usize, k: usize, part: Part, rows: &[Option<DimId>]) -> Value {
        let field = &self.items.fields[data][k];
        let name = format!("{}.{}", self.items.data[data].name.name, field.name);
        let span = field.span;
        let mut axes: Vec<Axis> = Vec::new();
        for dim in rows.iter().flatten().chain(&field.dims) {
            let ix = axes.iter().filter(|a| a.dim == *dim).count() as u32;
            axes.push(Axis { dim: *dim, ix });
        }
        let ty = Ty { elem: field.elem, axes: axes.clone() };
        let found = self.unit.inputs.iter().position(|i| i.name == name && i.part == part && i.ty.axes == axes);
        let id = match found {
            Some(k) => InputId::new(k),
            None => {
                self.unit.inputs.push(Input { name, field: Some(k), part, ty: ty.clone() });
                InputId::new(self.unit.inputs.len() - 1)
            }
        };
        let term = self.term(Op::Input(id), ty.elem, axes.clone(), span);
        Value::Tensor(super::value::Tensor { id: term, axes })
    }

    /// A field of a data set without rows.
    pub fn whole_input(&mut self, data: usize, k: usize) -> Value {
        let field = &self.items.fields[data][k];
        let (name, span, elem) =
            (format!("{}.{}", self.items.data[data].name.name, field.name), field.span, field.elem);
        let mut axes: Vec<Axis> = Vec::new();
        for dim in &field.dims {
            let ix = axes.iter().filter(|a| a.dim == *dim).count() as u32;
            axes.push(Axis { dim: *dim, ix });
        }
        let ty = Ty { elem, axes: axes.clone() };
        let id = match self.unit.inputs.iter().position(|i| i.name == name) {
            Some(k) => InputId::new(k),
            None => {
                self.unit.inputs.push(Input { name, field: Some(k), part: Part::All, ty });
                InputId::new(self.unit.inputs.len() - 1)
            }
        };
        let term = self.term(Op::Input(id), elem, axes.clone(), span);
        Value::Tensor(super::value::Tensor { id: term, axes })
    }

    /// The data set without rows that alone has a field of that name: a task that speaks of it is about these data.
    fn only_graph(&mut self, field: &str) -> Option<usize> {
        let has = |k: &usize| self.items.is_whole(*k) && self.items.fields[*k].iter().any(|f| f.name == field);
        let found: Vec<usize> = (0..self.items.fields.len()).filter(has).collect();
        let [k] = found[..] else { return None };
        self.take_data(k).then_some(k)
    }

    /// Makes the data set that of the unit, if it has none yet.
    pub fn take_data(&mut self, k: usize) -> bool {
        if self.data.is_none() && self.unit.kind != UnitKind::Train {
            self.data = Some(k);
            self.unit.data = Some(k);
        }
        self.data == Some(k)
    }

    /// `digits.image`, `digits.test.image`, `digits.test`.
    pub fn data_field(&mut self, k: usize, split: Option<&str>, field: &crate::ast::Ident) -> Check<Value> {
        if split.is_none() && !self.items.is_whole(k) && (self.items.has_split(k, &field.name) || field.name == "train")
        {
            return Ok(Value::Data(k, Some(field.name.clone())));
        }
        let Some(f) = self.items.fields[k].iter().position(|f| f.name == field.name) else {
            let known = self.items.fields[k].iter().map(|f| f.name.clone()).collect();
            return fail(self.no_field(&field.name, field.span, known));
        };
        if !self.take_data(k) {
            return fail(
                Diagnostic::error(Code::G0105, field.span, "these data belong to another train block")
                    .hint("name the data set: `train name on data { ... }`"),
            );
        }
        if self.items.is_whole(k) {
            return Ok(self.whole_input(k, f));
        }
        let rows = self.row_dim(&Value::Data(k, split.map(str::to_string))).expect("data have a dim");
        let part = split.map_or(Part::All, |s| Part::Split(s.to_string()));
        Ok(self.input(k, f, part, &[Some(rows)]))
    }
}
