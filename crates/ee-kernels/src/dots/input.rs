//! The rows of the input as tiles read them.

use super::sums::SUMS;
use super::tile::WIDE;

/// Numbers of a cache line: rows of X begin with one, or every register's load would touch two.
const LINE: usize = 16;

/// Rows of X: one after the other where they are one or two, else packed by tiles of about the same height. A
/// packed tile holds for each of the four sums the registers of its steps, row beside row, and after them what is
/// left of each row.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) rows: usize,
    pub(super) depth: usize,
    /// How many tiles there are.
    pub(super) tiles: usize,
    numbers: &'a [f32],
}

/// Numbers between rows of X.
fn stride(depth: usize) -> usize {
    depth.next_multiple_of(LINE)
}

impl<'a> Input<'a> {
    /// Numbers that the rows take.
    pub(super) fn size(rows: usize, depth: usize) -> usize {
        rows * stride(depth)
    }

    /// The rows of `from`, copied to `numbers`; tiles have at most `tallest` rows, registers `lanes` numbers.
    pub(super) fn new(
        (rows, depth): (usize, usize),
        (tallest, lanes): (usize, usize),
        from: &[f32],
        numbers: &'a mut [f32],
    ) -> Self {
        let input = Input { rows, depth, tiles: rows.div_ceil(tallest), numbers: &[] };
        if input.is_packed() {
            for tile in 0..input.tiles {
                let (first, end) = (input.first(tile), input.first(tile + 1));
                let to = &mut numbers[first * stride(depth)..end * stride(depth)];
                pack(depth, lanes, &from[first * depth..end * depth], to);
            }
        } else {
            for (to, from) in numbers.chunks_exact_mut(stride(depth)).zip(from.chunks_exact(depth))
            {
                to[..depth].copy_from_slice(from);
            }
        }
        Input { numbers, ..input }
    }

    pub(super) fn is_packed(&self) -> bool {
        self.rows >= WIDE
    }

    /// Numbers between rows that are not packed.
    pub(super) fn stride(&self) -> usize {
        stride(self.depth)
    }

    /// The first row of a tile; after the last one, the number of rows.
    pub(super) fn first(&self, tile: usize) -> usize {
        tile * self.rows / self.tiles
    }

    /// The numbers from a row on with which a tile begins.
    pub(super) fn at(&self, first: usize) -> *const f32 {
        self.numbers[first * self.stride()..].as_ptr()
    }
}

fn pack(depth: usize, lanes: usize, rows: &[f32], to: &mut [f32]) {
    let height = rows.len() / depth;
    let steps = depth / (SUMS * lanes);
    let (packed, rest) = to.split_at_mut(height * steps * SUMS * lanes);
    for (row, numbers) in rows.chunks_exact(depth).enumerate() {
        let (whole, left) = numbers.split_at(steps * SUMS * lanes);
        for (at, numbers) in whole.chunks_exact(lanes).enumerate() {
            let (step, sum) = (at / SUMS, at % SUMS);
            let place = ((sum * steps + step) * height + row) * lanes;
            packed[place..place + lanes].copy_from_slice(numbers);
        }
        rest[row * left.len()..(row + 1) * left.len()].copy_from_slice(left);
    }
}
