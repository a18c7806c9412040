//! Piece by piece: what two products and all between them share an axis, as attention shares its batch, is computed for one
//! place of that axis after the other, so that what lies between them stays in a near cache and is never stored whole.
//! Law: a piece is a place of an axis that nothing in the group sums over or moves along, so pieces know nothing of each
//! other, and may be computed side by side.

use super::WIDTH;
use crate::graph::{At, Graph, LoopBuilder, NodeId, Op};
use gannet_lang::program::Axis;
use std::collections::{BTreeMap, BTreeSet};

/// Groups of one graph: more are not looked for.
const GROUPS: usize = 16;

/// The graph with such groups as loops without states, where an array between two products has at least so many bytes.
pub fn piece_by_piece(graph: &Graph, bytes: f64) -> Graph {
    let mut graph = graph.clone();
    for _ in 0..GROUPS {
        match find(&graph, bytes) {
            Some(group) => graph = group.applied(&graph),
            None => break,
        }
    }
    graph
}

/// Nodes that are computed together for one place of an axis at a time.
struct Group {
    axis: Axis,
    nodes: BTreeSet<NodeId>,
}

/// The first group that begins with a product whose result is larger than what it is made of.
fn find(graph: &Graph, bytes: f64) -> Option<Group> {
    let live = graph.live();
    let begins = |id: &NodeId| live[id.index()] && grows(graph, *id) && graph.entries(*id) * WIDTH >= bytes;
    for seed in graph.ids().filter(begins) {
        for axis in axes_in_common(graph, &live, seed) {
            let group = Growing::new(graph, &live, axis, bytes).from(seed);
            if let Some(group) = group.filter(|g| g.pays(graph, &live)) {
                return Some(group);
            }
        }
    }
    None
}

/// Is it a product that is larger than each of its factors?
fn grows(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    matches!(node.op, Op::Contract(_)) && node.args.iter().all(|a| graph.entries(*a) < graph.entries(id))
}

/// The axes that all factors of a product have, the one that most of the graph has first.
fn axes_in_common(graph: &Graph, live: &[bool], seed: NodeId) -> Vec<Axis> {
    let axes = graph.ty(seed).axes.iter().copied().filter(|a| passes(graph, seed, *a));
    let mut axes: Vec<Axis> = axes.filter(|a| graph.tables.entries(&[*a]) >= 2.0).collect();
    let spread = |a: &Axis| graph.ids().filter(|id| live[id.index()] && graph.ty(*id).has(*a)).count();
    axes.sort_by_key(|a| std::cmp::Reverse(spread(a)));
    axes
}

/// Is a node's value at a place of the axis made of its operands' values at that place alone?
fn passes(graph: &Graph, id: NodeId, axis: Axis) -> bool {
    let node = graph.node(id);
    let own = node.ty.has(axis);
    match &node.op {
        Op::Map(_) => own,
        Op::Reduce(_, axes) => own && !axes.contains(&axis),
        // Where a factor lacks the axis, it is one of rows: a product of all of them at once reuses that factor.
        Op::Contract(axes) => own && !axes.contains(&axis) && node.args.iter().all(|a| graph.ty(*a).has(axis)),
        Op::Read { at, .. } => {
            let speaks = |(from, to): &(Axis, At)| *from == axis || to.names(axis);
            own && !at.iter().any(speaks)
        }
        _ => false,
    }
}

/// A group that grows from a product.
struct Growing<'g> {
    graph: &'g Graph,
    live: &'g [bool],
    users: Vec<Vec<NodeId>>,
    axis: Axis,
    bytes: f64,
    nodes: BTreeSet<NodeId>,
    /// What cannot be a member: it needs a member, and something else that needs one.
    barred: BTreeSet<NodeId>,
}

impl<'g> Growing<'g> {
    fn new(graph: &'g Graph, live: &'g [bool], axis: Axis, bytes: f64) -> Self {
        Growing { graph, live, users: graph.users(), axis, bytes, nodes: BTreeSet::new(), barred: BTreeSet::new() }
    }

    /// All that is to be computed with the product; nothing, if that needs something that needs it.
    fn from(mut self, seed: NodeId) -> Option<Group> {
        self.nodes.insert(seed);
        loop {
            let before = (self.nodes.len(), self.barred.len());
            self.take_users();
            self.take_operands();
            self.close();
            if !self.nodes.contains(&seed) {
                return None;
            }
            if (self.nodes.len(), self.barred.len()) == before {
                return Some(Group { axis: self.axis, nodes: self.nodes });
            }
        }
    }

    fn large(&self, id: NodeId) -> bool {
        self.graph.entries(id) * WIDTH >= self.bytes
    }

    fn joins(&self, id: NodeId) -> bool {
        self.live[id.index()] && !self.barred.contains(&id) && passes(self.graph, id, self.axis)
    }

    /// What is made of large members.
    fn take_users(&mut self) {
        for id in self.graph.ids() {
            if self.joins(id) && self.graph.node(id).args.iter().any(|a| self.nodes.contains(a) && self.large(*a)) {
                self.nodes.insert(id);
            }
        }
    }

    /// Large operands, and what is made of large ones, that nothing but members, or what may become one, looks at.
    fn take_operands(&mut self) {
        for id in self.graph.ids().rev() {
            let users = &self.users[id.index()];
            let wanted = users.iter().any(|u| self.nodes.contains(u));
            let output = self.graph.outputs.iter().any(|o| o.1 == id);
            let fits = self.joins(id) && (self.large(id) || self.graph.node(id).args.iter().any(|a| self.large(*a)));
            if fits && wanted && !output && users.iter().all(|u| self.nodes.contains(u) || self.joins(*u)) {
                self.nodes.insert(id);
            }
        }
    }

    /// Takes in what lies between members; where that cannot be, lets go of the members that need it.
    fn close(&mut self) {
        loop {
            let after = self.graph.made_of(self.nodes.iter().copied());
            let before = self.graph.needed_for(self.nodes.iter().copied());
            let between = |id: &NodeId| {
                self.live[id.index()] && after[id.index()] && before[id.index()] && !self.nodes.contains(id)
            };
            let missing: Vec<NodeId> = self.graph.ids().filter(between).collect();
            let (inside, outside): (Vec<NodeId>, Vec<NodeId>) = missing.iter().partition(|id| self.joins(**id));
            if missing.is_empty() {
                return;
            }
            self.nodes.extend(inside);
            let far = self.graph.made_of(outside);
            self.barred.extend(self.graph.ids().filter(|id| far[id.index()]));
            self.nodes.retain(|id| !far[id.index()]);
        }
    }
}

impl Group {
    /// Is there a product whose growing result only members look at, among them another product?
    fn pays(&self, graph: &Graph, live: &[bool]) -> bool {
        let products = self.nodes.iter().filter(|id| matches!(graph.node(**id).op, Op::Contract(_))).count();
        let kept = self.kept(graph, live);
        products >= 2 && self.nodes.iter().any(|id| grows(graph, *id) && !kept.contains(id))
    }

    /// Members that others look at.
    fn kept(&self, graph: &Graph, live: &[bool]) -> BTreeSet<NodeId> {
        let mut kept = BTreeSet::new();
        for id in graph.ids().filter(|id| live[id.index()] && !self.nodes.contains(id)) {
            kept.extend(graph.node(id).args.iter().filter(|a| self.nodes.contains(a)));
        }
        kept.extend(graph.outputs.iter().map(|o| o.1).filter(|id| self.nodes.contains(id)));
        kept
    }

    /// The graph with the group as a loop: first what does not depend on it, then the loop, then the rest.
    fn applied(&self, graph: &Graph) -> Graph {
        let live = graph.live();
        let depends = graph.made_of(self.nodes.iter().copied());
        let mut new = Graph::like(graph);
        let mut map: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        let copy = |new: &mut Graph, map: &mut BTreeMap<NodeId, NodeId>, id: NodeId| {
            let node = graph.node(id);
            let made = new.add(node.op.clone(), node.args.iter().map(|a| map[a]).collect::<Vec<_>>());
            new.set_place(made, graph.place(id));
            map.insert(id, made);
        };
        let apart = graph.ids().filter(|id| live[id.index()] && !depends[id.index()]);
        apart.for_each(|id| copy(&mut new, &mut map, id));
        self.build(graph, &live, &mut new, &mut map);
        let rest = graph.ids().filter(|id| live[id.index()] && depends[id.index()] && !self.nodes.contains(id));
        rest.for_each(|id| copy(&mut new, &mut map, id));
        new.outputs = graph.outputs.iter().map(|(o, id)| (o.clone(), map[id])).collect();
        new.names = graph.names.iter().filter_map(|(name, id)| Some((name.clone(), *map.get(id)?))).collect();
        new
    }

    /// The loop, and its parts for the members that others look at.
    fn build(&self, graph: &Graph, live: &[bool], new: &mut Graph, map: &mut BTreeMap<NodeId, NodeId>) {
        let mut builder = LoopBuilder::new(self.axis);
        let mut step = Graph::like(graph);
        let mut inside: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        for id in &self.nodes {
            let node = graph.node(*id);
            for arg in node.args.iter().filter(|a| !self.nodes.contains(a)) {
                inside.entry(*arg).or_insert_with(|| match graph.node(*arg).op {
                    Op::Iota(a) if a != self.axis => step.add(Op::Iota(a), []),
                    _ => builder.outer(new, &mut step, map[arg]),
                });
            }
            let args: Vec<NodeId> = node.args.iter().map(|a| inside[a]).collect();
            let made = step.add(node.op.clone(), args);
            step.set_place(made, graph.place(*id));
            inside.insert(*id, made);
        }
        let named = graph.names.iter().filter_map(|(name, id)| Some((name.clone(), *inside.get(id)?)));
        step.names = named.collect();
        let kept: Vec<NodeId> = self.kept(graph, live).into_iter().collect();
        let each: Vec<NodeId> = kept.iter().map(|id| inside[id]).collect();
        let first = new.len();
        let made = builder.finish(new, step, &[], None, &each);
        for (k, id) in kept.iter().enumerate() {
            let part = new.part(made, k);
            map.insert(*id, part);
        }
        let place = self.nodes.first().map(|id| graph.place(*id)).unwrap_or_default();
        new.place_from(first, place);
    }
}
