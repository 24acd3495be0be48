//! How often every exit would have guessed right.

use burn::tensor::{Int, Tensor, TensorData};

use super::accept::{overlap, probabilities};
use crate::exit::Decoder;
use crate::generate::Choice;
use crate::signal::Signals;

/// Positions that one look takes; the head then has so many rows for every exit. Distributions are dearer
/// to make than a single best token.
pub(super) fn positions(choice: Choice) -> usize {
    match choice {
        Choice::Greedy => 8,
        Choice::Sample(_) => 3,
    }
}

/// The agreement of exits 1..N with the last at some positions.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// By exit, over positions: how likely its guess stays; 0 or 1 each where decoding is greedy.
    pub(super) sums: Vec<f64>,
    /// Positions.
    pub(super) positions: usize,
    /// What looking took.
    pub(super) seconds: f64,
}

/// Reads the states of all exits 1..=N at some positions, `[positions, d_model]` each.
pub(super) fn look(model: &dyn Decoder, choice: Choice, states: Vec<Tensor<2>>) -> Look {
    let n_exits = states.len();
    let [positions, _] = states[0].dims();
    let logits = model.read_step(Tensor::cat(states, 0));
    let sums = match choice {
        Choice::Greedy => {
            let signals = Signals::read(logits, n_exits);
            let agree = |row: usize, exit: usize| {
                let exits = signals.row(row);
                exits[exit].0.prediction == exits[n_exits - 1].0.prediction
            };
            (0..n_exits - 1)
                .map(|exit| (0..positions).filter(|&row| agree(row, exit)).count() as f64)
                .collect()
        }
        Choice::Sample(sampling) => {
            let [_, vocabulary] = logits.dims();
            let logits = numbers(logits);
            let rows: Vec<Vec<f64>> =
                logits.chunks_exact(vocabulary).map(|row| probabilities(row, sampling)).collect();
            let (guesses, targets) = rows.split_at((n_exits - 1) * positions);
            let of_exit = |guesses: &[Vec<f64>]| {
                targets.iter().zip(guesses).map(|(p, q)| overlap(p, q)).sum()
            };
            guesses.chunks_exact(positions).map(of_exit).collect()
        }
    };
    Look { sums, positions, seconds: 0.0 }
}

/// At most `most` of `places`, evenly spread.
pub(super) fn spread(places: Vec<usize>, most: usize) -> Vec<usize> {
    let n = places.len();
    let most = n.min(most);
    (0..most).map(|at| places[at * n / most]).collect()
}

/// Some rows of a state.
pub(super) fn pick(state: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let indices = TensorData::new(indices, [rows.len()]);
    let device = state.device();
    state.select(0, Tensor::<1, Int>::from_data(indices, &device))
}

/// Logits on the host (one synchronisation).
pub(super) fn numbers(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().try_into_vec_as().expect("logits are floating-point numbers")
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
