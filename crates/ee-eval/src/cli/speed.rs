//! `ee-eval speed`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ee_tasks::Task;
use serde::Serialize;

use super::ExampleArguments;
use super::values::positive;
use crate::certify::certificate::Certificate;
use crate::exits::constant::Constant;
use crate::exits::score::Scorer;
use crate::labels;
use crate::observe::observe;
use crate::output::write_json;
use crate::output::{claim, write_text};
use crate::trace::{self, Shard, TraceFacts};
use crate::trial::speed::{RowRule, Speed, measure, notices};
use crate::words::count;

/// `ee-eval speed`.
#[derive(Debug, Args)]
pub struct Flags {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Which examples.
    #[command(flatten)]
    pub examples: ExampleArguments,
    /// `ideal`, `fixed:D` (every row to exit D), or a gate with its threshold: confidence:T, entropy:T, margin:T,
    /// patience:K; repeatable.
    #[arg(long, value_name = "GATE", required_unless_present = "certificate")]
    pub gate: Vec<RowRule>,
    /// What a `certificate.json` of `ee-eval calibrate` certifies for these very weights and this task; repeatable.
    #[arg(long, value_name = "FILE")]
    pub certificate: Vec<PathBuf>,
    /// Examples per batch; repeatable.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub batch: Vec<usize>,
    /// RowRule rounds, each one full and one gated run; 3 are the least that show a range.
    #[arg(long, value_name = "N", default_value = "5", value_parser = positive)]
    pub rounds: usize,
    /// The trace whose exits `ideal` takes; by default one is made first.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub trace: Vec<PathBuf>,
    /// A folder for results.json and speed.csv.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// What `ee-eval speed` stores.
#[derive(Debug, Serialize)]
struct SpeedResults {
    layers: usize,
    constant: Constant,
    speed: Vec<Speed>,
    trace: TraceFacts,
}

pub(super) fn run(flags: &Flags) -> Result<()> {
    let task = Task::read(&flags.examples.task)?;
    let (subject, workload) = flags.examples.open(&flags.model, &task, Shard::WHOLE)?;
    let mut gates = flags.gate.clone();
    for path in &flags.certificate {
        let certificate = Certificate::read(path)?;
        let rule = certificate.rule(path, subject.checksum(), Some(&task.name))?;
        certificate.check_length(path, flags.examples.max_length)?;
        gates.push(RowRule::Gate(rule));
    }
    for gate in &gates {
        if let RowRule::Gate(gate) = gate {
            gate.check(subject.space())?;
        }
    }
    let kind = "a report of ee-eval speed";
    let _lock = flags.output.as_ref().map(|folder| claim(folder, kind)).transpose()?;
    let trace = if flags.trace.is_empty() {
        observe(&subject, &workload, 32, Shard::WHOLE)?
    } else {
        workload.rows_of(trace::read_all(&flags.trace)?.trace, subject.checksum())?
    };
    let mut speed = Vec::new();
    for &batch in &flags.batch {
        speed.extend(measure(&subject, &workload, &trace, &gates, (batch, flags.rounds))?);
    }
    for run in &speed {
        warn_of(run, &trace.facts);
    }
    for notice in notices(&speed) {
        ee_files::note!("notice: {notice}");
    }
    let constant = Constant::of_trace(&trace, &Scorer::of_trace(&trace)?);
    let name = trace.facts.model_name(1);
    let models = [(name.as_str(), speed.as_slice())].into_iter();
    let table = labels::tables::speed(models, &trace.facts, &constant);
    ee_files::show!("{}", table.plain());
    ee_files::say!("\n{} rows of {} {}", trace.rows(), trace.facts.task, trace.facts.split);
    if let Some(folder) = &flags.output {
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
