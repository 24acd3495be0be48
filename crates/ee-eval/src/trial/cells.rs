//! Cells that tables of trials share.

use super::record::{Texts, Trial, Trials};
use crate::report::table::Cell;

impl Texts {
    /// Texts that ran to their longest length.
    pub(crate) fn unfinished_cell(&self) -> Cell {
        let text = format!("{} of {}", self.unfinished, self.outputs.len());
        Cell::Number { value: self.unfinished as f64, text }
    }
}

impl Trial {
    pub(crate) fn average_exit(&self) -> Option<f64> {
        self.left.as_ref().map(|left| left.average_exit)
    }

    /// Tokens per second, plain decoding's, the speed-up with its range, rows per step and plain decoding's.
    pub(crate) fn speed_cells(&self, beside: &Trials) -> [Cell; 7] {
        let spread = self.pace.speed_up_by_round;
        [
            Cell::number(self.tokens_per_second, 1),
            Cell::number(beside.plain_tokens_per_second, 1),
            Cell::factor(self.pace.speed_up),
            Cell::factor(spread.min),
            Cell::factor(spread.max),
            Cell::number(self.texts.rows, 2),
            Cell::number(beside.plain.rows, 2),
        ]
    }
}
