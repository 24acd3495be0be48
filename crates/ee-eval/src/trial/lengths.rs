//! Rows that end at given lengths, and a stopwatch for them.
//!
//! Two ways of decoding can be compared by the clock only where they do the same work: as many rows at every
//! step, and as many tokens behind each prompt.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ee_decode::generate::Watcher;
use ee_models::signal::{Agreement, Signal};

use crate::interrupt::Interrupt;

/// Ends every row after a number of tokens of its own.
pub(crate) struct Lengths<'a> {
    lengths: &'a [usize],
    seen: Vec<usize>,
    interrupt: &'a Interrupt,
}

impl<'a> Lengths<'a> {
    /// Rows of these lengths.
    pub(crate) fn new(lengths: &'a [usize], interrupt: &'a Interrupt) -> Self {
        Self { lengths, seen: vec![0; lengths.len()], interrupt }
    }

    /// Tokens that came, of all rows.
    pub(crate) fn tokens(&self) -> usize {
        self.seen.iter().sum()
    }
}

impl Watcher for Lengths<'_> {
    fn token(
        &mut self,
        row: usize,
        _token: u32,
        _signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()> {
        self.seen[row] += 1;
        if self.seen[row] >= self.lengths[row] || self.interrupt.is_pressed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Notes when the first new token came.
pub(crate) struct Stopwatch<W> {
    pub(crate) inner: W,
    started: Instant,
    first: Option<Duration>,
}

impl<W> Stopwatch<W> {
    /// Starts now.
    pub(crate) fn start(inner: W) -> Self {
        Self { inner, started: Instant::now(), first: None }
    }

    /// The time so far, and that until the first new token.
    pub(crate) fn read(&self) -> (Duration, Duration) {
        let seconds = self.started.elapsed();
        (seconds, self.first.unwrap_or(seconds))
    }
}

impl<W: Watcher> Watcher for Stopwatch<W> {
    fn token(
        &mut self,
        row: usize,
        token: u32,
        signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()> {
        self.first.get_or_insert_with(|| self.started.elapsed());
        self.inner.token(row, token, signals)
    }
}

/// Rows that a step has on average, where rows have these lengths.
pub(crate) fn mean_rows(batches: &[Vec<usize>], lengths: &[usize]) -> f64 {
    let of = |batch: &Vec<usize>| -> (usize, usize) {
        let lengths = batch.iter().map(|&at| lengths[at]);
        (lengths.clone().sum(), lengths.max().unwrap_or(0))
    };
    let (rows, steps) = batches
        .iter()
        .map(of)
        .fold((0, 0), |(rows, steps), (more, longest)| (rows + more, steps + longest));
    rows as f64 / steps.max(1) as f64
}

#[cfg(test)]
mod tests {
    use ee_decode::generate::{Options, Unwatched, generate};

    use ee_decode::clock::Clock;
    use ee_decode::policy::by_name;
    use ee_decode::sample::{model, options, prompt};
    use ee_decode::{Settings, decode};

    use super::*;

    #[test]
    fn a_row_that_loses_its_end_ends_where_it_is_told_to() {
        let model = model();
        let prompts: Vec<Vec<u32>> = (0..4).map(|seed| prompt(5 + seed, seed)).collect();
        let plain = generate(&model, &prompts, &options(), &mut Unwatched).unwrap();
        let lengths: Vec<usize> = plain.iter().map(Vec::len).collect();
        let settings = Settings {
            rule: "fixed:1".parse().unwrap(),
            policy: by_name("copy").unwrap(),
            head: "full".parse().unwrap(),
            exits: vec![1],
            min_tokens: 1,
            fitted: None,
        };
        let way = || (&settings, Clock::default());
        // Left alone its texts have other lengths, and so other rows at a step.
        let free = decode(&model, &prompts, &options(), way(), &mut Unwatched).unwrap();
        let own: Vec<usize> = free.tokens.iter().map(Vec::len).collect();
        assert_ne!(own, lengths);
        let interrupt = Interrupt::default();
        let mut watcher = Lengths::new(&lengths, &interrupt);
        let endless = Options { ends: vec![], ..options() };
        let timed = decode(&model, &prompts, &endless, way(), &mut watcher).unwrap();
        assert_eq!(watcher.tokens(), lengths.iter().sum::<usize>());
        assert_eq!(timed.tokens.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
        for (timed, free) in timed.tokens.iter().zip(&free.tokens) {
            let both = timed.len().min(free.len());
            assert_eq!(timed[..both], free[..both], "only the end is another");
        }
    }

    #[test]
    fn rows_are_averaged_over_steps() {
        // Four, three, then one row: 8 of 3 steps; alone always one.
        assert_eq!(mean_rows(&[vec![0, 1, 2, 3]], &[3, 1, 2, 2]), 8.0 / 3.0);
        assert_eq!(mean_rows(&[vec![0], vec![1]], &[3, 9]), 1.0);
        // Texts that lose their ends keep the batch full.
        assert_eq!(mean_rows(&[vec![0, 1], vec![2, 3]], &[9; 4]), 2.0);
        assert_eq!(mean_rows(&[], &[]), 0.0);
    }
}
