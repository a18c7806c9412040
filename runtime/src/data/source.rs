//! One file, whatever its format: a table of text cells or an array of numbers.

use super::{Places, array::Array, table::Table};
use gannet_lang::diag::{Code, Diagnostic, Span};
use gannet_lang::program::DimId;
use std::collections::BTreeMap;
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
    /// Reads a file by its ending: `.csv`, `.tsv`, `.npy`, idx (`ubyte`, `idx`), each perhaps with `.gz`; `.parquet`.
    pub fn read(path: &Path) -> Result<Source, Fault> {
        let shown = path.display().to_string();
        let bytes = bytes_of(path)?;
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
        if name.ends_with(".parquet") {
            return super::parquet::table(bytes, shown).map(Source::Table);
        }
        Err(Fault::new(Code::G0501, format!("`{shown}` has no known format")).hint(
            "known are .csv, .tsv, .npy and idx files, each also with .gz, .npz and .parquet; images, text and categories have words of their own: `images(\"*.png\")`, `characters()`, `category(column 4)`",
        ))
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

/// A file's content, unpacked if it is compressed.
pub fn bytes_of(path: &Path) -> Result<Vec<u8>, Fault> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| Fault::new(Code::G0501, format!("`{shown}` cannot be read: {e}")))?;
    if bytes.is_empty() {
        return Err(Fault::new(Code::G0505, format!("`{shown}` is empty")));
    }
    if bytes.starts_with(&[0x1f, 0x8b]) { unpack(&bytes, &shown) } else { Ok(bytes) }
}

/// An array of a NumPy archive; its name may lack the ending, and an archive of one array needs none.
fn member(path: &Path, name: Option<&str>) -> Result<Array, Fault> {
    let shown = path.display().to_string();
    let bad = |e: &dyn std::fmt::Display| {
        Fault::new(Code::G0501, format!("`{shown}` is no npz file: {e}"))
            .hint("it is damaged or cut off: save it again with `numpy.savez`")
    };
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes_of(path)?)).map_err(|e| bad(&e))?;
    let names: Vec<String> = archive.file_names().map(|n| n.trim_end_matches(".npy").to_string()).collect();
    let wanted = match (name, &names[..]) {
        (Some(name), _) => name.trim_end_matches(".npy"),
        (None, [one]) => one,
        (None, _) => {
            let message = format!("`{shown}` holds {} arrays", names.len());
            return Err(Fault::new(Code::G0501, message).hint(format!("name one: {}", names.join(", "))));
        }
    };
    let Some(k) = names.iter().position(|n| n == wanted) else {
        let message = format!("`{shown}` has no array `{wanted}`");
        let held = if names.is_empty() { "nothing".to_string() } else { names.join(", ") };
        return Err(Fault::new(Code::G0501, message).hint(format!("it holds {held}")));
    };
    let mut bytes = Vec::new();
    // The size that the archive claims is not believed: the bytes grow as they are unpacked, and their sum is checked.
    archive.by_index(k).map_err(|e| bad(&e))?.read_to_end(&mut bytes).map_err(|e| bad(&e))?;
    let member = format!("{shown}/{wanted}");
    if bytes.is_empty() {
        return Err(Fault::new(Code::G0505, format!("`{member}` is empty")));
    }
    Array::from_npy(&bytes, member)
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
    /// The names that indices of a dim stand for, sorted, where a text or a column of text was read.
    pub alphabets: BTreeMap<DimId, Vec<String>>,
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
        Ok(Folder { root, files: Vec::new(), alphabets: BTreeMap::new() })
    }

    /// The source itself (`None`), or a file of its folder.
    pub fn get(&mut self, file: Option<&str>) -> Result<&Source, Fault> {
        let path = self.path(file, "`file \"name.npy\"`")?;
        if let Some(k) = self.files.iter().position(|(p, _)| *p == path) {
            return Ok(&self.files[k].1);
        }
        let source = match path.parent().filter(|p| is_archive(p)) {
            Some(archive) => Source::Array(member(archive, file.map(|f| f.rsplit('/').next().unwrap_or(f)))?),
            None if is_archive(&path) => Source::Array(member(&path, None)?),
            None => Source::read(&path)?,
        };
        self.files.push((path, source));
        Ok(&self.files.last().expect("just pushed").1)
    }

    /// The place of the source itself, or of a file of its folder.
    fn path(&self, file: Option<&str>, example: &str) -> Result<PathBuf, Fault> {
        match file {
            Some(file) if self.root.is_dir() || is_archive(&self.root) => Ok(self.root.join(file)),
            Some(file) => Ok(self.root.with_file_name(file)),
            None if self.root.is_dir() => {
                let d = Fault::new(Code::G0501, format!("`{}` is a folder", self.root.display()));
                Err(d.hint(format!("name a file of it: {example}")))
            }
            None => Ok(self.root.clone()),
        }
    }

    /// The text of the source itself, or of a file of its folder, with its name for messages.
    pub fn text(&self, file: Option<&str>) -> Result<(Vec<u8>, String), Fault> {
        let path = self.path(file, "`characters(file \"name.txt\")`")?;
        Ok((bytes_of(&path)?, path.display().to_string()))
    }

    /// The files of the folder that a pattern fits, sorted by their paths: `*` stands for any part of a name.
    pub fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, Fault> {
        let root = glob::Pattern::escape(&self.root.to_string_lossy());
        let bad = |e: &dyn std::fmt::Display| {
            Fault::new(Code::G0501, format!("`{pattern}` is no pattern of file names: {e}"))
        };
        let found = glob::glob(&format!("{root}/{pattern}")).map_err(|e| bad(&e))?;
        let mut files = found.collect::<Result<Vec<PathBuf>, _>>().map_err(|e| bad(&e))?;
        files.retain(|p| p.is_file());
        files.sort();
        if files.is_empty() {
            let message = format!("`{}` has no files `{pattern}`", self.root.display());
            return Err(Fault::new(Code::G0501, message).hint("`*` stands for any part of a name: `\"*/*.png\"`"));
        }
        Ok(files)
    }
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "npz") && !path.is_dir()
}
