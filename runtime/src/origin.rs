//! Where a value stopped being finite: the first equation that made a NaN or an infinity of finite numbers.
//! Law: only what reaches an output counts, and an infinity that is written in the program (a mask of `-inf`) is none of
//! the faults that are looked for.

use crate::reference::{Env, Tensor};
use gannet_compiler::graph::{At, Graph, NodeId, Op, Red};
use gannet_lang::program::{Axis, Elem, Fun};
use std::collections::BTreeSet;

/// Faulty entries of one node that are followed back; more of them have the same origin nearly always.
const FOLLOWED: usize = 32;

/// The entry at which a value stopped being finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The equation.
    pub node: NodeId,
    /// The entry's place along each axis.
    pub places: Vec<(Axis, usize)>,
    /// What it is.
    pub value: f64,
    /// What it was computed from: nodes and the entries that were read.
    pub operands: Vec<(NodeId, f64)>,
}

/// The first origin of what is not finite in `outputs`; `None`: they are finite, or infinite on purpose.
///
/// `values` are those of all live nodes, as the reference evaluator gives them.
pub fn origin(graph: &Graph, env: &Env, values: &[Option<Tensor>], outputs: &[NodeId]) -> Option<Origin> {
    let mut search = Search { graph, env, values, meant: vec![Vec::new(); graph.len()] };
    search.mark_meant();
    let mut guilty: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); graph.len()];
    for id in outputs {
        let faulty = (0..search.value(*id).data.len()).filter(|k| search.faulty(*id, *k));
        guilty[id.index()].extend(faulty.take(FOLLOWED));
    }
    let mut first = None;
    for id in graph.ids().rev() {
        for entry in std::mem::take(&mut guilty[id.index()]) {
            let read = search.read_by(id, entry);
            let causes: Vec<_> = read.iter().filter(|(x, k)| search.faulty(*x, *k)).collect();
            if causes.is_empty() && first.is_none_or(|(other, _)| other != id) {
                first = Some((id, entry));
            }
            for (x, k) in causes {
                if guilty[x.index()].len() < FOLLOWED {
                    guilty[x.index()].insert(*k);
                }
            }
        }
    }
    first.map(|(node, entry)| search.describe(node, entry))
}

struct Search<'a> {
    graph: &'a Graph,
    env: &'a Env,
    values: &'a [Option<Tensor>],
    /// Which entries are infinite on purpose, by node; empty: none.
    meant: Vec<Vec<bool>>,
}

/// A place along each axis.
type Places = Vec<(Axis, usize)>;

fn along(places: &Places, axis: Axis) -> usize {
    places.iter().find(|p| p.0 == axis).map_or(0, |p| p.1)
}

impl Search<'_> {
    fn value(&self, id: NodeId) -> &Tensor {
        self.values[id.index()].as_ref().expect("a live node has a value")
    }

    fn faulty(&self, id: NodeId, entry: usize) -> bool {
        let meant = self.meant[id.index()].get(entry).copied().unwrap_or(false);
        !self.value(id).data[entry].is_finite() && !meant
    }

    /// An infinity is meant if it is a constant, or if it comes from nothing but such ones.
    fn mark_meant(&mut self) {
        for id in self.graph.ids().filter(|id| self.values[id.index()].is_some()) {
            let node = self.graph.node(id);
            if node.ty.elem != Elem::Real || self.value(id).data.iter().all(|x| !x.is_infinite()) {
                continue;
            }
            let count = self.value(id).data.len();
            let meant = (0..count).map(|k| {
                let infinite = self.value(id).data[k].is_infinite();
                infinite && (matches!(node.op, Op::Const(..)) || self.passed_on(id, k))
            });
            let meant: Vec<bool> = meant.collect();
            self.meant[id.index()] = meant;
        }
    }

    fn passed_on(&self, id: NodeId, entry: usize) -> bool {
        let read = self.read_by(id, entry);
        let mut unbounded = read.iter().filter(|(x, k)| !self.value(*x).data[*k].is_finite()).peekable();
        // An extremum of nothing is infinite by definition.
        let nothing = read.is_empty() && matches!(self.graph.node(id).op, Op::Reduce(Red::Max | Red::Min, _));
        nothing || (unbounded.peek().is_some() && unbounded.all(|(x, k)| !self.faulty(*x, *k)))
    }

    fn describe(&self, node: NodeId, entry: usize) -> Origin {
        let value = self.value(node).data[entry];
        let operands = self.read_by(node, entry).into_iter().map(|(x, k)| (x, self.value(x).data[k])).collect();
        Origin { node, places: self.places(node, entry), value, operands }
    }

    fn places(&self, id: NodeId, mut entry: usize) -> Places {
        let t = self.value(id);
        let mut places = Vec::new();
        for (axis, n) in t.axes.iter().zip(&t.sizes).rev() {
            places.push((*axis, entry % n));
            entry /= n;
        }
        places.reverse();
        places
    }

    fn entry(&self, id: NodeId, places: &Places) -> usize {
        let t = self.value(id);
        t.axes.iter().zip(&t.sizes).fold(0, |k, (axis, n)| k * n + along(places, *axis))
    }

    /// All places over some axes, each added to `places`.
    fn each(&self, axes: &[Axis], places: &Places) -> Vec<Places> {
        axes.iter().fold(vec![places.clone()], |all, axis| {
            let n = self.env.sizes[axis.dim.index()];
            let with = |p: &Places, k: usize| p.iter().copied().chain([(*axis, k)]).collect::<Places>();
            all.iter().flat_map(|p| (0..n).map(move |k| with(p, k))).collect()
        })
    }

    /// The entries that an entry is computed from.
    fn read_by(&self, id: NodeId, entry: usize) -> Vec<(NodeId, usize)> {
        let (node, places) = (self.graph.node(id), self.places(id, entry));
        let at = |x: NodeId, p: &Places| (x, self.entry(x, p));
        match &node.op {
            Op::Map(Fun::Select) => {
                let (cond, k) = at(node.args[0], &places);
                let branch = if self.value(cond).data[k] != 0.0 { 1 } else { 2 };
                vec![(cond, k), at(node.args[branch], &places)]
            }
            Op::Map(_) => node.args.iter().map(|x| at(*x, &places)).collect(),
            Op::Reduce(_, axes) | Op::Contract(axes) => {
                let inner = self.each(axes, &places);
                inner.iter().flat_map(|p| node.args.iter().map(move |x| at(*x, p))).collect()
            }
            Op::Read { at: subst, guarded } => {
                let mut inside: Places = places.clone();
                for (axis, to) in subst {
                    let k = self.index(node.args.as_slice(), to, &places);
                    match usize::try_from(k).ok().filter(|k| *k < self.env.sizes[axis.dim.index()]) {
                        Some(k) => {
                            inside.retain(|p| p.0 != *axis);
                            inside.push((*axis, k));
                        }
                        None if *guarded => return vec![at(node.args[node.args.len() - 1], &places)],
                        None => return vec![],
                    }
                }
                vec![at(node.args[0], &inside)]
            }
            Op::Fiber { at: subst, over, .. } => {
                let kept: Places = places.iter().copied().filter(|p| subst.iter().all(|s| s.0 != p.0)).collect();
                let here = |p: &&Places| {
                    subst
                        .iter()
                        .all(|(axis, to)| self.index(node.args.as_slice(), to, p) == along(&places, *axis) as i64)
                };
                self.each(over, &kept).iter().filter(here).map(|p| at(node.args[0], p)).collect()
            }
            Op::Point(_) | Op::Stop | Op::Custom { .. } => vec![at(node.args[0], &places)],
            Op::Part(_) => {
                let operands = &self.graph.node(node.args[0]).args;
                operands.iter().flat_map(|x| (0..self.value(*x).data.len()).map(|k| (*x, k))).collect()
            }
            // Leaves have no operands; what is not looked into is taken to read all of its operands.
            _ => node.args.iter().flat_map(|x| (0..self.value(*x).data.len()).map(|k| (*x, k))).collect(),
        }
    }

    fn index(&self, args: &[NodeId], to: &At, places: &Places) -> i64 {
        match to {
            At::Affine { terms, offset } => {
                offset + terms.iter().map(|(c, a)| c * along(places, *a) as i64).sum::<i64>()
            }
            At::Arg(k) => {
                let x = args[*k as usize];
                self.value(x).data[self.entry(x, places)] as i64
            }
        }
    }
}
