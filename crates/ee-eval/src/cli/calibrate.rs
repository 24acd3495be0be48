//! What can be typed after `ee-eval calibrate`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::values::{inside, share};
use crate::certify::{self, Against, Request};
use crate::output::claim;
use crate::trace;

/// `ee-eval calibrate`.
#[derive(Debug, Args)]
pub struct Flags {
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

impl Flags {
    /// What is asked for.
    #[must_use]
    pub fn request(&self) -> Request {
        let Self { risk, confidence, against, keep, seed, .. } = *self;
        Request { risk, confidence, against, keep, seed }
    }
}

pub(super) fn run(flags: &Flags) -> Result<()> {
    let merged = trace::read_all(&flags.trace)?;
    let found = certify::calibrate(&merged.trace, &flags.request(), merged.notices)?;
    for notice in &found.notices {
        ee_files::note!("notice: {notice}");
    }
    let _lock = claim(&flags.output, "a report of ee-eval calibrate")?;
    let page = certify::write(&found, &flags.output)?;
    ee_files::say!(
        "{}\n{}\n",
        certify::table(&found).plain(),
        certify::findings(&found).join("\n")
    );
    ee_files::say!("{}", page.display());
    Ok(())
}
