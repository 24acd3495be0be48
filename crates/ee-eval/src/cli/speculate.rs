//! What can be typed after `ee-eval speculate`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use ee_decode::speculate::{Plan, Strategy};

use super::GenerateArguments;
use super::values::positive;
use crate::speculate::Drafts;

/// `ee-eval speculate`.
#[derive(Debug, Args)]
pub struct SpeculateArguments {
    /// What to continue, and how.
    #[command(flatten)]
    pub generate: GenerateArguments,
    /// How to draft.
    #[command(flatten)]
    pub draft: DraftArguments,
    /// Texts per batch.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub batch: usize,
    /// Timed rounds of both ways.
    #[arg(long, value_name = "N", default_value = "3", value_parser = positive)]
    pub rounds: usize,
    /// A folder for results.json, the table as CSV and the texts.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// How a speculating decoder drafts.
#[derive(Debug, Clone, Copy, Args)]
#[command(group = ArgGroup::new("how").required(true).args(["draft_exit", "adaptive"]))]
pub struct DraftArguments {
    /// The exit that drafts, before the last.
    #[arg(long, value_name = "E", value_parser = positive, requires = "draft_length")]
    pub draft_exit: Option<usize>,
    /// Tokens that it drafts in a round.
    #[arg(long, value_name = "D", value_parser = positive, requires = "draft_exit")]
    pub draft_length: Option<usize>,
    /// Choose exit and length while decoding, by measured agreement and times.
    #[arg(long, conflicts_with = "draft_length")]
    pub adaptive: bool,
}

impl DraftArguments {
    /// How to draft.
    #[must_use]
    pub fn drafts(self) -> Drafts {
        match (self.draft_exit, self.draft_length) {
            (Some(exit), Some(drafts)) => Drafts::Fixed(Plan { exit, drafts }),
            _ => Drafts::Adaptive,
        }
    }

    /// The strategy for a model of so many layers.
    #[must_use]
    pub fn strategy(self, n_layers: usize) -> Strategy {
        self.drafts().strategy(n_layers)
    }
}

impl std::fmt::Display for DraftArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.drafts().fmt(formatter)
    }
}
