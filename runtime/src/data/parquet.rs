//! Parquet files as tables: columns by name, flat ones only.
//! Law: the reader of others ends some damaged files in a panic; here that is a finding like any other.

use super::source::Fault;
use super::table::Table;
use gannet_lang::diag::Code;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::cell::Cell;
use std::panic;
use std::sync::Once;

/// Reads a file.
pub fn table(bytes: Vec<u8>, file: String) -> Result<Table, Fault> {
    quietly(|| read(bytes, &file)).unwrap_or_else(|| Err(bad(&file, &"its pages do not fit together")))
}

fn bad(file: &str, e: &dyn std::fmt::Display) -> Fault {
    Fault::new(Code::G0501, format!("`{file}` is no Parquet file: {e}"))
        .hint("it is damaged or cut off: write it again, plain or packed by Snappy")
}

/// Truth values become 0 and 1, a value that is missing an empty cell.
fn read(bytes: Vec<u8>, file: &str) -> Result<Table, Fault> {
    let bad = |e: &dyn std::fmt::Display| bad(file, e);
    let size = bytes.len() as u64;
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(|e| bad(&e))?;
    if !columns_lie_inside(reader.metadata(), size) {
        return Err(bad(&"a column is said to lie outside the file"));
    }
    let schema = reader.metadata().file_metadata().schema();
    let header: Vec<String> = schema.get_fields().iter().map(|f| f.name().to_string()).collect();
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); header.len()];
    for row in reader.get_row_iter(None).map_err(|e| bad(&e))? {
        let row = row.map_err(|e| bad(&e))?;
        for (column, (name, value)) in columns.iter_mut().zip(row.get_column_iter()) {
            column.push(cell(value).ok_or_else(|| {
                let message = format!("the column `{name}` of `{file}` is nested");
                Fault::new(Code::G0502, message).hint("only columns of numbers, truth values and text are read")
            })?);
        }
    }
    Table::of_columns(file.to_string(), header, columns)
}

fn cell(value: &Field) -> Option<String> {
    Some(match value {
        Field::Null => String::new(),
        Field::Bool(b) => u8::from(*b).to_string(),
        Field::Str(s) => s.clone(),
        Field::Bytes(b) => String::from_utf8_lossy(b.data()).into_owned(),
        Field::Float(x) => f64::from(*x).to_string(),
        Field::Double(x) => x.to_string(),
        Field::Float16(x) => f64::from(*x).to_string(),
        Field::Date(d) => d.to_string(),
        Field::TimeMillis(t) => t.to_string(),
        Field::TimeMicros(t) | Field::TimestampMillis(t) | Field::TimestampMicros(t) => t.to_string(),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => return None,
        number => number.to_string(),
    })
}

/// Are the columns where the file has bytes? The reader takes that for granted.
fn columns_lie_inside(metadata: &ParquetMetaData, size: u64) -> bool {
    let inside = |start: i64, length: i64| {
        let end = u64::try_from(start).ok().zip(u64::try_from(length).ok()).and_then(|(s, l)| s.checked_add(l));
        end.is_some_and(|end| end <= size)
    };
    metadata.row_groups().iter().flat_map(|g| g.columns()).all(|c| {
        let start = c.dictionary_page_offset().unwrap_or(c.data_page_offset());
        inside(start, c.compressed_size()) && inside(c.data_page_offset(), 0) && c.num_values() >= 0
    })
}

thread_local! {
    /// Is what panics on this thread caught and told as a finding?
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// The result, or nothing where it panics; nothing is printed then.
fn quietly<T>(f: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(panic::AssertUnwindSafe(f));
    QUIET.set(false);
    result.ok()
}
