//! Terms below terms: all of them, and those that a gradient reaches.
//! Law: what is not known to stop a gradient lets it through.

use crate::program::{Fun, Op, Output, Red, TermId, Unit};
use std::collections::BTreeSet;

pub use crate::print_program::operands;

/// The operands that a gradient of the term reaches.
pub fn smooth(op: &Op) -> Vec<TermId> {
    match op {
        Op::Map(fun, xs) => match fun {
            Fun::Sign | Fun::Floor | Fun::Ceil | Fun::Round | Fun::Not | Fun::IsFinite | Fun::ToInt => vec![],
            Fun::IntDiv | Fun::Lt | Fun::Le | Fun::Gt | Fun::Ge | Fun::Eq | Fun::Ne | Fun::And | Fun::Or => vec![],
            Fun::Select => xs[1..].to_vec(),
            _ => xs.clone(),
        },
        Op::Reduce { red: Red::ArgMax | Red::ArgMin | Red::Any | Red::All | Red::Count, .. } | Op::Stop(_) => vec![],
        Op::Reduce { of, .. } => vec![*of],
        Op::Read { of, otherwise, .. } => std::iter::once(*of).chain(*otherwise).collect(),
        Op::Custom { inputs, .. } => inputs.clone(),
        other => operands(other),
    }
}

/// The terms from which a step is made.
pub fn roots(unit: &Unit) -> Vec<(&Output, TermId)> {
    let steps = unit.functions.iter().filter(|f| f.name == "step" || f.name.starts_with("step "));
    steps.flat_map(|f| &f.outputs).map(|(o, t)| (o, *t)).collect()
}

/// All terms at and below these, as `below` gives the operands.
pub fn reach(unit: &Unit, from: &[TermId], below: impl Fn(&Op) -> Vec<TermId>) -> BTreeSet<TermId> {
    let mut seen = BTreeSet::new();
    let mut open = from.to_vec();
    while let Some(t) = open.pop() {
        if seen.insert(t) {
            open.extend(below(&unit.term(t).op));
        }
    }
    seen
}

/// The term behind renamed axes.
pub fn plain(unit: &Unit, mut t: TermId) -> TermId {
    loop {
        match &unit.term(t).op {
            Op::Read { of, at, otherwise: None } if at.iter().all(|(_, a)| is_renaming(a)) => t = *of,
            Op::View(x) | Op::Point(x, _) => t = *x,
            _ => return t,
        }
    }
}

fn is_renaming(at: &crate::program::At) -> bool {
    matches!(at, crate::program::At::Affine { terms, offset: 0 } if matches!(terms.as_slice(), [(1, _)]))
}
