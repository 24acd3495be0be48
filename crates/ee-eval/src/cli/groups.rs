//! Groups of flags that several verbs have, each declared once.

use std::path::{Path, PathBuf};

use clap::Args;
use ee_files::FolderLock;
use ee_models::ExitModel;
use ee_models::checkpoint::Precision;
use ee_tasks::{GenerationTask, Task};

use super::values::{inside, positive, share, weights};
use crate::error::{EvalError, Result};
use crate::observe::workload::{Selection, Workload};
use crate::output;
use crate::subject::{DecoderSubject, Subject};
use crate::trace::Shard;
use crate::words::count;

#[derive(Debug, Clone, Args)]
pub(super) struct Device {
    /// The device: cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub(super) device: String,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Format {
    /// Of a decoder, the format of the weights in memory: stored, f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "stored", value_parser = weights)]
    pub(super) weights: Precision,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Checkpoint {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Decoder {
    #[command(flatten)]
    pub(super) of: Checkpoint,
    #[command(flatten)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) on: Device,
}

impl Decoder {
    pub(super) fn open(&self) -> Result<DecoderSubject> {
        DecoderSubject::open(&self.of.model, self.format.weights, &self.on.device)
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct Split {
    /// The split; by default the task's own for evaluation.
    #[arg(long, value_name = "NAME", requires = "task")]
    pub(super) split: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Source {
    /// Where the task's files lie; by default what the task file says.
    #[arg(long, value_name = "DIR", requires = "task")]
    pub(super) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) split: Split,
}

impl Source {
    /// The split of a task, by name.
    pub(super) fn split_of<'a>(&'a self, task: &'a GenerationTask) -> &'a str {
        self.split.split.as_deref().unwrap_or(&task.evaluation_split)
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct Limit {
    /// Only the first N examples.
    #[arg(long, value_name = "N", value_parser = positive, requires = "task")]
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Inputs {
    /// Classification: inputs are cut to N tokens, special tokens included.
    #[arg(long, value_name = "N", default_value = "128", value_parser = positive)]
    pub(super) max_length: usize,
    /// Classification: the task's labels in the order of the head's outputs, for a checkpoint whose labels
    /// have no names, or other ones than the task's.
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',')]
    pub(super) label_order: Vec<String>,
}

impl Inputs {
    /// What is stated about the head's order.
    pub(super) fn label_order(&self) -> Option<&[String]> {
        (!self.label_order.is_empty()).then_some(self.label_order.as_slice())
    }

    /// Refuses an order of labels where text is generated.
    pub(super) fn check_texts(&self) -> Result<()> {
        if self.label_order.is_empty() {
            return Ok(());
        }
        let reason =
            "--label-order is said of a classification, found a task of generated text".to_owned();
        Err(EvalError::Setting { reason })
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct Lengths {
    /// Generated text: new tokens per text [default: the task's, else 128].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(super) max_new_tokens: Option<usize>,
    /// Generated text: cut prompts that do not fit the model (their beginning goes).
    #[arg(long)]
    pub(super) truncate: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Permission {
    /// Generated text: run programs that the model wrote, each walled in, to score them.
    #[arg(long, requires = "task")]
    pub(super) allow_code_execution: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Start {
    /// Generated text: the first N new tokens never leave; without an encoder the first one never does, as all layers
    /// read the prompt.
    #[arg(long, value_name = "N", default_value = "4")]
    pub(super) min_tokens: usize,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Keep {
    /// The share of the full model's score to keep; of generated text the share of its tokens.
    #[arg(long, value_name = "SHARE", default_value = "0.98", value_parser = share)]
    pub(super) keep: f64,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Confidence {
    /// How probable it must be that what is promised holds, above 0 and below 1.
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = inside)]
    pub(super) confidence: f64,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Halving {
    /// Which half of the examples decides.
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) seed: u64,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Rounds {
    /// Timed rounds, each of plain decoding and every other way in turn.
    #[arg(long, value_name = "N", default_value = "3", value_parser = positive)]
    pub(super) rounds: usize,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Batch {
    /// Texts per batch.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub(super) batch: usize,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Certificates {
    /// A `certificate.json` of `ee-eval calibrate` for these very weights and this task, whose rule is run as it was
    /// certified; repeatable.
    #[arg(long, value_name = "FILE")]
    pub(super) certificate: Vec<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Traces {
    /// Traces of labels or of generated text; shards of one run are merged.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(super) trace: Vec<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Report {
    /// The folder to write results, tables and reports to.
    #[arg(long, value_name = "DIR")]
    pub(super) output: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(super) struct OptionalReport {
    /// A folder for results.json, tables as CSV and what else is written: a trace, texts, a report.
    #[arg(long, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,
}

impl OptionalReport {
    /// Takes the folder, where there is one, for a report of this kind.
    pub(super) fn claim(&self, kind: &'static str) -> Result<Option<FolderLock>> {
        self.output.as_ref().map(|folder| output::claim(folder, kind)).transpose()
    }
}

/// Which examples, on which device.
#[derive(Debug, Args)]
pub(crate) struct Examples {
    /// The task's TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) task: PathBuf,
    #[command(flatten)]
    pub(super) source: Source,
    #[command(flatten)]
    pub(super) few: Limit,
    #[command(flatten)]
    pub(super) inputs: Inputs,
    #[command(flatten)]
    pub(super) on: Device,
}

impl Examples {
    /// A checkpoint and the examples that it is asked about.
    pub(crate) fn open(
        &self,
        folder: &Path,
        task: &Task,
        shard: Shard,
    ) -> Result<(Subject, Workload)> {
        let mut subject = Subject::open(folder, &self.on.device)?;
        if let Some(notice) = subject.answer_in(task, self.inputs.label_order())? {
            ee_files::note!("notice: {}: {notice}", folder.display());
        }
        let tokenizer = subject.tokenizer(self.inputs.max_length)?;
        let selection = Selection {
            data_dir: self.source.data_dir.as_deref(),
            split: self.source.split.split.as_deref(),
            limit: self.few.limit,
            shard,
        };
        let workload = Workload::read(task, &selection, &tokenizer)?;
        let layers = subject.model().n_layers();
        ee_files::note!(
            "{} on {}, {} of {}",
            count(layers, "layer"),
            subject.device(),
            count(workload.rows(), "example"),
            workload.split
        );
        Ok((subject, workload))
    }
}
