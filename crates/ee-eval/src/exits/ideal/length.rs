//! How the ideal exit depends on where a token stands and on how long its text is.
//!
//! Positions are kept one by one. Lengths, and positions in a plot, are joined with their neighbours
//! until each point rests on an equal share of what there is, because few texts are long and a mean of
//! few tokens is noise; the cost is that points do not stand at equal distances.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::trace::{TextRecord, Trace};

/// Points of [`Generated::by_length`] at most.
const LENGTH_BINS: usize = 12;

/// Figures of generated text only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generated {
    /// New tokens per example, end tokens included.
    pub(crate) average_length: f64,
    pub(crate) average_prompt_length: f64,
    /// The share of texts, 0 to 1, that the model ended itself; none without the texts, or where
    /// the model was given them.
    pub(crate) ended: Option<f64>,
    /// The mean ideal exit at each position.
    pub(crate) by_position: Vec<Place>,
    /// The mean ideal exit of texts by their number of new tokens, shortest first.
    pub(crate) by_length: Vec<Bin>,
}

/// A position in the new text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// From 0.
    pub(crate) position: u32,
    /// The mean ideal exit of the tokens there.
    pub(crate) average_exit: f64,
    /// Texts that reach it.
    pub(crate) tokens: usize,
}

/// Neighbouring lengths or positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bin {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) average: f64,
    /// The mean ideal exit: of texts by length, the mean of each text's mean.
    pub(crate) average_exit: f64,
    /// Texts, or tokens.
    pub(crate) count: usize,
}

impl Bin {
    fn at(place: u32, average_exit: f64, count: usize) -> Self {
        Self { from: place, to: place, average: f64::from(place), average_exit, count }
    }

    fn and(self, other: Self) -> Self {
        let count = self.count + other.count;
        let mean = |one: f64, two: f64| {
            (one * self.count as f64 + two * other.count as f64) / count as f64
        };
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            average: mean(self.average, other.average),
            average_exit: mean(self.average_exit, other.average_exit),
            count,
        }
    }
}

/// Neighbours joined until each bin holds at least an `n`th of everything, so at most `n` bins.
fn joined(bins: impl Iterator<Item = Bin> + Clone, n: usize) -> Vec<Bin> {
    let enough = bins.clone().map(|bin| bin.count).sum::<usize>().div_ceil(n);
    let mut joined: Vec<Bin> = Vec::new();
    for bin in bins {
        match joined.last_mut() {
            Some(last) if last.count < enough => *last = last.and(bin),
            _ => joined.push(bin),
        }
    }
    if let [.., before, last] = joined.as_mut_slice()
        && last.count < enough
    {
        *before = before.and(*last);
        joined.pop();
    }
    joined
}

/// The mean ideal exit at each position.
pub(super) fn by_position(trace: &Trace, ideal_exits: &[usize]) -> Vec<Place> {
    let mut places: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (&position, exit) in trace.position.iter().zip(ideal_exits) {
        let (tokens, sum) = places.entry(position).or_default();
        *tokens += 1;
        *sum += exit;
    }
    let place = |(position, (tokens, sum)): (u32, (usize, usize))| Place {
        position,
        average_exit: sum as f64 / tokens as f64,
        tokens,
    };
    places.into_iter().map(place).collect()
}

/// At most `n` points of equal weight over the positions.
pub(super) fn joined_positions(places: &[Place], n: usize) -> Vec<Bin> {
    let bin = |place: &Place| Bin::at(place.position, place.average_exit, place.tokens);
    joined(places.iter().map(bin), n)
}

/// The examples of a trace by their number.
pub(super) struct Examples(BTreeMap<u32, Example>);

#[derive(Default)]
struct Example {
    tokens: u32,
    prompt_tokens: u32,
    /// The sum of the tokens' ideal exits.
    exits: usize,
}

impl Examples {
    /// The examples that have rows.
    pub(super) fn of(trace: &Trace, ideal_exits: &[usize]) -> Self {
        let mut examples: BTreeMap<u32, Example> = BTreeMap::new();
        for (row, exit) in ideal_exits.iter().enumerate() {
            let example = examples.entry(trace.example[row]).or_default();
            example.tokens += 1;
            example.prompt_tokens = trace.prompt_tokens[row];
            example.exits += exit;
        }
        Self(examples)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn tokens(&self, example: u32) -> usize {
        self.0.get(&example).map_or(0, |example| example.tokens as usize)
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }

    /// Adds the examples of `texts` that have no row: their text is empty.
    pub(super) fn add_empty(&mut self, texts: &[TextRecord]) {
        for text in texts {
            let prompt_tokens = text.prompt_tokens as u32;
            self.0.entry(text.example).or_insert(Example { prompt_tokens, ..Example::default() });
        }
    }

    /// Figures of generated text only; `texts` are the model's own.
    pub(super) fn generated(
        &self,
        by_position: Vec<Place>,
        texts: Option<&[TextRecord]>,
    ) -> Generated {
        let mean = |of: fn(&Example) -> u32| {
            self.0.values().map(|example| f64::from(of(example))).sum::<f64>() / self.len() as f64
        };
        let ended = |texts: &[TextRecord]| {
            texts.iter().filter(|text| text.ended).count() as f64 / texts.len() as f64
        };
        Generated {
            average_length: mean(|example| example.tokens),
            average_prompt_length: mean(|example| example.prompt_tokens),
            ended: texts.map(ended),
            by_position,
            by_length: self.by_length(),
        }
    }

    fn by_length(&self) -> Vec<Bin> {
        let mut lengths: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
        for example in self.0.values().filter(|example| example.tokens > 0) {
            let (count, sum) = lengths.entry(example.tokens).or_default();
            *count += 1;
            *sum += example.exits as f64 / f64::from(example.tokens);
        }
        let bin = |(&length, &(count, sum)): (&u32, &(usize, f64))| {
            Bin::at(length, sum / count as f64, count)
        };
        joined(lengths.iter().map(bin), LENGTH_BINS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_join_until_each_bin_has_its_share() {
        let bins = [(1, 4.0, 1), (2, 2.0, 3), (5, 7.0, 4), (9, 1.0, 1)]
            .map(|(at, exit, count)| Bin::at(at, exit, count));
        let whole = joined(bins.into_iter(), 1);
        assert_eq!(
            whole,
            [Bin { from: 1, to: 9, average: 4.0, average_exit: 4.333_333_333_333_333, count: 9 }]
        );
        // A third is 3: 1 alone is too few and joins 2; 9 alone is too few and joins 5.
        let thirds = joined(bins.into_iter(), 3);
        assert_eq!(
            thirds,
            [
                Bin { from: 1, to: 2, average: 1.75, average_exit: 2.5, count: 4 },
                Bin { from: 5, to: 9, average: 5.8, average_exit: 5.8, count: 5 },
            ]
        );
        assert_eq!(joined(bins.into_iter(), 9), bins);
        assert!(joined([].into_iter(), 3).is_empty());
    }
}
