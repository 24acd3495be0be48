//! `ee-eval decode`: early exit that takes effect, beside plain decoding.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;

use ee_models::gate::{GATE_FILE, LinearGate};
use ee_models::{Decoder, ExitModel};
use ee_tasks::metrics::bootstrap_of;
use ee_tasks::{GenerationTask, TextMetric};

use super::measure::{Measured, Work, measure};
use super::report;
use super::results::{DecodeFacts, DecodeResults, Output, RunResults, Texts};
use super::rule::{ExitRule, Rule};
use super::walk::Settings;
use crate::arguments::DecodeArguments;
use crate::bench::read_bandwidth;
use crate::decoding::{DecoderSubject, Room};
use crate::error::{EvalError, Result};
use crate::ideal::MetricScore;
use crate::interrupt::Interrupt;
use crate::output::check_writable;
use crate::report::passage::{Passage, legend};
use crate::score::BOOTSTRAP_SEED;
use crate::trace::MetricFacts;

/// New tokens where neither the command line nor a task says how many.
const DEFAULT_NEW_TOKENS: usize = 128;
/// Texts of a task that are printed.
const SHOWN_OF_TASK: usize = 3;
/// So much memory is read at most to find out how fast that is.
const MOST_READ: usize = 512 << 20;

/// A prompt, and what its continuation is compared with.
struct Example {
    prompt: String,
    references: Vec<String>,
}

/// Prompts with what is known of them.
struct Material {
    task: Option<GenerationTask>,
    split: String,
    examples: Vec<Example>,
    metrics: Vec<Box<dyn TextMetric>>,
    work: Work,
}

/// Decodes, prints texts and tables, and writes what was asked for.
///
/// # Errors
/// What opening the checkpoint or reading the task says; settings that do not go together; an interrupt.
pub fn run(arguments: &DecodeArguments) -> Result<()> {
    if let Some(folder) = &arguments.output {
        check_writable(&folder.join("results.json"))?;
    }
    let subject = DecoderSubject::open(&arguments.model, arguments.weights, &arguments.device)?;
    let settings = settings(arguments, &subject)?;
    for settings in &settings {
        settings.check(subject.model())?;
    }
    let material = material(arguments, &subject)?;
    let interrupt = Interrupt::listen()?;
    let mut ways = measure(&subject, &material.work, &settings, &interrupt)?;
    let facts = facts(arguments, &subject, &material, &settings[0]);
    let plain = texts(&material, ways.remove(0))?.0;
    let mut runs = Vec::with_capacity(settings.len());
    for (settings, way) in settings.iter().zip(ways) {
        let names = [settings.rule.to_string(), settings.policy.name().to_owned()];
        let (texts, clock) = texts(&material, way)?;
        let takes_effect = settings.policy.takes_effect();
        let mut run = RunResults::of(names, takes_effect, texts, &clock, &plain, &facts);
        run.notices = notices(&run, settings, &facts);
        runs.push(run);
    }
    let results = DecodeResults { facts, plain, runs };
    show(&results, &subject, arguments)?;
    if let Some(folder) = &arguments.output {
        let page = report::write(&results, subject.tokenizer(), folder)?;
        println!("\n{}", page.display());
    }
    Ok(())
}

/// Every rule with every policy.
fn settings(arguments: &DecodeArguments, subject: &DecoderSubject) -> Result<Vec<Settings>> {
    let model = subject.model();
    let layers = model.n_layers();
    let exits = match arguments.exits.is_empty() {
        true => (1..layers).collect(),
        // The last exit is always read.
        false => arguments.exits.iter().copied().filter(|&exit| exit != layers).collect(),
    };
    let needs_file =
        |rule: &ExitRule| matches!(rule.rule, Rule::States(gate, _) if gate.is_fitted());
    let fitted = if arguments.gate.iter().any(needs_file) {
        let path = arguments.gate_file.clone().unwrap_or(arguments.model.join(GATE_FILE));
        let width = model.head_weight().matrix.dims()[1];
        Some(Arc::new(LinearGate::read(&path, layers, width, &model.device())?))
    } else {
        None
    };
    let pairs =
        arguments.gate.iter().flat_map(|gate| arguments.kv.iter().map(move |kv| (gate, kv)));
    let settings = pairs.map(|(gate, kv)| {
        let mut rule = *gate;
        rule.decays |= arguments.decay && matches!(rule.rule, Rule::Signals(_) | Rule::States(..));
        Settings {
            rule,
            policy: kv.0,
            head: arguments.head,
            exits: Vec::clone(&exits),
            min_tokens: arguments.min_tokens,
            fitted: fitted.clone(),
        }
    });
    Ok(settings.collect())
}

fn material(arguments: &DecodeArguments, subject: &DecoderSubject) -> Result<Material> {
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
fn texts(material: &Material, way: Measured) -> Result<(Texts, super::clock::Clock)> {
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

fn facts(
    arguments: &DecodeArguments,
    subject: &DecoderSubject,
    material: &Material,
    settings: &Settings,
) -> DecodeFacts {
    let model = subject.model();
    let metrics = material.metrics.iter().map(|metric| MetricFacts {
        name: metric.name().to_owned(),
        signature: metric.signature(n_references(&material.examples)),
    });
    let bytes = model.weight_bytes();
    let weights = model.n_layers() * bytes.layer + bytes.head;
    DecodeFacts {
        model: subject.folder().display().to_string(),
        checkpoint_sha256: subject.checksum().to_owned(),
        architecture: subject.architecture().to_owned(),
        objective: subject.objective(),
        layers: model.n_layers(),
        task: material.task.as_ref().map(|task| [task.name.clone(), material.split.clone()]),
        metrics: metrics.collect(),
        max_new_tokens: material.work.max_new_tokens,
        min_tokens: settings.min_tokens,
        exits: settings.exits.clone(),
        head: settings.head.to_string(),
        batch: material.work.batch,
        rounds: material.work.rounds,
        weights: subject.weights().to_owned(),
        device: subject.device().to_owned(),
        read_bytes_per_second: (arguments.device == "cpu")
            .then(|| read_bandwidth(weights.min(MOST_READ), 3)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What a reader of a run's numbers might overlook.
fn notices(run: &RunResults, settings: &Settings, facts: &DecodeFacts) -> Vec<String> {
    let mut notices = Vec::new();
    let is_oracle = matches!(settings.rule.rule, Rule::Ideal);
    if is_oracle || !settings.policy.takes_effect() {
        notices
            .push("every token runs all layers: its speed is not that of an early exit".to_owned());
    }
    let never = run.histogram[..facts.layers - 1].iter().all(|&n| n == 0);
    if never && !matches!(settings.rule.rule, Rule::None) {
        notices.push("no token left before the last exit".to_owned());
    }
    notices
}

/// Texts, then tables.
fn show(
    results: &DecodeResults,
    subject: &DecoderSubject,
    arguments: &DecodeArguments,
) -> Result<()> {
    let is_terminal = std::io::stdout().is_terminal();
    let of_command = results.plain.outputs.len();
    let default = if arguments.task.is_some() { SHOWN_OF_TASK } else { of_command };
    let shown = arguments.show.unwrap_or(default);
    let layers = results.facts.layers;
    if is_terminal && shown > 0 {
        println!("exits {}\n", legend(layers).terminal());
    }
    for run in &results.runs {
        for output in run.texts.outputs.iter().take(shown) {
            let title =
                format!("{} with {}: {}", run.gate, run.kv, report::shortened(&output.prompt));
            print_passage(
                &report::passage(subject.tokenizer(), title, output, layers)?,
                is_terminal,
            );
        }
    }
    for run in &results.runs {
        for notice in &run.notices {
            eprintln!("notice: {} with {}: {notice}", run.gate, run.kv);
        }
    }
    println!(
        "true early exit, head {}: texts may differ from the full model's\n",
        results.facts.head
    );
    print!("{}\n{}", report::speed(results).plain(), report::fidelity(results).plain());
    Ok(())
}

fn print_passage(passage: &Passage, is_terminal: bool) {
    println!("{}", passage.title);
    println!("{}", if is_terminal { passage.terminal() } else { passage.text() });
    println!("{}\n", passage.exits());
}
