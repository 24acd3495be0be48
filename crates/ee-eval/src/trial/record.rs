//! The record of a trial: this way, tried on these examples, beside the plain one.

use ee_decode::clock::{Clock, Part};
use ee_decode::speculate::Tally;
use serde::Serialize;

use super::fidelity::{Fidelity, Place, places};
use super::outputs::Texts;
use super::quality::{EQUAL_TOKENS, Quality, Worth};
use super::rounds::Tried;
use super::texts::Found;
use super::way::Way;
use crate::exits::oracle;
use crate::machine::Load;
use crate::pace::{Pace, Timed};
use crate::report::table::Cell;
use crate::trace::MetricFacts;

/// Some ways of decoding on the same examples.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Trials {
    pub(crate) batch: usize,
    pub(crate) rounds: usize,
    pub(crate) max_new_tokens: usize,
    /// The task's metrics that could be computed; the first one leads.
    pub(crate) metrics: Vec<MetricFacts>,
    pub(crate) device: String,
    /// How much of the machine other programs used in the timed rounds; none where the system does not say.
    pub(crate) load: Option<Load>,
    /// New tokens per second of plain decoding, prompts included.
    pub(crate) plain_tokens_per_second: f64,
    pub(crate) plain: Texts,
    pub(crate) plain_timed: Vec<Timed>,
    /// Plain decoding's texts of further prompts that quality alone is judged on, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) further: Option<Texts>,
    pub(crate) trials: Vec<Trial>,
}

/// One way of decoding.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Trial {
    pub(crate) way: Way,
    /// Whether it leaves texts as they are, by construction.
    pub(crate) lossless: bool,
    /// New tokens per second, prompts included.
    pub(crate) tokens_per_second: f64,
    /// The same by plain decoding's, at the same rows and tokens.
    #[serde(flatten)]
    pub(crate) pace: Pace,
    /// The ratio without prompts and first tokens, of all rounds; none where no text has a second token.
    pub(crate) step_speed_up: Option<f64>,
    pub(crate) timed: Vec<Timed>,
    pub(crate) fidelity: Fidelity,
    /// The bootstrap 95 % interval of the share of equal tokens, resampling texts.
    pub(crate) equal_interval: [f64; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<Left>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drafted: Option<Drafted>,
    pub(crate) texts: Texts,
    /// Those of the further prompts, where they were decoded in this way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) further: Option<Texts>,
}

/// What early exit has.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Left {
    pub(crate) average_exit: f64,
    /// New tokens by exit, 1..=N.
    pub(crate) histogram: Vec<usize>,
    pub(crate) shares: Shares,
    /// Reads of the whole head per token after the first.
    pub(crate) head_reads_per_token: f64,
    /// The steps after the prompts, in which parts were timed.
    #[serde(skip)]
    pub(crate) steps: Clock,
}

/// What speculation has.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Drafted {
    /// α: the share of examined drafts that stayed.
    pub(crate) agreement: Option<f64>,
    pub(crate) tokens_per_round: f64,
    #[serde(skip)]
    pub(crate) tally: Tally,
}

/// Plain decoding, beside which every way is set.
pub(super) struct Beside<'a> {
    pub(super) texts: &'a Texts,
    pub(super) timed: &'a [Timed],
    pub(super) rounds: usize,
}

/// Shares of the steps' time; they add up to 1.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Shares {
    pub(crate) layers: f64,
    pub(crate) heads: f64,
    /// Deciding: pruned heads, numbers of states.
    pub(crate) gates: f64,
    /// Filling keys and values above exits.
    pub(crate) kv: f64,
    pub(crate) rest: f64,
}

impl Shares {
    fn of(clock: &Clock) -> Self {
        let total = clock.steps.as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |part| clock.spent(part).as_secs_f64() / total;
        let [layers, heads, gates, kv] =
            [Part::Layers, Part::Heads, Part::Gates, Part::Kv].map(share);
        Self { layers, heads, gates, kv, rest: 1.0 - layers - heads - gates - kv }
    }
}

impl Trials {
    /// The leading metric.
    pub(crate) fn metric(&self) -> Option<&str> {
        self.metrics.first().map(|metric| metric.name.as_str())
    }

    /// What a way's timed texts are worth beside the full model's.
    pub(crate) fn worth(&self, trial: &Trial) -> Worth {
        self.worth_of(&trial.texts, &self.plain)
    }

    /// The same of the further texts; none where they were not decoded.
    pub(crate) fn further_worth(&self, trial: &Trial) -> Option<Worth> {
        Some(self.worth_of(trial.further.as_ref()?, self.further.as_ref()?))
    }

    fn worth_of(&self, ours: &Texts, full: &Texts) -> Worth {
        // The timed texts decide what is looked at, whichever texts are judged by it.
        let metric = self.metrics.first().filter(|_| self.has_score());
        Worth::of(metric, &ours.outputs, &full.outputs)
    }

    fn has_score(&self) -> bool {
        self.plain.score().is_some_and(|full| full > 0.0)
    }

    /// Whether every true early exit keeps this share of the full model's quality on further texts, judged by the
    /// timed ones; the doubt is shared out over all of them.
    pub(crate) fn qualities(&self, keep: f64, doubt: f64) -> Vec<Option<Quality>> {
        let n = self.trials.iter().filter(|trial| !trial.lossless).count().max(1);
        let judge = |trial: &Trial| self.worth(trial).judge(keep, doubt / n as f64);
        self.trials.iter().map(|trial| (!trial.lossless).then(|| judge(trial))).collect()
    }

    /// What [`Trials::worth`] looks at.
    pub(crate) fn quality(&self) -> &str {
        self.metric().filter(|_| self.has_score()).unwrap_or(EQUAL_TOKENS)
    }

    /// A way's part of it on the timed texts, 1 for the full model.
    pub(crate) fn kept(&self, trial: &Trial) -> f64 {
        self.worth(trial).share()
    }

    /// Keeps the prompts with plain decoding's texts alone.
    pub(crate) fn forget_prompts(&mut self) {
        self.trials.iter_mut().for_each(|trial| trial.texts.forget_prompts());
    }

    /// Where some ways' texts diverge from the full model's.
    pub(crate) fn places(&self, trials: &[&Trial]) -> Vec<Place> {
        places(trials.iter().flat_map(|trial| trial.texts.beside(&self.plain)))
    }
}

impl Trial {
    /// The result of a way, beside plain decoding.
    pub(super) fn of(
        way: &Way,
        tried: Tried<Found>,
        texts: Texts,
        plain: &Beside<'_>,
        layers: usize,
    ) -> Self {
        let Tried { found: Found { clock, tally, .. }, timed, .. } = tried;
        let lossless = way.is_lossless();
        Self {
            lossless,
            way: way.clone(),
            tokens_per_second: texts.tokens_per_second(plain.rounds),
            pace: Pace::of(&timed, plain.timed),
            step_speed_up: texts.step_speed_up(plain.texts, plain.rounds),
            timed,
            fidelity: Fidelity::of(texts.beside(plain.texts)),
            equal_interval: texts.equal_interval(plain.texts),
            left: (!lossless).then(|| Left::of(&texts, clock, layers)),
            drafted: lossless.then(|| Drafted {
                agreement: tally.agreement(),
                tokens_per_round: tally.tokens_per_round(),
                tally,
            }),
            texts,
            further: None,
        }
    }

    pub(crate) fn average_exit(&self) -> Option<f64> {
        self.left.as_ref().map(|left| left.average_exit)
    }

    /// Tokens per second, plain decoding's, the speed-up with its range and without prompts, rows per step and plain
    /// decoding's.
    pub(crate) fn speed_cells(&self, beside: &Trials) -> [Cell; 8] {
        let spread = self.pace.speed_up_by_round;
        [
            Cell::number(self.tokens_per_second, 1),
            Cell::number(beside.plain_tokens_per_second, 1),
            Cell::factor(self.pace.speed_up),
            Cell::factor(spread.min),
            Cell::factor(spread.max),
            self.step_speed_up.map_or(Cell::Absent, Cell::factor),
            Cell::number(self.texts.rows, 2),
            Cell::number(beside.plain.rows, 2),
        ]
    }
}

/// What speed-ups with and without prompts are, for a reader; `has_encoder` says whether one reads the prompts.
pub(crate) fn on_prompts(has_encoder: bool) -> &'static str {
    if has_encoder {
        "Speed-ups count the encoder, which reads each text once, whole, whatever leaves early; without prompts they leave \
         it out, and each text's first new token."
    } else {
        "Speed-ups count the prompts, which all layers read; without prompts they leave them out, and each text's first new \
         token."
    }
}

impl Left {
    fn of(texts: &Texts, clock: Clock, layers: usize) -> Self {
        let exits: Vec<usize> =
            texts.outputs.iter().flat_map(|output| output.exits.iter().copied()).collect();
        Self {
            average_exit: oracle::average(&exits),
            histogram: oracle::histogram(&exits, layers),
            shares: Shares::of(&clock),
            head_reads_per_token: clock.head_reads as f64 / texts.step_tokens().max(1) as f64,
            steps: clock,
        }
    }
}
