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
mod origin;
mod report;
mod results;
pub(crate) mod shortlist;
pub(crate) mod simulation;
mod times;

use std::path::PathBuf;

use ee_models::gate::GATE_FILE;
use ee_tasks::GenerationTask;

pub(crate) use answer::answer;
pub(crate) use origin::Origin;
pub(crate) use report::{table, write};
pub(crate) use results::Recommendation;

use crate::advise::times::{Ask, Times};
use crate::certify::{Halves, examples};
use crate::error::{EvalError, Result};
use crate::exits::oracle;
use crate::exits::oracle::Ideal;
use crate::interrupt::Interrupt;
use crate::pace;
use crate::subject::DecoderSubject;
use crate::tokens::agreement_per_exit;
use crate::trace::Trace;
use crate::trial::material::Material;
use crate::trial::quality::{EQUAL_TOKENS, Worth};
use crate::trial::{self, Trials, Way};
use candidates::{Candidate, Search};
use choose::{Live, Tried, choose};
use ee_decode::HeadChoice;
use half::{Source, state_asks};

/// Outputs that a pruned head reads.
const PRUNED: usize = 64;

/// What is looked for, and how hard.
pub(crate) struct Wanted {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) split: String,
    /// The words of the command line that say what is decoded.
    pub(crate) words: String,
    pub(crate) keep: f64,
    /// Of everything that is promised.
    pub(crate) confidence: f64,
    pub(crate) min_tokens: usize,
    pub(crate) max_new_tokens: usize,
    pub(crate) tries: usize,
    /// Texts that are timed at most.
    pub(crate) live_rows: usize,
    pub(crate) rounds: usize,
    pub(crate) seed: u64,
    pub(crate) truncate: bool,
    pub(crate) allow_code_execution: bool,
}

/// Predicts, tries, decides.
pub(crate) fn recommend(
    settings: &Wanted,
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
    let Halves { calibration, held_out } = Halves::draw(trace, settings.seed);
    let model = subject.model();
    let source = Source::read(settings, task, subject)?;
    let [timed, further] = source.material(&held_out)?;
    let timed = timed.ok_or_else(|| EvalError::Empty { what: "there is no prompt".to_owned() })?;
    let state_asks = state_asks(subject)?;
    let mut asks: Vec<Ask> = heads(subject).into_iter().map(Ask::Head).collect();
    asks.extend(state_asks.iter().cloned());
    let times = Times::measure(model, &timed.prompts, &asks);
    let mut search = Search {
        trace: &calibration,
        observed: None,
        times: &times,
        asks: &asks,
        keep: settings.keep,
        confidence: settings.confidence,
        min_tokens: settings.min_tokens,
        max_new_tokens: settings.max_new_tokens,
    };
    let confidence = search.confidence_of_each();
    let observed = source.observe(&calibration, &state_asks, confidence, interrupt)?;
    search.observed = observed.as_ref();
    let mut live =
        Texts { subject, timed: &timed, further: further.as_ref(), interrupt, trials: None };
    let chosen = choose(&search, settings.tries, &mut live)?;
    let trials =
        live.trials.ok_or_else(|| EvalError::Empty { what: "nothing was tried".to_owned() })?;
    let state_texts = observed.as_ref().map_or(0, |of| examples(&of.trace).len());
    let mut notices = notices(subject, &chosen.candidates);
    notices.extend(pace::notices(trials.load, trials.rounds));
    Ok(Recommendation {
        subject: settings.words.clone(),
        layers: model.n_layers(),
        weights: subject.weights().to_owned(),
        keep: settings.keep,
        confidence: settings.confidence,
        confidence_of_each_guarantee: confidence,
        doubt: chosen.doubt,
        min_tokens: settings.min_tokens,
        seed: settings.seed,
        calibration_texts: examples(&calibration).len(),
        held_out_texts: examples(&held_out).len(),
        state_texts,
        ideal: Ideal::of_trace(&calibration, &oracle::ideal_exits(&calibration)),
        agreement_per_exit: agreement_per_exit(&calibration),
        notices,
        candidates: chosen.candidates,
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

/// The heads that gates on signals can ask for this vocabulary.
pub(crate) fn heads(subject: &DecoderSubject) -> Vec<HeadChoice> {
    // For a vocabulary hardly larger, pruning saves nothing.
    let prunes = subject.vocabulary_size() > 2 * PRUNED;
    HeadChoice::asked(PRUNED).filter(|choice| prunes || !choice.head.has_number()).collect()
}

fn notices(subject: &DecoderSubject, candidates: &[Candidate]) -> Vec<String> {
    let mut notices = Vec::new();
    if !subject.folder().join(GATE_FILE).is_file() {
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
