//! A data set that is one whole without rows: a graph, with fields over its nodes and edges.
//! Law: the sizes of all dims are found before any value is checked against them.

use super::edges::{List, Maker};
use super::field::{Context, Values, check_width, eval, leaf, leaves};
use super::source::{Fault, Folder, Source};
use super::{Column, Dataset, Sizes};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{Data, Dim, Field, FieldExpr};

/// Numbers as they stand in a file.
pub struct Raw {
    /// Sizes of the axes; those of a sparse array are its listed indices' reach.
    pub shape: Vec<usize>,
    /// Row-major; of a sparse array the values that are listed.
    pub values: Vec<f64>,
    /// Of a sparse array the indices of the values, `[n, rank]`.
    indices: Option<Vec<usize>>,
    file: String,
    /// The line of the first row of a table, and its first column.
    table: Option<(usize, usize)>,
}

impl Raw {
    /// The file, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The place of an entry, for messages.
    pub fn place(&self, k: usize) -> String {
        let width: usize = self.shape.iter().skip(1).product::<usize>().max(1);
        match self.table {
            Some((line, column)) => {
                format!("line {}, column {} of `{}`", line + k / width, column + k % width, self.file)
            }
            None => format!("row {}, entry {} of `{}`", k / width, k % width, self.file),
        }
    }
}

/// Reads what a field's expression reads.
pub fn raw(leaf: &FieldExpr, folder: &mut Folder) -> Result<Raw, Fault> {
    if let FieldExpr::Sparse(indices, values) = leaf {
        return sparse(indices, values.as_deref(), folder);
    }
    let file = match leaf {
        FieldExpr::File(name) => Some(name.as_str()),
        FieldExpr::Images(_) | FieldExpr::Folders(_) | FieldExpr::Symbols { .. } | FieldExpr::Category(_) => {
            let message = "images, text and categories are read as rows, and data with edges have none";
            return Err(Fault::new(Code::G0502, message).hint("save them as an array: `file \"x.npy\"`"));
        }
        _ => None,
    };
    let source = folder.get(file)?;
    let width = match source {
        Source::Table(t) => t.width(),
        Source::Array(a) => a.width(),
    };
    let (from, to, flat) = match (leaf, source) {
        (FieldExpr::Columns(from, to), _) => (*from, *to, false),
        (FieldExpr::Column(c), _) => (*c, *c + 1, true),
        (FieldExpr::Named(name), Source::Table(t)) => {
            let c = t.column(name)?;
            (c, c + 1, true)
        }
        (FieldExpr::Named(name), Source::Array(a)) => {
            return Err(Fault::new(Code::G0502, format!("`{}` is an array and has no column `{name}`", a.file)));
        }
        _ => (0, width, false),
    };
    check_width(to, width, source.file())?;
    let rows = source.rows();
    let mut values = Vec::with_capacity(rows * (to - from));
    for row in 0..rows {
        for column in from..to {
            values.push(match source {
                Source::Table(t) => t.number(row, column)?,
                Source::Array(a) => a.get(row * width + column),
            });
        }
    }
    let shape = match source {
        Source::Array(a) if from == 0 && to == width => a.shape.clone(),
        _ if flat => vec![rows],
        _ => vec![rows, to - from],
    };
    let table = if let Source::Table(t) = source { Some((t.line(0), from)) } else { None };
    Ok(Raw { shape, values, indices: None, file: source.file().to_string(), table })
}

/// Zeros but for listed entries.
fn sparse(indices: &str, values: Option<&str>, folder: &mut Folder) -> Result<Raw, Fault> {
    let list = raw(&FieldExpr::File(indices.to_string()), folder)?;
    let [count, rank] = list.shape[..] else {
        let message = format!(
            "`{}` has the shape {:?}; the indices of a sparse array are `[entries, dims]`",
            list.file, list.shape
        );
        return Err(Fault::new(Code::G0502, message));
    };
    if let Some(k) = list.values.iter().position(|x| *x < 0.0 || x.fract() != 0.0) {
        let message = format!("{} is {}, no index", list.place(k), list.values[k]);
        return Err(Fault::new(Code::G0503, message).hint("indices are whole numbers from 0"));
    }
    let found: Vec<usize> = list.values.iter().map(|x| *x as usize).collect();
    let reach = |axis: usize| found.iter().skip(axis).step_by(rank).max().map_or(0, |m| m + 1);
    let shape = (0..rank).map(reach).collect();
    let values = match values {
        None => vec![1.0; count],
        Some(name) => {
            let read = raw(&FieldExpr::File(name.to_string()), folder)?;
            if read.values.len() != count {
                let message =
                    format!("`{}` lists {count} entries, `{}` has {} values", list.file, read.file, read.values.len());
                return Err(Fault::new(Code::G0502, message));
            }
            read.values
        }
    };
    Ok(Raw { shape, values, indices: Some(found), file: list.file, table: None })
}

/// Loads a data set without rows.
///
/// # Errors
/// As [`super::load`].
pub fn load(
    data: &Data,
    dims: &[Dim],
    folder: &mut Folder,
    sizes: &mut Sizes,
    double: bool,
) -> Result<Dataset, Diagnostic> {
    let mut raws: Vec<Option<Raw>> = Vec::new();
    for field in data.read() {
        raws.push(read(field, folder)?);
    }
    // Listed entries reach only so far: whole arrays say more about the sizes.
    for wanted in [false, true] {
        for (field, raw) in data.read().zip(&raws) {
            if let Some(raw) = raw
                && raw.indices.is_some() == wanted
            {
                bind(field, raw, dims, sizes).map_err(|e| e.at(field.span))?;
            }
        }
    }
    let lists = Maker { data, dims, raws: &raws, folder, sizes }.lists()?;
    let mut columns = Vec::new();
    for (field, raw) in data.read().zip(&raws) {
        let context = Context { field, dims, double };
        let values = match (&field.value, raw) {
            (FieldExpr::End(set, end), _) => Values::I32(List::end(&lists[*set], *end).to_vec()),
            (FieldExpr::Arrivals(set, what), _) => Values::I32(lists[*set].arrivals(*what).to_vec()),
            (value, Some(raw)) => values(&context, value, raw, sizes).map_err(|e| e.at(field.span))?,
            (_, None) => unreachable!("a field is read or an end of edges"),
        };
        columns.push(Column { name: field.name.clone(), elem: field.elem, width: values.len(), values });
    }
    Ok(Dataset { name: data.name.clone(), rows: 1, columns, splits: vec![("train".to_string(), vec![0])] })
}

/// The numbers that a field reads; those of edges come later.
fn read(field: &Field, folder: &mut Folder) -> Result<Option<Raw>, Diagnostic> {
    if let FieldExpr::End(..) | FieldExpr::Arrivals(..) = field.value {
        return Ok(None);
    }
    let one = leaf(&field.value).filter(|_| leaves(&field.value) == 1);
    let one = one.ok_or_else(|| {
        let message = format!("field `{}` reads {} sources, one is needed", field.name, leaves(&field.value));
        Diagnostic::error(Code::G0502, field.span, message).hint(
            "a field is made of one column, range of columns or file; combine fields in a definition: `sum = a + b`",
        )
    })?;
    raw(one, folder).map(Some).map_err(|e| e.at(field.span))
}

/// Holds the shape against the field's dims; open ones get their sizes from it.
fn bind(field: &Field, raw: &Raw, dims: &[Dim], sizes: &mut Sizes) -> Result<(), Fault> {
    let wrong = |sizes: &Sizes| {
        let each = field.dims.iter().map(|d| {
            let size = sizes.get(*d).map(|n| format!(" = {n}")).unwrap_or_default();
            format!("{}{size}", dims[d.index()].name)
        });
        let names = each.collect::<Vec<_>>().join(", ");
        let message = format!(
            "field `{}` is declared over [{names}], but `{}` has the shape {:?}",
            field.name, raw.file, raw.shape
        );
        Err(Fault::new(Code::G0502, message).hint("change the dims or what is read"))
    };
    // One dim takes a column as well as a flat array.
    let shape: Vec<usize> = match raw.shape[..] {
        [n, 1] if field.dims.len() == 1 => vec![n],
        _ => raw.shape.clone(),
    };
    if shape.len() != field.dims.len() {
        return wrong(sizes);
    }
    for (dim, n) in field.dims.iter().zip(shape) {
        match sizes.get(*dim) {
            Some(known) if known == n as u64 || (raw.indices.is_some() && n as u64 <= known) => {}
            None => sizes.set(*dim, n as u64),
            Some(_) => return wrong(sizes),
        }
    }
    Ok(())
}

fn values(context: &Context, value: &FieldExpr, raw: &Raw, sizes: &Sizes) -> Result<Values, Fault> {
    let of = |d: &gannet_lang::program::DimId| sizes.get(*d).expect("bound above") as usize;
    let shape: Vec<usize> = context.field.dims.iter().map(of).collect();
    let total: usize = shape.iter().product();
    let mut out = Values::with_capacity(context.field.elem, context.double, total);
    match &raw.indices {
        None => {
            for (k, x) in raw.values.iter().enumerate() {
                let x = eval(value, *x);
                context.holds(x, sizes, &|| raw.place(k))?;
                out.push(x);
            }
        }
        Some(indices) => {
            let mut dense = vec![0.0; total];
            for (at, x) in indices.chunks_exact(shape.len()).zip(&raw.values) {
                dense[at.iter().zip(&shape).fold(0, |k, (i, n)| k * n + i)] = *x;
            }
            for (k, x) in dense.into_iter().enumerate() {
                let x = eval(value, x);
                context.holds(x, sizes, &|| format!("entry {k} of `{}`", raw.file))?;
                out.push(x);
            }
        }
    }
    Ok(out)
}
