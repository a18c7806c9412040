//! Findings on standard error.

use gannet::{Error, Model};
use std::io::IsTerminal;

/// Prints an error with its source lines.
pub fn error(error: &Error) {
    let text = gannet::lang::render::render(&error.sources, &error.diagnostics, std::io::stderr().is_terminal());
    super::put(std::io::stderr(), format_args!("{text}"));
}

/// Prints a model's warnings.
pub fn warnings(model: &Model) {
    super::put(std::io::stderr(), format_args!("{}", warnings_text(model)));
}

/// The warnings of a file, as they are printed.
pub fn warnings_text(model: &Model) -> String {
    let warnings = &model.checked().warnings;
    if warnings.0.is_empty() {
        return String::new();
    }
    gannet::lang::render::render(model.sources(), warnings, std::io::stderr().is_terminal())
}
