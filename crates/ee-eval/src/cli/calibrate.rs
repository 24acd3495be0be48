//! What can be typed after `ee-eval calibrate`.

use clap::Args;

use super::groups::{Confidence, Halving, Keep, Report, Traces};
use super::values::inside;
use crate::certify::{self, Against, Request};
use crate::error::Result;
use crate::output::claim;
use crate::trace;

/// `ee-eval calibrate`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    traces: Traces,
    /// The highest risk that a threshold may have: the mean loss per example, above 0 and below 1.
    #[arg(long, value_name = "RISK", default_value = "0.05", value_parser = inside)]
    pub(crate) risk: f64,
    #[command(flatten)]
    promise: Confidence,
    /// What the loss of an example is counted against.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Against::Full)]
    pub(crate) against: Against,
    #[command(flatten)]
    quality: Keep,
    #[command(flatten)]
    halving: Halving,
    #[command(flatten)]
    report: Report,
}

impl Flags {
    fn request(&self) -> Request {
        Request {
            risk: self.risk,
            confidence: self.promise.confidence,
            against: self.against,
            keep: self.quality.keep,
            seed: self.halving.seed,
        }
    }
}

pub(super) fn run(flags: &Flags) -> Result<()> {
    let merged = trace::read_all(&flags.traces.trace)?;
    let found = certify::calibrate(&merged.trace, &flags.request(), merged.notices)?;
    for notice in &found.notices {
        ee_files::note!("notice: {notice}");
    }
    let _lock = claim(&flags.report.output, "a report of ee-eval calibrate")?;
    let page = certify::write(&found, &flags.report.output)?;
    ee_files::say!(
        "{}\n{}\n",
        certify::table(&found).plain(),
        certify::findings(&found).join("\n")
    );
    ee_files::say!("{}", page.display());
    Ok(())
}
