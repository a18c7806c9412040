//! Text to [`ast`]: layout, grammar, tree.
//! Law: the grammar file is the only place that says what can be written; nothing here resolves a name.

mod error;
mod expr;
mod item;
mod layout;
mod loops;
pub(crate) mod marks;
mod name;
mod stmt;

use pest::Parser;
use pest::iterators::Pair;

use crate::ast;
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Sources, Span};

/// The parser that pest generates from the grammar.
#[derive(pest_derive::Parser)]
#[grammar = "grammar.pest"]
struct Grammar;

pub(crate) use layout::{is_name_char, number_length};
pub(crate) use name::ascii;

type Node<'i> = Pair<'i, Rule>;

/// Errors of syntax reported in one run.
const MAX_ERRORS: usize = 8;

/// Reads one file.
///
/// # Errors
/// Every syntax error that could be told apart, in the order of the text: G0001 (the grammar), G0002
/// (brackets), G0003 (numbers), and G0306 for what the language will have but this version lacks.
pub fn parse(sources: &Sources, file: FileId) -> Result<ast::File, Diagnostics> {
    let source = sources.text(file);
    let text = layout::layout(file, source).map_err(Diagnostics)?;
    match Grammar::parse(Rule::file, &text) {
        Ok(mut pairs) => {
            let mut builder = Builder { file, source, errors: Vec::new() };
            let tree = builder.file(pairs.next().expect("a file is one pair"));
            if builder.errors.is_empty() {
                return Ok(tree);
            }
            builder.errors.sort_by_key(|e| e.span);
            Err(Diagnostics(builder.errors))
        }
        Err(first) => Err(Diagnostics(all_errors(file, source, text, first))),
    }
}

/// Blanks the statement with the error and reads again, until nothing is wrong.
fn all_errors(file: FileId, source: &str, mut text: String, first: pest::error::Error<Rule>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut next = Some(first);
    while let Some(e) = next {
        let at = error::position(&e);
        errors.push(error::diagnostic(file, source, &text, &e));
        let statement = error::statement_around(&text, at);
        if errors.len() == MAX_ERRORS || text[statement.clone()].trim().is_empty() {
            break;
        }
        let blanks = " ".repeat(statement.len());
        text.replace_range(statement, &blanks);
        next = Grammar::parse(Rule::file, &text).err();
    }
    errors.sort_by_key(|e| e.span);
    errors
}

/// Builds the tree from pest's pairs, and collects what the grammar lets through but the language does not.
struct Builder<'s> {
    file: FileId,
    source: &'s str,
    errors: Vec<Diagnostic>,
}

impl Builder<'_> {
    /// Where a pair stands, without the blanks that pest reads behind it.
    fn span(&self, node: &Node) -> Span {
        let span = node.as_span();
        let end = span.start() + span.as_str().trim_end().len();
        Span { file: self.file, start: span.start() as u32, end: end as u32 }
    }

    fn error(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.push(Diagnostic::error(Code::G0001, span, message).label(span, "here").hint(hint));
    }

    /// G0008: a value that nothing uses.
    fn unused(&mut self, span: Span, message: &str, hint: &str) {
        self.errors.push(Diagnostic::error(Code::G0008, span, message).label(span, "here").hint(hint));
    }

    fn unsupported(&mut self, span: Span, what: impl std::fmt::Display) {
        let d = Diagnostic::error(Code::G0306, span, format!("{what} cannot be compiled yet"));
        self.errors.push(d.label(span, "part of the language, but not of this version"));
    }

    /// The comment lines directly above a declaration.
    fn doc(&self, span: Span) -> String {
        let above = &self.source[..span.start as usize];
        let above = &above[..above.rfind('\n').map_or(0, |n| n + 1)];
        let comment = |line: &str| line.trim_start().strip_prefix('#').map(|l| l.trim().to_string());
        let mut lines: Vec<String> = above.lines().rev().map_while(comment).collect();
        lines.reverse();
        lines.join("\n")
    }
}

/// The children of a pair, taken by what they are.
struct Parts<'i>(Vec<Option<Node<'i>>>);

impl<'i> Parts<'i> {
    fn of(node: Node<'i>) -> Self {
        Parts(node.into_inner().map(Some).collect())
    }

    /// The first child of this kind that was not taken yet.
    fn take(&mut self, rule: Rule) -> Option<Node<'i>> {
        self.0.iter_mut().find(|child| child.as_ref().is_some_and(|c| c.as_rule() == rule))?.take()
    }

    /// A child that the grammar demands.
    fn need(&mut self, rule: Rule) -> Node<'i> {
        self.take(rule).unwrap_or_else(|| panic!("the grammar demands a {rule:?} here"))
    }

    /// All other children of this kind, in order.
    fn all(&mut self, rule: Rule) -> Vec<Node<'i>> {
        std::iter::from_fn(|| self.take(rule)).collect()
    }

    fn has(&self, rule: Rule) -> bool {
        self.0.iter().flatten().any(|child| child.as_rule() == rule)
    }

    /// All other children but brackets, words and signs.
    fn rest(self) -> impl Iterator<Item = Node<'i>> {
        self.0.into_iter().flatten().filter(|child| !is_punctuation(child.as_rule()))
    }
}

/// Signs that close or part things and carry nothing.
fn is_punctuation(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::open_brace | Rule::close_brace | Rule::close_paren | Rule::close_index | Rule::semicolon | Rule::EOI
    )
}

#[cfg(test)]
mod tests;
