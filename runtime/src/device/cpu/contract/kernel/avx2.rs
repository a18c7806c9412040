//! The kernels for x86-64 with AVX2 and FMA: tiles of 6 rows by two vectors of 256 bits.
//! Law: called only where [`super::Isa::Avx2`] is available.

use super::body::{self, Lanes};
use super::{COLUMNS, Dots, Kernels, Offsets, Tile, dots, widths};
use std::arch::x86_64::*;

struct F32x8;

/// Lane masks by sliding a window over this: `count` ones start at `8 - count`.
static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

impl Lanes for F32x8 {
    type Element = f32;
    type Vector = __m256;
    type Mask = __m256i;
    const LANES: usize = 8;
    const FREE_MASKS: bool = false;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn mask(count: usize) -> __m256i {
        unsafe { _mm256_loadu_si256(MASK32.as_ptr().wrapping_add(8 - count).cast()) }
    }
    #[inline(always)]
    unsafe fn load_masked(p: *const f32, mask: __m256i) -> __m256 {
        unsafe { _mm256_maskload_ps(p, mask) }
    }
    #[inline(always)]
    unsafe fn store_masked(p: *mut f32, v: __m256, mask: __m256i) {
        unsafe { _mm256_maskstore_ps(p, mask, v) }
    }
    #[inline(always)]
    unsafe fn add(x: __m256, y: __m256) -> __m256 {
        unsafe { _mm256_add_ps(x, y) }
    }
    #[inline(always)]
    unsafe fn fma(x: __m256, y: __m256, z: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(x, y, z) }
    }
    #[inline(always)]
    unsafe fn sum(v: __m256) -> f32 {
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
    }
}

struct F64x4;

impl Lanes for F64x4 {
    type Element = f64;
    type Vector = __m256d;
    type Mask = __m256i;
    const LANES: usize = 4;
    const FREE_MASKS: bool = false;

    #[inline(always)]
    unsafe fn zero() -> __m256d {
        unsafe { _mm256_setzero_pd() }
    }
    #[inline(always)]
    unsafe fn splat(x: f64) -> __m256d {
        unsafe { _mm256_set1_pd(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f64) -> __m256d {
        unsafe { _mm256_loadu_pd(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f64, v: __m256d) {
        unsafe { _mm256_storeu_pd(p, v) }
    }
    #[inline(always)]
    unsafe fn mask(count: usize) -> __m256i {
        unsafe { _mm256_loadu_si256(MASK64.as_ptr().wrapping_add(4 - count).cast()) }
    }
    #[inline(always)]
    unsafe fn load_masked(p: *const f64, mask: __m256i) -> __m256d {
        unsafe { _mm256_maskload_pd(p, mask) }
    }
    #[inline(always)]
    unsafe fn store_masked(p: *mut f64, v: __m256d, mask: __m256i) {
        unsafe { _mm256_maskstore_pd(p, mask, v) }
    }
    #[inline(always)]
    unsafe fn add(x: __m256d, y: __m256d) -> __m256d {
        unsafe { _mm256_add_pd(x, y) }
    }
    #[inline(always)]
    unsafe fn fma(x: __m256d, y: __m256d, z: __m256d) -> __m256d {
        unsafe { _mm256_fmadd_pd(x, y, z) }
    }
    #[inline(always)]
    unsafe fn sum(v: __m256d) -> f64 {
        unsafe {
            let half = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
            _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)))
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize, const ACCESS: u8>(t: &Tile<L::Element>) {
    unsafe { body::tile::<L, ROWS, VECTORS, ACCESS>(t) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn dot<L: Lanes, const R: usize, const S: usize>(d: &Dots<L::Element>) {
    unsafe { body::dot::<L, R, S>(d) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn copy<L: Lanes>(
    src: *const L::Element,
    lines: Offsets,
    count: usize,
    width: usize,
    dst: *mut L::Element,
    pitch: usize,
) {
    unsafe { body::copy::<L>(src, lines, count, width, dst, pitch) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn transpose64(src: &[*const f64; COLUMNS], count: usize, dst: *mut f64, pitch: usize) {
    unsafe { body::transpose(src, 0, count, dst, pitch) }
}

macro_rules! table {
    ($lanes:ty, $access:ident) => {
        &[
            widths!(tile, $lanes, $access, 1: 1 2 3 4),
            widths!(tile, $lanes, $access, 2: 1 2 3 4),
            widths!(tile, $lanes, $access, 3: 1 2),
            widths!(tile, $lanes, $access, 4: 1 2),
            widths!(tile, $lanes, $access, 5: 1 2),
            widths!(tile, $lanes, $access, 6: 1 2),
        ]
    };
}

/// The kernels for `f32`.
pub(super) static F32: Kernels<f32> = Kernels {
    lanes: 8,
    strided: table!(F32x8, STRIDED),
    interleaved: table!(F32x8, INTERLEAVED),
    row_major: table!(F32x8, ROW_MAJOR),
    dot: dots!(dot, F32x8),
    copy: copy::<F32x8>,
    transpose,
};

/// The kernels for `f64`.
pub(super) static F64: Kernels<f64> = Kernels {
    lanes: 4,
    strided: table!(F64x4, STRIDED),
    interleaved: table!(F64x4, INTERLEAVED),
    row_major: table!(F64x4, ROW_MAJOR),
    dot: dots!(dot, F64x4),
    copy: copy::<F64x4>,
    transpose: transpose64,
};

/// Transposes squares of eight by eight in registers; see [`super::TransposeFn`].
///
/// # Safety
/// As [`super::TransposeFn`].
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) unsafe fn transpose(src: &[*const f32; COLUMNS], count: usize, dst: *mut f32, pitch: usize) {
    let whole = count / 8 * 8;
    let mut i = 0;
    while i < whole {
        unsafe {
            let lower = square(src, i);
            let upper = square(src, i + 4);
            for r in 0..4 {
                _mm256_storeu_ps(dst.wrapping_add((i + r) * pitch), lower[r]);
                _mm256_storeu_ps(dst.wrapping_add((i + 4 + r) * pitch), upper[r]);
            }
        }
        i += 8;
    }
    unsafe { body::transpose(src, whole, count, dst, pitch) }
}

/// Four rows of the transpose: elements `i..i + 4` of the eight columns.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn square(src: &[*const f32; COLUMNS], i: usize) -> [__m256; 4] {
    unsafe {
        // Columns j and j + 4 share a register, so that all shuffles stay within halves.
        let pair = |j: usize| {
            let low = _mm256_castps128_ps256(_mm_loadu_ps(src[j].wrapping_add(i)));
            _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(src[j + 4].wrapping_add(i)))
        };
        let (c0, c1, c2, c3) = (pair(0), pair(1), pair(2), pair(3));
        let (x0, x1) = (_mm256_unpacklo_ps(c0, c1), _mm256_unpacklo_ps(c2, c3));
        let (x2, x3) = (_mm256_unpackhi_ps(c0, c1), _mm256_unpackhi_ps(c2, c3));
        [
            _mm256_shuffle_ps::<0x44>(x0, x1),
            _mm256_shuffle_ps::<0xee>(x0, x1),
            _mm256_shuffle_ps::<0x44>(x2, x3),
            _mm256_shuffle_ps::<0xee>(x2, x3),
        ]
    }
}
