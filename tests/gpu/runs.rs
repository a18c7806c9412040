//! Whole runs: examples train on a GPU as they do on the CPU.

use crate::common::has_gpu;
use gannet::runtime::device::Choice;
use gannet::{Model, Options, Way};
use std::path::{Path, PathBuf};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn digits_are_learned_as_well() {
    if !has_gpu("digits") {
        return;
    }
    let model = Model::from_file(&example("digits_mlp.gnt"), &[]).unwrap_or_else(|e| panic!("{e}"));
    let accuracy = |device| {
        let run = model.train("digits_mlp", &Options { device, ..Options::default() });
        run.unwrap_or_else(|e| panic!("{e}")).report("accuracy").expect("the report")
    };
    let (cpu, gpu) = (accuracy(Choice::Cpu), accuracy(Choice::Gpu));
    assert!((cpu - gpu).abs() <= 0.005, "{cpu} on the CPU, {gpu} on the GPU");
}

/// The same steps in all three ways.
fn verified(file: &str, steps: u64, bound: f64) {
    let model = Model::from_file(&example(file), &[]).unwrap_or_else(|e| panic!("{file}: {e}"));
    let options = Options { steps: Some(steps), ..Options::default() };
    let ways = [Way::Reference, Way::Cpu, Way::Gpu];
    let found = model.verify(None, &options, &ways, bound).unwrap_or_else(|e| panic!("{file}: {e}"));
    assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [Way::Cpu, Way::Gpu]);
    for (way, differences) in &found {
        assert!(!differences.is_empty(), "{file}: nothing was compared");
        let beyond: Vec<_> = differences.iter().filter(|d| d.beyond.is_some()).collect();
        assert!(beyond.is_empty(), "{file}, {way:?}: {beyond:?}");
    }
}

#[test]
fn small_examples_take_the_same_steps() {
    if !has_gpu("steps of examples") {
        return;
    }
    for (file, steps) in [("iris_logistic.gnt", 50), ("diabetes_linear.gnt", 50), ("digits_mlp.gnt", 20)] {
        verified(file, steps, 1e-3);
    }
}
