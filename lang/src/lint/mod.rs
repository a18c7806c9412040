//! `gannet lint`: traps that shapes cannot see.
//! Law: a finding is a warning with a code, a place and a way out; it reads the checked program, never runs it, and a
//! comment `# allow G0803` on its line or the line above says that it is meant.

mod gradients;
mod patterns;
mod singular;
mod unused;
mod walk;

#[cfg(test)]
mod tests;

use crate::check::Checked;
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Sources, Span};
use crate::program::{Unit, UnitKind};
use std::collections::BTreeSet;

/// The traps in a checked file, in the order of the text.
pub fn lint(checked: &Checked, sources: &Sources, file: FileId) -> Diagnostics {
    let mut found = Vec::new();
    for unit in checked.program.units.iter().filter(|u| u.kind == UnitKind::Train) {
        gradients::lint(unit, &mut found);
        singular::lint(unit, &mut found);
        patterns::lint(unit, &mut found);
        reports(checked, unit, &mut found);
    }
    unused::lint(checked.ast(), sources.text(file), file, &mut found);
    found.sort_by_key(|d| (d.span, d.code));
    let mut seen = BTreeSet::new();
    found.retain(|d| seen.insert((d.code, d.span)) && !d.span.is_some_and(|span| allowed(sources, span, d.code)));
    Diagnostics(found)
}

/// A warning with what stands at its place.
fn warning(code: Code, span: Span, message: String, label: &str) -> Diagnostic {
    let d = Diagnostic::error(code, span, message).label(span, label);
    Diagnostic { severity: Severity::Warning, ..d }
}

/// Does a comment say that this is meant?
fn allowed(sources: &Sources, span: Span, code: Code) -> bool {
    let text = sources.text(span.file);
    let start = text[..span.start as usize].rfind('\n').map_or(0, |n| n + 1);
    let end = text[span.start as usize..].find('\n').map_or(text.len(), |n| span.start as usize + n);
    let above = text[..start.saturating_sub(1)].rfind('\n').map_or(0, |n| n + 1);
    let allows = |line: &str| line.split_once('#').is_some_and(|(_, c)| c.contains(&format!("allow {code}")));
    text[above..end].lines().any(allows)
}

/// G0806: reports that no row outside the training data goes into.
fn reports(checked: &Checked, unit: &Unit, found: &mut Vec<Diagnostic>) {
    let Some(data) = unit.data.map(|k| &checked.program.data[k]) else { return };
    if unit.reports.is_empty() || data.source.is_none() {
        return;
    }
    let on_train = |on: &Option<String>| match on {
        Some(split) => split == "train",
        None => data.splits.is_empty(),
    };
    if unit.reports.iter().all(|r| on_train(&r.on)) {
        let message = format!("every report of `{}` is on the data that it was trained on", unit.name);
        let d = warning(Code::G0806, data.span, message, "these are the data");
        found.push(match data.splits.is_empty() {
            true => d.hint("keep rows aside: `split test 20%`; reports are on them then"),
            false => d.hint("leave out `on train` in one report: it is on the test rows then"),
        });
    }
}
