//! Fields that no file stores as they are: pixels of a folder's images, the folders they lie in, symbols of a text,
//! categories of a column.
//! Law: symbols and categories are numbered in their sorted order, and all fields of a data set that hold indices of one dim
//! share one numbering.

use super::array::{Array, Numbers};
use super::source::{Fault, Folder, Source};
use super::{Sizes, images};
use gannet_lang::diag::Code;
use gannet_lang::program::{Dim, DimId, Elem, Field, FieldExpr};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What makes a field.
pub struct Maker<'a> {
    pub field: &'a Field,
    pub dims: &'a [Dim],
    pub folder: &'a mut Folder,
    pub sizes: &'a mut Sizes,
}

impl Maker<'_> {
    /// The array that a leaf stands for, if it is one of these.
    pub fn make(&mut self, leaf: &FieldExpr) -> Result<Option<Source>, Fault> {
        let array = match leaf {
            FieldExpr::Images(pattern) => self.images(pattern)?,
            FieldExpr::Folders(pattern) => self.folders(pattern)?,
            FieldExpr::Symbols { file, bytes, every } => self.symbols(file.as_deref(), *bytes, *every)?,
            FieldExpr::Category(column) => self.categories(column)?,
            _ => return Ok(None),
        };
        Ok(Some(Source::Array(array)))
    }

    /// Pixels as the files have them, 0 to 255; one row an image, in the order of their paths.
    fn images(&mut self, pattern: &str) -> Result<Array, Fault> {
        let files = self.folder.matching(pattern)?;
        images::read(&files, pattern, (self.field, self.dims), self.sizes)
    }

    /// For each file the number of the folder that it lies in.
    fn folders(&mut self, pattern: &str) -> Result<Array, Fault> {
        let files = self.folder.matching(pattern)?;
        let name = |p: &Path| p.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
        let names: Vec<String> = files.iter().map(|p| name(p).unwrap_or_default()).collect();
        self.numbered(names, pattern, "folder")
    }

    /// Text cells of a column.
    fn categories(&mut self, column: &FieldExpr) -> Result<Array, Fault> {
        let source = self.folder.get(None)?;
        let Source::Table(table) = source else {
            let message = format!("`{}` is an array and has no categories", source.file());
            return Err(Fault::new(Code::G0502, message).hint("`category` reads a column of a table"));
        };
        let column = match column {
            FieldExpr::Named(name) => table.column(name)?,
            FieldExpr::Column(c) => *c,
            _ => unreachable!("checked in the language"),
        };
        super::field::check_width(column + 1, table.width(), &table.file)?;
        let (cells, file) = (table.texts(column), table.file.clone());
        self.numbered(cells, &file, "category")
    }

    /// Windows of a text, each `every` symbols behind the one before.
    fn symbols(&mut self, file: Option<&str>, bytes: bool, every: Option<usize>) -> Result<Array, Fault> {
        let (text, shown) = self.folder.text(file)?;
        let width = self.field.dims.iter().map(|d| self.sizes.get(*d)).product::<Option<u64>>();
        let Some(width) = width.map(|w| w as usize).filter(|w| *w > 0) else {
            let message = format!("the windows of `{}` have no size", self.field.name);
            return Err(Fault::new(Code::G0603, message).hint("give the dim of a window its size: `dim time = 64`"));
        };
        let symbols: Vec<u32> = if bytes {
            if let Elem::Index(dim) = self.field.elem
                && self.sizes.get(dim).is_none()
            {
                self.sizes.set(dim, 256);
            }
            text.iter().map(|b| u32::from(*b)).collect()
        } else {
            let decoded = String::from_utf8(text).map_err(|e| {
                let message = format!("`{shown}` is no UTF-8 text (byte {})", e.utf8_error().valid_up_to());
                Fault::new(Code::G0501, message).hint("read it as `bytes()`")
            })?;
            let dim = self.index_dim("character")?;
            let all: BTreeSet<char> = decoded.chars().collect();
            let known = self.known(dim, all.into_iter().map(String::from).collect(), &shown, "character")?;
            let numbers = BTreeMap::from_iter(known.iter().enumerate().map(|(k, c)| (c.as_str(), k as u32)));
            let mut buffer = [0; 4];
            decoded.chars().map(|c| numbers[&*c.encode_utf8(&mut buffer)]).collect()
        };
        let step = every.unwrap_or(width);
        let rows = if symbols.len() < width { 0 } else { (symbols.len() - width) / step + 1 };
        if rows == 0 {
            let message = format!("`{shown}` has {} symbols, a window of `{}` {width}", symbols.len(), self.field.name);
            return Err(Fault::new(Code::G0502, message).hint("take shorter windows, or a longer text"));
        }
        let windows = (0..rows).flat_map(|r| symbols[r * step..r * step + width].iter().copied());
        let numbers = match symbols.iter().all(|s| *s <= u32::from(u8::MAX)) {
            true => Numbers::U8(windows.map(|s| s as u8).collect()),
            // A number of a character is below 2^21, and so exact.
            false => Numbers::F32(windows.map(|s| s as f32).collect()),
        };
        Array::new(shown, vec![rows, width], numbers)
    }

    /// Names as numbers.
    fn numbered(&mut self, names: Vec<String>, file: &str, what: &str) -> Result<Array, Fault> {
        let dim = self.index_dim(what)?;
        let all: BTreeSet<String> = names.iter().cloned().collect();
        let known = self.known(dim, all.into_iter().collect(), file, what)?;
        let number = |name: &String| known.binary_search(name).expect("all names are known") as f64;
        Array::new(file.to_string(), vec![names.len()], Numbers::F64(names.iter().map(number).collect()))
    }

    fn index_dim(&self, what: &str) -> Result<DimId, Fault> {
        if let Elem::Index(dim) = self.field.elem {
            return Ok(dim);
        }
        let message = format!("the field `{}` reads a {what}, which is an index", self.field.name);
        Err(Fault::new(Code::G0502, message).hint("declare a dim for it, `dim kind`, and the field as `kind`"))
    }

    /// The numbering of a dim, which has all of these names; an open dim gets as many entries as there are.
    fn known(&mut self, dim: DimId, names: Vec<String>, file: &str, what: &str) -> Result<Vec<String>, Fault> {
        if let Some(known) = self.folder.alphabets.get(&dim) {
            let Some(other) = names.iter().find(|n| known.binary_search(n).is_err()) else { return Ok(known.clone()) };
            let message = format!("`{file}` holds the {what} {other:?}, which the field that was read first does not");
            return Err(Fault::new(Code::G0503, message).hint("all fields over one dim share the names of the first"));
        }
        let (count, name) = (names.len() as u64, &self.dims[dim.index()].name);
        match self.sizes.get(dim) {
            Some(n) if n < count => {
                let message =
                    format!("`{file}` holds {count} different names of a {what}, but `{name}` has the size {n}");
                return Err(Fault::new(Code::G0503, message).hint(format!("leave the size open, `dim {name}`")));
            }
            Some(_) => {}
            None => self.sizes.set(dim, count),
        }
        self.folder.alphabets.insert(dim, names.clone());
        Ok(names)
    }
}
