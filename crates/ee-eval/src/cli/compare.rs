//! `ee-eval compare`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::Args;
use ee_tasks::{AnyTask, GenerationTask, Task};

use super::groups::{Examples, Format, Keep, Lengths, Permission, Report, Start};
use super::values::positive;
use crate::compare::{self, Scope};
use crate::error::EvalError;
use crate::subject::DecoderSubject;
use crate::trace::Shard;

/// `ee-eval compare`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A checkpoint with the name that the report gives it; the first is what the others are compared with.
    #[arg(long, value_name = "NAME=DIR", required = true)]
    pub(crate) model: Vec<NamedModel>,
    #[command(flatten)]
    pub(crate) examples: Examples,
    /// Examples per batch of the trace [default: 32, for generated text 8].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) batch: Option<usize>,
    #[command(flatten)]
    quality: Keep,
    /// Batch sizes at which speed is measured, of generated text one [default: 1,32, for generated text 1].
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = positive)]
    pub(crate) speed_batch: Vec<usize>,
    /// Speed is measured on at most N examples at even distances [default: 256, for generated text 24].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) speed_rows: Option<usize>,
    /// Timed rounds [default: 5, for generated text 3].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) rounds: Option<usize>,
    #[command(flatten)]
    start: Start,
    #[command(flatten)]
    lengths: Lengths,
    #[command(flatten)]
    permission: Permission,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    report: Report,
}

/// A checkpoint with a name, typed `name=folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedModel {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

impl FromStr for NamedModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
                Ok(Self { name: name.to_owned(), folder: folder.into() })
            }
            _ => Err("expected NAME=DIR, e.g. plain=runs/plain".to_owned()),
        }
    }
}

/// Opens every checkpoint before the first one is run: a wrong folder is found at once.
pub(super) fn run(flags: &Flags) -> Result<()> {
    let (page, headline) = compared(flags).context("the comparison was not finished")?;
    ee_files::say!("{headline}\n{}", page.display());
    Ok(())
}

fn compared(flags: &Flags) -> crate::Result<(PathBuf, String)> {
    check_names(&flags.model)?;
    match AnyTask::read(&flags.examples.task)? {
        AnyTask::Classification(task) => labels(flags, task),
        AnyTask::Generation(task) => texts(flags, &task),
    }
}

fn labels(flags: &Flags, task: Task) -> crate::Result<(PathBuf, String)> {
    let opened = flags.model.iter().map(|model| {
        let (subject, workload) = flags.examples.open(&model.folder, &task, Shard::WHOLE)?;
        Ok((model.name.clone(), subject, workload))
    });
    let opened = opened.collect::<crate::Result<_>>()?;
    compare::labels(task, opened, &flags.scope(32, &[1, 32], 256, 5))
}

fn texts(flags: &Flags, task: &GenerationTask) -> crate::Result<(PathBuf, String)> {
    if flags.speed_batch.len() > 1 {
        let reason = "--speed-batch: expected one size for generated text".to_owned();
        return Err(EvalError::Setting { reason });
    }
    flags.examples.inputs.check_texts()?;
    let examples = &flags.examples;
    let opened = flags.model.iter().map(|model| {
        let subject =
            DecoderSubject::open(&model.folder, flags.format.weights, &examples.on.device)?;
        Ok((model.name.clone(), subject))
    });
    let opened = opened.collect::<crate::Result<Vec<_>>>()?;
    let scope = compare::texts::TextScope {
        common: flags.scope(8, &[1], 24, 3),
        data_dir: examples.source.data_dir.clone(),
        split: examples.source.split_of(task).to_owned(),
        limit: examples.few.limit,
        min_tokens: flags.start.min_tokens,
        max_new_tokens: flags.lengths.max_new_tokens,
        truncate: flags.lengths.truncate,
        allow_code_execution: flags.permission.allow_code_execution,
    };
    compare::texts::compare(task, &opened, &scope)
}

impl Flags {
    /// What was typed, else these.
    fn scope(
        &self,
        batch: usize,
        speed_batches: &[usize],
        speed_rows: usize,
        rounds: usize,
    ) -> Scope {
        Scope {
            batch: self.batch.unwrap_or(batch),
            keep: self.quality.keep,
            speed_batches: match self.speed_batch.is_empty() {
                true => speed_batches.to_vec(),
                false => self.speed_batch.clone(),
            },
            speed_rows: self.speed_rows.unwrap_or(speed_rows),
            rounds: self.rounds.unwrap_or(rounds),
            output: self.report.output.clone(),
        }
    }
}

/// Names are file names and keys: each once, letters, digits, `-`, `_` and `.`.
fn check_names(models: &[NamedModel]) -> crate::Result<()> {
    for (at, model) in models.iter().enumerate() {
        let is_plain = model
            .name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        if !is_plain
            || model.name.starts_with('.')
            || models[..at].iter().any(|other| other.name == model.name)
        {
            return Err(EvalError::ModelName { name: model.name.clone() });
        }
    }
    Ok(())
}
