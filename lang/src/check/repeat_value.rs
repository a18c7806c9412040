//! What a loop gives: last values, everything over the steps of a `scan`, and the fields `last` and `steps`.

use super::repeat::Repeat;
use super::value::{Leaf, Scope, Tensor, Tree, Value};
use super::{Check, Elab};
use crate::ast::LoopKind;
use crate::diag::Span;
use crate::program::{Axis, Elem, LoopId, LoopPart, Op, TermId};
use std::rc::Rc;

impl Elab<'_> {
    pub(super) fn loop_value(&mut self, repeat: &Repeat<'_>, inner: &Rc<Scope>) -> Check<Value> {
        let mut k = 0;
        let mut last = Vec::new();
        for state in &repeat.states {
            let value = self.map_value(&state.first, state.span, |elab, t| {
                let ty = elab.ty(t.id).clone();
                let id = elab.loop_out(repeat, LoopPart::Last(k), ty.elem, ty.axes);
                k += 1;
                Tensor { id, axes: t.axes.clone() }
            })?;
            last.push((state.name.name.clone(), value));
        }
        let steps = self.loop_out(repeat, LoopPart::Steps, Elem::Int, vec![]);
        let steps = Value::Tensor(Tensor { id: steps, axes: vec![] });
        if repeat.ast.kind == LoopKind::Scan {
            return self.scan_value(repeat, inner, last, &steps);
        }
        for (_, value) in &last {
            self.more_fields(value, vec![("steps".to_string(), steps.clone())]);
        }
        Ok(if last.len() == 1 { last.remove(0).1 } else { Value::Record(last) })
    }

    /// Every name of the body over the steps; a state also has its `last` value.
    fn scan_value(
        &mut self,
        repeat: &Repeat<'_>,
        inner: &Rc<Scope>,
        last: Vec<(String, Value)>,
        steps: &Value,
    ) -> Check<Value> {
        let mut fields = Vec::new();
        for (name, end) in last {
            let next = inner.get(&format!("{name}'")).expect("every state has a next value");
            let every = self.over_steps(repeat, &next)?;
            self.more_fields(&every, vec![("last".to_string(), end), ("steps".to_string(), steps.clone())]);
            fields.push((name, every));
        }
        for name in inner.own_names() {
            let known = fields.iter().any(|f| f.0 == name) || name.ends_with('\'') || name.starts_with('<');
            if let (false, Some(v @ (Value::Tensor(_) | Value::Tree(_)))) = (known, inner.get(&name)) {
                let every = self.over_steps(repeat, &v)?;
                fields.push((name, every));
            }
        }
        Ok(Value::Record(fields))
    }

    /// A value of the body at every step: the loop's axis comes first.
    fn over_steps(&mut self, repeat: &Repeat<'_>, v: &Value) -> Check<Value> {
        self.map_value(v, repeat.span, |elab, t| {
            let id = elab.spread(t.id, &[repeat.axis], repeat.span);
            let id = if elab.in_loop(repeat.id, id) {
                let ty = elab.ty(id).clone();
                elab.loop_out(repeat, LoopPart::Each(id), ty.elem, ty.axes)
            } else {
                id
            };
            Tensor { id, axes: std::iter::once(repeat.axis).chain(t.axes.iter().copied()).collect() }
        })
    }

    /// Does a term depend on a state of the loop?
    pub(super) fn in_loop(&self, id: LoopId, of: TermId) -> bool {
        let states = self.unit.loops[id.index()].first.len() as u32;
        (0..states).any(|k| self.depends(of, self.state_term(id, k)))
    }

    pub(super) fn loop_out(&mut self, repeat: &Repeat<'_>, part: LoopPart, elem: Elem, axes: Vec<Axis>) -> TermId {
        let l = &self.unit.loops[repeat.id.index()];
        let mut needs: Vec<TermId> = l.first.iter().chain(&l.next).copied().collect();
        needs.extend(l.go_on.map(|g| g.1));
        if let LoopPart::Each(t) = part {
            needs.push(t);
        }
        self.term(Op::LoopOut { of: repeat.id, part, needs }, elem, axes, repeat.span)
    }

    /// The value with each of its tensors replaced.
    pub(super) fn map_value(
        &mut self,
        v: &Value,
        span: Span,
        mut f: impl FnMut(&mut Self, &Tensor) -> Tensor,
    ) -> Check<Value> {
        if let Value::Tree(tree) = v {
            let leaves = tree.leaves.iter().map(|leaf| {
                let value = f(self, &leaf.value);
                Leaf { value, param: None, ..leaf.clone() }
            });
            return Ok(Value::Tree(Tree { leaves: leaves.collect() }));
        }
        let t = self.tensor(v, span)?;
        Ok(Value::Tensor(f(self, &t)))
    }

    /// Fields that a loop's result has besides being a tensor.
    fn more_fields(&mut self, value: &Value, fields: Vec<(String, Value)>) {
        if let Some(key) = loop_key(value) {
            self.loop_fields.insert(key, fields);
        }
    }

    /// A field of a loop's result: `r.h.last`, `z.steps`.
    pub fn loop_field(&self, v: &Value, field: &str) -> Option<Value> {
        let key = match v {
            Value::Record(fields) if field == "steps" => loop_key(&fields.first()?.1)?,
            other => loop_key(other)?,
        };
        self.loop_fields.get(&key)?.iter().find(|f| f.0 == field).map(|f| f.1.clone())
    }

    /// What a loop's result has besides being a tensor, it has too where index notation repeats the loop: `close` gives a
    /// tensor the positions of the index variables. The number of steps is that of all repetitions.
    pub(super) fn close_fields(
        &mut self,
        (from, to): (&Tensor, &Tensor),
        span: Span,
        close: &mut dyn FnMut(&mut Self, &Tensor) -> Check<Tensor>,
    ) -> Check<()> {
        for tree in [false, true] {
            let Some(fields) = self.loop_fields.get(&(from.id, from.axes.clone(), tree)).cloned() else { continue };
            let mut closed = Vec::new();
            for (name, v) in fields {
                let v = if name == "steps" { v } else { self.each_tensor(&v, span, close)? };
                closed.push((name, v));
            }
            self.loop_fields.insert((to.id, to.axes.clone(), tree), closed);
        }
        Ok(())
    }

    /// What one loop's result has besides being a tensor, another has too.
    pub fn same_fields(&mut self, from: &Value, to: &Value) {
        let fields = loop_key(from).and_then(|key| self.loop_fields.get(&key).cloned());
        self.more_fields(to, fields.unwrap_or_default());
    }
}

/// By what the further fields of a loop's result are found: its term with its positions, or the first one of its tree.
pub(super) type LoopKey = (TermId, Vec<Axis>, bool);

fn loop_key(v: &Value) -> Option<LoopKey> {
    match v {
        Value::Tensor(t) => Some((t.id, t.axes.clone(), false)),
        Value::Tree(tree) => tree.leaves.first().map(|leaf| (leaf.value.id, leaf.value.axes.clone(), true)),
        _ => None,
    }
}
