//! G0801: parameters that no gradient reaches, or that no rule changes. G0805: decay of what is no weight.

use super::{walk, warning};
use crate::diag::{Code, Diagnostic};
use crate::program::{Fun, Op, Output, Param, ParamId, Role, TermId, Unit};
use std::collections::BTreeMap;

pub(super) fn lint(unit: &Unit, found: &mut Vec<Diagnostic>) {
    let roots = walk::roots(unit);
    let next: BTreeMap<ParamId, TermId> =
        roots.iter().filter_map(|(o, t)| if let Output::Param(p) = o { Some((*p, *t)) } else { None }).collect();
    let all: Vec<TermId> = roots.iter().map(|r| r.1).collect();
    let gradients = gradients(unit, &all);
    for (k, param) in unit.params.iter().enumerate() {
        let id = ParamId::new(k);
        let of_run = unit.runs.iter().any(|run| run.params.iter().any(|p| p.0 == id));
        match next.get(&id) {
            // What a run trained is meant to stay.
            None if of_run => {}
            None => found.push(untrained(param)),
            Some(_) if gradients.get(&id) == Some(&false) => found.push(unreached(param)),
            Some(t) if param.role != Role::Weight && decays(unit, *t, id) => found.push(decayed(unit, param)),
            Some(_) => {}
        }
    }
}

fn untrained(param: &Param) -> Diagnostic {
    let message = format!("no rule changes the parameter `{}`", param.name);
    warning(Code::G0801, param.span, message, "it keeps its first value")
        .hint("name its net in a `minimize` line, or declare it by `const` if it is meant to stay")
}

fn unreached(param: &Param) -> Diagnostic {
    let message = format!("no gradient reaches the parameter `{}`", param.name);
    warning(Code::G0801, param.span, message, "the loss does not depend on it in a way that has a slope")
        .hint("look for `stop`, `round`, `sign`, `argmax` or a comparison between it and the loss, or leave it out")
}

fn decayed(unit: &Unit, param: &Param) -> Diagnostic {
    let role = if param.role == Role::Bias { "bias" } else { "scale" };
    let message = format!("the rule of `{}` decays the {role} `{}` towards 0", unit.name, param.name);
    warning(Code::G0805, param.span, message, &format!("a {role} that is pulled to 0 with every step"))
        .hint("decay weights alone: `each weight { w' = w - k*w }`, or `decay(k) |> adam(lr)`")
}

/// For each parameter that is differentiated by: does any of its gradients reach it?
fn gradients(unit: &Unit, roots: &[TermId]) -> BTreeMap<ParamId, bool> {
    let mut reached = BTreeMap::new();
    for t in walk::reach(unit, roots, walk::operands) {
        if let Op::Grad { of, wrt, .. } = &unit.term(t).op
            && let Op::Param(p) = unit.term(walk::plain(unit, *wrt)).op
        {
            let hit = walk::reach(unit, &[*of], walk::smooth).contains(wrt);
            *reached.entry(p).or_insert(false) |= hit;
        }
    }
    reached
}

/// Is a multiple of the parameter by numbers, other than itself, a part of its next value?
fn decays(unit: &Unit, next: TermId, param: ParamId) -> bool {
    let is_param = |t: TermId| matches!(unit.term(walk::plain(unit, t)).op, Op::Param(p) if p == param);
    let mut open = vec![next];
    while let Some(t) = open.pop() {
        let t = walk::plain(unit, t);
        let Op::Map(fun, xs) = &unit.term(t).op else { continue };
        match fun {
            Fun::Add | Fun::Sub | Fun::Neg => open.extend(xs),
            Fun::Mul => {
                let numbers = |x: &TermId| unit.term(*x).ty.axes.is_empty();
                let nought = |x: &TermId| matches!(unit.term(*x).op, Op::Const(c) if c == 0.0 || c == 1.0);
                let (own, others): (Vec<TermId>, Vec<TermId>) = xs.iter().partition(|x| is_param(**x));
                if own.len() == 1 && others.iter().all(numbers) && !others.iter().any(nought) {
                    return true;
                }
                // `lr * (a + decay*w)`: a sum that is scaled.
                if xs.iter().filter(|x| !numbers(x)).count() <= 1 && !xs.iter().any(nought) {
                    open.extend(xs.iter().filter(|x| !numbers(x)));
                }
            }
            _ => {}
        }
    }
    false
}
