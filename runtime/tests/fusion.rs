//! Plans of random graphs, fused and not, against the reference evaluator.
//! Law: what is fused changes no value beyond rounding; next values land in the memory of their parameters and states,
//! or in a buffer that the caller copies.

use gannet_compiler::fuse::{LowerOptions, lower};
use gannet_compiler::graph::Graph;
use gannet_compiler::graph::random::{Config, Leaves, random_graph};
use gannet_compiler::philox;
use gannet_compiler::plan::interpret::{self, run};
use gannet_compiler::plan::{BufferId, Home, Kernel, Plan, arrange};
use gannet_lang::program::{Axis, Output};
use gannet_runtime::reference::{Env, Tensor, eval};
use std::collections::BTreeSet;
use std::sync::Arc;

fn interpreted(plan: &Plan, leaves: &Leaves) -> Vec<(Output, Tensor)> {
    let seed = leaves.seed;
    let step = leaves.step;
    let draw = |dist, site: gannet_lang::program::SiteId, entry| philox::draw(dist, seed, site.0, step as u32, entry);
    let values = interpret::Leaves {
        sizes: leaves.sizes.iter().map(|n| *n as u64).collect(),
        inputs: leaves.inputs.clone(),
        params: leaves.params.clone(),
        states: leaves.states.clone(),
        args: vec![],
        hypers: leaves.hypers.clone(),
        step,
        draw: &draw,
    };
    let buffers = run(plan, &values);
    let tensor = |b: gannet_compiler::plan::BufferId| {
        let axes = plan.buffer(b).axes.clone();
        let sizes = axes.iter().map(|a| leaves.sizes[a.dim.index()]).collect();
        Tensor { axes, sizes, data: buffers[b.index()].clone() }
    };
    plan.outputs.iter().map(|(o, b)| (o.clone(), tensor(*b))).collect()
}

/// The entry of a tensor at indices given for `axes`.
fn entry(t: &Tensor, axes: &[Axis], at: &[usize]) -> f64 {
    let place = |a: &Axis| at[axes.iter().position(|b| a == b).expect("the same axes")];
    t.data[t.axes.iter().zip(&t.sizes).fold(0, |k, (a, n)| k * n + place(a))]
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn compare(name: &str, got: &[(Output, Tensor)], wanted: &[(Output, Tensor)], plan: &Plan) {
    assert_eq!(got.len(), wanted.len());
    for ((o, x), (p, y)) in got.iter().zip(wanted) {
        assert_eq!(o, p);
        let mut at = vec![0; y.sizes.len()];
        for k in 0..y.data.len() {
            let mut rest = k;
            for i in (0..at.len()).rev() {
                (at[i], rest) = (rest % y.sizes[i], rest / y.sizes[i]);
            }
            let (a, b) = (entry(x, &y.axes, &at), y.data[k]);
            assert!(close(a, b), "{name}, {o:?} at {at:?}: plan {a}, reference {b}\n{plan}");
        }
    }
}

/// The graph as if its dims were larger, so that small samples become contractions, splits and blocks.
fn as_if_larger(graph: &Graph, factor: u64) -> Graph {
    let mut tables = (*graph.tables).clone();
    tables.assumed.iter_mut().for_each(|n| *n *= factor);
    let mut larger = graph.clone();
    larger.tables = Arc::new(tables);
    larger
}

fn check(seed: u64, config: &Config, factor: u64, fusion: bool) {
    let sample = random_graph(seed, config);
    let graph = as_if_larger(&sample.graph, factor);
    let wanted = eval(&graph, &Env::from(sample.leaves.clone())).unwrap_or_else(|f| panic!("seed {seed}: {f:?}"));
    let plan = lower(&graph, &LowerOptions { double: true, fusion, verify: true });
    let name = format!("seed {seed}, sizes x {factor}, fusion {fusion}");
    plan.verify().unwrap_or_else(|e| panic!("{name}: {e}\n{plan}"));
    compare(&name, &interpreted(&plan, &sample.leaves), &wanted, &plan);
    let sizes: Vec<u64> = sample.leaves.sizes.iter().map(|n| *n as u64).collect();
    assert_eq!(arrange(&plan, &sizes), arrange(&plan, &sizes));
    no_overlap(&plan, &sizes);
}

/// Temporary buffers that one kernel needs, or that are alive across it, lie apart.
fn no_overlap(plan: &Plan, sizes: &[u64]) {
    let places = arrange(plan, sizes);
    let uses = |b: BufferId| (0..plan.kernels.len()).filter(move |k| plan.kernels[*k].buffers().contains(&b));
    let temps: Vec<(usize, usize, usize, usize)> = (0..plan.buffers.len())
        .map(BufferId::new)
        .filter(|b| plan.buffer(*b).home == Home::Temp)
        .filter_map(|b| {
            let from = places.offsets[b.index()];
            Some((uses(b).min()?, uses(b).max()?, from, from + plan.bytes(b, sizes) as usize))
        })
        .collect();
    for (i, a) in temps.iter().enumerate() {
        assert!(a.3 <= places.total && a.2 % 64 == 0);
        for b in &temps[..i] {
            let (together, overlap) = (a.0 <= b.1 && b.0 <= a.1, a.2 < b.3 && b.2 < a.3);
            assert!(!(together && overlap), "{a:?} and {b:?} overlap\n{plan}");
        }
    }
}

#[test]
fn every_node_a_kernel() {
    (0..150).for_each(|seed| check(seed, &Config::default(), 1, false));
}

#[test]
fn fused() {
    (0..300).for_each(|seed| check(seed, &Config::default(), 1, true));
}

#[test]
fn fused_as_if_sizes_were_middling() {
    (0..300).for_each(|seed| check(seed, &Config::default(), 8, true));
}

#[test]
fn fused_as_if_sizes_were_large() {
    (0..300).for_each(|seed| check(seed, &Config { steps: 20, ..Config::default() }, 100, true));
}

/// Which forms of kernels a plan has.
fn forms(plan: &Plan, seen: &mut BTreeSet<&'static str>) {
    let text = plan.to_string();
    let mark = |form, seen: &mut BTreeSet<&'static str>, there: bool| {
        if there {
            seen.insert(form);
        }
    };
    for kernel in &plan.kernels {
        if let Kernel::Contraction(c) = kernel {
            mark("contraction", seen, true);
            mark("epilogue", seen, c.epilogue.is_some());
            mark("batched contraction", seen, !c.batch.is_empty());
            mark("merged rows", seen, c.m.len() == 1 && !c.m[0].dims.is_empty() && c.m[0].factor > 1);
        }
    }
    mark("blocks", seen, text.contains("block l"));
    mark("lanes", seen, text.contains("lanes"));
    mark("scatter", seen, text.contains("sum= "));
    mark("one thread", seen, text.contains("one thread"));
    let home = |o: &Output, h: &Home| match (o, h) {
        (Output::Param(p), Home::Param(q)) => p == q,
        (Output::State(s), Home::State(t)) => s == t,
        _ => false,
    };
    for (o, b) in plan.outputs.iter().filter(|(o, _)| matches!(o, Output::Param(_) | Output::State(_))) {
        let written = plan.kernels.iter().any(|k| text_stores(k, *b));
        mark("in place", seen, home(o, &plan.buffer(*b).home) && written);
        mark("copied after the run", seen, !home(o, &plan.buffer(*b).home));
    }
}

fn text_stores(kernel: &Kernel, buffer: BufferId) -> bool {
    kernel.buffers().contains(&buffer)
}

#[test]
fn every_form_occurs() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let sample = random_graph(seed, &Config { steps: 20, ..Config::default() });
        forms(&lower(&as_if_larger(&sample.graph, 100), &LowerOptions::default()), &mut seen);
        forms(&lower(&as_if_larger(&sample.graph, 8), &LowerOptions::default()), &mut seen);
    }
    let wanted = [
        "contraction",
        "epilogue",
        "batched contraction",
        "blocks",
        "lanes",
        "scatter",
        "one thread",
        "in place",
        "copied after the run",
    ];
    for form in wanted {
        assert!(seen.contains(form), "no {form} among {seen:?}");
    }
}
