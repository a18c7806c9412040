//! G0807: equations and draws that nothing uses.
//! Law: a name counts as used if it stands anywhere else in its declaration, or behind a point anywhere in the file (an
//! equation of a net can be read as `f(x).h`). A name that begins with `_` is meant to be unused.

use super::warning;
use crate::ast::{File, Ident, Item, Stmt, TrainStmt};
use crate::diag::{Code, Diagnostic, FileId, Sources};
use crate::format::words;

pub(super) fn lint(ast: &File, text: &str, file: FileId, found: &mut Vec<Diagnostic>) {
    let mut sources = Sources::default();
    sources.add("", text);
    let words = words(&sources, FileId(0));
    for item in &ast.items {
        let mut names = Vec::new();
        let around = match item {
            Item::Net(d) => {
                defined(&d.body.stmts, &mut names);
                d.span
            }
            Item::Fn(d) => {
                defined(&d.body.stmts, &mut names);
                let end = d.backward.as_ref().map_or(d.body.span, |b| b.span);
                d.name.span.to(end)
            }
            Item::Train(d) => {
                in_block(&d.body, &mut names);
                d.span
            }
            Item::Task(d) => {
                in_block(&d.body, &mut names);
                d.span
            }
            _ => continue,
        };
        for name in names.into_iter().filter(|n| n.span.file == file && !n.name.starts_with('_')) {
            let here = |at: usize| (around.start as usize..around.end as usize).contains(&at);
            let uses = words.iter().filter(|w| w.text == name.name && w.at != name.span.start as usize);
            if !uses.into_iter().any(|w| here(w.at) || w.is_field) {
                let message = format!("nothing uses `{}`", name.name);
                let d = warning(Code::G0807, name.span, message, "defined here and read nowhere");
                found.push(d.hint("leave it out, or begin its name with `_` if that is meant"));
            }
        }
    }
}

fn in_block<'a>(body: &'a [TrainStmt], names: &mut Vec<&'a Ident>) {
    for stmt in body {
        match stmt {
            TrainStmt::Stmt(s) => defined(std::slice::from_ref(s), names),
            TrainStmt::Stage { body, .. } => in_block(body, names),
            _ => {}
        }
    }
}

/// Names of equations and draws, but not of next values.
fn defined<'a>(stmts: &'a [Stmt], names: &mut Vec<&'a Ident>) {
    for stmt in stmts {
        match stmt {
            // One part of a tuple may be wanted alone.
            Stmt::Let(l) if l.targets.len() == 1 => {
                names.extend(l.targets.iter().filter(|t| !t.primed).map(|t| &t.name))
            }
            Stmt::Sample { name, .. } => names.push(name),
            Stmt::For { body, .. } => defined(body, names),
            _ => {}
        }
    }
}
