//! Edges, fibers, reports of values that have no gradient, and train blocks.

use crate::generate::*;
use crate::program::Program;
use crate::scalar::Vars;

impl Gen {
    /// A data set with edges, and edges derived from them; its files.
    pub fn declare_edges(&mut self) -> Vec<(String, String)> {
        let node = 3;
        let kind = 1;
        self.dims[kind].open = false;
        let (n, kinds) = (self.size(node), self.size(kind));
        let names: Vec<String> = self
            .dims
            .iter()
            .map(|d| if d.open { d.name.clone() } else { format!("{} = {}", d.name, d.size) })
            .collect();
        self.head[0] = format!("dim {}", names.join(", "));
        let count = 1 + self.below(7);
        let mut edges = "src,dst,kind\n".to_string();
        let mut weights = String::new();
        for _ in 0..count {
            edges += &format!("{},{},{}\n", self.below(n), self.below(n), self.below(kinds));
            weights += &format!("{:.3}\n", self.rng.real(-1.0, 1.0));
        }
        self.head.push("data toy from \"toy\" {\n  edges link: node -> node by col = file \"edges.csv\"\n  weight: real[link] = file \"weights.csv\"\n}".into());
        self.add_edges("link", node, kind, count);
        self.see("weight", &[self.edges[0].dim], Elem::Real);
        if self.chance(2) {
            let (text, size) = match self.below(3) {
                0 => ("reverse(link)", count),
                1 => ("link + reverse(link)", 2 * count),
                _ => ("link where weight > -2", count),
            };
            self.head.push(format!("edges more = {text}"));
            self.add_edges("more", node, kind, size);
        }
        vec![("edges.csv".into(), edges), ("weights.csv".into(), weights)]
    }

    fn add_edges(&mut self, name: &str, node: Dim, kind: Dim, size: usize) {
        self.dims.push(DimInfo { name: name.into(), size, open: true });
        let dim = self.dims.len() - 1;
        self.edges.push(EdgeInfo { name: name.into(), dim, node, typed: true });
        for end in ["src", "dst"] {
            self.see(&format!("{name}.{end}"), &[dim], Elem::Index(node));
        }
        self.see(&format!("{name}.type"), &[dim], Elem::Index(kind));
    }

    /// Edges chosen by scores that are all different, perhaps turned round or joined.
    pub fn computed_edges(&mut self) {
        let node = self.edges[0].node;
        let n = self.size(node);
        let k = 1 + self.below(n);
        let guard = self.one(&["", " | u != v"]);
        let (a, b) = (self.positive(), self.positive());
        self.line(format!("edges best[u: node -> v: node] = top[{k}{guard}](sin(7*u + {a}*v) + {b}*u)"));
        let (name, count) = match self.below(3) {
            0 => ("best", n * k),
            1 => {
                self.line("edges other = reverse(best)");
                ("other", n * k)
            }
            _ => {
                self.line("edges other = best + loops(node)");
                ("other", n * k + n)
            }
        };
        self.dims.push(DimInfo { name: name.into(), size: count, open: true });
        let dim = self.dims.len() - 1;
        self.edges.push(EdgeInfo { name: name.into(), dim, node, typed: false });
    }

    /// A reduction over the edges of a node, or along an index array.
    pub fn fiber(&mut self, vars: &Vars, depth: usize) -> Expr {
        let reds: &[&str] = if self.smooth { &["sum", "mean", "var"] } else { &["sum", "mean", "var", "sum"] };
        let red = self.one(reds);
        let arrays: Vec<Value> = self
            .values
            .iter()
            .filter(|v| matches!(v.elem, Elem::Index(_)) && v.dims.len() == 1 && !v.name.contains('.'))
            .cloned()
            .collect();
        for array in arrays {
            let Elem::Index(to) = array.elem else { continue };
            let Some(at) = vars.iter().find(|v| v.1 == to).cloned() else { continue };
            if self.chance(3) {
                continue;
            }
            let j = self.fresh("j");
            let mut inner = vars.clone();
            inner.push((j.clone(), array.dims[0]));
            let x = self.scalar(&inner, depth - 1);
            let x = self.tamed(x);
            let n = self.size(array.dims[0]) as f64;
            let dim = self.dim(array.dims[0]).to_string();
            return Expr::new(
                format!("{red}[{j}: {dim} | {}[{j}] = {}]({})", array.name, at.0, x.text),
                (x.bound * n).max(4.0),
            );
        }
        if self.edges.is_empty() {
            return self.reduction_again(vars, depth);
        }
        let k = self.below(self.edges.len());
        let edge = self.edges[k].clone();
        let Some(at) = vars.iter().find(|v| v.1 == edge.node).cloned() else {
            return self.reduction_again(vars, depth);
        };
        let e = self.fresh("e");
        let mut inner = vars.clone();
        inner.push((e.clone(), edge.dim));
        let x = self.scalar(&inner, depth - 1);
        let x = self.tamed(x);
        let (arrow, name) = (self.one(&["->", "<-"]), edge.name);
        let n = self.size(edge.dim) as f64;
        let kind = if edge.typed { "type" } else { "dst" };
        let text = match self.below(4) {
            0 => format!(
                "sum[{e}: {name} {arrow} {}](softmax[{e}: {name} {arrow} {}]({} + 0.1*{e}.{kind})*cos({e}.src))",
                at.0, at.0, x.text
            ),
            _ => format!("{red}[{e}: {name} {arrow} {}]({})", at.0, x.text),
        };
        Expr::new(text, (x.bound * n).max(4.0) * 4.0)
    }

    fn reduction_again(&mut self, vars: &Vars, depth: usize) -> Expr {
        let x = self.scalar(vars, depth - 1);
        Expr::new(format!("sin({})", x.text), 1.0)
    }

    /// Reports of values without a gradient: indices, truths, counts, assignments; families of nets.
    pub fn discrete(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        let fixed: Vec<Value> = self.values.iter().filter(|v| v.fixed && !v.dims.is_empty()).cloned().collect();
        for v in fixed {
            let (vars, last) = (self.variables(&v.dims), *v.dims.last().expect("it has dims"));
            let items: Vec<&str> = vars.iter().map(|x| x.0.as_str()).collect();
            let (at, i) = (items.join(", "), vars[vars.len() - 1].0.clone());
            let outer = vars[..vars.len() - 1].to_vec();
            let (d, x) = (self.dim(last).to_string(), v.name.clone());
            let y = self.fresh("y");
            let report = self.fresh("o");
            let left = |g: &Gen| if outer.is_empty() { y.clone() } else { format!("{y}[{}]", g.bound(&outer)) };
            let left = left(self);
            out.push(match self.below(6) {
                0 => format!("{left} = argmax[{i}: {d}]({x}[{at}])"),
                1 => format!("{left} = argmin[{i}: {d}]({x}[{at}])"),
                2 => format!("{left} = count[{i}: {d} | {x}[{at}] > 0.1]({x}[{at}] > 0)"),
                3 => format!("{left} = any[{i}: {d}]({x}[{at}] > 0.4) and not all[{i}: {d}]({x}[{at}] < 0.2)"),
                4 => format!("{left} = sum[{i}: {d}]({i} mod 3 + {i} div 2 + int({x}[{at}]*9))"),
                _ => format!("{left} = max[{i}: {d}]({x}[{at}]) - min[{i}: {d}]({x}[{at}])"),
            });
            out.push(format!("report {report} = {y}"));
        }
        if self.chance(3) {
            out.push("cost ~ uniform[2, 3]\nmatched = assign(cost)\nreport matched = matched".into());
        }
        if self.chance(3) {
            let d = self.closed_dim();
            let (d, o) = (self.dim(d).to_string(), self.below(3) + 1);
            out.push(format!("net team[worker] = linear({o})\ngift ~ uniform[{d}]\nreport all = team(gift)\nreport own = team[1](gift)\nwhich ~ categorical[row](worker)\nsome[i: row] = team[which[i]](gift)\nreport some = some"));
        }
        if self.chance(4) {
            out.push("report finite = is_finite(path(h))".into());
        }
        out
    }

    /// A train block: a net or a parameter, a rule made of random parts, a few steps.
    pub fn training(mut self, seed: u64) -> Program {
        let (n, m) = (1 + self.below(4), 2 + self.below(3));
        let c: Vec<String> = (0..6).map(|_| self.positive()).collect();
        let first = match self.below(5) {
            0 => format!("  state m = 0, v = 0\n  m' = {0}*m + (1 - {0})*g\n  v' = {1}*v + (1 - {1})*g^2\n  w' = w - 0.1*m' / (sqrt(v') + 0.1)", c[0], c[1]),
            1 => format!("  state m = 0\n  each weight {{\n    m' = {0}*m + g\n    w' = w - 0.05*m'\n  }} else {{\n    m' = m + g\n    w' = w - 0.02*(g + 0.1*m)\n  }}", c[0]),
            2 => format!("  state anchor = w, size: real = 0\n  each {{ w' = w - 0.05*(g + {0}*(w - anchor)) }}\n  anchor' = 0.9*anchor + 0.1*w'\n  size' = norm(g) + t", c[0]),
            3 => "  each matrix w[r, c] { w' = w - 0.05*g / (size(r)*size(c)) } else { w' = w - 0.05*g / (1 + norm(g)) }".to_string(),
            _ => "  state h: tree[past] = 0\n  h'[k] = if k == int(t - 1) mod size(past) then g else h[k]\n  w' = w - 0.05*sum[k](h'[k])".to_string(),
        };
        self.head.push("dim n = ".to_string() + &n.to_string() + ", sample = " + &m.to_string() + ", past = 3");
        self.head.push(format!("rule first(lr = 0.1) on w with g {{\n{first}\n}}"));
        self.head.push(format!("rule shrunk(c = {}) on g {{ g' = g / (c + norm(g)) }}", c[2]));
        self.head.push("rule ahead(base, rho = 0.1) on w minimizing L {\n  g = grad[w](L(w))\n  slope = grad[u = w + rho*g](L(u))\n  w' = base(w, slope)\n}".into());
        self.head.push("rule curved(lr = 0.05) on w minimizing L {\n  g = grad[w](L(w))\n  w' = w - lr*(g + 0.1*along[w = g](grad[w](L(w))))\n}".into());
        self.head.push("rule entries(lr = 0.05) on w minimizing L {\n  G[k] = grad[w](L[k](w))\n  w' = w - lr*sum[k](G[k] / (1 + norm(G[k])))\n}".into());
        self.head.push("rule outputs(lr = 0.05) on w minimizing L of z {\n  r = grad[o = z(w)](L(o))\n  w' = w - lr*grad[w](dot(stop(r), z(w)))\n}".into());
        self.head.push("net noisy(x: real[.., n]) -> real[.., 2] {\n  state mu: real = 0.1\n  mu' = 0.5*mu + 0.5*mean(x^2)\n  param b: real[2] = 0 role bias\n  param gain: real[2] = 1 role scale\n  z ~ normal like x\n  y = if training then x + 0.1*z else x - mu\n  gain*tanh(mlp(3, 2, sin)(y)) + b\n}".into());
        let by = [
            "first()",
            "shrunk() |> first()",
            "ahead(first())",
            "curved()",
            "adam(0.05)",
            "sgd(0.1, momentum = 0.5)",
            "clip(0.5) |> decay(0.01) |> adam(lr = 0.1/t)",
            "sam(sgd(0.1))",
            "ahead(adam(0.02))",
            "entries()",
            "outputs()",
        ];
        let rule = by[(seed / 8) as usize % by.len()];
        self.head.push("dim storey = 3\nnet tower(x: real[.., n]) -> real[.., 2] {\n  for l in storey {\n    state seen: real = 0\n    seen' = seen + mean(x)\n    x' = x + tanh(linear(n)(x))/(l + 2)\n  }\n  linear(2)(x)\n}".into());
        let net = self.one(&["noisy", "mlp(3, 2, tanh)", "linear(2)", "tower"]);
        let loss = if rule == "entries()" {
            "[mean((y - x[.., 0..1])^2), mean(sin(y)^2)]"
        } else {
            "mean((y - x[.., 0..1])^2) + 0.1*s^2"
        };
        let place = if rule == "outputs()" {
            "mean((o - 0.3)^2) where o = f(x)*q*unit + s".to_string()
        } else {
            loss.to_string()
        };
        let domain = self.one(&["", " in 0..", " in -1..1"]);
        let kind = self.one(&["minimize", "minimize", "maximize -1*"]);
        let mut train = vec![
            format!("net f = {net}"),
            format!("param q: real[2] = {}{domain}", c[3]),
            "param s: real ~ normal".to_string(),
            "state ema: real = 1".to_string(),
            "param unit: real[2] = 0.7\n  keep unit' = unit' / norm(unit')".to_string(),
            "x ~ normal[sample, n]".to_string(),
            "y = f(x)*q*unit + s".to_string(),
            format!("every 2 steps {{\n    ema' = 0.5*ema + 0.5*s\n  }}"),
            format!("{kind} {}{place} over f, q, s, unit by {rule}", if kind.starts_with("max") { "" } else { "1*" })
                .replace("minimize 1*[", "minimize [")
                .replace("maximize -1* [", "minimize ["),
            "steps 3".to_string(),
            "report r = norm(f) + mean(f(x)) + ema".to_string(),
        ];
        if self.chance(3) {
            let first = train.splice(8..10, []).collect::<Vec<_>>().join("\n    ");
            let by = self.one(&["sgd(0.05)", "adam(0.02)", "first(lr = 0.05*t)"]);
            train.push(format!("stage one {{\n    {first}\n  }}"));
            train.push(format!("stage two {{\n    minimize mean(y^2) + 0.1*q[0] over f, q by {by}\n    steps 2\n  }}"));
        }
        Program { head: self.head, train, ..Program::default() }
    }
}
