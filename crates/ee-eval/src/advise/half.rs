//! The halves of a trace as examples: those that are tried, and those that the model is run over for the numbers
//! of gates on states.

use ee_decode::generate::Choice;
use ee_models::gate::GATE_FILE;
use ee_tasks::{GenerationTask, TextExample};

use super::Wanted;
use crate::advise::times::Ask;
use crate::certify::{examples, examples_to_certify};
use crate::decoding::{Limits, Request};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;
use crate::tokens::states::StateNumbers;
use crate::trace::Trace;
use crate::trial::material::{Material, Terms};
use ee_decode::gates::{Gate, STATE_GATES, fitted};

/// Texts from which the numbers of gates on states are read where a guarantee needs no more.
const STATE_TEXTS: usize = 150;

/// Texts per batch where no clock runs.
const FURTHER_BATCH: usize = 8;

/// The numbers of gates on states for some texts.
pub(crate) struct Observed {
    pub(crate) trace: Trace,
    pub(crate) numbers: StateNumbers,
}

/// A task's examples, from which a trace was made.
pub(super) struct Source<'a> {
    pub(super) settings: &'a Wanted,
    pub(super) task: &'a GenerationTask,
    pub(super) subject: &'a DecoderSubject,
    all: Vec<TextExample>,
}

impl<'a> Source<'a> {
    /// Reads the split of a trace.
    pub(super) fn read(
        settings: &'a Wanted,
        task: &'a GenerationTask,
        subject: &'a DecoderSubject,
    ) -> Result<Self> {
        let all = task.read_split(&settings.split, settings.data_dir.as_deref(), None)?.examples;
        Ok(Self { settings, task, subject, all })
    }

    /// The examples of a half that are timed, at even distances, and all others, on which quality is judged.
    pub(super) fn material(&self, half: &Trace) -> Result<[Option<Material>; 2]> {
        let numbers: Vec<usize> =
            examples(half).into_iter().map(|rows| half.example[rows.start] as usize).collect();
        let places: Vec<usize> = spread(numbers.len(), self.settings.live_rows).collect();
        let rest = (0..numbers.len()).filter(|place| !places.contains(place)).collect();
        let (batch, rounds) = (1, self.settings.rounds);
        Ok([
            self.of_examples(&numbers, places, (batch, rounds))?,
            self.of_examples(&numbers, rest, (FURTHER_BATCH, 0))?,
        ])
    }

    fn of_examples(
        &self,
        numbers: &[usize],
        places: Vec<usize>,
        (batch, rounds): (usize, usize),
    ) -> Result<Option<Material>> {
        let chosen = places.into_iter().map(|place| numbers[place]);
        let chosen: Vec<(usize, TextExample)> =
            chosen.filter_map(|number| Some((number, self.all.get(number)?.clone()))).collect();
        if chosen.is_empty() {
            return Ok(None);
        }
        let truncate = self.settings.truncate;
        let max_new_tokens = Some(self.settings.max_new_tokens);
        let limits = Limits { max_new_tokens, truncate, stop: vec![] };
        let split = &self.settings.split;
        let request = Request::of_examples(self.task.clone(), split, chosen, limits);
        let allow_code_execution = self.settings.allow_code_execution;
        let terms = Terms { choice: Choice::Greedy, batch, rounds, allow_code_execution };
        Material::new(self.subject, request, terms).map(Some)
    }

    /// Runs the model over texts of the half that chooses, at even distances: those of which a token may leave,
    /// no more than a guarantee of this confidence needs where nothing is lost, [`STATE_TEXTS`] at least. None where
    /// there is no such text or no exit before the last.
    pub(super) fn observe(
        &self,
        half: &Trace,
        asks: &[Ask],
        confidence: f64,
        interrupt: &Interrupt,
    ) -> Result<Option<Observed>> {
        let Wanted { keep, min_tokens, .. } = *self.settings;
        let mut texts = examples(half);
        texts.retain(|rows| rows.len() > half.facts.never_leaving(min_tokens));
        if texts.is_empty() || half.layers() < 2 {
            return Ok(None);
        }
        let needed = examples_to_certify(1.0 - keep, confidence).unwrap_or(0).max(STATE_TEXTS);
        let rows: Vec<usize> =
            spread(texts.len(), needed).flat_map(|at| texts[at].clone()).collect();
        let trace = half.select(&rows);
        let prompts = self.prompts(&trace)?;
        let fitted = asks.iter().find_map(Ask::fitted);
        let gates: Vec<_> = asks.iter().filter_map(Ask::state_gate).collect();
        let gates = (&*gates, fitted.as_deref());
        let model = self.subject.model();
        let numbers = StateNumbers::observe(model, &trace, &prompts, gates, interrupt)?;
        Ok(Some(Observed { trace, numbers }))
    }

    /// The prompts as the trace had them; an example that is not there has none.
    fn prompts(&self, trace: &Trace) -> Result<Vec<Vec<u32>>> {
        let traced = trace.facts.generation.as_ref().map(|facts| facts.max_new_tokens);
        let new_tokens = traced.unwrap_or(self.settings.max_new_tokens);
        let truncate = self.settings.truncate;
        let numbers = examples(trace).into_iter().map(|rows| trace.example[rows.start] as usize);
        let prompts = numbers.map(|number| match self.all.get(number) {
            Some(example) => {
                let text = (number, &*example.prompt);
                Ok(self.subject.prompt(text, new_tokens, truncate)?.ids)
            }
            None => Ok(Vec::new()),
        });
        prompts.collect()
    }
}

/// At most `most` of `n` places, at even distances.
fn spread(n: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = n.min(most);
    (0..count).map(move |at| at * n / count)
}

/// Gates on states; those that are fitted where the checkpoint's folder holds what was.
pub(super) fn state_asks(subject: &DecoderSubject) -> Result<Vec<Ask>> {
    let path = subject.folder().join(GATE_FILE);
    let fitted = if path.is_file() { Some(fitted(&path, subject.model())?) } else { None };
    let gates = STATE_GATES.iter().copied();
    let gates = gates.filter(|gate| !gate.is_fitted() || fitted.is_some());
    let ask =
        |gate: &'static dyn Gate| Ask::States(gate, fitted.clone().filter(|_| gate.is_fitted()));
    Ok(gates.map(ask).collect())
}
