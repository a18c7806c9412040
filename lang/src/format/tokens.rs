//! A source as tokens and comments.
//! Law: every character that is no blank belongs to exactly one token.

use crate::parse::marks::{Mark, Marked};
use crate::parse::{is_name_char, number_length};

/// What kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, with its prime, or a word of the language.
    Word,
    /// A number, with its `%`, or a text in quotes.
    Literal,
    /// An operator or a sign of punctuation.
    Sign,
    /// `# ...` to the end of its line.
    Comment,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'s> {
    pub kind: Kind,
    pub text: &'s str,
    /// Its first byte.
    pub at: usize,
    /// What the grammar says about it.
    pub mark: Option<Mark>,
}

impl Token<'_> {
    /// One past its last byte.
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// Is it this sign or word?
    pub fn is(&self, text: &str) -> bool {
        self.text == text && self.kind != Kind::Comment
    }

    pub fn opens(&self) -> bool {
        self.kind == Kind::Sign && matches!(self.text, "(" | "[" | "{")
    }

    pub fn closes(&self) -> bool {
        self.kind == Kind::Sign && matches!(self.text, ")" | "]" | "}")
    }
}

/// Signs of several characters; the longest that fits is taken.
const SIGNS: [&str; 9] = ["==", "=>", "!=", "<=", ">=", "->", "<-", "|>", ".."];

/// The tokens of a source, in order.
pub(super) fn tokens<'s>(source: &'s str, marked: &Marked) -> Vec<Token<'s>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        if c.is_whitespace() || c == '\u{feff}' {
            at += c.len_utf8();
            continue;
        }
        let mark = marked.marks.get(&at).copied();
        let (kind, length) = token(&source[at..], c, mark);
        out.push(Token { kind, text: source[at..at + length].trim_end(), at, mark });
        at += length;
    }
    out
}

/// The kind and length of the token at the start of `rest`.
fn token(rest: &str, first: char, mark: Option<Mark>) -> (Kind, usize) {
    if first == '#' {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if first == '"' {
        return (Kind::Literal, rest[1..].find('"').map_or(rest.len(), |n| n + 2));
    }
    if first.is_ascii_digit() {
        let n = number_length(rest);
        return (Kind::Literal, n + usize::from(rest[n..].starts_with('%')));
    }
    if is_name_char(first) {
        let n = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        let prime = rest[n..].chars().next().filter(|c| matches!(c, '\'' | '′'));
        return (Kind::Word, n + prime.map_or(0, char::len_utf8));
    }
    let long = SIGNS.iter().find(|s| rest.starts_with(**s) && (**s != "<-" || mark == Some(Mark::BackArrow)));
    (Kind::Sign, long.map_or(first.len_utf8(), |s| s.len()))
}
