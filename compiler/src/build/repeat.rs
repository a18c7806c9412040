//! Loops: the terms that depend on a loop's states become its step, a graph of its own; everything else stays outside.
//! Law: a term is built in the innermost loop whose state it depends on, and again in each loop that takes a derivative
//! through it.

use super::Build;
use crate::graph::{Graph, LoopBuilder, NodeId, Op, Place};
use gannet_lang::print_program::operands;
use gannet_lang::program::{self as p, Axis, LoopId, LoopPart, TermId, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// What loops are made of.
pub(super) struct Loops {
    /// The loops whose step a term belongs to.
    inside: Vec<BTreeSet<LoopId>>,
    /// The loops whose step has a copy of a term, because it takes a derivative through it.
    copied: Vec<BTreeSet<LoopId>>,
    /// What is read of each loop, in order.
    parts: BTreeMap<LoopId, Vec<LoopPart>>,
    /// What was built of each loop.
    built: BTreeMap<LoopId, NodeId>,
}

/// What is built around a loop, while its step is.
pub(super) struct Around {
    id: LoopId,
    /// Takes the operands of the loop.
    builder: LoopBuilder,
    graph: Graph,
    nodes: Vec<Option<NodeId>>,
}

impl Loops {
    fn of(unit: &Unit, needed: &[TermId]) -> Self {
        let none = vec![BTreeSet::new(); unit.terms.len()];
        let mut loops = Loops { inside: none.clone(), copied: none, parts: BTreeMap::new(), built: BTreeMap::new() };
        for id in needed {
            let term = unit.term(*id);
            let mut inside: BTreeSet<LoopId> =
                operands(&term.op).iter().flat_map(|t| loops.inside[t.index()].iter().copied()).collect();
            match &term.op {
                p::Op::LoopState(l, _) => {
                    inside.insert(*l);
                }
                p::Op::LoopOut { of, part, .. } => {
                    inside.remove(of);
                    loops.parts.entry(*of).or_default().push(*part);
                }
                _ => {}
            }
            loops.inside[id.index()] = inside;
        }
        loops.pull_in(unit, needed);
        loops
    }

    /// What lies on the way of a derivative that a step takes stands in the step, even if no state enters it: else the
    /// derivative would not see it. The last terms come first, for a derivative may lie on the way of another one.
    fn pull_in(&mut self, unit: &Unit, needed: &[TermId]) {
        if self.parts.is_empty() {
            return;
        }
        for id in needed.iter().rev() {
            let (of, wrt): (Vec<TermId>, Vec<TermId>) = match &unit.term(*id).op {
                p::Op::Grad { of, wrt, .. } => (vec![*of], vec![*wrt]),
                p::Op::Along { of, by } => (vec![*of], by.iter().map(|d| d.wrt).collect()),
                p::Op::Custom { value, inputs, cotangent, back } => {
                    let of = back.iter().copied().chain([*value]).collect();
                    (of, inputs.iter().copied().chain([*cotangent]).collect())
                }
                _ => continue,
            };
            let loops: BTreeSet<LoopId> = &self.inside[id.index()] | &self.copied[id.index()];
            if loops.is_empty() {
                continue;
            }
            let custom = matches!(unit.term(*id).op, p::Op::Custom { .. });
            for t in between(unit, &of, &wrt) {
                if custom || !wrt.contains(&t) {
                    self.copied[t.index()].extend(loops.iter().copied());
                }
            }
        }
    }
}

/// The terms that depend on one of `from` and that one of `to` depends on, with `from` itself.
fn between(unit: &Unit, to: &[TermId], from: &[TermId]) -> Vec<TermId> {
    let most = to.iter().chain(from).map(|t| t.index()).max().unwrap_or(0);
    let mut above = vec![false; most + 1];
    from.iter().for_each(|t| above[t.index()] = true);
    for k in 0..=most {
        above[k] |= operands(&unit.terms[k].op).iter().any(|t| above[t.index()]);
    }
    below(unit, to).into_iter().filter(|t| above[t.index()]).collect()
}

impl<'u> Build<'u> {
    pub(super) fn new(unit: &'u Unit, graph: Graph, needed: &[TermId]) -> Self {
        let nodes = vec![None; unit.terms.len()];
        Build { unit, graph, nodes, around: Vec::new(), loops: Loops::of(unit, needed) }
    }

    /// Builds those of the terms, in order, that belong here.
    pub(super) fn run(&mut self, terms: &[TermId]) {
        for id in terms {
            if self.nodes[id.index()].is_some() || !self.belongs(*id) {
                continue;
            }
            let first = self.graph.len();
            let node = self.term(*id);
            let place = Place { span: self.unit.term(*id).span, phase: None };
            self.graph.set_place(node, place);
            self.graph.place_from(first, place);
            self.nodes[id.index()] = Some(node);
        }
    }

    /// Does a term belong to what is being built?
    fn belongs(&self, id: TermId) -> bool {
        let (inside, copied) = (&self.loops.inside[id.index()], &self.loops.copied[id.index()]);
        let known = inside.iter().all(|l| self.around.iter().any(|a| a.id == *l));
        match self.around.last() {
            None => known,
            Some(here) => known && (inside.contains(&here.id) || copied.contains(&here.id)),
        }
    }

    /// The node of a term, fetched into the step if it was built around it.
    pub(super) fn at(&mut self, id: TermId) -> NodeId {
        self.fetch(self.around.len(), id)
    }

    /// The nodes of terms.
    pub(super) fn all(&mut self, ids: &[TermId]) -> Vec<NodeId> {
        ids.iter().map(|t| self.at(*t)).collect()
    }

    /// The node of a term in so many loops: the one built there, or an operand that stands for one from further out.
    fn fetch(&mut self, depth: usize, id: TermId) -> NodeId {
        let here = depth == self.around.len();
        let nodes = if here { &self.nodes } else { &self.around[depth].nodes };
        if let Some(node) = nodes[id.index()] {
            return node;
        }
        assert!(depth > 0, "{id} is built before what uses it: {:?}", self.unit.term(id).op);
        let outer = self.fetch(depth - 1, id);
        let node = self.into_step(depth, outer);
        let nodes = if here { &mut self.nodes } else { &mut self.around[depth].nodes };
        nodes[id.index()] = Some(node);
        node
    }

    /// Does a loop around step along that axis? What is built in it has one place of it.
    pub(super) fn steps_along(&self, axis: Axis) -> bool {
        self.around.iter().any(|a| a.builder.axis == axis)
    }

    /// An affine place that names the axis of a loop around, as a whole number computed in the step.
    pub(super) fn place_in_loop(&mut self, to: &p::At) -> Option<NodeId> {
        let p::At::Affine { terms, offset } = to else { return None };
        if !terms.iter().any(|t| self.steps_along(t.1)) {
            return None;
        }
        let mut parts = vec![self.graph.int(*offset)];
        for (c, a) in terms {
            let index = if self.steps_along(*a) { self.step_number(*a) } else { self.graph.add(Op::Iota(*a), []) };
            let c = self.graph.int(*c);
            parts.push(self.graph.mul_all(&[c, index]));
        }
        Some(self.graph.add_all(&parts))
    }

    /// The place of the step of the loop along that axis.
    fn step_number(&mut self, axis: Axis) -> NodeId {
        let first = self.around.iter().position(|a| a.builder.axis == axis).expect("a loop around steps along it");
        let mut node = self.around[first].graph.add(Op::Iota(axis), []);
        for depth in first + 1..=self.around.len() {
            node = self.into_step(depth, node);
        }
        node
    }

    /// What stands around so many loops, in the step of the last of them.
    fn into_step(&mut self, depth: usize, outer: NodeId) -> NodeId {
        let (before, after) = self.around.split_at_mut(depth);
        let around = &mut before[depth - 1];
        let step = after.first_mut().map_or(&mut self.graph, |a| &mut a.graph);
        around.builder.outer(&around.graph, step, outer)
    }

    /// A result of a loop; the loop is built at the first one.
    pub(super) fn loop_out(&mut self, of: LoopId, part: LoopPart) -> NodeId {
        let node = match self.loops.built.get(&of) {
            Some(node) => *node,
            None => {
                let node = self.build_loop(of);
                self.loops.built.insert(of, node);
                node
            }
        };
        let states = self.unit.loops[of.index()].first.len();
        let each: Vec<LoopPart> = self.loops.kept(of);
        let k = match part {
            LoopPart::Last(k) => k as usize,
            LoopPart::Each(_) => states + each.iter().position(|e| *e == part).expect("it was asked for"),
            LoopPart::Steps => {
                let Op::Loop(body) = &self.graph.node(node).op else { unreachable!("just built") };
                body.steps_part()
            }
        };
        self.graph.part(node, k)
    }

    fn build_loop(&mut self, id: LoopId) -> NodeId {
        let l = self.unit.loops[id.index()].clone();
        let each: Vec<TermId> = self.loops.kept(id).iter().filter_map(LoopPart::term).collect();
        let mut targets: Vec<TermId> = l.next.iter().chain(&each).copied().collect();
        targets.extend(l.go_on.map(|g| g.1));
        let mut needed = below(self.unit, &targets);
        needed.extend(below(self.unit, &l.first));
        needed.sort();
        needed.dedup();
        // What the step takes from here comes first.
        self.run(&needed);
        let first: Vec<NodeId> = self.all(&l.first);
        let step = Graph::like(&self.graph);
        let nodes = vec![None; self.unit.terms.len()];
        let mut builder = LoopBuilder::new(l.axis);
        builder.fixed = l.fixed;
        self.around.push(Around {
            id,
            builder,
            graph: std::mem::replace(&mut self.graph, step),
            nodes: std::mem::replace(&mut self.nodes, nodes),
        });
        self.enter_states(id, &first, &needed);
        self.run(&needed);
        let next = self.all(&l.next);
        let go_on = l.go_on.map(|(test, t)| (test, self.at(t)));
        let each = self.all(&each);
        let here = self.around.pop().expect("pushed above");
        let step = std::mem::replace(&mut self.graph, here.graph);
        self.nodes = here.nodes;
        here.builder.finish(&mut self.graph, step, &next, go_on, &each)
    }

    /// The states of the loop are leaves of its step.
    fn enter_states(&mut self, id: LoopId, first: &[NodeId], needed: &[TermId]) {
        for (k, first) in first.iter().enumerate() {
            let here = self.around.last_mut().expect("the loop was entered");
            let arg = here.builder.state(&here.graph, &mut self.graph, *first);
            for t in needed {
                if self.unit.term(*t).op == p::Op::LoopState(id, k as u32) {
                    self.nodes[t.index()] = Some(arg);
                }
            }
        }
    }
}

impl Loops {
    /// What is kept of every step, in order.
    fn kept(&self, of: LoopId) -> Vec<LoopPart> {
        let parts = self.parts.get(&of).map_or(&[][..], Vec::as_slice);
        let mut each: Vec<LoopPart> = parts.iter().copied().filter(|p| matches!(p, LoopPart::Each(_))).collect();
        each.sort();
        each.dedup();
        each
    }
}

/// The terms that these need, themselves included, in order.
fn below(unit: &Unit, targets: &[TermId]) -> Vec<TermId> {
    let most = targets.iter().map(|t| t.index()).max().unwrap_or(0);
    let mut live = vec![false; most + 1];
    targets.iter().for_each(|t| live[t.index()] = true);
    for k in (0..=most).rev() {
        if live[k] {
            operands(&unit.terms[k].op).iter().for_each(|t| live[t.index()] = true);
        }
    }
    (0..=most).filter(|k| live[*k]).map(TermId::new).collect()
}
