//! Draws: `z ~ normal[batch, latent]`, and the first values of parameters.
//! Law: a draw has a site of its own, and one entry for each choice of the index variables around it.

use super::value::{Leaf, Scope, Tensor, Tree, Value};
use super::{Check, Elab, fail};
use crate::ast::{Expr, ExprKind};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Dist, Elem, Fun, Op, SiteId, Size, Ty};
use std::rc::Rc;

impl Elab<'_> {
    /// `~ glorot`, `~ he`, `~ normal(mean, deviation)`, `~ uniform(low, high)`.
    pub fn draw_first(&mut self, e: &Expr, axes: &[Axis], key: &str, scope: &Rc<Scope>) -> Check<Tensor> {
        if !is_draw(e) {
            // An expression of draws: `~ abs(normal(0, 0.2))`.
            let inner = Scope::inside(scope);
            let mut count = 0;
            let e = self.draws_named(e, axes, key, &inner, &mut count)?;
            return self.eval_tensor(&e, &inner);
        }
        let (name, args): (String, Vec<Value>) = match &*e.kind {
            ExprKind::Name { name, .. } => (name.clone(), vec![]),
            ExprKind::Call(f, args) => match &*f.kind {
                ExprKind::Name { name, .. } => {
                    (name.clone(), args.iter().map(|a| self.eval(&a.value, scope)).collect::<Check<_>>()?)
                }
                _ => return self.later(e.span, "this distribution"),
            },
            _ => return self.later(e.span, "this distribution"),
        };
        let site = self.site(&format!("first {key}"), e.span);
        match name.as_str() {
            "glorot" | "he" => {
                let fan_in = self.fan(&axes[..axes.len().saturating_sub(1)], e.span)?;
                let fan_out = self.fan(&axes[axes.len().saturating_sub(1)..], e.span)?;
                if name == "he" {
                    let draw = self.draw(Dist::Normal, site, axes, e.span);
                    let scale = self.apply_fun(Fun::Div, &[Value::Num(2.0), fan_in], &[e.span, e.span], e.span)?;
                    return self.scaled(&draw, scale, e.span);
                }
                let draw = self.draw(Dist::Uniform, site, axes, e.span);
                let centred =
                    self.apply_fun(Fun::Sub, &[Value::Tensor(draw), Value::Num(0.5)], &[e.span, e.span], e.span)?;
                let total = self.apply_fun(Fun::Add, &[fan_in, fan_out], &[e.span, e.span], e.span)?;
                // Uniform in (-a, a) with a = sqrt(6 / (fan-in + fan-out)).
                let scale = self.apply_fun(Fun::Div, &[Value::Num(24.0), total], &[e.span, e.span], e.span)?;
                let centred = self.tensor(&centred, e.span)?;
                self.scaled(&centred, scale, e.span)
            }
            "orthogonal" => self.orthogonal(axes, site, e.span),
            _ => self.distribution(&name, &args, axes, site, e.span),
        }
    }

    /// `~ orthogonal`: a matrix with orthonormal columns (rows, if there are fewer), uniform among these: the factor `q`
    /// of a normal matrix whose other factor has a positive diagonal (Mezzadri 2007). Dims before the last two number
    /// independent matrices.
    fn orthogonal(&mut self, axes: &[Axis], site: SiteId, span: Span) -> Check<Tensor> {
        let [.., rows, columns] = axes else {
            let d = Diagnostic::error(Code::G0407, span, "only a matrix can be orthogonal");
            return fail(d.hint("for a vector: `~ normal`"));
        };
        let normal = self.draw(Dist::Normal, site, axes, span);
        let tall = match (&self.unit.dims[rows.dim.index()].size, &self.unit.dims[columns.dim.index()].size) {
            (Size::Fixed(n), Size::Fixed(m)) => n >= m,
            _ => {
                let d = Diagnostic::error(Code::G0407, span, "an orthogonal matrix needs dims of known sizes");
                return fail(d.hint("fix them: `dim d = 64`"));
            }
        };
        let fun = if tall { "orthonormal_columns" } else { "orthonormal_rows" };
        self.of_matrix(fun, &normal, span)
    }

    /// The expression with each distribution in it replaced by the name of a draw.
    fn draws_named(&mut self, e: &Expr, axes: &[Axis], key: &str, scope: &Rc<Scope>, count: &mut usize) -> Check<Expr> {
        if is_draw(e) {
            let t = self.draw_first(e, axes, &format!("{key} {count}"), scope)?;
            let name = format!("<draw {count}>");
            *count += 1;
            scope.set(name.as_str(), Value::Tensor(t));
            return Ok(Expr { kind: Box::new(ExprKind::Name { name, primed: false }), span: e.span });
        }
        let kind = match &*e.kind {
            ExprKind::Unary(op, x) => ExprKind::Unary(*op, self.draws_named(x, axes, key, scope, count)?),
            ExprKind::Binary(op, a, b) => ExprKind::Binary(
                *op,
                self.draws_named(a, axes, key, scope, count)?,
                self.draws_named(b, axes, key, scope, count)?,
            ),
            ExprKind::Call(f, args) => {
                let mut out = Vec::new();
                for arg in args {
                    let value = self.draws_named(&arg.value, axes, key, scope, count)?;
                    out.push(crate::ast::Arg { name: arg.name.clone(), value });
                }
                ExprKind::Call(f.clone(), out)
            }
            other => other.clone(),
        };
        Ok(Expr { kind: Box::new(kind), span: e.span })
    }

    pub fn fan(&mut self, axes: &[Axis], span: Span) -> Check<Value> {
        let mut n = Value::Num(1.0);
        for axis in axes {
            let size = match self.unit.dims[axis.dim.index()].size {
                Size::Fixed(k) => Value::Num(k as f64),
                _ => Value::Tensor(self.tensor(&Value::Dim(axis.dim), span)?),
            };
            n = self.apply_fun(Fun::Mul, &[n, size], &[span, span], span)?;
        }
        Ok(n)
    }

    pub fn scaled(&mut self, t: &Tensor, square: Value, span: Span) -> Check<Tensor> {
        let scale = self.apply_fun(Fun::Sqrt, &[square], &[span], span)?;
        let v = self.apply_fun(Fun::Mul, &[Value::Tensor(t.clone()), scale], &[span, span], span)?;
        self.tensor(&v, span)
    }

    pub fn draw(&mut self, dist: Dist, site: SiteId, axes: &[Axis], span: Span) -> Tensor {
        // The axes keep their order: it numbers the entries. Each choice of the index variables has draws of its own.
        let mut all = self.active.clone();
        all.extend(axes.iter().copied());
        let id = self.ordered_term(Op::Random(dist, site), Ty { elem: Elem::Real, axes: all }, span);
        Tensor { id, axes: axes.to_vec() }
    }

    /// Draws from a named distribution with its arguments.
    pub fn distribution(
        &mut self,
        name: &str,
        args: &[Value],
        axes: &[Axis],
        site: SiteId,
        span: Span,
    ) -> Check<Tensor> {
        let (dist, most) = match name {
            "normal" => (Dist::Normal, 2),
            "uniform" => (Dist::Uniform, 2),
            "rademacher" => (Dist::Rademacher, 0),
            "gumbel" => (Dist::Gumbel, 0),
            "exponential" => (Dist::Exponential, 0),
            "bernoulli" => (Dist::Uniform, 1),
            "categorical" => return self.categorical(args, axes, site, span),
            "permutation" => return self.permutation(args, axes, site, span),
            _ => {
                let known = [
                    "normal",
                    "uniform",
                    "bernoulli",
                    "rademacher",
                    "gumbel",
                    "exponential",
                    "categorical",
                    "permutation",
                    "glorot",
                    "he",
                ];
                let d = Diagnostic::error(Code::G0101, span, format!("unknown distribution `{name}`"));
                return fail(match super::near(name, known.iter().map(ToString::to_string)) {
                    Some(n) => d.hint(format!("did you mean `{n}`?")),
                    None => d.hint(format!("there are {}", known.join(", "))),
                });
            }
        };
        if args.len() > most {
            return fail(Diagnostic::error(
                Code::G0301,
                span,
                format!("`{name}` takes {most} arguments at most, {} given", args.len()),
            ));
        }
        let t = Value::Tensor(self.draw(dist, site, axes, span));
        let s = [span, span];
        let v = match (name, args) {
            ("normal", [mean, deviation]) => {
                let scaled = self.apply_fun(Fun::Mul, &[t, deviation.clone()], &s, span)?;
                self.apply_fun(Fun::Add, &[scaled, mean.clone()], &s, span)?
            }
            ("uniform", [low, high]) => {
                let width = self.apply_fun(Fun::Sub, &[high.clone(), low.clone()], &s, span)?;
                let scaled = self.apply_fun(Fun::Mul, &[t, width], &s, span)?;
                self.apply_fun(Fun::Add, &[scaled, low.clone()], &s, span)?
            }
            ("bernoulli", args) => {
                let p = args.first().cloned().unwrap_or(Value::Num(0.5));
                self.apply_fun(Fun::Lt, &[t, p], &s, span)?
            }
            (_, []) => t,
            _ => return fail(Diagnostic::error(Code::G0301, span, format!("`{name}` takes 0 or {most} arguments"))),
        };
        self.tensor(&v, span)
    }

    /// An index of the last dim of the probabilities `p` (they need not add up to 1), or of a dim with equal ones: the
    /// largest of their logarithms with Gumbel noise.
    fn categorical(&mut self, args: &[Value], axes: &[Axis], site: SiteId, span: Span) -> Check<Tensor> {
        let [p] = args else {
            let d = Diagnostic::error(Code::G0301, span, "`categorical` takes the probabilities, or a dim");
            return fail(d.hint("`k ~ categorical(softmax[class](logits))` or `k ~ categorical[batch](class)`"));
        };
        let p = match p {
            Value::Tensor(p) if !p.axes.is_empty() => p.clone(),
            other => {
                let dim = self.index_dim(other, span)?;
                let axis = self.fresh_axis(dim, axes);
                let one = self.constant(1.0, Elem::Real, span);
                Tensor { id: self.spread(one.id, &[axis], span), axes: vec![axis] }
            }
        };
        let p = self.class_apart(&p, axes, span);
        let (class, leading) = p.axes.split_last().expect("it has a dim");
        // A dim that is drawn over and that the probabilities have is one and the same.
        let twin = |a: &Axis| leading.iter().copied().find(|b| b.dim == a.dim).unwrap_or(*a);
        let mut all: Vec<Axis> = axes.iter().map(twin).collect();
        all.extend(leading.iter().copied().filter(|a| !all.contains(a)).collect::<Vec<_>>());
        let positions = all.clone();
        all.push(*class);
        let noise = self.draw(Dist::Gumbel, site, &all, span);
        let log = self.map1(Fun::Log, &p, span);
        let noisy = self.map_aligned(Fun::Add, &[noise, log], all, span);
        let drawn = self.reduce(crate::program::Red::ArgMax, &noisy, &[*class], None, span);
        Ok(Tensor { id: drawn.id, axes: positions })
    }

    /// Probabilities whose classes are another axis than those that are drawn over: `pick ~ categorical[node](p)` of
    /// nodes draws one for each node.
    fn class_apart(&mut self, p: &Tensor, axes: &[Axis], span: Span) -> Tensor {
        let (class, leading) = p.axes.split_last().expect("it has a dim");
        if !axes.contains(class) {
            return p.clone();
        }
        let taken: Vec<Axis> = axes.iter().chain(&self.ty(p.id).axes).copied().collect();
        let apart = self.fresh_axis(class.dim, &taken);
        let id = self.rename(p, &[(*class, apart)], span).id;
        Tensor { id, axes: leading.iter().copied().chain([apart]).collect() }
    }

    /// A random order of the last dim: the order of uniform numbers.
    fn permutation(&mut self, args: &[Value], axes: &[Axis], site: SiteId, span: Span) -> Check<Tensor> {
        let (Some(last), []) = (axes.last(), args) else {
            let d = Diagnostic::error(Code::G0301, span, "`permutation` needs the dim whose order is drawn");
            return fail(d.hint("`p ~ permutation[item]`"));
        };
        let keys = self.draw(Dist::Uniform, site, axes, span);
        self.order_along(&keys, *last, span)
    }

    /// `z ~ normal[batch, latent]`, `z ~ normal like w`.
    pub fn sample(
        &mut self,
        key: &str,
        dist: &Expr,
        like: Option<&Expr>,
        span: Span,
        scope: &Rc<Scope>,
    ) -> Check<Value> {
        let (head, args) = match &*dist.kind {
            ExprKind::Call(f, args) => {
                (f.clone(), args.iter().map(|a| self.eval(&a.value, scope)).collect::<Check<Vec<_>>>()?)
            }
            _ => (dist.clone(), vec![]),
        };
        let (name, items) = match &*head.kind {
            ExprKind::Bracket(base, items, None) => (base.clone(), items.clone()),
            _ => (head.clone(), vec![]),
        };
        let ExprKind::Name { name, .. } = &*name.kind else { return self.later(dist.span, "this distribution") };
        if let Some(like) = like {
            let v = self.eval(like, scope)?;
            return self.sample_like(key, name, &args, &v, span);
        }
        let mut axes: Vec<Axis> = Vec::new();
        for item in &items {
            let crate::ast::IndexItem::Expr(e) = item else { return self.later(span, "this form of draw") };
            let v = self.eval(e, scope)?;
            let dim = self.index_dim(&v, e.span)?;
            let taken = axes.clone();
            axes.push(self.fresh_axis(dim, &taken));
        }
        let site = self.site(key, span);
        self.distribution(name, &args, &axes, site, span).map(Value::Tensor)
    }

    pub fn sample_like(&mut self, key: &str, name: &str, args: &[Value], like: &Value, span: Span) -> Check<Value> {
        let like = &self.as_tree(like, span);
        if let Value::Tree(tree) = like {
            let mut leaves = Vec::new();
            for leaf in &tree.leaves {
                let site = self.site(&format!("{key} {}", leaf.name), span);
                let value = self.distribution(name, args, &leaf.value.axes.clone(), site, span)?;
                leaves.push(Leaf { value, param: None, ..leaf.clone() });
            }
            return Ok(Value::Tree(Tree { leaves }));
        }
        let t = self.tensor(like, span)?;
        let site = self.site(key, span);
        self.distribution(name, args, &t.axes, site, span).map(Value::Tensor)
    }
}

/// Is it a distribution, perhaps with arguments?
fn is_draw(e: &Expr) -> bool {
    let name = match &*e.kind {
        ExprKind::Name { name, .. } => name,
        ExprKind::Call(f, _) => match &*f.kind {
            ExprKind::Name { name, .. } => name,
            _ => return false,
        },
        _ => return false,
    };
    matches!(name.as_str(), "glorot" | "he" | "orthogonal") || super::net::DISTRIBUTIONS.contains(&name.as_str())
}
