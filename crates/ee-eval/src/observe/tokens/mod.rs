//! Tracing generated text: every exit's signals for every new token.
//!
//! Greedy: the model continues each prompt and all exits of a step are read in one product with the head.
//! Teacher-forced: the model is given prompt and gold answer whole, and each answer token, the end token that
//! training learns included, is predicted from those before it. Either way a row is a new token. Batches hold
//! examples of similar length, and what a row says does not depend on its batch.

mod prepare;
mod run;

use std::path::{Path, PathBuf};
use std::time::Instant;

use ee_tasks::{GenerationTask, TextExample};
use rayon::prelude::*;

use self::prepare::{Prepared, identity, prepare};
use self::run::{Rows, greedy, teacher_forced, trace};
use super::parts::Parts;
use crate::decoding::{Scoring, n_references};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::Progress;
use crate::subject::DecoderSubject;
use crate::trace::{
    self as traces, GenerationFacts, MetricFacts, Shard, TextRecord, Trace, TraceFacts, write_texts,
};
use crate::words::count;

/// What to trace and how.
pub(crate) struct TokenWork<'a> {
    pub(crate) task: &'a GenerationTask,
    pub(crate) data_dir: Option<&'a Path>,
    pub(crate) split: Option<&'a str>,
    pub(crate) limit: Option<usize>,
    pub(crate) shard: Shard,
    pub(crate) batch: usize,
    pub(crate) max_new_tokens: Option<usize>,
    /// Whether the gold answer is given rather than the model's own.
    pub(crate) teacher_forced: bool,
    pub(crate) truncate: bool,
    /// Whether programs that the model wrote may be run to score them.
    pub(crate) allow_code_execution: bool,
    /// The Parquet file to write; the texts go beside it.
    pub(crate) output: &'a Path,
}

impl TokenWork<'_> {
    fn new_tokens(&self) -> usize {
        self.max_new_tokens.unwrap_or(self.task.max_new_tokens)
    }

    fn split(&self) -> &str {
        self.split.unwrap_or(&self.task.evaluation_split)
    }
}

/// Runs a task and writes its trace and texts.
pub(crate) fn trace_tokens(
    subject: &DecoderSubject,
    work: &TokenWork<'_>,
    interrupt: &Interrupt,
) -> Result<Trace> {
    if work.teacher_forced && !work.task.has_responses() {
        let reason = format!(
            "--teacher-forced gives the model the gold answer; task `{}` has neither references nor a response",
            work.task.name
        );
        return Err(EvalError::Setting { reason });
    }
    let read = work.task.read_split(work.split(), work.data_dir, work.limit)?;
    if let Some(notice) = read.notice() {
        ee_files::note!("notice: {notice}");
    }
    // A text that was given to the model is not scored.
    let scored = (!work.teacher_forced).then_some(work.task);
    let scoring = Scoring::of(scored, work.allow_code_execution);
    let facts = facts(subject, work, &read.examples, &scoring);
    let prepared = prepare(subject, work, read.examples)?;
    let run = Run { subject, work, interrupt, scoring: &scoring, facts: &facts, all: &prepared };
    // Nothing can lie beside a device or a pipe: batches are kept elsewhere, and texts have no place.
    if !ee_files::is_stream(work.output)? {
        let (trace, texts, parts) = run.batches(work.output, false)?;
        write_texts(work.output, &texts)?;
        traces::write(&trace, work.output)?;
        parts.remove()?;
        return Ok(trace);
    }
    let elsewhere = output::temporary()?;
    let (trace, _, parts) = run.batches(&elsewhere.path().join("trace.parquet"), true)?;
    let output = work.output.display();
    ee_files::note!("notice: {output} is no file: the texts of the trace are not kept");
    traces::write(&trace, work.output)?;
    parts.remove()?;
    Ok(trace)
}

/// A run over prepared examples.
struct Run<'a> {
    subject: &'a DecoderSubject,
    work: &'a TokenWork<'a>,
    interrupt: &'a Interrupt,
    scoring: &'a Scoring,
    facts: &'a TraceFacts,
    all: &'a [Prepared],
}

impl Run<'_> {
    /// Runs the batches that are not yet kept beside `place`; returns what all of them say.
    fn batches(&self, place: &Path, is_stream: bool) -> Result<(Trace, Vec<TextRecord>, Parts)> {
        let (mut order, empty): (Vec<&Prepared>, Vec<&Prepared>) =
            self.all.iter().partition(|prepared| !prepared.prompt.is_empty());
        order.sort_by_key(|prepared| std::cmp::Reverse(prepared.n_tokens()));
        let batches = order.chunks(self.work.batch);
        let n_batches = batches.len();
        let parts = Parts::open(place, &identity(self.facts, self.work, self.all))?;
        let progress = Progress::new(&self.work.task.name, order.len());
        for (index, batch) in batches.enumerate() {
            if !parts.has(index) {
                let started = Instant::now();
                let rows = if self.work.teacher_forced {
                    teacher_forced(self.subject, batch)?
                } else {
                    greedy(self.subject, self.work, batch, self.interrupt)?
                };
                if self.interrupt.is_pressed() {
                    return Err(self.interrupted(index, is_stream));
                }
                let seconds = started.elapsed().as_secs_f64();
                let texts = self.texts(batch, &rows)?;
                parts.keep(index, &trace(self.facts, batch, rows, seconds), &texts)?;
            }
            progress.advance(batch.len());
        }
        progress.finish();
        let (trace, mut texts) = parts.gather(n_batches)?;
        texts.extend(self.texts(&empty, &vec![Rows::empty(); empty.len()])?);
        texts.sort_by_key(|text| text.example);
        Ok((trace, texts, parts))
    }

    fn interrupted(&self, index: usize, is_stream: bool) -> EvalError {
        let done = index * self.work.batch;
        let all = count(self.all.len(), "example");
        let what = match is_stream {
            true => format!("interrupted: nothing of the {all} is kept"),
            false => {
                format!("interrupted: {done} of {all} are done and kept; the same command goes on")
            }
        };
        EvalError::Interrupted { what }
    }

    /// The texts of a batch, scored on all cores.
    fn texts(&self, batch: &[&Prepared], rows: &[Rows]) -> Result<Vec<TextRecord>> {
        let pairs: Vec<(&&Prepared, &Rows)> = batch.iter().zip(rows).collect();
        let records = pairs.par_iter().map(|(prepared, rows)| {
            let example = &prepared.example;
            Ok(TextRecord {
                example: prepared.number,
                prompt: example.prompt.clone(),
                prediction: rows.text.clone(),
                references: example.references.clone(),
                prompt_tokens: prepared.prompt.len(),
                new_tokens: rows.tokens.len(),
                ended: rows.has_ended || self.work.teacher_forced,
                statistics: self.scoring.statistics(&rows.text, &example.references)?,
            })
        });
        records.collect()
    }
}

fn facts(
    subject: &DecoderSubject,
    work: &TokenWork<'_>,
    examples: &[TextExample],
    scoring: &Scoring,
) -> TraceFacts {
    let n_references = n_references(examples.iter().map(|example| example.references.len()));
    let metrics = scoring.metrics().iter().map(|metric| MetricFacts {
        name: metric.name().to_owned(),
        signature: metric.signature(n_references),
    });
    TraceFacts {
        task: work.task.name.clone(),
        split: work.split().to_owned(),
        generation: Some(GenerationFacts {
            teacher_forced: work.teacher_forced,
            vocabulary: subject.vocabulary_size(),
            max_new_tokens: work.new_tokens(),
            weights: subject.weights().to_owned(),
            truncated: 0,
            encoder_layers: subject.encoder_layers(),
        }),
        metrics: metrics.collect(),
        layers: subject.model().n_layers(),
        examples: examples.len(),
        shard: work.shard,
        batch: work.batch,
        max_length: subject.max_positions(),
        ..subject.facts()
    }
}

/// Where a task's trace goes when several are written into one folder.
pub(crate) fn output_of(folder: &Path, task: &str, shard: Shard) -> PathBuf {
    match shard {
        Shard::WHOLE => folder.join(format!("{task}.parquet")),
        Shard { index, count } => folder.join(format!("{task}.{index}-of-{count}.parquet")),
    }
}
