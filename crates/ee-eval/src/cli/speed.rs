//! `ee-eval speed`.

use std::path::PathBuf;

use clap::Args;
use ee_decode::gates::rules;
use ee_files::write_text;
use ee_tasks::Task;
use serde::Serialize;

use super::groups::{Certificates, Checkpoint, Examples, OptionalReport};
use super::values::{listed, positive};
use crate::certify::certificate::Certificate;
use crate::error::Result;
use crate::exits::constant::Constant;
use crate::exits::score::Scorer;
use crate::labels;
use crate::observe::observe;
use crate::output::write_json;
use crate::trace::{self, Shard, TraceFacts};
use crate::trial::speed::{IDEAL, RowRule, Speed, measure, notices};
use crate::words::count;

/// `ee-eval speed`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    of: Checkpoint,
    #[command(flatten)]
    pub(crate) examples: Examples,
    #[arg(long, value_name = "GATE", required_unless_present = "certificate", help = gates())]
    pub(crate) gate: Vec<RowRule>,
    #[command(flatten)]
    certified: Certificates,
    /// Examples per batch; repeatable.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub(crate) batch: Vec<usize>,
    /// Timed rounds, each one full and one gated run; 3 are the least that show a range.
    #[arg(long, value_name = "N", default_value = "5", value_parser = positive)]
    pub(crate) rounds: usize,
    /// The trace whose exits `ideal` takes; by default one is made first.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) trace: Vec<PathBuf>,
    #[command(flatten)]
    report: OptionalReport,
}

fn gates() -> String {
    let set = rules().map(|gate| (format!("{}:T", gate.name()), gate.rule()));
    let list = listed("When rows leave", set);
    format!("{list}, or {IDEAL}, the ideal exits of the trace. Repeatable")
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
    let (subject, workload) = flags.examples.open(&flags.of.model, &task, Shard::WHOLE)?;
    let mut gates = flags.gate.clone();
    for path in &flags.certified.certificate {
        let certificate = Certificate::read(path)?;
        let rule = certificate.rule(path, subject.checksum(), Some(&task.name))?;
        certificate.check_length(path, flags.examples.inputs.max_length)?;
        gates.push(RowRule::Gate(rule));
    }
    for gate in &gates {
        if let RowRule::Gate(gate) = gate {
            gate.check(subject.space())?;
        }
    }
    let kind = "a report of ee-eval speed";
    let _lock = flags.report.claim(kind)?;
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
    if let Some(folder) = &flags.report.output {
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
    if run.gate != IDEAL && run.average_exit >= facts.layers as f64 {
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
