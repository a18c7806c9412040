//! Batches of neighbourhoods: a step on what its seeds see gives the loss and the gradient of the whole graph's.

use gannet::{Model, Options};
use std::fmt::Write;

const NODES: usize = 60;

/// A graph with loops, parallel edges and nodes that nothing reaches; a third of the nodes is seen.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let toy = folder.path().join("toy");
    std::fs::create_dir(&toy).expect("a folder");
    let mut state = 9_u64;
    let mut draw = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let (mut edges, mut weights) = ("src,dst\n".to_string(), String::new());
    for _ in 0..150 {
        writeln!(edges, "{},{}", draw(NODES), draw(NODES - 5)).expect("written");
        writeln!(weights, "{}", draw(1000) as f64 / 500.0 - 1.0).expect("written");
    }
    let (mut x, mut label, mut seen) = (String::new(), String::new(), String::new());
    for v in 0..NODES {
        let row: Vec<String> = (0..4).map(|_| format!("{}", draw(1000) as f64 / 500.0 - 1.0)).collect();
        writeln!(x, "{}", row.join(",")).expect("written");
        writeln!(label, "{}", draw(3)).expect("written");
        writeln!(seen, "{}", usize::from(v % 3 == 0)).expect("written");
    }
    for (name, text) in [("edges", edges), ("w", weights), ("x", x), ("label", label), ("seen", seen)] {
        std::fs::write(toy.join(format!("{name}.csv")), text).expect("written");
    }
    folder
}

const HEAD: &str = "dim node = 60, word = 4, class = 3
data toy from \"toy\" {
  edges cite: node -> node = file \"edges.csv\"
  w: real[cite] = file \"w.csv\"
  x: real[node, word] = file \"x.csv\"
  label: class[node] = file \"label.csv\"
  seen: bool[node] = file \"seen.csv\" == 1
}
edges link = cite + reverse(cite) + loops(node)
fn propagate(h: real[node, k], c: real[link], w: real[cite]) = {
  y[v] = sum[e: link -> v](c[e] * h[e.src]) + sum[e: cite <- v](w[e] * h[e.dst])
  y
}
rule each_sample() on w minimizing L { w' = w - 0.1 * mean[n](grad[w](L[n](w))) }
net gcn(hidden = 5)(x: real[node, word], c: real[link], w: real[cite]) -> real[node, class] {
  h = tanh(propagate(linear(hidden)(x), c, w))
  propagate(linear(class)(h), c, w)
}
";

/// Trains with these lines; losses, and the trained tensors one after the other.
fn run(lines: &str, options: Options) -> Result<(Vec<f32>, Vec<f64>), gannet::Error> {
    let folder = folder();
    let source = format!(
        "{HEAD}train run on toy {{
  degree[v: node] = sum[e: link -> v](1)
  const c: real[link] = 1 / sqrt(degree[link.src] * degree[link.dst])
  net f = gcn
  z = f(x, c, w)
  loss[v: node] = negative_log_likelihood[q](z[v, q], label[v])
{lines}
  report accuracy = mean[v](argmax[class](z)[v] == label[v])
}}\n"
    );
    let model = Model::from_source("near.gnt", &source)?.data_folder(folder.path());
    let run = model.train("run", &Options { double: true, ..options })?;
    let tensors = (0..run.session.unit.params.len()).flat_map(|k| run.session.param(k).1).collect();
    Ok((run.outcome.losses.clone(), tensors))
}

fn small(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

const WHOLE: &str = "minimize mean[v | seen[v]](loss[v]) over f by adam(0.05)\n steps 6";

#[test]
fn all_seeds_at_once_are_the_whole_graph() {
    let near = "minimize loss over f by adam(0.05)\n steps 6\n batch of node[20] neighbours link 2 hops where seen";
    let (whole, near) = (run(WHOLE, Options::default()).expect("runs"), run(near, Options::default()).expect("runs"));
    assert!(small(&whole.1, &near.1) < 1e-12, "{:?} {:?}", whole.0, near.0);
    let threads = run(
        "minimize loss over f by adam(0.05)\n steps 6\n batch of node[20] neighbours link 2 hops where seen",
        Options { threads: 1, ..Options::default() },
    );
    assert_eq!(threads.expect("runs").1, near.1, "the same bits on one thread");
}

#[test]
fn an_epoch_of_batches_goes_through_all_seeds_once() {
    let still = "minimize loss over f by sgd(0)\n epochs 2\n batch of node[6] neighbours link 2 hops where seen";
    let (losses, _) = run(still, Options::default()).expect("runs");
    assert_eq!(losses.len(), 8, "three batches of 6 seeds and one of 2, twice");
    let whole = run(WHOLE, Options::default()).expect("runs").0[0];
    for epoch in losses.chunks(4) {
        let mean = (6.0 * (epoch[0] + epoch[1] + epoch[2]) + 2.0 * epoch[3]) / 20.0;
        assert!((mean - whole).abs() < 1e-5, "{mean} {whole}");
    }
    assert_ne!(losses[..4], losses[4..], "each epoch has its own order");
}

#[test]
fn a_net_that_looks_further_than_the_batch_sees_less() {
    let one = "minimize loss over f by sgd(0)\n steps 1\n batch of node[20] neighbours link 1 hop where seen";
    let (losses, _) = run(one, Options::default()).expect("runs");
    let whole = run(WHOLE, Options::default()).expect("runs").0[0];
    assert!((losses[0] - whole).abs() > 1e-3, "{} {whole}", losses[0]);
}

#[test]
fn samples_of_the_loss_are_those_of_the_seeds() {
    let by = |rule: &str| {
        format!("minimize loss over f by {rule}\n steps 3\n batch of node[20] neighbours link 2 hops where seen")
    };
    let each = run(&by("each_sample()"), Options::default()).expect("runs");
    let whole = run(&by("sgd(0.1)"), Options::default()).expect("runs");
    assert!(small(&each.1, &whole.1) < 1e-12);
}
