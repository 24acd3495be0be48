//! Running a classifier whole, and running it with a gate that really leaves.
//!
//! With a gate, rows that leave are taken out of the batch and the rest go on, their padding cut to
//! the longest that stays. Both runs see the same length-grouped batches; the full run reads the
//! head once, at the last exit. This is true early exit: answers may differ from the full model's.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Int, Tensor, TensorData};
use ee_models::signal::{Signal, exit_signals};
use ee_models::{ExitModel, Stream};

use crate::gates::SetGate;
use crate::workload::RowBatch;

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
pub fn full(model: &impl ExitModel, batches: &[RowBatch], rows: usize) -> Answers {
    let layers = model.n_layers();
    let mut answers = Answers::empty(rows);
    for part in batches {
        let mut stream = model.embed(&part.batch, None);
        for index in 0..layers {
            stream = model.layer(index, stream);
        }
        let signals = exit_signals(model.read(model.exit_state(&stream), None));
        for (&row, signal) in part.rows.iter().zip(signals) {
            answers.set(row, layers, signal.prediction);
        }
    }
    answers
}

/// Every row through as many layers as `plan` lets it.
pub fn gated(
    model: &impl ExitModel,
    batches: &[RowBatch],
    rows: usize,
    plan: Plan<'_>,
    mut clock: Option<&mut HeadClock>,
) -> Answers {
    let mut answers = Answers::empty(rows);
    let mut seen: Vec<Vec<Signal>> = vec![Vec::new(); rows];
    for part in batches {
        let mut inside = part.rows.clone();
        let mut stream = model.embed(&part.batch, None);
        for exit in 1..=model.n_layers() {
            stream = model.layer(exit - 1, stream);
            let started = clock.is_some().then(|| start(&model.device()));
            let stay = match plan {
                Plan::Given(exits) => leave_at(model, &stream, &inside, exit, exits, &mut answers),
                Plan::Gate(gate) => {
                    leave_if(model, &stream, &inside, gate, &mut seen, &mut answers)
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
    answers
}

/// Lets the rows go whose given exit this is; returns the places of those that stay.
fn leave_at(
    model: &impl ExitModel,
    stream: &Stream,
    inside: &[usize],
    exit: usize,
    exits: &[usize],
    answers: &mut Answers,
) -> Vec<usize> {
    let (leave, stay): (Vec<usize>, Vec<usize>) =
        (0..inside.len()).partition(|&at| exits[inside[at]] <= exit || exit == model.n_layers());
    if !leave.is_empty() {
        let state = model.exit_state(stream);
        let state =
            if stay.is_empty() { state } else { state.select(0, places(&leave, &model.device())) };
        for (&at, signal) in leave.iter().zip(exit_signals(model.read(state, None))) {
            answers.set(inside[at], exit, signal.prediction);
        }
    }
    stay
}

/// Lets the rows go for which the gate fires; returns the places of those that stay.
fn leave_if(
    model: &impl ExitModel,
    stream: &Stream,
    inside: &[usize],
    gate: SetGate,
    seen: &mut [Vec<Signal>],
    answers: &mut Answers,
) -> Vec<usize> {
    let layers = model.n_layers();
    let signals = exit_signals(model.read(model.exit_state(stream), None));
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
    stay
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
