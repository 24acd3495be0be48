//! `ee-eval generate`: texts on stdout as they come, and a task's scores after them; and the flags that say which texts
//! are continued.

use std::path::PathBuf;
use std::time::Instant;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};
use ee_decode::generate::{Choice, Options, Sampling, generate};

use super::groups::{Decoder, Lengths, Limit, Permission, Source};
use super::values::{positive, share};
use crate::decoding::{
    Limits, Request, Scoring, Statistics, TextWatcher, n_references, of_metric, score,
};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
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

/// `ee-eval generate`.
#[derive(Debug, Args)]
#[group(id = "generation")]
pub(crate) struct Flags {
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

/// Continues prompts, or those of a task's examples, one after the other.
pub(super) fn run(flags: &Flags) -> Result<()> {
    let Flags { texts, sampling, show_prompt, permission } = flags;
    let request = texts.request()?;
    let scoring = Scoring::of(request.task.as_ref(), permission.allow_code_execution);
    let subject = texts.decoder.open()?;
    let interrupt = Interrupt::listen()?;
    let (mut tokens, started) = (0, Instant::now());
    let mut statistics = Vec::with_capacity(request.examples.len());
    for (place, (number, example)) in request.examples.iter().enumerate() {
        let ids = request.ids(&subject, place)?;
        // A translation stands below what it translates.
        let follows = subject.encoder_layers().is_none();
        if *show_prompt {
            let gap = if follows { "" } else { "\n" };
            ee_files::show!("{}{gap}", example.prompt);
        }
        let options = Options {
            max_new_tokens: request.max_new_tokens,
            choice: sampling.choice(),
            ends: subject.ends().to_vec(),
            first_number: *number as u64,
        };
        let mut show = |_: usize, piece: &str| {
            ee_files::show!("{piece}");
            ee_files::stream::flush();
        };
        let mut watcher =
            TextWatcher::new(&subject, 1, &request.stop, false, &interrupt, &mut show);
        if *show_prompt && follows {
            watcher.follow(0, &ids)?;
        }
        let found = generate(subject.model(), &[ids], &options, &mut watcher)
            .map_err(|error| EvalError::of_batch(error, |_| *number))?;
        let generated = watcher.finish()?.remove(0);
        tokens += found[0].len();
        ee_files::say!();
        if !ee_files::stream::is_open() {
            break;
        }
        if interrupt.is_pressed() {
            let what = format!("interrupted after {place} whole texts");
            return Err(EvalError::Interrupted { what });
        }
        let answer = scoring.answer(&generated.text);
        statistics.push(scoring.statistics(answer, &example.references)?);
    }
    show_scores(&request, &scoring, &statistics);
    let seconds = started.elapsed().as_secs_f64();
    let written = count(tokens, "token");
    ee_files::note!("{written} in {seconds:.2} s, {:.1} tokens/s", tokens as f64 / seconds);
    Ok(())
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
