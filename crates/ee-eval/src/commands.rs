//! What each subcommand does: read, compute, write, and print what a person wants to see.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ee_tasks::{AnyTask, GenerationTask, Task};
use serde::Serialize;

use crate::arguments::{
    Arguments, Bench, CalibrateArguments, Command, CompareArguments, GatesArguments,
    IdealArguments, SpeedArguments, TraceArguments,
};
use crate::bench;
use crate::calibrate::certificate::Certificate;
use crate::calibrate::{self, calibrate};
use crate::compare::{compare, open};
use crate::constant::Constant;
use crate::decode;
use crate::decoding::{self, DecoderSubject};
use crate::error::EvalError;
use crate::ideal;
use crate::interrupt::Interrupt;
use crate::output::{check_writable, claim, write_text};
use crate::pace;
use crate::recommend;
use crate::replay::{self, Replay};
use crate::report::{self, View, findings};
use crate::results::{Results, Speed, write_json};
use crate::score::Scorer;
use crate::speculate;
use crate::speed::{Timed, measure};
use crate::trace::observe::observe;
use crate::trace::tokens::{TokenWork, output_of, trace_tokens};
use crate::trace::{self, Shard, Trace, TraceFacts};
use crate::words::count;

/// Does what was typed.
///
/// # Errors
/// The first thing that went wrong, with what was being done.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Trace(arguments) => run_trace(arguments),
        Command::Generate(arguments) => Ok(decoding::generate::run(arguments)?),
        Command::Decode(arguments) => Ok(decode::run(arguments)?),
        Command::Speculate(arguments) => Ok(speculate::run(arguments)?),
        Command::Ideal(arguments) => run_ideal(arguments),
        Command::Gates(arguments) => run_gates(arguments),
        Command::Calibrate(arguments) => run_calibrate(arguments),
        Command::Speed(arguments) => run_speed(arguments),
        Command::Compare(arguments) => run_compare(arguments),
        Command::Recommend(arguments) => Ok(recommend::run(arguments)?),
        Command::Bench(arguments) => {
            let line = match &arguments.what {
                Bench::EncoderTrace(arguments) => bench::encoder_trace(arguments)?,
                Bench::DecoderTrace(arguments) => bench::decoder_trace(arguments)?,
                Bench::Decode(arguments) => bench::decode(arguments)?,
                Bench::Exits(arguments) => bench::exits(arguments)?,
                Bench::Speculate(arguments) => bench::speculate(arguments)?,
                Bench::Promise(arguments) => bench::promise(arguments)?,
            };
            ee_files::say!("{line}");
            Ok(())
        }
    }
}

fn run_trace(arguments: &TraceArguments) -> Result<()> {
    let n_folders = arguments.data_dir.len();
    if n_folders > 1 && n_folders != arguments.task.len() {
        let n_tasks = arguments.task.len();
        let reason = format!(
            "expected --data-dir once, or once for each of the {n_tasks} tasks, found {n_folders}"
        );
        return Err(EvalError::Setting { reason }.into());
    }
    let tasks: Vec<AnyTask> =
        arguments.task.iter().map(|path| AnyTask::read(path)).collect::<Result<_, _>>()?;
    if !arguments.label_order.is_empty() && !matches!(*tasks, [AnyTask::Classification(_)]) {
        let reason =
            "--label-order is said of a classification, found a task of generated text".to_owned();
        return Err(EvalError::Setting { reason }.into());
    }
    match tasks.as_slice() {
        [AnyTask::Classification(task)] => trace_labels(arguments, task),
        [AnyTask::Generation(task)] => {
            let subject = open_decoder(arguments)?;
            let output = arguments.output.clone();
            trace_texts(arguments, &subject, &Interrupt::listen()?, 0, task, output.clone())?;
            // What went into a device or a pipe cannot be read again.
            if ee_files::is_stream(&output)? { Ok(()) } else { print_ideal(&[output]) }
        }
        several => {
            let subject = open_decoder(arguments)?;
            let interrupt = Interrupt::listen()?;
            let mut traces = Vec::new();
            for (index, task) in several.iter().enumerate() {
                let AnyTask::Generation(task) = task else {
                    let reason = format!(
                        "several tasks in one call must all be of generated text; `{}` is a classification",
                        task.name()
                    );
                    return Err(EvalError::Setting { reason }.into());
                };
                let output = output_of(&arguments.output, &task.name, arguments.shard);
                trace_texts(arguments, &subject, &interrupt, index, task, output.clone())?;
                traces.push(output);
            }
            print_ideal(&traces)
        }
    }
}

fn open_decoder(arguments: &TraceArguments) -> Result<DecoderSubject> {
    Ok(DecoderSubject::open(&arguments.model, arguments.weights, &arguments.device)?)
}

fn trace_texts(
    arguments: &TraceArguments,
    subject: &DecoderSubject,
    interrupt: &Interrupt,
    index: usize,
    task: &GenerationTask,
    output: PathBuf,
) -> Result<()> {
    check_output(&output)?;
    let work = TokenWork {
        task,
        data_dir: arguments.data_dir(index),
        split: arguments.split.as_deref(),
        limit: arguments.limit,
        shard: arguments.shard,
        batch: arguments.batch.unwrap_or(8),
        max_new_tokens: arguments.max_new_tokens,
        teacher_forced: arguments.teacher_forced,
        truncate: arguments.truncate,
        allow_code_execution: arguments.allow_code_execution,
        output: &output,
    };
    let trace = trace_tokens(subject, &work, interrupt)?;
    summarise(&trace, &output, "token")?;
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
        return Err(EvalError::Setting { reason }.into());
    }
    Ok(())
}

fn trace_labels(arguments: &TraceArguments, task: &Task) -> Result<()> {
    let examples = arguments.examples(0);
    let (subject, workload) = open(&arguments.model, task, &examples, arguments.shard)?;
    check_output(&arguments.output)?;
    let batch = arguments.batch.unwrap_or(32);
    let trace = observe(&subject, &workload, batch, arguments.shard)?;
    trace::write(&trace, &arguments.output)?;
    summarise(&trace, &arguments.output, "example")?;
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

fn run_ideal(arguments: &IdealArguments) -> Result<()> {
    let summaries = ideal::summaries(&arguments.trace)?;
    for notice in ideal::notices(&summaries) {
        ee_files::note!("notice: {notice}");
    }
    ee_files::show!("{}", ideal::table(&summaries).plain());
    if let Some(folder) = &arguments.output {
        let _lock = claim(folder, "a report of ee-eval ideal")?;
        ee_files::say!("\n{}", ideal::write(summaries, folder)?.display());
    }
    Ok(())
}

fn run_gates(arguments: &GatesArguments) -> Result<()> {
    let merged = trace::read_all(&arguments.trace)?;
    if merged.trace.facts.generation.is_some() {
        if !arguments.certificate.is_empty() {
            let reason =
                "--certificate: of generated text `ee-eval decode` takes it, which runs the model"
                    .to_owned();
            return Err(EvalError::Setting { reason }.into());
        }
        return replay_gates(&merged.trace, arguments, merged.notices);
    }
    let mut results = Results::of_trace(&merged.trace, arguments.keep, merged.notices)?;
    for path in &arguments.certificate {
        results.certified.push(Certificate::read(path)?.check(path, &merged.trace)?);
    }
    for notice in &results.notices {
        ee_files::note!("notice: {notice}");
    }
    let name = name_of(&results.trace);
    let view = View {
        title: format!("Early exits of {name} on {}", results.trace.task),
        models: vec![(&name, &results)],
        paired: vec![],
    };
    let _lock = claim(&arguments.output, "a report of ee-eval gates")?;
    write_json(&arguments.output.join("results.json"), &results)?;
    let page = report::write(&view, &arguments.output)?;
    ee_files::show!(
        "{}\n{}",
        report::tables::headline(&view).plain(),
        report::tables::gates(&view).plain()
    );
    ee_files::say!("\n{}\n\n{}", findings::sentences(&view).join("\n"), page.display());
    Ok(())
}

/// The same of tokens, whose gates agree with the full model or do not.
fn replay_gates(trace: &Trace, arguments: &GatesArguments, notices: Vec<String>) -> Result<()> {
    let found = Replay::of_trace(trace, arguments.keep, notices)?;
    for notice in &found.notices {
        ee_files::note!("notice: {notice}");
    }
    let _lock = claim(&arguments.output, "a report of ee-eval gates")?;
    let page = found.write(&arguments.output)?;
    ee_files::show!("{}\n{}\n", replay::table(&found).plain(), found.findings.join("\n"));
    ee_files::say!("\n{}", page.display());
    Ok(())
}

fn run_calibrate(arguments: &CalibrateArguments) -> Result<()> {
    let merged = trace::read_all(&arguments.trace)?;
    let found = calibrate(&merged.trace, &arguments.request(), merged.notices)?;
    for notice in &found.notices {
        ee_files::note!("notice: {notice}");
    }
    let _lock = claim(&arguments.output, "a report of ee-eval calibrate")?;
    let page = calibrate::write(&found, &arguments.output)?;
    ee_files::say!(
        "{}\n{}\n",
        calibrate::table(&found).plain(),
        calibrate::findings(&found).join("\n")
    );
    ee_files::say!("{}", page.display());
    Ok(())
}

/// What `ee-eval speed` stores.
#[derive(Debug, Serialize)]
struct SpeedResults {
    layers: usize,
    constant: Constant,
    speed: Vec<Speed>,
    trace: TraceFacts,
}

fn run_speed(arguments: &SpeedArguments) -> Result<()> {
    let task = Task::read(&arguments.examples.task)?;
    let (subject, workload) = open(&arguments.model, &task, &arguments.examples, Shard::WHOLE)?;
    let mut gates = arguments.gate.clone();
    for path in &arguments.certificate {
        let certificate = Certificate::read(path)?;
        let rule = certificate.rule(path, subject.checksum(), Some(&task.name))?;
        certificate.check_length(path, arguments.examples.max_length)?;
        gates.push(Timed::Gate(rule));
    }
    for gate in &gates {
        if let Timed::Gate(gate) = gate {
            gate.check(subject.space())?;
        }
    }
    let kind = "a report of ee-eval speed";
    let _lock = arguments.output.as_ref().map(|folder| claim(folder, kind)).transpose()?;
    let trace = if arguments.trace.is_empty() {
        observe(&subject, &workload, 32, Shard::WHOLE)?
    } else {
        workload.rows_of(trace::read_all(&arguments.trace)?.trace, subject.checksum())?
    };
    let mut speed = Vec::new();
    for &batch in &arguments.batch {
        speed.extend(measure(&subject, &workload, &trace, &gates, batch, arguments.rounds)?);
    }
    for run in &speed {
        warn_of(run, &trace.facts);
    }
    for notice in pace::notices(&speed) {
        ee_files::note!("notice: {notice}");
    }
    let constant = Constant::of_trace(&trace, &Scorer::of_trace(&trace)?);
    let name = name_of(&trace.facts);
    let models = [(name.as_str(), speed.as_slice())].into_iter();
    let table = report::tables::speed(models, &trace.facts, &constant);
    ee_files::show!("{}", table.plain());
    ee_files::say!("\n{} rows of {} {}", trace.rows(), trace.facts.task, trace.facts.split);
    if let Some(folder) = &arguments.output {
        write_text(&folder.join("speed.csv"), &table.csv())?;
        let path = folder.join("results.json");
        let layers = trace.layers();
        write_json(&path, &SpeedResults { layers, constant, speed, trace: trace.facts })?;
        ee_files::say!("\n{}", path.display());
    }
    Ok(())
}

/// Says what a reader of the table might overlook.
fn warn_of(run: &Speed, facts: &TraceFacts) {
    if run.gate != "ideal" && run.average_exit >= facts.layers as f64 {
        ee_files::note!(
            "notice: {} never fired on {} of the trace",
            run.gate,
            count(run.rows, "row")
        );
    }
    if run.differing_rows > 0 {
        ee_files::note!(
            "notice: with {} at batch {}, {} of {} left or answered otherwise than the trace predicts; \
             their signals lie within rounding of a threshold or of a tie",
            run.gate,
            run.batch,
            run.differing_rows,
            count(run.rows, "row")
        );
    }
}

fn run_compare(arguments: &CompareArguments) -> Result<()> {
    let (page, headline) = compare(arguments).context("the comparison was not finished")?;
    ee_files::say!("{headline}\n{}", page.display());
    Ok(())
}

/// A checkpoint's folder name.
fn name_of(facts: &TraceFacts) -> String {
    facts.model_name(1)
}
