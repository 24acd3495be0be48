//! How generated texts are scored against references.
//!
//! The same plan as for classifications: statistics per example, a score of their sum, and a signature.
//! A name may carry a variant after a colon, as in `bleu:zh`.

mod answer;
mod bleu;
mod chrf;
mod gsm8k;
mod mean;
mod pass_at_1;
mod rouge;

use crate::error::Error;
use crate::suggest::did_you_mean;

/// A score of generated texts, higher is better.
pub trait TextMetric: Send + Sync {
    /// The name in task files, variant included: `bleu:zh`.
    fn name(&self) -> &'static str;

    /// How the number was computed, in the fields of the library it equals; `n_references` is what
    /// every example has, `None` where they differ.
    fn signature(&self, n_references: Option<usize>) -> String;

    /// What one example adds; all examples give as many numbers, which may be added up.
    ///
    /// # Errors
    /// Where there is no reference to compare with; where scoring needs something from outside that
    /// fails (running a program).
    fn statistics(&self, hypothesis: &str, references: &[&str]) -> Result<Vec<f64>, Error>;

    /// The score of summed statistics: 0..100 for BLEU and chrF as the field writes them, else 0..1.
    fn score(&self, sum: &[f64]) -> f64;
}

/// Builds a metric.
type Build = fn() -> Box<dyn TextMetric>;

/// Every metric of texts by its name.
pub const TEXT_METRICS: &[(&str, Build)] = &[
    ("bleu", || Box::new(bleu::BLEU)),
    ("bleu:zh", || Box::new(bleu::BLEU_ZH)),
    ("bleu:intl", || Box::new(bleu::BLEU_INTL)),
    ("bleu:char", || Box::new(bleu::BLEU_CHAR)),
    ("bleu:none", || Box::new(bleu::BLEU_NONE)),
    ("chrf", || Box::new(chrf::CHRF)),
    ("chrf++", || Box::new(chrf::CHRF_PLUS_PLUS)),
    ("rouge1", || Box::new(rouge::ROUGE_1)),
    ("rouge1:stem", || Box::new(rouge::ROUGE_1_STEM)),
    ("rouge2", || Box::new(rouge::ROUGE_2)),
    ("rouge2:stem", || Box::new(rouge::ROUGE_2_STEM)),
    ("rougeL", || Box::new(rouge::ROUGE_L)),
    ("rougeL:stem", || Box::new(rouge::ROUGE_L_STEM)),
    ("exact_match", || Box::new(answer::EXACT_MATCH)),
    ("exact_match:gsm8k", || Box::new(gsm8k::GSM8K)),
    ("token_f1", || Box::new(answer::TOKEN_F1)),
    ("yes_no", || Box::new(answer::YES_NO)),
];

/// Builds a metric that runs what a model wrote.
type BuildRunning = fn() -> Result<Box<dyn TextMetric>, Error>;

/// Scores summed statistics.
type Score = fn(&[f64]) -> f64;

/// Every metric that runs what a model wrote; built only where the user allows that. The score of
/// statistics that are there already runs nothing.
pub const RUNNING_METRICS: &[(&str, BuildRunning, Score)] =
    &[("pass@1", pass_at_1::build, pass_at_1::score)];

/// Checks a name in a task file, where nothing is to be run yet.
///
/// # Errors
/// An unknown name.
pub fn check_name(name: &str) -> Result<(), Error> {
    let running = RUNNING_METRICS.iter().map(|(known, ..)| *known);
    let known: Vec<&str> = TEXT_METRICS.iter().map(|(known, _)| *known).chain(running).collect();
    match known.contains(&name) {
        true => Ok(()),
        false => Err(Error::Unknown {
            what: "metric",
            name: name.to_owned(),
            hint: did_you_mean(name, known),
        }),
    }
}

/// The metric of that name; `allow_code_execution` is the user's word (`--allow-code-execution`).
///
/// # Errors
/// An unknown name; a metric that runs programs where that is not allowed, or not safe.
pub fn by_name(name: &str, allow_code_execution: bool) -> Result<Box<dyn TextMetric>, Error> {
    check_name(name)?;
    if let Some((_, build)) = TEXT_METRICS.iter().find(|(known, _)| *known == name) {
        return Ok(build());
    }
    let running = RUNNING_METRICS.iter().find(|(known, ..)| *known == name);
    let (_, build, _) = running.expect("a name that is known");
    if !allow_code_execution {
        return Err(Error::Request(format!(
            "metric `{name}` runs programs that the model wrote, expected --allow-code-execution: \
             each then runs with no network, one empty folder and limits of time and memory"
        )));
    }
    build()
}

/// From summed statistics to a score.
pub type ScoreFunction = Box<dyn Fn(&[f64]) -> f64>;

/// The score, by name, of the sum of statistics that were stored; runs no program.
///
/// # Errors
/// An unknown name.
pub fn score_by_name(name: &str) -> Result<ScoreFunction, Error> {
    if let Some((_, _, score)) = RUNNING_METRICS.iter().find(|(known, ..)| *known == name) {
        return Ok(Box::new(score));
    }
    let metric = by_name(name, false)?;
    Ok(Box::new(move |sum| metric.score(sum)))
}

#[cfg(test)]
mod bleu_tests;
