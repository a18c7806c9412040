//! The passes from graph to graph and their order.
//! Law: a pass is a function with a name; timing, dumps, verification and stopping belong to the driver.

use crate::build::build;
use crate::fuse::{LowerOptions, lower};
use crate::graph::{Graph, Tables};
use crate::plan::Plan;
use crate::{egraph, flat, grad, loops};
use gannet_lang::program::{Function, Unit};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to compile.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// Reals are f64.
    pub double: bool,
    /// Run the rewriting passes.
    pub rewrites: bool,
    /// Only rewrites that keep every bit.
    pub strict: bool,
    /// Bytes that loops may store, beyond their states, for the way back; the rest is computed again.
    pub memory: Option<u64>,
    /// An array between two products that has so many bytes is computed piece by piece, if it can be.
    pub pieces: u64,
    /// Fuse kernels.
    pub fusion: bool,
    /// Verify after every pass, and the plan (always in debug builds).
    pub verify: bool,
    /// Stop after the pass of this name.
    pub stop_after: Option<String>,
    /// Leave out the passes of these names.
    pub skip: Vec<String>,
}

/// A fourth of a near cache: an array that is larger is not there any more when it is read.
const PIECES: u64 = 512 << 10;

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions {
            double: false,
            rewrites: true,
            strict: false,
            memory: None,
            pieces: PIECES,
            fusion: true,
            verify: cfg!(debug_assertions),
            stop_after: None,
            skip: Vec::new(),
        }
    }
}

/// A pass from graph to graph.
pub struct Pass {
    /// Its name, for options, dumps and timings.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Is it one of the rewriting passes?
    pub rewriting: bool,
    /// The pass.
    pub run: fn(&Graph, &CompileOptions) -> Graph,
}

impl Pass {
    /// Is it one of those that these options ask for?
    fn runs(&self, options: &CompileOptions) -> bool {
        !(self.rewriting && !options.rewrites || options.skip.iter().any(|s| s == self.name))
    }
}

/// The name of the rewriting pass.
const REWRITE: &str = "rewrite";

/// All passes, in order. Derivatives come first, since rewriting wants forward, backward and update as one graph;
/// contractions are ordered last, since rewriting finds more in products of many factors.
pub const PIPELINE: &[Pass] = &[
    Pass { name: "differentiate", about: "expands gradients", rewriting: false, run: |g, _| grad::differentiate(g) },
    Pass {
        name: "store",
        about: "keeps what going back over a loop would compute again, sums after loops",
        rewriting: true,
        run: |g, o| if o.strict { g.clone() } else { loops::store(g, o.memory) },
    },
    Pass { name: "flat", about: "computes flat vectors leaf by leaf", rewriting: true, run: by_leaves },
    Pass {
        name: REWRITE,
        about: "rewrites by rules, cheapest form by an e-graph",
        rewriting: true,
        run: |g, o| {
            let options = egraph::Options { strict: o.strict };
            egraph::rewrite(&g.map_bodies(&|step| egraph::rewrite(step, options)), options)
        },
    },
    Pass {
        name: "order",
        about: "splits contractions of several factors into those of two",
        rewriting: false,
        run: |g, _| egraph::order(&g.map_bodies(&egraph::order)),
    },
    Pass {
        name: "pieces",
        about: "computes what lies between large products piece by piece",
        rewriting: true,
        run: |g, o| loops::piece_by_piece(g, o.pieces),
    },
];

/// A sum over a vector becomes one of sums over its leaves: not the same bits.
fn by_leaves(graph: &Graph, options: &CompileOptions) -> Graph {
    if options.strict { graph.clone() } else { flat::by_leaves(graph) }
}

/// What a compilation went through.
pub struct Stages {
    /// The graph as built from the Program.
    pub built: Graph,
    /// Without gradients.
    pub differentiated: Graph,
    /// After all passes.
    pub rewritten: Graph,
    /// The plan.
    pub plan: Plan,
    /// What each stage took.
    pub times: Vec<(&'static str, Duration)>,
}

/// Compiles a function of a unit, keeping every stage.
pub fn stages_of(unit: &Unit, function: &Function, tables: Arc<Tables>, options: &CompileOptions) -> Stages {
    let mut times = Vec::new();
    let start = Instant::now();
    let built = build(unit, function, tables);
    times.push(("build", start.elapsed()));
    let mut graph = built.clone();
    let mut differentiated = built.clone();
    for pass in PIPELINE {
        if pass.runs(options) {
            let start = Instant::now();
            let next = (pass.run)(&graph, options);
            times.push((pass.name, start.elapsed()));
            check(pass, &graph, &next, options);
            graph = next;
        }
        if pass.name == "differentiate" {
            differentiated = graph.clone();
        }
        if options.stop_after.as_deref() == Some(pass.name) {
            break;
        }
    }
    let start = Instant::now();
    let wanted = LowerOptions { double: options.double, fusion: options.fusion, verify: options.verify };
    let plan = lower(&graph, &wanted);
    times.push(("lower", start.elapsed()));
    Stages { built, differentiated, rewritten: graph, plan, times }
}

/// How the rewriting pass rewrites a function of a unit.
pub fn explain(unit: &Unit, function: &Function, tables: Arc<Tables>, options: &CompileOptions) -> egraph::Explanation {
    let before = PIPELINE.iter().take_while(|pass| pass.name != REWRITE).filter(|pass| pass.runs(options));
    let graph = before.fold(build(unit, function, tables), |graph, pass| (pass.run)(&graph, options));
    egraph::explain(&graph, egraph::Options { strict: options.strict })
}

/// A broken law is a fault of the pass: it is named, with the graph before and after.
fn check(pass: &Pass, before: &Graph, after: &Graph, options: &CompileOptions) {
    if !options.verify && !cfg!(debug_assertions) {
        return;
    }
    if let Err(fault) = after.verify() {
        panic!("the pass `{}` broke a law: {fault}\nbefore:\n{before}\nafter:\n{after}", pass.name);
    }
}

/// The plan of a function of a unit.
pub fn plan_of(unit: &Unit, function: &Function, tables: Arc<Tables>, options: &CompileOptions) -> Plan {
    stages_of(unit, function, tables, options).plan
}
