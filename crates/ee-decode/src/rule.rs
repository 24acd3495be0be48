//! When a token leaves, as typed: `none`, `ideal`, `fixed:D`, a gate on signals (`confidence:0.9`) or on
//! states (`cosine:0.98`), the latter two optionally with a threshold that decays with the position
//! ([`super::decay`]).

use std::fmt;
use std::str::FromStr;

use super::decay::{Position, decayed, decaying};
use super::states::{STATE_GATES, StateGate};
use crate::error::{Error, Result};
use crate::gates::{Comparison, ExitSpace, GATES, Gate, Scale, SetGate};

/// What is typed after a threshold for it to decay.
pub const DECAY: &str = "@decay";

/// The rules that are no gates: as typed, and what they do.
pub const PLAIN_RULES: &[(&str, &str)] = &[
    ("none", "never leave"),
    ("ideal", "run every layer, then take the shallowest exit whose answer is the last one's"),
    ("fixed:D", "leave at exit D"),
];

/// When a token leaves.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Never.
    None,
    /// At the ideal exit, which takes the whole model to know.
    Ideal,
    /// At an exit, from 1.
    Fixed(usize),
    /// When a gate fires on the signals of the exits read so far.
    Signals(SetGate),
    /// When a gate fires on the state.
    States(&'static dyn StateGate, f32),
}

/// A rule, with or without decay.
#[derive(Debug, Clone, Copy)]
pub struct ExitRule {
    /// The rule with its threshold as typed.
    pub rule: Rule,
    /// Whether the threshold decays with the position.
    pub decays: bool,
}

impl FromStr for ExitRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (body, decays) = match text.strip_suffix(DECAY) {
            Some(body) => (body, true),
            None => (text, false),
        };
        let syntax =
            |reason: &str| Error::GateSyntax { text: text.to_owned(), reason: reason.into() };
        let (name, parameter) = body.split_once(':').unwrap_or((body, ""));
        let state_gate = STATE_GATES.iter().find(|gate| gate.name() == name);
        let rule = match name {
            "none" | "ideal" if !parameter.is_empty() => {
                return Err(syntax("it has no threshold"));
            }
            "none" => Rule::None,
            "ideal" => Rule::Ideal,
            "fixed" => match parameter.parse() {
                Ok(exit) if exit > 0 => Rule::Fixed(exit),
                _ => return Err(syntax("expected an exit from 1, e.g. `fixed:6`")),
            },
            _ => match state_gate {
                Some(&gate) => match parameter.parse::<f32>() {
                    Ok(threshold) if !threshold.is_nan() => Rule::States(gate, threshold),
                    _ => return Err(syntax("expected a threshold, e.g. `cosine:0.98`")),
                },
                None if GATES.iter().any(|gate| gate.name() == name) => {
                    Rule::Signals(body.parse()?)
                }
                None => {
                    let known = names();
                    let hint = ee_files::did_you_mean(name, known.iter().copied());
                    return Err(Error::Unknown { what: "gate", name: name.to_owned(), hint });
                }
            },
        };
        if decays && !matches!(rule, Rule::Signals(_) | Rule::States(..)) {
            return Err(syntax("only a gate's threshold can decay"));
        }
        Ok(Self { rule, decays })
    }
}

impl fmt::Display for ExitRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::None => formatter.write_str("none"),
            Rule::Ideal => formatter.write_str("ideal"),
            Rule::Fixed(exit) => write!(formatter, "fixed:{exit}"),
            Rule::Signals(gate) => gate.fmt(formatter),
            Rule::States(gate, threshold) => write!(formatter, "{}:{threshold}", gate.name()),
        }?;
        formatter.write_str(if self.decays { DECAY } else { "" })
    }
}

/// The names of all rules, gates included.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let plain = PLAIN_RULES.iter().map(|(typed, _)| typed.split(':').next().unwrap_or(typed));
    let signals = GATES.iter().map(|gate| gate.name());
    let states = STATE_GATES.iter().map(|gate| gate.name());
    plain.chain(signals).chain(states).collect()
}

/// A gate without its threshold, whatever it reads.
#[derive(Debug, Clone, Copy)]
pub enum AnyGate {
    /// Signals of the exits read so far.
    Signals(&'static dyn Gate),
    /// States.
    States(&'static dyn StateGate),
}

impl AnyGate {
    /// Every gate.
    pub fn all() -> impl Iterator<Item = Self> {
        let signals = GATES.iter().copied().map(Self::Signals);
        signals.chain(STATE_GATES.iter().copied().map(Self::States))
    }

    /// The gate called `name`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|gate| gate.name() == name)
    }

    /// The name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Signals(gate) => gate.name(),
            Self::States(gate) => gate.name(),
        }
    }

    /// The rule in one line; T is the threshold.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Signals(gate) => gate.rule(),
            Self::States(gate) => gate.rule(),
        }
    }

    /// How its numbers are compared.
    #[must_use]
    pub fn scale(self, space: ExitSpace) -> Scale {
        match self {
            Self::Signals(gate) => Scale::of(gate, space),
            Self::States(gate) => Scale { comparison: Comparison::Above, range: gate.range() },
        }
    }

    fn at(self, threshold: f32) -> Rule {
        match self {
            Self::Signals(gate) => Rule::Signals(SetGate { gate, threshold }),
            Self::States(gate) => Rule::States(gate, threshold),
        }
    }
}

/// A gate whose threshold is still to be found.
#[derive(Debug, Clone, Copy)]
pub struct OpenRule {
    /// The gate.
    pub gate: AnyGate,
    /// Whether the threshold decays with the position.
    pub decays: bool,
}

impl OpenRule {
    /// With this threshold, as typed.
    #[must_use]
    pub fn at(self, threshold: f32) -> ExitRule {
        ExitRule { rule: self.gate.at(threshold), decays: self.decays }
    }

    /// The scale of its typed thresholds.
    #[must_use]
    pub fn scale(self, space: ExitSpace) -> Scale {
        let scale = self.gate.scale(space);
        if self.decays { decaying(scale) } else { scale }
    }

    /// What a typed threshold is at a position.
    #[must_use]
    pub fn threshold(self, threshold: f32, space: ExitSpace, position: Position) -> f32 {
        if !self.decays {
            return threshold;
        }
        decayed(self.gate.scale(space), threshold, position)
    }
}

impl ExitRule {
    /// The gate with its threshold as typed; none of other rules.
    #[must_use]
    pub fn gate(&self) -> Option<(OpenRule, f32)> {
        let (gate, threshold) = match self.rule {
            Rule::None | Rule::Ideal | Rule::Fixed(_) => return None,
            Rule::Signals(SetGate { gate, threshold }) => (AnyGate::Signals(gate), threshold),
            Rule::States(gate, threshold) => (AnyGate::States(gate), threshold),
        };
        Some((OpenRule { gate, decays: self.decays }, threshold))
    }

    /// The threshold of a gate at a position; none of other rules.
    #[must_use]
    pub fn threshold(&self, space: ExitSpace, position: Position) -> Option<f32> {
        self.gate().map(|(gate, threshold)| gate.threshold(threshold, space, position))
    }

    /// Refuses an exit that is not there and a threshold that can never fire.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::NeverFires`].
    pub fn check(&self, layers: usize, space: ExitSpace) -> Result<()> {
        if let Rule::Fixed(exit) = self.rule
            && exit > layers
        {
            let reason = format!("fixed:{exit}: the model has the exits 1 to {layers}");
            return Err(Error::Setting { reason });
        }
        let Some((open, threshold)) = self.gate() else { return Ok(()) };
        let (gate, scale) = (open.gate, open.gate.scale(space));
        if scale.can_fire(open.threshold(threshold, space, Position::END)) {
            return Ok(());
        }
        Err(Error::NeverFires {
            gate: gate.name(),
            threshold,
            rule: gate.rule(),
            bound: open.scale(space).bound(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> ExitRule {
        text.parse().unwrap()
    }

    #[test]
    fn every_rule_is_printed_as_it_is_typed() {
        for name in names() {
            let parameter = match name {
                "none" | "ideal" => "",
                "fixed" | "patience" => ":2",
                _ => ":0.5",
            };
            let text = format!("{name}{parameter}");
            assert_eq!(rule(&text).to_string(), text);
            let decaying = format!("{text}@decay");
            match name {
                "none" | "ideal" | "fixed" => assert!(decaying.parse::<ExitRule>().is_err()),
                _ => assert_eq!(rule(&decaying).to_string(), decaying),
            }
        }
        for text in ["ideal:1", "fixed", "fixed:0", "cosine", "confidence", "cosin:0.5"] {
            assert!(text.parse::<ExitRule>().is_err(), "{text}");
        }
        let error = "cosin:0.5".parse::<ExitRule>().unwrap_err().to_string();
        assert!(error.contains("did you mean `cosine`?"), "{error}");
    }

    #[test]
    fn thresholds_decay_as_in_calm() {
        let space = ExitSpace { layers: 5, labels: 100 };
        let at = |text: &str, number| {
            rule(text).threshold(space, Position { number, limit: 40 }).unwrap()
        };
        assert!((at("confidence:0.8@decay", 0) - 0.82).abs() < 1e-6);
        // 0.72 + 0.1 / e
        assert!((at("confidence:0.8@decay", 10) - 0.756_788).abs() < 1e-6);
        assert_eq!(at("confidence:0.8", 10), 0.8);
        // From almost 0.9 T + 0 up to almost 0.9 T + 0.1 ln 100.
        let (first, late) = (at("entropy:1@decay", 0), at("entropy:1@decay", 39));
        assert!((first - 0.9).abs() < 1e-3 && (late - 1.35).abs() < 0.02, "{first}, {late}");
        // Three of four equal answers at the beginning, then two.
        assert!(at("patience:2@decay", 0) > 2.0 && at("patience:2@decay", 39) < 2.0);
    }

    #[test]
    fn what_can_never_fire_is_refused() {
        let space = ExitSpace { layers: 5, labels: 100 };
        for text in ["fixed:6", "confidence:1", "cosine:1", "patience:4"] {
            assert!(rule(text).check(5, space).is_err(), "{text}");
        }
        for text in ["none", "ideal", "fixed:5", "confidence:1@decay", "cosine:0.99"] {
            rule(text).check(5, space).unwrap();
        }
    }
}
