//! The same work done in several ways, batch by batch in turn.
//!
//! First every way does every batch once, as users would run it: that gives its answers and, by observers, where
//! its time goes. Then come the timed rounds, which nothing observes: every batch is done in each way in turn,
//! beginning with another one each time, so that a machine that slows down slows all of them.

use std::time::Duration;

use crate::error::Result;
use crate::machine::{Load, LoadWatch};
use crate::pace::Timed;
use crate::progress::Progress;

/// Work that can be done in several ways.
pub(crate) trait Work {
    /// A way at work; it may learn from batch to batch.
    type Way;
    /// The result of all batches in one way.
    type Found;

    /// The places of each batch's examples.
    fn batches(&self) -> &[Vec<usize>];

    /// All batches once, each example to its own end; `done` is told how many examples are.
    fn freely(&self, way: &mut Self::Way, done: &dyn Fn(usize)) -> Result<Self::Found>;

    /// A batch against the clock, as much work as the first way found there.
    fn timed(&self, way: &mut Self::Way, place: usize, first: &Self::Found) -> Result<Lap>;
}

/// What a batch took in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lap {
    /// New tokens; of labels, rows.
    pub(crate) tokens: usize,
    pub(crate) seconds: Duration,
    /// Until the first new tokens.
    pub(crate) prompts: Duration,
}

/// A way that was tried.
pub(crate) struct Tried<F> {
    /// The result when it ran freely.
    pub(crate) found: F,
    /// What every batch took in the timed rounds.
    pub(crate) timed: Vec<Timed>,
    /// Of all rounds, until the first new tokens.
    pub(crate) prompts: Duration,
}

/// The result of every way, and how much of the machine other programs used in the timed rounds.
pub(crate) type TriedWays<T> = (Vec<T>, Option<Load>);

/// Does the work in every way; all other ways do as much in the timed rounds as the first.
pub(crate) fn tried<W: Work>(
    work: &W,
    ways: &mut [W::Way],
    rounds: usize,
    what: &str,
) -> Result<TriedWays<Tried<W::Found>>> {
    let batches = work.batches();
    let n_examples: usize = batches.iter().map(Vec::len).sum();
    let progress = Progress::new(what, n_examples * ways.len() * (rounds + 1));
    let mut tried = Vec::with_capacity(ways.len());
    for way in ways.iter_mut() {
        let found = work.freely(way, &|examples| progress.advance(examples))?;
        let timed = batches.iter().map(|texts| Timed::none(texts)).collect();
        tried.push(Tried { found, timed, prompts: Duration::ZERO });
    }
    let watch = LoadWatch::start();
    for turn in 0..rounds * batches.len() {
        let (place, n_ways) = (turn % batches.len(), ways.len());
        for way in (0..n_ways).map(|way| (way + turn) % n_ways) {
            let lap = work.timed(&mut ways[way], place, &tried[0].found)?;
            tried[way].note(place, lap);
            progress.advance(batches[place].len());
        }
    }
    progress.finish();
    Ok((tried, watch.read().filter(|_| rounds > 0)))
}

impl<F> Tried<F> {
    fn note(&mut self, place: usize, lap: Lap) {
        self.prompts += lap.prompts;
        self.timed[place].tokens = lap.tokens;
        self.timed[place].seconds.push(lap.seconds.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::pace::{by_round, tokens};

    /// Ways are numbers; what was done is noted.
    struct Noted {
        batches: Vec<Vec<usize>>,
        done: RefCell<Vec<(usize, usize)>>,
    }

    impl Work for Noted {
        type Way = usize;
        type Found = usize;

        fn batches(&self) -> &[Vec<usize>] {
            &self.batches
        }

        fn freely(&self, way: &mut usize, _: &dyn Fn(usize)) -> Result<usize> {
            Ok(10 + *way)
        }

        fn timed(&self, way: &mut usize, place: usize, first: &usize) -> Result<Lap> {
            self.done.borrow_mut().push((place, *way));
            let seconds = Duration::from_secs(1 + *way as u64);
            Ok(Lap { tokens: *first, seconds, prompts: seconds / 2 })
        }
    }

    #[test]
    fn every_batch_is_done_in_every_way_beginning_with_another_each_time() {
        let work = Noted { batches: vec![vec![1, 0], vec![2]], done: RefCell::default() };
        let (found, _) = tried(&work, &mut [0, 1, 2], 2, "noting").unwrap();
        let done = work.done.into_inner();
        let turns: Vec<usize> = done.iter().step_by(3).map(|&(place, _)| place).collect();
        assert_eq!(turns, [0, 1, 0, 1]);
        let ways: Vec<usize> = done.into_iter().map(|(_, way)| way).collect();
        assert_eq!(ways, [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2]);
        let last = &found[2];
        assert_eq!((last.found, last.prompts), (12, Duration::from_secs(6)));
        assert_eq!(last.timed[0], Timed { texts: vec![1, 0], tokens: 10, seconds: vec![3.0; 2] });
        assert_eq!((by_round(&last.timed), tokens(&last.timed)), (vec![6.0; 2], 20));
        assert!(
            tried(&Noted { batches: vec![], done: RefCell::default() }, &mut [0], 0, "").is_ok()
        );
    }
}
