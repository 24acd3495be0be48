//! The tiles: some rows of the input times some rows of the weight, four registers of partial sums for each
//! pair.
//!
//! With one or two rows of input the time is that of reading, and a tile takes one row of the weight: one
//! stream from memory, which the machine fetches ahead by itself, twice as fast as four side by side. With
//! more rows the time is that of loading registers, and a tile takes four rows of the weight, one of the
//! four sums of every pair at a time. Where step k is added depends on k alone, whatever the tile, so that a
//! number of the result has the same bits in a product of one row and in one of a hundred.

use super::weight::{Format, WeightData};
use crate::InstructionSet;
use crate::lanes::{Lanes, Portable, prefetch_second};

/// Rows of the input in the tallest tile that is compiled: 24 of AVX-512's 32 registers are sums then.
const ROWS: usize = 6;
/// Registers of partial sums for one pair of rows: enough to hide the latency of an addition.
const SUMS: usize = 4;
/// Rows of the weight in a wide tile.
pub(super) const COLUMNS: usize = 4;
/// Rows of the input from which a wide tile is the faster one.
pub(super) const WIDE: usize = 3;
/// Numbers of the widest register.
const WIDEST: usize = 16;

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

/// A tile of a certain number of rows, compiled for an instruction set and a format of weights.
///
/// # Safety
/// The machine has the instruction set, and the tile's pointers are valid for what its fields say.
pub(super) type TileFunction = unsafe fn(&Tile);

/// The tiles of one instruction set and one format: for 1, 2, … rows, with one row of the weight and with
/// [`COLUMNS`].
pub(super) type Tiles = [[TileFunction; 2]; ROWS];

/// Rows of the tallest tile whose sums the machine's registers hold.
pub(super) fn tallest() -> usize {
    match InstructionSet::detect() {
        InstructionSet::Avx512 => ROWS,
        _ => ROWS / 3,
    }
}

/// The tiles for the machine and a weight.
pub(super) fn tiles(weight: WeightData<'_>) -> &'static Tiles {
    macro_rules! table {
        ($function:ident, $format:ty) => {{
            const TILES: &Tiles = &[
                [$function::<$format, 1, 1>, $function::<$format, 1, COLUMNS>],
                [$function::<$format, 2, 1>, $function::<$format, 2, COLUMNS>],
                [$function::<$format, 3, 1>, $function::<$format, 3, COLUMNS>],
                [$function::<$format, 4, 1>, $function::<$format, 4, COLUMNS>],
                [$function::<$format, 5, 1>, $function::<$format, 5, COLUMNS>],
                [$function::<$format, 6, 1>, $function::<$format, 6, COLUMNS>],
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
    unsafe { either::<std::arch::x86_64::__m512, F, ROWS, COLUMNS>(what) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<F: Format, const ROWS: usize, const COLUMNS: usize>(what: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { either::<std::arch::x86_64::__m256, F, ROWS, COLUMNS>(what) }
}

unsafe fn portable<F: Format, const ROWS: usize, const COLUMNS: usize>(what: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { either::<Portable, F, ROWS, COLUMNS>(what) }
}

/// See [`TileFunction`].
#[inline(always)]
unsafe fn either<V: Lanes, F: Format, const ROWS: usize, const COLUMNS: usize>(what: &Tile) {
    // SAFETY: the caller's promise.
    unsafe {
        if COLUMNS == 1 { tile::<V, F, ROWS>(what) } else { wide_tile::<V, F, ROWS, COLUMNS>(what) }
    }
}

/// A tile of several rows of the weight.
///
/// # Safety
/// As [`TileFunction`].
#[inline(always)]
unsafe fn wide_tile<V: Lanes, F: Format, const ROWS: usize, const COLUMNS: usize>(what: &Tile) {
    let depth = what.depth;
    let weight = what.weight.cast::<F>();
    let whole = depth / (SUMS * V::WIDTH) * (SUMS * V::WIDTH);
    // SAFETY: the caller's promise; every access stays in the rows, and prefetches read nothing.
    unsafe {
        let mut partial = [[[V::splat(0.0); SUMS]; COLUMNS]; ROWS];
        // The next tile's rows lie behind this one's: they are asked for from first to last, as one stream.
        let mut ahead = weight.wrapping_add(COLUMNS * depth).cast::<f32>();
        for sum in 0..SUMS {
            let mut sums = [[V::splat(0.0); COLUMNS]; ROWS];
            let mut step = sum * V::WIDTH;
            while step < whole {
                let mut numbers = [V::splat(0.0); COLUMNS];
                for (column, number) in numbers.iter_mut().enumerate() {
                    *number = F::load::<V>(weight.add(column * depth + step));
                }
                for line in 0..(COLUMNS * V::WIDTH * size_of::<F>()).div_ceil(64) {
                    prefetch_second(ahead.wrapping_add(16 * line));
                }
                ahead = ahead.wrapping_add(COLUMNS * V::WIDTH * size_of::<F>() / 4);
                for (row, sums) in sums.iter_mut().enumerate() {
                    let input = V::load(what.input.add(row * what.input_stride + step));
                    for column in 0..COLUMNS {
                        sums[column] = input.mul_add(numbers[column], sums[column]);
                    }
                }
                step += SUMS * V::WIDTH;
            }
            for (partial, sums) in partial.iter_mut().zip(&sums) {
                for (partial, value) in partial.iter_mut().zip(sums) {
                    partial[sum] = *value;
                }
            }
        }
        for (row, partial) in partial.iter().enumerate() {
            for (column, sums) in partial.iter().enumerate() {
                let mut total = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
                let input = what.input.add(row * what.input_stride);
                total = add_rest::<V, F>(total, input, weight.add(column * depth), whole, depth);
                let bias = if what.bias.is_null() { 0.0 } else { *what.bias.add(column) };
                *what.out.add(row * what.out_stride + column) = total.sum() + bias;
            }
        }
    }
}

/// A total with the steps from `from` on, fewer than four registers hold.
///
/// # Safety
/// As [`TileFunction`].
#[inline(always)]
unsafe fn add_rest<V: Lanes, F: Format>(
    mut total: V,
    input: *const f32,
    weight: *const F,
    from: usize,
    depth: usize,
) -> V {
    let mut step = from;
    while step < depth {
        let n = (depth - step).min(V::WIDTH);
        // SAFETY: the caller's promise; `n` numbers are left in both rows.
        unsafe {
            let number = load_some::<V, F>(weight.add(step), n);
            total = load_some::<V, f32>(input.add(step), n).mul_add(number, total);
        }
        step += n;
    }
    total
}

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
            let input = what.input.add(row * what.input_stride);
            let total = add_rest::<V, F>(*total, input, weight, step, depth);
            *what.out.add(row * what.out_stride) = total.sum() + bias;
        }
    }
}

/// The first `n` numbers of a register, zeros after them.
///
/// # Safety
/// As [`TileFunction`]; `n` numbers can be read.
#[inline(always)]
unsafe fn load_some<V: Lanes, F: Format>(from: *const F, n: usize) -> V {
    // SAFETY: the caller's promise; `numbers` holds the widest register.
    unsafe {
        if n == V::WIDTH {
            return F::load::<V>(from);
        }
        let mut numbers = [0.0_f32; WIDEST];
        for (at, number) in numbers[..n].iter_mut().enumerate() {
            *number = (*from.add(at)).into();
        }
        V::load(numbers.as_ptr())
    }
}
