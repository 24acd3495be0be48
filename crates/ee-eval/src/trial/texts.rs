//! Texts of some prompts, decoded in several ways beside the plain one.
//!
//! In a timed round every row ends where plain decoding ended it. So all ways have the same rows at every step and
//! give as many tokens: one that loses an end token would else keep a batch full and spread a prompt over more
//! tokens, and seem faster. The yardstick is [`generate`], our own fastest way.

use ee_decode::clock::Clock;
use ee_decode::generate::{Choice, Options, Watcher, generate};
use ee_decode::speculate::{Strategy, Tally, speculate};
use ee_decode::{Settings, decode};
use ee_tasks::TextMetric;
use ee_tasks::metrics::bootstrap_of;

use super::lengths::{Lengths, Stopwatch, mean_rows};
use super::material::Material;
use super::outputs::{Output, Texts};
use super::rounds::{Lap, Tried, Work};
use super::way::{Way, strategy};
use crate::decoding::{Generated, TextWatcher, of_metric, score};
use crate::error::{EvalError, Result};
use crate::exits::ideal::MetricScore;
use crate::exits::score::BOOTSTRAP_SEED;
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;

/// A way at work; an adaptive strategy goes on learning from batch to batch.
pub(super) enum Runner<'w> {
    Plain,
    Exits(&'w Settings),
    Speculation(Strategy),
}

/// Texts of one way of decoding, in the order of the prompts.
#[derive(Default)]
pub(crate) struct Found {
    /// Each ended where this way ended it.
    pub(crate) texts: Vec<Generated>,
    /// The exits of their tokens; none where all tokens are the last exit's.
    pub(crate) exits: Vec<Vec<usize>>,
    /// Rows that a step of these texts had on average.
    pub(crate) rows: f64,
    /// Where the time of their steps went under early exit.
    pub(crate) clock: Clock,
    pub(crate) tally: Tally,
}

/// What a way reports about a batch, besides its tokens.
#[derive(Default)]
struct Said {
    exits: Vec<Vec<usize>>,
    clock: Clock,
    tally: Tally,
}

impl<'w> Runner<'w> {
    pub(super) fn of(way: &'w Way, layers: usize) -> Self {
        match way {
            Way::Exits(settings) => Self::Exits(settings),
            Way::Speculation(plan) => Self::Speculation(strategy(*plan, layers)),
        }
    }
}

/// The texts of one way of decoding, scored.
pub(super) fn scored(material: &Material, way: &Tried<Found>) -> Result<Texts> {
    let found = &way.found;
    let mut outputs = Vec::with_capacity(material.prompts.len());
    for (place, (number, example)) in material.request.examples.iter().enumerate() {
        let generated = &found.texts[place];
        let text = material.scoring.answer(example, &generated.text).to_owned();
        outputs.push(Output {
            example: *number,
            prompt: example.prompt.clone(),
            tokens: generated.tokens.clone(),
            exits: found.exits[place].clone(),
            statistics: material.scoring.statistics(&text, &example.references)?,
            text,
            whole: generated.text.clone(),
            ended: generated.has_ended || material.prompts[place].is_empty(),
        });
    }
    let mut texts = Texts::of(outputs, found.rows, &way.timed, way.prompts.as_secs_f64());
    let metrics = material.scoring.metrics().iter();
    texts.scores =
        metrics.map(|metric| metric_score(material, &**metric, &texts.outputs)).collect();
    Ok(texts)
}

fn metric_score(material: &Material, metric: &dyn TextMetric, outputs: &[Output]) -> MetricScore {
    let statistics = of_metric(metric, outputs.iter().map(|output| &output.statistics));
    let interval = bootstrap_of(|sum| metric.score(sum), &statistics, BOOTSTRAP_SEED);
    MetricScore {
        name: metric.name().to_owned(),
        signature: metric.signature(material.n_references()),
        score: Some(score(metric, &statistics)),
        interval: Some([interval.low, interval.high]),
        constant: None,
        examples: statistics.len(),
    }
}

/// Prompts in batches.
pub(super) struct Prompts<'a> {
    pub(super) subject: &'a DecoderSubject,
    pub(super) material: &'a Material,
    pub(super) interrupt: &'a Interrupt,
    pub(super) batches: Vec<Vec<usize>>,
    /// The prompts of each batch, so that no clock sees them put together.
    pub(super) prompts: Vec<Vec<Vec<u32>>>,
}

impl<'a> Prompts<'a> {
    pub(super) fn new(
        subject: &'a DecoderSubject,
        material: &'a Material,
        interrupt: &'a Interrupt,
    ) -> Self {
        let mut order: Vec<usize> =
            (0..material.prompts.len()).filter(|&at| !material.prompts[at].is_empty()).collect();
        if material.terms.choice == Choice::Greedy {
            // Texts of one length together: little padding. Draws follow from a text's place in its batch.
            order.sort_by_key(|&at| std::cmp::Reverse(material.prompts[at].len()));
        }
        let batches = order.chunks(material.terms.batch);
        let prompts =
            batches.clone().map(|batch| batch.iter().map(|&at| material.prompts[at].clone()));
        Self {
            subject,
            material,
            interrupt,
            prompts: prompts.map(Iterator::collect).collect(),
            batches: batches.map(<[usize]>::to_vec).collect(),
        }
    }

    fn run(
        &self,
        runner: &mut Runner<'_>,
        place: usize,
        (ends, clock): (&[u32], Clock),
        watcher: &mut dyn Watcher,
    ) -> Result<Said> {
        let (batch, prompts) = (&self.batches[place], &self.prompts[place]);
        let model = self.subject.model();
        let options = Options {
            max_new_tokens: self.material.request.max_new_tokens,
            choice: self.material.terms.choice,
            ends: ends.to_vec(),
            first_number: batch[0] as u64,
        };
        let number = |row: usize| self.material.number(batch[row]);
        let named = |error: EvalError| error.of_examples(number);
        let mut said = Said::default();
        match runner {
            Runner::Plain => {
                generate(model, prompts, &options, watcher).map_err(|error| named(error.into()))?;
            }
            Runner::Exits(settings) => {
                let decoded = decode(model, prompts, &options, (settings, clock), watcher)
                    .map_err(|error| named(error.into()))?;
                (said.exits, said.clock) = (decoded.exits, decoded.clock);
            }
            Runner::Speculation(strategy) => {
                let found = speculate(model, prompts, &options, (strategy, clock), watcher)
                    .map_err(|error| named(error.into()))?;
                said.tally = found.tally;
            }
        }
        self.interrupt.check()?;
        Ok(said)
    }
}

impl<'a> Work for Prompts<'a> {
    type Way = Runner<'a>;
    type Found = Found;

    fn batches(&self) -> &[Vec<usize>] {
        &self.batches
    }

    fn freely(&self, way: &mut Runner<'a>, done: &dyn Fn(usize)) -> Result<Found> {
        let n = self.material.prompts.len();
        let mut found = Found {
            texts: vec![Generated::default(); n],
            exits: vec![Vec::new(); n],
            ..Found::default()
        };
        for (place, batch) in self.batches.iter().enumerate() {
            let (stop, mut silent) = (&self.material.request.stop, |_: usize, _: &str| {});
            let mut watcher = TextWatcher::new(
                self.subject,
                batch.len(),
                stop,
                false,
                self.interrupt,
                &mut silent,
            );
            let clock = Clock::new(self.subject.model().device());
            let said = self.run(way, place, (self.subject.ends(), clock), &mut watcher)?;
            found.clock.add(&said.clock);
            found.tally.add(&said.tally);
            for (&at, exits) in batch.iter().zip(said.exits) {
                found.exits[at] = exits;
            }
            for (&at, text) in batch.iter().zip(watcher.finish()?) {
                found.texts[at] = text;
            }
            done(batch.len());
        }
        let lengths: Vec<usize> = found.texts.iter().map(|text| text.tokens.len()).collect();
        found.rows = mean_rows(&self.batches, &lengths);
        Ok(found)
    }

    fn timed(&self, way: &mut Runner<'a>, place: usize, plain: &Found) -> Result<Lap> {
        let batch = &self.batches[place];
        let lengths: Vec<usize> = batch.iter().map(|&at| plain.texts[at].tokens.len()).collect();
        let ends = match (&way, self.material.terms.choice) {
            // Drafts look for the end; its texts are plain decoding's, and end where those do.
            (Runner::Speculation(_), Choice::Greedy) => self.subject.ends(),
            _ => &[],
        };
        let mut watcher = Stopwatch::start(Lengths::new(&lengths, self.interrupt));
        self.run(way, place, (ends, Clock::default()), &mut watcher)?;
        let (seconds, prompts) = watcher.read();
        Ok(Lap { tokens: watcher.inner.tokens(), seconds, prompts })
    }
}
