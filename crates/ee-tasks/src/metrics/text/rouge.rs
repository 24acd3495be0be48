//! ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) as Google's rouge-score 0.1.2 computes them.
//!
//! Equal to its `RougeScorer` to the last bit, F-measure only. Texts are read as there: lower case,
//! words are runs of `a-z` and `0-9`, so letters with accents and other scripts are dropped. With
//! stemming, words longer than three characters go through NLTK's Porter stemmer; the crate
//! nltk-porter is that stemmer exactly, which Snowball's English stemmers are not.

use std::collections::HashMap;
use std::sync::LazyLock;

use nltk_porter::{Mode, PorterStemmer};

use super::Entry;
use super::mean::MeanOfBest;

/// A name, its method, what a text is cut into, and the F-measure of two of them.
macro_rules! rouge {
    ($name:literal, $method:literal, $cut:ident, $f1:expr) => {
        Entry::Plain(&MeanOfBest {
            name: $name,
            method: $method,
            value: |hypothesis, reference| {
                let f1: fn(&[String], &[String]) -> f64 = $f1;
                Ok(f1(&$cut(hypothesis), &$cut(reference)))
            },
        })
    };
}

/// Shared words or stems, pairs of them, or the longest common subsequence.
pub(super) const METRICS: &[Entry] = &[
    rouge!("rouge1", "rouge1|stemmer:no", words, |a, b| n_gram_f1(1, a, b)),
    rouge!("rouge1:stem", "rouge1|stemmer:yes", stems, |a, b| n_gram_f1(1, a, b)),
    rouge!("rouge2", "rouge2|stemmer:no", words, |a, b| n_gram_f1(2, a, b)),
    rouge!("rouge2:stem", "rouge2|stemmer:yes", stems, |a, b| n_gram_f1(2, a, b)),
    rouge!("rougeL", "rougeL|stemmer:no", words, subsequence_f1),
    rouge!("rougeL:stem", "rougeL|stemmer:yes", stems, subsequence_f1),
];

static STEMMER: LazyLock<PorterStemmer> = LazyLock::new(|| PorterStemmer::new(Mode::Nltk));

/// The words of a text in lower case.
fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|letter: char| !matches!(letter, 'a'..='z' | '0'..='9'))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The words of a text, those longer than three characters stemmed.
fn stems(text: &str) -> Vec<String> {
    let mut words = words(text);
    words.iter_mut().filter(|word| word.len() > 3).for_each(|word| *word = STEMMER.stem(word));
    words
}

/// F-measure of the shared n-grams, each counted as often as both texts have it.
pub(super) fn n_gram_f1(n: usize, hypothesis: &[String], reference: &[String]) -> f64 {
    let mut unmatched: HashMap<&[String], usize> = HashMap::new();
    for gram in reference.windows(n) {
        *unmatched.entry(gram).or_default() += 1;
    }
    let mut shared = 0;
    for gram in hypothesis.windows(n) {
        if let Some(left) = unmatched.get_mut(gram).filter(|left| **left > 0) {
            *left -= 1;
            shared += 1;
        }
    }
    f_measure(shared, hypothesis.windows(n).len(), reference.windows(n).len())
}

/// F-measure of the longest common subsequence.
fn subsequence_f1(hypothesis: &[String], reference: &[String]) -> f64 {
    let mut numbers = HashMap::new();
    let hypothesis = numbered(hypothesis, &mut numbers);
    let reference = numbered(reference, &mut numbers);
    let shared = longest_common_subsequence(&hypothesis, &reference);
    f_measure(shared, hypothesis.len(), reference.len())
}

/// A number for every word, the same for equal words: comparing them is the inner loop of ROUGE-L.
fn numbered<'a>(words: &'a [String], numbers: &mut HashMap<&'a str, u32>) -> Vec<u32> {
    words
        .iter()
        .map(|word| {
            let next = numbers.len() as u32;
            *numbers.entry(word).or_insert(next)
        })
        .collect()
}

/// The length of the longest common subsequence; one row of the usual table is kept.
fn longest_common_subsequence(first: &[u32], second: &[u32]) -> usize {
    let mut row = vec![0_u32; second.len() + 1];
    for word in first {
        let mut diagonal = 0;
        for (place, other) in second.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if word == other { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    row[second.len()] as usize
}

/// `2 p r / (p + r)` with `p = shared / n_hypothesis` and `r = shared / n_reference`; 0 if nothing is shared.
fn f_measure(shared: usize, n_hypothesis: usize, n_reference: usize) -> f64 {
    if shared == 0 {
        return 0.0;
    }
    let precision = shared as f64 / n_hypothesis as f64;
    let recall = shared as f64 / n_reference as f64;
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests;
