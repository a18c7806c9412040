//! Layout: the text made ready for the grammar, byte for byte of the same length.
//! Law: only comments, odd blanks and line ends that end no statement are replaced, all by blanks, so every
//! place in the result is the same place in the source.
//!
//! The same walk finds what the grammar cannot say well: brackets that do not close, numbers that cannot be
//! read, texts without an end, and nesting too deep to follow.

use crate::diag::{Code, Diagnostic, FileId, Span};

/// Brackets open at one place. Reading, checking and dropping a tree need stack in proportion to its depth.
const MAX_BRACKETS: usize = 100;
/// Operators and brackets on the path to one place, which bounds the depth of the tree of an expression.
const MAX_OPERATORS: usize = 400;

/// Words after which a statement goes on.
const CONTINUE_AFTER: [&str; 8] = ["and", "or", "not", "div", "mod", "if", "then", "else"];
/// Words that begin no statement: their line goes on with the one before.
const CONTINUE_BEFORE: [&str; 2] = ["then", "else"];
/// The prepared text, or what stands in its way.
pub(super) fn layout(file: FileId, text: &str) -> Result<String, Vec<Diagnostic>> {
    Scanner::new(file, text).run()
}

/// Can `c` stand in a name?
pub(crate) fn is_name_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric() && (c.is_ascii() || c.is_alphabetic())
}

/// An open bracket.
struct Open {
    bracket: char,
    at: usize,
    /// Operators since the last comma or statement end.
    operators: usize,
}

struct Scanner<'s> {
    file: FileId,
    text: &'s str,
    at: usize,
    out: Vec<u8>,
    /// Open brackets; the first entry is the file itself.
    open: Vec<Open>,
    /// Did the last token leave the statement unfinished?
    unfinished: bool,
    /// Line ends that separate statements unless the next line begins with a word that begins none.
    pending: Vec<usize>,
    /// Where the last token began.
    token_start: usize,
    errors: Vec<Diagnostic>,
}

impl<'s> Scanner<'s> {
    fn new(file: FileId, text: &'s str) -> Self {
        let open = vec![Open { bracket: '\0', at: 0, operators: 0 }];
        let out = text.as_bytes().to_vec();
        Scanner {
            file,
            text,
            at: 0,
            out,
            open,
            unfinished: false,
            pending: Vec::new(),
            token_start: 0,
            errors: Vec::new(),
        }
    }

    fn run(mut self) -> Result<String, Vec<Diagnostic>> {
        while let Some(c) = self.peek() {
            self.token(c);
            if self.too_deep() {
                return Err(self.errors);
            }
        }
        self.close_all();
        if self.errors.is_empty() {
            // Whole characters were replaced by ASCII blanks.
            Ok(String::from_utf8(self.out).expect("layout replaces whole characters"))
        } else {
            Err(self.errors)
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    /// Reads one token or blank.
    fn token(&mut self, c: char) {
        match c {
            '\n' => return self.line_end(),
            '#' => return self.comment(),
            c if c.is_whitespace() || c == '\u{feff}' => return self.blank(self.at + c.len_utf8()),
            _ => self.begin_token(),
        }
        match c {
            '"' => self.quoted(),
            '(' | '[' | '{' => self.open_bracket(c),
            ')' | ']' | '}' => self.close_bracket(c),
            c if c.is_ascii_digit() => self.number(),
            c if is_name_char(c) => self.word(),
            c => self.sign(c),
        }
    }

    /// Replaces everything up to `end` by blanks.
    fn blank(&mut self, end: usize) {
        self.out[self.at..end].fill(b' ');
        self.at = end;
    }

    fn comment(&mut self) {
        let end = self.text[self.at..].find('\n').map_or(self.text.len(), |n| self.at + n);
        self.blank(end);
    }

    fn line_end(&mut self) {
        let in_brackets = self.open.last().is_some_and(|o| matches!(o.bracket, '(' | '['));
        if in_brackets || self.unfinished {
            self.blank(self.at + 1);
        } else {
            self.pending.push(self.at);
            self.at += 1;
        }
    }

    /// Decides about the line ends before the token that begins here.
    fn begin_token(&mut self) {
        self.token_start = self.at;
        if self.pending.is_empty() {
            return;
        }
        let rest = &self.text[self.at..];
        let word = &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())];
        if CONTINUE_BEFORE.contains(&word) || rest.starts_with("|>") {
            self.pending.iter().for_each(|&at| self.out[at] = b' ');
        } else {
            self.open.last_mut().expect("the file is always open").operators = 0;
        }
        self.pending.clear();
    }

    fn quoted(&mut self) {
        let start = self.at;
        let rest = &self.text[start + 1..];
        match rest.find(['"', '\n']) {
            Some(n) if rest[n..].starts_with('"') => self.at += n + 2,
            end => {
                self.at = end.map_or(self.text.len(), |n| start + 1 + n);
                let d = Diagnostic::error(Code::G0007, self.span(start, self.at), "the text has no end")
                    .label(self.span(start, start + 1), "opened here")
                    .hint("end it with `\"` on the same line");
                self.errors.push(d);
            }
        }
        self.unfinished = false;
    }

    fn open_bracket(&mut self, c: char) {
        self.count();
        self.open.push(Open { bracket: c, at: self.at, operators: 0 });
        self.at += 1;
        self.unfinished = false;
    }

    fn close_bracket(&mut self, c: char) {
        let at = self.at;
        self.at += 1;
        self.unfinished = false;
        let opener = opener_of(c);
        if self.open.len() > 1 && self.open.last().is_some_and(|o| o.bracket == opener) {
            self.open.pop();
        } else if self.open.iter().any(|o| o.bracket == opener) {
            // What was opened inside and never closed is the mistake, not this bracket.
            while let Some(inner) = self.open.pop_if(|o| o.bracket != opener) {
                self.unclosed(inner, Some(at));
            }
            self.open.pop();
        } else {
            let d = Diagnostic::error(Code::G0002, self.span(at, at + 1), format!("`{c}` closes nothing"))
                .label(self.span(at, at + 1), format!("there is no open `{opener}`"));
            self.errors.push(d);
        }
    }

    fn unclosed(&mut self, open: Open, met: Option<usize>) {
        let (bracket, close) = (open.bracket, closer_of(open.bracket));
        let mut d =
            Diagnostic::error(Code::G0002, self.span(open.at, open.at + 1), format!("`{bracket}` is not closed"))
                .label(self.span(open.at, open.at + 1), "opened here");
        if let Some(at) = met {
            d = d.label(self.span(at, at + 1), format!("`{close}` should come before this"));
        }
        self.errors.push(d.hint(format!("add `{close}`")));
    }

    fn close_all(&mut self) {
        while let Some(open) = self.open.pop_if(|o| o.bracket != '\0') {
            self.unclosed(open, None);
        }
        self.errors.sort_by_key(|e| e.span);
    }

    fn word(&mut self) {
        let start = self.at;
        let rest = &self.text[start..];
        let word = &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())];
        self.at += word.len();
        self.unfinished = CONTINUE_AFTER.contains(&word);
        if self.unfinished {
            self.count();
        }
    }

    /// Reads a number as the grammar does and looks at what follows it.
    fn number(&mut self) {
        let start = self.at;
        let end = start + number_length(&self.text[start..]);
        self.at = end;
        self.unfinished = false;
        let tail = &self.text[end..];
        let rest = tail.find(|c| !is_name_char(c)).unwrap_or(tail.len());
        let lone_point = tail.starts_with('.') && !tail.starts_with("..") && !tail[1..].starts_with(is_name_char);
        let number = &self.text[start..end];
        if rest > 0 {
            self.at += rest;
            self.bad_number(start, spelling_hint(number, &tail[..rest]));
        } else if lone_point {
            self.at += 1;
            self.bad_number(start, format!("write `{number}.0` or `{number}`"));
        } else if tail.starts_with('.') && tail[1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.at += 1 + number_length(&tail[1..]);
            self.bad_number(start, "a number has one decimal point".into());
        } else if number.parse::<f64>().is_ok_and(f64::is_infinite) {
            self.bad_number(start, "the largest number is about 1.8e308; `inf` is infinity".into());
        }
    }

    fn bad_number(&mut self, start: usize, hint: String) {
        let written = &self.text[start..self.at];
        let d = Diagnostic::error(Code::G0003, self.span(start, self.at), format!("`{written}` is not a number"))
            .label(self.span(start, self.at), "cannot be read")
            .hint(hint);
        self.errors.push(d);
    }

    /// Reads an operator or a sign of punctuation.
    fn sign(&mut self, c: char) {
        let before = self.text[..self.at].chars().next_back();
        let after = self.text[self.at + c.len_utf8()..].chars().next();
        if c == '.' && after.is_some_and(|a| a.is_ascii_digit()) && !before.is_some_and(|b| b == '.' || is_name_char(b))
        {
            let start = self.at;
            self.at += 1 + number_length(&self.text[start + 1..]);
            self.bad_number(start, format!("write `0{}`", &self.text[start..self.at]));
            return;
        }
        self.at += c.len_utf8();
        self.unfinished = !matches!(c, '.' | '%' | '\'' | '′' | '²' | '³' | '∞' | ';');
        match c {
            ',' | ';' => self.open.last_mut().expect("the file is always open").operators = 0,
            _ => self.count(),
        }
    }

    fn count(&mut self) {
        self.open.last_mut().expect("the file is always open").operators += 1;
    }

    fn too_deep(&mut self) -> bool {
        let place = self.span(self.token_start, self.at);
        if self.open.len() > MAX_BRACKETS {
            let d = Diagnostic::error(Code::G0006, place, format!("more than {MAX_BRACKETS} brackets are open here"));
            self.errors.push(d.hint("give names to the inner parts and use the names"));
            return true;
        }
        if self.open.last().is_some_and(|o| o.operators > MAX_OPERATORS / 2)
            && self.open.iter().map(|o| o.operators).sum::<usize>() > MAX_OPERATORS
        {
            let d =
                Diagnostic::error(Code::G0006, place, format!("more than {MAX_OPERATORS} operators in one expression"));
            self.errors.push(d.hint("give names to parts of it and use the names"));
            return true;
        }
        false
    }
}

/// The length of the number at the start of `text`.
pub(crate) fn number_length(text: &str) -> usize {
    let digits = |s: &str| s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    let mut n = digits(text);
    if text[n..].starts_with('.') && digits(&text[n + 1..]) > 0 {
        n += 1 + digits(&text[n + 1..]);
    }
    if text[n..].starts_with(['e', 'E']) {
        let sign = usize::from(text[n + 1..].starts_with(['+', '-']));
        let exponent = digits(&text[n + 1 + sign..]);
        if exponent > 0 {
            n += 1 + sign + exponent;
        }
    }
    n
}

/// What was meant by a number with letters behind it.
fn spelling_hint(number: &str, tail: &str) -> String {
    if tail.starts_with('_') {
        "write the digits without `_`".into()
    } else if matches!(tail, "e" | "E") {
        format!("an exponent needs digits, as in `{number}e-3`")
    } else {
        format!("a product is written `{number}*{tail}`; a name begins with a letter")
    }
}

fn opener_of(close: char) -> char {
    match close {
        ')' => '(',
        ']' => '[',
        _ => '{',
    }
}

fn closer_of(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}
