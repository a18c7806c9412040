//! Loops over dims: unrolled and as one loop they have the same parameters, states and values.

use gannet::{Model, Options};
use gannet_lang::check::Options as CheckOptions;

/// Each trains a few steps; the reports are compared.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "residual",
        "net deep(x: real[.., c]) -> real[.., c] {
  for l in layer { x' = x + tanh(linear(c)(x)) / (l + 1) }
  x
}",
    ),
    (
        "states and parameters of the block",
        "net block(x: real[batch, c]) -> real[batch, c] {
  batchnorm()(tanh(linear(c)(x)))
}
net deep(x: real[batch, c]) -> real[batch, c] {
  for l in layer {
    state seen: real[c] = 0
    param a: real = 1 + 0.1 * l
    x' = x + a * block(x) / (l + 1) + 0.01 * seen
    seen' = seen + mean[batch](x')
  }
  x
}",
    ),
    (
        "two dims, one inside the other",
        "dim inner = 2
net deep(x: real[.., c]) -> real[.., c] {
  for l in layer {
    y = x
    for k in inner { y' = y + 0.3*tanh(linear(c)(y)) }
    x' = 0.5*x + 0.5*y
  }
  x
}",
    ),
    (
        "several are carried, one from a number",
        "net deep(x: real[.., c]) -> real[.., c] {
  a = 0
  for l in layer {
    h = tanh(linear(c)(x))
    a' = a + mean[c](h^2)
    x' = x + 0.3*h
  }
  x + 0.1*a
}",
    ),
    (
        "inside of a scan",
        "dim time = 3
net deep(x: real[.., c]) -> real[.., c] {
  r = scan t in time from h = x {
    z = h
    for l in layer { z' = z + tanh(linear(c)(z)) / (l + t + 1) }
    h' = 0.5*z
  }
  r.h.last
}",
    ),
    (
        "the index reads and chooses",
        "net deep(x: real[.., c]) -> real[.., c] {
  const k: real[layer, c] ~ normal
  for l in layer {
    h = linear(c)(x)
    x' = x + 0.2*(if l == 1 then relu(h) else tanh(h + k[l]))
  }
  x
}",
    ),
];

const TRAIN: &str = "
dim layer = 3
dim n = 4
data noise {
  x ~ normal[32, n]
  y = sin(3*x)
}
train t on noise {
  net f = deep
  loss = mean((f(x) - y)^2)
  minimize loss over f by RULE
  batch 8
  steps 4
  report value = mean((f(x) - y)^2)
  report slope = norm(grad[u = x](mean((f.frozen(u) - y)^2)))
}
";

/// Reports, weights and states after training.
fn trained(source: &str, unroll: u64) -> Vec<(String, Vec<f64>)> {
    let options = CheckOptions { unroll, ..CheckOptions::default() };
    let model = Model::from_source_with("layers.gnt", source, &options).unwrap_or_else(|e| panic!("{source}\n{e}"));
    let run = model.train("t", &Options { double: true, ..Options::default() }).unwrap_or_else(|e| panic!("{e}"));
    let loops = !run.session.unit.loops.is_empty();
    assert_eq!(loops, unroll == 0 || source.contains("scan"), "{source}");
    let mut all = run.outcome.reports.clone();
    let unit = &run.session.unit;
    all.extend(unit.params.iter().enumerate().map(|(k, p)| (p.name.clone(), run.session.param(k).1)));
    all.extend(unit.states.iter().enumerate().map(|(k, s)| (s.name.clone(), run.session.state(k))));
    all
}

#[test]
fn unrolled_or_not() {
    for (name, net) in PROGRAMS {
        for rule in ["adam(0.01)", "sam(sgd(0.05))"] {
            let source = format!("{net}\n{}", TRAIN.replace("RULE", rule));
            let (flat, looped) = (trained(&source, 8), trained(&source, 0));
            assert_eq!(flat.len(), looped.len());
            for (a, b) in flat.iter().zip(&looped) {
                assert_eq!(a.0, b.0, "{name}");
                let near = |(x, y): (&f64, &f64)| (x - y).abs() <= 1e-9 * (1.0 + x.abs());
                assert!(a.1.iter().zip(&b.1).all(near), "{name}, {rule}, {}:\n{:?}\n{:?}", a.0, a.1, b.1);
            }
        }
    }
}
