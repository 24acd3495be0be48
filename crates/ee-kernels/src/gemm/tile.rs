//! The tile: a few rows and a few registers of columns of the result, held in registers along the sum.
//!
//! 12 × 2 registers of 16 on AVX-512 (24 of 32 registers are sums), 6 × 2 of 8 on AVX2, 4 × 2 of 4
//! elsewhere. Right edges are written from a copy; lower edges have tiles of fewer rows.

use crate::InstructionSet;
use crate::lanes::{Lanes, Portable, prefetch};

/// What one tile reads and writes.
pub(super) struct Tile {
    /// Steps of the sum.
    pub(super) depth: usize,
    /// `[depth][rows]`
    pub(super) left: *const f32,
    /// `[depth][columns of a full tile]`
    pub(super) right: *const f32,
    pub(super) target: *mut f32,
    pub(super) target_stride: usize,
    /// Columns that the target has.
    pub(super) columns: usize,
    /// Add to the target rather than overwrite it.
    pub(super) accumulate: bool,
    /// Added to every row; null for none.
    pub(super) bias: *const f32,
}

/// A tile of a certain number of rows, compiled for an instruction set.
///
/// # Safety
/// The machine has the instruction set, and the tile's pointers are valid for what its fields say.
pub(super) type TileFunction = unsafe fn(&Tile);

/// The tiles of one instruction set.
pub(super) struct Tiles {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// The function for 1, 2, … `rows` rows.
    pub(super) by_rows: &'static [TileFunction],
}

impl Tiles {
    pub(super) fn of(set: InstructionSet) -> &'static Self {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => &x86::AVX512,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => &x86::AVX2,
            _ => &PORTABLE,
        }
    }
}

static PORTABLE: Tiles = Tiles {
    rows: 4,
    columns: 2 * Portable::WIDTH,
    by_rows: &[
        tile::<Portable, 1, 2>,
        tile::<Portable, 2, 2>,
        tile::<Portable, 3, 2>,
        tile::<Portable, 4, 2>,
    ],
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};

    use super::{Tile, Tiles, tile};

    #[target_feature(enable = "avx512f,avx2,fma")]
    unsafe fn avx512<const ROWS: usize>(what: &Tile) {
        // SAFETY: the caller's promise.
        unsafe { tile::<__m512, ROWS, 2>(what) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<const ROWS: usize>(what: &Tile) {
        // SAFETY: the caller's promise.
        unsafe { tile::<__m256, ROWS, 2>(what) }
    }

    pub(super) static AVX512: Tiles = Tiles {
        rows: 12,
        columns: 32,
        by_rows: &[
            avx512::<1>,
            avx512::<2>,
            avx512::<3>,
            avx512::<4>,
            avx512::<5>,
            avx512::<6>,
            avx512::<7>,
            avx512::<8>,
            avx512::<9>,
            avx512::<10>,
            avx512::<11>,
            avx512::<12>,
        ],
    };

    pub(super) static AVX2: Tiles = Tiles {
        rows: 6,
        columns: 16,
        by_rows: &[avx2::<1>, avx2::<2>, avx2::<3>, avx2::<4>, avx2::<5>, avx2::<6>],
    };
}

/// See [`TileFunction`].
#[inline(always)]
unsafe fn tile<V: Lanes, const ROWS: usize, const VECTORS: usize>(what: &Tile) {
    // SAFETY: the caller's promise; every access stays in the panels and in the target's columns.
    unsafe {
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                prefetch(what.target.wrapping_add(row * what.target_stride + vector * V::WIDTH));
            }
        }
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        let (mut left, mut right) = (what.left, what.right);
        for _ in 0..what.depth {
            let mut columns = [V::splat(0.0); VECTORS];
            for (vector, value) in columns.iter_mut().enumerate() {
                *value = V::load(right.add(vector * V::WIDTH));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let factor = V::splat(*left.add(row));
                for vector in 0..VECTORS {
                    sums[vector] = factor.mul_add(columns[vector], sums[vector]);
                }
            }
            left = left.add(ROWS);
            right = right.add(VECTORS * V::WIDTH);
        }
        write(what, &sums);
    }
}

/// Numbers of the largest tile.
const LARGEST: usize = 12 * 32;

/// Stores the sums, with bias and earlier contents as asked.
///
/// Sums are indexed by loops that unroll whole: one index known at run time only would keep them in
/// memory, and the loop along the sum would store each of them at every step.
///
/// # Safety
/// As [`TileFunction`].
#[inline(always)]
unsafe fn write<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    what: &Tile,
    sums: &[[V; VECTORS]; ROWS],
) {
    let full = VECTORS * V::WIDTH;
    if what.columns < full {
        let mut block = [0.0_f32; LARGEST];
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                // SAFETY: no tile is larger than `LARGEST`.
                unsafe { sum.store(block.as_mut_ptr().add(row * full + vector * V::WIDTH)) };
            }
        }
        // SAFETY: the caller's promise.
        unsafe { write_edge(what, block.chunks_exact(full).take(ROWS)) };
        return;
    }
    // SAFETY: the target and the bias have all of the tile's columns.
    unsafe {
        let mut bias = [V::splat(0.0); VECTORS];
        if !what.bias.is_null() {
            for (vector, bias) in bias.iter_mut().enumerate() {
                *bias = V::load(what.bias.add(vector * V::WIDTH));
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                let target = what.target.add(row * what.target_stride + vector * V::WIDTH);
                let mut value = sum.add(bias[vector]);
                if what.accumulate {
                    value = value.add(V::load(target));
                }
                value.store(target);
            }
        }
    }
}

/// Stores the columns that a tile at the right edge has.
///
/// # Safety
/// As [`TileFunction`].
unsafe fn write_edge<'a>(what: &Tile, rows: impl Iterator<Item = &'a [f32]>) {
    for (row, sums) in rows.enumerate() {
        for (column, sum) in sums[..what.columns].iter().enumerate() {
            // SAFETY: these columns exist in the target and in the bias.
            unsafe {
                let target = what.target.add(row * what.target_stride + column);
                let bias = if what.bias.is_null() { 0.0 } else { *what.bias.add(column) };
                let before = if what.accumulate { *target } else { 0.0 };
                *target = sum + bias + before;
            }
        }
    }
}
