//! Texts of some prompts under several settings, beside plain decoding.
//!
//! Every batch is decoded plainly and under each setting in turn, beginning with another one each time, so
//! that a machine that slows down slows all of them. The yardstick is [`generate`], our own fastest way.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ee_models::generate::{Choice, Options, Watcher, generate};
use ee_models::signal::{Agreement, Signal};

use super::clock::Clock;
use super::settings::Settings;
use super::walk::decode;
use crate::decoding::{DecoderSubject, Generated, TextWatcher};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;

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

/// Texts of one way of decoding, in the order of the prompts.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Texts of the first round.
    pub texts: Vec<Generated>,
    /// The exits of their tokens; none for plain decoding.
    pub exits: Vec<Vec<usize>>,
    /// All rounds.
    pub seconds: Duration,
    /// Of it, until the first new tokens.
    pub prompts: Duration,
    /// Where the steps' time went, of all rounds.
    pub clock: Clock,
}

/// Decodes plainly, then as each of the settings says; in that order in the result.
///
/// # Errors
/// Settings that do not go together; a prompt that cannot be continued; an interrupt.
pub fn measure(
    subject: &DecoderSubject,
    work: &Work,
    settings: &[Settings],
    interrupt: &Interrupt,
) -> Result<Vec<Measured>> {
    for settings in settings {
        settings.check(subject.model())?;
    }
    let n_ways = settings.len() + 1;
    let empty = Measured {
        texts: vec![Generated::default(); work.prompts.len()],
        exits: vec![Vec::new(); work.prompts.len()],
        ..Measured::default()
    };
    let mut ways = vec![empty; n_ways];
    // Texts of one length together: little padding.
    let mut order: Vec<usize> = (0..work.prompts.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(work.prompts[at].len()));
    let batches: Vec<&[usize]> = order.chunks(work.batch).collect();
    warm_up(subject, work, settings, batches[0], interrupt)?;
    let progress = Progress::new("decoding", work.prompts.len() * n_ways * work.rounds);
    for turn in 0..work.rounds * batches.len() {
        let batch = batches[turn % batches.len()];
        let prompts: Vec<Vec<u32>> = batch.iter().map(|&at| work.prompts[at].clone()).collect();
        for way in (0..n_ways).map(|way| (way + turn) % n_ways) {
            let options = options(subject, work.max_new_tokens);
            let settings = way.checked_sub(1).map(|at| &settings[at]);
            let once = run(subject, &prompts, &work.stop, &options, settings, interrupt)?;
            ways[way].add(batch, once, turn < batches.len());
            progress.advance(batch.len());
        }
    }
    progress.finish();
    Ok(ways)
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
    settings: &[Settings],
    batch: &[usize],
    interrupt: &Interrupt,
) -> Result<()> {
    let prompts: Vec<Vec<u32>> = batch.iter().map(|&at| work.prompts[at].clone()).collect();
    let options = options(subject, WARM_UP.min(work.max_new_tokens));
    for settings in std::iter::once(None).chain(settings.iter().map(Some)) {
        run(subject, &prompts, &work.stop, &options, settings, interrupt)?;
    }
    Ok(())
}

/// One batch, one way.
fn run(
    subject: &DecoderSubject,
    prompts: &[Vec<u32>],
    stop: &[String],
    options: &Options,
    settings: Option<&Settings>,
    interrupt: &Interrupt,
) -> Result<Measured> {
    let mut silent = |_: usize, _: &str| {};
    let watcher = TextWatcher::new(subject, prompts.len(), stop, false, interrupt, &mut silent);
    let mut stopwatch = Stopwatch { inner: watcher, started: Instant::now(), first: None };
    let (exits, clock) = match settings {
        None => {
            generate(subject.model(), prompts, options, &mut stopwatch)?;
            (vec![Vec::new(); prompts.len()], Clock::default())
        }
        Some(settings) => {
            let decoded = decode(subject.model(), prompts, options, settings, &mut stopwatch)?;
            (decoded.exits, decoded.clock)
        }
    };
    let seconds = stopwatch.started.elapsed();
    let prompts = stopwatch.first.unwrap_or(seconds);
    if interrupt.is_pressed() {
        return Err(EvalError::Interrupted { what: "interrupted: nothing is kept".to_owned() });
    }
    Ok(Measured { texts: stopwatch.inner.finish()?, exits, seconds, prompts, clock })
}

impl Measured {
    /// Adds what came of a batch; its texts, too, where they are the first.
    fn add(&mut self, batch: &[usize], once: Self, is_first: bool) {
        self.seconds += once.seconds;
        self.prompts += once.prompts;
        self.clock.add(&once.clock);
        if is_first {
            for ((&at, text), exits) in batch.iter().zip(once.texts).zip(once.exits) {
                (self.texts[at], self.exits[at]) = (text, exits);
            }
        }
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
