//! Blocks: one thread's region of the result, block by block through the tile kernels.
//! Law: the sum is cut into pieces by its length alone, so a block's shape changes no result.

use super::finish::finish;
use super::kernel::{Access, Element, K_MAX, Kernels, PITCH, Tile};
use super::pack::{Panels, pack_a, pack_b, packed_access, panel_pitch, stride};
use super::{Epilogue, Operand, OperandMut};
use std::ops::Range;

/// The most rows of a block: with [`K_MAX`] columns they fill about 300 KB of a second-level cache.
pub(super) const ROWS_MAX: usize = 224;

/// The most columns of a block.
pub(super) const COLS_MAX: usize = 512;

/// Elements of room behind packed blocks, since packing writes whole vectors.
const SLACK: usize = 32;

/// One product of a batch, with degenerate axes at unit stride.
#[derive(Clone, Copy)]
pub(super) struct Single<'a, T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Operand<'a, T>,
    pub b: Operand<'a, T>,
    pub c: Option<OperandMut<'a, T>>,
    pub accumulate: bool,
    pub epilogue: Option<Epilogue>,
    /// The number of the first row, for the epilogue.
    pub first_row: usize,
    /// Whether rows and columns are exchanged against what the caller asked for.
    pub flipped: bool,
}

impl<'a, T> Single<'a, T> {
    /// The same product with rows and columns exchanged.
    pub fn transposed(&self) -> Single<'a, T> {
        Single {
            m: self.n,
            n: self.m,
            a: self.b.transposed(),
            b: self.a.transposed(),
            c: self.c.as_ref().map(|c| OperandMut::of(c.shape().transposed())),
            flipped: !self.flipped,
            ..*self
        }
    }
}

/// Rows and columns of the result.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub rows: Range<usize>,
    pub cols: Range<usize>,
}

/// One thread's working memory.
#[derive(Clone, Copy)]
pub(super) struct Scratch<T> {
    /// A block of the result, and as much again for its transpose.
    pub tile: *mut T,
    a: *mut T,
    b: *mut T,
}

/// Elements of the three parts of a [`Scratch`] for products of this size, each a multiple of a cache line.
fn parts(m: usize, n: usize, k: usize) -> [usize; 3] {
    let (rows, cols, k) = (m.min(ROWS_MAX), n.min(COLS_MAX), k.min(K_MAX));
    let tile = rows * tile_pitch(cols) * if rows < FLIP || cols <= FLIP { 2 } else { 1 };
    [tile, rows * PITCH + SLACK, k * cols.next_multiple_of(16) + SLACK].map(|len| len.next_multiple_of(16))
}

/// With fewer rows, or no more columns, a block may be the transpose of what the caller asked for although there is an
/// epilogue.
pub(super) const FLIP: usize = 32;

/// Elements that one thread needs, whichever way round the product is computed.
pub(super) fn scratch_per_thread(m: usize, n: usize, k: usize) -> usize {
    parts(m, n, k).iter().sum::<usize>().max(parts(n, m, k).iter().sum())
}

impl<T> Scratch<T> {
    /// Cuts memory of [`scratch_per_thread`] elements at `base`.
    pub fn new(base: *mut T, (m, n, k): (usize, usize, usize)) -> Scratch<T> {
        let [tile, a, _] = parts(m, n, k);
        Scratch { tile: base, a: base.wrapping_add(tile), b: base.wrapping_add(tile + a) }
    }
}

/// The distance between rows of a block kept in scratch: whole cache lines, and never a power of two of them.
pub(super) fn tile_pitch(cols: usize) -> usize {
    cols.next_multiple_of(16) + 16
}

/// Computes a region of the result.
///
/// # Safety
/// As [`super::run`]; no other thread uses the scratch or the region.
pub(super) unsafe fn region<T: Element>(s: &Single<T>, kernels: &Kernels<T>, region: &Region, scratch: &Scratch<T>) {
    // Partial sums of many blocks at once have no place but the result; else `B` is packed again for each block.
    let many = in_result(s).is_some() || pieces(s).count() == 1;
    for cols in cuts(region.cols.clone(), COLS_MAX, 32) {
        for rows in cuts(region.rows.clone(), if many { usize::MAX } else { ROWS_MAX }, 1) {
            // SAFETY: strips lie in the region.
            unsafe { strip(s, kernels, &Region { rows, cols: cols.clone() }, scratch) };
        }
    }
}

/// Cuts a range evenly into pieces of at most `most`, at multiples of `unit`.
fn cuts(range: Range<usize>, most: usize, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let step = even(range.len(), most).next_multiple_of(unit).min(most);
    let end = range.end;
    range.step_by(step).map(move |start| start..(start + step).min(end))
}

/// The length of the pieces when `len` is cut evenly into as few pieces of at most `most` as there can be.
fn even(len: usize, most: usize) -> usize {
    if len <= most { len.max(1) } else { len.div_ceil(len.div_ceil(most)) }
}

/// Computes a strip of at most [`COLS_MAX`] columns: each piece of `B` is packed once and meets every block of rows.
unsafe fn strip<T: Element>(s: &Single<T>, kernels: &Kernels<T>, at: &Region, scratch: &Scratch<T>) {
    let last = pieces(s).last().map_or(0, |piece| piece.end);
    let cols = at.cols.len();
    for piece in pieces(s) {
        let plan = plan(s, kernels, at, piece.len());
        let b = s.b.block(piece.start, at.cols.start);
        // SAFETY: the blocks lie in the region, and the scratch is this thread's own.
        unsafe {
            if plan.pack_b {
                pack_b(kernels, &b, (piece.len(), cols), plan.width, scratch.b);
            }
            for rows in cuts(at.rows.clone(), ROWS_MAX, 1) {
                let at = Region { rows, cols: at.cols.clone() };
                let out = output(s, &at, piece.start > 0, scratch);
                block(s, kernels, (&plan, &at, &out), (&b, piece.clone()), scratch);
                if !out.direct && piece.end == last {
                    finish(s, kernels, &at, (out.base, out.row, 1), scratch);
                }
            }
        }
    }
}

/// Where a block's sums are written: in the result itself, or in scratch.
struct Out<T> {
    base: *mut T,
    row: isize,
    direct: bool,
    add: bool,
}

/// Cuts the sum evenly into pieces of at most [`K_MAX`]. An empty sum is one empty piece.
fn pieces<T>(s: &Single<T>) -> impl Iterator<Item = Range<usize>> + use<T> {
    // With few rows `B` passes by once: short pieces touch few pages at a time.
    let (k, most) = (s.k, if s.m <= 3 { K_SHORT } else { K_MAX });
    let step = even(k, most);
    (0..k.max(1)).step_by(step).map(move |start| start..(start + step).min(k))
}

/// The longest piece of the sum of a product of at most three rows.
const K_SHORT: usize = 64;

/// The distance of the result's rows, when tiles can be written there.
fn in_result<T>(s: &Single<T>) -> Option<isize> {
    s.c.as_ref().filter(|c| c.cols.is_unit() && s.epilogue.is_none()).and_then(|c| stride(c.rows))
}

fn output<T>(s: &Single<T>, at: &Region, later: bool, scratch: &Scratch<T>) -> Out<T> {
    if let (Some(row), Some(c)) = (in_result(s), &s.c) {
        let base = c.shape().at(at.rows.start, at.cols.start).cast_mut();
        return Out { base, row, direct: true, add: later || s.accumulate };
    }
    Out { base: scratch.tile, row: tile_pitch(at.cols.len()) as isize, direct: false, add: later }
}

/// How a strip reads its operands.
struct Plan {
    access: Access,
    /// Whether `A` is packed before it is read.
    pack_a: bool,
    /// Whether `B` is packed before it is read.
    pack_b: bool,
    /// Columns of a panel.
    width: usize,
}

/// Bytes of a block of `B` that stay in a first-level cache without packing.
const SMALL: usize = 24 << 10;

fn plan<T: Element>(s: &Single<T>, kernels: &Kernels<T>, at: &Region, k: usize) -> Plan {
    let (rows, cols) = (at.rows.len(), at.cols.len());
    let panels = Panels::new(rows, kernels.rows());
    // Several panels of rows have heights whose kernels are all of the same width.
    let height = if panels.count == 1 { rows } else { kernels.rows() };
    let vectors = kernels.strided[height - 1].len();
    let (width, tall) = (vectors * kernels.lanes, vectors == kernels.row_major[height - 1].len());
    let in_place = match (stride(s.a.rows), stride(s.a.cols)) {
        (Some(row), Some(_)) => !tall || cols <= 2 * width && !(crowded::<T>(row, 4096) && k > 16),
        _ => false,
    };
    // Short blocks have kernels of their own, wider ones, which read packed rows by strides.
    let access = if in_place || !tall { Access::Strided } else { packed_access(&s.a) };
    let b_in_place = match (s.b.cols.is_unit(), stride(s.b.rows)) {
        (true, Some(row)) => {
            panels.count <= 2 || k * cols * size_of::<T>() <= SMALL && !(crowded::<T>(row, 1024) && k > 16)
        }
        _ => false,
    };
    Plan { access, pack_a: !in_place, pack_b: !b_in_place, width }
}

/// Whether rows this far apart share few sets of a cache.
fn crowded<T>(row: isize, bytes: usize) -> bool {
    row != 0 && (row.unsigned_abs() * size_of::<T>()).is_multiple_of(bytes)
}

unsafe fn block<T: Element>(
    s: &Single<T>,
    kernels: &Kernels<T>,
    (plan, at, out): (&Plan, &Region, &Out<T>),
    (b, piece): (&Operand<T>, Range<usize>),
    scratch: &Scratch<T>,
) {
    let panels = Panels::new(at.rows.len(), kernels.rows());
    let a = s.a.block(at.rows.start, piece.start);
    // SAFETY: the block lies in the region, and the scratch is this thread's own.
    unsafe {
        if plan.pack_a {
            pack_a(kernels, &a, packed_access(&a), (at.rows.len(), panels, piece.len()), scratch.a);
        }
        multiply(kernels, (plan, panels), (&a, b, out), (at.cols.len(), piece.len()), scratch);
    }
}

unsafe fn multiply<T: Element>(
    kernels: &Kernels<T>,
    (plan, panels): (&Plan, Panels),
    (a, b, out): (&Operand<T>, &Operand<T>, &Out<T>),
    (cols, k): (usize, usize),
    scratch: &Scratch<T>,
) {
    let table = kernels.tiles(plan.access);
    let strides = |op: &Operand<T>| (stride(op.rows).unwrap_or(0), stride(op.cols).unwrap_or(0));
    for from in (0..cols).step_by(plan.width) {
        let width = plan.width.min(cols - from);
        let (b, b_step) = if plan.pack_b {
            (scratch.b.cast_const().wrapping_add(from * k), panel_pitch(width) as isize)
        } else {
            (b.at(0, from), strides(b).0)
        };
        for (row, height) in (0..panels.count).map(|i| panels.get(i)) {
            let packed = |pitch: usize| scratch.a.cast_const().wrapping_add(row * pitch);
            let (a, (a_row, a_step)) = match (plan.pack_a, packed_access(a)) {
                (false, _) => (a.at(row, 0), strides(a)),
                (true, Access::Interleaved) => (packed(k), (1, height as isize)),
                (true, _) => (packed(PITCH), (PITCH as isize, 1)),
            };
            let c = out.base.wrapping_offset(row as isize * out.row).wrapping_add(from);
            let tile = Tile { k, a, a_row, a_step, b, b_step, c, c_row: out.row, cols: width, add: out.add };
            let vectors = width.div_ceil(kernels.lanes);
            // SAFETY: the tile lies in the block, its operands in the operands or in the packed copies.
            unsafe { table[height - 1][vectors - 1](&tile) };
        }
    }
}
