//! Pictures of plans: `gannet emit plan --svg`.
//! Law: what is drawn is well-formed XML, and every kernel and every buffer of a plan is in its picture.

use gannet::Model;
use gannet::compiler::plan::{BufferId, Kernel, Plan};
use gannet::compiler::{CompileOptions, Stages};
use std::path::Path;
use std::process::Command;

const SMALL: &str = "
dim n = 6
dim k = 4

train small {
  param w: real[n, k] = 0.1
  x ~ normal[n]
  minimize sum((x @ w - 1)^2) over w by sgd(0.1)
  steps 3
}
";

/// A loop around products, and two calls of the library.
const LOOPS: &str = "
dim n = 8
dim time = 5

task walk {
  a ~ normal[n, n]
  g[i: n, j: n] = sum[k: n](a[i, k] * a[j, k]) + (i == j)
  b ~ normal[n]
  r = scan t in time from h = b {
    h'[i: n] = tanh(sum[j: n](g[i, j] * h[j]))
  }
  report solved = solve(g, b)
  report sorted = sort(r.h.last)
}
";

/// The plan of the first unit's training step or reports.
fn plan(name: &str, text: &str) -> Plan {
    let model = Model::from_source(name, text).unwrap_or_else(|e| panic!("{name}:\n{e}"));
    plan_of(&model)
}

fn plan_of(model: &Model) -> Plan {
    let unit = &model.checked().program.units[0];
    let function = unit.main_function();
    let Stages { plan, .. } = model.stages(unit, function, &CompileOptions::default());
    plan
}

/// Panics where the text is no well-formed XML: tags that do not match, attributes or characters left open.
fn well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        characters(&rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag is closed");
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        assert!(!tag.contains('<'), "<{tag}>");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a tag has a name");
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "</{name}>"),
            (false, false) => open.push(name),
            (false, true) => {}
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "left open: {open:?}");
}

fn characters(text: &str) {
    for part in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;"].iter().any(|e| part.starts_with(e));
        assert!(known, "&{part}");
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Kernels and buffers by what a pointer on them is told; those of loops' steps too.
fn complete(plan: &Plan, drawn: &str) {
    for (k, kernel) in plan.kernels.iter().enumerate() {
        let form = match kernel {
            Kernel::Traversal(_) => "traversal",
            Kernel::Contraction(_) => "contraction",
            Kernel::Library(_) => "library",
            Kernel::Repeat(_) => "loop",
        };
        let title = escaped(&format!("<title>kernel {k}, {form}: {}</title>", kernel.name()));
        let title = title.replace("&lt;title&gt;", "<title>").replace("&lt;/title&gt;", "</title>");
        assert!(drawn.contains(&title), "{title} is missing");
        if let Kernel::Repeat(c) = kernel {
            complete(&c.step, drawn);
        }
    }
    for b in (0..plan.buffers.len()).map(BufferId::new) {
        let title = format!("<title>{b} {}: ", escaped(&plan.buffer(b).name));
        assert!(drawn.contains(&title), "{title} is missing");
    }
}

#[test]
fn a_small_plan() {
    insta::assert_snapshot!("small_plan", plan("small.gnt", SMALL).svg("small · step"));
}

#[test]
fn loops_and_library_calls_are_drawn() {
    let plan = plan("walk.gnt", LOOPS);
    let has = |f: fn(&Kernel) -> bool| plan.kernels.iter().any(f);
    assert!(has(|k| matches!(k, Kernel::Repeat(_))) && has(|k| matches!(k, Kernel::Library(_))), "{plan}");
    let drawn = plan.svg("a < b & \"c\"\u{7}");
    well_formed(&drawn);
    complete(&plan, &drawn);
}

/// The largest plan of the workloads, one with convolutions, and one of many small kernels.
#[test]
fn pictures_of_workloads_are_complete() {
    for name in ["mlp", "cnn", "lstm", "transformer", "optimizers"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench").join(name).with_extension("gnt");
        let plan = plan_of(&Model::from_file(path, &[]).expect("the workload is accepted"));
        let drawn = plan.svg(name);
        well_formed(&drawn);
        complete(&plan, &drawn);
        assert!(drawn == plan.svg(name), "{name} is drawn in two ways");
    }
}

#[test]
fn only_plans_have_pictures() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/mlp.gnt");
    let emit = |stage: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
        command.args(["emit", stage, "--svg"]).arg(&file).output().expect("the program runs")
    };
    let drawn = emit("plan");
    assert!(drawn.status.success() && drawn.stdout.starts_with(b"<svg "), "{drawn:?}");
    let refused = emit("graph");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("there is no picture of the stage `graph`"), "{said}");
    assert!(said.contains("gannet emit plan FILE --svg"), "{said}");
}
