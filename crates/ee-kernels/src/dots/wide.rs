//! The wide tile: from three rows of the input on, times some rows of the weight.
//!
//! The time is that of loading registers. A tile holds one of the four sums of each of its pairs at a time, and
//! its rows of the input lie in the order in which they are read ([`super::input`]): a stream of whole cache
//! lines, while the rows of the weight stay in the first cache. Long rows are taken a block at a time for all
//! rows of the input, with the sums kept in memory between blocks. Where step k is added depends on k alone, so
//! that a number of the result has the same bits as from a narrow tile.

use super::sums::{SUMS, add_rest};
use super::weight::Format;
use crate::lanes::{Lanes, prefetch_second};

/// Numbers of a row that are taken at a time: so many of four rows of the weight are half of the first cache. A
/// multiple of what four of the widest registers hold.
pub(super) const BLOCK: usize = 1024;

/// What one wide tile reads and writes.
pub(super) struct WideTile {
    /// Numbers of a row of the weight.
    pub(super) depth: usize,
    /// The block of the rows: where it begins, a multiple of [`BLOCK`].
    pub(super) from: usize,
    /// The tile's rows of the input, packed.
    pub(super) input: *const f32,
    /// The first of the tile's rows of the weight, in its own format.
    pub(super) weight: *const u8,
    /// This tile's share of the block that is next: where it begins, and the bytes per step.
    pub(super) ahead: (*const u8, usize),
    /// The sums between blocks: four registers a pair.
    pub(super) partial: *mut f32,
    /// One per row of the weight; null for none.
    pub(super) bias: *const f32,
    pub(super) out: *mut f32,
    /// Numbers between rows of `out`.
    pub(super) out_stride: usize,
}

/// Adds a block to the sums of a tile; the last block completes them.
///
/// # Safety
/// The machine has the instruction set, and the tile's pointers are valid for what its fields say.
#[inline(always)]
pub(super) unsafe fn wide_tile<V: Lanes, F: Format, const ROWS: usize, const COLUMNS: usize>(
    what: &WideTile,
) {
    let depth = what.depth;
    let weight = what.weight.cast::<F>();
    let stride = SUMS * V::WIDTH;
    let all = depth / stride;
    let steps = what.from / stride..all.min((what.from + BLOCK) / stride);
    let partial =
        |sum: usize, row: usize, column: usize| ((sum * ROWS + row) * COLUMNS + column) * V::WIDTH;
    // SAFETY: the caller's promise; every access stays in the rows, and prefetches read nothing.
    unsafe {
        for sum in 0..SUMS {
            let mut sums = [[V::splat(0.0); COLUMNS]; ROWS];
            if what.from > 0 {
                for (row, sums) in sums.iter_mut().enumerate() {
                    for (column, value) in sums.iter_mut().enumerate() {
                        *value = V::load(what.partial.add(partial(sum, row, column)));
                    }
                }
            }
            let mut ahead = what.ahead.0.wrapping_add(sum * depth * size_of::<F>());
            let mut input = what.input.add((sum * all + steps.start) * ROWS * V::WIDTH);
            // Before the first step and after the last it may lie beyond the weight.
            let mut at = weight.wrapping_add(steps.start * stride + sum * V::WIDTH);
            for _ in steps.clone() {
                for line in 0..(stride * size_of::<F>()).div_ceil(64) {
                    prefetch_second(ahead.wrapping_add(64 * line).cast());
                }
                ahead = ahead.wrapping_add(what.ahead.1);
                let mut rows = [V::splat(0.0); ROWS];
                for (row, value) in rows.iter_mut().enumerate() {
                    *value = V::load(input.add(row * V::WIDTH));
                }
                for column in 0..COLUMNS {
                    let number = F::load::<V>(at.add(column * depth));
                    for (sums, row) in sums.iter_mut().zip(rows) {
                        sums[column] = row.mul_add(number, sums[column]);
                    }
                }
                input = input.add(ROWS * V::WIDTH);
                at = at.wrapping_add(stride);
            }
            for (row, sums) in sums.iter().enumerate() {
                for (column, value) in sums.iter().enumerate() {
                    value.store(what.partial.add(partial(sum, row, column)));
                }
            }
        }
        if what.from + BLOCK < depth {
            return;
        }
        let (whole, rest) = (all * stride, depth - all * stride);
        for row in 0..ROWS {
            let input = what.input.add(whole * ROWS + row * rest);
            for column in 0..COLUMNS {
                let sum = |sum| V::load(what.partial.add(partial(sum, row, column)));
                let mut total = sum(0).add(sum(1)).add(sum(2).add(sum(3)));
                let weight = weight.add(column * depth + whole);
                total = add_rest::<V, F>(total, input, weight, rest);
                let bias = if what.bias.is_null() { 0.0 } else { *what.bias.add(column) };
                *what.out.add(row * what.out_stride + column) = total.sum() + bias;
            }
        }
    }
}
