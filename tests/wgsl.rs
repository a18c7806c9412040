//! The WGSL of every example and workload is valid, in every form: naga parses and validates each module, as a browser would.

use gannet::Model;
use gannet::compiler::CompileOptions;
use gannet::compiler::emit::wgsl::{self, Form, Region, Target};
use gannet::compiler::plan::{Kernel, Plan};
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

/// Validates every shader of a plan and of the steps of its loops, in each form and with few bindings; how many.
fn validate_plan(what: &str, plan: &Plan) -> usize {
    let mut shaders = 0;
    for (k, kernel) in plan.kernels.iter().enumerate() {
        if let Kernel::Repeat(c) = kernel {
            shaders += validate_plan(&format!("{what}, step of k{k}"), &c.step);
        }
        for (buffers, tiles) in [(8, true), (2, false)] {
            let target = Target { buffers, tiles };
            for form in [Form::Entries, Form::Tiles, Form::LargeTiles] {
                let Some(shader) = wgsl::shader(plan, k, target, form) else { continue };
                validate(&format!("{what}: k{k}, {form:?} for {target:?}"), &wgsl::module(plan, &shader));
                let most = buffers.max(Region::ALL.len());
                assert!(shader.bindings.len() <= most, "{what}: k{k} has {} bindings", shader.bindings.len());
                shaders += 1;
                if !matches!(kernel, Kernel::Contraction(_)) {
                    break;
                }
            }
        }
    }
    shaders
}

fn templates(plan: &Plan) -> usize {
    let of = |kernel: &Kernel| match kernel {
        Kernel::Traversal(_) | Kernel::Contraction(_) => 1,
        Kernel::Library(_) => 0,
        Kernel::Repeat(c) => templates(&c.step),
    };
    plan.kernels.iter().map(of).sum()
}

#[test]
fn every_function_of_every_example_is_valid() {
    let mut shaders = 0;
    for file in examples() {
        let model = Model::from_file(&file, &[]).unwrap_or_else(|e| panic!("{e}"));
        for unit in &model.checked().program.units {
            for function in &unit.functions {
                if function.outputs.is_empty() {
                    continue;
                }
                let stages = model.stages(unit, &function.name, &CompileOptions::default());
                let what = format!("{} {} {}", file.display(), unit.name, function.name);
                shaders += validate_plan(&what, &stages.plan);
                let text = wgsl::emit(&stages.plan);
                // What follows a step's heading is a module of its own; the heading's rest is a remark again.
                let (first, steps) = text.split_once(wgsl::STEP).unwrap_or((&text, ""));
                validate(&what, first);
                steps.split(wgsl::STEP).for_each(|m| validate(&what, &format!("//{m}")));
                assert_eq!(text.matches("@compute").count(), templates(&stages.plan), "one entry point a kernel");
            }
        }
    }
    assert!(shaders >= 500, "{shaders} shaders were seen");
}
