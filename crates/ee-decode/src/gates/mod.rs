//! Gates: decide from the signals seen so far whether to leave.
//!
//! A gate reduces the exits seen so far to one number and compares it with a threshold, always in
//! the same direction. That is all that the exact sweep, a running model and the reports need to
//! know of it, so a new gate is one file and one line of [`GATES`]. Every gate leaves at exit 1 at
//! one end of its range and at N at the other, monotone between; the last exit always fires.

mod confidence;
mod entropy;
mod fixed;
mod margin;
mod patience;
mod scale;

use std::fmt;
use std::str::FromStr;

use ee_models::signal::Signal;

pub use scale::Scale;

use crate::error::{Error, Result};

/// Every gate; the command line, its help, the reports and the contract tests walk this list.
pub const GATES: &[&dyn Gate] =
    &[&confidence::Confidence, &entropy::Entropy, &margin::Margin, &patience::Patience];

/// Every input to one depth, `fixed:D`: no gate, but what each gate has to beat.
pub const FIXED: &dyn Gate = &fixed::Fixed;

/// Everything that may be tried on a trace: [`FIXED`], then every gate.
pub fn rules() -> impl Iterator<Item = &'static dyn Gate> {
    std::iter::once(FIXED).chain(GATES.iter().copied())
}

/// How a gate's number is compared with its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Fires when the number is greater than the threshold.
    Above,
    /// Fires when the number is less than the threshold.
    Below,
    /// Fires when the number is at least the threshold.
    AtLeast,
}

impl Comparison {
    /// Whether `number` fires at `threshold`.
    #[must_use]
    pub fn fires(self, number: f32, threshold: f32) -> bool {
        match self {
            Self::Above => number > threshold,
            Self::Below => number < threshold,
            Self::AtLeast => number >= threshold,
        }
    }
}

/// The thresholds between which a gate's behaviour changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// From here on outwards the gate never leaves before the last exit.
    pub never: f32,
    /// From here on outwards the gate always leaves at exit 1.
    pub always: f32,
}

/// What a gate may know of the model it watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitSpace {
    /// The number of exits, N.
    pub layers: usize,
    /// The number of labels.
    pub labels: usize,
}

/// A rule for leaving.
pub trait Gate: Sync + fmt::Debug {
    /// The name on the command line and in files.
    fn name(&self) -> &'static str;
    /// The rule in one line; T is the threshold.
    fn rule(&self) -> &'static str;
    /// How [`Gate::number`] is compared with the threshold.
    fn comparison(&self) -> Comparison;
    /// The thresholds that matter for a model.
    fn range(&self, space: ExitSpace) -> Range;
    /// What the gate makes of the signals of exits 1..=d, with `seen.len() == d ≥ 1`.
    fn number(&self, seen: &[Signal]) -> f32;
    /// Whether the head has to be read before leaving is decided.
    fn reads_signals(&self) -> bool {
        true
    }
}

/// The gate called `name`, or [`FIXED`].
///
/// # Errors
/// [`Error::Unknown`], with the known names and the nearest.
pub fn by_name(name: &str) -> Result<&'static dyn Gate> {
    rules().find(|gate| gate.name() == name).ok_or_else(|| Error::Unknown {
        what: "gate",
        name: name.to_owned(),
        hint: ee_files::did_you_mean(name, rules().map(|gate| gate.name())),
    })
}

/// The registry's names, separated by commas.
#[must_use]
pub fn names() -> String {
    rules().map(|gate| gate.name()).collect::<Vec<_>>().join(", ")
}

/// A gate with its threshold, as typed `name:threshold`.
#[derive(Debug, Clone, Copy)]
pub struct SetGate {
    /// The rule.
    pub gate: &'static dyn Gate,
    /// Its threshold.
    pub threshold: f32,
}

impl FromStr for SetGate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let syntax =
            |reason: &str| Error::GateSyntax { text: text.to_owned(), reason: reason.to_owned() };
        let (name, threshold) = text.split_once(':').unwrap_or((text, ""));
        let gate = by_name(name)?;
        if threshold.is_empty() {
            return Err(syntax("expected `name:threshold`, e.g. `confidence:0.9` or `patience:2`"));
        }
        let threshold: f32 = threshold
            .parse()
            .ok()
            .filter(|threshold: &f32| !threshold.is_nan())
            .ok_or_else(|| syntax("the threshold is not a number"))?;
        if gate.comparison() == Comparison::AtLeast && (threshold < 0.0 || threshold.fract() != 0.0)
        {
            return Err(syntax("the threshold is a whole number from 0"));
        }
        if !gate.reads_signals() && threshold < 1.0 {
            return Err(syntax("expected an exit from 1, e.g. `fixed:6`"));
        }
        Ok(Self { gate, threshold })
    }
}

impl fmt::Display for SetGate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.gate.name(), self.threshold)
    }
}

impl SetGate {
    /// Whether to leave after the exits seen so far, 1..=`seen.len()`; the last exit always fires.
    #[must_use]
    pub fn fires(&self, seen: &[Signal], layers: usize) -> bool {
        seen.len() >= layers || self.gate.comparison().fires(self.gate.number(seen), self.threshold)
    }

    /// The exit, from 1, at which a row with these signals leaves.
    #[must_use]
    pub fn exit(&self, signals: &[Signal]) -> usize {
        let layers = signals.len();
        (1..=layers).find(|&exit| self.fires(&signals[..exit], layers)).unwrap_or(layers)
    }

    /// Refuses a threshold that no signal of such a model can reach, and an exit that it does not have.
    ///
    /// # Errors
    /// [`Error::NeverFires`], with the bound that the threshold must keep; [`Error::Setting`].
    pub fn check(&self, space: ExitSpace) -> Result<()> {
        if !self.gate.reads_signals() {
            let layers = space.layers;
            if self.threshold <= layers as f32 {
                return Ok(());
            }
            let reason = format!("{self}: the model has the exits 1 to {layers}");
            return Err(Error::Setting { reason });
        }
        let scale = Scale::of(self.gate, space);
        if scale.can_fire(self.threshold) {
            return Ok(());
        }
        Err(Error::NeverFires {
            gate: self.gate.name(),
            threshold: self.threshold,
            rule: self.gate.rule(),
            bound: scale.bound(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_is_parsed_by_its_own_name_and_printed_back() {
        for gate in rules() {
            let text = format!("{}:1", gate.name());
            assert_eq!(text.parse::<SetGate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_threshold_at_or_beyond_the_end_of_the_range_can_never_fire() {
        let space = ExitSpace { layers: 12, labels: 2 };
        for text in
            ["confidence:1.5", "confidence:1", "margin:1", "entropy:0", "entropy:-1", "patience:11"]
        {
            let error = text.parse::<SetGate>().unwrap().check(space).unwrap_err().to_string();
            assert!(error.contains("can never fire"), "{error}");
        }
        for text in [
            "confidence:0.9",
            "confidence:0",
            "margin:0.999",
            "entropy:0.01",
            "patience:10",
            "patience:0",
        ] {
            text.parse::<SetGate>().unwrap().check(space).unwrap();
        }
    }

    #[test]
    fn unknown_gates_and_bad_thresholds_are_explained() {
        let message = |text: &str| text.parse::<SetGate>().unwrap_err().to_string();
        assert!(message("confidance:0.9").contains("did you mean `confidence`?"));
        assert!(message("zzzzzzzzz:1").contains("confidence, entropy, margin, patience"));
        assert!(message("confidence").contains("name:threshold"));
        assert!(message("confidence:high").contains("not a number"));
        assert!(message("confidence:NaN").contains("not a number"));
        assert!(message("patience:1.5").contains("whole number"));
    }
}
