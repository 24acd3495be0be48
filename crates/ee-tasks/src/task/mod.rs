//! A task: what is asked of which data, and how the answer is scored. One TOML file each.
//!
//! The file says which fields hold what, and which files make up each split; where those files lie
//! is the user's business (`--data-dir`), so one task file serves every user. Two kinds: a
//! classification names one of a few labels, a generation answers in words. They share files and
//! splits; [`AnyTask`] reads either.

mod classification;
mod generation;
mod splits;
mod template;

use std::path::Path;

pub use classification::{Example, Split, Task};
pub use generation::{GenerationTask, TextExample, TextSplit};

use crate::config::{ConfigError, Document, Section};
use crate::error::Error;
use ee_files::did_you_mean;

/// A task of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyTask {
    /// One of a few labels.
    Classification(Task),
    /// An answer in words.
    Generation(GenerationTask),
}

/// The kinds as task files write them; a file that states none is a classification.
const KINDS: [&str; 2] = ["classification", "generation"];

impl AnyTask {
    /// Reads a task file of either kind and checks it whole.
    ///
    /// # Errors
    /// [`Error::Config`] with every fault of the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (document, folder) = (Document::read(path)?, folder_of(path));
        Ok(Self::from_document(document, folder)?)
    }

    /// Takes a task from a document; a `data_dir` in it is relative to `folder`.
    ///
    /// # Errors
    /// Every fault of the document; of an unknown kind that alone.
    pub fn from_document(document: Document, folder: &Path) -> Result<Self, ConfigError> {
        match kind_of(&document).as_str() {
            "classification" => Task::from_document(document, folder).map(Self::Classification),
            "generation" => GenerationTask::from_document(document, folder).map(Self::Generation),
            other => {
                let hint = did_you_mean(other, KINDS);
                Err(document.refuse("kind", format!("unknown value `{other}`{hint}")))
            }
        }
    }

    /// Short name, as in `cola`.
    pub fn name(&self) -> &str {
        match self {
            Self::Classification(task) => &task.name,
            Self::Generation(task) => &task.name,
        }
    }

    /// Names of the splits, in alphabetical order.
    pub fn split_names(&self) -> Vec<&str> {
        match self {
            Self::Classification(task) => task.split_names().collect(),
            Self::Generation(task) => task.split_names().collect(),
        }
    }

    /// The split that evaluation reads unless told otherwise.
    pub fn evaluation_split(&self) -> &str {
        match self {
            Self::Classification(task) => &task.evaluation_split,
            Self::Generation(task) => &task.evaluation_split,
        }
    }
}

/// The folder of a task file, to which its paths are relative.
fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn kind_of(document: &Document) -> String {
    document.root().or("kind", KINDS[0].to_owned())
}

/// Refuses a task of the other kind with that alone: all its other keys would be faults too.
fn expect_kind(document: Document, expected: &str) -> Result<Document, ConfigError> {
    let found = kind_of(&document);
    match found != expected && KINDS.contains(&found.as_str()) {
        true => {
            let message = format!("expected a {expected} task, found a {found} task");
            Err(document.refuse("kind", message))
        }
        false => Ok(document),
    }
}

/// There are metrics exactly where there is something to compare with.
fn check_metrics(root: &Section<'_>, metrics: &[String], gold: Result<(), &str>) {
    match gold {
        Ok(()) => root.require("metrics", !metrics.is_empty(), "expected at least one metric"),
        Err(without) => root.require("metrics", metrics.is_empty(), without),
    }
}

/// Notes what is wrong with a metric.
fn note(root: &Section<'_>, fault: Option<Error>) {
    if let Some(fault) = fault {
        root.require("metrics", false, fault.to_string());
    }
}

#[cfg(test)]
mod tests;
