//! What `ee-eval decode` works on: prompts, and how their continuations are scored.

use std::collections::BTreeMap;

use ee_tasks::metrics::bootstrap_of;
use ee_tasks::{GenerationTask, TextMetric};

use super::clock::Clock;
use super::measure::{Measured, Work};
use super::results::{Output, Texts};
use crate::arguments::DecodeArguments;
use crate::decoding::{DecoderSubject, Room};
use crate::error::{EvalError, Result};
use crate::ideal::MetricScore;
use crate::score::BOOTSTRAP_SEED;
use crate::trace::MetricFacts;

/// New tokens where neither the command line nor a task says how many.
const DEFAULT_NEW_TOKENS: usize = 128;

/// A prompt, and what its continuation is compared with.
pub(super) struct Example {
    prompt: String,
    references: Vec<String>,
}

/// Prompts with what is known of them.
pub(super) struct Material {
    pub(super) task: Option<GenerationTask>,
    pub(super) split: String,
    examples: Vec<Example>,
    metrics: Vec<Box<dyn TextMetric>>,
    pub(super) work: Work,
}

/// The prompts that were asked for.
///
/// # Errors
/// A task that cannot be read, a prompt that does not fit the model.
pub(super) fn material(arguments: &DecodeArguments, subject: &DecoderSubject) -> Result<Material> {
    let (task, split, examples) = match &arguments.task {
        Some(path) => {
            let task = GenerationTask::read(path)?;
            let split = arguments.split.clone().unwrap_or(task.evaluation_split.clone());
            let read = task.read_split(&split, arguments.data_dir.as_deref(), arguments.limit)?;
            let examples = read.examples.into_iter();
            let examples = examples
                .map(|example| Example { prompt: example.prompt, references: example.references });
            (Some(task), split, examples.collect())
        }
        None => (None, String::new(), given(arguments)?),
    };
    let of_task = task.as_ref().map(|task| task.max_new_tokens);
    let new_tokens = arguments.max_new_tokens.or(of_task).unwrap_or(DEFAULT_NEW_TOKENS);
    let room =
        Room { positions: subject.max_positions(), new_tokens, truncate: arguments.truncate };
    let mut prompts = Vec::with_capacity(examples.len());
    for (number, example) in examples.iter().enumerate() {
        prompts.push(room.fit(number, subject.encode(&example.prompt)?)?.ids);
    }
    if prompts.is_empty() {
        return Err(EvalError::Empty { what: "there is no prompt".to_owned() });
    }
    let of_task = task.iter().flat_map(|task| task.stop.clone());
    let stop = of_task.chain(arguments.stop.iter().cloned()).collect();
    let (batch, rounds) = (arguments.batch, arguments.rounds);
    let work = Work { prompts, stop, max_new_tokens: new_tokens, batch, rounds };
    let metrics = metrics(task.as_ref(), arguments.allow_code_execution);
    Ok(Material { task, split, examples, metrics, work })
}

/// The prompts of the command line.
fn given(arguments: &DecodeArguments) -> Result<Vec<Example>> {
    let mut prompts = arguments.prompt.clone();
    if let Some(path) = &arguments.prompts {
        let text = std::fs::read_to_string(path).map_err(|source| EvalError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        prompts.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
    }
    let example = |prompt| Example { prompt, references: Vec::new() };
    Ok(prompts.into_iter().map(example).collect())
}

/// The task's metrics that can be computed; says which cannot.
fn metrics(task: Option<&GenerationTask>, allow_code_execution: bool) -> Vec<Box<dyn TextMetric>> {
    let names = task.iter().flat_map(|task| task.metrics.iter().map(move |name| (task, name)));
    let built = names.filter_map(|(task, name)| {
        ee_tasks::metrics::text::by_name(name, allow_code_execution)
            .inspect_err(|error| eprintln!("notice: {} is not scored: {error}", task.name))
            .ok()
    });
    built.collect()
}

/// The texts of one way of decoding, scored.
///
/// # Errors
/// What the metrics say.
pub(super) fn texts(material: &Material, way: Measured) -> Result<(Texts, Clock)> {
    let Measured { texts, exits, seconds, prompts, clock } = way;
    let mut outputs = Vec::with_capacity(texts.len());
    for (number, (generated, exits)) in texts.into_iter().zip(exits).enumerate() {
        let example = &material.examples[number];
        let text = match &material.task {
            Some(task) => task.answer(&generated.text).to_owned(),
            None => generated.text,
        };
        let references: Vec<&str> = example.references.iter().map(String::as_str).collect();
        let mut statistics = BTreeMap::new();
        for metric in &material.metrics {
            statistics.insert(metric.name().to_owned(), metric.statistics(&text, &references)?);
        }
        outputs.push(Output {
            example: number,
            prompt: example.prompt.clone(),
            tokens: generated.tokens,
            exits,
            text,
            ended: generated.has_ended,
            statistics,
        });
    }
    let mut texts = Texts::of(outputs, seconds.as_secs_f64(), prompts.as_secs_f64());
    texts.scores =
        material.metrics.iter().map(|metric| score(&**metric, &texts, material)).collect();
    Ok((texts, clock))
}

fn score(metric: &dyn TextMetric, texts: &Texts, material: &Material) -> MetricScore {
    let statistics: Vec<Vec<f64>> = texts
        .outputs
        .iter()
        .filter_map(|output| output.statistics.get(metric.name()).cloned())
        .collect();
    let mut sum = vec![0.0; statistics.first().map_or(0, Vec::len)];
    for one in &statistics {
        sum.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
    }
    let interval = bootstrap_of(|sum| metric.score(sum), &statistics, BOOTSTRAP_SEED);
    MetricScore {
        name: metric.name().to_owned(),
        signature: metric.signature(n_references(&material.examples)),
        score: Some(metric.score(&sum)),
        interval: Some([interval.low, interval.high]),
        examples: statistics.len(),
    }
}

/// How many references every example has; none where they differ.
fn n_references(examples: &[Example]) -> Option<usize> {
    let first = examples.first().map(|example| example.references.len());
    first.filter(|&n| examples.iter().all(|example| example.references.len() == n))
}

impl Material {
    /// The metrics as results name them.
    pub(super) fn metric_facts(&self) -> Vec<MetricFacts> {
        let facts = self.metrics.iter().map(|metric| MetricFacts {
            name: metric.name().to_owned(),
            signature: metric.signature(n_references(&self.examples)),
        });
        facts.collect()
    }
}
