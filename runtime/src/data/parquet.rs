//! Parquet files as tables: columns by name, flat ones only.

use super::source::Fault;
use super::table::Table;
use gannet_lang::diag::Code;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

/// Reads a file; truth values become 0 and 1, a value that is missing an empty cell.
pub fn table(bytes: Vec<u8>, file: String) -> Result<Table, Fault> {
    let bad = |e: &dyn std::fmt::Display| Fault::new(Code::G0501, format!("`{file}` is no Parquet file: {e}"));
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(|e| bad(&e))?;
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
    Table::of_columns(file, header, columns)
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
