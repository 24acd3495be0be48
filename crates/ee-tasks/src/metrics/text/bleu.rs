//! BLEU (Papineni et al. 2002), equal to sacreBLEU 2.6 (Post 2018) with its default settings.
//!
//! Case counts, and an order with n-grams but no match is smoothed exponentially. An order without
//! n-grams makes the score 0: a corpus of texts shorter than four tokens has none of order four, as
//! in sacreBLEU without `effective_order`. The statistics are sacreBLEU's, number for number.

mod tokenize;

use std::collections::HashMap;

use super::{Entry, TextMetric, mecab};
use crate::error::Error;

pub(super) use tokenize::{Tokenization, words};

/// The longest n-grams counted.
const ORDER: usize = 4;

/// `100 · bp · (Π p_n)^(1/4)`, where `p_n` is the share of the hypotheses' n-grams that occur in a
/// reference and `bp = exp(min(0, 1 − reference length / hypothesis length))`.
struct Bleu {
    name: &'static str,
    tokenization: Tokenization,
}

const BLEU: Bleu = Bleu { name: "bleu", tokenization: Tokenization::V13a };
const BLEU_JA: Bleu = Bleu { name: "bleu:ja-mecab", tokenization: Tokenization::JaMecab };

pub(super) const METRICS: &[Entry] = &[
    Entry::Plain(&BLEU),
    Entry::Plain(&Bleu { name: "bleu:zh", tokenization: Tokenization::Zh }),
    // For scripts whose punctuation is not ASCII.
    Entry::Plain(&Bleu { name: "bleu:intl", tokenization: Tokenization::Intl }),
    // For scripts without spaces.
    Entry::Plain(&Bleu { name: "bleu:char", tokenization: Tokenization::Char }),
    // For texts that are cut into tokens already.
    Entry::Plain(&Bleu { name: "bleu:none", tokenization: Tokenization::None }),
    Entry::Needing {
        name: BLEU_JA.name,
        runs_programs: false,
        build: || mecab::ipadic().map(|_| -> Box<dyn TextMetric> { Box::new(BLEU_JA) }),
        score: |sum| BLEU.score(sum),
    },
];

/// Names that users of sacreBLEU try, and what to do instead.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("bleu:ja", "it is called `bleu:ja-mecab`"),
    ("bleu:ko", "there is no `ko-mecab` here; `bleu:char` counts characters"),
    ("bleu:ko-mecab", "it needs mecab-ko and its dictionary; `bleu:char` counts characters"),
    ("bleu:flores101", "it needs a SentencePiece model; `bleu:intl` and `chrf` need none"),
    ("bleu:flores200", "it needs a SentencePiece model; `bleu:intl` and `chrf` need none"),
    ("bleu:spm", "it needs a SentencePiece model; `bleu:intl` and `chrf` need none"),
    ("bleu:13a", "it is called `bleu`"),
];

impl TextMetric for Bleu {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self, n_references: Option<usize>) -> String {
        let tokenization = self.tokenization.name();
        sign(n_references, &format!("eff:no|tok:{tokenization}|smooth:exp"))
    }

    fn is_of_tokens(&self) -> bool {
        matches!(self.tokenization, Tokenization::None)
    }

    /// Hypothesis length, closest reference length, matches per order, n-grams per order.
    fn statistics(&self, hypothesis: &str, references: &[&str]) -> Result<Vec<f64>, Error> {
        require_references(self.name, references)?;
        let hypothesis = self.tokenization.apply(hypothesis);
        let references: Vec<String> =
            references.iter().map(|reference| self.tokenization.apply(reference)).collect();
        let hypothesis: Vec<&str> = words(&hypothesis).collect();
        let references: Vec<Vec<&str>> =
            references.iter().map(|reference| words(reference).collect()).collect();

        let lengths = references.iter().map(Vec::len);
        let mut statistics = vec![0.0; 2 + 2 * ORDER];
        statistics[0] = hypothesis.len() as f64;
        statistics[1] = closest(hypothesis.len(), lengths) as f64;
        let allowed = most_in_any(&references);
        for (ngram, count) in counts(&hypothesis) {
            let matches = count.min(allowed.get(ngram).copied().unwrap_or(0));
            statistics[1 + ngram.len()] += matches as f64;
            statistics[1 + ORDER + ngram.len()] += count as f64;
        }
        Ok(statistics)
    }

    fn score(&self, sum: &[f64]) -> f64 {
        let (hypothesis_length, reference_length) = (sum[0], sum[1]);
        let (matches, totals) = sum[2..].split_at(ORDER);
        if matches.iter().all(|count| *count == 0.0) || totals.contains(&0.0) {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut log_precisions = 0.0;
        for (matches, total) in matches.iter().zip(totals) {
            log_precisions += if *matches == 0.0 {
                smoothing *= 2.0;
                100.0 / (smoothing * total)
            } else {
                100.0 * matches / total
            }
            .ln();
        }
        let brevity = (1.0 - reference_length / hypothesis_length).min(0.0).exp();
        brevity * (log_precisions / ORDER as f64).exp()
    }
}

/// The fields that BLEU and chrF share, in sacreBLEU's order around those of one metric.
pub(super) fn sign(n_references: Option<usize>, fields: &str) -> String {
    let n_references = n_references.map_or("var".to_owned(), |n| n.to_string());
    let version = env!("CARGO_PKG_VERSION");
    format!("nrefs:{n_references}|case:mixed|{fields}|version:ee-tasks:{version}")
}

/// Where sacreBLEU fails on indices or counts a length of −1.
pub(super) fn require_references(name: &str, references: &[&str]) -> Result<(), Error> {
    match references {
        [] => Err(Error::Request(format!(
            "metric `{name}` expected at least one reference for every example, found one without"
        ))),
        _ => Ok(()),
    }
}

/// The length nearest to the hypothesis's, the shorter of two that are equally near.
fn closest(length: usize, references: impl Iterator<Item = usize>) -> usize {
    references
        .min_by_key(|reference| (reference.abs_diff(length), *reference))
        .expect("at least one reference")
}

/// How often each n-gram of orders 1 to 4 occurs.
fn counts<'a>(tokens: &'a [&'a str]) -> HashMap<&'a [&'a str], usize> {
    let mut counts = HashMap::with_capacity(ORDER * tokens.len());
    for ngram in (1..=ORDER).flat_map(|order| tokens.windows(order)) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// For each n-gram, its count in that reference which has the most of it.
fn most_in_any<'a>(references: &'a [Vec<&'a str>]) -> HashMap<&'a [&'a str], usize> {
    let mut most = HashMap::new();
    for (ngram, count) in references.iter().flat_map(|tokens| counts(tokens)) {
        let known = most.entry(ngram).or_default();
        *known = count.max(*known);
    }
    most
}
