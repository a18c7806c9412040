//! Trees: records of parameters and what has their shape.

use super::value::{Instance, Leaf, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, Op, ParamId, TermId};

impl Elab<'_> {
    /// Applies leaf by leaf; arguments that are no trees take part in every leaf.
    pub fn leafwise(
        &mut self,
        like: &Tree,
        args: &[Value],
        span: Span,
        mut f: impl FnMut(&mut Self, &[Value]) -> Check<Value>,
    ) -> Check<Value> {
        let mut leaves = Vec::new();
        for (k, leaf) in like.leaves.iter().enumerate() {
            let mut parts = Vec::new();
            for a in args {
                parts.push(match a {
                    Value::Tree(t) if t.leaves.len() != like.leaves.len() => {
                        let message = format!(
                            "these trees have different shapes: {} tensors and {}",
                            like.leaves.len(),
                            t.leaves.len()
                        );
                        return fail(Diagnostic::error(Code::G0201, span, message));
                    }
                    Value::Tree(t) => Value::Tensor(t.leaves[k].value.clone()),
                    other => other.clone(),
                });
            }
            let v = f(self, &parts)?;
            let value = self.tensor(&v, span)?;
            leaves.push(Leaf { value, param: None, ..leaf.clone() });
        }
        Ok(Value::Tree(Tree { leaves }))
    }

    /// The value now of a parameter, or what stands in its place.
    pub fn param_value(&mut self, p: ParamId, span: Span) -> Tensor {
        let ty = self.unit.params[p.index()].ty.clone();
        if let Some(t) = self.mode.instead.get(&p) {
            return t.clone();
        }
        if self.mode.first {
            return Tensor { id: self.first_point(p), axes: ty.axes };
        }
        let id = self.term(Op::Param(p), ty.elem, ty.axes.clone(), span);
        Tensor { id, axes: ty.axes }
    }

    /// The tree of parameters.
    pub fn tree_of(&mut self, params: &[ParamId], strip: &str, span: Span) -> Tree {
        let mut leaves = Vec::new();
        for p in params {
            let (name, role) = (self.unit.params[p.index()].name.clone(), self.unit.params[p.index()].role);
            let value = self.param_value(*p, span);
            let name = name.strip_prefix(strip).unwrap_or(&name).to_string();
            leaves.push(Leaf { name, role, param: Some(*p), value });
        }
        Tree { leaves }
    }

    /// The parameters of an instance, in the order of their creation.
    pub fn params_of(&self, instance: &Instance) -> Vec<ParamId> {
        let prefix = format!("{}.", instance.path);
        (0..self.unit.params.len())
            .filter(|k| self.unit.params[*k].name.starts_with(&prefix))
            .map(ParamId::new)
            .collect()
    }

    /// The parameters that a value consists of: a net's, one of its own, or a tree of them; none if it is computed.
    pub fn learnable(&self, v: &Value) -> Option<Vec<ParamId>> {
        let one = |t: &Tensor| match self.unit.terms[t.id.index()].op {
            Op::Param(p) => Some(p),
            _ => None,
        };
        match v {
            Value::Instance(i) => Some(self.params_of(i)),
            Value::Tensor(t) => Some(vec![one(t)?]),
            Value::Tree(tree) => tree.leaves.iter().map(|leaf| one(&leaf.value)).collect(),
            _ => None,
        }
    }

    /// A value with the shape of a tree: trees as they are, numbers and tensors in every leaf.
    pub fn like_tree(&mut self, like: &Tree, v: &Value, span: Span) -> Check<Tree> {
        if let Value::Tree(t) = v
            && t.leaves.len() == like.leaves.len()
        {
            return Ok(t.clone());
        }
        let mut leaves = Vec::new();
        for leaf in &like.leaves {
            let t = self.tensor(v, span)?;
            let value = self.spread_like(&t, &leaf.value, span)?;
            leaves.push(Leaf { value, param: None, ..leaf.clone() });
        }
        Ok(Tree { leaves })
    }

    /// The tensor over all axes of another, aligned by dim, repeated where it lacks one.
    pub fn spread_like(&mut self, t: &Tensor, like: &Tensor, span: Span) -> Check<Tensor> {
        let like = &self.clear_of_active(like, span);
        let (t, union) = self.align(like, t, (span, span))?;
        if union.len() != like.axes.len() {
            let message = format!("`{}` is needed here, not `{}`", self.shown(like), self.shown(&t));
            return fail(Diagnostic::error(Code::G0209, span, message));
        }
        let id = self.spread(t.id, &like.axes, span);
        Ok(Tensor { id, axes: like.axes.clone() })
    }

    /// The term over all these axes: repeated along those that it lacks.
    pub fn spread(&mut self, id: TermId, axes: &[Axis], span: Span) -> TermId {
        let ty = self.ty(id).clone();
        let lacking: Vec<_> = axes.iter().copied().filter(|a| !ty.axes.contains(a)).collect();
        if lacking.is_empty() {
            return id;
        }
        // An entry equals itself: the comparison of an index with itself is true everywhere and has the axis.
        let mut so_far = id;
        for axis in lacking {
            let iota = self.term(Op::Iota(axis), Elem::Index(axis.dim), vec![axis], span);
            let zero = self.term(Op::Const(0.0), Elem::Int, vec![], span);
            let always = self.term(Op::Map(Fun::Ge, vec![iota, zero]), Elem::Bool, vec![axis], span);
            let mut all = self.ty(so_far).axes.clone();
            all.push(axis);
            let neutral = self.term(Op::Const(0.0), ty.elem, vec![], span);
            so_far = self.term(Op::Map(Fun::Select, vec![always, so_far, neutral]), ty.elem, all, span);
        }
        so_far
    }
}

impl Elab<'_> {
    /// `flat(x)`: all entries as one vector, leaf after leaf, each in row-major order.
    pub fn flat(&mut self, v: &Value, span: Span) -> Check<Tensor> {
        let parts: Vec<Tensor> = match v {
            Value::Tree(t) => t.leaves.iter().map(|l| l.value.clone()).collect(),
            Value::Instance(i) => self.instance_tree(i, span).leaves.into_iter().map(|l| l.value).collect(),
            other => vec![self.tensor(other, span)?],
        };
        let mut sizes = Vec::new();
        for t in &parts {
            let each: Check<Vec<u64>> = t.axes.iter().map(|a| self.static_count(&Value::Dim(a.dim), span)).collect();
            sizes.push(each?);
        }
        let total: u64 = sizes.iter().map(|s| s.iter().product::<u64>()).sum();
        let dim = self.number_dim(total);
        let taken: Vec<_> = parts.iter().flat_map(|t| t.axes.iter().copied()).collect();
        let axis = self.fresh_axis(dim, &taken);
        let mut all: Vec<crate::program::Axis> = Vec::new();
        let mut listed = Vec::new();
        for t in parts {
            let t = if self.elem(&t) == Elem::Real { t } else { self.map1(Fun::ToReal, &t, span) };
            all.extend(self.ty(t.id).axes.iter().copied().filter(|a| !t.axes.contains(a)));
            listed.push((t.id, t.axes));
        }
        if listed.is_empty() {
            return fail(Diagnostic::error(Code::G0205, span, "there is nothing to flatten"));
        }
        all.push(axis);
        let id = self.term(Op::Flat { parts: listed, axis }, Elem::Real, all, span);
        Ok(Tensor { id, axes: vec![axis] })
    }
}
