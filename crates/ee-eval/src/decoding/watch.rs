use std::ops::ControlFlow;

use ee_decode::generate::Watcher;
use ee_models::signal::{Agreement, Signal};

use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;

/// What was generated from one prompt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Generated {
    pub(crate) text: String,
    /// New tokens, an end token included.
    pub(crate) tokens: Vec<u32>,
    /// The signals of the exits 1..=N for each of them, where they were wanted.
    pub(crate) signals: Vec<Vec<(Signal, Agreement)>>,
    /// Whether an end token or a stop text came.
    pub(crate) has_ended: bool,
}

/// Called with each piece of text of a row as it comes.
pub(super) type OnPiece<'a> = &'a mut dyn FnMut(usize, &str);

/// Collects what is generated from some prompts, and ends a row at a stop text.
pub(crate) struct TextWatcher<'a> {
    subject: &'a DecoderSubject,
    stop: &'a [String],
    interrupt: &'a Interrupt,
    records: bool,
    on_piece: OnPiece<'a>,
    rows: Vec<Generated>,
    streams: Vec<ee_tasks::TextStream<'a>>,
    failure: Option<ee_tasks::Error>,
}

impl<'a> TextWatcher<'a> {
    /// Watches `n_rows` prompts; with `records` the signals of every exit are kept.
    pub(crate) fn new(
        subject: &'a DecoderSubject,
        n_rows: usize,
        stop: &'a [String],
        records: bool,
        interrupt: &'a Interrupt,
        on_piece: OnPiece<'a>,
    ) -> Self {
        let streams = (0..n_rows).map(|_| subject.tokenizer().stream()).collect();
        let rows = vec![Generated::default(); n_rows];
        Self { subject, stop, interrupt, records, on_piece, rows, streams, failure: None }
    }

    /// Lets a row's text follow its prompt: a first word keeps the space before it.
    pub(crate) fn follow(&mut self, row: usize, prompt: &[u32]) -> Result<()> {
        for &token in prompt {
            self.streams[row].push(token)?;
        }
        Ok(())
    }

    /// What came of every prompt.
    pub(crate) fn finish(mut self) -> Result<Vec<Generated>> {
        if let Some(error) = self.failure {
            return Err(error.into());
        }
        for (at, (row, stream)) in self.rows.iter_mut().zip(self.streams).enumerate() {
            let rest = stream.finish()?;
            if !rest.is_empty() {
                (self.on_piece)(at, &rest);
                row.text.push_str(&rest);
            }
        }
        Ok(self.rows)
    }
}

impl Watcher for TextWatcher<'_> {
    fn wants_signals(&self) -> bool {
        self.records
    }

    fn token(
        &mut self,
        row: usize,
        token: u32,
        signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()> {
        let piece = match self.streams[row].push(token) {
            Ok(piece) => piece,
            Err(error) => {
                self.failure = Some(error);
                return ControlFlow::Break(());
            }
        };
        let generated = &mut self.rows[row];
        generated.tokens.push(token);
        generated.signals.extend(signals.map(<[_]>::to_vec));
        generated.text.push_str(&piece);
        if !piece.is_empty() {
            (self.on_piece)(row, &piece);
        }
        let stops = self.stop.iter().any(|stop| generated.text.contains(stop.as_str()));
        generated.has_ended = stops || self.subject.ends().contains(&token);
        if stops || self.interrupt.is_pressed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
