//! `each weight { ... }` in a rule: its body for one tensor of the trained tree at a time.
//! Law: what the body declares belongs to the tensor at hand; what it gives to trees of the rule is put together again.

use super::carry::Slot;
use super::value::{Leaf, Scope, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::{Ident, Let, Stmt, VarDecl};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Elem, Role, Ty};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A block.
pub(super) struct Each<'a> {
    /// Tensors of these; of all, if there are none.
    pub roles: Vec<Role>,
    /// Names of a tensor's dims: it has as many.
    pub names: Option<&'a [String]>,
    pub body: &'a [Stmt],
    /// For the other tensors.
    pub otherwise: Option<&'a [Stmt]>,
    pub span: Span,
}

/// Next values by name, one for each tensor to which a body gives one.
type Next = BTreeMap<String, Vec<Option<Value>>>;

/// What a body for one tensor may give next values to.
struct Given<'a> {
    result: &'a str,
    trees: &'a [(String, Tree)],
    /// States that the body declared.
    states: Vec<(Ident, Slot)>,
}

impl Given<'_> {
    fn is_tree(&self, name: &str) -> bool {
        name == self.result || self.trees.iter().any(|t| t.0 == name)
    }
}

impl Elab<'_> {
    /// The body with every tree taken leaf by leaf.
    pub fn each(&mut self, each: &Each, subject: &Tree, (own, result): (&str, &str), scope: &Rc<Scope>) -> Check<()> {
        let tree = |n: String| match scope.get(&n) {
            Some(Value::Tree(t)) if t.leaves.len() == subject.leaves.len() => Some((n, t)),
            _ => None,
        };
        let trees: Vec<(String, Tree)> = scope.all().into_iter().filter_map(tree).collect();
        let mut next = Next::new();
        let mut declared: Vec<(String, Vec<(Option<Leaf>, Slot)>)> = Vec::new();
        for (k, leaf) in subject.leaves.iter().enumerate() {
            let fits = (each.roles.is_empty() || each.roles.contains(&leaf.role))
                && each.names.is_none_or(|n| n.len() == leaf.value.axes.len());
            let Some(stmts) = (if fits { Some(each.body) } else { each.otherwise }) else { continue };
            let inner = tensor_scope(each.names.filter(|_| fits), &trees, (k, leaf), scope);
            let mut given = Given { result, trees: &trees, states: Vec::new() };
            for (name, value) in self.each_body(stmts, leaf, own, &mut given, &inner)? {
                next.entry(name).or_insert_with(|| vec![None; subject.leaves.len()])[k] = Some(value);
            }
            for (name, slot) in given.states {
                let v = self.next_of_state(&name.name, name.span, &inner)?;
                self.advance_tensor(&slot, &v, name.span)?;
                let of_leaf = (Some(leaf.clone()), slot);
                match declared.iter_mut().find(|d| d.0 == name.name) {
                    Some((_, slots)) => slots.push(of_leaf),
                    None => declared.push((name.name, vec![of_leaf])),
                }
            }
        }
        declared.into_iter().for_each(|(name, slots)| self.note_states(own, &name, slots));
        if !next.contains_key(result) && scope.get(&format!("{result}'")).is_none() {
            next.insert(result.to_string(), vec![None; subject.leaves.len()]);
        }
        self.put_together(next, subject, each.span, scope)
    }

    /// The body for one tensor: what it gives trees of the rule as their next values, by name.
    fn each_body(
        &mut self,
        stmts: &[Stmt],
        leaf: &Leaf,
        own: &str,
        given: &mut Given,
        inner: &Rc<Scope>,
    ) -> Check<Vec<(String, Value)>> {
        let mut next = Vec::new();
        for stmt in stmts {
            match stmt {
                Stmt::State(decls) => {
                    for d in decls {
                        let slot = self.state_of_tensor(d, leaf, own, inner)?;
                        given.states.push((d.name.clone(), slot));
                    }
                }
                Stmt::Let(l) => next.extend(self.each_line(l, given, inner)?),
                other => self.stmt(other, inner)?,
            }
        }
        Ok(next)
    }

    /// An equation of the body; the name and the value if it gives a tree of the rule its next value.
    fn each_line(&mut self, l: &Let, given: &Given, inner: &Rc<Scope>) -> Check<Option<(String, Value)>> {
        let value = self.let_value(l, inner)?;
        let [t] = l.targets.as_slice() else { return self.bind(&l.targets, value, l.span, inner).map(|()| None) };
        if !t.primed {
            return self.bind(&l.targets, value, l.span, inner).map(|()| None);
        }
        let name = t.name.name.clone();
        if !given.is_tree(&name) && given.states.iter().all(|s| s.0.name != name) {
            let message = format!("`{name}` is no state of this rule");
            return fail(Diagnostic::error(Code::G0107, t.name.span, message));
        }
        inner.set(format!("{name}'"), value.clone());
        Ok(given.is_tree(&name).then_some((name, value)))
    }

    /// `state left: real[r, r] = 0` in the body: a state of the tensor at hand; without a type it has the tensor's.
    fn state_of_tensor(&mut self, decl: &VarDecl, leaf: &Leaf, own: &str, inner: &Rc<Scope>) -> Check<Slot> {
        let name = &decl.name.name;
        let ty = match &decl.ty {
            Some(ty) if ty.elem.name == "tree" => {
                let d = Diagnostic::error(Code::G0406, ty.span, "inside `each` there is one tensor, and no tree");
                return fail(d.hint("name the dims: `state h: real[past, r, c] = 0`, or declare it before `each`"));
            }
            Some(ty) => self.state_type(ty, inner)?,
            None => Ty { elem: Elem::Real, axes: leaf.value.axes.clone() },
        };
        let state = format!("{own}.{name}.{}", leaf.name).trim_end_matches('.').to_string();
        let one = Tree { leaves: vec![leaf.clone()] };
        let (slot, now) = self.state_tensor(decl, ty, &one, state, inner)?;
        inner.set(name, Value::Tensor(now));
        Ok(slot)
    }

    /// Next values as trees; a tensor to which nothing was given keeps what it has.
    fn put_together(&mut self, next: Next, subject: &Tree, span: Span, scope: &Rc<Scope>) -> Check<()> {
        for (name, values) in next {
            let now = match scope.get(&format!("{name}'")).or_else(|| scope.get(&name)) {
                Some(v) => self.like_tree(subject, &v, span)?,
                None => unreachable!("checked when it was assigned"),
            };
            let mut leaves = Vec::new();
            for (leaf, value) in now.leaves.into_iter().zip(values) {
                let value = match value {
                    Some(v) => {
                        let t = self.tensor(&v, span)?;
                        self.spread_like(&t, &leaf.value, span)?
                    }
                    None => leaf.value.clone(),
                };
                leaves.push(Leaf { value, param: None, ..leaf });
            }
            scope.set(format!("{name}'"), Value::Tree(Tree { leaves }));
        }
        Ok(())
    }
}

/// What the body sees for the tensor of that number: of each tree that tensor, and the dims by the names given them.
fn tensor_scope(
    names: Option<&[String]>,
    trees: &[(String, Tree)],
    (k, leaf): (usize, &Leaf),
    scope: &Rc<Scope>,
) -> Rc<Scope> {
    let inner = Scope::inside(scope);
    for (name, tree) in trees {
        inner.set(name.as_str(), Value::Tensor(tree.leaves[k].value.clone()));
    }
    for (name, axis) in names.into_iter().flatten().zip(&leaf.value.axes) {
        inner.set(name.as_str(), Value::Dim(axis.dim));
    }
    inner
}
