//! Values made of parts: what acts on a tensor acts on records, tuples and trees part by part.
//! Law: the names and the order of the parts are kept; functions and nets among the parts stay as they are.

use super::value::{Leaf, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::diag::{Code, Diagnostic, Span};

/// What is done to one tensor.
pub type OnTensor<'f, 'a> = &'f mut dyn FnMut(&mut Elab<'a>, &Tensor) -> Check<Tensor>;
/// What is done to parts that stand at the same place.
pub type OnParts<'f, 'a> = &'f mut dyn FnMut(&mut Elab<'a>, &[Value]) -> Check<Value>;

impl<'a> Elab<'a> {
    /// The value with every tensor in it replaced.
    pub fn each_tensor(&mut self, v: &Value, span: Span, f: OnTensor<'_, 'a>) -> Check<Value> {
        match v {
            Value::Tuple(parts) => {
                let parts: Check<Vec<Value>> = parts.iter().map(|p| self.each_part(p, span, f)).collect();
                parts.map(Value::Tuple)
            }
            Value::Record(fields) => {
                let mut out = Vec::new();
                for (name, value) in fields {
                    out.push((name.clone(), self.each_part(value, span, f)?));
                }
                Ok(Value::Record(out))
            }
            Value::Tree(tree) => {
                let mut leaves = Vec::new();
                for leaf in &tree.leaves {
                    let value = f(self, &leaf.value)?;
                    leaves.push(Leaf { value, param: None, ..leaf.clone() });
                }
                Ok(Value::Tree(Tree { leaves }))
            }
            other => {
                let t = self.tensor(other, span)?;
                f(self, &t).map(Value::Tensor)
            }
        }
    }

    /// As `each_tensor`, of a part: a function or net stays.
    fn each_part(&mut self, v: &Value, span: Span, f: OnTensor<'_, 'a>) -> Check<Value> {
        if is_code(v) { Ok(v.clone()) } else { self.each_tensor(v, span, f) }
    }

    /// Acts on the parts of values of one structure that stand at the same place.
    pub fn together(&mut self, values: &[Value], span: Span, f: OnParts<'_, 'a>) -> Check<Value> {
        let values: Vec<Value> = values.iter().map(|v| self.as_tree(v, span)).collect();
        if let Some(parts) = all_of(&values, |v| if let Value::Tuple(p) = v { Some(p) } else { None }) {
            let n = parts[0].len();
            if let Some(other) = parts.iter().find(|p| p.len() != n) {
                let message = format!("the tuples differ: {n} values and {}", other.len());
                return fail(Diagnostic::error(Code::G0305, span, message).hint("both give as many values"));
            }
            let at = |k: usize| parts.iter().map(|p| p[k].clone()).collect::<Vec<_>>();
            let out: Check<Vec<Value>> = (0..n).map(|k| self.together(&at(k), span, f)).collect();
            return out.map(Value::Tuple);
        }
        if let Some(records) = all_of(&values, |v| if let Value::Record(r) = v { Some(r) } else { None }) {
            let mut out = Vec::new();
            for (name, _) in records[0] {
                let mut parts = Vec::new();
                for record in &records {
                    match record.iter().find(|f| f.0 == *name).filter(|_| record.len() == records[0].len()) {
                        Some((_, part)) => parts.push(part.clone()),
                        None => return fail(unlike_records(records[0], record, span)),
                    }
                }
                out.push((name.clone(), self.together(&parts, span, f)?));
            }
            return Ok(Value::Record(out));
        }
        if let Some(trees) = all_of(&values, |v| if let Value::Tree(t) = v { Some(t) } else { None }) {
            return self.leafwise(trees[0], &values, span, f);
        }
        f(self, &values)
    }

    /// A tensor of the value, by which its indices are known.
    pub fn sample_tensor(&self, v: &Value) -> Option<Tensor> {
        match v {
            Value::Tensor(t) | Value::Hyper(t, _) => Some(t.clone()),
            Value::Tuple(parts) => parts.iter().find_map(|p| self.sample_tensor(p)),
            Value::Record(fields) => fields.iter().find_map(|f| self.sample_tensor(&f.1)),
            Value::Tree(tree) => tree.leaves.first().map(|l| l.value.clone()),
            _ => None,
        }
    }
}

/// Is it a function, a net, a rule or a text: something without entries?
fn is_code(v: &Value) -> bool {
    matches!(
        v,
        Value::Fn(_)
            | Value::Lambda(_)
            | Value::Builtin(_)
            | Value::Net(_)
            | Value::Instance(_)
            | Value::Rules(_)
            | Value::Objective(_)
            | Value::Text(_)
    )
}

/// All values in that form, if there is one at least and all have it.
fn all_of<'v, T>(values: &'v [Value], f: impl Fn(&'v Value) -> Option<&'v T>) -> Option<Vec<&'v T>> {
    if values.is_empty() { None } else { values.iter().map(f).collect() }
}

fn unlike_records(a: &[(String, Value)], b: &[(String, Value)], span: Span) -> Diagnostic {
    let names = |r: &[(String, Value)]| r.iter().map(|f| f.0.as_str()).collect::<Vec<_>>().join(", ");
    let message = format!("the records differ: {{{}}} and {{{}}}", names(a), names(b));
    Diagnostic::error(Code::G0305, span, message).hint("both have fields of the same names")
}
