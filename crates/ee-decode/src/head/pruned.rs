//! The whole head at the first exit read; at later ones its K best rows of then; the whole head again before
//! a token leaves, which gives new best rows where it does not leave after all.
//!
//! Signals of the later exits are over the K outputs alone: a confidence is at least the whole head's as
//! long as the answer is among them, an entropy at most about it. Every exit taken is confirmed.

use burn::tensor::{Int, Tensor, TensorData};
use ee_models::Decoder;
use ee_models::kernels::{self, Rows, Weight};
use ee_models::signal::{NotFinite, Signal, exit_signals, largest};

use super::{Head, Reader, Reading, Said};
use crate::clock::Part;

/// Reads the best outputs of an earlier exit.
#[derive(Debug)]
pub(super) struct Pruned;

impl Head for Pruned {
    fn name(&self) -> &'static str {
        "pruned"
    }

    fn rule(&self) -> &'static str {
        "the whole head at the first exit read, its K best outputs alone at later ones (signals are over \
         these), the whole head again before leaving"
    }

    fn has_number(&self) -> bool {
        true
    }

    fn begin(&self, number: usize, n_rows: usize) -> Box<dyn Reading> {
        Box::new(PrunedReading { number, rows: vec![None; n_rows] })
    }
}

/// Candidates per row of the cache.
struct PrunedReading {
    number: usize,
    rows: Vec<Option<Candidates>>,
}

/// Some outputs, by increasing id, with their rows of the head.
#[derive(Clone)]
struct Candidates {
    ids: Vec<u32>,
    weight: Weight,
}

impl Reading for PrunedReading {
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        rows: &[usize],
        state: Tensor<2>,
    ) -> Result<Vec<Said>, NotFinite> {
        if rows.iter().any(|&row| self.rows[row].is_none()) {
            let signals = self.confirm(reader, rows, state)?;
            return Ok(signals.into_iter().map(|signal| Said { signal, is_whole: true }).collect());
        }
        let (model, exit) = (reader.model, reader.exit);
        reader.clock.time(Part::Gates, || {
            let state = model.head_state(state, None);
            let said = rows.iter().enumerate().map(|(at, &row)| {
                let candidates = self.rows[row].as_ref().expect("rows have candidates by now");
                let said = candidates.read(state.clone().narrow(0, at, 1), exit);
                said.map_err(|error| error.of_row(|_| row))
            });
            said.collect()
        })
    }

    fn confirm(
        &mut self,
        reader: &mut Reader<'_>,
        rows: &[usize],
        state: Tensor<2>,
    ) -> Result<Vec<Signal>, NotFinite> {
        let (logits, signals) = reader.whole(rows, state)?;
        let model = reader.model;
        reader.clock.time(Part::Gates, || {
            for (&row, ids) in rows.iter().zip(largest(logits, self.number)) {
                self.rows[row] = Some(Candidates::of(model, ids));
            }
        });
        Ok(signals)
    }
}

impl Candidates {
    fn of(model: &dyn Decoder, mut ids: Vec<u32>) -> Self {
        // On ties the lowest id wins, here as everywhere.
        ids.sort_unstable();
        let Weight { matrix, bias } = model.answer_weight();
        let places: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let places = TensorData::new(places, [ids.len()]);
        let places = Tensor::<1, Int>::from_data(places, &matrix.device());
        let bias = bias.map(|bias| bias.select(0, places.clone()));
        Self { ids, weight: Weight { matrix: kernels::embedding(matrix, places), bias } }
    }

    /// What these outputs alone say of a normed state, `[1, d_model]`.
    fn read(&self, state: Tensor<2>, exit: usize) -> Result<Said, NotFinite> {
        let [logits] = kernels::project(state, [self.weight.clone()], Rows::Few);
        let mut signal = exit_signals(logits, exit)?[0];
        signal.prediction = self.ids[signal.prediction as usize];
        Ok(Said { signal, is_whole: false })
    }
}
