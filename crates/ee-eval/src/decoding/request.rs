//! Which texts are continued, and how far.

use std::path::Path;

use ee_tasks::{GenerationTask, TextExample};

use crate::error::{EvalError, Result};
use crate::subject::DecoderSubject;

/// New tokens where neither a person nor a task says how many.
const DEFAULT_NEW_TOKENS: usize = 128;

/// Texts to continue, and how far.
pub(crate) struct Request {
    pub(crate) task: Option<GenerationTask>,
    /// The task's split; empty without a task.
    pub(crate) split: String,
    /// With their numbers in the split.
    pub(crate) examples: Vec<(usize, TextExample)>,
    /// Texts at which to end, the task's first.
    pub(crate) stop: Vec<String>,
    pub(crate) max_new_tokens: usize,
    truncate: bool,
}

/// How far texts go on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) max_new_tokens: Option<usize>,
    /// Texts at which to end, beside the task's.
    pub(crate) stop: Vec<String>,
    pub(crate) truncate: bool,
}

impl Request {
    /// Some examples of a split, with their numbers in it.
    pub(crate) fn of_examples(
        mut task: GenerationTask,
        split: &str,
        examples: Vec<(usize, TextExample)>,
        limits: Limits,
    ) -> Self {
        // A text that was ended there is scored up to there.
        task.stop.extend_from_slice(&limits.stop);
        Self {
            split: split.to_owned(),
            examples,
            stop: task.stop.clone(),
            max_new_tokens: limits.max_new_tokens.unwrap_or(task.max_new_tokens),
            truncate: limits.truncate,
            task: Some(task),
        }
    }

    /// The first examples of a task's split, by default its own for evaluation.
    pub(crate) fn of_task(
        path: &Path,
        (data_dir, split, limit): (Option<&Path>, Option<&str>, Option<usize>),
        limits: Limits,
    ) -> Result<Self> {
        let task = GenerationTask::read(path)?;
        let split = split.unwrap_or(&task.evaluation_split).to_owned();
        let read = task.read_split(&split, data_dir, limit)?;
        if let Some(notice) = read.notice() {
            ee_files::note!("notice: {notice}");
        }
        let examples = read.examples;
        Ok(Self::of_examples(task, &split, examples.into_iter().enumerate().collect(), limits))
    }

    /// Prompts without references: typed ones, then the lines of a file.
    pub(crate) fn of_prompts(
        mut prompts: Vec<String>,
        file: Option<&Path>,
        limits: Limits,
    ) -> Result<Self> {
        if let Some(path) = file {
            let text = ee_tasks::text::read(path)?;
            prompts.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
            if prompts.is_empty() {
                let what = format!("{}: there is no prompt in it", path.display());
                return Err(EvalError::Empty { what });
            }
        }
        let example = |(line, prompt)| {
            (line, TextExample { prompt, response: String::new(), references: Vec::new(), line })
        };
        Ok(Self {
            task: None,
            split: String::new(),
            examples: prompts.into_iter().enumerate().map(example).collect(),
            stop: limits.stop,
            max_new_tokens: limits.max_new_tokens.unwrap_or(DEFAULT_NEW_TOKENS),
            truncate: limits.truncate,
        })
    }

    /// The ids of the prompt at a place.
    pub(crate) fn ids(&self, subject: &DecoderSubject, place: usize) -> Result<Vec<u32>> {
        let (number, ref example) = self.examples[place];
        let text = (number, &*example.prompt);
        Ok(subject.prompt(text, self.max_new_tokens, self.truncate)?.ids)
    }
}
