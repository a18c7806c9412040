//! Statements on whole tensors: by names of dims, parts and their joining, records, functions of dims.

use crate::generate::*;
use crate::scalar::Vars;

impl Gen {
    /// One statement of any kind.
    pub fn statement(&mut self) {
        match self.below(20) {
            0..=4 => self.equation(),
            5 => self.elementwise(),
            6 => self.over_dims(),
            7 => self.product(),
            8 => self.parts(),
            9 => self.records(),
            10 => self.replaced(),
            11..=13 => self.looped(),
            14 | 15 => self.library(),
            16..=18 => self.with_net(),
            _ => self.derivative(),
        }
    }

    /// Variables for dims.
    pub fn variables(&mut self, dims: &[Dim]) -> Vars {
        dims.iter().map(|d| (self.fresh("i"), *d)).collect()
    }

    /// `i: row, j: col`.
    pub fn bound(&self, vars: &Vars) -> String {
        vars.iter().map(|(v, d)| format!("{v}: {}", self.dim(*d))).collect::<Vec<_>>().join(", ")
    }

    /// `y[i: row, j: col] = ...`
    pub fn equation(&mut self) {
        let dims = self.some_dims(2);
        let vars = self.variables(&dims);
        let depth = 1 + self.below(3);
        let e = self.scalar(&vars, depth);
        let e = self.tamed(e);
        let name = self.fresh("s");
        let left = if dims.is_empty() { name.clone() } else { format!("{name}[{}]", self.bound(&vars)) };
        self.line(format!("{left} = {}", e.text));
        self.given(&name, &dims);
    }

    fn plain(v: &Value) -> bool {
        let mut dims = v.dims.clone();
        dims.sort_unstable();
        dims.windows(2).all(|w| w[0] != w[1])
    }

    /// Two values meet by the names of their dims.
    fn elementwise(&mut self) {
        let (Some(a), Some(b)) = (self.find(Self::plain), self.find(Self::plain)) else { return };
        // The operand with more dims gives their order; then the left one does.
        let (first, second) = if b.dims.len() > a.dims.len() { (&b, &a) } else { (&a, &b) };
        let mut dims = first.dims.clone();
        dims.extend(second.dims.iter().filter(|d| !first.dims.contains(d)));
        let (x, y) = (Expr::new(a.name, TAME), Expr::new(b.name, TAME));
        let x = if self.chance(2) { self.unary_of(x) } else { x };
        let e = self.binary_of(x, y);
        let e = self.tamed(e);
        let e = if self.chance(3) { self.unary_of(e) } else { e };
        let masks: Vec<Value> = self
            .values
            .iter()
            .filter(|v| v.elem == Elem::Bool && v.dims.iter().all(|d| dims.contains(d)))
            .cloned()
            .collect();
        let e = match masks.first() {
            Some(m) if Self::plain(m) && self.chance(2) => {
                Expr::new(format!("if {} then {} else 0.3", m.name, e.text), e.bound)
            }
            _ => e,
        };
        self.give(&dims, e);
    }

    /// Reductions and axis functions over dims, and of whole tensors.
    fn over_dims(&mut self) {
        let Some(v) = self.find(|v| !v.dims.is_empty() && Self::plain(v)) else { return };
        let k = self.below(v.dims.len());
        let (d, mut rest) = (self.dim(v.dims[k]).to_string(), v.dims.clone());
        rest.remove(k);
        let x = &v.name;
        let n = self.entries(&v.dims) as f64;
        match self.below(8) {
            0 => self.give(&rest, Expr::new(format!("sum[{d}]({x})"), TAME * n)),
            1 => self.give(&rest, Expr::new(format!("mean[{d}]({x})"), TAME)),
            2 => self.give(&rest, Expr::new(format!("logsumexp[{d}]({x})"), TAME + n)),
            3 => self.give(&rest, Expr::new(format!("prod[{d}](1 + 0.2*{x})"), 1.4f64.powf(n))),
            4 => self.give(&[], Expr::new(format!("norm({x}) + var({x})"), TAME * TAME * n)),
            5 => self.give(&[], Expr::new(format!("sum({x}) + mean({x})*prod(0.9 + 0.1*{x})"), TAME * n * n)),
            _ => {
                let f = self.below(self.axis_functions.len());
                let f = self.axis_functions[f].clone();
                self.give(&v.dims, Expr::new(format!("{f}[{d}]({x})"), 6.0 + n))
            }
        };
    }

    /// `x @ w`, `x.T`.
    fn product(&mut self) {
        let Some(a) = self.find(|v| v.dims.len() == 2) else { return };
        let n = self.size(a.dims[1]) as f64;
        let last = a.dims[1];
        if let Some(b) = self.find(|v| {
            Self::plain(v) && v.dims.first() == Some(&last) && v.dims[1..].iter().all(|d| !a.dims.contains(d))
        }) && Self::plain(&a)
        {
            let mut dims = vec![a.dims[0]];
            dims.extend(&b.dims[1..]);
            self.give(&dims, Expr::new(format!("{} @ {}", a.name, b.name), TAME * TAME * n));
        } else if self.chance(2) {
            self.give(&[a.dims[1], a.dims[0]], Expr::new(format!("{}.T", a.name), TAME));
        } else {
            let c = self.number();
            self.give(&a.dims, Expr::new(format!("{c}*{} - 0.5*sin({})", a.name, a.name), TAME));
        }
    }

    /// Slices, stacks, joined tensors.
    fn parts(&mut self) {
        let closed: Vec<bool> = self.dims.iter().map(|d| !d.open).collect();
        let Some(v) = self.find(|v| !v.dims.is_empty() && v.dims.iter().all(|d| closed[*d]) && Self::plain(v)) else {
            return;
        };
        let (n, rest, x) = (self.size(v.dims[0]), v.dims[1..].to_vec(), v.name.clone());
        match self.below(5) {
            0 if n > 1 => {
                let dims = [vec![self.number_dim(n - 1)], rest].concat();
                let c = self.number();
                self.give(&dims, Expr::new(format!("{x}[1..] - {c}*{x}[..{}]", n - 1), 2.0 * TAME));
            }
            1 => {
                let m = self.number_dim(2 * n);
                if rest.contains(&m) {
                    return;
                }
                self.give(&[vec![m], rest].concat(), Expr::new(format!("concat({x}, 0.5*{x})"), TAME));
            }
            2 => {
                let two = self.number_dim(2);
                if v.dims.contains(&two) {
                    return;
                }
                self.give(&[vec![two], v.dims.clone()].concat(), Expr::new(format!("[{x}, sin({x})]"), TAME));
            }
            3 if v.dims.len() == 2 => {
                let k = self.below(self.size(v.dims[1]));
                let one = self.number_dim(1);
                if v.dims[0] == one {
                    return;
                }
                self.give(&[v.dims[0], one], Expr::new(format!("{x}[.., {k}..{}]", k + 1), TAME));
            }
            _ => {
                let (k, name) = (self.below(n), self.dim(v.dims[0]).to_string());
                let m = self.number_dim(2 * n);
                if rest.contains(&m) {
                    return;
                }
                self.give(&[vec![m], rest].concat(), Expr::new(format!("concat[{name}]({x}, {x}*cos({k}))"), TAME));
            }
        }
    }

    /// Tuples, records, records of tensors.
    fn records(&mut self) {
        let Some(v) = self.find(|v| !v.dims.is_empty()) else { return };
        let (x, p, q) = (v.name.clone(), self.fresh("s"), self.fresh("s"));
        match self.below(4) {
            0 => {
                self.line(format!("{p}, {q} = (sin({x}), 0.5*{x}^2)"));
                self.given(&q, &v.dims);
            }
            1 => {
                let r = self.fresh("r");
                self.line(format!("{r} = {{left = cos({x}), right = tanh({x})}}"));
                self.line(format!("{p} = {r}.left*{r}.right"));
            }
            2 => {
                let r = self.fresh("r");
                self.line(format!("{r} = {{left = 0.3*{x}, right = {x}}}"));
                self.line(format!("{r} = {r} with {{ left = sin({x}) }}"));
                self.line(format!("{p} = 0.5*({r}.left - {r}.right)"));
            }
            _ => {
                let (r, vars) = (self.fresh("r"), self.variables(&v.dims));
                let (a, b) = (self.scalar(&vars, 1), self.scalar(&vars, 1));
                let (a, b) = (self.tamed(a), self.tamed(b));
                self.line(format!("{r}[{}] = {{ left = {}, right = {} }}", self.bound(&vars), a.text, b.text));
                self.line(format!("{p} = 0.5*({r}.left + {r}.right)"));
            }
        }
        self.given(&p, &v.dims);
    }

    /// `x with [i] = v`.
    fn replaced(&mut self) {
        let Some(v) = self.find(|v| !v.dims.is_empty()) else { return };
        let (d, x) = (v.dims[0], v.name.clone());
        let at = match self.dims[d].open {
            true => "0".to_string(),
            false => self.below(self.size(d)).to_string(),
        };
        let Some(s) = self.find(|v| v.dims.is_empty()) else { return };
        let c = self.number();
        let value = if v.dims.len() == 1 { format!("{c}*{}", s.name) } else { c };
        self.give(&v.dims, Expr::new(format!("{x} with [{at}] = {value}"), TAME));
    }

    /// A gradient inside the function: a tensor of first or second derivatives.
    fn derivative(&mut self) {
        let Some(v) = self.find(|v| !v.dims.is_empty() && Self::plain(v) && v.dims.len() < 2) else { return };
        let (d, x, q) = (v.dims[0], v.name.clone(), self.fresh("q"));
        let i = self.fresh("i");
        let (name, c) = (self.dim(d).to_string(), self.positive());
        let of = |q: &str| format!("sum({c}*sin({q})*{q}) + {c}*sum({q})^2/{name}");
        match self.below(4) {
            0 => self.give(&[d], Expr::new(format!("grad[{q} = {x}]({})", of(&q)), 9.0 * self.size(d) as f64)),
            1 => {
                let p = self.fresh("q");
                let s = self.fresh("s");
                self.line(format!(
                    "{s}[{i}: {name}] = 0.3*sin(grad[{p} = {x}](grad[{q} = {p}]({})[{i}])[{i}])",
                    of(&q)
                ));
                self.given(&s, &[d]);
                s
            }
            2 => {
                let s = self.fresh("s");
                self.line(format!("{q} = 1*{x}\n{s} = tanh(along[{q} = cos({x})](sin({q})*{q} + mean({q})))"));
                self.given(&s, &[d]);
                s
            }
            _ => {
                let s = self.fresh("s");
                self.line(format!("{s}[{i}: {name}] = grad[{q} = {x}[{i}]](sin({c}*{q})*{}[{i}])", x));
                self.given(&s, &[d]);
                s
            }
        };
    }
}
