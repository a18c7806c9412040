//! Loops with states against what they mean: the same program unrolled, closed forms, finite differences; by the
//! reference evaluator and by compiled code.

use gannet::Model;
use gannet_compiler::CompileOptions;
use gannet_compiler::build::build;
use gannet_compiler::grad::differentiate;
use gannet_compiler::graph::{Body, Graph, NodeId, Op, Tables};
use gannet_lang::program::Output;
use gannet_runtime::reference::{Env, eval};
use gannet_runtime::session::Options;
use std::sync::Arc;

/// Programs whose reports are all 0 but for rounding.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "scan_sums",
        "dim time = 7
task t real f64 {
  x ~ normal[time]
  r = scan t in time from s = 0 {
    s' = s + x[t]
    twice = 2*s'
    before = s
  }
  report last = r.s.last - sum(x)
  every[i: time] = r.s[i] - sum[j: time | j <= i](x[j])
  report every = max(abs(every))
  report names = max(abs(r.twice - 2*r.s)) + abs(r.before[0]) + max[i: time | i > 0](abs(r.before[i] - (r.s[i - 1] else 0)))
}",
    ),
    (
        "lstm_unrolled",
        "dim time = 5, batch = 3, input = 4, hidden = 2
fn step(x, h, c, w, u) = { i = sigmoid(x @ w + h @ u); n = 0.5*c + i; (i*tanh(n), n) }
task t real f64 {
  x ~ normal[time, batch, input]
  w ~ normal[input, hidden]
  u ~ normal[hidden, hidden]
  looped = (w, u, x) => {
    r = scan t in time from h = 0, c = 0 { h', c' = step(x[t], h, c, w, u) }
    mean(r.h.last^2) + mean(r.c)
  }
  unrolled = (w, u, x) => {
    h = 0*x[0] @ w
    c = 0*h
    m = 0
    for k in 5 {
      n = step(x[k], h, c, w, u)
      (a, b) = n
      h' = a
      c' = b
      m' = m + mean(b)/5
    }
    mean(h^2) + m
  }
  report value = looped(w, u, x) - unrolled(w, u, x)
  report dw = max(abs(grad[a = w](looped(a, u, x)) - grad[a = w](unrolled(a, u, x))))
  report du = max(abs(grad[a = u](looped(w, a, x)) - grad[a = u](unrolled(w, a, x))))
  report dx = max(abs(grad[a = x](looped(w, u, a)) - grad[a = x](unrolled(w, u, a))))
  v ~ normal[input, hidden]
  report along = along[w = v](looped(w, u, x)) - sum(v*grad[w](looped(w, u, x)))
  report curved = max(abs(along[w = v](grad[w](looped(w, u, x))) - grad[w](sum(v*grad[w](unrolled(w, u, x))))))
  report second = max(abs(grad[b = u](sum(grad[a = w](looped(a, b, x))^2)) - grad[b = u](sum(grad[a = w](unrolled(a, b, x))^2))))
}",
    ),
    (
        "implicit_by_cg",
        "use std.rules
dim d = 5
task t real f64 {
  m ~ normal[d, 3]
  b ~ normal[d]
  A[i: d, j: d] = sum[k](m[i, k]*m[j, k]) + (if i == j then 1 else 0)
  f = s => sum(cg(v => s*(A @ v), b)^3)
  h = s => sum(solve(s*A, b)^3)
  report value = f(2) - h(2)
  report d1 = grad[s = 2](f(s)) - grad[s = 2](h(s))
  report d2 = grad[s = 2](grad[u = s](f(u))) - grad[s = 2](grad[u = s](h(u)))
  report d3 = grad[s = 2](grad[u = s](grad[v = u](f(v)))) - grad[s = 2](grad[u = s](grad[v = u](h(v))))
  two = 2 + 0*b[0]
  report along = along[two = 1](f(two)) - grad[s = 2](h(s))
  report mixed = along[two = 1](grad[u = two](f(u))) - grad[s = 2](grad[u = s](h(u)))
  least = y => argmin u of sum(exp(u) - u*exp(y*b)) + 0.5*dot(u, A @ u) from 0*b by lbfgs() max 60
  newton = y => iterate 12 from u = 0*b {
    slope = exp(u) - exp(y*b) + A @ u
    H[i: d, j: d] = A[i, j] + (if i == j then exp(u[i]) else 0)
    u' = u - solve(H, slope)
  }
  report least = norm(least(1) - newton(1))
  report l1 = grad[y = 1](sum(least(y)^2)) - grad[y = 1](sum(newton(y)^2))
  report l3 = grad[y = 1](grad[z = y](grad[x = z](sum(least(x)^2)))) - grad[y = 1](grad[z = y](grad[x = z](sum(newton(x)^2))))
  one = 1 + 0*b[0]
  report l3_mixed = along[one = 1](grad[y = one](grad[z = y](sum(least(z)^2)))) - grad[y = 1](grad[z = y](grad[x = z](sum(newton(x)^2))))
  report l2 = grad[y = 1](grad[z = y](sum(least(z)^2))) - grad[y = 1](grad[z = y](sum(newton(z)^2)))
}",
    ),
    (
        "rules_in_loops",
        "use std.rules
task t real f64 {
  u = iterate 30 from u = [1, 2, 3] { u' = adam(0.1)(u, 2*(u - 5)) }
  v = iterate 30 from v = 0 + [1, 2, 3], m = 0, s = 0, k = 0 {
    g = 2*(v - 5)
    k' = k + 1
    m' = 0.9*m + 0.1*g
    s' = 0.999*s + 0.001*g^2
    v' = v - 0.1*(m'/(1 - 0.9^k'))/(sqrt(s'/(1 - 0.999^k')) + 1e-8)
  }
  report adam = norm(u - v.v)
  p = e => iterate 3 from w = 2 { w' = sgd(e, momentum = 0.5)(w, w) }
  q = e => { a = 2 - 2*e; b = a - e*(0.5*2 + a); b - e*(0.5*(0.5*2 + a) + b) }
  report sgd = p(0.1) - q(0.1)
  report through = grad[e = 0.1](p(e)) - grad[e = 0.1](q(e))
  rows = [1, 2, 4]
  each[i] = iterate 5 from w = rows[i] { w' = sgd(0.1, momentum = 0.9)(w, rows[i]*w) }
  one = iterate 5 from w = 4 { w' = sgd(0.1, momentum = 0.9)(w, 4*w) }
  report entries = each[2] - one
}",
    ),
    (
        "iterate",
        "task t real f64 {
  root = (a) => iterate while abs(z^2 - a) > 1e-12 max 60 from z = 1 { z' = 0.5*(z + a/z) }
  z = root(2)
  power = (a) => iterate 5 from q = a { q' = q*a }
  report root = z - sqrt(2)
  report slope = grad[a = 2](root(a)) - 0.5/sqrt(2)
  report power = power(1.5) - 1.5^6
  report d1 = grad[a = 1.5](power(a)) - 6*1.5^5
  report d2 = grad[b = 1.5](grad[a = b](power(a))) - 30*1.5^4
  s = iterate 4 from a = 1, b = 2 { a' = b; b' = a + b }
  p = sum([1, 0.5])
  report along = along[p = 2](power(p)) - 2*6*1.5^5
  report fibonacci = s.a - 8 + s.b - 13
  n = iterate 100 until total' > 10 from total = 0 { total' = total + 3 }
  report until = n - 12
  report steps = n.steps - 4
}",
    ),
    (
        "fixed_point",
        "dim d = 3
task t real f64 {
  w ~ normal[d, d]
  x ~ normal[d]
  settle = (w, x) => fix z = 0 until norm(z' - z) < 1e-13 max 500 { z' = tanh(0.2*w @ z + x) }
  loss = (w, x) => sum(settle(w, x)^2)
  steps = (w, x) => { z = iterate 200 from z = 0*x { z' = tanh(0.2*w @ z + x) }; sum(z^2) }
  z = settle(w, x)
  report there = norm(z - tanh(0.2*w @ z + x))
  report dw = max(abs(grad[a = w](loss(a, x)) - grad[a = w](steps(a, x))))
  report dx = max(abs(grad[a = x](loss(w, a)) - grad[a = x](steps(w, a))))
  report second = max(abs(grad[b = x](sum(grad[a = x](loss(w, a))*b)) - grad[a = x](loss(w, a))))
  v ~ normal[d, d]
  report along = along[w = v](loss(w, x)) - sum(v*grad[w](loss(w, x)))
  report hessian = max(abs(grad[b = x](sum(grad[a = b](loss(w, a))^2)) - grad[b = x](sum(grad[a = b](steps(w, a))^2))))
}",
    ),
    (
        "descent_inside",
        "dim d = 4
task t real f64 {
  a ~ normal[d, d]
  b ~ normal[d]
  s = 0.05
  energy = (y, b) => 0.5*sum((a @ y - b)^2)
  descend = (b) => iterate 6 from y = 0*b { y' = y - s*grad[u = y](energy(u, b)) }
  unrolled = (b) => { y = 0*b; for k in 6 { y' = y - s*(a.T @ (a @ y - b)) }; y }
  report value = max(abs(descend(b) - unrolled(b)))
  report slope = max(abs(grad[c = b](sum(descend(c)^2)) - grad[c = b](sum(unrolled(c)^2))))
}",
    ),
    (
        "products_inside",
        "dim d = 4
task t real f64 {
  w ~ normal[d]
  a ~ normal[d, d]
  b ~ normal[d]
  loss = mean(softplus(a @ (b * w)))
  g = grad[w](loss)
  # The gradient stands before the loop, in its step and behind it.
  s = iterate 3 from q = g { q' = q - along[w = q](grad[w](loss)) }
  step = (q) => q - along[w = q](grad[w](loss))
  report same = max(abs(s - step(step(step(g)))))
  # The inner derivative goes by another way than the outer one.
  m = iterate 2 from q = b { q' = along[w = q](grad[b](loss)) }
  mixed = (q) => along[w = q](grad[b](loss))
  report mixed = max(abs(m - mixed(mixed(b))))
  report behind = max(abs(grad[b](dot(stop(s), g)) - along[w = s](grad[b](loss))))
}",
    ),
    (
        "each_entry",
        "dim n = 4, time = 6
task t real f64 {
  x ~ normal[n, time]
  last[i: n] = { r = scan t in time from s = 0 { s' = 0.5*s + x[i, t] }; r.s.last }
  whole = scan t in time from s = 0 { s'[i: n] = 0.5*s[i] + x[i, t] }
  report same = max(abs(last - whole.s.last))
  j[i: n] = grad[u = x[i]]({ r = scan t in time from s = 0 { s' = 0.5*s + u[t] }; r.s.last })[0]
  report jacobian = max(abs(j - 0.5^5))
}",
    ),
    (
        "nested",
        "dim outer = 3, inner = 4
task t real f64 {
  x ~ normal[outer, inner]
  total = (x) => {
    r = scan i in outer from s = 1 {
      q = scan k in inner from p = s { p' = p + x[i, k]*p }
      s' = q.p.last
    }
    r.s.last
  }
  product = (x) => prod(1 + x)
  report value = total(x) - product(x)
  report slope = max(abs(grad[a = x](total(a)) - grad[a = x](product(a))))
}",
    ),
];

fn reports_by_reference(text: &str) -> Vec<(String, Vec<f64>)> {
    let model = Model::from_source("loops.gnt", text).unwrap_or_else(|e| panic!("{e}"));
    let unit = model.unit(None, &[]).unwrap_or_else(|e| panic!("{e}"));
    let function = unit.function("report").expect("a task reports");
    let graph = differentiate(&build(&unit, function, Arc::new(Tables::of(&unit))));
    graph.verify().unwrap_or_else(|e| panic!("{e}\n{graph}"));
    let env = Env::for_check(&unit);
    let values = eval(&graph, &env).unwrap_or_else(|f| panic!("{f:?}"));
    let name = |o: &Output| match o {
        Output::Report(k) => unit.reports[*k].name.clone(),
        other => format!("{other:?}"),
    };
    values.into_iter().map(|(o, t)| (name(&o), t.data)).collect()
}

#[test]
fn by_the_reference_evaluator() {
    let mut wrong = String::new();
    for (name, text) in PROGRAMS {
        let result = std::panic::catch_unwind(|| reports_by_reference(text));
        let Ok(reports) = result else {
            wrong += &format!("{name}: panics\n");
            continue;
        };
        for (report, values) in reports {
            if !values.iter().all(|x| x.abs() < 1e-6) {
                wrong += &format!("{name}, {report}: {values:?}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Runs a program of `PROGRAMS` compiled.
fn vanishes(name: &str, text: &str) {
    eprintln!("{name}");
    let model = Model::from_source("loops.gnt", text).unwrap_or_else(|e| panic!("{e}"));
    for threads in [1, 2] {
        let run = model.train("t", &Options { threads, ..Options::default() }).unwrap_or_else(|e| panic!("{e}"));
        for (report, values) in &run.outcome.reports {
            assert!(values.iter().all(|x| x.abs() < 1e-6), "{name}, {report}, {threads} threads: {values:?}");
        }
    }
}

#[test]
fn compiled() {
    PROGRAMS.iter().for_each(|(name, text)| vanishes(name, text));
}

#[test]
fn a_net_starts() {
    vanishes(
        "a_net_starts",
        "dim d = 4
net line(x: real[d]) -> real { sum[1](linear(1)(x)) }
task t real f64 {
  net f = line
  x ~ normal[3, d]
  fit = (start) => iterate 3 from p = start { p' = p - 0.1*grad[u = p](mean[n](f{u}(x[n])^2)) }
  one = (p) => p - 0.1*grad[u = p](mean[n](f{u}(x[n])^2))
  report same = norm(fit(f) - one(one(one(f))))
}",
    );
}

/// A recurrent net whose gradient goes back over its steps; 50 products a state and step.
const RECURRENT: &str = "dim time = 6, batch = 3, hidden = 50
task t real f64 {
  x ~ normal[time, batch, hidden]
  w ~ normal[hidden, hidden]
  loss = (w) => {
    r = scan t in time from h = 0*x[0] { h' = tanh(x[t] + 0.1*h @ w) }
    mean(r.h.last^2)
  }
  report slope = grad[w](loss(w))
}";

/// Of each loop of the compiled report: its states, the products in its step, and what it keeps.
fn loops_of(graph: &Graph) -> Vec<(usize, usize, usize)> {
    let inside = |body: &Body| {
        let live = body.graph.live();
        let product = |id: &NodeId| live[id.index()] && matches!(body.graph.node(*id).op, Op::Contract(_));
        (body.states, body.graph.ids().filter(product).count(), body.each().count())
    };
    let live = graph.live();
    let nodes = graph.ids().filter(|id| live[id.index()]);
    nodes.filter_map(|id| if let Op::Loop(body) = &graph.node(id).op { Some(inside(body)) } else { None }).collect()
}

#[test]
fn going_back_reads_what_was_kept_unless_memory_is_short() {
    let model = Model::from_source("loops.gnt", RECURRENT).unwrap_or_else(|e| panic!("{e}"));
    let unit = model.unit(None, &[]).unwrap_or_else(|e| panic!("{e}"));
    let with = |memory| {
        let compile = CompileOptions { memory, ..CompileOptions::default() };
        let loops = loops_of(&model.stages(&unit, "report", &compile).rewritten);
        let run = model.train("t", &Options { compile, double: true, ..Options::default() });
        (loops, run.unwrap_or_else(|e| panic!("{e}")).outcome.reports[0].1.clone())
    };
    // Kept: the state before each step, and the product. Back: the product of the cotangent with the weights; the
    // weights' own gradient is one product after the loop.
    let (loops, slope) = with(None);
    assert_eq!(loops, [(1, 1, 2), (1, 1, 1)]);
    // Without memory each step back computes its product again and adds to the weights' gradient.
    let (loops, again) = with(Some(0));
    assert_eq!(loops, [(1, 1, 1), (2, 3, 0)]);
    let room = 6 * 3 * 50 * 4;
    assert_eq!(with(Some(room)).0, [(1, 1, 2), (2, 2, 0)]);
    assert_eq!(slope.len(), 2500);
    assert!(slope.iter().any(|x| x.abs() > 1e-3));
    for (a, b) in slope.iter().zip(&again) {
        assert!((a - b).abs() < 1e-12, "{a} against {b}");
    }
}
