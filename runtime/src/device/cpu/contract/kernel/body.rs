//! The bodies of the kernels, generic over the vector.
//! Law: everything here is inlined into a function that enables the vector's instructions.

use super::{COLUMNS, Dots, Element, Offsets, PITCH, Tile};

/// [`super::Access::Strided`] as a constant parameter.
pub(super) const STRIDED: u8 = 0;
/// [`super::Access::Interleaved`] as a constant parameter.
pub(super) const INTERLEAVED: u8 = 1;
/// [`super::Access::RowMajor`] as a constant parameter.
pub(super) const ROW_MAJOR: u8 = 2;

/// A vector of elements and what the bodies do with it.
///
/// # Safety
/// Every method needs the vector's instruction set; loads and stores need valid addresses, of which the masked ones
/// touch only the first `count` given to [`Lanes::mask`].
pub(super) trait Lanes {
    type Element: Element;
    type Vector: Copy;
    type Mask: Copy;
    const LANES: usize;
    /// Whether a masked load costs as little as a plain one, so that no second body is needed for full tiles.
    const FREE_MASKS: bool;

    unsafe fn zero() -> Self::Vector;
    unsafe fn splat(x: Self::Element) -> Self::Vector;
    unsafe fn load(p: *const Self::Element) -> Self::Vector;
    unsafe fn store(p: *mut Self::Element, v: Self::Vector);
    /// The mask of the first `count` lanes, `1..=LANES`.
    unsafe fn mask(count: usize) -> Self::Mask;
    unsafe fn load_masked(p: *const Self::Element, mask: Self::Mask) -> Self::Vector;
    unsafe fn store_masked(p: *mut Self::Element, v: Self::Vector, mask: Self::Mask);
    unsafe fn add(x: Self::Vector, y: Self::Vector) -> Self::Vector;
    /// `x * y + z`.
    unsafe fn fma(x: Self::Vector, y: Self::Vector, z: Self::Vector) -> Self::Vector;
    /// The sum of the lanes.
    unsafe fn sum(v: Self::Vector) -> Self::Element;
}

/// The tile kernel of `ROWS` rows and `VECTORS` vectors of columns.
///
/// # Safety
/// As [`super::TileFn`].
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize, const ACCESS: u8>(t: &Tile<L::Element>) {
    unsafe {
        if !L::FREE_MASKS && t.cols == VECTORS * L::LANES {
            store::<L, ROWS, VECTORS, true>(t, sums::<L, ROWS, VECTORS, ACCESS, true>(t));
        } else {
            store::<L, ROWS, VECTORS, false>(t, sums::<L, ROWS, VECTORS, ACCESS, false>(t));
        }
    }
}

#[inline(always)]
unsafe fn sums<L: Lanes, const ROWS: usize, const VECTORS: usize, const ACCESS: u8, const FULL: bool>(
    t: &Tile<L::Element>,
) -> [[L::Vector; VECTORS]; ROWS] {
    let (row, step) = match ACCESS {
        INTERLEAVED => (1, ROWS as isize),
        ROW_MAJOR => (PITCH as isize, 1),
        _ => (t.a_row, t.a_step),
    };
    unsafe {
        let mask = L::mask(t.cols - (VECTORS - 1) * L::LANES);
        let mut acc = [[L::zero(); VECTORS]; ROWS];
        let (mut a, mut b) = (t.a, t.b);
        // Where a tile is one vector wide, a chain of additions from row to row would take longer than the products.
        let far = |g, row| if ACCESS == STRIDED && VECTORS == 1 { opaque(g, row) } else { 0 };
        let groups: [isize; 5] = std::array::from_fn(|g| if g * 3 < ROWS { far(g, row) } else { 0 });
        for _ in 0..t.k {
            let mut line = [L::zero(); VECTORS];
            for (v, x) in line.iter_mut().enumerate() {
                let at = b.wrapping_add(v * L::LANES);
                *x = if FULL || v + 1 < VECTORS { L::load(at) } else { L::load_masked(at, mask) };
            }
            for (r, sums) in acc.iter_mut().enumerate() {
                let x = L::splat(match (ACCESS, VECTORS) {
                    (STRIDED, 1) => *a.wrapping_offset(groups[r / 3]).wrapping_offset(row * (r % 3) as isize),
                    _ => *a.wrapping_offset(row * r as isize),
                });
                for (sum, y) in sums.iter_mut().zip(line) {
                    *sum = L::fma(x, y, *sum);
                }
            }
            a = a.wrapping_offset(step);
            b = b.wrapping_offset(t.b_step);
        }
        acc
    }
}

/// The offset of row `3 * group`, hidden from the optimiser, which would compute each row's address from the last one's.
#[inline(always)]
fn opaque(group: usize, row: isize) -> isize {
    if group == 0 { 0 } else { std::hint::black_box(3 * group as isize * row) }
}

#[inline(always)]
unsafe fn store<L: Lanes, const ROWS: usize, const VECTORS: usize, const FULL: bool>(
    t: &Tile<L::Element>,
    acc: [[L::Vector; VECTORS]; ROWS],
) {
    unsafe {
        let mask = L::mask(t.cols - (VECTORS - 1) * L::LANES);
        for (r, sums) in acc.iter().enumerate() {
            let c = t.c.wrapping_offset(t.c_row * r as isize);
            for (v, &sum) in sums.iter().enumerate() {
                let at = c.wrapping_add(v * L::LANES);
                if FULL || v + 1 < VECTORS {
                    L::store(at, if t.add { L::add(L::load(at), sum) } else { sum });
                } else {
                    L::store_masked(at, if t.add { L::add(L::load_masked(at, mask), sum) } else { sum }, mask);
                }
            }
        }
    }
}

/// The dot kernel of `R` rows by `S` rows.
///
/// # Safety
/// As [`super::DotFn`].
#[inline(always)]
pub(super) unsafe fn dot<L: Lanes, const R: usize, const S: usize>(d: &Dots<L::Element>) {
    unsafe {
        let mut acc = [[L::zero(); S]; R];
        let whole = d.k / L::LANES * L::LANES;
        let mut k = 0;
        while k < whole {
            let mut b = [L::zero(); S];
            for (s, x) in b.iter_mut().enumerate() {
                *x = L::load(d.b[s].wrapping_add(k));
            }
            for (r, sums) in acc.iter_mut().enumerate() {
                let a = L::load(d.a[r].wrapping_add(k));
                for (sum, y) in sums.iter_mut().zip(b) {
                    *sum = L::fma(a, y, *sum);
                }
            }
            k += L::LANES;
        }
        if whole < d.k {
            let mask = L::mask(d.k - whole);
            for (r, sums) in acc.iter_mut().enumerate() {
                let a = L::load_masked(d.a[r].wrapping_add(k), mask);
                for (s, sum) in sums.iter_mut().enumerate() {
                    *sum = L::fma(a, L::load_masked(d.b[s].wrapping_add(k), mask), *sum);
                }
            }
        }
        for (r, sums) in acc.iter().enumerate() {
            for (s, &sum) in sums.iter().enumerate() {
                *d.out.wrapping_offset(d.out_row * r as isize + d.out_col * s as isize) = L::sum(sum);
            }
        }
    }
}

/// Copies lines; see [`super::CopyFn`].
///
/// # Safety
/// As [`super::CopyFn`].
#[inline(always)]
pub(super) unsafe fn copy<L: Lanes>(
    src: *const L::Element,
    lines: Offsets,
    count: usize,
    width: usize,
    dst: *mut L::Element,
    pitch: usize,
) {
    unsafe {
        match width.div_ceil(L::LANES) {
            0 => {}
            1 => copy_lines::<L, 1>(src, lines, count, width, dst, pitch),
            2 => copy_lines::<L, 2>(src, lines, count, width, dst, pitch),
            _ => {
                // From the right, since the last part may write into the start of the next line.
                let step = 2 * L::LANES;
                for from in (0..width.div_ceil(step)).rev().map(|part| part * step) {
                    let part = (width - from).min(step);
                    let (src, dst) = (src.wrapping_add(from), dst.wrapping_add(from));
                    if part > L::LANES {
                        copy_lines::<L, 2>(src, lines, count, part, dst, pitch);
                    } else {
                        copy_lines::<L, 1>(src, lines, count, part, dst, pitch);
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn copy_lines<L: Lanes, const VECTORS: usize>(
    src: *const L::Element,
    lines: Offsets,
    count: usize,
    width: usize,
    dst: *mut L::Element,
    pitch: usize,
) {
    unsafe {
        let mask = L::mask(width - (VECTORS - 1) * L::LANES);
        for i in 0..count {
            let (from, to) = (src.wrapping_offset(lines.at(i)), dst.wrapping_add(i * pitch));
            for v in 0..VECTORS - 1 {
                L::store(to.wrapping_add(v * L::LANES), L::load(from.wrapping_add(v * L::LANES)));
            }
            // The whole vector is written: the next line, or the room behind the last one, takes what is too much.
            let last = (VECTORS - 1) * L::LANES;
            L::store(to.wrapping_add(last), L::load_masked(from.wrapping_add(last), mask));
        }
    }
}

/// Transposes from row `from` on, element by element; see [`super::TransposeFn`].
///
/// # Safety
/// As [`super::TransposeFn`].
#[inline(always)]
pub(super) unsafe fn transpose<T: Copy>(
    src: &[*const T; COLUMNS],
    from: usize,
    count: usize,
    dst: *mut T,
    pitch: usize,
) {
    for i in from..count {
        for (j, column) in src.iter().enumerate() {
            // SAFETY: the caller vouches for every `i < count` of every column and of the destination.
            unsafe { *dst.wrapping_add(i * pitch + j) = *column.wrapping_add(i) };
        }
    }
}
