//! Scalar expressions in index notation: reads of every kind, functions, reductions, conditions, blocks.

use crate::generate::*;

/// Index variables in sight: name and dim.
pub type Vars = Vec<(String, Dim)>;

impl Gen {
    /// A scalar expression of the variables.
    pub fn scalar(&mut self, vars: &Vars, depth: usize) -> Expr {
        if depth == 0 {
            return self.leaf(vars);
        }
        match self.below(18) {
            0..=2 => self.unary(vars, depth),
            3..=5 => self.binary(vars, depth),
            6..=8 => self.reduction(vars, depth),
            9 if !vars.is_empty() => self.axis_call(vars, depth),
            10 => {
                let (c, a, b) = (self.condition(vars), self.scalar(vars, depth - 1), self.scalar(vars, depth - 1));
                Expr::new(format!("(if {c} then {} else {})", a.text, b.text), a.bound.max(b.bound))
            }
            11 | 12 => self.fiber(vars, depth),
            13 => self.inner_derivative(vars, depth),
            14 => self.block(vars, depth),
            15 => self.entry_loop(vars, depth),
            16 => {
                let x = self.scalar(vars, depth - 1);
                let (s, n) = (self.fresh("q"), 2 + self.below(2));
                Expr::new(format!("mean[{s}: {n}](sin({}*({s} + 1)))", x.text), 1.0)
            }
            _ => self.leaf(vars),
        }
    }

    fn leaf(&mut self, vars: &Vars) -> Expr {
        match self.below(10) {
            0 => Expr::new(self.number(), 1.0),
            1 if !vars.is_empty() => {
                let k = self.below(vars.len());
                let (v, d) = vars[k].clone();
                let n = self.size(d) as f64;
                Expr::new(format!("0.21*{v}"), 0.21 * n)
            }
            2 => {
                let d = self.any_dim();
                let (name, n) = (self.dim(d).to_string(), self.size(d) as f64);
                match self.below(3) {
                    0 => Expr::new(format!("0.1*size({name})"), 0.1 * n),
                    1 => Expr::new(format!("{name}/({name} + 2)"), 1.0),
                    _ => Expr::new(format!("cos({name})"), 1.0),
                }
            }
            3 => {
                let c = self.condition(vars);
                Expr::new(format!("0.5*({c})"), 0.5)
            }
            4 => self.stopped(vars),
            _ => self.read(vars),
        }
    }

    fn stopped(&mut self, vars: &Vars) -> Expr {
        // What is moved may not be stopped: the derivative would no longer be that of the value.
        match self.values.iter().rfind(|v| v.fixed).cloned() {
            Some(v) => {
                let e = self.read_of(&v, vars);
                Expr::new(format!("stop({})", e.text), e.bound)
            }
            None => Expr::new("pi/4", 1.0),
        }
    }

    /// An entry of a value in sight; what the variables do not reach is read at a constant or summed over.
    pub fn read(&mut self, vars: &Vars) -> Expr {
        let dims: Vec<Dim> = vars.iter().map(|v| v.1).collect();
        let near = self.find(|v| v.dims.iter().all(|d| dims.contains(d)));
        let value = if self.chance(4) { self.find(|_| true) } else { near.or_else(|| self.find(|_| true)) };
        let value = value.expect("arguments are in sight");
        self.read_of(&value, vars)
    }

    pub fn read_of(&mut self, value: &Value, vars: &Vars) -> Expr {
        let mut all = vars.clone();
        let mut over = Vec::new();
        for d in &value.dims {
            if !all.iter().any(|v| v.1 == *d) {
                let v = self.fresh("i");
                over.push(format!("{v}: {}", self.dim(*d)));
                all.push((v, *d));
            }
        }
        let (mut items, mut outside) = (Vec::new(), false);
        for d in &value.dims {
            let (text, may_leave) = self.index(*d, &all);
            items.push(text);
            outside |= may_leave;
        }
        let mut text = value.name.clone();
        if !items.is_empty() {
            text += &format!("[{}]", items.join(", "));
        }
        if outside {
            let c = self.number();
            text = format!("({text} else {c})");
        }
        if !over.is_empty() {
            text = format!("mean[{}]({text})", over.join(", "));
        }
        Expr::new(text, TAME)
    }

    /// An index into a dim, and whether it may lie outside.
    fn index(&mut self, d: Dim, vars: &Vars) -> (String, bool) {
        let own: Vec<String> = vars.iter().filter(|v| v.1 == d).map(|v| v.0.clone()).collect();
        let v = own[self.below(own.len())].clone();
        let (name, n, open) = (self.dim(d).to_string(), self.size(d), self.dims[d].open);
        let k = 1 + self.below(2);
        match self.below(16) {
            0 => (format!("({v} + {k}) mod {name}"), false),
            1 => (format!("{name} - 1 - {v}"), false),
            2 if !open => (format!("min({v} + {k}, {})", n - 1), false),
            3 if !open => (format!("max({v} - {k}, 0)"), false),
            4 => (format!("{v} - {k}"), true),
            5 => (format!("{v} + {k}"), true),
            6 => {
                let w = vars[self.below(vars.len())].0.clone();
                (format!("2*{v} + {w} - {k}"), true)
            }
            7 if !open => (self.below(n).to_string(), false),
            8 => (format!("({v} + {k}) div 2"), true),
            9 => (format!("({v} + 7) mod {}", n + 1), true),
            10 | 11 => match self.index_array(d, vars) {
                Some(text) => (text, false),
                None => (v, false),
            },
            _ => (v, false),
        }
    }

    /// An entry of an index array.
    fn index_array(&mut self, d: Dim, vars: &Vars) -> Option<String> {
        let reach = |dims: &[Dim]| dims.iter().all(|d| vars.iter().any(|v| v.1 == *d));
        let arrays: Vec<Value> =
            self.values.iter().filter(|v| v.elem == Elem::Index(d) && reach(&v.dims)).cloned().collect();
        if arrays.is_empty() {
            return None;
        }
        let a = arrays[self.below(arrays.len())].clone();
        let at = |d: &Dim| vars.iter().find(|v| v.1 == *d).expect("just asked").0.clone();
        let items: Vec<String> = a.dims.iter().map(at).collect();
        Some(if items.is_empty() {
            a.name
        } else if a.name.contains('.') {
            // `link.src` of an edge is `e.src`.
            format!("{}.{}", items[0], a.name.split_once('.').expect("has a dot").1)
        } else {
            format!("{}[{}]", a.name, items.join(", "))
        })
    }

    /// A truth value that does not depend on what is moved.
    pub fn condition(&mut self, vars: &Vars) -> String {
        let masks: Vec<Value> = self.values.iter().filter(|v| v.elem == Elem::Bool || v.fixed).cloned().collect();
        let mask = masks[self.below(masks.len())].clone();
        let reach = mask.dims.iter().all(|d| vars.iter().any(|v| v.1 == *d));
        let op = self.one(&["<", "<=", ">", ">=", "==", "!="]);
        match self.below(9) {
            0 | 1 if vars.len() > 1 => format!("({} {op} {})", vars[0].0, vars[vars.len() - 1].0),
            2 if !vars.is_empty() => format!("(({} + {}) mod 2 == 0)", vars[0].0, vars[vars.len() - 1].0),
            3 => {
                let (a, b) = (self.condition(vars), self.condition(vars));
                let join = self.one(&["and", "or"]);
                format!("({a} {join} {b})")
            }
            4 => format!("(not {})", self.condition(vars)),
            5 if !vars.is_empty() => format!("({} {op} 1)", vars[0].0),
            6 => {
                let j = self.fresh("j");
                let d = self.any_dim();
                let red = self.one(&["any", "all"]);
                let mut inner = vars.clone();
                inner.push((j.clone(), d));
                let c = format!("({j} {op} 1)");
                format!("{red}[{j}: {}]({c})", self.dim(d))
            }
            _ if reach => {
                let at = |d: &Dim| vars.iter().find(|v| v.1 == *d).expect("it is reached").0.clone();
                let items: Vec<String> = mask.dims.iter().map(at).collect();
                let item = if items.is_empty() { mask.name } else { format!("{}[{}]", mask.name, items.join(", ")) };
                let c = self.number();
                if mask.elem == Elem::Bool { item } else { format!("({item} > {c})") }
            }
            _ => format!("(1 {op} 2)"),
        }
    }

    fn unary(&mut self, vars: &Vars, depth: usize) -> Expr {
        let x = self.scalar(vars, depth - 1);
        self.unary_of(x)
    }

    /// A function of a value, also of a whole tensor.
    pub fn unary_of(&mut self, x: Expr) -> Expr {
        let (t, b) = (x.text, x.bound.max(0.1));
        let up = b + 0.6;
        if !self.smooth && self.chance(3) {
            let c = self.number();
            let jump = self.one(&["abs", "relu", "sign", "floor", "ceil", "round", "elu", "leaky_relu"]);
            return Expr::new(format!("{jump}({t} + {c})"), b + 2.0);
        }
        match self.below(24) {
            0 => Expr::new(format!("sin({t})"), 1.0),
            1 => Expr::new(format!("cos({t})"), 1.0),
            2 => Expr::new(format!("tanh({t})"), 1.0),
            3 => Expr::new(format!("sigmoid({t})"), 1.0),
            4 => Expr::new(format!("softplus({t})"), b + 0.7),
            5 => Expr::new(format!("erf({t})"), 1.0),
            6 => Expr::new(format!("exp(0.5*{t})"), (0.5 * b).exp()),
            7 => Expr::new(format!("sqrt({up:.3} + {t})"), (2.0 * up).sqrt()),
            8 => Expr::new(format!("log({up:.3} + {t})"), (2.0 * up).ln().max(0.7)),
            9 => Expr::new(format!("log1p({t}/{up:.3})"), 3.2),
            10 => Expr::new(format!("1/({up:.3} + {t})"), 2.0),
            11 => Expr::new(format!("tan({:.4}*{t})", 0.8 / b), 1.1),
            12 => Expr::new(format!("atan2({t}, {up:.3})"), 1.6),
            13 => Expr::new(format!("atan2({up:.3}, {t})"), 3.2),
            14 => Expr::new(format!("pow({up:.3} + {t}, 1.3)"), (2.0 * up).powf(1.3)),
            15 => Expr::new(format!("({up:.3} + {t})^0.7"), 2.0 * up),
            16 => Expr::new(format!("({t})^2"), b * b),
            17 => Expr::new(format!("({t})²"), b * b),
            18 => Expr::new(format!("({t})^3"), b * b * b),
            19 => Expr::new(format!("√({up:.3} + {t})"), (2.0 * up).sqrt()),
            20 => Expr::new(format!("(-{t})"), b),
            21 => Expr::new(format!("expm1(0.3*{t})"), (0.3 * b).exp()),
            22 => Expr::new(format!("real({t})"), b),
            _ => {
                let k = self.below(self.functions.len());
                let f = self.functions[k].clone();
                Expr::new(format!("{f}({t})"), b + 1.0)
            }
        }
    }

    fn binary(&mut self, vars: &Vars, depth: usize) -> Expr {
        let (a, b) = (self.scalar(vars, depth - 1), self.scalar(vars, depth - 1));
        self.binary_of(a, b)
    }

    /// An operator between two values.
    pub fn binary_of(&mut self, a: Expr, b: Expr) -> Expr {
        let (x, y) = (a.text, b.text);
        let away = b.bound + 0.6;
        let sum = a.bound + b.bound;
        match self.below(8) {
            0 | 1 => Expr::new(format!("({x} + {y})"), sum),
            2 => Expr::new(format!("({x} - {y})"), sum),
            3 | 4 => Expr::new(format!("{x}*{y}"), a.bound * b.bound),
            5 => Expr::new(format!("{x}/({away:.3} + {y})"), 2.0 * a.bound),
            6 if !self.smooth => {
                let (red, c) = (self.one(&["max", "min"]), self.number());
                Expr::new(format!("{red}({x} + {c}, {y})"), sum + 1.0)
            }
            6 => Expr::new(format!("({:.3} + {x})^({y})", a.bound + 0.8), (2.0 * a.bound + 0.8).max(5.0).powf(b.bound)),
            _ => Expr::new(format!("({x} + {:.2}*{y})", 0.37), a.bound + 0.37 * b.bound),
        }
    }

    /// A reduction over a variable of its own, with or without a guard.
    fn reduction(&mut self, vars: &Vars, depth: usize) -> Expr {
        let d = self.any_dim();
        let j = self.fresh("j");
        let mut inner = vars.clone();
        inner.push((j.clone(), d));
        let x = self.scalar(&inner, depth - 1);
        let x = if depth > 1 { self.tamed(x) } else { x };
        let n = self.size(d) as f64;
        let guard = match self.below(4) {
            0 => format!(" | {}", self.condition(&inner)),
            1 if !vars.is_empty() => format!(" | {j} != {}", vars[0].0),
            _ => String::new(),
        };
        let mut head = format!("{j}: {}{guard}", self.dim(d));
        let (mut bound, mut text) = (x.bound, x.text);
        if self.chance(5) {
            let (k, e) = (self.fresh("j"), self.any_dim());
            head = format!("{j}: {}, {k}: {}{guard}", self.dim(d), self.dim(e));
            bound *= self.size(e) as f64;
            text = format!("{text}*cos({k})");
        }
        let c = self.number();
        match self.below(if self.smooth { 8 } else { 11 }) {
            0..=2 => Expr::new(format!("sum[{head}]({text})"), bound * n),
            3 => Expr::new(format!("mean[{head}]({text})"), bound),
            4 => Expr::new(format!("0.5*var[{head}]({text})"), bound * bound),
            5 => Expr::new(format!("prod[{head}](1 + {:.3}*({text}))", 0.3 / bound.max(0.1)), 1.3f64.powf(n * 4.0)),
            6 => {
                // The logarithm of a sum over nothing is minus infinity: a sum of its exponentials is 0.
                let e = format!("logsumexp[{head}]({text})");
                Expr::new(if guard.is_empty() { e } else { format!("log(1 + exp({e}))") }, bound + n)
            }
            7 => Expr::new(format!("0.2*count[{head}](cos({j}) > {c})"), n),
            8 => Expr::new(format!("tanh(max[{head}]({text} + 0.137*{j}))"), 1.0),
            9 => Expr::new(format!("tanh(min[{head}]({text} + 0.137*{j}))"), 1.0),
            _ => Expr::new(format!("sum[{head}]({text})"), bound * n),
        }
    }

    fn axis_call(&mut self, vars: &Vars, depth: usize) -> Expr {
        let (k, f) = (self.below(vars.len()), self.below(self.axis_functions.len()));
        let x = self.scalar(vars, depth - 1);
        let (v, f) = (vars[k].0.clone(), self.axis_functions[f].clone());
        // Fibers have their own variables.
        if v.starts_with('e') {
            return x;
        }
        let guard = if self.chance(4) { format!(" | {}", self.condition(vars)) } else { String::new() };
        let guarded = !guard.is_empty() && f != "softmax";
        let f = if guarded { "softmax".to_string() } else { f };
        Expr::new(format!("{f}[{v}{guard}]({} + 0.1*{v})", x.text), 2.0 * x.bound + 2.5)
    }

    /// A derivative inside the expression, by a variable bound there.
    fn inner_derivative(&mut self, vars: &Vars, depth: usize) -> Expr {
        let at = self.scalar(vars, depth - 1);
        let at = self.tamed(at);
        let (q, c) = (self.fresh("q"), self.positive());
        let of = match self.below(4) {
            0 => format!("sin({c}*{q}) + {q}^2"),
            1 => format!("tanh({q})*{}", self.read(vars).text),
            2 => format!("exp({c}*{q})/2"),
            _ => format!("{q}*sigmoid({q} + {})", self.read(vars).text),
        };
        let text = match self.below(3) {
            0 => format!("grad[{q} = {}]({of})", at.text),
            1 => {
                let r = self.fresh("q");
                format!("grad[{r} = {}](grad[{q} = {r}]({of}))", at.text)
            }
            _ => format!("{{ {q} = {} + 0*h\n  along[{q} = {c}]({of}) }}", at.text),
        };
        Expr::new(text, 8.0)
    }

    fn block(&mut self, vars: &Vars, depth: usize) -> Expr {
        let (a, b) = (self.scalar(vars, depth - 1), self.scalar(vars, depth - 1));
        let (p, q) = (self.fresh("y"), self.fresh("y"));
        let (a, b) = (self.tamed(a), self.tamed(b));
        Expr::new(
            match self.below(4) {
                0 => format!("{{ {p} = {}\n  {p}*{p} + {} }}", a.text, b.text),
                1 => format!("{{ ({p}, {q}) = ({}, {})\n  {p}*{q} + {p} }}", a.text, b.text),
                2 => format!("{{ {p} = {{first = {}, second = {}}}\n  {p}.first - {p}.second }}", a.text, b.text),
                _ => format!("{{ {p} = {} ; {p} = 0.5*{p}; {q} = {p}; {p} + {q}*{} }}", a.text, b.text),
            },
            6.0,
        )
    }

    /// A loop with states for each entry.
    fn entry_loop(&mut self, vars: &Vars, depth: usize) -> Expr {
        let (a, b) = (self.scalar(vars, depth - 1), self.read(vars));
        let (a, s, r) = (self.tamed(a), self.fresh("y"), self.fresh("r"));
        Expr::new(
            match self.below(3) {
                0 => {
                    let (t, d) = (self.fresh("t"), self.any_dim());
                    format!(
                        "{{ {r} = scan {t} in {} from {s} = {} {{ {s}' = sin({s}) + 0.3*{t}*{} }}\n  {r}.{s}.last }}",
                        self.dim(d),
                        a.text,
                        b.text
                    )
                }
                1 => format!("(iterate 3 from {s} = {} {{ {s}' = tanh({s}) + 0.5*{} }})", a.text, b.text),
                _ => format!(
                    "(iterate 6 until {r}' > 2 from {s} = {}, {r} = 0 {{ {s}' = cos({s}) + 0.5*{}; {r}' = {r} + 1 }}).{s}",
                    a.text, b.text
                ),
            },
            6.0,
        )
    }
}
