//! What is written: `results.json`, `ideal.csv`, and the report as a page and as Markdown.

use std::path::{Path, PathBuf};

use ee_files::write_text;
use serde::{Deserialize, Serialize};

use super::{Summary, plots, tables};
use crate::error::Result;
use crate::output::write_json;
use crate::report::{Page, provenance};

/// What `ee-eval ideal` stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IdealResults {
    /// One per model and task.
    pub(crate) summaries: Vec<Summary>,
}

/// Writes everything into `folder`; returns the path of `report.html`.
pub(crate) fn write(summaries: Vec<Summary>, folder: &Path) -> Result<PathBuf> {
    let page = page(&summaries);
    write_text(&folder.join("ideal.csv"), &tables::columns(&summaries).csv())?;
    write_json(&folder.join("results.json"), &IdealResults { summaries })?;
    page.write(folder)
}

/// What readers should know about any of the traces.
pub(crate) fn notices(summaries: &[Summary]) -> Vec<String> {
    let of_summary = |summary: &Summary, notice: &String| {
        if summaries.len() > 1 { format!("{}: {notice}", name(summary)) } else { notice.clone() }
    };
    summaries
        .iter()
        .flat_map(|summary| summary.notices.iter().map(move |notice| of_summary(summary, notice)))
        .collect()
}

fn name(summary: &Summary) -> String {
    format!("{} on {}", summary.model, summary.setting())
}

fn page(summaries: &[Summary]) -> Page {
    let sources = summaries.iter().map(|summary| (name(summary), provenance(&summary.trace)));
    Page {
        title: "Ideal exits".into(),
        findings: vec![],
        notices: notices(summaries),
        tables: vec![
            tables::table(summaries),
            tables::details(summaries),
            tables::all_scores(summaries),
        ],
        plots: plots::all(summaries),
        sources: sources.collect(),
    }
}
