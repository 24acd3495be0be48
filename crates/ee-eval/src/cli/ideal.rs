//! `ee-eval ideal`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::exits::ideal;
use crate::output::claim;

/// `ee-eval ideal`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Traces of any models and tasks; shards of one run are merged.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub trace: Vec<PathBuf>,
    /// A folder for results, the table as CSV, and a report with plots.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

pub(super) fn run(flags: &Flags) -> Result<()> {
    let summaries = ideal::summaries(&flags.trace)?;
    for notice in ideal::notices(&summaries) {
        ee_files::note!("notice: {notice}");
    }
    ee_files::show!("{}", ideal::table(&summaries).plain());
    if let Some(folder) = &flags.output {
        let _lock = claim(folder, "a report of ee-eval ideal")?;
        ee_files::say!("\n{}", ideal::write(summaries, folder)?.display());
    }
    Ok(())
}
