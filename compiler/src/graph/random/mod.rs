//! Random well-typed graphs with values for their leaves, for differential tests: what is evaluated, rewritten,
//! differentiated or compiled must agree with the reference evaluator on all of them.
//! Law: the same seed and configuration give the same graph; every output is finite and of moderate size, nothing on the
//! way to it loses much precision, and every unguarded read is in range.
//!
//! Small constructs are composed, so there is no catalogue of scenarios: scalar functions with safe arguments, selections,
//! reductions, contractions of two to four factors, reads (renamings, diagonals, shifts, windows, gathers), fibers, draws,
//! softmax and the like, over dims of which some are open, with several axes over one dim.

mod grow;
mod library;
mod shape;
mod whole;

use super::{Graph, NodeId, Num, Op, Tables};
use gannet_lang::diag::Span;
use gannet_lang::program::{
    Axis, Dim, DimId, Dist, Elem, Hyper, HyperId, Input, InputId, Output, Param, ParamId, Part, Role, SiteId, Size,
    State, StateId, Ty,
};
use std::sync::Arc;

/// What a random graph may contain.
#[derive(Clone, Debug)]
pub struct Config {
    /// Growth steps; each adds a few nodes.
    pub steps: usize,
    /// No function with a kink or a jump in a real argument, so that all gradients exist and single precision suffices.
    pub smooth: bool,
    /// Random draws.
    pub draws: bool,
    /// Next values of parameters and states among the outputs.
    pub updates: bool,
    /// Some dims are open.
    pub open: bool,
    /// Sizes of dims are from 1 to this.
    pub max_size: usize,
    /// No node's loops run over more entries than this.
    pub max_entries: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { steps: 12, smooth: false, draws: true, updates: true, open: true, max_size: 5, max_entries: 3000 }
    }
}

impl Config {
    /// Graphs for tests of gradients: smooth, without draws and updates.
    pub fn smooth() -> Self {
        Config { smooth: true, draws: false, updates: false, ..Config::default() }
    }
}

/// Values for the leaves of a graph; tensors are row-major in the storage order of the tables.
#[derive(Clone, Debug, Default)]
pub struct Leaves {
    /// Sizes of dims, by `DimId`.
    pub sizes: Vec<usize>,
    /// By `InputId`.
    pub inputs: Vec<Vec<f64>>,
    /// By `ParamId`.
    pub params: Vec<Vec<f64>>,
    /// By `StateId`.
    pub states: Vec<Vec<f64>>,
    /// By `HyperId`.
    pub hypers: Vec<f64>,
    /// The step.
    pub step: f64,
    /// Keys the draws.
    pub seed: u64,
}

/// A random graph and values for its leaves.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The graph, with outputs.
    pub graph: Graph,
    /// What its leaves hold.
    pub leaves: Leaves,
}

/// A random graph.
pub fn random_graph(seed: u64, config: &Config) -> Sample {
    let mut rng = Rng(seed);
    let (tables, leaves) = leaves(&mut rng, config);
    let mut grower = Grower::new(Graph::new(Arc::new(tables)), leaves.sizes.clone(), rng, config.clone());
    for _ in 0..config.steps {
        grower.step();
    }
    grower.outputs();
    Sample { graph: grower.graph, leaves }
}

/// A small generator of pseudorandom numbers (SplitMix64; Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is positive.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Between `low` and `high`.
    pub fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One time in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// In random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for k in (1..items.len()).rev() {
            items.swap(k, self.below(k + 1));
        }
    }
}

const NAMES: [&str; 4] = ["batch", "row", "column", "3"];
/// Axes over one dim.
const AXES_OF_DIM: u32 = 2;
const REAL_INPUTS: usize = 2;
const MAPS: usize = 7;
const STATES: usize = 2;
const PARAMS: usize = 3;

fn leaves(rng: &mut Rng, config: &Config) -> (Tables, Leaves) {
    let mut tables = Tables::default();
    let mut leaves = Leaves { seed: rng.bits(), step: rng.below(5) as f64, ..Leaves::default() };
    for name in NAMES {
        let size = 1 + rng.below(config.max_size);
        let open = config.open && rng.once_in(3);
        let declared = if open { Size::Open } else { Size::Fixed(size as u64) };
        tables.dims.push(Dim { name: name.into(), size: declared, span: None });
        tables.assumed.push(size as u64);
        leaves.sizes.push(size);
    }
    let sizes = leaves.sizes.clone();
    let reals = |rng: &mut Rng, ty: &Ty| entries(ty, &sizes, || rng.real(-1.5, 1.5));
    for k in 0..REAL_INPUTS {
        let ty = Ty { elem: Elem::Real, axes: some_axes(rng, 1 + k) };
        leaves.inputs.push(reals(rng, &ty));
        tables.inputs.push(Input { name: format!("x{k}"), field: None, part: Part::Batch, ty });
    }
    for k in 0..MAPS {
        let (from, to) = (DimId::new(rng.below(NAMES.len())), DimId::new(rng.below(NAMES.len())));
        let mut axes = vec![Axis { dim: from, ix: 0 }];
        axes.extend((k + 1 == MAPS).then_some(Axis { dim: from, ix: 1 }));
        let ty = Ty { elem: Elem::Index(to), axes };
        leaves.inputs.push(entries(&ty, &sizes, || rng.below(sizes[to.index()]) as f64));
        tables.inputs.push(Input { name: format!("map{k}"), field: None, part: Part::All, ty });
    }
    for k in 0..PARAMS {
        let ty = Ty { elem: Elem::Real, axes: some_axes(rng, k + usize::from(k > 0)) };
        leaves.params.push(reals(rng, &ty));
        tables.params.push(Param { name: format!("w{k}"), ty, role: Role::Weight, span: Span::default() });
    }
    for k in 0..STATES {
        let ty = Ty { elem: Elem::Real, axes: some_axes(rng, k) };
        leaves.states.push(reals(rng, &ty));
        tables.states.push(State { name: format!("s{k}"), ty, span: Span::default() });
    }
    leaves.hypers.push(rng.real(0.1, 1.0));
    tables.hypers.push(Hyper { name: "lr".into(), default: 0.1 });
    (tables, leaves)
}

fn entries(ty: &Ty, sizes: &[usize], f: impl FnMut() -> f64) -> Vec<f64> {
    let count = ty.axes.iter().map(|a| sizes[a.dim.index()]).product();
    std::iter::repeat_with(f).take(count).collect()
}

/// Axes for a leaf, in any order: the first axis over each dim, sometimes also the second.
fn some_axes(rng: &mut Rng, count: usize) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    while axes.len() < count {
        let dim = DimId::new(rng.below(NAMES.len()));
        let ix = axes.iter().filter(|a| a.dim == dim).count() as u32;
        if ix < AXES_OF_DIM {
            axes.push(Axis { dim, ix });
        }
    }
    rng.shuffle(&mut axes);
    axes
}

/// A real value and a bound of its magnitude.
#[derive(Clone, Copy)]
struct Real {
    id: NodeId,
    bound: f64,
}

/// The graph under construction.
struct Grower {
    graph: Graph,
    sizes: Vec<usize>,
    rng: Rng,
    config: Config,
    reals: Vec<Real>,
    wholes: Vec<NodeId>,
    truths: Vec<NodeId>,
    sites: u32,
}

/// Values are scaled down when they may be larger.
const BOUND: f64 = 3.0;
/// More axes than this are summed away.
const MAX_AXES: usize = 4;

impl Grower {
    fn new(graph: Graph, sizes: Vec<usize>, rng: Rng, config: Config) -> Self {
        let (reals, wholes, truths) = (Vec::new(), Vec::new(), Vec::new());
        let mut new = Grower { graph, sizes, rng, config, reals, wholes, truths, sites: 0 };
        new.plant();
        new
    }

    /// Adds the leaves.
    fn plant(&mut self) {
        for k in 0..REAL_INPUTS + MAPS {
            let id = self.graph.add(Op::Input(InputId::new(k)), []);
            if k < REAL_INPUTS { self.keep(id, 1.5) } else { self.wholes.push(id) }
        }
        for axis in self.all_axes() {
            let id = self.graph.add(Op::Iota(axis), []);
            self.wholes.push(id);
        }
        let truth = self.graph.add(Op::Const(Num::new(1.0), Elem::Bool), []);
        self.truths.push(truth);
        let scalars = [(Op::Hyper(HyperId(0)), 1.0), (Op::Step, 5.0)];
        for (op, bound) in scalars {
            let id = self.graph.add(op, []);
            self.keep(id, bound);
        }
        let states = (0..STATES).map(|k| Op::State(StateId::new(k)));
        for op in states.chain((0..PARAMS).map(|k| Op::Param(ParamId::new(k)))).collect::<Vec<_>>() {
            let id = self.graph.add(op, []);
            self.keep(id, 1.5);
        }
    }

    fn all_axes(&self) -> Vec<Axis> {
        (0..NAMES.len()).flat_map(|d| (0..AXES_OF_DIM).map(move |ix| Axis { dim: DimId::new(d), ix })).collect()
    }

    fn size(&self, axis: Axis) -> usize {
        self.sizes[axis.dim.index()]
    }

    fn entries(&self, axes: &[Axis]) -> usize {
        axes.iter().map(|a| self.size(*a)).product()
    }

    fn step(&mut self) {
        match self.rng.below(19) {
            0..=2 => self.unary(),
            3..=4 => self.binary(),
            5..=6 => self.reduction(),
            7..=8 => self.contraction(),
            9..=11 => self.any_read(),
            12 => self.fiber(),
            13 => self.composite(),
            14 | 15 => self.whole_or_truth(),
            16 => self.library(),
            _ if self.config.draws && self.rng.once_in(2) => self.draw(),
            _ => self.selection(),
        }
    }

    /// A recent value more often than an old one.
    fn real(&mut self) -> Real {
        let n = self.reals.len();
        let from = if self.rng.once_in(3) { 0 } else { n.saturating_sub(6) };
        self.reals[from + self.rng.below(n - from)]
    }

    /// Takes a value into the pool: of moderate size, with few axes.
    fn keep(&mut self, id: NodeId, bound: f64) {
        let real = self.tame(Real { id, bound });
        if !self.reals.iter().any(|r| r.id == real.id) {
            self.reals.push(real);
        }
    }

    fn tame(&mut self, mut x: Real) -> Real {
        let axes = self.graph.ty(x.id).axes.clone();
        if axes.len() > MAX_AXES {
            let surplus = &axes[MAX_AXES..];
            x = Real { id: self.graph.contract(surplus, &[x.id]), bound: x.bound * self.entries(surplus) as f64 };
        }
        if x.bound > BOUND {
            let scale = self.graph.num(BOUND / x.bound);
            x = Real { id: self.graph.mul_all(&[scale, x.id]), bound: BOUND };
        }
        x
    }

    fn draw(&mut self) {
        let dists = [
            (Dist::Normal, 6.0),
            (Dist::Uniform, 1.0),
            (Dist::Rademacher, 1.0),
            (Dist::Gumbel, 18.0),
            (Dist::Exponential, 18.0),
        ];
        let (dist, bound) = self.rng.pick(&dists);
        let count = 1 + self.rng.below(2);
        let axes = some_axes(&mut self.rng, count);
        let site = SiteId(self.sites);
        self.sites += 1;
        let id = self.graph.add(Op::Random(dist, site, axes.into_iter().collect()), []);
        self.keep(id, bound);
    }

    /// Makes the last values outputs, and next values of parameters and states.
    fn outputs(&mut self) {
        let count = 1 + self.rng.below(3);
        let mut ids: Vec<NodeId> = self.reals.iter().rev().take(count).map(|r| r.id).collect();
        if self.rng.once_in(3) {
            ids.extend(self.wholes.last());
            ids.extend(self.truths.last());
        }
        for (k, id) in ids.into_iter().enumerate() {
            self.graph.outputs.push((Output::Value(format!("y{k}")), id));
            self.graph.names.push((format!("y{k}"), id));
        }
        let params = (0..PARAMS).map(|k| (Op::Param(ParamId::new(k)), Output::Param(ParamId::new(k))));
        let states = (0..STATES).map(|k| (Op::State(StateId::new(k)), Output::State(StateId::new(k))));
        for (leaf, output) in params.chain(states).collect::<Vec<_>>() {
            if self.config.updates && self.rng.once_in(2) {
                let next = self.update(leaf);
                self.graph.outputs.push((output, next));
            }
        }
    }

    /// `0.9 * w + 0.1 * x` with some value x, summed to w's axes.
    fn update(&mut self, leaf: Op) -> NodeId {
        let (w, x) = (self.graph.add(leaf, []), self.real());
        let axes = self.graph.ty(w).axes.clone();
        let surplus: Vec<Axis> = self.graph.ty(x.id).axes.iter().copied().filter(|a| !axes.contains(a)).collect();
        let (keep, take) = (self.graph.num(0.9), self.graph.num(0.1 / self.entries(&surplus) as f64));
        let sum = self.graph.contract(&surplus, &[x.id]);
        let (old, new) = (self.graph.mul_all(&[keep, w]), self.graph.mul_all(&[take, sum]));
        self.graph.add_all(&[old, new])
    }
}
