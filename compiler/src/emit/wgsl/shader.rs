//! What a kernel needs from whoever runs it on a GPU: its module, its bindings, how many workgroups.
//! Law: the same plan and target give the same shaders, and a kernel binds no more storage buffers than the target has.
//!
//! WebGPU promises eight storage buffers a stage. A kernel that touches more binds whole regions of memory instead, each
//! as one array of words, and finds its buffers at bases that it is told. Splitting such kernels would read and write
//! again what they keep in registers, and the optimizers' steps, which are the ones with many buffers, would suffer most.

use crate::plan::{BufferId, Extent, Home, Range};

/// Invocations of a workgroup that runs through entries.
pub const GROUP: u32 = 64;
/// Workgroups along x: WebGPU's default limit; more go on along y.
pub const GROUPS_X: u32 = 65_535;

/// What the shaders are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Storage buffers that a kernel may bind.
    pub buffers: usize,
    /// Products by tiles in workgroup memory. Without: an entry an invocation, which suits drivers that run workgroups
    /// on a CPU, where a barrier costs more than what it saves.
    pub tiles: bool,
}

/// The floor that WebGPU promises.
impl Default for Target {
    fn default() -> Self {
        Target { buffers: 8, tiles: true }
    }
}

/// Memory that whoever runs a plan holds in one piece each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Region {
    /// Parameters and states.
    Store,
    /// Data.
    Inputs,
    /// Operands of a loop's step.
    Args,
    /// What is read after the run.
    Results,
    /// Scratch.
    Arena,
}

impl Region {
    /// All of them.
    pub const ALL: [Region; 5] = [Region::Store, Region::Inputs, Region::Args, Region::Results, Region::Arena];

    /// Where a buffer lies.
    pub fn of(home: &Home) -> Region {
        match home {
            Home::Param(_) | Home::State(_) => Region::Store,
            Home::Input(_) => Region::Inputs,
            Home::Arg(_) => Region::Args,
            Home::Result => Region::Results,
            Home::Temp => Region::Arena,
        }
    }

    /// For names in shaders and messages.
    pub fn name(self) -> &'static str {
        match self {
            Region::Store => "store",
            Region::Inputs => "inputs",
            Region::Args => "args",
            Region::Results => "results",
            Region::Arena => "arena",
        }
    }
}

/// A storage binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// One buffer, or several of a region that are bound together, from the first to the last in memory.
    pub buffers: Vec<BufferId>,
    /// May the kernel write it? (Or what lies in the same region: one memory is not bound in two ways at once.)
    pub written: bool,
}

/// How many workgroups run.
#[derive(Clone, Debug)]
pub enum Grid {
    /// One invocation.
    One,
    /// An invocation for each place of these ranges together.
    Entries(Vec<Range>),
    /// A workgroup for each tile of so many rows and columns, of each member of the batch.
    Tiles {
        /// Sizes of the batch axes.
        batch: Vec<Extent>,
        /// Sizes of the row axes.
        rows: Vec<Extent>,
        /// Sizes of the column axes.
        columns: Vec<Extent>,
        /// The tile's edge.
        edge: u64,
    },
}

impl Grid {
    /// How many workgroups, given the sizes of all dims.
    pub fn groups(&self, sizes: &[u64]) -> u64 {
        let product = |all: &[Extent]| Extent::product(all, sizes) as u64;
        match self {
            Grid::One => 1,
            Grid::Entries(ranges) => {
                ranges.iter().map(|r| r.count(sizes) as u64).product::<u64>().div_ceil(GROUP.into())
            }
            Grid::Tiles { batch, rows, columns, edge } => {
                product(batch) * product(rows).div_ceil(*edge) * product(columns).div_ceil(*edge)
            }
        }
    }
}

/// How many groups along x and y.
pub fn spread(groups: u64) -> (u32, u32) {
    let x = groups.min(GROUPS_X.into());
    (x as u32, groups.div_ceil(x.max(1)) as u32)
}
/// A kernel for a GPU.
#[derive(Clone, Debug)]
pub struct Shader {
    /// Its entry point.
    pub entry: String,
    /// Its own text: bindings and entry point.
    pub text: String,
    /// Storage bindings, from number 1 on; the block of arguments is number 0.
    pub bindings: Vec<Binding>,
    /// The buffers whose bases stand, in this order, in a uniform block bound after the storage; each counted in words
    /// from where its binding begins.
    pub bases: Vec<BufferId>,
    /// How many workgroups.
    pub grid: Grid,
}
