//! Exact match of the number that a text ends on, for grade-school arithmetic (GSM8K, Cobbe et al. 2021).
//!
//! A text's answer is the number after the first `####` that a number follows; where there is none,
//! the last number of the text. A number is a run of digits, `.`, `,` and `$` with a digit in it, and
//! a `-` before it. Numbers are equal if they are once commas, `$`, dots at the end, zeros at the
//! end of the fraction and zeros at the start are dropped: `$1,080.00.` is `1080`.
//!
//! lm-evaluation-harness has two scores, strict (`####` or wrong) and flexible (the last number
//! always); this is the first with the second to fall back on. It differs from both where they take
//! a run without a digit for a number (`...`) or compare `18.00` with `18` letter by letter. Both, and the
//! rule of the data's authors, have names of their own ([`published`]): scores of papers are compared by those.

pub(super) mod published;

use super::Entry;
use super::mean::MeanOfBest;
use crate::error::Error;

pub(super) const METRICS: &[Entry] = &[Entry::Plain(&GSM8K)];

/// `exact_match:gsm8k`: both texts end on the same number.
const GSM8K: MeanOfBest = MeanOfBest {
    name: "exact_match:gsm8k",
    method: "exact_match|answer:hashes-else-last-number",
    value: |hypothesis, reference| {
        let gold = answer(reference).ok_or_else(|| {
            let name = GSM8K.name;
            let message =
                format!("metric `{name}` expects a reference with a number, found `{reference}`");
            Error::Request(message)
        })?;
        Ok(f64::from(answer(hypothesis).is_some_and(|found| found == gold)))
    },
};

/// The number that a text ends on, in its shortest writing.
fn answer(text: &str) -> Option<String> {
    let marked = text.split("####").skip(1).find_map(|after| {
        let after =
            after.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '$');
        numbers(after).first().copied().filter(|number| after.starts_with(number))
    });
    marked.or_else(|| numbers(text).last().copied()).map(shortest)
}

/// The numbers of a text as they are written, sign included.
fn numbers(text: &str) -> Vec<&str> {
    let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | ',' | '$');
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(before) = text[rest..].find(is_part) {
        let start = rest + before;
        let end = text[start..].find(|letter| !is_part(letter)).map_or(text.len(), |n| start + n);
        if text[start..end].contains(|letter: char| letter.is_ascii_digit()) {
            let signed = start - usize::from(text[..start].ends_with('-'));
            found.push(&text[signed..end]);
        }
        rest = end;
    }
    found
}

/// A number without commas, `$`, and the dots and zeros that change nothing.
///
/// What has several dots inside, as a date or a version has, is compared as written.
fn shortest(number: &str) -> String {
    let plain = number.replace([',', '$'], "");
    let plain = plain.trim_end_matches('.');
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.contains('.') {
        return plain.to_owned();
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    match (whole, fraction) {
        ("", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        ("", fraction) => format!("{sign}0.{fraction}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests;
