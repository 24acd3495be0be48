//! How fast one way of working is compared with another, and how sure that is: how often it was repeated, how far its
//! rounds and its batches lie apart, and whether other programs had the machine meanwhile ([`crate::machine`]).
//!
//! A batch's time is the median of its rounds; rounds do not count as further texts. Over batches, plain and
//! other times of one stay together: a batch that is slow in both says nothing about either. The speed-up is a
//! ratio of sums; its logarithm is linearised (the delta method: each batch's share in it), and what is left
//! to chance is measured by Student's t, which few batches make wide. One batch tells
//! nothing, nor do fewer rounds than [`ROUNDS`], which a moment's disturbance may have spoilt.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::machine::Load;
use crate::spread::Spread;

/// Fewer rounds than this show no range, and nothing is called faster or slower by them.
pub(crate) const ROUNDS: usize = 3;

/// The doubt that a 95 % interval leaves on each side.
const SIDE: f64 = 0.025;

/// What a batch took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Timed {
    pub(crate) texts: Vec<usize>,
    /// New tokens of each round; of labels, rows.
    pub(crate) tokens: usize,
    pub(crate) seconds: Vec<f64>,
}

/// One way's speed beside plain decoding's, in new tokens per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Pace {
    /// The ratio, from the medians of the rounds.
    pub(crate) speed_up: f64,
    pub(crate) speed_up_by_round: Spread,
    /// Its 95 % interval, for this way alone; none for a single batch or round.
    pub(crate) speed_up_interval: Option<[f64; 2]>,
    /// The standard error of its logarithm over batches; none for a single batch or round.
    pub(crate) log_error: Option<f64>,
    pub(crate) batches: usize,
}

impl Pace {
    /// A way's batches beside plain decoding's, in the same order.
    pub(crate) fn of(ours: &[Timed], plain: &[Timed]) -> Self {
        let rounds = ours[0].seconds.len();
        let tokens = |timed: &[Timed]| tokens(timed) as f64;
        let pairs = by_round(ours).into_iter().zip(by_round(plain));
        let ratio = |(our, their): (f64, f64)| (tokens(ours) / our) / (tokens(plain) / their);
        let by_round: Vec<f64> = pairs.map(ratio).collect();
        let [our_seconds, their_seconds] = [ours, plain].map(medians);
        let sum = |of: &[f64]| of.iter().sum::<f64>();
        let speed_up = (tokens(ours) / sum(&our_seconds)) / (tokens(plain) / sum(&their_seconds));
        let (n, is_enough) = (ours.len(), ours.len() > 1 && rounds >= ROUNDS);
        let share = |of: f64, total: f64| n as f64 * of / total;
        // The mean of these numbers is 0.
        let influence = (0..n).map(|at| {
            share(ours[at].tokens as f64, tokens(ours))
                - share(our_seconds[at], sum(&our_seconds))
                - share(plain[at].tokens as f64, tokens(plain))
                + share(their_seconds[at], sum(&their_seconds))
        });
        let squares: f64 = influence.map(|number| number * number).sum();
        let log_error = is_enough.then(|| (squares / (n * (n - 1)) as f64).sqrt());
        let mut pace = Self {
            speed_up,
            speed_up_by_round: Spread::of(&by_round),
            speed_up_interval: None,
            log_error,
            batches: n,
        };
        pace.speed_up_interval = pace.margin(SIDE).map(|by| [speed_up / by, speed_up * by]);
        pace
    }

    /// The lower bound of the speed-up, up to this much doubt; none where nothing shows one.
    pub(crate) fn at_least(&self, doubt: f64) -> Option<f64> {
        self.margin(doubt).map(|by| self.speed_up / by)
    }

    /// The factor that the speed-up may be off by on one side.
    fn margin(&self, doubt: f64) -> Option<f64> {
        let student = StudentsT::new(0.0, 1.0, self.batches as f64 - 1.0).ok()?;
        Some((student.inverse_cdf(1.0 - doubt) * self.log_error?).exp())
    }
}

impl Timed {
    pub(crate) fn none(texts: &[usize]) -> Self {
        Self { texts: texts.to_vec(), tokens: 0, seconds: vec![] }
    }
}

/// The seconds of all batches, round by round.
pub(crate) fn by_round(timed: &[Timed]) -> Vec<f64> {
    let rounds = timed.first().map_or(0, |batch| batch.seconds.len());
    (0..rounds).map(|round| timed.iter().map(|batch| batch.seconds[round]).sum()).collect()
}

/// New tokens of a round.
pub(crate) fn tokens(timed: &[Timed]) -> usize {
    timed.iter().map(|batch| batch.tokens).sum()
}

fn medians(timed: &[Timed]) -> Vec<f64> {
    timed.iter().map(|batch| Spread::of(&batch.seconds).median).collect()
}

/// Says that there were too few rounds for a range.
pub(crate) fn few(rounds: usize) -> Option<String> {
    (rounds < ROUNDS).then(|| {
        let plural = if rounds == 1 { "" } else { "s" };
        format!("{rounds} timed round{plural}: nothing can be called faster or slower by it, {ROUNDS} are the least")
    })
}

/// What a reader of measured times should know, a sentence each.
pub(crate) fn notices(load: Option<Load>, rounds: usize) -> impl Iterator<Item = String> {
    load.and_then(|load| load.notice()).into_iter().chain(few(rounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(batches: &[(usize, &[f64])]) -> Vec<Timed> {
        let one = |(tokens, seconds): &(usize, &[f64])| Timed {
            texts: vec![],
            tokens: *tokens,
            seconds: seconds.to_vec(),
        };
        batches.iter().map(one).collect()
    }

    #[test]
    fn a_constant_ratio_is_certain() {
        let plain = timed(&[(5, &[4.0, 2.0, 8.0]), (7, &[1.0, 0.5, 2.0])]);
        let half = timed(&[(5, &[2.0, 1.0, 4.0]), (7, &[0.5, 0.25, 1.0])]);
        let found = Pace::of(&half, &plain);
        let spread = found.speed_up_by_round;
        assert_eq!((spread.min, spread.median, spread.max, found.speed_up), (2.0, 2.0, 2.0, 2.0));
        assert_eq!(found.speed_up_interval, Some([2.0, 2.0]));
        assert_eq!(found.at_least(0.001), Some(2.0));
        // One batch alone says nothing about others, one round nothing about the machine.
        assert_eq!(Pace::of(&half[..1], &plain[..1]).at_least(0.1), None);
        let once = |seconds| timed(&[(5, &[seconds]), (7, &[seconds])]);
        assert_eq!(Pace::of(&once(1.0), &once(2.0)).speed_up_interval, None);
    }

    #[test]
    fn the_interval_of_two_texts_can_be_computed_by_hand() {
        // Twice as fast on one text, half as fast on the other: 2 / 2.5.
        let plain = timed(&[(5, &[1.0; 3]), (5, &[1.0; 3])]);
        let ours = timed(&[(5, &[0.5, 0.5, 1.0]), (5, &[2.0, 2.0, 1.0])]);
        let found = Pace::of(&ours, &plain);
        assert!((found.speed_up - 0.8).abs() < 1e-12);
        assert_eq!(found.speed_up_by_round.max, 1.0);
        // Influences 1 − 2·0.5/2.5 = 0.6 and −0.6: √(0.72 / 2); t of one degree of freedom at 0.975 is 12.706.
        assert!((found.log_error.unwrap() - 0.6).abs() < 1e-12);
        let [low, high] = found.speed_up_interval.unwrap();
        assert!((low.ln() - (0.8_f64.ln() - 12.706_204_7 * 0.6)).abs() < 1e-6, "{low}");
        assert!((high.ln() - (0.8_f64.ln() + 12.706_204_7 * 0.6)).abs() < 1e-6, "{high}");
    }

    #[test]
    fn a_moment_that_slowed_one_round_is_not_believed() {
        let plain = timed(&[(4, &[1.0, 9.0, 1.0]), (4, &[1.0, 1.0, 1.0])]);
        let found = Pace::of(&timed(&[(4, &[1.0; 3]), (4, &[1.0; 3])]), &plain);
        assert_eq!((found.speed_up, found.speed_up_by_round.max), (1.0, 5.0));
    }

    #[test]
    fn enough_rounds_need_no_word() {
        assert_eq!(few(3), None);
        assert!(few(1).unwrap().starts_with("1 timed round:"));
    }
}
