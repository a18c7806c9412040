//! Every rewrite rule against the reference evaluator: instances of its left side, values and gradients in f64; then
//! the whole pass on random graphs.
//! Law: a rule that no instance here makes fire fails the tests.

mod instances;
mod leaves;
mod random;

use gannet_compiler::egraph::{self, Body, Condition, Options, Set};
use gannet_compiler::grad::differentiate;
use gannet_compiler::graph::{Axes, Graph, NodeId, Op, Red, sorted};
use gannet_lang::program::{Axis, Elem, Fun, InputId, Output};
use gannet_runtime::reference::{Tensor, eval};
use instances::instance;
use leaves::{Dice, any_param, axis, env, param, raw, raw_reduce, shapes, tables};
use random::random;

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

/// At these left sides two operands of a maximum or minimum are equal by construction, or may be: a kink, where the gradient is 0
/// by definition while the right side has none. The pass runs after differentiation, so values are what counts.
const KINKS: [&str; 10] = [
    "max-same",
    "min-same",
    "max-max-same",
    "min-min-same",
    "max-min",
    "min-max",
    "max-plus-min",
    "max-minus-min",
    "max-common-term",
    "min-common-term",
];

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
        finite += agree(&format!("{name}, trial {trial}"), l, r, set == Set::Exact);
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
    assert!(all >= 165);
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

/// A part of the cheapest order that a later equation has too comes first then: its users list it in its new place.
#[test]
fn the_order_of_contractions_keeps_laws() {
    let mut g = Graph::new(tables());
    let (a, b, v) = (param(&mut g, 1), param(&mut g, 3), param(&mut g, 12));
    let chain = g.contract(&[axis(1), axis(2)], &[a, b, v]);
    let other = g.map1(Fun::Tanh, a);
    let part = g.contract(&[axis(2)], &[b, v]);
    let product = g.mul_all(&[other, part]);
    g.outputs = vec![(Output::Value("chain".into()), chain), (Output::Value("product".into()), product)];
    egraph::order(&g).verify().unwrap_or_else(|e| panic!("{e}"));
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

#[test]
fn a_shifted_exponential_is_not_shifted_again() {
    let mut g = Graph::new(tables());
    let (x, c) = (param(&mut g, 1), param(&mut g, 0));
    let x = g.add_all(&[x, c]);
    let e = g.map1(Fun::Exp, x);
    let sum = g.reduce(Red::Sum, &[axis(1)], e);
    let log = g.map1(Fun::Log, sum);
    g.outputs = vec![(Output::Loss, log)];
    let once = egraph::rewrite(&g, Options::default());
    let twice = egraph::rewrite(&once, Options::default());
    let live = |g: &Graph| g.live().iter().filter(|l| **l).count();
    assert_eq!(live(&once), live(&twice));
    assert!(live(&once) < 20, "one shift: {} nodes", live(&once));
}

/// Sums and products of many operands are where equality saturation explodes.
#[test]
fn long_sums_stay_bounded() {
    let mut g = Graph::new(tables());
    let mut terms = Vec::new();
    for k in 0..60 {
        let (x, y, z) = (param(&mut g, k % 9), param(&mut g, k % 7), param(&mut g, k % 5));
        let c = g.num(1.0 + f64::from(k));
        let product = g.contract(&[axis(1)], &[x, y, z]);
        terms.push(g.mul_all(&[c, product, y]));
    }
    let sum = g.add_all(&terms);
    g.outputs = vec![(Output::Loss, sum)];
    let (new, report) = egraph::rewrite_report(&g, Options::default());
    assert!(report.regions.iter().all(|r| r.enodes < 20_000), "{report}");
    let env = env(&mut Dice(3), -1.0);
    let (a, b) = (eval(&g, &env).expect("in range"), eval(&new, &env).expect("in range"));
    agree("a long sum", &a[0].1, &b[0].1, false);
}
