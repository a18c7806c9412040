//! The kernels for every target: tiles of 4 rows by two arrays that the compiler turns into vectors.
//! Law: no instruction set beyond the target's own.

use super::body::{self, Lanes};
use super::{COLUMNS, Dots, Element, Kernels, Offsets, Tile, dots, widths};
use std::marker::PhantomData;

/// An element type with a multiply-add of the target's best precision that is not a library call.
trait MulAdd: Element {
    fn mul_add(x: Self, y: Self, z: Self) -> Self;
}

macro_rules! mul_add {
    ($($t:ty)*) => {$(
        impl MulAdd for $t {
            #[inline(always)]
            fn mul_add(x: $t, y: $t, z: $t) -> $t {
                if cfg!(target_arch = "aarch64") { <$t>::mul_add(x, y, z) } else { x * y + z }
            }
        }
    )*};
}
mul_add!(f32 f64);

/// `N` elements side by side.
struct Side<T, const N: usize>(PhantomData<T>);

impl<T: MulAdd, const N: usize> Lanes for Side<T, N> {
    type Element = T;
    type Vector = [T; N];
    type Mask = usize;
    const LANES: usize = N;
    const FREE_MASKS: bool = false;

    #[inline(always)]
    unsafe fn zero() -> [T; N] {
        [T::default(); N]
    }
    #[inline(always)]
    unsafe fn splat(x: T) -> [T; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(p: *const T) -> [T; N] {
        unsafe { p.cast::<[T; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut T, v: [T; N]) {
        unsafe { p.cast::<[T; N]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn mask(count: usize) -> usize {
        count
    }
    #[inline(always)]
    unsafe fn load_masked(p: *const T, count: usize) -> [T; N] {
        std::array::from_fn(|i| if i < count { unsafe { *p.wrapping_add(i) } } else { T::default() })
    }
    #[inline(always)]
    unsafe fn store_masked(p: *mut T, v: [T; N], count: usize) {
        for (i, x) in v.into_iter().enumerate() {
            if i < count {
                unsafe { *p.wrapping_add(i) = x };
            }
        }
    }
    #[inline(always)]
    unsafe fn add(x: [T; N], y: [T; N]) -> [T; N] {
        std::array::from_fn(|i| x[i] + y[i])
    }
    #[inline(always)]
    unsafe fn fma(x: [T; N], y: [T; N], z: [T; N]) -> [T; N] {
        std::array::from_fn(|i| T::mul_add(x[i], y[i], z[i]))
    }
    #[inline(always)]
    unsafe fn sum(v: [T; N]) -> T {
        v.into_iter().fold(T::default(), |sum, x| sum + x)
    }
}

unsafe fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize, const ACCESS: u8>(t: &Tile<L::Element>) {
    unsafe { body::tile::<L, ROWS, VECTORS, ACCESS>(t) }
}

unsafe fn dot<L: Lanes, const R: usize, const S: usize>(d: &Dots<L::Element>) {
    unsafe { body::dot::<L, R, S>(d) }
}

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

unsafe fn transpose<T: Copy>(src: &[*const T; COLUMNS], count: usize, dst: *mut T, pitch: usize) {
    unsafe { body::transpose(src, 0, count, dst, pitch) }
}

macro_rules! table {
    ($lanes:ty, $access:ident) => {
        &[
            widths!(tile, $lanes, $access, 1: 1 2 3 4),
            widths!(tile, $lanes, $access, 2: 1 2),
            widths!(tile, $lanes, $access, 3: 1 2),
            widths!(tile, $lanes, $access, 4: 1 2),
        ]
    };
}

macro_rules! kernels {
    ($t:ty, $lanes:literal) => {
        Kernels {
            lanes: $lanes,
            strided: table!(Side<$t, $lanes>, STRIDED),
            interleaved: table!(Side<$t, $lanes>, INTERLEAVED),
            row_major: table!(Side<$t, $lanes>, ROW_MAJOR),
            dot: dots!(dot, Side<$t, $lanes>),
            copy: copy::<Side<$t, $lanes>>,
            transpose: transpose::<$t>,
        }
    };
}

/// The kernels for `f32`.
pub(super) static F32: Kernels<f32> = kernels!(f32, 4);

/// The kernels for `f64`.
pub(super) static F64: Kernels<f64> = kernels!(f64, 4);
