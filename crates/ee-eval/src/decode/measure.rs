//! Texts of some prompts, decoded in several ways beside the plain one.
//!
//! First every way decodes every batch once and ends where it ends: that gives the texts, their exits and,
//! by a clock that waits for the device between parts, where the time goes. Then come the timed rounds, which
//! run without that clock: every batch is decoded plainly and in each way in turn, beginning with another one
//! each time, so that a machine that slows down slows all of them. In a timed round every row ends where
//! plain decoding ended it. So all ways have the same rows at every step and give as many tokens: one
//! that loses an end token would else keep a batch full and spread a prompt over more tokens, and seem
//! faster. The yardstick is [`generate`], our own fastest way.

use std::time::Duration;

use ee_decode::clock::Clock;
use ee_decode::generate::{Choice, Options, generate};
use ee_decode::settings::Settings;
use ee_decode::speculate::{Strategy, Tally, speculate};
use ee_decode::walk::decode;
use ee_models::ExitModel;
use serde::{Deserialize, Serialize};

use super::lengths::{Lengths, Stopwatch, mean_rows};
use crate::decoding::{Generated, TextWatcher};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::machine::{Load, LoadWatch};
use crate::progress::Progress;
use crate::speculate::Drafts;
use crate::subject::DecoderSubject;

/// Prompts, and how far to continue them.
#[derive(Debug, Clone)]
pub struct Work {
    /// Ids of each prompt.
    pub prompts: Vec<Vec<u32>>,
    /// The number of each one's example.
    pub examples: Vec<usize>,
    /// Texts at which to end.
    pub stop: Vec<String>,
    /// New tokens per text at most.
    pub max_new_tokens: usize,
    /// Texts per batch.
    pub batch: usize,
    /// Timed rounds; none where only the texts are wanted.
    pub rounds: usize,
}

/// A way of decoding beside the plain one.
#[derive(Debug, Clone)]
pub enum Way {
    /// True early exit: texts may change.
    Exits(Settings),
    /// Self-speculation: lossless.
    Speculation(Drafts),
}

impl Way {
    fn check(&self, subject: &DecoderSubject) -> Result<()> {
        let model = subject.model();
        match self {
            Self::Exits(settings) => Ok(settings.check(model)?),
            Self::Speculation(drafts) => {
                let layers = model.n_layers();
                Ok(drafts.strategy(layers).check(layers)?)
            }
        }
    }
}

/// A way at work; an adaptive strategy goes on learning from batch to batch.
enum Runner<'w> {
    Plain,
    Exits(&'w Settings),
    Speculation(Strategy),
}

impl<'w> Runner<'w> {
    fn of(way: &'w Way, layers: usize) -> Self {
        match way {
            Way::Exits(settings) => Self::Exits(settings),
            Way::Speculation(drafts) => Self::Speculation(drafts.strategy(layers)),
        }
    }
}

/// What a batch of texts took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// The places of its texts among the prompts.
    pub texts: Vec<usize>,
    /// New tokens of each round.
    pub tokens: usize,
    /// Of every round.
    pub seconds: Vec<f64>,
}

/// Texts of one way of decoding, in the order of the prompts.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Each ended where this way ended it.
    pub texts: Vec<Generated>,
    /// The exits of their tokens; none where all tokens are the last exit's.
    pub exits: Vec<Vec<usize>>,
    /// Rows that a step of these texts had on average.
    pub rows: f64,
    /// Where the time of these texts' steps went under early exit.
    pub clock: Clock,
    /// What every batch took in the timed rounds.
    pub timed: Vec<Timed>,
    /// Of all rounds, until the first new tokens.
    pub prompts: Duration,
    /// What speculation counted in the timed rounds; where there are none, in the texts.
    pub tally: Tally,
}

/// What came of all ways.
#[derive(Debug)]
pub struct Runs {
    /// Plain decoding, then each of the ways.
    pub ways: Vec<Measured>,
    /// What others took of the machine in the timed rounds.
    pub load: Option<Load>,
}

/// Decodes plainly and in each of the ways.
///
/// # Errors
/// Settings that do not go together; a prompt that cannot be continued; an interrupt.
pub fn measure(
    subject: &DecoderSubject,
    work: &Work,
    ways: &[Way],
    interrupt: &Interrupt,
) -> Result<Runs> {
    ways.iter().try_for_each(|way| way.check(subject))?;
    let layers = subject.model().n_layers();
    let others = ways.iter().map(|way| Runner::of(way, layers));
    let mut runners: Vec<Runner<'_>> = std::iter::once(Runner::Plain).chain(others).collect();
    // Texts of one length together: little padding.
    let mut order: Vec<usize> = (0..work.prompts.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(work.prompts[at].len()));
    let batches: Vec<&[usize]> = order.chunks(work.batch).collect();
    let decoder = Batches { subject, work, batches, interrupt };
    let n_runs = work.prompts.len() * runners.len() * (work.rounds + 1);
    let progress = Progress::new("decoding", n_runs);
    let mut measured = Vec::with_capacity(runners.len());
    for runner in &mut runners {
        measured.push(decoder.freely(runner, &progress)?);
    }
    let watch = LoadWatch::start();
    if work.rounds > 0 {
        decoder.timed(&mut runners, &mut measured, &progress)?;
    }
    progress.finish();
    Ok(Runs { ways: measured, load: watch.read().filter(|_| work.rounds > 0) })
}

/// Prompts in batches.
struct Batches<'a> {
    subject: &'a DecoderSubject,
    work: &'a Work,
    batches: Vec<&'a [usize]>,
    interrupt: &'a Interrupt,
}

impl Batches<'_> {
    /// Every batch once, each row to its own end.
    fn freely(&self, runner: &mut Runner<'_>, progress: &Progress) -> Result<Measured> {
        let n = self.work.prompts.len();
        let mut found = Measured {
            texts: vec![Generated::default(); n],
            exits: vec![Vec::new(); n],
            ..Measured::default()
        };
        for batch in &self.batches {
            let prompts = self.prompts(batch);
            let options = self.options(self.subject.ends().to_vec());
            let mut silent = |_: usize, _: &str| {};
            let stop = &self.work.stop;
            let mut watcher = TextWatcher::new(
                self.subject,
                prompts.len(),
                stop,
                false,
                self.interrupt,
                &mut silent,
            );
            let model = self.subject.model();
            match runner {
                Runner::Plain => {
                    generate(model, &prompts, &options, &mut watcher)
                        .map_err(|error| self.named(error, batch))?;
                }
                Runner::Exits(settings) => {
                    let clock = Clock::new(model.device());
                    let way = (*settings, clock);
                    let decoded = decode(model, &prompts, &options, way, &mut watcher)
                        .map_err(|error| self.named(error, batch))?;
                    found.clock.add(&decoded.clock);
                    for (&at, exits) in batch.iter().zip(decoded.exits) {
                        found.exits[at] = exits;
                    }
                }
                Runner::Speculation(strategy) => {
                    let said = speculate(model, &prompts, &options, strategy, &mut watcher)
                        .map_err(|error| self.named(error, batch))?;
                    found.tally.add(&said.tally);
                }
            }
            self.go_on()?;
            for (&at, text) in batch.iter().zip(watcher.finish()?) {
                found.texts[at] = text;
            }
            progress.advance(batch.len());
        }
        let lengths: Vec<usize> = found.texts.iter().map(|text| text.tokens.len()).collect();
        found.rows = mean_rows(&self.batches, &lengths);
        Ok(found)
    }

    /// The timed rounds.
    fn timed(
        &self,
        runners: &mut [Runner<'_>],
        measured: &mut [Measured],
        progress: &Progress,
    ) -> Result<()> {
        let lengths: Vec<usize> = measured[0].texts.iter().map(|text| text.tokens.len()).collect();
        for way in measured.iter_mut() {
            let empty =
                |texts: &&[usize]| Timed { texts: texts.to_vec(), tokens: 0, seconds: vec![] };
            way.timed = self.batches.iter().map(empty).collect();
            way.tally = Tally::default();
        }
        for turn in 0..self.work.rounds * self.batches.len() {
            let (place, n_ways) = (turn % self.batches.len(), runners.len());
            let batch = self.batches[place];
            let prompts = self.prompts(batch);
            let ends: Vec<usize> = batch.iter().map(|&at| lengths[at]).collect();
            for way in (0..n_ways).map(|way| (way + turn) % n_ways) {
                self.once(&mut runners[way], &prompts, &ends, &mut measured[way], place)?;
                progress.advance(batch.len());
            }
        }
        Ok(())
    }

    /// One batch in one way, against the clock; its rows end after so many tokens.
    fn once(
        &self,
        runner: &mut Runner<'_>,
        prompts: &[Vec<u32>],
        ends: &[usize],
        way: &mut Measured,
        place: usize,
    ) -> Result<()> {
        let (model, batch) = (self.subject.model(), self.batches[place]);
        let options = self.options(match runner {
            // Its drafts look for the end; its texts are plain decoding's, and end where those do.
            Runner::Speculation(_) => self.subject.ends().to_vec(),
            Runner::Plain | Runner::Exits(_) => Vec::new(),
        });
        let mut watcher = Stopwatch::start(Lengths::new(ends, self.interrupt));
        match runner {
            Runner::Plain => {
                generate(model, prompts, &options, &mut watcher)
                    .map_err(|error| self.named(error, batch))?;
            }
            Runner::Exits(settings) => {
                decode(model, prompts, &options, (*settings, Clock::default()), &mut watcher)
                    .map_err(|error| self.named(error, batch))?;
            }
            Runner::Speculation(strategy) => {
                let said = speculate(model, prompts, &options, strategy, &mut watcher)
                    .map_err(|error| self.named(error, batch))?;
                way.tally.add(&said.tally);
            }
        }
        let (seconds, first) = watcher.read();
        self.go_on()?;
        way.prompts += first;
        way.timed[place].tokens = watcher.inner.tokens();
        way.timed[place].seconds.push(seconds.as_secs_f64());
        Ok(())
    }

    fn prompts(&self, batch: &[usize]) -> Vec<Vec<u32>> {
        batch.iter().map(|&at| self.work.prompts[at].clone()).collect()
    }

    fn options(&self, ends: Vec<u32>) -> Options {
        let max_new_tokens = self.work.max_new_tokens;
        Options { max_new_tokens, choice: Choice::Greedy, ends, first_number: 0 }
    }

    /// An error of a batch in the numbers of its examples.
    fn named(&self, error: impl Into<EvalError>, batch: &[usize]) -> EvalError {
        match error.into() {
            EvalError::Model(error) => {
                EvalError::of_batch(error, |row| self.work.examples[batch[row]])
            }
            other => other,
        }
    }

    fn go_on(&self) -> Result<()> {
        if self.interrupt.is_pressed() {
            let what = "interrupted: nothing is kept".to_owned();
            return Err(EvalError::Interrupted { what });
        }
        Ok(())
    }
}
