//! `ee-eval recommend`: which way of decoding to use for a model and a task, measured, or none.

use std::path::{Path, PathBuf};

use clap::Args;
use ee_models::checkpoint::Precision;
use ee_tasks::{AnyTask, GenerationTask};

use super::values::{inside, positive, share, weights};
use crate::advise::{self, Wanted};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::observe::tokens::{TokenWork, trace_tokens};
use crate::output::claim;
use crate::subject::DecoderSubject;
use crate::trace::{self, Shard, Trace};

/// Examples per batch of the trace.
const TRACE_BATCH: usize = 8;

/// `ee-eval recommend`.
#[derive(Debug, Args)]
pub struct RecommendArguments {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// A task of generated text.
    #[arg(long, value_name = "FILE")]
    pub task: PathBuf,
    /// Where the task's files lie; by default what the task file says.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The split; by default the task's own for evaluation.
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// The model's trace of this task, or all its shards; by default one is made of the first examples.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub trace: Vec<PathBuf>,
    /// Trace the first N examples: one half chooses settings, the other tries them. To tell whether 98 % of the
    /// quality is kept takes about 200 texts that are not timed even where nothing is lost.
    #[arg(long, value_name = "N", default_value = "600", value_parser = positive, conflicts_with = "trace")]
    pub limit: usize,
    /// The share of the full model's quality to keep.
    #[arg(long, value_name = "SHARE", default_value = "0.98", value_parser = share)]
    pub keep: f64,
    /// How probable it must be that a recommended setting is faster and keeps this share, whichever of the settings
    /// that were thought of it is; and that all guaranteed thresholds keep this share of a text's tokens.
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = inside)]
    pub confidence: f64,
    /// The first N new tokens never leave; the first one never does.
    #[arg(long, value_name = "N", default_value = "4")]
    pub min_tokens: usize,
    /// New tokens per text; by default the task's.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub max_new_tokens: Option<usize>,
    /// Try at most N settings live.
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive)]
    pub tries: usize,
    /// Time them on at most N examples of the other half, at even distances; quality is judged on all others.
    #[arg(long, value_name = "N", default_value = "24", value_parser = positive)]
    pub live_rows: usize,
    /// Timed rounds, each of plain decoding and every setting in turn.
    #[arg(long, value_name = "N", default_value = "3", value_parser = positive)]
    pub rounds: usize,
    /// Which half of the examples chooses.
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,
    /// Cut prompts that do not fit the model (their beginning goes).
    #[arg(long)]
    pub truncate: bool,
    /// Run programs that the model wrote, each walled in, to score them.
    #[arg(long)]
    pub allow_code_execution: bool,
    /// Format of the weights in memory: stored, f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "stored", value_parser = weights)]
    pub weights: Precision,
    /// The device: cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// A folder for the trace, results.json, tables as CSV and a report.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

impl RecommendArguments {
    fn split<'a>(&'a self, task: &'a GenerationTask) -> &'a str {
        self.split.as_deref().unwrap_or(&task.evaluation_split)
    }

    fn settings(&self, task: &GenerationTask, trace: &Trace) -> Wanted {
        let of_trace = trace.facts.generation.as_ref().map(|facts| facts.max_new_tokens);
        let max_new_tokens = self.max_new_tokens.or(of_trace).unwrap_or(task.max_new_tokens);
        Wanted {
            data_dir: self.data_dir.clone(),
            split: self.split(task).to_owned(),
            words: self.words(task, max_new_tokens),
            keep: self.keep,
            confidence: self.confidence,
            min_tokens: self.min_tokens,
            max_new_tokens,
            tries: self.tries,
            live_rows: self.live_rows,
            rounds: self.rounds,
            seed: self.seed,
            truncate: self.truncate,
            allow_code_execution: self.allow_code_execution,
        }
    }

    /// What has to be typed to decode the same.
    fn words(&self, task: &GenerationTask, max_new_tokens: usize) -> String {
        let mut words = format!("--model {} --task {}", self.model.display(), self.task.display());
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push_str(&format!(" --{name} {value}"));
            }
        };
        add("data-dir", self.data_dir.as_ref().map(|path| path.display().to_string()));
        add("split", self.split.clone());
        // Thresholds that decay depend on it, and a given trace may have another number than the task.
        let is_other = max_new_tokens != task.max_new_tokens;
        add("max-new-tokens", is_other.then(|| max_new_tokens.to_string()));
        words
    }
}

/// Traces, predicts, tries, decides; prints the answer and writes what was asked for.
pub(super) fn run(flags: &RecommendArguments) -> Result<()> {
    let AnyTask::Generation(task) = AnyTask::read(&flags.task)? else {
        let reason =
            "expected a task of generated text; for labels `ee-eval compare` measures every gate"
                .to_owned();
        return Err(EvalError::Setting { reason });
    };
    let kind = "a report of ee-eval recommend";
    let _lock = flags.output.as_ref().map(|folder| claim(folder, kind)).transpose()?;
    let subject = DecoderSubject::open(&flags.model, flags.weights, &flags.device)?;
    let interrupt = Interrupt::listen()?;
    let trace = traced(flags, &task, &subject, &interrupt)?;
    let found =
        advise::recommend(&flags.settings(&task, &trace), &task, &subject, &trace, &interrupt)?;
    for notice in &found.notices {
        ee_files::note!("notice: {notice}");
    }
    ee_files::say!("{}\n{}", advise::table(&found).plain(), advise::answer(&found));
    if let Some(folder) = &flags.output {
        ee_files::say!("\n{}", advise::write(&found, folder)?.display());
    }
    Ok(())
}

/// The trace that was given, or a new one.
fn traced(
    flags: &RecommendArguments,
    task: &GenerationTask,
    subject: &DecoderSubject,
    interrupt: &Interrupt,
) -> Result<Trace> {
    let split = flags.split(task);
    if !flags.trace.is_empty() {
        let trace = trace::read_all(&flags.trace)?.trace;
        let facts = &trace.facts;
        let same = |key, found: &str, expected: &str| match found == expected {
            true => Ok(()),
            false => {
                Err(EvalError::OtherTrace { key, expected: expected.into(), found: found.into() })
            }
        };
        same("checkpoint_sha256", &facts.checkpoint_sha256, subject.checksum())?;
        same("task", &facts.task, &task.name)?;
        same("split", &facts.split, split)?;
        return Ok(trace);
    }
    let temporary;
    let folder: &Path = match &flags.output {
        Some(folder) => folder,
        None => {
            let here = std::env::temp_dir();
            temporary = tempfile::tempdir().map_err(|source| EvalError::Io {
                action: "write",
                path: here,
                source,
            })?;
            temporary.path()
        }
    };
    let work = TokenWork {
        task,
        data_dir: flags.data_dir.as_deref(),
        split: Some(split),
        limit: Some(flags.limit),
        shard: Shard::WHOLE,
        batch: TRACE_BATCH,
        max_new_tokens: flags.max_new_tokens,
        teacher_forced: false,
        truncate: flags.truncate,
        allow_code_execution: flags.allow_code_execution,
        output: &folder.join("trace.parquet"),
    };
    trace_tokens(subject, &work, interrupt)
}
