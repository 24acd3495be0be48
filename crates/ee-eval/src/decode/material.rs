//! What is decoded: prompts, and how their continuations are scored.

use std::collections::BTreeMap;

use ee_tasks::metrics::bootstrap_of;
use ee_tasks::{GenerationTask, TextExample, TextMetric};

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
    number: usize,
    prompt: String,
    references: Vec<String>,
}

/// Prompts with what is known of them.
pub(crate) struct Material {
    pub(super) task: Option<GenerationTask>,
    pub(super) split: String,
    examples: Vec<Example>,
    metrics: Vec<Box<dyn TextMetric>>,
    pub(crate) work: Work,
}

/// How prompts are continued.
pub(crate) struct Continuation {
    /// New tokens per text; by default the task's, else 128.
    pub(crate) max_new_tokens: Option<usize>,
    /// Texts at which to end, beside the task's.
    pub(crate) stop: Vec<String>,
    /// Whether prompts that are too long are cut.
    pub(crate) truncate: bool,
    /// Texts per batch.
    pub(crate) batch: usize,
    /// Timed rounds.
    pub(crate) rounds: usize,
    /// Whether programs that the model wrote may be run to score them.
    pub(crate) allow_code_execution: bool,
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
            let examples = read.examples.into_iter().enumerate();
            (Some(task), split, examples.map(Example::of).collect())
        }
        None => (None, String::new(), given(arguments)?),
    };
    let continuation = Continuation {
        max_new_tokens: arguments.max_new_tokens,
        stop: arguments.stop.clone(),
        truncate: arguments.truncate,
        batch: arguments.batch,
        rounds: arguments.rounds,
        allow_code_execution: arguments.allow_code_execution,
    };
    Material::of(subject, task, split, examples, continuation)
}

impl Example {
    fn of((number, example): (usize, TextExample)) -> Self {
        Self { number, prompt: example.prompt, references: example.references }
    }
}

impl Material {
    /// Some examples of a task, with their numbers in the split.
    ///
    /// # Errors
    /// A prompt that does not fit the model; no example.
    pub(crate) fn of_examples(
        subject: &DecoderSubject,
        task: &GenerationTask,
        split: &str,
        examples: impl IntoIterator<Item = (usize, TextExample)>,
        continuation: Continuation,
    ) -> Result<Self> {
        let examples = examples.into_iter().map(Example::of).collect();
        Self::of(subject, Some(task.clone()), split.to_owned(), examples, continuation)
    }

    fn of(
        subject: &DecoderSubject,
        task: Option<GenerationTask>,
        split: String,
        examples: Vec<Example>,
        continuation: Continuation,
    ) -> Result<Self> {
        let Continuation { max_new_tokens, stop, truncate, batch, rounds, allow_code_execution } =
            continuation;
        let of_task = task.as_ref().map(|task| task.max_new_tokens);
        let max_new_tokens = max_new_tokens.or(of_task).unwrap_or(DEFAULT_NEW_TOKENS);
        let positions = subject.max_positions();
        let room = Room { positions, new_tokens: max_new_tokens, truncate };
        let mut prompts = Vec::with_capacity(examples.len());
        for example in &examples {
            prompts.push(room.fit(example.number, subject.encode(&example.prompt)?)?.ids);
        }
        if prompts.is_empty() {
            return Err(EvalError::Empty { what: "there is no prompt".to_owned() });
        }
        let of_task = task.iter().flat_map(|task| task.stop.clone());
        let stop = of_task.chain(stop).collect();
        let work = Work { prompts, stop, max_new_tokens, batch, rounds };
        let metrics = metrics(task.as_ref(), allow_code_execution);
        Ok(Self { task, split, examples, metrics, work })
    }
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
    let example = |(number, prompt)| Example { number, prompt, references: Vec::new() };
    Ok(prompts.into_iter().enumerate().map(example).collect())
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
pub(crate) fn texts(material: &Material, way: Measured) -> Result<(Texts, Clock)> {
    let Measured { texts, exits, seconds, prompts, clock, .. } = way;
    let mut outputs = Vec::with_capacity(texts.len());
    for ((example, generated), exits) in material.examples.iter().zip(texts).zip(exits) {
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
            example: example.number,
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
    pub(crate) fn metric_facts(&self) -> Vec<MetricFacts> {
        let facts = self.metrics.iter().map(|metric| MetricFacts {
            name: metric.name().to_owned(),
            signature: metric.signature(n_references(&self.examples)),
        });
        facts.collect()
    }
}
