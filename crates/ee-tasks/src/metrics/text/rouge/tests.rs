use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::fixture;
use crate::metrics::text::{TextMetric, by_name};

/// Texts with the references' scores, from scripts/goldens_rouge.py.
#[derive(Deserialize)]
struct Golden {
    hypothesis: String,
    references: Vec<String>,
    scores: BTreeMap<String, f64>,
}

/// The scores are equal bit for bit; reading the golden's decimals rounds, worst measured 1.1e-16.
const TOLERANCE: f64 = 1e-12;

fn statistics(metric: &dyn TextMetric, hypothesis: &str, references: &[String]) -> Vec<f64> {
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    metric.statistics(hypothesis, &references).expect("readable references")
}

#[test]
fn every_score_equals_the_reference_library() {
    let mut compared = BTreeMap::<String, usize>::new();
    for case in fixture::read::<Vec<Golden>>("rouge.json") {
        for (name, expected) in &case.scores {
            let metric = by_name(name, false).expect("registered");
            let counts = statistics(metric.as_ref(), &case.hypothesis, &case.references);
            let found = metric.score(&counts);
            let shown = format!("{name} of {:?}: {found}, expected {expected}", case.hypothesis);
            assert!((found - expected).abs() <= TOLERANCE, "{shown}");
            *compared.entry(name.clone()).or_default() += 1;
        }
    }
    assert_eq!(compared.len(), 9, "{compared:?}");
    assert!(compared.values().all(|n| *n >= 19), "{compared:?}");
}

#[test]
fn the_corpus_score_is_the_mean_over_examples() {
    let cases: Vec<Golden> = fixture::read("rouge.json");
    for name in ["rouge1", "rougeL:stem", "token_f1"] {
        let scored: Vec<&Golden> =
            cases.iter().filter(|case| case.scores.contains_key(name)).collect();
        let metric = by_name(name, false).expect("registered");
        let mut sum = [0.0; 2];
        for case in &scored {
            let counts = statistics(metric.as_ref(), &case.hypothesis, &case.references);
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let mean = scored.iter().map(|case| case.scores[name]).sum::<f64>() / scored.len() as f64;
        assert!((metric.score(&sum) - mean).abs() < 1e-12, "{name}");
        assert!(0.1 < mean && mean < 0.9, "{name}: {mean} tells little");
    }
}

#[test]
fn every_stem_equals_nltk() {
    let stems: BTreeMap<String, String> = fixture::read("stems.json");
    assert!(stems.len() > 800, "only {} words", stems.len());
    for (word, stem) in stems {
        assert_eq!(STEMMER.stem(&word), stem, "{word}");
    }
}

#[test]
fn words_are_split_and_stemmed_as_rouge_score_does() {
    assert_eq!(words("It's 3.5%, na\u{ef}ve"), ["it", "s", "3", "5", "na", "ve"]);
    assert_eq!(words(" \n"), [""; 0]);
    // `was` and `dies` are there for their lengths: three characters are left, four are stemmed.
    assert_eq!(stems("was dies running"), ["was", "die", "run"]);
}

/// The example of Lin 2004, section 3.
#[test]
fn the_order_of_words_counts_in_rouge_l() {
    let score = |name: &str, hypothesis: &str| {
        let metric = by_name(name, false).expect("registered");
        metric.score(&statistics(metric.as_ref(), hypothesis, &["police killed the gunman".into()]))
    };
    assert_eq!(score("rougeL", "police kill the gunman"), 3.0 / 4.0);
    assert_eq!(score("rougeL", "the gunman kill police"), 2.0 / 4.0);
    assert_eq!(score("rouge1", "the gunman kill police"), 3.0 / 4.0);
    assert_eq!(score("rouge2", "the gunman kill police"), 1.0 / 3.0);
    assert_eq!(score("rougeL:stem", "police kill the gunman"), 1.0);
}

#[test]
fn longest_common_subsequences_of_articles() {
    // Two increasing sequences share the multiples of 6.
    let multiples = |of: u32| (0..3000).filter(|n| n % of == 0).collect::<Vec<u32>>();
    assert_eq!(longest_common_subsequence(&multiples(2), &multiples(3)), 500);
    assert_eq!(longest_common_subsequence(&multiples(2), &[]), 0);
    let falling: Vec<u32> = multiples(2).into_iter().rev().collect();
    assert_eq!(longest_common_subsequence(&multiples(2), &falling), 1);
}

#[test]
fn signatures_say_how_it_was_computed() {
    let signature = by_name("rougeL:stem", false).expect("registered").signature(None);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        signature,
        format!("rougeL|stemmer:yes|aggregation:mean|references:max|ee-tasks:{version}")
    );
    let plain = by_name("rougeL", false).expect("registered").signature(None);
    assert_eq!(plain, signature.replace("yes", "no"));
}

#[test]
fn an_example_without_references_is_refused() {
    let metric = by_name("rouge2:stem", false).expect("registered");
    let error = metric.statistics("text", &[]).expect_err("no reference").to_string();
    assert_eq!(error, "metric `rouge2:stem` expects at least one reference, found none");
}
