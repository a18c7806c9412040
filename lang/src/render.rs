//! Diagnostics as text with the source lines, and as plain records for machines.
//! Law: what is printed depends on the diagnostics and the sources alone, not on the terminal.

use codespan_reporting::diagnostic as shown;
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term::{self, Config};

use crate::diag::{Diagnostic, Diagnostics, FileId, Severity, Sources, Span};

/// All diagnostics as text, each with its code, its source lines and its ways out.
/// `colored` adds ANSI escapes.
pub fn render(sources: &Sources, diagnostics: &Diagnostics, colored: bool) -> String {
    let mut files = SimpleFiles::new();
    for id in sources.ids() {
        files.add(sources.name(id), sources.text(id));
    }
    diagnostics.0.iter().map(|d| render_one(sources, &files, d, colored)).collect()
}

fn render_one(sources: &Sources, files: &SimpleFiles<&str, &str>, d: &Diagnostic, colored: bool) -> String {
    let shown = translate(sources, d);
    let config = Config::default();
    let rendered = if colored {
        let mut buffer = term::termcolor::Ansi::new(Vec::new());
        let styles = term::Styles::default();
        let mut writer = term::StylesWriter::new(&mut buffer, &styles);
        term::emit_to_write_style(&mut writer, &config, files, &shown)
            .map(|()| String::from_utf8_lossy(buffer.get_ref()).into_owned())
    } else {
        term::emit_into_string(&config, files, &shown)
    };
    // Every span lies in its file (see `translate`), and a string takes any text: nothing is left to go wrong.
    rendered.expect("a diagnostic over known files can be rendered")
}

/// The form of codespan-reporting.
fn translate(sources: &Sources, d: &Diagnostic) -> shown::Diagnostic<usize> {
    let severity = match d.severity {
        Severity::Error => shown::Severity::Error,
        Severity::Warning => shown::Severity::Warning,
    };
    let mut labels: Vec<shown::Label<usize>> = Vec::new();
    if let Some(span) = d.span.filter(|span| d.labels.iter().all(|label| label.span != *span)) {
        labels.push(shown::Label::primary(span.file.0 as usize, range(sources, span)));
    }
    for label in &d.labels {
        let style = if Some(label.span) == d.span { shown::LabelStyle::Primary } else { shown::LabelStyle::Secondary };
        let (file, range) = (label.span.file.0 as usize, range(sources, label.span));
        labels.push(shown::Label::new(style, file, range).with_message(&label.text));
    }
    let notes = d.hints.iter().map(|hint| format!("help: {hint}")).collect();
    shown::Diagnostic::new(severity).with_code(d.code).with_message(&d.message).with_labels(labels).with_notes(notes)
}

/// A span as a range inside its text, at character boundaries.
fn range(sources: &Sources, span: Span) -> std::ops::Range<usize> {
    let text = sources.text(span.file);
    let start = text.floor_char_boundary(span.start as usize);
    start..text.ceil_char_boundary(span.end as usize).max(start)
}

/// A diagnostic for machines: numbers and texts only, ready for JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// `G0203`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// One sentence.
    pub message: String,
    /// Where; `None` for findings about no place in a source.
    pub place: Option<Place>,
    /// Remarks at places.
    pub labels: Vec<(Place, String)>,
    /// Ways out.
    pub hints: Vec<String>,
}

/// A range in a source, with lines and columns from 1, columns in characters, the end exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name as given.
    pub file: String,
    /// The first line.
    pub line: usize,
    /// The first column.
    pub column: usize,
    /// The last line.
    pub end_line: usize,
    /// The column behind the last character.
    pub end_column: usize,
}

impl Place {
    /// The place of a span.
    pub fn of(sources: &Sources, span: Span) -> Place {
        let range = range(sources, span);
        let at = |byte: usize| sources.position(Span { file: span.file, start: byte as u32, end: byte as u32 });
        let ((line, column), (end_line, end_column)) = (at(range.start), at(range.end));
        Place { file: name(sources, span.file), line, column, end_line, end_column }
    }
}

fn name(sources: &Sources, file: FileId) -> String {
    sources.name(file).to_string()
}

/// A diagnostic as a record.
pub fn record(sources: &Sources, d: &Diagnostic) -> Record {
    Record {
        code: d.code.to_string(),
        severity: match d.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: d.message.clone(),
        place: d.span.map(|span| Place::of(sources, span)),
        labels: d.labels.iter().map(|label| (Place::of(sources, label.span), label.text.clone())).collect(),
        hints: d.hints.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    /// Two files, a warning, labels at two places, one of them over two lines, hints, and a finding without a place.
    fn example() -> (Sources, Diagnostics) {
        let mut sources = Sources::default();
        let a = sources.add("a.gnt", "y = λ*x @ w\nz = f(\n  1)\n");
        let b = sources.add("b.gnt", "dim in = 3\n");
        let span = |file, start, end| Span { file, start, end };
        let first = Diagnostic::error(Code::G0203, span(a, 4, 12), "a product contracts `in` with `out`")
            .label(span(a, 4, 12), "the last dim of the left side is `in`")
            .label(span(b, 4, 6), "declared here")
            .hint("transpose one side")
            .hint("or use index notation");
        let mut second = Diagnostic::error(Code::G0302, span(a, 17, 24), "`f` is not a function");
        second.severity = Severity::Warning;
        let third = Diagnostic::error(Code::G0702, None, "no program `x` in this file").hint("it has: `y`");
        // Spans of broken files must not break the message as well.
        let fourth = Diagnostic::error(Code::G0001, span(a, 5, 900), "beyond the end");
        (sources, Diagnostics(vec![first, second, third, fourth]))
    }

    #[test]
    fn text() {
        let (sources, diagnostics) = example();
        insta::assert_snapshot!(render(&sources, &diagnostics, false));
    }

    #[test]
    fn colors_change_nothing_else() {
        let (sources, diagnostics) = example();
        let colored = render(&sources, &diagnostics, true);
        let mut plain = String::new();
        let mut escaped = false;
        for c in colored.chars() {
            match c {
                '\u{1b}' => escaped = true,
                'm' if escaped => escaped = false,
                c if !escaped => plain.push(c),
                _ => {}
            }
        }
        assert_ne!(colored, plain);
        assert_eq!(plain, render(&sources, &diagnostics, false));
    }

    #[test]
    fn records() {
        let (sources, diagnostics) = example();
        let records: Vec<Record> = diagnostics.0.iter().map(|d| record(&sources, d)).collect();
        let place = |file: &str, line, column, end_line, end_column| Place {
            file: file.into(),
            line,
            column,
            end_line,
            end_column,
        };
        assert_eq!(records[0].place, Some(place("a.gnt", 1, 5, 1, 12)));
        assert_eq!(records[0].labels[1], (place("b.gnt", 1, 5, 1, 7), "declared here".to_string()));
        assert_eq!(records[1].place, Some(place("a.gnt", 2, 5, 3, 5)));
        assert_eq!((records[1].severity, records[2].place.clone()), ("warning", None));
        assert_eq!(records[2].hints, ["it has: `y`"]);
    }
}
