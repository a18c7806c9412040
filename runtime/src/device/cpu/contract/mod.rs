//! Sums of products on the CPU: `C[m, n] (+)= sum over k of A[m, k] * B[k, n]`, packed, tiled and register-blocked.
//! Law: an element of the result is the same sum in the same order, whatever the number of threads.
//!
//! The operands are read through separable [`Offsets`], so a transposed or gathered operand is never copied as a whole.
//! A finished block is stored through the result's offsets, or handed to an [`Epilogue`] while it is still in cache.

mod block;
mod driver;
mod finish;
mod isa;
mod kernel;
mod pack;
mod skinny;
#[cfg(test)]
mod tests;

pub use driver::{run, run_on, scratch_len};
pub use isa::Isa;
pub use kernel::Element;

/// Where the elements along one axis lie, in elements from the operand's base.
#[derive(Clone, Copy, Debug)]
pub enum Offsets<'a> {
    /// Element `i` lies at `i * stride`.
    Strided(isize),
    /// Element `i` lies at `table[i]`; the table is at least as long as the axis.
    Table(&'a [i64]),
}

impl<'a> Offsets<'a> {
    /// The offset of element `i`.
    #[inline(always)]
    pub fn at(&self, i: usize) -> isize {
        match self {
            Offsets::Strided(stride) => stride * i as isize,
            Offsets::Table(table) => table[i] as isize,
        }
    }

    /// Whether neighbours along the axis are neighbours in memory.
    pub(crate) fn is_unit(&self) -> bool {
        matches!(self, Offsets::Strided(1))
    }

    /// The axis from element `start` on: what the base moves by, and the offsets relative to the moved base.
    fn skip(self, start: usize) -> (isize, Offsets<'a>) {
        match self {
            Offsets::Strided(stride) => (stride * start as isize, self),
            Offsets::Table(table) => (0, Offsets::Table(&table[start..])),
        }
    }

    /// An axis of at most one element has no stride of its own: it becomes unit stride behind a moved base.
    fn normal(self, len: usize) -> (isize, Offsets<'a>) {
        match len {
            0 => (0, Offsets::Strided(1)),
            1 => (self.at(0), Offsets::Strided(1)),
            _ => (0, self),
        }
    }
}

/// A matrix read through offsets: element `(i, j)` lies at `base + rows.at(i) + cols.at(j)`.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a, T> {
    /// The address that offsets count from.
    pub base: *const T,
    /// Offsets along the first axis.
    pub rows: Offsets<'a>,
    /// Offsets along the second axis.
    pub cols: Offsets<'a>,
}

/// A matrix written through offsets, like [`Operand`]; no two elements may share an address.
#[derive(Clone, Copy, Debug)]
pub struct OperandMut<'a, T> {
    /// The address that offsets count from.
    pub base: *mut T,
    /// Offsets along the first axis.
    pub rows: Offsets<'a>,
    /// Offsets along the second axis.
    pub cols: Offsets<'a>,
}

impl<'a, T> Operand<'a, T> {
    /// The operand from row `row` and column `col` on.
    fn block(&self, row: usize, col: usize) -> Operand<'a, T> {
        let ((down, rows), (right, cols)) = (self.rows.skip(row), self.cols.skip(col));
        Operand { base: self.base.wrapping_offset(down + right), rows, cols }
    }

    /// The operand moved as a whole by `offset` elements.
    fn moved(&self, offset: isize) -> Operand<'a, T> {
        Operand { base: self.base.wrapping_offset(offset), ..*self }
    }

    /// The same elements with the axes exchanged.
    fn transposed(&self) -> Operand<'a, T> {
        Operand { base: self.base, rows: self.cols, cols: self.rows }
    }

    /// The operand with degenerate axes at unit stride.
    fn normal(&self, rows: usize, cols: usize) -> Operand<'a, T> {
        let ((down, r), (right, c)) = (self.rows.normal(rows), self.cols.normal(cols));
        Operand { base: self.base.wrapping_offset(down + right), rows: r, cols: c }
    }

    /// The address of element `(i, j)`.
    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> *const T {
        self.base.wrapping_offset(self.rows.at(i) + self.cols.at(j))
    }
}

impl<'a, T> OperandMut<'a, T> {
    /// The same matrix seen through the reading type, for address arithmetic only.
    fn shape(&self) -> Operand<'a, T> {
        Operand { base: self.base, rows: self.rows, cols: self.cols }
    }

    /// The writable matrix with the addresses of `shape`, which was derived from this one.
    fn of(shape: Operand<'a, T>) -> OperandMut<'a, T> {
        OperandMut { base: shape.base.cast_mut(), rows: shape.rows, cols: shape.cols }
    }
}

/// What happens to a finished block of the result instead of storing it.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue {
    /// Called as `call(ctx, tile, row_stride, m0, m1, n0, n1)`: element `(m, n)` of the sum lies at
    /// `tile + (m - m0) * row_stride + (n - n0)`, in elements. Every element is handed over exactly once, from any
    /// thread. In a batch the rows are numbered through: row `m` of product `i` is row `i * M + m`.
    pub call: EpilogueFn,
    /// Handed to `call` untouched.
    pub ctx: *const u8,
}

/// The code of an [`Epilogue`].
pub type EpilogueFn =
    unsafe extern "C" fn(ctx: *const u8, tile: *const u8, row_stride: i64, m0: i64, m1: i64, n0: i64, n1: i64);

/// Equal products side by side: product `i` has its operands moved by `a.at(i)`, `b.at(i)` and `c.at(i)`.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// How many products.
    pub count: usize,
    /// Where each product's `A` lies.
    pub a: Offsets<'a>,
    /// Where each product's `B` lies.
    pub b: Offsets<'a>,
    /// Where each product's `C` lies; without meaning under an epilogue.
    pub c: Offsets<'a>,
}

impl Batch<'_> {
    /// One product.
    pub const ONE: Batch<'static> =
        Batch { count: 1, a: Offsets::Strided(0), b: Offsets::Strided(0), c: Offsets::Strided(0) };
}

/// A sum of products: `C[m, n] (+)= sum over k of A[m, k] * B[k, n]`.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a, T> {
    /// Rows of `A` and of the result.
    pub m: usize,
    /// Columns of `B` and of the result.
    pub n: usize,
    /// The length of the sum; nought gives a result of zeros.
    pub k: usize,
    /// `A[m, k]`.
    pub a: Operand<'a, T>,
    /// `B[k, n]`.
    pub b: Operand<'a, T>,
    /// The result; `None` exactly when there is an epilogue.
    pub c: Option<OperandMut<'a, T>>,
    /// Whether the sum is added to what the result holds.
    pub accumulate: bool,
    /// What takes the finished blocks instead of `c`.
    pub epilogue: Option<Epilogue>,
    /// How often, with the operands moved.
    pub batch: Batch<'a>,
}
