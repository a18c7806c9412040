//! Where parameters stay after every step, by any rule: `param w: real[d] in 0..`, `in simplex`, `keep w' = project(w')`.
//! Law: the first value and every next value of a parameter are projected; values at which a rule only looks are not.

use super::types::is_narrow;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Expr, ExprKind, Let, VarDecl};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, ParamId, StateId, TermId};
use std::rc::Rc;

/// One condition on a parameter.
#[derive(Clone)]
pub enum Domain {
    /// Numbers of a narrow type, `param w: bf16[d]`.
    Narrow(String, Span),
    /// Entries between two bounds.
    Box(Value, Value, Span),
    /// Nonnegative with sum 1 along the last dim.
    Simplex(Span),
    /// Orthonormal columns (or rows, if there are fewer) of the last two dims.
    Stiefel(Span),
    /// Symmetric, with eigenvalues of at least 1e-6.
    Spd(Span),
    /// `keep w' = project(w')`, in the scope where it stands.
    Keep(Rc<Let>, Rc<Scope>),
}

/// The domains by name, for messages.
const NAMES: &str = "`0..`, `-1..1`, `simplex`, `stiefel`, `spd`";

impl Elab<'_> {
    /// `in 0..`, `in simplex`.
    pub fn domain_stmt(&mut self, decl: &VarDecl, id: ParamId, scope: &Rc<Scope>) -> Check<()> {
        scope.set(format!("<param {}>", decl.name.name), Value::Num(f64::from(id.0)));
        if self.domains.contains_key(&id) {
            return Ok(());
        }
        let narrow = decl.ty.as_ref().filter(|ty| is_narrow(&ty.elem.name));
        let narrow = narrow.map(|ty| Domain::Narrow(ty.elem.name.clone(), ty.elem.span));
        let Some(e) = &decl.domain else {
            let Some(narrow) = narrow else { return Ok(()) };
            self.domains.insert(id, vec![narrow]);
            return self.project_first(id);
        };
        let own = self.unit.params[id.index()].ty.axes.len();
        let domain = self.domain_of(e, scope)?;
        let needed = match domain {
            Domain::Simplex(_) => 1,
            Domain::Stiefel(_) | Domain::Spd(_) => 2,
            Domain::Box(..) | Domain::Keep(..) | Domain::Narrow(..) => 0,
        };
        if own < needed {
            let message = format!("this domain is one of tensors with {needed} dim(s) at least");
            return fail(Diagnostic::error(Code::G0407, e.span, message));
        }
        if let (Domain::Spd(_), [.., a, b]) = (&domain, self.unit.params[id.index()].ty.axes.as_slice())
            && a.dim != b.dim
        {
            let message = "a symmetric matrix has one dim twice, as its rows and as its columns";
            let d = Diagnostic::error(Code::G0407, e.span, message);
            return fail(d.hint("for example `param s: real[d, d] in spd`"));
        }
        self.domains.insert(id, std::iter::once(domain).chain(narrow).collect());
        self.project_first(id)
    }

    fn domain_of(&mut self, e: &Expr, scope: &Rc<Scope>) -> Check<Domain> {
        match &*e.kind {
            ExprKind::Call(f, args) if matches!(&*f.kind, ExprKind::Name { name, .. } if name == "box") => {
                let mut bound = |k: usize| -> Check<Value> {
                    let v = self.eval(&args[k].value, scope)?;
                    match &v {
                        Value::Num(_) | Value::Hyper(..) => Ok(v),
                        Value::Tensor(t) if t.axes.is_empty() => Ok(v),
                        other => {
                            let message = format!("a bound is a number, not {}", other.what());
                            fail(Diagnostic::error(Code::G0407, args[k].value.span, message))
                        }
                    }
                };
                let (low, high) = (bound(0)?, bound(1)?);
                if let (Value::Num(a), Value::Num(b)) = (&low, &high)
                    && a > b
                {
                    let message = format!("no number lies in {a}..{b}");
                    return fail(Diagnostic::error(Code::G0407, e.span, message).hint("the lower bound stands first"));
                }
                Ok(Domain::Box(low, high, e.span))
            }
            ExprKind::Name { name, .. } => match name.as_str() {
                "simplex" => Ok(Domain::Simplex(e.span)),
                "stiefel" => Ok(Domain::Stiefel(e.span)),
                "spd" => Ok(Domain::Spd(e.span)),
                other => {
                    let message = format!("there is no domain `{other}`");
                    let d = Diagnostic::error(Code::G0407, e.span, message);
                    fail(d.hint(format!("there are {NAMES}; or `keep w' = project(w')`")))
                }
            },
            _ => {
                let d = Diagnostic::error(Code::G0407, e.span, "this is no domain");
                fail(d.hint(format!("there are {NAMES}; or `keep w' = project(w')`")))
            }
        }
    }

    /// `keep w' = project(w')`.
    pub fn keep_stmt(&mut self, l: &Let, scope: &Rc<Scope>) -> Check<()> {
        let [target] = l.targets.as_slice() else {
            return fail(Diagnostic::error(Code::G0407, l.span, "`keep` speaks of one parameter"));
        };
        let found = scope.get(&format!("<param {}>", target.name.name)).filter(|_| target.primed);
        let Some(Value::Num(id)) = found else {
            let message = format!("`keep` gives the next value of a parameter, and `{}` is none", target.name.name);
            let d = Diagnostic::error(Code::G0407, target.name.span, message);
            return fail(d.hint("for example `keep w' = w' / norm(w')`, after `param w`"));
        };
        let id = ParamId(id as u32);
        let domains = self.domains.entry(id).or_default();
        if domains.iter().any(|d| matches!(d, Domain::Keep(k, _) if k.span == l.span)) {
            return Ok(());
        }
        domains.push(Domain::Keep(Rc::new(l.clone()), scope.clone()));
        // The first value satisfies it too.
        let first = self.first_tensor(id);
        let domain = self.domains[&id].last().expect("just added").clone();
        let t = self.projected(&domain, &first)?;
        self.set_first(id, t.id);
        Ok(())
    }

    fn first_tensor(&self, id: ParamId) -> Tensor {
        Tensor { id: self.first_params[id.index()], axes: self.unit.params[id.index()].ty.axes.clone() }
    }

    /// Another first value; points on the old one are none on it.
    fn set_first(&mut self, id: ParamId, value: TermId) {
        self.first_params[id.index()] = self.first_of(value);
        self.first_points.remove(&id);
    }

    fn project_first(&mut self, id: ParamId) -> Check<()> {
        let first = self.first_tensor(id);
        let active = std::mem::take(&mut self.active);
        let t = self.kept(id, &first);
        self.active = active;
        self.set_first(id, t?.id);
        Ok(())
    }

    /// A next value of a parameter, in its domain.
    pub fn kept(&mut self, id: ParamId, next: &Tensor) -> Check<Tensor> {
        let mut t = next.clone();
        for domain in self.domains.get(&id).cloned().unwrap_or_default() {
            t = self.projected(&domain, &t)?;
        }
        Ok(t)
    }

    /// A next value of a state, in its type.
    pub fn kept_state(&mut self, id: StateId, next: &Tensor, span: Span) -> Check<Tensor> {
        let elem = self.narrow_states.get(&id).cloned().unwrap_or_default();
        self.narrowed(&elem, next, span)
    }

    fn projected(&mut self, domain: &Domain, next: &Tensor) -> Check<Tensor> {
        match domain {
            Domain::Narrow(elem, span) => self.narrowed(elem, next, *span),
            Domain::Box(low, high, span) => {
                let mut v = Value::Tensor(next.clone());
                for (fun, bound) in [(Fun::Max, low), (Fun::Min, high)] {
                    if !matches!(bound, Value::Num(x) if x.is_infinite()) {
                        v = self.apply_fun(fun, &[v, bound.clone()], &[*span, *span], *span)?;
                    }
                }
                self.tensor(&v, *span)
            }
            Domain::Simplex(span) => {
                let (last, front) = next.axes.split_last().expect("it has a dim");
                let active = std::mem::take(&mut self.active);
                let t = self.within(&[*last], |elab| {
                    let decl = elab.library_fn("project_simplex", *span)?;
                    let row = Value::Tensor(Tensor { id: next.id, axes: vec![] });
                    let pairs = vec![("w".to_string(), row, *span)];
                    elab.run_axis_fn(&decl, pairs, Some(*last), last.dim, *span)
                });
                self.active = active;
                let t = self.tensor(&t?, *span)?;
                Ok(Tensor { id: t.id, axes: front.iter().chain([last]).copied().collect() })
            }
            Domain::Stiefel(span) => self.of_matrix("project_stiefel", next, *span),
            Domain::Spd(span) => self.of_matrix("project_spd", next, *span),
            Domain::Keep(l, scope) => self.keep_next(l, scope, next),
        }
    }

    /// A function of the library on the last two dims of a tensor.
    pub fn of_matrix(&mut self, fun: &str, t: &Tensor, span: Span) -> Check<Tensor> {
        let (front, matrix) = t.axes.split_at(t.axes.len() - 2);
        let (front, matrix) = (front.to_vec(), matrix.to_vec());
        let active = std::mem::take(&mut self.active);
        let value = self.within(&front, |elab| {
            let decl = elab.library_fn(fun, span)?;
            let m = Value::Tensor(Tensor { id: t.id, axes: matrix });
            elab.run_fn(&decl, vec![("w".to_string(), m, span)], span)
        });
        self.active = active;
        let value = self.tensor(&value?, span)?;
        Ok(Tensor { id: value.id, axes: front.into_iter().chain(value.axes).collect() })
    }

    /// The value of a `keep` equation, where `w'` is the next value of each member of the families around.
    fn keep_next(&mut self, l: &Let, scope: &Rc<Scope>, next: &Tensor) -> Check<Tensor> {
        let name = &l.targets[0].name.name;
        let own = match scope.get(name) {
            Some(Value::Tensor(t)) => t.axes.len(),
            _ => next.axes.len(),
        };
        let (family, axes) = next.axes.split_at(next.axes.len() - own);
        let (family, axes): (Vec<Axis>, Vec<Axis>) = (family.to_vec(), axes.to_vec());
        let active = std::mem::take(&mut self.active);
        let inner = Scope::inside(scope);
        inner.set(format!("{name}'"), Value::Tensor(Tensor { id: next.id, axes: axes.clone() }));
        let v = self.within(&family, |elab| {
            let v = elab.let_value(l, &inner)?;
            let t = elab.tensor(&v, l.value.span)?;
            elab.spread_like_axes(&t, &Tensor { id: next.id, axes: axes.clone() }, l.value.span)
        });
        self.active = active;
        let mut t = v?;
        if self.elem(&t) != Elem::Real {
            t = self.map1(Fun::ToReal, &t, l.value.span);
        }
        let id_all = self.spread(t.id, &family, l.value.span);
        Ok(Tensor { id: id_all, axes: family.into_iter().chain(axes).collect() })
    }
}
