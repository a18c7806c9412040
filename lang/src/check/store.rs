//! What a net or train block keeps: parameters, states and constants, with their first values.

use super::layers::LateNext;
use super::types::is_narrow;
use super::value::{Leaf, Scope, Tensor, Tree, Value};
use super::{Check, Elab, Mode, fail};
use crate::ast::{Ident, Init, Let, Target, VarDecl};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, DimId, Elem, Fun, Op, Param, ParamId, Role, State, StateId, TermId, Ty};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Elab<'_> {
    /// The path of a variable declared here; in an unrolled loop each turn has one of its own: `f.w.1`, `f.w.2`.
    fn path(&self, name: &str) -> String {
        let Some(f) = self.frames.last() else { return name.to_string() };
        let turns: String = f.turns.iter().map(|k| format!(".{k}")).collect();
        let name = format!("{name}{turns}");
        if f.path.is_empty() { name } else { format!("{}.{name}", f.path) }
    }

    /// The members of families that are at work here.
    fn members(&self) -> Vec<(DimId, Tensor)> {
        let family = self.frames.last().map(|f| f.family.clone()).unwrap_or_default();
        family.into_iter().map(|m| (m.dim, m.at.expect("inside a body each member is chosen"))).collect()
    }

    /// The declared type's axes with those of the families around in front.
    fn family_axes(&self, own: &[Axis]) -> Vec<Axis> {
        let dims = self.members().into_iter().map(|m| m.0).chain(own.iter().map(|a| a.dim));
        let mut axes: Vec<Axis> = Vec::new();
        for dim in dims {
            let ix = axes.iter().filter(|a| a.dim == dim).count() as u32;
            axes.push(Axis { dim, ix });
        }
        axes
    }

    /// The part of a whole parameter or state that belongs to the member at work here.
    fn own_part(&mut self, t: &Tensor, whole: usize, span: Span) -> Tensor {
        let members: Vec<Tensor> = self.members().into_iter().map(|m| m.1).collect();
        // Parameters given for one member have no axes of the family.
        let given = whole - t.axes.len();
        self.pick(t, &members[given.min(members.len())..], span)
    }

    /// `param w: real[in, out] ~ glorot`, `param theta like f`.
    pub fn param_stmt(&mut self, decl: &VarDecl, scope: &Rc<Scope>) -> Check<()> {
        self.outside_functions(decl, "a parameter", scope)?;
        if let Some(like) = &decl.like {
            let tree = self.shape_of(like, scope)?;
            return self.param_tree(decl, tree, scope);
        }
        let name = self.path(&decl.name.name);
        let Some(ty) = &decl.ty else {
            let message = format!("the parameter `{}` needs a type", decl.name.name);
            let d = Diagnostic::error(Code::G0209, decl.name.span, message);
            return fail(d.hint("for example `param w: real[in, out] ~ glorot`, or `param theta like f`"));
        };
        let (elem, own) = self.closed_type(ty, scope)?;
        let axes = self.family_axes(&own);
        let id = match self.unit.params.iter().position(|p| p.name == name) {
            Some(k) if self.unit.params[k].ty.axes == axes => ParamId::new(k),
            Some(k) => return fail(self.two_shapes(k, &axes, ty.span)),
            None => {
                let role = self.role(decl)?;
                let first = self.first_value(decl, elem, &own, scope)?;
                self.new_param(name, Ty { elem, axes }, role, first, decl.name.span)
            }
        };
        self.domain_stmt(decl, id, scope)?;
        let value = self.used_param(id, decl.name.span);
        scope.set(&decl.name.name, Value::Tensor(value));
        Ok(())
    }

    /// A parameter that another use gave other dims; that of a run has those it was trained with.
    fn two_shapes(&self, k: usize, axes: &[Axis], span: Span) -> Diagnostic {
        let known = &self.unit.params[k];
        let shape = |axes: &[Axis]| axes.iter().map(|a| self.dim_name(a.dim)).collect::<Vec<_>>().join(", ");
        let trained = |r: &&crate::program::Run| r.params.iter().any(|p| p.0.index() == k);
        if let Some(run) = self.unit.runs.iter().find(trained) {
            let own = known.name.split_once('.').map_or(known.name.as_str(), |n| n.1);
            let (was, is) = (shape(&known.ty.axes), shape(axes));
            let message =
                format!("`{own}` of the run of `{}` is over [{was}], here it would be over [{is}]", run.train);
            return Diagnostic::error(Code::G0209, span, message).hint(
                "call the net with the dims that it was trained with; a list `[1, 2, 3]` is over the dim named `3`: give it another by `x[i: d] = ([1, 2, 3][i] else 0)`",
            );
        }
        let d = Diagnostic::error(Code::G0209, span, format!("the parameter `{}` would have two shapes", known.name));
        d.label(known.span, "declared here").hint("give each use an instance of its own")
    }

    fn new_param(&mut self, name: String, ty: Ty, role: Role, first: TermId, span: Span) -> ParamId {
        self.unit.params.push(Param { name, ty, role, span });
        self.first_params.push(first);
        let id = ParamId::new(self.unit.params.len() - 1);
        self.unused.insert(id);
        id
    }

    /// A parameter's value for the member at work here.
    fn used_param(&mut self, id: ParamId, span: Span) -> Tensor {
        if !self.mode.instead.contains_key(&id) && !self.looking {
            self.unused.remove(&id);
        }
        let whole = self.param_value(id, span);
        let rank = self.unit.params[id.index()].ty.axes.len();
        self.own_part(&whole, rank, span)
    }

    /// `param theta like f`: one parameter for each of `f`'s, starting as they do unless a draw is written.
    fn param_tree(&mut self, decl: &VarDecl, like: Tree, scope: &Rc<Scope>) -> Check<()> {
        let span = decl.name.span;
        let path = self.path(&decl.name.name);
        let mut firsts: Option<Tree> = None;
        let mut leaves = Vec::new();
        for (k, leaf) in like.leaves.iter().enumerate() {
            let name = format!("{path}.{}", leaf.name);
            let own = leaf.value.axes.clone();
            let axes = self.family_axes(&own);
            let id = match self.unit.params.iter().position(|p| p.name == name) {
                Some(k) => ParamId::new(k),
                None => {
                    if firsts.is_none() {
                        firsts = Some(self.first_tree(decl, &like, scope)?);
                    }
                    let first = firsts.as_ref().expect("just made").leaves[k].value.clone();
                    let names: Vec<(Axis, Axis)> =
                        first.axes.iter().copied().zip(axes[axes.len() - own.len()..].iter().copied()).collect();
                    let first = self.rename(&first, &names, span);
                    let first = self.spread(first.id, &axes, span);
                    self.new_param(name, Ty { elem: Elem::Real, axes }, leaf.role, first, span)
                }
            };
            let value = self.used_param(id, span);
            leaves.push(Leaf { value, param: Some(id), ..leaf.clone() });
        }
        scope.set(&decl.name.name, Value::Tree(Tree { leaves }));
        Ok(())
    }

    /// The first values of a tree: those of what it is like, a draw, or an expression.
    fn first_tree(&mut self, decl: &VarDecl, like: &Tree, scope: &Rc<Scope>) -> Check<Tree> {
        let span = decl.name.span;
        let mut tree = match &decl.init {
            None => like.clone(),
            Some(Init::Value(e)) => {
                let v = self.eval(e, scope)?;
                let v = self.as_tree(&v, e.span);
                self.like_tree(like, &v, span)?
            }
            Some(Init::Draw(e)) => {
                let mut leaves = Vec::new();
                for leaf in &like.leaves {
                    let key = format!("{} {}", decl.name.name, leaf.name);
                    let value = self.draw_first(e, &leaf.value.axes.clone(), &key, scope)?;
                    leaves.push(Leaf { value, param: None, ..leaf.clone() });
                }
                Tree { leaves }
            }
        };
        for leaf in &mut tree.leaves {
            leaf.value.id = self.first_of(leaf.value.id);
        }
        Ok(tree)
    }

    /// Functions are pure, and a check trains nothing.
    fn outside_functions(&self, decl: &VarDecl, what: &str, scope: &Rc<Scope>) -> Check<()> {
        let path = self.path(&decl.name.name);
        let trained =
            self.unit.params.iter().any(|p| p.name == path) || self.unit.states.iter().any(|s| s.name == path);
        if scope.get("<fn>").is_none() && (trained || self.unit.kind != crate::program::UnitKind::Check) {
            return Ok(());
        }
        fail(
            Diagnostic::error(Code::G0301, decl.name.span, format!("{what} belongs into a net or a train block"))
                .hint("make the function a `net`, or pass the tensor as an argument"),
        )
    }

    fn role(&self, decl: &VarDecl) -> Check<Role> {
        match &decl.role {
            None => Ok(Role::Weight),
            Some(r) => role_named(r),
        }
    }

    /// The term of a first value, over the families' axes and the declared ones.
    fn first_value(&mut self, decl: &VarDecl, elem: Elem, own: &[Axis], scope: &Rc<Scope>) -> Check<TermId> {
        let span = decl.name.span;
        let variables: Vec<Axis> = self
            .members()
            .iter()
            .filter_map(|m| match self.unit.terms[m.1.id.index()].op {
                Op::Iota(axis) => Some(axis),
                _ => None,
            })
            .collect();
        let active = std::mem::replace(&mut self.active, variables.clone());
        let mut inside: Vec<Axis> = Vec::new();
        for axis in own {
            inside.push(self.fresh_axis(axis.dim, &inside));
        }
        let mode = Mode { first: true, instead: Default::default(), ..self.mode.clone() };
        let result = self.in_mode(mode, |elab| {
            let t = match &decl.init {
                Some(Init::Value(e)) => elab.eval_tensor(e, scope)?,
                Some(Init::Draw(e)) => elab.draw_first(e, &inside, &decl.name.name, scope)?,
                None => {
                    return fail(
                        Diagnostic::error(Code::G0301, span, format!("`{}` has no first value", decl.name.name))
                            .hint("`= 0`, `~ glorot`, `~ normal(0, 0.1)`"),
                    );
                }
            };
            let like = Tensor { id: t.id, axes: inside.clone() };
            let (t, union) = elab.align(&like, &t, (span, span))?;
            if union.len() != inside.len() {
                let message = format!("the first value `{}` has dims that `{}` lacks", elab.shown(&t), decl.name.name);
                return fail(Diagnostic::error(Code::G0209, span, message));
            }
            let t = elab.first_in(&t, elem, &decl.name)?;
            let t = match &decl.ty {
                Some(ty) => elab.narrowed(&ty.elem.name, &t, span)?,
                None => t,
            };
            let first = elab.first_of(t.id);
            let axes = elab.family_axes(own);
            let names: Vec<(Axis, Axis)> = variables.iter().chain(&inside).copied().zip(axes.iter().copied()).collect();
            let all = Tensor { id: first, axes: variables.iter().chain(&inside).copied().collect() };
            let id = elab.rename(&all, &names, span).id;
            Ok(elab.spread(id, &axes, span))
        });
        self.active = active;
        result
    }

    /// A term with parameters and states at their first values.
    pub fn first_of(&mut self, id: TermId) -> TermId {
        let mut map = BTreeMap::new();
        for k in 0..=id.index() {
            match self.unit.terms[k].op {
                Op::Param(p) if p.index() < self.first_params.len() => {
                    map.insert(TermId::new(k), self.first_point(p));
                }
                Op::State(s) if s.index() < self.first_states.len() => {
                    map.insert(TermId::new(k), self.first_states[s.index()]);
                }
                _ => {}
            }
        }
        if map.is_empty() { id } else { self.rebuilt(&[id], map)[0] }
    }

    /// `state mu: real[c] = 0` in a net or train block; `state ema like f`; without a type that of the first value.
    pub fn state_stmt(&mut self, decl: &VarDecl, scope: &Rc<Scope>) -> Check<()> {
        self.outside_functions(decl, "a state", scope)?;
        let span = decl.name.span;
        let key = format!("<state {}>", decl.name.name);
        if let Some(tree) = self.tree_state(decl, scope)? {
            let path = self.path(&decl.name.name);
            let mut ids = Vec::new();
            let mut leaves = Vec::new();
            for leaf in tree.leaves {
                let name = format!("{path}.{}", leaf.name);
                let own = leaf.value.axes.clone();
                let id = match self.unit.states.iter().position(|s| s.name == name) {
                    Some(k) => StateId::new(k),
                    None => {
                        let axes = self.family_axes(&own);
                        let names: Vec<(Axis, Axis)> =
                            own.iter().copied().zip(axes[axes.len() - own.len()..].iter().copied()).collect();
                        let first = self.rename(&leaf.value, &names, span);
                        let first = self.first_of(first.id);
                        let first = self.spread(first, &axes, span);
                        self.new_state(name, Elem::Real, axes, first, span)
                    }
                };
                ids.push(Value::Num(f64::from(id.0)));
                let value = self.own_state(id, span);
                leaves.push(Leaf { value, param: None, ..leaf });
            }
            scope.set(&decl.name.name, Value::Tree(Tree { leaves }));
            scope.set(key, Value::Tuple(ids));
            return Ok(());
        }
        let name = self.path(&decl.name.name);
        let id = match self.unit.states.iter().position(|s| s.name == name) {
            Some(k) => StateId::new(k),
            None => {
                let (elem, own) = match &decl.ty {
                    Some(ty) => self.closed_type(ty, scope)?,
                    None => self.type_of_first(decl, scope)?,
                };
                let first = self.first_value(decl, elem, &own, scope)?;
                let axes = self.family_axes(&own);
                let id = self.new_state(name, elem, axes, first, span);
                if let Some(ty) = decl.ty.as_ref().filter(|ty| is_narrow(&ty.elem.name)) {
                    self.narrow_states.insert(id, ty.elem.name.clone());
                }
                id
            }
        };
        let value = self.own_state(id, span);
        scope.set(&decl.name.name, Value::Tensor(value));
        scope.set(key, Value::Num(f64::from(id.0)));
        Ok(())
    }

    /// The first value of a state that is a tree: `state ema like f`, `state ema = f`.
    fn tree_state(&mut self, decl: &VarDecl, scope: &Rc<Scope>) -> Check<Option<Tree>> {
        if let Some(like) = &decl.like {
            let v = self.eval(like, scope)?;
            if !matches!(v, Value::Tensor(_)) {
                let tree = self.shape_of(like, scope)?;
                let zero = VarDecl { init: Some(Init::Value(number(0.0, decl.name.span))), ..decl.clone() };
                let decl = if decl.init.is_none() { &zero } else { decl };
                return self.first_tree(decl, &tree, scope).map(Some);
            }
        }
        let (None, Some(Init::Value(e))) = (&decl.ty, &decl.init) else { return Ok(None) };
        match self.quietly(e, scope) {
            Some(Value::Tree(tree)) => Ok(Some(tree)),
            Some(Value::Instance(_)) => self.shape_of(e, scope).map(Some),
            _ => Ok(None),
        }
    }

    /// A state without a type has that of its first value, or of what it is like.
    fn type_of_first(&mut self, decl: &VarDecl, scope: &Rc<Scope>) -> Check<(Elem, Vec<Axis>)> {
        let source = match (&decl.like, &decl.init) {
            (Some(e), _) | (None, Some(Init::Value(e))) => e,
            _ => return Ok((Elem::Real, vec![])),
        };
        let v = self.eval(source, scope)?;
        let Value::Tensor(t) = v else { return Ok((Elem::Real, vec![])) };
        let mut axes: Vec<Axis> = Vec::new();
        for axis in &t.axes {
            let ix = axes.iter().filter(|a| a.dim == axis.dim).count() as u32;
            axes.push(Axis { dim: axis.dim, ix });
        }
        Ok((self.elem(&t), axes))
    }

    /// Adds a state.
    pub fn new_state(&mut self, name: String, elem: Elem, axes: Vec<Axis>, first: TermId, span: Span) -> StateId {
        self.unit.states.push(State { name, ty: Ty { elem, axes }, span });
        self.first_states.push(first);
        StateId::new(self.unit.states.len() - 1)
    }

    /// A state's value now.
    pub fn state_value(&mut self, id: StateId, span: Span) -> Tensor {
        let ty = self.unit.states[id.index()].ty.clone();
        let term = if self.mode.first {
            self.first_states[id.index()]
        } else {
            self.term(Op::State(id), ty.elem, ty.axes.clone(), span)
        };
        Tensor { id: term, axes: ty.axes }
    }

    fn own_state(&mut self, id: StateId, span: Span) -> Tensor {
        let whole = self.state_value(id, span);
        let rank = whole.axes.len();
        self.own_part(&whole, rank, span)
    }

    /// `mu' = ...` in a net or train block.
    pub fn primed_stmt(&mut self, l: &Let, target: &Target, scope: &Rc<Scope>) -> Check<()> {
        let name = &target.name.name;
        let ids: Vec<StateId> = match scope.get(&format!("<state {name}>")) {
            Some(Value::Num(id)) => vec![StateId(id as u32)],
            Some(Value::Tuple(ids)) => {
                ids.iter().filter_map(|v| if let Value::Num(x) = v { Some(StateId(*x as u32)) } else { None }).collect()
            }
            _ => {
                return fail(
                    Diagnostic::error(
                        Code::G0107,
                        target.name.span,
                        format!("`{name}` is no state, so it has no next value"),
                    )
                    .hint(format!("declare it: `state {name} = 0`")),
                );
            }
        };
        let v = self.let_value(l, scope)?;
        if let Some(Value::Tree(now)) = scope.get(name) {
            let v = self.as_tree(&v, l.value.span);
            let mut tree = self.like_tree(&now, &v, l.value.span)?;
            for (id, leaf) in ids.iter().zip(&mut tree.leaves) {
                leaf.value = self.next_value(*id, &leaf.value, l.value.span)?;
            }
            scope.set(format!("{name}'"), Value::Tree(tree));
            return Ok(());
        }
        let t = self.tensor(&v, l.value.span)?;
        let t = self.next_value(ids[0], &t, l.value.span)?;
        scope.set(format!("{name}'"), Value::Tensor(t));
        Ok(())
    }

    /// Keeps the next value of a state, where it advances; gives it in the state's shape.
    fn next_value(&mut self, id: StateId, t: &Tensor, span: Span) -> Check<Tensor> {
        let members = self.members();
        let now = self.own_state(id, span);
        let own = self.spread_like_axes(t, &now, span)?;
        if !self.mode.advance || self.mode.first || !self.advanced.insert((id, format!("{members:?}"))) {
            return Ok(own);
        }
        let members = members.into_iter().map(|m| m.1).collect();
        let late = LateNext { state: id, next: own.clone(), members, span };
        match self.carriers.last_mut() {
            // What the loop computes is known behind it.
            Some(carrier) => carrier.late.push(late),
            None => self.advance_members(late)?,
        }
        Ok(own)
    }

    /// The next value of a whole state from that of the members at work.
    pub(super) fn advance_members(&mut self, late: LateNext) -> Check<()> {
        let LateNext { state: id, next: own, members, span } = late;
        let ty = self.unit.states[id.index()].ty.clone();
        let mut here: Option<Tensor> = None;
        let mut names: Vec<(Axis, Axis)> = Vec::new();
        let (front, back) = ty.axes.split_at(members.len());
        for (axis, at) in front.iter().zip(&members) {
            match self.unit.terms[at.id.index()].op {
                Op::Iota(a) => names.push((a, *axis)),
                _ if !self.ty(at.id).axes.is_empty() => {
                    let message = "a state of a family advances where each member is called once";
                    let d = Diagnostic::error(Code::G0208, span, message);
                    return fail(d.hint("call the whole family, `f(x)`, or freeze it: `f.frozen[k[n]](x)`"));
                }
                _ => {
                    let iota = self.iota(*axis, span);
                    let same = self.map_aligned(Fun::Eq, &[iota, at.clone()], vec![], span);
                    here = Some(match here {
                        None => same,
                        Some(h) => self.map_aligned(Fun::And, &[h, same], vec![], span),
                    });
                }
            }
        }
        names.extend(own.axes.iter().copied().zip(back.iter().copied()));
        let all = Tensor { id: own.id, axes: names.iter().map(|n| n.0).collect() };
        let next = self.rename(&all, &names, span);
        let mut next = self.kept_state(id, &next, span)?;
        if let Some(here) = here {
            let state = self.state_value(id, span);
            let before = self.next_states.get(&id).copied().unwrap_or(state.id);
            let before = Tensor { id: before, axes: ty.axes.clone() };
            next = self.map_aligned(Fun::Select, &[here, next, before], ty.axes.clone(), span);
        }
        let next = self.spread(next.id, &ty.axes, span);
        if self.ty(next).axes.iter().any(|a| !ty.axes.contains(a)) {
            let message = "a state has one next value, and this has one for each index around";
            let d = Diagnostic::error(Code::G0208, span, message);
            return fail(d.hint("call the net on the whole batch, or freeze it: `f.frozen(x[n])`"));
        }
        self.next_states.insert(id, next);
        Ok(())
    }

    /// Aligned with and repeated over exactly these axes.
    pub fn spread_like_axes(&mut self, t: &Tensor, like: &Tensor, span: Span) -> Check<Tensor> {
        let (aligned, union) = self.align(like, t, (span, span))?;
        if union.len() != like.axes.len() {
            let message = format!("a next value has the shape of its state; `{}` has other dims", self.shown(t));
            return fail(Diagnostic::error(Code::G0209, span, message));
        }
        let id = self.spread(aligned.id, &like.axes, span);
        Ok(Tensor { id, axes: like.axes.clone() })
    }
}

fn number(x: f64, span: Span) -> crate::ast::Expr {
    crate::ast::Expr { kind: Box::new(crate::ast::ExprKind::Number(x)), span }
}

/// The role of that name.
pub fn role_named(r: &Ident) -> Check<Role> {
    match r.name.as_str() {
        "weight" => Ok(Role::Weight),
        "bias" => Ok(Role::Bias),
        "scale" => Ok(Role::Scale),
        other => fail(
            Diagnostic::error(Code::G0405, r.span, format!("there is no role `{other}`"))
                .hint("roles are weight, bias and scale"),
        ),
    }
}
