//! Extraction: the cheapest acyclic choice of one e-node for each class, counting shared classes once.
//! Law: what is chosen for a node uses only nodes of the graph that come before it, so the pieces fit together.

use super::bridge::{ENode, Egraph, What, classes_of, scratch};
use super::cost;
use super::explain::{Change, Explainer};
use super::rules::Table;
use crate::graph::{Args, Graph, NodeId, Op, Type};
use egg::Id;
use std::collections::BTreeMap;

/// Class visits spent on trying single changes of the choice.
const VISITS: usize = 400_000;
/// Rounds over all classes with a choice.
const ROUNDS: usize = 3;
/// A change must save this part of the cost: less is noise of the estimate.
const GAIN: f64 = 1e-6;

/// What is computed for the nodes of a region: a small graph of its own, operands before users.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pieces: Vec<(Piece, Vec<usize>)>,
    /// For each node of the region that others use, or that has a name, the piece.
    roots: BTreeMap<NodeId, usize>,
}

#[derive(Clone, Debug)]
enum Piece {
    Op(Box<(Op, Type)>),
    Outside(NodeId),
}

/// The result of an extraction.
pub struct Extracted {
    /// Nothing, if the original is as good.
    pub choice: Option<Choice>,
    /// Seconds of the original.
    pub before: f64,
    /// Seconds of the choice.
    pub after: f64,
    /// What was chosen, told, if the e-graph noted what happened.
    pub changes: Vec<Change>,
}

impl Extracted {
    /// The original.
    fn kept(before: f64) -> Extracted {
        Extracted { choice: None, before, after: before, changes: Vec::new() }
    }
}

/// One e-node as a candidate for its class.
pub(super) struct Candidate {
    pub enode: ENode,
    pub node: NodeId,
    pub args: Vec<usize>,
    cost: f64,
    /// One more than the largest number of a node outside that it reads.
    height: usize,
}

impl Candidate {
    /// Is it this operation on operands of these classes?
    pub fn is(&self, op: &Op, args: &[usize]) -> bool {
        matches!(&self.enode.what, What::Op(own) if own == op) && self.args == args
    }
}

struct Problem {
    candidates: Vec<Vec<Candidate>>,
    /// Classes may read only nodes of the graph below this.
    ceiling: Vec<usize>,
    roots: Vec<usize>,
}

/// Chooses for a region of a graph whose nodes are those below `len`.
pub fn extract(egraph: &mut Egraph, len: usize, region: &[NodeId], table: &Table) -> Extracted {
    let (mut problem, number) = Problem::new(egraph, len, region);
    let class = |egraph: &Egraph, id: NodeId| number[&egraph.find(egraph.analysis.class(id).expect("imported"))];
    let original = problem.original(&egraph.analysis.graph, region, |id| class(egraph, id));
    let before = problem.total(&original).unwrap_or(f64::INFINITY);
    let Some(mut best) = problem.by_trees() else { return Extracted::kept(before) };
    let mut after = problem.total(&best).unwrap_or(f64::INFINITY);
    if before <= after {
        (best, after) = (original.clone(), before);
    }
    problem.improve(&mut best, &mut after);
    if after >= before * (1.0 - GAIN) {
        return Extracted::kept(before);
    }
    let roots: Vec<(NodeId, usize)> = region.iter().map(|id| (*id, class(egraph, *id))).collect();
    let choice = Some(problem.choice(egraph, &best, &roots));
    let changes = match egraph.analysis.events {
        None => Vec::new(),
        Some(_) => {
            let was = |class: usize| if roots.iter().any(|r| r.1 == class) { original[class] } else { 0 };
            let chosen = problem.walk(&best).unwrap_or_default().into_iter().map(|c| (c, was(c), best[c]));
            Explainer::new(egraph, &number, &problem.candidates, table).changes(chosen)
        }
    };
    Extracted { choice, before, after, changes }
}

/// The nodes of the region that something outside of it uses.
fn used_outside(graph: &Graph, len: usize, region: &[NodeId]) -> Vec<NodeId> {
    let mut inside = vec![false; len];
    region.iter().for_each(|id| inside[id.index()] = true);
    let mut used = vec![false; len];
    let live = graph.live();
    for id in graph.ids().take(len).filter(|id| live[id.index()] && !inside[id.index()]) {
        graph.node(id).args.iter().for_each(|a| used[a.index()] = true);
    }
    graph.outputs.iter().for_each(|(_, id)| used[id.index()] = true);
    region.iter().copied().filter(|id| used[id.index()]).collect()
}

impl Problem {
    fn new(egraph: &mut Egraph, len: usize, region: &[NodeId]) -> (Problem, BTreeMap<Id, usize>) {
        let mut classes: Vec<(Id, Vec<ENode>)> = egraph.classes().map(|c| (c.id, c.nodes.clone())).collect();
        classes.sort_by_key(|c| c.0);
        let number: BTreeMap<Id, usize> = classes.iter().enumerate().map(|(k, c)| (c.0, k)).collect();
        let mut candidates = Vec::new();
        for (_, enodes) in classes {
            let mut found: Vec<Candidate> = Vec::new();
            for enode in enodes {
                let node = scratch(egraph, &enode);
                let ids = enode.args.iter().map(|a| number[&egraph.find(*a)]);
                let args = match &enode.what {
                    What::Op(op) => classes_of(op, ids),
                    What::Outside(_) => Vec::new(),
                };
                let (cost, height) = match enode.what {
                    What::Outside(id) => (0.0, id.index() + 1),
                    What::Op(_) => (cost::cost(&egraph.analysis.graph, node), 0),
                };
                found.push(Candidate { enode, node, args, cost, height });
            }
            found.sort_by_key(|c| c.node);
            candidates.push(found);
        }
        let mut ceiling = vec![usize::MAX; candidates.len()];
        for id in region.iter().rev() {
            let class = number[&egraph.find(egraph.analysis.class(*id).expect("regions are imported"))];
            ceiling[class] = id.index();
        }
        let used = used_outside(&egraph.analysis.graph, len, region);
        let root = |id: &NodeId| number[&egraph.find(egraph.analysis.class(*id).expect("regions are imported"))];
        let roots = used.iter().map(root).collect();
        (Problem { candidates, ceiling, roots }, number)
    }

    /// What the graph computes as it is: of each class the first node of the region that is in it, or else anything.
    fn original(&self, graph: &Graph, region: &[NodeId], class: impl Fn(NodeId) -> usize) -> Vec<usize> {
        let mut choice = vec![0; self.candidates.len()];
        for id in region.iter().rev() {
            let node = graph.node(*id);
            let args = classes_of(&node.op, node.args.iter().map(|a| class(*a)));
            let found = self.candidates[class(*id)].iter().position(|c| c.is(&node.op, &args));
            choice[class(*id)] = found.expect("nodes of the region are in their classes");
        }
        choice
    }

    /// The cheapest trees: shared classes counted as often as they are used. Nothing, if a root has no tree.
    fn by_trees(&mut self) -> Option<Vec<usize>> {
        let n = self.candidates.len();
        let (mut best, mut height, mut choice) = (vec![f64::INFINITY; n], vec![0; n], vec![0; n]);
        let mut changed = true;
        while changed {
            changed = false;
            for class in 0..n {
                for (k, c) in self.candidates[class].iter().enumerate() {
                    let total = c.cost + c.args.iter().map(|a| best[*a]).sum::<f64>();
                    let high = c.args.iter().map(|a| height[*a]).max().unwrap_or(0).max(c.height);
                    if total < best[class] * (1.0 - 1e-12) && total.is_finite() && high <= self.ceiling[class] {
                        (best[class], height[class], choice[class]) = (total, high, k);
                        changed = true;
                    }
                }
            }
        }
        self.roots.iter().all(|r| best[*r].is_finite()).then_some(choice)
    }

    /// Seconds for the roots, each class once; nothing if the choice has a cycle or reads too high.
    fn total(&self, choice: &[usize]) -> Option<f64> {
        Some(self.walk(choice)?.iter().map(|c| self.candidates[*c][choice[*c]].cost).sum())
    }

    /// The chosen classes, operands before users.
    fn walk(&self, choice: &[usize]) -> Option<Vec<usize>> {
        const NEW: u8 = 0;
        const OPEN: u8 = 1;
        const DONE: u8 = 2;
        let mut state = vec![NEW; self.candidates.len()];
        let mut height = vec![0; self.candidates.len()];
        let mut order = Vec::new();
        let mut stack: Vec<(usize, bool)> = self.roots.iter().rev().map(|r| (*r, false)).collect();
        while let Some((class, leave)) = stack.pop() {
            let chosen = &self.candidates[class][choice[class]];
            if leave {
                height[class] = chosen.args.iter().map(|a| height[*a]).max().unwrap_or(0).max(chosen.height);
                if height[class] > self.ceiling[class] {
                    return None;
                }
                state[class] = DONE;
                order.push(class);
                continue;
            }
            match state[class] {
                DONE => continue,
                OPEN => return None,
                _ => state[class] = OPEN,
            }
            stack.push((class, true));
            for arg in chosen.args.iter().rev() {
                match state[*arg] {
                    DONE => {}
                    OPEN => return None,
                    _ => stack.push((*arg, false)),
                }
            }
        }
        Some(order)
    }

    /// Tries another e-node for one class at a time, and keeps it where the whole gets cheaper.
    fn improve(&self, choice: &mut [usize], total: &mut f64) {
        let mut visits = VISITS;
        for _ in 0..ROUNDS {
            let start = *total;
            for class in self.walk(choice).unwrap_or_default().into_iter().rev() {
                for k in 0..self.candidates[class].len() {
                    let old = choice[class];
                    if k == old || visits == 0 {
                        continue;
                    }
                    visits = visits.saturating_sub(self.candidates.len());
                    choice[class] = k;
                    match self.total(choice) {
                        Some(new) if new < *total * (1.0 - GAIN) => *total = new,
                        _ => choice[class] = old,
                    }
                }
            }
            if *total >= start {
                break;
            }
        }
    }

    fn choice(&self, egraph: &Egraph, choice: &[usize], roots: &[(NodeId, usize)]) -> Choice {
        let order = self.walk(choice).expect("the choice was priced");
        let mut place = vec![usize::MAX; self.candidates.len()];
        let mut result = Choice::default();
        for class in order {
            let chosen = &self.candidates[class][choice[class]];
            let piece = match &chosen.enode.what {
                What::Outside(id) => Piece::Outside(*id),
                What::Op(op) => Piece::Op(Box::new((op.clone(), egraph.analysis.graph.ty(chosen.node).clone()))),
            };
            place[class] = result.pieces.len();
            result.pieces.push((piece, chosen.args.iter().map(|a| place[*a]).collect()));
        }
        result.roots = roots.iter().filter(|(_, c)| place[*c] != usize::MAX).map(|(id, c)| (*id, place[*c])).collect();
        result
    }
}

/// The graph with each region computed as chosen.
pub fn assemble(graph: &Graph, len: usize, regions: &[Vec<NodeId>], chosen: &[Option<Choice>]) -> Graph {
    let mut new = Graph::like(graph);
    let live = graph.live();
    let mut region_of: Vec<Option<usize>> = vec![None; len];
    for (k, region) in regions.iter().enumerate() {
        region.iter().filter(|_| chosen[k].is_some()).for_each(|id| region_of[id.index()] = Some(k));
    }
    let mut built: Vec<Vec<Option<NodeId>>> =
        chosen.iter().map(|c| vec![None; c.as_ref().map_or(0, |c| c.pieces.len())]).collect();
    let mut map: Vec<Option<NodeId>> = vec![None; len];
    for id in graph.ids().take(len).filter(|id| live[id.index()]) {
        let from = new.len();
        let id_new = match region_of[id.index()] {
            None => Some(demand(&mut new, graph, id, &mut map)),
            Some(k) => {
                let choice = chosen[k].as_ref().expect("its region was rewritten");
                choice.roots.get(&id).map(|piece| choice.build(&mut new, graph, *piece, &mut map, &mut built[k]))
            }
        };
        if let Some(id_new) = id_new {
            new.place_from(from, graph.place(id));
            map[id.index()] = Some(id_new);
        }
    }
    let place = |id: &NodeId| map[id.index()];
    new.outputs = graph.outputs.iter().map(|(o, id)| (o.clone(), place(id).expect("outputs are roots"))).collect();
    new.names = graph.names.iter().filter_map(|(n, id)| Some((n.clone(), place(id)?))).collect();
    new.rebuild(|g, _, node, args| super::simplify::again(g, &node.op, args, node.ty.clone()))
}

/// A node of the old graph as it was: rules look through operands outside of their region, and so may want a node that
/// its own region no longer computes.
fn demand(g: &mut Graph, old: &Graph, id: NodeId, map: &mut [Option<NodeId>]) -> NodeId {
    if let Some(known) = map[id.index()] {
        return known;
    }
    let node = old.node(id);
    let args: Args = node.args.iter().map(|a| demand(g, old, *a, map)).collect();
    let new = super::simplify::again(g, &node.op, &args, node.ty.clone());
    map[id.index()] = Some(new);
    new
}

impl Choice {
    fn build(
        &self,
        g: &mut Graph,
        old: &Graph,
        piece: usize,
        map: &mut [Option<NodeId>],
        built: &mut [Option<NodeId>],
    ) -> NodeId {
        if let Some(id) = built[piece] {
            return id;
        }
        let (what, args) = &self.pieces[piece];
        let id = match what {
            Piece::Outside(id) => demand(g, old, *id, map),
            Piece::Op(typed) => {
                let (op, ty) = &**typed;
                let args: Args = args.iter().map(|a| self.build(g, old, *a, map, built)).collect();
                super::simplify::again(g, op, &args, ty.clone())
            }
        };
        built[piece] = Some(id);
        id
    }
}
