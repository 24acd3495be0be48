//! Gates: decide from what was seen so far whether to leave.
//!
//! A gate reduces what it reads to one number and compares it with a threshold, always in the same direction. That
//! is all that the exact sweep, a running model and the reports need to know of it, so a new gate is one file
//! and one line of [`GATES`] or [`STATE_GATES`]. Every gate leaves at exit 1 at one end of its range and at N at
//! the other, monotone between; the last exit always fires.

mod confidence;
mod cosine;
mod entropy;
mod fixed;
mod learned;
mod margin;
mod patience;
mod scale;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use burn::tensor::Tensor;
use ee_models::Decoder;
use ee_models::gate::LinearGate;
use ee_models::signal::Signal;

pub use fixed::NAME as FIXED_NAME;
pub use scale::Scale;

use crate::error::{Error, Result};

/// Every gate on signals; the command line, its help, the reports and the contract tests walk this list.
pub const GATES: &[&dyn Gate] =
    &[&confidence::Confidence, &entropy::Entropy, &margin::Margin, &patience::Patience];

/// Every gate on states: the head is read once, where a token leaves.
pub const STATE_GATES: &[&dyn Gate] = &[&cosine::Cosine, &learned::Learned];

/// Every input to one depth: not a gate, but what each gate has to beat.
pub const FIXED: &dyn Gate = &fixed::Fixed;

/// Everything that may be tried on a trace: [`FIXED`], then every gate on signals.
pub fn rules() -> impl Iterator<Item = &'static dyn Gate> + Clone {
    std::iter::once(FIXED).chain(GATES.iter().copied())
}

/// Every gate, whatever it reads.
pub fn all() -> impl Iterator<Item = &'static dyn Gate> + Clone {
    GATES.iter().chain(STATE_GATES).copied()
}

/// Everything that may be tried while decoding: [`FIXED`], then every gate.
pub fn all_rules() -> impl Iterator<Item = &'static dyn Gate> + Clone {
    std::iter::once(FIXED).chain(all())
}

/// What a gate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Only where it is.
    Depth,
    /// The signals of the exits so far, so that the head is read at each.
    Signals,
    /// The states of an exit and of the one before.
    States,
    /// The state of an exit, by weights that are fitted beforehand and read from a file.
    FittedStates,
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
    /// A sensible threshold, for messages and tests.
    fn sample(&self) -> f32;
    /// What it reads.
    fn reads(&self) -> Reads {
        Reads::Signals
    }
    /// How its number is compared with the threshold.
    fn comparison(&self) -> Comparison {
        Comparison::Above
    }
    /// The thresholds that matter for a model.
    fn range(&self, space: ExitSpace) -> Range;
    /// The number of a gate on signals for exits 1..=d, with `seen.len() == d ≥ 1`.
    fn number(&self, _seen: &[Signal]) -> f32 {
        f32::NAN
    }
    /// The number of a gate on states for each row.
    fn numbers(&self, view: StateView<'_>) -> Vec<f32> {
        vec![f32::NAN; view.state.dims()[0]]
    }
}

impl dyn Gate + '_ {
    /// How its numbers are compared, and the thresholds that matter.
    pub fn scale(&self, space: ExitSpace) -> Scale {
        Scale { comparison: self.comparison(), range: self.range(space) }
    }

    /// Whether it reads states, and not the head.
    pub fn is_on_states(&self) -> bool {
        matches!(self.reads(), Reads::States | Reads::FittedStates)
    }

    /// Whether the head has to be read before leaving is decided.
    pub fn reads_signals(&self) -> bool {
        self.reads() == Reads::Signals
    }

    /// Whether it has to be fitted beforehand and read from a file.
    pub fn is_fitted(&self) -> bool {
        self.reads() == Reads::FittedStates
    }

    /// As typed, with a sensible threshold.
    pub fn example(&self) -> String {
        format!("{}:{}", self.name(), self.sample())
    }
}

/// What a gate on states may see.
#[derive(Debug)]
pub struct StateView<'a> {
    /// The exit, from 1.
    pub exit: usize,
    /// The states one layer before, `[rows, d_model]`.
    pub before: Tensor<2>,
    /// The states of the exit, `[rows, d_model]`.
    pub state: Tensor<2>,
    /// The fitted gate, where one was read.
    pub fitted: Option<&'a LinearGate>,
}

/// Reads the gate that was fitted for a model.
///
/// # Errors
/// When the file is absent or broken, or of another model's sizes.
pub fn fitted(path: &Path, model: &dyn Decoder) -> Result<Arc<LinearGate>> {
    let width = model.head_weight().matrix.dims()[1];
    Ok(Arc::new(LinearGate::read(path, model.n_layers(), width, &model.device())?))
}

/// The gate in `gates` called `name`.
pub(crate) fn find(
    name: &str,
    gates: impl Iterator<Item = &'static dyn Gate> + Clone,
    others: &[&'static str],
) -> Result<&'static dyn Gate> {
    gates.clone().find(|gate| gate.name() == name).ok_or_else(|| {
        let known = others.iter().copied().chain(gates.map(|gate| gate.name()));
        let hint = ee_files::did_you_mean(name, known);
        Error::Unknown { what: "gate", name: name.to_owned(), hint }
    })
}

/// The gate called `name` that may be tried on a trace.
///
/// # Errors
/// [`Error::Unknown`], with the known names and the nearest.
pub fn by_name(name: &str) -> Result<&'static dyn Gate> {
    find(name, rules(), &[])
}

/// The names of [`rules`], separated by commas.
pub fn names() -> String {
    rules().map(|gate| gate.name()).collect::<Vec<_>>().join(", ")
}

/// A gate with its threshold, as typed `name:threshold`.
#[derive(Debug, Clone, Copy)]
pub struct SetGate {
    /// The gate.
    pub gate: &'static dyn Gate,
    /// Its threshold.
    pub threshold: f32,
}

impl FromStr for SetGate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, threshold) = text.split_once(':').unwrap_or((text, ""));
        Self::typed(by_name(name)?, threshold)
            .map_err(|reason| Error::GateSyntax { text: text.to_owned(), reason })
    }
}

impl fmt::Display for SetGate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.gate.name(), self.threshold)
    }
}

impl SetGate {
    /// A gate at a threshold as typed, or what is wrong with it.
    pub(crate) fn typed(
        gate: &'static dyn Gate,
        threshold: &str,
    ) -> std::result::Result<Self, String> {
        let number = threshold.parse().ok().filter(|number: &f32| !number.is_nan());
        let is_whole = |number: f32| number >= 0.0 && number.fract() == 0.0;
        match (gate.reads(), number) {
            (Reads::Depth, _) if threshold.parse().is_ok_and(|exit: usize| exit > 0) => {}
            (Reads::Depth, _) => {
                return Err(format!("expected an exit from 1, e.g. `{}`", gate.example()));
            }
            (Reads::States | Reads::FittedStates, None) => {
                return Err(format!("expected a threshold, e.g. `{}`", gate.example()));
            }
            (_, None) if threshold.is_empty() => {
                let [first, last] = [GATES[0], GATES[GATES.len() - 1]].map(<dyn Gate>::example);
                return Err(format!("expected `name:threshold`, e.g. `{first}` or `{last}`"));
            }
            (_, None) => return Err("the threshold is not a number".to_owned()),
            (_, Some(number)) if gate.comparison() == Comparison::AtLeast && !is_whole(number) => {
                return Err("the threshold is a whole number from 0".to_owned());
            }
            _ => {}
        }
        Ok(Self { gate, threshold: number.unwrap_or_default() })
    }

    /// Whether to leave after the exits seen so far, 1..=`seen.len()`; the last exit always fires.
    pub fn fires(&self, seen: &[Signal], layers: usize) -> bool {
        seen.len() >= layers || self.gate.comparison().fires(self.gate.number(seen), self.threshold)
    }

    /// The exit, from 1, at which a row with these signals leaves.
    pub fn exit(&self, signals: &[Signal]) -> usize {
        let layers = signals.len();
        (1..=layers).find(|&exit| self.fires(&signals[..exit], layers)).unwrap_or(layers)
    }

    /// Refuses a threshold that no number of such a model can reach, and an exit that it does not have.
    ///
    /// # Errors
    /// [`Error::NeverFires`], with the bound that the threshold must keep; [`Error::Setting`].
    pub fn check(&self, space: ExitSpace) -> Result<()> {
        if self.gate.reads() == Reads::Depth {
            let layers = space.layers;
            if self.threshold <= layers as f32 {
                return Ok(());
            }
            let reason = format!("{self}: the model has the exits 1 to {layers}");
            return Err(Error::Setting { reason });
        }
        let scale = self.gate.scale(space);
        if scale.can_fire(self.threshold) { Ok(()) } else { Err(self.never_fires(scale)) }
    }

    /// The error that it cannot fire on this scale of typed thresholds.
    pub(crate) fn never_fires(&self, scale: Scale) -> Error {
        Error::NeverFires {
            gate: self.gate.name(),
            threshold: self.threshold,
            rule: self.gate.rule(),
            bound: scale.bound(),
        }
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
