//! Matrix products: C = A·B, or C += A·B, with a bias per column.
//!
//! Many rows: both matrices are packed into panels by all threads, then blocks of the result, each small
//! enough that its panels stay in the second-level cache, go to the threads as they come free (one parallel
//! region each). Few rows (≤ [`FEW_ROWS`]): packing the right matrix through memory would cost as much as
//! the product, so each thread packs a piece of a panel into its first-level cache and uses it at once.
//! Whatever the path, the blocks and the threads, every number of the result is one sum in one order, which
//! the number of rows does not change: a row's result is the same bits in a batch of any size.

mod pack;
mod tile;
mod view;

use rayon::prelude::*;

use self::pack::pack_panel;
use self::tile::{Tile, Tiles, WIDEST_TILE};
use self::view::Lines;
pub use self::view::MatrixView;
use super::InstructionSet;
use super::disjoint::Disjoint;
use super::scratch::with_scratch;

/// Up to so many rows are not worth packing the right matrix through memory for.
const FEW_ROWS: usize = 96;
/// Steps of the sum between visits to the result; a panel of the right matrix then fits the first cache.
const DEPTH: usize = 256;
/// Rows of a block.
const BLOCK_ROWS: usize = 192;
/// Columns of a block.
const BLOCK_COLUMNS: usize = 384;
/// Products below so many multiplications stay on the calling thread.
const SERIAL: usize = 1 << 18;
/// Multiplications that a task of the few-row path should have at least.
const TASK: usize = 1 << 19;

/// Some steps of a right panel, in the cache of the thread that uses them.
#[repr(align(64))]
struct Piece([f32; DEPTH * WIDEST_TILE]);

/// What happens to a product when it is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Add to the result's earlier contents rather than overwrite them.
    pub accumulate: bool,
    /// Added to every row, one number per column.
    pub bias: Option<&'a [f32]>,
}

/// C = A·B (+ C) (+ bias), C row-major without gaps.
///
/// # Panics
/// If the sizes do not fit together.
pub fn gemm(
    left: MatrixView<'_>,
    right: MatrixView<'_>,
    result: &mut [f32],
    epilogue: Epilogue<'_>,
) {
    let columns = right.columns;
    assert_eq!(result.len(), left.rows * columns, "numbers in the result of a product");
    let product = Product::new(left, right, Disjoint::new(result), 0, columns, epilogue);
    product.compute_on_all_threads(None);
}

/// [`gemm`] that hands each finished part of the result to `finish` while it is in the cache: the offset
/// of a run of numbers of one row, and the run.
pub(super) fn gemm_then(
    left: MatrixView<'_>,
    right: MatrixView<'_>,
    result: &mut [f32],
    epilogue: Epilogue<'_>,
    finish: &(dyn Fn(usize, &[f32]) + Sync),
) {
    let columns = right.columns;
    assert_eq!(result.len(), left.rows * columns, "numbers in the result of a product");
    let product = Product::new(left, right, Disjoint::new(result), 0, columns, epilogue);
    product.compute_on_all_threads(Some(finish));
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
        product.compute_packed_serially();
    }
}

/// Called with each finished part of a result.
type Finish<'a> = Option<&'a (dyn Fn(usize, &[f32]) + Sync)>;

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
        if rows > 0 {
            result.at(offset + (rows - 1) * stride + columns);
        }
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

    fn compute_on_all_threads(&self, finish: Finish<'_>) {
        if self.is_trivial() {
            self.finish(finish, 0..self.rows, 0..self.columns);
        } else if self.rows <= FEW_ROWS {
            self.compute_few_rows(finish);
        } else if self.rows * self.columns * self.depth < SERIAL {
            self.compute_packed_serially();
            self.finish(finish, 0..self.rows, 0..self.columns);
        } else {
            self.compute_packed(finish);
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

    fn finish(
        &self,
        finish: Finish<'_>,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) {
        if let Some(finish) = finish {
            for row in rows {
                let offset = self.offset + row * self.stride + columns.start;
                // SAFETY: whoever calls this has written the part and nobody writes it again.
                finish(offset, unsafe { self.result.part(offset, columns.len()) });
            }
        }
    }

    fn bias(&self) -> *const f32 {
        self.epilogue.bias.map_or(std::ptr::null(), <[f32]>::as_ptr)
    }

    fn compute_few_rows(&self, finish: Finish<'_>) {
        let (left, right, left_len) = self.panels();
        with_scratch(left_len, |packed| {
            let packed = Disjoint::new(packed);
            (0..left).into_par_iter().with_min_len(4).for_each(|panel| {
                self.pack_left(panel, packed);
            });
            let of_panel = self.rows * self.depth * self.tiles.columns;
            let per_task = (TASK / of_panel).max(1);
            let run = |task: usize| {
                let panels = task * per_task..((task + 1) * per_task).min(right);
                let mut piece = Piece([0.0; DEPTH * WIDEST_TILE]);
                let piece = Disjoint::new(&mut piece.0);
                panels.clone().for_each(|panel| self.stream(packed, left, panel, piece));
                let last_column = (panels.end * self.tiles.columns).min(self.columns);
                let columns = panels.start * self.tiles.columns..last_column;
                self.finish(finish, 0..self.rows, columns);
            };
            match right.div_ceil(per_task) {
                1 => run(0),
                tasks => (0..tasks).into_par_iter().with_max_len(1).for_each(run),
            }
        });
    }

    /// Computes the columns of one right panel, packed piece by piece.
    fn stream(&self, packed: Disjoint<'_>, left: usize, right: usize, piece: Disjoint<'_>) {
        let stride = self.tiles.columns;
        let first = right * stride;
        let width = (self.columns - first).min(stride);
        for from in (0..self.depth).step_by(DEPTH) {
            let depth = (self.depth - from).min(DEPTH);
            // SAFETY: the lines were checked with the view; a piece has room for its steps of a full tile.
            unsafe {
                let lines = self.right.from_step(from);
                pack_panel(self.set, &lines, first, width, depth, stride, piece.at(0));
            }
            for left in 0..left {
                self.tile(packed, left, right, piece.at(0), from, depth);
            }
        }
    }

    /// Panels of the left and of the right matrix, and the numbers that the packed left ones take.
    fn panels(&self) -> (usize, usize, usize) {
        let left = self.rows.div_ceil(self.tiles.rows);
        let right = self.columns.div_ceil(self.tiles.columns);
        (left, right, (left * self.tiles.rows * self.depth).next_multiple_of(16))
    }

    fn compute_packed_serially(&self) {
        let (left, right, left_len) = self.panels();
        with_scratch(left_len + right * self.tiles.columns * self.depth, |packed| {
            let packed = Disjoint::new(packed);
            (0..left).for_each(|panel| self.pack_left(panel, packed));
            (0..right).for_each(|panel| self.pack_right(panel, packed, left_len));
            self.block(packed, left_len, 0..left, 0..right);
        });
    }

    fn compute_packed(&self, finish: Finish<'_>) {
        let (left, right, left_len) = self.panels();
        with_scratch(left_len + right * self.tiles.columns * self.depth, |packed| {
            let packed = Disjoint::new(packed);
            (0..left + right).into_par_iter().for_each(|panel| {
                if panel < left {
                    self.pack_left(panel, packed);
                } else {
                    self.pack_right(panel - left, packed, left_len);
                }
            });
            let row_blocks = self.rows.div_ceil(BLOCK_ROWS).min(left);
            let column_blocks = self.columns.div_ceil(BLOCK_COLUMNS).min(right);
            let part =
                |index: usize, of: usize, all: usize| index * all / of..(index + 1) * all / of;
            (0..row_blocks * column_blocks).into_par_iter().with_max_len(1).for_each(|block| {
                let rows = part(block % row_blocks, row_blocks, left);
                let columns = part(block / row_blocks, column_blocks, right);
                self.block(packed, left_len, rows.clone(), columns.clone());
                let last_row = (rows.end * self.tiles.rows).min(self.rows);
                let last_column = (columns.end * self.tiles.columns).min(self.columns);
                let columns = columns.start * self.tiles.columns..last_column;
                self.finish(finish, rows.start * self.tiles.rows..last_row, columns);
            });
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

    fn pack_right(&self, panel: usize, packed: Disjoint<'_>, left_len: usize) {
        let stride = self.tiles.columns;
        let first = panel * stride;
        let width = (self.columns - first).min(stride);
        let to = packed.at(left_len + first * self.depth);
        // SAFETY: as for the left panels; these are always full.
        unsafe { pack_panel(self.set, &self.right, first, width, self.depth, stride, to) };
    }

    /// Computes the tiles of some left panels times some right panels.
    fn block(
        &self,
        packed: Disjoint<'_>,
        left_len: usize,
        left: std::ops::Range<usize>,
        right: std::ops::Range<usize>,
    ) {
        let stride = self.tiles.columns;
        for from in (0..self.depth).step_by(DEPTH) {
            let depth = (self.depth - from).min(DEPTH);
            for right in right.clone() {
                let panel = packed.at(left_len + right * stride * self.depth + from * stride);
                for left in left.clone() {
                    self.tile(packed, left, right, panel, from, depth);
                }
            }
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
