//! Where texts part from the full model's: position by position.

use serde::{Deserialize, Serialize};

/// A position in the new text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// From 0.
    pub position: usize,
    /// Pairs of texts of which one at least reaches it.
    pub texts: usize,
    /// Of them, those with the same token there.
    pub equal: usize,
    /// Of them, those that are the same up to and at it.
    pub unbroken: usize,
}

/// Compares texts with the full model's, in pairs.
pub fn places<'a>(pairs: impl Iterator<Item = (&'a [u32], &'a [u32])>) -> Vec<Place> {
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
#[must_use]
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
