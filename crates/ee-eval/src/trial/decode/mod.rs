//! What `ee-eval decode` stores: every token with its exit, and the numbers that follow from a trial.

pub(crate) mod report;

use ee_decode::Settings;
use ee_decode::rule::Rule;
use serde::Serialize;

use super::fidelity::Fidelity;
use super::material::{Material, RunFacts};
use super::outputs::Texts;
use super::record::{Shares, Trial, Trials};
use super::way::Way;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::machine::{Load, MOST_READ, read_bandwidth};
use crate::pace::{Pace, Timed};
use crate::subject::DecoderSubject;

/// Everything of one call.
#[derive(Debug, Serialize)]
pub(crate) struct DecodeResults {
    pub(crate) facts: DecodeFacts,
    /// How much of the machine other programs used in the timed rounds; none where the system does not say.
    pub(crate) load: Option<Load>,
    pub(crate) plain: Texts,
    pub(crate) plain_timed: Vec<Timed>,
    /// One per rule and policy. Early exit that takes effect may change texts: none of these is lossless.
    pub(crate) runs: Vec<RunResults>,
}

/// What was run, on what, and how.
#[derive(Debug, Serialize)]
pub(crate) struct DecodeFacts {
    #[serde(flatten)]
    pub(crate) run: RunFacts,
    pub(crate) min_tokens: usize,
    /// The exits before the last at which gates are read.
    pub(crate) exits: Vec<usize>,
    /// How the head is read before the last exit.
    pub(crate) head: String,
    /// Bytes per second at which all threads together read as much memory as the weights take; none on
    /// other devices than the CPU.
    pub(crate) read_bytes_per_second: Option<f64>,
}

/// One rule with one policy.
#[derive(Debug, Serialize)]
pub(crate) struct RunResults {
    pub(crate) gate: String,
    pub(crate) kv: String,
    /// Whether exits took effect: without, the texts are the full model's by construction.
    takes_effect: bool,
    pub(crate) average_exit: f64,
    /// New tokens by exit, 1..=N.
    histogram: Vec<usize>,
    pub(crate) speed: DecodeSpeed,
    timed: Vec<Timed>,
    pub(crate) fidelity: Fidelity,
    pub(crate) texts: Texts,
    pub(crate) notices: Vec<String>,
}

/// Where the time of a run went.
#[derive(Debug, Serialize)]
pub(crate) struct DecodeSpeed {
    /// New tokens per second, prompts included.
    pub(crate) tokens_per_second: f64,
    pub(crate) plain_tokens_per_second: f64,
    #[serde(flatten)]
    pub(crate) pace: Pace,
    /// The ratio without prompts and first tokens, of all rounds; none where no text has a second token.
    pub(crate) step_speed_up: Option<f64>,
    /// Seconds of the steps after the prompts of a run of its own, in which parts are timed.
    step_seconds: f64,
    pub(crate) shares: Shares,
    weight_bytes: u64,
    /// New tokens per second that reading these bytes alone would leave possible.
    pub(crate) bandwidth_bound: Option<f64>,
    /// Reads of the whole head per step's token, 1 for plain decoding alone.
    pub(crate) head_reads_per_token: f64,
}

/// Decodes with every setting, beside plain decoding.
pub(crate) fn run(
    subject: &DecoderSubject,
    material: &Material,
    settings: &[Settings],
    interrupt: &Interrupt,
) -> Result<DecodeResults> {
    let ways: Vec<Way> = settings.iter().cloned().map(Way::Exits).collect();
    let trials = super::run(subject, material, &ways, interrupt)?;
    let facts = facts_of(subject, material, &settings[0]);
    let Trials { plain, plain_timed, load, trials, .. } = trials;
    let runs = settings.iter().zip(trials);
    let runs = runs.map(|(settings, trial)| RunResults::of(settings, trial, &plain, &facts));
    Ok(DecodeResults { runs: runs.collect(), facts, load, plain, plain_timed })
}

fn facts_of(subject: &DecoderSubject, material: &Material, settings: &Settings) -> DecodeFacts {
    let model = subject.model();
    let bytes = model.weight_bytes();
    let weights = model.n_layers() * bytes.layer + bytes.head;
    DecodeFacts {
        run: RunFacts::of(subject, material),
        min_tokens: settings.min_tokens,
        exits: settings.exits.clone(),
        head: settings.head.to_string(),
        read_bytes_per_second: (subject.device() == "cpu")
            .then(|| read_bandwidth(weights.min(MOST_READ), 3)),
    }
}

impl RunResults {
    fn of(settings: &Settings, trial: Trial, plain: &Texts, facts: &DecodeFacts) -> Self {
        let Trial { tokens_per_second, pace, step_speed_up, timed, fidelity, left, texts, .. } =
            trial;
        let left = left.expect("tokens leave");
        let steps = texts.step_tokens() as f64;
        let bytes = left.steps.weight_bytes;
        let bound = |bandwidth: f64| steps * bandwidth / (bytes as f64).max(1.0);
        Self {
            gate: settings.rule.to_string(),
            kv: settings.policy.name().to_owned(),
            takes_effect: settings.policy.takes_effect(),
            average_exit: left.average_exit,
            notices: notices(settings, &left.histogram),
            histogram: left.histogram,
            speed: DecodeSpeed {
                tokens_per_second,
                plain_tokens_per_second: plain.tokens_per_second(facts.run.rounds),
                pace,
                step_speed_up,
                step_seconds: left.steps.steps.as_secs_f64(),
                shares: left.shares,
                weight_bytes: bytes,
                bandwidth_bound: facts.read_bytes_per_second.map(bound),
                head_reads_per_token: left.head_reads_per_token,
            },
            timed,
            fidelity,
            texts,
        }
    }
}

/// What a reader of a run's numbers might overlook.
fn notices(settings: &Settings, histogram: &[usize]) -> Vec<String> {
    let mut notices = Vec::new();
    let is_oracle = matches!(settings.rule.rule, Rule::Ideal);
    if is_oracle || !settings.policy.takes_effect() {
        notices
            .push("every token runs all layers: its speed is not that of an early exit".to_owned());
    }
    let never = histogram[..histogram.len() - 1].iter().all(|&n| n == 0);
    if never && !matches!(settings.rule.rule, Rule::None) {
        notices.push("no token left before the last exit".to_owned());
    }
    notices
}
