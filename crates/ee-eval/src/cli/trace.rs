//! `ee-eval trace`.

use std::path::{Path, PathBuf};

use clap::Args;
use ee_files::check_writable;
use ee_tasks::{AnyTask, GenerationTask, Task};

use super::groups::{Decoder, Examples, Inputs, Lengths, Limit, Permission, Source, Split};
use super::values::positive;
use crate::error::{EvalError, Result};
use crate::exits::ideal;
use crate::interrupt::Interrupt;
use crate::observe::observe;
use crate::observe::tokens::{TokenWork, output_of, trace_tokens};
use crate::subject::DecoderSubject;
use crate::trace::{self, Shard, Trace};
use crate::words::count;

/// `ee-eval trace`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    decoder: Decoder,
    /// The task's TOML file; repeatable for tasks of generated text.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) task: Vec<PathBuf>,
    /// Where the task's files lie; by default what the task file says. With several tasks once for all, or
    /// once for each in their order.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Vec<PathBuf>,
    #[command(flatten)]
    split: Split,
    #[command(flatten)]
    few: Limit,
    #[command(flatten)]
    inputs: Inputs,
    /// Examples per batch [default: 32, for generated text 8].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) batch: Option<usize>,
    /// Only part i of n (i from 1): example e, from 0, belongs to part e mod n + 1.
    #[arg(long, value_name = "i/n", default_value = "1/1")]
    pub(crate) shard: Shard,
    /// Generated text: give the model the gold answer rather than let it write its own.
    #[arg(long)]
    pub(crate) teacher_forced: bool,
    #[command(flatten)]
    lengths: Lengths,
    #[command(flatten)]
    permission: Permission,
    /// The Parquet file to write; with several tasks the folder.
    #[arg(long, value_name = "PATH")]
    pub(crate) output: PathBuf,
}

impl Flags {
    /// Which examples of the task at place `index`.
    fn examples(&self, index: usize) -> Examples {
        Examples {
            task: self.task[index].clone(),
            source: Source {
                data_dir: self.data_dir(index).map(Path::to_owned),
                split: self.split.clone(),
            },
            few: self.few.clone(),
            inputs: self.inputs.clone(),
            on: self.decoder.on.clone(),
        }
    }

    /// Where the files of the task at place `index` lie.
    fn data_dir(&self, index: usize) -> Option<&Path> {
        let index = if self.data_dir.len() == 1 { 0 } else { index };
        self.data_dir.get(index).map(PathBuf::as_path)
    }
}

pub(super) fn run(flags: &Flags) -> Result<()> {
    let n_folders = flags.data_dir.len();
    if n_folders > 1 && n_folders != flags.task.len() {
        let n_tasks = flags.task.len();
        let reason = format!(
            "expected --data-dir once, or once for each of the {n_tasks} tasks, found {n_folders}"
        );
        return Err(EvalError::Setting { reason });
    }
    let tasks: Vec<AnyTask> =
        flags.task.iter().map(|path| Ok(AnyTask::read(path)?)).collect::<Result<_>>()?;
    if !matches!(*tasks, [AnyTask::Classification(_)]) {
        flags.inputs.check_texts()?;
    }
    match tasks.as_slice() {
        [AnyTask::Classification(task)] => trace_labels(flags, task),
        [AnyTask::Generation(task)] => {
            let subject = flags.decoder.open()?;
            let output = &flags.output;
            trace_texts(flags, &subject, &Interrupt::listen()?, 0, task, output)?;
            // Output to a device or a pipe cannot be read again.
            match ee_files::is_stream(output)? {
                true => Ok(()),
                false => print_ideal(std::slice::from_ref(output)),
            }
        }
        several => {
            let subject = flags.decoder.open()?;
            let interrupt = Interrupt::listen()?;
            let mut traces = Vec::new();
            for (index, task) in several.iter().enumerate() {
                let AnyTask::Generation(task) = task else {
                    let reason = format!(
                        "several tasks in one call must all be of generated text; `{}` is a classification",
                        task.name()
                    );
                    return Err(EvalError::Setting { reason });
                };
                let output = output_of(&flags.output, &task.name, flags.shard);
                trace_texts(flags, &subject, &interrupt, index, task, &output)?;
                traces.push(output);
            }
            print_ideal(&traces)
        }
    }
}

fn trace_texts(
    flags: &Flags,
    subject: &DecoderSubject,
    interrupt: &Interrupt,
    index: usize,
    task: &GenerationTask,
    output: &Path,
) -> Result<()> {
    check_output(output)?;
    let work = TokenWork {
        task,
        data_dir: flags.data_dir(index),
        split: flags.split.split.as_deref(),
        limit: flags.few.limit,
        shard: flags.shard,
        batch: flags.batch.unwrap_or(8),
        max_new_tokens: flags.lengths.max_new_tokens,
        teacher_forced: flags.teacher_forced,
        truncate: flags.lengths.truncate,
        allow_code_execution: flags.permission.allow_code_execution,
        output,
    };
    let trace = trace_tokens(subject, &work, interrupt)?;
    summarise(&trace, output, "token")?;
    let truncated = trace.facts.generation.as_ref().map_or(0, |facts| facts.truncated);
    if truncated > 0 {
        let (cut, were) = (count(truncated, "prompt"), if truncated == 1 { "was" } else { "were" });
        ee_files::note!("notice: {cut} of {} {were} cut to fit the model", task.name);
    }
    Ok(())
}

/// Whether a trace can be written there, and nothing but an earlier one would be replaced.
fn check_output(output: &Path) -> Result<()> {
    check_writable(output)?;
    let has_content = output.metadata().is_ok_and(|found| found.is_file() && found.len() > 0);
    if has_content && !ee_files::is_stream(output)? && trace::read_facts(output).is_err() {
        let reason =
            format!("{} is no trace and stays as it is: choose another --output", output.display());
        return Err(EvalError::Setting { reason });
    }
    Ok(())
}

fn trace_labels(flags: &Flags, task: &Task) -> Result<()> {
    let examples = flags.examples(0);
    let (subject, workload) = examples.open(&flags.decoder.of.model, task, flags.shard)?;
    check_output(&flags.output)?;
    let batch = flags.batch.unwrap_or(32);
    let trace = observe(&subject, &workload, batch, flags.shard)?;
    trace::write(&trace, &flags.output)?;
    summarise(&trace, &flags.output, "example")?;
    Ok(())
}

/// The table that `ee-eval ideal` prints of these traces.
fn print_ideal(traces: &[PathBuf]) -> Result<()> {
    ee_files::show!("\n{}", ideal::table(&ideal::summaries(traces)?).plain());
    Ok(())
}

/// One line on a trace that was written.
fn summarise(trace: &Trace, output: &Path, row: &str) -> Result<()> {
    let line = format!(
        "{}: {}, {}, {:.1} s, {:.1} {row}s/s",
        output.display(),
        count(trace.rows(), row),
        count(trace.layers(), "exit"),
        trace.facts.seconds,
        trace.rows() as f64 / trace.facts.seconds
    );
    // The output itself may be what `/dev/stdout` leads to.
    if ee_files::is_stream(output)? {
        ee_files::note!("{line}");
    } else {
        ee_files::say!("{line}");
    }
    Ok(())
}
