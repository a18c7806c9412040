//! Products with few rows or few columns whose sums run along contiguous memory in both operands: vectors along `k`.
//! Law: which products come here, and in which groups, depends on their shape and strides alone.

use super::block::{ROWS_MAX, Region, Scratch, Single};
use super::finish::finish;
use super::kernel::{DOT_SHORT, Dots, Element, Kernels};

/// The most rows (or columns) of a product that is computed here.
pub(super) const FEW: usize = 8;

/// Whether the product is computed here.
pub(super) fn applies<T>(s: &Single<T>) -> bool {
    s.a.cols.is_unit() && s.b.rows.is_unit() && s.m.min(s.n) <= FEW && s.k >= 8
}

/// Computes a region of the result; the region spans the shorter of the two extents.
///
/// # Safety
/// As [`super::run`]; no other thread uses the scratch or the region.
pub(super) unsafe fn region<T: Element>(s: &Single<T>, kernels: &Kernels<T>, region: &Region, scratch: &Scratch<T>) {
    let by_rows = s.m >= s.n;
    let (long, short) = if by_rows { (&region.rows, &region.cols) } else { (&region.cols, &region.rows) };
    for start in long.clone().step_by(ROWS_MAX) {
        let some = start..(start + ROWS_MAX).min(long.end);
        // The long extent goes along memory when it is the columns.
        let (along, across) = if by_rows { (short.len() as isize, 1) } else { (1, some.len() as isize) };
        for j in short.clone().step_by(DOT_SHORT) {
            let width = DOT_SHORT.min(short.end - j);
            let table = kernels.dot[width - 1];
            for i in some.clone().step_by(table.len()) {
                let height = table.len().min(some.end - i);
                let row = |i: usize| if by_rows { s.a.at(i, 0) } else { s.b.at(0, i) };
                let other = |j: usize| if by_rows { s.b.at(0, j) } else { s.a.at(j, 0) };
                let out = (i - start) as isize * along + (j - short.start) as isize * across;
                let dots = Dots {
                    k: s.k,
                    a: std::array::from_fn(|r| row(i + r.min(height - 1))),
                    b: std::array::from_fn(|c| other(j + c.min(width - 1))),
                    out: scratch.tile.wrapping_offset(out),
                    out_row: along,
                    out_col: across,
                };
                // SAFETY: rows of both operands are contiguous over `k`, and the sums lie in the scratch tile.
                unsafe { table[height - 1](&dots) };
            }
        }
        let (rows, cols) = if by_rows { (some, short.clone()) } else { (short.clone(), some) };
        let (row, col) = if by_rows { (along, across) } else { (across, along) };
        // SAFETY: the tile holds the block.
        unsafe { finish(s, kernels, &Region { rows, cols }, (scratch.tile, row, col), scratch) };
    }
}
