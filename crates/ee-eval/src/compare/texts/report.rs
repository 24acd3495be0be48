//! What is written of a comparison of decoders.

use std::path::{Path, PathBuf};

use super::results::{TextComparison, TextResults};
use super::{plots, tables};
use crate::error::Result;
use crate::output::write_json;
use crate::report::{Page, provenance};
use crate::words::count;
use ee_files::write_text;

/// Writes `results.json`, the tables as CSV and the page; returns the path of `report.html`.
pub(super) fn write(comparison: &TextComparison, folder: &Path) -> Result<PathBuf> {
    write_json(&folder.join("results.json"), comparison)?;
    let notices = comparison.models.iter().flat_map(|(name, results)| {
        results.notices.iter().map(move |notice| format!("{name}: {notice}"))
    });
    let page = Page {
        title: format!("Early exits while decoding {}", comparison.task),
        findings: comparison.findings.clone(),
        notices: notices.collect(),
        tables: tables::all(comparison),
        plots: plots::all(comparison),
        sources: comparison.models.iter().map(source).collect(),
    };
    write_text(&folder.join("places.csv"), &tables::places(comparison).csv())?;
    page.write_tables(folder)?;
    page.write(folder)
}

fn source((name, results): (&String, &TextResults)) -> (String, String) {
    let trials = &results.trials;
    let live = format!(
        "{} Decoded for real: {}, batch {}, {} on {}.",
        provenance(&results.summary.trace),
        count(trials.plain.outputs.len(), "text"),
        trials.batch,
        count(trials.rounds, "round"),
        trials.device,
    );
    (name.clone(), live)
}
