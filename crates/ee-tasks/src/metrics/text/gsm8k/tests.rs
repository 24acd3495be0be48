use super::*;
use crate::fixture;
use crate::metrics::text::by_name;

#[test]
fn the_number_after_hashes_comes_before_the_last_number() {
    for (text, expected) in [
        ("5 + 6 = 11\n#### 11", Some("11")),
        ("#### 11\n\nQuestion: 5 and 7?\n#### 12", Some("11")),
        ("####11 apples of 30", Some("11")),
        ("#### $11 of 30", Some("11")),
        ("#### $-11 of 30", Some("-11")),
        ("#### eleven of 30", Some("30")),
        ("#### eleven\n#### 11\n30", Some("11")),
        ("5 apples and 6 pears make 11 in all...", Some("11")),
        ("10-4", Some("-4")),
        ("none, so it is $.", None),
        ("", None),
    ] {
        assert_eq!(answer(text).as_deref(), expected, "{text:?}");
    }
}

#[test]
fn equal_numbers_have_one_shortest_writing() {
    for (writings, shortest_writing) in [
        (["1080", "1,080", "$1,080.00."].as_slice(), "1080"),
        (&["0.5", ".5", "00.50"], "0.5"),
        (&["-5", "-$5", "-5.0"], "-5"),
        (&["0", "-0", "0.00", "000"], "0"),
        (&["100", "100.", "100.000"], "100"),
        (&["1.2.30", "1.2.30."], "1.2.30"),
    ] {
        for writing in writings {
            assert_eq!(shortest(writing), shortest_writing, "{writing}");
        }
    }
}

#[test]
fn a_reference_without_a_number_is_refused() {
    let metric = by_name("exact_match:gsm8k", false).expect("registered");
    let error = metric.statistics("7", &["seven"]).expect_err("unreadable").to_string();
    let expected = "metric `exact_match:gsm8k` expects a reference with a number, found `seven`";
    assert_eq!(error, expected);
}

/// The published rules by Python's `re`; see `scripts/goldens_gsm8k.py`.
#[derive(serde::Deserialize)]
struct Golden {
    hypothesis: String,
    reference: String,
    published: bool,
    strict: bool,
    flexible: bool,
}

#[test]
fn the_published_rules_judge_as_python_does() {
    let goldens: Vec<Golden> = fixture::read("gsm8k.json");
    let metric = |name: &str| by_name(&format!("exact_match:gsm8k{name}"), false).expect("known");
    let metrics = ["-published", "-strict", "-flexible", ""].map(metric);
    let mut n_differing = 0;
    for Golden { hypothesis, reference, published, strict, flexible } in &goldens {
        let judged = metrics.each_ref().map(|metric| {
            metric.statistics(hypothesis, &[reference]).expect("a sound reference")[0] == 1.0
        });
        let [.., ours] = judged;
        assert_eq!(judged, [*published, *strict, *flexible, ours], "{hypothesis:?} {reference:?}");
        n_differing += usize::from(ours != *strict);
    }
    assert!(goldens.len() >= 30 && n_differing > 0, "{n_differing} of {}", goldens.len());
}

#[test]
fn the_authors_rule_needs_a_marked_reference() {
    let metric = by_name("exact_match:gsm8k-published", false).expect("registered");
    let error = metric.statistics("7", &["7"]).expect_err("unmarked").to_string();
    assert!(error.contains("expects a reference with `#### ` and a number, found `7`"), "{error}");
}
