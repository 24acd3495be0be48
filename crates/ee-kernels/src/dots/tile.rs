//! The tiles: some rows of the input times some rows of the weight, four registers of partial sums for each
//! pair.
//!
//! With one or two rows of input the time is that of reading, and a tile takes one row of the weight: one
//! stream from memory, which the machine fetches ahead by itself, twice as fast as four side by side. With
//! more rows tiles are wide (see `wide`).

use super::sums::{SUMS, add_rest};
use super::weight::{Format, WeightData};
use super::wide::{WideTile, wide_tile};
use crate::InstructionSet;
use crate::lanes::{Lanes, Portable};

/// Rows of the input from which tiles are wide.
pub(super) const WIDE: usize = 3;
/// Rows of the weight in a wide tile.
pub(super) const COLUMNS: usize = 4;
/// Rows of the input in the tallest tile that is compiled.
const ROWS: usize = 6;

/// What one tile reads and writes.
pub(super) struct Tile {
    /// Numbers of a row of the input and of the weight.
    pub(super) depth: usize,
    pub(super) input: *const f32,
    /// Numbers between rows of the input.
    pub(super) input_stride: usize,
    /// The first of the tile's rows of the weight, in its own format.
    pub(super) weight: *const u8,
    /// One per row of the weight; null for none.
    pub(super) bias: *const f32,
    pub(super) out: *mut f32,
    /// Numbers between rows of `out`.
    pub(super) out_stride: usize,
}

/// A tile compiled for an instruction set and a format of weights.
///
/// # Safety
/// The machine has the instruction set, and the tile's pointers are valid for what its fields say.
pub(super) type TileFunction<T> = unsafe fn(&T);

/// The tiles of one instruction set and one format.
pub(super) struct Tiles {
    /// For 1, 2, … rows and one row of the weight.
    pub(super) narrow: [TileFunction<Tile>; WIDE - 1],
    /// For 1, 2, … rows, with one row of the weight and with [`COLUMNS`].
    pub(super) wide: [[TileFunction<WideTile>; 2]; ROWS],
}

/// Rows of the tallest tile whose sums the machine's registers hold, beside what they are made of.
pub(super) fn tallest() -> usize {
    match InstructionSet::detect() {
        InstructionSet::Avx512 => 6,
        InstructionSet::Avx2 => 3,
        InstructionSet::Portable => 2,
    }
}

/// Numbers of the machine's registers.
pub(super) fn lanes() -> usize {
    match InstructionSet::detect() {
        InstructionSet::Avx512 => 16,
        InstructionSet::Avx2 => 8,
        InstructionSet::Portable => Portable::WIDTH,
    }
}

/// The tiles for the machine and a weight.
pub(super) fn tiles(weight: WeightData<'_>) -> &'static Tiles {
    macro_rules! table {
        ($module:ident, $format:ty) => {{
            const TILES: &Tiles = &Tiles {
                narrow: [$module::narrow::<$format, 1>, $module::narrow::<$format, 2>],
                wide: [
                    [$module::wide::<$format, 1, 1>, $module::wide::<$format, 1, COLUMNS>],
                    [$module::wide::<$format, 2, 1>, $module::wide::<$format, 2, COLUMNS>],
                    [$module::wide::<$format, 3, 1>, $module::wide::<$format, 3, COLUMNS>],
                    [$module::wide::<$format, 4, 1>, $module::wide::<$format, 4, COLUMNS>],
                    [$module::wide::<$format, 5, 1>, $module::wide::<$format, 5, COLUMNS>],
                    [$module::wide::<$format, 6, 1>, $module::wide::<$format, 6, COLUMNS>],
                ],
            };
            TILES
        }};
    }
    macro_rules! tables {
        ($module:ident) => {
            match weight {
                WeightData::F32(_) => table!($module, f32),
                WeightData::F16(_) => table!($module, half::f16),
                WeightData::Bf16(_) => table!($module, half::bf16),
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

/// Defines the tiles of an instruction set.
macro_rules! tiles_of {
    ($module:ident, $register:ty $(, $features:literal)?) => {
        mod $module {
            use super::{Format, Tile, WideTile, tile, wide_tile};

            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn narrow<F: Format, const ROWS: usize>(what: &Tile) {
                // SAFETY: the caller's promise.
                unsafe { tile::<$register, F, ROWS>(what) }
            }

            $(#[target_feature(enable = $features)])?
            pub(super) unsafe fn wide<F: Format, const ROWS: usize, const COLUMNS: usize>(
                what: &WideTile,
            ) {
                // SAFETY: the caller's promise.
                unsafe { wide_tile::<$register, F, ROWS, COLUMNS>(what) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles_of!(avx512, std::arch::x86_64::__m512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
tiles_of!(avx2, std::arch::x86_64::__m256, "avx2,fma,f16c");
tiles_of!(portable, crate::lanes::Portable);

/// A tile of one row of the weight.
///
/// # Safety
/// As [`TileFunction`].
#[inline(always)]
unsafe fn tile<V: Lanes, F: Format, const ROWS: usize>(what: &Tile) {
    let depth = what.depth;
    let weight = what.weight.cast::<F>();
    // SAFETY: the caller's promise; every access stays in the rows.
    unsafe {
        let mut sums = [[V::splat(0.0); SUMS]; ROWS];
        let mut step = 0;
        while step + SUMS * V::WIDTH <= depth {
            let mut numbers = [V::splat(0.0); SUMS];
            for (sum, number) in numbers.iter_mut().enumerate() {
                *number = F::load::<V>(weight.add(step + sum * V::WIDTH));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let input = what.input.add(row * what.input_stride + step);
                for sum in 0..SUMS {
                    sums[sum] = {
                        let input = V::load(input.add(sum * V::WIDTH));
                        input.mul_add(numbers[sum], sums[sum])
                    };
                }
            }
            step += SUMS * V::WIDTH;
        }
        // Only these totals are alive beyond the loop: a use of the sums that is not unrolled whole would
        // keep them in memory.
        let mut totals = [V::splat(0.0); ROWS];
        for (row, total) in totals.iter_mut().enumerate() {
            *total = sums[row][0].add(sums[row][1]).add(sums[row][2].add(sums[row][3]));
        }
        let bias = if what.bias.is_null() { 0.0 } else { *what.bias };
        for (row, total) in totals.iter().enumerate() {
            let input = what.input.add(row * what.input_stride + step);
            let total = add_rest::<V, F>(*total, input, weight.add(step), depth - step);
            *what.out.add(row * what.out_stride) = total.sum() + bias;
        }
    }
}
