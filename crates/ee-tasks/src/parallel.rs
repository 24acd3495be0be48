//! Which pairs of a parallel text are learned.
//!
//! The rules of Moses' clean-corpus-n.perl, on tokens without the end token: neither side empty, too long, nor much
//! longer than the other. A pair is left out whole: half a sentence is no translation of half another.

use std::fmt;
use std::ops::RangeInclusive;

use crate::config::Section;

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

impl Default for PairLimits {
    /// Every pair of which no side is empty.
    fn default() -> Self {
        Self { tokens: 1..=usize::MAX, max_ratio: None }
    }
}

impl PairLimits {
    /// Takes `min_length` (1), `max_length` (`longest`) and `max_ratio` (none) from a section of a run file. Faults
    /// are noted in the section.
    pub fn from_section(section: &Section<'_>, longest: usize) -> Self {
        let (min, max) = (section.or("min_length", 1), section.or("max_length", longest));
        let message = format!("expected 1 to max_length, {max}, found {min}");
        section.require("min_length", 1 <= min && min <= max, message);
        let max_ratio = section.optional::<f64>("max_ratio");
        let message = "expected 1 or more: neither side may be longer than the other times this";
        section.require("max_ratio", max_ratio.is_none_or(|ratio| ratio >= 1.0), message);
        Self { tokens: min..=max, max_ratio }
    }

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

impl fmt::Display for Unfit {
    /// As in "3 pairs left out: a side is empty".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "a side is empty",
            Self::Short => "a side is too short",
            Self::Long => "a side is too long",
            Self::Ratio => "one side is much longer than the other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

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
        assert_eq!(PairLimits::default().check(1, 9000), Ok(()));
        let longer = PairLimits { tokens: 3..=9, max_ratio: None };
        assert_eq!(longer.check(2, 9), Err(Unfit::Short));
    }

    #[test]
    fn limits_are_read_and_checked() {
        let read = |text: &str| {
            let document = Document::parse(text, "run.toml");
            let limits = PairLimits::from_section(&document.root().section("task"), 64);
            document.finish().map(|()| limits).map_err(|error| error.to_string())
        };
        let expected = PairLimits { tokens: 1..=64, max_ratio: None };
        assert_eq!(read("[task]"), Ok(expected));
        let expected = PairLimits { tokens: 2..=175, max_ratio: Some(1.5) };
        assert_eq!(read("[task]\nmin_length = 2\nmax_length = 175\nmax_ratio = 1.5"), Ok(expected));
        let message = |text: &str| read(text).expect_err("a fault");
        assert!(
            message("[task]\nmin_length = 65").contains("expected 1 to max_length, 64, found 65")
        );
        assert!(message("[task]\nmax_ratio = 0.5").contains("expected 1 or more"));
        assert!(message("[task]\nmax_ratio = nan").contains("max_ratio"));
    }
}
