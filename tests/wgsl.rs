//! The WGSL of every example and workload is valid: naga parses and validates each module, as a browser would.

use gannet::Model;
use gannet::compiler::CompileOptions;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::path::PathBuf;

fn examples() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folders = ["examples", "bench"].map(|f| std::fs::read_dir(root.join(f)).expect("the examples are there"));
    let mut files: Vec<PathBuf> = folders
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "gnt"))
        .collect();
    files.sort();
    files
}

fn validate(what: &str, text: &str) {
    let module =
        naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{what}: {}\n{text}", e.emit_to_string(text)));
    Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|e| panic!("{what}: {}\n{text}", e.emit_to_string(text)));
}

#[test]
fn every_function_of_every_example_is_valid() {
    let mut modules = 0;
    for file in examples() {
        let model = Model::from_file(&file, &[]).unwrap_or_else(|e| panic!("{e}"));
        for unit in &model.checked().program.units {
            for function in &unit.functions {
                if function.outputs.is_empty() {
                    continue;
                }
                let stages = model.stages(unit, &function.name, &CompileOptions::default());
                // Library operations have no GPU form.
                let Ok(text) = gannet::compiler::emit::wgsl::emit(&stages.plan) else { continue };
                validate(&format!("{} {} {}", file.display(), unit.name, function.name), &text);
                assert_eq!(text.matches("@compute").count(), stages.plan.kernels.len(), "one entry point a kernel");
                modules += 1;
            }
        }
    }
    assert!(modules >= 20, "{modules} modules were seen");
}
