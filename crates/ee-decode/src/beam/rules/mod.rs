//! Published rules of beam search: which ends count, when a text is done, and what stays of what has ended.

mod fairseq;
mod transformers;

use std::fmt;
use std::str::FromStr;

use super::Hypothesis;
use crate::error::{Error, Result};

/// Every rule; command lines, their help and the tests walk this list.
pub const RULES: &[&dyn BeamRule] = &[
    &fairseq::Fairseq,
    &transformers::Transformers::True,
    &transformers::Transformers::False,
    &transformers::Transformers::Never,
];

/// A rule of beam search.
///
/// All of them look at the best `(1 + ends) · size` ways to go on of a text's `size` unfinished hypotheses, count an
/// end only among the first `size` of these, go on with the first `size` that do not end, and divide the sum of a
/// hypothesis by its length to the power of the penalty.
pub trait BeamRule: Sync + fmt::Debug {
    /// As typed and in files.
    fn name(&self) -> &'static str;

    /// The rule in one line.
    fn rule(&self) -> &'static str;

    /// What the last token of a text of the longest length may be; `forced` is the model's
    /// [`ee_models::Decoder::forced_end`].
    fn last_token(&self, forced: Option<u32>) -> LastToken;

    /// Whether a text may wait for more finished hypotheses than its beam has, or for fewer.
    fn has_patience(&self) -> bool {
        false
    }

    /// Adds what has just ended to a text's finished hypotheses, of which at most `most` are kept.
    fn collect(&self, finished: &mut Vec<Hypothesis>, ended: Vec<Hypothesis>, most: usize);

    /// Whether a text is done before its longest length.
    fn is_done(&self, progress: &Progress<'_>) -> bool;
}

/// What the last token of a text of the longest length may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastToken {
    /// Whatever the model says.
    Any,
    /// A token that ends texts, at its probability.
    End,
    /// This one, as if it were certain.
    Certain(u32),
}

/// How far a text is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Finished hypotheses, by falling score where the rule collects them so.
    pub finished: &'a [Hypothesis],
    /// How many are waited for.
    pub most: usize,
    /// The largest sum of an unfinished hypothesis.
    pub best_sum: f64,
    /// Tokens of an unfinished hypothesis, forced ones at its beginning included.
    pub length: usize,
    /// Those of the longest there can be.
    pub longest: usize,
    /// The exponent of the length.
    pub length_penalty: f64,
}

impl Progress<'_> {
    /// Score of a hypothesis.
    pub(super) fn score(&self, sum: f64, length: usize) -> f64 {
        score(sum, length, self.length_penalty)
    }
}

/// Σ log p ÷ length ^ penalty
pub(super) fn score(sum: f64, length: usize, length_penalty: f64) -> f64 {
    sum / (length as f64).powf(length_penalty)
}

/// The rule called `name`.
///
/// # Errors
/// [`Error::Unknown`], with the known names and the nearest.
pub fn by_name(name: &str) -> Result<&'static dyn BeamRule> {
    let found = RULES.iter().copied().find(|rule| rule.name() == name);
    found.ok_or_else(|| Error::Unknown {
        what: "rule of beam search",
        name: name.to_owned(),
        hint: ee_files::did_you_mean(name, RULES.iter().map(|rule| rule.name())),
    })
}

/// A rule as typed.
#[derive(Clone, Copy, Debug)]
pub struct RuleChoice(pub &'static dyn BeamRule);

impl Default for RuleChoice {
    fn default() -> Self {
        Self(RULES[0])
    }
}

impl FromStr for RuleChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        by_name(text).map(Self)
    }
}

impl fmt::Display for RuleChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_by_name() {
        for rule in RULES {
            assert_eq!(rule.name().parse::<RuleChoice>().unwrap().to_string(), rule.name());
        }
        let error = by_name("fairsek").unwrap_err().to_string();
        assert!(error.contains("did you mean `fairseq`?"), "{error}");
    }
}
