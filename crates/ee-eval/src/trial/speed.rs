//! What a gate, or a fixed depth, is worth on the clock for labels.
//!
//! The yardstick is our own fastest full run. Rows are those of one trace, whose exits and labels each run must
//! reproduce.

use ee_decode::gates::SetGate;
use ee_models::ExitModel;
use serde::{Deserialize, Serialize};

use super::labels::{Answers, Labels, Leaving};
use super::rounds::{Tried, tried};
use crate::error::{EvalError, Result};
use crate::exits::oracle;
use crate::exits::score::{Scorer, references};
use crate::gates::exits_on;
use crate::machine::Load;
use crate::observe::workload::Workload;
use crate::pace::{self, Pace, by_round};
use crate::spread::Spread;
use crate::subject::Subject;
use crate::trace::Trace;

/// The name of the rule that takes the exits which the trace shows.
pub(crate) use ee_decode::rule::IDEAL;

/// A gate that really ran, against the full model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Speed {
    /// `ideal` or `name:threshold`.
    pub(crate) gate: String,
    pub(crate) batch: usize,
    pub(crate) rows: usize,
    /// Interleaved pairs of runs.
    pub(crate) rounds: usize,
    pub(crate) full_seconds: Spread,
    pub(crate) gated_seconds: Spread,
    /// full ÷ gated in time, of the runs of one round.
    pub(crate) speed_up: Spread,
    /// N ÷ average exit.
    pub(crate) speed_up_layers: f64,
    pub(crate) average_exit: f64,
    /// The share of the gated time spent reading the shared head and deciding.
    pub(crate) head_share: f64,
    pub(crate) score: f64,
    /// How much of the machine other programs used meanwhile, where the system says.
    pub(crate) load: Option<Load>,
    /// Rows whose exit or label differs from what the trace predicts.
    pub(crate) differing_rows: usize,
    pub(crate) device: String,
}

/// When rows leave, as typed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowRule {
    /// Every row leaves at its ideal exit, which no gate has to find.
    Ideal,
    Gate(SetGate),
}

impl std::fmt::Display for RowRule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ideal => formatter.write_str(IDEAL),
            Self::Gate(gate) => gate.fmt(formatter),
        }
    }
}

impl std::str::FromStr for RowRule {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self> {
        if text == IDEAL { Ok(Self::Ideal) } else { Ok(Self::Gate(text.parse()?)) }
    }
}

impl RowRule {
    /// The exits that the trace predicts.
    fn exits(self, trace: &Trace) -> Vec<usize> {
        match self {
            Self::Ideal => oracle::ideal_exits(trace),
            Self::Gate(gate) => exits_on(gate, trace),
        }
    }

    /// A fixed depth and ideal exits are known beforehand.
    fn leaving(self, predicted: &[usize]) -> Leaving<'_> {
        match self {
            Self::Gate(gate) if gate.gate.reads_signals() => Leaving::Gate(gate),
            Self::Gate(_) | Self::Ideal => Leaving::Given(predicted),
        }
    }
}

/// Times every rule against the full model on the rows of `workload`, which are those of `trace`.
pub(crate) fn measure(
    subject: &Subject,
    workload: &Workload,
    trace: &Trace,
    rules: &[RowRule],
    (batch, rounds): (usize, usize),
) -> Result<Vec<Speed>> {
    let (model, parts) = (subject.model(), workload.batches(batch)?);
    let last = vec![model.n_layers(); workload.rows()];
    let predicted: Vec<Vec<usize>> = rules.iter().map(|rule| rule.exits(trace)).collect();
    let leaving = rules.iter().zip(&predicted).map(|(rule, exits)| rule.leaving(exits));
    let mut ways: Vec<Leaving<'_>> =
        std::iter::once(Leaving::Given(&last)).chain(leaving).collect();
    let work = Labels::new(model, workload, &parts);
    let (mut ways, load) = tried(&work, &mut ways, rounds, &format!("timing, batch {batch}"))?;
    let full = ways.remove(0);
    let scorer = Scorer::of_trace(trace)?.remove(0);
    let beside =
        FullRun { trace, scorer, full: &full, batch, rounds, load, device: subject.device() };
    let ways = rules.iter().zip(&predicted).zip(&ways);
    Ok(ways.map(|((rule, exits), way)| beside.speed(*rule, exits, way)).collect())
}

/// What every rule is set beside.
struct FullRun<'a> {
    trace: &'a Trace,
    scorer: Scorer,
    full: &'a Tried<Answers>,
    batch: usize,
    rounds: usize,
    load: Option<Load>,
    device: &'a str,
}

impl FullRun<'_> {
    fn speed(&self, rule: RowRule, predicted: &[usize], way: &Tried<Answers>) -> Speed {
        let (trace, answers) = (self.trace, &way.found);
        let average_exit = oracle::average(&answers.exits);
        let answered = answers.predictions.iter().copied().zip(references(trace));
        Speed {
            gate: rule.to_string(),
            batch: self.batch,
            rows: answers.exits.len(),
            rounds: self.rounds,
            full_seconds: Spread::of(&by_round(&self.full.timed)),
            gated_seconds: Spread::of(&by_round(&way.timed)),
            speed_up: Pace::of(&way.timed, &self.full.timed).speed_up_by_round,
            speed_up_layers: trace.layers() as f64 / average_exit,
            average_exit,
            head_share: answers.head_share,
            score: self.scorer.score(&self.scorer.sum(answered)),
            load: self.load,
            differing_rows: differing(trace, predicted, answers),
            device: self.device.to_owned(),
        }
    }
}

/// Rows whose exit or label is not what the trace predicts.
fn differing(trace: &Trace, exits: &[usize], answers: &Answers) -> usize {
    let differs = |row: &usize| {
        answers.exits[*row] != exits[*row]
            || answers.predictions[*row] != trace.prediction(*row, exits[*row])
    };
    (0..trace.rows()).filter(differs).count()
}

/// What a reader of measured times should know, a sentence each.
pub(crate) fn notices(speeds: &[Speed]) -> Vec<String> {
    let taken = |load: &Load| load.others + load.stolen;
    let loads = speeds.iter().filter_map(|speed| speed.load);
    let busiest = loads.max_by(|a, b| taken(a).total_cmp(&taken(b)));
    let rounds = speeds.iter().map(|speed| speed.rounds).min().unwrap_or(pace::ROUNDS);
    pace::notices(busiest, rounds).collect()
}
