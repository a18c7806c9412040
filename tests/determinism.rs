//! Determinism as a test: of trained parameters over numbers of threads, and of the compiled text over compilations.
//! Law: the same source, data, options and seed give the same bits, in one process and in two.

use gannet::compiler::{CompileOptions, emit};
use gannet::{Model, Options};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// All example models, sorted.
fn examples() -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(example(""))
        .expect("the examples are there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "gnt"))
        .collect();
    out.sort();
    assert!(!out.is_empty());
    out
}

/// Names and bit patterns of all parameters after two epochs.
fn trained(threads: usize) -> Vec<(String, Vec<u64>)> {
    let model = Model::from_file(example("digits_mlp.gnt"), &[]).expect("the example is accepted");
    let options = Options { threads, seed: 7, epochs: Some(2), ..Default::default() };
    let run = model.train("digits_mlp", &options).expect("the example trains");
    let names = model.signature("digits_mlp").expect("the unit exists").tensors;
    let bits = |name: &str| run.param(name).expect("a tensor of the signature").iter().map(|x| x.to_bits()).collect();
    names.into_iter().map(|(name, _)| (name.clone(), bits(&name))).collect()
}

/// Every stage, of every unit of a file, that the command line prints for it.
fn compiled(path: &Path) -> Vec<(String, String)> {
    let model = Model::from_file(path, &[]).expect("the example is accepted");
    let mut out = Vec::new();
    for unit in &model.checked().program.units {
        let function = unit.main_function();
        let options = CompileOptions { double: unit.double, ..CompileOptions::default() };
        let stages = model.stages(unit, function, &options);
        let of = |stage: &str| format!("{} {} {stage}", path.display(), unit.name);
        out.push((of("graph"), stages.rewritten.to_string()));
        out.push((of("plan"), stages.plan.to_string()));
        out.push((of("clif"), emit::cpu::clif(&stages.plan)));
        out.push((of("wgsl"), emit::wgsl::emit(&stages.plan)));
    }
    out
}

#[test]
fn threads_do_not_change_parameters() {
    let one = trained(1);
    assert!(one.iter().any(|(_, values)| values.len() > 1000), "the weights are among them");
    for threads in [2, 3] {
        for ((name, expected), (other, values)) in one.iter().zip(&trained(threads)) {
            assert_eq!(name, other);
            let differ = expected.iter().zip(values).filter(|(a, b)| a != b).count();
            assert!(
                expected.len() == values.len() && differ == 0,
                "{name}: {differ} entries differ, {threads} threads"
            );
        }
    }
}

#[test]
fn one_process_compiles_the_same_text_twice() {
    for path in examples() {
        for ((name, first), (_, second)) in compiled(&path).iter().zip(&compiled(&path)) {
            assert!(!first.is_empty(), "{name} is empty");
            assert!(first == second, "{name} differs from one compilation to the next");
        }
    }
}

#[test]
fn two_processes_compile_the_same_text() {
    let start = |path: &Path, stage: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
        command.args(["emit", stage]).arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    for path in examples() {
        for stage in ["graph", "plan", "clif", "wgsl"] {
            let (first, second) = (start(&path, stage), start(&path, stage));
            let first = first.wait_with_output().expect("the program ends");
            let second = second.wait_with_output().expect("the program ends");
            let name = format!("{stage} of {}", path.display());
            let refused = String::from_utf8_lossy(&first.stderr);
            // What has no GPU form yet is refused, and twice in the same words.
            if stage == "wgsl" && refused.contains("G0306") {
                assert!(first.stderr == second.stderr, "{name} is refused in other words");
                continue;
            }
            assert!(first.status.success(), "{name}: {refused}");
            assert!(!first.stdout.is_empty(), "{name} is empty");
            assert!(first.stdout == second.stdout, "{name} differs from one process to the next");
        }
    }
}

/// Hash maps are seeded anew in each process, so what depends on their order shows in one of twenty.
#[test]
fn twenty_processes_compile_the_same_text() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/mlp.gnt");
    for stage in [&["graph"][..], &["plan"], &["plan", "--svg"], &["clif"], &["wgsl"]] {
        let text = || {
            let run = Command::new(env!("CARGO_BIN_EXE_gannet")).arg("emit").args(stage).arg(&path).output();
            let run = run.expect("the program runs");
            assert!(run.status.success() && !run.stdout.is_empty(), "{stage:?}: {run:?}");
            run.stdout
        };
        let first = text();
        for k in 1..20 {
            assert!(first == text(), "{stage:?} differs in process {k}");
        }
    }
}
