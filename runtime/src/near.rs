//! Batches of nodes with what they see: the parts of a graph that steps run on.
//! Law: nodes and edges of a part stand in the order of the whole graph, so sums run in its order.

use crate::data::{Dataset, Values, eval_of};
use crate::device::Bound;
use crate::device::cpu::memory::Memory;
use crate::session::{Session, gather, gather_entries, stored};
use gannet_compiler::plan::Kind;
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{DimId, Elem, FieldExpr, InputId, Near, Part};
use std::sync::Arc;

/// Finds what seeds see.
pub struct Finder {
    near: Near,
    data: Arc<Dataset>,
    /// Of each node its place in the part, or `OUT`.
    place: Vec<i32>,
}

const OUT: i32 = -1;

/// The nodes and edges of a step, by their places in the whole graph, ascending.
pub struct Neighbourhood {
    nodes: Vec<u32>,
    edges: Vec<Vec<u32>>,
    /// Places among `nodes`.
    seeds: Vec<i32>,
}

impl Finder {
    /// In a graph with so many nodes.
    pub fn new(near: &Near, data: Arc<Dataset>, nodes: u64) -> Finder {
        Finder { near: near.clone(), data, place: vec![OUT; nodes as usize] }
    }

    /// The nodes that may be seeds.
    ///
    /// # Errors
    /// None may.
    pub fn seeds(&self) -> Result<Vec<u32>, Diagnostic> {
        let entry = |leaf: &FieldExpr, v: u32| match leaf {
            FieldExpr::Field(f) => self.data.columns[*f].values.get(v as usize),
            _ => unreachable!("a condition is made of fields and numbers"),
        };
        let holds = |v: &u32| self.near.only.as_ref().is_none_or(|c| eval_of(c, &|leaf| entry(leaf, *v)) != 0.0);
        let seeds: Vec<u32> = (0..self.place.len() as u32).filter(holds).collect();
        if seeds.is_empty() {
            let message = "no node may be a seed: the condition of the batch holds nowhere";
            return Err(Diagnostic::error(Code::G0506, None, message).hint("look at `batch of ... where ...`"));
        }
        Ok(seeds)
    }

    /// What these seeds see.
    pub fn find(&mut self, seeds: &[u32]) -> Neighbourhood {
        let sources = ends(&self.data, self.near.sets[self.near.along].src).expect("sources are nodes");
        let arrivals = self.near.arrivals.map(|f| ends(&self.data, Some(f)).expect("a field"));
        let [order, first, count] = arrivals;
        let mut nodes: Vec<u32> = Vec::new();
        let visit = |v: u32, nodes: &mut Vec<u32>, place: &mut Vec<i32>| {
            if place[v as usize] == OUT {
                place[v as usize] = 0;
                nodes.push(v);
            }
        };
        seeds.iter().for_each(|v| visit(*v, &mut nodes, &mut self.place));
        let (mut done, mut along) = (0, Vec::new());
        for _ in 0..self.near.hops {
            let reached = nodes.len();
            for k in done..reached {
                let v = nodes[k] as usize;
                for e in &order[first[v] as usize..][..count[v] as usize] {
                    along.push(*e as u32);
                    visit(sources[*e as usize] as u32, &mut nodes, &mut self.place);
                }
            }
            done = reached;
        }
        nodes.sort_unstable();
        along.sort_unstable();
        nodes.iter().enumerate().for_each(|(k, v)| self.place[*v as usize] = k as i32);
        let edges =
            (0..self.near.sets.len()).map(|k| if k == self.near.along { along.clone() } else { self.inside(k) });
        let edges = edges.collect();
        let seeds = seeds.iter().map(|v| self.place[*v as usize]).collect();
        Neighbourhood { nodes, edges, seeds }
    }

    /// The edges of a set whose ends are all there.
    fn inside(&self, set: usize) -> Vec<u32> {
        let set = &self.near.sets[set];
        let sides: Vec<&[i32]> = [set.src, set.dst].iter().filter_map(|f| ends(&self.data, *f)).collect();
        let there = |e: &u32| sides.iter().all(|s| self.place[s[*e as usize] as usize] != OUT);
        (0..sides[0].len() as u32).filter(there).collect()
    }

    /// Forgets a part before the next is sought.
    fn leave(&mut self, part: &Neighbourhood) {
        part.nodes.iter().for_each(|v| self.place[*v as usize] = OUT);
    }

    /// A step of these seeds: bound to the sizes of their part of the graph, with its inputs.
    ///
    /// # Errors
    /// Dims without a size.
    pub fn step(
        &mut self,
        session: &mut Session,
        function: &str,
        seeds: &[u32],
    ) -> Result<(Bound, Vec<Memory>), Diagnostic> {
        let part = self.find(seeds);
        let mut sizes = vec![(self.near.node, part.nodes.len() as u64)];
        sizes.extend(self.near.sets.iter().zip(&part.edges).map(|(set, edges)| (set.dim, edges.len() as u64)));
        let mut bound = session.bind_part(function, seeds.len() as u64, &sizes)?;
        let ids = bound.inputs();
        let mut held = Vec::new();
        for id in ids {
            if let Some(memory) = self.input(session, id, &part) {
                // SAFETY: the memory is returned beside the binding and has the entries of the part.
                unsafe { bound.set_input(id, memory.as_ptr()) };
                held.push(memory);
            }
        }
        self.leave(&part);
        Ok((bound, held))
    }

    /// An input's entries for a part of the graph, if it speaks of nodes or edges.
    fn input(&self, session: &Session, id: InputId, part: &Neighbourhood) -> Option<Memory> {
        let input = &session.unit.inputs[id.index()];
        if input.part == Part::Seeds {
            return Some(indices(part.seeds.iter().copied()));
        }
        let rows = self.rows(input.ty.axes.first()?.dim, part)?;
        if let Part::Near(state) = input.part {
            let all = session.store.states[state.index()].bytes();
            let entry = all.len() / self.count(input.ty.axes[0].dim).max(1);
            let mut memory = Memory::zeroed(rows.len() * entry);
            gather_entries(all, entry, rows, &mut memory);
            return Some(memory);
        }
        let column = &self.data.columns[input.field?];
        if let (Elem::Index(dim), Values::I32(values)) = (input.ty.elem, &column.values)
            && dim == self.near.node
        {
            return Some(indices(rows.iter().map(|r| self.place[values[*r as usize] as usize])));
        }
        let width = column.values.len() / self.count(input.ty.axes[0].dim).max(1);
        let mut memory = Memory::zeroed(rows.len() * width * column.values.entry_bytes());
        gather(&column.values, width, rows, &mut memory);
        Some(memory)
    }

    /// The nodes or edges of a part.
    fn rows<'p>(&self, dim: DimId, part: &'p Neighbourhood) -> Option<&'p [u32]> {
        if dim == self.near.node {
            return Some(&part.nodes);
        }
        let set = self.near.sets.iter().position(|s| s.dim == dim)?;
        Some(&part.edges[set])
    }

    /// All nodes, or all edges of a set.
    fn count(&self, dim: DimId) -> usize {
        let set = self.near.sets.iter().find(|s| s.dim == dim);
        set.map_or(self.place.len(), |s| ends(&self.data, s.src.or(s.dst)).map_or(0, <[i32]>::len))
    }
}

/// The ends of a set, if it is a field that holds them.
fn ends(data: &Dataset, field: Option<usize>) -> Option<&[i32]> {
    match &data.columns[field?].values {
        Values::I32(ends) => Some(ends),
        _ => unreachable!("ends of edges are indices"),
    }
}

/// Indices as a device stores them.
fn indices(places: impl Iterator<Item = i32>) -> Memory {
    stored(&places.map(f64::from).collect::<Vec<f64>>(), Kind::Int, false)
}
