//! `gannet fmt`: sources in the one style.
//! Law: a file that cannot be read as Gannet is left as it is, and so is one that is formatted already; what is written
//! is written whole or not at all.

use super::args::FmtArgs;
use super::{files, show};
use gannet::Error;
use gannet::lang::diag::{Code, Diagnostic, Sources};
use gannet::lang::format::format;
use std::path::Path;
use std::process::ExitCode;

/// Formats files and the `.gnt` files below folders; with `--check` says which are not formatted.
///
/// # Errors
/// A path that cannot be read, a file that cannot be written. Syntax errors are shown, and the other files go on.
pub fn fmt(args: &FmtArgs) -> Result<ExitCode, Error> {
    let (mut changed, mut wrong) = (0, 0);
    let paths = files::sources(&args.paths)?;
    for path in &paths {
        let text = std::fs::read_to_string(path).map_err(|e| files::unreadable(path, &e))?;
        let done = match path.extension().is_some_and(|e| e == "md") {
            true => Ok(page(&text)),
            false => file(path, &text),
        };
        match done {
            Err(error) => {
                show::error(&error);
                wrong += 1;
            }
            Ok(new) if new == text => {}
            Ok(new) => {
                changed += 1;
                say!("{}{}", if args.check { "not formatted: " } else { "formatted: " }, path.display());
                if !args.check {
                    write(path, &new)?;
                }
            }
        }
    }
    let verb = if args.check { "to format" } else { "formatted" };
    say!("{} files, {changed} {verb}, {wrong} with syntax errors", paths.len());
    Ok(if wrong > 0 || args.check && changed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn file(path: &Path, text: &str) -> Result<String, Error> {
    let mut sources = Sources::default();
    let id = sources.add(path.display().to_string(), text);
    format(&sources, id).map_err(|diagnostics| Error { diagnostics, sources: sources.into() })
}

/// A page of Markdown with its blocks of Gannet formatted; blocks that cannot be read stay as they are.
fn page(text: &str) -> String {
    let mut out = String::new();
    let mut block: Option<String> = None;
    for line in text.split_inclusive('\n') {
        match &mut block {
            None => {
                out.push_str(line);
                let kind = line.trim_end().strip_prefix("```").unwrap_or("");
                block = (kind == "gannet" || kind.starts_with("gannet,")).then(String::new);
            }
            Some(code) if line.starts_with("```") => {
                out.push_str(&file(Path::new("block"), code).unwrap_or_else(|_| code.clone()));
                out.push_str(line);
                block = None;
            }
            Some(code) => code.push_str(line),
        }
    }
    out.push_str(&block.unwrap_or_default());
    out
}

/// Through a file beside it, so that nothing is lost if writing ends early.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let beside = path.with_extension("gnt.new");
    let done = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    done.map_err(|e| {
        let d = Diagnostic::error(Code::G0602, None, format!("`{}` cannot be written: {e}", path.display()));
        Error { diagnostics: d.into(), sources: Default::default() }
    })
}
