//! Y = X·Wᵀ + b for weights as files hold them, `[outputs, inputs]` in F32, F16 or BF16: dot products
//! along the rows of both, nothing packed.
//!
//! With a few rows of X the time is that of reading W, so W is read once for all rows, by all threads, and
//! several weights that share X are one product: a step of a decoder has few places where threads wait for
//! each other. Each number of Y is one sum in one order (see `tile`): a row gives the same bits alone and in
//! any batch. For many rows packed panels ([`super::gemm`]) are faster.

mod input;
mod sums;
mod tile;
mod weight;
mod wide;

use std::ops::Range;

use rayon::prelude::*;

use self::input::Input;
use self::sums::SUMS;
use self::tile::{COLUMNS, Tile, Tiles, lanes, tallest, tiles};
pub use self::weight::WeightData;
use self::wide::{BLOCK, WideTile};
use super::disjoint::Disjoint;
use super::scratch::with_scratch;
use super::sizes::product;

/// Multiplications below which a product stays on its thread: it would be over before another thread woke.
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
    with_scratch(Input::size(rows, inputs), |numbers| {
        let rows = Input::new((rows, inputs), (tallest(), lanes()), input, numbers);
        let parts = projections.iter_mut().map(|part| Part::new(rows, part));
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
    input: Input<'a>,
    columns: usize,
    weight: WeightData<'a>,
    bias: Option<&'a [f32]>,
    out: Disjoint<'a>,
    tiles: &'static Tiles,
}

impl<'a> Part<'a> {
    fn new(input: Input<'a>, projection: &'a mut Projection<'_>) -> Self {
        let Input { rows, depth, .. } = input;
        let columns = projection.out.len() / rows;
        assert_eq!(projection.out.len(), rows * columns, "numbers in the result of a projection");
        assert_eq!(projection.weight.len(), product([columns, depth]), "numbers in the weight");
        if let Some(bias) = projection.bias {
            assert_eq!(bias.len(), columns, "numbers in the bias");
        }
        let Projection { weight, bias, .. } = *projection;
        let tiles = tiles(weight);
        let out = Disjoint::new(projection.out);
        Self { input, columns, weight, bias, out, tiles }
    }

    /// Computes some columns of all rows.
    fn compute(&self, columns: Range<usize>) {
        if !self.input.is_packed() {
            return columns.for_each(|column| self.compute_narrow(column));
        }
        let Input { depth, tiles, .. } = self.input;
        let kept = if depth <= BLOCK { 1 } else { tiles };
        let of_tile = SUMS * tallest() * COLUMNS * lanes();
        with_scratch(kept * of_tile, |partial| {
            let partial = Disjoint::new(partial);
            let mut column = columns.start;
            while column < columns.end {
                let width = if column + COLUMNS <= columns.end { COLUMNS } else { 1 };
                for from in (0..depth).step_by(BLOCK) {
                    for tile in 0..tiles {
                        let partial = partial.at(tile % kept * of_tile);
                        self.compute_wide(tile, column..column + width, from, partial);
                    }
                }
                column += width;
            }
        });
    }

    /// Where a row of the weight begins.
    fn weight_at(&self, column: usize) -> *const u8 {
        let at = column * self.input.depth * self.weight.width();
        self.weight.start().wrapping_add(at)
    }

    fn bias_at(&self, column: usize) -> *const f32 {
        self.bias.map_or(std::ptr::null(), |bias| bias[column..].as_ptr())
    }

    /// One column of the one or two rows.
    fn compute_narrow(&self, column: usize) {
        let Input { rows, depth, .. } = self.input;
        let tile = Tile {
            depth,
            input: self.input.at(0),
            input_stride: self.input.stride(),
            weight: self.weight_at(column),
            bias: self.bias_at(column),
            out: self.out.at(column),
            out_stride: self.columns,
        };
        // SAFETY: rows and column lie within input, weight and result, whose sizes were checked, and no two
        // tasks have a column in common.
        unsafe { self.tiles.narrow[rows - 1](&tile) };
    }

    /// A block of some columns of a tile's rows.
    fn compute_wide(&self, tile: usize, columns: Range<usize>, from: usize, partial: *mut f32) {
        let Input { depth, tiles, .. } = self.input;
        let (row, end) = (self.input.first(tile), self.input.first(tile + 1));
        let (column, weight) = (columns.start, self.weight_at(columns.start));
        // Tiles share the asking for what is next: the next block of these columns, or the next columns.
        let next = if from + BLOCK < depth { from + BLOCK } else { columns.len() * depth };
        let of_step = SUMS * lanes();
        let share = (of_step * self.weight.width()).div_ceil(tiles);
        let ahead = next * self.weight.width() + tile * share * (depth.min(BLOCK) / of_step);
        let what = WideTile {
            depth,
            from,
            input: self.input.at(row),
            weight,
            ahead: (weight.wrapping_add(ahead), share),
            partial,
            bias: self.bias_at(column),
            out: self.out.at(row * self.columns + column),
            out_stride: self.columns,
        };
        // SAFETY: as for a narrow tile; `partial` holds the sums of the tallest tile.
        unsafe { self.tiles.wide[end - row - 1][usize::from(columns.len() > 1)](&what) };
    }
}

#[cfg(test)]
mod tests;
