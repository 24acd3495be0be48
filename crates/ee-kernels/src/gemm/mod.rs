//! Matrix products: C = A·B, or C += A·B, with a bias per column.
//!
//! The left matrix is packed into panels once, by all threads. A task is a block of the result; it packs
//! its panels of the right matrix into its own cache, some steps of the sum at a time, and uses them at
//! once, so that weights are read once and never written to memory. Every number of the result is one sum
//! in one order, whatever the blocks, the threads and the number of rows: a row's result is the same bits
//! in a batch of any size.

mod pack;
mod short;
mod tile;
mod view;

use std::ops::Range;

use rayon::prelude::*;

use self::pack::pack_panel;
use self::tile::{Tile, Tiles};
use self::view::Lines;
pub(crate) use self::view::MatrixView;
use super::InstructionSet;
use super::disjoint::Disjoint;
use super::scratch::with_scratch;
use super::sizes::{end_of_rows, product};

/// Steps of the sum between visits to the result; a panel of the left matrix, 24 KiB, then fits the first
/// cache and meets all right panels there.
pub(super) const DEPTH: usize = 512;
/// Right panels that a task packs at once: 512 KiB, half of the second cache, from which a tile reads far
/// less than it could.
const PANELS: usize = 8;
/// Multiplications that a task should have at least.
const TASK: usize = 1 << 19;
/// Tasks per thread, so that threads end at about the same time.
const TASKS_PER_THREAD: usize = 4;

/// What happens to a product when it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// Add to the result's earlier contents rather than overwrite them.
    pub(crate) accumulate: bool,
    /// Added to every row, one number per column.
    pub(crate) bias: Option<&'a [f32]>,
}

/// C = A·B (+ C) (+ bias), C row-major without gaps.
pub(crate) fn gemm(
    left: MatrixView<'_>,
    right: MatrixView<'_>,
    result: &mut [f32],
    epilogue: Epilogue<'_>,
) {
    let columns = right.columns;
    let numbers = product([left.rows, columns]);
    assert_eq!(result.len(), numbers, "numbers in the result of a product");
    Product::new(left, right, Disjoint::new(result), 0, columns, epilogue).compute_on_all_threads();
}

/// [`gemm`] into the columns from `first` on of a result with `stride` columns.
///
/// # Safety
/// No other thread may read or write those columns of `result`.
pub(super) unsafe fn gemm_columns(
    left: MatrixView<'_>,
    right: MatrixView<'_>,
    result: Disjoint<'_>,
    first: usize,
    stride: usize,
    epilogue: Epilogue<'_>,
) {
    Product::new(left, right, result, first, stride, epilogue).compute_on_all_threads();
}

/// A product on the calling thread alone, written at `offset` of `result` with `stride` between rows.
///
/// # Safety
/// No other thread may read or write that part of `result`.
pub(super) unsafe fn gemm_serial(
    left: MatrixView<'_>,
    right: MatrixView<'_>,
    result: Disjoint<'_>,
    offset: usize,
    stride: usize,
    accumulate: bool,
) {
    let epilogue = Epilogue { accumulate, bias: None };
    let product = Product::new(left, right, result, offset, stride, epilogue);
    if !product.is_trivial() {
        product.compute(1);
    }
}

/// One product, checked.
struct Product<'a> {
    set: InstructionSet,
    tiles: &'static Tiles,
    rows: usize,
    columns: usize,
    depth: usize,
    left: Lines,
    right: Lines,
    result: Disjoint<'a>,
    offset: usize,
    stride: usize,
    epilogue: Epilogue<'a>,
}

impl<'a> Product<'a> {
    fn new(
        left: MatrixView<'a>,
        right: MatrixView<'a>,
        result: Disjoint<'a>,
        offset: usize,
        stride: usize,
        epilogue: Epilogue<'a>,
    ) -> Self {
        let (rows, depth, columns) = (left.rows, left.columns, right.columns);
        assert_eq!(depth, right.rows, "columns of the left matrix and rows of the right");
        if let Some(bias) = epilogue.bias {
            assert_eq!(bias.len(), columns, "numbers in the bias");
        }
        let end = end_of_rows(offset, rows, columns, stride);
        assert!(end <= result.len(), "a result of {end} numbers in {}", result.len());
        let set = InstructionSet::detect();
        Self {
            set,
            tiles: Tiles::of(set),
            rows,
            columns,
            depth,
            left: left.row_lines(),
            right: right.column_lines(),
            result,
            offset,
            stride,
            epilogue,
        }
    }

    fn compute_on_all_threads(&self) {
        if !self.is_trivial() {
            let multiplications = self.rows.saturating_mul(self.columns).saturating_mul(self.depth);
            let most = TASKS_PER_THREAD * rayon::current_num_threads();
            let worth = (multiplications / TASK).min(most);
            let tasks =
                if worth < 2 { 1 } else { worth.next_multiple_of(rayon::current_num_threads()) };
            self.compute(tasks);
        }
    }

    /// Whether the result is empty or a sum of nothing; writes it if so.
    fn is_trivial(&self) -> bool {
        if self.rows == 0 || self.columns == 0 {
            return true;
        }
        if self.depth > 0 {
            return false;
        }
        for row in 0..self.rows {
            // SAFETY: this product alone writes its result, one row at a time.
            let row = unsafe { self.result.part(self.offset + row * self.stride, self.columns) };
            if !self.epilogue.accumulate {
                row.fill(0.0);
            }
            if let Some(bias) = self.epilogue.bias {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
        true
    }

    fn bias(&self) -> *const f32 {
        self.epilogue.bias.map_or(std::ptr::null(), <[f32]>::as_ptr)
    }

    /// Computes the product in at least about `tasks` tasks; one stays on the calling thread.
    fn compute(&self, tasks: usize) {
        if self.is_short() {
            return self.compute_short(tasks);
        }
        let left = self.rows.div_ceil(self.tiles.rows);
        let right = self.columns.div_ceil(self.tiles.columns);
        let column_parts = tasks.min(right).max(right.div_ceil(PANELS));
        let row_parts = (tasks / column_parts).clamp(1, left);
        let part = |index: usize, of: usize, all: usize| index * all / of..(index + 1) * all / of;
        with_scratch((left * self.tiles.rows * self.depth).next_multiple_of(16), |packed| {
            let packed = Disjoint::new(packed);
            let run = |task: usize| {
                let rows = part(task % row_parts, row_parts, left);
                let columns = part(task / row_parts, column_parts, right);
                with_scratch(columns.len() * self.tiles.columns * DEPTH, |pieces| {
                    self.block(packed, Disjoint::new(pieces), rows, columns.clone());
                });
            };
            if tasks == 1 {
                (0..left).for_each(|panel| self.pack_left(panel, packed));
                (0..row_parts * column_parts).for_each(run);
            } else {
                let panels = (0..left).into_par_iter().with_min_len(4);
                panels.for_each(|panel| self.pack_left(panel, packed));
                let tasks = (0..row_parts * column_parts).into_par_iter().with_max_len(1);
                tasks.for_each(run);
            }
        });
    }

    fn pack_left(&self, panel: usize, packed: Disjoint<'_>) {
        let first = panel * self.tiles.rows;
        let width = (self.rows - first).min(self.tiles.rows);
        let to = packed.at(first * self.depth);
        // SAFETY: the lines were checked with the view; a panel has room for `rows * depth` numbers and is
        // packed by one thread. The last panel is as narrow as its tile.
        unsafe { pack_panel(self.set, &self.left, first, width, self.depth, width, to) };
    }

    /// Computes the tiles of some left panels times some right panels.
    fn block(
        &self,
        packed: Disjoint<'_>,
        pieces: Disjoint<'_>,
        left: Range<usize>,
        right: Range<usize>,
    ) {
        let piece = |panel: usize| pieces.at((panel - right.start) * self.tiles.columns * DEPTH);
        for from in (0..self.depth).step_by(DEPTH) {
            let depth = (self.depth - from).min(DEPTH);
            right.clone().for_each(|panel| self.pack_right(panel, from, depth, piece(panel)));
            for left in left.clone() {
                for right in right.clone() {
                    self.tile(packed, left, right, piece(right), from, depth);
                }
            }
        }
    }

    /// Packs some steps of a right panel.
    fn pack_right(&self, panel: usize, from: usize, depth: usize, to: *mut f32) {
        let stride = self.tiles.columns;
        let first = panel * stride;
        let width = (self.columns - first).min(stride);
        // SAFETY: the lines were checked with the view; a piece has room for `DEPTH` steps of a full tile
        // and belongs to the task that packs it.
        unsafe {
            let lines = self.right.starting_at(from);
            pack_panel(self.set, &lines, first, width, depth, stride, to);
        }
    }

    /// Computes `depth` steps from step `from` on of one tile; `panel` holds those of the right panel.
    fn tile(
        &self,
        packed: Disjoint<'_>,
        left: usize,
        right: usize,
        panel: *const f32,
        from: usize,
        depth: usize,
    ) {
        let Tiles { rows: tile_rows, columns: tile_columns, by_rows } = *self.tiles;
        let (row, column) = (left * tile_rows, right * tile_columns);
        let rows = (self.rows - row).min(tile_rows);
        let bias = if from == 0 { self.bias() } else { std::ptr::null() };
        let tile = Tile {
            depth,
            left: packed.at(row * self.depth + from * rows),
            right: panel,
            target: self.result.at(self.offset + row * self.stride + column),
            target_stride: self.stride,
            columns: (self.columns - column).min(tile_columns),
            accumulate: self.epilogue.accumulate || from > 0,
            bias: if bias.is_null() { bias } else { bias.wrapping_add(column) },
        };
        // SAFETY: panels and target were checked; no two threads compute the same tile.
        unsafe { by_rows[rows - 1](&tile) };
    }
}

#[cfg(test)]
mod tests;
