//! `ee-eval recommend`: which way of decoding to use for a model and a task, or none.
//!
//! One half of the traced examples chooses thresholds and predicts speed ([`candidates`]), with one more pass of the
//! model over at most as many of its texts as a guarantee needs, for gates on states ([`half`]); the few settings
//! that promise most are timed beside plain decoding on some texts of the other half, and the quality of the few that
//! are faster there is judged on all its other texts. Only what was measured decides ([`decide`]), and is
//! corrected for every choice that was made ([`choose`]).

mod answer;
pub(crate) mod candidates;
pub(crate) mod choose;
mod cost;
pub(crate) mod decide;
pub(crate) mod half;
mod report;
mod results;
pub(crate) mod shortlist;
pub(crate) mod simulation;
mod times;

use std::path::{Path, PathBuf};

use ee_models::ExitModel;
use ee_models::gate::GATE_FILE;
use ee_tasks::{AnyTask, GenerationTask};

pub(crate) use results::{Origin, Recommendation};

use crate::advise::times::{Ask, Times};
use crate::certify::{Halves, examples};
use crate::cli::RecommendArguments;
use crate::error::{EvalError, Result};
use crate::exits::oracle;
use crate::exits::oracle::Ideal;
use crate::interrupt::Interrupt;
use crate::observe::tokens::{TokenWork, trace_tokens};
use crate::output::claim;
use crate::pace;
use crate::subject::DecoderSubject;
use crate::tokens::agreement_per_exit;
use crate::trace::{self, Shard, Trace};
use crate::trial::material::Material;
use crate::trial::quality::{EQUAL_TOKENS, Worth};
use crate::trial::{self, Trials, Way};
use candidates::{Candidate, Search};
use choose::{Live, Tried, choose};
use ee_decode::HeadChoice;
use half::{Source, state_asks};

/// Outputs that a pruned head reads.
const PRUNED: usize = 64;
/// Examples per batch of the trace.
const TRACE_BATCH: usize = 8;

/// Traces, predicts, tries, decides; prints the answer and writes what was asked for.
pub(crate) fn run(arguments: &RecommendArguments) -> Result<()> {
    let AnyTask::Generation(task) = AnyTask::read(&arguments.task)? else {
        let reason =
            "expected a task of generated text; for labels `ee-eval compare` measures every gate"
                .to_owned();
        return Err(EvalError::Setting { reason });
    };
    let kind = "a report of ee-eval recommend";
    let _lock = arguments.output.as_ref().map(|folder| claim(folder, kind)).transpose()?;
    let subject = DecoderSubject::open(&arguments.model, arguments.weights, &arguments.device)?;
    let interrupt = Interrupt::listen()?;
    let trace = traced(arguments, &task, &subject, &interrupt)?;
    let found = recommend(arguments, &task, &subject, &trace, &interrupt)?;
    for notice in &found.notices {
        ee_files::note!("notice: {notice}");
    }
    ee_files::say!("{}\n{}", report::table(&found).plain(), answer::answer(&found));
    if let Some(folder) = &arguments.output {
        ee_files::say!("\n{}", report::write(&found, folder)?.display());
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
    let source = Source::read(arguments, task, subject, trace)?;
    let [timed, further] = source.material(&held_out)?;
    let timed = timed.ok_or_else(|| EvalError::Empty { what: "there is no prompt".to_owned() })?;
    let state_asks = state_asks(arguments, model)?;
    let mut asks: Vec<Ask> = heads(subject)?.into_iter().map(Ask::Head).collect();
    asks.extend(state_asks.iter().cloned());
    let times = Times::measure(model, &timed.prompts, &asks);
    let mut search = Search {
        trace: &calibration,
        observed: None,
        times: &times,
        asks: &asks,
        keep: arguments.keep,
        confidence: arguments.confidence,
        min_tokens: arguments.min_tokens,
        max_new_tokens: source.max_new_tokens,
    };
    let confidence = search.confidence_of_each();
    let observed = source.observe(&calibration, &state_asks, confidence, interrupt)?;
    search.observed = observed.as_ref();
    let mut live =
        Texts { subject, timed: &timed, further: further.as_ref(), interrupt, trials: None };
    let chosen = choose(&search, arguments.tries, &mut live)?;
    let trials =
        live.trials.ok_or_else(|| EvalError::Empty { what: "nothing was tried".to_owned() })?;
    let state_texts = observed.as_ref().map_or(0, |of| examples(&of.trace).len());
    let mut notices = notices(arguments, &chosen.candidates);
    notices.extend(pace::notices(trials.load, trials.rounds));
    Ok(Recommendation {
        subject: words(&source),
        layers: model.n_layers(),
        weights: subject.weights().to_owned(),
        keep: arguments.keep,
        confidence: arguments.confidence,
        confidence_of_each_guarantee: confidence,
        doubt: chosen.doubt,
        min_tokens: arguments.min_tokens,
        seed: arguments.seed,
        calibration_texts: examples(&calibration).len(),
        held_out_texts: examples(&held_out).len(),
        state_texts,
        ideal: Ideal::of_trace(&calibration, &oracle::ideal_exits(&calibration)),
        agreement_per_exit: agreement_per_exit(&calibration),
        notices,
        candidates: chosen.candidates.iter().map(Candidate::results).collect(),
        tried: chosen.tried,
        trials,
        findings: chosen.findings,
        judged: chosen.judged,
        verdict: chosen.verdict,
        trace: trace.facts.clone(),
        times,
    })
}

/// The texts of the other half, decoded by the model.
struct Texts<'a> {
    subject: &'a DecoderSubject,
    timed: &'a Material,
    further: Option<&'a Material>,
    interrupt: &'a Interrupt,
    trials: Option<Trials>,
}

impl Live for Texts<'_> {
    fn timed(&mut self, ways: &[Way]) -> Result<Vec<Tried>> {
        trial::announce(self.subject, self.timed, ways.len())?;
        let mut trials = trial::run(self.subject, self.timed, ways, self.interrupt)?;
        trials.forget_prompts();
        let tried = trials.trials.iter().map(|trial| Tried {
            lossless: trial.lossless,
            pace: trial.pace,
            share: trials.kept(trial),
        });
        let tried = tried.collect();
        self.trials = Some(trials);
        Ok(tried)
    }

    fn further(&mut self, places: &[usize], ways: &[Way]) -> Result<Vec<Worth>> {
        let none = || vec![Worth::of_means(EQUAL_TOKENS, vec![]); places.len()];
        let (Some(material), Some(trials)) = (self.further, self.trials.as_mut()) else {
            return Ok(none());
        };
        trial::run_further(self.subject, material, (trials, places), ways, self.interrupt)?;
        let worth = places.iter().map(|&place| trials.further_worth(&trials.trials[place]));
        Ok(worth.collect::<Option<_>>().unwrap_or_else(none))
    }
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
fn words(source: &Source<'_>) -> String {
    let arguments = source.arguments;
    let mut words =
        format!("--model {} --task {}", arguments.model.display(), arguments.task.display());
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push_str(&format!(" --{name} {value}"));
        }
    };
    add("data-dir", arguments.data_dir.as_ref().map(|path: &PathBuf| path.display().to_string()));
    add("split", arguments.split.clone());
    // Thresholds that decay depend on it, and a given trace may have another number than the task.
    let n = source.max_new_tokens;
    add("max-new-tokens", (n != source.task.max_new_tokens).then(|| n.to_string()));
    words
}

fn notices(arguments: &RecommendArguments, candidates: &[Candidate]) -> Vec<String> {
    let mut notices = Vec::new();
    if !arguments.model.join(GATE_FILE).is_file() {
        let why = format!(
            "no learned gate was looked at: the checkpoint's folder holds no {GATE_FILE} (`ee-train gate`)"
        );
        notices.push(why);
    }
    let is_exit = |candidate: &&Candidate| matches!(candidate.way, Way::Exits(_));
    if !candidates.iter().any(|candidate| is_exit(&candidate)) {
        notices.push(
            "no gate can open at this quality: every threshold that keeps it never fires"
                .to_owned(),
        );
    } else if !candidates.iter().any(|candidate| candidate.origin == Origin::Guarantee) {
        notices.push(
            "no threshold could be guaranteed: too few examples for all that were looked at together, or too much differs \
             even at the tightest"
                .to_owned(),
        );
    }
    notices.push(
        "predictions judge each token on the full model's own context and count no bookkeeping; measurements decide"
            .to_owned(),
    );
    notices
}
