//! Products of few rows with a matrix whose columns are contiguous, as a weight's are for a prompt.
//!
//! Packing such a matrix transposes every one of its numbers, which for few rows takes longer than the
//! product. Here the rows are what is packed, and the columns are read where they lie: a tile holds some
//! columns times a register or two of rows. Each number of the result is the same sum in the same order as
//! in a product of many rows.

use std::ops::Range;

use rayon::prelude::*;

use super::pack::pack_panel;
use super::{DEPTH, Product};
use crate::InstructionSet;
use crate::disjoint::Disjoint;
use crate::lanes::{Lanes, Portable, prefetch};
use crate::scratch::with_scratch;

/// Panels of rows at most for which contiguous columns are read where they lie.
const SHORT: usize = 2;

/// Steps of the sum between prefetches of what is read next: a cache line of each column.
const LINE: usize = 16;

impl Product<'_> {
    /// Whether its rows are few and its columns contiguous.
    pub(super) fn is_short(&self) -> bool {
        let is_contiguous = self.right.depth_stride == 1 && self.right.line_stride > 1;
        is_contiguous && self.rows <= SHORT * self.tiles.columns
    }

    /// Computes a short product, whose panels are as wide as the columns of a tile are otherwise.
    pub(super) fn compute_short(&self, tasks: usize) {
        let tiles = ShortTiles::of(self.set);
        let width = tiles.rows * self.rows.div_ceil(tiles.rows).min(2);
        let panels = self.rows.div_ceil(width);
        with_scratch(panels * width * self.depth, |packed| {
            let packed = Disjoint::new(packed);
            for panel in 0..panels {
                let (first, to) = (panel * width, packed.at(panel * width * self.depth));
                let rows = (self.rows - first).min(width);
                // SAFETY: the lines were checked with the view; a panel has room for `depth` steps.
                unsafe { pack_panel(self.set, &self.left, first, rows, self.depth, width, to) };
            }
            let groups = self.columns.div_ceil(tiles.columns());
            let tasks = tasks.min(groups);
            let run = |task: usize| {
                let edge =
                    |task: usize| (task * groups / tasks * tiles.columns()).min(self.columns);
                self.block_short(tiles, packed, width, edge(task)..edge(task + 1));
            };
            if tasks == 1 {
                run(0);
            } else {
                (0..tasks).into_par_iter().with_max_len(1).for_each(run);
            }
        });
    }

    /// Computes some columns of all rows.
    fn block_short(
        &self,
        tiles: &ShortTiles,
        packed: Disjoint<'_>,
        width: usize,
        columns: Range<usize>,
    ) {
        for from in (0..self.depth).step_by(DEPTH) {
            let depth = (self.depth - from).min(DEPTH);
            let bias = if from == 0 { self.bias() } else { std::ptr::null() };
            for (column, tile) in tiles.cut(columns.clone(), width / tiles.rows) {
                for row in (0..self.rows).step_by(width) {
                    let what = ShortTile {
                        depth,
                        columns: self
                            .right
                            .start
                            .wrapping_add(column * self.right.line_stride + from),
                        column_stride: self.right.line_stride,
                        rows: packed.at(row * self.depth + from * width),
                        n_rows: (self.rows - row).min(width),
                        target: self.result.at(self.offset + row * self.stride + column),
                        target_stride: self.stride,
                        accumulate: self.epilogue.accumulate || from > 0,
                        bias: if bias.is_null() { bias } else { bias.wrapping_add(column) },
                    };
                    // SAFETY: panels, columns and target were checked; no two threads compute the same
                    // columns.
                    unsafe { tile(&what) };
                }
            }
        }
    }
}

/// What one tile reads and writes.
struct ShortTile {
    /// Steps of the sum.
    depth: usize,
    /// The first column of the right matrix.
    columns: *const f32,
    column_stride: usize,
    /// `[depth][rows of a full tile]`
    rows: *const f32,
    /// Rows that the target has.
    n_rows: usize,
    target: *mut f32,
    target_stride: usize,
    /// Add to the target rather than overwrite it.
    accumulate: bool,
    /// One number per column; null for none.
    bias: *const f32,
}

/// A tile of a certain number of columns and registers of rows, compiled for an instruction set.
///
/// # Safety
/// The machine has the instruction set, and the tile's pointers are valid for what its fields say.
type ShortTileFunction = unsafe fn(&ShortTile);

/// The tiles of one instruction set.
struct ShortTiles {
    /// Rows of a register.
    rows: usize,
    /// How many columns a tile takes, falling to 1, and its functions for one and for two registers.
    sizes: &'static [(usize, [ShortTileFunction; 2])],
}

impl ShortTiles {
    fn of(set: InstructionSet) -> &'static Self {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => &x86::AVX512,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => &x86::AVX2,
            _ => &PORTABLE,
        }
    }

    /// The most columns of a tile.
    fn columns(&self) -> usize {
        self.sizes[0].0
    }

    /// Cuts columns into tiles, for this many registers of rows.
    fn cut(
        &self,
        columns: Range<usize>,
        registers: usize,
    ) -> impl Iterator<Item = (usize, ShortTileFunction)> {
        let mut next = columns.start;
        std::iter::from_fn(move || {
            let left = columns.end - next;
            let (size, functions) = self.sizes.iter().find(|(size, _)| *size <= left)?;
            next += size;
            Some((next - size, functions[registers - 1]))
        })
    }
}

static PORTABLE: ShortTiles = ShortTiles {
    rows: Portable::WIDTH,
    sizes: &[
        (4, [tile::<Portable, 4, 1>, tile::<Portable, 4, 2>]),
        (1, [tile::<Portable, 1, 1>, tile::<Portable, 1, 2>]),
    ],
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};

    use super::{ShortTile, ShortTiles, tile};

    #[target_feature(enable = "avx512f,avx2,fma")]
    unsafe fn avx512<const COLUMNS: usize, const REGISTERS: usize>(what: &ShortTile) {
        // SAFETY: the caller's promise.
        unsafe { tile::<__m512, COLUMNS, REGISTERS>(what) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<const COLUMNS: usize, const REGISTERS: usize>(what: &ShortTile) {
        // SAFETY: the caller's promise.
        unsafe { tile::<__m256, COLUMNS, REGISTERS>(what) }
    }

    pub(super) static AVX512: ShortTiles = ShortTiles {
        rows: 16,
        sizes: &[
            (12, [avx512::<12, 1>, avx512::<12, 2>]),
            (4, [avx512::<4, 1>, avx512::<4, 2>]),
            (1, [avx512::<1, 1>, avx512::<1, 2>]),
        ],
    };

    pub(super) static AVX2: ShortTiles = ShortTiles {
        rows: 8,
        sizes: &[
            (6, [avx2::<6, 1>, avx2::<6, 2>]),
            (2, [avx2::<2, 1>, avx2::<2, 2>]),
            (1, [avx2::<1, 1>, avx2::<1, 2>]),
        ],
    };
}

/// Numbers of the largest tile.
const LARGEST: usize = 12 * 32;

/// See [`ShortTileFunction`].
#[inline(always)]
unsafe fn tile<V: Lanes, const COLUMNS: usize, const REGISTERS: usize>(what: &ShortTile) {
    let mut block = [0.0_f32; LARGEST];
    let full = REGISTERS * V::WIDTH;
    // SAFETY: the caller's promise; every read stays in the columns and the panel, and no tile is larger than
    // `LARGEST`.
    unsafe {
        let mut sums = [[V::splat(0.0); REGISTERS]; COLUMNS];
        let mut panel = what.rows;
        let mut from = 0;
        while from < what.depth {
            let steps = (what.depth - from).min(LINE);
            // The columns of the next tile: columns are short beside what memory takes to answer.
            for column in COLUMNS..2 * COLUMNS {
                prefetch(what.columns.wrapping_add(column * what.column_stride + from));
            }
            if steps == LINE {
                panel = advance(&mut sums, what, from, LINE, panel);
            } else {
                panel = advance(&mut sums, what, from, steps, panel);
            }
            from += steps;
        }
        for (column, sums) in sums.iter().enumerate() {
            for (register, sum) in sums.iter().enumerate() {
                sum.store(block.as_mut_ptr().add(column * full + register * V::WIDTH));
            }
        }
        write::<COLUMNS>(what, &block, full);
    }
}

/// Adds some steps to the sums; gives where the panel goes on.
///
/// # Safety
/// As [`ShortTileFunction`].
#[inline(always)]
unsafe fn advance<V: Lanes, const COLUMNS: usize, const REGISTERS: usize>(
    sums: &mut [[V; REGISTERS]; COLUMNS],
    what: &ShortTile,
    from: usize,
    steps: usize,
    mut panel: *const f32,
) -> *const f32 {
    // SAFETY: the caller's promise.
    unsafe {
        for step in from..from + steps {
            let mut rows = [V::splat(0.0); REGISTERS];
            for (register, value) in rows.iter_mut().enumerate() {
                *value = V::load(panel.add(register * V::WIDTH));
            }
            for (column, sums) in sums.iter_mut().enumerate() {
                let factor = V::splat(*what.columns.add(column * what.column_stride + step));
                for register in 0..REGISTERS {
                    sums[register] = rows[register].mul_add(factor, sums[register]);
                }
            }
            panel = panel.add(REGISTERS * V::WIDTH);
        }
    }
    panel
}

/// Stores the rows that the target has.
///
/// # Safety
/// As [`ShortTileFunction`].
#[inline(always)]
unsafe fn write<const COLUMNS: usize>(what: &ShortTile, block: &[f32; LARGEST], full: usize) {
    let mut bias = [0.0; COLUMNS];
    if !what.bias.is_null() {
        // SAFETY: the bias has all of the tile's columns.
        unsafe { bias = what.bias.cast::<[f32; COLUMNS]>().read() };
    }
    for row in 0..what.n_rows {
        // SAFETY: the target has this row and the tile's columns.
        let target = unsafe { what.target.add(row * what.target_stride) };
        for (column, bias) in bias.iter().enumerate() {
            let mut value = block[column * full + row] + bias;
            // SAFETY: as above.
            unsafe {
                if what.accumulate {
                    value += *target.add(column);
                }
                *target.add(column) = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_cut_into_tiles_of_falling_size() {
        let tiles = ShortTiles::of(InstructionSet::detect());
        let n = 2 * tiles.columns() + 3;
        let starts: Vec<usize> = tiles.cut(5..5 + n, 1).map(|(start, _)| start).collect();
        assert_eq!(starts[..2], [5, 5 + tiles.columns()]);
        assert!(starts.is_sorted() && *starts.last().unwrap() < 5 + n);
        assert_eq!(tiles.cut(7..7, 2).count(), 0);
        for set in [InstructionSet::Portable, InstructionSet::detect()] {
            assert_eq!(ShortTiles::of(set).sizes.last().unwrap().0, 1);
        }
    }
}
