//! Saturation: egg over the regions in which sums and products may be regrouped.
//! Law: limits are by nodes and iterations, never by time, so two runs give the same graph.

use super::bridge::{Classes, ENode, Egraph, Forms, Head, head, import, refresh};
use super::explain::{Account, Change};
use super::extract::{Choice, extract};
use super::rule::{Set, Site, Use};
use super::rules::{Table, allowed};
use crate::graph::{Graph, NodeId, Op, Red};
use egg::{Applier, Id, PatternAst, Rewrite, Runner, SearchMatches, Searcher, StopReason, Subst, Symbol, Var};
use gannet_lang::program::Fun;
use std::time::{Duration, Instant};

/// Iterations of a region; what matters is found in the first five on every model that was tried.
const ITERATIONS: usize = 8;
/// E-nodes of one region.
const NODES: usize = 10_000;
/// E-nodes of a region for each node that it starts with: growth beyond is products multiplied out, which seldom pays.
const GROWTH: usize = 6;
/// E-nodes of all regions of a graph together: after that, regions stay as they are, so that compile time is bounded.
const TOTAL: usize = 40_000;
/// Nodes of the graph in one region.
const REGION: usize = 400;
/// Egg's own limit is five seconds, which would make results depend on the machine.
const NO_TIME_LIMIT: Duration = Duration::from_secs(1_000_000);

/// What happened in one region.
#[derive(Clone, Debug)]
pub struct Region {
    /// Nodes of the graph.
    pub nodes: usize,
    /// E-nodes at the end.
    pub enodes: usize,
    /// E-classes at the end.
    pub classes: usize,
    /// Seconds by estimate, before.
    pub before: f64,
    /// Seconds by estimate, after; equal to `before` where the original was kept.
    pub after: f64,
    /// Why saturation stopped.
    pub stop: String,
    /// What it took to fill the e-graph, and to choose from it.
    pub took: (Duration, Duration),
    /// What was chosen, and why that is equal to what was there; told only if it was asked for.
    pub changes: Vec<Change>,
}

/// Regroups sums and products where some rule sees a choice.
pub fn saturate(graph: Graph, table: &'static Table, most: Set, account: &mut Account) -> (Graph, Vec<Region>) {
    let mut graph = graph;
    let mut reports = Vec::new();
    let len = graph.len();
    let regions = regions(&mut graph, table, most);
    let mut chosen: Vec<Option<Choice>> = Vec::new();
    let mut spent = 0;
    for region in &regions {
        if spent > TOTAL {
            chosen.push(None);
            continue;
        }
        let (back, choice, report) = saturate_region(graph, len, region, table, most, account);
        graph = back;
        chosen.push(choice);
        spent += report.enodes;
        reports.push(report);
    }
    if chosen.iter().all(Option::is_none) {
        return (graph, reports);
    }
    (super::extract::assemble(&graph, len, &regions, &chosen), reports)
}

/// May a region go through this operation?
fn regroups(op: &Op) -> bool {
    use Fun::{Add, Exp, Log, Mul, Neg, Recip, Sigmoid, Sqrt, Tanh, ToReal};
    match op {
        Op::Map(fun) => matches!(fun, Add | Mul | Neg | Recip | Exp | Log | Sqrt | Sigmoid | Tanh | ToReal),
        Op::Contract(_) | Op::Reduce(Red::Sum, _) | Op::Read { .. } | Op::Fiber { red: Red::Sum, .. } => true,
        _ => false,
    }
}

/// Connected parts of the graph made of such operations in which some rule offers a choice; cut where too large.
fn regions(graph: &mut Graph, table: &Table, most: Set) -> Vec<Vec<NodeId>> {
    let live = graph.live();
    let ids: Vec<NodeId> = graph.ids().filter(|id| live[id.index()] && regroups(&graph.node(*id).op)).collect();
    let mut parent: Vec<usize> = (0..graph.len()).collect();
    for id in &ids {
        for arg in graph.node(*id).args.clone() {
            if regroups(&graph.node(arg).op) {
                let (a, b) = (root(&mut parent, id.index()), root(&mut parent, arg.index()));
                parent[a.max(b)] = a.min(b);
            }
        }
    }
    let mut parts: std::collections::BTreeMap<usize, Vec<NodeId>> = Default::default();
    for id in &ids {
        parts.entry(root(&mut parent, id.index())).or_default().push(*id);
    }
    let mut regions = Vec::new();
    for part in parts.values() {
        for chunk in part.chunks(REGION) {
            if chunk.iter().any(|id| offers(graph, table, most, *id)) {
                regions.push(chunk.to_vec());
            }
        }
    }
    regions
}

fn root(parent: &mut [usize], mut k: usize) -> usize {
    while parent[k] != k {
        parent[k] = parent[parent[k]];
        k = parent[k];
    }
    k
}

/// Does a rule of choice fire at the node?
fn offers(graph: &mut Graph, table: &Table, most: Set, id: NodeId) -> bool {
    let forms = Forms::default();
    table.at(head(&graph.node(id).op)).iter().any(|&rule| {
        let known = &table.rules[rule];
        let tried = known.when == Use::Choose && allowed(known, most);
        tried && table.apply(rule, &mut Site { g: graph, forms: &forms }, id).is_some()
    })
}

fn saturate_region(
    graph: Graph,
    len: usize,
    region: &[NodeId],
    table: &'static Table,
    most: Set,
    account: &mut Account,
) -> (Graph, Option<Choice>, Region) {
    let start = Instant::now();
    let mut inside = vec![false; len];
    region.iter().for_each(|id| inside[id.index()] = true);
    let mut egraph = Egraph::new(Classes::new(graph, inside, table.rules.len(), account.told()));
    for id in region {
        import(&mut egraph, *id);
    }
    egraph.rebuild();
    let limit = NODES.min(GROWTH * region.len() + 200).max(egraph.total_number_of_nodes() + 100);
    let rewrites: Vec<Rewrite<ENode, Classes>> = table.heads().flat_map(|(h, r)| rewrites(table, most, h, r)).collect();
    let runner = Runner::<ENode, Classes>::new(Classes::default())
        .with_egraph(egraph)
        .with_iter_limit(ITERATIONS)
        .with_node_limit(limit)
        .with_time_limit(NO_TIME_LIMIT)
        .with_hook(|runner| {
            refresh(&mut runner.egraph);
            Ok(())
        })
        .run(&rewrites);
    let stop = stop_text(runner.stop_reason.as_ref());
    let mut egraph = runner.egraph;
    egraph.rebuild();
    let filled = start.elapsed();
    let extracted = extract(&mut egraph, len, region, table);
    let report = Region {
        nodes: region.len(),
        enodes: egraph.total_number_of_nodes(),
        classes: egraph.number_of_classes(),
        before: extracted.before,
        after: extracted.after,
        stop,
        took: (filled, start.elapsed() - filled),
        changes: extracted.changes,
    };
    for (total, here) in account.fired.iter_mut().zip(&egraph.analysis.fired) {
        *total += here;
    }
    (std::mem::take(&mut egraph.analysis.graph), extracted.choice, report)
}

fn stop_text(stop: Option<&StopReason>) -> String {
    match stop {
        Some(StopReason::Saturated) => "saturated".into(),
        Some(StopReason::IterationLimit(n)) => format!("after {n} iterations"),
        Some(StopReason::NodeLimit(n)) => format!("at {n} nodes"),
        other => format!("{other:?}"),
    }
}

/// The rules that start at a head, as egg's rewrites: one for each, in order.
fn rewrites(table: &'static Table, most: Set, head: Head, rules: &[usize]) -> Vec<Rewrite<ENode, Classes>> {
    let rules = rules.iter().filter(|k| allowed(&table.rules[**k], most));
    rules
        .map(|&rule| {
            Rewrite::new(table.rules[rule].name, AtHead(head), Other { table, rule }).expect("no variables are unbound")
        })
        .collect()
}

/// Finds the classes that have a node with that head.
struct AtHead(Head);

impl Searcher<ENode, Classes> for AtHead {
    fn search_eclass_with_limit(&self, _: &Egraph, eclass: Id, _: usize) -> Option<SearchMatches<'_, ENode>> {
        Some(SearchMatches { eclass, substs: vec![Subst::default()], ast: None })
    }

    fn search_with_limit(&self, egraph: &Egraph, limit: usize) -> Vec<SearchMatches<'_, ENode>> {
        let mut ids: Vec<Id> = egraph.classes_for_op(&self.0).map_or(Vec::new(), |ids| ids.collect());
        ids.sort();
        ids.truncate(limit);
        ids.into_iter().filter_map(|id| self.search_eclass_with_limit(egraph, id, 1)).collect()
    }

    fn vars(&self) -> Vec<Var> {
        Vec::new()
    }
}

/// Adds the rule's other side to the class.
struct Other {
    table: &'static Table,
    rule: usize,
}

impl Applier<ENode, Classes> for Other {
    fn apply_one(
        &self,
        egraph: &mut Egraph,
        eclass: Id,
        _: &Subst,
        _: Option<&PatternAst<ENode>>,
        name: Symbol,
    ) -> Vec<Id> {
        let mut changed = Vec::new();
        let node = egraph[eclass].data.node;
        for form in egraph.analysis.forms.of(node) {
            let Classes { graph, forms, tried, .. } = &mut egraph.analysis;
            let starts = self.table.at(head(&graph.node(form).op)).contains(&self.rule);
            if !starts || !tried.insert((self.rule, form, forms.stamp(&graph.node(form).args))) {
                continue;
            }
            let (first, place) = (graph.len(), graph.place(form));
            let Some(new) = self.table.apply(self.rule, &mut Site { g: graph, forms }, form) else { continue };
            graph.place_from(first, place);
            let id = import(egraph, new);
            if egraph.union_trusted(eclass, id, name) {
                egraph.analysis.applied(self.rule, form, new);
                changed.push(eclass);
            }
        }
        changed
    }
}
