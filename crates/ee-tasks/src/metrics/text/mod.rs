//! How generated texts are scored against references.
//!
//! The same plan as for classifications: statistics per example, a score of their sum, and a signature.
//! A name may carry a variant after a colon, as in `bleu:zh`.

mod answer;
mod bleu;
mod chrf;
mod gsm8k;
mod mean;
mod mecab;
mod pass_at_1;
mod rouge;

use crate::error::Error;
use ee_files::did_you_mean;

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
    ("exact_match:gsm8k-published", || Box::new(gsm8k::published::PUBLISHED)),
    ("exact_match:gsm8k-strict", || Box::new(gsm8k::published::STRICT)),
    ("exact_match:gsm8k-flexible", || Box::new(gsm8k::published::FLEXIBLE)),
    ("token_f1", || Box::new(answer::TOKEN_F1)),
    ("yes_no", || Box::new(answer::YES_NO)),
];

/// Builds a metric that needs something from outside.
type BuildNeeding = fn() -> Result<Box<dyn TextMetric>, Error>;

/// Scores summed statistics.
type Score = fn(&[f64]) -> f64;

/// Every metric that runs what a model wrote; built only where the user allows that. The score of
/// statistics that are there already runs nothing.
pub const RUNNING_METRICS: &[(&str, BuildNeeding, Score)] =
    &[("pass@1", pass_at_1::build, pass_at_1::score)];

/// Every metric that reads a dictionary; the score of statistics that are there already needs none.
pub const DICTIONARY_METRICS: &[(&str, BuildNeeding, Score)] =
    &[("bleu:ja-mecab", bleu::japanese, bleu::score)];

/// Names that users of sacreBLEU look for, and what to do instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("bleu:ja", "it is called `bleu:ja-mecab`"),
    ("bleu:ko", "there is no `ko-mecab` here; `bleu:char` counts characters"),
    ("bleu:ko-mecab", "it needs mecab-ko and its dictionary; `bleu:char` counts characters"),
    ("bleu:flores101", "it needs a SentencePiece model; `bleu:intl` and `chrf` need none"),
    ("bleu:flores200", "it needs a SentencePiece model; `bleu:intl` and `chrf` need none"),
    ("bleu:spm", "it needs a SentencePiece model; `bleu:intl` and `chrf` need none"),
    ("bleu:13a", "it is called `bleu`"),
];

/// Checks a name in a task file, where nothing is to be run or read yet.
///
/// # Errors
/// An unknown name.
pub fn check_name(name: &str) -> Result<(), Error> {
    let needing = RUNNING_METRICS.iter().chain(DICTIONARY_METRICS).map(|(known, ..)| *known);
    let known: Vec<&str> = TEXT_METRICS.iter().map(|(known, _)| *known).chain(needing).collect();
    if known.contains(&name) {
        return Ok(());
    }
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
        return Err(Error::Request(format!(
            "no metric `{name}`: {instead}; or score the generated texts (x.texts.jsonl) with sacreBLEU itself"
        )));
    }
    Err(Error::Unknown { what: "metric", name: name.to_owned(), hint: did_you_mean(name, known) })
}

/// The metric of that name; `allow_code_execution` is the user's word (`--allow-code-execution`).
///
/// # Errors
/// An unknown name; a metric that runs programs where that is not allowed, or not safe; a dictionary that
/// is not there.
pub fn by_name(name: &str, allow_code_execution: bool) -> Result<Box<dyn TextMetric>, Error> {
    check_name(name)?;
    if let Some((_, build)) = TEXT_METRICS.iter().find(|(known, _)| *known == name) {
        return Ok(build());
    }
    if let Some((_, build, _)) = DICTIONARY_METRICS.iter().find(|(known, ..)| *known == name) {
        return build();
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
    let mut needing = RUNNING_METRICS.iter().chain(DICTIONARY_METRICS);
    if let Some((_, _, score)) = needing.find(|(known, ..)| *known == name) {
        return Ok(Box::new(score));
    }
    let metric = by_name(name, false)?;
    Ok(Box::new(move |sum| metric.score(sum)))
}

#[cfg(test)]
mod bleu_tests;
