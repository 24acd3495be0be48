//! Texts of some prompts, decoded in several ways beside the plain one.
//!
//! Every batch is decoded plainly and in each way in turn, beginning with another one each time, so that a
//! machine that slows down slows all of them. The yardstick is [`generate`], our own fastest way.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ee_models::ExitModel;
use ee_models::generate::{Choice, Options, Watcher, generate};
use ee_models::signal::{Agreement, Signal};
use ee_models::speculate::{Strategy, Tally, speculate};
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::settings::Settings;
use super::walk::decode;
use crate::decoding::{DecoderSubject, Generated, TextWatcher};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::speculate::Drafts;

/// New tokens of the texts that warm up.
const WARM_UP: usize = 4;

/// Prompts, and how far to continue them.
#[derive(Debug, Clone)]
pub struct Work {
    /// Ids of each prompt.
    pub prompts: Vec<Vec<u32>>,
    /// Texts at which to end.
    pub stop: Vec<String>,
    /// New tokens per text at most.
    pub max_new_tokens: usize,
    /// Texts per batch.
    pub batch: usize,
    /// Timed rounds.
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
            Self::Exits(settings) => settings.check(model),
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
    /// Of every round.
    pub seconds: Vec<f64>,
}

/// Texts of one way of decoding, in the order of the prompts.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Texts of the first round.
    pub texts: Vec<Generated>,
    /// The exits of their tokens; none where all tokens are the last exit's.
    pub exits: Vec<Vec<usize>>,
    /// All rounds.
    pub seconds: Duration,
    /// Of it, every batch's.
    pub timed: Vec<Timed>,
    /// Of it, until the first new tokens.
    pub prompts: Duration,
    /// Where the steps' time went under early exit, of all rounds.
    pub clock: Clock,
    /// What speculation counted, of all rounds.
    pub tally: Tally,
}

/// Decodes plainly, then in each of the ways; in that order in the result.
///
/// # Errors
/// Settings that do not go together; a prompt that cannot be continued; an interrupt.
pub fn measure(
    subject: &DecoderSubject,
    work: &Work,
    ways: &[Way],
    interrupt: &Interrupt,
) -> Result<Vec<Measured>> {
    ways.iter().try_for_each(|way| way.check(subject))?;
    let layers = subject.model().n_layers();
    let others = ways.iter().map(|way| Runner::of(way, layers));
    let mut runners: Vec<Runner<'_>> = std::iter::once(Runner::Plain).chain(others).collect();
    let n_ways = runners.len();
    // Texts of one length together: little padding.
    let mut order: Vec<usize> = (0..work.prompts.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(work.prompts[at].len()));
    let batches: Vec<&[usize]> = order.chunks(work.batch).collect();
    let timed = |texts: &&[usize]| Timed { texts: texts.to_vec(), seconds: Vec::new() };
    let empty = Measured {
        texts: vec![Generated::default(); work.prompts.len()],
        exits: vec![Vec::new(); work.prompts.len()],
        timed: batches.iter().map(timed).collect(),
        ..Measured::default()
    };
    let mut measured = vec![empty; n_ways];
    warm_up(subject, work, &mut runners, batches[0], interrupt)?;
    let progress = Progress::new("decoding", work.prompts.len() * n_ways * work.rounds);
    for turn in 0..work.rounds * batches.len() {
        let batch = batches[turn % batches.len()];
        let prompts: Vec<Vec<u32>> = batch.iter().map(|&at| work.prompts[at].clone()).collect();
        for way in (0..n_ways).map(|way| (way + turn) % n_ways) {
            let options = options(subject, work.max_new_tokens);
            let runner = &mut runners[way];
            let once = run(subject, &prompts, &work.stop, &options, runner, interrupt)?;
            measured[way].add(turn % batches.len(), once);
            progress.advance(batch.len());
        }
    }
    progress.finish();
    Ok(measured)
}

fn options(subject: &DecoderSubject, max_new_tokens: usize) -> Options {
    Options {
        max_new_tokens,
        choice: Choice::Greedy,
        ends: subject.ends().to_vec(),
        first_number: 0,
    }
}

fn warm_up(
    subject: &DecoderSubject,
    work: &Work,
    runners: &mut [Runner<'_>],
    batch: &[usize],
    interrupt: &Interrupt,
) -> Result<()> {
    let prompts: Vec<Vec<u32>> = batch.iter().map(|&at| work.prompts[at].clone()).collect();
    let options = options(subject, WARM_UP.min(work.max_new_tokens));
    for runner in runners {
        run(subject, &prompts, &work.stop, &options, runner, interrupt)?;
    }
    Ok(())
}

/// One batch, one way.
fn run(
    subject: &DecoderSubject,
    prompts: &[Vec<u32>],
    stop: &[String],
    options: &Options,
    runner: &mut Runner<'_>,
    interrupt: &Interrupt,
) -> Result<Measured> {
    let mut silent = |_: usize, _: &str| {};
    let watcher = TextWatcher::new(subject, prompts.len(), stop, false, interrupt, &mut silent);
    let mut stopwatch = Stopwatch { inner: watcher, started: Instant::now(), first: None };
    let model = subject.model();
    let mut once = Measured { exits: vec![Vec::new(); prompts.len()], ..Measured::default() };
    match runner {
        Runner::Plain => {
            generate(model, prompts, options, &mut stopwatch)?;
        }
        Runner::Exits(settings) => {
            let decoded = decode(model, prompts, options, settings, &mut stopwatch)?;
            (once.exits, once.clock) = (decoded.exits, decoded.clock);
        }
        Runner::Speculation(strategy) => {
            once.tally = speculate(model, prompts, options, strategy, &mut stopwatch)?.tally;
        }
    }
    let seconds = stopwatch.started.elapsed();
    (once.seconds, once.prompts) = (seconds, stopwatch.first.unwrap_or(seconds));
    if interrupt.is_pressed() {
        return Err(EvalError::Interrupted { what: "interrupted: nothing is kept".to_owned() });
    }
    once.texts = stopwatch.inner.finish()?;
    Ok(once)
}

impl Measured {
    /// Adds what came of a batch in the next round; its texts, too, where they are the first.
    fn add(&mut self, batch: usize, once: Self) {
        self.seconds += once.seconds;
        self.prompts += once.prompts;
        self.clock.add(&once.clock);
        self.tally.add(&once.tally);
        let timed = &mut self.timed[batch];
        if timed.seconds.is_empty() {
            for ((&at, text), exits) in timed.texts.iter().zip(once.texts).zip(once.exits) {
                (self.texts[at], self.exits[at]) = (text, exits);
            }
        }
        timed.seconds.push(once.seconds.as_secs_f64());
    }
}

/// Notes when the first new token came.
struct Stopwatch<W> {
    inner: W,
    started: Instant,
    first: Option<Duration>,
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
