//! Products of a few rows with the columns of a matrix that lie contiguous along the sum.
//!
//! With few rows, packing W would cost as much as the product. Here nothing is packed: a tile of rows and
//! columns takes a register of each along the sum and adds lanes at the end, as dot products do.

use crate::kernels::cpu::InstructionSet;
use crate::kernels::cpu::lanes::{Lanes, Portable};

use super::view::Lines;

/// Columns of a tile.
const COLUMNS: usize = 4;
/// Most rows of a tile: 6 × 4 sums, 4 columns and a row fill 29 of 32 registers.
const MOST_ROWS: usize = 6;

/// `target[row][column] (+)= rows[row] · columns[column] + bias[column]` for the columns given.
pub(super) struct FewRows {
    pub(super) depth: usize,
    /// Contiguous along the sum.
    pub(super) left: Lines,
    /// Contiguous along the sum.
    pub(super) right: Lines,
    pub(super) target: *mut f32,
    pub(super) target_stride: usize,
    pub(super) accumulate: bool,
    /// Null for none.
    pub(super) bias: *const f32,
}

// SAFETY: its users write to disjoint columns of the target and only read the rest.
unsafe impl Sync for FewRows {}

impl FewRows {
    /// Computes the columns `from..to`.
    ///
    /// # Safety
    /// The pointers are valid for what the fields say, no other thread writes these columns, and the
    /// machine has the instruction set.
    pub(super) unsafe fn compute(&self, set: InstructionSet, from: usize, to: usize) {
        match set {
            // SAFETY: the caller's promise.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512(self, from, to) },
            // SAFETY: the caller's promise.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { avx2(self, from, to) },
            // SAFETY: the caller's promise.
            _ => unsafe { columns::<Portable, 2>(self, from, to) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn avx512(what: &FewRows, from: usize, to: usize) {
    // SAFETY: the caller's promise.
    unsafe { columns::<std::arch::x86_64::__m512, MOST_ROWS>(what, from, to) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(what: &FewRows, from: usize, to: usize) {
    // SAFETY: the caller's promise. 16 registers hold 2 × 4 sums, 4 columns and a row.
    unsafe { columns::<std::arch::x86_64::__m256, 2>(what, from, to) }
}

/// See [`FewRows::compute`].
#[inline(always)]
unsafe fn columns<V: Lanes, const ROWS: usize>(what: &FewRows, from: usize, to: usize) {
    let blocks = what.left.count.div_ceil(ROWS);
    for column in (from..to).step_by(COLUMNS) {
        for block in 0..blocks {
            let row = block * what.left.count / blocks;
            let rows = (block + 1) * what.left.count / blocks - row;
            let wide = to - column >= COLUMNS;
            // SAFETY: rows and columns exist; narrow tiles at the right edge take one column at a time.
            unsafe {
                if wide {
                    by_rows::<V, COLUMNS>(what, row, rows, column);
                } else {
                    for column in column..to {
                        by_rows::<V, 1>(what, row, rows, column);
                    }
                }
            }
        }
    }
}

/// Chooses the tile of this many rows.
///
/// # Safety
/// As [`FewRows::compute`], for `rows` rows from `row` on and `N` columns from `column` on.
#[inline(always)]
unsafe fn by_rows<V: Lanes, const N: usize>(
    what: &FewRows,
    row: usize,
    rows: usize,
    column: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match rows {
            1 => dot_tile::<V, 1, N>(what, row, column),
            2 => dot_tile::<V, 2, N>(what, row, column),
            3 => dot_tile::<V, 3, N>(what, row, column),
            4 => dot_tile::<V, 4, N>(what, row, column),
            5 => dot_tile::<V, 5, N>(what, row, column),
            _ => dot_tile::<V, MOST_ROWS, N>(what, row, column),
        }
    }
}

/// `R` rows times `N` columns.
///
/// # Safety
/// As [`by_rows`].
#[inline(always)]
unsafe fn dot_tile<V: Lanes, const R: usize, const N: usize>(
    what: &FewRows,
    row: usize,
    column: usize,
) {
    // SAFETY: the caller's promise; the last step reads what is left of the lines.
    unsafe {
        let left = what.left.start.add(row * what.left.line_stride);
        let right = what.right.start.add(column * what.right.line_stride);
        let mut sums = [[V::splat(0.0); N]; R];
        let whole = what.depth / V::WIDTH * V::WIDTH;
        let mut step = 0;
        while step < whole {
            let mut columns = [V::splat(0.0); N];
            for (n, value) in columns.iter_mut().enumerate() {
                *value = V::load(right.add(n * what.right.line_stride + step));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let value = V::load(left.add(r * what.left.line_stride + step));
                for n in 0..N {
                    sums[n] = value.mul_add(columns[n], sums[n]);
                }
            }
            step += V::WIDTH;
        }
        let rest = what.depth - whole;
        if rest > 0 {
            for (r, sums) in sums.iter_mut().enumerate() {
                let value = V::load_first(left.add(r * what.left.line_stride + step), rest);
                for (n, sum) in sums.iter_mut().enumerate() {
                    let other = V::load_first(right.add(n * what.right.line_stride + step), rest);
                    *sum = value.mul_add(other, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                let target = what.target.add((row + r) * what.target_stride + column + n);
                let mut value = sum.sum();
                if !what.bias.is_null() {
                    value += *what.bias.add(column + n);
                }
                *target = if what.accumulate { *target + value } else { value };
            }
        }
    }
}
