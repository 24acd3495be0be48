//! Two ways of answering the same examples: whether one is better is a question of the examples on which they
//! differ, not of two intervals laid side by side.
//!
//! The interval is the percentile bootstrap of the difference, both ways' answers of an example drawn together.
//! The p-value is McNemar's exact one (1947): of the examples that one way answers right and the other wrong,
//! each way should get half if they were equally good. It is of right and wrong, whatever the metric.

use ee_tasks::metrics::bootstrap_of;
use serde::{Deserialize, Serialize};

use crate::exits::binomial::binomial_tail;
use crate::exits::score::{BOOTSTRAP_SEED, Scorer};

/// Another way of answering beside a first one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Paired {
    pub(crate) n: usize,
    /// The other's score minus the first's.
    pub(crate) difference: f64,
    /// The bootstrap 95 % interval of the difference.
    pub(crate) interval: [f64; 2],
    /// Examples that the first alone answers right.
    pub(crate) only_first: usize,
    /// Examples that the other alone answers right.
    pub(crate) only_other: usize,
    /// McNemar's exact p-value, two-sided.
    pub(crate) p_value: f64,
}

impl Paired {
    /// Both ways' answers to the same examples.
    ///
    /// # Panics
    /// When there are no examples or not as many answers.
    pub(crate) fn of(scorer: &Scorer, gold: &[u32], first: &[u32], other: &[u32]) -> Self {
        assert!(
            gold.len() == first.len() && gold.len() == other.len(),
            "answers to the same examples"
        );
        let answers = || gold.iter().zip(first.iter().zip(other));
        let statistics: Vec<Vec<f64>> = answers()
            .map(|(&gold, (&first, &other))| {
                [scorer.statistics(first, gold), scorer.statistics(other, gold)].concat()
            })
            .collect();
        let difference = |sum: &[f64]| {
            let (first, other) = sum.split_at(sum.len() / 2);
            scorer.score(other) - scorer.score(first)
        };
        let mut total = vec![0.0; statistics[0].len()];
        for one in &statistics {
            total.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
        }
        let interval = bootstrap_of(difference, &statistics, BOOTSTRAP_SEED);
        let count = |right: &dyn Fn(u32, u32, u32) -> bool| {
            answers().filter(|(gold, (first, other))| right(**gold, **first, **other)).count()
        };
        let only_first = count(&|gold, first, other| first == gold && other != gold);
        let only_other = count(&|gold, first, other| first != gold && other == gold);
        Self {
            n: gold.len(),
            difference: difference(&total),
            interval: [interval.low, interval.high],
            only_first,
            only_other,
            p_value: mcnemar(only_first, only_other),
        }
    }

    /// Whether the two are told apart: the interval of their difference leaves out 0, and McNemar's test agrees.
    pub(crate) fn is_clear(&self) -> bool {
        let [low, high] = self.interval;
        (low > 0.0 || high < 0.0) && self.p_value < 0.05
    }

    /// What is known about the difference, in words.
    pub(crate) fn words(&self) -> String {
        let [low, high] = self.interval.map(|end| 100.0 * end);
        let verdict = if self.is_clear() { "clear" } else { "could be chance" };
        format!(
            "{verdict}: paired 95 % interval {low:+.1} to {high:+.1} points, McNemar p {}",
            if self.p_value < 0.001 {
                "< 0.001".to_owned()
            } else {
                format!("= {:.3}", self.p_value)
            }
        )
    }
}

/// 2·P(Bin(b + c, ½) ≤ min(b, c)), at most 1; 1 where no example distinguishes them.
fn mcnemar(only_first: usize, only_other: usize) -> f64 {
    match only_first + only_other {
        0 => 1.0,
        n => (2.0 * binomial_tail(only_first.min(only_other), n, 0.5)).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Of the interval's ends: 1000 resamples miss a percentile by about a tenth of the difference's standard
    /// deviation, which is 0.04 here at most.
    const INTERVAL_TOLERANCE: f64 = 0.015;

    #[derive(Deserialize)]
    struct Golden {
        mcnemar: Vec<(usize, usize, f64)>,
        comparisons: Vec<Comparison>,
    }

    #[derive(Deserialize)]
    struct Comparison {
        metric: String,
        gold: Vec<u32>,
        first: Vec<u32>,
        other: Vec<u32>,
        difference: f64,
        interval: [f64; 2],
        p_value: f64,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../../tests/golden/paired.json")).unwrap()
    }

    #[test]
    fn p_values_are_those_of_statsmodels() {
        for (b, c, expected) in golden().mcnemar {
            let found = mcnemar(b, c);
            assert!((found - expected).abs() <= 1e-9 * expected, "{b} {c}: {found} {expected}");
        }
    }

    #[test]
    fn differences_and_intervals_are_those_of_scipys_paired_bootstrap() {
        let golden = golden();
        assert!(golden.comparisons.len() >= 4);
        for case in golden.comparisons {
            let scorer = Scorer::new(&case.metric, 2).unwrap();
            let found = Paired::of(&scorer, &case.gold, &case.first, &case.other);
            let metric = &case.metric;
            assert!((found.difference - case.difference).abs() < 1e-12, "{metric}: {found:?}");
            assert!((found.p_value - case.p_value).abs() <= 1e-9, "{metric}: {found:?}");
            for (found, expected) in found.interval.into_iter().zip(case.interval) {
                assert!(
                    (found - expected).abs() < INTERVAL_TOLERANCE,
                    "{metric}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_difference_is_clear_although_the_scores_own_intervals_overlap() {
        // 100 examples, 60 right; the other is right on ten more and wrong on none of those.
        let gold = vec![1; 100];
        let answers = |right: u32| (0..100).map(|at| u32::from(at < right)).collect::<Vec<_>>();
        let scorer = Scorer::new("accuracy", 2).unwrap();
        let found = Paired::of(&scorer, &gold, &answers(60), &answers(70));
        assert!((found.difference - 0.1).abs() < 1e-12);
        assert_eq!((found.only_first, found.only_other), (0, 10));
        assert!(found.is_clear() && (found.p_value - 2.0 / 1024.0).abs() < 1e-15, "{found:?}");
        assert!(found.words().starts_with("clear: paired"), "{}", found.words());
        // ±9.6 points around 60 and ±9 around 70 overlap by far.
        let same = Paired::of(&scorer, &gold, &answers(60), &answers(60));
        assert_eq!((same.p_value, same.interval, same.is_clear()), (1.0, [0.0, 0.0], false));
    }
}
