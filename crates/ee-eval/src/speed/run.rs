//! Running a classifier whole, and running it with a gate that really leaves.
//!
//! With a gate, rows that leave are taken out of the batch and the rest go on, their padding cut to
//! the longest that stays. Both runs see the same length-grouped batches; the full run reads the
//! head once, at the last exit. This is true early exit: answers may differ from the full model's.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Int, Tensor, TensorData};
use ee_decode::gates::SetGate;
use ee_models::kernels::Rows;
use ee_models::signal::{NotFinite, Signal, exit_signals};
use ee_models::{ExitModel, Stream};

use crate::observe::workload::RowBatch;

/// When rows leave.
#[derive(Debug, Clone, Copy)]
pub enum Plan<'a> {
    /// Row r leaves at the given exit, from 1; the head is read there and nowhere else.
    Given(&'a [usize]),
    /// A gate reads the head at every exit.
    Gate(SetGate),
}

/// Where each row left and with which label, in the order of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Exits, from 1.
    pub exits: Vec<usize>,
    /// Labels.
    pub predictions: Vec<u32>,
}

impl Answers {
    fn empty(rows: usize) -> Self {
        Self { exits: vec![0; rows], predictions: vec![0; rows] }
    }

    fn set(&mut self, row: usize, exit: usize, prediction: u32) {
        self.exits[row] = exit;
        self.predictions[row] = prediction;
    }
}

/// Time spent reading heads and deciding, kept apart only when asked for: it costs a
/// synchronisation of the device per read.
#[derive(Debug, Default)]
pub struct HeadClock {
    /// The sum so far.
    pub spent: Duration,
}

/// Every row through every layer, the head read once at the end.
///
/// # Errors
/// [`NotFinite`] of a row of the workload.
pub fn full(
    model: &impl ExitModel,
    batches: &[RowBatch],
    rows: usize,
) -> Result<Answers, NotFinite> {
    let layers = model.n_layers();
    let mut answers = Answers::empty(rows);
    for part in batches {
        let mut stream = model.embed(&part.batch, None);
        for index in 0..layers {
            stream = model.layer(index, stream);
        }
        let signals = exit_signals(model.read(model.exit_state(&stream), Rows::Many), layers);
        let signals = signals.map_err(|error| error.of_row(|at| part.rows[at]))?;
        for (&row, signal) in part.rows.iter().zip(signals) {
            answers.set(row, layers, signal.prediction);
        }
    }
    Ok(answers)
}

/// Every row through as many layers as `plan` lets it.
///
/// # Errors
/// [`NotFinite`] of a row of the workload.
pub fn gated(
    model: &impl ExitModel,
    batches: &[RowBatch],
    rows: usize,
    plan: Plan<'_>,
    mut clock: Option<&mut HeadClock>,
) -> Result<Answers, NotFinite> {
    let mut answers = Answers::empty(rows);
    let mut seen: Vec<Vec<Signal>> = vec![Vec::new(); rows];
    for part in batches {
        let mut inside = part.rows.clone();
        let mut stream = model.embed(&part.batch, None);
        for exit in 1..=model.n_layers() {
            stream = model.layer(exit - 1, stream);
            let started = clock.is_some().then(|| start(&model.device()));
            let stay = match plan {
                Plan::Given(exits) => leave_at(model, &stream, &inside, exit, exits, &mut answers)?,
                Plan::Gate(gate) => {
                    leave_if(model, &stream, &inside, gate, &mut seen, &mut answers)?
                }
            };
            if let (Some(clock), Some(started)) = (clock.as_deref_mut(), started) {
                clock.spent += started.elapsed();
            }
            if stay.is_empty() {
                break;
            }
            if stay.len() < inside.len() {
                stream = stream.keep(&stay);
                inside = stay.iter().map(|&at| inside[at]).collect();
            }
        }
    }
    Ok(answers)
}

/// Lets the rows go whose given exit this is; returns the places of those that stay.
fn leave_at(
    model: &impl ExitModel,
    stream: &Stream,
    inside: &[usize],
    exit: usize,
    exits: &[usize],
    answers: &mut Answers,
) -> Result<Vec<usize>, NotFinite> {
    let (leave, stay): (Vec<usize>, Vec<usize>) =
        (0..inside.len()).partition(|&at| exits[inside[at]] <= exit || exit == model.n_layers());
    if !leave.is_empty() {
        let state = model.exit_state(stream);
        let state =
            if stay.is_empty() { state } else { state.select(0, places(&leave, &model.device())) };
        let signals = exit_signals(model.read(state, Rows::Many), exit);
        let signals = signals.map_err(|error| error.of_row(|at| inside[leave[at]]))?;
        for (&at, signal) in leave.iter().zip(signals) {
            answers.set(inside[at], exit, signal.prediction);
        }
    }
    Ok(stay)
}

/// Lets the rows go for which the gate fires; returns the places of those that stay.
fn leave_if(
    model: &impl ExitModel,
    stream: &Stream,
    inside: &[usize],
    gate: SetGate,
    seen: &mut [Vec<Signal>],
    answers: &mut Answers,
) -> Result<Vec<usize>, NotFinite> {
    let layers = model.n_layers();
    // Rows inside have been read at every exit so far.
    let exit = seen[inside[0]].len() + 1;
    let signals = exit_signals(model.read(model.exit_state(stream), Rows::Many), exit);
    let signals = signals.map_err(|error| error.of_row(|at| inside[at]))?;
    let mut stay = Vec::with_capacity(inside.len());
    for (at, (&row, signal)) in inside.iter().zip(signals).enumerate() {
        let seen = &mut seen[row];
        seen.push(signal);
        if gate.fires(seen, layers) {
            answers.set(row, seen.len(), signal.prediction);
        } else {
            stay.push(at);
        }
    }
    Ok(stay)
}

/// Row numbers on the device.
fn places(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}

/// Now, with nothing left to do on the device.
fn start(device: &Device) -> Instant {
    // A device that cannot wait has nothing queued either.
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
            let answers = gated(&model, &batches, 2, Plan::Given(&[depth; 2]), None).unwrap();
            assert_eq!(answers.exits, [depth; 2]);
            assert_eq!((model.layers.get(), model.heads.get()), (depth, 1));
        }
    }
}
