//! How a matrix lies in a slice.

use crate::sizes::end_of_rows;

/// A matrix in a slice, its rows or its columns contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatrixView<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> MatrixView<'a> {
    /// Element (i, j) lies at `i * row_stride + j * column_stride`.
    ///
    /// # Panics
    /// If neither stride is 1, elements share a place, or one lies outside `data`.
    pub(crate) fn new(
        data: &'a [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
        column_stride: usize,
    ) -> Self {
        assert!(
            row_stride == 1 || column_stride == 1,
            "one stride must be 1, found {row_stride} and {column_stride}"
        );
        if rows > 0 && columns > 0 {
            // No two elements share a place: a product's sizes are then those of memory that is there.
            let end = if column_stride == 1 {
                end_of_rows(0, rows, columns, row_stride)
            } else {
                end_of_rows(0, columns, rows, column_stride)
            };
            assert!(end <= data.len(), "a matrix of {end} numbers in {}", data.len());
        }
        Self { data, rows, columns, row_stride, column_stride }
    }

    /// Row after row, without gaps.
    pub(crate) fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::new(data, rows, columns, columns, 1)
    }

    /// The same numbers with rows and columns swapped.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Its lines for packing: the rows.
    pub(super) fn row_lines(&self) -> Lines {
        Lines {
            start: self.data.as_ptr(),
            line_stride: self.row_stride,
            depth_stride: self.column_stride,
        }
    }

    /// Its lines for packing: the columns.
    pub(super) fn column_lines(&self) -> Lines {
        self.transposed().row_lines()
    }
}

/// Vectors along the dimension that a product sums over: rows of the left matrix, columns of the right.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    pub(super) start: *const f32,
    pub(super) line_stride: usize,
    pub(super) depth_stride: usize,
}

impl Lines {
    /// The lines from a step on.
    ///
    /// # Safety
    /// The lines have that step.
    pub(super) unsafe fn starting_at(&self, step: usize) -> Self {
        // SAFETY: the caller's promise.
        Self { start: unsafe { self.start.add(step * self.depth_stride) }, ..*self }
    }
}

// SAFETY: it only reads a shared slice whose borrow the product holds.
unsafe impl Send for Lines {}
// SAFETY: as above.
unsafe impl Sync for Lines {}
