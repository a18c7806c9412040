//! Rewriting: rules as data, equality saturation by egg, extraction by estimated time.
//! Law: the outputs keep their values (up to rounding, unless `strict`), and two runs give the same graph.
//!
//! First the rules that never make anything worse are applied until none fires. Then, in the regions where sums and
//! products may be regrouped, egg keeps all forms, and the cheapest is taken; the original stays where nothing is
//! cheaper. [`order`] afterwards splits contractions of several factors into those of two.

mod bridge;
mod cost;
mod explain;
mod extract;
mod order;
mod pattern;
mod rule;
mod rules;
mod saturate;
mod simplify;

pub use bridge::Head;
pub use cost::cost as cost_of;
pub use explain::{Change, Explanation, Step, explain};
pub use order::order;
pub use rule::{Body, Condition, Rule, Set, Site, Use};
pub use rules::{apply, instance};
pub use saturate::Region;

use crate::graph::Graph;

/// What the pass may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Only rules that keep every bit.
    pub strict: bool,
}

/// What the pass did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rules that fired and how often, in the order of the tables.
    pub rules: Vec<(&'static str, usize)>,
    /// The regions that went through the e-graph.
    pub regions: Vec<Region>,
    /// Seconds by estimate of the graph as it came.
    pub before: f64,
    /// Seconds by estimate of the graph as it left.
    pub after: f64,
    /// Rules that never make anything worse, where they were applied; told only if it was asked for.
    pub steps: Vec<Step>,
}

/// All rules, in order.
pub fn rules() -> &'static [Rule] {
    &rules::table().rules
}

/// Rewrites a graph into an equal, cheaper one.
pub fn rewrite(graph: &Graph, options: Options) -> Graph {
    rewrite_report(graph, options).0
}

/// Rewrites a graph, and says how.
pub fn rewrite_report(graph: &Graph, options: Options) -> (Graph, Report) {
    rewrite_told(graph, options, false)
}

/// [`rewrite_report`], with each application of a rule if it is to be `told`.
fn rewrite_told(graph: &Graph, options: Options, told: bool) -> (Graph, Report) {
    let table = rules::table();
    let most = match (options.strict, graph.compared_with_extremum().is_empty()) {
        (true, _) => Set::Exact,
        (false, false) => Set::Fast,
        (false, true) => Set::Order,
    };
    let mut account = explain::Account::new(table.rules.len(), told);
    let before = estimate(graph);
    let simple = simplify::simplify(graph, table, most, &mut account);
    let (chosen, regions) = saturate::saturate(simple.clone(), table, most, &mut account);
    let done = simplify::simplify(&chosen, table, most, &mut account);
    // The builder flattens what the e-graph shared, so the choice is priced once more as it was built.
    let done = if estimate(&done) <= estimate(&simple) { done } else { simple };
    let rules = table.rules.iter().zip(&account.fired).filter(|(_, n)| **n > 0).map(|(r, n)| (r.name, *n)).collect();
    let report = Report { rules, regions, before, after: estimate(&done), steps: account.steps.unwrap_or_default() };
    (done, report)
}

/// Seconds by estimate for all outputs of a graph.
pub fn estimate(graph: &Graph) -> f64 {
    let live = graph.live();
    graph.ids().filter(|id| live[id.index()]).map(|id| cost::cost(graph, id)).sum()
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "estimate: {:.1} us -> {:.1} us", self.before * 1e6, self.after * 1e6)?;
        for r in &self.regions {
            writeln!(
                f,
                "region of {} nodes: {} e-nodes in {} classes, {}, {:.1} us -> {:.1} us",
                r.nodes,
                r.enodes,
                r.classes,
                r.stop,
                r.before * 1e6,
                r.after * 1e6
            )?;
        }
        self.rules.iter().try_for_each(|(name, n)| writeln!(f, "{name}: {n}"))
    }
}
