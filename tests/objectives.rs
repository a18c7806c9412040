//! What a rule may ask of its objective (entries, outputs, another batch), its histories and its own step, against the same
//! updates written again in plain Rust.

use gannet::{Model, Options};

const N: usize = 4;
type Vector = [f64; N];

fn start() -> Vector {
    std::array::from_fn(|i| 0.3 * i as f64 - 0.7)
}

/// The parameter `w` of `run` after its steps, in double precision.
fn trained(rules: &str, body: &str) -> Vec<f64> {
    let source = format!("dim n = 4, past = 3\nstart[i: n] = 0.3*i - 0.7\n{rules}\ntrain run {{\n{body}\n}}\n");
    let model = Model::from_source("objectives.gnt", &source).unwrap_or_else(|e| panic!("{source}\n{e}"));
    let options = Options { double: true, threads: 1, ..Options::default() };
    let run = model.train("run", &options).unwrap_or_else(|e| panic!("{source}\n{e}"));
    run.param("w").expect("the parameter is named w").iter().copied().collect()
}

fn near(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() < 1e-9, "entry {i}: {a} instead of {b}");
    }
}

fn norm(x: &Vector) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Each objective's gradient, scaled to length 1 before they are added up: the entries are taken apart.
#[test]
fn entries_are_objectives() {
    let rule =
        "rule units(lr) on w minimizing L {\n  G[k] = grad[w](L[k](w))\n  w' = w - lr * sum[k](G[k] / norm(G[k]))\n}";
    let body = "param w: real[n] = start\nminimize [sum(w^2), sum((w - 3)^4)] over w by units(0.01)\nsteps 7";
    let mut w = start();
    for _ in 0..7 {
        let a: Vector = std::array::from_fn(|i| 2.0 * w[i]);
        let b: Vector = std::array::from_fn(|i| 4.0 * (w[i] - 3.0).powi(3));
        w = std::array::from_fn(|i| w[i] - 0.01 * (a[i] / norm(&a) + b[i] / norm(&b)));
    }
    near(&trained(rule, body), &w);
}

/// `maximize` negates entries too.
#[test]
fn entries_of_what_is_maximized() {
    let rule = "rule first(lr) on w minimizing L {\n  w' = w - lr * grad[w](L[0](w))\n}";
    let body = "param w: real[n] = start\nmaximize [-sum(w^2), sum(w)] over w by first(0.1)\nsteps 1";
    near(&trained(rule, body), &start().map(|w| 0.8 * w));
}

/// The gradient by way of the outputs is the gradient.
#[test]
fn outputs_and_the_loss_of_them() {
    let rule = "rule pulled(lr) on w minimizing L of z {\n  r = grad[o = z(w)](L(o))\n  \
                w' = w - lr * grad[w](dot(stop(r), z(w)))\n}";
    let body = "param w: real[n] = start\nminimize sum((y - 1)^2) where y = w^2 over w by pulled(0.01)\nsteps 5";
    let mut w = start();
    for _ in 0..5 {
        w = w.map(|w| w - 0.01 * 2.0 * (w * w - 1.0) * 2.0 * w);
    }
    near(&trained(rule, body), &w);
}

/// The mean of the last three gradients, kept in a ring.
#[test]
fn histories() {
    let rule = "rule ring(lr) on w with g {\n  state h: tree[past] = 0\n  \
                h'[k] = if k == int(t - 1) mod size(past) then g else h[k]\n  w' = w - lr * sum[k](h'[k]) / 3\n}";
    let body = "param w: real[n] = start\nminimize sum(w^2) over w by ring(0.2)\nsteps 8";
    let (mut w, mut last) = (start(), Vec::new());
    for _ in 0..8 {
        last.push(w.map(|w| 2.0 * w));
        let recent = &last[last.len().saturating_sub(3)..];
        let sum: Vector = std::array::from_fn(|i| recent.iter().map(|g| g[i]).sum());
        w = std::array::from_fn(|i| w[i] - 0.2 * sum[i] / 3.0);
    }
    near(&trained(rule, body), &w);
}

/// A rule that is applied in every third step counts its own applications.
#[test]
fn the_step_of_a_rule_is_its_own() {
    let rule = "rule counting(lr) on w with g {\n  w' = w - lr * t * g / g\n}";
    let body = "param w: real[n] = start\nparam v: real = 1\nminimize sum(w^2) over w by counting(0.1) every 3 steps\n\
                minimize v^2 over v by sgd(0.1)\nsteps 7";
    near(&trained(rule, body), &start().map(|w| w - 0.1 * (1.0 + 2.0)));
}

/// Matrices by their two dims; other tensors by `else`.
#[test]
fn tensors_by_their_dims() {
    let rule = "rule shaped(lr) on w with g {\n  \
                each matrix w[r, c] { w' = w - lr * g / (size(r) * size(c)) } else { w' = w - lr * g }\n}";
    let body = "param w: real[n] = start\nparam m: real[n, 3] = 1\n\
                minimize sum(w^2) + 12*sum(m) over w, m by shaped(0.1)\nsteps 2\nreport m = mean(m)";
    near(&trained(rule, body), &start().map(|w| 0.64 * w));
}

/// Another batch: with all rows it is the batch in another order, with one row it is another row at some step.
#[test]
fn another_batch() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let rows: String = (0..8).map(|k| format!("{k}\n")).collect();
    std::fs::write(folder.path().join("rows.csv"), rows).expect("a file can be written");
    let end = |objective: &str, batch: usize| {
        let source = format!(
            "data rows from \"rows.csv\" {{ x: real = column 0 }}\n\
             rule by(lr) on w minimizing L {{ w' = w - lr * grad[w]({objective}) }}\n\
             train run on rows {{\n  param w: real = 0\n  minimize (w - x)^2 over w by by(0.1)\n  batch {batch}\n  steps 8\n}}\n"
        );
        let model = Model::from_source("fresh.gnt", &source).unwrap_or_else(|e| panic!("{e}"));
        let options = Options { double: true, threads: 1, ..Options::default() };
        let run = model.data_folder(folder.path()).train("run", &options).unwrap_or_else(|e| panic!("{e}"));
        run.param("w").expect("the parameter is named w")[[]]
    };
    assert!((end("L(w)", 8) - end("L(w; fresh)", 8)).abs() < 1e-12);
    assert!((end("L(w)", 1) - end("L(w; fresh)", 1)).abs() > 1e-3);
    let both = end("(L(w) + L(w; fresh)) / 2", 8);
    assert!((end("L(w)", 8) - both).abs() < 1e-12);
}

/// The checks of `source` all hold.
fn holds(source: &str) {
    let model = Model::from_source("runs.gnt", source).unwrap_or_else(|e| panic!("{e}"));
    let options = Options { threads: 1, ..Options::default() };
    let results = model.run_checks(&options).unwrap_or_else(|e| panic!("{e}"));
    assert!(!results.is_empty());
    for result in results {
        assert!(result.passed, "{}: {:?}", result.text, result.sides);
    }
}

/// Reports, losses, nets, parameters and rules' states of runs, in checks and tasks.
#[test]
fn runs_are_values() {
    holds(
        r#"
        dim sample = 40, n = 3
        train line(lr = 0.1, width = 4) {
          net f = mlp(width, 2)
          param shift: real = 0
          x ~ normal[sample, n]
          minimize mean((f(x) + shift - x[.., 0..2])^2) over f, shift by adam(lr)
          steps 30
          table[i: n] = i + shift
          report table = table
          report m = norm(adam.m)
          report w = norm(f.linear1.w)
        }
        task again(k = 2) {
          run = line(seed = 1)
          report twice = k * run.m
        }
        check "losses" { line(seed = 1).loss[29] == line(seed = 1).loss.last and line(seed = 1).loss[29] < line(seed = 1).loss[0] }
        check "a tensor" { abs(line(seed = 1).table[2] - line(seed = 1).table[1] - 1) < 1e-5 }
        check "its net's weights" { abs(norm(line(seed = 1).f.linear1.w) - line(seed = 1).w) < 1e-6 }
        check "its rule's states" { abs(norm(line(seed = 1).adam.m) - line(seed = 1).m) < 1e-6 }
        check "its own parameter" { abs(line(seed = 1).table[0] - line(seed = 1).shift) < 1e-6 }
        check "its net" { v[i: n] = i + 1
          abs(line(seed = 1).f(v)[0] + line(seed = 1).shift - 1) < 3 }
        check "another run" { line(seed = 2).m != line(seed = 1).m }
        check "a task" { abs(again(k = 3).twice - 3 * line(seed = 1).m) < 1e-4 }
        check "plans" { plan(line()).kernels >= 1 and plan(line()).flops > 0 and plan(line()).bytes > 0 and plan(line()).peak > 0 }
        check "plans without rewrites" { plan(line() with rewrites off).flops >= plan(line()).flops }
        check "runs without rewrites" { abs((line(seed = 1) with rewrites off).m - line(seed = 1).m) < 1e-3 }
        "#,
    );
}

/// Synthetic data are the same for every seed, and are split like those of a file.
#[test]
fn synthetic_data() {
    holds(
        r#"
        dim d = 3
        data points {
          truth ~ normal[d]
          x ~ normal[200, d]
          y = x @ truth
          high = y > 0
          split test 25%
        }
        train mean_of on points {
          param m: real[d] = 0
          minimize (x @ m - y)^2 over m by sgd(0.1)
          batch 50
          steps 300
          report error = mean((x @ m - y)^2)
          report part = mean(high)
        }
        check "the truth is found" { mean_of(seed = 1).error < 1e-4 }
        check "the same rows for every seed" { mean_of(seed = 1).part == mean_of(seed = 2).part }
        check "rows" { size(points) == 200 and size(points.test) == 50 and size(points.train) == 150 }
        check "whole fields" { max(abs(points.y - points.x @ mean_of(seed = 1).m)) < 0.1 }
        "#,
    );
}
