//! Random well-typed programs.
//! Law: the same seed gives the same program; every real value lies within [`TAME`] of 0, away from kinks and singular
//! points, and what is differentiated more than once is smooth.

use crate::program::Program;
use gannet::compiler::graph::random::Rng;

/// The largest absolute value of what a statement gives.
pub const TAME: f64 = 2.0;

/// A dim of the program, by its place in the list.
pub type Dim = usize;

/// What the entries of a value are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Elem {
    Real,
    Index(Dim),
    Bool,
}

/// A named value in sight.
#[derive(Clone, Debug)]
pub struct Value {
    pub name: String,
    pub dims: Vec<Dim>,
    pub elem: Elem,
    /// Drawn entry by entry and not moved: no two entries are equal, and comparisons are far from their kinks.
    pub fixed: bool,
}

/// A scalar or tensor expression with a bound of its absolute value.
#[derive(Clone, Debug)]
pub struct Expr {
    pub text: String,
    pub bound: f64,
}

impl Expr {
    pub fn new(text: impl Into<String>, bound: f64) -> Expr {
        Expr { text: text.into(), bound }
    }
}

/// A declared dim.
#[derive(Clone, Debug)]
pub struct DimInfo {
    pub name: String,
    pub size: usize,
    pub open: bool,
}

/// A net instance of the task: its argument's last dim, and its value's.
#[derive(Clone, Debug)]
pub struct NetInfo {
    pub name: String,
    /// The name of its moved parameters in the evaluated function.
    pub tree: String,
    pub from: Dim,
    pub to: Dim,
}

/// Edges of the program.
#[derive(Clone, Debug)]
pub struct EdgeInfo {
    pub name: String,
    pub dim: Dim,
    pub node: Dim,
    /// Have they types?
    pub typed: bool,
}

/// A growing program.
pub struct Gen {
    pub rng: Rng,
    pub dims: Vec<DimInfo>,
    pub values: Vec<Value>,
    pub nets: Vec<NetInfo>,
    pub edges: Vec<EdgeInfo>,
    pub head: Vec<String>,
    pub out: Vec<String>,
    /// No kinks and no jumps.
    pub smooth: bool,
    /// Axis functions and plain functions of one argument that were declared.
    pub axis_functions: Vec<String>,
    pub functions: Vec<String>,
    count: usize,
}

/// The program of a seed.
pub fn program(seed: u64) -> Program {
    let mut rng = Rng(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5851_f42d_4c95_7f2d);
    rng.bits();
    let order = rng.pick(&[0, 0, 1, 1, 2, 2, 3]);
    let g = Gen {
        rng,
        dims: Vec::new(),
        values: Vec::new(),
        nets: Vec::new(),
        edges: Vec::new(),
        head: Vec::new(),
        out: Vec::new(),
        smooth: order > 1,
        axis_functions: vec!["softmax".into(), "log_softmax".into()],
        functions: ["gelu", "silu", "mish"].map(String::from).to_vec(),
        count: 0,
    };
    if seed % 8 == 7 { g.training(seed) } else { g.task(order, seed) }
}

impl Gen {
    pub fn below(&mut self, n: usize) -> usize {
        self.rng.below(n)
    }

    pub fn chance(&mut self, n: usize) -> bool {
        self.rng.once_in(n)
    }

    pub fn one<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.rng.below(items.len())]
    }

    /// A number that no other one meets by accident.
    pub fn number(&mut self) -> String {
        let x = self.rng.real(0.15, 0.95);
        let sign = if self.chance(4) { "-" } else { "" };
        format!("{sign}{x:.3}")
    }

    pub fn positive(&mut self) -> String {
        format!("{:.3}", self.rng.real(0.15, 0.95))
    }

    pub fn fresh(&mut self, stem: &str) -> String {
        self.count += 1;
        format!("{stem}{}", self.count)
    }

    pub fn line(&mut self, text: impl Into<String>) {
        self.out.push(text.into());
    }

    pub fn dim(&self, d: Dim) -> &str {
        &self.dims[d].name
    }

    pub fn size(&self, d: Dim) -> usize {
        self.dims[d].size
    }

    /// The dim named by a number.
    pub fn number_dim(&mut self, n: usize) -> Dim {
        let name = n.to_string();
        self.dims.iter().position(|d| d.name == name).unwrap_or_else(|| {
            self.dims.push(DimInfo { name, size: n, open: false });
            self.dims.len() - 1
        })
    }

    /// A dim of a name.
    pub fn any_dim(&mut self) -> Dim {
        self.rng.below(NAMED)
    }

    pub fn closed_dim(&mut self) -> Dim {
        let closed: Vec<Dim> = (0..NAMED).filter(|d| !self.dims[*d].open).collect();
        self.rng.pick(&closed)
    }

    /// A value's brackets: `[row, col]`, or nothing.
    pub fn brackets(&self, dims: &[Dim]) -> String {
        let names: Vec<&str> = dims.iter().map(|d| self.dim(*d)).collect();
        if names.is_empty() { String::new() } else { format!("[{}]", names.join(", ")) }
    }

    pub fn see(&mut self, name: &str, dims: &[Dim], elem: Elem) {
        self.values.push(Value { name: name.into(), dims: dims.to_vec(), elem, fixed: false });
    }

    /// A real value in sight that passes a test, if there is one; later ones are likelier.
    pub fn find(&mut self, test: impl Fn(&Value) -> bool) -> Option<Value> {
        let good: Vec<&Value> = self.values.iter().filter(|v| v.elem == Elem::Real && test(v)).collect();
        if good.is_empty() {
            return None;
        }
        let k = self.rng.below(good.len()).max(self.rng.below(good.len()));
        Some(good[k].clone())
    }

    /// A statement's value: within bounds, in sight, and part of the total.
    pub fn give(&mut self, dims: &[Dim], e: Expr) -> String {
        let name = self.fresh("s");
        let e = self.tamed(e);
        self.line(format!("{name} = {}", e.text));
        self.given(&name, dims);
        name
    }

    /// Takes a defined value into sight and into the total.
    pub fn given(&mut self, name: &str, dims: &[Dim]) {
        self.see(name, dims, Elem::Real);
        let weight = self.positive();
        let part = match self.below(4) {
            0 => format!("mean({name}^2)"),
            1 => format!("mean(sin({name} + 0.4))"),
            2 if !dims.is_empty() => format!("dot({name}, {name}) / {}", self.entries(dims)),
            _ => format!("mean({name})"),
        };
        self.line(format!("total = total + {weight}*{part}"));
    }

    pub fn entries(&self, dims: &[Dim]) -> usize {
        dims.iter().map(|d| self.size(*d)).product()
    }

    /// Within bounds.
    pub fn tamed(&mut self, e: Expr) -> Expr {
        if e.bound <= TAME {
            return e;
        }
        match self.below(3) {
            0 => Expr::new(format!("sin({})", e.text), 1.0),
            1 if e.bound < 20.0 => Expr::new(format!("{:.4}*({})", TAME / e.bound, e.text), TAME),
            _ => Expr::new(format!("tanh({})", e.text), 1.0),
        }
    }

    /// Dims, most of them small, one of them perhaps large.
    fn declare_dims(&mut self, large: bool) {
        for (k, name) in ["row", "col", "item", "node"].iter().enumerate() {
            let open = k > 0 && *name != "node" && self.chance(4);
            let size = if large && k == 0 { 60 + self.below(200) } else { 1 + self.below(4) };
            self.dims.push(DimInfo { name: name.to_string(), size, open });
        }
        // A program without a closed dim has nothing to slice.
        self.dims[0].open = false;
        let text: Vec<String> = self
            .dims
            .iter()
            .map(|d| match d.open {
                true => d.name.clone(),
                false => format!("{} = {}", d.name, d.size),
            })
            .collect();
        self.head.push(format!("dim {}", text.join(", ")));
        self.head.push("dim layer = 2, worker = 3, pair = 2*layer".into());
    }

    fn task(mut self, order: usize, seed: u64) -> Program {
        let large = order < 2 && self.chance(12);
        self.declare_dims(large);
        let files = if self.chance(3) { self.declare_edges() } else { Vec::new() };
        self.declare_functions();
        let mut moved = Vec::new();
        for _ in 0..2 + self.below(2) {
            let dims = self.some_dims(2);
            let (x, d, u) = (self.fresh("x"), self.fresh("d"), self.fresh("u"));
            let at = self.brackets(&dims);
            self.line(format!("{x} ~ uniform{at}(-1, 1)"));
            self.line(format!("{d} ~ uniform like {x}"));
            self.see(&u, &dims, Elem::Real);
            moved.push((u, x, d));
        }
        self.draws();
        for _ in 0..self.below(3) {
            moved.push(self.declare_net());
        }
        if !files.is_empty() && self.chance(2) {
            self.computed_edges();
        }
        let setup = std::mem::take(&mut self.out);
        let statements = if large { 2 } else { 2 + self.below(5) };
        (0..statements).for_each(|_| self.statement());
        self.rare(seed, order, &moved[0].0);
        let inside = std::mem::take(&mut self.out);
        let mut p = Program { files, setup, moved, inside, order, ..Program::default() };
        p.reports = self.discrete();
        p.head = self.head;
        p.open = self.dims.iter().filter(|d| d.open).map(|d| (d.name.clone(), d.size as u64)).collect();
        p
    }

    /// What chance alone brings too seldom for a few programs.
    fn rare(&mut self, seed: u64, order: usize, u: &str) {
        match seed % 16 {
            1 => {
                self.head.push("fn straight(x) = sin(x)\n  backward dy -> dy * cos(x)".into());
                self.line(format!("total = total + mean(straight({u}))"));
            }
            2 => self.line(format!("total = total + 0.1*sum(cholesky([[2 + mean(sin({u})), 0.3], [0.3, 3]]))")),
            3 if order < 2 => self.line(format!("total = total + 0.1*mean(sign({u} + 0.137))")),
            7 if order < 2 => self.windows(u),
            _ => {}
        }
    }

    /// Some dims, sometimes one of them twice.
    pub fn some_dims(&mut self, most: usize) -> Vec<Dim> {
        let count = self.below(most + 1).max(self.below(most + 1));
        let mut dims: Vec<Dim> = (0..NAMED).collect();
        self.rng.shuffle(&mut dims);
        dims.truncate(count);
        if count == 2 && self.chance(5) {
            dims[1] = dims[0];
        }
        dims
    }

    /// Draws of every kind that are not moved.
    fn draws(&mut self) {
        for _ in 0..2 {
            let dims = self.some_dims(2);
            let (name, at) = (self.fresh("k"), self.brackets(&dims));
            let (text, bound) = match self.below(5) {
                0 => (format!("normal{at}(0, 0.3)"), 3.0),
                1 => (format!("rademacher{at}"), 1.0),
                2 => (format!("exponential{at}"), 9.0),
                3 => (format!("gumbel{at}"), 9.0),
                _ => (format!("uniform{at}"), 1.0),
            };
            let raw = self.fresh("r");
            self.line(format!("{raw} ~ {text}"));
            self.line(format!("{name} = {}", if bound > TAME { format!("tanh({raw})") } else { raw.clone() }));
            self.see(&name, &dims, Elem::Real);
        }
        let dims = self.some_dims(2);
        let (name, at) = (self.fresh("w"), self.brackets(&dims));
        self.line(format!("{name} ~ normal{at}"));
        self.values.push(Value { name: name.clone(), dims: dims.clone(), elem: Elem::Real, fixed: true });
        let value = self.values.pop().expect("just pushed");
        // It may be large: comparisons and orders only.
        self.values.push(Value { name: format!("tanh({name})"), ..value });
        let k = self.values.len() - 1;
        let tame = self.fresh("k");
        self.line(format!("{tame} = tanh({name})"));
        self.values[k].name = tame;
        self.indices();
    }

    /// Index arrays and truth values.
    fn indices(&mut self) {
        for _ in 0..2 {
            let (to, dims) = (self.any_dim(), self.some_dims(1));
            let name = self.fresh("at");
            let to_name = self.dim(to).to_string();
            match self.below(3) {
                0 => self.line(format!("{name} ~ categorical{}({to_name})", self.brackets(&dims))),
                1 if dims.first().is_some_and(|d| *d == to) => {
                    self.line(format!("{name} ~ permutation{}", self.brackets(&dims)))
                }
                _ => {
                    let score = self.fresh("r");
                    let mut wide = dims.clone();
                    wide.retain(|d| *d != to);
                    wide.push(to);
                    self.line(format!("{score} ~ normal{}", self.brackets(&wide)));
                    let pick = self.one(&["argmax", "argmin"]);
                    self.line(format!("{name} = {pick}[{to_name}]({score})"));
                    wide.pop();
                    self.see(&name, &wide, Elem::Index(to));
                    continue;
                }
            }
            self.see(&name, &dims, Elem::Index(to));
        }
        let dims = self.some_dims(2);
        let (name, at) = (self.fresh("mask"), self.brackets(&dims));
        self.line(format!("{name} ~ bernoulli{at}(0.6)"));
        self.see(&name, &dims, Elem::Bool);
    }

    /// Functions with and without a gradient of their own, of axes and of functions.
    fn declare_functions(&mut self) {
        if self.chance(2) {
            let (c, k) = (self.positive(), self.positive());
            let text = match self.below(5) {
                0 => format!("fn bent(x) = sin({c}*x)\n  backward dy -> dy * {c}*cos({c}*x)"),
                1 => format!(
                    "fn bent(x) {{\n  y = {c}*x\n  save y\n  sin(y)\n}} backward dy -> {{\n  z = cos(y)\n  {c}*dy*z\n}}"
                ),
                2 => format!(
                    "fn scaled(x, by = {c}, more = {k}) = {{ y = by*x\n  y*y + more }}\nfn bent(x) = 0.5*scaled(0.5*x, more = 0.2)"
                ),
                3 => format!("tau = 2*pi\nfn swapped(a: real[i: k, j: l]) = a.T\nfn bent(x) = sin({c}*x + tau)"),
                _ => format!("fn twice(f, x) = f(f(x))\nfn bent(x) = twice(y => sin(y + {c}), {k}*x)"),
            };
            self.head.push(text);
            self.functions.push("bent".into());
        }
        if self.chance(2) {
            let c = self.positive();
            let text = match self.below(3) {
                0 => "fn along_axis[i](x) = x[i] - mean[j: i](x[j])".to_string(),
                1 => format!("fn along_axis[i](x) = sin(x[i]) / ({c} + sum[j: i](x[j]^2))"),
                _ => "fn along_axis[i](x) = tanh(x[i] - softmax[i](x[i]))".to_string(),
            };
            self.head.push(text);
            self.axis_functions.push("along_axis".into());
        }
    }
}

/// The first dims are declared by name; the others are numbers.
pub const NAMED: usize = 4;
