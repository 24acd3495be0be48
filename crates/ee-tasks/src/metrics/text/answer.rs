//! Short answers: exact match and token F1 of SQuAD, and yes/no.
//!
//! Exact match and F1 equal the official evaluation of SQuAD v1.1 (Rajpurkar et al. 2016). As
//! there, two answers that are empty once normalized match exactly but have an F1 of 0. Rust counts
//! some combining marks as parts of words, which Python does not: an article with such a mark
//! right beside it stays here and is dropped there.

use super::Entry;
use super::mean::MeanOfBest;
use super::rouge::n_gram_f1;
use crate::error::Error;

pub(super) const METRICS: &[Entry] =
    &[Entry::Plain(&EXACT_MATCH), Entry::Plain(&TOKEN_F1), Entry::Plain(&YES_NO)];

/// `exact_match`: the normalized answers are equal.
const EXACT_MATCH: MeanOfBest = MeanOfBest {
    name: "exact_match",
    method: "exact_match|normalization:squad",
    value: |hypothesis, reference| Ok(f64::from(normalized(hypothesis) == normalized(reference))),
};

/// `token_f1`: F1 of the tokens of the normalized answers, each counted as often as both have it.
const TOKEN_F1: MeanOfBest = MeanOfBest {
    name: "token_f1",
    method: "token_f1|normalization:squad",
    value: |hypothesis, reference| {
        Ok(n_gram_f1(1, &normalized(hypothesis), &normalized(reference)))
    },
};

/// `yes_no`: the first word of yes, no, true and false in the hypothesis means what the reference does.
///
/// Yes and true are the same answer, as are no and false. Any case; a hypothesis without such a
/// word is wrong; words before it are not understood ("it is not true" answers true).
const YES_NO: MeanOfBest =
    MeanOfBest { name: "yes_no", method: "yes_no|answer:first", value: yes_no };

/// The tokens of an answer in lower case without ASCII punctuation and the articles a, an, the.
fn normalized(answer: &str) -> Vec<String> {
    let lowercase = answer.to_lowercase();
    let bare: String = lowercase.chars().filter(|letter| !letter.is_ascii_punctuation()).collect();
    let mut kept = String::with_capacity(bare.len());
    let mut rest = bare.as_str();
    while let Some(first) = rest.chars().next() {
        let ends = |letter: char| letter.is_alphanumeric() != first.is_alphanumeric();
        let (run, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        kept.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    kept.split(is_space).filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

/// White space as Python's `str.split` has it: Unicode's, and four separators of ASCII.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{1c}'..='\u{1f}')
}

fn yes_no(hypothesis: &str, reference: &str) -> Result<f64, Error> {
    let expected = truth(reference.trim()).ok_or_else(|| {
        let message = format!(
            "metric `yes_no` expects a reference of yes, no, true or false, found `{reference}`"
        );
        Error::Request(message)
    })?;
    let found = hypothesis.split(|letter: char| !letter.is_alphanumeric()).find_map(truth);
    Ok(f64::from(found == Some(expected)))
}

/// What a word says, if it is one of the four.
fn truth(word: &str) -> Option<bool> {
    match word.to_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
