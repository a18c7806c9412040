//! Fusion: from a Graph to a Plan. It decides which nodes are stored, which kernels there are, in which order they run
//! and how their loops are nested.
//! Law: the Plan computes, entry by entry, what the Graph says, whatever is fused.
//!
//! Steps: [`renames`], [`prepare`], [`windows`] and [`tiles`] rewrite what no kernel takes as it is; [`context`] decides what is stored and how, [`due`] what
//! need not always be computed;
//! [`cluster`] forms kernels and merges them; [`place`] finds memory and order; [`body`], [`traversal`] and
//! [`product`] write the kernels; [`loops`] merges their loops and chooses what runs in lanes.

mod body;
mod cluster;
mod context;
mod due;
mod exact;
mod library;
mod loops;
mod orders;
mod parts;
mod place;
mod prepare;
mod product;
mod refs;
mod renames;
mod repeat;
mod sources;
#[cfg(test)]
mod tests;
mod tiles;
mod traversal;
mod windows;

use crate::graph::Graph;
use crate::plan::Plan;
use gannet_lang::program::Axis;

/// What lowering is asked for.
#[derive(Clone, Copy, Debug)]
pub struct LowerOptions {
    /// Reals are f64.
    pub double: bool,
    /// Merge kernels and recompute cheap values; without it every node is a kernel of its own.
    pub fusion: bool,
    /// Verify the plan, the steps of its loops among it (always in debug builds).
    pub verify: bool,
}

impl Default for LowerOptions {
    fn default() -> Self {
        LowerOptions { double: false, fusion: true, verify: cfg!(debug_assertions) }
    }
}

/// The Plan of a graph that has been differentiated.
///
/// # Panics
/// On `Point`, `Grad`, `Custom` and `Stop`: differentiation removes them. Under `verify` on a plan against a law.
pub fn lower(graph: &Graph, options: &LowerOptions) -> Plan {
    let plan = lower_step(graph, options, Given::default());
    if (options.verify || cfg!(debug_assertions))
        && let Err(fault) = plan.verify()
    {
        panic!("the lowered plan is not sound: {fault}\n{plan}");
    }
    plan
}

/// What a step of a loop is given: storage orders.
#[derive(Clone, Copy, Default)]
struct Given<'a> {
    /// Of its `Arg`s.
    orders: &'a [Vec<Axis>],
    /// How many of these, and of its outputs, are states: the next value is stored as the one before.
    states: usize,
}

/// The Plan of a graph, which may be the step of a loop.
fn lower_step(graph: &Graph, options: &LowerOptions, given: Given<'_>) -> Plan {
    let graph = prepare::prepare(graph);
    let mut cx = context::Context::new(&graph, *options, given);
    let mut clusters = cluster::Clusters::new(&mut cx);
    if options.fusion {
        clusters.merge(&cx);
    }
    place::schedule(cx, clusters)
}
