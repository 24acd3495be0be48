//! How close texts are to the full model's, where they diverge from it, and whether they repeat themselves.

use std::collections::HashSet;

use serde::Serialize;

/// Tokens of a run that counts as a repetition.
const GRAM: usize = 4;

/// Texts against those of the full model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Fidelity {
    pub(crate) same_tokens: bool,
    pub(crate) differing_texts: usize,
    /// The earliest position of a new token, from 0, at which a text differs.
    pub(crate) first_divergence: Option<usize>,
    /// Over the texts that differ, the mean of that position.
    pub(crate) mean_divergence: Option<f64>,
    /// The share of positions with the full model's token, of the positions of the longer text each.
    pub(crate) equal_share: f64,
}

/// The first position at which two texts differ.
fn divergence(ours: &[u32], full: &[u32]) -> Option<usize> {
    let common = ours.iter().zip(full).take_while(|(ours, full)| ours == full).count();
    (common < ours.len().max(full.len())).then_some(common)
}

/// Positions with the same token, and those of the longer text.
pub(super) fn equal(ours: &[u32], full: &[u32]) -> [usize; 2] {
    let equal = ours.iter().zip(full).filter(|(ours, full)| ours == full).count();
    [equal, ours.len().max(full.len())]
}

impl Fidelity {
    /// Compares texts with the full model's, in pairs.
    pub(crate) fn of<'a>(pairs: impl Iterator<Item = (&'a [u32], &'a [u32])>) -> Self {
        let (mut positions, mut equal) = (0, 0);
        let mut divergences = Vec::new();
        for (ours, full) in pairs {
            let [same, longer] = self::equal(ours, full);
            (positions, equal) = (positions + longer, equal + same);
            divergences.extend(divergence(ours, full));
        }
        let n = divergences.len();
        Self {
            same_tokens: n == 0,
            differing_texts: n,
            first_divergence: divergences.iter().copied().min(),
            mean_divergence: (n > 0).then(|| divergences.iter().sum::<usize>() as f64 / n as f64),
            equal_share: if positions == 0 { 1.0 } else { equal as f64 / positions as f64 },
        }
    }
}

/// The share of 4-grams of tokens that their text has had before; 0 where no text has as many tokens.
pub(crate) fn repetition<'a>(texts: impl Iterator<Item = &'a [u32]>) -> f64 {
    let (mut all, mut repeated) = (0, 0);
    for text in texts {
        let mut seen = HashSet::new();
        all += text.windows(GRAM).len();
        repeated += text.windows(GRAM).filter(|gram| !seen.insert(*gram)).count();
    }
    if all == 0 { 0.0 } else { repeated as f64 / all as f64 }
}

/// A position in the new text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) position: usize,
    /// Pairs of texts of which one at least reaches it.
    pub(crate) texts: usize,
    /// Of them, those with the same token there.
    pub(crate) equal: usize,
    /// Of them, those that are the same up to and at it.
    pub(crate) unbroken: usize,
}

/// Compares texts with the full model's, in pairs.
pub(crate) fn places<'a>(pairs: impl Iterator<Item = (&'a [u32], &'a [u32])>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (ours, full) in pairs {
        let mut is_unbroken = true;
        for position in 0..ours.len().max(full.len()) {
            if position == places.len() {
                places.push(Place { position, texts: 0, equal: 0, unbroken: 0 });
            }
            let is_equal = ours.get(position) == full.get(position);
            is_unbroken &= is_equal;
            let place = &mut places[position];
            place.texts += 1;
            place.equal += usize::from(is_equal);
            place.unbroken += usize::from(is_unbroken);
        }
    }
    places
}

/// Neighbouring positions as one, each with at least an `n`th of all tokens; the mean position, the share of
/// equal tokens and that of unbroken texts.
pub(crate) fn joined(places: &[Place], n: usize) -> Vec<[f64; 3]> {
    let enough = places.iter().map(|place| place.texts).sum::<usize>().div_ceil(n.max(1));
    let mut sums: Vec<[usize; 4]> = Vec::new();
    for place in places {
        let more = [place.texts, place.position * place.texts, place.equal, place.unbroken];
        match sums.last_mut() {
            Some(last) if last[0] < enough => {
                last.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
            _ => sums.push(more),
        }
    }
    // A last bin of few tokens would be noise.
    if let [.., before, last] = sums.as_mut_slice()
        && last[0] < enough
    {
        before.iter_mut().zip(*last).for_each(|(sum, more)| *sum += more);
        sums.pop();
    }
    let share = |[texts, positions, equal, unbroken]: [usize; 4]| {
        [positions, equal, unbroken].map(|count| count as f64 / texts as f64)
    };
    sums.into_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_position_by_position() {
        let full: [&[u32]; 3] = [&[1, 2, 3, 4], &[5, 6], &[7]];
        let same = Fidelity::of(full.iter().map(|text| (*text, *text)));
        assert!(same.same_tokens && same.first_divergence.is_none() && same.equal_share == 1.0);
        // One token differs, one text goes on, one is the same: 3 + 2 + 1 of 4 + 3 + 1.
        let ours: [&[u32]; 3] = [&[1, 9, 3, 4], &[5, 6, 6], &[7]];
        let found = Fidelity::of(ours.into_iter().zip(full));
        assert_eq!((found.differing_texts, found.first_divergence), (2, Some(1)));
        assert_eq!((found.mean_divergence, found.equal_share), (Some(1.5), 6.0 / 8.0));
    }

    #[test]
    fn repeated_runs_are_counted_within_their_text() {
        let texts: [&[u32]; 2] = [&[1, 1, 1, 1, 1, 1], &[1, 1, 1, 1]];
        // Three 4-grams of which two are repeated, then one new in its text.
        assert_eq!(repetition(texts.into_iter()), 0.5);
        assert_eq!(repetition([&[1_u32, 2][..]].into_iter()), 0.0);
    }

    #[test]
    fn texts_part_where_they_part() {
        let full: [&[u32]; 2] = [&[1, 2, 3], &[4]];
        let ours: [&[u32]; 2] = [&[1, 9, 3], &[4, 5]];
        let found = places(ours.into_iter().zip(full));
        let place = |position, texts, equal, unbroken| Place { position, texts, equal, unbroken };
        // Position 1: one differs, one text goes on alone. Position 2: equal again, broken before.
        assert_eq!(found, [place(0, 2, 2, 2), place(1, 2, 0, 0), place(2, 1, 1, 0)]);
        assert_eq!(joined(&found, 5), [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [2.0, 1.0, 0.0]]);
        // Two tokens a bin: the last position has but one.
        assert_eq!(joined(&found, 3), [[0.0, 1.0, 1.0], [4.0 / 3.0, 1.0 / 3.0, 0.0]]);
        assert_eq!(joined(&found, 1), [[4.0 / 5.0, 3.0 / 5.0, 2.0 / 5.0]]);
    }
}
