//! Tasks answered in words: a prompt template, references, and how long an answer may be.
//!
//! Data are parallel text or records in any format of [`crate::table`], nested ones by dotted paths.
//! Decided: a prompt is one string, its few-shot examples included, so that anyone who reads a task's
//! output can repeat it elsewhere; the price is that the shared beginning is stored once per example.

mod recipe;

use std::path::Path;
use std::rc::Rc;

use recipe::Recipe;

use super::splits::{Files, Splits, check_any, check_limit};
use super::{check_metrics, expect_kind, folder_of, note};
use crate::config::{ConfigError, Document, Section};
use crate::error::Error;
use crate::metrics::text::{self, TextMetric};
use crate::moses::Detokenization;
use crate::table::{self, FORMATS, Format, Layout, Record};

/// Lines that a notice names.
const SHOWN: usize = 10;

/// One prompt with what should be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextExample {
    /// What the model is given, few-shot examples included; blank only for an empty line of parallel text.
    pub prompt: String,
    /// What follows the prompt in training and teacher-forced tracing: the first reference unless
    /// the task states a form of its own; empty where it has neither.
    pub response: String,
    /// What the metrics compare with; empty where the task has none.
    pub references: Vec<String>,
    /// 1-based line of its file; in Parquet the row's number. Examples from one row share it.
    pub line: usize,
}

impl TextExample {
    /// Whether there is nothing to answer: an empty line of parallel text, whose translation is the empty text.
    pub fn is_blank(&self) -> bool {
        self.prompt.trim().is_empty()
    }
}

/// The examples of a split, in the order of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextSplit {
    /// The split's name in the task file.
    pub name: String,
    /// Never empty.
    pub examples: Vec<TextExample>,
}

impl TextSplit {
    /// What is to be said of lines without a text, of which a parallel text may have some.
    pub fn notice(&self) -> Option<String> {
        let blank = self.examples.iter().filter(|example| example.is_blank());
        let lines: Vec<String> = blank.map(|example| example.line.to_string()).collect();
        let (first, rest) = (lines.iter().take(SHOWN).cloned(), lines.len().saturating_sub(SHOWN));
        let shown = first.collect::<Vec<_>>().join(", ");
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let lines = if lines.len() == 1 { "line" } else { "lines" };
        (!shown.is_empty()).then(|| {
            format!(
                "split `{}`: an empty source is translated as empty, {lines} {shown}{more}",
                self.name
            )
        })
    }
}

/// A generation task as its TOML file states it.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationTask {
    /// Short name, as in `gsm8k`.
    pub name: String,
    /// Names of metrics; the first one leads. None without references.
    pub metrics: Vec<String>,
    /// The split that evaluation reads unless told otherwise.
    pub evaluation_split: String,
    /// The longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Texts at which an answer ends; none of them belongs to it.
    pub stop: Vec<String>,
    /// How answers and references are detokenized before they are scored.
    pub detokenize: Option<Detokenization>,
    splits: Splits,
    /// `None` for parallel text.
    layout: Option<Layout>,
    recipe: Recipe,
}

impl GenerationTask {
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
    /// Every fault of the document; of a classification task that alone.
    pub fn from_document(document: Document, folder: &Path) -> Result<Self, ConfigError> {
        let document = expect_kind(document, "generation")?;
        let root = document.root();
        root.choice("kind", &[("generation", ())], ());
        let tables = FORMATS.iter().map(|(name, format)| (*name, Some(*format)));
        let formats: Vec<_> = tables.chain([("parallel", None)]).collect();
        let format = root.choice("format", &formats, Some(Format::Jsonl));
        let header = root.or("header", true);
        let layout = format.map(|format| Layout { format, header, skip_short_lines: false });
        let evaluation_split = root.or("evaluation_split", "dev".to_owned());
        let splits = Splits::from_root(&root, folder, layout.is_none(), &evaluation_split);
        let task = Self {
            name: root.required("name"),
            metrics: match root.has("references") || layout.is_none() {
                true => root.required("metrics"),
                false => root.or("metrics", Vec::new()),
            },
            max_new_tokens: root.required("max_new_tokens"),
            stop: root.or("stop", Vec::new()),
            detokenize: detokenize(&root),
            recipe: Recipe::from_root(&root, layout.is_none(), &splits),
            evaluation_split,
            splits,
            layout,
        };
        task.check(&root);
        document.finish()?;
        Ok(task)
    }

    /// Notes values of the right type that are still impossible.
    fn check(&self, root: &Section<'_>) {
        let without = "metrics compare with references, expected `references` beside them";
        let has_gold = self.recipe.has_references();
        check_metrics(root, &self.metrics, has_gold.then_some(()).ok_or(without));
        root.require("max_new_tokens", self.max_new_tokens > 0, "expected 1 or more, found 0");
        let all_stop = self.stop.iter().all(|text| !text.is_empty());
        root.require("stop", all_stop, "an empty text would end every answer at once");
        for name in &self.metrics {
            note(root, text::check_name(name).err());
        }
    }

    /// The task's metrics; the first one leads.
    ///
    /// # Errors
    /// As [`GenerationTask::build_metric`].
    pub fn build_metrics(
        &self,
        allow_code_execution: bool,
    ) -> Result<Vec<Box<dyn TextMetric>>, Error> {
        self.metrics.iter().map(|name| self.build_metric(name, allow_code_execution)).collect()
    }

    /// The metric of that name on this task's texts. Where the task detokenizes, it sees detokenized texts, unless it
    /// is one of tokens (`bleu:none`), and its signature says so.
    ///
    /// # Errors
    /// An unknown name, and a metric that runs programs where the user did not allow that
    /// (`allow_code_execution`), or where it is not safe.
    pub fn build_metric(
        &self,
        name: &str,
        allow_code_execution: bool,
    ) -> Result<Box<dyn TextMetric>, Error> {
        let metric = text::by_name(name, allow_code_execution)?;
        Ok(match &self.detokenize {
            Some(detokenize) => text::detokenized(metric, detokenize),
            None => metric,
        })
    }

    /// Whether prompts come with responses.
    pub fn has_responses(&self) -> bool {
        self.recipe.has_responses()
    }

    /// Names of the splits, in alphabetical order.
    pub fn split_names(&self) -> impl Iterator<Item = &str> {
        self.splits.names()
    }

    /// The part of a generated text that counts: what comes before the first stop text.
    pub fn answer<'t>(&self, generated: &'t str) -> &'t str {
        let ends = self.stop.iter().filter_map(|stop| generated.find(stop.as_str()));
        &generated[..ends.min().unwrap_or(generated.len())]
    }

    /// The same of the text generated for an example; an empty line of parallel text has the empty answer.
    pub fn answer_to<'t>(&self, example: &TextExample, generated: &'t str) -> &'t str {
        if example.is_blank() { "" } else { self.answer(generated) }
    }

    /// Reads a split from `data_dir`, or from the data folder that the task file states.
    /// With a limit, only its first examples. Examples shown as few-shot are not part of the split.
    ///
    /// # Errors
    /// An unknown split, a limit of 0, no data folder, whatever is wrong with a file, a field that
    /// is not there or cannot be used, and a blank prompt, except of parallel text ([`TextExample::is_blank`]).
    pub fn read_split(
        &self,
        name: &str,
        data_dir: Option<&Path>,
        limit: Option<usize>,
    ) -> Result<TextSplit, Error> {
        check_limit(limit)?;
        let mut rows = self.rows(name, data_dir)?;
        let lead = match &self.recipe.shots {
            None => self.recipe.examples.clone(),
            Some(shots) if shots.split == name => {
                let rest = rows.split_off(shots.count.min(rows.len()));
                let lead = self.lead(&rows)?;
                rows = rest;
                lead
            }
            Some(shots) => self.lead(&self.rows(&shots.split, data_dir)?)?,
        };
        let wanted = rows.iter().take(limit.unwrap_or(usize::MAX));
        let examples: Vec<TextExample> = wanted
            .map(|(path, record)| self.recipe.example(path, record, &lead, self.layout.is_none()))
            .collect::<Result<_, _>>()?;
        check_any(&self.name, name, &examples)?;
        Ok(TextSplit { name: name.to_owned(), examples })
    }

    /// The few-shot examples from the first of these rows.
    fn lead(&self, rows: &[(Rc<Path>, Record)]) -> Result<String, Error> {
        let count = self.recipe.shots.as_ref().map_or(0, |shots| shots.count);
        if rows.len() < count {
            let message = format!("expected {count} examples to show, found {}", rows.len());
            return Err(Error::Request(format!("task `{}`: {message}", self.name)));
        }
        rows[..count].iter().map(|(path, record)| self.recipe.shown(path, record)).collect()
    }

    /// The rows of a split, one per example, each with the file it is from.
    fn rows(&self, name: &str, data_dir: Option<&Path>) -> Result<Vec<(Rc<Path>, Record)>, Error> {
        let (split, data_dir) = self.splits.open(&self.name, name, data_dir)?;
        let mut rows = Vec::new();
        let mut extend = |path: &Path, records: Vec<Record>| {
            let path: Rc<Path> = path.into();
            rows.extend(records.into_iter().map(|record| (Rc::clone(&path), record)));
        };
        match &split.files {
            Files::Parallel { source, references } => {
                let source = data_dir.join(source);
                let references: Vec<_> =
                    references.iter().map(|path| data_dir.join(path)).collect();
                extend(&source, table::read_parallel(&source, &references)?);
            }
            Files::Joined(files) => {
                let layout = self.layout.expect("joined files have a layout");
                let fields = self.recipe.fields();
                for file in files {
                    let path = data_dir.join(file);
                    extend(&path, table::read_records(&path, layout, &fields)?);
                }
            }
        }
        // Cut before rows are expanded: two splits share no row, so no text of one.
        let mut expanded = Vec::new();
        for (path, record) in split.part.cut(rows) {
            let records = self.recipe.expanded(&path, record)?;
            expanded.extend(records.into_iter().map(|record| (Rc::clone(&path), record)));
        }
        Ok(expanded)
    }
}

/// `detokenize = "moses:en"`.
fn detokenize(root: &Section<'_>) -> Option<Detokenization> {
    let stated: String = root.optional("detokenize")?;
    let parsed = Detokenization::parse(&stated);
    parsed.map_err(|message| root.complain("detokenize", message)).ok()
}

#[cfg(test)]
mod tests;
