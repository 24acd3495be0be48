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
use crate::moses::Detokenization;
use ee_files::did_you_mean;

/// A score of generated texts, higher is better.
pub trait TextMetric: Send + Sync {
    /// The name in task files, variant included: `bleu:zh`.
    fn name(&self) -> &'static str;

    /// How the number was computed, in the fields of the library it equals; `n_references` is what
    /// every example has, `None` where they differ.
    fn signature(&self, n_references: Option<usize>) -> String;

    /// What one example adds; all examples give the same number of values, which can be summed.
    fn statistics(&self, hypothesis: &str, references: &[&str]) -> Result<Vec<f64>, Error>;

    /// Whether it counts the tokens of the texts as they are, so that it sees texts before they are detokenized.
    fn is_of_tokens(&self) -> bool {
        false
    }

    /// The score of summed statistics: 0..100 for BLEU and chrF as the field writes them, else 0..1.
    fn score(&self, sum: &[f64]) -> f64;
}

impl<T: TextMetric + ?Sized> TextMetric for &T {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn signature(&self, n_references: Option<usize>) -> String {
        (**self).signature(n_references)
    }

    fn statistics(&self, hypothesis: &str, references: &[&str]) -> Result<Vec<f64>, Error> {
        (**self).statistics(hypothesis, references)
    }

    fn is_of_tokens(&self) -> bool {
        (**self).is_of_tokens()
    }

    fn score(&self, sum: &[f64]) -> f64 {
        (**self).score(sum)
    }
}

/// A metric of detokenized texts.
struct Detokenized {
    metric: Box<dyn TextMetric>,
    detokenize: Detokenization,
}

impl TextMetric for Detokenized {
    fn name(&self) -> &'static str {
        self.metric.name()
    }

    fn signature(&self, n_references: Option<usize>) -> String {
        format!("{}|{}", self.metric.signature(n_references), self.detokenize.signature())
    }

    fn statistics(&self, hypothesis: &str, references: &[&str]) -> Result<Vec<f64>, Error> {
        let references: Vec<String> =
            references.iter().map(|reference| self.detokenize.apply(reference)).collect();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        self.metric.statistics(&self.detokenize.apply(hypothesis), &references)
    }

    fn score(&self, sum: &[f64]) -> f64 {
        self.metric.score(sum)
    }
}

/// The metric of texts that are detokenized first; one of tokens stays as it is.
pub(crate) fn detokenized(
    metric: Box<dyn TextMetric>,
    detokenize: &Detokenization,
) -> Box<dyn TextMetric> {
    match metric.is_of_tokens() {
        true => metric,
        false => Box::new(Detokenized { metric, detokenize: detokenize.clone() }),
    }
}

/// A metric as its file registers it.
enum Entry {
    /// It needs only texts.
    Plain(&'static dyn TextMetric),
    /// It needs something from outside; scoring stored statistics does not.
    Needing {
        name: &'static str,
        /// Whether it runs programs that a model wrote: built only where the user allows that.
        runs_programs: bool,
        build: fn() -> Result<Box<dyn TextMetric>, Error>,
        score: fn(&[f64]) -> f64,
    },
}

/// Every metric, file by file.
const METRICS: &[&[Entry]] = &[
    bleu::METRICS,
    chrf::METRICS,
    rouge::METRICS,
    answer::METRICS,
    gsm8k::METRICS,
    gsm8k::published::METRICS,
    pass_at_1::METRICS,
];

impl Entry {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain(metric) => metric.name(),
            Self::Needing { name, .. } => name,
        }
    }
}

/// The name of every metric.
pub fn names() -> impl Iterator<Item = &'static str> {
    METRICS.iter().copied().flatten().map(Entry::name)
}

fn entry(name: &str) -> Result<&'static Entry, Error> {
    let found = METRICS.iter().copied().flatten().find(|entry| entry.name() == name);
    found.ok_or_else(|| match bleu::ELSEWHERE.iter().find(|(other, _)| *other == name) {
        Some((_, instead)) => Error::Request(format!(
            "no metric `{name}`: {instead}; or score the generated texts (x.texts.jsonl) with sacreBLEU itself"
        )),
        None => {
            let hint = did_you_mean(name, names());
            Error::Unknown { what: "metric", name: name.to_owned(), hint }
        }
    })
}

/// Checks a name in a task file, where nothing is to be run or read yet.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    entry(name).map(drop)
}

/// The metric of that name; `allow_code_execution` is the user's word (`--allow-code-execution`).
///
/// # Errors
/// An unknown name; a metric that runs programs where that is not allowed, or not safe; a dictionary that
/// is not there.
pub fn by_name(name: &str, allow_code_execution: bool) -> Result<Box<dyn TextMetric>, Error> {
    match entry(name)? {
        Entry::Plain(metric) => Ok(Box::new(*metric)),
        Entry::Needing { runs_programs: true, .. } if !allow_code_execution => {
            Err(Error::Request(format!(
                "metric `{name}` runs programs that the model wrote, expected --allow-code-execution: \
                 each then runs with no network, one empty folder and limits of time and memory"
            )))
        }
        Entry::Needing { build, .. } => build(),
    }
}

/// From summed statistics to a score.
pub type ScoreFunction = Box<dyn Fn(&[f64]) -> f64>;

/// The score, by name, of the sum of statistics that were stored; runs no program.
///
/// # Errors
/// An unknown name.
pub fn score_by_name(name: &str) -> Result<ScoreFunction, Error> {
    Ok(match entry(name)? {
        Entry::Plain(metric) => Box::new(|sum| metric.score(sum)),
        Entry::Needing { score, .. } => Box::new(score),
    })
}

#[cfg(test)]
mod bleu_tests;
