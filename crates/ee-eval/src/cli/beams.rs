//! Flags of beam search.

use clap::Args;
use ee_decode::beam::{RULES, RuleChoice};

use super::values::{listed, positive};
use crate::decoding::Beams;

#[derive(Debug, Clone, Args)]
pub(crate) struct BeamArguments {
    /// Search with N beams rather than take the most probable token; 1 is greedy.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) beam: Option<usize>,
    #[arg(long, value_name = "RULE", requires = "beam", help = rules())]
    pub(crate) beam_rule: Option<RuleChoice>,
    /// Scores are sums of log-probabilities divided by the length to the power of P [default: 1].
    #[arg(long, value_name = "P", requires = "beam", allow_negative_numbers = true)]
    pub(crate) length_penalty: Option<f64>,
    /// Go on until X times as many hypotheses as beams have ended [default: 1].
    #[arg(long, value_name = "X", requires = "beam")]
    pub(crate) patience: Option<f64>,
    /// No text ends before it has N new tokens [default: 0].
    #[arg(long, value_name = "N", requires = "beam")]
    pub(crate) min_new_tokens: Option<usize>,
}

fn rules() -> String {
    let list = listed("The published rule", RULES.iter().map(|rule| (rule.name(), rule.rule())));
    format!("{list} [default: {}]", RULES[0].name())
}

impl BeamArguments {
    /// How beams are searched, where they are.
    pub(crate) fn beams(&self) -> Option<Beams> {
        Some(Beams {
            size: self.beam?,
            n_best: 1,
            rule: self.beam_rule.unwrap_or_default(),
            length_penalty: self.length_penalty.unwrap_or(1.0),
            patience: self.patience.unwrap_or(1.0),
            min_new_tokens: self.min_new_tokens.unwrap_or(0),
        })
    }
}
