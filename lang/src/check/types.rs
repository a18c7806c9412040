//! Written types: held against values, binding the names of dims on the way.

use super::builtin::rounding;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Expr, ExprKind, Ident, TypeAxis, TypeExpr};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, DimId, Elem, Fun, Op, Size};
use std::rc::Rc;

impl Elab<'_> {
    /// Holds a value against a written type; names of dims that are free there are bound in `scope`.
    pub fn expect_type(&mut self, v: &Value, ty: &TypeExpr, name: &str, span: Span, scope: &Rc<Scope>) -> Check<Value> {
        if matches!(ty.elem.name.as_str(), "dim" | "net" | "fn" | "rule") {
            return match ty.elem.name.as_str() {
                "dim" => self.dim(v, span).map(Value::Dim),
                _ => Ok(v.clone()),
            };
        }
        if ty.axes.is_empty() && matches!(v, Value::Num(_) | Value::Truth(_) | Value::Hyper(..)) {
            return Ok(v.clone());
        }
        let t = self.tensor(v, span)?;
        let t = self.declared_order(t, ty, scope);
        let rest = ty.axes.iter().any(|a| matches!(a, TypeAxis::Rest(_)));
        let fixed = ty.axes.len() - usize::from(rest);
        if t.axes.len() < fixed || (!rest && t.axes.len() != fixed) {
            return fail(self.unmet(&t, ty, name, span).hint(format!(
                "the type has {}{fixed} dim{}, the value has {}",
                if rest { "at least " } else { "" },
                if fixed == 1 { "" } else { "s" },
                t.axes.len()
            )));
        }
        let skip = t.axes.len() - fixed;
        for (k, axis) in ty.axes.iter().filter(|a| !matches!(a, TypeAxis::Rest(_))).enumerate() {
            let found = t.axes[if rest { k + skip } else { k }].dim;
            let e = match axis {
                TypeAxis::Dim(e) => e,
                TypeAxis::Named(name, e) => {
                    scope.set(&name.name, Value::Dim(found));
                    e
                }
                TypeAxis::Rest(_) => unreachable!("filtered"),
            };
            if let Some(wanted) = self.wanted_dim(e, found, scope)?
                && wanted != found
            {
                let d = self.unmet(&t, ty, name, span);
                let d = d.label(e.span, format!("`{}` here is `{}`", self.source_name(e), self.dim_name(wanted)));
                return fail(self.origin(d, wanted, found));
            }
        }
        let t = self.expect_elem(t, ty, name, span, scope)?;
        Ok(Value::Tensor(t))
    }

    /// The tensor with its dims in the declared order, where the declaration names each of them that it fixes.
    fn declared_order(&mut self, t: Tensor, ty: &TypeExpr, scope: &Rc<Scope>) -> Tensor {
        let mut wanted = Vec::new();
        for axis in &ty.axes {
            if let TypeAxis::Dim(e) | TypeAxis::Named(_, e) = axis {
                let known = match &*e.kind {
                    ExprKind::Name { name, .. } => scope.get(name).or_else(|| {
                        let fixed =
                            self.unit.dims.iter().position(|d| d.name == *name && matches!(d.size, Size::Fixed(_)));
                        fixed.filter(|_| !self.items.is_library(e.span.file)).map(|d| Value::Dim(DimId::new(d)))
                    }),
                    ExprKind::Number(n) => Some(Value::Num(*n)),
                    _ => None,
                };
                match known.map(|v| self.dim(&v, e.span)) {
                    Some(Ok(d)) => wanted.push(d),
                    _ => return t,
                }
            }
        }
        let rest = ty.axes.iter().position(|a| matches!(a, TypeAxis::Rest(_)));
        let place = |d: &DimId| t.axes.iter().filter(|a| a.dim == *d).copied().collect::<Vec<_>>();
        let unique = |k: usize| place(&wanted[k]).len() == 1 && !wanted[..k].contains(&wanted[k]);
        if !(0..wanted.len()).all(unique) || (rest.is_none() && wanted.len() != t.axes.len()) {
            return t;
        }
        let split = rest.unwrap_or(wanted.len());
        let mut axes: Vec<Axis> = wanted[..split].iter().map(|d| place(d)[0]).collect();
        axes.extend(t.axes.iter().filter(|a| !wanted.contains(&a.dim)));
        axes.extend(wanted[split..].iter().map(|d| place(d)[0]));
        Tensor { id: t.id, axes }
    }

    fn origin(&self, mut d: Diagnostic, wanted: DimId, found: DimId) -> Diagnostic {
        for dim in [wanted, found] {
            if let Some(place) = self.unit.dims[dim.index()].span {
                d = d.label(place, format!("`{}` is declared here", self.unit.dims[dim.index()].name));
            }
        }
        d.hint(format!("`{}` is needed where `{}` is given", self.dim_name(wanted), self.dim_name(found)))
    }

    fn source_name(&self, e: &Expr) -> String {
        match &*e.kind {
            ExprKind::Name { name, .. } => name.clone(),
            ExprKind::Number(n) => n.to_string(),
            _ => "this dim".to_string(),
        }
    }

    fn unmet(&self, t: &Tensor, ty: &TypeExpr, name: &str, span: Span) -> Diagnostic {
        Diagnostic::error(Code::G0209, span, format!("`{name}` is declared with another type than `{}`", self.shown(t)))
            .label(span, self.shown(t))
            .label(ty.span, "declared here")
    }

    /// The dim that a name in a type stands for; a free name is bound to what is found.
    fn wanted_dim(&mut self, e: &Expr, found: DimId, scope: &Rc<Scope>) -> Check<Option<DimId>> {
        let ExprKind::Name { name, .. } = &*e.kind else {
            let v = self.eval(e, scope)?;
            return self.dim(&v, e.span).map(Some);
        };
        if let Some(v) = scope.get(name) {
            if let Some(d) = self.row_dim(&v) {
                return Ok(Some(d));
            }
            return self.dim(&v, e.span).map(Some);
        }
        // Declared dims of a fixed size mean themselves; library files and open dims bind what they find.
        if !self.items.is_library(e.span.file)
            && let Some(d) = self.unit.dims.iter().position(|d| d.name == *name && matches!(d.size, Size::Fixed(_)))
        {
            return Ok(Some(DimId::new(d)));
        }
        scope.set(name, Value::Dim(found));
        Ok(None)
    }

    fn expect_elem(&mut self, t: Tensor, ty: &TypeExpr, name: &str, span: Span, scope: &Rc<Scope>) -> Check<Tensor> {
        let elem = self.elem(&t);
        match ty.elem.name.as_str() {
            "f64" if !self.unit.double => fail(whole_precision(ty)),
            "real" | "f64" => Ok(if elem == Elem::Real { t } else { self.map1(Fun::ToReal, &t, span) }),
            narrow if rounding(narrow).is_some() => {
                let t = if elem == Elem::Real { t } else { self.map1(Fun::ToReal, &t, span) };
                self.narrowed(narrow, &t, span)
            }
            "i8" | "u8" if matches!(elem, Elem::Int | Elem::Index(_) | Elem::Bool) => {
                self.narrowed(&ty.elem.name, &t, span)
            }
            "i8" | "u8" => {
                fail(self.unmet(&t, ty, name, span).hint("`int(x)` drops the fraction, `int(round(x))` rounds"))
            }
            "u32" => fail(no_u32(ty)),
            "bool" if elem == Elem::Bool => Ok(t),
            "int" | "i32" if matches!(elem, Elem::Int | Elem::Index(_)) => Ok(t),
            "bool" | "int" | "i32" => fail(self.unmet(&t, ty, name, span)),
            _ => {
                let Elem::Index(found) = elem else {
                    return fail(
                        self.unmet(&t, ty, name, span).hint(format!("an index of `{}` is needed", ty.elem.name)),
                    );
                };
                let e = Expr::name(&ty.elem.name, ty.elem.span);
                match self.wanted_dim(&e, found, scope)? {
                    Some(wanted) if wanted != found => {
                        let d = self.unmet(&t, ty, name, span);
                        fail(self.origin(d, wanted, found))
                    }
                    _ => Ok(t),
                }
            }
        }
    }

    /// A first value with entries of this type: what is counted stands for reals, and a number that fits for what is
    /// counted.
    pub fn first_in(&mut self, t: &Tensor, elem: Elem, name: &Ident) -> Check<Tensor> {
        let (own, span) = (self.elem(t), name.span);
        let known = if let Op::Const(x) = self.unit.terms[t.id.index()].op { Some(x) } else { None };
        let size =
            |d: DimId| if let Size::Fixed(n) = self.unit.dims[d.index()].size { n as f64 } else { f64::INFINITY };
        match (elem, known) {
            _ if own == elem => Ok(t.clone()),
            (Elem::Real, _) => Ok(self.map1(Fun::ToReal, t, span)),
            (Elem::Int, _) if own != Elem::Real => Ok(self.map1(Fun::ToInt, t, span)),
            (Elem::Int, Some(x)) if x.fract() == 0.0 => Ok(self.constant(x, elem, span)),
            (Elem::Bool, Some(x)) if x == 0.0 || x == 1.0 => Ok(self.constant(x, elem, span)),
            (Elem::Index(d), Some(x)) if x.fract() == 0.0 && (0.0..size(d)).contains(&x) => {
                Ok(self.constant(x, elem, span))
            }
            _ => {
                let is = known.map_or_else(|| format!("`{}`", self.shown(t)), |x| x.to_string());
                let message = format!("the first value of `{}` is {is}, and not of its type", name.name);
                let d = Diagnostic::error(Code::G0209, span, message);
                fail(d.hint("`int(x)` drops the fraction, a comparison gives `bool`, `argmax` an index"))
            }
        }
    }

    /// The nearest numbers of a narrow type; other types leave values as they are.
    pub fn narrowed(&mut self, elem: &str, t: &Tensor, span: Span) -> Check<Tensor> {
        if let Some(fun) = rounding(elem) {
            return Ok(self.map1(fun, t, span));
        }
        if !is_narrow(elem) {
            return Ok(t.clone());
        }
        let decl = self.library_fn(elem, span)?;
        let v = self.run_fn(&decl, vec![("x".to_string(), Value::Tensor(t.clone()), span)], span)?;
        self.tensor(&v, span)
    }

    /// A written type with all its dims known: element type and canonical axes.
    pub fn closed_type(&mut self, ty: &TypeExpr, scope: &Rc<Scope>) -> Check<(Elem, Vec<Axis>)> {
        let mut axes: Vec<Axis> = Vec::new();
        for axis in &ty.axes {
            let e = match axis {
                TypeAxis::Dim(e) | TypeAxis::Named(_, e) => e,
                TypeAxis::Rest(span) => {
                    return fail(
                        Diagnostic::error(Code::G0209, *span, "`..` cannot stand here: every dim must be known")
                            .hint("name the dims of this tensor"),
                    );
                }
            };
            let v = self.eval(e, scope)?;
            let dim = self.row_dim(&v).map_or_else(|| self.dim(&v, e.span), Ok)?;
            let ix = axes.iter().filter(|a| a.dim == dim).count() as u32;
            axes.push(Axis { dim, ix });
        }
        let elem = match ty.elem.name.as_str() {
            "f64" if !self.unit.double => return fail(whole_precision(ty)),
            "real" | "f64" => Elem::Real,
            narrow if rounding(narrow).is_some() => Elem::Real,
            "bool" => Elem::Bool,
            "int" | "i32" | "i8" | "u8" => Elem::Int,
            "u32" => return fail(no_u32(ty)),
            name => {
                let e = Expr {
                    kind: Box::new(ExprKind::Name { name: name.to_string(), primed: false }),
                    span: ty.elem.span,
                };
                let v = self.eval(&e, scope)?;
                Elem::Index(self.row_dim(&v).map_or_else(|| self.dim(&v, ty.elem.span), Ok)?)
            }
        };
        Ok((elem, axes))
    }

    /// The dim of a data set's rows.
    pub fn row_dim(&mut self, v: &Value) -> Option<DimId> {
        let Value::Data(k, split) = v else { return None };
        if self.items.is_whole(*k) {
            return None;
        }
        if self.data.is_none() && self.unit.kind != crate::program::UnitKind::Train {
            // A task or check that speaks of data is about these.
            self.data = Some(*k);
            self.unit.data = Some(*k);
        }
        let name = match split {
            None => self.items.data[*k].name.name.clone(),
            Some(s) => format!("{}.{s}", self.items.data[*k].name.name),
        };
        let found = self.unit.dims.iter().position(|d| d.name == name);
        Some(match found {
            Some(k) => DimId::new(k),
            None => {
                self.add_dim(crate::program::Dim { name, size: Size::Open, span: Some(self.items.data[*k].name.span) })
            }
        })
    }
}

/// Types whose values are numbers of another one, rounded.
pub fn is_narrow(elem: &str) -> bool {
    rounding(elem).is_some() || matches!(elem, "i8" | "u8")
}

fn whole_precision(ty: &TypeExpr) -> Diagnostic {
    Diagnostic::error(Code::G0205, ty.elem.span, "`f64` is the precision of a whole program")
        .hint("write `real`, and `task t() real f64 { ... }` or `--real f64`")
}

fn no_u32(ty: &TypeExpr) -> Diagnostic {
    Diagnostic::error(Code::G0205, ty.elem.span, "there is no element type `u32`")
        .hint("whole numbers are `int`, which has 32 bits and a sign; `u8` ends at 255")
}
