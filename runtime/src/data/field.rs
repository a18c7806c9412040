//! One field: its expression evaluated over a file, its values checked and stored in the form that kernels read.

use super::array::{Array, Numbers};
use super::made::Maker;
use super::source::{Fault, Folder, Source};
use super::{Column, Sizes};
use gannet_compiler::scalar;
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{Dim, Elem, Field, FieldExpr};

/// A field's values in memory.
#[derive(Clone, Debug)]
pub enum Values {
    /// Reals in single precision.
    F32(Vec<f32>),
    /// Reals in double precision.
    F64(Vec<f64>),
    /// Whole numbers and indices.
    I32(Vec<i32>),
    /// Truth values.
    U8(Vec<u8>),
}

impl Values {
    /// Entries.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
            Values::I32(v) => v.len(),
            Values::U8(v) => v.len(),
        }
    }

    /// No entries?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of one entry.
    pub fn entry_bytes(&self) -> usize {
        match self {
            Values::F32(_) | Values::I32(_) => 4,
            Values::F64(_) => 8,
            Values::U8(_) => 1,
        }
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> usize {
        self.len() * self.entry_bytes()
    }

    /// An entry as a number.
    pub fn get(&self, k: usize) -> f64 {
        match self {
            Values::F32(v) => f64::from(v[k]),
            Values::F64(v) => v[k],
            Values::I32(v) => f64::from(v[k]),
            Values::U8(v) => f64::from(v[k]),
        }
    }

    /// Where the entries start.
    pub fn as_ptr(&self) -> *const u8 {
        match self {
            Values::F32(v) => v.as_ptr().cast(),
            Values::F64(v) => v.as_ptr().cast(),
            Values::I32(v) => v.as_ptr().cast(),
            Values::U8(v) => v.as_ptr(),
        }
    }

    /// Appends entries of the same kind.
    pub fn extend(&mut self, more: Values) {
        match (self, more) {
            (Values::F32(a), Values::F32(b)) => a.extend(b),
            (Values::F64(a), Values::F64(b)) => a.extend(b),
            (Values::I32(a), Values::I32(b)) => a.extend(b),
            (Values::U8(a), Values::U8(b)) => a.extend(b),
            _ => unreachable!("two parts of one field have one kind"),
        }
    }

    /// Numbers in the form that kernels read.
    pub fn of(numbers: &[f64], elem: Elem, double: bool) -> Values {
        let mut values = Values::with_capacity(elem, double, numbers.len());
        numbers.iter().for_each(|x| values.push(*x));
        values
    }

    /// No entries yet, of the kind that holds this element type.
    pub fn with_capacity(elem: Elem, double: bool, n: usize) -> Values {
        match elem {
            Elem::Real if double => Values::F64(Vec::with_capacity(n)),
            Elem::Real => Values::F32(Vec::with_capacity(n)),
            Elem::Int | Elem::Index(_) => Values::I32(Vec::with_capacity(n)),
            Elem::Bool => Values::U8(Vec::with_capacity(n)),
        }
    }

    /// Appends an entry.
    pub fn push(&mut self, x: f64) {
        match self {
            Values::F32(v) => v.push(x as f32),
            Values::F64(v) => v.push(x),
            Values::I32(v) => v.push(x as i32),
            Values::U8(v) => v.push(u8::from(x != 0.0)),
        }
    }
}

/// What a field is loaded with.
pub struct Context<'a> {
    pub field: &'a Field,
    pub dims: &'a [Dim],
    pub double: bool,
}

/// Where an entry's number comes from, after the file is known.
enum Base {
    /// Columns from this one on of a table.
    Columns(usize),
    /// A whole array.
    Array,
}

impl Context<'_> {
    /// Evaluates and checks the field over its file.
    pub fn load(&self, value: &FieldExpr, folder: &mut Folder, sizes: &mut Sizes) -> Result<Column, Diagnostic> {
        let span = self.field.span;
        if leaves(value) > 1 {
            let d =
                Diagnostic::error(Code::G0502, span, format!("field `{}` reads more than one source", self.field.name));
            return Err(
                d.hint("a field is made of one column, range of columns or file; combine fields in a definition: `sum = a + b`")
            );
        }
        let leaf = leaf(value).ok_or_else(|| {
            Diagnostic::error(Code::G0502, span, format!("field `{}` reads no column or file", self.field.name))
                .hint("for example `column 0`, `columns 0..4` or `file \"x.npy\"`")
        })?;
        let made = Maker { field: self.field, dims: self.dims, folder, sizes }.make(leaf).map_err(|e| e.at(span))?;
        let file = if let FieldExpr::File(name) = leaf { Some(name.as_str()) } else { None };
        let (source, leaf) = match &made {
            Some(made) => (made, &FieldExpr::Whole),
            None => (folder.get(file).map_err(|e| e.at(span))?, leaf),
        };
        let (base, width) = self.base(leaf, source).map_err(|e| e.at(span))?;
        self.bind(width, source, sizes).map_err(|e| e.at(span))?;
        let values = self.values(value, source, &base, width, sizes).map_err(|e| e.at(span))?;
        Ok(Column { name: self.field.name.clone(), elem: self.field.elem, width, values })
    }

    fn base(&self, leaf: &FieldExpr, source: &Source) -> Result<(Base, usize), Fault> {
        match (leaf, source) {
            (FieldExpr::Columns(from, to), Source::Table(t)) => {
                check_width(*to, t.width(), &t.file)?;
                Ok((Base::Columns(*from), to.saturating_sub(*from)))
            }
            (FieldExpr::Column(c), Source::Table(t)) => {
                check_width(*c + 1, t.width(), &t.file)?;
                Ok((Base::Columns(*c), 1))
            }
            (FieldExpr::Named(name), Source::Table(t)) => Ok((Base::Columns(t.column(name)?), 1)),
            (FieldExpr::Columns(from, to), Source::Array(a)) if *from == 0 && *to == a.width() => {
                Ok((Base::Array, a.width()))
            }
            (FieldExpr::File(_) | FieldExpr::Whole, Source::Array(a)) => Ok((Base::Array, a.width())),
            (FieldExpr::File(_) | FieldExpr::Whole, Source::Table(t)) => Ok((Base::Columns(0), t.width())),
            (_, source) => {
                Err(Fault::new(Code::G0502, format!("`{}` is an array and has no such columns", source.file()))
                    .hint("a whole array is `file \"name\"`"))
            }
        }
    }

    /// Holds the width against the field's dims; one open dim gets its size from it.
    fn bind(&self, width: usize, source: &Source, sizes: &mut Sizes) -> Result<(), Fault> {
        let open: Vec<_> = self.field.dims.iter().filter(|d| sizes.get(**d).is_none()).collect();
        let known: u64 = self.field.dims.iter().filter_map(|d| sizes.get(*d)).product();
        let names = || {
            let each = self.field.dims.iter().map(|d| {
                let size = sizes.get(*d).map(|n| format!(" = {n}")).unwrap_or_default();
                format!("{}{size}", self.dims[d.index()].name)
            });
            each.collect::<Vec<_>>().join(", ")
        };
        let wrong = || {
            let message = format!(
                "field `{}` is declared over [{}], but a row of `{}` gives {width} numbers",
                self.field.name,
                names(),
                source.file()
            );
            Err(Fault::new(Code::G0502, message).hint("change the dim's size or the columns that are read"))
        };
        match open.as_slice() {
            [] if known == width as u64 => Ok(()),
            [dim] if known > 0 && (width as u64).is_multiple_of(known) => {
                sizes.set(**dim, width as u64 / known);
                Ok(())
            }
            _ => wrong(),
        }
    }

    fn values(
        &self,
        value: &FieldExpr,
        source: &Source,
        base: &Base,
        width: usize,
        sizes: &Sizes,
    ) -> Result<Values, Fault> {
        let rows = source.rows();
        let mut out = Values::with_capacity(self.field.elem, self.double, rows * width);
        if let (Base::Array, Source::Array(Array { numbers: Numbers::U8(bytes), .. })) = (base, source) {
            // A byte has 256 values: evaluate each once, then look them up.
            let table: Vec<f64> = (0..256).map(|b| eval(value, f64::from(b))).collect();
            for (k, b) in bytes.iter().enumerate() {
                let x = table[*b as usize];
                self.check(x, k / width, k % width, source, sizes)?;
                out.push(x);
            }
            return Ok(out);
        }
        for row in 0..rows {
            for j in 0..width {
                let raw = match (base, source) {
                    (Base::Columns(from), Source::Table(t)) => t.number(row, from + j)?,
                    (_, Source::Array(a)) => a.get(row * width + j),
                    _ => unreachable!("columns are read from tables"),
                };
                let x = eval(value, raw);
                self.check(x, row, j, source, sizes)?;
                out.push(x);
            }
        }
        Ok(out)
    }

    fn check(&self, x: f64, row: usize, j: usize, source: &Source, sizes: &Sizes) -> Result<(), Fault> {
        self.holds(x, sizes, &|| source.place(row, j))
    }

    /// Is the value one of the field's element type?
    pub fn holds(&self, x: f64, sizes: &Sizes, place: &dyn Fn() -> String) -> Result<(), Fault> {
        let name = &self.field.name;
        match self.field.elem {
            Elem::Real if x.is_finite() => Ok(()),
            Elem::Real => Err(Fault::new(Code::G0504, format!("{}: field `{name}` is {x}", place()))
                .hint("drop the row or replace the value")),
            Elem::Index(dim) => {
                let n = sizes.get(dim);
                if x >= 0.0 && x.fract() == 0.0 && n.is_none_or(|n| x < n as f64) {
                    return Ok(());
                }
                let dim = &self.dims[dim.index()].name;
                let bound = n.map(|n| format!("{n}")).unwrap_or_else(|| "its size".to_string());
                let message =
                    format!("{}: field `{name}` is {x}, not an index of `{dim}` (0 to below {bound})", place());
                Err(Fault::new(Code::G0503, message)
                    .hint(format!("give the dim `{dim}` the right size, or shift the values")))
            }
            Elem::Int if x.fract() == 0.0 && x.abs() <= f64::from(i32::MAX) => Ok(()),
            Elem::Bool if x == 0.0 || x == 1.0 => Ok(()),
            _ => Err(Fault::new(Code::G0503, format!("{}: field `{name}` is {x}", place()))
                .hint("a whole number is needed here (0 or 1 for bool)")),
        }
    }
}

/// Has the file the columns that are read?
pub fn check_width(needed: usize, width: usize, file: &str) -> Result<(), Fault> {
    if needed <= width {
        return Ok(());
    }
    Err(Fault::new(Code::G0502, format!("`{file}` has {width} columns, but column {} is read", needed - 1))
        .hint("columns are counted from 0"))
}

/// The one column, file or whole that an expression reads.
pub fn leaf(e: &FieldExpr) -> Option<&FieldExpr> {
    match e {
        FieldExpr::Number(_) => None,
        FieldExpr::Map(_, args) => args.iter().find_map(leaf),
        other => Some(other),
    }
}

/// How many columns, ranges and files an expression reads.
pub fn leaves(e: &FieldExpr) -> usize {
    match e {
        FieldExpr::Number(_) => 0,
        FieldExpr::Map(_, args) => args.iter().map(leaves).sum(),
        _ => 1,
    }
}

/// The expression's value where what it reads is `raw`.
pub fn eval(e: &FieldExpr, raw: f64) -> f64 {
    eval_of(e, &|_| raw)
}

/// The expression's value, given that of each leaf which is no number.
pub fn eval_of(e: &FieldExpr, leaf: &dyn Fn(&FieldExpr) -> f64) -> f64 {
    match e {
        FieldExpr::Number(n) => *n,
        FieldExpr::Map(fun, args) => {
            // No scalar function of a field takes more than three arguments.
            let mut values = [0.0; 3];
            for (v, a) in values.iter_mut().zip(args) {
                *v = eval_of(a, leaf);
            }
            scalar::eval(*fun, &values[..args.len()])
        }
        other => leaf(other),
    }
}
