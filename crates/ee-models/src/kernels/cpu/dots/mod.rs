//! Y = X·Wᵀ + b for weights as files hold them, `[outputs, inputs]` in F32, F16 or BF16: dot products
//! along the rows of both, nothing packed.
//!
//! With a few rows of X the time is that of reading W, so W is read once for all rows, by all threads, and
//! several weights that share X are one product: a step of a decoder has few places where threads wait for
//! each other. With many rows a block of W stays in the second cache while all rows pass. Each number of
//! Y is one sum in one order (see `tile`): a row gives the same bits alone and in any batch. The cost
//! against packed panels ([`super::gemm`]) is a sum across a register for each number of Y.

mod tile;
mod weight;

use std::ops::Range;

use rayon::prelude::*;

use self::tile::{COLUMNS, Tile, Tiles, tallest, tiles};
pub use self::weight::WeightData;
use super::disjoint::Disjoint;

/// Bytes of the weight that stay in the second cache while all rows of the input pass.
const BLOCK: usize = 256 << 10;
/// Multiplications below which a product stays on its thread: it would be over before another one woke.
const SERIAL: usize = 1 << 15;
/// Tasks per thread, so that threads end at about the same time.
const TASKS_PER_THREAD: usize = 4;

/// One of the weights that share an input, and where its result goes.
#[derive(Debug)]
pub struct Projection<'a> {
    /// W, `[outputs, inputs]`
    pub weight: WeightData<'a>,
    /// b, `[outputs]`
    pub bias: Option<&'a [f32]>,
    /// Y, `[rows, outputs]`
    pub out: &'a mut [f32],
}

/// Y = X·Wᵀ + b for every projection.
///
/// # Shapes
/// `input` `[rows, inputs]`; each weight `[outputs, inputs]` with its own number of outputs.
///
/// # Panics
/// If sizes do not fit together.
pub fn project(rows: usize, inputs: usize, input: &[f32], projections: &mut [Projection<'_>]) {
    assert_eq!(input.len(), rows * inputs, "numbers in the input of a projection");
    let parts: Vec<Part<'_>> = projections
        .iter_mut()
        .map(|projection| Part::new(rows, inputs, input, projection))
        .collect();
    let columns: usize = parts.iter().map(|part| part.columns).sum();
    if rows == 0 || columns == 0 {
        return;
    }
    let run = |task: usize, tasks: usize| {
        // Cuts fall between full tiles.
        let tiles = columns.div_ceil(COLUMNS);
        let cut = |index: usize| (index * tiles / tasks * COLUMNS).min(columns);
        each_part(&parts, cut(task)..cut(task + 1), |part, columns| part.compute(columns));
    };
    let threads = rayon::current_num_threads();
    if rows * columns * inputs < SERIAL || threads == 1 {
        run(0, 1);
    } else {
        let tasks = threads * TASKS_PER_THREAD;
        (0..tasks).into_par_iter().with_max_len(1).for_each(|task| run(task, tasks));
    }
}

/// Hands the columns of a range, counted over all parts, to the parts they belong to.
fn each_part<'p>(
    parts: &'p [Part<'p>],
    range: Range<usize>,
    compute: impl Fn(&'p Part<'p>, Range<usize>),
) {
    let mut first = 0;
    for part in parts {
        let from = range.start.clamp(first, first + part.columns) - first;
        let to = range.end.clamp(first, first + part.columns) - first;
        if from < to {
            compute(part, from..to);
        }
        first += part.columns;
    }
}

/// One checked projection.
struct Part<'a> {
    rows: usize,
    depth: usize,
    columns: usize,
    input: &'a [f32],
    weight: WeightData<'a>,
    bias: Option<&'a [f32]>,
    out: Disjoint<'a>,
    tiles: &'static Tiles,
}

impl<'a> Part<'a> {
    fn new(
        rows: usize,
        depth: usize,
        input: &'a [f32],
        projection: &'a mut Projection<'_>,
    ) -> Self {
        let columns = projection.out.len().checked_div(rows).unwrap_or(0);
        assert_eq!(projection.out.len(), rows * columns, "numbers in the result of a projection");
        assert_eq!(projection.weight.len(), columns * depth, "numbers in the weight");
        if let Some(bias) = projection.bias {
            assert_eq!(bias.len(), columns, "numbers in the bias");
        }
        let Projection { weight, bias, .. } = *projection;
        let tiles = tiles(weight);
        let out = Disjoint::new(projection.out);
        Self { rows, depth, columns, input, weight, bias, out, tiles }
    }

    /// Computes some columns of all rows.
    fn compute(&self, columns: Range<usize>) {
        let row_bytes = self.depth * self.weight.width();
        let block = (BLOCK / row_bytes.max(1)).next_multiple_of(COLUMNS).max(COLUMNS);
        // Tiles of about the same height: eight rows are four and four.
        let heights = self.rows.div_ceil(tallest());
        for first in columns.clone().step_by(block) {
            let columns = first..(first + block).min(columns.end);
            for tile in 0..heights {
                let cut = |index: usize| index * self.rows / heights;
                self.compute_rows(cut(tile)..cut(tile + 1), columns.clone());
            }
        }
    }

    fn compute_rows(&self, rows: Range<usize>, columns: Range<usize>) {
        let [full, single] = self.tiles[rows.len() - 1];
        let mut column = columns.start;
        while column < columns.end {
            let is_full = column + COLUMNS <= columns.end;
            let (function, width) = if is_full { (full, COLUMNS) } else { (single, 1) };
            let at = column * self.depth * self.weight.width();
            let tile = Tile {
                depth: self.depth,
                input: self.input[rows.start * self.depth..].as_ptr(),
                // SAFETY: the column is one of the weight's rows, whose number was checked.
                weight: unsafe { self.weight.start().add(at) },
                bias: self.bias.map_or(std::ptr::null(), |bias| bias[column..].as_ptr()),
                out: self.out.at(rows.start * self.columns + column),
                out_stride: self.columns,
            };
            // SAFETY: rows and columns lie within input, weight and result, whose sizes were checked, and
            // no two tasks have a column in common.
            unsafe { function(&tile) };
            column += width;
        }
    }
}

#[cfg(test)]
mod tests;
