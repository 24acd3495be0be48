//! How the shared head is read at the exits before the last, for gates that ask it.
//!
//! A [`Head`] is chosen once; a [`Reading`] is it at work on one token of each row. The last exit and the
//! token are always the whole head's.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Int, Tensor, TensorData};
use ee_models::kernels::{self, Rows, Weight};
use ee_models::signal::{Signal, exit_signals, largest};
use ee_models::{Decoder, WeightBytes};

use super::clock::{Clock, Part};
use crate::error::{EvalError, Result};

/// Every way to read the head; the command line, its help and the tests walk this list.
pub const HEADS: &[&dyn Head] = &[&Full, &Pruned, &Gate];

/// A way to read the head.
pub trait Head: Sync + fmt::Debug {
    /// The name on the command line and in files.
    fn name(&self) -> &'static str;
    /// What it does, in one line; K is its number.
    fn rule(&self) -> &'static str;
    /// Whether a number is typed after its name.
    fn has_number(&self) -> bool {
        false
    }
    /// Whether gates can ask it before a token leaves.
    fn is_asked(&self) -> bool {
        true
    }
    /// The head at work on one token of each of `n_rows`.
    fn begin(&self, number: usize, n_rows: usize) -> Box<dyn Reading>;
}

/// What a head says of a row at an exit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// The signals; over some outputs alone where it is not the whole head's.
    pub signal: Signal,
    /// Whether the whole head was read.
    pub is_whole: bool,
}

/// A head at work.
pub trait Reading {
    /// The signals of some rows' states at the next exit, `[rows, d_model]`.
    fn read(&mut self, reader: &mut Reader<'_>, rows: &[usize], state: Tensor<2>) -> Vec<Said>;

    /// The whole head's signals of rows for which a gate has fired on less.
    fn confirm(&mut self, reader: &mut Reader<'_>, rows: &[usize], state: Tensor<2>)
    -> Vec<Signal>;
}

/// The model with the clock that its reads are booked on.
pub struct Reader<'a> {
    /// The model.
    pub model: &'a dyn Decoder,
    /// Its sizes.
    pub bytes: WeightBytes,
    /// Where time goes.
    pub clock: &'a mut Clock,
}

impl Reader<'_> {
    /// The whole head on some states: logits and signals.
    pub fn whole(&mut self, state: Tensor<2>) -> (Tensor<2>, Vec<Signal>) {
        self.clock.head_reads += 1;
        self.clock.weight_bytes += self.bytes.head as u64;
        let model = self.model;
        self.clock.time(Part::Heads, || {
            let logits = model.read_step(state);
            let signals = exit_signals(logits.clone());
            (logits, signals)
        })
    }
}

/// A head with its number, as typed `pruned:64`.
#[derive(Debug, Clone, Copy)]
pub struct HeadChoice {
    /// The head.
    pub head: &'static dyn Head,
    /// Its number, 0 where it has none.
    pub number: usize,
}

impl FromStr for HeadChoice {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let head = HEADS.iter().copied().find(|head| head.name() == name).ok_or_else(|| {
            let hint = ee_tasks::did_you_mean(name, HEADS.iter().map(|head| head.name()));
            EvalError::Unknown { what: "head", name: name.to_owned(), hint }
        })?;
        let complain =
            |reason: &str| EvalError::Setting { reason: format!("head `{text}`: {reason}") };
        match (head.has_number(), number.map(str::parse::<usize>)) {
            (false, None) => Ok(Self { head, number: 0 }),
            // A margin needs a runner-up.
            (true, Some(Ok(number))) if number > 1 => Ok(Self { head, number }),
            (true, _) => Err(complain("expected a number from 2, e.g. `pruned:64`")),
            (false, Some(_)) => Err(complain("it has no number")),
        }
    }
}

impl fmt::Display for HeadChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.head.name())?;
        if self.head.has_number() { write!(formatter, ":{}", self.number) } else { Ok(()) }
    }
}

/// The whole head at every exit.
#[derive(Debug)]
struct Full;

impl Head for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn rule(&self) -> &'static str {
        "the whole head at every exit that a gate asks"
    }

    fn begin(&self, _: usize, _: usize) -> Box<dyn Reading> {
        Box::new(Self)
    }
}

impl Reading for Full {
    fn read(&mut self, reader: &mut Reader<'_>, _: &[usize], state: Tensor<2>) -> Vec<Said> {
        let (_, signals) = reader.whole(state);
        signals.into_iter().map(|signal| Said { signal, is_whole: true }).collect()
    }

    fn confirm(&mut self, reader: &mut Reader<'_>, _: &[usize], state: Tensor<2>) -> Vec<Signal> {
        reader.whole(state).1
    }
}

/// No head before a token leaves.
#[derive(Debug)]
struct Gate;

impl Head for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn rule(&self) -> &'static str {
        "none: a gate on states decides, the head is read once, on leaving"
    }

    fn is_asked(&self) -> bool {
        false
    }

    fn begin(&self, _: usize, _: usize) -> Box<dyn Reading> {
        Box::new(Full)
    }
}

/// The whole head at the first exit read; at later ones its K best rows of then; the whole head again before
/// a token leaves, which gives new best rows where it does not.
#[derive(Debug)]
struct Pruned;

impl Head for Pruned {
    fn name(&self) -> &'static str {
        "pruned"
    }

    fn rule(&self) -> &'static str {
        "the whole head at the first exit read, its K best outputs alone at later ones (signals are over \
         these), the whole head again before leaving"
    }

    fn has_number(&self) -> bool {
        true
    }

    fn begin(&self, number: usize, n_rows: usize) -> Box<dyn Reading> {
        Box::new(PrunedReading { number, rows: vec![None; n_rows] })
    }
}

/// Candidates per row of the cache.
struct PrunedReading {
    number: usize,
    rows: Vec<Option<Candidates>>,
}

/// Some outputs, by rising id, with their rows of the head.
#[derive(Clone)]
struct Candidates {
    ids: Vec<u32>,
    weight: Weight,
}

impl Reading for PrunedReading {
    fn read(&mut self, reader: &mut Reader<'_>, rows: &[usize], state: Tensor<2>) -> Vec<Said> {
        if rows.iter().any(|&row| self.rows[row].is_none()) {
            let signals = self.confirm(reader, rows, state);
            return signals.into_iter().map(|signal| Said { signal, is_whole: true }).collect();
        }
        let model = reader.model;
        reader.clock.time(Part::Gates, || {
            let state = model.head_state(state, None);
            let said = rows.iter().enumerate().map(|(at, &row)| {
                let candidates = self.rows[row].as_ref().expect("rows have candidates by now");
                candidates.read(state.clone().narrow(0, at, 1))
            });
            said.collect()
        })
    }

    fn confirm(
        &mut self,
        reader: &mut Reader<'_>,
        rows: &[usize],
        state: Tensor<2>,
    ) -> Vec<Signal> {
        let (logits, signals) = reader.whole(state);
        let model = reader.model;
        reader.clock.time(Part::Gates, || {
            for (&row, ids) in rows.iter().zip(largest(logits, self.number)) {
                self.rows[row] = Some(Candidates::of(model, ids));
            }
        });
        signals
    }
}

impl Candidates {
    fn of(model: &dyn Decoder, mut ids: Vec<u32>) -> Self {
        // Of equal logits the lowest id wins, here as everywhere.
        ids.sort_unstable();
        let Weight { matrix, bias } = model.head_weight();
        let places: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let places = TensorData::new(places, [ids.len()]);
        let places = Tensor::<1, Int>::from_data(places, &matrix.device());
        let bias = bias.map(|bias| bias.select(0, places.clone()));
        Self { ids, weight: Weight { matrix: kernels::embedding(matrix, places), bias } }
    }

    /// What these outputs alone say of a normed state, `[1, d_model]`.
    fn read(&self, state: Tensor<2>) -> Said {
        let [logits] = kernels::project(state, [self.weight.clone()], Rows::Few);
        let mut signal = exit_signals(logits)[0];
        signal.prediction = self.ids[signal.prediction as usize];
        Said { signal, is_whole: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_printed_as_they_are_typed() {
        for head in HEADS {
            let number = if head.has_number() { ":64" } else { "" };
            let text = format!("{}{number}", head.name());
            assert_eq!(text.parse::<HeadChoice>().unwrap().to_string(), text);
        }
        for text in ["pruned", "pruned:1", "pruned:x", "full:3"] {
            assert!(text.parse::<HeadChoice>().is_err(), "{text}");
        }
        let error = "prune:3".parse::<HeadChoice>().unwrap_err().to_string();
        assert!(error.contains("did you mean `pruned`?"), "{error}");
    }
}
