//! Every rewrite rule against the reference evaluator: instances of its left side, values and gradients in f64; then
//! the whole pass on random graphs.
//! Law: a rule that no instance here makes fire fails the tests.

use gannet_compiler::egraph::{self, Body, Condition, Options, Set};
use gannet_compiler::grad::differentiate;
use gannet_compiler::graph::{At, Axes, Graph, NodeId, Op, Red, Tables, sorted};
use gannet_lang::diag::Span;
use gannet_lang::program::{
    Axis, Dim, DimId, Elem, Fun, Hyper, HyperId, Input, InputId, Output, Param, ParamId, Part, Role, Size, Ty,
};
use gannet_runtime::reference::{Env, Tensor, eval};
use std::sync::Arc;

const SIZES: [usize; 4] = [3, 4, 2, 5];

fn axis(dim: u32) -> Axis {
    Axis { dim: DimId(dim), ix: 0 }
}

/// The second axis over dim 0.
fn twin() -> Axis {
    Axis { dim: DimId(0), ix: 1 }
}

/// Axes of the parameters. The twin axis makes matrices over one dim.
fn shapes() -> Vec<Vec<Axis>> {
    let (n, m, k, e) = (axis(0), axis(1), axis(2), axis(3));
    vec![
        vec![n],
        vec![n, m],
        vec![m],
        vec![m, k],
        vec![n, m, k],
        vec![],
        vec![n],
        vec![n, m],
        vec![m, k],
        vec![e],
        vec![n, twin()],
        vec![e, m],
        vec![k],
        vec![m],
    ]
}

fn tables() -> Arc<Tables> {
    let span = Span::default();
    let dims =
        SIZES.iter().enumerate().map(|(k, n)| Dim { name: format!("d{k}"), size: Size::Fixed(*n as u64), span: None });
    let param = |(k, axes): (usize, Vec<Axis>)| Param {
        name: format!("p{k}"),
        ty: Ty { elem: Elem::Real, axes },
        role: Role::Weight,
        span,
    };
    let index = |name: &str, axes: Vec<Axis>| Input {
        name: name.into(),
        field: None,
        part: Part::Argument,
        ty: Ty { elem: Elem::Index(DimId(0)), axes },
    };
    Arc::new(Tables {
        dims: dims.collect(),
        inputs: vec![index("of_edge", vec![axis(3)]), index("of_m", vec![axis(1)])],
        params: shapes().into_iter().enumerate().map(param).collect(),
        states: vec![],
        hypers: vec![Hyper { name: "h".into(), default: 0.5 }],
        assumed: SIZES.iter().map(|n| *n as u64 * 40).collect(),
    })
}

/// A small generator of its own: tests must not change when a library does.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) ^ (self.0 >> 11 & 0xffff)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.next() % 1_000_003) as f64 / 1_000_003.0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

fn env(dice: &mut Dice, low: f64) -> Env {
    let count = |axes: &[Axis]| axes.iter().map(|a| SIZES[a.dim.index()]).product::<usize>();
    let index = |dice: &mut Dice, n: usize| (0..n).map(|_| dice.below(SIZES[0]) as f64).collect::<Vec<f64>>();
    Env {
        sizes: SIZES.to_vec(),
        inputs: vec![index(dice, SIZES[3]), index(dice, SIZES[1])],
        params: shapes().iter().map(|s| (0..count(s)).map(|_| low + (1.4 - low) * dice.unit()).collect()).collect(),
        states: vec![],
        hypers: vec![0.7],
        step: 3.0,
        seed: 1,
    }
}

fn param(g: &mut Graph, k: u32) -> NodeId {
    g.add(Op::Param(ParamId(k)), [])
}

fn any_param(g: &mut Graph, dice: &mut Dice) -> NodeId {
    let k = dice.below(9) as u32;
    param(g, k)
}

/// A node as it is, whatever the builder would make of it.
fn raw(g: &mut Graph, fun: Fun, args: &[NodeId]) -> NodeId {
    let mut args = args.to_vec();
    if matches!(fun, Fun::Add | Fun::Mul) {
        args.sort();
    }
    g.add(Op::Map(fun), args)
}

fn raw_reduce(g: &mut Graph, red: Red, axes: &[Axis], x: NodeId) -> NodeId {
    g.add(Op::Reduce(red, sorted(axes.iter().copied())), [x])
}

fn raw_contract(g: &mut Graph, axes: &[Axis], factors: &[NodeId]) -> NodeId {
    let mut factors = factors.to_vec();
    factors.sort();
    g.add(Op::Contract(sorted(axes.iter().copied())), factors)
}

/// A leaf that meets the conditions.
fn leaf(g: &mut Graph, dice: &mut Dice, conditions: &[Condition]) -> NodeId {
    let x = any_param(g, dice);
    for condition in conditions {
        match condition {
            Condition::Positive | Condition::Nonzero => return g.add(Op::Map(Fun::Exp), [x]),
            Condition::Nonnegative => {
                return if dice.below(2) == 0 { raw(g, Fun::Mul, &[x, x]) } else { raw(g, Fun::Sigmoid, &[x]) };
            }
            Condition::Whole => {
                let leaves = [Op::Iota(axis(0)), Op::Input(InputId(1)), Op::Iota(axis(1))];
                return g.add(leaves[dice.below(3)].clone(), []);
            }
            Condition::Truth => {
                let y = any_param(g, dice);
                return raw(g, Fun::Lt, &[x, y]);
            }
            Condition::Constant => return g.num(dice.pick(&[0.25, 0.7, 1.3, 2.5, -0.6])),
            Condition::Varying => {}
        }
    }
    x
}

/// `f(x, .. , y)` with one more operand where the function takes any number, so that an instance may stand inside of a
/// longer sum or product.
fn with_company(g: &mut Graph, dice: &mut Dice, id: NodeId) -> NodeId {
    let node = g.node(id).clone();
    match node.op {
        Op::Map(fun @ (Fun::Add | Fun::Mul)) if dice.below(2) == 0 => {
            let other = param(g, 4);
            let args: Vec<NodeId> = node.args.iter().copied().chain([other]).collect();
            raw(g, fun, &args)
        }
        _ => id,
    }
}

fn iota_eq(g: &mut Graph, a: Axis, index: NodeId) -> NodeId {
    let iota = g.add(Op::Iota(a), []);
    g.add(Op::Map(Fun::Eq), [iota, index])
}

/// Left sides of the rules that are code.
fn instance(name: &str, g: &mut Graph, dice: &mut Dice) -> NodeId {
    let (n, m, k, e) = (axis(0), axis(1), axis(2), axis(3));
    let p: Vec<NodeId> = (0..shapes().len()).map(|k| param(g, k as u32)).collect();
    let positive = raw(g, Fun::Exp, &[p[0]]);
    let extremum = |rule: &str| if rule.starts_with("min") { Red::Min } else { Red::Max };
    let index = if dice.below(2) == 0 { g.add(Op::Input(InputId(1)), []) } else { g.add(Op::Iota(twin()), []) };
    let edge = g.add(Op::Input(InputId(0)), []);
    let arg = || At::Arg(1);
    let read = |g: &mut Graph, x: NodeId, dice: &mut Dice| match dice.below(3) {
        0 => g.read(x, &[(n, At::axis(twin()))], &[], None),
        1 => g.read(x, &[(n, arg())], &[edge], None),
        _ => {
            let one = At::Affine { terms: Default::default(), offset: 1 };
            g.read(x, &[(n, one)], &[], None)
        }
    };
    let segment = |g: &mut Graph, x: NodeId| g.fiber(Red::Sum, x, &[(n, arg())], &[e], &[edge]);
    match name {
        "log-sum-exp" => {
            let x = raw(g, Fun::Exp, &[p[1]]);
            let sum = raw_reduce(g, Red::Sum, &[m], x);
            raw(g, Fun::Log, &[sum])
        }
        "softmax" => {
            let x = raw(g, Fun::Exp, &[p[1]]);
            let sum = raw_reduce(g, Red::Sum, &[m], x);
            let recip = raw(g, Fun::Recip, &[sum]);
            raw(g, Fun::Mul, &[x, recip])
        }
        "sum-of-sum" => {
            let inner = raw_reduce(g, Red::Sum, &[k], p[4]);
            raw_reduce(g, Red::Sum, &[m], inner)
        }
        "sum-of-product" => {
            let x = raw(g, Fun::Mul, &[p[1], p[3]]);
            raw_reduce(g, Red::Sum, &[m], x)
        }
        "sum-of-iota" => {
            let iota = g.add(Op::Iota(m), []);
            let x = raw(g, Fun::ToReal, &[iota]);
            raw_reduce(g, Red::Sum, &[m], x)
        }
        "sum-of-terms" => {
            let x = raw(g, Fun::Add, &[p[1], p[0], p[2]]);
            raw_reduce(g, Red::Sum, &[m], x)
        }
        "like-terms" => {
            let (a, b) = (g.num(2.5), g.num(dice.pick(&[-1.0, 0.5, 3.0])));
            let (x, y) = (raw(g, Fun::Mul, &[a, p[1]]), raw(g, Fun::Mul, &[b, p[1]]));
            raw(g, Fun::Add, &[x, y, p[7]])
        }
        "common-factor" => {
            let (x, y) = (raw(g, Fun::Mul, &[p[1], p[0]]), raw(g, Fun::Mul, &[p[1], p[2]]));
            let z = dice.pick(&[p[4], p[1], p[7]]);
            raw(g, Fun::Add, &[x, y, z])
        }
        "common-sum" => {
            let (x, y) = (raw_reduce(g, Red::Sum, &[m], p[1]), raw_reduce(g, Red::Sum, &[m], p[3]));
            raw(g, Fun::Add, &[x, y, p[0]])
        }
        "distribute-number" => {
            let (c, sum) = (g.num(0.3), raw(g, Fun::Add, &[p[0], p[1]]));
            raw(g, Fun::Mul, &[c, sum])
        }
        "contract-delta" => {
            let eq = iota_eq(g, n, index);
            let delta = raw(g, Fun::ToReal, &[eq]);
            let factors = if dice.below(2) == 0 { vec![delta, p[1], p[4]] } else { vec![delta, p[6], p[3]] };
            let axes = if dice.below(2) == 0 { vec![n] } else { vec![n, k] };
            let has_k = factors.contains(&p[4]) || factors.contains(&p[3]);
            raw_contract(g, if has_k { &axes } else { &axes[..1] }, &factors)
        }
        "sum-delta" => {
            let (eq, zero) = (iota_eq(g, n, index), g.num(0.0));
            let select = raw(g, Fun::Select, &[eq, p[4], zero]);
            raw_reduce(g, Red::Sum, &[n], select)
        }
        "contract-pull" => raw_contract(g, &[m], &[p[0], p[1], p[3]]),
        "contract-flatten" => {
            let x = raw(g, Fun::Mul, &[p[1], p[0]]);
            raw_contract(g, &[m], &[x, p[3]])
        }
        "contract-merge" => {
            let inner = if dice.below(2) == 0 {
                raw_contract(g, &[k], &[p[3], p[8]])
            } else {
                raw_reduce(g, Red::Sum, &[k], p[4])
            };
            raw_contract(g, &[m], &[inner, p[1]])
        }
        "contract-split" => raw_contract(g, &[m, k], &[p[1], p[3], p[4], p[12]]),
        "contract-sum-first" => raw_contract(g, &[m, k], &[p[1], p[3]]),
        "contract-distribute" => {
            let sum = raw(g, Fun::Add, &[p[2], p[3], p[12]]);
            raw_contract(g, &[m], &[sum, p[1]])
        }
        "common-contraction" => {
            let c = g.num(-1.5);
            let x = raw_contract(g, &[m], &[p[1], p[3]]);
            let y = raw_contract(g, &[m], &[p[1], p[8]]);
            let y = if dice.below(2) == 0 { raw(g, Fun::Mul, &[c, y]) } else { y };
            raw(g, Fun::Add, &[x, y, p[0]])
        }
        "max-of-max" | "min-of-min" => {
            let inner = raw_reduce(g, extremum(name), &[k], p[4]);
            raw_reduce(g, extremum(name), &[m], inner)
        }
        "max-of-terms" | "min-of-terms" => {
            let sum = raw(g, Fun::Add, &[p[1], p[0], p[2]]);
            raw_reduce(g, extremum(name), &[m], sum)
        }
        "max-of-product" | "min-of-product" => {
            let product = raw(g, Fun::Mul, &[p[1], positive]);
            raw_reduce(g, extremum(name), &[m], product)
        }
        "max-of-neg" | "min-of-neg" => {
            let minus = g.num(-1.0);
            let product = raw(g, Fun::Mul, &[p[1], minus]);
            raw_reduce(g, extremum(name), &[m], product)
        }
        "max-of-rising" | "min-of-rising" => {
            let fun = dice.pick(&[Fun::Exp, Fun::Tanh, Fun::Softplus, Fun::Sigmoid, Fun::Floor]);
            let x = raw(g, fun, &[p[1]]);
            raw_reduce(g, extremum(name), &[m], x)
        }
        "argmax-of-rising" => {
            let x = raw(g, Fun::Exp, &[p[1]]);
            raw_reduce(g, Red::ArgMax, &[m], x)
        }
        "argmax-of-terms" => {
            let x = raw(g, Fun::Add, &[p[1], p[0]]);
            raw_reduce(g, Red::ArgMax, &[m], x)
        }
        "argmax-of-product" => {
            let x = raw(g, Fun::Mul, &[p[1], positive]);
            raw_reduce(g, Red::ArgMax, &[m], x)
        }
        "prod-of-exp" => {
            let x = raw(g, Fun::Exp, &[p[1]]);
            raw_reduce(g, Red::Prod, &[m], x)
        }
        "log-of-prod" => {
            let x = raw(g, Fun::Softplus, &[p[1]]);
            let prod = raw_reduce(g, Red::Prod, &[m], x);
            raw(g, Fun::Log, &[prod])
        }
        "not-any-not" => {
            let x = raw(g, Fun::Lt, &[p[1], p[0]]);
            let not = raw(g, Fun::Not, &[x]);
            let any = raw_reduce(g, Red::Any, &[m], not);
            raw(g, Fun::Not, &[any])
        }
        "read-of-iota" => {
            let iota = g.add(Op::Iota(n), []);
            if dice.below(2) == 0 {
                g.add(Op::Read { at: [(n, arg())].into_iter().collect(), guarded: false }, [iota, edge])
            } else {
                g.rename(iota, &[(n, twin())])
            }
        }
        "read-of-read" => read_of_read(g, dice, &p, edge),
        "read-in-range" => {
            let outside = g.num(9.0);
            if dice.below(2) == 0 {
                g.read(p[0], &[(n, At::axis(twin()))], &[], Some(outside))
            } else {
                g.read(p[1], &[(n, arg())], &[edge], Some(outside))
            }
        }
        "read-of-map" => {
            let x = raw(g, Fun::Add, &[p[1], p[0], p[2]]);
            let x = raw(g, Fun::Mul, &[x, p[4]]);
            read(g, x, dice)
        }
        "read-of-reduce" => {
            let x = raw_reduce(g, dice.pick(&[Red::Sum, Red::Max]), &[m], p[1]);
            read(g, x, dice)
        }
        "read-of-contract" => {
            let x = raw_contract(g, &[m], &[p[1], p[3]]);
            read(g, x, dice)
        }
        "exp-of-read" | "log-of-read" | "tanh-of-read" | "sigmoid-of-read" => {
            let fun = match name {
                "exp-of-read" => Fun::Exp,
                "log-of-read" => Fun::Log,
                "tanh-of-read" => Fun::Tanh,
                _ => Fun::Sigmoid,
            };
            let x = g.read(p[1], &[(n, arg())], &[edge], None);
            raw(g, fun, &[x])
        }
        "fiber-rename" => g.fiber(Red::Sum, p[1], &[(twin(), At::axis(n))], &[n], &[]),
        "fiber-nothing" => g.fiber(Red::Sum, p[4], &[], &[m], &[]),
        "fiber-scale" => {
            let x = raw(g, Fun::Mul, &[p[9], p[2], p[11]]);
            segment(g, x)
        }
        "join-fibers" => {
            let square = raw(g, Fun::Mul, &[p[9], p[9]]);
            let (x, y) = (segment(g, p[9]), segment(g, square));
            raw(g, Fun::Add, &[x, y, p[6]])
        }
        "sum-of-fiber" => {
            let x = segment(g, p[11]);
            raw_reduce(g, Red::Sum, &[n], x)
        }
        "contract-fiber" => {
            let x = segment(g, p[9]);
            raw_contract(g, &[n], &[x, p[1], p[6]])
        }
        other => panic!("no instance of the rule {other}: write one"),
    }
}

fn read_of_read(g: &mut Graph, dice: &mut Dice, p: &[NodeId], edge: NodeId) -> NodeId {
    let (n, m, e) = (axis(0), axis(1), axis(3));
    let outside = g.num(7.0);
    match dice.below(4) {
        0 => {
            let inner = g.read(p[1], &[(n, At::Arg(1))], &[edge], None);
            let at = At::Affine { terms: Default::default(), offset: 2 };
            g.read(inner, &[(e, at)], &[], None)
        }
        1 => {
            let shifted = At::Affine { terms: [(1, n), (1, m)].into_iter().collect(), offset: -1 };
            let inner = g.read(p[2], &[(m, shifted)], &[], Some(outside));
            g.read(inner, &[(n, At::axis(twin()))], &[], None)
        }
        2 => {
            let inner = g.rename(p[1], &[(n, twin())]);
            g.read(inner, &[(twin(), At::Arg(1))], &[edge], None)
        }
        _ => {
            let inner = g.rename(p[10], &[(twin(), n)]);
            g.rename(inner, &[(n, twin())])
        }
    }
}

/// Both sides, and the gradients of a weighted sum of each with respect to every parameter.
fn both_sides(g: &mut Graph, left: NodeId, right: NodeId, gradients: bool) {
    let mut outputs = vec![("left".to_string(), left), ("right".to_string(), right)];
    if gradients && g.ty(left).elem == Elem::Real {
        for (side, id) in [("left", left), ("right", right)] {
            let loss = weighted(g, id);
            for k in 0..shapes().len() {
                let axes: Vec<(Axis, Axis)> = sorted(shapes()[k].iter().copied()).iter().map(|a| (*a, *a)).collect();
                let wrt = param(g, k as u32);
                let grad = g.add(Op::Grad { axes: axes.into_iter().collect(), shared: Axes::new() }, [loss, wrt]);
                outputs.push((format!("{side} d{k}"), grad));
            }
        }
    }
    g.outputs = outputs.into_iter().map(|(n, id)| (Output::Value(n), id)).collect();
}

fn weighted(g: &mut Graph, id: NodeId) -> NodeId {
    let axes = g.ty(id).axes.clone();
    let mut factors = vec![id];
    for (k, a) in axes.iter().enumerate() {
        let iota = g.add(Op::Iota(*a), []);
        let (real, one) = (g.to_real(iota), g.num(1.3 + k as f64));
        factors.push(g.add_all(&[real, one]));
    }
    let product = raw(g, Fun::Mul, &factors.clone());
    let product = if factors.len() == 1 { id } else { product };
    if axes.is_empty() { product } else { raw_reduce(g, Red::Sum, &axes, product) }
}

fn find<'a>(values: &'a [(Output, Tensor)], name: &str) -> &'a Tensor {
    let named = values.iter().find(|(o, _)| *o == Output::Value(name.into()));
    &named.unwrap_or_else(|| panic!("no output {name}")).1
}

/// How many finite entries agreed; panics where two do not.
fn agree(what: &str, a: &Tensor, b: &Tensor, exact: bool) -> usize {
    assert_eq!(a.data.len(), b.data.len(), "{what}: sizes");
    let mut finite = 0;
    for (x, y) in a.data.iter().zip(&b.data) {
        if !x.is_finite() {
            // The right side may be finite where the left one overflows or has 0 * infinity.
            continue;
        }
        finite += 1;
        let close = if exact { x == y } else { (x - y).abs() <= 1e-8 * (1.0 + x.abs()) };
        assert!(close, "{what}: {x} against {y}");
    }
    finite
}

/// At these left sides two operands of a maximum or minimum are equal by construction: a kink, where the gradient is 0
/// by definition while the right side has none. The pass runs after differentiation, so values are what counts.
const KINKS: [&str; 6] = ["max-same", "min-same", "max-max-same", "min-min-same", "max-min", "min-max"];

fn prove(name: &str, set: Set, code: bool) {
    let (mut fired, mut finite) = (0, 0);
    for trial in 0..200 {
        let mut dice = Dice(trial * 7919 + 17);
        let mut g = Graph::new(tables());
        let left = if code {
            instance(name, &mut g, &mut dice)
        } else {
            let made =
                egraph::instance(name, &mut g, &mut |g, c| leaf(g, &mut dice, c)).expect("a pattern has instances");
            with_company(&mut g, &mut dice, made)
        };
        let Some(right) = egraph::apply(name, &mut g, left) else { continue };
        fired += 1;
        both_sides(&mut g, left, right, !KINKS.contains(&name));
        let graph = differentiate(&g);
        let values =
            eval(&graph, &env(&mut dice, if trial % 2 == 0 { -1.5 } else { 0.1 })).expect("no read is outside");
        let (l, r) = (find(&values, "left"), find(&values, "right"));
        finite += agree(&format!("{name}, trial {trial}"), l, r, set == Set::Exact && !name.starts_with("recip"));
        for k in (0..shapes().len()).filter(|_| graph.outputs.len() > 2) {
            let (l, r) = (find(&values, &format!("left d{k}")), find(&values, &format!("right d{k}")));
            agree(&format!("{name}, trial {trial}, gradient {k}"), l, r, false);
        }
        if fired >= 12 {
            break;
        }
    }
    assert!(fired >= 4, "{name} fired {fired} times");
    assert!(finite > 0, "{name}: no entry was finite");
}

#[test]
fn every_rule_holds() {
    let mut failures = Vec::new();
    for rule in egraph::rules() {
        let (name, set, code) = (rule.name, rule.set, matches!(rule.body, Body::Code(..)));
        if let Err(fault) = std::panic::catch_unwind(|| prove(name, set, code)) {
            let text = fault.downcast_ref::<String>().cloned();
            failures.push(format!(
                "{name}: {}",
                text.or(fault.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn names_of_rules_are_unique_and_many() {
    let mut names: Vec<&str> = egraph::rules().iter().map(|r| r.name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all >= 40);
}

/// A random graph through the builder: every construct on operands drawn from what is there.
fn random(dice: &mut Dice, steps: usize) -> Graph {
    let mut g = Graph::new(tables());
    let mut pool: Vec<NodeId> = (0..shapes().len() as u32).map(|k| param(&mut g, k)).collect();
    pool.push(g.add(Op::Hyper(HyperId(0)), []));
    let edge = g.add(Op::Input(InputId(0)), []);
    for _ in 0..steps {
        let (x, y, z) = (dice.pick(&pool), dice.pick(&pool), dice.pick(&pool));
        let axes: Vec<Axis> = g.union(&[x, y]).to_vec();
        let bound: Vec<Axis> = axes.iter().copied().filter(|_| dice.below(2) == 0).collect();
        let own: Vec<Axis> = g.ty(x).axes.iter().copied().filter(|_| dice.below(2) == 0).collect();
        let c = g.num(dice.pick(&[-1.0, 0.5, 2.0, 0.0]));
        let new = match dice.below(14) {
            0 | 1 => g.map2(Fun::Add, x, y),
            2 | 3 => g.map2(Fun::Mul, x, y),
            4 => g.map2(Fun::Sub, x, y),
            5 => g.contract(&bound, &[x, y]),
            6 => g.contract(&bound, &[x, y, z]),
            7 => g.reduce(Red::Sum, &own, x),
            8 => g.reduce(Red::Max, &own, x),
            9 => g.map1(dice.pick(&[Fun::Tanh, Fun::Sigmoid, Fun::Softplus, Fun::Abs, Fun::Exp]), x),
            10 => g.mul_all(&[c, x]),
            11 if g.ty(x).has(axis(0)) && !g.ty(x).has(axis(3)) => g.read(x, &[(axis(0), At::Arg(1))], &[edge], None),
            12 if g.ty(x).has(axis(3)) && !g.ty(x).has(axis(0)) => {
                g.fiber(Red::Sum, x, &[(axis(0), At::Arg(1))], &[axis(3)], &[edge])
            }
            _ => {
                let zero = g.num(0.0);
                g.map2(Fun::Max, x, zero)
            }
        };
        // Values are kept small, so that no comparison is of overflows.
        let entries = g.ty(new).axes.len();
        pool.push(if entries > 3 {
            g.reduce(Red::Max, &[axis(0)].into_iter().filter(|a| g.ty(new).has(*a)).collect::<Vec<_>>(), new)
        } else {
            g.map1(Fun::Tanh, new)
        });
    }
    let last: Vec<NodeId> = pool[pool.len() - 3..].to_vec();
    g.outputs = last.into_iter().enumerate().map(|(k, id)| (Output::Value(format!("y{k}")), id)).collect();
    g
}

#[test]
fn the_pass_keeps_values_of_random_graphs() {
    for seed in 0..150 {
        let mut dice = Dice(seed * 104729 + 3);
        let graph = random(&mut dice, 14);
        let env = env(&mut dice, -1.0);
        let before = eval(&graph, &env).expect("no read is outside");
        for strict in [false, true] {
            let (new, report) = egraph::rewrite_report(&graph, Options { strict });
            new.verify().expect("well-typed");
            let after = eval(&new, &env).expect("no read is outside");
            let ordered = eval(&egraph::order(&new), &env).expect("no read is outside");
            for (b, (a, o)) in before.iter().zip(after.iter().zip(&ordered)) {
                agree(&format!("seed {seed}, strict {strict}\n{report}"), &b.1, &a.1, false);
                agree(&format!("seed {seed}, strict {strict}, ordered"), &b.1, &o.1, false);
            }
            let again = egraph::rewrite(&graph, Options { strict });
            assert_eq!(
                format!("{:?}", new.ids().map(|i| new.node(i).clone()).collect::<Vec<_>>()),
                format!("{:?}", again.ids().map(|i| again.node(i).clone()).collect::<Vec<_>>()),
                "deterministic"
            );
        }
    }
}

#[test]
fn the_pass_keeps_gradients_of_random_graphs() {
    for seed in 0..40 {
        let mut dice = Dice(seed * 15485863 + 5);
        let mut g = random(&mut dice, 8);
        let of = g.outputs[2].1;
        both_sides(&mut g, of, of, true);
        let graph = differentiate(&g);
        let env = env(&mut dice, -1.0);
        let before = eval(&graph, &env).expect("no read is outside");
        let new = egraph::rewrite(&graph, Options::default());
        let after = eval(&new, &env).expect("no read is outside");
        for (b, a) in before.iter().zip(&after) {
            agree(&format!("seed {seed}, {:?}", b.0), &b.1, &a.1, false);
        }
    }
}

#[test]
fn a_common_factor_saves_a_contraction() {
    let mut g = Graph::new(tables());
    let p: Vec<NodeId> = (0..shapes().len() as u32).map(|k| param(&mut g, k)).collect();
    let x = g.contract(&[axis(1)], &[p[1], p[3]]);
    let y = g.contract(&[axis(1)], &[p[1], p[8]]);
    let sum = g.add_all(&[x, y]);
    g.outputs = vec![(Output::Loss, sum)];
    let new = egraph::rewrite(&g, Options::default());
    let live = new.live();
    let count = new.ids().filter(|id| live[id.index()] && matches!(new.node(*id).op, Op::Contract(_))).count();
    assert_eq!(count, 1);
}

#[test]
fn a_chain_is_done_from_its_cheap_end() {
    let mut g = Graph::new(tables());
    let (a, b, v) = (param(&mut g, 1), param(&mut g, 3), param(&mut g, 12));
    let chain = g.contract(&[axis(1), axis(2)], &[a, b, v]);
    g.outputs = vec![(Output::Loss, chain)];
    let new = egraph::order(&egraph::rewrite(&g, Options::default()));
    let top = new.node(new.outputs[0].1).clone();
    assert_eq!(top.op, Op::Contract(sorted([axis(1)])));
    assert!(top.args.iter().any(|x| new.node(*x).op == Op::Contract(sorted([axis(2)]))), "matrix times vector first");
}

#[test]
fn a_softmax_and_its_logarithm_are_stable() {
    let mut g = Graph::new(tables());
    let x = param(&mut g, 1);
    let big = g.num(2000.0);
    let x = g.mul_all(&[x, big]);
    let e = g.map1(Fun::Exp, x);
    let sum = g.reduce(Red::Sum, &[axis(1)], e);
    let soft = g.map2(Fun::Div, e, sum);
    let log = g.map1(Fun::Log, soft);
    g.outputs = vec![(Output::Value("soft".into()), soft), (Output::Value("log".into()), log)];
    let new = egraph::rewrite(&g, Options::default());
    let values = eval(&new, &env(&mut Dice(5), 0.1)).expect("no read is outside");
    assert!(find(&values, "soft").data.iter().all(|x| x.is_finite()));
    assert!(find(&values, "log").data.iter().all(|x| x.is_finite()), "{:?}", find(&values, "log"));
}
