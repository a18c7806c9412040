//! Functions of the embedding program: `extern fn`.

mod common;

use gannet::lang::check::Options as CheckOptions;
use gannet::lang::program::Hosts;
use gannet::{Model, Options};

const LOGISTIC: &str = "
extern fn grow(x: real[n], k: real) -> real[n]
  backward dy -> { (dy * k * (1 - 2*x), sum(dy * x * (1 - x))) }
extern fn gram(a: real[r, c], b: real[r]) -> real[c, c]
";

fn hosts() -> Hosts {
    let grow = |args: &[&[f64]]| Ok(args[0].iter().map(|x| args[1][0] * x * (1.0 - x)).collect());
    let gram = |args: &[&[f64]]| {
        let (a, b) = (args[0], args[1]);
        let c = a.len() / b.len();
        let entry = |i: usize, j: usize| (0..b.len()).map(|r| b[r] * a[r * c + i] * a[r * c + j]).sum();
        Ok((0..c * c).map(|k| entry(k / c, k % c)).collect())
    };
    Hosts::default().with("grow", grow).with("gram", gram)
}

fn model(body: &str, hosts: Hosts) -> Result<Model, gannet::Error> {
    let options = CheckOptions { hosts, ..CheckOptions::default() };
    Model::from_source_with("host.gnt", &format!("{LOGISTIC}{body}"), &options)
}

fn reports(body: &str, hosts: Hosts) -> Result<Vec<(String, f64)>, String> {
    let model = model(body, hosts).map_err(|e| e.to_string())?;
    common::reports_of(&model)
}

const SAME: &str = "
dim n = 5, batch2 = 7, r = 3, c = 4
task t() real f64 {
  x ~ uniform[n]
  report value = max(abs(grow(x, 3.5) - 3.5*x*(1 - x)))
  gx = grad[u = x](sum(grow(u, 3.5)^2))
  report gradient = max(abs(gx - grad[u = x](sum((3.5*u*(1 - u))^2))))
  report by_number = abs(grad[k = 3.5](sum(grow(x, k))) - sum(x*(1 - x)))
  xs ~ uniform[batch2, n]
  k ~ uniform[batch2]
  y[b, i] = grow(xs[b], k[b])[i]
  report rows = max[b, i](abs(y[b, i] - k[b]*xs[b, i]*(1 - xs[b, i])))
  a ~ normal[r, c]
  w ~ uniform[r]
  g = gram(a, w)
  report matrix = max[i, j](abs(g[i, j] - sum[k](w[k]*a[k, i]*a[k, j])))
  report same_rows = max(abs(gram(a, w + 0*a[.., 0]) - g))
}
";

#[test]
fn they_are_called_with_whole_arguments() {
    for (name, x) in reports(SAME, hosts()).expect("it runs") {
        assert!(x < 1e-12, "{name} is {x}");
    }
}

/// A gradient by hand that sums what arrives is not summed again.
#[test]
fn gradients_by_hand_may_reduce() {
    let body = "
fn scaled(x: real[n], k: real, v: real[m]) -> real[n] = k * x * sum(v)
  backward dy -> { (dy * k * sum(v), sum(dy * x) * sum(v), k * sum(dy * x) + 0*v) }
fn plain(x, k, v) = k * x * sum(v)
dim n = 5, m = 3, rows = 4
task t() real f64 {
  x ~ normal[rows, n]
  k ~ normal[rows]
  v ~ normal[m]
  c ~ normal[n]
  hand = u => sum[b, i]((c[i] * scaled(x[b], u*k[b], v)[i])^2)
  auto = u => sum[b, i]((c[i] * plain(x[b], u*k[b], v)[i])^2)
  report number = abs(grad[u = 1.5](hand(u)) - grad[u = 1.5](auto(u)))
  report rows = max(abs(grad[k](sum[b, i](c[i]*scaled(x[b], k[b], v)[i])) - grad[k](sum[b, i](c[i]*plain(x[b], k[b], v)[i]))))
  report shared = max(abs(grad[v](sum[b, i](c[i]*scaled(x[b], k[b], v)[i])) - grad[v](sum[b, i](c[i]*plain(x[b], k[b], v)[i]))))
  report entries = max(abs(grad[x](sum[b, i](c[i]*scaled(x[b], k[b], v)[i])) - grad[x](sum[b, i](c[i]*plain(x[b], k[b], v)[i]))))
}
";
    for (name, x) in reports(body, hosts()).expect("it runs") {
        assert!(x < 1e-10, "{name} is {x}");
    }
}

#[test]
fn a_block_trains_through_one() {
    let body = "
dim p = 2
data made { 
  x ~ uniform[64, p]
  y = 3*x[.., 0]*(1 - x[.., 0])
}
net f(x: real[.., p]) -> real[..] {
  param k: real = 1
  grow(x[.., 0], k)
}
train t on made {
  net g = f
  minimize (g(x) - y)^2 over g by sgd(2)
  steps 200
}
";
    let run = model(body, hosts()).expect("accepted").train("t", &Options::default()).expect("trains");
    let k = run.param("g.k").expect("it has one");
    assert!((k.sum() - 3.0).abs() < 1e-3, "{k}");
}

#[test]
fn faults_are_said() {
    let task = "task t() { x ~ normal[4]\n report y = sum(grow(x, 2)) }";
    let cases: [(&str, Hosts, &[&str]); 5] = [
        (task, Hosts::default(), &["G0607", "`grow` is computed by the program that embeds this one"]),
        (task, Hosts::default().with("grow", |_| Err("the solver diverged".into())), &["the solver diverged", "grow"]),
        (task, Hosts::default().with("grow", |_| Ok(vec![1.0])), &["it gave 1 numbers, 4 are needed"]),
        (
            "task t() { a ~ normal[4, 3]\n report y = norm(grad[u = a](sum(gram(u, u[.., 0])))) }",
            hosts(),
            &["G0304", "would pass through `gram`", "declared here", "backward dy"],
        ),
        ("extern fn h(x) -> real\ntask t() { report y = h(2) }", Hosts::default(), &["G0404", "`x`"]),
    ];
    for (body, hosts, parts) in cases {
        let said = reports(body, hosts).expect_err(body);
        for part in parts {
            assert!(said.contains(part), "{part} is missing:\n{said}\n{body}");
        }
    }
}
