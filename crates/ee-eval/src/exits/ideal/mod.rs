//! Ideal exits of any number of traces side by side: models, tasks, classifications and generated text in
//! one table, in the shape of the paper's Tables 1, 2, 7 and 8.
//!
//! Everything is a function of the traces and of the texts beside them; no model is loaded. Files of
//! one run (the same checkpoint, task, split and mode) are merged as shards. A score comes from the
//! statistics that were stored when the texts were made: no text is scored, and no program run, twice.

mod length;
mod plots;
mod report;
mod scores;
mod tables;

use std::path::PathBuf;

use ee_models::loss::Objective;
use serde::{Deserialize, Serialize};

pub(crate) use length::Generated;
pub(crate) use report::{notices, write};
pub(crate) use scores::MetricScore;
pub(crate) use tables::table;

use crate::error::{EvalError, Result};
use crate::exits::oracle;
use crate::exits::oracle::Ideal;
use crate::trace::{self, Merged, TraceFacts, facts};
use crate::words::count;
use length::Examples;
use scores::Find;

/// Where the rows of a trace come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// A row is an example, answered with a label.
    Classification,
    /// A row is a token that the last exit chose.
    Greedy,
    /// A row is a token of the gold text.
    TeacherForced,
}

impl Mode {
    /// The mode of a trace with these facts.
    pub(crate) fn of(facts: &TraceFacts) -> Self {
        match &facts.generation {
            None => Self::Classification,
            Some(generation) if generation.teacher_forced => Self::TeacherForced,
            Some(_) => Self::Greedy,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Greedy => "greedy",
            Self::TeacherForced => "teacher-forced",
        }
    }
}

/// One model on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The checkpoint's folder, with folders above it where another checkpoint has the same name.
    pub(crate) model: String,
    #[serde(with = "facts::objective")]
    pub(crate) objective: Option<Objective>,
    pub(crate) task: String,
    pub(crate) split: String,
    pub(crate) mode: Mode,
    pub(crate) layers: usize,
    /// Predictions: new tokens, end tokens included, or the examples of a classification.
    pub(crate) tokens: usize,
    pub(crate) examples: usize,
    pub(crate) ideal: Ideal,
    /// Every metric of the task at the last exit, the leading one first.
    pub(crate) scores: Vec<MetricScore>,
    /// Figures of generated text only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generated: Option<Generated>,
    pub(crate) notices: Vec<String>,
    pub(crate) trace: TraceFacts,
}

impl Summary {
    /// The task with all that tells its traces apart: `wmt22-de-en, test, greedy`.
    pub(crate) fn setting(&self) -> String {
        format!("{}, {}, {}", self.task, self.split, self.mode.name())
    }
}

/// The summaries of some traces, in the order in which their runs are first named.
pub(crate) fn summaries(traces: &[PathBuf]) -> Result<Vec<Summary>> {
    summaries_with(traces, &scores::registered)
}

/// [`summaries`] with metrics of texts from elsewhere than the registry.
fn summaries_with(traces: &[PathBuf], find: Find<'_>) -> Result<Vec<Summary>> {
    if traces.is_empty() {
        return Err(EvalError::Empty { what: "no trace was given".to_owned() });
    }
    let runs = runs(traces)?;
    let facts: Vec<&TraceFacts> = runs.iter().map(|run| &run.facts).collect();
    let names = names(&facts);
    runs.iter().zip(names).map(|(run, name)| summary(run, name, find)).collect()
}

/// The files of one run.
struct Run {
    facts: TraceFacts,
    files: Vec<PathBuf>,
}

fn runs(traces: &[PathBuf]) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for path in traces {
        let facts = trace::read_facts(path)?;
        match runs.iter_mut().find(|run| is_of_one_run(&run.facts, &facts)) {
            Some(run) => run.files.push(path.clone()),
            None => runs.push(Run { facts, files: vec![path.clone()] }),
        }
    }
    Ok(runs)
}

fn is_of_one_run(one: &TraceFacts, other: &TraceFacts) -> bool {
    one.checkpoint_sha256 == other.checkpoint_sha256
        && one.task == other.task
        && one.split == other.split
        && Mode::of(one) == Mode::of(other)
}

/// A name per run: as many folders of its path as tell its checkpoint from all others.
fn names(facts: &[&TraceFacts]) -> Vec<String> {
    let name = |of: &TraceFacts| {
        let others =
            || facts.iter().filter(|other| other.checkpoint_sha256 != of.checkpoint_sha256);
        let is_clear =
            |depth: &usize| others().all(|other| other.model_name(*depth) != of.model_name(*depth));
        let all = of.model.split(['/', '\\']).count();
        of.model_name((1..=all).find(is_clear).unwrap_or(all))
    };
    facts.iter().map(|facts| name(facts)).collect()
}

/// What the files of one run say.
fn summary(run: &Run, model: String, find: Find<'_>) -> Result<Summary> {
    let Merged { trace, mut notices } = trace::read_all(&run.files)?;
    let ideal_exits = oracle::ideal_exits(&trace);
    let (scores, generated, examples) = match &trace.facts.generation {
        None => (scores::of_labels(&trace)?, None, trace.rows()),
        Some(generation) => {
            if generation.truncated > 0 {
                let cut = count(generation.truncated, "prompt");
                let were = if generation.truncated == 1 { "was" } else { "were" };
                notices.push(format!("{cut} {were} cut to fit the model's positions"));
            }
            let mut examples = Examples::of(&trace, &ideal_exits);
            let texts = scores::texts_of(&run.files, &examples, &mut notices)?;
            let scores = scores::of_texts(&trace.facts, texts.as_deref(), find, &mut notices)?;
            if let Some(texts) = &texts {
                examples.add_empty(texts);
            }
            let by_position = length::by_position(&trace, &ideal_exits);
            let n = examples.len();
            let own = texts.as_deref().filter(|_| !generation.teacher_forced);
            (scores, Some(examples.generated(by_position, own)), n)
        }
    };
    Ok(Summary {
        model,
        objective: trace.facts.objective,
        task: trace.facts.task.clone(),
        split: trace.facts.split.clone(),
        mode: Mode::of(&trace.facts),
        layers: trace.layers(),
        tokens: trace.rows(),
        examples,
        ideal: Ideal::of_trace(&trace, &ideal_exits),
        scores,
        generated,
        notices,
        trace: trace.facts,
    })
}

#[cfg(test)]
mod tests;
