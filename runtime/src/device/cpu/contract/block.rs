//! Blocks: one thread's region of the result, block by block through the tile kernels.
//! Law: the sum is cut into pieces by its length alone, so a block's shape changes no result.

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
    let tile = rows * tile_pitch(cols) * if rows < FLIP { 2 } else { 1 };
    [tile, rows * PITCH + SLACK, k * cols.next_multiple_of(16) + SLACK].map(|len| len.next_multiple_of(16))
}

/// Below this many rows a block may be the transpose of what the caller asked for although there is an epilogue.
pub(super) const FLIP: usize = 8;

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
fn tile_pitch(cols: usize) -> usize {
    cols.next_multiple_of(16) + 16
}

/// Computes a region of the result.
///
/// # Safety
/// As [`super::run`]; no other thread uses the scratch or the region.
pub(super) unsafe fn region<T: Element>(s: &Single<T>, kernels: &Kernels<T>, region: &Region, scratch: &Scratch<T>) {
    for cols in cuts(region.cols.clone(), COLS_MAX) {
        for rows in cuts(region.rows.clone(), ROWS_MAX) {
            // SAFETY: blocks lie in the region.
            unsafe { block(s, kernels, &Region { rows, cols: cols.clone() }, scratch) };
        }
    }
}

/// Cuts a range evenly into pieces of at most `most`.
fn cuts(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let step = range.len().div_ceil(range.len().div_ceil(most).max(1)).next_multiple_of(16).min(most).max(1);
    let end = range.end;
    range.step_by(step).map(move |start| start..(start + step).min(end))
}

/// Where a block's sums are written: in the result itself, or in scratch.
struct Out<T> {
    base: *mut T,
    row: isize,
    direct: bool,
}

/// How a block reads its operands.
struct Plan {
    panels: Panels,
    access: Access,
    /// Whether `A` is packed before it is read.
    pack_a: bool,
    /// Whether `B` is packed before it is read.
    pack_b: bool,
    /// Columns of a panel.
    width: usize,
}

unsafe fn block<T: Element>(s: &Single<T>, kernels: &Kernels<T>, at: &Region, scratch: &Scratch<T>) {
    let (rows, cols) = (at.rows.len(), at.cols.len());
    let out = output(s, at, scratch);
    let plan = plan(s, kernels, rows, cols);
    // SAFETY: the block lies in the region, and the scratch is this thread's own.
    unsafe {
        for piece in pieces(s.k) {
            let a = s.a.block(at.rows.start, piece.start);
            let b = s.b.block(piece.start, at.cols.start);
            let add = piece.start > 0 || out.direct && s.accumulate;
            if plan.pack_a {
                pack_a(kernels, &a, packed_access(&a), (rows, plan.panels, piece.len()), scratch.a);
            }
            if plan.pack_b {
                for from in (0..cols).step_by(plan.width) {
                    let to = scratch.b.wrapping_add(from * piece.len());
                    pack_b(kernels, &b.block(0, from), piece.len(), plan.width.min(cols - from), to);
                }
            }
            multiply(kernels, &plan, (&a, &b, &out), (cols, piece.len()), scratch, add);
        }
        if !out.direct {
            finish(s, at, out.base, (out.row, 1), scratch);
        }
    }
}

/// Cuts the sum into pieces of at most [`K_MAX`], evenly. An empty sum is one empty piece.
fn pieces(k: usize) -> impl Iterator<Item = Range<usize>> {
    let step = k.div_ceil(k.div_ceil(K_MAX).max(1)).max(1);
    (0..k.max(1)).step_by(step).map(move |start| start..(start + step).min(k))
}

fn output<T>(s: &Single<T>, at: &Region, scratch: &Scratch<T>) -> Out<T> {
    if let (None, Some(c)) = (s.epilogue, &s.c)
        && let (true, Some(row)) = (c.cols.is_unit(), stride(c.rows))
    {
        return Out { base: c.shape().at(at.rows.start, at.cols.start).cast_mut(), row, direct: true };
    }
    Out { base: scratch.tile, row: tile_pitch(at.cols.len()) as isize, direct: false }
}

/// A power of two of bytes at which neighbouring rows crowd into few sets of a cache.
const CROWDED: usize = 2048;

/// Bytes of a block of `B` that stay in a first-level cache without packing.
const SMALL: usize = 24 << 10;

fn plan<T: Element>(s: &Single<T>, kernels: &Kernels<T>, rows: usize, cols: usize) -> Plan {
    let panels = Panels::new(rows, kernels.rows());
    let k = s.k.min(K_MAX);
    let wide = kernels.strided[panels.height - 1].len();
    let tall = wide == kernels.row_major[panels.height - 1].len();
    let in_place = match (stride(s.a.rows), stride(s.a.cols)) {
        (Some(row), Some(_)) => !tall || cols <= 2 * wide * kernels.lanes && !(crowded::<T>(row) && k > 16),
        _ => false,
    };
    // Short blocks have kernels of their own, wider ones, which read packed rows by strides.
    let access = if in_place || !tall { Access::Strided } else { packed_access(&s.a) };
    let b_in_place = match (s.b.cols.is_unit(), stride(s.b.rows)) {
        (true, Some(row)) => panels.count <= 2 || k * cols * size_of::<T>() <= SMALL && !(crowded::<T>(row) && k > 16),
        _ => false,
    };
    Plan { panels, access, pack_a: !in_place, pack_b: !b_in_place, width: wide * kernels.lanes }
}

fn crowded<T>(row: isize) -> bool {
    row != 0 && (row.unsigned_abs() * size_of::<T>()).is_multiple_of(CROWDED)
}

unsafe fn multiply<T: Element>(
    kernels: &Kernels<T>,
    plan: &Plan,
    (a, b, out): (&Operand<T>, &Operand<T>, &Out<T>),
    (cols, k): (usize, usize),
    scratch: &Scratch<T>,
    add: bool,
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
        for (row, height) in (0..plan.panels.count).map(|i| plan.panels.get(i)) {
            let packed = |pitch: usize| scratch.a.cast_const().wrapping_add(row * pitch);
            let (a, (a_row, a_step)) = match (plan.pack_a, packed_access(a)) {
                (false, _) => (a.at(row, 0), strides(a)),
                (true, Access::Interleaved) => (packed(k), (1, height as isize)),
                (true, _) => (packed(PITCH), (PITCH as isize, 1)),
            };
            let c = out.base.wrapping_offset(row as isize * out.row).wrapping_add(from);
            let tile = Tile { k, a, a_row, a_step, b, b_step, c, c_row: out.row, cols: width, add };
            let vectors = width.div_ceil(kernels.lanes);
            // SAFETY: the tile lies in the block, its operands in the operands or in the packed copies.
            unsafe { table[height - 1][vectors - 1](&tile) };
        }
    }
}

/// Hands a finished block to the epilogue, or stores it through the result's offsets. `tile` has the strides given.
///
/// # Safety
/// The block of the result is this thread's own, and the tile holds it.
pub(super) unsafe fn finish<T: Element>(
    s: &Single<T>,
    at: &Region,
    tile: *mut T,
    (row, col): (isize, isize),
    scratch: &Scratch<T>,
) {
    match (&s.epilogue, &s.c) {
        // SAFETY: the caller's contract.
        (Some(epilogue), _) if !s.flipped => unsafe { call(epilogue, s, at, tile, row) },
        (Some(epilogue), _) => {
            let (rows, cols) = (at.rows.len(), at.cols.len());
            let turned = scratch.tile.wrapping_add(rows * tile_pitch(COLS_MAX.min(s.n)));
            let at = Region { rows: at.cols.clone(), cols: at.rows.clone() };
            for i in 0..cols {
                for j in 0..rows {
                    // SAFETY: the scratch has room for the tile twice when it may be flipped.
                    unsafe {
                        *turned.wrapping_add(i * rows + j) = *tile.wrapping_offset(j as isize * row + i as isize * col);
                    }
                }
            }
            // SAFETY: the turned tile holds the block as the caller asked for it.
            unsafe { call(epilogue, s, &at, turned, rows as isize) };
        }
        // SAFETY: the caller's contract.
        (None, Some(c)) => unsafe { store(c, at, s.accumulate, tile, (row, col)) },
        (None, None) => {}
    }
}

unsafe fn call<T>(epilogue: &Epilogue, s: &Single<T>, at: &Region, tile: *mut T, row: isize) {
    let rows = (s.first_row + at.rows.start, s.first_row + at.rows.end);
    let [m0, m1, n0, n1] = [rows.0, rows.1, at.cols.start, at.cols.end].map(|i| i as i64);
    // SAFETY: the caller of `run` vouches for the epilogue.
    unsafe { (epilogue.call)(epilogue.ctx, tile.cast_const().cast(), row as i64, m0, m1, n0, n1) };
}

unsafe fn store<T: Element>(
    c: &OperandMut<T>,
    at: &Region,
    accumulate: bool,
    tile: *const T,
    (row, col): (isize, isize),
) {
    for (i, m) in at.rows.clone().enumerate() {
        for (j, n) in at.cols.clone().enumerate() {
            let to = c.shape().at(m, n).cast_mut();
            // SAFETY: the element is this thread's own.
            unsafe {
                let sum = *tile.wrapping_offset(i as isize * row + j as isize * col);
                *to = if accumulate { *to + sum } else { sum };
            }
        }
    }
}
