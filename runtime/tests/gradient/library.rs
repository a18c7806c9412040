//! Library operations against central differences: batched and not, over pairs of axes, first and second derivatives.

use super::operations::{A, B, C, nest};
use super::*;
use gannet_lang::program::{Fun, Lib, LibFun, Way};

/// Part `k` of an operation.
fn part(m: &mut Model, fun: LibFun, groups: &[&[Axis]], args: &[NodeId], k: u8) -> NodeId {
    let groups = groups.iter().map(|g| g.to_vec()).collect();
    let whole = m.g.add(Op::Library(Lib { fun, groups }), args.iter().copied());
    m.g.add(Op::Part(u32::from(k)), [whole])
}

/// `x + scale` where all these axes are equal in pairs.
fn with_diagonal(m: &mut Model, x: NodeId, pairs: &[(Axis, Axis)], scale: f64) -> NodeId {
    let mut factors = vec![m.g.num(scale)];
    for (a, b) in pairs {
        let (i, j) = (m.g.add(Op::Iota(*a), []), m.g.add(Op::Iota(*b), []));
        let same = m.g.map2(Fun::Eq, i, j);
        factors.push(m.g.to_real(same));
    }
    let diagonal = m.g.mul_all(&factors);
    m.g.add_all(&[x, diagonal])
}

/// `x x' + 1`, over `r` and `c`.
fn definite(m: &mut Model, x: NodeId, r: Axis, c: Axis, inner: Axis) -> NodeId {
    let (left, right) = (m.g.rename(x, &[(c, inner)]), m.g.rename(x, &[(r, c), (c, inner)]));
    let square = m.g.contract(&[inner], &[left, right]);
    with_diagonal(m, square, &[(r, c)], 1.0)
}

/// Checks an operation on parameters of these axes, to second order.
fn orders(params: &[&[Axis]], seed: u64, build: impl Fn(&mut Model) -> NodeId) {
    for order in 0..2 {
        check(model(params, &[], seed), |m| {
            let y = build(m);
            nest(m, y, order)
        });
    }
}

#[test]
fn recurrences() {
    for way in [Way::Forth, Way::Back] {
        for params in [[&[C(0)][..], &[C(0)]], [&[C(0)], &[A(0), C(0)]], [&[A(0)], &[C(0)]]] {
            orders(&params, 5, |m| {
                let args = [m.param(0), m.param(1)];
                part(m, LibFun::Recur(way), &[&[C(0)]], &args, 0)
            });
        }
    }
}

#[test]
fn transforms() {
    for way in [Way::Forth, Way::Back] {
        for k in 0..2 {
            orders(&[&[A(0), C(0)], &[C(0)]], 6, |m| {
                let args = [m.param(0), m.param(1)];
                part(m, LibFun::Fft(way), &[&[C(0)]], &args, k)
            });
        }
    }
}

#[test]
fn systems() {
    for params in [
        [&[B(0), B(1)][..], &[B(0)]],
        [&[B(0), B(1)], &[A(0), B(0)]],
        [&[A(0), B(0), B(1)], &[A(0), B(0)]],
        [&[A(0), B(0), B(1)], &[B(0), C(0)]],
    ] {
        orders(&params, 7, |m| {
            let (a, b) = (m.param(0), m.param(1));
            let a = with_diagonal(m, a, &[(B(0), B(1))], 3.0);
            part(m, LibFun::Solve, &[&[B(0)], &[B(1)]], &[a, b], 0)
        });
    }
}

#[test]
fn systems_over_pairs_of_axes() {
    orders(&[&[A(0), B(0), A(1), B(1)], &[A(0), B(0)]], 7, |m| {
        let (a, b) = (m.param(0), m.param(1));
        let a = with_diagonal(m, a, &[(A(0), A(1)), (B(0), B(1))], 4.0);
        part(m, LibFun::Solve, &[&[A(0), B(0)], &[A(1), B(1)]], &[a, b], 0)
    });
}

#[test]
fn determinants_and_exponentials() {
    for params in [&[B(0), B(1)][..], &[A(0), B(0), B(1)]] {
        orders(&[params], 8, |m| {
            let a = m.param(0);
            part(m, LibFun::LogDet, &[&[B(0)], &[B(1)]], &[a], 0)
        });
        orders(&[params], 9, |m| {
            let a = m.param(0);
            part(m, LibFun::Expm, &[&[B(0)], &[B(1)], &[A(8), A(9)]], &[a], 0)
        });
    }
}

#[test]
fn triangles() {
    for params in [&[B(0), B(1)][..], &[A(0), B(0), B(1)]] {
        orders(&[params], 10, |m| {
            let x = m.param(0);
            let a = definite(m, x, B(0), B(1), B(2));
            part(m, LibFun::Cholesky, &[&[B(0)], &[B(1)]], &[a], 0)
        });
        // The operand need not be symmetric.
        orders(&[params], 11, |m| {
            let x = m.param(0);
            let a = with_diagonal(m, x, &[(B(0), B(1))], 4.0);
            part(m, LibFun::Cholesky, &[&[B(0)], &[B(1)]], &[a], 0)
        });
    }
    for k in 0..2 {
        orders(&[&[C(0), B(0)]], 12, |m| {
            let a = m.param(0);
            part(m, LibFun::Qr, &[&[C(0)], &[B(0)], &[B(1)]], &[a], k)
        });
        orders(&[&[A(0), B(0), B(2)]], 13, |m| {
            let a = m.param(0);
            part(m, LibFun::Qr, &[&[B(0)], &[B(2)], &[B(1)]], &[a], k)
        });
    }
}

#[test]
fn eigenvectors() {
    for k in 0..2 {
        for params in [&[B(0), B(1)][..], &[A(0), B(0), B(1)]] {
            orders(&[params], 14, |m| {
                let a = m.param(0);
                part(m, LibFun::Eigh, &[&[B(0)], &[B(1)], &[B(2)]], &[a], k)
            });
        }
        orders(&[&[A(0), B(0), A(1), B(1)]], 15, |m| {
            let a = m.param(0);
            part(m, LibFun::Eigh, &[&[A(0), B(0)], &[A(1), B(1)], &[A(2), B(2)]], &[a], k)
        });
    }
}

#[test]
fn singular_vectors() {
    for k in 0..3 {
        orders(&[&[C(0), B(0)]], 16, |m| {
            let a = m.param(0);
            part(m, LibFun::Svd, &[&[C(0)], &[B(0)], &[B(1)]], &[a], k)
        });
        orders(&[&[A(0), B(0), C(0)]], 17, |m| {
            let a = m.param(0);
            part(m, LibFun::Svd, &[&[B(0)], &[C(0)], &[B(1)]], &[a], k)
        });
    }
}

#[test]
fn pseudo_inverses() {
    for params in [&[C(0), B(0)][..], &[A(0), B(0), C(0)]] {
        orders(&[params], 18, |m| {
            let a = m.param(0);
            part(m, LibFun::Pinv, &[&[C(0)], &[B(0)]], &[a], 0)
        });
    }
}
