//! Program to Graph: each term becomes equations of the core operations.
//! Law: the graph's value at an output equals the Program's; spans and names are carried over.

mod repeat;

use crate::graph::{Args, At, AxisNames, Graph, NodeId, Op, Red, Tables};
use crate::reductions::Over;
use gannet_lang::print_program::needed;
use gannet_lang::program::{self as p, Axis, Elem, Fun, Function, TermId, Ty, Unit};
use smallvec::SmallVec;
use std::sync::Arc;

/// The graph of one function of a unit.
pub fn build(unit: &Unit, function: &Function, tables: Arc<Tables>) -> Graph {
    let needed = needed(unit, &function.outputs);
    let mut b = Build::new(unit, Graph::new(tables), &needed);
    b.run(&needed);
    for (output, term) in &function.outputs {
        let node = b.at(*term);
        b.graph.outputs.push((output.clone(), node));
    }
    for (name, term) in &unit.names {
        if let Some(node) = b.nodes[term.index()] {
            b.graph.names.push((name.clone(), node));
        }
    }
    b.graph
}

/// The state of building one function.
struct Build<'u> {
    unit: &'u Unit,
    /// What is being built: the function, or the step of the innermost loop around.
    graph: Graph,
    nodes: Vec<Option<NodeId>>,
    /// The loops around, innermost last, and what is built around each.
    around: Vec<repeat::Around>,
    /// What the loops are made of.
    loops: repeat::Loops,
}

impl Build<'_> {
    fn term(&mut self, id: TermId) -> NodeId {
        let term = self.unit.term(id);
        let g = &mut self.graph;
        match &term.op {
            p::Op::Const(x) if term.ty.elem == Elem::Real => g.num(*x),
            p::Op::Const(x) if term.ty.elem == Elem::Bool => {
                g.add(Op::Const(crate::graph::Num::new(*x), Elem::Bool), [])
            }
            p::Op::Const(x) => g.int(*x as i64),
            p::Op::Input(i) => g.add(Op::Input(*i), []),
            p::Op::Param(i) => g.add(Op::Param(*i), []),
            p::Op::State(i) => g.add(Op::State(*i), []),
            p::Op::Hyper(i) => g.add(Op::Hyper(*i), []),
            p::Op::Step => g.add(Op::Step, []),
            p::Op::Size(d) => g.size(*d),
            p::Op::Iota(a) => g.add(Op::Iota(*a), []),
            p::Op::Random(dist, site) => g.add(Op::Random(*dist, *site, term.ty.axes.iter().copied().collect()), []),
            p::Op::Map(fun, args) => {
                let args = self.all(args);
                self.graph.map(*fun, &args)
            }
            p::Op::Reduce { red, axes, of, guard } => {
                let (of, guard) = (self.at(*of), guard.map(|t| self.at(t)));
                Over { axes, fiber: None }.reduce(&mut self.graph, *red, of, guard)
            }
            p::Op::Fiber { red, over, of, at, key, guard } => {
                let (of, key, guard) = (self.at(*of), self.at(*key), guard.map(|t| self.at(t)));
                let whole = Over { axes: over, fiber: Some((*at, key)) }.reduce(&mut self.graph, *red, of, guard);
                // In a loop over the result's axis, a step takes its own entry.
                match self.place_in_loop(&p::At::Affine { terms: vec![(1, *at)], offset: 0 }) {
                    Some(step) => self.graph.read(whole, &[(*at, At::Arg(1))], &[step], None),
                    None => whole,
                }
            }
            p::Op::Read { of, at, otherwise } => self.read(*of, at, *otherwise),
            p::Op::View(x) => self.at(*x),
            p::Op::Point(x, id) => {
                let (x, id) = (self.at(*x), *id);
                self.graph.add(Op::Point(id), [x])
            }
            p::Op::Grad { of, wrt, axes, shared } => self.grad(*of, *wrt, axes, shared),
            p::Op::Library(lib, args) => {
                let args = self.all(args);
                let args: Vec<NodeId> = args.into_iter().map(|x| self.graph.to_real(x)).collect();
                self.graph.add(Op::Library(lib.clone()), args)
            }
            p::Op::Part(x, k) => {
                let x = self.at(*x);
                self.graph.add(Op::Part(u32::from(*k)), [x])
            }
            p::Op::Along { of, by } => self.along(*of, by),
            p::Op::Flat { parts, axis } => self.flat(parts, *axis),
            p::Op::Stop(x) => {
                let x = self.at(*x);
                self.graph.add(Op::Stop, [x])
            }
            p::Op::Custom { value, inputs, cotangent, back } => {
                let ids: Vec<TermId> = std::iter::once(*value)
                    .chain(inputs.iter().copied())
                    .chain([*cotangent])
                    .chain(back.iter().copied())
                    .collect();
                let args = self.all(&ids);
                self.graph.add(Op::Custom { inputs: inputs.len() as u8 }, args)
            }
            p::Op::LoopState(..) => unreachable!("states are leaves that the loop's step starts with"),
            p::Op::LoopOut { of, part, .. } => self.loop_out(*of, *part),
        }
    }

    fn read(&mut self, of: TermId, at: &[(Axis, p::At)], otherwise: Option<TermId>) -> NodeId {
        let mut indices = Vec::new();
        let mut subst = Vec::new();
        for (axis, to) in at {
            match (to, self.place_in_loop(to)) {
                (_, Some(index)) => {
                    indices.push(index);
                    subst.push((*axis, At::Arg(indices.len() as u8)));
                }
                (p::At::Term(t), None) => {
                    indices.push(self.at(*t));
                    subst.push((*axis, At::Arg(indices.len() as u8)));
                }
                (affine, None) => subst.push((*axis, At::from_program(affine, 0))),
            }
        }
        let (x, outside) = (self.at(of), otherwise.map(|t| self.at(t)));
        let outside = outside.map(|o| self.outside(x, o));
        self.graph.read(x, &subst, &indices, outside)
    }

    /// The value outside, of the kind of what is read: a number may stand for a whole one.
    fn outside(&mut self, x: NodeId, o: NodeId) -> NodeId {
        match (self.graph.ty(x).elem, self.graph.ty(o).elem, self.graph.as_num(o)) {
            (Elem::Real, ..) => self.graph.to_real(o),
            (Elem::Bool, Elem::Real, Some(n)) => self.graph.add(Op::Const(crate::graph::Num::new(n), Elem::Bool), []),
            (_, Elem::Real, Some(n)) => self.graph.int(n as i64),
            (_, Elem::Real, None) => self.graph.map1(Fun::ToInt, o),
            _ => o,
        }
    }

    fn grad(&mut self, of: TermId, wrt: TermId, axes: &[Axis], shared: &[Axis]) -> NodeId {
        let own: &Ty = &self.unit.term(wrt).ty;
        let mut names: Vec<(Axis, Axis)> = own.axes.iter().copied().zip(axes.iter().copied()).collect();
        names.sort();
        names.retain(|(a, _)| !self.steps_along(*a));
        let shared = crate::graph::sorted(shared.iter().copied().filter(|a| !self.steps_along(*a)));
        let args: Args = Args::from_slice(&[self.at(of), self.at(wrt)]);
        self.graph.add(Op::Grad { axes: names.into_iter().collect(), shared }, args)
    }

    fn along(&mut self, of: TermId, by: &[p::Direction]) -> NodeId {
        let mut names = SmallVec::new();
        for d in by {
            let own: &Ty = &self.unit.term(d.wrt).ty;
            let mut pairs: AxisNames = own.axes.iter().copied().zip(d.axes.iter().copied()).collect();
            pairs.sort();
            pairs.retain(|n| !self.steps_along(n.0));
            names.push(pairs);
        }
        let terms: Vec<TermId> =
            std::iter::once(of).chain(by.iter().map(|d| d.wrt)).chain(by.iter().map(|d| d.tangent)).collect();
        let args = self.all(&terms);
        self.graph.add(Op::Along(names), args)
    }

    /// The sum of the tensors, each put in its place along the vector's axis; see [`crate::flat`].
    fn flat(&mut self, parts: &[(TermId, Vec<Axis>)], axis: Axis) -> NodeId {
        let (mut offset, mut sum) = (0, Vec::new());
        for (term, own) in parts {
            let mut stride = 1;
            let mut terms = Vec::new();
            for a in own.iter().rev() {
                terms.push((stride, *a));
                stride *= match self.unit.dims[a.dim.index()].size {
                    p::Size::Fixed(n) => n as i64,
                    _ => unreachable!("a flattened tensor has fixed sizes"),
                };
            }
            let x = self.at(*term);
            sum.push(self.graph.fiber(Red::Sum, x, &[(axis, At::affine(terms, offset))], own, &[]));
            offset += stride;
        }
        self.graph.add_all(&sum)
    }
}
