//! Gradients that share axes, and gradients by hand that broadcast.

use super::*;
use crate::operations::*;
use gannet_compiler::graph::Red;

#[test]
fn a_shared_axis_is_one_problem_an_entry() {
    // f(u)[a] = sum_b u[a, b]^3: the gradient by u with shared a is 3 u^2, no second a appears.
    let mut m = model(&[&[A(0), B(0)]], &[], 5);
    let x = m.param(0);
    let u = m.point(0, x);
    let cube = m.g.mul_all(&[u, u, u]);
    let f = m.g.reduce(Red::Sum, &[B(0)], cube);
    let grad = m.grad(f, u, &[], &[A(0)]);
    // The Hessian of each copy.
    let hessian = m.grad(grad, u, &[(B(0), B(1))], &[A(0)]);
    m.output(grad);
    m.output(hessian);
    let got = m.run();
    for (k, x) in m.params[0].iter().enumerate() {
        assert!((got[0].data[k] - 3.0 * x * x).abs() < 1e-12);
        for j in 0..3 {
            let want = if k % 3 == j { 6.0 * x } else { 0.0 };
            assert!((got[1].data[3 * k + j] - want).abs() < 1e-12);
        }
    }
}

#[test]
fn a_gradient_by_hand_of_two_inputs_that_broadcast() {
    // x[a, b] * w[b]: each hand-written cotangent has all axes, and is summed to those of its input.
    for order in 0..2 {
        check(model(&[&[A(0), B(0)], &[B(0)]], &[], 5), |m| {
            let (x, w) = (m.param(0), m.param(1));
            let (x, w) = (m.point(0, x), m.point(1, w));
            let value = m.g.mul_all(&[x, w]);
            let dy = m.point(2, value);
            let (dx, dw) = (m.g.mul_all(&[dy, w]), m.g.mul_all(&[dy, x]));
            let y = m.g.add(Op::Custom { inputs: 2 }, [value, x, w, dy, dx, dw]);
            nest(m, y, order)
        });
    }
}

#[test]
fn shared_and_own_axes_together() {
    // y[a, b] = sum_c u[a, c] w[b, c]: by u with a shared, the Jacobian is w[b, c] for every a.
    let mut m = model(&[&[A(0), C(0)], &[B(0), C(0)]], &[], 5);
    let (x, w) = (m.param(0), m.param(1));
    let u = m.point(0, x);
    let z = m.g.contract(&[C(0)], &[u, w]);
    let y = m.g.mul_all(&[z, z]);
    let jacobian = m.grad(y, u, &[], &[A(0)]);
    m.output(jacobian);
    m.output(z);
    let new = differentiate(&m.g);
    assert!(new.ids().all(|id| new.ty(id).axes.iter().all(|a| a.ix == 0)), "{}", dump(&new));
    let got = m.run();
    for (k, have) in got[0].data.iter().enumerate() {
        let (a, b, c) = (k / 12, k / 4 % 3, k % 4);
        let want = 2.0 * got[1].data[a * 3 + b] * m.params[1][b * 4 + c];
        assert!((have - want).abs() < 1e-12);
    }
}
