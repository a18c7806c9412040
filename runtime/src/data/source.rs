//! One file, whatever its format: a table of text cells or an array of numbers.

use super::{Places, array::Array, table::Table};
use gannet_lang::diag::{Code, Diagnostic, Span};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is wrong with a file; the caller who knows the declaration adds its place.
#[derive(Debug)]
pub struct Fault {
    pub code: Code,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Fault { code, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the place of the declaration.
    pub fn at(self, span: Span) -> Diagnostic {
        let mut d = Diagnostic::error(self.code, span, self.message);
        d.hints.extend(self.hint);
        d
    }
}

/// A file's content.
#[derive(Debug)]
pub enum Source {
    Table(Table),
    Array(Array),
}

impl Source {
    /// Reads a file by its ending: `.csv`, `.tsv`, `.npy`, idx (`ubyte`, `idx`), each perhaps with `.gz`.
    pub fn read(path: &Path) -> Result<Source, Fault> {
        let shown = path.display().to_string();
        let bytes =
            std::fs::read(path).map_err(|e| Fault::new(Code::G0501, format!("`{shown}` cannot be read: {e}")))?;
        if bytes.is_empty() {
            return Err(Fault::new(Code::G0505, format!("`{shown}` is empty")));
        }
        let bytes = if bytes.starts_with(&[0x1f, 0x8b]) { unpack(&bytes, &shown)? } else { bytes };
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(&name).to_string();
        if name.ends_with(".csv") || name.ends_with(".tsv") || name.ends_with(".txt") {
            let separator = if name.ends_with(".tsv") { b'\t' } else { b',' };
            return Table::parse(&bytes, separator, shown).map(Source::Table);
        }
        if name.ends_with(".npy") {
            return Array::from_npy(&bytes, shown).map(Source::Array);
        }
        if name.contains("idx") || name.ends_with("ubyte") {
            return Array::from_idx(&bytes, shown).map(Source::Array);
        }
        Err(Fault::new(Code::G0501, format!("`{shown}` has no known format"))
            .hint("known are .csv, .tsv, .npy and idx files, each also with .gz"))
    }

    /// Its file, for messages.
    pub fn file(&self) -> &str {
        match self {
            Source::Table(t) => &t.file,
            Source::Array(a) => &a.file,
        }
    }

    /// An entry's place, for messages.
    pub fn place(&self, row: usize, entry: usize) -> String {
        match self {
            Source::Table(t) => format!("line {} of `{}`", t.line(row), t.file),
            Source::Array(a) => format!("row {row}, entry {entry} of `{}`", a.file),
        }
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        match self {
            Source::Table(t) => t.rows(),
            Source::Array(a) => a.rows(),
        }
    }
}

fn unpack(bytes: &[u8], shown: &str) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .read_to_end(&mut out)
        .map_err(|e| Fault::new(Code::G0501, format!("`{shown}` cannot be unpacked: {e}")))?;
    if out.is_empty() {
        return Err(Fault::new(Code::G0505, format!("`{shown}` is empty")));
    }
    Ok(out)
}

/// A data set's source: one file, or a folder of files, each read once.
pub struct Folder {
    root: PathBuf,
    files: Vec<(PathBuf, Source)>,
}

impl Folder {
    /// Finds the source.
    pub fn open(name: &str, places: &Places) -> Result<Folder, Fault> {
        let root = places.find(name).ok_or_else(|| {
            let looked: Vec<String> = std::iter::once(&places.model)
                .chain(&places.further)
                .map(|p| format!("`{}`", p.join(name).display()))
                .collect();
            Fault::new(Code::G0501, format!("there is no `{name}`"))
                .hint(format!("looked for {}; set GANNET_DATA to the folder that holds the data", looked.join(" and ")))
        })?;
        Ok(Folder { root, files: Vec::new() })
    }

    /// The source itself (`None`), or a file of its folder.
    pub fn get(&mut self, file: Option<&str>) -> Result<&Source, Fault> {
        let path = match file {
            Some(file) if self.root.is_dir() => self.root.join(file),
            Some(file) => self.root.with_file_name(file),
            None if self.root.is_dir() => {
                return Err(Fault::new(Code::G0501, format!("`{}` is a folder", self.root.display()))
                    .hint("name a file of it: `file \"name.npy\"`"));
            }
            None => self.root.clone(),
        };
        if let Some(k) = self.files.iter().position(|(p, _)| *p == path) {
            return Ok(&self.files[k].1);
        }
        let source = super::open_source(&path)?;
        self.files.push((path, source));
        Ok(&self.files.last().expect("just pushed").1)
    }
}
