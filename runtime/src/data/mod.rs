//! Data sets: from files to arrays of rows, checked against the declared fields.
//! Law: a value that a program reads is in range and finite; whatever is not is named with file, row and column.

mod array;
mod drawn;
mod edges;
mod field;
mod images;
mod made;
mod parquet;
mod source;
mod table;
mod whole;

pub use field::Values;
pub(crate) use field::eval_of;

use crate::session::Options;
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{Data, Dim, DimId, Elem, FieldExpr, Size, Split, Unit};
use source::Folder;
use std::path::{Path, PathBuf};

/// Sizes of dims, as far as they are known.
#[derive(Clone, Debug)]
pub struct Sizes(Vec<Option<u64>>);

impl Sizes {
    /// Those that the program fixes.
    pub fn of(dims: &[Dim]) -> Self {
        Sizes(dims.iter().map(|d| if let Size::Fixed(n) = d.size { Some(n) } else { None }).collect())
    }

    /// The size of a dim, if it is known.
    pub fn get(&self, dim: DimId) -> Option<u64> {
        self.0.get(dim.index()).copied().flatten()
    }

    /// Sets the size of a dim.
    pub fn set(&mut self, dim: DimId, size: u64) {
        if dim.index() >= self.0.len() {
            self.0.resize(dim.index() + 1, None);
        }
        self.0[dim.index()] = Some(size);
    }
}

/// Where data files are looked for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The folder of the model file.
    pub model: PathBuf,
    /// Further folders, in order (`GANNET_DATA`).
    pub further: Vec<PathBuf>,
}

impl Places {
    /// The folder of a model file, then those of the environment variable `GANNET_DATA`.
    pub fn of(model: &Path) -> Self {
        let model = model.parent().map(Path::to_path_buf).unwrap_or_default();
        let further = std::env::var_os("GANNET_DATA").map(|v| std::env::split_paths(&v).collect()).unwrap_or_default();
        Places { model, further }
    }

    /// The first place where `name` exists.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let places = std::iter::once(&self.model).chain(&self.further);
        places.map(|p| p.join(name)).find(|p| p.exists())
    }
}

/// A field's values for all rows.
#[derive(Clone, Debug)]
pub struct Column {
    /// The field's name.
    pub name: String,
    /// Of one entry.
    pub elem: Elem,
    /// Entries in a row.
    pub width: usize,
    /// Row-major.
    pub values: Values,
}

/// A loaded data set.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Rows of all splits together.
    pub rows: usize,
    /// One for each declared field.
    pub columns: Vec<Column>,
    /// The rows of each split; `train` is what no other split has, and comes first.
    pub splits: Vec<(String, Vec<u32>)>,
}

impl Dataset {
    /// The rows of a split.
    pub fn split(&self, name: &str) -> Option<&[u32]> {
        self.splits.iter().find(|(n, _)| n == name).map(|(_, rows)| rows.as_slice())
    }

    /// The rows that are trained on.
    pub fn train(&self) -> &[u32] {
        &self.splits[0].1
    }

    /// Sets the splits: `train` is what no part takes.
    fn divide(&mut self, taken: &[bool], others: Vec<(String, Vec<u32>)>) {
        let train = (0..taken.len() as u32).filter(|r| !taken[*r as usize]).collect();
        self.splits.push(("train".to_string(), train));
        self.splits.extend(others);
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|c| c.values.bytes()).sum()
    }
}

/// Splits are drawn with this seed, not with the run's: runs with other seeds are compared on the same rows.
const SPLIT_SEED: u64 = 0x5EED;

/// The data set of a unit: read, computed, or both; open dims of its fields get their sizes from the files.
///
/// # Errors
/// Files that are missing, empty, of another shape or hold values that do not fit, with file, row and column; an open dim
/// without a size; a computed value that is not finite; edges whose twins the unit reads and that have
/// none; targets that no edge reaches where the unit samples them.
pub fn of_unit(
    data: &Data,
    unit: &Unit,
    dims: &[Dim],
    places: &Places,
    sizes: &mut Sizes,
    options: &Options,
) -> Result<Dataset, Diagnostic> {
    let set = match (&data.source, &data.drawn) {
        (None, Some(drawn)) => synthetic(data, drawn, options)?,
        (_, None) => load(data, dims, places, sizes, options.double)?,
        (Some(_), Some(computing)) => {
            let set = load(data, dims, places, sizes, options.double)?;
            drawn::compute(data, computing, set, sizes, options)?
        }
    };
    edges::have_twins(data, unit, &set)?;
    edges::have_arrivals(data, unit, &set)?;
    Ok(set)
}

/// Reads a data set.
fn load(data: &Data, dims: &[Dim], places: &Places, sizes: &mut Sizes, double: bool) -> Result<Dataset, Diagnostic> {
    let source = data
        .source
        .as_deref()
        .ok_or_else(|| Diagnostic::error(Code::G0501, data.span, format!("the data `{}` name no file", data.name)))?;
    let mut folder = Folder::open(source, places).map_err(|e| e.at(data.span))?;
    if data.whole {
        return whole::load(data, dims, &mut folder, sizes, double);
    }
    let mut columns = Vec::new();
    for field in data.read() {
        let context = field::Context { field, dims, double };
        columns.push(context.load(&field.value, &mut folder, sizes)?);
    }
    let rows = common_rows(data, &columns)?;
    let mut set = Dataset { name: data.name.clone(), rows, columns, splits: Vec::new() };
    let (taken, mut others) = parts(data, rows);
    for split in &data.splits {
        if let Split::From { name, fields } = split {
            let range = append(&mut set, data, dims, fields, &mut folder, sizes, double)?;
            others.push((name.clone(), range.collect()));
        }
    }
    set.divide(&taken, others);
    Ok(set)
}

/// Rows that splits by parts take, and these splits, in the order of the text.
fn parts(data: &Data, rows: usize) -> (Vec<bool>, Vec<(String, Vec<u32>)>) {
    let mut taken = vec![false; rows];
    let mut others = Vec::new();
    for (k, split) in data.splits.iter().enumerate() {
        if let Split::Part { name, part } = split {
            let chosen = draw_part(&taken, *part, SPLIT_SEED + k as u64);
            chosen.iter().for_each(|r| taken[*r as usize] = true);
            others.push((name.clone(), chosen));
        }
    }
    (taken, others)
}

/// Draws a synthetic data set and its splits.
fn synthetic(data: &Data, unit: &Unit, options: &Options) -> Result<Dataset, Diagnostic> {
    let mut set = drawn::draw(data, unit, options)?;
    let (taken, others) = parts(data, set.rows);
    set.divide(&taken, others);
    Ok(set)
}

fn common_rows(data: &Data, columns: &[Column]) -> Result<usize, Diagnostic> {
    let rows = |c: &Column| c.values.len() / c.width.max(1);
    let first = columns.first().map(rows).unwrap_or(0);
    for (column, field) in columns.iter().zip(&data.fields) {
        if rows(column) != first {
            let message =
                format!("field `{}` has {} rows, field `{}` has {first}", column.name, rows(column), columns[0].name);
            return Err(Diagnostic::error(Code::G0502, field.span, message)
                .label(data.fields[0].span, format!("{first} rows here"))
                .hint("every field of a data set has one entry a row"));
        }
    }
    Ok(first)
}

fn append(
    set: &mut Dataset,
    data: &Data,
    dims: &[Dim],
    fields: &[FieldExpr],
    folder: &mut Folder,
    sizes: &mut Sizes,
    double: bool,
) -> Result<std::ops::Range<u32>, Diagnostic> {
    let mut more = Vec::new();
    for (field, value) in data.read().zip(fields) {
        let context = field::Context { field, dims, double };
        more.push(context.load(value, folder, sizes)?);
    }
    let added = common_rows(data, &more)?;
    let start = set.rows as u32;
    for (column, extra) in set.columns.iter_mut().zip(more) {
        column.values.extend(extra.values);
    }
    set.rows += added;
    Ok(start..set.rows as u32)
}

/// A part of the rows that are not taken, in random order.
fn draw_part(taken: &[bool], part: f64, seed: u64) -> Vec<u32> {
    let mut free: Vec<u32> = (0..taken.len() as u32).filter(|r| !taken[*r as usize]).collect();
    crate::shuffle::shuffle(&mut free, seed, 0);
    let count = (taken.len() as f64 * part).round() as usize;
    free.truncate(count);
    free.sort_unstable();
    free
}
