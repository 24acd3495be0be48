//! What can be typed after `ee-eval calibrate`.

use std::path::PathBuf;

use clap::Args;

use super::share;
use crate::calibrate::{Against, Request};

/// `ee-eval calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArguments {
    /// One trace, or all shards of one; of labels or of generated text.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub trace: Vec<PathBuf>,
    /// The highest risk that a threshold may have: the mean loss per example, above 0 and below 1.
    #[arg(long, value_name = "RISK", default_value = "0.05", value_parser = inside)]
    pub risk: f64,
    /// How probable it must be that it has no more, above 0 and below 1.
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = inside)]
    pub confidence: f64,
    /// What the loss of an example is counted against.
    #[arg(long, value_name = "WHAT", default_value = "full")]
    pub against: Against,
    /// The share of the full score that the rule beside it keeps.
    #[arg(long, value_name = "SHARE", default_value = "0.98", value_parser = share)]
    pub keep: f64,
    /// Which half of the examples decides.
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,
    /// The folder to write results and reports to.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

impl CalibrateArguments {
    /// What is asked for.
    #[must_use]
    pub fn request(&self) -> Request {
        let Self { risk, confidence, against, keep, seed, .. } = *self;
        Request { risk, confidence, against, keep, seed }
    }
}

/// A number between 0 and 1.
pub(super) fn inside(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number < 1.0 => Ok(number),
        _ => Err("expected a number above 0 and below 1, e.g. 0.05".to_owned()),
    }
}
