//! The rows of a batch: the model's own text, or the gold one that it is given.

use ee_decode::generate::{Choice, Options, generate};
use ee_models::signal::{Agreement, Signal, Signals};
use ee_models::{Batch, Decoder};

use super::TokenWork;
use super::prepare::Prepared;
use crate::decoding::TextWatcher;
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;
use crate::trace::{ExitColumns, Trace, TraceFacts};

/// The rows of one example.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) tokens: Vec<u32>,
    signals: Vec<Vec<(Signal, Agreement)>>,
    pub(super) text: String,
    pub(super) has_ended: bool,
}

impl Rows {
    /// Those of an empty source.
    pub(super) fn empty() -> Self {
        let (tokens, signals) = (Vec::new(), Vec::new());
        Self { tokens, signals, text: String::new(), has_ended: true }
    }
}

pub(super) fn greedy(
    subject: &DecoderSubject,
    work: &TokenWork<'_>,
    batch: &[&Prepared],
    interrupt: &Interrupt,
) -> Result<Vec<Rows>> {
    let prompts: Vec<Vec<u32>> = batch.iter().map(|prepared| prepared.prompt.clone()).collect();
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
    let rows = watcher.finish()?.into_iter().zip(batch).map(|(generated, prepared)| Rows {
        tokens: generated.tokens,
        signals: generated.signals,
        text: work.task.answer_to(&prepared.example, &generated.text).to_owned(),
        has_ended: generated.has_ended,
    });
    Ok(rows.collect())
}

pub(super) fn teacher_forced(subject: &DecoderSubject, batch: &[&Prepared]) -> Result<Vec<Rows>> {
    let model = subject.model();
    let given = Given::new(model, batch)?;
    let mut stream = model.embed(&given.batch, None);
    let mut states = Vec::with_capacity(model.n_layers());
    for index in 0..model.n_layers() {
        stream = model.layer(index, stream);
        states.push(stream.select(&given.places));
    }
    let signals = Signals::of_states(model, &states).map_err(|error| {
        let (row, position) = given.answer_at(error.row);
        EvalError::of_batch(error.at_token(position), |_| batch[row].number as usize)
    })?;
    let mut next = 0;
    let rows = batch.iter().map(|prepared| {
        let rows = next..next + prepared.answer.len();
        next = rows.end;
        let signals = rows.map(|row| signals.row(row).to_vec()).collect();
        let tokens = prepared.answer.clone();
        Rows { tokens, signals, text: String::new(), has_ended: true }
    });
    Ok(rows.collect())
}

/// Prompts with their answers as a model reads them whole.
struct Given {
    batch: Batch,
    /// The places that predict an answer token, row after row: each the one before it.
    places: Vec<usize>,
    /// The first of them in each row.
    first: Vec<usize>,
}

impl Given {
    fn new(model: &dyn Decoder, prepared: &[&Prepared]) -> Result<Self> {
        let opening = model.opening();
        let begun = prepared.iter().map(|of| if opening.is_empty() { &of.prompt } else { opening });
        let begun: Vec<&[u32]> = begun.collect();
        // Nothing is predicted after an answer's last token.
        let read = prepared.iter().zip(&begun).map(|(of, begun)| {
            let answer = &of.answer[..of.answer.len().saturating_sub(1)];
            [begun, answer].concat()
        });
        let batch = padded(&read.collect::<Vec<_>>())?;
        let batch = match opening {
            [] => batch,
            _ => {
                let prompts: Vec<&[u32]> = prepared.iter().map(|of| &*of.prompt).collect();
                batch.with_source(padded(&prompts)?)?
            }
        };
        let width = batch.width();
        let starts = begun.iter().enumerate();
        let first: Vec<usize> = starts.map(|(row, begun)| row * width + begun.len() - 1).collect();
        let answers = prepared.iter().map(|of| of.answer.len());
        let places = first.iter().zip(answers).flat_map(|(&first, n)| first..first + n).collect();
        Ok(Self { batch, places, first })
    }

    /// The row and the answer's token that one of the places predicts.
    fn answer_at(&self, index: usize) -> (usize, usize) {
        let place = self.places[index];
        let row = place / self.batch.width();
        (row, place - self.first[row])
    }
}

/// Texts padded on the right.
fn padded<T: AsRef<[u32]>>(texts: &[T]) -> Result<Batch> {
    let lengths: Vec<usize> = texts.iter().map(|text| text.as_ref().len()).collect();
    let width = lengths.iter().copied().max().unwrap_or(0);
    let mut ids = Vec::with_capacity(texts.len() * width);
    for (row, text) in texts.iter().enumerate() {
        ids.extend_from_slice(text.as_ref());
        ids.resize((row + 1) * width, 0);
    }
    let types = vec![0; ids.len()];
    Ok(Batch::new(ids, types, lengths, width)?)
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
            trace.prompt_tokens.push(prepared.prompt.len() as u32);
            exits.into_iter().for_each(|(signal, agreement)| trace.signals.push(signal, agreement));
        }
    }
    trace
}
