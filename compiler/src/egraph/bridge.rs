//! The bridge to egg: Graph operations as e-nodes, and a scratch Graph that types and simplifies what rules build.
//! Law: every e-class has a node of the scratch graph that stands for it, and all its nodes have that node's type.

use crate::graph::{Args, Graph, NodeId, Num, Op, Red};
use egg::{Analysis, DidMerge, EGraph, FromOp, Id, Language};
use gannet_lang::program::{Elem, Fun};
use smallvec::SmallVec;
use std::collections::HashSet;

/// The part of an operation by which rules are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Head {
    /// A scalar function.
    Map(Fun),
    /// A reduction.
    Reduce(Red),
    /// A sum of products.
    Contract,
    /// A read.
    Read,
    /// The adjoint of a read.
    Fiber,
    /// Anything else: no rule starts here.
    Other,
}

/// The head of an operation.
pub fn head(op: &Op) -> Head {
    match op {
        Op::Map(fun) => Head::Map(*fun),
        Op::Reduce(red, _) => Head::Reduce(*red),
        Op::Contract(_) => Head::Contract,
        Op::Read { .. } => Head::Read,
        Op::Fiber { .. } => Head::Fiber,
        _ => Head::Other,
    }
}

/// The classes of an operation's operands; sorted where their order does not matter.
pub fn classes_of<T: Ord>(op: &Op, classes: impl Iterator<Item = T>) -> Vec<T> {
    let mut classes: Vec<T> = classes.collect();
    if op.is_unordered() {
        classes.sort();
    }
    classes
}

/// What an e-node computes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// An operation of the Graph.
    Op(Op),
    /// A node of the graph outside the region: a leaf here.
    Outside(NodeId),
}

/// An e-node: the Graph's own operation over e-classes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ENode {
    /// What is computed.
    pub what: What,
    /// From what.
    pub args: SmallVec<[Id; 4]>,
}

impl ENode {
    /// The head by which rules find it.
    pub fn head(&self) -> Head {
        match &self.what {
            What::Op(op) => head(op),
            What::Outside(_) => Head::Other,
        }
    }
}

impl Language for ENode {
    type Discriminant = Head;

    fn discriminant(&self) -> Head {
        self.head()
    }

    fn matches(&self, other: &Self) -> bool {
        self.what == other.what && self.args.len() == other.args.len()
    }

    fn children(&self) -> &[Id] {
        &self.args
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.args
    }

    /// Sums and products stay sorted when classes merge, so that congruence sees through their order.
    fn update_children<F: FnMut(Id) -> Id>(&mut self, mut f: F) {
        for id in &mut self.args {
            *id = f(*id);
        }
        if let What::Op(op) = &self.what
            && op.is_unordered()
        {
            self.args.sort();
        }
    }
}

impl FromOp for ENode {
    type Error = String;

    /// Reads a number (a real constant) or a scalar function's name, as the Graph's text has it.
    fn from_op(op: &str, children: Vec<Id>) -> Result<Self, String> {
        let args: SmallVec<[Id; 4]> = children.into();
        if let Ok(n) = op.parse::<f64>() {
            return Ok(ENode { what: What::Op(Op::Const(Num::new(n), Elem::Real)), args });
        }
        let fun = crate::graph::FUNS
            .iter()
            .find(|(name, _)| *name == op)
            .ok_or_else(|| format!("no function is called {op}"))?
            .1;
        Ok(ENode { what: What::Op(Op::Map(fun)), args })
    }
}

/// What is known of an e-class: the scratch node that stands for it, and whether that is a constant.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Of the same value and type.
    pub node: NodeId,
    /// Constants are preferred.
    pub constant: bool,
}

/// The nodes of the scratch graph that are known to be equal, as of the last refresh.
#[derive(Default, Debug)]
pub struct Forms {
    group: Vec<u32>,
    groups: Vec<SmallVec<[NodeId; 4]>>,
    /// Of each group: a number that changes when its forms change, or those of their operands, three levels deep.
    stamps: Vec<u64>,
}

const NO_GROUP: u32 = u32::MAX;
/// Rules look through at most so many forms of an operand.
const FORM_LIMIT: usize = 8;

impl Forms {
    /// All known forms of a node, itself among them.
    pub fn of(&self, id: NodeId) -> SmallVec<[NodeId; 4]> {
        match self.group.get(id.index()) {
            Some(&g) if g != NO_GROUP => self.groups[g as usize].clone(),
            _ => SmallVec::from_slice(&[id]),
        }
    }

    /// Are they known to be equal?
    pub fn same(&self, a: NodeId, b: NodeId) -> bool {
        a == b || (self.group_of(a) != NO_GROUP && self.group_of(a) == self.group_of(b))
    }

    /// A number that changes when a rule might see more below these operands than before.
    pub fn stamp(&self, args: &[NodeId]) -> u64 {
        args.iter().fold(0, |stamp, a| mix(stamp, self.stamp_of(*a)))
    }

    fn group_of(&self, id: NodeId) -> u32 {
        self.group.get(id.index()).copied().unwrap_or(NO_GROUP)
    }

    fn stamp_of(&self, id: NodeId) -> u64 {
        match self.group_of(id) {
            NO_GROUP => id.index() as u64,
            group => self.stamps[group as usize],
        }
    }

    fn stamp_groups(&mut self, graph: &Graph) {
        let own = |group: &SmallVec<[NodeId; 4]>| group.iter().fold(1, |stamp, f| mix(stamp, f.index() as u64));
        self.stamps = self.groups.iter().map(own).collect();
        for _ in 0..2 {
            let below = |f: &NodeId| self.stamp(&graph.node(*f).args);
            let deeper = self.groups.iter().map(|g| g.iter().fold(own(g), |stamp, f| mix(stamp, below(f)))).collect();
            self.stamps = deeper;
        }
    }
}

/// Mixes a number into a stamp (a multiplicative hash: equal stamps of different things only cost a missed rewrite).
fn mix(stamp: u64, x: u64) -> u64 {
    (stamp.rotate_left(23) ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The analysis of a region's e-graph.
#[derive(Default)]
pub struct Classes {
    /// Types, simplifies and shares what rules build. Starts as a copy of the graph that is rewritten.
    pub graph: Graph,
    /// The class of each scratch node that has one.
    class_of: Vec<Option<Id>>,
    /// For each node of the graph that is rewritten: does it belong to the region?
    inside: Vec<bool>,
    /// What rules see of the classes.
    pub forms: Forms,
    /// How often each rule fired, by its number.
    pub fired: Vec<usize>,
    /// Which rule made which node of which, if that is to be told.
    pub events: Option<Vec<(usize, NodeId, NodeId)>>,
    /// Rule, node and stamp of its operands: what was tried and need not be tried again. Asked only, never listed.
    pub tried: HashSet<(usize, NodeId, u64)>,
}

/// The e-graph of a region.
pub type Egraph = EGraph<ENode, Classes>;

impl Classes {
    /// For a region of `graph`: the nodes marked in `inside`; `told`, if every application of a rule is noted.
    pub fn new(graph: Graph, inside: Vec<bool>, rules: usize, told: bool) -> Self {
        Classes { graph, inside, fired: vec![0; rules], events: told.then(Vec::new), ..Classes::default() }
    }

    /// A rule made one node of another.
    pub fn applied(&mut self, rule: usize, of: NodeId, new: NodeId) {
        self.fired[rule] += 1;
        if let Some(events) = &mut self.events {
            events.push((rule, of, new));
        }
    }

    fn set_class(&mut self, node: NodeId, class: Id) {
        if self.class_of.len() <= node.index() {
            self.class_of.resize(node.index() + 1, None);
        }
        self.class_of[node.index()].get_or_insert(class);
    }

    /// The class of a scratch node, if it was imported.
    pub fn class(&self, node: NodeId) -> Option<Id> {
        self.class_of.get(node.index()).copied().flatten()
    }

    fn is_outside(&self, node: NodeId) -> bool {
        self.inside.get(node.index()).is_some_and(|inside| !inside) && !self.graph.node(node).args.is_empty()
    }
}

impl Analysis<ENode> for Classes {
    type Data = Known;

    fn make(egraph: &mut Egraph, enode: &ENode, id: Id) -> Known {
        let node = scratch(egraph, enode);
        egraph.analysis.set_class(node, id);
        Known { node, constant: egraph.analysis.graph.as_num(node).is_some() }
    }

    fn merge(&mut self, a: &mut Known, b: Known) -> DidMerge {
        debug_assert_eq!(self.graph.ty(a.node), self.graph.ty(b.node), "equal nodes have one type");
        let take = (b.constant && !a.constant) || (b.constant == a.constant && b.node < a.node);
        let grew = b.constant && !a.constant;
        if take {
            *a = b;
        }
        DidMerge(grew, !take)
    }
}

/// The scratch node of an e-node, over the nodes that stand for its operands.
pub fn scratch(egraph: &mut Egraph, enode: &ENode) -> NodeId {
    let op = match &enode.what {
        What::Outside(node) => return *node,
        What::Op(op) => op.clone(),
    };
    let args: Args = enode.args.iter().map(|id| egraph[*id].data.node).collect();
    egraph.analysis.graph.add(op, args)
}

/// Brings a scratch node, and what it is made of, into the e-graph.
pub fn import(egraph: &mut Egraph, node: NodeId) -> Id {
    if let Some(id) = egraph.analysis.class(node) {
        return egraph.find(id);
    }
    let enode = if egraph.analysis.is_outside(node) {
        ENode { what: What::Outside(node), args: SmallVec::new() }
    } else {
        let (op, args) = (egraph.analysis.graph.node(node).op.clone(), egraph.analysis.graph.node(node).args.clone());
        let mut ids: SmallVec<[Id; 4]> = args.iter().map(|a| import(egraph, *a)).collect();
        if op.is_unordered() {
            ids.sort();
        }
        ENode { what: What::Op(op), args: ids }
    };
    let id = egraph.add(enode);
    egraph.analysis.set_class(node, id);
    id
}

/// Shows the rules every class as it is now.
pub fn refresh(egraph: &mut Egraph) {
    let mut classes: Vec<(Id, Vec<ENode>)> = egraph.classes().map(|c| (c.id, c.nodes.clone())).collect();
    classes.sort_by_key(|c| c.0);
    let mut forms = Forms::default();
    let mut number = vec![NO_GROUP; egraph.nodes().len()];
    for (id, nodes) in classes {
        let best = egraph[id].data.node;
        let mut group: SmallVec<[NodeId; 4]> = nodes.iter().map(|n| scratch(egraph, n)).chain([best]).collect();
        for node in &group {
            egraph.analysis.set_class(*node, id);
        }
        group.sort();
        group.dedup();
        group.truncate(FORM_LIMIT);
        number[usize::from(id)] = forms.groups.len() as u32;
        forms.groups.push(group);
    }
    let find = |id: &Option<Id>| id.map_or(NO_GROUP, |id| number[usize::from(egraph.find(id))]);
    forms.group = egraph.analysis.class_of.iter().map(find).collect();
    forms.stamp_groups(&egraph.analysis.graph);
    egraph.analysis.forms = forms;
}
