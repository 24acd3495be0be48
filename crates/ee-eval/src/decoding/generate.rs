//! `ee-eval generate`: texts on stdout as they come, and a task's scores after them.

use std::time::Instant;

use ee_decode::generate::{Options, generate};

use super::{Request, Scoring, Statistics, TextWatcher, n_references, of_metric, score};
use crate::cli::GenerateArguments;
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;
use crate::words::count;

/// Continues prompts, or those of a task's examples, one after the other.
pub(crate) fn run(arguments: &GenerateArguments) -> Result<()> {
    let GenerateArguments { texts, sampling, show_prompt, allow_code_execution } = arguments;
    let request = Request::read(texts)?;
    let scoring = Scoring::of(request.task.as_ref(), *allow_code_execution);
    let subject = DecoderSubject::open(&texts.model, texts.weights, &texts.device)?;
    let interrupt = Interrupt::listen()?;
    let (mut tokens, started) = (0, Instant::now());
    let mut statistics = Vec::with_capacity(request.examples.len());
    for (place, (number, example)) in request.examples.iter().enumerate() {
        let ids = request.ids(&subject, place)?;
        if *show_prompt {
            ee_files::show!("{}", example.prompt);
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
        if *show_prompt {
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
