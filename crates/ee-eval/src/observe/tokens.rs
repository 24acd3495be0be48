//! Tracing generated text: every exit's signals for every new token.
//!
//! Greedy: the model continues each prompt and all exits of a step are read in one product with the head.
//! Teacher-forced: the model is given prompt and gold answer whole, and each answer token, the end token that
//! training learns included, is predicted from those before it. Either way a row is a new token. Batches hold examples of similar length, and what a
//! row says does not depend on its batch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ee_decode::generate::{Choice, Options, generate};
use ee_models::signal::{Agreement, Signal, Signals};
use ee_models::{Batch, ExitModel};
use ee_tasks::{GenerationTask, TextExample, TextMetric};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::parts::Parts;
use crate::decoding::{Room, TextWatcher};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::subject::DecoderSubject;
use crate::trace::record::{
    ExitColumns, FORMAT, GenerationFacts, MetricFacts, Shard, Trace, TraceFacts,
};
use crate::trace::{TextRecord, write_texts};
use crate::words::count;

/// What to trace and how.
pub struct TokenWork<'a> {
    /// The task.
    pub task: &'a GenerationTask,
    /// Where its files lie; by default what the task file says.
    pub data_dir: Option<&'a Path>,
    /// The split; by default the task's own for evaluation.
    pub split: Option<&'a str>,
    /// At most the first so many examples.
    pub limit: Option<usize>,
    /// Which part of them.
    pub shard: Shard,
    /// Examples per batch.
    pub batch: usize,
    /// New tokens per example; by default the task's.
    pub max_new_tokens: Option<usize>,
    /// Whether the gold answer is given rather than the model's own.
    pub teacher_forced: bool,
    /// Whether prompts that are too long are cut.
    pub truncate: bool,
    /// Whether programs that the model wrote may be run to score them.
    pub allow_code_execution: bool,
    /// The Parquet file to write; the texts go beside it.
    pub output: &'a Path,
}

/// An example, ready to be run.
struct Prepared {
    number: u32,
    example: TextExample,
    /// Prompt, and in a teacher-forced trace the answer behind it.
    ids: Vec<u32>,
    prompt_tokens: usize,
    is_truncated: bool,
}

/// The rows of one example.
struct Rows {
    tokens: Vec<u32>,
    signals: Vec<Vec<(Signal, Agreement)>>,
    text: String,
    has_ended: bool,
}

/// Runs a task and writes its trace and texts.
///
/// # Errors
/// What reading the task and running the model say; [`EvalError::Interrupted`] on Ctrl-C: the batches that
/// are done stay, and the same command goes on from them.
pub fn trace_tokens(
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
    let split = work.split.unwrap_or(&work.task.evaluation_split);
    let read = work.task.read_split(split, work.data_dir, work.limit)?;
    let examples = read.examples.len();
    let metrics = metrics(work);
    let facts = facts(subject, work, split, examples, &read.examples, &metrics);
    let prepared = prepare(subject, work, read.examples)?;
    // Nothing can lie beside a device or a pipe: batches wait elsewhere then, and texts have no place.
    let is_stream = ee_files::is_stream(work.output)?;
    let elsewhere = is_stream.then(tempfile::tempdir).transpose();
    let elsewhere = elsewhere.map_err(|source| EvalError::Io {
        action: "write",
        path: std::env::temp_dir(),
        source,
    })?;
    let place = elsewhere.as_ref().map(|folder| folder.path().join("trace.parquet"));
    let mut order: Vec<usize> = (0..prepared.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(prepared[at].ids.len()));
    let batches: Vec<&[usize]> = order.chunks(work.batch).collect();
    let place = place.as_deref().unwrap_or(work.output);
    let parts = Parts::open(place, &identity(&facts, work, &prepared))?;
    let progress = Progress::new(&work.task.name, prepared.len());
    for (index, batch) in batches.iter().enumerate() {
        if !parts.has(index) {
            let batch: Vec<&Prepared> = batch.iter().map(|&at| &prepared[at]).collect();
            let started = Instant::now();
            let rows = if work.teacher_forced {
                teacher_forced(subject, &batch)?
            } else {
                greedy(subject, work, &facts, &batch, interrupt)?
            };
            if interrupt.is_pressed() {
                let done = index * work.batch;
                let all = count(prepared.len(), "example");
                let what = match is_stream {
                    true => format!("interrupted: nothing of the {all} is kept"),
                    false => format!(
                        "interrupted: {done} of {all} are done and kept; the same command goes on"
                    ),
                };
                return Err(EvalError::Interrupted { what });
            }
            let seconds = started.elapsed().as_secs_f64();
            let texts = texts(work, &metrics, &batch, &rows)?;
            parts.keep(index, &trace(&facts, &batch, rows, seconds), &texts)?;
        }
        progress.advance(batch.len());
    }
    progress.finish();
    let (trace, texts) = parts.gather(batches.len())?;
    if is_stream {
        let output = work.output.display();
        ee_files::note!("notice: {output} is no file: the texts of the trace are not kept");
    } else {
        write_texts(work.output, &texts)?;
    }
    crate::trace::write(&trace, work.output)?;
    parts.remove()?;
    Ok(trace)
}

/// The task's metrics that can be computed; says which cannot.
fn metrics(work: &TokenWork<'_>) -> Vec<Box<dyn TextMetric>> {
    if work.teacher_forced {
        return Vec::new();
    }
    let built = work.task.metrics.iter().filter_map(|name| {
        ee_tasks::metrics::text::by_name(name, work.allow_code_execution)
            .inspect_err(|error| {
                ee_files::note!("notice: {} is not scored: {error}", work.task.name)
            })
            .ok()
    });
    built.collect()
}

fn prepare(
    subject: &DecoderSubject,
    work: &TokenWork<'_>,
    examples: Vec<TextExample>,
) -> Result<Vec<Prepared>> {
    let new_tokens = work.max_new_tokens.unwrap_or(work.task.max_new_tokens);
    let chosen = (0_u32..).zip(examples).filter(|(number, _)| work.shard.holds(*number as usize));
    let mut prepared = Vec::new();
    for (number, example) in chosen {
        let (ids, answer) = if work.teacher_forced {
            let encoding =
                subject.tokenizer().encode_prompted(&example.prompt, &example.response)?;
            let mut prompt = encoding.ids;
            let mut answer = prompt.split_off(encoding.prompt_length);
            answer.extend(subject.taught_end());
            answer.truncate(new_tokens);
            (prompt, answer)
        } else {
            (subject.encode(&example.prompt, work.truncate)?, Vec::new())
        };
        let needed = if work.teacher_forced { answer.len() } else { new_tokens };
        let room = Room {
            positions: subject.max_positions(),
            new_tokens: needed,
            truncate: work.truncate,
        };
        let prompt = room.fit(number as usize, ids)?;
        prepared.push(Prepared {
            number,
            example,
            prompt_tokens: prompt.ids.len(),
            ids: [prompt.ids, answer].concat(),
            is_truncated: prompt.is_truncated,
        });
    }
    if prepared.is_empty() {
        let Shard { index, count } = work.shard;
        return Err(EvalError::Empty { what: format!("shard {index}/{count} is empty") });
    }
    Ok(prepared)
}

fn facts(
    subject: &DecoderSubject,
    work: &TokenWork<'_>,
    split: &str,
    examples: usize,
    all: &[TextExample],
    metrics: &[Box<dyn TextMetric>],
) -> TraceFacts {
    let first = all.first().map(|example| example.references.len());
    let n_references = first.filter(|&n| all.iter().all(|example| example.references.len() == n));
    let metrics = metrics.iter().map(|metric| MetricFacts {
        name: metric.name().to_owned(),
        signature: metric.signature(n_references),
    });
    TraceFacts {
        format: FORMAT,
        model: subject.folder().display().to_string(),
        checkpoint_sha256: subject.checksum().to_owned(),
        architecture: subject.architecture().to_owned(),
        objective: subject.objective(),
        training: subject.training().clone(),
        task: work.task.name.clone(),
        split: split.to_owned(),
        labels: Vec::new(),
        has_gold: true,
        generation: Some(GenerationFacts {
            teacher_forced: work.teacher_forced,
            vocabulary: subject.vocabulary_size(),
            max_new_tokens: work.max_new_tokens.unwrap_or(work.task.max_new_tokens),
            weights: subject.weights().to_owned(),
            truncated: 0,
        }),
        metrics: metrics.collect(),
        layers: subject.model().n_layers(),
        rows: 0,
        examples,
        shard: work.shard,
        batch: work.batch,
        max_length: subject.max_positions(),
        device: subject.device().to_owned(),
        seconds: 0.0,
        seed: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What decides the rows of a run, one fact per line.
fn identity(facts: &TraceFacts, work: &TokenWork<'_>, prepared: &[Prepared]) -> String {
    let TraceFacts { checkpoint_sha256, task, split, examples, batch, device, version, .. } = facts;
    let Shard { index, count } = facts.shard;
    let metrics: Vec<&str> = facts.metrics.iter().map(|metric| &*metric.signature).collect();
    format!(
        "checkpoint_sha256 {checkpoint_sha256}\ntask {task}\nsplit {split}\nexamples {examples}\n\
         shard {index}/{count}\nbatch {batch}\ngeneration {:?}\ntruncate {}\nstop {:?}\n\
         metrics {metrics:?}\ndevice {device}\nversion {version}\ndata_sha256 {}\n",
        facts.generation,
        work.truncate,
        work.task.stop,
        data(prepared),
    )
}

/// SHA-256 of what is run and what it is compared with, in hexadecimal: data files may change between two runs.
fn data(prepared: &[Prepared]) -> String {
    let mut hash = Sha256::new();
    for Prepared { number, example, ids, prompt_tokens, .. } in prepared {
        let what = (number, ids, prompt_tokens, &example.prompt, &example.references);
        hash.update(format!("{what:?}\n"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn greedy(
    subject: &DecoderSubject,
    work: &TokenWork<'_>,
    facts: &TraceFacts,
    batch: &[&Prepared],
    interrupt: &Interrupt,
) -> Result<Vec<Rows>> {
    let prompts: Vec<Vec<u32>> = batch.iter().map(|prepared| prepared.ids.clone()).collect();
    let options = Options {
        max_new_tokens: facts.generation.as_ref().map_or(0, |facts| facts.max_new_tokens),
        choice: Choice::Greedy,
        ends: subject.ends().to_vec(),
        first_number: 0,
    };
    let mut silent = |_: usize, _: &str| {};
    let mut watcher =
        TextWatcher::new(subject, batch.len(), &work.task.stop, true, interrupt, &mut silent);
    generate(subject.model(), &prompts, &options, &mut watcher)
        .map_err(|error| EvalError::of_batch(error, |row| batch[row].number as usize))?;
    let rows = watcher.finish()?.into_iter().map(|generated| Rows {
        tokens: generated.tokens,
        signals: generated.signals,
        text: work.task.answer(&generated.text).to_owned(),
        has_ended: generated.has_ended,
    });
    Ok(rows.collect())
}

fn teacher_forced(subject: &DecoderSubject, batch: &[&Prepared]) -> Result<Vec<Rows>> {
    let model = subject.model();
    let width = batch.iter().map(|prepared| prepared.ids.len()).max().unwrap_or(0);
    let lengths: Vec<usize> = batch.iter().map(|prepared| prepared.ids.len()).collect();
    let mut ids = Vec::with_capacity(batch.len() * width);
    // Each answer token is predicted at the token before it.
    let mut places = Vec::new();
    for (row, prepared) in batch.iter().enumerate() {
        ids.extend_from_slice(&prepared.ids);
        ids.resize((row + 1) * width, 0);
        places.extend(
            (prepared.prompt_tokens.max(1)..prepared.ids.len()).map(|at| row * width + at - 1),
        );
    }
    let types = vec![0; ids.len()];
    let mut stream = model.embed(&Batch::new(ids, types, lengths, width)?, None);
    let mut states = Vec::with_capacity(model.n_layers());
    for index in 0..model.n_layers() {
        stream = model.layer(index, stream);
        states.push(stream.select(&places));
    }
    let signals = Signals::of_states(model, &states).map_err(|error| {
        let place = places[error.row];
        let prepared = batch[place / width];
        // The state of a place predicts the token after it.
        let position = place % width + 1 - prepared.prompt_tokens.max(1);
        EvalError::of_batch(error.at_token(position), |_| prepared.number as usize)
    })?;
    let mut next = 0;
    let rows = batch.iter().map(|prepared| {
        let tokens = prepared.ids[prepared.prompt_tokens.max(1)..].to_vec();
        let rows = next..next + tokens.len();
        next = rows.end;
        let signals = rows.map(|row| signals.row(row).to_vec()).collect();
        Rows { tokens, signals, text: String::new(), has_ended: true }
    });
    Ok(rows.collect())
}

/// The texts of a batch, scored on all cores.
fn texts(
    work: &TokenWork<'_>,
    metrics: &[Box<dyn TextMetric>],
    batch: &[&Prepared],
    rows: &[Rows],
) -> Result<Vec<TextRecord>> {
    let pairs: Vec<(&&Prepared, &Rows)> = batch.iter().zip(rows).collect();
    let records = pairs.par_iter().map(|(prepared, rows)| {
        let references: Vec<&str> =
            prepared.example.references.iter().map(String::as_str).collect();
        let statistics: std::result::Result<BTreeMap<String, Vec<f64>>, ee_tasks::Error> = metrics
            .iter()
            .map(|metric| {
                let statistics = metric.statistics(&rows.text, &references)?;
                Ok((metric.name().to_owned(), statistics))
            })
            .collect();
        Ok(TextRecord {
            example: prepared.number,
            prompt: prepared.example.prompt.clone(),
            prediction: rows.text.clone(),
            references: prepared.example.references.clone(),
            prompt_tokens: prepared.prompt_tokens,
            new_tokens: rows.tokens.len(),
            ended: rows.has_ended || work.teacher_forced,
            statistics: statistics?,
        })
    });
    records.collect()
}

fn trace(facts: &TraceFacts, batch: &[&Prepared], rows: Vec<Rows>, seconds: f64) -> Trace {
    let n_rows = rows.iter().map(|rows| rows.tokens.len()).sum();
    let mut facts = TraceFacts { rows: n_rows, seconds, ..facts.clone() };
    if let Some(generation) = &mut facts.generation {
        generation.truncated = batch.iter().filter(|prepared| prepared.is_truncated).count();
    }
    let mut trace = Trace {
        facts,
        example: Vec::with_capacity(n_rows),
        position: Vec::with_capacity(n_rows),
        gold: Vec::with_capacity(n_rows),
        prompt_tokens: Vec::with_capacity(n_rows),
        signals: ExitColumns::default(),
    };
    for (prepared, rows) in batch.iter().zip(rows) {
        for (position, (token, exits)) in (0_u32..).zip(rows.tokens.iter().zip(rows.signals)) {
            trace.example.push(prepared.number);
            trace.position.push(position);
            trace.gold.push(*token);
            trace.prompt_tokens.push(prepared.prompt_tokens as u32);
            exits.into_iter().for_each(|(signal, agreement)| trace.signals.push(signal, agreement));
        }
    }
    trace
}

/// Where a task's trace goes when several are written into one folder.
#[must_use]
pub fn output_of(folder: &Path, task: &str, shard: Shard) -> PathBuf {
    match shard {
        Shard::WHOLE => folder.join(format!("{task}.parquet")),
        Shard { index, count } => folder.join(format!("{task}.{index}-of-{count}.parquet")),
    }
}
