//! The source files that a command line names.
//! Law: the order is that of the arguments, and of names inside a folder, whatever the file system says.

use gannet::Error;
use gannet::lang::diag::{Code, Diagnostic};
use std::path::{Path, PathBuf};

/// The files named, and the `.gnt` files in and below the folders named.
///
/// # Errors
/// G0501: a folder that cannot be read, or a name that nothing has.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut out = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, &mut out)?;
        } else {
            out.push(path.clone());
        }
    }
    Ok(out)
}

fn below(folder: &Path, out: &mut Vec<PathBuf>) -> Result<(), Error> {
    let entries = std::fs::read_dir(folder).map_err(|e| unreadable(folder, &e))?;
    let mut inside: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    inside.sort();
    for path in inside {
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.') || n == "target");
        if path.is_dir() && !hidden {
            below(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "gnt") {
            out.push(path);
        }
    }
    Ok(())
}

/// G0501 about a path.
pub fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("`{}` cannot be read: {error}", path.display());
    Error { diagnostics: Diagnostic::error(Code::G0501, None, message).into(), sources: Default::default() }
}
