//! How the shared head is read at the exits before the last, for gates that ask it.
//!
//! A [`Head`] is chosen once; a [`Reading`] applies it to one token of each row. The last exit and the
//! token are always the whole head's.

mod full;
mod gate;
mod pruned;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;
use ee_models::kernels::Rows;
use ee_models::signal::{NotFinite, Signal, exit_signals};
use ee_models::{Decoder, WeightBytes};

use super::clock::{Clock, Part};
use crate::error::Error;

/// Every way to read the head; the command line, its help and the tests walk this list.
pub const HEADS: &[&dyn Head] = &[&full::Full, &pruned::Pruned, &gate::Gate];

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

/// What a head says about a row at an exit.
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
    ///
    /// # Errors
    /// [`NotFinite`] of one of `rows`.
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        rows: &[usize],
        state: Tensor<2>,
    ) -> Result<Vec<Said>, NotFinite>;

    /// The whole head's signals of rows for which a gate has fired on less.
    ///
    /// # Errors
    /// [`NotFinite`] of one of `rows`.
    fn confirm(
        &mut self,
        reader: &mut Reader<'_>,
        rows: &[usize],
        state: Tensor<2>,
    ) -> Result<Vec<Signal>, NotFinite> {
        Ok(reader.whole(rows, state)?.1)
    }
}

/// The model at an exit, with the clock that records its reads.
pub struct Reader<'a> {
    /// The model.
    pub model: &'a dyn Decoder,
    /// The exit, from 1.
    pub exit: usize,
    /// The model's sizes.
    pub bytes: WeightBytes,
    /// Where time goes.
    pub clock: &'a mut Clock,
}

impl Reader<'_> {
    /// The whole head on the states of some rows: logits and signals.
    ///
    /// # Errors
    /// [`NotFinite`] of one of `rows`.
    pub fn whole(
        &mut self,
        rows: &[usize],
        state: Tensor<2>,
    ) -> Result<(Tensor<2>, Vec<Signal>), NotFinite> {
        self.clock.head_reads += 1;
        self.clock.weight_bytes += self.bytes.head as u64;
        let (model, exit) = (self.model, self.exit);
        self.clock.time(Part::Heads, || {
            let logits = model.read(state, Rows::Few);
            let signals = exit_signals(logits.clone(), exit);
            let signals = signals.map_err(|error| error.of_row(|at| rows[at]))?;
            Ok((logits, signals))
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

impl Default for HeadChoice {
    fn default() -> Self {
        Self { head: HEADS[0], number: 0 }
    }
}

impl HeadChoice {
    /// Every head that gates can ask, with this number where it has one.
    pub fn asked(number: usize) -> impl Iterator<Item = Self> {
        let heads = HEADS.iter().copied().filter(|head| head.is_asked());
        heads.map(move |head| Self { head, number: if head.has_number() { number } else { 0 } })
    }

    /// The head for gates that do not ask it.
    pub fn unasked() -> Self {
        let head = HEADS.iter().copied().find(|head| !head.is_asked());
        Self { head: head.expect("one of the heads is read on leaving alone"), number: 0 }
    }
}

impl FromStr for HeadChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let head = HEADS.iter().copied().find(|head| head.name() == name).ok_or_else(|| {
            let hint = ee_files::did_you_mean(name, HEADS.iter().map(|head| head.name()));
            Error::Unknown { what: "head", name: name.to_owned(), hint }
        })?;
        let complain = |reason: &str| Error::Setting { reason: format!("head `{text}`: {reason}") };
        match (head.has_number(), number.map(str::parse::<usize>)) {
            (false, None) => Ok(Self { head, number: 0 }),
            // A margin needs a runner-up.
            (true, Some(Ok(number))) if number > 1 => Ok(Self { head, number }),
            (true, _) => Err(complain(&format!("expected a number from 2, e.g. `{name}:64`"))),
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
