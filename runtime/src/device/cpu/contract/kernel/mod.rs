//! The register kernels: one generic body, instantiated per instruction set and tile shape.
//! Law: an element of a tile is summed by one accumulator over ascending `k`, in every kernel but the dot kernels.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod body;
mod portable;

use super::{Isa, Offsets};

/// The longest piece of the sum that a tile kernel takes at once. 320 elements of a two-vector panel of `B` fill most
/// of a 48 KB first-level cache at 512 bits, and half of a 32 KB one at 256 bits.
pub(crate) const K_MAX: usize = 320;

/// The distance of rows in a row-major packed block of `A`: an odd number of cache lines, so rows share no set.
pub(crate) const PITCH: usize = K_MAX + 16;

/// How a tile kernel reads its block of `A`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// In place, by the strides in [`Tile`].
    Strided,
    /// Packed, the tile's rows side by side for each `k`.
    Interleaved,
    /// Packed, each row contiguous, rows [`PITCH`] apart.
    RowMajor,
}

/// One call of a tile kernel: `C[rows, cols] (+)= A[rows, k] * B[k, cols]`.
pub(crate) struct Tile<T> {
    /// The length of the sum.
    pub k: usize,
    /// The first element of `A`.
    pub a: *const T,
    /// Elements between rows of `A`, for [`Access::Strided`].
    pub a_row: isize,
    /// Elements between columns of `A`, for [`Access::Strided`].
    pub a_step: isize,
    /// The first element of `B`, whose rows are contiguous.
    pub b: *const T,
    /// Elements between rows of `B`.
    pub b_step: isize,
    /// The first element of the result, whose rows are contiguous.
    pub c: *mut T,
    /// Elements between rows of the result.
    pub c_row: isize,
    /// Columns: more than the vectors before the last hold, at most what all hold.
    pub cols: usize,
    /// Whether the result is added to.
    pub add: bool,
}

/// A tile kernel. # Safety: the instruction set is there and the addresses named by [`Tile`] are valid.
pub(crate) type TileFn<T> = unsafe fn(&Tile<T>);

/// Tile kernels by `[rows - 1][vectors - 1]`; fewer rows have at least as many widths.
pub(crate) type TileTable<T> = &'static [&'static [TileFn<T>]];

/// The most rows of the first operand that a dot kernel takes.
pub(crate) const DOT_LONG: usize = 8;

/// The most rows of the second operand that a dot kernel takes.
pub(crate) const DOT_SHORT: usize = 4;

/// One call of a dot kernel: `out[i * out_row + j * out_col] = sum over k of a[i][k] * b[j][k]`.
pub(crate) struct Dots<T> {
    /// The length of the sums.
    pub k: usize,
    /// Contiguous rows of the one operand.
    pub a: [*const T; DOT_LONG],
    /// Contiguous rows of the other operand.
    pub b: [*const T; DOT_SHORT],
    /// Where the first sum goes.
    pub out: *mut T,
    /// Elements between results of neighbouring rows of `a`.
    pub out_row: isize,
    /// Elements between results of neighbouring rows of `b`.
    pub out_col: isize,
}

/// A dot kernel. # Safety: the instruction set is there and the addresses named by [`Dots`] are valid.
pub(crate) type DotFn<T> = unsafe fn(&Dots<T>);

/// Copies `count` lines of `width` contiguous elements to lines `pitch` apart; line `i` starts at `src + lines.at(i)`.
/// # Safety: the instruction set is there, sources are readable, and `dst` has a vector of room behind the last line.
pub(crate) type CopyFn<T> =
    unsafe fn(src: *const T, lines: Offsets, count: usize, width: usize, dst: *mut T, pitch: usize);

/// How many columns a [`TransposeFn`] takes.
pub(crate) const COLUMNS: usize = 8;

/// Writes `dst[i * pitch + j] = src[j][i]` for `i` below `count` and `j` below [`COLUMNS`].
/// # Safety: the instruction set is there and all those addresses are valid.
pub(crate) type TransposeFn<T> = unsafe fn(src: &[*const T; COLUMNS], count: usize, dst: *mut T, pitch: usize);

/// The kernels of one element type and instruction set.
pub(crate) struct Kernels<T: 'static> {
    /// Elements in a vector.
    pub lanes: usize,
    /// For `A` in place.
    pub strided: TileTable<T>,
    /// For interleaved `A`.
    pub interleaved: TileTable<T>,
    /// For row-major packed `A`.
    pub row_major: TileTable<T>,
    /// Dot kernels by `[rows of b - 1][rows of a - 1]`; all widths up to [`DOT_SHORT`] are there.
    pub dot: &'static [&'static [DotFn<T>]],
    /// Packs contiguous lines.
    pub copy: CopyFn<T>,
    /// Packs columns.
    pub transpose: TransposeFn<T>,
}

impl<T> Kernels<T> {
    /// The kernels that read `A` in this way.
    pub fn tiles(&self, access: Access) -> TileTable<T> {
        match access {
            Access::Strided => self.strided,
            Access::Interleaved => self.interleaved,
            Access::RowMajor => self.row_major,
        }
    }

    /// The most rows of a tile.
    pub fn rows(&self) -> usize {
        self.strided.len()
    }
}

/// An element type that products can be computed in.
pub trait Element: Copy + Default + Send + Sync + std::fmt::Debug + std::ops::Add<Output = Self> + 'static {
    /// The kernels for an instruction set, which the machine must have.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn kernels(isa: Isa) -> &'static Kernels<Self>;
}

impl Element for f32 {
    #[allow(private_interfaces)]
    fn kernels(isa: Isa) -> &'static Kernels<f32> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &avx512::F32,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &avx2::F32,
            _ => &portable::F32,
        }
    }
}

impl Element for f64 {
    #[allow(private_interfaces)]
    fn kernels(isa: Isa) -> &'static Kernels<f64> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => &avx2::F64,
            _ => &portable::F64,
        }
    }
}

/// One row of a [`TileTable`]: the kernels of `$rows` rows for the widths listed.
macro_rules! widths {
    ($tile:ident, $lanes:ty, $access:ident, $rows:literal: $($vectors:literal)*) => {
        &[$($tile::<$lanes, $rows, $vectors, { $crate::device::cpu::contract::kernel::body::$access }>),*]
    };
}

/// The table of dot kernels.
macro_rules! dots {
    ($dot:ident, $lanes:ty) => {
        &[
            dots!($dot, $lanes, 1: 1 2 3 4 5 6 7 8),
            dots!($dot, $lanes, 2: 1 2 3 4),
            dots!($dot, $lanes, 3: 1 2 3 4),
            dots!($dot, $lanes, 4: 1 2 3 4),
        ]
    };
    ($dot:ident, $lanes:ty, $short:literal: $($long:literal)*) => {
        &[$($dot::<$lanes, $long, $short>),*]
    };
}

use {dots, widths};
