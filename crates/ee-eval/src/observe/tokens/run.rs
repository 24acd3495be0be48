//! The rows of a batch: the model's own text, or the gold one that it is given.

use ee_decode::generate::{Choice, Options, generate};
use ee_models::signal::{Agreement, Signal, Signals};
use ee_models::{Batch, ExitModel};

use super::TokenWork;
use super::prepare::Prepared;
use crate::decoding::TextWatcher;
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;
use crate::trace::{ExitColumns, Trace, TraceFacts};

/// The rows of one example.
pub(super) struct Rows {
    pub(super) tokens: Vec<u32>,
    signals: Vec<Vec<(Signal, Agreement)>>,
    pub(super) text: String,
    pub(super) has_ended: bool,
}

pub(super) fn greedy(
    subject: &DecoderSubject,
    work: &TokenWork<'_>,
    batch: &[&Prepared],
    interrupt: &Interrupt,
) -> Result<Vec<Rows>> {
    let prompts: Vec<Vec<u32>> = batch.iter().map(|prepared| prepared.ids.clone()).collect();
    let options = Options {
        max_new_tokens: work.new_tokens(),
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

pub(super) fn teacher_forced(subject: &DecoderSubject, batch: &[&Prepared]) -> Result<Vec<Rows>> {
    let model = subject.model();
    let width = batch.iter().map(|prepared| prepared.ids.len()).max().unwrap_or(0);
    let lengths: Vec<usize> = batch.iter().map(|prepared| prepared.ids.len()).collect();
    let mut ids = Vec::with_capacity(batch.len() * width);
    // Each answer token is predicted at the token before it.
    let mut places = Vec::new();
    for (row, prepared) in batch.iter().enumerate() {
        ids.extend_from_slice(&prepared.ids);
        ids.resize((row + 1) * width, 0);
        places.extend((prepared.given()..prepared.ids.len()).map(|at| row * width + at - 1));
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
        let position = place % width + 1 - prepared.given();
        EvalError::of_batch(error.at_token(position), |_| prepared.number as usize)
    })?;
    let mut next = 0;
    let rows = batch.iter().map(|prepared| {
        let tokens = prepared.ids[prepared.given()..].to_vec();
        let rows = next..next + tokens.len();
        next = rows.end;
        let signals = rows.map(|row| signals.row(row).to_vec()).collect();
        Rows { tokens, signals, text: String::new(), has_ended: true }
    });
    Ok(rows.collect())
}

pub(super) fn trace(
    facts: &TraceFacts,
    batch: &[&Prepared],
    rows: Vec<Rows>,
    seconds: f64,
) -> Trace {
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
