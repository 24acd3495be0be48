//! What exits that do not draft would have guessed.

use burn::tensor::Tensor;

use ee_models::Decoder;
use ee_models::kernels::Rows;
use ee_models::signal::NotFinite;

use super::accept::Said;
use super::adapt::Outcome;
use crate::choose::Choice;
use crate::lane::select;

/// Positions that one look takes. Distributions are more expensive to make than a single best token.
pub(super) fn positions(choice: Choice) -> usize {
    match choice {
        Choice::Greedy => 8,
        Choice::Sample(_) => 3,
    }
}

/// States of some exits, kept while the layers run.
#[derive(Default)]
pub(super) struct Looks {
    exits: Vec<usize>,
    /// `[positions, d_model]` each, in the order in which they came.
    states: Vec<(usize, Tensor<2>)>,
}

impl Looks {
    pub(super) fn new(exits: Vec<usize>) -> Self {
        Self { exits, states: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exits.is_empty()
    }

    /// Keeps the state after `exit` layers if it is watched.
    pub(super) fn see(&mut self, exit: usize, state: impl FnOnce() -> Tensor<2>) {
        if self.exits.contains(&exit) {
            self.states.push((exit, state()));
        }
    }

    /// Brings what each step of one token per row left together, row after row.
    pub(super) fn join_steps(&mut self) {
        let steps = std::mem::take(&mut self.states);
        for &exit in &self.exits {
            let of_exit = steps.iter().filter(|(of, _)| *of == exit);
            let states: Vec<Tensor<2>> = of_exit.map(|(_, state)| state.clone()).collect();
            if !states.is_empty() {
                self.states.push((exit, by_row(states)));
            }
        }
    }

    /// Reads the head on every watched exit at some positions; `full` is what the last one says there.
    /// An error's row is one of `places`.
    pub(super) fn look(
        self,
        model: &dyn Decoder,
        choice: Choice,
        places: &[usize],
        full: &Said,
    ) -> Result<Vec<Outcome>, NotFinite> {
        let (exits, states): (Vec<usize>, Vec<Tensor<2>>) =
            self.states.into_iter().map(|(exit, state)| (exit, select(&state, places))).unzip();
        // All exits in one product; which of them is not finite follows from the row.
        let said = Said::of(model.read(Tensor::cat(states, 0), Rows::Few), 0, choice).map_err(
            |error| {
                NotFinite { exit: exits[error.row / places.len()], ..error }
                    .of_row(|at| places[at % places.len()])
            },
        )?;
        let outcome = |at: usize| {
            let (confidence, stays) = full.judge(places[at % places.len()], &said, at);
            Outcome { exit: exits[at / places.len()], confidence, stays }
        };
        Ok((0..exits.len() * places.len()).map(outcome).collect())
    }
}

/// At most `most` of `places`, evenly spread.
pub(super) fn spread(places: Vec<usize>, most: usize) -> Vec<usize> {
    let n = places.len();
    let most = n.min(most);
    (0..most).map(|at| places[at * n / most]).collect()
}

/// From one state per step, `[rows, d_model]` each, to row after row, `[rows * steps, d_model]`.
pub(super) fn by_row(steps: Vec<Tensor<2>>) -> Tensor<2> {
    let (n, [rows, d_model]) = (steps.len(), steps[0].dims());
    Tensor::cat(steps, 1).reshape([rows * n, d_model])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_spread_over_all() {
        assert_eq!(spread(vec![4, 5, 6], 8), [4, 5, 6]);
        assert_eq!(spread((0..16).collect(), 8), [0, 2, 4, 6, 8, 10, 12, 14]);
    }
}
