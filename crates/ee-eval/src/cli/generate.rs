//! `ee-eval generate`: texts on stdout as they come, and a task's scores after them; and the flags that say which texts
//! are continued.

use std::path::PathBuf;
use std::time::Instant;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};
use ee_decode::generate::{Choice, Options, Sampling, generate};

use super::beams::BeamArguments;
use super::groups::{Decoder, Lengths, Limit, Permission, Source};
use super::values::{positive, share};
use crate::decoding::{
    Beams, Found, Generated, Limits, Reach, Request, Scoring, Statistics, TextWatcher,
    n_references, of_metric, score,
};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;
use crate::words::count;

/// A task and what only goes with one. That these flags require a task is not enough: clap asks for nothing that
/// conflicts with what is there.
const OF_TASKS: [&str; 5] = ["task", "data_dir", "split", "limit", "allow_code_execution"];

/// Which texts a model continues.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("texts").required(true).multiple(true).args(["prompt", "prompts", "task"]))]
pub(crate) struct TextArguments {
    #[command(flatten)]
    pub(super) decoder: Decoder,
    /// A text to continue; repeatable. An empty one begins with the checkpoint's first token.
    #[arg(long, value_name = "TEXT", conflicts_with_all = OF_TASKS)]
    pub(crate) prompt: Vec<String>,
    /// A file of texts to continue, one a line.
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_TASKS)]
    pub(crate) prompts: Option<PathBuf>,
    /// A task of generated text whose prompts to continue, and whose metrics to compute.
    #[arg(long, value_name = "FILE")]
    pub(crate) task: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    few: Limit,
    #[command(flatten)]
    lengths: Lengths,
    /// A text at which to end; repeatable.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) stop: Vec<String>,
}

impl TextArguments {
    /// The texts to continue, and how far.
    pub(crate) fn request(&self) -> Result<Request> {
        let Lengths { max_new_tokens, truncate } = self.lengths;
        let limits = Limits { max_new_tokens, stop: self.stop.clone(), truncate };
        match &self.task {
            Some(task) => {
                let selection = (
                    self.source.data_dir.as_deref(),
                    self.source.split.split.as_deref(),
                    self.few.limit,
                );
                Request::of_task(task, selection, limits)
            }
            None => Request::of_prompts(self.prompt.clone(), self.prompts.as_deref(), limits),
        }
    }
}

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SamplingArguments {
    /// Draw tokens at this temperature, above 0; without it the most probable one is taken.
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// Draw from the K most probable tokens.
    #[arg(long, value_name = "K", value_parser = positive, requires = "temperature")]
    pub(crate) top_k: Option<usize>,
    /// Draw from the most probable tokens that together have this probability.
    #[arg(long, value_name = "P", value_parser = share, requires = "temperature")]
    pub(crate) top_p: Option<f64>,
    /// From which all draws follow [default: 0].
    #[arg(long, value_name = "N", requires = "temperature")]
    pub(crate) seed: Option<u64>,
}

impl SamplingArguments {
    /// How the model is to choose.
    pub(crate) fn choice(self) -> Choice {
        let Self { temperature, top_k, top_p, seed } = self;
        temperature.map_or(Choice::Greedy, |temperature| {
            Choice::Sample(Sampling { temperature, top_k, top_p, seed: seed.unwrap_or(0) })
        })
    }
}

/// What is said of texts that are continued token by token.
#[derive(Debug, Args)]
#[group(id = "generation")]
pub(crate) struct Continued {
    #[command(flatten)]
    pub(crate) texts: TextArguments,
    #[command(flatten)]
    pub(crate) sampling: SamplingArguments,
    /// Print the prompt before its continuation.
    #[arg(long)]
    pub(crate) show_prompt: bool,
    #[command(flatten)]
    pub(super) permission: Permission,
}

impl Continued {
    /// What is printed before a text: its prompt, where that is wanted; a translation stands below it.
    pub(super) fn lead(&self, subject: &DecoderSubject, prompt: &str) -> String {
        match (self.show_prompt, subject.encoder_layers()) {
            (false, _) => String::new(),
            (true, None) => prompt.to_owned(),
            (true, Some(_)) => format!("{prompt}\n"),
        }
    }
}

/// `ee-eval generate`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("choice").args(["temperature", "beam"]))]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) of: Continued,
    #[command(flatten)]
    pub(super) beams: BeamArguments,
    /// Print the N best texts of every beam search, each behind its score.
    #[arg(long, value_name = "N", value_parser = positive, requires = "beam")]
    pub(crate) n_best: Option<usize>,
}

/// Continues prompts, or those of a task's examples, one after the other.
pub(super) fn run(flags: &Flags) -> Result<()> {
    let request = flags.of.texts.request()?;
    let scoring = Scoring::of(request.task.as_ref(), flags.of.permission.allow_code_execution);
    let subject = flags.of.texts.decoder.open()?;
    let interrupt = Interrupt::listen()?;
    let writing = Writing { flags, request: &request, subject: &subject, interrupt: &interrupt };
    let (mut tokens, started) = (0, Instant::now());
    let mut statistics = Vec::with_capacity(request.examples.len());
    for (place, (_, example)) in request.examples.iter().enumerate() {
        let generated = writing.text(place)?;
        tokens += generated.tokens.len();
        if !ee_files::stream::is_open() {
            break;
        }
        if interrupt.is_pressed() {
            let what = format!("interrupted after {place} whole texts");
            return Err(EvalError::Interrupted { what });
        }
        let answer = scoring.answer(example, &generated.text);
        statistics.push(scoring.statistics(answer, &example.references)?);
    }
    show_scores(&request, &scoring, &statistics);
    let seconds = started.elapsed().as_secs_f64();
    let written = count(tokens, "token");
    ee_files::note!("{written} in {seconds:.2} s, {:.1} tokens/s", tokens as f64 / seconds);
    Ok(())
}

/// What is continued, and how.
struct Writing<'a> {
    flags: &'a Flags,
    request: &'a Request,
    subject: &'a DecoderSubject,
    interrupt: &'a Interrupt,
}

impl Writing<'_> {
    /// Prints a text and gives it.
    fn text(&self, place: usize) -> Result<Generated> {
        let ids = self.request.ids(self.subject, place)?;
        let prompt = &self.request.examples[place].1.prompt;
        ee_files::show!("{}", self.flags.of.lead(self.subject, prompt));
        if ids.is_empty() {
            ee_files::say!();
            return Ok(Generated { has_ended: true, ..Generated::default() });
        }
        match self.flags.beams.beams() {
            Some(beams) => self.searched(place, ids, beams),
            None => self.continued(place, ids),
        }
    }

    /// The best text of beam search; all that are wanted are printed.
    fn searched(&self, place: usize, ids: Vec<u32>, beams: Beams) -> Result<Generated> {
        let Request { ref examples, ref stop, max_new_tokens, .. } = *self.request;
        let n_best = self.flags.n_best;
        let beams = Beams { n_best: n_best.unwrap_or(1), ..beams };
        let reach = Reach { max_new_tokens, depth: self.subject.model().n_layers(), stop };
        let mut found = beams.search(self.subject, &[ids], reach, |_| examples[place].0)?.remove(0);
        for Found { text, score } in &found {
            match n_best {
                Some(_) => ee_files::say!("{score:.4}\t{}", text.text),
                None => ee_files::say!("{}", text.text),
            }
        }
        Ok(found.remove(0).text)
    }

    /// One text token by token, printed as it comes.
    fn continued(&self, place: usize, ids: Vec<u32>) -> Result<Generated> {
        let number = self.request.examples[place].0;
        let options = Options {
            max_new_tokens: self.request.max_new_tokens,
            choice: self.flags.of.sampling.choice(),
            ends: self.subject.ends().to_vec(),
            first_number: number as u64,
        };
        let mut show = |_: usize, piece: &str| {
            ee_files::show!("{piece}");
            ee_files::stream::flush();
        };
        let stop = &self.request.stop;
        let mut watcher = TextWatcher::new(self.subject, 1, stop, false, self.interrupt, &mut show);
        if self.flags.of.show_prompt && self.subject.encoder_layers().is_none() {
            watcher.follow(0, &ids)?;
        }
        generate(self.subject.model(), &[ids], &options, &mut watcher)
            .map_err(|error| EvalError::of_batch(error, |_| number))?;
        let generated = watcher.finish()?.remove(0);
        ee_files::say!();
        Ok(generated)
    }
}

/// A line for every metric of the task.
fn show_scores(request: &Request, scoring: &Scoring, statistics: &[Statistics]) {
    let n_references = n_references(request.examples.iter().map(|(_, one)| one.references.len()));
    for (place, metric) in scoring.metrics().iter().enumerate() {
        let score = score(&**metric, &of_metric(&**metric, statistics));
        let gap = if place == 0 { "\n" } else { "" };
        ee_files::say!("{gap}{} {score:.3} ({})", metric.name(), metric.signature(n_references));
    }
}

/// A number above 0.
fn temperature(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("expected a number above 0, e.g. 0.7".to_owned()),
    }
}
