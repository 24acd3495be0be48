//! Which pairs of a parallel text are learned.
//!
//! The rules of Moses' clean-corpus-n.perl, on tokens without the end token: neither side empty, too long, nor much
//! longer than the other. A pair is left out whole: half a sentence is no translation of half another.

use std::ops::RangeInclusive;

/// Limits of a pair's lengths, in tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct PairLimits {
    /// Tokens of either side.
    pub tokens: RangeInclusive<usize>,
    /// How many times as long as the other a side may be.
    pub max_ratio: Option<f64>,
}

/// Why a pair is not learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unfit {
    /// A side without a token.
    Empty,
    /// A side with fewer tokens than the limit.
    Short,
    /// A side with more tokens than the limit.
    Long,
    /// Sides of too different lengths.
    Ratio,
}

impl PairLimits {
    /// Whether a pair with so many tokens on its two sides, end tokens not counted, is learned.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, source: usize, target: usize) -> Result<(), Unfit> {
        let (shorter, longer) = (source.min(target), source.max(target));
        if shorter == 0 {
            return Err(Unfit::Empty);
        }
        if shorter < *self.tokens.start() {
            return Err(Unfit::Short);
        }
        if longer > *self.tokens.end() {
            return Err(Unfit::Long);
        }
        match self.max_ratio {
            Some(ratio) if longer as f64 > ratio * shorter as f64 => Err(Unfit::Ratio),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_judged_as_by_clean_corpus() {
        let limits = PairLimits { tokens: 1..=175, max_ratio: Some(1.5) };
        let cases = [
            ([0, 0], Err(Unfit::Empty)),
            ([3, 0], Err(Unfit::Empty)),
            ([2, 3], Ok(())),
            ([3, 2], Ok(())),
            ([2, 4], Err(Unfit::Ratio)),
            ([100, 151], Err(Unfit::Ratio)),
            ([175, 175], Ok(())),
            ([175, 176], Err(Unfit::Long)),
        ];
        for ([source, target], expected) in cases {
            assert_eq!(limits.check(source, target), expected, "{source} {target}");
        }
        let wide = PairLimits { tokens: 1..=usize::MAX, max_ratio: None };
        assert_eq!(wide.check(1, 9000), Ok(()));
        let longer = PairLimits { tokens: 3..=9, max_ratio: None };
        assert_eq!(longer.check(2, 9), Err(Unfit::Short));
    }
}
