//! The reference evaluator: a Graph in f64 with plain loops and no cleverness. It is the oracle of every test, it
//! evaluates checks, and it explains where a value stopped being finite.
//! Law: each node's value is computed entry by entry, straight from the definition of its operation.

mod repeat;

use crate::entries::in_order;
use gannet_compiler::graph::random::Leaves;
use gannet_compiler::graph::{At, Axes, Graph, NodeId, Op, Red, Type, neutral};
use gannet_compiler::{library, philox, scalar};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{Axis, DimId, Fun, Output, Size, Ty, Unit};
use std::collections::BTreeMap;

/// A tensor: entries in row-major order of its axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Axes in storage order.
    pub axes: Vec<Axis>,
    /// Their sizes.
    pub sizes: Vec<usize>,
    /// All entries.
    pub data: Vec<f64>,
}

impl Tensor {
    /// A scalar.
    pub fn scalar(x: f64) -> Tensor {
        Tensor { axes: vec![], sizes: vec![], data: vec![x] }
    }

    /// All entries in row-major order of these axes, which are its own.
    pub fn ordered(self, axes: &[Axis]) -> Vec<f64> {
        let size = |axis: &Axis| self.sizes[self.axes.iter().position(|a| a == axis).expect("the tensor has the axis")];
        in_order(&self.axes, axes, size, self.data)
    }

    /// The entry where each axis has the place that `at` gives.
    pub fn get(&self, at: impl Fn(Axis) -> usize) -> f64 {
        let mut k = 0;
        for (axis, n) in self.axes.iter().zip(&self.sizes) {
            k = k * n + at(*axis);
        }
        self.data[k]
    }
}

/// What the leaves of a graph hold. Tensors are in the storage order of the unit's tables.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// Sizes of dims, by `DimId`.
    pub sizes: Vec<usize>,
    /// By `InputId`; may be empty where the graph reads none.
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

impl From<Leaves> for Env {
    fn from(l: Leaves) -> Env {
        let Leaves { sizes, inputs, params, states, hypers, step, seed } = l;
        Env { sizes, inputs, params, states, hypers, step, seed }
    }
}

impl Env {
    /// For a unit that has no leaves but sizes that are known.
    pub fn for_check(unit: &Unit) -> Env {
        let sizes = unit.dims.iter().map(|d| if let Size::Fixed(n) = d.size { n as usize } else { 0 }).collect();
        Env { sizes, ..Env::default() }
    }

    fn size(&self, dim: DimId) -> usize {
        self.sizes[dim.index()]
    }
}

/// A fault of the evaluated program.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The equation.
    pub node: NodeId,
    /// What happened.
    pub message: String,
}

/// A fault as a finding with the equation's place.
pub fn diagnose(fault: &Fault, graph: &Graph) -> Diagnostic {
    Diagnostic::error(Code::G0601, graph.span(fault.node), fault.message.clone())
}

/// The values of all outputs.
///
/// # Errors
/// A read outside its dim that has no value for that.
pub fn eval(graph: &Graph, env: &Env) -> Result<Vec<(Output, Tensor)>, Fault> {
    let values = eval_all(graph, env)?;
    Ok(graph.outputs.iter().map(|(o, id)| (o.clone(), values[id.index()].clone().expect("outputs are live"))).collect())
}

/// The value of every live node.
///
/// # Errors
/// As [`eval`].
pub fn eval_all(graph: &Graph, env: &Env) -> Result<Vec<Option<Tensor>>, Fault> {
    eval_each(graph, env, |_, _| {})
}

/// As [`eval_all`]; `change` may change each value before others are computed from it (to round it, say).
///
/// # Errors
/// As [`eval`].
pub fn eval_each(
    graph: &Graph,
    env: &Env,
    change: impl FnMut(NodeId, &mut Tensor),
) -> Result<Vec<Option<Tensor>>, Fault> {
    eval_step(graph, env, &[], change)
}

/// As [`eval_each`], of a graph whose `Arg`s have these values.
fn eval_step(
    graph: &Graph,
    env: &Env,
    args: &[Tensor],
    mut change: impl FnMut(NodeId, &mut Tensor),
) -> Result<Vec<Option<Tensor>>, Fault> {
    let live = graph.live();
    let mut values: Vec<Option<Tensor>> = vec![None; graph.len()];
    let mut parts: BTreeMap<NodeId, Vec<Tensor>> = BTreeMap::new();
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let mut value = match &node.op {
            Op::Arg(k, ..) => args[*k as usize].clone(),
            Op::Part(k) if parts.contains_key(&node.args[0]) => parts[&node.args[0]][*k as usize].clone(),
            Op::Loop(body) => {
                let given: Vec<&Tensor> = node.args.iter().map(|a| known(&values, *a)).collect();
                let results = repeat::run(body, env, &given).map_err(|f| Fault { node: id, ..f })?;
                parts.insert(id, results);
                Tensor::scalar(0.0)
            }
            _ => Evaluator { graph, env, values: &values, id }.node()?,
        };
        change(id, &mut value);
        values[id.index()] = Some(value);
    }
    Ok(values)
}

fn known(values: &[Option<Tensor>], id: NodeId) -> &Tensor {
    values[id.index()].as_ref().expect("operands come first")
}

struct Evaluator<'a> {
    graph: &'a Graph,
    env: &'a Env,
    values: &'a [Option<Tensor>],
    id: NodeId,
}

/// Places of axes: an index for each axis in scope.
type Places = Vec<(Axis, usize)>;

fn place(places: &Places, axis: Axis) -> usize {
    places.iter().find(|(a, _)| *a == axis).map(|(_, k)| *k).expect("the axis is in scope")
}

impl Evaluator<'_> {
    fn arg(&self, k: usize) -> &Tensor {
        self.values[self.graph.node(self.id).args[k].index()].as_ref().expect("operands come first")
    }

    /// All places over some axes, in row-major order.
    fn each(&self, axes: &[Axis], mut f: impl FnMut(&Places) -> Result<(), Fault>) -> Result<(), Fault> {
        let sizes: Vec<usize> = axes.iter().map(|a| self.env.size(a.dim)).collect();
        if sizes.contains(&0) {
            return Ok(());
        }
        let mut places: Places = axes.iter().map(|a| (*a, 0)).collect();
        loop {
            f(&places)?;
            let mut k = axes.len();
            loop {
                if k == 0 {
                    return Ok(());
                }
                k -= 1;
                places[k].1 += 1;
                if places[k].1 < sizes[k] {
                    break;
                }
                places[k].1 = 0;
            }
        }
    }

    /// The result over the node's axes, entry by entry.
    fn tabulate(&self, ty: &Type, f: impl Fn(&Places) -> Result<f64, Fault>) -> Result<Tensor, Fault> {
        let axes = ty.axes.to_vec();
        let sizes: Vec<usize> = axes.iter().map(|a| self.env.size(a.dim)).collect();
        let mut data = Vec::with_capacity(sizes.iter().product());
        self.each(&axes, |p| {
            data.push(f(p)?);
            Ok(())
        })?;
        Ok(Tensor { axes, sizes, data })
    }

    fn leaf(&self, ty: &Ty, data: &[Vec<f64>], k: usize) -> Tensor {
        let sizes: Vec<usize> = ty.axes.iter().map(|a| self.env.size(a.dim)).collect();
        let data = data.get(k).cloned().unwrap_or_default();
        assert_eq!(data.len(), sizes.iter().product::<usize>(), "leaf {} has all its entries", self.id);
        Tensor { axes: ty.axes.clone(), sizes, data }
    }

    fn node(&self) -> Result<Tensor, Fault> {
        let node = self.graph.node(self.id);
        let tables = &self.graph.tables;
        let get = |k: usize, p: &Places| self.arg(k).get(|a| place(p, a));
        match &node.op {
            Op::Input(i) => Ok(self.leaf(&tables.inputs[i.index()].ty, &self.env.inputs, i.index())),
            Op::Param(i) => Ok(self.leaf(&tables.params[i.index()].ty, &self.env.params, i.index())),
            Op::State(i) => Ok(self.leaf(&tables.states[i.index()].ty, &self.env.states, i.index())),
            Op::Hyper(i) => Ok(Tensor::scalar(self.env.hypers[i.index()])),
            Op::Step => Ok(Tensor::scalar(self.env.step)),
            Op::Const(n, _) => Ok(Tensor::scalar(n.get())),
            Op::Size(d) => Ok(Tensor::scalar(self.env.size(*d) as f64)),
            Op::Iota(axis) => self.tabulate(&node.ty, |p| Ok(place(p, *axis) as f64)),
            Op::Random(dist, site, axes) => self.tabulate(&node.ty, |p| {
                let entry = axes.iter().fold(0, |k, a| k * self.env.size(a.dim) as u64 + place(p, *a) as u64);
                Ok(philox::draw(*dist, self.env.seed, site.0, self.env.step as u32, entry))
            }),
            Op::Map(fun) => self.tabulate(&node.ty, |p| {
                let x: Vec<f64> = (0..node.args.len()).map(|k| get(k, p)).collect();
                Ok(scalar::eval(*fun, &x))
            }),
            Op::Reduce(red, axes) => self.tabulate(&node.ty, |p| self.fold(*red, axes, p, |q| get(0, q))),
            Op::Contract(axes) => self.tabulate(&node.ty, |p| {
                self.fold(Red::Sum, axes, p, |q| (0..node.args.len()).map(|k| get(k, q)).product())
            }),
            Op::Read { at, guarded } => self.tabulate(&node.ty, |p| self.read(at, *guarded, p)),
            Op::Fiber { red, at, over } => self.fiber(*red, at, over),
            Op::Point(_) | Op::Stop | Op::Custom { .. } => self.tabulate(&node.ty, |p| Ok(get(0, p))),
            // Its parts have values.
            Op::Library(_) => Ok(Tensor::scalar(0.0)),
            Op::Part(k) => self.part(*k),
            Op::Grad { .. } | Op::Along(_) => panic!("gradients are taken before a graph is evaluated"),
            Op::Arg(..) | Op::Loop(_) => unreachable!("evaluated with their graph"),
        }
    }

    /// A result of a library operation, member by member of the batch.
    fn part(&self, k: u32) -> Result<Tensor, Fault> {
        let node = self.graph.node(self.id);
        let whole = self.graph.node(node.args[0]);
        let Op::Library(lib) = &whole.op else { panic!("{:?} has no parts", whole.op) };
        let operands: Vec<&Tensor> =
            whole.args.iter().map(|a| self.values[a.index()].as_ref().expect("operands come first")).collect();
        let axes: Vec<&[Axis]> = whole.args.iter().map(|a| &self.graph.ty(*a).axes[..]).collect();
        let (groups, batch) = (lib.all_groups(&axes), lib.batch(&axes));
        let sizes: Vec<usize> = groups.iter().map(|g| g.iter().map(|a| self.env.size(a.dim)).product()).collect();
        let signature = lib.fun.signature();
        let along = |own: &[usize]| own.iter().flat_map(|g| groups[*g].clone()).collect::<Vec<Axis>>();
        let mut result = self.tabulate(&node.ty, |_| Ok(f64::NAN))?;
        let (result_axes, result_sizes) = (result.axes.clone(), result.sizes.clone());
        self.each(&batch, |member| {
            let mut entries: Vec<Vec<f64>> = Vec::new();
            for (operand, own) in operands.iter().zip(signature.operands) {
                let mut list = Vec::new();
                self.each(&along(own), |p| {
                    let all: Places = member.iter().chain(p).copied().collect();
                    list.push(operand.get(|a| place(&all, a)));
                    Ok(())
                })?;
                entries.push(list);
            }
            let entries: Vec<&[f64]> = entries.iter().map(Vec::as_slice).collect();
            let hosts = &self.graph.tables.hosts;
            let parts = library::eval_with(hosts, lib.fun, &sizes, &entries, library::eval)
                .map_err(|e| Fault { node: self.id, message: library::fault(hosts, lib.fun, &e) })?;
            let mut values = parts[k as usize].iter();
            self.each(&along(signature.parts[k as usize].groups), |p| {
                let all: Places = member.iter().chain(p).copied().collect();
                let at = result_axes.iter().zip(&result_sizes).fold(0, |at, (a, n)| at * n + place(&all, *a));
                result.data[at] = *values.next().expect("a part has its entries");
                Ok(())
            })
        })?;
        Ok(result)
    }

    fn fold(&self, red: Red, axes: &Axes, p: &Places, f: impl Fn(&Places) -> f64) -> Result<f64, Fault> {
        let mut value = neutral(red);
        let mut best = 0;
        let mut count = 0;
        self.each(axes, |inner| {
            let all: Places = p.iter().chain(inner).copied().collect();
            let x = f(&all);
            match red {
                Red::ArgMax | Red::ArgMin if scalar::better(red, x, value) => (value, best) = (x, count),
                Red::ArgMax | Red::ArgMin => {}
                _ => value = combine(red, value, x),
            }
            count += 1;
            Ok(())
        })?;
        Ok(if matches!(red, Red::ArgMax | Red::ArgMin) { best as f64 } else { value })
    }

    /// Where an axis is taken from.
    fn index(&self, to: &At, p: &Places) -> i64 {
        match to {
            At::Affine { terms, offset } => offset + terms.iter().map(|(c, a)| c * place(p, *a) as i64).sum::<i64>(),
            At::Arg(k) => self.arg(*k as usize).get(|a| place(p, a)) as i64,
        }
    }

    fn read(&self, at: &[(Axis, At)], guarded: bool, p: &Places) -> Result<f64, Fault> {
        let mut places: Places = Vec::new();
        for (axis, to) in at {
            let k = self.index(to, p);
            if k < 0 || k >= self.env.size(axis.dim) as i64 {
                if guarded {
                    let last = self.graph.node(self.id).args.len() - 1;
                    return Ok(self.arg(last).get(|a| place(p, a)));
                }
                let dim = &self.graph.tables.dims[axis.dim.index()].name;
                let message = format!("index {k} lies outside `{dim}`, which has {} entries", self.env.size(axis.dim));
                return Err(Fault { node: self.id, message });
            }
            places.push((*axis, k as usize));
        }
        let inside = |a: Axis| places.iter().find(|(b, _)| *b == a).map_or_else(|| place(p, a), |(_, k)| *k);
        Ok(self.arg(0).get(inside))
    }

    fn fiber(&self, red: Red, at: &[(Axis, At)], over: &Axes) -> Result<Tensor, Fault> {
        let node = self.graph.node(self.id);
        let mut result = self.tabulate(&node.ty, |_| Ok(neutral(red)))?;
        let kept: Vec<Axis> = node.ty.axes.iter().copied().filter(|a| at.iter().all(|(b, _)| a != b)).collect();
        let all: Vec<Axis> = kept.iter().chain(over.iter()).copied().collect();
        let (axes, sizes) = (result.axes.clone(), result.sizes.clone());
        self.each(&all, |p| {
            let mut k = 0;
            for (axis, n) in axes.iter().zip(&sizes) {
                let i = match at.iter().find(|(a, _)| a == axis) {
                    Some((_, to)) => self.index(to, p),
                    None => place(p, *axis) as i64,
                };
                if i < 0 || i >= *n as i64 {
                    return Ok(());
                }
                k = k * n + i as usize;
            }
            result.data[k] = combine(red, result.data[k], self.arg(0).get(|a| place(p, a)));
            Ok(())
        })?;
        Ok(result)
    }
}

fn combine(red: Red, a: f64, b: f64) -> f64 {
    match red {
        Red::Sum => a + b,
        Red::Prod => a * b,
        Red::Max => scalar::eval(Fun::Max, &[a, b]),
        Red::Min => scalar::eval(Fun::Min, &[a, b]),
        Red::Any => f64::from(u8::from(a != 0.0 || b != 0.0)),
        Red::All => f64::from(u8::from(a != 0.0 && b != 0.0)),
        Red::ArgMax | Red::ArgMin => unreachable!("needs the place"),
    }
}
