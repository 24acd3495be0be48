//! Several checkpoints on one task: traces, ideal exits, gates, measured speed, one report.
//!
//! Of labels here, of generated text in [`texts`].

pub(crate) mod texts;

use std::path::PathBuf;

use ee_decode::gates::rules;
use ee_tasks::Task;
use indexmap::IndexMap;
use serde::Serialize;

use crate::error::Result;
use crate::exits::paired::Paired;
use crate::exits::score::{Scorer, references};
use crate::labels::results::Results;
use crate::labels::{View, findings};
use crate::observe::observe;
use crate::observe::workload::Workload;
use crate::output::claim;
use crate::output::write_json;
use crate::subject::Subject;
use crate::trace::{self, Shard, Trace};
use crate::trial::speed::{RowRule, measure};

/// The mark of the folders that `compare` writes.
const REPORT: &str = "a report of ee-eval compare";

/// What `compare` stores.
#[derive(Serialize)]
pub(crate) struct Comparison {
    pub(crate) task: String,
    pub(crate) split: String,
    /// Whether gates earn their keep, and what joint training cost and gained: a sentence each.
    pub(crate) findings: Vec<String>,
    /// Every model's full answers after the first's, beside them, by name.
    pub(crate) paired: IndexMap<String, Paired>,
    pub(crate) models: IndexMap<String, Results>,
}

/// How checkpoints are compared.
pub(crate) struct Scope {
    pub(crate) batch: usize,
    pub(crate) keep: f64,
    pub(crate) speed_batches: Vec<usize>,
    /// Examples on which speed is measured at most.
    pub(crate) speed_rows: usize,
    pub(crate) rounds: usize,
    pub(crate) output: PathBuf,
}

/// Compares classifiers, by name, on their examples of a task, and writes the folder; returns the page's path and
/// the headline table.
pub(crate) fn labels(
    task: Task,
    opened: Vec<(String, Subject, Workload)>,
    settings: &Scope,
) -> Result<(PathBuf, String)> {
    let _lock = claim(&settings.output, REPORT)?;
    let mut models = IndexMap::new();
    let mut first: Option<Trace> = None;
    let mut paired = IndexMap::new();
    for (name, subject, workload) in opened {
        ee_files::note!("{name}: {}", subject.folder().display());
        let (results, trace) = examine(&name, &subject, &workload, settings)?;
        models.insert(name.clone(), results);
        match &first {
            Some(first) => drop(paired.insert(name, beside(first, &trace)?)),
            None => first = Some(trace),
        }
    }
    let view = View {
        title: format!("Early exits on {}", task.name),
        models: models.iter().map(|(name, results)| (name.as_str(), results)).collect(),
        paired: paired.values().copied().collect(),
    };
    for notice in view.notices() {
        ee_files::note!("notice: {notice}");
    }
    let headline = crate::labels::tables::headline(&view).plain();
    let findings = findings::sentences(&view);
    let page = crate::labels::write(&view, &settings.output)?;
    let text = format!("{headline}\n{}\n", findings.join("\n"));
    let split = models[0].trace.split.clone();
    let comparison = Comparison { task: task.name, split, findings, paired, models };
    write_json(&settings.output.join("results.json"), &comparison)?;
    Ok((page, text))
}

/// What the last exits of two models answer, in the leading metric.
fn beside(first: &Trace, other: &Trace) -> Result<Paired> {
    let [ours, theirs] = [first, other].map(|trace| -> Vec<u32> {
        (0..trace.rows()).map(|row| trace.prediction(row, trace.layers())).collect()
    });
    let scorer = Scorer::of_trace(first)?.remove(0);
    Ok(Paired::of(&scorer, &references(first), &ours, &theirs))
}

/// Everything about one checkpoint, and its trace.
fn examine(
    name: &str,
    subject: &Subject,
    workload: &Workload,
    settings: &Scope,
) -> Result<(Results, Trace)> {
    let trace = observe(subject, workload, settings.batch, Shard::WHOLE)?;
    trace::write(&trace, &settings.output.join(format!("traces/{name}.parquet")))?;
    let mut results = Results::of_trace(&trace, settings.keep, vec![])?;
    let mut gates = vec![RowRule::Ideal];
    for rule in rules() {
        gates.push(RowRule::Gate(results.set_gate(rule.name())?));
    }
    // The depth that is weighed against the gates may lie deeper than the shallowest that keeps enough.
    if let Some(cut) =
        results.cut.as_ref().filter(|cut| cut.depth != results.fixed().threshold as usize)
    {
        gates.push(cut.typed().parse()?);
    }
    let (sample, rows) = workload.sample(settings.speed_rows);
    let chosen = trace.select(&rows);
    for &batch in &settings.speed_batches {
        results.speed.extend(measure(subject, &sample, &chosen, &gates, (batch, settings.rounds))?);
    }
    Ok((results, trace))
}
