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
    let runs = Runs::of(&a.cols, k);
    for row in 0..rows {
        // SAFETY: `k` elements of the row are readable, and a packed row holds as many.
        unsafe { runs.copy(a.at(row, 0), &a.cols, dst.wrapping_add(row * PITCH)) };
    }
}

/// The most runs that are copied as such.
const RUNS: usize = 32;

/// An axis cut into runs of elements that are neighbours in memory, where these are long.
struct Runs {
    /// Where each ends; none if the runs are short.
    ends: [usize; RUNS],
    count: usize,
    len: usize,
}

impl Runs {
    /// The runs of the first `len` elements of an axis.
    fn of(axis: &Offsets, len: usize) -> Runs {
        let mut runs = Runs { ends: [0; RUNS], count: 0, len };
        for i in 1..=len {
            if i < len && axis.at(i) == axis.at(i - 1) + 1 {
                continue;
            }
            if runs.count == RUNS.min(len / 4) {
                runs.count = 0;
                return runs;
            }
            runs.ends[runs.count] = i;
            runs.count += 1;
        }
        runs
    }

    /// Copies the elements of the axis, the first of which lies at `from`, one behind the other.
    ///
    /// # Safety
    /// The elements are readable, and `to` has room for as many.
    #[inline(always)]
    unsafe fn copy<T: Copy>(&self, from: *const T, axis: &Offsets, to: *mut T) {
        let first = if self.len == 0 { 0 } else { axis.at(0) };
        let place = |i: usize| from.wrapping_offset(axis.at(i) - first);
        if self.count == 0 {
            // SAFETY: the caller's contract.
            return (0..self.len).for_each(|i| unsafe { *to.wrapping_add(i) = *place(i) });
        }
        let mut start = 0;
        for end in &self.ends[..self.count] {
            // SAFETY: as above; these elements are neighbours.
            unsafe { std::ptr::copy_nonoverlapping(place(start), to.wrapping_add(start), end - start) };
            start = *end;
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
        let runs = Runs::of(&b.cols, width);
        for i in 0..k {
            // SAFETY: elements of the panel.
            unsafe { runs.copy(b.at(i, 0), &b.cols, dst.wrapping_add(i * pitch)) };
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
