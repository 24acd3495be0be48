//! BLEU and chrF against sacreBLEU, and on values that can be checked by hand.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bleu::{Tokenization, words};
use super::{Entry, METRICS, TextMetric, by_name};
use crate::fixture;

/// What sacreBLEU computes, from scripts/goldens_text_metrics.py.
#[derive(Deserialize)]
struct Golden {
    tokenized: Vec<Tokenized>,
    corpora: Vec<Corpus>,
}

#[derive(Deserialize)]
struct Tokenized {
    text: String,
    tokens: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Corpus {
    name: String,
    hypotheses: Vec<String>,
    references: Vec<Vec<String>>,
    metrics: BTreeMap<String, Scored>,
}

#[derive(Deserialize)]
struct Scored {
    score: f64,
    signature: String,
    statistics: Vec<Vec<f64>>,
}

/// Statistics are equal, so scores of 0..100 differ by rounding alone; worst measured 1.5e-14.
const TOLERANCE: f64 = 1e-9;

fn golden() -> Golden {
    fixture::read("bleu_chrf.json")
}

fn metric(name: &str) -> Box<dyn TextMetric> {
    by_name(name, false).expect("registered")
}

fn statistics(metric: &dyn TextMetric, hypothesis: &str, references: &[String]) -> Vec<f64> {
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    metric.statistics(hypothesis, &references).expect("nothing from outside is needed")
}

fn sum(statistics: &[Vec<f64>]) -> Vec<f64> {
    let numbers = 0..statistics[0].len();
    numbers.map(|index| statistics.iter().map(|counts| counts[index]).sum()).collect()
}

/// The score of one example.
fn one(name: &str, hypothesis: &str, references: &[&str]) -> f64 {
    let metric = metric(name);
    metric.score(&metric.statistics(hypothesis, references).expect("a reference"))
}

#[test]
fn every_tokenization_equals_sacrebleu() {
    use Tokenization::{Char, Intl, None, V13a, Zh};
    let mut compared = 0;
    for line in golden().tokenized {
        for tokenization in [V13a, Zh, Intl, Char, None] {
            let text = tokenization.apply(&line.text);
            let found: Vec<&str> = words(&text).collect();
            assert_eq!(found, line.tokens[tokenization.name()], "{tokenization:?} {:?}", line.text);
            compared += 1;
        }
    }
    assert!(compared >= 5 * 20, "only {compared} lines compared");
}

#[test]
fn every_score_equals_sacrebleu() {
    let mut compared = 0;
    for corpus in golden().corpora {
        for (name, expected) in &corpus.metrics {
            let metric = metric(name);
            let pairs = corpus.hypotheses.iter().zip(&corpus.references);
            let found: Vec<Vec<f64>> =
                pairs.map(|(text, gold)| statistics(metric.as_ref(), text, gold)).collect();
            assert_eq!(found, expected.statistics, "{name} of {}", corpus.name);
            let score = metric.score(&sum(&found));
            let case = format!("{name} of {}: {score}, sacreBLEU {}", corpus.name, expected.score);
            assert!((score - expected.score).abs() <= TOLERANCE, "{case}");
            compared += 1;
        }
    }
    assert!(compared >= 7 * 20, "only {compared} scores compared");
}

#[test]
fn signatures_have_the_fields_of_sacrebleu() {
    for corpus in golden().corpora {
        let n_references = corpus.references[0].len();
        let same = corpus.references.iter().all(|references| references.len() == n_references);
        for (name, expected) in &corpus.metrics {
            let found = metric(name).signature(same.then_some(n_references));
            let ours = format!("version:ee-tasks:{}", env!("CARGO_PKG_VERSION"));
            assert_eq!(found, expected.signature.replace("version:2.6.0", &ours));
        }
    }
}

#[test]
fn a_reference_alone_decides_what_is_perfect() {
    let text = "A man, aged 52, paid $1,000.5 for it.";
    for name in ours() {
        assert_eq!(metric(name).name(), name);
        assert!((one(name, text, &["nothing alike", text]) - 100.0).abs() < TOLERANCE, "{name}");
        assert!(one(name, "a man paid 1000 dollars for it", &[text]) < 70.0, "{name}");
    }
}

#[test]
fn no_reference_is_an_error_that_names_the_metric() {
    for name in ours() {
        let error = metric(name).statistics("text", &[]).expect_err("no references").to_string();
        assert!(error.starts_with(&format!("metric `{name}` expected at least one")), "{error}");
    }
}

/// BLEU and chrF, but for those that need a dictionary.
fn ours() -> impl Iterator<Item = &'static str> {
    let plain = METRICS.iter().copied().flatten().filter(|entry| matches!(entry, Entry::Plain(_)));
    plain.map(Entry::name).filter(|name| name.starts_with("bleu") || name.starts_with("chrf"))
}

#[test]
fn bleu_by_hand() {
    // Of 6, 5, 4 and 3 n-grams 5, 3, 2 and 1 match, and the lengths are equal.
    let found = one("bleu", "the cat sat on a mat", &["the cat sat on the mat"]);
    let precisions: f64 = 5.0 / 6.0 * 3.0 / 5.0 * 2.0 / 4.0 * 1.0 / 3.0;
    assert!((found - 100.0 * precisions.powf(0.25)).abs() < TOLERANCE, "{found}");
    // Three orders of four without a match count as half, a quarter and an eighth of one.
    let found = one("bleu", "d c b a", &["a b c d"]);
    let precisions: f64 = 1.0 * (0.5 / 3.0) * (0.25 / 2.0) * (0.125 / 1.0);
    assert!((found - 100.0 * precisions.powf(0.25)).abs() < TOLERANCE, "{found}");
    // All right, but four tokens where five were expected.
    let found = one("bleu", "a b c d", &["a b c d e"]);
    assert!((found - 100.0 * (1.0 - 5.0 / 4.0_f64).exp()).abs() < TOLERANCE, "{found}");
}

#[test]
fn chrf_by_hand() {
    // Orders 1 and 2 have 2 of 2 and 1 of 1 right, and 2 of 3 and 1 of 2 found; the third is none.
    let (precision, recall) = (1.0, (2.0 / 3.0 + 1.0 / 2.0) / 2.0);
    let expected = 100.0 * 5.0 * precision * recall / (4.0 * precision + recall);
    let found = one("chrf", "a b", &["abc"]);
    assert!((found - expected).abs() < TOLERANCE, "{found}");
    // chrF++ also counts one pair of words, and `a)` as two words.
    let expected = metric("chrf++").statistics("a) b", &["a ) b"]).expect("a reference");
    assert_eq!(expected[18..], [3.0, 3.0, 3.0, 2.0, 2.0, 2.0]);
}
