//! Blanks between tokens of one line.
//! Law: whether two tokens stand apart depends on what they are, not on how they were written, but for products and
//! sums, which may be written without blanks where that does not belie how tightly they bind.

use super::tokens::{Kind, Token};
use crate::parse::marks::Mark;

/// For each token: does a blank stand before it, if it is not the first of its line?
pub(super) fn gaps(source: &str, tokens: &[Token]) -> Vec<bool> {
    let close = close_operators(source, tokens);
    (0..tokens.len()).map(|k| k > 0 && gap(source, tokens, &close, k)).collect()
}

/// Was there a blank before this token in the source?
fn apart(source: &str, tokens: &[Token], k: usize) -> bool {
    k > 0 && !source[tokens[k - 1].end()..tokens[k].at].is_empty()
}

/// Does a blank stand before token `k`?
fn gap(source: &str, tokens: &[Token], close: &[bool], k: usize) -> bool {
    let (before, after) = (&tokens[k - 1], &tokens[k]);
    if after.kind == Kind::Comment || before.kind == Kind::Comment {
        return true;
    }
    match after.text {
        "," | ";" | ")" | "]" | ":" if after.kind == Kind::Sign => return false,
        "²" | "³" => return false,
        "}" if after.mark == Some(Mark::AtClose) => return false,
        "}" => return !before.is("{"),
        _ => {}
    }
    if before.kind == Kind::Sign && matches!(before.text, "(" | "[") || before.mark == Some(Mark::AtOpen) {
        return false;
    }
    if before.is(",") || before.is(";") || before.is(":") || before.is("{") {
        return true;
    }
    if before.is(".") || after.is(".") || before.mark == Some(Mark::Prefix) {
        return false;
    }
    if before.is("..") || after.is("..") {
        // `in 0..`, but `x in ..`: the range is tight, a word before it stands apart.
        return after.is("..") && before.kind == Kind::Word && apart(source, tokens, k);
    }
    if close[k] || close[k - 1] {
        return false;
    }
    match after.mark {
        Some(Mark::Attached) => counts_rows(tokens, k) && apart(source, tokens, k),
        Some(Mark::AtOpen) => false,
        _ => true,
    }
}

/// `batch (2*n)` reads like a call and is a line of a train block.
fn counts_rows(tokens: &[Token], k: usize) -> bool {
    matches!(tokens[k - 1].text, "batch" | "epochs" | "steps") && tokens[k].is("(")
}

/// Operators in a row at one depth of brackets.
#[derive(Default)]
struct Row {
    /// Token, how tightly it binds, and whether it is written without blanks.
    operators: Vec<(usize, u8, bool)>,
}

impl Row {
    /// Marks the operators that stay without blanks: all that bind as tightly or more tightly must be so too.
    fn finish(&mut self, close: &mut [bool]) {
        let loosened = self.operators.iter().filter(|o| !o.2).map(|o| o.1).max().unwrap_or(0);
        for (token, binding, tight) in self.operators.drain(..) {
            close[token] = tight && binding > loosened;
        }
    }
}

/// Operators that are written without blanks.
fn close_operators(source: &str, tokens: &[Token]) -> Vec<bool> {
    let mut close = vec![false; tokens.len()];
    let mut rows = vec![Row::default()];
    for (k, token) in tokens.iter().enumerate() {
        let row = rows.last_mut().expect("the file is always open");
        if let Some(Mark::Infix(binding)) = token.mark {
            let tight = !apart(source, tokens, k) && k + 1 < tokens.len() && !apart(source, tokens, k + 1);
            let word = token.kind == Kind::Word;
            match token.text {
                "^" => close[k] = true,
                _ => row.operators.push((k, binding, tight && !word && token.text != "@")),
            }
        } else if token.opens() {
            rows.push(Row::default());
        } else if token.closes() {
            row.finish(&mut close);
            rows.pop();
        } else if separates(tokens, k) {
            row.finish(&mut close);
        }
    }
    rows.iter_mut().for_each(|row| row.finish(&mut close));
    close
}

/// Does this token end a row of operators?
fn separates(tokens: &[Token], k: usize) -> bool {
    let token = &tokens[k];
    match token.kind {
        Kind::Comment => false,
        Kind::Sign => token.mark != Some(Mark::Prefix) && !matches!(token.text, "." | "²" | "³"),
        // A word or number behind an operand begins something new.
        Kind::Word | Kind::Literal => {
            k > 0
                && (matches!(tokens[k - 1].kind, Kind::Word | Kind::Literal) || tokens[k - 1].closes())
                && tokens[k - 1].mark.is_none()
        }
    }
}
