//! Several checkpoints on one task: traces, ideal exits, gates, measured speed, one report.
//!
//! The task says whether that is of labels, here, or of generated text, in [`texts`].

pub(crate) mod texts;

use std::path::{Path, PathBuf};

use ee_decode::gates::rules;
use ee_models::ExitModel;
use ee_tasks::{AnyTask, Task};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::cli::{CompareArguments, ExampleArguments, NamedModel};
use crate::error::{EvalError, Result};
use crate::exits::paired::Paired;
use crate::exits::score::{Scorer, references};
use crate::labels::results::Results;
use crate::labels::{self, View, findings};
use crate::observe::observe;
use crate::observe::workload::{Selection, Workload};
use crate::output::claim;
use crate::output::write_json;
use crate::subject::Subject;
use crate::trace::{self, Shard, Trace};
use crate::trial::speed::{RowRule, measure};
use crate::words::count;

/// The mark of the folders that `compare` writes.
const REPORT: &str = "a report of ee-eval compare";

/// What `compare` stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// The task's name.
    pub(crate) task: String,
    /// The split.
    pub(crate) split: String,
    /// Whether gates earn their keep, what joint training cost and gave: a sentence each.
    pub(crate) findings: Vec<String>,
    /// Every model's full answers after the first's, beside them, by name.
    pub(crate) paired: IndexMap<String, Paired>,
    /// The results of every model, the one to compare with first.
    pub(crate) models: IndexMap<String, Results>,
}

/// Runs the whole comparison and writes its folder; returns the page's path and the headline table.
pub(crate) fn compare(arguments: &CompareArguments) -> Result<(PathBuf, String)> {
    check_names(&arguments.model)?;
    match AnyTask::read(&arguments.examples.task)? {
        AnyTask::Classification(task) => compare_labels(arguments, task),
        AnyTask::Generation(task) => texts::compare(arguments, &task),
    }
}

fn compare_labels(arguments: &CompareArguments, task: Task) -> Result<(PathBuf, String)> {
    // Every checkpoint is opened before the first one is run: a wrong folder is found at once.
    let opened: Vec<(&NamedModel, (Subject, Workload))> = arguments
        .model
        .iter()
        .map(|model| Ok((model, open(&model.folder, &task, &arguments.examples, Shard::WHOLE)?)))
        .collect::<Result<_>>()?;
    let _lock = claim(&arguments.output, REPORT)?;
    let mut models = IndexMap::new();
    let mut answers: Vec<Answers> = Vec::new();
    let mut paired = IndexMap::new();
    for (model, (subject, workload)) in opened {
        ee_files::note!("{}: {}", model.name, model.folder.display());
        let (results, own) = examine(&model.name, &subject, &workload, arguments)?;
        models.insert(model.name.clone(), results);
        if let Some(first) = answers.first() {
            let beside =
                Paired::of(&first.scorer, &first.gold, &first.predictions, &own.predictions);
            paired.insert(model.name.clone(), beside);
        }
        answers.push(own);
    }
    let view = View {
        title: format!("Early exits on {}", task.name),
        models: models.iter().map(|(name, results)| (name.as_str(), results)).collect(),
        paired: paired.values().copied().collect(),
    };
    for notice in view.notices() {
        ee_files::note!("notice: {notice}");
    }
    let headline = labels::tables::headline(&view).plain();
    let findings = findings::sentences(&view);
    let page = labels::write(&view, &arguments.output)?;
    let text = format!("{headline}\n{}\n", findings.join("\n"));
    let split = models[0].trace.split.clone();
    let comparison = Comparison { task: task.name, split, findings, paired, models };
    write_json(&arguments.output.join("results.json"), &comparison)?;
    Ok((page, text))
}

/// What the last exit answers.
struct Answers {
    /// Of the leading metric.
    scorer: Scorer,
    gold: Vec<u32>,
    predictions: Vec<u32>,
}

impl Answers {
    fn of(trace: &Trace) -> Result<Self> {
        let last = trace.layers();
        Ok(Self {
            scorer: Scorer::of_trace(trace)?.remove(0),
            gold: references(trace),
            predictions: (0..trace.rows()).map(|row| trace.prediction(row, last)).collect(),
        })
    }
}

/// Everything about one checkpoint, and its answers.
fn examine(
    name: &str,
    subject: &Subject,
    workload: &Workload,
    arguments: &CompareArguments,
) -> Result<(Results, Answers)> {
    let trace = observe(subject, workload, arguments.batch.unwrap_or(32), Shard::WHOLE)?;
    trace::write(&trace, &arguments.output.join(format!("traces/{name}.parquet")))?;
    let mut results = Results::of_trace(&trace, arguments.keep, vec![])?;
    let answers = Answers::of(&trace)?;
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
    let (sample, rows) = workload.sample(arguments.speed_rows.unwrap_or(256));
    let trace = trace.select(&rows);
    let batches = match arguments.speed_batch.as_slice() {
        [] => &[1, 32],
        given => given,
    };
    let rounds = arguments.rounds.unwrap_or(5);
    for &batch in batches {
        results.speed.extend(measure(subject, &sample, &trace, &gates, (batch, rounds))?);
    }
    Ok((results, answers))
}

/// A checkpoint and the examples that it is asked about.
pub(crate) fn open(
    folder: &Path,
    task: &Task,
    examples: &ExampleArguments,
    shard: Shard,
) -> Result<(Subject, Workload)> {
    let mut subject = Subject::open(folder, &examples.device)?;
    if let Some(notice) = subject.answer_in(task, examples.label_order())? {
        ee_files::note!("notice: {}: {notice}", folder.display());
    }
    let tokenizer = subject.tokenizer(examples.max_length)?;
    let selection = Selection {
        data_dir: examples.data_dir.as_deref(),
        split: examples.split.as_deref(),
        limit: examples.limit,
        shard,
    };
    let workload = Workload::read(task, &selection, &tokenizer)?;
    let layers = subject.model().n_layers();
    ee_files::note!(
        "{} on {}, {} of {}",
        count(layers, "layer"),
        subject.device(),
        count(workload.rows(), "example"),
        workload.split()
    );
    Ok((subject, workload))
}

/// Names are file names and keys: each once, letters, digits, `-`, `_` and `.`.
fn check_names(models: &[NamedModel]) -> Result<()> {
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
