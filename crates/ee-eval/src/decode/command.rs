//! `ee-eval decode`: early exit that takes effect, beside plain decoding.

use std::io::IsTerminal;
use std::path::Path;

use ee_decode::rule::{ExitRule, Rule};
use ee_decode::settings::Settings;
use ee_decode::states::fitted;
use ee_models::gate::GATE_FILE;
use ee_models::{Decoder, ExitModel};
use ee_tasks::GenerationTask;

use super::material::{Material, material, texts};
use super::measure::{Runs, Way, measure};
use super::report;
use super::results::{DecodeFacts, DecodeResults, RunResults};
use crate::certify::certificate::Certificate;
use crate::cli::{DecodeArguments, TextArguments};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::machine::read_bandwidth;
use crate::output::claim;
use crate::report::passage::{Passage, legend};
use crate::subject::DecoderSubject;

/// Texts of a task that are printed.
const SHOWN_OF_TASK: usize = 3;
/// So much memory is read at most to find out how fast that is.
const MOST_READ: usize = 512 << 20;

/// Decodes, prints texts and tables, and writes what was asked for.
///
/// # Errors
/// What opening the checkpoint or reading the task says; settings that do not go together; an interrupt.
pub fn run(arguments: &DecodeArguments) -> Result<()> {
    let kind = "a report of ee-eval decode";
    let _lock = arguments.output.as_ref().map(|folder| claim(folder, kind)).transpose()?;
    let TextArguments { model, weights, device, .. } = &arguments.texts;
    let subject = DecoderSubject::open(model, *weights, device)?;
    let settings = settings(arguments, &subject)?;
    for settings in &settings {
        settings.check(subject.model())?;
    }
    let material = material(arguments, &subject)?;
    let interrupt = Interrupt::listen()?;
    let ways: Vec<Way> = settings.iter().cloned().map(Way::Exits).collect();
    let Runs { mut ways, load } = measure(&subject, &material.work, &ways, &interrupt)?;
    let facts = facts(arguments, &subject, &material, &settings[0]);
    let plain = ways.remove(0);
    let plain_timed = plain.timed.clone();
    let plain = texts(&material, plain)?.0;
    let mut runs = Vec::with_capacity(settings.len());
    for (settings, way) in settings.iter().zip(ways) {
        let timed = way.timed.clone();
        let names = [settings.rule.to_string(), settings.policy.name().to_owned()];
        let (texts, clock) = texts(&material, way)?;
        let takes_effect = settings.policy.takes_effect();
        let (ours, theirs) = ((texts, &*timed, &clock), (&plain, &*plain_timed));
        let mut run = RunResults::of(names, takes_effect, ours, theirs, &facts);
        run.notices = notices(&run, settings, &facts);
        runs.push(run);
    }
    let results = DecodeResults { facts, load, plain, plain_timed, runs };
    show(&results, &subject, arguments)?;
    if let Some(folder) = &arguments.output {
        let page = report::write(&results, subject.tokenizer(), folder)?;
        ee_files::say!("\n{}", page.display());
    }
    Ok(())
}

/// What a certificate of texts certifies for this model.
fn certified(
    path: &Path,
    subject: &DecoderSubject,
    arguments: &DecodeArguments,
) -> Result<ExitRule> {
    let certificate = Certificate::read(path)?;
    let task = arguments.texts.task.as_deref().map(GenerationTask::read).transpose()?;
    let rule = certificate.rule(path, subject.checksum(), task.as_ref().map(|task| &*task.name))?;
    ee_files::note!(
        "notice: the certificate judges each token on the full model's own context; what early exits change of the \
         context while decoding is not in its promise"
    );
    Ok(rule.to_string().parse()?)
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
    let mut gates = arguments.gate.clone();
    for path in &arguments.certificate {
        gates.push(certified(path, subject, arguments)?);
    }
    let learned = if gates.iter().any(needs_file) {
        let path = arguments.gate_file.clone().unwrap_or(arguments.texts.model.join(GATE_FILE));
        Some(fitted(&path, model)?)
    } else {
        None
    };
    let pairs = gates.iter().flat_map(|gate| arguments.kv.iter().map(move |kv| (gate, kv)));
    let settings = pairs.map(|(gate, kv)| {
        let mut rule = *gate;
        rule.decays |= arguments.decay && matches!(rule.rule, Rule::Signals(_) | Rule::States(..));
        Settings {
            rule,
            policy: kv.0,
            head: arguments.head,
            exits: Vec::clone(&exits),
            min_tokens: arguments.min_tokens,
            fitted: learned.clone(),
        }
    });
    Ok(settings.collect())
}

fn facts(
    arguments: &DecodeArguments,
    subject: &DecoderSubject,
    material: &Material,
    settings: &Settings,
) -> DecodeFacts {
    let (model, request) = (subject.model(), &material.request);
    let bytes = model.weight_bytes();
    let weights = model.n_layers() * bytes.layer + bytes.head;
    DecodeFacts {
        model: subject.folder().display().to_string(),
        checkpoint_sha256: subject.checksum().to_owned(),
        architecture: subject.architecture().to_owned(),
        objective: subject.objective(),
        layers: model.n_layers(),
        task: request.task.as_ref().map(|task| [task.name.clone(), request.split.clone()]),
        metrics: material.metric_facts(),
        max_new_tokens: material.work.max_new_tokens,
        min_tokens: settings.min_tokens,
        exits: settings.exits.clone(),
        head: settings.head.to_string(),
        batch: material.work.batch,
        rounds: material.work.rounds,
        weights: subject.weights().to_owned(),
        device: subject.device().to_owned(),
        read_bytes_per_second: (arguments.texts.device == "cpu")
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
    let default = if arguments.texts.task.is_some() { SHOWN_OF_TASK } else { of_command };
    let shown = arguments.show.unwrap_or(default);
    let layers = results.facts.layers;
    if is_terminal && shown > 0 {
        ee_files::say!("exits {}\n", legend(layers).terminal());
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
            ee_files::note!("notice: {} with {}: {notice}", run.gate, run.kv);
        }
    }
    for notice in report::notices(results) {
        ee_files::note!("notice: {notice}");
    }
    ee_files::say!(
        "true early exit, head {}: texts may differ from the full model's\n",
        results.facts.head
    );
    ee_files::show!("{}\n{}", report::speed(results).plain(), report::fidelity(results).plain());
    Ok(())
}

fn print_passage(passage: &Passage, is_terminal: bool) {
    ee_files::say!("{}", passage.title);
    ee_files::say!("{}", if is_terminal { passage.terminal() } else { passage.text() });
    ee_files::say!("{}\n", passage.exits());
}
