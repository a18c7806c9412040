//! Lines: how far they are indented, what stands one under another, and empty lines.
//! Law: what was on one line stays on one line, and in order.

use super::tokens::{Kind, Token};

/// Blanks for each level.
const STEP: usize = 2;

/// A line of the result.
#[derive(Default)]
struct Line {
    indent: usize,
    /// The code before the sign that may stand under that of the line above, or all of it.
    head: String,
    /// The code from that sign on.
    tail: String,
    comment: Option<String>,
    /// Does an empty line stand before it?
    parted: bool,
    /// Does it end in the brace of a block that began on a line above?
    ends_block: bool,
    /// Columns in the source of that sign and of the comment.
    sign_column: Option<usize>,
    comment_column: Option<usize>,
}

/// An open bracket: the indent of its line and of what stands in it.
struct Open {
    home: usize,
    inside: usize,
    curly: bool,
    line: usize,
}

/// The text of the tokens on the lines on which they stand in the source.
///
/// In `prepared`, the text made ready for the grammar, a line end is one that ends a statement.
pub(super) fn layout(source: &str, prepared: &str, tokens: &[Token], gaps: &[bool]) -> String {
    let mut lines = Vec::new();
    let mut open = vec![Open { home: 0, inside: 0, curly: true, line: 0 }];
    let groups = by_line(source, tokens);
    for (n, range) in groups.iter().enumerate() {
        let mut line = read_line(source, tokens, gaps, range.clone());
        let goes_on = continues(prepared, tokens, &groups, n);
        line.indent = indent(&tokens[range.clone()], &open, goes_on, &lines);
        line.parted = n > 0 && parted(source, tokens, groups[n - 1].end - 1, range.start);
        line.ends_block = follow_brackets(&tokens[range.clone()], line.indent, n, &mut open);
        lines.push(line);
    }
    align_signs(&mut lines);
    with_comments(&lines)
}

/// Ranges of tokens on one line.
fn by_line(source: &str, tokens: &[Token]) -> Vec<std::ops::Range<usize>> {
    let mut out: Vec<std::ops::Range<usize>> = Vec::new();
    for k in 0..tokens.len() {
        let fresh = k == 0 || source[tokens[k - 1].end()..tokens[k].at].contains('\n');
        match out.last_mut() {
            Some(last) if !fresh => last.end = k + 1,
            _ => out.push(k..k + 1),
        }
    }
    out
}

fn column(source: &str, at: usize) -> usize {
    source[..at].chars().rev().take_while(|c| *c != '\n').count()
}

fn read_line(source: &str, tokens: &[Token], gaps: &[bool], range: std::ops::Range<usize>) -> Line {
    let mut line = Line::default();
    let mut depth = 0i32;
    for k in range.clone() {
        let token = &tokens[k];
        if token.kind == Kind::Comment {
            line.comment = Some(comment(token.text));
            line.comment_column = Some(column(source, token.at));
            continue;
        }
        let aligns = depth == 0 && line.sign_column.is_none() && (token.is("=") || token.is("~"));
        if aligns && k > range.start && !tokens[range.start].closes() {
            line.sign_column = Some(column(source, token.at));
        }
        let part = if line.sign_column.is_some() { &mut line.tail } else { &mut line.head };
        if gaps[k] && k > range.start && !part.is_empty() {
            part.push(' ');
        }
        part.push_str(token.text);
        depth += i32::from(token.opens()) - i32::from(token.closes());
    }
    line
}

/// `#word` becomes `# word`.
fn comment(text: &str) -> String {
    match text[1..].chars().next() {
        Some(c) if c.is_alphanumeric() => format!("# {}", &text[1..]),
        _ => text.to_string(),
    }
}

/// Does this line go on with a statement? A comment goes with the code below it.
fn continues(prepared: &str, tokens: &[Token], groups: &[std::ops::Range<usize>], n: usize) -> bool {
    let code = |g: &&std::ops::Range<usize>| tokens[g.start].kind != Kind::Comment;
    let (Some(last), Some(next)) = (groups[..n].iter().rev().find(code), groups[n..].iter().find(code)) else {
        return false;
    };
    let first = &tokens[next.start];
    // The gradient by hand of the function above.
    let backward = first.is("backward") && tokens.get(next.start + 2).is_some_and(|t| t.is("->"));
    let end = tokens[last.clone()].iter().rev().find(|t| t.kind != Kind::Comment).expect("the line has code").end();
    backward || !first.closes() && !prepared[end..first.at].contains('\n')
}

fn indent(tokens: &[Token], open: &[Open], goes_on: bool, lines: &[Line]) -> usize {
    let leading = tokens.iter().take_while(|t| t.closes()).count();
    if leading > 0 {
        return open[open.len() - leading.min(open.len() - 1)].home;
    }
    let around = open.last().expect("the file is always open");
    match lines.last() {
        // `else` on the line behind the brace that it goes with.
        Some(last) if tokens[0].is("else") && last.ends_block => around.inside,
        _ => around.inside + if goes_on && around.curly { STEP } else { 0 },
    }
}

/// Opens and closes the brackets of line `n`. Does it end in a brace that closes a block of a line above?
fn follow_brackets(tokens: &[Token], indent: usize, n: usize, open: &mut Vec<Open>) -> bool {
    let mut ends_block = false;
    for token in tokens.iter().filter(|t| t.kind != Kind::Comment) {
        ends_block = false;
        if token.opens() {
            open.push(Open { home: indent, inside: indent + STEP, curly: token.is("{"), line: n });
        } else if token.closes() && open.len() > 1 {
            ends_block = open.pop().is_some_and(|o| o.curly && o.line < n);
        }
    }
    ends_block
}

/// Is there an empty line between two tokens, and may it stay?
fn parted(source: &str, tokens: &[Token], before: usize, after: usize) -> bool {
    let between = &source[tokens[before].end()..tokens[after].at];
    let last = tokens[..=before].iter().rev().find(|t| t.kind != Kind::Comment);
    let opened = tokens[before].kind != Kind::Comment && last.is_some_and(|t| t.opens());
    between.matches('\n').count() > 1 && !opened && !tokens[after].closes()
}

/// Pads the code before signs that stood one under another, so that they do again.
fn align_signs(lines: &mut [Line]) {
    let mut start = 0;
    while start < lines.len() {
        let end =
            run(lines, start, |a, b| a.sign_column.is_some() && a.sign_column == b.sign_column && a.indent == b.indent);
        let width = lines[start..end].iter().map(|l| l.head.chars().count()).max().unwrap_or(0);
        for line in lines[start..end].iter_mut().filter(|l| l.sign_column.is_some()) {
            let missing = width - line.head.chars().count();
            line.head.push_str(&" ".repeat(missing + 1));
        }
        start = end;
    }
}

/// The end of the lines from `start` on that belong together, with no empty line between them.
fn run(lines: &[Line], start: usize, together: impl Fn(&Line, &Line) -> bool) -> usize {
    let mut end = start + 1;
    while end < lines.len() && !lines[end].parted && together(&lines[end - 1], &lines[end]) {
        end += 1;
    }
    end
}

impl Line {
    fn code_width(&self) -> usize {
        self.indent + self.head.chars().count() + self.tail.chars().count()
    }

    fn is_comment(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }
}

/// The text of all lines; comments behind code that stood one under another do so again.
fn with_comments(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut start = 0;
    while start < lines.len() {
        // A line that is only a comment goes with the comments behind code above it.
        let end = match lines[start].is_comment() {
            true => start + 1,
            false => run(lines, start, |a, b| {
                let under = !b.is_comment() || b.comment_column > Some(b.indent);
                a.comment_column.is_some() && a.comment_column == b.comment_column && under
            }),
        };
        let width = lines[start..end].iter().filter(|l| !l.is_comment()).map(Line::code_width).max().unwrap_or(0);
        for line in &lines[start..end] {
            push_line(&mut text, line, if lines[start].is_comment() { line.indent } else { width + 2 });
        }
        start = end;
    }
    text
}

fn push_line(text: &mut String, line: &Line, comment_at: usize) {
    if line.parted {
        text.push('\n');
    }
    let begin = text.len();
    if !line.is_comment() {
        text.push_str(&" ".repeat(line.indent));
        text.push_str(&line.head);
        text.push_str(&line.tail);
    }
    if let Some(comment) = &line.comment {
        let width = text[begin..].chars().count();
        text.push_str(&" ".repeat(comment_at - width));
        text.push_str(comment);
    }
    text.push('\n');
}
