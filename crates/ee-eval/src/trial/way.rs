//! What results call a way of decoding, in the words of the command line.

use std::fmt;

use ee_decode::speculate::Plan;
use serde::{Deserialize, Serialize};

use crate::decode::measure::Way;
use crate::speculate::Drafts;

/// A way of decoding, as it is stored and typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WayFacts {
    /// True early exit: texts may change.
    EarlyExit {
        /// The rule with its threshold.
        gate: String,
        /// The exits before the last at which it is read.
        exits: Vec<usize>,
        /// How the head is read there.
        head: String,
        /// What becomes of keys and values of skipped layers.
        kv: String,
        /// So many new tokens never leave.
        min_tokens: usize,
    },
    /// Lossless self-speculation.
    Speculation {
        /// The exit that drafts and how many tokens; none where both are chosen while decoding.
        plan: Option<[usize; 2]>,
    },
}

impl WayFacts {
    /// What a way is.
    #[must_use]
    pub fn of(way: &Way) -> Self {
        match way {
            Way::Exits(settings) => Self::EarlyExit {
                gate: settings.rule.to_string(),
                exits: settings.exits.clone(),
                head: settings.head.to_string(),
                kv: settings.policy.name().to_owned(),
                min_tokens: settings.min_tokens,
            },
            Way::Speculation(Drafts::Fixed(Plan { exit, drafts })) => {
                Self::Speculation { plan: Some([*exit, *drafts]) }
            }
            Way::Speculation(Drafts::Adaptive) => Self::Speculation { plan: None },
        }
    }

    /// Whether texts are the full model's whatever happens.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        matches!(self, Self::Speculation { .. })
    }

    /// The gate's name without its threshold; none of speculation.
    #[must_use]
    pub fn gate_name(&self) -> Option<&str> {
        match self {
            Self::EarlyExit { gate, .. } => gate.split([':', '@']).next(),
            Self::Speculation { .. } => None,
        }
    }

    /// The K/V policy; none of speculation.
    #[must_use]
    pub fn kv(&self) -> Option<&str> {
        match self {
            Self::EarlyExit { kv, .. } => Some(kv),
            Self::Speculation { .. } => None,
        }
    }

    /// The head; none of speculation.
    #[must_use]
    pub fn head(&self) -> Option<&str> {
        match self {
            Self::EarlyExit { head, .. } => Some(head),
            Self::Speculation { .. } => None,
        }
    }

    /// The command that decodes in this way, without what it works on.
    #[must_use]
    pub fn command(&self) -> [String; 2] {
        match self {
            Self::EarlyExit { gate, exits, head, kv, min_tokens } => {
                let exits: Vec<String> = exits.iter().map(usize::to_string).collect();
                let words = format!(
                    "--gate {gate} --kv {kv} --head {head} --exits {} --min-tokens {min_tokens}",
                    exits.join(",")
                );
                ["decode".to_owned(), words]
            }
            Self::Speculation { plan: Some([exit, drafts]) } => {
                ["speculate".to_owned(), format!("--draft-exit {exit} --draft-length {drafts}")]
            }
            Self::Speculation { plan: None } => ["speculate".to_owned(), "--adaptive".to_owned()],
        }
    }
}

impl fmt::Display for WayFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EarlyExit { gate, head, kv, .. } => {
                write!(formatter, "{gate} with K/V {kv} and head {head}")
            }
            Self::Speculation { plan: Some([exit, drafts]) } => {
                write!(formatter, "speculation with {drafts} drafts of exit {exit}")
            }
            Self::Speculation { plan: None } => formatter.write_str("adaptive speculation"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Arguments, Command};

    #[test]
    fn commands_can_be_typed_and_mean_the_way() {
        let facts = WayFacts::EarlyExit {
            gate: "entropy:0.25".into(),
            exits: vec![2, 4],
            head: "pruned:64".into(),
            kv: "deferred".into(),
            min_tokens: 3,
        };
        let [verb, words] = facts.command();
        let line = format!("ee-eval {verb} --model m --prompt a {words}");
        let Command::Decode(parsed) = Arguments::parse_from(line.split(' ')).command else {
            panic!("{line}")
        };
        assert_eq!(parsed.gate[0].to_string(), "entropy:0.25");
        assert_eq!((parsed.exits, parsed.min_tokens), (vec![2, 4], 3));
        assert_eq!(
            (parsed.kv[0].0.name(), parsed.head.to_string()),
            ("deferred", "pruned:64".into())
        );
        for (plan, drafts) in
            [(None, Drafts::Adaptive), (Some([2, 5]), Drafts::Fixed(Plan { exit: 2, drafts: 5 }))]
        {
            let [verb, words] = WayFacts::Speculation { plan }.command();
            let line = format!("ee-eval {verb} --model m --prompt a {words}");
            let Command::Speculate(parsed) = Arguments::parse_from(line.split(' ')).command else {
                panic!("{line}")
            };
            assert_eq!(parsed.draft.drafts(), drafts);
        }
    }
}
