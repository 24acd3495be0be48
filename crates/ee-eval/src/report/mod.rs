//! Reports: pure functions of results, so that every number in them can be recomputed from
//! `results.json`.

pub mod findings;
mod html;
mod markdown;
mod paper;
pub mod plot;
pub mod plots;
pub mod table;
pub mod tables;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::output::write_text;
use crate::results::Results;

/// One or more models on one task.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// What the report is called.
    pub title: String,
    /// The models by name, the one to compare with first; at least one.
    pub models: Vec<(&'a str, &'a Results)>,
}

impl View<'_> {
    /// The model that the others are compared with.
    #[must_use]
    pub fn first(&self) -> &Results {
        self.models[0].1
    }

    /// The task's name.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.first().trace.task
    }

    /// The exits of the deepest model.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.models.iter().map(|(_, results)| results.layers).max().unwrap_or(1)
    }

    /// What readers should know of any of the models.
    fn notices(&self) -> Vec<String> {
        let several = self.models.len() > 1;
        let of_model = |name: &str, notice: &String| {
            if several { format!("{name}: {notice}") } else { notice.clone() }
        };
        self.models
            .iter()
            .flat_map(|(name, results)| {
                results.notices.iter().map(move |notice| of_model(name, notice))
            })
            .collect()
    }
}

/// Writes `report.html`, `report.md`, the tables as CSV and the plots as SVG into `folder`.
/// Returns the path of `report.html`.
///
/// # Errors
/// [`crate::EvalError::Io`] naming the file.
pub fn write(view: &View<'_>, folder: &Path) -> Result<PathBuf> {
    let (tables, plots) = (tables::all(view), plots::all(view));
    for table in &tables {
        write_text(&folder.join(format!("{}.csv", table.file)), &table.csv())?;
    }
    write_text(&folder.join("curves.csv"), &tables::curves(view).csv())?;
    for plot in &plots {
        write_text(&folder.join(format!("plots/{}.svg", plot.file)), &plot.svg)?;
    }
    write_text(&folder.join("report.md"), &markdown::page(view, &tables, &plots))?;
    let page = folder.join("report.html");
    write_text(&page, &html::page(view, &tables, &plots))?;
    Ok(page)
}

/// What was run, in one line.
fn provenance(results: &Results) -> String {
    let facts = &results.trace;
    let sha: String = facts.checkpoint_sha256.chars().take(12).collect();
    let metrics =
        facts.metrics.iter().map(|metric| metric.signature.as_str()).collect::<Vec<_>>().join("; ");
    format!(
        "{} ({}, SHA-256 {sha}…), {} rows of {} {}, traced on {} at batch {} in {:.1} s with ee-eval {}; metrics: {metrics}.",
        facts.model,
        facts.architecture,
        results.n,
        facts.task,
        facts.split,
        facts.device,
        facts.batch,
        facts.seconds,
        facts.version,
    )
}
