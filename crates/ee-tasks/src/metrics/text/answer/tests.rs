use super::*;
use crate::metrics::text::by_name;

fn score(name: &str, hypothesis: &str, references: &[&str]) -> f64 {
    let metric = by_name(name, false).expect("registered");
    metric.score(&metric.statistics(hypothesis, references).expect("readable references"))
}

#[test]
fn answers_are_normalized_as_squad_does() {
    assert_eq!(normalized("The U.S.A., an  ally"), ["usa", "ally"]);
    // Punctuation goes first, so it joins; only whole words are articles.
    assert_eq!(normalized("an_the theatre a\u{2013}b"), ["anthe", "theatre", "\u{2013}b"]);
    assert_eq!(normalized("one\u{1c}two\u{a0}three"), ["one", "two", "three"]);
}

#[test]
fn the_best_reference_counts() {
    assert_eq!(score("exact_match", "the Beatles!", &["Rolling Stones", "Beatles"]), 1.0);
    assert_eq!(score("exact_match", "Beatles", &["Rolling Stones", "Monkees"]), 0.0);
    // Two of three tokens, two of two: 2 · 2/3 · 1 / (2/3 + 1).
    assert!((score("token_f1", "red blue green", &["yellow", "green red"]) - 0.8).abs() < 1e-12);
}

#[test]
fn nothing_left_of_both_is_a_match_without_f1() {
    assert_eq!(score("exact_match", "the", &["A."]), 1.0);
    assert_eq!(score("token_f1", "the", &["A."]), 0.0);
}

#[test]
fn the_first_of_the_four_words_answers() {
    for (hypothesis, reference, expected) in [
        ("Yes, because no bird is a fish.", "yes", 1.0),
        ("Well: NO.", "no", 1.0),
        ("I think so. **True**", "Yes", 1.0),
        ("False", " no\n", 1.0),
        ("no", "true", 0.0),
        ("not known, untrue, yesterday", "no", 0.0),
        ("not known, untrue, yesterday", "yes", 0.0),
        ("", "false", 0.0),
    ] {
        assert_eq!(score("yes_no", hypothesis, &[reference]), expected, "{hypothesis:?}");
    }
}

#[test]
fn a_reference_that_is_neither_yes_nor_no_is_refused() {
    let metric = by_name("yes_no", false).expect("registered");
    let error = metric.statistics("yes", &["maybe"]).expect_err("unreadable").to_string();
    let expected = "metric `yes_no` expects a reference of yes, no, true or false, found `maybe`";
    assert_eq!(error, expected);
}

#[test]
fn signatures_say_how_it_was_computed() {
    for (name, method) in [
        ("exact_match", "exact_match|normalization:squad"),
        ("exact_match:gsm8k", "exact_match|answer:hashes-else-last-number"),
        ("token_f1", "token_f1|normalization:squad"),
        ("yes_no", "yes_no|answer:first"),
    ] {
        let metric = by_name(name, false).expect("registered");
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!("{method}|aggregation:mean|references:max|ee-tasks:{version}");
        assert_eq!((metric.name(), metric.signature(None)), (name, expected));
    }
}
