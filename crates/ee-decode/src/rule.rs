//! When a token leaves, as typed: never, at the ideal exit, or by a gate at a threshold (`confidence:0.9`), which
//! optionally decays with the position ([`super::decay`]).

use std::fmt;
use std::str::FromStr;

use crate::decay::{Position, decayed, decaying};
use crate::error::{Error, Result};
use crate::gates::{self, ExitSpace, FIXED, Gate, Reads, Scale, SetGate};

/// Typed after a threshold to make it decay.
pub const DECAY: &str = "@decay";

/// The rule by which no token leaves.
pub const NONE: &str = "none";

/// The rule that looks at the last exit's answer.
pub const IDEAL: &str = "ideal";

/// The rules that are not gates: as typed, and what they do.
pub const PLAIN_RULES: &[(&str, &str)] = &[
    (NONE, "never leave"),
    (IDEAL, "run every layer, then take the shallowest exit whose answer is the last one's"),
];

/// When a token leaves.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Never.
    None,
    /// At the ideal exit, which takes the whole model to know.
    Ideal,
    /// When a gate fires; [`FIXED`] at one exit.
    Gate(SetGate),
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
        let syntax = |reason: String| Error::GateSyntax { text: text.to_owned(), reason };
        let (name, parameter) = body.split_once(':').unwrap_or((body, ""));
        let rule = match name {
            NONE | IDEAL if !parameter.is_empty() => {
                return Err(syntax("it has no threshold".to_owned()));
            }
            NONE => Rule::None,
            IDEAL => Rule::Ideal,
            _ => {
                let gate = gates::find(name, gates::all_rules(), &[NONE, IDEAL])?;
                Rule::Gate(SetGate::typed(gate, parameter).map_err(syntax)?)
            }
        };
        let rule = Self { rule, decays };
        if decays && rule.gate().is_none() {
            return Err(syntax("only a gate's threshold can decay".to_owned()));
        }
        Ok(rule)
    }
}

impl fmt::Display for ExitRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::None => formatter.write_str(NONE),
            Rule::Ideal => formatter.write_str(IDEAL),
            Rule::Gate(gate) => gate.fmt(formatter),
        }?;
        formatter.write_str(if self.decays { DECAY } else { "" })
    }
}

/// The names of all rules, gates included.
pub fn names() -> Vec<&'static str> {
    let gates = gates::all_rules().map(|gate| gate.name());
    PLAIN_RULES.iter().map(|(name, _)| *name).chain(gates).collect()
}

/// A gate whose threshold is still to be found.
#[derive(Debug, Clone, Copy)]
pub struct OpenRule {
    /// The gate.
    pub gate: &'static dyn Gate,
    /// Whether the threshold decays with the position.
    pub decays: bool,
}

impl OpenRule {
    /// With this threshold, as typed.
    pub fn at(self, threshold: f32) -> ExitRule {
        ExitRule { rule: Rule::Gate(SetGate { gate: self.gate, threshold }), decays: self.decays }
    }

    /// The scale of its typed thresholds.
    pub fn scale(self, space: ExitSpace) -> Scale {
        let scale = self.gate.scale(space);
        if self.decays { decaying(scale) } else { scale }
    }

    /// What a typed threshold is at a position.
    pub fn threshold(self, threshold: f32, space: ExitSpace, position: Position) -> f32 {
        if !self.decays {
            return threshold;
        }
        decayed(self.gate.scale(space), threshold, position)
    }
}

impl ExitRule {
    /// Every token at one exit, from 1.
    pub fn fixed(exit: usize) -> Self {
        OpenRule { gate: FIXED, decays: false }.at(exit as f32)
    }

    /// The one exit that every token leaves at, if there is one.
    pub fn depth(&self) -> Option<usize> {
        match self.rule {
            Rule::Gate(set) if set.gate.reads() == Reads::Depth => Some(set.threshold as usize),
            _ => None,
        }
    }

    /// The gate with its threshold as typed; none for rules that look at nothing, or at the last exit.
    pub fn gate(&self) -> Option<(OpenRule, f32)> {
        match self.rule {
            Rule::Gate(SetGate { gate, threshold }) if self.depth().is_none() => {
                Some((OpenRule { gate, decays: self.decays }, threshold))
            }
            _ => None,
        }
    }

    /// Whether a gate decides by states.
    pub fn is_on_states(&self) -> bool {
        self.gate().is_some_and(|(open, _)| open.gate.is_on_states())
    }

    /// The threshold of a gate at a position; none for other rules.
    pub fn threshold(&self, space: ExitSpace, position: Position) -> Option<f32> {
        self.gate().map(|(gate, threshold)| gate.threshold(threshold, space, position))
    }

    /// Refuses an exit that is not there and a threshold that can never fire.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::NeverFires`].
    pub fn check(&self, layers: usize, space: ExitSpace) -> Result<()> {
        let Rule::Gate(set) = self.rule else { return Ok(()) };
        let Some((open, threshold)) = self.gate() else {
            return set.check(ExitSpace { layers, ..space });
        };
        let last = open.threshold(threshold, space, Position::END);
        if open.gate.scale(space).can_fire(last) {
            return Ok(());
        }
        Err(set.never_fires(open.scale(space)))
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
        for gate in gates::all() {
            for text in [gate.example(), gate.example() + DECAY] {
                assert_eq!(rule(&text).to_string(), text);
            }
        }
        for text in [NONE.to_owned(), IDEAL.to_owned(), FIXED.example()] {
            assert_eq!(rule(&text).to_string(), text);
            assert!((text + DECAY).parse::<ExitRule>().is_err());
        }
        for text in
            ["ideal:1", "fixed", "fixed:0", "fixed:6.0", "cosine", "confidence", "cosin:0.5"]
        {
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
