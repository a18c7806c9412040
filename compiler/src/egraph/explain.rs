//! What rewriting did, told: the rules that fired and where, what was chosen from the e-graphs, and why that is equal.
//! Law: telling changes nothing; a proof is a chain of rules, each of which was applied.

use super::bridge::{Classes, Egraph, classes_of};
use super::extract::Candidate;
use super::rule::Rule;
use super::rules::Table;
use super::{Options, Report, rewrite_told};
use crate::graph::{Graph, NodeId, Place};
use egg::Id;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

/// Levels of an expression that are written out.
const LEVELS: usize = 3;

/// A rule that was applied.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub rule: &'static str,
    /// What it says.
    pub law: &'static str,
    /// Where the equation stands.
    pub place: Place,
    /// What was there.
    pub before: String,
    /// What came of it.
    pub after: String,
}

/// A form chosen from an e-graph.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where the equation stands.
    pub place: Place,
    /// What was there.
    pub before: String,
    /// What is computed instead.
    pub after: String,
    /// Rules that lead from the one to the other; one that is used backwards has its sides exchanged.
    pub proof: Vec<Step>,
}

/// How a graph was rewritten.
pub struct Explanation {
    /// As it came.
    pub before: Graph,
    /// As it left.
    pub after: Graph,
    /// Of the graph, and before it of the steps of its loops.
    pub reports: Vec<Report>,
}

/// Rewrites a graph and the steps of its loops, and tells how.
pub fn explain(graph: &Graph, options: Options) -> Explanation {
    let reports = RefCell::new(Vec::new());
    let told = |g: &Graph| {
        let (new, report) = rewrite_told(g, options, true);
        reports.borrow_mut().push(report);
        new
    };
    let after = told(&graph.map_bodies(&told));
    Explanation { before: graph.clone(), after, reports: reports.into_inner() }
}

/// What is noted while a graph is rewritten.
pub(super) struct Account {
    /// How often each rule fired, by its number.
    pub fired: Vec<usize>,
    /// Each application, if it is to be told.
    pub steps: Option<Vec<Step>>,
}

impl Account {
    /// For so many rules.
    pub fn new(rules: usize, told: bool) -> Account {
        Account { fired: vec![0; rules], steps: told.then(Vec::new) }
    }

    /// Is each application told?
    pub fn told(&self) -> bool {
        self.steps.is_some()
    }

    /// A rule was applied at a node that stands in for an equation of the source.
    pub fn applied(&mut self, rule: &Rule, number: usize, g: &Graph, place: Place, (old, new): (NodeId, NodeId)) {
        self.fired[number] += 1;
        if let Some(steps) = &mut self.steps {
            steps.push(Step { place, ..step(rule, g, old, new) });
        }
    }
}

fn step(rule: &Rule, g: &Graph, old: NodeId, new: NodeId) -> Step {
    let (before, after) = (g.expression(old, LEVELS), g.expression(new, LEVELS));
    Step { rule: rule.name, law: rule.law, place: g.place(old), before, after }
}

/// Finds the chains of rules between the forms of a class.
pub(super) struct Explainer<'a> {
    graph: &'a Graph,
    candidates: &'a [Vec<Candidate>],
    table: &'a Table,
    /// Of each class its applications of rules: rule, the nodes, the forms that these are.
    links: BTreeMap<usize, Vec<Link>>,
}

struct Link {
    rule: usize,
    nodes: (NodeId, NodeId),
    /// The nodes that stand for these forms of the class.
    forms: (NodeId, NodeId),
}

impl<'a> Explainer<'a> {
    /// For an e-graph whose classes have these numbers.
    pub fn new(
        egraph: &'a Egraph,
        number: &BTreeMap<Id, usize>,
        candidates: &'a [Vec<Candidate>],
        table: &'a Table,
    ) -> Explainer<'a> {
        let Classes { graph, events, .. } = &egraph.analysis;
        let class = |id: NodeId| number.get(&egraph.find(egraph.analysis.class(id)?)).copied();
        let form = |id: NodeId| {
            let node = graph.node(id);
            let args = classes_of(&node.op, node.args.iter().map(|a| class(*a).unwrap_or(usize::MAX)));
            candidates[class(id)?].iter().find(|c| c.node == id || c.is(&node.op, &args)).map(|c| c.node)
        };
        let mut links: BTreeMap<usize, Vec<Link>> = BTreeMap::new();
        for (rule, old, new) in events.iter().flatten() {
            if let (Some(k), Some(a), Some(b)) = (class(*old), form(*old), form(*new)) {
                links.entry(k).or_default().push(Link { rule: *rule, nodes: (*old, *new), forms: (a, b) });
            }
        }
        Explainer { graph, candidates, table, links }
    }

    /// What changed: of classes the form that was there and the one that was chosen.
    pub fn changes(&self, chosen: impl Iterator<Item = (usize, usize, usize)>) -> Vec<Change> {
        let nodes = |(class, from, to): (usize, usize, usize)| {
            let node = |form: usize| self.candidates[class][form].node;
            (class, node(from), node(to))
        };
        let change = |(class, from, to): (usize, NodeId, NodeId)| Change {
            place: self.graph.place(from),
            before: self.graph.expression(from, LEVELS),
            after: self.graph.expression(to, LEVELS),
            proof: self.path(class, from, to),
        };
        chosen.map(nodes).filter(|(_, from, to)| from != to).map(change).collect()
    }

    /// The shortest chain of rules from one form of a class to another.
    fn path(&self, class: usize, from: NodeId, to: NodeId) -> Vec<Step> {
        let links = self.links.get(&class).map_or(&[][..], Vec::as_slice);
        let mut back: BTreeMap<NodeId, (NodeId, &Link)> = BTreeMap::new();
        let mut open = VecDeque::from([from]);
        while let Some(form) = open.pop_front() {
            for link in links {
                let (a, b) = link.forms;
                let next = if a == form { b } else { a };
                if (a == form || b == form) && next != from && !back.contains_key(&next) {
                    back.insert(next, (form, link));
                    open.push_back(next);
                }
            }
        }
        let (mut steps, mut at) = (Vec::new(), to);
        while let Some((before, link)) = back.get(&at) {
            let ahead = link.forms.1 == at;
            let (old, new) = if ahead { link.nodes } else { (link.nodes.1, link.nodes.0) };
            steps.push(step(&self.table.rules[link.rule], self.graph, old, new));
            at = *before;
        }
        steps.reverse();
        steps
    }
}
