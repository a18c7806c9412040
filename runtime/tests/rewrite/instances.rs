//! Left sides of the rules that are code.
//! Law: nodes are added as they are, or the builder would leave nothing to rewrite.

use crate::leaves::{Dice, axis, param, raw, raw_contract, raw_reduce, shapes, twin};
use gannet_compiler::graph::{At, Graph, NodeId, Op, Red};
use gannet_lang::program::{Axis, Fun, InputId};

pub fn iota_eq(g: &mut Graph, a: Axis, index: NodeId) -> NodeId {
    let iota = g.add(Op::Iota(a), []);
    g.add(Op::Map(Fun::Eq), [iota, index])
}

/// Left sides of the rules that are code.
pub fn instance(name: &str, g: &mut Graph, dice: &mut Dice) -> NodeId {
    let (n, m, k, e) = (axis(0), axis(1), axis(2), axis(3));
    let p: Vec<NodeId> = (0..shapes().len()).map(|k| param(g, k as u32)).collect();
    let positive = raw(g, Fun::Exp, &[p[0]]);
    let extremum = |rule: &str| match &rule[..rule.find("-of-").unwrap_or(0)] {
        "min" => Red::Min,
        "argmax" => Red::ArgMax,
        "argmin" => Red::ArgMin,
        "any" => Red::Any,
        "all" => Red::All,
        "prod" => Red::Prod,
        _ => Red::Max,
    };
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
        "log-mean-exp" => {
            let x = raw(g, Fun::Exp, &[p[1]]);
            let sum = raw_reduce(g, Red::Sum, &[m], x);
            let part = g.num(0.25);
            let mean = raw(g, Fun::Mul, &[sum, part]);
            raw(g, Fun::Log, &[mean])
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
        "max-of-max" | "min-of-min" | "prod-of-prod" => {
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
        "argmax-of-rising" | "argmin-of-rising" => {
            let x = raw(g, Fun::Exp, &[p[1]]);
            raw_reduce(g, extremum(name), &[m], x)
        }
        "argmax-of-terms" | "argmin-of-terms" => {
            let x = raw(g, Fun::Add, &[p[1], p[0]]);
            raw_reduce(g, extremum(name), &[m], x)
        }
        "argmax-of-product" | "argmin-of-product" => {
            let x = raw(g, Fun::Mul, &[p[1], positive]);
            raw_reduce(g, extremum(name), &[m], x)
        }
        "argmax-of-negative" | "argmin-of-negative" => {
            let c = g.num(dice.pick(&[-1.0, -2.0, -0.5]));
            let x = raw(g, Fun::Mul, &[p[1], c]);
            raw_reduce(g, extremum(name), &[m], x)
        }
        "max-of-bounded" | "min-of-bounded" => {
            let (fun, c) = (dice.pick(&[Fun::Max, Fun::Min]), g.num(dice.pick(&[0.0, 0.6, -0.4])));
            let x = raw(g, fun, &[p[1], c]);
            raw_reduce(g, extremum(name), &[m], x)
        }
        "all-of-all" => {
            let x = raw(g, Fun::Lt, &[p[4], p[0]]);
            let inner = raw_reduce(g, extremum(name), &[k], x);
            raw_reduce(g, extremum(name), &[m], inner)
        }
        "any-of-not" | "all-of-not" => {
            let x = raw(g, Fun::Lt, &[p[1], p[0]]);
            let not = raw(g, Fun::Not, &[x]);
            raw_reduce(g, extremum(name), &[m], not)
        }
        "all-of-or" => {
            let (x, c) = (raw(g, Fun::Lt, &[p[1], p[0]]), raw(g, Fun::Lt, &[p[0], p[6]]));
            let both = raw(g, Fun::Or, &[x, c]);
            raw_reduce(g, extremum(name), &[m], both)
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
        "exp-of-read" | "log-of-read" | "tanh-of-read" | "sigmoid-of-read" | "sqrt-of-read" | "recip-of-read" => {
            let fun = match name {
                "exp-of-read" => Fun::Exp,
                "log-of-read" => Fun::Log,
                "tanh-of-read" => Fun::Tanh,
                "sqrt-of-read" => Fun::Sqrt,
                "recip-of-read" => Fun::Recip,
                _ => Fun::Sigmoid,
            };
            // Of a negative number, read or not, the root has no derivative.
            let of = if fun == Fun::Sqrt { raw(g, Fun::Exp, &[p[1]]) } else { p[1] };
            let x = g.read(of, &[(n, arg())], &[edge], None);
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

pub fn read_of_read(g: &mut Graph, dice: &mut Dice, p: &[NodeId], edge: NodeId) -> NodeId {
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
