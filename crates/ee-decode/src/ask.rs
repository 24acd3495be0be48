//! Asks a rule at the exits of one token of each row.

use burn::tensor::Tensor;
use ee_models::signal::{NotFinite, Signal};
use ee_models::{Decoder, Stream};

use crate::clock::Part;
use crate::decay::Position;
use crate::gates::{ExitSpace, Gate, StateView};
use crate::head::{Reader, Reading};
use crate::lane::{Given, select};
use crate::settings::Settings;

/// What is known of one token of each row of the cache.
pub(crate) struct Asking<'s> {
    settings: &'s Settings,
    reading: Box<dyn Reading>,
    space: ExitSpace,
    position: Position,
    rows: Vec<Row>,
}

#[derive(Clone, Default)]
struct Row {
    /// The signals of the exits read so far.
    seen: Vec<Signal>,
    /// The exit at which the rule fired.
    exit: Option<usize>,
    token: Option<u32>,
}

impl<'s> Asking<'s> {
    pub(crate) fn new(
        settings: &'s Settings,
        model: &dyn Decoder,
        n_rows: usize,
        position: Position,
    ) -> Self {
        Self {
            settings,
            reading: settings.head.head.begin(settings.head.number, n_rows),
            space: settings.space(model),
            position,
            rows: vec![Row::default(); n_rows],
        }
    }

    /// Whether the rule is asked at an exit.
    pub(crate) fn asks(&self, exit: usize) -> bool {
        match (self.settings.rule.depth(), self.settings.rule.gate()) {
            (Some(depth), _) => exit == depth,
            (None, gate) => gate.is_some() && self.settings.exits.contains(&exit),
        }
    }

    /// Whether the rule also looks at the state before a layer.
    pub(crate) fn compares(&self) -> bool {
        self.settings.rule.is_on_states()
    }

    /// The places in the stream of the rows that leave at an exit; `before` holds their states one layer
    /// before, where the rule compares.
    pub(crate) fn leave(
        &mut self,
        reader: &mut Reader<'_>,
        stream: &Stream,
        before: Option<Tensor<2>>,
    ) -> Result<Vec<usize>, NotFinite> {
        let exit = reader.exit;
        let rows = stream.cache_rows();
        // Where exits take no effect, rows run on past theirs and are not asked again.
        let asked: Vec<usize> =
            (0..rows.len()).filter(|&at| self.rows[rows[at]].exit.is_none()).collect();
        if asked.is_empty() {
            return Ok(asked);
        }
        let names: Vec<usize> = asked.iter().map(|&at| rows[at]).collect();
        let state = select(&reader.model.exit_state(stream), &asked);
        let fired = match self.settings.rule.gate() {
            None => self.leave_unasked(reader, &names, (0..asked.len()).collect(), &state)?,
            Some((open, _)) if open.gate.is_on_states() => {
                let before = select(&before.expect("the rule compares"), &asked);
                let fitted = self.settings.fitted.as_deref();
                let view = StateView { exit, before, state: state.clone(), fitted };
                let threshold = self.threshold();
                let numbers = reader.clock.time(Part::Gates, || open.gate.numbers(view));
                // A state that is not finite gives no number to compare with a threshold.
                if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                    return Err(NotFinite { exit, row: names[at], token: None });
                }
                let fires = |&at: &usize| open.gate.comparison().fires(numbers[at], threshold);
                let fired = (0..asked.len()).filter(fires).collect();
                self.leave_unasked(reader, &names, fired, &state)?
            }
            Some((open, _)) => self.leave_by_signals(reader, open.gate, &names, &state)?,
        };
        for &at in &fired {
            self.rows[names[at]].exit = Some(exit);
        }
        Ok(fired.into_iter().map(|at| asked[at]).collect())
    }

    /// The gate's threshold at this position.
    fn threshold(&self) -> f32 {
        let found = self.settings.rule.threshold(self.space, self.position);
        found.expect("a gate has a threshold")
    }

    /// The head for rows that leave without having asked it.
    fn leave_unasked(
        &mut self,
        reader: &mut Reader<'_>,
        names: &[usize],
        fired: Vec<usize>,
        state: &Tensor<2>,
    ) -> Result<Vec<usize>, NotFinite> {
        if !fired.is_empty() && self.settings.policy.takes_effect() {
            let rows: Vec<usize> = fired.iter().map(|&at| names[at]).collect();
            let (_, signals) = reader.whole(&rows, select(state, &fired))?;
            for (&row, signal) in rows.iter().zip(signals) {
                self.rows[row].token = Some(signal.prediction);
            }
        }
        Ok(fired)
    }

    /// The rows for which a gate fires, confirmed by the whole head where it was not read.
    fn leave_by_signals(
        &mut self,
        reader: &mut Reader<'_>,
        gate: &dyn Gate,
        names: &[usize],
        state: &Tensor<2>,
    ) -> Result<Vec<usize>, NotFinite> {
        let threshold = self.threshold();
        let fires = |row: &Row| gate.comparison().fires(gate.number(&row.seen), threshold);
        let said = self.reading.read(reader, names, state.clone())?;
        let (mut fired, mut unsure) = (Vec::new(), Vec::new());
        for (at, said) in said.into_iter().enumerate() {
            let row = &mut self.rows[names[at]];
            row.seen.push(said.signal);
            if fires(row) {
                let known = if said.is_whole { &mut fired } else { &mut unsure };
                known.push(at);
            }
        }
        if !unsure.is_empty() {
            let rows: Vec<usize> = unsure.iter().map(|&at| names[at]).collect();
            let signals = self.reading.confirm(reader, &rows, select(state, &unsure))?;
            for (at, signal) in unsure.into_iter().zip(signals) {
                let row = &mut self.rows[names[at]];
                row.seen.pop();
                row.seen.push(signal);
                if fires(row) {
                    fired.push(at);
                }
            }
            fired.sort_unstable();
        }
        for &at in &fired {
            let row = &mut self.rows[names[at]];
            row.token = row.seen.last().map(|signal| signal.prediction);
        }
        Ok(fired)
    }

    /// Rows that have reached the last exit.
    pub(crate) fn end(&mut self, rows: &[usize], signals: &[Signal], layers: usize) {
        for (&row, signal) in rows.iter().zip(signals) {
            let row = &mut self.rows[row];
            row.exit.get_or_insert(layers);
            row.token = Some(signal.prediction);
        }
    }

    /// Every row's token and exit.
    pub(crate) fn taken(self) -> Vec<Given> {
        let rows = self.rows.into_iter().map(|row| {
            let taken = row.token.zip(row.exit);
            let (token, exit) = taken.expect("every row has left or come to the end");
            Given { exit: Some(exit), ..Given::token(token) }
        });
        rows.collect()
    }
}
