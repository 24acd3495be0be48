//! Ways of decoding, and what results call them: in the words of the command line.

use std::fmt;

use ee_decode::Settings;
use ee_decode::speculate::{Adaptive, Plan, Strategy};
use ee_models::Decoder;
use serde::Serialize;

use crate::error::{EvalError, Result};
use crate::words::count;

/// A way of decoding beside the plain one.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// True early exit: texts may change.
    Exits(Settings),
    /// Self-speculation, lossless: by this plan, or by plans chosen while decoding.
    Speculation(Option<Plan>),
}

impl Way {
    pub(super) fn check(&self, model: &dyn Decoder) -> Result<()> {
        let layers = model.n_layers();
        match self {
            Self::Exits(settings) => Ok(settings.check(model)?),
            Self::Speculation(plan) => strategy(*plan, layers)
                .check(layers)
                .map_err(|error| EvalError::Setting { reason: error.to_string() }),
        }
    }

    /// How tokens leave; none of speculation.
    pub(crate) fn settings(&self) -> Option<&Settings> {
        match self {
            Self::Exits(settings) => Some(settings),
            Self::Speculation(_) => None,
        }
    }
}

/// How a model of so many layers drafts, which knows nothing yet.
pub(crate) fn strategy(plan: Option<Plan>, layers: usize) -> Strategy {
    match plan {
        Some(plan) => Strategy::Fixed(plan),
        None => Strategy::Adaptive(Box::new(Adaptive::new(layers))),
    }
}

/// A plan in words.
pub(crate) fn draft_words(plan: Option<Plan>) -> String {
    plan.map_or("adaptive".to_owned(), |Plan { exit, drafts }| {
        format!("exit {exit}, {}", count(drafts, "token"))
    })
}

/// A way of decoding, as it is stored and typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum WayFacts {
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
    pub(crate) fn of(way: &Way) -> Self {
        match way {
            Way::Exits(settings) => Self::EarlyExit {
                gate: settings.rule.to_string(),
                exits: settings.exits.clone(),
                head: settings.head.to_string(),
                kv: settings.policy.name().to_owned(),
                min_tokens: settings.min_tokens,
            },
            Way::Speculation(plan) => {
                Self::Speculation { plan: plan.map(|Plan { exit, drafts }| [exit, drafts]) }
            }
        }
    }

    /// Whether texts are the full model's whatever happens.
    pub(crate) fn is_lossless(&self) -> bool {
        matches!(self, Self::Speculation { .. })
    }

    /// The gate's name without its threshold; none of speculation.
    pub(crate) fn gate_name(&self) -> Option<&str> {
        match self {
            Self::EarlyExit { gate, .. } => gate.split([':', '@']).next(),
            Self::Speculation { .. } => None,
        }
    }

    /// The K/V policy; none of speculation.
    pub(crate) fn kv(&self) -> Option<&str> {
        match self {
            Self::EarlyExit { kv, .. } => Some(kv),
            Self::Speculation { .. } => None,
        }
    }

    /// The verb that decodes in this way, and its words without what it works on.
    pub(crate) fn command(&self) -> [String; 2] {
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
