//! `gannet fmt`: one style for every source.
//! Law: the tokens and comments of the result are those of the source, in the same order and on the same lines; only
//! blanks and empty lines change. Formatting what is formatted changes nothing.
//!
//! The style: two blanks for each open bracket and for a statement that goes on; one blank between words and around
//! operators, none inside round and square brackets; a product or sum written without blanks stays so where that does
//! not belie how tightly it binds; at most one empty line; equations and comments that stand one under another stay so.

mod lines;
mod spaces;
mod tokens;

use crate::diag::{Diagnostics, FileId, Sources};
use crate::parse::marks;

/// A file in the one style.
///
/// # Errors
/// The file's syntax errors: what cannot be read is not touched.
pub fn format(sources: &Sources, file: FileId) -> Result<String, Diagnostics> {
    crate::parse(sources, file)?;
    let source = sources.text(file);
    let marked = marks::marked(sources, file);
    let tokens = tokens::tokens(source, &marked);
    let gaps = spaces::gaps(source, &tokens);
    Ok(lines::layout(source, &marked.layout, &tokens, &gaps))
}

#[cfg(test)]
mod tests;
