//! Running a model over a task and keeping the signals of every exit.

use std::time::Instant;

use ee_models::ExitModel;
use ee_models::signal::Signals;

use crate::error::{EvalError, Result};
use crate::observe::workload::Workload;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::trace::{ExitColumns, MetricFacts, Shard, Trace, TraceFacts};

/// Runs every example of `workload` through every exit of the model, `batch` at a time.
pub fn observe(
    subject: &Subject,
    workload: &Workload,
    batch: usize,
    shard: Shard,
) -> Result<Trace> {
    let model = subject.model();
    let layers = model.n_layers();
    let batches = workload.batches(batch)?;
    let progress = Progress::new("tracing", workload.rows());
    let started = Instant::now();
    let mut by_row = vec![None; workload.rows()];
    for rows in &batches {
        // One host synchronisation per batch, all exits together.
        let signals = Signals::read(model.exit_logits(&rows.batch), layers).map_err(|error| {
            EvalError::of_batch(error, |row| workload.numbers[rows.rows[row]] as usize)
        })?;
        for (at, &row) in rows.rows.iter().enumerate() {
            by_row[row] = Some(signals.row(at).to_vec());
        }
        progress.advance(rows.rows.len());
    }
    let seconds = started.elapsed().as_secs_f64();
    progress.finish();
    let mut signals = ExitColumns::default();
    for (signal, agreement) in by_row.into_iter().flatten().flatten() {
        signals.push(signal, agreement);
    }
    Ok(Trace {
        facts: facts(subject, workload, batch, shard, seconds),
        example: workload.numbers.clone(),
        position: vec![0; workload.rows()],
        gold: workload.gold.clone(),
        prompt_tokens: vec![],
        signals,
    })
}

fn facts(
    subject: &Subject,
    workload: &Workload,
    batch: usize,
    shard: Shard,
    seconds: f64,
) -> TraceFacts {
    let task = &workload.task;
    let metrics = task.build_metrics();
    TraceFacts {
        task: task.name.clone(),
        split: workload.split.clone(),
        labels: task.labels.clone(),
        has_gold: !workload.gold.is_empty(),
        metrics: metrics
            .iter()
            .filter(|_| !workload.gold.is_empty())
            .map(|metric| MetricFacts {
                name: metric.name().to_owned(),
                signature: metric.signature(),
            })
            .collect(),
        layers: subject.model().n_layers(),
        rows: workload.rows(),
        examples: workload.examples,
        shard,
        batch,
        max_length: workload.max_length,
        seconds,
        ..subject.facts()
    }
}
