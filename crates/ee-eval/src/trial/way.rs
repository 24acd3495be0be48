//! Ways of decoding, and what results call them: in the words of the command line.

use std::fmt;

use ee_decode::Settings;
use ee_decode::rule::Rule;
use ee_decode::speculate::{Adaptive, Plan, Strategy};
use ee_models::Decoder;
use serde::{Serialize, Serializer};

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

    /// Whether texts are the full model's whatever happens.
    pub(crate) fn is_lossless(&self) -> bool {
        matches!(self, Self::Speculation(_))
    }

    /// Whether the model is cut off at one depth for every token.
    pub(crate) fn is_cut(&self) -> bool {
        self.settings().is_some_and(|settings| settings.rule.depth().is_some())
    }

    /// Whether tokens leave at their ideal exits, which takes the whole model to know.
    pub(crate) fn is_ideal(&self) -> bool {
        self.settings().is_some_and(|settings| matches!(settings.rule.rule, Rule::Ideal))
    }

    /// The K/V policy's name; none for speculation.
    pub(crate) fn kv(&self) -> Option<&'static str> {
        self.settings().map(|settings| settings.policy.name())
    }

    /// The verb that decodes in this way, and its words without what it works on.
    pub(crate) fn command(&self) -> [String; 2] {
        match self {
            Self::Exits(Settings { rule, policy, head, exits, min_tokens, .. }) => {
                let (kv, exits) = (policy.name(), listed(exits, ","));
                let words = format!(
                    "--gate {rule} --kv {kv} --head {head} --exits {exits} --min-tokens {min_tokens}"
                );
                ["decode".to_owned(), words]
            }
            Self::Speculation(Some(Plan { exit, drafts })) => {
                ["speculate".to_owned(), format!("--draft-exit {exit} --draft-length {drafts}")]
            }
            Self::Speculation(None) => ["speculate".to_owned(), "--adaptive".to_owned()],
        }
    }

    /// How tokens leave; none for speculation.
    pub(crate) fn settings(&self) -> Option<&Settings> {
        match self {
            Self::Exits(settings) => Some(settings),
            Self::Speculation(_) => None,
        }
    }
}

/// Exits in a row.
pub(crate) fn listed(exits: &[usize], between: &str) -> String {
    exits.iter().map(usize::to_string).collect::<Vec<_>>().join(between)
}

/// How a model of this many layers drafts; an adaptive strategy knows nothing yet.
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

/// As it is stored, in the words of the command line.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Stored<'w> {
    EarlyExit { gate: String, exits: &'w [usize], head: String, kv: &'w str, min_tokens: usize },
    Speculation { plan: Option<[usize; 2]> },
}

impl Serialize for Way {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let stored = match self {
            Self::Exits(settings) => Stored::EarlyExit {
                gate: settings.rule.to_string(),
                exits: &settings.exits,
                head: settings.head.to_string(),
                kv: settings.policy.name(),
                min_tokens: settings.min_tokens,
            },
            Self::Speculation(plan) => {
                Stored::Speculation { plan: plan.map(|Plan { exit, drafts }| [exit, drafts]) }
            }
        };
        stored.serialize(serializer)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exits(Settings { rule, policy, head, .. }) => {
                write!(formatter, "{rule} with K/V {} and head {head}", policy.name())
            }
            Self::Speculation(Some(Plan { exit, drafts })) => {
                write!(formatter, "speculation with {drafts} drafts of exit {exit}")
            }
            Self::Speculation(None) => formatter.write_str("adaptive speculation"),
        }
    }
}
