//! The tile: some rows of the input times some rows of the weight, one register of partial sums for each
//! pair.
//!
//! Lane i of a pair's register sums the steps i, i + width, …, whatever the tile, so that a number of the
//! result has the same bits in a product of one row and in one of a hundred.

use super::weight::{Format, WeightData};
use crate::kernels::cpu::InstructionSet;
use crate::kernels::cpu::lanes::{Lanes, Portable, prefetch};

/// Rows of the input in the tallest tile that is compiled: 24 of AVX-512's 32 registers are sums then.
const ROWS: usize = 6;
/// Rows of the weight in a full tile.
pub(super) const COLUMNS: usize = 4;
/// Numbers of the widest register.
const WIDEST: usize = 16;

/// What one tile reads and writes.
pub(super) struct Tile {
    /// Numbers of a row of the input and of the weight.
    pub(super) depth: usize,
    pub(super) input: *const f32,
    /// The first of the tile's weight rows, in its own format.
    pub(super) weight: *const u8,
    /// Added to each column; null for none.
    pub(super) bias: *const f32,
    pub(super) out: *mut f32,
    /// Numbers between rows of `out`.
    pub(super) out_stride: usize,
}

/// A tile of a certain size, compiled for an instruction set and a format of weights.
///
/// # Safety
/// The machine has the instruction set, and the tile's pointers are valid for what its fields say.
pub(super) type TileFunction = unsafe fn(&Tile);

/// The tiles of one instruction set and one format: for 1, 2, … rows, a full tile and one of one column.
pub(super) type Tiles = [[TileFunction; 2]; ROWS];

/// Rows of the tallest tile whose sums the machine's registers hold.
pub(super) fn tallest() -> usize {
    match InstructionSet::detect() {
        InstructionSet::Avx512 => ROWS,
        _ => ROWS / 2,
    }
}

/// The tiles for the machine and a weight.
pub(super) fn tiles(weight: WeightData<'_>) -> &'static Tiles {
    macro_rules! table {
        ($function:ident, $format:ty) => {{
            const TILES: &Tiles = &[
                [$function::<$format, 1, COLUMNS>, $function::<$format, 1, 1>],
                [$function::<$format, 2, COLUMNS>, $function::<$format, 2, 1>],
                [$function::<$format, 3, COLUMNS>, $function::<$format, 3, 1>],
                [$function::<$format, 4, COLUMNS>, $function::<$format, 4, 1>],
                [$function::<$format, 5, COLUMNS>, $function::<$format, 5, 1>],
                [$function::<$format, 6, COLUMNS>, $function::<$format, 6, 1>],
            ];
            TILES
        }};
    }
    macro_rules! tables {
        ($function:ident) => {
            match weight {
                WeightData::F32(_) => table!($function, f32),
                WeightData::F16(_) => table!($function, half::f16),
                WeightData::Bf16(_) => table!($function, half::bf16),
            }
        };
    }
    match InstructionSet::detect() {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => tables!(avx512),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => tables!(avx2),
        _ => tables!(portable),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn avx512<F: Format, const ROWS: usize, const COLUMNS: usize>(what: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { tile::<std::arch::x86_64::__m512, F, ROWS, COLUMNS>(what) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<F: Format, const ROWS: usize, const COLUMNS: usize>(what: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { tile::<std::arch::x86_64::__m256, F, ROWS, COLUMNS>(what) }
}

unsafe fn portable<F: Format, const ROWS: usize, const COLUMNS: usize>(what: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { tile::<Portable, F, ROWS, COLUMNS>(what) }
}

/// See [`TileFunction`].
#[inline(always)]
unsafe fn tile<V: Lanes, F: Format, const ROWS: usize, const COLUMNS: usize>(what: &Tile) {
    let depth = what.depth;
    let weight = what.weight.cast::<F>();
    let whole = depth - depth % V::WIDTH;
    // SAFETY: the caller's promise; every access stays in the rows, and prefetches read nothing.
    unsafe {
        let mut sums = [[V::splat(0.0); COLUMNS]; ROWS];
        let mut step = 0;
        while step < whole {
            let mut columns = [V::splat(0.0); COLUMNS];
            for (column, value) in columns.iter_mut().enumerate() {
                let at = weight.add(column * depth + step);
                *value = F::load::<V>(at);
                // The rows of the next tile, before it needs them.
                prefetch(at.wrapping_add(COLUMNS * depth).cast());
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let factor = V::load(what.input.add(row * depth + step));
                for column in 0..COLUMNS {
                    sums[column] = factor.mul_add(columns[column], sums[column]);
                }
            }
            step += V::WIDTH;
        }
        if whole < depth {
            add_rest::<V, F, ROWS, COLUMNS>(what, whole, &mut sums);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (column, sum) in sums.iter().enumerate() {
                let bias = if what.bias.is_null() { 0.0 } else { *what.bias.add(column) };
                *what.out.add(row * what.out_stride + column) = sum.sum() + bias;
            }
        }
    }
}

/// Adds the steps from `whole` on, fewer than a register holds.
///
/// # Safety
/// As [`TileFunction`].
#[inline(always)]
unsafe fn add_rest<V: Lanes, F: Format, const ROWS: usize, const COLUMNS: usize>(
    what: &Tile,
    whole: usize,
    sums: &mut [[V; COLUMNS]; ROWS],
) {
    let mut rest = [0.0_f32; WIDEST];
    // SAFETY: the caller's promise; `rest` holds a whole register.
    unsafe {
        let mut columns = [V::splat(0.0); COLUMNS];
        for (column, value) in columns.iter_mut().enumerate() {
            for step in whole..what.depth {
                let number = *what.weight.cast::<F>().add(column * what.depth + step);
                rest[step - whole] = number.into();
            }
            *value = V::load(rest.as_ptr());
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            for step in whole..what.depth {
                rest[step - whole] = *what.input.add(row * what.depth + step);
            }
            let factor = V::load(rest.as_ptr());
            for column in 0..COLUMNS {
                sums[column] = factor.mul_add(columns[column], sums[column]);
            }
        }
    }
}
