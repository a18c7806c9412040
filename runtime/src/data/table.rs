//! Tables of text cells: CSV and TSV, with or without a header line.

use super::source::Fault;
use gannet_lang::diag::Code;

/// A parsed table.
#[derive(Debug)]
pub struct Table {
    /// For messages.
    pub file: String,
    header: Option<Vec<String>>,
    cells: Vec<String>,
    width: usize,
}

impl Table {
    /// Parses; a first line in which no cell is a number is the header.
    pub fn parse(bytes: &[u8], separator: u8, file: String) -> Result<Table, Fault> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let (mut header, mut cells, mut width) = (None, Vec::new(), 0);
        for (line, record) in reader.records().enumerate() {
            let record = record.map_err(|e| Fault::new(Code::G0501, format!("`{file}` cannot be read: {e}")))?;
            if record.len() == 1 && record[0].is_empty() {
                continue;
            }
            if line == 0 {
                width = record.len();
                if record.iter().all(|c| c.parse::<f64>().is_err()) {
                    header = Some(record.iter().map(str::to_string).collect());
                    continue;
                }
            }
            if record.len() != width {
                let message = format!("line {} of `{file}` has {} columns, line 1 has {width}", line + 1, record.len());
                return Err(Fault::new(Code::G0502, message));
            }
            cells.extend(record.iter().map(str::to_string));
        }
        if cells.is_empty() {
            return Err(Fault::new(Code::G0505, format!("`{file}` has no rows")));
        }
        Ok(Table { file, header, cells, width })
    }

    /// Rows below the header.
    pub fn rows(&self) -> usize {
        self.cells.len() / self.width
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The line in the file of a row.
    pub fn line(&self, row: usize) -> usize {
        row + 1 + usize::from(self.header.is_some())
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Result<usize, Fault> {
        let header = self.header.as_ref().ok_or_else(|| {
            Fault::new(Code::G0502, format!("`{}` has no header line, so no column `{name}`", self.file))
                .hint("give the column's number: `column 0`")
        })?;
        header.iter().position(|h| h == name).ok_or_else(|| {
            Fault::new(Code::G0502, format!("`{}` has no column `{name}`", self.file))
                .hint(format!("its columns are {}", header.join(", ")))
        })
    }

    /// A column as it is written.
    pub fn texts(&self, column: usize) -> Vec<String> {
        self.cells.iter().skip(column).step_by(self.width).cloned().collect()
    }

    /// A table of these columns.
    pub fn of_columns(file: String, header: Vec<String>, columns: Vec<Vec<String>>) -> Result<Table, Fault> {
        let (width, rows) = (columns.len(), columns.first().map_or(0, Vec::len));
        if rows == 0 {
            return Err(Fault::new(Code::G0505, format!("`{file}` has no rows")));
        }
        let cells = (0..rows).flat_map(|r| columns.iter().map(move |c| c[r].clone())).collect();
        Ok(Table { file, header: Some(header), cells, width })
    }

    /// A cell as a number.
    pub fn number(&self, row: usize, column: usize) -> Result<f64, Fault> {
        let cell = &self.cells[row * self.width + column];
        cell.parse::<f64>().map_err(|_| {
            let place = format!("line {}, column {column} of `{}`", self.line(row), self.file);
            let what = if cell.is_empty() { "no value".to_string() } else { format!("`{cell}`, not a number") };
            let fault = Fault::new(Code::G0507, format!("{place} holds {what}"));
            if cell.is_empty() {
                fault
            } else {
                fault.hint("a column of names is `category(column 0)`, an index of a dim")
            }
        })
    }
}
