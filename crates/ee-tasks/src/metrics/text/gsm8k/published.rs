//! GSM8K's answers by the regular expressions that were published with scores.
//!
//! `exact_match:gsm8k-published` is the data's own rule (openai/grade-school-math, `dataset.py`): what stands
//! after the first `#### `, without commas, letter by letter. The other two are lm-evaluation-harness's
//! (`gsm8k.yaml`): `-strict` takes the same, `-flexible` the last number of the text; commas, `$`, whatever
//! goes up to `#### ` and a dot at the end are dropped on both sides. Where nothing is found an answer is
//! wrong.

use std::sync::LazyLock;

use regex::Regex;

use crate::error::Error;
use crate::metrics::text::Entry;
use crate::metrics::text::mean::MeanOfBest;

/// What stands for an answer where there is none.
const INVALID: &str = "[invalid]";

static AFTER_HASHES: LazyLock<Regex> = LazyLock::new(|| expression(r"#### (-?[0-9.,]+)"));
static NUMBERS: LazyLock<Regex> = LazyLock::new(|| expression(r"(-?[$0-9.,]{2,})|(-?[0-9]+)"));
/// Python's `$` is also before a line break at the end.
static IGNORED: LazyLock<[Regex; 2]> =
    LazyLock::new(|| [expression(r"(?s).*#### "), expression(r"\.(\n?)\z")]);

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("a sound expression")
}

pub(in crate::metrics::text) const METRICS: &[Entry] =
    &[Entry::Plain(&PUBLISHED), Entry::Plain(&STRICT), Entry::Plain(&FLEXIBLE)];

const PUBLISHED: MeanOfBest = MeanOfBest {
    name: "exact_match:gsm8k-published",
    method: "exact_match|answer:openai/grade-school-math",
    value: |hypothesis, reference| {
        let gold = after_hashes(reference).ok_or_else(|| {
            let name = PUBLISHED.name;
            let message = format!(
                "metric `{name}` expects a reference with `#### ` and a number, found `{reference}`"
            );
            Error::Request(message)
        })?;
        let plain = |number: &str| number.replace(',', "");
        let is_equal = |found: &str| plain(found) == plain(gold);
        Ok(f64::from(after_hashes(hypothesis).is_some_and(is_equal)))
    },
};

const STRICT: MeanOfBest = MeanOfBest {
    name: "exact_match:gsm8k-strict",
    method: "exact_match|answer:lm-evaluation-harness/strict-match",
    value: |hypothesis, reference| {
        Ok(equal(after_hashes(hypothesis).unwrap_or(INVALID), reference))
    },
};

const FLEXIBLE: MeanOfBest = MeanOfBest {
    name: "exact_match:gsm8k-flexible",
    method: "exact_match|answer:lm-evaluation-harness/flexible-extract",
    value: |hypothesis, reference| {
        let last = NUMBERS.find_iter(hypothesis).last().map_or(INVALID, |found| found.as_str());
        Ok(equal(last, reference))
    },
};

fn after_hashes(text: &str) -> Option<&str> {
    Some(AFTER_HASHES.captures(text)?.get(1)?.as_str())
}

fn equal(found: &str, reference: &str) -> f64 {
    let plain = |text: &str| {
        let text = text.replace([',', '$'], "");
        let [marked, dot] = &*IGNORED;
        dot.replace_all(&marked.replace_all(&text, ""), "$1").to_lowercase()
    };
    f64::from(plain(found) == plain(reference))
}
