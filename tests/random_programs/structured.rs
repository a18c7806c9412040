//! Statements with a structure of their own: loops with states, library operations, nets and their trees.

use crate::generate::*;

impl Gen {
    /// A loop with states, or one that is unrolled.
    pub fn looped(&mut self) {
        let Some(v) = self.find(|v| v.dims.len() < 2) else { return };
        let (x, dims) = (v.name.clone(), v.dims.clone());
        let (c, r, s, t) = (self.number(), self.fresh("r"), self.fresh("y"), self.fresh("t"));
        let q = self.fresh("y");
        let time = self.any_dim();
        let (name, d) = (self.fresh("s"), self.dim(time).to_string());
        let (turns, list) = (1 + self.below(4), if self.chance(2) { "[1, 2, 4]" } else { "3" });
        match self.below(10) {
            0 | 1 => {
                let input = self.find(|v| v.dims == [time]);
                let input = input.map_or(format!("cos({t})"), |v| format!("{}[{t}]", v.name));
                self.line(format!("{r} = scan {t} in {d} from {s} = {x}, {q} = 0 {{\n  o = {c}*{s} + {input}\n  {s}' = sin(o)\n  {q}' = tanh({q} + o*{s}')\n}}"));
                self.line(format!("{name} = 0.5*({r}.{s}.last + {r}.{q}.last)"));
                self.line(format!("total = total + mean({r}.o)/3 + mean({r}.{q}[0])"));
            }
            2 if !dims.is_empty() => {
                let (i, dim) = (self.fresh("i"), self.dim(dims[0]).to_string());
                self.line(format!("{r} = scan {t} in {d} from {s} = {x} {{\n  {s}'[{i}: {dim}] = 0.5*{s}[{i}] + 0.3*({s}[{i} - 1] else {c})*cos({t} + {i})\n}}"));
                self.line(format!("{name} = tanh({r}.last + mean[{t}: {d}]({r}[{t}]))").replace(".last", &format!(".{s}.last")).replace(&format!("{r}[{t}]"), &format!("{r}.{s}[{t}]")));
            }
            3 => self.line(format!("{name} = iterate {} from {s} = {x} {{ {s}' = sin({s}) + 0.4*cos({x}) }}", turns)),
            4 => {
                self.line(format!("{r} = iterate from {s} = {x}, {q} = 0 while {q} < 3 max 7 {{\n  {s}' = cos({s}) + {c}*{x}\n  {q}' = {q} + 1\n}}"));
                self.line(format!("{name} = {r}.{s} + 0.1*{r}.steps"));
            }
            5 => {
                self.line(format!("{r} = iterate 9 until {q}' > 2 from {q} = 0, {s} = {x} {{\n  {q}' = {q} + 1\n  {s}' = 0.5*{s} + sin({x}*{q}')\n}}"));
                self.line(format!("{name} = {r}.{s}"));
            }
            6 | 7 => self.line(format!("{name} = fix {s} = 0*{x} until norm({s}' - {s}) < 1e-14 max 200 {{ {s}' = 0.4*sin({s} + {c}) + 0.5*{x} }}")),
            8 => {
                // The slope is `u - c x - 0.3 sin(u)`, give or take a factor: one minimum, found quickly.
                let rule = self.one(&["sgd(1) max 60", "sgd(0.8) max 120", "lbfgs() max 60"]);
                self.line(format!("{name} = argmin {s} of 0.5*sum(({s} - {c}*{x})^2) + 0.3*sum(cos({s})) from 0*{x} by {rule}"));
            }
            _ => {
                self.line(format!("{name} = {x}\nfor {t} in {} {{\n  {name}' = sin({name} + 0.2*{t}) + 0.1*{x}\n}}", list));
            }
        }
        self.given(&name, &dims);
    }

    /// An operation along an axis or of a matrix.
    pub fn library(&mut self) {
        if self.chance(2) { self.along_axis() } else { self.matrix() }
    }

    fn along_axis(&mut self) {
        let Some(v) = self.find(|v| !v.dims.is_empty() && (v.dims.len() == 1 || v.dims[0] != v.dims[1])) else {
            return;
        };
        let k = self.below(v.dims.len());
        let (d, c) = (v.dims[k], self.positive());
        let dim = self.dim(d).to_string();
        // Entries differ by their places, so that their order is clear.
        let (y, name) = (self.fresh("y"), self.fresh("s"));
        let vars = self.variables(&v.dims);
        let items: Vec<&str> = vars.iter().map(|x| x.0.as_str()).collect();
        let at = items.join(", ");
        let apart = format!("{}[{at}]/9 + cos(2*{})", v.name, items[k]);
        self.line(format!("{y}[{}] = {apart}", self.bound(&vars)));
        let n = self.size(d) as f64;
        match self.below(9) {
            0 => self.line(format!("{name} = sin(cumsum[{dim}]({y}))")),
            1 => self.line(format!("{name} = tanh(cumprod[{dim}](1 + 0.3*{y}))")),
            2 => self.line(format!("{name}[{}] = 0.5*sort[{}]({y}[{at}])", self.bound(&vars), items[k])),
            3 => self.line(format!("{name} = 0.5*sort[{dim}]({y})")),
            4 => {
                let mut rest = v.dims.clone();
                rest.remove(k);
                self.line(format!("{name} = quantile[{dim}]({y}, {c})"));
                self.given(&name, &rest);
                return;
            }
            5 => {
                let m = 1 + self.below(n as usize);
                let to = self.number_dim(m);
                if v.dims.contains(&to) || self.dims[d].open {
                    return;
                }
                self.line(format!("{name} = top[{m}, {dim}]({y}).values"));
                let mut dims = v.dims.clone();
                dims[k] = to;
                self.given(&name, &dims);
                return;
            }
            6 => {
                let r = self.fresh("r");
                self.line(format!("{r} = fft[{dim}]({y})\n{name} = sin({r}.re + {c}*{r}.im)"));
            }
            7 => {
                let r = self.fresh("r");
                self.line(format!("{r} = ifft[{dim}]({y}, cos({y}))\n{name} = tanh({r}.re - {r}.im)"));
            }
            _ => self.line(format!("{name} = 0.1*rank[{dim}]({y}) + 0.2*argsort[{dim}]({y})*{y}")),
        }
        self.given(&name, &v.dims);
    }

    fn matrix(&mut self) {
        let d = self.closed_dim();
        let n = self.size(d) as f64;
        if n > 9.0 {
            return;
        }
        let (g, name) = (self.fresh("y"), self.fresh("s"));
        let vars = self.variables(&[d, d]);
        let (i, j) = (vars[0].0.clone(), vars[1].0.clone());
        let (e, f) = (self.scalar(&vec![vars[0].clone()], 1), self.scalar(&vec![vars[1].clone()], 1));
        let (e, f) = (self.tamed(e), self.tamed(f));
        // Diagonally dominant with diagonal entries that are apart: regular, and its eigenvalues differ.
        self.line(format!(
            "{g}[{}] = ({i} == {j})*(2 + {i} + 0.3*sin({})) + 0.3*sin({})*cos({})/{n}",
            self.bound(&vars),
            e.text,
            e.text,
            f.text
        ));
        let Some(b) = self.find(|v| v.dims == [d]) else { return };
        let b = b.name;
        let (r, dim) = (self.fresh("r"), self.dim(d).to_string());
        match self.below(11) {
            0 => self.line(format!("{name} = tanh(solve({g}, {b}))")),
            1 => self.line(format!("{name} = tanh(inv({g}) @ {b})")),
            2 => self.line(format!("{name} = sin(cholesky({g}) @ {b})")),
            3 => self.line(format!("{name} = 0.2*logdet({g})*{b}")),
            4 => self.line(format!("{name} = tanh(det({g})/20)*{b}")),
            5 => self.line(format!("{name} = sin(0.3*eigh({g}).values)")),
            6 => self.line(format!(
                "{r} = eigh({g})\n{name}[{i}: {dim}] = sum[{j}: {dim}]({r}.vectors[{i}, {j}]^2*sin({r}.values[{j}]))"
            )),
            7 => self.line(format!("{r} = svd({g})\n{name} = 0.1*{b}*mean(sin({r}.s))")),
            8 => self.line(format!("{r} = qr({g})\n{name} = sin({r}.q @ {b})")),
            9 => self.line(format!("{name} = tanh(expm(0.1*{g}) @ {b})")),
            _ => self.line(format!("{name} = tanh(pinv({g}) @ {b})")),
        }
        self.given(&name, &[d]);
    }

    /// Declares a net and an instance of it; its moved parameters: name, value, direction.
    pub fn declare_net(&mut self) -> (String, String, String) {
        let (net, f, p, e) = (self.fresh("net"), self.fresh("f"), self.fresh("p"), self.fresh("e"));
        let (from, to) = (self.closed_dim(), self.closed_dim());
        let (a, b) = (self.dim(from).to_string(), self.dim(to).to_string());
        let k = 2 + self.below(2);
        let init = self.one(&["normal(0, 0.5)", "uniform(-1, 1)", "glorot", "he"]);
        let c = self.positive();
        let start = ["0", "0.3", c.as_str(), "1/(1 + row)"][self.rng.below(4)].to_string();
        let body = match self.below(6) {
            0 => format!(
                "  param w: real[{a}, {k}] ~ {init}\n  param b: real[{k}] = {start} role bias\n  h = tanh(x @ w + b)\n  0.4*sin(linear({b})(h))"
            ),
            1 => format!("  enc = linear({k})\n  h = sigmoid(enc(x))*sin(enc(0.5*x))\n  tanh(linear({b})(h))"),
            2 => format!(
                "  y = sin(linear({k})(x))\n  for l in layer {{\n    y' = y + 0.4*tanh(linear({k})(y)) / (l + 1)\n  }}\n  tanh(linear({b})(y))"
            ),
            3 => format!(
                "  const c: real[{a}, {k}] ~ normal\n  param w: real[{k}, {b}] ~ {init}\n  param gain: real[{b}] = 1 role scale\n  gain*tanh(sin(x @ c) @ w)"
            ),
            4 => format!(
                "  h = x\n  for width in [{k}, 2] {{\n    h' = silu(linear(width)(h))\n  }}\n  tanh(linear({b})(h))"
            ),
            _ => format!(
                "  state mu: real[{a}] = 0.2\n  mu' = mu + 0.1*mean(x)\n  param w: real[{a}, {b}] ~ abs(normal(0, 0.4))\n  m = if training then 0*mu else mu\n  tanh((x - m) @ w)"
            ),
        };
        self.head.push(format!("net {net}(x: real[.., {a}]) -> real[.., {b}] {{\n{body}\n}}"));
        self.line(format!("net {f} = {net}"));
        self.line(format!("{e} ~ uniform like {f}"));
        self.nets.push(NetInfo { name: f.clone(), tree: p.clone(), from, to });
        (p, f, e)
    }

    /// A net's value, at moved parameters, at a family of them, its gradients and trees.
    pub fn with_net(&mut self) {
        if self.nets.is_empty() {
            return self.equation();
        }
        let k = self.below(self.nets.len());
        let net = self.nets[k].clone();
        let Some(v) = self.find(|v| {
            v.dims.last() == Some(&net.from)
                && !v.dims[..v.dims.len() - 1].iter().any(|d| *d == net.from || *d == net.to)
        }) else {
            return self.equation();
        };
        let mut dims = v.dims.clone();
        dims.pop();
        dims.push(net.to);
        let (f, p, x, s, c) = (&net.name, &net.tree, &v.name, self.fresh("s"), self.positive());
        let (theta, to) = (self.fresh("y"), self.dim(net.to).to_string());
        match self.below(8) {
            0..=2 => self.line(format!("{s} = {f}{{{p}}}({x})")),
            3 => self.line(format!("{theta} = {p} + {c}*({p} - sin({p}))\n{s} = {f}{{{theta}}}({x})")),
            4 => self.line(format!(
                "{theta} = unflat({c}*flat({p}), like = {p})\n{s} = {f}{{{theta}}}({x})*tanh(norm({p}) + dot({p}, {p}))"
            )),
            5 => {
                // A step of gradient descent inside.
                let q = self.fresh("q");
                self.line(format!(
                    "{theta} = {p} - 0.1*grad[{q} = {p}](mean({f}{{{q}}}({x})^2))\n{s} = {f}{{{theta}}}({x})"
                ));
            }
            6 if v.dims.len() == 2 => {
                // One gradient for each row, and the rows at parameters of their own.
                let (i, q, j) = (self.fresh("i"), self.fresh("q"), self.fresh("y"));
                let row = self.dim(v.dims[0]).to_string();
                self.line(format!("{j}[{i}: {row}] = {p} - 0.1*grad[{q} = {p}](mean({f}{{{q}}}({x}[{i}])^2))"));
                self.line(format!("{s}[{i}: {row}] = {f}{{{j}[{i}]}}({x}[{i}])"));
            }
            _ if v.dims.len() == 2 => {
                let (i, q, j) = (self.fresh("i"), self.fresh("q"), self.fresh("y"));
                let (o, row) = (self.fresh("i"), self.dim(v.dims[0]).to_string());
                self.line(format!("{j}[{i}: {row}] = flat(grad[{q} = {p}](mean({f}{{{q}}}({x}[{i}])^2)))"));
                self.line(format!("{s}[{i}: {row}, {o}: {to}] = tanh(norm({j}[{i}])^2 + 0.1*{o})"));
            }
            _ => self.line(format!("{s} = {f}{{{c}*{p}}}({x})")),
        }
        self.given(&s, &dims);
    }
}
