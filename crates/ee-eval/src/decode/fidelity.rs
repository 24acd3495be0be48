//! How close texts are to the full model's, and whether they run on.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// Tokens of a run that counts as a repetition.
const GRAM: usize = 4;

/// Texts against those of the full model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Whether every token is the full model's.
    pub same_tokens: bool,
    /// Texts that differ.
    pub differing_texts: usize,
    /// The earliest position of a new token, from 0, at which a text differs.
    pub first_divergence: Option<usize>,
    /// Over the texts that differ, the mean of that position.
    pub mean_divergence: Option<f64>,
    /// The share of positions with the full model's token, of the positions of the longer text each.
    pub equal_share: f64,
}

/// The first position at which two texts differ.
#[must_use]
pub fn divergence(ours: &[u32], full: &[u32]) -> Option<usize> {
    let common = ours.iter().zip(full).take_while(|(ours, full)| ours == full).count();
    (common < ours.len().max(full.len())).then_some(common)
}

impl Fidelity {
    /// Compares texts with the full model's, in pairs.
    pub fn of<'a>(pairs: impl Iterator<Item = (&'a [u32], &'a [u32])>) -> Self {
        let (mut positions, mut equal) = (0, 0);
        let mut divergences = Vec::new();
        for (ours, full) in pairs {
            positions += ours.len().max(full.len());
            equal += ours.iter().zip(full).filter(|(ours, full)| ours == full).count();
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
pub fn repetition<'a>(texts: impl Iterator<Item = &'a [u32]>) -> f64 {
    let (mut all, mut repeated) = (0, 0);
    for text in texts {
        let mut seen = HashSet::new();
        all += text.windows(GRAM).len();
        repeated += text.windows(GRAM).filter(|gram| !seen.insert(*gram)).count();
    }
    if all == 0 { 0.0 } else { repeated as f64 / all as f64 }
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
}
