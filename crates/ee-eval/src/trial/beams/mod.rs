//! Beam search, of the whole model and of the model cut off: what `ee-eval decode --beam` stores.
//!
//! Beams compare sums of log-probabilities, which have to come from one exit. So no gate decides for them: exits
//! apply as `fixed:D`, to every token. Each text ends by itself in the timed rounds, too: a hypothesis that is made to
//! go on would be another search.

pub(crate) mod report;

use std::time::{Duration, Instant};

use ee_decode::ExitRule;
use ee_decode::rule::Rule;
use serde::Serialize;

use super::fidelity::Fidelity;
use super::lengths::mean_rows;
use super::material::{Material, RunFacts};
use super::outputs::Output;
use super::rounds::{Lap, Tried, Work, tried};
use super::texts::{Prompts, scored};
use crate::decoding::{Beams, Generated, Reach};
use crate::error::{EvalError, Result};
use crate::exits::ideal::MetricScore;
use crate::interrupt::Interrupt;
use crate::machine::Load;
use crate::pace::{Pace, Timed};
use crate::subject::DecoderSubject;

/// Everything of one call.
#[derive(Debug, Serialize)]
pub(crate) struct BeamResults {
    pub(crate) facts: BeamFacts,
    /// How much of the machine other programs used in the timed rounds; none where the system does not say.
    pub(crate) load: Option<Load>,
    /// The whole model, then the model cut off.
    pub(crate) runs: Vec<BeamRun>,
}

/// What was run, on what, and how.
#[derive(Debug, Serialize)]
pub(crate) struct BeamFacts {
    #[serde(flatten)]
    pub(crate) run: RunFacts,
    pub(crate) beam: Beams,
}

/// The search at one exit.
#[derive(Debug, Serialize)]
pub(crate) struct BeamRun {
    pub(crate) gate: String,
    /// The exit, from 1, that every token is read at.
    pub(crate) exit: usize,
    /// New tokens of the best hypotheses per second, prompts included.
    pub(crate) tokens_per_second: f64,
    #[serde(flatten)]
    pub(crate) pace: Pace,
    timed: Vec<Timed>,
    pub(crate) fidelity: Fidelity,
    /// The share of 4-grams that their text has had before.
    pub(crate) repeated_4_grams: f64,
    /// Texts that ran to their longest length.
    pub(crate) unfinished: usize,
    pub(crate) scores: Vec<MetricScore>,
    pub(crate) outputs: Vec<BeamOutput>,
}

/// The best hypothesis of a prompt.
#[derive(Debug, Serialize)]
pub(crate) struct BeamOutput {
    #[serde(flatten)]
    pub(crate) output: Output,
    /// The sum of its tokens' log-probabilities, in nats, divided as the length penalty says.
    pub(crate) score: f64,
}

/// Searches with all layers, then as each rule says.
pub(crate) fn run(
    subject: &DecoderSubject,
    material: &Material,
    (beams, rules): (Beams, &[ExitRule]),
    interrupt: &Interrupt,
) -> Result<BeamResults> {
    let layers = subject.model().n_layers();
    let plain = ExitRule { rule: Rule::None, decays: false };
    let rules: Vec<ExitRule> = [plain].iter().chain(rules).copied().collect();
    let depths = rules.iter().map(|rule| depth(rule, layers)).collect::<Result<Vec<_>>>()?;
    let searches = Searches { of: Prompts::new(subject, material, interrupt), beams };
    let mut ways = depths.clone();
    let (found, load) = tried(&searches, &mut ways, material.terms.rounds, "searching")?;
    let mut runs: Vec<BeamRun> = Vec::new();
    let plain_timed = found[0].timed.clone();
    for ((rule, &exit), tried) in rules.iter().zip(&depths).zip(found) {
        let run = BeamRun::of(material, (rule, exit), tried, &plain_timed, runs.first())?;
        runs.push(run);
    }
    let facts = BeamFacts { run: RunFacts::of(subject, material), beam: beams };
    Ok(BeamResults { facts, load, runs })
}

/// The exit of a rule that applies to beams.
fn depth(rule: &ExitRule, layers: usize) -> Result<usize> {
    match (rule.rule, rule.depth()) {
        (Rule::None, _) => Ok(layers),
        (_, Some(exit)) if exit <= layers => Ok(exit),
        (_, Some(_)) => {
            let reason = format!("{rule}: expected an exit from 1 to {layers}");
            Err(EvalError::Setting { reason })
        }
        _ => {
            let reason = format!(
                "{rule} with --beam: gates decide in greedy decoding; of beams the whole model is cut off, fixed:D"
            );
            Err(EvalError::Setting { reason })
        }
    }
}

impl BeamRun {
    fn of(
        material: &Material,
        (rule, exit): (&ExitRule, usize),
        tried: Tried<BeamFound>,
        plain_timed: &[Timed],
        plain: Option<&Self>,
    ) -> Result<Self> {
        let Tried { found: BeamFound { found, scores }, timed, prompts } = tried;
        let tried = Tried { found, timed, prompts };
        let texts = scored(material, &tried)?;
        let tokens_per_second = texts.tokens_per_second(material.terms.rounds);
        let tokens = |run: &'_ Self| -> Vec<Vec<u32>> {
            run.outputs.iter().map(|of| of.output.tokens.clone()).collect()
        };
        let ours: Vec<Vec<u32>> = texts.outputs.iter().map(|of| of.tokens.clone()).collect();
        let full = plain.map_or_else(|| ours.clone(), tokens);
        let pairs = ours.iter().zip(&full).map(|(ours, full)| (ours.as_slice(), full.as_slice()));
        let outputs = texts.outputs.into_iter().zip(scores);
        Ok(Self {
            gate: rule.to_string(),
            exit,
            tokens_per_second,
            pace: Pace::of(&tried.timed, plain_timed),
            timed: tried.timed,
            fidelity: Fidelity::of(pairs),
            repeated_4_grams: texts.repeated_4_grams,
            unfinished: texts.unfinished,
            scores: texts.scores,
            outputs: outputs.map(|(output, score)| BeamOutput { output, score }).collect(),
        })
    }
}

/// Best hypotheses, in the order of the prompts, with their scores.
struct BeamFound {
    found: super::texts::Found,
    scores: Vec<f64>,
}

/// Searches over prompts in batches; a way is the number of layers that run.
struct Searches<'a> {
    of: Prompts<'a>,
    beams: Beams,
}

impl Searches<'_> {
    fn batch(&self, exit: usize, place: usize) -> Result<Vec<crate::decoding::Found>> {
        let Prompts { subject, material, interrupt, batches, prompts } = &self.of;
        let reach = Reach {
            max_new_tokens: material.request.max_new_tokens,
            depth: exit,
            stop: &material.request.stop,
        };
        let number = |row: usize| material.number(batches[place][row]);
        let found = self.beams.search(subject, &prompts[place], reach, number)?;
        interrupt.check()?;
        Ok(found.into_iter().map(|mut best| best.remove(0)).collect())
    }
}

impl Work for Searches<'_> {
    type Way = usize;
    type Found = BeamFound;

    fn batches(&self) -> &[Vec<usize>] {
        &self.of.batches
    }

    fn freely(&self, exit: &mut usize, done: &dyn Fn(usize)) -> Result<BeamFound> {
        let n = self.of.material.prompts.len();
        let mut texts = vec![Generated::default(); n];
        let mut scores = vec![0.0; n];
        for (place, batch) in self.of.batches.iter().enumerate() {
            for (&at, found) in batch.iter().zip(self.batch(*exit, place)?) {
                (texts[at], scores[at]) = (found.text, found.score);
            }
            done(batch.len());
        }
        let exits = texts.iter().map(|text| vec![*exit; text.tokens.len()]).collect();
        let lengths: Vec<usize> = texts.iter().map(|text| text.tokens.len()).collect();
        let rows = mean_rows(&self.of.batches, &lengths);
        let found = super::texts::Found { texts, exits, rows, ..Default::default() };
        Ok(BeamFound { found, scores })
    }

    fn timed(&self, exit: &mut usize, place: usize, _first: &BeamFound) -> Result<Lap> {
        let started = Instant::now();
        let found = self.batch(*exit, place)?;
        let seconds = started.elapsed();
        let tokens = found.iter().map(|found| found.text.tokens.len()).sum();
        Ok(Lap { tokens, seconds, prompts: Duration::ZERO })
    }
}
