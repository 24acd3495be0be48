//! `ee-eval recommend`: which way of decoding to use for a model and a task, measured, or none.

use std::path::{Path, PathBuf};

use clap::Args;
use ee_tasks::{AnyTask, GenerationTask};

use super::groups::{
    Confidence, Decoder, Halving, Keep, Lengths, OptionalReport, Permission, Rounds, Source, Start,
};
use super::values::positive;
use crate::advise::{self, Wanted};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::observe::tokens::{TokenWork, trace_tokens};
use crate::output;
use crate::subject::DecoderSubject;
use crate::trace::{self, Shard, Trace};

/// Examples per batch of the trace.
const TRACE_BATCH: usize = 8;

/// `ee-eval recommend`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    decoder: Decoder,
    /// A task of generated text.
    #[arg(long, value_name = "FILE")]
    pub(crate) task: PathBuf,
    #[command(flatten)]
    source: Source,
    /// The model's trace of this task, or all its shards; by default one is made of the first examples.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) trace: Vec<PathBuf>,
    /// Trace the first N examples: one half chooses settings, the other tries them. To tell whether 98 % of the
    /// quality is kept takes about 200 texts that are not timed even where nothing is lost.
    #[arg(long, value_name = "N", default_value = "600", value_parser = positive, conflicts_with = "trace")]
    pub(crate) limit: usize,
    #[command(flatten)]
    quality: Keep,
    #[command(flatten)]
    promise: Confidence,
    #[command(flatten)]
    start: Start,
    #[command(flatten)]
    lengths: Lengths,
    /// Try at most N settings live.
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive)]
    pub(crate) tries: usize,
    /// Time them on at most N examples of the other half, at even distances; quality is judged on all others.
    #[arg(long, value_name = "N", default_value = "24", value_parser = positive)]
    pub(crate) live_rows: usize,
    #[command(flatten)]
    timed: Rounds,
    #[command(flatten)]
    halving: Halving,
    #[command(flatten)]
    permission: Permission,
    #[command(flatten)]
    report: OptionalReport,
}

impl Flags {
    fn settings(&self, task: &GenerationTask, trace: &Trace) -> Wanted {
        let of_trace = trace.facts.generation.as_ref().map(|facts| facts.max_new_tokens);
        let max_new_tokens =
            self.lengths.max_new_tokens.or(of_trace).unwrap_or(task.max_new_tokens);
        Wanted {
            data_dir: self.source.data_dir.clone(),
            split: self.source.split_of(task).to_owned(),
            words: self.words(task, max_new_tokens),
            keep: self.quality.keep,
            confidence: self.promise.confidence,
            min_tokens: self.start.min_tokens,
            max_new_tokens,
            tries: self.tries,
            live_rows: self.live_rows,
            rounds: self.timed.rounds,
            seed: self.halving.seed,
            truncate: self.lengths.truncate,
            allow_code_execution: self.permission.allow_code_execution,
        }
    }

    /// The command that decodes in the same way.
    fn words(&self, task: &GenerationTask, max_new_tokens: usize) -> String {
        let mut words =
            format!("--model {} --task {}", self.decoder.of.model.display(), self.task.display());
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push_str(&format!(" --{name} {value}"));
            }
        };
        add("data-dir", self.source.data_dir.as_ref().map(|path| path.display().to_string()));
        add("split", self.source.split.split.clone());
        // Thresholds that decay depend on it, and a given trace may have another number than the task.
        let is_other = max_new_tokens != task.max_new_tokens;
        add("max-new-tokens", is_other.then(|| max_new_tokens.to_string()));
        words
    }
}

/// Traces, predicts, tries, decides; prints the answer and writes what was asked for.
pub(super) fn run(flags: &Flags) -> Result<()> {
    let AnyTask::Generation(task) = AnyTask::read(&flags.task)? else {
        let reason =
            "expected a task of generated text; for labels `ee-eval compare` measures every gate"
                .to_owned();
        return Err(EvalError::Setting { reason });
    };
    let kind = "a report of ee-eval recommend";
    let _lock = flags.report.claim(kind)?;
    let subject = flags.decoder.open()?;
    let interrupt = Interrupt::listen()?;
    let trace = traced(flags, &task, &subject, &interrupt)?;
    let found =
        advise::recommend(&flags.settings(&task, &trace), &task, &subject, &trace, &interrupt)?;
    for notice in &found.notices {
        ee_files::note!("notice: {notice}");
    }
    ee_files::say!("{}\n{}", advise::table(&found).plain(), advise::answer(&found));
    if let Some(folder) = &flags.report.output {
        ee_files::say!("\n{}", advise::write(&found, folder)?.display());
    }
    Ok(())
}

/// The trace that was given, or a new one.
fn traced(
    flags: &Flags,
    task: &GenerationTask,
    subject: &DecoderSubject,
    interrupt: &Interrupt,
) -> Result<Trace> {
    let split = flags.source.split_of(task);
    if !flags.trace.is_empty() {
        let trace = trace::read_all(&flags.trace)?.trace;
        trace.facts.check_origin(subject.checksum(), &task.name, split)?;
        return Ok(trace);
    }
    let temporary;
    let folder: &Path = match &flags.report.output {
        Some(folder) => folder,
        None => {
            temporary = output::temporary()?;
            temporary.path()
        }
    };
    let work = TokenWork {
        task,
        data_dir: flags.source.data_dir.as_deref(),
        split: Some(split),
        limit: Some(flags.limit),
        shard: Shard::WHOLE,
        batch: TRACE_BATCH,
        max_new_tokens: flags.lengths.max_new_tokens,
        teacher_forced: false,
        truncate: flags.lengths.truncate,
        allow_code_execution: flags.permission.allow_code_execution,
        output: &folder.join("trace.parquet"),
    };
    trace_tokens(subject, &work, interrupt)
}
