//! Every function of every example, check and library rule goes through build and the passes: each graph keeps the laws,
//! and its text reads back.
#![allow(missing_docs)]

use gannet_compiler::build::build;
use gannet_compiler::graph::Tables;
use gannet_compiler::graph::{Graph, Op};
use gannet_compiler::pass::{CompileOptions, PIPELINE};
use gannet_lang::check::{Loader, Options, check};
use gannet_lang::diag::Sources;
use gannet_lang::program::{Program, Unit};
use std::path::Path;
use std::sync::Arc;

struct Library;

impl Loader for Library {
    fn load(&self, path: &str, _: Option<&str>) -> Option<(String, String)> {
        Some((path.to_string(), gannet_stdlib::file(path)?.to_string()))
    }
}

fn program(name: &str, text: &str) -> Program {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    check(&mut sources, file, &Library, &Options::default()).unwrap_or_else(|d| panic!("{name}: {d}")).program
}

fn keeps_the_laws(graph: &Graph, place: &str) {
    graph.verify().unwrap_or_else(|e| panic!("{place}: {e}\n{graph}"));
    let text = graph.to_string();
    let back = Graph::parse(&text, graph.tables.clone()).unwrap_or_else(|e| panic!("{place}: {e}\n{text}"));
    let again = Graph::parse(&back.to_string(), graph.tables.clone()).expect("it reads back twice");
    assert_eq!(back.to_string(), again.to_string(), "{place}");
    let live = graph.live().into_iter().filter(|l| *l).count();
    assert_eq!((live, &back.outputs.len()), (back.len(), &graph.outputs.len()), "{place}");
}

fn through_all_passes(unit: &Unit, file: &str) {
    let tables = Arc::new(Tables::of(unit));
    for function in &unit.functions {
        let place = format!("{file}, {}, {}", unit.name, function.name);
        let mut graph = build(unit, function, tables.clone());
        keeps_the_laws(&graph, &place);
        for pass in PIPELINE {
            graph = (pass.run)(&graph, &CompileOptions::default());
            keeps_the_laws(&graph, &format!("{place}, after {}", pass.name));
        }
        let gone = |op: &Op| matches!(op, Op::Grad { .. } | Op::Custom { .. } | Op::Point(_) | Op::Stop);
        assert!(graph.ids().all(|id| !gone(&graph.node(id).op)), "{place}");
    }
}

#[test]
fn examples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the examples").map(|f| f.expect("a file").path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "gnt"));
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let name = file.display().to_string();
        let program = program(&name, &std::fs::read_to_string(&file).expect("an example"));
        program.units.iter().chain(&program.checks).for_each(|unit| through_all_passes(unit, &name));
    }
}

/// A small program for each rule of the standard library.
#[test]
fn rules() {
    let rules = [
        "sgd(0.1)",
        "sgd(0.1, momentum = 0.9)",
        "adagrad()",
        "rmsprop()",
        "adam()",
        "adamw()",
        "amsgrad()",
        "lion()",
        "nadam()",
        "adabelief()",
        "lamb()",
        "sam(sgd(0.1))",
        "clip(1) |> adam()",
    ];
    for rule in rules {
        let text = format!(
            "dim input = 3\ndata points from \"points.csv\" {{\n  x: real[input] = columns 0..3\n  y: real = column 3\n}}\n\
             net model(x: real[.., input]) -> real[..] {{\n  param v: real[5] ~ glorot\n  tanh(linear(5)(x)) @ v\n}}\n\
             train fit() on points {{\n  net f = model\n  minimize (f(x) - y)^2 over f by {rule}\n  batch 16\n  epochs 1\n}}\n"
        );
        program(rule, &text).units.iter().for_each(|unit| through_all_passes(unit, rule));
    }
}
