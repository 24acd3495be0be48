//! What the command line asks to continue.

use std::path::Path;

use ee_tasks::{GenerationTask, TextExample};

use super::Room;
use crate::cli::TextArguments;
use crate::error::{EvalError, Result};
use crate::subject::DecoderSubject;

/// New tokens where neither the command line nor a task says how many.
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
    /// Whether prompts that are too long are cut.
    pub(crate) truncate: bool,
}

impl Request {
    /// The prompts of the command line and its file, or those of its task.
    ///
    /// # Errors
    /// A file or a task that cannot be read.
    pub(crate) fn read(arguments: &TextArguments) -> Result<Self> {
        let mut task = arguments.task.as_deref().map(GenerationTask::read).transpose()?;
        if let Some(task) = &mut task {
            // A text that was ended there is scored up to there.
            task.stop.extend_from_slice(&arguments.stop);
        }
        let (split, examples) = match &task {
            Some(task) => {
                let split = arguments.split.as_ref().unwrap_or(&task.evaluation_split);
                let read =
                    task.read_split(split, arguments.data_dir.as_deref(), arguments.limit)?;
                (split.clone(), read.examples)
            }
            None => (String::new(), typed(&arguments.prompt, arguments.prompts.as_deref())?),
        };
        let of_task = task.as_ref().map(|task| task.max_new_tokens);
        Ok(Self {
            split,
            examples: examples.into_iter().enumerate().collect(),
            stop: task.as_ref().map_or_else(|| arguments.stop.clone(), |task| task.stop.clone()),
            max_new_tokens: arguments.max_new_tokens.or(of_task).unwrap_or(DEFAULT_NEW_TOKENS),
            truncate: arguments.truncate,
            task,
        })
    }

    /// The ids of the prompt at a place.
    ///
    /// # Errors
    /// A prompt that the tokenizer cannot spell or that does not fit the model.
    pub(crate) fn ids(&self, subject: &DecoderSubject, place: usize) -> Result<Vec<u32>> {
        let (number, ref example) = self.examples[place];
        let room = Room {
            positions: subject.max_positions(),
            new_tokens: self.max_new_tokens,
            truncate: self.truncate,
        };
        Ok(room.fit(number, subject.encode(&example.prompt, self.truncate)?)?.ids)
    }
}

/// Prompts without references.
fn typed(prompts: &[String], file: Option<&Path>) -> Result<Vec<TextExample>> {
    let mut prompts = prompts.to_vec();
    if let Some(path) = file {
        let text = ee_tasks::text::read(path)?;
        prompts.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        if prompts.is_empty() {
            let what = format!("{}: there is no prompt in it", path.display());
            return Err(EvalError::Empty { what });
        }
    }
    let example = |(line, prompt)| TextExample {
        prompt,
        response: String::new(),
        references: Vec::new(),
        line,
    };
    Ok(prompts.into_iter().enumerate().map(example).collect())
}
