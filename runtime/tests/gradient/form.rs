//! The form of gradients: contractions of two factors, no outer products, no deltas written out.

use super::*;
use gannet_compiler::graph::{At, Red};
use gannet_lang::program::Fun;

const BATCH: Axis = Axis { dim: DimId(0), ix: 0 };
const IN: Axis = Axis { dim: DimId(1), ix: 0 };
const HID: Axis = Axis { dim: DimId(2), ix: 0 };
const OUT: Axis = Axis { dim: DimId(3), ix: 0 };

/// Two layers and a cross-entropy; gives the losses of the batch's rows.
fn mlp(m: &mut Model) -> NodeId {
    let (x, label) = (m.input(0), m.input(1));
    let (w1, w2) = (m.param(0), m.param(1));
    let z = m.g.contract(&[IN], &[x, w1]);
    let zero = m.g.num(0.0);
    let h = m.g.map2(Fun::Max, z, zero);
    let y = m.g.contract(&[HID], &[h, w2]);
    let e = m.g.map1(Fun::Exp, y);
    let sum = m.g.reduce(Red::Sum, &[OUT], e);
    let lse = m.g.map1(Fun::Log, sum);
    let logp = m.g.map2(Fun::Sub, y, lse);
    let own = m.g.read(logp, &[(OUT, At::Arg(1))], &[label], None);
    m.g.neg(own)
}

fn mlp_model() -> Model {
    let label = Elem::Index(OUT.dim);
    model(&[&[IN, HID], &[HID, OUT]], &[(Elem::Real, &[BATCH, IN]), (label, &[BATCH])], 4)
}

fn contractions(g: &Graph) -> Vec<(Vec<Axis>, usize, Vec<Axis>)> {
    let of = |id| match &g.node(id).op {
        Op::Contract(axes) => Some((axes.to_vec(), g.node(id).args.len(), g.ty(id).axes.to_vec())),
        _ => None,
    };
    g.ids().filter_map(of).collect()
}

#[test]
fn the_gradient_of_a_network_is_three_contractions_of_two_factors() {
    check(mlp_model(), |m| {
        let loss = mlp(m);
        m.g.reduce(Red::Sum, &[BATCH], loss)
    });
    let mut m = mlp_model();
    let losses = mlp(&mut m);
    let (sum, scale) = (m.g.reduce(Red::Sum, &[BATCH], losses), m.g.num(0.5));
    let loss = m.g.mul_all(&[sum, scale]);
    for k in 0..2 {
        let w = m.param(k);
        let grad = m.grad(loss, w, &[], &[]);
        m.output(grad);
    }
    let new = differentiate(&m.g);
    let mut found = contractions(&new);
    found.sort();
    let want = [
        (vec![BATCH], 2, vec![IN, HID]),
        (vec![BATCH], 2, vec![HID, OUT]),
        (vec![IN], 2, vec![BATCH, HID]),
        (vec![HID], 2, vec![BATCH, OUT]),
        (vec![OUT], 2, vec![BATCH, HID]),
    ];
    assert_eq!(found, want, "{}", dump(&new));
    assert!(new.ids().all(|id| !matches!(new.node(id).op, Op::Fiber { .. })));
    assert!(new.ids().all(|id| new.ty(id).axes.len() <= 2), "{}", dump(&new));
}

#[test]
fn gradients_of_samples_have_one_batch_axis() {
    check(mlp_model(), mlp);
    let mut m = mlp_model();
    let losses = mlp(&mut m);
    for k in 0..2 {
        let w = m.param(k);
        let grad = m.grad(losses, w, &[], &[]);
        m.output(grad);
    }
    let new = differentiate(&m.g);
    let batches = |id| new.ty(id).axes.iter().filter(|a| a.dim == BATCH.dim).count();
    assert!(new.ids().all(|id| batches(id) <= 1 && new.ty(id).axes.iter().all(|a| a.ix == 0)), "{}", dump(&new));
    assert!(new.ids().all(|id| !matches!(new.node(id).op, Op::Read { .. }) || new.node(id).args.len() == 2));
    for (_, id) in &new.outputs {
        assert_eq!(new.node(*id).op, Op::Map(Fun::Mul), "x[n, i] dy[n, o]");
    }
}

#[test]
fn the_gradient_of_a_convolution_is_a_convolution() {
    let (time, tap, channel) = (ax(3, 0), ax(1, 0), ax(2, 0));
    let build = |m: &mut Model| {
        let (x, k) = (m.param(0), m.param(1));
        let at = At::Affine { terms: [(1, tap), (1, time)].into_iter().collect(), offset: -1 };
        let zero = m.g.num(0.0);
        let windows = m.g.read(x, &[(time, at)], &[], Some(zero));
        let y = m.g.contract(&[tap, BATCH], &[windows, k]);
        let y = m.g.map1(Fun::Tanh, y);
        m.g.reduce(Red::Sum, &[time, channel], y)
    };
    let start = || model(&[&[BATCH, time], &[BATCH, tap, channel]], &[], 4);
    check(start(), build);
    let mut m = start();
    let loss = build(&mut m);
    let x = m.param(0);
    let grad = m.grad(loss, x, &[], &[]);
    m.output(grad);
    let new = differentiate(&m.g);
    assert!(new.ids().all(|id| !matches!(new.node(id).op, Op::Fiber { .. })), "{}", dump(&new));
    let last = contractions(&new).pop().expect("a contraction");
    assert_eq!(last, (vec![tap, channel], 2, vec![BATCH, time]), "{}", dump(&new));
}

#[test]
fn batch_normalization_has_a_full_jacobian() {
    check(model(&[&[BATCH, IN]], &[], 4), |m| {
        let x = m.param(0);
        let (sum, half) = (m.g.reduce(Red::Sum, &[BATCH], x), m.g.num(0.5));
        let mean = m.g.mul_all(&[sum, half]);
        let centred = m.g.map2(Fun::Sub, x, mean);
        let square = m.g.mul_all(&[centred, centred]);
        let var = m.g.reduce(Red::Sum, &[BATCH], square);
        let sd = m.g.map1(Fun::Sqrt, var);
        let y = m.g.map2(Fun::Div, centred, sd);
        let z = m.g.map1(Fun::Tanh, y);
        m.g.reduce(Red::Sum, &[IN], z)
    });
}

#[test]
fn jacobians_of_dependent_parameters() {
    // A weight that is itself computed: the copies of the batch run through several operations.
    check(mlp_model(), |m| {
        let (x, v) = (m.input(0), m.param(0));
        let w = m.g.map1(Fun::Tanh, v);
        let z = m.g.contract(&[IN], &[x, w]);
        let y = m.g.map1(Fun::Sin, z);
        let total = m.g.reduce(Red::Sum, &[BATCH], y);
        let y = m.g.mul_all(&[y, total]);
        m.g.reduce(Red::Sum, &[HID], y)
    });
}

#[test]
fn samples_stay_apart_through_a_gradient_by_hand() {
    // A straight-through sign after the first layer: still one batch axis.
    let mut m = mlp_model();
    let (x, w1, w2) = (m.input(0), m.param(0), m.param(1));
    let z = m.g.contract(&[IN], &[x, w1]);
    let input = m.point(0, z);
    let value = m.g.map1(Fun::Sign, input);
    let dy = m.point(1, value);
    let (size, one) = (m.g.map1(Fun::Abs, input), m.g.num(1.0));
    let small = m.g.map2(Fun::Le, size, one);
    let back = m.g.mul_all(&[dy, small]);
    let h = m.g.add(Op::Custom { inputs: 1 }, [value, input, dy, back]);
    let y = m.g.contract(&[HID], &[h, w2]);
    let losses = m.g.contract(&[OUT], &[y, y]);
    let grad = m.grad(losses, w1, &[], &[]);
    m.output(grad);
    let new = differentiate(&m.g);
    assert!(new.ids().all(|id| new.ty(id).axes.iter().all(|a| a.ix == 0)), "{}", dump(&new));
    m.run();
}

#[test]
fn a_gradient_at_a_moved_point_and_one_sweep_for_all_parameters() {
    // Sharpness-aware minimization: the gradient at w + rho g, where g is a gradient itself.
    let mut m = mlp_model();
    let losses = mlp(&mut m);
    let loss = m.g.reduce(Red::Sum, &[BATCH], losses);
    let w = m.param(1);
    let g = m.grad(loss, w, &[], &[]);
    let rho = m.g.num(0.1);
    let step = m.g.mul_all(&[rho, g]);
    let moved = m.g.add_all(&[w, step]);
    let u = m.point(0, moved);
    let x = m.input(0);
    let v = m.param(0);
    let z = m.g.contract(&[IN], &[x, v]);
    let y = m.g.contract(&[HID], &[z, u]);
    let square = m.g.mul_all(&[y, y]);
    let there = m.g.reduce(Red::Sum, &[BATCH, OUT], square);
    let at_point = m.grad(there, u, &[], &[]);
    let through = m.grad(there, w, &[], &[]);
    m.output(at_point);
    m.output(through);
    let new = differentiate(&m.g);
    new.verify().expect("well typed");
    check(mlp_model(), |m| {
        let losses = mlp(m);
        let loss = m.g.reduce(Red::Sum, &[BATCH], losses);
        let w = m.param(1);
        let g = m.grad(loss, w, &[], &[]);
        let moved = m.g.add_all(&[w, g]);
        let u = m.point(0, moved);
        let (x, v) = (m.input(0), m.param(0));
        let z = m.g.contract(&[IN], &[x, v]);
        let y = m.g.contract(&[HID], &[z, u]);
        let square = m.g.mul_all(&[y, y]);
        let there = m.g.reduce(Red::Sum, &[BATCH, OUT], square);
        let g = m.grad(there, u, &[], &[]);
        m.g.contract(&[HID], &[g, g])
    });
}
