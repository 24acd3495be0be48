//! Which rows each step learns from, and which of them travel through the model together.
//!
//! Everything follows from the rows' lengths, the seed and the number of the step: a run that goes on needs no more.

use crate::config::BatchConfig;
use crate::data::Split;

pub(crate) struct Order {
    batch: BatchConfig,
    /// Every step gives each of them something to do, as far as it has rows.
    devices: usize,
    seed: u64,
    pub(crate) steps_per_epoch: u64,
    /// The steps of the epoch that was drawn last.
    drawn: Option<(u64, Vec<Vec<Vec<usize>>>)>,
}

impl Order {
    pub(crate) fn new(batch: BatchConfig, devices: usize, seed: u64, split: &Split) -> Self {
        let steps_per_epoch = match batch {
            BatchConfig::Rows { batch, .. } => split.len().div_ceil(batch),
            // Every epoch has as many.
            BatchConfig::Tokens { batch_tokens, batches_per_step } => {
                split.token_order(batch_tokens, seed, 0).len().div_ceil(batches_per_step)
            }
        };
        Self { batch, devices, seed, steps_per_epoch: steps_per_epoch as u64, drawn: None }
    }

    /// The rows of the step that follows `done` steps, as they travel together.
    pub(crate) fn rows(&mut self, split: &Split, done: u64) -> Vec<Vec<usize>> {
        let epoch = done / self.steps_per_epoch;
        if self.drawn.as_ref().is_none_or(|(drawn, _)| *drawn != epoch) {
            self.drawn = Some((epoch, self.draw(split, epoch)));
        }
        let (_, steps) = self.drawn.as_ref().expect("drawn above");
        steps[(done % self.steps_per_epoch) as usize].clone()
    }

    fn draw(&self, split: &Split, epoch: u64) -> Vec<Vec<Vec<usize>>> {
        match self.batch {
            BatchConfig::Rows { batch, micro_batch } => {
                let steps = split.training_order(batch, self.seed, epoch).into_iter();
                let cut = |rows: Vec<usize>| {
                    let at_once = micro_batch.min(rows.len().div_ceil(self.devices));
                    rows.chunks(at_once).map(<[usize]>::to_vec).collect()
                };
                steps.map(cut).collect()
            }
            BatchConfig::Tokens { batch_tokens, batches_per_step } => {
                let batches = split.token_order(batch_tokens, self.seed, epoch);
                batches.chunks(batches_per_step).map(|step| self.shared(step)).collect()
            }
        }
    }

    /// The batches of a step, cut where there are fewer of them than devices.
    fn shared(&self, step: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let parts = self.devices.div_ceil(step.len());
        let cut = |rows: &Vec<usize>| -> Vec<Vec<usize>> {
            rows.chunks(rows.len().div_ceil(parts)).map(<[usize]>::to_vec).collect()
        };
        step.iter().flat_map(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use ee_tasks::causal::CausalRow;

    use super::*;

    fn split(lengths: &[usize]) -> Split {
        let row =
            |&n: &usize| CausalRow { ids: vec![1; n], learned: std::iter::once(1..n).collect() };
        Split::causal(lengths.iter().map(row).collect())
    }

    #[test]
    fn a_step_has_something_for_every_device() {
        let split = split(&[4; 24]);
        let batch = BatchConfig::Tokens { batch_tokens: 16, batches_per_step: 2 };
        for (devices, expected) in
            [(1, vec![4; 2]), (2, vec![4; 2]), (3, vec![2; 4]), (4, vec![2; 4])]
        {
            let mut order = Order::new(batch, devices, 7, &split);
            assert_eq!(order.steps_per_epoch, 3);
            let mut seen = Vec::new();
            for done in 3..6 {
                let rows = order.rows(&split, done);
                assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), expected);
                seen.extend(rows.into_iter().flatten());
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..24).collect::<Vec<_>>(), "an epoch visits every row once");
        }
    }

    #[test]
    fn any_step_is_drawn_without_those_before_it() {
        let split = split(&[3, 9, 4, 4, 5, 8, 2, 2, 6, 7, 7, 3]);
        for batch in [
            BatchConfig::Tokens { batch_tokens: 18, batches_per_step: 2 },
            BatchConfig::Rows { batch: 5, micro_batch: 2 },
        ] {
            let mut whole = Order::new(batch, 1, 3, &split);
            let steps = 3 * whole.steps_per_epoch;
            let drawn: Vec<_> = (0..steps).map(|done| whole.rows(&split, done)).collect();
            for done in 0..steps {
                let mut fresh = Order::new(batch, 1, 3, &split);
                assert_eq!(fresh.rows(&split, done), drawn[done as usize]);
            }
        }
    }
}
