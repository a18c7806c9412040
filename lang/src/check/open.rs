//! Nets that are known by their shapes: parameters before the first call, instances inside instances, `like`, `unflat`.

use super::value::{Instance, Leaf, Member, Scope, Tensor, Tree, Value};
use super::variables::children;
use super::{Check, Elab, Frame, fail};
use crate::ast::{Arg, Expr, ExprKind, Stmt, TrainStmt, TypeAxis};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{At, Axis, Op, Output, ParamId, TermId};
use std::collections::BTreeSet;
use std::rc::Rc;

impl Elab<'_> {
    /// Sees to it that an instance's parameters exist: a net that was not called yet is evaluated on arguments of its
    /// declared types, where these name declared dims only.
    pub fn opened(&mut self, instance: &Rc<Instance>, span: Span) -> Check<()> {
        if self.instances.contains_key(&instance.path) || !self.params_of(instance).is_empty() {
            return Ok(());
        }
        let Some(pairs) = self.stand_ins(instance, span) else { return Ok(self.first_call(&instance.path)) };
        let plain = Instance { at: vec![], frozen: false, ..(**instance).clone() };
        self.look(|elab| elab.first_look(|elab| elab.run_net(&Rc::new(plain), pairs, span))).map(|_| ())
    }

    /// Does something for the shapes that it brings to light, outside of all index variables.
    fn look<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.looking, true);
        let called = self.called.clone();
        let active = std::mem::take(&mut self.active);
        let done = f(self);
        self.active = active;
        self.called = called;
        self.looking = before;
        done
    }

    /// Looks at what a line of the block makes of a net before that line's turn: `v ~ normal like f` may be asked for first.
    /// The calls themselves are tried before what stands around them, which may need the net's shape in turn.
    fn first_call(&mut self, path: &str) {
        let Some(lines) = self.calls.remove(path) else { return };
        let scope = self.train_scope();
        for e in &lines {
            self.look(|elab| {
                elab.on_trial(|elab| {
                    elab.frames = vec![Frame::default()];
                    elab.first_look(|elab| elab.eval(e, &scope))
                })
            });
            if self.instances.contains_key(path) {
                return;
            }
        }
    }

    /// Remembers where the lines of a block call its nets.
    pub fn note_calls(&mut self, name: &str, body: &[TrainStmt]) {
        let lines: Vec<&Expr> = body.iter().flat_map(line_parts).filter(|e| calls(e, name).next().is_some()).collect();
        let mut all: Vec<Expr> = lines.iter().flat_map(|e| calls(e, name)).cloned().collect();
        all.extend(lines.into_iter().cloned());
        self.calls.insert(name.to_string(), all);
    }

    /// Arguments of the declared types; `None` where a type is missing or does not fix its dims.
    fn stand_ins(&mut self, instance: &Instance, span: Span) -> Option<Vec<(String, Value, Span)>> {
        let scope = Scope::inside(&self.home(instance.net.decl.name.span));
        for (name, value) in &instance.net.statics {
            scope.set(name.as_str(), value.clone());
        }
        let mut pairs = Vec::new();
        for param in &instance.net.decl.params {
            let mut ty = param.ty.clone()?;
            ty.axes.retain(|a| !matches!(a, TypeAxis::Rest(_)));
            let (elem, axes) = self.closed_type(&ty, &scope).ok()?;
            let zero = self.constant(0.0, elem, span);
            let id = self.spread(zero.id, &axes, span);
            pairs.push((param.name.name.clone(), Value::Tensor(Tensor { id, axes }), span));
        }
        Some(pairs)
    }

    /// `f.enc`: the instance that is bound inside, with what is given for its parameters.
    pub fn sub_instance(&mut self, instance: &Instance, name: &str) -> Option<Instance> {
        let path = format!("{}.{name}", instance.path);
        let (net, dims) = self.instances.get(&path)?.clone();
        let known = instance.family.len();
        let mut family = instance.family.clone();
        family.extend(dims.into_iter().skip(known).map(|dim| Member { dim, at: None }));
        Some(Instance { net, path, family, frozen: instance.frozen, at: instance.at.clone() })
    }

    /// The tree that `like` names: of an instance its parameters, called or not.
    pub fn shape_of(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<Tree> {
        match self.eval(e, scope)? {
            Value::Tree(tree) => Ok(tree),
            v @ (Value::Instance(_) | Value::Net(_)) => {
                let instance = match v {
                    Value::Net(net) if net.applied => self.shared_net(net),
                    Value::Instance(i) => i,
                    _ => {
                        let message = "a net without its static arguments has no parameters yet";
                        return fail(Diagnostic::error(Code::G0303, e.span, message));
                    }
                };
                self.opened(&instance, e.span)?;
                let tree = self.instance_tree(&instance, e.span);
                if tree.leaves.is_empty() {
                    let message = "the parameters of this net are not known at this place";
                    let hint = "call it first, or give its arguments types whose dims are declared";
                    return fail(Diagnostic::error(Code::G0401, e.span, message).hint(hint));
                }
                Ok(tree)
            }
            Value::Tensor(value) => {
                let leaf = Leaf { name: "value".into(), role: crate::program::Role::Weight, param: None, value };
                Ok(Tree { leaves: vec![leaf] })
            }
            other => fail(Diagnostic::error(
                Code::G0205,
                e.span,
                format!("`like` names a tree, a net or a tensor, not {}", other.what()),
            )),
        }
    }

    /// A declared net that is spoken of without an instance, as in `unflat(v, like = main)` and `main{theta}(x)`: one
    /// instance for the program, which is trained only if it is also called.
    pub fn shared_net(&mut self, net: super::value::Net) -> Rc<Instance> {
        let key = format!("{} {:?}", net.decl.name.name, net.statics);
        let number = match self.shared.iter().position(|k| *k == key) {
            Some(k) => k,
            None => {
                self.shared.push(key);
                self.shared.len() - 1
            }
        };
        let path = format!("{}{{{number}}}", net.decl.name.name);
        Rc::new(Instance::single(net, path, vec![]))
    }

    /// `unflat(v, like = a)`: the vector `flat(a)` as a tree again.
    pub fn unflat(&mut self, args: &[Arg], span: Span, scope: &Rc<Scope>) -> Check<Value> {
        let (vector, like) = match args {
            [Arg { name: None, value: v }, Arg { name, value: l }]
                if name.as_ref().is_none_or(|n| n.name == "like") =>
            {
                (v, l)
            }
            _ => {
                return fail(
                    Diagnostic::error(Code::G0301, span, "`unflat` takes a vector and what it becomes like")
                        .hint("`unflat(v, like = f)`"),
                );
            }
        };
        let v = self.eval_tensor(vector, scope)?;
        let like_value = self.eval(like, scope)?;
        let tree = self.shape_of(like, scope)?;
        let mut sizes = Vec::new();
        for leaf in &tree.leaves {
            let each: Check<Vec<u64>> =
                leaf.value.axes.iter().map(|a| self.static_count(&Value::Dim(a.dim), like.span)).collect();
            sizes.push(each?);
        }
        let total: u64 = sizes.iter().map(|s| s.iter().product::<u64>()).sum();
        let size = v.axes.last().and_then(|a| self.size_form(a.dim).known());
        if size != Some(total as i64) {
            let message = format!("the vector `{}` becomes a tree of {total} entries", self.shown(&v));
            let d = Diagnostic::error(Code::G0201, span, message).label(vector.span, self.shown(&v));
            return fail(
                d.label(like.span, format!("{total} entries")).hint("`size(flat(f))` is the number of entries"),
            );
        }
        let mut offset = 0;
        let mut leaves = Vec::new();
        for (leaf, sizes) in tree.leaves.iter().zip(&sizes) {
            let value = self.unflat_leaf(&v, &leaf.value.axes, sizes, offset, span);
            offset += sizes.iter().product::<u64>();
            leaves.push(Leaf { value, param: None, ..leaf.clone() });
        }
        Ok(match like_value {
            Value::Tensor(_) => Value::Tensor(leaves.remove(0).value),
            _ => Value::Tree(Tree { leaves }),
        })
    }

    /// Entries of a vector from `offset` on, in row-major order; dims before the vector's last stay in front.
    fn unflat_leaf(&mut self, v: &Tensor, axes: &[Axis], sizes: &[u64], offset: u64, span: Span) -> Tensor {
        let ty = self.ty(v.id).clone();
        let (from, front) = v.axes.split_last().expect("a vector has a dim");
        let mut taken: Vec<Axis> = ty.axes.clone();
        let mut own = Vec::new();
        for axis in axes {
            let fresh = self.fresh_axis(axis.dim, &taken);
            taken.push(fresh);
            own.push(fresh);
        }
        let stride = |k: usize| sizes[k + 1..].iter().product::<u64>() as i64;
        let terms: Vec<(i64, Axis)> = own.iter().enumerate().map(|(k, a)| (stride(k), *a)).collect();
        let mut all: Vec<Axis> = ty.axes.iter().copied().filter(|a| a != from).collect();
        all.extend(own.iter().copied());
        let at = vec![(*from, At::Affine { terms, offset: offset as i64 })];
        let id = self.term(Op::Read { of: v.id, at, otherwise: None }, ty.elem, all, span);
        Tensor { id, axes: front.iter().copied().chain(own).collect() }
    }

    /// Forgets parameters that nothing reads or trains: nets that are used at other parameters only have none.
    pub fn forget_unused(&mut self) {
        let mut read: BTreeSet<ParamId> = BTreeSet::new();
        for function in self.unit.functions.iter().filter(|f| f.name != "init") {
            read.extend(
                function.outputs.iter().filter_map(|(o, _)| if let Output::Param(p) = o { Some(*p) } else { None }),
            );
        }
        let outputs: Vec<(Output, TermId)> = self.unit.functions.iter().flat_map(|f| f.outputs.clone()).collect();
        for id in crate::print_program::needed(&self.unit, &outputs) {
            if let Op::Param(p) = self.unit.term(id).op {
                read.insert(p);
            }
        }
        let gone: Vec<ParamId> = self.unused.iter().copied().filter(|p| !read.contains(p)).collect();
        if gone.is_empty() {
            return;
        }
        let kept: Vec<ParamId> = (0..self.unit.params.len()).map(ParamId::new).filter(|p| !gone.contains(p)).collect();
        let new = |p: ParamId| kept.iter().position(|k| *k == p).map(ParamId::new);
        self.unit.params = kept.iter().map(|p| self.unit.params[p.index()].clone()).collect();
        for term in &mut self.unit.terms {
            if let Op::Param(p) = term.op {
                // What nothing reads may hold anything.
                term.op = new(p).map_or(Op::Const(0.0), Op::Param);
            }
        }
        for run in &mut self.unit.runs {
            run.params = run.params.iter().filter_map(|(own, theirs)| Some((new(*own)?, *theirs))).collect();
        }
        for function in &mut self.unit.functions {
            function.outputs.retain(|(o, _)| !matches!(o, Output::Param(p) if gone.contains(p)));
            for (output, _) in &mut function.outputs {
                if let Output::Param(p) = output {
                    *p = new(*p).expect("it is kept");
                }
            }
        }
    }
}

/// The expressions of a line of a train block in which its nets are called.
fn line_parts(stmt: &TrainStmt) -> Vec<&Expr> {
    match stmt {
        TrainStmt::Stmt(Stmt::Let(l)) => vec![&l.value],
        TrainStmt::Minimize { loss, outputs, .. } => outputs.iter().map(|l| &l.value).chain([loss]).collect(),
        TrainStmt::Stage { body, .. } => body.iter().flat_map(line_parts).collect(),
        TrainStmt::Report(r) | TrainStmt::Plot(r) => vec![&r.value],
        _ => vec![],
    }
}

/// The calls of the net `name`, or of a member of the family `name`, inside an expression.
fn calls<'e>(e: &'e Expr, name: &'e str) -> Box<dyn Iterator<Item = &'e Expr> + 'e> {
    let is_callee = |f: &Expr| match &*f.kind {
        ExprKind::Bracket(base, _, None) => names_net(base, name),
        _ => names_net(f, name),
    };
    let own = matches!(&*e.kind, ExprKind::Call(f, _) if is_callee(f));
    let inside = children(e).into_iter().flat_map(move |child| calls(child, name));
    Box::new(own.then_some(e).into_iter().chain(inside))
}

fn names_net(e: &Expr, net: &str) -> bool {
    matches!(&*e.kind, ExprKind::Name { name, primed: false } if name == net)
}
