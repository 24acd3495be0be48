//! What `ee-eval speculate` stores and prints. Lossless: texts are the full model's.
//!
//! Greedy texts must be the same, token for token, and are compared; drawn ones have the same distribution. What was
//! counted, and where the time went, is of the run that gave the texts, which waits for the device between its parts.
//! Adaptive drafts follow from that clock, and make timed rounds wait, too.

use ee_decode::clock::Part;
use ee_decode::generate::{Choice, Sampling};
use ee_decode::speculate::{Plan, Tally};
use serde::Serialize;

use super::material::{Material, RunFacts};
use super::outputs::Texts;
use super::record::{Trials, on_prompts};
use super::way::{Way, draft_words};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::machine::{Load, MOST_READ, read_bandwidth};
use crate::pace::{Pace, Timed};
use crate::report::table::{Cell, Table};
use crate::spread::Spread;
use crate::subject::DecoderSubject;
use crate::trace::TextRecord;

/// One run of `ee-eval speculate`.
#[derive(Debug, Serialize)]
pub(crate) struct SpeculateResults {
    #[serde(flatten)]
    pub(crate) facts: RunFacts,
    texts: usize,
    /// Whether the most probable token is taken; drawn ones follow from the seed.
    greedy: bool,
    temperature: Option<f64>,
    seed: u64,
    /// How drafts were made: an exit and a length, or `adaptive`.
    draft: String,
    plain: Timing,
    speculation: Timing,
    #[serde(flatten)]
    pace: Pace,
    /// The ratio without prompts and first tokens; none where no text has a second token.
    step_speed_up: Option<f64>,
    /// Speculation's tokens per second by plain decoding's, batch by batch.
    ratio_per_batch: Spread,
    /// How much of the machine other programs used meanwhile; none where the system does not say.
    pub(crate) load: Option<Load>,
    /// α: the share of examined drafts that stayed.
    agreement: Option<f64>,
    acceptance: Vec<ExitAcceptance>,
    /// Plans and how often a row followed them.
    plans: Vec<PlanCount>,
    /// 1 + α + … + α^D for these plans and their exits' α.
    expected_tokens_per_round: f64,
    tokens_per_round: f64,
    shares: Shares,
    bound: Bound,
    /// Whether all texts have the tokens of plain decoding; none for drawn texts.
    same_tokens: Option<bool>,
    differing_texts: Option<usize>,
    scores: Vec<MetricScores>,
}

/// How fast a way of decoding was, in all rounds.
#[derive(Debug, Serialize)]
struct Timing {
    /// New tokens, end tokens included.
    tokens: usize,
    /// Prompts included.
    seconds: f64,
    tokens_per_second: f64,
}

/// An exit's drafts.
#[derive(Debug, Serialize)]
struct ExitAcceptance {
    exit: usize,
    /// Drafts that the full model judged.
    examined: usize,
    accepted: usize,
}

/// How often a plan was followed.
#[derive(Debug, Serialize)]
struct PlanCount {
    exit: usize,
    /// Drafts that the row had room for; exit 0 with none is a step of plain decoding.
    drafts: usize,
    /// Rounds, counted once for each of their rows.
    row_rounds: usize,
}

/// Shares of speculation's time, 0 to 1.
#[derive(Debug, Serialize)]
struct Shares {
    prompts: f64,
    /// Layers up to the draft exit.
    draft_layers: f64,
    /// Layers above it.
    verification_layers: f64,
    /// The head, on drafts and on verified tokens.
    heads: f64,
    /// The head on every exit, to learn which agree.
    looks: f64,
    rest: f64,
}

/// Tokens per second if reading weights were all there is to do: prompts, keys and values cost nothing.
#[derive(Debug, Serialize)]
struct Bound {
    layer_bytes: usize,
    head_bytes: usize,
    /// What a plain loop on all threads reads per second, in GB.
    read_gb_per_second: f64,
    plain: f64,
    /// Of the rounds that there were.
    speculation: f64,
}

/// A metric's scores.
#[derive(Debug, Serialize)]
struct MetricScores {
    name: String,
    signature: String,
    /// Of the speculated texts.
    score: f64,
    plain_score: f64,
}

/// Speculates with this plan, or with plans chosen while decoding; also returns the texts.
pub(crate) fn run(
    subject: &DecoderSubject,
    material: &Material,
    plan: Option<Plan>,
    interrupt: &Interrupt,
) -> Result<(SpeculateResults, Texts)> {
    let mut trials = super::run(subject, material, &[Way::Speculation(plan)], interrupt)?;
    let trial = trials.trials.remove(0);
    let tally = trial.drafted.expect("tokens are drafted").tally;
    let terms = material.terms;
    let sampling = match terms.choice {
        Choice::Greedy => None,
        Choice::Sample(sampling) => Some(sampling),
    };
    let (greedy, rounds) = (sampling.is_none(), terms.rounds);
    let results = SpeculateResults {
        facts: RunFacts::of(subject, material),
        texts: trial.texts.outputs.len(),
        greedy,
        temperature: sampling.map(|Sampling { temperature, .. }| temperature),
        seed: sampling.map_or(0, |Sampling { seed, .. }| seed),
        draft: draft_words(plan),
        plain: Timing::of(&trials.plain, rounds),
        speculation: Timing::of(&trial.texts, rounds),
        pace: trial.pace,
        step_speed_up: trial.step_speed_up,
        ratio_per_batch: ratios(&trial.timed, &trials.plain_timed),
        load: trials.load,
        agreement: tally.agreement(),
        acceptance: acceptance(&tally),
        plans: plans(&tally),
        expected_tokens_per_round: tally.expected_tokens_per_round(),
        tokens_per_round: tally.tokens_per_round(),
        shares: Shares::of(&tally),
        bound: Bound::of(subject, &trials, &tally),
        same_tokens: greedy.then_some(trial.fidelity.same_tokens),
        differing_texts: greedy.then_some(trial.fidelity.differing_texts),
        scores: scores(&trial.texts, &trials.plain),
    };
    Ok((results, trial.texts))
}

/// Speculation's tokens per second by plain decoding's, batch by batch.
fn ratios(ours: &[Timed], plain: &[Timed]) -> Spread {
    let rate = |batch: &Timed| batch.tokens as f64 / Spread::of(&batch.seconds).median;
    let pairs = ours.iter().zip(plain);
    Spread::of(&pairs.map(|(ours, plain)| rate(ours) / rate(plain)).collect::<Vec<_>>())
}

fn acceptance(tally: &Tally) -> Vec<ExitAcceptance> {
    let of = tally.acceptance.iter().map(|(&exit, of)| ExitAcceptance {
        exit,
        examined: of.examined,
        accepted: of.accepted,
    });
    of.filter(|of| of.examined > 0).collect()
}

fn plans(tally: &Tally) -> Vec<PlanCount> {
    let of = tally.plans.iter().map(|(&Plan { exit, drafts }, &row_rounds)| PlanCount {
        exit,
        drafts,
        row_rounds,
    });
    of.collect()
}

fn scores(ours: &Texts, plain: &Texts) -> Vec<MetricScores> {
    let pairs = ours.scores.iter().zip(&plain.scores);
    let both = pairs.map(|(ours, plain)| MetricScores {
        name: ours.name.clone(),
        signature: ours.signature.clone(),
        score: ours.score.unwrap_or(f64::NAN),
        plain_score: plain.score.unwrap_or(f64::NAN),
    });
    both.collect()
}

/// The texts as traces store them.
pub(crate) fn records(material: &Material, texts: &Texts) -> Vec<TextRecord> {
    let asked = material.request.examples.iter().zip(&material.prompts);
    let records =
        texts.outputs.iter().zip(asked).map(|(output, ((_, example), prompt))| TextRecord {
            example: output.example as u32,
            prompt: output.prompt.clone(),
            prediction: output.text.clone(),
            references: example.references.clone(),
            prompt_tokens: prompt.len(),
            new_tokens: output.tokens.len(),
            ended: output.ended,
            statistics: output.statistics.clone(),
        });
    records.collect()
}

impl Timing {
    fn of(texts: &Texts, rounds: usize) -> Self {
        let (tokens, seconds) = (rounds * texts.timed_tokens, texts.seconds);
        Self { tokens, seconds, tokens_per_second: tokens as f64 / seconds }
    }
}

impl Shares {
    fn of(tally: &Tally) -> Self {
        let clock = &tally.clock;
        let share = |part| clock.share(clock.spent(part));
        Self {
            prompts: clock.share(clock.prompts),
            draft_layers: share(Part::DraftLayers),
            verification_layers: share(Part::Layers),
            heads: share(Part::DraftHeads) + share(Part::Heads),
            looks: share(Part::Looks),
            rest: clock.share(clock.rest()),
        }
    }
}

impl Bound {
    fn of(subject: &DecoderSubject, trials: &Trials, tally: &Tally) -> Self {
        let n_layers = subject.model().n_layers();
        let (layer_bytes, head_bytes) = subject.weight_bytes();
        let all = n_layers * layer_bytes + head_bytes;
        let read = read_bandwidth(all.clamp(1 << 20, MOST_READ), 5);
        let rate = |tokens: usize, layers: usize, heads: usize| {
            let bytes = layers * layer_bytes + heads * head_bytes;
            tokens as f64 * read / bytes.max(1) as f64
        };
        // Each step of plain decoding reads all weights once; the first token of a text comes with its prompt.
        let steps = |batch: &Timed| -> usize {
            let tokens = batch.texts.iter().map(|&at| trials.plain.outputs[at].tokens.len());
            tokens.max().unwrap_or(0).saturating_sub(1)
        };
        let steps = trials.plain_timed.iter().map(steps).sum();
        Self {
            layer_bytes,
            head_bytes,
            read_gb_per_second: read / 1e9,
            plain: rate(trials.plain.step_tokens(), steps * n_layers, steps),
            speculation: rate(tally.round_tokens, tally.layer_reads, tally.head_reads),
        }
    }
}

/// One run: a line per measure, plain decoding beside speculation.
pub(crate) fn table(results: &SpeculateResults) -> Table {
    let r = results;
    let line =
        |name: &str, plain: Cell, speculation: Cell| vec![Cell::text(name), plain, speculation];
    let both = |name: &str, plain: f64, speculation: f64, decimals: usize| {
        line(name, Cell::number(plain, decimals), Cell::number(speculation, decimals))
    };
    let only = |name: &str, cell: Cell| line(name, Cell::Absent, cell);
    let share = |name: &str, share: f64| only(name, Cell::percent(share));
    let mut rows = vec![
        both("tokens per second", r.plain.tokens_per_second, r.speculation.tokens_per_second, 1),
        line("ratio", Cell::factor(1.0), Cell::factor(r.pace.speed_up)),
        only("lowest round", Cell::factor(r.pace.speed_up_by_round.min)),
        only("highest round", Cell::factor(r.pace.speed_up_by_round.max)),
        only("without prompts", r.step_speed_up.map_or(Cell::Absent, Cell::factor)),
        both("bound by reading weights, tokens per second", r.bound.plain, r.bound.speculation, 1),
        only("drafts", Cell::text(&r.draft)),
        only("drafts that stay (α)", r.agreement.map_or(Cell::Absent, |a| Cell::number(a, 3))),
        both("tokens per round, measured", 1.0, r.tokens_per_round, 2),
        both("tokens per round, 1 + α + … + α^D", 1.0, r.expected_tokens_per_round, 2),
        share("time in prompts", r.shares.prompts),
        share("time in drafting layers", r.shares.draft_layers),
        share("time in verifying layers", r.shares.verification_layers),
        share("time in heads", r.shares.heads),
        share("time in looking at all exits", r.shares.looks),
        share("rest", r.shares.rest),
    ];
    for score in &r.scores {
        rows.push(both(&score.name, score.plain_score, score.score, 3));
    }
    let same = match r.same_tokens {
        Some(true) => "yes".to_owned(),
        Some(false) => match r.differing_texts.unwrap_or(0) {
            1 => "no, 1 text differs".to_owned(),
            n => format!("no, {n} texts differ"),
        },
        None => "drawn: same distribution".to_owned(),
    };
    rows.push(only("same tokens as the full model", Cell::text(same)));
    Table {
        file: "speculate",
        title: "Lossless self-speculation".into(),
        note: format!(
            "Lossless: the texts are the full model's. Both ways ran in turn on {} texts, batch {}, {} rounds; the ratio is of the \
             medians of a batch's rounds. {}",
            r.texts,
            r.facts.batch,
            r.facts.rounds,
            on_prompts(r.facts.encoder_layers.is_some()),
        ),
        columns: vec!["lossless".into(), "plain".into(), "speculation".into()],
        rows,
    }
}
