//! The kernels for x86-64 with AVX-512F: tiles of 14 rows by two vectors of 16.
//! Law: called only where [`super::Isa::Avx512`] is available.

use super::body::{self, Lanes};
use super::{COLUMNS, Dots, Kernels, Offsets, Tile, avx2, dots, widths};
use std::arch::x86_64::*;

pub(super) struct F32x16;

impl Lanes for F32x16 {
    type Element = f32;
    type Vector = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;
    const FREE_MASKS: bool = true;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn mask(count: usize) -> __mmask16 {
        ((1u32 << count) - 1) as __mmask16
    }
    #[inline(always)]
    unsafe fn load_masked(p: *const f32, mask: __mmask16) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(mask, p) }
    }
    #[inline(always)]
    unsafe fn store_masked(p: *mut f32, v: __m512, mask: __mmask16) {
        unsafe { _mm512_mask_storeu_ps(p, mask, v) }
    }
    #[inline(always)]
    unsafe fn add(x: __m512, y: __m512) -> __m512 {
        unsafe { _mm512_add_ps(x, y) }
    }
    #[inline(always)]
    unsafe fn fma(x: __m512, y: __m512, z: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(x, y, z) }
    }
    #[inline(always)]
    unsafe fn sum(v: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(v) }
    }
}

#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize, const ACCESS: u8>(t: &Tile<L::Element>) {
    unsafe { body::tile::<L, ROWS, VECTORS, ACCESS>(t) }
}

#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn dot<L: Lanes, const R: usize, const S: usize>(d: &Dots<L::Element>) {
    unsafe { body::dot::<L, R, S>(d) }
}

#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn copy(src: *const f32, lines: Offsets, count: usize, width: usize, dst: *mut f32, pitch: usize) {
    unsafe { body::copy::<F32x16>(src, lines, count, width, dst, pitch) }
}

macro_rules! packed {
    ($access:ident: $($rows:literal)*) => { &[$(widths!(tile, F32x16, $access, $rows: 1 2)),*] };
}

/// The kernels for `f32`.
pub(super) static F32: Kernels<f32> = Kernels {
    lanes: 16,
    strided: &[
        widths!(tile, F32x16, STRIDED, 1: 1 2 3 4 5 6 7 8),
        widths!(tile, F32x16, STRIDED, 2: 1 2 3 4 5 6 7 8),
        widths!(tile, F32x16, STRIDED, 3: 1 2 3 4 5 6 7 8),
        widths!(tile, F32x16, STRIDED, 4: 1 2 3 4),
        widths!(tile, F32x16, STRIDED, 5: 1 2 3 4),
        widths!(tile, F32x16, STRIDED, 6: 1 2 3 4),
        widths!(tile, F32x16, STRIDED, 7: 1 2 3),
        widths!(tile, F32x16, STRIDED, 8: 1 2),
        widths!(tile, F32x16, STRIDED, 9: 1 2),
        widths!(tile, F32x16, STRIDED, 10: 1 2),
        widths!(tile, F32x16, STRIDED, 11: 1 2),
        widths!(tile, F32x16, STRIDED, 12: 1 2),
        widths!(tile, F32x16, STRIDED, 13: 1 2),
        widths!(tile, F32x16, STRIDED, 14: 1 2),
    ],
    interleaved: packed!(INTERLEAVED: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    row_major: packed!(ROW_MAJOR: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    dot: dots!(dot, F32x16),
    copy,
    transpose: transpose as unsafe fn(&[*const f32; COLUMNS], usize, *mut f32, usize),
};

#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn transpose(src: &[*const f32; COLUMNS], count: usize, dst: *mut f32, pitch: usize) {
    unsafe { avx2::transpose(src, count, dst, pitch) }
}
