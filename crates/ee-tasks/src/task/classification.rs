//! Tasks that name one of a few labels.
//!
//! The file says which columns hold the text or the pair of texts and the label, and how labels
//! are written in it: by name, by index, or as `label_values` states.

use std::path::Path;

use super::splits::{Files, Splits, check_any, check_limit};
use super::{check_metrics, expect_kind, folder_of, note};
use crate::config::{ConfigError, Document, Section};
use crate::error::Error;
use crate::metrics::{self, Metric};
use crate::table::{self, FORMATS, Format, Layout, Row};
use ee_files::did_you_mean;

/// One question with its gold answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The first, often only, text.
    pub text: String,
    /// The second text of a pair task.
    pub pair: Option<String>,
    /// Index into [`Task::labels`]; none in a split without labels, and there of no example.
    pub label: Option<usize>,
}

/// The examples of a split, in the order of its files, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The split's name in the task file.
    pub name: String,
    /// Never empty.
    pub examples: Vec<Example>,
    /// Rows left out because their label says that there is none (`skip_unlabelled`), while others have one.
    pub skipped_unlabelled: usize,
    /// Lines left out because they have too few fields (`skip_short_lines`).
    pub skipped_short: usize,
}

impl Split {
    /// Whether its examples have labels.
    pub fn has_labels(&self) -> bool {
        self.examples.iter().all(|example| example.label.is_some())
    }

    /// What was left out, in words.
    pub fn notices(&self) -> Vec<String> {
        let Self { name, skipped_unlabelled, skipped_short, .. } = self;
        let said = |n: usize, what: &str, which: &str| {
            let (plural, were) = if n == 1 { ("", "was") } else { ("s", "were") };
            (n > 0).then(|| format!("{n} {what}{plural} {which} of split `{name}` {were} left out"))
        };
        let unlabelled = said(*skipped_unlabelled, "row", "without a label");
        unlabelled.into_iter().chain(said(*skipped_short, "line", "with too few fields")).collect()
    }

    /// The label of every example.
    ///
    /// # Errors
    /// A split without labels.
    pub fn labels(&self) -> Result<Vec<usize>, Error> {
        let labels = self.examples.iter().map(|example| example.label).collect::<Option<_>>();
        labels.ok_or_else(|| {
            Error::Request(format!("split `{}` has no labels, expected one per row", self.name))
        })
    }
}

/// A classification task as its TOML file states it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Short name, as in `cola`.
    pub name: String,
    /// Label names; an example's label is an index into them.
    pub labels: Vec<String>,
    /// How each label is written in the files; without it a label's name or index.
    pub label_values: Option<Vec<String>>,
    /// One or two columns of text.
    pub text: Vec<String>,
    /// The column of the gold label; a task without one has questions and no answers.
    pub label: Option<String>,
    /// Names of metrics; the first one leads. None without labels.
    pub metrics: Vec<String>,
    /// The split that evaluation reads unless told otherwise.
    pub evaluation_split: String,
    splits: Splits,
    layout: Layout,
    skip_unlabelled: bool,
}

impl Task {
    /// Reads a task file and checks it whole.
    ///
    /// # Errors
    /// [`Error::Config`] with every fault of the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self::from_document(Document::read(path)?, folder_of(path))?)
    }

    /// Takes a task from a document; a `data_dir` in it is relative to `folder`.
    ///
    /// # Errors
    /// Every fault of the document; of a generation task that alone.
    pub fn from_document(document: Document, folder: &Path) -> Result<Self, ConfigError> {
        let document = expect_kind(document, "classification")?;
        let root = document.root();
        root.choice("kind", &[("classification", ())], ());
        let evaluation_split = root.or("evaluation_split", "dev".to_owned());
        let task = Self {
            name: root.required("name"),
            labels: root.required("labels"),
            label_values: root.optional("label_values"),
            text: root.required("text"),
            label: root.optional("label"),
            metrics: match root.has("label") {
                true => root.required("metrics"),
                false => root.or("metrics", Vec::new()),
            },
            splits: Splits::from_root(&root, folder, false, &evaluation_split),
            evaluation_split,
            layout: Layout {
                format: root.choice("format", FORMATS, Format::Tsv),
                header: root.or("header", true),
                skip_short_lines: root.or("skip_short_lines", false),
            },
            skip_unlabelled: root.or("skip_unlabelled", false),
        };
        task.check(&root);
        document.finish()?;
        Ok(task)
    }

    /// Notes values of the right type that are still impossible.
    fn check(&self, root: &Section<'_>) {
        let n_labels = self.labels.len();
        let message = format!("expected two or more label names, found {n_labels}");
        root.require("labels", n_labels >= 2, message);
        root.require("labels", distinct(&self.labels), "a label name occurs twice");
        if let Some(values) = &self.label_values {
            let message =
                format!("expected one value per label ({n_labels}), found {}", values.len());
            root.require("label_values", values.len() == n_labels, message);
            root.require("label_values", distinct(values), "a value occurs twice");
        }
        let n_texts = self.text.len();
        let message = format!("expected one or two columns, found {n_texts}");
        root.require("text", (1..=2).contains(&n_texts), message);
        let without = "metrics compare with labels, expected a column `label` beside them";
        check_metrics(root, &self.metrics, root.has("label").then_some(()).ok_or(without));
        for name in &self.metrics {
            note(root, metrics::by_name(name, n_labels.max(2)).err());
        }
    }

    /// Number of labels.
    pub fn n_labels(&self) -> usize {
        self.labels.len()
    }

    /// The task's metrics; the first one leads.
    pub fn build_metrics(&self) -> Vec<Box<dyn Metric>> {
        let build = |name: &String| {
            metrics::by_name(name, self.n_labels()).expect("checked when the task was read")
        };
        self.metrics.iter().map(build).collect()
    }

    /// Names of the splits, in alphabetical order.
    pub fn split_names(&self) -> impl Iterator<Item = &str> {
        self.splits.names()
    }

    /// Reads a split from `data_dir`, or from the data folder that the task file states.
    /// With a limit, only its first examples.
    ///
    /// # Errors
    /// An unknown split, a limit of 0, no data folder, whatever is wrong with a file, and a label
    /// that is none of the known ones.
    pub fn read_split(
        &self,
        name: &str,
        data_dir: Option<&Path>,
        limit: Option<usize>,
    ) -> Result<Split, Error> {
        check_limit(limit)?;
        let (source, data_dir) = self.splits.open(&self.name, name, data_dir)?;
        let mut split = Split {
            name: name.to_owned(),
            examples: Vec::new(),
            skipped_unlabelled: 0,
            skipped_short: 0,
        };
        let Files::Joined(files) = &source.files else {
            unreachable!("a classification has no parallel files")
        };
        let label = self.label.as_deref().filter(|_| source.labelled);
        let mut first_without = None;
        for file in files {
            self.read_file(&data_dir.join(file), label, &mut split, &mut first_without)?;
        }
        self.settle_unlabelled(&mut split, first_without)?;
        split.examples = source.part.cut(split.examples);
        split.examples.truncate(limit.unwrap_or(usize::MAX));
        check_any(&self.name, name, &split.examples)?;
        Ok(split)
    }

    /// Rows without a label are left out, or a fault, unless there are no others: then the split has no
    /// labels, as the test sets of benchmarks.
    fn settle_unlabelled(&self, split: &mut Split, first: Option<Error>) -> Result<(), Error> {
        let n_without = split.examples.iter().filter(|example| example.label.is_none()).count();
        if n_without == split.examples.len() {
            return Ok(());
        }
        if let (Some(first), false) = (first, self.skip_unlabelled) {
            return Err(first);
        }
        split.examples.retain(|example| example.label.is_some());
        split.skipped_unlabelled = n_without;
        Ok(())
    }

    fn read_file(
        &self,
        path: &Path,
        label: Option<&str>,
        split: &mut Split,
        first_without: &mut Option<Error>,
    ) -> Result<(), Error> {
        let texts = self.text.iter().map(String::as_str);
        let columns: Vec<&str> = texts.chain(label).collect();
        let rows = table::read(path, self.layout, &columns)?;
        split.skipped_short += rows.short_lines;
        for Row { line, mut cells } in rows.rows {
            let label = match label {
                None => None,
                Some(column) => {
                    let cell = cells.pop().flatten().unwrap_or_default();
                    let label = self.label_index(&cell);
                    if label.is_none() {
                        let unknown = self.unknown_label(path, line, column, &cell);
                        match says_none(&cell) {
                            true => drop(first_without.get_or_insert(unknown)),
                            false => return Err(unknown),
                        }
                    }
                    label
                }
            };
            split.examples.push(self.example(path, line, cells, label)?);
        }
        Ok(())
    }

    fn unknown_label(&self, path: &Path, line: usize, column: &str, found: &str) -> Error {
        let known = self.label_values.as_ref().unwrap_or(&self.labels);
        let hint = did_you_mean(found, known.iter().map(String::as_str));
        let remedy = match says_none(found) {
            true => "; `skip_unlabelled = true` leaves rows without a label out",
            false => "",
        };
        let message = format!("column `{column}`: unknown label `{found}`{hint}{remedy}");
        Error::line(path, line, message)
    }

    fn example(
        &self,
        path: &Path,
        line: usize,
        cells: Vec<Option<String>>,
        label: Option<usize>,
    ) -> Result<Example, Error> {
        let mut texts = cells.into_iter().zip(&self.text).map(|(cell, column)| {
            cell.ok_or_else(|| {
                let message = format!("column `{column}`: expected text, found a null or NaN");
                Error::line(path, line, message)
            })
        });
        let text = texts.next().expect("a task has at least one column of text")?;
        Ok(Example { text, pair: texts.next().transpose()?, label })
    }

    fn label_index(&self, written: &str) -> Option<usize> {
        if let Some(values) = &self.label_values {
            return values.iter().position(|value| value == written);
        }
        let by_name = self.labels.iter().position(|name| name == written);
        // Where a column has gaps, tables hold its whole numbers as 0.0, 1.0, ….
        let index = || written.strip_suffix(".0").unwrap_or(written).parse().ok();
        by_name.or_else(|| index().filter(|index| *index < self.labels.len()))
    }
}

/// Whether a cell says that a row has no label: −1 as the hub has it, `-` as SNLI, a gap as tables.
fn says_none(label: &str) -> bool {
    let label = label.trim();
    let words = ["", "-", "-1", "-1.0"];
    words.contains(&label) || ["nan", "null", "none", "n/a"].contains(&&*label.to_lowercase())
}

fn distinct(names: &[String]) -> bool {
    names.iter().enumerate().all(|(index, name)| !names[..index].contains(name))
}

#[cfg(test)]
mod tests;
