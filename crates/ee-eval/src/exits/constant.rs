//! Answers that look at no input: the most frequent label for everything, and exits and gates that in fact give
//! one label only.
//!
//! A score shows knowledge only as far as it exceeds the constant answer's, and where that one already keeps the
//! share of the full score that a gate has to keep, keeping it shows nothing.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::exits::score::{Scorer, references};
use crate::exits::sweep::floor;
use crate::trace::Trace;

/// The most frequent gold label of the rows at hand, given to all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Constant {
    /// The label's name; of equally frequent ones the first.
    pub(crate) label: String,
    /// The share of rows, 0 to 1, whose gold it is.
    pub(crate) share: f64,
    pub(crate) scores: IndexMap<String, f64>,
}

impl Constant {
    /// That of the rows of a trace of labels.
    pub(crate) fn of_trace(trace: &Trace, scorers: &[Scorer]) -> Self {
        let references = references(trace);
        let mut counts = vec![0_usize; trace.facts.labels.len()];
        references.iter().for_each(|&gold| counts[gold as usize] += 1);
        let most = *counts.iter().max().expect("a task has labels");
        let label = counts.iter().position(|&count| count == most).unwrap_or(0);
        let score = |scorer: &Scorer| {
            let pairs = references.iter().map(|&gold| (label as u32, gold));
            (scorer.name().to_owned(), scorer.score(&scorer.sum(pairs)))
        };
        Self {
            label: trace.facts.labels[label].clone(),
            share: most as f64 / trace.rows() as f64,
            scores: scorers.iter().map(score).collect(),
        }
    }

    /// Its score in the leading metric.
    pub(crate) fn score(&self) -> f64 {
        *self.scores.values().next().expect("a task has a metric")
    }

    /// Says that it keeps what a quality rule asks, where it does: keeping that shows nothing then.
    pub(crate) fn keeps(&self, metric: &str, full: f64, keep: f64) -> Option<String> {
        let reached = self.score();
        (full > 0.0 && reached >= floor(full, keep)).then(|| {
            format!(
                "{} for everything scores {reached:.4} in {metric}, {:.1} % of the full model's: keeping {:.0} % of it shows \
                 nothing here",
                self.name(),
                100.0 * reached / full,
                100.0 * keep,
            )
        })
    }

    /// What tables and plots call it.
    pub(crate) fn name(&self) -> String {
        format!("always `{}`", self.label)
    }
}

/// The only label among some predictions; none if there are several.
pub(crate) fn only_label(mut predictions: impl Iterator<Item = u32>) -> Option<u32> {
    let first = predictions.next()?;
    predictions.all(|prediction| prediction == first).then_some(first)
}

/// How many rows each exit gives each label, `[exits][labels]`.
pub(crate) fn answers_per_exit(trace: &Trace) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; trace.facts.outputs()]; trace.layers()];
    for row in 0..trace.rows() {
        for (counts, &label) in counts.iter_mut().zip(trace.predictions(row)) {
            counts[label as usize] += 1;
        }
    }
    counts
}

/// The exits, from 1, that give every row the same label, and which: `(exit, label)`.
pub(crate) fn constant_exits(answers: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let only = |counts: &Vec<usize>| {
        let mut given = (0..counts.len()).filter(|&label| counts[label] > 0);
        given.next().filter(|_| given.next().is_none())
    };
    (1..).zip(answers).filter_map(|(exit, counts)| Some((exit, only(counts)?))).collect()
}

/// Names each label that some exits give to everything: `exits 1, 2 and 3 give every example the answer `no``.
pub(crate) fn notices(answers: &[Vec<usize>], labels: &[String]) -> Vec<String> {
    let mut exits_of: IndexMap<usize, Vec<usize>> = IndexMap::new();
    for (exit, label) in constant_exits(answers) {
        exits_of.entry(label).or_default().push(exit);
    }
    let sentence = |(label, exits): (usize, Vec<usize>)| {
        let verb = if exits.len() == 1 { "gives" } else { "give" };
        format!("{} {verb} every example the answer `{}`", listed("exit", &exits), labels[label])
    };
    exits_of.into_iter().map(sentence).collect()
}

/// `exit 2`, `exits 1, 2 and 3`.
pub(crate) fn listed(noun: &str, numbers: &[usize]) -> String {
    let words: Vec<String> = numbers.iter().map(usize::to_string).collect();
    match words.split_last() {
        Some((last, [])) => format!("{noun} {last}"),
        Some((last, rest)) => format!("{noun}s {} and {last}", rest.join(", ")),
        None => format!("no {noun}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample;

    #[test]
    fn the_most_frequent_gold_is_given_to_all() {
        let rows: [&[u32]; 4] = [&[1, 0], &[1, 1], &[1, 1], &[1, 0]];
        let trace = sample::of_predictions(&rows, &[0, 1, 1, 1], 2);
        let scorers = ["accuracy", "f1"].map(|name| Scorer::new(name, 2).unwrap());
        let found = Constant::of_trace(&trace, &scorers);
        assert_eq!((found.name().as_str(), found.share), ("always `label_1`", 0.75));
        // F1 of label 1 for all: precision 3/4, recall 1.
        assert_eq!(found.score(), 0.75);
        assert!((found.scores["f1"] - 6.0 / 7.0).abs() < 1e-15);
        let answers = answers_per_exit(&trace);
        assert_eq!(answers, [[0, 4], [2, 2]]);
        assert_eq!(constant_exits(&answers), [(1, 1)]);
    }

    #[test]
    fn exits_of_one_answer_are_named_together() {
        let labels = ["no", "yes"].map(str::to_owned);
        let answers = [[0, 5], [0, 5], [5, 0], [0, 5], [2, 3]].map(Vec::from);
        assert_eq!(
            notices(&answers, &labels),
            [
                "exits 1, 2 and 4 give every example the answer `yes`",
                "exit 3 gives every example the answer `no`"
            ]
        );
        assert_eq!(only_label([3, 3, 3].into_iter()), Some(3));
        assert_eq!(only_label([3, 2].into_iter()), None);
        assert_eq!(only_label(std::iter::empty()), None);
    }
}
