//! `ee-eval ideal`.

use clap::Args;

use super::groups::{OptionalReport, Traces};
use crate::error::Result;
use crate::exits::ideal;
use crate::output::claim;

/// `ee-eval ideal`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    traces: Traces,
    #[command(flatten)]
    report: OptionalReport,
}

pub(super) fn run(flags: &Flags) -> Result<()> {
    let summaries = ideal::summaries(&flags.traces.trace)?;
    for notice in ideal::notices(&summaries) {
        ee_files::note!("notice: {notice}");
    }
    ee_files::show!("{}", ideal::table(&summaries).plain());
    if let Some(folder) = &flags.report.output {
        let _lock = claim(folder, "a report of ee-eval ideal")?;
        ee_files::say!("\n{}", ideal::write(summaries, folder)?.display());
    }
    Ok(())
}
