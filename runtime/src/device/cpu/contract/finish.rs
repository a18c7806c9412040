//! What happens to a finished block: the epilogue takes it, or it is stored through the result's offsets.
//! Law: every element of the result passes here, or straight from a tile kernel, exactly once.

use super::block::{Region, Scratch, Single};
use super::kernel::{COLUMNS, Element, Kernels};
use super::pack::stride;
use super::{Epilogue, OperandMut};

/// Hands a finished block to the epilogue, or stores it through the result's offsets. The block lies at an address with
/// a distance of rows and one of columns; the latter is one if the product is flipped.
///
/// # Safety
/// The block of the result is this thread's own, and the tile holds it.
pub(super) unsafe fn finish<T: Element>(
    s: &Single<T>,
    kernels: &Kernels<T>,
    at: &Region,
    (tile, row, col): (*mut T, isize, isize),
    scratch: &Scratch<T>,
) {
    match (&s.epilogue, &s.c) {
        // SAFETY: the caller's contract.
        (Some(epilogue), _) if !s.flipped => unsafe { call(epilogue, s, at, tile, row) },
        (Some(epilogue), _) => {
            let (rows, cols) = (at.rows.len(), at.cols.len());
            let turned = scratch.tile.wrapping_add(rows * row as usize);
            let at = Region { rows: at.cols.clone(), cols: at.rows.clone() };
            // SAFETY: the scratch has room for the tile twice where it may be flipped, and holds it turned as asked.
            unsafe {
                turn(kernels, (tile, row, rows, cols), turned, rows);
                call(epilogue, s, &at, turned, rows as isize);
            }
        }
        // SAFETY: the caller's contract.
        (None, Some(c)) => unsafe { store(kernels, c, at, s.accumulate, (tile, row, col)) },
        (None, None) => {}
    }
}

unsafe fn call<T>(epilogue: &Epilogue, s: &Single<T>, at: &Region, tile: *mut T, row: isize) {
    let rows = (s.first_row + at.rows.start, s.first_row + at.rows.end);
    let [m0, m1, n0, n1] = [rows.0, rows.1, at.cols.start, at.cols.end].map(|i| i as i64);
    // SAFETY: the caller of `run` vouches for the epilogue.
    unsafe { (epilogue.call)(epilogue.ctx, tile.cast_const().cast(), row as i64, m0, m1, n0, n1) };
}

/// Writes the transpose of a block of contiguous rows: `dst[j * pitch + i] = tile[i * row + j]`.
unsafe fn turn<T: Element>(
    kernels: &Kernels<T>,
    (tile, row, rows, cols): (*const T, isize, usize, usize),
    dst: *mut T,
    pitch: usize,
) {
    let line = |i: usize| tile.wrapping_offset(row * i as isize);
    let whole = rows / COLUMNS * COLUMNS;
    for from in (0..whole).step_by(COLUMNS) {
        let src = std::array::from_fn(|i| line(from + i));
        // SAFETY: rows of the block, and the places that the caller names.
        unsafe { (kernels.transpose)(&src, cols, dst.wrapping_add(from), pitch) };
    }
    for i in whole..rows {
        for j in 0..cols {
            // SAFETY: as above.
            unsafe { *dst.wrapping_add(j * pitch + i) = *line(i).wrapping_add(j) };
        }
    }
}

unsafe fn store<T: Element>(
    kernels: &Kernels<T>,
    c: &OperandMut<T>,
    at: &Region,
    accumulate: bool,
    (tile, row, col): (*const T, isize, isize),
) {
    let to = OperandMut::of(c.shape().block(at.rows.start, at.cols.start));
    let (rows, cols) = (at.rows.len(), at.cols.len());
    if let (Some(pitch @ 1..), true, 1, false) = (stride(to.cols), to.rows.is_unit(), col, accumulate) {
        // SAFETY: the result's elements of this block.
        return unsafe { turn(kernels, (tile, row, rows, cols), to.base, pitch as usize) };
    }
    for i in 0..rows {
        let (from, line) = (tile.wrapping_offset(i as isize * row), to.base.wrapping_offset(to.rows.at(i)));
        if to.cols.is_unit() && col == 1 && !accumulate {
            // SAFETY: a row of the tile and of the result.
            unsafe { std::ptr::copy_nonoverlapping(from, line, cols) };
            continue;
        }
        for j in 0..cols {
            let place = line.wrapping_offset(to.cols.at(j));
            // SAFETY: the element is this thread's own.
            unsafe {
                let sum = *from.wrapping_offset(j as isize * col);
                *place = if accumulate { *place + sum } else { sum };
            }
        }
    }
}
