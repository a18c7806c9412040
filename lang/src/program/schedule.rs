//! How long a train block runs, and on what.

use super::terms::{DimId, HyperId};
use super::units::FieldExpr;

/// The rows of a batch are so many of each of some groups: `batch of class[5] x sample[16]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// The field of the data set whose values group the rows, by position.
    pub field: usize,
    /// The dim of the rows of a group. The batch's inputs lie over the dim of batches, which counts the groups, and this.
    pub dim: DimId,
    /// Rows of a group.
    pub rows: u64,
}

/// Batches of nodes with what they see along edges: `batch of node[64] neighbours cite 2 hops where seen` (the
/// computation graph of Hamilton, Ying and Leskovec, "Inductive representation learning on large graphs", 2017,
/// appendix A, without sampling). In such a step the dims of the nodes and of the sets have only the batch's entries.
#[derive(Clone, Debug)]
pub struct Near {
    /// The dim of the nodes.
    pub node: DimId,
    /// The sets of edges with an end among the nodes. A step has those edges of them whose ends it has.
    pub sets: Vec<NearSet>,
    /// The set along which the seeds see, by position in `sets`.
    pub along: usize,
    /// The fields that group this set by its targets, in the order of [`super::Arrivals::ALL`].
    pub arrivals: [usize; 3],
    /// How far: edges that arrive at a node which is so many hops from a seed are left out.
    pub hops: u64,
    /// Which nodes are seeds; all, if it is not said.
    pub only: Option<FieldExpr>,
}

/// A set of edges in a batch of neighbourhoods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearSet {
    /// The dim of the edges.
    pub dim: DimId,
    /// The field of the sources, by position, if these are the nodes.
    pub src: Option<usize>,
    /// The field of the targets, if these are the nodes.
    pub dst: Option<usize>,
}

/// How long and on what a train block runs.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// The rows of a batch; `None`: all rows at once.
    pub batch: Option<u64>,
    /// Are its rows drawn group by group? Then `batch` counts the groups.
    pub groups: Option<Groups>,
    /// Are they nodes with their neighbourhoods? Then `batch` counts the seeds.
    pub near: Option<Near>,
    /// Passes over the training rows.
    pub epochs: Option<u64>,
    /// Steps; wins over `epochs`.
    pub steps: Option<u64>,
}

/// A phase of a train block; without `stage` lines there is none, and the whole block is one.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The function of its step.
    pub function: String,
    /// How long it runs, and on what.
    pub schedule: Schedule,
    /// Holds the number of steps before it: `t` counts its own.
    pub before: HyperId,
}
