//! `ee-eval speculate`: lossless self-speculation beside plain decoding, text by text the same work.
//!
//! Every batch is decoded both ways, in turn, in several rounds, so that a machine that slows down slows both.
//! Greedy texts must be the same, token for token, and are compared; drawn ones have the same distribution. The
//! clock of speculation waits for the device between its parts in timed rounds, too: adaptive drafts follow from it.

mod drafts;
mod results;
mod score;
mod table;

use std::time::Instant;

use ee_decode::generate::{Options, Unwatched, generate};
use ee_decode::speculate::{Strategy, Tally, speculate};
use ee_models::ExitModel;

pub use self::drafts::Drafts;
pub use self::results::{
    Bound, ExitAcceptance, MetricScores, PlanCount, Shares, SpeculateResults, Timing,
};
use crate::cli::SpeculateArguments;
use crate::decode::measure::Timed;
use crate::decoding::{Generated, Request, Scoring, TextWatcher};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::machine::{Load, LoadWatch};
use crate::output::write_json;
use crate::output::{claim, write_text};
use crate::pace::few;
use crate::progress::Progress;
use crate::subject::DecoderSubject;
use crate::trace::write_texts;

/// What both ways of decoding gave.
#[derive(Default)]
struct Both {
    plain: Vec<Generated>,
    speculated: Vec<Generated>,
    plain_timed: Vec<Timed>,
    timed: Vec<Timed>,
    /// Steps of plain decoding after the prompts of the first round; each reads all weights once.
    plain_steps: usize,
    tally: Tally,
    load: Option<Load>,
}

/// Continues prompts, or those of a task's examples, plainly and in rounds of drafting and verifying.
///
/// # Errors
/// What opening the checkpoint or reading the task says; a prompt that does not fit; a draft exit that is
/// none; an interrupt.
pub fn run(arguments: &SpeculateArguments) -> Result<()> {
    let texts = &arguments.generate.texts;
    let request = Request::read(texts)?;
    let kind = "a report of ee-eval speculate";
    let _lock = arguments.output.as_ref().map(|folder| claim(folder, kind)).transpose()?;
    let subject = DecoderSubject::open(&texts.model, texts.weights, &texts.device)?;
    let mut strategy = arguments.draft.strategy(subject.model().n_layers());
    strategy
        .check(subject.model().n_layers())
        .map_err(|error| EvalError::Setting { reason: error.to_string() })?;
    let prompts = (0..request.examples.len()).map(|number| request.ids(&subject, number));
    let prompts = prompts.collect::<Result<Vec<_>>>()?;
    let both = decode(&subject, arguments, &request, &prompts, &mut strategy)?;
    for ((_, example), generated) in request.examples.iter().zip(&both.speculated) {
        let prompt = if arguments.generate.show_prompt { example.prompt.as_str() } else { "" };
        ee_files::say!("{prompt}{}", generated.text);
    }
    let scoring = Scoring::of(request.task.as_ref(), arguments.generate.allow_code_execution);
    let records = score::records(&request, &scoring, &prompts, &both.speculated)?;
    let plain = score::records(&request, &scoring, &prompts, &both.plain)?;
    let scores = score::scores(&scoring, &records, &plain);
    let results = SpeculateResults::of(&subject, arguments, &request, &both, scores);
    for notice in results.load.and_then(|load| load.notice()).into_iter().chain(few(results.rounds))
    {
        ee_files::note!("notice: {notice}");
    }
    let table = table::table(&results);
    ee_files::show!("\n{}", table.plain());
    if let Some(folder) = &arguments.output {
        write_text(&folder.join("speculate.csv"), &table.csv())?;
        write_texts(&folder.join("speculate.parquet"), &records)?;
        let path = folder.join("results.json");
        write_json(&path, &results)?;
        ee_files::say!("\n{}", path.display());
    }
    Ok(())
}

fn decode(
    subject: &DecoderSubject,
    arguments: &SpeculateArguments,
    request: &Request,
    prompts: &[Vec<u32>],
    strategy: &mut Strategy,
) -> Result<Both> {
    let interrupt = Interrupt::listen()?;
    let options = |first: usize| Options {
        max_new_tokens: request.max_new_tokens,
        choice: arguments.generate.sampling.choice(),
        ends: subject.ends().to_vec(),
        first_number: first as u64,
    };
    // Weights are touched for the first time before the clock runs.
    let short = Options { max_new_tokens: request.max_new_tokens.min(3), ..options(0) };
    generate(subject.model(), &prompts[..prompts.len().min(1)], &short, &mut Unwatched)
        .map_err(|error| EvalError::of_batch(error, |row| request.examples[row].0))?;
    let (rounds, batches) = (arguments.rounds, prompts.chunks(arguments.batch).len());
    let progress = Progress::new("decoding twice", prompts.len() * rounds);
    let mut both = Both::default();
    let watch = LoadWatch::start();
    for turn in 0..rounds * batches {
        let index = turn % batches;
        let first = index * arguments.batch;
        let batch = &prompts[first..prompts.len().min(first + arguments.batch)];
        let options = options(first);
        let example = |row: usize| request.examples[first + row].0;
        let named = |error: ee_models::Error| EvalError::of_batch(error, example);
        for speculates in [turn % 2 == 1, turn % 2 == 0] {
            let mut silent = |_: usize, _: &str| {};
            let mut watcher = TextWatcher::new(
                subject,
                batch.len(),
                &request.stop,
                false,
                &interrupt,
                &mut silent,
            );
            let started = Instant::now();
            if speculates {
                let found = speculate(subject.model(), batch, &options, strategy, &mut watcher)
                    .map_err(named)?;
                let seconds = started.elapsed().as_secs_f64();
                both.tally.add(&found.tally);
                note(&mut both.timed, index, &found.texts, seconds);
                if turn < batches {
                    both.speculated.extend(watcher.finish()?);
                }
            } else {
                let texts =
                    generate(subject.model(), batch, &options, &mut watcher).map_err(named)?;
                note(&mut both.plain_timed, index, &texts, started.elapsed().as_secs_f64());
                if turn < batches {
                    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
                    both.plain_steps += longest.saturating_sub(1);
                    both.plain.extend(watcher.finish()?);
                }
            }
        }
        if interrupt.is_pressed() {
            let what = format!("interrupted after {turn} of {} batches", rounds * batches);
            return Err(EvalError::Interrupted { what });
        }
        progress.advance(batch.len());
    }
    progress.finish();
    both.load = watch.read();
    Ok(both)
}

/// Notes what a batch took in its next round. Drawn texts of adaptive drafts differ from round to round: their
/// time is counted as for the tokens of the first one.
fn note(timed: &mut Vec<Timed>, index: usize, texts: &[Vec<u32>], seconds: f64) {
    let tokens: usize = texts.iter().map(Vec::len).sum();
    match timed.get_mut(index) {
        None => timed.push(Timed { texts: vec![], tokens, seconds: vec![seconds] }),
        Some(batch) => {
            let as_long = batch.tokens as f64 / tokens.max(1) as f64;
            batch.seconds.push(seconds * as_long);
        }
    }
}
