//! Partial derivatives of the scalar functions: one table, exhaustive, for both modes.
//! Law: a partial is finite wherever the function is differentiable, and at a kink it is 0 (`relu'(0) = 0`,
//! `abs'(0) = 0`, `max` and `min` of equal numbers, `round` and its like everywhere).

use crate::graph::{Graph, NodeId};
use gannet_lang::program::Fun;

/// The derivative of a function with respect to one operand, as a linear map of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Partial {
    /// No dependence, or only a stepwise one.
    Zero,
    /// The change is passed on.
    One,
    /// The change is multiplied.
    Times(NodeId),
    /// The change is passed on where the condition is (or is not) true, else it is 0: never a product, so that
    /// nothing infinite in the branch not taken can make a NaN.
    Where {
        /// The condition.
        cond: NodeId,
        /// Passed on where it is true, or where it is false?
        holds: bool,
    },
}

/// The partial derivative of `fun(args)`, whose value is the node `out`, by the operand at position `k`.
///
/// An operand that occurs several times has the sum of the partials at its positions.
pub fn partial(g: &mut Graph, fun: Fun, args: &[NodeId], out: NodeId, k: usize) -> Partial {
    match fun {
        Fun::Sign | Fun::Floor | Fun::Ceil | Fun::Round | Fun::Not | Fun::IsFinite | Fun::ToInt | Fun::IntDiv => {
            Partial::Zero
        }
        Fun::Lt | Fun::Le | Fun::Gt | Fun::Ge | Fun::Eq | Fun::Ne | Fun::And | Fun::Or => Partial::Zero,
        // A number of a narrow type stands for the one it was rounded from, as in mixed-precision training.
        Fun::Add | Fun::ToReal | Fun::ToF32 | Fun::ToF16 | Fun::ToBf16 => Partial::One,
        Fun::Sub if k == 0 => Partial::One,
        Fun::Neg | Fun::Sub => Partial::Times(g.num(-1.0)),
        Fun::Min | Fun::Max => extremum(g, fun, args, k),
        Fun::Select => match k {
            0 => Partial::Zero,
            _ => Partial::Where { cond: args[0], holds: k == 1 },
        },
        Fun::Mod if k == 0 => Partial::One,
        Fun::Mul => {
            let others: Vec<NodeId> = args.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, a)| *a).collect();
            Partial::Times(g.mul_all(&others))
        }
        Fun::Div | Fun::Pow | Fun::Atan2 | Fun::Mod => Partial::Times(binary(g, fun, args, out, k)),
        Fun::Abs
        | Fun::Recip
        | Fun::Exp
        | Fun::Expm1
        | Fun::Log
        | Fun::Log1p
        | Fun::Sqrt
        | Fun::Sin
        | Fun::Cos
        | Fun::Tan
        | Fun::Tanh
        | Fun::Sigmoid
        | Fun::Softplus
        | Fun::Erf => Partial::Times(unary(g, fun, args[0], out)),
    }
}

/// `max(x, y)` follows the operand that is strictly larger; of equal ones, neither.
fn extremum(g: &mut Graph, fun: Fun, args: &[NodeId], k: usize) -> Partial {
    if args[0] == args[1] {
        return if k == 0 { Partial::One } else { Partial::Zero };
    }
    let wins = if (fun == Fun::Max) == (k == 0) { Fun::Gt } else { Fun::Lt };
    Partial::Where { cond: g.map2(wins, args[0], args[1]), holds: true }
}

/// The derivative of a smooth function of one operand.
fn unary(g: &mut Graph, fun: Fun, x: NodeId, out: NodeId) -> NodeId {
    match fun {
        Fun::Abs => g.map1(Fun::Sign, x),
        Fun::Recip => scaled(g, -1.0, &[out, out]),
        Fun::Exp => out,
        Fun::Expm1 => plus(g, 1.0, out),
        Fun::Log => g.recip(x),
        Fun::Log1p => {
            let y = plus(g, 1.0, x);
            g.recip(y)
        }
        Fun::Sqrt => {
            let y = g.recip(out);
            scaled(g, 0.5, &[y])
        }
        Fun::Sin => g.map1(Fun::Cos, x),
        Fun::Cos => {
            let y = g.map1(Fun::Sin, x);
            g.neg(y)
        }
        Fun::Tan => {
            let square = g.mul_all(&[out, out]);
            plus(g, 1.0, square)
        }
        Fun::Tanh => {
            let square = scaled(g, -1.0, &[out, out]);
            plus(g, 1.0, square)
        }
        Fun::Sigmoid => {
            let minus = g.neg(out);
            let rest = plus(g, 1.0, minus);
            g.mul_all(&[out, rest])
        }
        Fun::Softplus => g.map1(Fun::Sigmoid, x),
        Fun::Erf => {
            let square = scaled(g, -1.0, &[x, x]);
            let bell = g.map1(Fun::Exp, square);
            scaled(g, std::f64::consts::FRAC_2_SQRT_PI, &[bell])
        }
        _ => unreachable!("{fun:?} is not a smooth function of one operand"),
    }
}

/// The derivative of a function of two operands.
fn binary(g: &mut Graph, fun: Fun, args: &[NodeId], out: NodeId, k: usize) -> NodeId {
    let (x, y) = (args[0], args[1]);
    match (fun, k) {
        (Fun::Div, 0) => g.recip(y),
        (Fun::Div, _) => {
            let r = g.recip(y);
            scaled(g, -1.0, &[out, r])
        }
        (Fun::Pow, 0) => power_by_base(g, x, y),
        (Fun::Pow, _) => {
            // x^y log(x) tends to 0 with x, but its factors do not.
            let log = g.map1(Fun::Log, x);
            let slope = g.mul_all(&[out, log]);
            nonzero(g, x, slope)
        }
        (Fun::Atan2, k) => {
            let (xx, yy) = (g.mul_all(&[x, x]), g.mul_all(&[y, y]));
            let square = g.add_all(&[xx, yy]);
            let r = g.recip(square);
            if k == 0 { g.mul_all(&[y, r]) } else { scaled(g, -1.0, &[x, r]) }
        }
        (Fun::Mod, _) => {
            let r = g.recip(y);
            let quotient = g.mul_all(&[x, r]);
            let floor = g.map1(Fun::Floor, quotient);
            g.neg(floor)
        }
        _ => unreachable!("{fun:?} is not a function of two operands"),
    }
}

/// `y x^(y-1)`; 0 where `y` is 0, whatever `x`.
fn power_by_base(g: &mut Graph, x: NodeId, y: NodeId) -> NodeId {
    let less = plus(g, -1.0, y);
    let power = g.pow(x, less);
    let slope = g.mul_all(&[y, power]);
    if g.as_num(y).is_some() { slope } else { nonzero(g, y, slope) }
}

/// `value` where `x` is not 0, else 0.
fn nonzero(g: &mut Graph, x: NodeId, value: NodeId) -> NodeId {
    let zero = g.num(0.0);
    let cond = g.map2(Fun::Ne, x, zero);
    g.select(cond, value, zero)
}

fn scaled(g: &mut Graph, by: f64, factors: &[NodeId]) -> NodeId {
    let by = g.num(by);
    let all: Vec<NodeId> = factors.iter().copied().chain([by]).collect();
    g.mul_all(&all)
}

fn plus(g: &mut Graph, constant: f64, x: NodeId) -> NodeId {
    let constant = g.num(constant);
    g.add_all(&[x, constant])
}
