//! What a trace of labels says about one model or several: scores, ideal exits, every gate at its best threshold, and
//! the tables, plots and sentences on them.

mod cut;
pub(crate) mod findings;
mod paper;
mod plots;
pub(crate) mod results;
mod summary;
pub(crate) mod tables;

use std::path::{Path, PathBuf};

use ee_files::write_text;
use results::Results;

use crate::error::Result;
use crate::exits::paired::Paired;
use crate::report::{Page, provenance};
use crate::trial::speed::notices;

/// One or more models on one task.
#[derive(Debug, Clone)]
pub(crate) struct View<'a> {
    pub(crate) title: String,
    /// The models by name, the one to compare with first; at least one.
    pub(crate) models: Vec<(&'a str, &'a Results)>,
    /// Each model after the first beside it, on the same examples.
    pub(crate) paired: Vec<Paired>,
}

impl View<'_> {
    /// The model that the others are compared with.
    pub(crate) fn first(&self) -> &Results {
        self.models[0].1
    }

    pub(crate) fn task(&self) -> &str {
        &self.first().trace.task
    }

    /// The exits of the deepest model.
    pub(crate) fn layers(&self) -> usize {
        self.models.iter().map(|(_, results)| results.layers).max().unwrap_or(1)
    }

    /// What readers should know about any of the models.
    pub(crate) fn notices(&self) -> Vec<String> {
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
pub(crate) fn write(view: &View<'_>, folder: &Path) -> Result<PathBuf> {
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
