//! Y = X·Wᵀ + b for weights as files hold them, `[outputs, inputs]` in F32, F16 or BF16: dot products
//! along the rows of both, nothing packed.
//!
//! With a few rows of X the time is that of reading W, so W is read once for all rows, by all threads, and
//! several weights that share X are one product: a step of a decoder has few places where threads wait for
//! each other. Each number of Y is one sum in one order (see `tile`): a row gives the same bits alone and in
//! any batch. For many rows packed panels ([`super::gemm`]) are faster.

mod tile;
mod weight;

use std::ops::Range;

use rayon::prelude::*;

use self::tile::{COLUMNS, Tile, Tiles, WIDE, tallest, tiles};
pub use self::weight::WeightData;
use super::disjoint::Disjoint;
use super::scratch::with_scratch;
use super::sizes::product;

/// Multiplications below which a product stays on its thread: it would be over before another thread woke.
const SERIAL: usize = 1 << 15;
/// Numbers of a cache line: rows of X begin with one, or every register's load would touch two.
const LINE: usize = 16;
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
pub fn linear_few_rows(
    rows: usize,
    inputs: usize,
    input: &[f32],
    projections: &mut [Projection<'_>],
) {
    assert_eq!(input.len(), product([rows, inputs]), "numbers in the input of a projection");
    assert!(inputs > 0, "a projection of at least one number");
    if rows == 0 {
        return assert!(projections.iter().all(|part| part.out.is_empty()), "results of no rows");
    }
    let stride = inputs.next_multiple_of(LINE);
    with_scratch(rows * stride, |aligned| {
        aligned.chunks_exact_mut(stride).zip(input.chunks_exact(inputs)).for_each(|(into, row)| {
            into[..inputs].copy_from_slice(row);
        });
        let parts = projections.iter_mut().map(|part| Part::new(rows, inputs, aligned, part));
        compute(input.len(), &parts.collect::<Vec<_>>());
    });
}

/// Computes all parts, on all threads where that is worth it; `input` is the size of X.
fn compute(input: usize, parts: &[Part<'_>]) {
    let columns: usize = parts.iter().map(|part| part.columns).sum();
    if columns == 0 {
        return;
    }
    let run = |task: usize, tasks: usize| {
        // Cuts fall between wide tiles.
        let tiles = columns.div_ceil(COLUMNS);
        let cut = |index: usize| (index * tiles / tasks * COLUMNS).min(columns);
        each_part(parts, cut(task)..cut(task + 1), |part, columns| part.compute(columns));
    };
    let threads = rayon::current_num_threads();
    if input.saturating_mul(columns) < SERIAL || threads == 1 {
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
        let columns = projection.out.len() / rows;
        assert_eq!(projection.out.len(), rows * columns, "numbers in the result of a projection");
        assert_eq!(projection.weight.len(), product([columns, depth]), "numbers in the weight");
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
        // Tiles of about the same height: eight rows are four and four.
        let tiles = self.rows.div_ceil(tallest());
        let cut = |index: usize| index * self.rows / tiles;
        let width = if self.rows < WIDE { 1 } else { COLUMNS };
        let mut column = columns.start;
        while column < columns.end {
            let width = if column + width <= columns.end { width } else { 1 };
            for tile in 0..tiles {
                self.compute_tile(cut(tile)..cut(tile + 1), column, width);
            }
            column += width;
        }
    }

    fn compute_tile(&self, rows: Range<usize>, column: usize, width: usize) {
        let at = column * self.depth * self.weight.width();
        let stride = self.depth.next_multiple_of(LINE);
        let tile = Tile {
            depth: self.depth,
            input: self.input[rows.start * stride..].as_ptr(),
            input_stride: stride,
            // SAFETY: the column is one of the weight's rows, whose number was checked.
            weight: unsafe { self.weight.start().add(at) },
            bias: self.bias.map_or(std::ptr::null(), |bias| bias[column..].as_ptr()),
            out: self.out.at(rows.start * self.columns + column),
            out_stride: self.columns,
        };
        let function = self.tiles[rows.len() - 1][usize::from(width > 1)];
        // SAFETY: rows and columns lie within input, weight and result, whose sizes were checked, and no
        // two tasks have a column in common.
        unsafe { function(&tile) };
    }
}

#[cfg(test)]
mod tests;
