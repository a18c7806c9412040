//! Random graphs keep what their generator promises.

use gannet_compiler::graph::random::{Config, random_graph};
use gannet_compiler::graph::{Graph, Op, Red};
use gannet_lang::program::Fun;
use gannet_runtime::reference::{Env, eval_all};
use std::collections::BTreeSet;

/// No output is larger: bounds are 3, and 19 for a draw that is used as it is.
const LARGEST: f64 = 20.0;

fn names(graph: &Graph, seen: &mut BTreeSet<String>) {
    for id in graph.ids() {
        let name = match &graph.node(id).op {
            Op::Map(fun) => format!("{fun:?}"),
            Op::Reduce(red, _) => format!("{red:?}"),
            Op::Random(dist, ..) => format!("{dist:?}"),
            op => format!("{op:?}").split([' ', '(']).next().unwrap_or_default().to_string(),
        };
        seen.insert(name);
    }
}

#[test]
fn values_are_finite_and_moderate() {
    for config in [Config::default(), Config::smooth(), Config { steps: 40, max_size: 9, ..Config::default() }] {
        for seed in 0..150 {
            let sample = random_graph(seed, &config);
            sample.graph.verify().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let values =
                eval_all(&sample.graph, &Env::from(sample.leaves)).unwrap_or_else(|f| panic!("seed {seed}: {f:?}"));
            for (id, value) in sample.graph.ids().zip(values.iter()) {
                let unreached = matches!(sample.graph.node(id).op, Op::Fiber { red: Red::Max | Red::Min, .. });
                let fine = |x: &f64| x.is_finite() || (unreached && !x.is_nan());
                assert!(value.iter().all(|v| v.data.iter().all(fine)), "seed {seed}, {id}: {value:?}");
            }
            for (output, id) in &sample.graph.outputs {
                let value = values[id.index()].as_ref().expect("outputs are live");
                assert!(value.data.iter().all(|x| x.abs() < LARGEST), "seed {seed}, {output:?}: {value:?}");
            }
        }
    }
}

#[test]
fn same_seed_same_graph() {
    let (a, b) = (random_graph(3, &Config::default()), random_graph(3, &Config::default()));
    assert_eq!(a.graph.len(), b.graph.len());
    assert!(a.graph.ids().all(|id| a.graph.node(id).op == b.graph.node(id).op));
}

#[test]
fn every_operation_occurs() {
    let mut seen = BTreeSet::new();
    (0..1000).for_each(|seed| names(&random_graph(seed, &Config::default()).graph, &mut seen));
    // Reductions of truth values with axes are rare in small graphs.
    let large = Config { steps: 60, ..Config::default() };
    (0..1000).for_each(|seed| names(&random_graph(seed, &large).graph, &mut seen));
    let funs = [
        Fun::Neg,
        Fun::Abs,
        Fun::Sign,
        Fun::Recip,
        Fun::Exp,
        Fun::Expm1,
        Fun::Log,
        Fun::Log1p,
        Fun::Sqrt,
        Fun::Sin,
        Fun::Cos,
        Fun::Tan,
        Fun::Tanh,
        Fun::Sigmoid,
        Fun::Softplus,
        Fun::Erf,
        Fun::Floor,
        Fun::Ceil,
        Fun::Round,
        Fun::Not,
        Fun::IsFinite,
        Fun::ToReal,
        Fun::ToInt,
        Fun::Add,
        Fun::Mul,
        Fun::Pow,
        Fun::Min,
        Fun::Max,
        Fun::Atan2,
        Fun::IntDiv,
        Fun::Mod,
        Fun::Lt,
        Fun::Le,
        Fun::Gt,
        Fun::Ge,
        Fun::Eq,
        Fun::Ne,
        Fun::And,
        Fun::Or,
        Fun::Select,
    ];
    let reds = [Red::Sum, Red::Prod, Red::Max, Red::Min, Red::Any, Red::All, Red::ArgMax, Red::ArgMin];
    let rest = ["Contract", "Read", "Fiber", "Iota", "Size", "Input", "Param", "State", "Hyper", "Step", "Const"];
    let wanted = funs.iter().map(|f| format!("{f:?}")).chain(reds.iter().map(|r| format!("{r:?}")));
    let all = wanted.chain(rest.map(String::from)).chain(["Normal", "Gumbel"].map(String::from));
    let missing: Vec<String> = all.filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {seen:?}");
}
