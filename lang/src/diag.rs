//! Diagnostics: what is wrong, where, and a way out.
//! Law: every mistake a user can make ends here, with a code, a place and, where one can be named, a fix.

use std::fmt;

/// A file in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileId(pub u32);

/// A range of bytes in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span that covers both (of the same file).
    pub fn to(self, end: Span) -> Span {
        Span { file: self.file, start: self.start.min(end.start), end: self.end.max(end.end) }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, but look.
    Warning,
}

/// A place with a remark.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be seen there; lower case, no full stop.
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Its code, with a page in the book.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The place it is about; `None` for findings about a whole file or the command line.
    pub span: Option<Span>,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// What stands at `span`, and other places that matter.
    pub labels: Vec<Label>,
    /// Ways out, each one sentence.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: Code, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        let span = span.into();
        Diagnostic {
            code,
            severity: Severity::Error,
            span,
            message: message.into(),
            labels: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Adds a remark at a place.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a way out.
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }
}

/// Several findings; never empty when returned as an error.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Diagnostics(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for d in &self.0 {
            writeln!(f, "[{:?}] {}", d.code, d.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The sources of one compilation; spans point into them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<(String, String)>,
}

impl Sources {
    /// Adds a file's text under the name shown in diagnostics.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.files.push((name.into(), text.into()));
        FileId(self.files.len() as u32 - 1)
    }

    /// A file's text.
    pub fn text(&self, id: FileId) -> &str {
        &self.files[id.0 as usize].1
    }

    /// A file's name.
    pub fn name(&self, id: FileId) -> &str {
        &self.files[id.0 as usize].0
    }

    /// All files in the order they were added.
    pub fn ids(&self) -> impl Iterator<Item = FileId> {
        (0..self.files.len() as u32).map(FileId)
    }

    /// Line and column (from 1, in characters) of a span's start.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let before = &self.text(span.file)[..span.start as usize];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// The error table: one line a code, with its title. The page of the book has the rest.
macro_rules! codes {
    ($($code:ident $title:literal,)*) => {
        /// Codes of diagnostics. G00xx syntax, G01xx names, G02xx shapes and types, G03xx calls and statics,
        /// G04xx rules and training, G05xx data, G06xx running, G07xx the command line, G08xx traps that
        /// `gannet lint` finds.
        #[allow(missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($code,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$code,)*];

            /// A short title, the heading of the code's page.
            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title,)* }
            }
        }
    };
}

codes! {
    G0001 "the text does not follow the grammar",
    G0002 "a bracket or brace is not closed",
    G0003 "a number cannot be read",
    G0004 "a sign of another language",
    G0005 "a word of another language",
    G0006 "brackets or operators nest too deep",
    G0007 "a text has no end",
    G0008 "a value that nothing uses",
    G0009 "a range is written with two points",
    G0101 "unknown name",
    G0102 "a name is defined twice",
    G0103 "a definition needs itself",
    G0104 "an index variable is bound nowhere",
    G0105 "unknown field",
    G0106 "unknown module or import",
    G0107 "a primed name outside a rule, loop or state",
    G0108 "a name of another library",
    G0109 "a distribution is no value",
    G0201 "dims do not fit together",
    G0202 "a dim has two sizes",
    G0203 "a product contracts different dims",
    G0204 "a tensor has one dim twice here",
    G0205 "an element type does not fit",
    G0206 "a read may fall outside its dim",
    G0207 "wrong number of indices",
    G0208 "not a scalar",
    G0209 "a declared type is not met",
    G0210 "a dim is not part of the tensor",
    G0211 "the dim of an index variable is unknown",
    G0212 "axes have names, not numbers",
    G0213 "values have no methods",
    G0301 "wrong arguments",
    G0302 "not a function",
    G0303 "a static argument is needed",
    G0304 "this value has no gradient to take",
    G0305 "a tuple has another length",
    G0306 "not supported yet",
    G0307 "an unknown argument",
    G0308 "an argument is given twice",
    G0309 "an argument is missing",
    G0310 "an axis function needs its dim",
    G0311 "`else` without a read",
    G0312 "a guard without a reduction",
    G0313 "columns outside a data block",
    G0401 "nothing to train",
    G0402 "not a rule",
    G0403 "a state has no next value",
    G0404 "a train block lacks a line",
    G0405 "unknown role",
    G0406 "a rule cannot be used here",
    G0407 "not a domain of a parameter",
    G0501 "a data file cannot be read",
    G0502 "a data file has the wrong shape",
    G0503 "a value in a data file is out of range",
    G0504 "a data file holds NaN or an infinity",
    G0505 "a data file is empty",
    G0506 "the batch is larger than the data",
    G0507 "a value in a data file cannot be read",
    G0601 "a value stopped being finite",
    G0602 "the output cannot be written",
    G0603 "an open dim has no size",
    G0604 "the run was interrupted",
    G0605 "not enough memory",
    G0606 "an operation has no result",
    G0607 "a function of the embedding program is missing",
    G0608 "a device is missing",
    G0609 "a device cannot run this",
    G0701 "unknown option value",
    G0702 "unknown program in a file",
    G0703 "unknown code",
    G0801 "a parameter gets no gradient",
    G0802 "a softmax over the batch",
    G0803 "a singular point under a gradient",
    G0804 "a bias that a normalization takes away",
    G0805 "a bias or scale decays",
    G0806 "reports on training data only",
    G0807 "an equation that nothing uses",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
