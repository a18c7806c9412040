//! How many kernels well-known computations become.

use super::{LowerOptions, lower};
use crate::graph::Tables;
use crate::plan::Plan;
use gannet_lang::check::{Loader, Options, check};
use gannet_lang::diag::Sources;
use std::sync::Arc;

struct Library;

impl Loader for Library {
    fn load(&self, path: &str, _: Option<&str>) -> Option<(String, String)> {
        Some((path.to_string(), gannet_stdlib::file(path)?.to_string()))
    }
}

/// The plan of a function of the first train block.
fn plan(text: &str, function: &str) -> Plan {
    let mut sources = Sources::default();
    let file = sources.add("test.gnt", text);
    let checked = check(&mut sources, file, &Library, &Options::default()).unwrap_or_else(|d| panic!("{d}"));
    let unit = &checked.program.units[0];
    let tables = Arc::new(Tables::of(unit));
    let function = unit.function(function).expect("the unit has that function");
    let graph = crate::build::build(unit, function, tables);
    let graph = crate::grad::differentiate(&graph);
    lower(&graph, &LowerOptions::default())
}

const MLP: &str = r#"
dim pixel = 784
dim class = 10

data images from "images.csv" {
  image: real[pixel] = columns 0..784
  label: class = column 784
}

net f(x: real[.., pixel]) -> real[.., class] {
  linear(class)(relu(linear(512)(relu(linear(512)(x)))))
}

train mlp(lr = 1e-3) on images {
  net n = f
  minimize cross_entropy(n(image), label) over n by adam(lr)
  batch 128
  epochs 1
}
"#;

#[test]
fn training_step_of_a_perceptron() {
    let plan = plan(MLP, "step");

    plan.verify().unwrap();
    assert!(plan.kernels.len() <= 15);
}
