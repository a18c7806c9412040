//! G0802: a softmax over the batch. G0804: a bias that the normalization behind it takes away.

use super::{walk, warning};
use crate::diag::{Code, Diagnostic};
use crate::program::{Axis, Fun, Op, Red, Role, TermId, Unit};

pub(super) fn lint(unit: &Unit, found: &mut Vec<Diagnostic>) {
    let roots: Vec<TermId> = walk::roots(unit).iter().map(|r| r.1).collect();
    for t in walk::reach(unit, &roots, walk::operands) {
        found.extend(over_batch(unit, t));
        found.extend(lost_bias(unit, t));
    }
}

/// Exponentials divided by their sum along the only axis of the batch.
fn over_batch(unit: &Unit, t: TermId) -> Option<Diagnostic> {
    let batch = unit.batch?;
    let (axes, of) = match &unit.term(t).op {
        Op::Map(Fun::Div, xs) => match &unit.term(walk::plain(unit, xs[1])).op {
            Op::Reduce { red: Red::Sum, axes, of, .. } if is_exp(unit, *of) && is_exp(unit, xs[0]) => (axes, *of),
            _ => return None,
        },
        Op::Reduce { red: Red::LogSumExp, axes, of, .. } => (axes, *of),
        _ => return None,
    };
    let along_batch = axes.iter().filter(|a| a.dim == batch).count();
    let batches = unit.term(of).ty.axes.iter().filter(|a| a.dim == batch).count();
    if along_batch == 0 || batches > 1 {
        return None;
    }
    let d = warning(
        Code::G0802,
        unit.term(t).span,
        "this softmax is over the batch: a row's result depends on which other rows are drawn with it".into(),
        "normalized along `batch`",
    );
    Some(d.hint("normalize along the dim of the classes: `softmax[class](scores)`"))
}

fn is_exp(unit: &Unit, t: TermId) -> bool {
    matches!(unit.term(walk::plain(unit, t)).op, Op::Map(Fun::Exp, _))
}

/// `h - mean[axes](h)` where `h` has an addend that is a bias without any of the axes.
fn lost_bias(unit: &Unit, t: TermId) -> Option<Diagnostic> {
    let Op::Map(Fun::Sub, xs) = &unit.term(t).op else { return None };
    let Op::Reduce { red: Red::Mean, axes, of, guard: None } = &unit.term(walk::plain(unit, xs[1])).op else {
        return None;
    };
    if walk::plain(unit, *of) != walk::plain(unit, xs[0]) {
        return None;
    }
    let bias = bias_without(unit, *of, axes)?;
    let d = warning(
        Code::G0804,
        bias.1,
        format!("the bias `{}` has no effect: the normalization behind it takes it away", bias.0),
        "added, and subtracted again with the mean",
    );
    Some(d.label(unit.term(t).span, "the mean is subtracted here").hint("leave the bias out: `x @ w`"))
}

fn bias_without(unit: &Unit, t: TermId, axes: &[Axis]) -> Option<(String, crate::diag::Span)> {
    let Op::Map(Fun::Add, xs) = &unit.term(walk::plain(unit, t)).op else { return None };
    for x in xs {
        if let Op::Param(p) = unit.term(walk::plain(unit, *x)).op {
            let param = &unit.params[p.index()];
            let shares = param.ty.axes.iter().any(|a| axes.iter().any(|b| b.dim == a.dim));
            if param.role == Role::Bias && !shares {
                return Some((param.name.clone(), param.span));
            }
        } else if let Some(found) = bias_without(unit, *x, axes) {
            return Some(found);
        }
    }
    None
}
