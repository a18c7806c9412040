//! Bodies of loops: a graph of its own with the states as leaves.
//! Law: a body is closed. What it needs from outside are operands of the loop, in the order of its `Arg`s: first values of
//! the states, then slices (tensors over the loop's axis, of which a step sees its place), then what is the same at
//! every step.

use super::{Axes, Graph, NodeId, Op, Type, sorted};
use gannet_lang::program::{Axis, Elem, Implicit, LoopTest, Output};
use std::sync::Arc;

/// A loop with states: one step of it, and how steps follow each other.
#[derive(Clone, Debug)]
pub struct Body {
    /// One place for each step.
    pub axis: Axis,
    /// How many states it carries.
    pub states: usize,
    /// How many operands it sees place by place.
    pub slices: usize,
    /// Where it asks whether to go on, if it does.
    pub test: Option<LoopTest>,
    /// Does it go from the last place to the first?
    pub reverse: bool,
    /// Is it the search for a fixed point? Then its gradient is the implicit one, solved so.
    pub fixed: Option<Implicit>,
    /// One step. Outputs: next values, the condition (with a `test`), then what is kept of every step.
    pub graph: Graph,
    key: String,
}

impl Body {
    /// A body around a graph; see the fields.
    pub fn new(shape: &Body, graph: Graph) -> Arc<Body> {
        let Body { axis, states, slices, test, reverse, fixed, .. } = *shape;
        let key = format!("{axis:?} {states} {slices} {test:?} {reverse} {fixed:?}\n{graph}");
        Arc::new(Body { axis, states, slices, test, reverse, fixed, graph, key })
    }

    /// The same loop with another step, other numbers of states and of slices.
    pub fn with(&self, states: usize, slices: usize, graph: Graph) -> Arc<Body> {
        Body::read(self.axis, (states, slices), self.test, (self.reverse, self.fixed), graph)
    }

    /// The outputs of a step: next values, the condition if there is one, what is kept.
    pub fn outputs(
        next: impl IntoIterator<Item = NodeId>,
        go_on: Option<NodeId>,
        each: impl IntoIterator<Item = NodeId>,
    ) -> Vec<(Output, NodeId)> {
        let next = next.into_iter().enumerate().map(|(k, id)| (format!("next {k}"), id));
        let go_on = go_on.map(|id| ("go on".to_string(), id));
        let each = each.into_iter().enumerate().map(|(k, id)| (format!("each {k}"), id));
        next.chain(go_on).chain(each).map(|(name, id)| (Output::Value(name), id)).collect()
    }

    /// The step, of which this is kept and nothing else.
    pub fn keeping(&self, each: impl IntoIterator<Item = NodeId>) -> Graph {
        let mut graph = self.graph.clone();
        graph.outputs = Body::outputs(self.next(), self.go_on(), each);
        graph
    }

    /// A body with states and slices so many, reverse and fixed or not, as it is read from text.
    pub(super) fn read(
        axis: Axis,
        (states, slices): (usize, usize),
        test: Option<LoopTest>,
        (reverse, fixed): (bool, Option<Implicit>),
        graph: Graph,
    ) -> Arc<Body> {
        let shape = Body { axis, states, slices, test, reverse, fixed, graph: Graph::default(), key: String::new() };
        Body::new(&shape, graph)
    }

    /// The next values of the states.
    pub fn next(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.graph.outputs[..self.states].iter().map(|o| o.1)
    }

    /// The condition.
    pub fn go_on(&self) -> Option<NodeId> {
        self.test.map(|_| self.graph.outputs[self.states].1)
    }

    /// What is kept of every step.
    pub fn each(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.graph.outputs[self.states + usize::from(self.test.is_some())..].iter().map(|o| o.1)
    }

    /// The part that counts the steps; parts before it are last values, then what is kept.
    pub fn steps_part(&self) -> usize {
        self.graph.outputs.len() - usize::from(self.test.is_some())
    }

    /// The type of a part: a state's last value, a kept value over the loop's axis, or the number of steps.
    ///
    /// # Errors
    /// There is no such part.
    pub fn part_type(&self, part: usize) -> Result<Type, String> {
        if part < self.states {
            return Ok(self.graph.ty(self.graph.outputs[part].1).clone());
        }
        if part == self.steps_part() {
            return Ok(Type { elem: Elem::Int, axes: Axes::new() });
        }
        let id = self.each().nth(part - self.states).ok_or_else(|| format!("the loop has no part {part}"))?;
        let ty = self.graph.ty(id);
        Ok(Type { elem: ty.elem, axes: sorted(ty.axes.iter().copied().chain([self.axis])) })
    }

    /// The part that keeps each step's value of a state before the step.
    pub fn before(&self, state: usize) -> Option<usize> {
        let found = self.each().position(|id| matches!(self.graph.node(id).op, Op::Arg(k, ..) if k as usize == state));
        found.map(|k| self.states + k)
    }

    /// The same loop with its step rewritten.
    pub fn map(&self, f: impl FnOnce(&Graph) -> Graph) -> Arc<Body> {
        Body::new(self, f(&self.graph))
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Body {}

impl PartialOrd for Body {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Body {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl std::hash::Hash for Body {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// What an operand of a loop that is being built is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    State,
    Slice,
    Same,
}

/// A loop that is being built: its step grows in a graph of its own, its operands are nodes of the graph around it.
pub struct LoopBuilder {
    /// One place for each step.
    pub axis: Axis,
    /// From the last place to the first?
    pub reverse: bool,
    /// A search for a fixed point?
    pub fixed: Option<Implicit>,
    operands: Vec<(Role, NodeId, NodeId)>,
}

impl LoopBuilder {
    /// A loop without states.
    pub fn new(axis: Axis) -> Self {
        LoopBuilder { axis, reverse: false, fixed: None, operands: Vec::new() }
    }

    fn arg(&mut self, step: &mut Graph, role: Role, operand: NodeId, ty: Type) -> NodeId {
        let state = role == Role::State;
        if let Some((.., arg)) = self.operands.iter().find(|o| !state && o.0 == role && o.1 == operand) {
            return *arg;
        }
        let arg = step.add(Op::Arg(self.operands.len() as u32, ty.elem, ty.axes), []);
        self.operands.push((role, operand, arg));
        arg
    }

    /// A state with its first value.
    pub fn state(&mut self, around: &Graph, step: &mut Graph, first: NodeId) -> NodeId {
        self.arg(step, Role::State, first, around.ty(first).clone())
    }

    /// What the step sees of a node of the graph around.
    pub fn outer(&mut self, around: &Graph, step: &mut Graph, operand: NodeId) -> NodeId {
        let node = around.node(operand);
        if matches!(node.op, Op::Const(..) | Op::Hyper(_) | Op::Step | Op::Size(_)) {
            return step.add(node.op.clone(), []);
        }
        let ty = around.ty(operand);
        let role = if ty.has(self.axis) { Role::Slice } else { Role::Same };
        let axes = ty.axes.iter().copied().filter(|a| *a != self.axis).collect();
        self.arg(step, role, operand, Type { elem: ty.elem, axes })
    }

    /// The finished loop, a node of the graph around. Each state's value before the step is kept besides `each`, for
    /// gradients. The results are its parts: last values of the states, `each`, and so on.
    pub fn finish(
        self,
        around: &mut Graph,
        mut step: Graph,
        next: &[NodeId],
        go_on: Option<(LoopTest, NodeId)>,
        each: &[NodeId],
    ) -> NodeId {
        let states: Vec<NodeId> = self.operands.iter().filter(|o| o.0 == Role::State).map(|o| o.2).collect();
        assert_eq!(states.len(), next.len(), "every state has a next value");
        let mut whole: Vec<NodeId> = Vec::new();
        for (now, next) in states.iter().zip(next) {
            let axes = step.ty(*now).axes.clone();
            whole.push(step.broadcast(*next, &axes));
        }
        step.outputs = Body::outputs(whole, go_on.map(|g| g.1), each.iter().chain(&states).copied());
        let live = step.live();
        let mut used: Vec<(Role, NodeId, NodeId)> = self.operands.clone();
        used.retain(|(role, _, arg)| *role == Role::State || live[arg.index()]);
        used.sort_by_key(|o| (o.0, step.node(o.2).op.clone()));
        let number = |arg: u32| used.iter().position(|o| matches!(step.node(o.2).op, Op::Arg(k, ..) if k == arg));
        let graph = step.rebuild(|new, _, node, args| match &node.op {
            Op::Arg(k, elem, axes) => {
                let k = number(*k).expect("live operands are used");
                new.add(Op::Arg(k as u32, *elem, axes.clone()), [])
            }
            op => new.remake(op, args),
        });
        let shape = Body {
            axis: self.axis,
            states: states.len(),
            slices: used.iter().filter(|o| o.0 == Role::Slice).count(),
            test: go_on.map(|g| g.0),
            reverse: self.reverse,
            fixed: self.fixed,
            graph: Graph::default(),
            key: String::new(),
        };
        around.add(Op::Loop(Body::new(&shape, graph)), used.iter().map(|o| o.1))
    }
}

impl Graph {
    /// Takes a result of a loop.
    pub fn part(&mut self, of: NodeId, k: usize) -> NodeId {
        self.add(Op::Part(k as u32), [of])
    }

    /// The graph with the bodies of all its loops, and theirs, rewritten by `f`.
    pub fn map_bodies(&self, f: &dyn Fn(&Graph) -> Graph) -> Graph {
        if !self.ids().any(|id| matches!(self.node(id).op, Op::Loop(_))) {
            return self.clone();
        }
        self.rebuild(|new, _, node, args| match &node.op {
            Op::Loop(body) => {
                let inner = body.map(|g| f(&g.map_bodies(f)));
                new.add(Op::Loop(inner), args.iter().copied())
            }
            op => new.add(op.clone(), args.iter().copied()),
        })
    }

    /// The step of a loop with other numbers for its operands.
    pub(crate) fn renumbered(&self, number: impl Fn(usize) -> usize) -> Graph {
        self.rebuild(|new, _, node, args| match &node.op {
            Op::Arg(k, elem, axes) => new.add(Op::Arg(number(*k as usize) as u32, *elem, axes.clone()), []),
            op => new.add(op.clone(), args.iter().copied()),
        })
    }

    /// Drops what loops keep of every step and nobody reads.
    pub fn trim_loops(&self) -> Graph {
        if !self.ids().any(|id| matches!(self.node(id).op, Op::Loop(_))) {
            return self.clone();
        }
        let live = self.live();
        let mut read: std::collections::BTreeMap<NodeId, Vec<usize>> = Default::default();
        for node in self.ids().filter(|id| live[id.index()]).map(|id| self.node(id)) {
            if let Op::Part(k) = node.op {
                read.entry(node.args[0]).or_default().push(k as usize);
            }
        }
        let mut kept: std::collections::BTreeMap<NodeId, Vec<usize>> = Default::default();
        self.rebuild(|new, id, node, args| match &node.op {
            Op::Loop(body) if matches!(read.get(&id), Some(parts) if !parts.is_empty()) => {
                let (node, parts) = trimmed(new, body, args, &read[&id]);
                kept.insert(node, parts);
                node
            }
            Op::Part(k) if matches!(new.node(args[0]).op, Op::Loop(_)) => {
                let k = kept.get(&args[0]).and_then(|p| p.iter().position(|old| old == &(*k as usize)));
                new.part(args[0], k.expect("parts that are read were kept"))
            }
            op => new.add(op.clone(), args.iter().copied()),
        })
    }
}

/// The loop with only what is read of it, and the old number of each of its parts.
fn trimmed(new: &mut Graph, body: &Body, args: &[NodeId], read: &[usize]) -> (NodeId, Vec<usize>) {
    let steps = body.steps_part();
    let kept: Vec<usize> = (0..=steps).filter(|k| *k < body.states || *k == steps || read.contains(k)).collect();
    let each = body.each().enumerate().filter(|(k, _)| kept.contains(&(body.states + k)));
    let graph = body.keeping(each.map(|e| e.1)).trim_loops();
    let live = graph.live();
    let used = |k: usize| {
        graph.ids().any(|id| live[id.index()] && matches!(graph.node(id).op, Op::Arg(n, ..) if n as usize == k))
    };
    let wanted: Vec<usize> = (0..args.len()).filter(|k| *k < body.states || used(*k)).collect();
    let slices = wanted.iter().filter(|k| (body.states..body.states + body.slices).contains(*k)).count();
    let graph = graph.renumbered(|k| wanted.iter().position(|w| *w == k).expect("it is live"));
    let node = new.add(Op::Loop(body.with(body.states, slices, graph)), wanted.iter().map(|k| args[*k]));
    (node, kept)
}
