//! Library operations: `sort[i](x)`, `solve(a, b)`, `eigh[(i, k), (j, l)](t)`.
//! Law: the axes that an operation acts along are named in brackets, as index variables or dims; without brackets they are
//! the last positions of its first argument. All other dims are a batch.
//!
//! A variable that the call itself binds comes out as a position of the result; one that is bound around the call stays
//! that variable.

use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Arg, Expr, ExprKind, IndexItem};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, DimId, Elem, Fun, Lib, LibFun, Op, TermId, Way, entries};
use std::rc::Rc;

/// Operations along one axis.
pub const ALONG: &[&str] = &["sort", "argsort", "rank", "top", "quantile", "cumsum", "cumprod", "fft", "ifft"];

/// Operations on matrices.
pub const MATRIX: &[&str] =
    &["solve", "cholesky", "qr", "svd", "eigh", "inv", "pinv", "logdet", "det", "expm", "assign"];

/// The axes of a call, and its arguments over them.
pub struct Call {
    /// The axes of each group: one of an operation along an axis, two of an operation on matrices.
    pub groups: Vec<Vec<Axis>>,
    pub args: Vec<Tensor>,
    pub spans: Vec<Span>,
    pub span: Span,
}

impl Call {
    fn is_along(&self) -> bool {
        self.groups.len() == 1
    }

    pub fn own(&self) -> Vec<Axis> {
        self.groups.concat()
    }
}

/// Is it an operation of the library?
pub fn is_library(name: &str) -> bool {
    ALONG.contains(&name) || MATRIX.contains(&name)
}

/// How many arguments it takes, at least and at most.
fn arity(name: &str) -> (usize, usize) {
    match name {
        "solve" | "quantile" => (2, 2),
        "fft" | "ifft" => (1, 2),
        _ => (1, 1),
    }
}

impl Elab<'_> {
    /// A call, with or without brackets.
    pub fn library_call(
        &mut self,
        name: &str,
        items: &[IndexItem],
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let (least, most) = arity(name);
        if let Some(named) = args.iter().find_map(|a| a.name.as_ref()) {
            return fail(Diagnostic::error(Code::G0301, named.span, format!("`{name}` takes no named arguments")));
        }
        if args.len() < least || args.len() > most {
            let wanted = if least == most { least.to_string() } else { format!("{least} or {most}") };
            let message =
                format!("`{name}` takes {wanted} argument{}, {} given", if most == 1 { "" } else { "s" }, args.len());
            return fail(Diagnostic::error(Code::G0301, span, message));
        }
        let (count, items) = if name == "top" { self.top_count(items, span, scope)? } else { (0, items) };
        let wanted = if ALONG.contains(&name) { 1 } else { 2 };
        if !items.is_empty() && items.len() != wanted {
            let message = format!(
                "`{name}` names {wanted} dim{} in brackets, {} given",
                if wanted == 1 { "" } else { "s" },
                items.len()
            );
            let hint = if wanted == 1 {
                format!("`{name}[i](...)`")
            } else {
                format!("`{name}[i, j](...)`, rows and columns")
            };
            return fail(Diagnostic::error(Code::G0301, span, message).hint(hint));
        }
        let call = self.library_axes(name, wanted, items, args, span, scope)?;
        self.library_value(name, count, &call)
    }

    /// `top[5, i]`: how many, and the rest.
    fn top_count<'i>(
        &mut self,
        items: &'i [IndexItem],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<(u64, &'i [IndexItem])> {
        let Some((IndexItem::Expr(e), rest)) = items.split_first() else {
            return fail(
                Diagnostic::error(Code::G0301, span, "`top` needs to know how many")
                    .hint("`top[5](x)` or `top[5, i](x[i])`"),
            );
        };
        let v = self.eval(e, scope)?;
        Ok((self.static_count(&v, e.span)?, rest))
    }

    /// Finds the groups and evaluates the arguments.
    fn library_axes(
        &mut self,
        name: &str,
        wanted: usize,
        items: &[IndexItem],
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Call> {
        let spans: Vec<Span> = args.iter().map(|a| a.value.span).collect();
        let evaluate = |elab: &mut Self, scope: &Rc<Scope>| -> Check<Vec<Tensor>> {
            args.iter().map(|a| elab.eval_tensor(&a.value, scope)).collect()
        };
        let dims = if items.is_empty() { None } else { self.whole_dims(items, scope)? };
        if !items.is_empty() && dims.is_none() {
            let (groups, bound, inner) = self.library_variables(items, args, span, scope)?;
            let args = self.within(&bound, |elab| evaluate(elab, &inner))?;
            let call = Call { groups, args, spans, span };
            return self.same_batch(call);
        }
        let args = evaluate(self, scope)?;
        let groups = match dims {
            Some(dims) => self.groups_of_dims(&args[0], &dims, spans[0])?,
            None => self.last_positions(name, &args[0], wanted, spans[0])?,
        };
        let call = Call { groups, args, spans, span };
        if name == "solve" { self.right_hand_side(call) } else { self.same_batch(call) }
    }

    /// Groups of index variables: those bound around the call keep their axes, the others are bound by it.
    #[allow(clippy::type_complexity)]
    fn library_variables(
        &mut self,
        items: &[IndexItem],
        args: &[Arg],
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<(Vec<Vec<Axis>>, Vec<Axis>, Rc<Scope>)> {
        let mut names: Vec<Vec<&Expr>> = Vec::new();
        for item in items {
            let IndexItem::Expr(e) = item else { return self.later(span, "this form of axis") };
            names.push(match &*e.kind {
                ExprKind::Tuple(parts) => parts.iter().collect(),
                _ => vec![e],
            });
        }
        let known = |e: &Expr, elab: &Self| -> Option<Axis> {
            let ExprKind::Name { name, primed: false } = &*e.kind else { return None };
            let Some(Value::Tensor(t)) = scope.get(name) else { return None };
            if let Op::Iota(axis) = elab.unit.terms[t.id.index()].op { Some(axis) } else { None }
        };
        let fresh: Vec<IndexItem> = names
            .iter()
            .flatten()
            .filter(|e| known(e, self).is_none())
            .map(|e| IndexItem::Expr((*e).clone()))
            .collect();
        let joined = Expr { kind: Box::new(ExprKind::Tuple(args.iter().map(|a| a.value.clone()).collect())), span };
        let vars = self.bind_vars(&fresh, &joined, scope)?;
        let inner = Scope::inside(scope);
        for (name, axis) in &vars {
            let iota = self.iota(*axis, span);
            inner.set(name, Value::Tensor(iota));
        }
        let axis = |e: &Expr| {
            let ExprKind::Name { name, .. } = &*e.kind else { unreachable!("bound above") };
            known(e, self).unwrap_or_else(|| vars.iter().find(|v| v.0 == *name).expect("bound above").1)
        };
        let groups = names.iter().map(|g| g.iter().map(|e| axis(e)).collect()).collect();
        Ok((groups, vars.iter().map(|v| v.1).collect(), inner))
    }

    /// The axes of the first argument over these dims.
    fn groups_of_dims(&self, t: &Tensor, dims: &[(DimId, Span)], at: Span) -> Check<Vec<Vec<Axis>>> {
        let mut groups: Vec<Vec<Axis>> = Vec::new();
        for (k, (dim, place)) in dims.iter().enumerate() {
            let found: Vec<Axis> = t.axes.iter().copied().filter(|a| a.dim == *dim).collect();
            let twice = dims.iter().filter(|d| d.0 == *dim).count();
            if found.is_empty() {
                let message = format!("`{}` is no dim of `{}`", self.dim_name(*dim), self.shown(t));
                return fail(
                    Diagnostic::error(Code::G0210, *place, message)
                        .label(at, self.shown(t))
                        .hint("name one of its dims"),
                );
            }
            if found.len() != twice {
                let message =
                    format!("`{}` has the dim `{}` {} times", self.shown(t), self.dim_name(*dim), found.len());
                return fail(
                    Diagnostic::error(Code::G0204, *place, message)
                        .label(at, self.shown(t))
                        .hint("say which one with an index variable: `sort[j](x[i, j])`"),
                );
            }
            let nth = dims[..k].iter().filter(|d| d.0 == *dim).count();
            groups.push(vec![found[nth]]);
        }
        Ok(groups)
    }

    fn last_positions(&self, name: &str, t: &Tensor, wanted: usize, at: Span) -> Check<Vec<Vec<Axis>>> {
        let n = t.axes.len();
        if wanted == 1 && n != 1 {
            let message = format!("`{name}` goes along one dim, `{}` has {n}", self.shown(t));
            return fail(Diagnostic::error(Code::G0210, at, message).hint(format!("name the dim: `{name}[dim](x)`")));
        }
        if n < wanted {
            let message = format!("`{name}` takes a matrix, this is `{}`", self.shown(t));
            return fail(
                Diagnostic::error(Code::G0207, at, message)
                    .hint(format!("its rows and columns are its last two dims, or name them: `{name}[i, j](a[i, j])`")),
            );
        }
        Ok(t.axes[n - wanted..].iter().map(|a| vec![*a]).collect())
    }

    /// Arguments after the first are aligned with it by dim.
    fn same_batch(&mut self, mut call: Call) -> Check<Call> {
        for k in 1..call.args.len() {
            let (aligned, _) = self.align(&call.args[0], &call.args[k], (call.spans[0], call.spans[k]))?;
            call.args[k] = aligned;
        }
        Ok(call)
    }

    /// The right-hand side of a system: its axis over the rows' dim is the rows, batch dims are those of the matrix, and
    /// whatever else it has are several right-hand sides.
    fn right_hand_side(&mut self, mut call: Call) -> Check<Call> {
        let (a, b) = (call.args[0].clone(), call.args[1].clone());
        let (rows, columns) = (call.groups[0][0], call.groups[1][0]);
        let Some(place) = b.axes.iter().position(|x| x.dim == rows.dim) else {
            let message =
                format!("the right-hand side `{}` lacks the rows' dim `{}`", self.shown(&b), self.dim_name(rows.dim));
            return fail(Diagnostic::error(Code::G0202, call.spans[1], message).label(call.spans[0], self.shown(&a)));
        };
        let batch: Vec<Axis> = a.axes.iter().copied().filter(|x| *x != rows && *x != columns).collect();
        let mut taken = [a.axes.clone(), b.axes.clone()].concat();
        let mut names = vec![(b.axes[place], rows)];
        for (k, axis) in b.axes.iter().enumerate().filter(|(k, _)| *k != place) {
            let twin = batch.iter().find(|x| x.dim == axis.dim && b.axes[..k].iter().all(|y| y.dim != x.dim));
            let new = match twin {
                Some(twin) => *twin,
                None if a.axes.contains(axis) => self.fresh_axis(axis.dim, &taken),
                None => *axis,
            };
            taken.push(new);
            names.push((*axis, new));
        }
        call.args[1] = self.rename(&b, &names, call.spans[1]);
        Ok(call)
    }

    /// The parts of an operation, each with its positions: those of the batch, then those of its groups that belong to no
    /// variable around the call.
    pub fn parts(&mut self, call: &Call, fun: LibFun, groups: Vec<Vec<Axis>>, args: &[Tensor]) -> Check<Vec<Tensor>> {
        let lib = Lib { fun, groups };
        let signature = fun.signature();
        let mut operands = Vec::new();
        for a in args {
            operands.push(if self.elem(a) == Elem::Real { a.clone() } else { self.map1(Fun::ToReal, a, call.span) });
        }
        if signature.square && !lib.is_square(&self.unit.dims) {
            let shown = |g: &Vec<Axis>| g.iter().map(|a| self.dim_name(a.dim)).collect::<Vec<_>>().join(", ");
            let message = format!(
                "a square matrix is needed, its rows are `{}` and its columns `{}`",
                shown(&lib.groups[0]),
                shown(&lib.groups[1])
            );
            return fail(Diagnostic::error(Code::G0201, call.spans[0], message));
        }
        let types: Vec<Vec<Axis>> = operands.iter().map(|t| self.ty(t.id).axes.clone()).collect();
        let types: Vec<&[Axis]> = types.iter().map(Vec::as_slice).collect();
        self.no_foreign_axis(call, &lib, &types)?;
        let misfit = |e: String| Box::new(Diagnostic::error(Code::G0209, call.span, e));
        lib.check(&types).map_err(misfit)?;
        let all = lib.all_groups(&types);
        let rules: Check<Vec<(Elem, Vec<Axis>)>> =
            (0..signature.parts.len()).map(|k| lib.part(k, &types).map_err(misfit)).collect();
        let rules = rules?;
        let whole = self.term(Op::Library(lib, operands.iter().map(|t| t.id).collect()), Elem::Real, vec![], call.span);
        let mut out = Vec::new();
        for (k, (elem, axes)) in rules.into_iter().enumerate() {
            let own: Vec<Axis> = signature.parts[k].groups.iter().flat_map(|g| all[*g].clone()).collect();
            let given = args.iter().flat_map(|t| t.axes.iter().copied());
            // Along one axis the result looks like the argument; of a matrix the batch comes first.
            let given: Vec<Axis> =
                given.filter(|a| axes.contains(a) && (call.is_along() || !own.contains(a))).collect();
            let mut positions: Vec<Axis> = Vec::new();
            for axis in given.into_iter().chain(own.into_iter().filter(|a| !self.active.contains(a))) {
                if !positions.contains(&axis) {
                    positions.push(axis);
                }
            }
            let id = self.term(Op::Part(whole, k as u8), elem, axes, call.span);
            out.push(Tensor { id, axes: positions });
        }
        Ok(out)
    }

    /// An argument that varies with an index of another group has no meaning, such as a right-hand side that varies with
    /// the unknown.
    fn no_foreign_axis(&self, call: &Call, lib: &Lib, types: &[&[Axis]]) -> Check<()> {
        let signature = lib.fun.signature();
        for (k, (axes, own)) in types.iter().zip(signature.operands).enumerate() {
            let others = lib.groups.iter().enumerate().filter(|(g, _)| !own.contains(g)).flat_map(|(_, axes)| axes);
            let mut others = others.filter(|a| axes.contains(a));
            if let Some(axis) = others.next() {
                let message = format!(
                    "this argument of `{}` varies with an index over `{}` that belongs to another argument",
                    signature.name,
                    self.dim_name(axis.dim)
                );
                let span = call.spans.get(k).copied().unwrap_or(call.span);
                return fail(Diagnostic::error(Code::G0209, span, message).hint("use an index of its own"));
            }
        }
        Ok(())
    }

    /// The value of a call.
    fn library_value(&mut self, name: &str, count: u64, call: &Call) -> Check<Value> {
        let group = call.groups.clone();
        let one = |parts: Vec<Tensor>| Ok(Value::Tensor(parts.into_iter().next().expect("an operation has a part")));
        let record = |parts: Vec<Tensor>, names: &[&str]| {
            Ok(Value::Record(names.iter().map(ToString::to_string).zip(parts.into_iter().map(Value::Tensor)).collect()))
        };
        match name {
            "sort" => self.sorted(call).map(|(values, _)| Value::Tensor(values)),
            "argsort" => self.sorted(call).map(|(_, order)| Value::Tensor(order)),
            "rank" => {
                let x = self.along_axis(call);
                Ok(Value::Tensor(self.parts(call, LibFun::Sort, group, &[x])?.swap_remove(1)))
            }
            "top" => self.top(call, count),
            "quantile" => self.quantile(call),
            "cumsum" | "cumprod" => self.cumulated(call, name == "cumprod").map(Value::Tensor),
            "fft" | "ifft" => self.fourier(call, if name == "fft" { Way::Forth } else { Way::Back }),
            "solve" => one(self.parts(call, LibFun::Solve, group, &call.args)?),
            "cholesky" => one(self.parts(call, LibFun::Cholesky, group, &call.args)?),
            "logdet" => one(self.parts(call, LibFun::LogDet, group, &call.args)?),
            "pinv" => one(self.parts(call, LibFun::Pinv, group, &call.args)?),
            "assign" => one(self.parts(call, LibFun::Assign, group, &call.args)?),
            "inv" => self.inverse(call).map(Value::Tensor),
            "det" => {
                let parts = self.parts(call, LibFun::LogDet, group, &call.args)?;
                let size = self.map1(Fun::Exp, &parts[0], call.span);
                self.map2(Fun::Mul, &size, &parts[1], call.span).map(Value::Tensor)
            }
            "expm" => {
                let two = self.number_dim(2);
                let first = self.fresh_axis(two, &call.own());
                let second = self.fresh_axis(two, &[call.own(), vec![first]].concat());
                one(self.parts(call, LibFun::Expm, [group, vec![vec![first, second]]].concat(), &call.args)?)
            }
            "eigh" => {
                let numbers = self.numbers(call, &group[0]);
                let parts = self.parts(call, LibFun::Eigh, [group, vec![numbers]].concat(), &call.args)?;
                record(parts, &["values", "vectors"])
            }
            "qr" => {
                let numbers = self.numbers(call, &group[1]);
                if self.less(&group[0], &group[1]) {
                    let message = "`qr` needs at least as many rows as columns";
                    let d = Diagnostic::error(Code::G0201, call.spans[0], message);
                    return fail(d.label(call.spans[0], self.shown(&call.args[0])).hint("take the transpose"));
                }
                record(self.parts(call, LibFun::Qr, [group, vec![numbers]].concat(), &call.args)?, &["q", "r"])
            }
            "svd" => {
                let lesser = if self.less(&group[0], &group[1]) { &group[0] } else { &group[1] };
                let numbers = self.numbers(call, lesser);
                record(self.parts(call, LibFun::Svd, [group, vec![numbers]].concat(), &call.args)?, &["u", "s", "v"])
            }
            other => self.later(call.span, &format!("`{other}`")),
        }
    }

    /// Axes that number eigenvectors and the like: over the dims of `like`, of a name that nothing has.
    fn numbers(&self, call: &Call, like: &[Axis]) -> Vec<Axis> {
        let mut taken = call.own();
        taken.extend(call.args.iter().flat_map(|t| self.ty(t.id).axes.clone()));
        let mut out = Vec::new();
        for axis in like {
            out.push(self.fresh_axis(axis.dim, &[taken.clone(), out.clone()].concat()));
        }
        out
    }

    /// Has the first group fewer entries, as far as is known?
    fn less(&self, a: &[Axis], b: &[Axis]) -> bool {
        matches!((entries(a, &self.unit.dims), entries(b, &self.unit.dims)), (Some(x), Some(y)) if x < y)
    }

    /// The inverse: the solution for each unit vector.
    fn inverse(&mut self, call: &Call) -> Check<Tensor> {
        let (rows, columns, span) = (call.groups[0].clone(), call.groups[1].clone(), call.span);
        let other = self.numbers(call, &rows);
        let mut unit: Option<TermId> = None;
        for (a, b) in rows.iter().zip(&other) {
            let [i, j] = [a, b].map(|x| self.term(Op::Iota(*x), Elem::Index(x.dim), vec![*x], span));
            let same = self.term(Op::Map(Fun::Eq, vec![i, j]), Elem::Bool, vec![*a, *b], span);
            let axes = unit.map_or(vec![], |u| self.ty(u).axes.clone());
            unit = Some(match unit {
                None => same,
                Some(u) => self.term(Op::Map(Fun::And, vec![u, same]), Elem::Bool, [axes, vec![*a, *b]].concat(), span),
            });
        }
        let unit = Tensor { id: unit.expect("a group has an axis"), axes: other.clone() };
        let args = [call.args[0].clone(), unit];
        let mut x = self.parts(call, LibFun::Solve, call.groups.clone(), &args)?.swap_remove(0);
        let names: Vec<(Axis, Axis)> = other.iter().copied().zip(rows.iter().copied()).collect();
        // Rows of the inverse are the matrix's columns.
        let own = [columns, other].concat();
        let batch: Vec<Axis> = x.axes.iter().copied().filter(|a| !own.contains(a)).collect();
        x.axes = batch.into_iter().chain(own).filter(|a| !self.active.contains(a)).collect();
        let mut x = self.rename(&x, &names, span);
        x.axes.retain(|a| !self.active.contains(a));
        Ok(x)
    }
}
