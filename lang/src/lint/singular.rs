//! G0803: roots, logarithms and quotients under a gradient whose argument may be 0.
//! Law: an argument passes if it is positive whatever its inputs are (up to what rounding does to an exponential), or if
//! the place stands in a branch of an `if`: the branch not taken never makes a NaN.

use super::{walk, warning};
use crate::diag::{Code, Diagnostic};
use crate::program::{Fun, Op, Red, TermId, Unit};
use std::collections::BTreeSet;

pub(super) fn lint(unit: &Unit, found: &mut Vec<Diagnostic>) {
    let roots: Vec<TermId> = walk::roots(unit).iter().map(|r| r.1).collect();
    let mut looked = BTreeSet::new();
    for t in walk::reach(unit, &roots, walk::operands) {
        if let Op::Grad { of, wrt, .. } = unit.term(t).op
            && looked.insert((of, wrt))
        {
            gradient(unit, of, wrt, found);
        }
    }
}

/// Looks at what lies between a value and what it is differentiated by.
fn gradient(unit: &Unit, of: TermId, wrt: TermId, found: &mut Vec<Diagnostic>) {
    let below = |op: &Op| match op {
        Op::Map(Fun::Select, _) => vec![],
        op => walk::smooth(op),
    };
    let mut depends = BTreeSet::from([wrt]);
    let reached = walk::reach(unit, &[of], walk::smooth);
    // Operands have smaller ids than the term.
    for &t in reached.iter().filter(|t| **t > wrt) {
        if walk::smooth(&unit.term(t).op).iter().any(|x| depends.contains(x)) {
            depends.insert(t);
        }
    }
    for t in walk::reach(unit, &[of], below) {
        if depends.contains(&t) && t != wrt {
            found.extend(finding(unit, t, &depends));
        }
    }
}

fn finding(unit: &Unit, t: TermId, depends: &BTreeSet<TermId>) -> Option<Diagnostic> {
    let Op::Map(fun, xs) = &unit.term(t).op else { return None };
    let (what, x, hint) = match fun {
        Fun::Sqrt => ("square root", xs[0], "add a small number inside: `sqrt(x + 1e-12)`"),
        Fun::Log => ("logarithm", xs[0], "add a small number inside, or use `log1p`, `logsumexp` or `softplus`"),
        Fun::Recip => ("quotient", xs[0], "add a small number to the divisor, as in `x / (norm(x) + 1e-12)`"),
        Fun::Div => ("quotient", xs[1], "add a small number to the divisor, as in `x / (norm(x) + 1e-12)`"),
        Fun::Pow if steep(unit, xs[1]) => ("power", xs[0], "add a small number to the base"),
        _ => return None,
    };
    if !depends.contains(&x) || sign(unit, x, 0) == Sign::Positive {
        return None;
    }
    let span = unit.term(t).span;
    let message = format!("the gradient of this {what} is infinite or NaN where its argument is 0");
    Some(warning(Code::G0803, span, message, "its argument may be 0 here").hint(hint))
}

/// An exponent below 1 that is no whole number from 0 on: the slope at 0 is infinite.
fn steep(unit: &Unit, exponent: TermId) -> bool {
    matches!(unit.term(exponent).op, Op::Const(c) if c < 1.0 && c != 0.0)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Unknown,
    NotNegative,
    Positive,
}

/// Deeper than any formula that somebody reads.
const DEPTH: usize = 60;

/// What is known about the sign of a term.
fn sign(unit: &Unit, t: TermId, depth: usize) -> Sign {
    if depth > DEPTH {
        return Sign::Unknown;
    }
    let of = |x: TermId| sign(unit, x, depth + 1);
    match &unit.term(t).op {
        Op::Const(c) if *c > 0.0 => Sign::Positive,
        Op::Const(c) if *c >= 0.0 => Sign::NotNegative,
        // Learning rates, widths and steps are positive wherever they divide.
        Op::Hyper(_) | Op::Size(_) | Op::Step => Sign::Positive,
        Op::Map(fun, xs) => map_sign(unit, *fun, xs, of),
        Op::Reduce { red, of: x, guard, .. } => match red {
            Red::Var | Red::Count => Sign::NotNegative,
            Red::LogSumExp => Sign::Unknown,
            Red::Sum | Red::Mean | Red::Prod | Red::Max | Red::Min if guard.is_none() => of(*x),
            Red::Sum | Red::Mean | Red::Max | Red::Min | Red::Prod => of(*x).min(Sign::NotNegative),
            Red::Any | Red::All | Red::ArgMax | Red::ArgMin => Sign::NotNegative,
        },
        Op::Read { of: x, otherwise, .. } => otherwise.map_or(Sign::Positive, of).min(of(*x)),
        Op::View(x) | Op::Point(x, _) | Op::Stop(x) => of(*x),
        Op::Custom { value, .. } => of(*value),
        Op::Iota(_) => Sign::NotNegative,
        _ => Sign::Unknown,
    }
}

fn map_sign(unit: &Unit, fun: Fun, xs: &[TermId], of: impl Fn(TermId) -> Sign) -> Sign {
    let least = || xs.iter().map(|x| of(*x)).min().unwrap_or(Sign::Unknown);
    let most = || xs.iter().map(|x| of(*x)).max().unwrap_or(Sign::Unknown);
    match fun {
        Fun::Exp | Fun::Softplus | Fun::Sigmoid => Sign::Positive,
        Fun::Abs => Sign::NotNegative.max(of(xs[0])),
        Fun::Sqrt | Fun::Recip | Fun::ToReal | Fun::ToF32 | Fun::ToF16 | Fun::ToBf16 | Fun::Div | Fun::Min => least(),
        Fun::Add => match least() {
            Sign::Unknown => Sign::Unknown,
            _ => most(),
        },
        Fun::Mul if xs.len() == 2 && xs[0] == xs[1] => Sign::NotNegative.max(of(xs[0])),
        Fun::Mul => least(),
        Fun::Pow if matches!(unit.term(xs[1]).op, Op::Const(c) if c % 2.0 == 0.0) => Sign::NotNegative.max(of(xs[0])),
        Fun::Pow => of(xs[0]),
        Fun::Max => most(),
        Fun::Select => of(xs[1]).min(of(xs[2])),
        Fun::Not | Fun::IsFinite | Fun::Lt | Fun::Le | Fun::Gt | Fun::Ge | Fun::Eq | Fun::Ne | Fun::And | Fun::Or => {
            Sign::NotNegative
        }
        _ => Sign::Unknown,
    }
}
