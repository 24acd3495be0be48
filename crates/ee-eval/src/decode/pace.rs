//! How fast a way of decoding is beside the plain one, and how sure that is.
//!
//! Batches are resampled, plain and other times of one together: a batch that is slow in both says nothing
//! of either. Its rounds stay together, too, as they are no further draws of texts.

use ee_tasks::metrics::bootstrap_of;

use crate::decode::measure::Timed;
use crate::results::Spread;
use crate::score::BOOTSTRAP_SEED;

/// One way's new tokens and times of some batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace<'a> {
    /// New tokens of every text, in the order of the prompts.
    pub(super) tokens: &'a [usize],
    /// Every batch.
    pub(super) timed: &'a [Timed],
}

impl Pace<'_> {
    /// Tokens per second by another's, round by round; and the bootstrap 95 % interval of the median, none of a
    /// single batch.
    pub(super) fn against(self, plain: Pace<'_>) -> (Spread, Option<[f64; 2]>) {
        let pairs = self.timed.iter().zip(plain.timed);
        let statistics: Vec<Vec<f64>> = pairs
            .map(|(ours, theirs)| {
                let tokens = [self.tokens_of(ours), plain.tokens_of(theirs)];
                tokens
                    .into_iter()
                    .chain(ours.seconds.clone())
                    .chain(theirs.seconds.clone())
                    .collect()
            })
            .collect();
        let sum = (0..statistics[0].len()).map(|at| statistics.iter().map(|one| one[at]).sum());
        let found = by_round(&sum.collect::<Vec<f64>>());
        let interval = (statistics.len() > 1).then(|| {
            let interval = bootstrap_of(|sum| by_round(sum).median, &statistics, BOOTSTRAP_SEED);
            [interval.low, interval.high]
        });
        (found, interval)
    }

    fn tokens_of(self, batch: &Timed) -> f64 {
        batch.texts.iter().map(|&at| self.tokens[at]).sum::<usize>() as f64
    }
}

/// From both ways' tokens, one's seconds of every round and the other's.
fn by_round(sum: &[f64]) -> Spread {
    let [ours, theirs] = [sum[0], sum[1]];
    let (our_seconds, their_seconds) = sum[2..].split_at((sum.len() - 2) / 2);
    let rounds = our_seconds.iter().zip(their_seconds);
    let ratios = rounds.map(|(us, them)| (ours / us) / (theirs / them));
    Spread::of(&ratios.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(batches: &[(&[usize], [f64; 3])]) -> Vec<Timed> {
        let one = |(texts, seconds): &(&[usize], [f64; 3])| Timed {
            texts: texts.to_vec(),
            seconds: seconds.to_vec(),
        };
        batches.iter().map(one).collect()
    }

    #[test]
    fn a_constant_ratio_is_certain() {
        let plain = timed(&[(&[0, 2], [4.0, 2.0, 8.0]), (&[1], [1.0, 0.5, 2.0])]);
        let half = timed(&[(&[0, 2], [2.0, 1.0, 4.0]), (&[1], [0.5, 0.25, 1.0])]);
        let tokens = [3, 7, 2];
        let pace = |timed| Pace { tokens: &tokens, timed };
        let (spread, interval) = pace(&half).against(pace(&plain));
        assert_eq!((spread.min, spread.median, spread.max), (2.0, 2.0, 2.0));
        assert_eq!(interval, Some([2.0, 2.0]));
        // One batch alone tells nothing of others.
        assert_eq!(pace(&half[..1]).against(pace(&plain[..1])).1, None);
    }

    #[test]
    fn times_of_a_batch_are_compared_with_its_own() {
        // Twice as fast on one text, half as fast on the other, which are of one length.
        let plain = timed(&[(&[0], [1.0; 3]), (&[1], [1.0; 3])]);
        let ours = timed(&[(&[0], [0.5, 0.5, 1.0]), (&[1], [2.0, 2.0, 1.0])]);
        let tokens = [5, 5];
        let (spread, interval) =
            Pace { tokens: &tokens, timed: &ours }.against(Pace { tokens: &tokens, timed: &plain });
        // 2 / 2.5 in two rounds, 2 / 2 in the third.
        assert_eq!((spread.min, spread.median, spread.max), (0.8, 0.8, 1.0));
        // A quarter of the resamples is of the first text alone, a quarter of the second.
        assert_eq!(interval, Some([0.5, 2.0]));
    }

    #[test]
    fn a_text_that_became_shorter_is_not_faster() {
        let (plain, ours) = (timed(&[(&[0], [2.0; 3])]), timed(&[(&[0], [1.0; 3])]));
        let (spread, _) =
            Pace { tokens: &[4], timed: &ours }.against(Pace { tokens: &[8], timed: &plain });
        assert_eq!(spread.median, 1.0);
    }
}
