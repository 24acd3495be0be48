//! Reports: pure functions of results, so that every number in them can be recomputed from
//! `results.json`.

pub mod findings;
mod html;
mod markdown;
mod paper;
pub mod passage;
pub mod plot;
pub mod plots;
pub mod table;
pub mod tables;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::output::write_text;
use crate::pace;
use crate::paired::Paired;
use crate::report::passage::Passage;
use crate::report::plots::Plot;
use crate::report::table::Table;
use crate::results::Results;
use crate::trace::{GenerationFacts, TraceFacts};

/// One or more models on one task.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// What the report is called.
    pub title: String,
    /// The models by name, the one to compare with first; at least one.
    pub models: Vec<(&'a str, &'a Results)>,
    /// Each model after the first beside it, on the same examples.
    pub paired: Vec<Paired>,
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
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let several = self.models.len() > 1;
        let of_model = |name: &str, notice: &String| {
            if several { format!("{name}: {notice}") } else { notice.clone() }
        };
        self.models
            .iter()
            .flat_map(|(name, results)| {
                let timed = pace::notices(&results.speed);
                let all = results.notices.iter().cloned().chain(timed);
                all.map(move |notice| of_model(name, &notice)).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// What a report shows, whatever was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What the report is called.
    pub title: String,
    /// What the numbers say, one sentence each.
    pub findings: Vec<String>,
    /// What a reader should know, one sentence each.
    pub notices: Vec<String>,
    /// The tables; the first one leads, the others follow the plots.
    pub tables: Vec<Table>,
    /// The plots.
    pub plots: Vec<Plot>,
    /// What was run, by name.
    pub sources: Vec<(String, String)>,
}

impl Page {
    /// Writes `report.html`, `report.md` and the plots as SVG into `folder`; returns the path of
    /// `report.html`.
    ///
    /// # Errors
    /// [`crate::EvalError::Io`] naming the file.
    ///
    /// # Panics
    /// When the page has no table.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        self.write_with(folder, &[])
    }

    /// [`Page::write`] with texts coloured by exit.
    ///
    /// # Errors
    /// [`crate::EvalError::Io`] naming the file.
    ///
    /// # Panics
    /// When the page has no table.
    pub fn write_with(&self, folder: &Path, passages: &[Passage]) -> Result<PathBuf> {
        for plot in &self.plots {
            write_text(&folder.join(format!("plots/{}.svg", plot.file)), &plot.svg)?;
        }
        write_text(&folder.join("report.md"), &markdown::page(self, passages))?;
        let path = folder.join("report.html");
        write_text(&path, &html::page(self, passages))?;
        Ok(path)
    }
}

/// Writes `report.html`, `report.md`, the tables as CSV and the plots as SVG into `folder`.
/// Returns the path of `report.html`.
///
/// # Errors
/// [`crate::EvalError::Io`] naming the file.
pub fn write(view: &View<'_>, folder: &Path) -> Result<PathBuf> {
    let sources =
        view.models.iter().map(|(name, results)| ((*name).to_owned(), provenance(&results.trace)));
    let page = Page {
        title: view.title.clone(),
        findings: findings::sentences(view),
        notices: view.notices(),
        tables: tables::all(view),
        plots: plots::all(view),
        sources: sources.collect(),
    };
    for table in &page.tables {
        write_text(&folder.join(format!("{}.csv", table.file)), &table.csv())?;
    }
    write_text(&folder.join("curves.csv"), &tables::curves(view).csv())?;
    page.write(folder)
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
