//! What each subcommand does: read, compute, write, and print what a person wants to see.

use std::path::Path;

use anyhow::{Context, Result};
use ee_tasks::Task;
use serde::Serialize;

use crate::arguments::{
    Arguments, Bench, Command, CompareArguments, GatesArguments, SpeedArguments, TraceArguments,
};
use crate::bench;
use crate::compare::{compare, open};
use crate::output::{check_writable, write_text};
use crate::report::{self, View};
use crate::results::{Results, Speed, write_json};
use crate::speed::{Timed, measure};
use crate::trace::observe::observe;
use crate::trace::{self, Shard, TraceFacts};

/// Does what was typed.
///
/// # Errors
/// The first thing that went wrong, with what was being done.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Trace(arguments) => run_trace(arguments),
        Command::Gates(arguments) => run_gates(arguments),
        Command::Speed(arguments) => run_speed(arguments),
        Command::Compare(arguments) => run_compare(arguments),
        Command::Bench(arguments) => {
            let line = match &arguments.what {
                Bench::EncoderTrace(arguments) => bench::encoder_trace(arguments)?,
                Bench::DecoderTrace(arguments) => bench::decoder_trace(arguments)?,
                Bench::Decode(arguments) => bench::decode(arguments)?,
            };
            println!("{line}");
            Ok(())
        }
    }
}

fn run_trace(arguments: &TraceArguments) -> Result<()> {
    let task = Task::read(&arguments.examples.task)?;
    let (subject, workload) = open(&arguments.model, &task, &arguments.examples, arguments.shard)?;
    check_writable(&arguments.output)?;
    let trace = observe(&subject, &workload, arguments.batch, arguments.shard, arguments.seed)?;
    trace::write(&trace, &arguments.output)?;
    println!(
        "{}: {} rows, {} exits, {:.1} s, {:.1} examples/s",
        arguments.output.display(),
        trace.rows(),
        trace.layers(),
        trace.facts.seconds,
        trace.rows() as f64 / trace.facts.seconds
    );
    Ok(())
}

fn run_gates(arguments: &GatesArguments) -> Result<()> {
    let merged = trace::read_all(&arguments.trace)?;
    for notice in &merged.notices {
        eprintln!("notice: {notice}");
    }
    let results = Results::of_trace(&merged.trace, arguments.keep, merged.notices)?;
    let name = name_of(&results.trace);
    let view = View {
        title: format!("Early exits of {name} on {}", results.trace.task),
        models: vec![(&name, &results)],
    };
    write_json(&arguments.output.join("results.json"), &results)?;
    let page = report::write(&view, &arguments.output)?;
    print!("{}\n{}", report::tables::headline(&view).plain(), report::tables::gates(&view).plain());
    println!("\n{}", page.display());
    Ok(())
}

/// What `ee-eval speed` stores.
#[derive(Debug, Serialize)]
struct SpeedResults {
    layers: usize,
    speed: Vec<Speed>,
    trace: TraceFacts,
}

fn run_speed(arguments: &SpeedArguments) -> Result<()> {
    let task = Task::read(&arguments.examples.task)?;
    let (subject, workload) = open(&arguments.model, &task, &arguments.examples, Shard::WHOLE)?;
    for gate in &arguments.gate {
        if let Timed::Gate(gate) = gate {
            gate.check(subject.space())?;
        }
    }
    let trace = if arguments.trace.is_empty() {
        observe(&subject, &workload, 32, Shard::WHOLE, 0)?
    } else {
        workload.rows_of(trace::read_all(&arguments.trace)?.trace, subject.checksum())?
    };
    let mut speed = Vec::new();
    for &batch in &arguments.batch {
        speed.extend(measure(
            &subject,
            &workload,
            &trace,
            &arguments.gate,
            batch,
            arguments.rounds,
        )?);
    }
    for run in &speed {
        warn_of(run, &trace.facts);
    }
    let table =
        report::tables::speed([(name_of(&trace.facts).as_str(), speed.as_slice())].into_iter());
    print!("{}", table.plain());
    if let Some(folder) = &arguments.output {
        write_text(&folder.join("speed.csv"), &table.csv())?;
        let path = folder.join("results.json");
        write_json(&path, &SpeedResults { layers: trace.layers(), speed, trace: trace.facts })?;
        println!("\n{}", path.display());
    }
    Ok(())
}

/// Says what a reader of the table might overlook.
fn warn_of(run: &Speed, facts: &TraceFacts) {
    if run.gate != "ideal" && run.average_exit >= facts.layers as f64 {
        eprintln!("notice: {} never fired on these {} rows", run.gate, run.rows);
    }
    if run.differing_rows > 0 {
        eprintln!(
            "notice: with {} at batch {}, {} of {} rows left or answered otherwise than the trace predicts; \
             their signals lie within rounding of a threshold or of a tie",
            run.gate, run.batch, run.differing_rows, run.rows
        );
    }
}

fn run_compare(arguments: &CompareArguments) -> Result<()> {
    let (page, headline) = compare(arguments).context("the comparison was not finished")?;
    println!("{headline}\n{}", page.display());
    Ok(())
}

/// A checkpoint's folder name.
fn name_of(facts: &TraceFacts) -> String {
    let name = Path::new(&facts.model).file_name();
    name.map_or_else(|| facts.model.clone(), |name| name.to_string_lossy().into_owned())
}
