//! Syntax errors in plain words.
//! Law: the message says what stands there and what was expected; the hint names the usual reason, if there is one.

use std::collections::BTreeSet;
use std::ops::Range;

use pest::error::{Error, ErrorVariant, InputLocation};

use super::Rule;
use super::layout::is_name_char;
use crate::diag::{Code, Diagnostic, FileId, Span};
use crate::foreign;

/// The byte where reading stopped.
pub(super) fn position(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    }
}

/// A diagnostic for pest's error.
pub(super) fn diagnostic(file: FileId, source: &str, text: &str, error: &Error<Rule>) -> Diagnostic {
    let at = position(error);
    let found = token_at(text, at);
    let span = Span { file, start: at as u32, end: (at + found.len()) as u32 };
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => expectation(positives),
        ErrorVariant::CustomError { .. } => String::new(),
    };
    let place = match found {
        "" => "the text ends here".to_string(),
        "\n" => "the statement ends here".to_string(),
        token => format!("`{token}` does not fit here"),
    };
    let message = if expected.is_empty() { place.clone() } else { format!("{place}; expected {expected}") };
    let span = if found == "\n" { Span { end: span.start, ..span } } else { span };
    let label = if expected.is_empty() { "here".to_string() } else { format!("expected {expected}") };
    let d = Diagnostic::error(code_of(text, at, found), span, message).label(span, label);
    let goes_on = "the line above ends in an operator, so this line goes on with it".to_string();
    let hint = if continues(source, text, at) { Some(goes_on) } else { hint(text, at, found, &expected) };
    match hint {
        Some(hint) => d.hint(hint),
        None => d,
    }
}

/// A habit of another language has a code of its own.
fn code_of(text: &str, at: usize, found: &str) -> Code {
    let before = line_before(text, at);
    if foreign::operator(found).is_some() {
        Code::G0004
    } else if found == ":" && in_index(before) {
        Code::G0009
    } else if foreign::keyword(found).or_else(|| foreign::keyword(last_word(before))).is_some() {
        Code::G0005
    } else {
        Code::G0001
    }
}

/// The line of `at` up to there.
fn line_before(text: &str, at: usize) -> &str {
    text[text[..at].rfind('\n').map_or(0, |n| n + 1)..at].trim()
}

/// Is a square bracket open at the end of this text?
fn in_index(before: &str) -> bool {
    before.matches('[').count() > before.matches(']').count()
}

fn last_word(before: &str) -> &str {
    before.rsplit(|c| !is_name_char(c)).next().unwrap_or("")
}

/// Does the line of `at` go on with the one before because that ends in an operator?
fn continues(source: &str, text: &str, at: usize) -> bool {
    let Some(line_end) = source[..at].rfind('\n') else { return false };
    let before = text[..line_end].trim_end();
    text.as_bytes()[line_end] == b' ' && before.ends_with(['+', '-', '*', '/', '^', '@', '=', '<', '>', '~', ':', '|'])
}

/// The word, number or sign that begins at `at`; empty at the end.
fn token_at(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    let word = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
    if word > 0 {
        return &rest[..word];
    }
    const SIGNS: [&str; 18] =
        ["==", "=>", "!=", "<=", ">=", "->", "<-", "|>", "..", ":=", "**", "&&", "||", "//", "+=", "-=", "*=", "/="];
    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).map(|sign| sign.len());
    let length = sign.or(rest.chars().next().map(char::len_utf8)).unwrap_or(0);
    &rest[..length]
}

/// What pest would have taken, as a list in words.
fn expectation(rules: &[Rule]) -> String {
    let mut words: BTreeSet<(u8, String)> = rules.iter().filter_map(|&rule| phrase(rule)).collect();
    if words.iter().any(|(_, w)| w == OPERATOR) {
        words.retain(|(_, w)| !matches!(w.as_str(), "`else`" | "`with`" | "`=>`" | "`:`"));
        words.insert((3, "the end of the statement".into()));
    }
    if words.iter().any(|(_, w)| w == "a value") {
        // Words that begin statements are no news where any statement may begin.
        words.retain(|(rank, w)| *rank != WORD || w == "a value");
    }
    if words.iter().any(|(_, w)| w == "`)`" || w == "`]`") {
        words.insert((1, "`,`".into()));
        words.retain(|(_, w)| w != "the end of the statement");
    }
    let words: Vec<String> = words.into_iter().map(|(_, word)| word).take(6).collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

const OPERATOR: &str = "an operator";
/// The place of plain words in the list.
const WORD: u8 = 2;

/// A rule in words, with its place in the list.
fn phrase(rule: Rule) -> Option<(u8, String)> {
    use Rule::*;
    let plain = |words: &str| Some((0, words.to_string()));
    match rule {
        expr | ops | term | line | part | var => plain("a value"),
        name | each_role | each_pattern | dim_entry | var_decl | loop_state | param | module_path => plain("a name"),
        ty | type_name => plain("a type"),
        type_axis | named_axis => plain("a dim"),
        number => plain("a number"),
        text => plain("a text in quotes"),
        block | data_block | train_block | open_brace | use_names => Some((2, "`{`".into())),
        params => Some((1, "`(`".into())),
        fn_axes => None,
        close_paren => Some((1, "`)`".into())),
        close_index => Some((1, "`]`".into())),
        close_brace => Some((4, "`}`".into())),
        eq | init_value => Some((1, "`=`".into())),
        tilde | init_draw => None,
        arrow | result => Some((2, "`->`".into())),
        fat_arrow => Some((2, "`=>`".into())),
        dots => Some((2, "`..`".into())),
        dim_decl => plain("a declaration (`dim`, `data`, `fn`, `net`, `rule`, `train`, `task`, `check`, `use`)"),
        every_unit => plain("`steps` or `epochs`"),
        every_clause => Some((2, "`every`".into())),
        where_clause => Some((2, "`where`".into())),
        head_gradient => Some((2, "`with`".into())),
        head_objective => Some((2, "`minimizing`".into())),
        train_on | report_on => Some((2, "`on`".into())),
        data_source | loop_from => Some((2, "`from`".into())),
        loop_while => Some((2, "`while`".into())),
        loop_until => Some((2, "`until`".into())),
        loop_max => Some((2, "`max`".into())),
        op_add | op_mul | op_pow => Some((3, OPERATOR.into())),
        _ => word(rule).map(|word| (WORD, format!("`{word}`"))),
    }
}

/// The word that a rule `k_word` reads.
fn word(rule: Rule) -> Option<String> {
    format!("{rule:?}").strip_prefix("k_").map(str::to_string)
}

/// Words that are never names.
const RESERVED: [&str; 17] = [
    "and", "div", "dim", "else", "fix", "fn", "for", "if", "iterate", "mod", "net", "not", "or", "param", "rule",
    "scan", "then",
];

/// The usual reason for a mistake at `at`.
fn hint(text: &str, at: usize, found: &str, expected: &str) -> Option<String> {
    let before = line_before(text, at);
    sign_hint(before, found, expected).map(str::to_string).or_else(|| word_hint(before, found))
}

/// The usual reason for a sign that does not fit.
fn sign_hint(before: &str, found: &str, expected: &str) -> Option<&'static str> {
    Some(match found {
        "=" if before.ends_with(':') => "an equation is written `x = ...`",
        "=" if expected.contains(OPERATOR) => "values are compared with `==`",
        "\n" if before.starts_with("report ") || before.starts_with("plot ") => "write `report accuracy = ...`",
        "\n" if before.ends_with('=') => "the value of an equation begins on its line",
        "<-" => "the next value of a state is written `w' = ...`",
        ":" if in_index(before) => "a range is written `0..8`, and `..` stands for all leading dims",
        "(" if expected == "a type" => "the types of a tuple cannot be written; leave them out",
        "'" => "a name has at most one prime",
        "{" if before.starts_with("fn") => "write `fn f(x) = ...`",
        other => return foreign::operator(other),
    })
}

/// The usual reason for a word that does not fit.
fn word_hint(before: &str, found: &str) -> Option<String> {
    if let Some(hint) = foreign::keyword(found).or_else(|| foreign::keyword(last_word(before))) {
        return Some(hint.into());
    }
    if let Some(block) = block_of(before) {
        return Some(format!("`{before}` is a line of a `{block}` block"));
    }
    let declares = matches!(found, "dim" | "fn" | "net" | "rule" | "data" | "train" | "task" | "check");
    if declares && before.is_empty() {
        return Some(format!("`{found}` is declared outside of all blocks"));
    }
    if RESERVED.contains(&found) {
        return Some(format!("`{found}` is a word of the language and no name"));
    }
    let beside = found.starts_with(is_name_char) && before.ends_with(is_name_char);
    beside.then(|| "two values stand side by side: is an operator or a comma missing?".into())
}

/// The block whose lines a word begins.
fn block_of(word: &str) -> Option<&'static str> {
    match word {
        "minimize" | "maximize" | "batch" | "epochs" | "steps" | "report" | "plot" | "stage" | "every" => Some("train"),
        "split" => Some("data"),
        "state" => Some("net`, `rule` or `train"),
        _ => None,
    }
}

/// The innermost statement around a place: from the separator before it to the one behind it.
pub(super) fn statement_around(text: &str, at: usize) -> Range<usize> {
    let mut starts = vec![0];
    let mut walk = Walk::default();
    let mut depth = None;
    for (i, &byte) in text.as_bytes().iter().enumerate() {
        if i == at {
            depth = Some(starts.len());
        }
        if !walk.outside_text(byte) {
            continue;
        }
        let here = depth == Some(starts.len());
        match byte {
            b'{' => starts.push(i + 1),
            b'}' if here && starts.len() > 1 => return starts[starts.len() - 1]..i,
            b'}' if starts.len() > 1 => {
                starts.pop();
            }
            b'\n' | b';' if here && walk.round == 0 => return starts[starts.len() - 1]..i,
            b'\n' | b';' if walk.round == 0 => *starts.last_mut().expect("the file is open") = i + 1,
            _ => {}
        }
    }
    let start = if depth.is_none_or(|d| d == starts.len()) { starts[starts.len() - 1] } else { 0 };
    start..text.len()
}

/// Follows quotes and round brackets.
#[derive(Default)]
struct Walk {
    quoted: bool,
    round: usize,
    /// Round brackets open outside of each brace.
    outer: Vec<usize>,
}

impl Walk {
    /// Moves over one byte; is it outside of quotes?
    fn outside_text(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'(' | b'[' => self.round += 1,
            b')' | b']' => self.round = self.round.saturating_sub(1),
            b'{' => self.outer.push(std::mem::take(&mut self.round)),
            b'}' => self.round = self.outer.pop().unwrap_or(0),
            _ => {}
        }
        !self.quoted
    }
}
