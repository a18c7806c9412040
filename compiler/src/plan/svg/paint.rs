//! A small writer of SVG: boxes, texts and lines.
//! Law: whatever the names are, what is written is well formed.

use std::fmt::Write;

/// How wide a letter is, as a part of the font's size: the wider of the common fonts, so that nothing runs over.
const LETTER: f64 = 0.61;

/// Where elements are written.
#[derive(Default)]
pub struct Canvas {
    /// What was written.
    pub text: String,
}

/// Where a text begins.
#[derive(Clone, Copy, PartialEq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub struct Font {
    pub size: f64,
    pub colour: &'static str,
    pub bold: bool,
    pub anchor: Anchor,
}

impl Font {
    /// Plain.
    pub const fn new(size: f64, colour: &'static str) -> Font {
        Font { size, colour, bold: false, anchor: Anchor::Start }
    }

    /// Bold.
    pub const fn bold(self) -> Font {
        Font { bold: true, ..self }
    }

    /// Elsewhere than from the start.
    pub const fn at(self, anchor: Anchor) -> Font {
        Font { anchor, ..self }
    }

    /// How many letters fit.
    pub fn letters(&self, width: f64) -> usize {
        (width / (self.size * LETTER)).max(1.0) as usize
    }

    /// How much room a text takes.
    pub fn width(&self, text: &str) -> f64 {
        let letter = |c: char| if matches!(c, '%' | 'm' | 'w' | 'M' | 'W' | '@') { 1.5 } else { 1.0 };
        text.chars().map(letter).sum::<f64>() * self.size * LETTER
    }
}

/// A box.
#[derive(Clone, Copy, Default)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

impl Canvas {
    /// A filled box with rounded corners.
    pub fn rect(&mut self, r: Rect, radius: f64, fill: &str, stroke: Option<&str>) {
        let stroke = stroke.map(|s| format!(" stroke=\"{s}\"")).unwrap_or_default();
        let [x, y, w, h, r] = [r.x, r.y, r.w, r.h, radius].map(number);
        let rounded = if r == "0" { String::new() } else { format!(" rx=\"{r}\"") };
        self.line(format_args!(r#"<rect x="{x}" y="{y}" width="{w}" height="{h}"{rounded} fill="{fill}"{stroke}/>"#));
    }

    /// A text; `y` is its base line.
    pub fn words(&mut self, x: f64, y: f64, font: Font, words: &str) {
        let mut style = String::new();
        match font.anchor {
            Anchor::Start => {}
            Anchor::Middle => style.push_str(" text-anchor=\"middle\""),
            Anchor::End => style.push_str(" text-anchor=\"end\""),
        }
        if font.bold {
            style.push_str(" font-weight=\"bold\"");
        }
        let ([x, y, size], colour, words) = ([x, y, font.size].map(number), font.colour, escape(words));
        self.line(format_args!(r#"<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{style}>{words}</text>"#));
    }

    /// A line along a path.
    pub fn path(&mut self, d: &str, stroke: &str, width: f64) {
        let width = number(width);
        self.line(format_args!(r#"<path d="{d}" fill="none" stroke="{stroke}" stroke-width="{width}"/>"#));
    }

    /// A filled path.
    pub fn filled(&mut self, d: &str, fill: &str) {
        self.line(format_args!(r#"<path d="{d}" fill="{fill}"/>"#));
    }

    /// What belongs together, somewhere, with what a pointer on it is told.
    pub fn group(&mut self, x: f64, y: f64, title: &str, inside: impl FnOnce(&mut Canvas)) {
        let at = if (x, y) == (0.0, 0.0) {
            String::new()
        } else {
            format!(" transform=\"translate({} {})\"", number(x), number(y))
        };
        self.line(format_args!("<g{at}>"));
        if !title.is_empty() {
            self.line(format_args!("<title>{}</title>", escape(title)));
        }
        inside(self);
        self.line(format_args!("</g>"));
    }

    /// A line of the file.
    pub fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.text, "{line}").expect("writing to a string");
    }
}

/// With one decimal at most.
pub fn number(x: f64) -> String {
    format!("{}", (x * 10.0).round() / 10.0 + 0.0)
}

/// So that the text means itself in XML. Characters that XML cannot hold become blanks.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// At most so many letters.
pub fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_string();
    }
    let start: String = text.chars().take(letters.saturating_sub(1)).collect();
    format!("{}…", start.trim_end_matches([' ', ',']))
}

#[cfg(test)]
mod tests {
    use super::{cut, escape, number};

    #[test]
    fn texts_are_escaped_and_cut() {
        assert_eq!(escape("a<b & \"c\" > d\u{1}e"), "a&lt;b &amp; &quot;c&quot; &gt; d e");
        assert_eq!(cut("contraction", 11), "contraction");
        assert_eq!(cut("loss, mul%3", 6), "loss…");
        assert_eq!([-0.04, 12.0, 3.26].map(number), ["0", "12", "3.3"].map(String::from));
    }
}
