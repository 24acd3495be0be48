//! Classifiers run with rows that really leave.
//!
//! Rows that leave are taken out of the batch and the rest go on, their padding cut to the longest that stays. All
//! runs see the same length-grouped batches; the full run reads the head once, at the last exit. This is true early
//! exit: answers may differ from the full model's.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Int, Tensor, TensorData};
use ee_decode::gates::SetGate;
use ee_models::kernels::Rows;
use ee_models::signal::{NotFinite, Signal, exit_signals};
use ee_models::{ExitModel, Stream};

use super::rounds::{Lap, Work};
use crate::error::EvalError;
use crate::observe::workload::{RowBatch, Workload};

/// When rows leave.
#[derive(Debug, Clone, Copy)]
pub enum Leaving<'a> {
    /// Row r leaves at the given exit, from 1; the head is read there and nowhere else.
    Given(&'a [usize]),
    /// A gate reads the head at every exit.
    Gate(SetGate),
}

/// Where each row left and with which label, in the order of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// Exits, from 1.
    pub exits: Vec<usize>,
    /// Labels.
    pub predictions: Vec<u32>,
    /// The share of the time spent reading heads and deciding.
    pub(crate) head_share: f64,
}

/// The rows of a workload in batches.
pub(super) struct Labels<'a, M> {
    pub(super) model: &'a M,
    pub(super) workload: &'a Workload,
    pub(super) parts: &'a [RowBatch],
    pub(super) batches: Vec<Vec<usize>>,
}

impl<'a, M: ExitModel> Labels<'a, M> {
    pub(super) fn new(model: &'a M, workload: &'a Workload, parts: &'a [RowBatch]) -> Self {
        let batches = parts.iter().map(|part| part.rows.clone()).collect();
        Self { model, workload, parts, batches }
    }

    fn named(&self, error: NotFinite) -> EvalError {
        EvalError::of_batch(error, |row| self.workload.numbers[row] as usize)
    }
}

impl<'a, M: ExitModel> Work for Labels<'a, M> {
    type Way = Leaving<'a>;
    type Found = Answers;

    fn batches(&self) -> &[Vec<usize>] {
        &self.batches
    }

    fn freely(&self, way: &mut Leaving<'a>, done: &dyn Fn(usize)) -> crate::Result<Answers> {
        let rows = self.workload.rows();
        let found = answers(self.model, self.parts, rows, *way).map_err(|error| self.named(error));
        done(rows);
        found
    }

    fn timed(&self, way: &mut Leaving<'a>, place: usize, _: &Answers) -> crate::Result<Lap> {
        let (started, part) = (Instant::now(), &self.parts[place]);
        leave(self.model, part, *way, None).map_err(|error| self.named(error))?;
        let seconds = started.elapsed();
        Ok(Lap { tokens: part.rows.len(), seconds, prompts: seconds })
    }
}

/// Every row of all batches through as many layers as it is let.
pub fn answers(
    model: &impl ExitModel,
    parts: &[RowBatch],
    rows: usize,
    leaving: Leaving<'_>,
) -> Result<Answers, NotFinite> {
    let mut found =
        Answers { exits: vec![0; rows], predictions: vec![0; rows], head_share: f64::NAN };
    let (started, mut heads) = (Instant::now(), Duration::ZERO);
    for part in parts {
        for (&row, answer) in part.rows.iter().zip(leave(model, part, leaving, Some(&mut heads))?) {
            (found.exits[row], found.predictions[row]) = answer;
        }
    }
    found.head_share = heads.as_secs_f64() / started.elapsed().as_secs_f64();
    Ok(found)
}

/// The exit and the label of each row of a batch. The time spent reading heads and deciding is added to `heads`
/// where it is asked for: that costs a synchronisation of the device per read.
fn leave(
    model: &impl ExitModel,
    part: &RowBatch,
    leaving: Leaving<'_>,
    mut heads: Option<&mut Duration>,
) -> Result<Vec<(usize, u32)>, NotFinite> {
    let n_rows = part.rows.len();
    let mut run = Run { model, part, inside: (0..n_rows).collect(), found: vec![(0, 0); n_rows] };
    let mut seen: Vec<Vec<Signal>> = vec![Vec::new(); n_rows];
    let mut stream = model.embed(&part.batch, None);
    for exit in 1..=model.n_layers() {
        stream = model.layer(exit - 1, stream);
        let started = heads.is_some().then(|| start(&model.device()));
        let stay = match leaving {
            Leaving::Given(exits) => run.leave_at(&stream, exit, exits)?,
            Leaving::Gate(gate) => run.leave_if(&stream, exit, gate, &mut seen)?,
        };
        if let (Some(heads), Some(started)) = (heads.as_deref_mut(), started) {
            *heads += started.elapsed();
        }
        if stay.is_empty() {
            break;
        }
        if stay.len() < run.inside.len() {
            stream = stream.keep(&stay);
            run.inside = stay.iter().map(|&at| run.inside[at]).collect();
        }
    }
    Ok(run.found)
}

/// A batch under way.
struct Run<'a, M> {
    model: &'a M,
    part: &'a RowBatch,
    /// The places in the batch of the rows that are still in the stream.
    inside: Vec<usize>,
    /// Exits and labels of those that left.
    found: Vec<(usize, u32)>,
}

impl<M: ExitModel> Run<'_, M> {
    /// Lets the rows go whose given exit this is; returns the places in the stream of those that stay.
    fn leave_at(
        &mut self,
        stream: &Stream,
        exit: usize,
        exits: &[usize],
    ) -> Result<Vec<usize>, NotFinite> {
        let is_last = exit == self.model.n_layers();
        let goes = |&at: &usize| is_last || exits[self.part.rows[self.inside[at]]] <= exit;
        let (leave, stay): (Vec<usize>, Vec<usize>) = (0..self.inside.len()).partition(goes);
        if !leave.is_empty() {
            let state = self.model.exit_state(stream);
            let state = match stay.is_empty() {
                true => state,
                false => state.select(0, places(&leave, &self.model.device())),
            };
            for (&at, signal) in leave.iter().zip(self.read(state, exit, &leave)?) {
                self.found[self.inside[at]] = (exit, signal.prediction);
            }
        }
        Ok(stay)
    }

    /// Lets the rows go for which the gate fires; returns the places in the stream of those that stay.
    fn leave_if(
        &mut self,
        stream: &Stream,
        exit: usize,
        gate: SetGate,
        seen: &mut [Vec<Signal>],
    ) -> Result<Vec<usize>, NotFinite> {
        let all: Vec<usize> = (0..self.inside.len()).collect();
        let signals = self.read(self.model.exit_state(stream), exit, &all)?;
        let mut stay = Vec::with_capacity(all.len());
        for (at, signal) in all.into_iter().zip(signals) {
            let row = self.inside[at];
            seen[row].push(signal);
            if gate.fires(&seen[row], self.model.n_layers()) {
                self.found[row] = (exit, signal.prediction);
            } else {
                stay.push(at);
            }
        }
        Ok(stay)
    }

    /// The head on the states of the rows at some places of the stream.
    fn read(&self, state: Tensor<2>, exit: usize, at: &[usize]) -> Result<Vec<Signal>, NotFinite> {
        exit_signals(self.model.read(state, Rows::Many), exit)
            .map_err(|error| error.of_row(|row| self.part.rows[self.inside[at[row]]]))
    }
}

/// Row numbers on the device.
fn places(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}

/// Now, with nothing left to do on the device.
fn start(device: &Device) -> Instant {
    // A device that cannot be waited for has nothing queued either.
    let _ = device.sync();
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use ee_models::arch::bert::{Encoder, EncoderConfig, random};
    use ee_models::device::device;
    use ee_models::kernels::Weight;
    use ee_models::{Backbone, Batch, DropoutKey};

    use super::*;

    /// An encoder that counts what is asked of it.
    struct Counting {
        model: Encoder,
        layers: Cell<usize>,
        heads: Cell<usize>,
    }

    impl ExitModel for Counting {
        fn backbone(&self) -> &dyn Backbone {
            self.model.backbone()
        }

        fn layer(&self, index: usize, stream: Stream) -> Stream {
            self.layers.set(self.layers.get() + 1);
            self.model.layer(index, stream)
        }

        fn exit_state(&self, stream: &Stream) -> Tensor<2> {
            self.model.exit_state(stream)
        }

        fn head_state(&self, state: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2> {
            self.heads.set(self.heads.get() + 1);
            self.model.head_state(state, dropout)
        }

        fn head_weight(&self) -> Weight {
            self.model.head_weight()
        }
    }

    #[test]
    fn a_fixed_depth_runs_so_many_layers_and_reads_one_head() {
        let config = serde_json::json!({
            "model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 5,
            "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 8,
            "hidden_act": "gelu",
        });
        let serde_json::Value::Object(config) = config else { unreachable!() };
        let config = EncoderConfig::from_json(config, Path::new("config.json")).unwrap();
        let model = random(config, 1, &device("cpu").unwrap()).model;
        let model = Counting { model, layers: Cell::new(0), heads: Cell::new(0) };
        let batch = Batch::new(vec![1, 2, 3, 4, 5, 6], vec![0; 6], vec![3, 3], 3).unwrap();
        let batches = [RowBatch { rows: vec![0, 1], batch }];
        for depth in 1..=5 {
            model.layers.set(0);
            model.heads.set(0);
            let found = answers(&model, &batches, 2, Leaving::Given(&[depth; 2])).unwrap();
            assert_eq!(found.exits, [depth; 2]);
            assert_eq!((model.layers.get(), model.heads.get()), (depth, 1));
        }
    }
}
