//! `ee-eval recommend`: which way of decoding to use for a model and a task, or none.
//!
//! One half of the traced examples chooses thresholds and predicts speed ([`candidates`]); the few settings that
//! promise most are tried on the other half beside plain decoding, and only what was measured there decides
//! ([`decide`]).

mod answer;
pub mod candidates;
pub mod decide;
mod report;
mod results;

use std::path::{Path, PathBuf};

use ee_models::ExitModel;
use ee_tasks::{AnyTask, GenerationTask, TextExample};

pub use results::{Origin, Recommendation};

use crate::arguments::RecommendArguments;
use crate::calibrate::{Halves, examples};
use crate::decode::HeadChoice;
use crate::decode::material::{Continuation, Material};
use crate::decode::measure::Way;
use crate::decoding::DecoderSubject;
use crate::error::{EvalError, Result};
use crate::forecast::agreement_per_exit;
use crate::forecast::times::Times;
use crate::interrupt::Interrupt;
use crate::oracle;
use crate::output::check_writable;
use crate::results::Ideal;
use crate::trace::tokens::{TokenWork, trace_tokens};
use crate::trace::{self, Shard, Trace};
use crate::trial;
use candidates::{Candidate, Search, candidates, shortlist};
use decide::{Finding, decide};

/// Outputs that a pruned head reads.
const PRUNED: usize = 64;
/// Examples per batch of the trace.
const TRACE_BATCH: usize = 8;

/// Traces, predicts, tries, decides; prints the answer and writes what was asked for.
///
/// # Errors
/// A task of labels; what opening the checkpoint or reading the task says; a trace of something else; too few
/// examples; an interrupt.
pub fn run(arguments: &RecommendArguments) -> Result<()> {
    let AnyTask::Generation(task) = AnyTask::read(&arguments.task)? else {
        let reason =
            "expected a task of generated text; for labels `ee-eval compare` measures every gate"
                .to_owned();
        return Err(EvalError::Setting { reason });
    };
    if let Some(folder) = &arguments.output {
        check_writable(&folder.join("results.json"))?;
    }
    let subject = DecoderSubject::open(&arguments.model, arguments.weights, &arguments.device)?;
    let interrupt = Interrupt::listen()?;
    let trace = traced(arguments, &task, &subject, &interrupt)?;
    let found = recommend(arguments, &task, &subject, &trace, &interrupt)?;
    for notice in &found.notices {
        eprintln!("notice: {notice}");
    }
    println!("{}\n{}", report::table(&found).plain(), answer::answer(&found));
    if let Some(folder) = &arguments.output {
        println!("\n{}", report::write(&found, folder)?.display());
    }
    Ok(())
}

/// The trace that was given, or a new one.
fn traced(
    arguments: &RecommendArguments,
    task: &GenerationTask,
    subject: &DecoderSubject,
    interrupt: &Interrupt,
) -> Result<Trace> {
    let split = split(arguments, task);
    if !arguments.trace.is_empty() {
        let trace = trace::read_all(&arguments.trace)?.trace;
        let facts = &trace.facts;
        let same = |key, found: &str, expected: &str| match found == expected {
            true => Ok(()),
            false => {
                Err(EvalError::OtherTrace { key, expected: expected.into(), found: found.into() })
            }
        };
        same("checkpoint_sha256", &facts.checkpoint_sha256, subject.checksum())?;
        same("task", &facts.task, &task.name)?;
        same("split", &facts.split, split)?;
        return Ok(trace);
    }
    let temporary;
    let folder: &Path = match &arguments.output {
        Some(folder) => folder,
        None => {
            let here = std::env::temp_dir();
            temporary = tempfile::tempdir().map_err(|source| EvalError::Io {
                action: "write",
                path: here,
                source,
            })?;
            temporary.path()
        }
    };
    let work = TokenWork {
        task,
        data_dir: arguments.data_dir.as_deref(),
        split: Some(split),
        limit: Some(arguments.limit),
        shard: Shard::WHOLE,
        batch: TRACE_BATCH,
        max_new_tokens: arguments.max_new_tokens,
        teacher_forced: false,
        truncate: arguments.truncate,
        allow_code_execution: arguments.allow_code_execution,
        output: &folder.join("trace.parquet"),
    };
    trace_tokens(subject, &work, interrupt)
}

fn split<'a>(arguments: &'a RecommendArguments, task: &'a GenerationTask) -> &'a str {
    arguments.split.as_deref().unwrap_or(&task.evaluation_split)
}

fn recommend(
    arguments: &RecommendArguments,
    task: &GenerationTask,
    subject: &DecoderSubject,
    trace: &Trace,
    interrupt: &Interrupt,
) -> Result<Recommendation> {
    let n = examples(trace).len();
    if n < 2 {
        let what = format!("expected at least 2 examples, one per half, found {n}");
        return Err(EvalError::Empty { what });
    }
    let Halves { calibration, held_out } = Halves::draw(trace, arguments.seed);
    let model = subject.model();
    let material = material(arguments, task, subject, &held_out)?;
    let heads = heads(subject)?;
    let times = Times::measure(model, &material.work.prompts, &heads);
    let search = Search {
        trace: &calibration,
        times: &times,
        heads: &heads,
        keep: arguments.keep,
        confidence: arguments.confidence,
        min_tokens: arguments.min_tokens,
    };
    let candidates = candidates(&search)?;
    let tried = shortlist(&candidates, arguments.tries);
    let ways: Vec<Way> = tried.iter().map(|&at| candidates[at].way.clone()).collect();
    let trials = trial::run(subject, &material, &ways, interrupt)?;
    let findings = trials.trials.iter().map(|trial| Finding {
        lossless: trial.lossless,
        kept: trials.keeps(trial, arguments.keep),
        speed_up: trial.speed_up_by_round.median,
        at_least: trial.speed_up_interval.map(|[low, _]| low),
    });
    let verdict = decide(&findings.collect::<Vec<_>>());
    Ok(Recommendation {
        subject: words(arguments),
        layers: model.n_layers(),
        weights: subject.weights().to_owned(),
        keep: arguments.keep,
        confidence: arguments.confidence,
        min_tokens: arguments.min_tokens,
        seed: arguments.seed,
        calibration_texts: examples(&calibration).len(),
        held_out_texts: examples(&held_out).len(),
        ideal: Ideal::of_trace(&calibration, &oracle::ideal_exits(&calibration)),
        agreement_per_exit: agreement_per_exit(&calibration),
        times,
        notices: notices(&candidates),
        candidates: candidates.iter().map(Candidate::results).collect(),
        tried,
        trials,
        verdict,
        trace: trace.facts.clone(),
    })
}

/// The examples of the other half that are tried, at even distances.
fn material(
    arguments: &RecommendArguments,
    task: &GenerationTask,
    subject: &DecoderSubject,
    held_out: &Trace,
) -> Result<Material> {
    let numbers: Vec<usize> =
        examples(held_out).into_iter().map(|rows| held_out.example[rows.start] as usize).collect();
    let split = split(arguments, task);
    let of_trace = held_out.facts.generation.as_ref().map(|facts| facts.max_new_tokens);
    let all = task.read_split(split, arguments.data_dir.as_deref(), None)?.examples;
    let count = numbers.len().min(arguments.live_rows);
    let chosen: Vec<(usize, TextExample)> = (0..count)
        .map(|at| numbers[at * numbers.len() / count])
        .filter_map(|number| Some((number, all.get(number)?.clone())))
        .collect();
    let continuation = Continuation {
        max_new_tokens: arguments.max_new_tokens.or(of_trace),
        stop: Vec::new(),
        truncate: arguments.truncate,
        batch: 1,
        rounds: arguments.rounds,
        allow_code_execution: arguments.allow_code_execution,
    };
    Material::of_examples(subject, task, split, chosen, continuation)
}

/// The heads that gates on signals can ask of this vocabulary.
pub(crate) fn heads(subject: &DecoderSubject) -> Result<Vec<HeadChoice>> {
    let mut heads: Vec<HeadChoice> = vec!["full".parse()?];
    // Of a vocabulary hardly larger, pruning saves nothing.
    if subject.vocabulary_size() > 2 * PRUNED {
        heads.push(format!("pruned:{PRUNED}").parse()?);
    }
    Ok(heads)
}

/// The words of the command line that say what is decoded.
fn words(arguments: &RecommendArguments) -> String {
    let mut words =
        format!("--model {} --task {}", arguments.model.display(), arguments.task.display());
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push_str(&format!(" --{name} {value}"));
        }
    };
    add("data-dir", arguments.data_dir.as_ref().map(|path: &PathBuf| path.display().to_string()));
    add("split", arguments.split.clone());
    add("max-new-tokens", arguments.max_new_tokens.map(|n| n.to_string()));
    words
}

fn notices(candidates: &[Candidate]) -> Vec<String> {
    let mut notices = Vec::new();
    let is_exit = |candidate: &&Candidate| matches!(candidate.way, Way::Exits(_));
    if !candidates.iter().any(|candidate| is_exit(&candidate)) {
        notices.push(
            "no gate can open at this quality: every threshold that keeps it never fires"
                .to_owned(),
        );
    } else if !candidates.iter().any(|candidate| candidate.origin == Origin::Guarantee) {
        notices.push("no threshold could be guaranteed: too few examples, or too much differs even at the tightest".to_owned());
    }
    notices.push(
        "predictions judge each token on the full model's own context and count no bookkeeping; measurements decide"
            .to_owned(),
    );
    notices
}
