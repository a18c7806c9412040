//! Kernels by themselves: random graphs, and products of awkward sizes, for several targets.

use crate::common::has_gpu;
use gannet::compiler::emit::wgsl::Target;
use gannet::compiler::fuse::{LowerOptions, lower};
use gannet::compiler::graph::random::{Config, Leaves, random_graph};
use gannet::compiler::plan::{Kernel, Kind, Plan};
use gannet::compiler::{CompileOptions, graph::Graph};
use gannet::lang::program::{InputId, Output};
use gannet::runtime::device::cpu;
use gannet::runtime::device::cpu::execute::{Executable, Store};
use gannet::runtime::device::cpu::memory::Memory;
use gannet::runtime::device::gpu::{self, Gpu};
use gannet::runtime::session::{numbers, stored};
use gannet::{Model, Options};
use std::sync::{Arc, OnceLock};

/// Few bindings, so that regions are bound whole; products by entries and by tiles.
const TARGETS: [Target; 4] = [
    Target { buffers: 8, tiles: false },
    Target { buffers: 8, tiles: true },
    Target { buffers: 1, tiles: false },
    Target { buffers: 1, tiles: true },
];

fn gpus() -> &'static [Arc<Gpu>] {
    static OPEN: OnceLock<Vec<Arc<Gpu>>> = OnceLock::new();
    OPEN.get_or_init(|| TARGETS.iter().map(|t| Arc::new(Gpu::open(Some(*t)).expect("it opens"))).collect())
}

/// What a plan starts from, and what it leaves behind.
struct Given {
    sizes: Vec<u64>,
    inputs: Vec<Memory>,
    store: Store,
    kinds: [Vec<(u64, Kind)>; 2],
    hypers: Vec<f64>,
    step: f64,
    seed: u64,
}

impl Given {
    fn new(graph: &Graph, leaves: &Leaves) -> Given {
        let kind = |elem| gannet::runtime::session::kind_of(elem);
        let tables = &graph.tables;
        let all = |values: &[Vec<f64>], kinds: Vec<Kind>| -> (Vec<Memory>, Vec<(u64, Kind)>) {
            let sized = values.iter().zip(kinds).map(|(v, k)| (stored(v, k, false), (v.len() as u64, k)));
            sized.unzip()
        };
        let (inputs, _) = all(&leaves.inputs, tables.inputs.iter().map(|i| kind(i.ty.elem)).collect());
        let (params, a) = all(&leaves.params, tables.params.iter().map(|p| kind(p.ty.elem)).collect());
        let (states, b) = all(&leaves.states, tables.states.iter().map(|s| kind(s.ty.elem)).collect());
        let sizes = leaves.sizes.iter().map(|n| *n as u64).collect();
        let (hypers, step, seed) = (leaves.hypers.clone(), leaves.step, leaves.seed);
        Given { sizes, inputs, store: Store { params, states }, kinds: [a, b], hypers, step, seed }
    }

    /// Outputs of machine code, in the storage orders of their buffers.
    fn on_cpu(&self, plan: &Plan) -> Vec<(Output, Vec<f64>)> {
        let copied = |all: &[Memory]| -> Vec<Memory> {
            all.iter()
                .map(|m| {
                    let mut copy = Memory::zeroed(m.len());
                    copy.bytes_mut()[..m.len()].copy_from_slice(m.bytes());
                    copy
                })
                .collect()
        };
        let mut store = Store { params: copied(&self.store.params), states: copied(&self.store.states) };
        let mut bound = cpu::execute::Bound::new(&Executable::new(plan.clone()), &self.sizes, &store, 1);
        let inputs: Vec<InputId> = bound.inputs().collect();
        // SAFETY: the memory outlives the run and has the entries of the leaf.
        inputs.into_iter().for_each(|i| unsafe { bound.set_input(i, self.inputs[i.index()].as_ptr()) });
        bound.run(&self.hypers, self.step, self.seed, &mut store).expect("random graphs have results");
        self.outputs(plan, &store, &|o| bound.values(o))
    }

    fn on_gpu(&self, plan: &Arc<Plan>, gpu: &Arc<Gpu>) -> Vec<(Output, Vec<f64>)> {
        let held = gpu::Store::new(gpu.clone(), &self.kinds[0], &self.kinds[1]).expect("small");
        let held = Arc::new(held);
        let mut bound = gpu::Bound::new(plan, &self.sizes, &held).unwrap_or_else(|d| panic!("{}\n{plan}", d.message));
        let inputs: Vec<InputId> = bound.inputs().collect();
        // SAFETY: as above.
        inputs.into_iter().for_each(|i| unsafe { bound.set_input(i, self.inputs[i.index()].as_ptr()) });
        let ran = bound.run(&self.hypers, self.step, self.seed, &self.store);
        ran.unwrap_or_else(|d| panic!("{}\n{plan}", d.message));
        let like = |all: &[Memory]| all.iter().map(|m| Memory::zeroed(m.len())).collect();
        let mut store = Store { params: like(&self.store.params), states: like(&self.store.states) };
        held.pull(&mut store).expect("the device is there");
        self.outputs(plan, &store, &|o| bound.values(o))
    }

    fn outputs(
        &self,
        plan: &Plan,
        store: &Store,
        value: &dyn Fn(&Output) -> Option<Vec<f64>>,
    ) -> Vec<(Output, Vec<f64>)> {
        let of = |o: &Output| match o {
            Output::Param(p) => {
                let (n, kind) = self.kinds[0][p.index()];
                numbers(store.params[p.index()].bytes(), kind, false, n as usize)
            }
            Output::State(s) => {
                let (n, kind) = self.kinds[1][s.index()];
                numbers(store.states[s.index()].bytes(), kind, false, n as usize)
            }
            o => value(o).expect("the plan has the output"),
        };
        plan.outputs.iter().map(|(o, _)| (o.clone(), of(o))).collect()
    }
}

fn compare(name: &str, plan: &Plan, wanted: &[(Output, Vec<f64>)], got: &[(Output, Vec<f64>)], bound: f64) -> f64 {
    let mut worst = 0.0f64;
    for ((o, x), (_, y)) in wanted.iter().zip(got) {
        assert_eq!(x.len(), y.len(), "{name}: {o:?}");
        let size = x.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        for (k, (a, b)) in x.iter().zip(y).enumerate() {
            let apart = if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { (a - b).abs() / size };
            assert!(apart <= bound, "{name}: {o:?}[{k}] is {b} instead of {a}\n{plan}");
            worst = worst.max(apart);
        }
    }
    worst
}

/// The graph as if its dims were larger, so that small samples become contractions, splits and blocks.
fn as_if_larger(graph: &Graph, factor: u64) -> Graph {
    let mut tables = (*graph.tables).clone();
    tables.assumed.iter_mut().for_each(|n| *n *= factor);
    let mut larger = graph.clone();
    larger.tables = Arc::new(tables);
    larger
}

#[test]
fn random_graphs_agree_in_every_form() {
    if !has_gpu("random graphs") {
        return;
    }
    let (mut products, mut worst) = (0, 0.0f64);
    for seed in 0..24 {
        let sample = random_graph(seed, &Config { smooth: true, steps: 20, ..Config::default() });
        let graph = as_if_larger(&sample.graph, [8, 100][seed as usize % 2]);
        let plan = Arc::new(lower(&graph, &LowerOptions { double: false, fusion: true, verify: true }));
        products += plan.kernels.iter().filter(|k| matches!(k, Kernel::Contraction(_))).count();
        let given = Given::new(&graph, &sample.leaves);
        let wanted = given.on_cpu(&plan);
        for (gpu, target) in gpus().iter().zip(&TARGETS) {
            let got = given.on_gpu(&plan, gpu);
            worst = worst.max(compare(&format!("seed {seed}, {target:?}"), &plan, &wanted, &got, 2e-4));
        }
    }
    assert!(products >= 1, "{products} contractions were seen");
    assert!(worst > 0.0, "shaders and machine code round differently somewhere");
}

/// Products whose sizes fit no tile: with a batch, transposed, with windows and with an epilogue.
const PRODUCTS: &str = "
dim row = 70, column = 83, inner = 33, member = 3, left = 5, right = 9, middle = 20, place = 31, tap = 4, channel = 6

task products {
  a ~ normal[row, inner]
  b ~ normal[inner, column]
  c ~ normal[member, left, middle]
  d ~ normal[member, middle, right]
  x ~ normal[place, channel]
  w ~ normal[tap, channel, right]
  report plain = relu(a @ b + 1)
  turned[j, i] = sum[k](a[i, k] * b[k, j])
  report transposed = turned
  same[i, j: row] = sum[k](a[i, k] * a[j, k])
  report gram = same
  other[i, j: inner] = sum[k](a[k, i] * a[k, j])
  report covariance = other
  many[n, i, j] = sum[k](c[n, i, k] * d[n, k, j])
  report batch = many
  window[i: place, o] = sum[t, c]((x[i + t - 1, c] else 0) * w[t, c, o])
  report convolution = window
}
";

#[test]
fn products_of_awkward_sizes_agree() {
    if !has_gpu("products") {
        return;
    }
    let model = Model::from_source("products.gnt", PRODUCTS).unwrap_or_else(|e| panic!("{e}"));
    let unit = model.unit(None, &[]).expect("the task");
    // As if they were large: small products are loops.
    let graph = as_if_larger(&model.stages(&unit, "report", &CompileOptions::default()).rewritten, 50);
    let plan = Arc::new(lower(&graph, &LowerOptions { double: false, fusion: true, verify: true }));
    let products = plan.kernels.iter().filter(|k| matches!(k, Kernel::Contraction(_))).count();
    assert!(products >= 5, "{products} contractions\n{plan}");
    let mut session = model.session(unit, &Options::default()).expect("a session");
    let sizes = session.bind("report", 1).expect("it is bound").sizes().iter().map(|n| *n as u64).collect();
    let store = Store { params: vec![], states: vec![] };
    let given = Given { sizes, inputs: vec![], store, kinds: [vec![], vec![]], hypers: vec![], step: 0.0, seed: 3 };
    let wanted = given.on_cpu(&plan);
    for (gpu, target) in gpus().iter().zip(&TARGETS) {
        compare(&format!("{target:?}"), &plan, &wanted, &given.on_gpu(&plan, gpu), 1e-5);
    }
}
