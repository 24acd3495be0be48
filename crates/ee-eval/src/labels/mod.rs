//! What a trace of labels says of a model, or of several: scores, ideal exits, every gate at its best threshold, and
//! the tables, plots and sentences on them.

mod cut;
pub mod findings;
mod paper;
mod plots;
pub mod results;
mod summary;
pub mod tables;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::exits::paired::Paired;
use crate::output::write_text;
use crate::report::{Page, provenance};
use crate::trial::speed::notices;
use results::Results;

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
                let timed = notices(&results.speed);
                let all = results.notices.iter().cloned().chain(timed);
                all.map(move |notice| of_model(name, &notice)).collect::<Vec<_>>()
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
    write_text(&folder.join("curves.csv"), &tables::curves(view).csv())?;
    page.write_tables(folder)?;
    page.write(folder)
}
