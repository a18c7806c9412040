//! How many kernels well-known computations become.

use super::{LowerOptions, lower};
use crate::graph::Tables;
use crate::plan::{BufferId, Extent, Home, Kernel, Loop, Mode, Plan, Range, Stmt, Traversal};
use gannet_lang::check::{Loader, Options, check};
use gannet_lang::diag::Sources;
use gannet_lang::program::Output;
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

/// Forward three products and the loss, backward two for the layers below, three whose tiles update their weights, and
/// the sums of two large biases; loss, its gradient and the small bias are one kernel.
#[test]
fn training_step_of_a_perceptron() {
    let plan = plan(MLP, "step");
    let products = plan.kernels.iter().filter(|k| matches!(k, Kernel::Contraction(_))).count();
    assert_eq!((plan.kernels.len(), products), (11, 8), "{plan}");
    let moved = |(o, b): &(Output, BufferId)| match (o, &plan.buffer(*b).home) {
        (Output::Param(p), Home::Param(q)) => p != q,
        (Output::State(s), Home::State(t)) => s != t,
        (Output::Loss, home) => *home != Home::Result,
        _ => true,
    };
    assert_eq!(plan.outputs.iter().filter(|o| moved(o)).count(), 0, "all is updated in place:\n{plan}");
}

const CNN: &str = r#"
dim row = 28, column = 28, class = 10
data images from "images.csv" {
  image: real[1, row, column] = columns 0..784
  label: class = column 784
}
net f(x: real[1, row, column]) -> real[class] {
  h = maxpool(relu(conv(64)(relu(conv(32)(x)))))
  m[o] = mean[i, j](h[o, i, j])
  linear(class)(m)
}
train cnn on images {
  net n = f
  scores[b] = n(image[b])
  minimize cross_entropy(scores, label) over n by sgd(0.1)
  batch 64
  epochs 1
}
"#;

/// No array holds windows: the largest is an image of 64 channels with its border. Both convolutions, the two gradients
/// by weights and the one by an image run as contractions of it, biases and `relu` inside.
#[test]
fn convolutions_read_images_in_place() {
    let plan = plan(CNN, "step");
    let entries = |b: usize| plan.entries(BufferId(b as u32)).eval(&plan.tables.assumed);
    let largest = (0..plan.buffers.len()).map(entries).max();
    assert_eq!(largest, Some(64 * 64 * 30 * 30), "{plan}");
    let folds = |k: &&Kernel| matches!(k, Kernel::Contraction(c) if c.m.len() + c.n.len() > 3 || c.k.len() > 1);
    assert_eq!(plan.kernels.iter().filter(folds).count(), 5, "{plan}");
    let scatters = plan.to_string().contains("sum=");
    assert!(!scatters, "a pool's gradient is looked up:\n{plan}");
}

/// One dim `n` of 10 million and one of 1000, a parameter over each, `body` in between.
fn task(body: &str) -> String {
    format!("dim n = 10000000\ndim row = 4096\ndim column = 256\n{body}")
}

fn kernels(body: &str) -> Plan {
    plan(&task(body), "step")
}

/// The loops of a traversal that run in lanes, outermost first, with their depth.
fn lanes(l: &Loop, depth: usize, found: &mut Vec<usize>) {
    if l.mode == Mode::Vector {
        found.push(depth);
    }
    for s in &l.body {
        if let Stmt::Loop(inner) = s {
            lanes(inner, depth + 1, found);
        }
    }
}

fn lanes_of(plan: &Plan, kernel: usize) -> Vec<usize> {
    let Kernel::Traversal(t) = &plan.kernels[kernel] else { panic!("a traversal:\n{plan}") };
    let mut found = Vec::new();
    lanes(&t.outer, 0, &mut found);
    found
}

#[test]
fn adam_on_one_tensor_is_one_flat_loop() {
    let plan = kernels(
        "train t(lr = 1e-3) {\n param w: real[row, column] = 1\n minimize sum[row, column](w^2) over w by adam(lr)\n steps 1\n}",
    );
    let updates: Vec<usize> = (0..plan.kernels.len()).filter(|k| plan.kernels[*k].name().contains("adam")).collect();
    assert_eq!(updates.len(), 1, "{plan}");
    assert_eq!(lanes_of(&plan, updates[0]), [0], "{plan}");
}

#[test]
fn a_scalar_beside_a_large_pass_leaves_it_its_threads() {
    let plan = plan(
        "dim n = 1000000\ntrain t {\n param w: real[n] = 1\n minimize w[0]^2 over w by adam(0.1)\n steps 1\n}",
        "step",
    );
    let update = plan.kernels.iter().find(|k| k.name().contains("adam")).expect("the update is a kernel");
    let Kernel::Traversal(t) = update else { panic!("an update is a traversal:\n{plan}") };
    assert_eq!(t.outer.range, Range::Full(Extent::constant(1_000_000)), "{plan}");
}

/// The plan of a net on a batch.
fn net(body: &str) -> Plan {
    let text = format!(
        "dim column = 256\ndata d from \"d.csv\" {{\n x: real[column] = columns 0..256\n}}\n\
         net f(x: real[batch, column]) -> real[batch, column] {{\n{body}\n}}\n\
         train t(lr = 1) on d {{\n net n = f\n param w: real[column] = 1\n minimize sum[column]((n(x) - w)^2) over w by sgd(lr)\n batch 256\n epochs 1\n}}"
    );
    plan(&text, "net n")
}

#[test]
fn normalizations_are_one_kernel_each() {
    let softmax = net(" softmax[column](x)");
    assert_eq!(softmax.kernels.len(), 1, "{softmax}");
    assert_eq!(lanes_of(&softmax, 0), [1, 1, 1], "{softmax}");
    let layernorm = net(" layernorm()(x)");
    assert_eq!(layernorm.kernels.len(), 1, "{layernorm}");
}

#[test]
fn a_long_sum_is_split() {
    let plan = plan("dim n = 10000000\ntask t {\n x ~ normal[n]\n report total = sum[n](x)\n}", "report");
    assert_eq!(plan.kernels.len(), 2, "{plan}");
    assert!(plan.buffers.iter().any(|b| b.blocks.is_some()), "{plan}");
}

#[test]
fn the_text_of_a_plan() {
    insta::assert_snapshot!(net(" softmax[column](x)"));
}

/// Plans with one fault each, and what the verifier says.
#[test]
fn the_verifier_finds_faults() {
    let sound = net(" softmax[column](x)");
    let fault = |spoil: &dyn Fn(&mut Traversal)| {
        let mut plan = sound.clone();
        let Kernel::Traversal(t) = &mut plan.kernels[0] else { panic!("a traversal") };
        spoil(t);
        plan.verify().expect_err("a fault")
    };
    let twice = fault(&|t| t.outer.body.insert(0, t.outer.body[0].clone()));
    assert!(twice.contains("defined twice"), "{twice}");
    let late = fault(&|t| t.outer.body.rotate_left(1));
    assert!(late.contains("not defined"), "{late}");
    let outside = fault(&|t| t.outer.id = crate::plan::LoopId(99));
    assert!(outside.contains("outside"), "{outside}");
    let nested = fault(&|t| t.outer.mode = Mode::Vector);
    assert!(nested.contains("lanes inside lanes"), "{nested}");
    let mut missing = sound.clone();
    missing.kernels.clear();
    let missing = missing.verify().expect_err("nothing is written");
    assert!(missing.contains("never written"), "{missing}");
}
