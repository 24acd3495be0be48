//! Several decoders on one task: ideal exits, gates on the trace, and every gate with every K/V policy and head
//! decoding for real, lossless speculation beside them.
//!
//! Two things make texts differ from the full model's: gates that leave too early, and stand-ins for the keys and
//! values of skipped layers. With ideal exits only the latter is left, so that a policy is seen alone: each
//! token leaves where the answer is already the last exit's.

mod findings;
mod paper;
mod plots;
mod report;
mod results;
mod tables;

use std::path::{Path, PathBuf};

use ee_decode::generate::Choice;
use ee_tasks::{GenerationTask, TextExample};
use indexmap::IndexMap;

use results::FIXED;
pub(crate) use results::{TextComparison, TextResults};

use crate::advise::heads;
use crate::decoding::{Limits, Request};
use crate::error::Result;
use crate::exits::ideal;
use crate::interrupt::Interrupt;
use crate::observe::tokens::{TokenWork, trace_tokens};
use crate::output::claim;
use crate::pace;
use crate::subject::DecoderSubject;
use crate::tokens::{TokenGate, Watched, agreement_per_exit};
use crate::trace::{Shard, Trace};
use crate::trial::material::{Material, Terms};
use crate::trial::{self, Way};
use ee_decode::policy::POLICIES;
use ee_decode::rule::{ExitRule, Rule};
use ee_decode::{HeadChoice, Settings};

/// The doubt that statements on further texts leave together.
const DOUBT: f64 = 0.05;

/// How decoders are compared.
pub(crate) struct TextScope {
    /// The scope that labels share; there is one batch size for speed.
    pub(crate) common: super::Scope,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) split: String,
    pub(crate) limit: Option<usize>,
    pub(crate) min_tokens: usize,
    pub(crate) max_new_tokens: Option<usize>,
    pub(crate) truncate: bool,
    pub(crate) allow_code_execution: bool,
}

/// Compares decoders, by name, and writes the folder; returns the page's path and the headline table.
pub(crate) fn compare(
    task: &GenerationTask,
    opened: &[(String, DecoderSubject)],
    settings: &TextScope,
) -> Result<(PathBuf, String)> {
    let _lock = claim(&settings.common.output, super::REPORT)?;
    let interrupt = Interrupt::listen()?;
    let mut models = IndexMap::new();
    // "Yes" and "no" of every model have to hold together.
    let doubt = DOUBT / (2 * opened.len()) as f64;
    for (name, subject) in opened {
        ee_files::note!("{name}: {}", subject.folder().display());
        let examination = Examination { settings, task, subject, doubt, interrupt: &interrupt };
        models.insert(name.clone(), examination.run(name)?);
    }
    let mut comparison = TextComparison {
        task: task.name.clone(),
        split: settings.split.clone(),
        keep: settings.common.keep,
        min_tokens: settings.min_tokens,
        findings: Vec::new(),
        models,
    };
    comparison.findings = findings::sentences(&comparison);
    let page = report::write(&comparison, &settings.common.output)?;
    let headline = tables::headline(&comparison).plain();
    Ok((page, format!("{headline}\n{}\n", comparison.findings.join("\n"))))
}

/// One checkpoint under examination.
struct Examination<'a> {
    settings: &'a TextScope,
    task: &'a GenerationTask,
    subject: &'a DecoderSubject,
    /// That statements on further texts of this model leave together.
    doubt: f64,
    interrupt: &'a Interrupt,
}

impl Examination<'_> {
    fn run(&self, name: &str) -> Result<TextResults> {
        let common = &self.settings.common;
        let path = common.output.join(format!("traces/{name}.parquet"));
        let trace = self.trace(&path)?;
        let summary = ideal::summaries(&[path])?.remove(0);
        let layers = trace.layers();
        let all: Vec<usize> = (1..layers).collect();
        let watched = Watched::new(&trace, &all, self.settings.min_tokens)?;
        let mut gates: IndexMap<String, TokenGate> = IndexMap::new();
        let (mut set, mut notices) = (Vec::new(), summary.notices.clone());
        for (name, judged, found) in watched.gates(common.keep) {
            gates.insert(name.to_owned(), judged);
            match found {
                Some(found) => set.push(found),
                None => notices.push(format!("{name} cannot open without losing too many tokens")),
            }
        }
        // The model cut off where that keeps enough, else as late as possible.
        let mildest = ExitRule::fixed((layers - 1).max(1));
        let cut = watched.cut_keeping(common.keep).unwrap_or(mildest);
        gates.insert(FIXED.to_owned(), watched.judge(cut));
        let ways = ways(&set, cut, &all, &heads(self.subject), self.settings.min_tokens);
        let material = self.material(&trace)?;
        trial::announce(self.subject, &material, ways.len())?;
        let mut trials = trial::run(self.subject, &material, &ways, self.interrupt)?;
        trials.forget_prompts();
        notices.extend(pace::notices(trials.load, trials.rounds));
        Ok(TextResults {
            qualities: trials.qualities(common.keep, self.doubt),
            confidence_per_exit: trace.mean_confidences(),
            agreement_per_exit: agreement_per_exit(&trace),
            summary,
            gates,
            trials,
            notices,
        })
    }

    fn trace(&self, output: &Path) -> Result<Trace> {
        let work = TokenWork {
            task: self.task,
            data_dir: self.settings.data_dir.as_deref(),
            split: Some(&self.settings.split),
            limit: self.settings.limit,
            shard: Shard::WHOLE,
            batch: self.settings.common.batch,
            max_new_tokens: self.settings.max_new_tokens,
            teacher_forced: false,
            truncate: self.settings.truncate,
            allow_code_execution: self.settings.allow_code_execution,
            output,
        };
        trace_tokens(self.subject, &work, self.interrupt)
    }

    /// The examples that are decoded for real, at even distances.
    fn material(&self, trace: &Trace) -> Result<Material> {
        let TextScope { common, data_dir, split, limit, .. } = self.settings;
        let all = self.task.read_split(split, data_dir.as_deref(), *limit)?;
        let all = all.examples;
        let count = all.len().min(common.speed_rows);
        let numbers = (0..count).map(|at| at * all.len() / count);
        let chosen: Vec<(usize, TextExample)> =
            numbers.map(|number| (number, all[number].clone())).collect();
        let of_trace = trace.facts.generation.as_ref().map(|facts| facts.max_new_tokens);
        let truncate = self.settings.truncate;
        let limits = Limits { max_new_tokens: of_trace, truncate, stop: vec![] };
        let request = Request::of_examples(self.task.clone(), split, chosen, limits);
        let terms = Terms {
            choice: Choice::Greedy,
            batch: common.speed_batches[0],
            rounds: common.rounds,
            allow_code_execution: self.settings.allow_code_execution,
        };
        Material::new(self.subject, request, terms)
    }
}

/// Ideal exits and the model cut off with every policy, every gate with every policy and head, and speculation.
fn ways(
    gates: &[ExitRule],
    cut: ExitRule,
    exits: &[usize],
    heads: &[HeadChoice],
    min_tokens: usize,
) -> Vec<Way> {
    let full = HeadChoice::default();
    let mut ways = Vec::new();
    for policy in POLICIES.iter().copied().filter(|policy| policy.takes_effect()) {
        let mut add = |rule, head| {
            let exits = exits.to_vec();
            ways.push(Way::Exits(Settings { rule, policy, head, exits, min_tokens, fitted: None }));
        };
        add(ExitRule { rule: Rule::Ideal, decays: false }, full);
        add(cut, full);
        for &gate in gates {
            heads.iter().for_each(|&head| add(gate, head));
        }
    }
    ways.push(Way::Speculation(None));
    ways
}
