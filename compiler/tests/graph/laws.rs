//! The verifier refuses what breaks a law, and says which.

use super::{BATCH, ROW, THREE, tables};
use gannet_compiler::graph::{At, Graph, NodeId, Num, Op, Red};
use gannet_lang::program::Dist;
use gannet_lang::program::{Axis, Elem, Fun, InputId, Output, ParamId, SiteId};

/// A graph with in0, in1, w0, w1 as its first nodes.
fn leaves() -> Graph {
    let mut g = Graph::new(tables());
    let ops = [Op::Input(InputId(0)), Op::Input(InputId(1)), Op::Param(ParamId(0)), Op::Param(ParamId(1))];
    for op in ops {
        g.add(op, []);
    }
    g
}

const X: NodeId = NodeId(0);
const LABEL: NodeId = NodeId(1);
const W: NodeId = NodeId(2);
const B: NodeId = NodeId(3);

/// Well typed, but against a law.
fn unlawful(op: Op, args: &[NodeId], message: &str) {
    let mut g = leaves();
    let id = g.add(op, args.iter().copied());
    g.outputs.push((Output::Value("y".into()), id));
    let error = g.verify().expect_err(message);
    assert!(error.contains(message), "{error}");
}

/// Ill typed.
fn ill_typed(op: Op, args: &[NodeId], message: &str) {
    let error = leaves().type_of(&op, args).expect_err(message);
    assert!(error.contains(message), "{error}");
}

fn affine(terms: &[(i64, Axis)], offset: i64) -> At {
    At::Affine { terms: terms.iter().copied().collect(), offset }
}

fn read(at: &[(Axis, At)], guarded: bool) -> Op {
    Op::Read { at: at.iter().cloned().collect(), guarded }
}

#[test]
fn laws() {
    unlawful(Op::Map(Fun::Mul), &[X], "it has two operands or more");
    unlawful(Op::Map(Fun::Sub), &[X, W], "sums and products stand for it");
    unlawful(Op::Reduce(Red::Sum, [ROW, BATCH].into_iter().collect()), &[X], "are not sorted");
    unlawful(Op::Reduce(Red::Sum, Default::default()), &[X], "it goes over no axis");
    unlawful(read(&[], false), &[X], "it reads nothing else");
    unlawful(read(&[(ROW, At::axis(ROW))], false), &[X], "renames an axis to itself");
    unlawful(read(&[(ROW, affine(&[(1, ROW), (1, BATCH)], 0))], true), &[X, B], "are not sorted");
    unlawful(read(&[(ROW, affine(&[(0, THREE)], 0))], true), &[X, B], "has a coefficient 0");
    unlawful(read(&[(ROW, affine(&[], 2)), (BATCH, affine(&[], 0))], false), &[X], "is not sorted");
    unlawful(read(&[(ROW, affine(&[], 2))], false), &[X, LABEL], "an index operand is not used");
    unlawful(Op::Iota(Axis { ix: 0, dim: gannet_lang::program::DimId(77) }), &[], "is over no dim");
    unlawful(Op::Random(Dist::Normal, SiteId(0), [ROW, ROW].into_iter().collect()), &[], "an axis occurs twice");
    unlawful(
        Op::Grad { axes: [(BATCH, BATCH)].into_iter().collect(), shared: Default::default() },
        &[X, LABEL],
        "is no point",
    );
}

#[test]
fn order_of_operands() {
    let mut g = leaves();
    for op in [Op::Map(Fun::Add), Op::Map(Fun::Mul), Op::Contract([ROW].into_iter().collect())] {
        let one = g.add(op.clone(), [W, X]);
        assert_eq!(g.find(&op, &[X, W]), Some(one), "{op:?}");
        assert_eq!(g.add(op.clone(), [X, W]), one, "{op:?}");
    }
    let less = Op::Map(Fun::Lt);
    let (a, b) = (g.add(less.clone(), [W, X]), g.add(less, [X, W]));
    assert_ne!(a, b);
}

#[test]
fn typing_rules() {
    ill_typed(Op::Map(Fun::Sin), &[X, W], "it cannot have 2 operands");
    ill_typed(Op::Map(Fun::Sin), &[LABEL], "Sin takes reals");
    ill_typed(Op::Map(Fun::Select), &[LABEL, X, LABEL], "branches are");
    ill_typed(Op::Map(Fun::Add), &[], "it cannot have 0 operands");
    ill_typed(Op::Reduce(Red::Sum, [THREE].into_iter().collect()), &[X], "are not all axes of %0");
    ill_typed(Op::Reduce(Red::ArgMax, [BATCH, ROW].into_iter().collect()), &[X], "goes over one axis");
    ill_typed(Op::Contract([THREE].into_iter().collect()), &[X, X], "do not all occur in the factors");
    ill_typed(Op::Contract([BATCH].into_iter().collect()), &[X, LABEL], "factors are real");
    ill_typed(Op::Contract([ROW].into_iter().collect()), &[X], "it cannot have 1 operands");
    ill_typed(read(&[(THREE, At::Arg(1))], false), &[X, LABEL], "names axes that %0 lacks");
    ill_typed(read(&[(ROW, At::Arg(2))], false), &[X, LABEL], "there is no index operand 2");
    ill_typed(read(&[(ROW, At::Arg(1))], true), &[X, LABEL], "there is no index operand 1");
    ill_typed(read(&[(ROW, At::Arg(1))], false), &[X, W], "is no whole number");
    ill_typed(read(&[(ROW, affine(&[], 9))], true), &[X, LABEL], "the value outside is");
    let fiber = |red, at: Axis| Op::Fiber {
        red,
        at: [(at, At::Arg(1))].into_iter().collect(),
        over: [BATCH].into_iter().collect(),
    };
    ill_typed(fiber(Red::Sum, ROW), &[X, LABEL], "is an axis of the operands and of the result");
    ill_typed(fiber(Red::ArgMax, THREE), &[X, LABEL], "a fiber has no ArgMax");
    ill_typed(Op::Grad { axes: Default::default(), shared: Default::default() }, &[X, W], "are not the axes of %2");
    ill_typed(Op::Param(ParamId(9)), &[], "there is no parameter 9");
}

#[test]
fn outputs_fit_their_storage() {
    let cases = [
        (Output::Param(ParamId(0)), X, "is stored over"),
        (Output::Param(ParamId(0)), LABEL, "is stored as Real"),
        (Output::Loss, X, "a loss is a scalar"),
        (Output::Param(ParamId(9)), W, "no such parameter"),
        (Output::Value("y".into()), NodeId(40), "the node does not exist"),
    ];
    for (output, id, message) in cases {
        let mut g = leaves();
        g.outputs.push((output, id));
        let error = g.verify().expect_err(message);
        assert!(error.contains(message), "{error}");
    }
}

#[test]
#[should_panic(expected = "there is no index operand 1")]
fn the_door_refuses_what_has_no_type() {
    leaves().add(read(&[(ROW, At::Arg(1))], false), [X]);
}

#[test]
fn builder_keeps_the_laws() {
    let mut g = leaves();
    let zero = g.num(0.0);
    let window = affine(&[(1, ROW), (2, BATCH), (-1, ROW)], -1);
    let y = g.read(X, &[(ROW, window), (BATCH, At::axis(BATCH))], &[], Some(zero));
    assert_eq!(g.node(y).op, read(&[(ROW, affine(&[(2, BATCH)], -1))], true));
    let seven = g.add(Op::Const(Num::new(7.0), Elem::Int), []);
    let (a, b) = (g.map(Fun::Sub, &[W, X]), g.map(Fun::Div, &[LABEL, seven]));
    let all = g.contract(&[ROW, BATCH, THREE], &[a, b]);
    g.outputs.push((Output::Loss, all));
    g.verify().expect("built");
}
