//! The tables of rules, by subject.
//! Law: names are unique; the order of the tables is the order in which rules are tried.

mod contractions;
mod fibers;
mod maps;
mod reads;
mod reductions;
mod stable;
mod sums;

use super::bridge::{Forms, Head};
use super::pattern::{Law, Pat};
use super::rule::{Body, Condition, Rule, Set, Site};
use crate::graph::{Graph, NodeId, Num, Op};
use gannet_lang::program::{Elem, Fun};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// All tables.
const TABLES: &[&[Rule]] = &[
    stable::STABLE,
    maps::ALGEBRA,
    maps::SIGNS,
    maps::ORDER,
    maps::LOGIC,
    maps::FORMATS,
    sums::SUMS,
    contractions::CONTRACTIONS,
    reductions::REDUCTIONS,
    reads::READS,
    fibers::FIBERS,
];

/// All rules, ready to be used.
pub struct Table {
    /// In order.
    pub rules: Vec<Rule>,
    laws: Vec<Option<Law>>,
    by_head: BTreeMap<Head, Vec<usize>>,
}

/// The table, read once.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let rules: Vec<Rule> = TABLES.iter().flat_map(|t| t.iter().copied()).collect();
        let read = |r: &Rule| matches!(r.body, Body::Pattern).then(|| Law::read(r.law));
        let laws: Vec<Option<Law>> = rules.iter().map(read).collect();
        let mut by_head: BTreeMap<Head, Vec<usize>> = BTreeMap::new();
        for (k, rule) in rules.iter().enumerate() {
            let head = match rule.body {
                Body::Code(head, _) => head,
                Body::Pattern => laws[k].as_ref().expect("a pattern has a law").head(),
            };
            by_head.entry(head).or_default().push(k);
        }
        Table { rules, laws, by_head }
    })
}

impl Table {
    /// The rules that may start at a head.
    pub fn at(&self, head: Head) -> &[usize] {
        self.by_head.get(&head).map_or(&[], Vec::as_slice)
    }

    /// The heads that have rules, each with its rules.
    pub fn heads(&self) -> impl Iterator<Item = (Head, &[usize])> {
        self.by_head.iter().map(|(h, r)| (*h, r.as_slice()))
    }

    /// The number of the rule of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.rules.iter().position(|r| r.name == name)
    }

    /// The other side, if the rule matches at the node.
    pub fn apply(&self, rule: usize, site: &mut Site, id: NodeId) -> Option<NodeId> {
        let new = match (&self.rules[rule].body, &self.laws[rule]) {
            (Body::Code(_, apply), _) => apply(site, id)?,
            (Body::Pattern, law) => law.as_ref().expect("a pattern has a law").apply(site, id)?,
        };
        // A right side that lost an axis (because the operand that carried it is gone) is no replacement.
        (new != id && site.g.ty(new) == site.g.ty(id)).then_some(new)
    }
}

/// Is the rule among those that may change at most so much?
pub fn allowed(rule: &Rule, most: Set) -> bool {
    rule.set <= most
}

/// Applies one rule at one node, outside any e-graph.
///
/// # Panics
/// If there is no rule of that name.
pub fn apply(name: &str, g: &mut Graph, id: NodeId) -> Option<NodeId> {
    let rule = table().find(name).unwrap_or_else(|| panic!("there is no rule {name}"));
    table().apply(rule, &mut Site { g, forms: &Forms::default() }, id)
}

/// The left side of a pattern rule, with `leaf` called once for each variable and its conditions; nothing for rules
/// given by code.
pub fn instance(name: &str, g: &mut Graph, leaf: &mut dyn FnMut(&mut Graph, &[Condition]) -> NodeId) -> Option<NodeId> {
    let rule = table().find(name)?;
    let law = table().laws[rule].as_ref()?;
    let vars: Vec<NodeId> = (0..law.vars)
        .map(|v| {
            let mut conditions: Vec<Condition> = law.conditions.iter().filter(|c| c.1 == v).map(|c| c.0).collect();
            if stands_for_truth(&law.left, v) {
                conditions.push(Condition::Truth);
            }
            leaf(g, &conditions)
        })
        .collect();
    Some(instantiate(g, &law.left, &vars))
}

/// Does the variable stand where only a truth value can?
fn stands_for_truth(pat: &Pat, var: usize) -> bool {
    let Pat::Map(fun, pats) = pat else { return false };
    let places = match fun {
        Fun::Not | Fun::And | Fun::Or => pats.len(),
        Fun::Select => 1,
        _ => 0,
    };
    pats[..places].contains(&Pat::Var(var)) || pats.iter().any(|p| stands_for_truth(p, var))
}

/// Node by node, so that the builder does not simplify the left side away.
fn instantiate(g: &mut Graph, pat: &Pat, vars: &[NodeId]) -> NodeId {
    match pat {
        Pat::Var(v) => vars[*v],
        Pat::Num(n) => g.add(Op::Const(Num::new(n.get()), Elem::Real), []),
        Pat::Map(fun, pats) => {
            let args: Vec<NodeId> = pats.iter().map(|p| instantiate(g, p, vars)).collect();
            g.add(Op::Map(*fun), args)
        }
    }
}
