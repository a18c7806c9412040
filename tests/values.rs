//! What programs compute: small tasks whose checks say what their values and gradients are, one case for each construct.
//! Law: every check holds on the compiled program, and the reference evaluator gives the same reports.
//!
//! A file of `tests/values` holds cases: a line `#: name`, then a program. Gradients stand beside what they must be.

use gannet::compiler::CompileOptions;
use gannet::compiler::graph::Tables;
use gannet::lang::program::{Output, Size, Unit, UnitKind};
use gannet::runtime::reference::{Env, eval};
use gannet::{Model, Options};
use std::sync::Arc;

/// The cases of a file.
fn cases(text: &str) -> Vec<(String, String)> {
    let parts = text.split("#: ").skip(1);
    let case = |p: &str| p.split_once('\n').map(|(n, s)| (n.to_string(), s.to_string()));
    parts.map(|p| case(p).expect("a case has a name and a program")).collect()
}

fn run_file(file: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/values").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut wrong = String::new();
    for (name, source) in cases(&text) {
        if let Err(fault) = run_case(&source) {
            wrong += &format!("== {name}\n{fault}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn run_case(source: &str) -> Result<(), String> {
    let model = Model::from_source("case.gnt", source).map_err(|e| e.to_string())?;
    let options = Options { threads: 1, ..Options::default() };
    for check in model.run_checks(&options).map_err(|e| e.to_string())? {
        if !check.passed {
            return Err(format!("the check `{}` fails: {:?}", check.text, check.sides));
        }
    }
    for unit in &model.checked().program.units {
        if unit.kind == UnitKind::Task
            && unit.dims.iter().all(|d| matches!(d.size, Size::Fixed(_)) || d.name == "batch")
        {
            against_reference(&model, unit)?;
        }
    }
    Ok(())
}

/// The reports of a task in f64, compiled and by the reference evaluator.
fn against_reference(model: &Model, unit: &Unit) -> Result<(), String> {
    let options = Options { threads: 1, double: true, ..Options::default() };
    let run = model.train(&unit.name, &options).map_err(|e| e.to_string())?;
    let size = |d: &gannet::lang::program::Dim| if let Size::Fixed(n) = d.size { n as usize } else { 1 };
    let hypers = unit.hypers.iter().map(|h| h.default).collect();
    let mut env = Env { sizes: unit.dims.iter().map(size).collect(), hypers, ..Env::default() };
    env.seed = options.seed;
    env.params = vec![vec![]; unit.params.len()];
    env.states = vec![vec![]; unit.states.len()];
    let values = |name: &str, env: &Env| -> Result<Vec<(Output, Vec<f64>)>, String> {
        let compile = CompileOptions { rewrites: false, ..options.compile.clone() };
        let function = unit.function(name).expect("a task has the function");
        let graph = gannet::compiler::stages_of(unit, function, Arc::new(Tables::of(unit)), &compile).differentiated;
        let found = eval(&graph, env).map_err(|f| f.message)?;
        Ok(found.into_iter().map(|(o, t)| (o, t.data)).collect())
    };
    for (output, data) in values("init", &env)? {
        match output {
            Output::Param(p) => env.params[p.index()] = data,
            Output::State(s) => env.states[s.index()] = data,
            _ => {}
        }
    }
    for (output, data) in values("report", &env)? {
        let Output::Report(k) = output else { continue };
        let name = &unit.reports[k].name;
        let compiled = run.report(name).expect("every report is there");
        let expected = data.first().copied().unwrap_or(f64::NAN);
        if (compiled - expected).abs() > 1e-9 * expected.abs().max(1.0) {
            return Err(format!("`{name}` is {compiled}, and {expected} by the reference"));
        }
    }
    Ok(())
}

#[test]
fn values() {
    run_file("values.gnt");
}

#[test]
fn nets() {
    run_file("nets.gnt");
}

#[test]
fn domains() {
    run_file("domains.gnt");
}

#[test]
fn derivatives() {
    run_file("derivatives.gnt");
}

#[test]
fn edges() {
    run_file("edges.gnt");
}
