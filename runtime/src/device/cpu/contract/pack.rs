//! Packing: copies of blocks of the operands in the order in which the tile kernels read them.
//! Law: packing changes where an element lies, never its value.

use super::kernel::{Access, COLUMNS, Element, Kernels, PITCH};
use super::{Offsets, Operand};

/// The rows of a block cut into panels of `height` or `height - 1` rows, the higher ones first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels {
    /// Rows of the first panels.
    pub height: usize,
    /// How many panels have that many rows.
    tall: usize,
    /// How many panels there are.
    pub count: usize,
}

impl Panels {
    /// Cuts `rows` rows evenly into as few panels of at most `most` rows as there can be.
    pub fn new(rows: usize, most: usize) -> Panels {
        if rows <= most {
            return Panels { height: rows.max(1), tall: 1, count: 1 };
        }
        let count = rows.div_ceil(most);
        let height = rows.div_ceil(count);
        Panels { height, tall: rows + count - count * height, count }
    }

    /// The first row and the number of rows of panel `i`.
    #[inline(always)]
    pub fn get(&self, i: usize) -> (usize, usize) {
        if i < self.tall {
            (i * self.height, self.height)
        } else {
            (i * (self.height - 1) + self.tall, self.height - 1)
        }
    }
}

/// The distance between rows of a packed panel of `B` that is `width` columns wide.
#[inline(always)]
pub(super) fn panel_pitch(width: usize) -> usize {
    width.next_multiple_of(COLUMNS)
}

/// How a block of `A` is best packed.
pub(super) fn packed_access<T>(a: &Operand<T>) -> Access {
    if a.rows.is_unit() && !a.cols.is_unit() { Access::Interleaved } else { Access::RowMajor }
}

/// Packs `k` columns of `A`'s rows for [`Access::Interleaved`] or [`Access::RowMajor`].
///
/// # Safety
/// The machine has the kernels' instruction set, `a` is readable over `rows` and `k`, and `dst` has room for
/// `rows * PITCH` elements and a vector more.
pub(super) unsafe fn pack_a<T: Element>(
    kernels: &Kernels<T>,
    a: &Operand<T>,
    access: Access,
    (rows, panels, k): (usize, Panels, usize),
    dst: *mut T,
) {
    if access == Access::Interleaved {
        for (row, height) in (0..panels.count).map(|i| panels.get(i)) {
            let (from, to) = (a.base.wrapping_add(row), dst.wrapping_add(row * k));
            // SAFETY: the lines are columns of the panel, whose rows are neighbours in memory.
            unsafe { (kernels.copy)(from, a.cols, k, height, to, height) };
        }
        return;
    }
    for row in 0..rows {
        let to = dst.wrapping_add(row * PITCH);
        if a.cols.is_unit() {
            // SAFETY: `k` elements from there are readable, and a packed row holds as many.
            unsafe { std::ptr::copy_nonoverlapping(a.at(row, 0), to, k) };
        } else {
            // SAFETY: as above, one by one.
            (0..k).for_each(|i| unsafe { *to.wrapping_add(i) = *a.at(row, i) });
        }
    }
}

/// How many rows of a block of `B` are copied into every panel before the next ones: few pages are open at a time.
const LINES: usize = 16;

/// Packs `k` rows of `B`'s first `cols` columns in panels of `width` columns; the panel from column `j` on starts at
/// element `j * k`, and has its rows [`panel_pitch`] apart.
///
/// # Safety
/// The machine has the kernels' instruction set, `b` is readable over `k` and `cols`, and `dst` has room for
/// `k * panel_pitch(cols)` elements and a vector more.
pub(super) unsafe fn pack_b<T: Element>(
    kernels: &Kernels<T>,
    b: &Operand<T>,
    (k, cols): (usize, usize),
    width: usize,
    dst: *mut T,
) {
    let lines = if b.cols.is_unit() { LINES } else { k.max(1) };
    for from in (0..k).step_by(lines) {
        for col in (0..cols).step_by(width) {
            let width = width.min(cols - col);
            let to = dst.wrapping_add(col * k + from * panel_pitch(width));
            // SAFETY: the caller's contract. What is written too much is overwritten by later lines.
            unsafe { pack_panel(kernels, &b.block(from, col), lines.min(k - from), width, to) };
        }
    }
}

unsafe fn pack_panel<T: Element>(kernels: &Kernels<T>, b: &Operand<T>, k: usize, width: usize, dst: *mut T) {
    let pitch = panel_pitch(width);
    if b.cols.is_unit() {
        // SAFETY: the lines are rows of the panel.
        unsafe { (kernels.copy)(b.base, b.rows, k, width, dst, pitch) };
    } else if b.rows.is_unit() {
        for from in (0..width).step_by(COLUMNS) {
            // Columns behind the last repeat it; their sums are never stored.
            let src = std::array::from_fn(|j| b.at(0, (from + j).min(width - 1)));
            // SAFETY: each column has `k` contiguous elements, and the pitch is a multiple of `COLUMNS`.
            unsafe { (kernels.transpose)(&src, k, dst.wrapping_add(from), pitch) };
        }
    } else {
        for i in 0..k {
            let (line, to) = (b.base.wrapping_offset(b.rows.at(i)), dst.wrapping_add(i * pitch));
            // SAFETY: single elements of the panel.
            (0..width).for_each(|j| unsafe { *to.wrapping_add(j) = *line.wrapping_offset(b.cols.at(j)) });
        }
    }
}

/// The stride of an axis, unless it is a table.
pub(super) fn stride(axis: Offsets) -> Option<isize> {
    match axis {
        Offsets::Strided(stride) => Some(stride),
        Offsets::Table(_) => None,
    }
}
