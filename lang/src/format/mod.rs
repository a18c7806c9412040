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

/// A word of a source.
pub(crate) struct Word {
    /// Without a prime, its Greek letters spelled.
    pub text: String,
    /// Its first byte.
    pub at: usize,
    /// Does it stand behind a point?
    pub is_field: bool,
}

/// All names and words of a file that was parsed without a finding, in order.
pub(crate) fn words(sources: &Sources, file: FileId) -> Vec<Word> {
    let tokens = tokens::tokens(sources.text(file), &marks::marked(sources, file));
    let mut out = Vec::new();
    for (k, token) in tokens.iter().enumerate().filter(|(_, t)| t.kind == tokens::Kind::Word) {
        let text = crate::parse::ascii(token.text.trim_end_matches(['\'', '′']));
        out.push(Word { text, at: token.at, is_field: k > 0 && tokens[k - 1].is(".") });
    }
    out
}
