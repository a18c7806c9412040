//! Words, numbers and signs of a line of Graph text.
//! Law: it borrows the line; nothing in it panics on any text.

/// A token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'t> {
    /// Letters, digits, `_`, and inside also `.` and `@`: names, numbers, axes.
    Word(&'t str),
    /// Between quotes, as written.
    Quoted(&'t str),
    /// One sign.
    Sign(char),
}

/// The tokens of a line, and the comment behind `#`.
pub fn scan(line: &str) -> Result<(Vec<Token<'_>>, Option<&str>), String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '#' => return Ok((tokens, Some(rest[1..].trim()))),
            '"' => {
                let end = quoted_end(rest).ok_or("a quote is not closed")?;
                tokens.push(Token::Quoted(&rest[1..end]));
                end + 1
            }
            _ if is_word(c) => {
                let end = word_end(rest);
                tokens.push(Token::Word(&rest[..end]));
                end
            }
            _ => {
                tokens.push(Token::Sign(c));
                c.len_utf8()
            }
        };
        rest = rest[len..].trim_start();
    }
    Ok((tokens, None))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '@')
}

/// The end of a word; a number may hold an exponent's sign.
fn word_end(text: &str) -> usize {
    let number = text.starts_with(|c: char| c.is_ascii_digit());
    let mut last = ' ';
    for (k, c) in text.char_indices() {
        let exponent = number && c == '-' && last == 'e';
        if !is_word(c) && !exponent {
            return k;
        }
        last = c;
    }
    text.len()
}

/// Where the closing quote stands.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (k, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return Some(k),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// A quoted text without its escapes.
pub fn unquote(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            _ => out.push(c),
        }
    }
    out
}
