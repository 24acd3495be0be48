//! chrF (Popović 2015) and chrF++ (Popović 2017), equal to sacreBLEU 2.6 with its default settings.
//!
//! Case counts, white space does not, and orders that are missing on either side are left out of
//! the averages (sacreBLEU's `eff:yes`, no epsilon smoothing). Of several references only the one
//! with the best score for its example counts. N-grams are sorted once at the longest order: their
//! prefixes are then the sorted n-grams of every shorter order, and two sorted lists intersect in
//! one pass without hashing.

use std::cmp::Ordering;

use super::bleu::{require_references, sign, words};
use super::{Entry, TextMetric};
use crate::error::Error;

/// The longest n-grams of characters.
const CHARACTERS: usize = 6;
/// The longest n-grams of words, in chrF++ alone.
const WORDS: usize = 2;
/// The weight of recall against precision.
const BETA: f64 = 2.0;

/// `100 · (1 + β²) P R / (β² P + R)`, with precision `P` and recall `R` averaged over orders.
struct ChrF {
    name: &'static str,
    /// Also n-grams of words.
    words: bool,
}

pub(super) const METRICS: &[Entry] = &[
    Entry::Plain(&ChrF { name: "chrf", words: false }),
    Entry::Plain(&ChrF { name: "chrf++", words: true }),
];

impl TextMetric for ChrF {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self, n_references: Option<usize>) -> String {
        let words = if self.words { WORDS } else { 0 };
        sign(n_references, &format!("eff:yes|nc:{CHARACTERS}|nw:{words}|space:no"))
    }

    /// For each order n-grams of the hypothesis, of the best reference, and matches.
    fn statistics(&self, hypothesis: &str, references: &[&str]) -> Result<Vec<f64>, Error> {
        require_references(self.name, references)?;
        let hypothesis = Text::new(hypothesis, self.words);
        let mut best = (f64::NEG_INFINITY, Vec::new());
        for reference in references {
            let statistics = hypothesis.statistics(&Text::new(reference, self.words));
            let score = f_score(&statistics);
            // Of equals the first.
            if score > best.0 {
                best = (score, statistics);
            }
        }
        Ok(best.1)
    }

    fn score(&self, sum: &[f64]) -> f64 {
        f_score(sum)
    }
}

/// The n-grams of a text.
struct Text<'a> {
    characters: Ngrams<char, CHARACTERS>,
    words: Option<Ngrams<&'a str, WORDS>>,
}

impl<'a> Text<'a> {
    fn new(text: &'a str, with_words: bool) -> Self {
        let characters: Vec<char> = words(text).flat_map(str::chars).collect();
        let characters = Ngrams::new(&characters);
        let words = with_words.then(|| {
            let words: Vec<&str> = words(text).flat_map(without_punctuation).collect();
            Ngrams::new(&words)
        });
        Self { characters, words }
    }

    fn statistics(&self, reference: &Self) -> Vec<f64> {
        let mut statistics = self.characters.statistics(&reference.characters);
        if let (Some(words), Some(reference)) = (&self.words, &reference.words) {
            statistics.extend(words.statistics(reference));
        }
        statistics
    }
}

/// The word and the ASCII punctuation mark at its end, or else at its start.
///
/// One mark of one side at most: `(hi)` becomes `(hi` and `)`, as in the reference.
fn without_punctuation(word: &str) -> impl Iterator<Item = &str> {
    let last = word.len() - word.chars().next_back().map_or(0, char::len_utf8);
    let cut = if last > 0 && word[last..].starts_with(|mark: char| mark.is_ascii_punctuation()) {
        last
    } else if last > 0 && word.starts_with(|mark: char| mark.is_ascii_punctuation()) {
        1
    } else {
        0
    };
    let (head, tail) = word.split_at(cut);
    [head, tail].into_iter().filter(|part| !part.is_empty())
}

/// What starts at each position of a sequence, up to `N` items of it, sorted.
struct Ngrams<T, const N: usize>(Vec<[Option<T>; N]>);

impl<T: Copy + Ord, const N: usize> Ngrams<T, N> {
    fn new(items: &[T]) -> Self {
        let at = |start| std::array::from_fn(|offset| items.get(start + offset).copied());
        let mut starts: Vec<[Option<T>; N]> = (0..items.len()).map(at).collect();
        starts.sort_unstable();
        Self(starts)
    }

    /// The sorted n-grams of one order.
    fn of_order(&self, order: usize) -> impl Iterator<Item = &[Option<T>]> {
        self.0.iter().map(move |start| &start[..order]).filter(|ngram| !ngram.ends_with(&[None]))
    }

    fn statistics(&self, reference: &Self) -> Vec<f64> {
        let per_order = |order| {
            let [n_hypothesis, n_reference] =
                [self, reference].map(|ngrams| (ngrams.0.len() + 1).saturating_sub(order));
            // Nothing can be right where the reference is empty.
            let counted = if n_reference > 0 { n_hypothesis } else { 0 };
            [counted, n_reference, self.matches(reference, order)]
        };
        (1..=N).flat_map(per_order).map(|count| count as f64).collect()
    }

    /// How many n-grams both have, each as often as it occurs in both.
    fn matches(&self, other: &Self, order: usize) -> usize {
        let (mut ours, mut theirs) = (self.of_order(order), other.of_order(order));
        let (mut left, mut right) = (ours.next(), theirs.next());
        let mut matches = 0;
        while let (Some(ngram), Some(other)) = (left, right) {
            let compared = ngram.cmp(other);
            matches += usize::from(compared == Ordering::Equal);
            if compared != Ordering::Greater {
                left = ours.next();
            }
            if compared != Ordering::Less {
                right = theirs.next();
            }
        }
        matches
    }
}

/// The score of one example or of sums; operations in sacreBLEU's order, so that near ties between
/// references fall alike.
fn f_score(statistics: &[f64]) -> f64 {
    let factor = BETA * BETA;
    let (mut precision, mut recall, mut n_orders) = (0.0, 0.0, 0.0);
    for order in statistics.chunks_exact(3) {
        let [n_hypothesis, n_reference, matches] = [order[0], order[1], order[2]];
        if n_hypothesis > 0.0 && n_reference > 0.0 {
            precision += matches / n_hypothesis;
            recall += matches / n_reference;
            n_orders += 1.0;
        }
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / n_orders, recall / n_orders);
    100.0 * ((1.0 + factor) * precision * recall / (factor * precision + recall))
}
