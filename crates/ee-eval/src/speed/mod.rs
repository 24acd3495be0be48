//! What a gate, or a fixed depth, is worth on the clock.
//!
//! Full and gated runs alternate, so that a machine that slows down slows both; medians and the whole
//! range are kept. The yardstick is our own fastest full run. Rows are those of one trace, whose
//! exits and labels the gated run must reproduce.

pub mod run;

use std::time::Instant;

use ee_decode::gates::SetGate;
use ee_models::ExitModel;
use ee_models::signal::NotFinite;
use serde::{Deserialize, Serialize};

use crate::error::{EvalError, Result};
use crate::exits::oracle;
use crate::exits::score::Scorer;
use crate::gates::exits_on;
use crate::machine::{Load, LoadWatch};
use crate::observe::workload::Workload;
use crate::progress::Progress;
use crate::spread::Spread;
use crate::subject::Subject;
use crate::trace::Trace;
use run::{Answers, HeadClock, Plan, full, gated};

/// A gate that really ran, against the full model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// `ideal` or `name:threshold`.
    pub gate: String,
    /// Examples per batch.
    pub batch: usize,
    /// Rows run.
    pub rows: usize,
    /// Interleaved pairs of runs.
    pub rounds: usize,
    /// Wall-clock seconds of the full model.
    pub full_seconds: Spread,
    /// Wall-clock seconds with the gate.
    pub gated_seconds: Spread,
    /// full ÷ gated in time, of the runs of one round.
    pub speed_up: Spread,
    /// N ÷ average exit.
    pub speed_up_layers: f64,
    /// The mean exit taken.
    pub average_exit: f64,
    /// The share of the gated time spent reading the shared head and deciding.
    pub head_share: f64,
    /// The leading metric's score with the gate.
    pub score: f64,
    /// What other programs took of the machine meanwhile, where the system tells.
    pub load: Option<Load>,
    /// Rows whose exit or label differs from what the trace predicts.
    pub differing_rows: usize,
    /// The device.
    pub device: String,
}

/// A gate to be timed: a threshold, or the exits of the trace itself.
#[derive(Debug, Clone, Copy)]
pub enum Timed {
    /// Every row leaves at its ideal exit, which no gate has to find.
    Ideal,
    /// A gate at a threshold, or a fixed depth.
    Gate(SetGate),
}

impl std::fmt::Display for Timed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ideal => formatter.write_str("ideal"),
            Self::Gate(gate) => gate.fmt(formatter),
        }
    }
}

impl std::str::FromStr for Timed {
    type Err = crate::EvalError;

    fn from_str(text: &str) -> Result<Self> {
        if text == "ideal" { Ok(Self::Ideal) } else { Ok(Self::Gate(text.parse()?)) }
    }
}

impl Timed {
    /// The exits that the trace predicts.
    fn exits(self, trace: &Trace) -> Vec<usize> {
        match self {
            Self::Ideal => oracle::ideal_exits(trace),
            Self::Gate(gate) => exits_on(gate, trace),
        }
    }
}

/// Times every gate against the full model on the rows of `workload`, which are those of `trace`.
///
/// # Errors
/// What building batches and scorers returns.
pub fn measure(
    subject: &Subject,
    workload: &Workload,
    trace: &Trace,
    gates: &[Timed],
    batch: usize,
    rounds: usize,
) -> Result<Vec<Speed>> {
    let model = subject.model();
    let rows = workload.rows();
    let batches = workload.batches(batch)?;
    let predicted: Vec<Vec<usize>> = gates.iter().map(|gate| gate.exits(trace)).collect();
    let plans: Vec<Plan<'_>> = gates
        .iter()
        .zip(&predicted)
        .map(|(gate, exits)| match gate {
            Timed::Ideal => Plan::Given(exits),
            Timed::Gate(gate) if gate.gate.reads_signals() => Plan::Gate(*gate),
            // A fixed depth is known beforehand.
            Timed::Gate(_) => Plan::Given(exits),
        })
        .collect();
    let progress =
        Progress::new(&format!("timing, batch {batch}"), rows * (rounds + 1) * (gates.len() + 1));
    // The first round warms up and yields the answers and the heads' share.
    let named = |error: NotFinite| EvalError::of_batch(error, |row| workload.number(row));
    full(model, &batches, rows).map_err(named)?;
    progress.advance(rows);
    let mut profiles = Vec::new();
    for &plan in &plans {
        let mut clock = HeadClock::default();
        let (answers, seconds) = timed(|| gated(model, &batches, rows, plan, Some(&mut clock)));
        profiles.push((answers.map_err(named)?, clock.spent.as_secs_f64() / seconds));
        progress.advance(rows);
    }
    let watch = LoadWatch::start();
    let mut full_seconds = Vec::new();
    let mut gated_seconds = vec![Vec::new(); gates.len()];
    for _ in 0..rounds {
        full_seconds.push(timed(|| full(model, &batches, rows)).1);
        progress.advance(rows);
        for (&plan, seconds) in plans.iter().zip(&mut gated_seconds) {
            seconds.push(timed(|| gated(model, &batches, rows, plan, None)).1);
            progress.advance(rows);
        }
    }
    let load = watch.read();
    progress.finish();
    let scorers = Scorer::of_trace(trace)?;
    let times = gated_seconds.iter().zip(profiles).zip(gates.iter().zip(&predicted));
    Ok(times
        .map(|((seconds, (answers, head_share)), (gate, exits))| {
            let ratios: Vec<f64> =
                full_seconds.iter().zip(seconds).map(|(full, gated)| full / gated).collect();
            let average_exit = oracle::average(&answers.exits);
            Speed {
                gate: gate.to_string(),
                batch,
                rows,
                rounds,
                full_seconds: Spread::of(&full_seconds),
                gated_seconds: Spread::of(seconds),
                speed_up: Spread::of(&ratios),
                speed_up_layers: model.n_layers() as f64 / average_exit,
                average_exit,
                head_share,
                score: score(&scorers[0], trace, &answers),
                load,
                differing_rows: differing(trace, exits, &answers),
                device: subject.device().to_owned(),
            }
        })
        .collect())
}

/// The result of some work and its wall-clock seconds.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed().as_secs_f64())
}

fn score(scorer: &Scorer, trace: &Trace, answers: &Answers) -> f64 {
    let references = (0..trace.rows()).map(|row| trace.reference(row));
    scorer.score(&scorer.sum(answers.predictions.iter().copied().zip(references)))
}

/// Rows whose exit or label is not what the trace predicts.
fn differing(trace: &Trace, exits: &[usize], answers: &Answers) -> usize {
    let differs = |row: usize| {
        answers.exits[row] != exits[row]
            || answers.predictions[row] != trace.prediction(row, exits[row])
    };
    (0..trace.rows()).filter(|&row| differs(row)).count()
}
