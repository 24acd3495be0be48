//! Reports: pure functions of results, so that every number in them can be recomputed from
//! `results.json`.

mod html;
mod markdown;
pub(crate) mod passage;
pub(crate) mod plot;
pub(crate) mod table;

use std::path::{Path, PathBuf};

use ee_files::write_text;

use crate::error::Result;
use crate::report::passage::Passage;
use crate::report::plot::Plot;
use crate::report::table::Table;
use crate::trace::{GenerationFacts, TraceFacts};

/// What a report shows, whatever was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    pub(crate) title: String,
    /// What the numbers say, one sentence each.
    pub(crate) findings: Vec<String>,
    /// What a reader should know, one sentence each.
    pub(crate) notices: Vec<String>,
    /// The tables; the first one leads, the others follow the plots.
    pub(crate) tables: Vec<Table>,
    pub(crate) plots: Vec<Plot>,
    /// What was run, by name.
    pub(crate) sources: Vec<(String, String)>,
}

impl Page {
    /// Writes every table as CSV into `folder`.
    pub(crate) fn write_tables(&self, folder: &Path) -> Result<()> {
        for table in &self.tables {
            write_text(&folder.join(format!("{}.csv", table.file)), &table.csv())?;
        }
        Ok(())
    }

    /// Writes `report.html`, `report.md` and the plots as SVG into `folder`; returns the path of
    /// `report.html`.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf> {
        self.write_with(folder, &[])
    }

    /// [`Page::write`] with texts coloured by exit.
    pub(crate) fn write_with(&self, folder: &Path, passages: &[Passage]) -> Result<PathBuf> {
        for plot in &self.plots {
            write_text(&folder.join(format!("plots/{}.svg", plot.file)), &plot.svg)?;
        }
        write_text(&folder.join("report.md"), &markdown::page(self, passages))?;
        let path = folder.join("report.html");
        write_text(&path, &html::page(self, passages))?;
        Ok(path)
    }
}

/// What was run, in one line.
pub(crate) fn provenance(facts: &TraceFacts) -> String {
    let sha: String = facts.checkpoint_sha256.chars().take(12).collect();
    let metrics =
        facts.metrics.iter().map(|metric| metric.signature.as_str()).collect::<Vec<_>>().join("; ");
    let generated = facts.generation.as_ref().map_or_else(String::new, |generation| {
        let GenerationFacts { weights, max_new_tokens, .. } = generation;
        format!(" (weights in {weights}, at most {max_new_tokens} new tokens each)")
    });
    format!(
        "{} ({}, SHA-256 {sha}…), {} rows of {} {}{generated}, traced on {} at batch {} in {:.1} s with ee-eval {}; metrics: {metrics}.",
        facts.model,
        facts.architecture,
        facts.rows,
        facts.task,
        facts.split,
        facts.device,
        facts.batch,
        facts.seconds,
        facts.version,
    )
}
