//! Gradients agree with central differences, and have the form that was asked for.
#![allow(missing_docs)]

mod form;
mod library;
mod operations;
mod random;
mod shared;
mod tangent;

use gannet_compiler::grad::differentiate;
use gannet_compiler::graph::{Graph, NodeId, Num, Op, Tables, sorted};
use gannet_lang::diag::Span;
use gannet_lang::program::{Axis, Dim, DimId, Elem, Input, Output, Param, ParamId, Part, PointId, Role, Size, Ty};
use gannet_runtime::reference::{Env, Tensor, eval};
use std::sync::Arc;

/// Dims of the tests, with their sizes.
pub const SIZES: [u64; 5] = [2, 3, 4, 5, 1];

pub fn ax(dim: usize, ix: u32) -> Axis {
    Axis { dim: DimId::new(dim), ix }
}

/// A graph under construction, with the values of its parameters and inputs.
pub struct Model {
    pub g: Graph,
    pub params: Vec<Vec<f64>>,
    pub inputs: Vec<Vec<f64>>,
}

/// Leaves by type; values follow from the seed.
pub fn model(params: &[&[Axis]], inputs: &[(Elem, &[Axis])], seed: u64) -> Model {
    let dims = SIZES.iter().enumerate();
    let dims = dims.map(|(k, n)| Dim { name: format!("d{k}"), size: Size::Fixed(*n), span: None }).collect();
    let ty = |elem, axes: &[Axis]| Ty { elem, axes: sorted(axes.iter().copied()).to_vec() };
    let tables = Tables {
        dims,
        params: params
            .iter()
            .map(|axes| Param { name: "w".into(), ty: ty(Elem::Real, axes), role: Role::Weight, span: Span::default() })
            .collect(),
        inputs: inputs
            .iter()
            .map(|(elem, axes)| Input { name: "x".into(), field: None, part: Part::Argument, ty: ty(*elem, axes) })
            .collect(),
        assumed: SIZES.to_vec(),
        ..Tables::default()
    };
    let count = |axes: &[Axis]| axes.iter().map(|a| SIZES[a.dim.index()] as usize).product::<usize>();
    let mut rng = Rng(seed);
    let reals = |rng: &mut Rng, n: usize| (0..n).map(|_| 2.0 * rng.unit() - 1.0).collect::<Vec<f64>>();
    let param_values = params.iter().map(|axes| reals(&mut rng, count(axes))).collect();
    let input_values = inputs
        .iter()
        .map(|(elem, axes)| match elem {
            Elem::Index(d) => (0..count(axes)).map(|_| rng.below(SIZES[d.index()]) as f64).collect(),
            _ => reals(&mut rng, count(axes)),
        })
        .collect();
    Model { g: Graph::new(Arc::new(tables)), params: param_values, inputs: input_values }
}

impl Model {
    pub fn param(&mut self, k: usize) -> NodeId {
        self.g.add(Op::Param(ParamId::new(k)), [])
    }

    pub fn input(&mut self, k: usize) -> NodeId {
        self.g.add(Op::Input(gannet_lang::program::InputId::new(k)), [])
    }

    pub fn point(&mut self, k: usize, x: NodeId) -> NodeId {
        self.g.add(Op::Point(PointId::new(k)), [x])
    }

    /// The gradient; axes of `wrt` get the given names, or keep theirs.
    pub fn grad(&mut self, of: NodeId, wrt: NodeId, names: &[(Axis, Axis)], shared: &[Axis]) -> NodeId {
        let to = |a: Axis| names.iter().find(|n| n.0 == a).map_or(a, |n| n.1);
        let axes = self.g.ty(wrt).axes.iter().map(|a| (*a, to(*a))).collect();
        self.g.add(Op::Grad { axes, shared: sorted(shared.iter().copied()) }, [of, wrt])
    }

    pub fn output(&mut self, id: NodeId) {
        let name = Output::Value(format!("y{}", self.g.outputs.len()));
        self.g.outputs.push((name, id));
    }

    /// The outputs of a graph over the model's leaves.
    pub fn values_of(&self, g: &Graph) -> Vec<Tensor> {
        let sizes = SIZES.iter().map(|n| *n as usize).collect();
        let env = Env { sizes, params: self.params.clone(), inputs: self.inputs.clone(), ..Env::default() };
        let values = eval(g, &env).unwrap_or_else(|f| panic!("{}\n{}", f.message, dump(g)));
        values.into_iter().map(|(_, value)| value).collect()
    }

    /// The outputs after differentiation, which is verified.
    pub fn run(&self) -> Vec<Tensor> {
        let new = differentiate(&self.g);
        new.verify().expect("a differentiated graph is well typed");
        let gone = |op: &Op| matches!(op, Op::Grad { .. } | Op::Along(_) | Op::Custom { .. } | Op::Point(_) | Op::Stop);
        assert!(new.ids().all(|id| !gone(&new.node(id).op)), "nothing is left to differentiate");
        for ((_, a), (_, b)) in self.g.outputs.iter().zip(&new.outputs) {
            assert_eq!(self.g.ty(*a), new.ty(*b), "differentiation keeps types");
        }
        self.values_of(&new)
    }
}

/// A small generator of pseudorandom numbers (SplitMix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }
}

/// Checks `d of / d param` against central differences, for all parameters: the Jacobian, if `of` has axes. Then checks
/// that directional derivatives are what the Jacobian gives. `build` makes `of` from the model.
pub fn check(model: Model, build: impl Fn(&mut Model) -> NodeId) {
    let mut m = Model { g: Graph::like(&model.g), ..model };
    let of = build(&mut m);
    let params: Vec<NodeId> = (0..m.params.len()).map(|k| m.param(k)).collect();
    m.output(of);
    for w in params {
        let names = apart(&m.g, w);
        let grad = m.grad(of, w, &names, &[]);
        m.output(grad);
    }
    tangent::outputs(&mut m, of);
    let got = m.run();
    for k in 0..m.params.len() {
        check_param(&mut m, k, &got[0], &got[k + 1]);
    }
    tangent::check_outputs(&m, &got);
}

/// Names for the axes of `wrt` that no test uses otherwise.
pub fn apart(g: &Graph, wrt: NodeId) -> Vec<(Axis, Axis)> {
    g.ty(wrt).axes.iter().map(|a| (*a, Axis { ix: a.ix + 40, ..*a })).collect()
}

const STEP: f64 = 1e-5;

fn check_param(m: &mut Model, k: usize, of: &Tensor, got: &Tensor) {
    let step = differentiate(&m.g);
    let axes: Vec<Axis> = m.g.tables.params[k].ty.axes.clone();
    for entry in 0..m.params[k].len() {
        let value = m.params[k][entry];
        m.params[k][entry] = value + STEP;
        let high = m.values_of(&step)[0].clone();
        m.params[k][entry] = value - STEP;
        let low = m.values_of(&step)[0].clone();
        m.params[k][entry] = value;
        let mut rest = entry;
        let mut place = std::collections::BTreeMap::new();
        for a in axes.iter().rev() {
            let n = SIZES[a.dim.index()] as usize;
            place.insert(Axis { ix: a.ix + 40, ..*a }, rest % n);
            rest /= n;
        }
        for (at, (h, l)) in high.data.iter().zip(&low.data).enumerate() {
            let mut left = at;
            for (a, n) in of.axes.iter().zip(&of.sizes).rev() {
                place.insert(*a, left % n);
                left /= n;
            }
            let (want, got) = ((h - l) / (2.0 * STEP), got.get(|a| place[&a]));
            let close = (want - got).abs() <= 1e-6 * (1.0 + want.abs().max(h.abs()));
            assert!(
                close,
                "parameter {k} entry {entry}, result {at}: {got} but differences give {want}\n{}",
                dump(&m.g)
            );
        }
    }
}

pub fn dump(g: &Graph) -> String {
    g.ids().map(|id| format!("{id} = {:?} {:?} : {:?}\n", g.node(id).op, g.node(id).args, g.ty(id).axes)).collect()
}

pub fn index_const(g: &mut Graph, value: i64, dim: usize) -> NodeId {
    g.add(Op::Const(Num::new(value as f64), Elem::Index(DimId::new(dim))), [])
}
