//! Directed simplification: the rules that are never worse, applied until none fires.
//! Law: it ends after a bounded number of sweeps, each linear in the graph.

use super::bridge::{Forms, head};
use super::explain::Account;
use super::rule::{Set, Site, Use};
use super::rules::{Table, allowed};
use crate::graph::{Graph, NodeId, Op, Place, Type};

/// Sweeps over the whole graph. Each one sees what the one before built; models settle in two or three.
const SWEEPS: usize = 8;
/// Rules applied in a row at one node: a chain this long is a loop.
const STEPS: usize = 16;

/// Simplifies all of the graph.
pub fn simplify(graph: &Graph, table: &Table, most: Set, account: &mut Account) -> Graph {
    let mut graph = graph.rebuild(|g, _, node, args| again(g, &node.op, args, node.ty.clone()));
    for _ in 0..SWEEPS {
        let before: usize = account.fired.iter().sum();
        let old = &graph;
        graph = graph.rebuild(|g, id, node, args| {
            let place = old.place(id);
            let mut id = again(g, &node.op, args, node.ty.clone());
            for _ in 0..STEPS {
                match step(g, table, most, account, id, place) {
                    Some(new) => id = new,
                    None => break,
                }
            }
            id
        });
        if account.fired.iter().sum::<usize>() == before {
            break;
        }
    }
    graph
}

fn step(g: &mut Graph, table: &Table, most: Set, account: &mut Account, id: NodeId, place: Place) -> Option<NodeId> {
    let forms = Forms::default();
    for &rule in table.at(head(&g.node(id).op)) {
        let used = table.rules[rule].when == Use::Always && allowed(&table.rules[rule], most);
        if used && let Some(new) = table.apply(rule, &mut Site { g, forms: &forms }, id) {
            account.applied(&table.rules[rule], rule, g, place, (id, new));
            return Some(new);
        }
    }
    None
}

/// The same operation, through the builder, so that what became constant, flat or neutral is seen.
pub fn again(g: &mut Graph, op: &Op, args: &[NodeId], ty: Type) -> NodeId {
    let new = g.remake(op, args);
    if *g.ty(new) == ty {
        return new;
    }
    g.add(op.clone(), args.iter().copied())
}
