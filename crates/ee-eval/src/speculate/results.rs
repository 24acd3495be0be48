//! What `ee-eval speculate` stores.

use ee_decode::generate::Choice;
use ee_decode::speculate::Tally;
use ee_models::ExitModel;
use serde::{Deserialize, Serialize};

use super::Both;
use crate::cli::SpeculateArguments;
use crate::decode::measure::Timed;
use crate::decode::pace::Pace;
use crate::decoding::Request;
use crate::machine::Load;
use crate::machine::read_bandwidth;
use crate::spread::Spread;
use crate::subject::DecoderSubject;

/// The most memory that is read to measure how fast memory is.
const READ_AT_MOST: usize = 512 << 20;

/// One run of `ee-eval speculate`. Lossless: texts are the full model's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeculateResults {
    /// The checkpoint's folder.
    pub model: String,
    /// SHA-256 of its weights.
    pub checkpoint_sha256: String,
    /// N.
    pub layers: usize,
    /// The format of the weights as it was asked for.
    pub weights: String,
    /// The device.
    pub device: String,
    /// The task, where there is one.
    pub task: Option<String>,
    /// Texts.
    pub texts: usize,
    /// Texts per batch.
    pub batch: usize,
    /// Timed rounds.
    pub rounds: usize,
    /// New tokens per text at most.
    pub max_new_tokens: usize,
    /// Whether the most probable token is taken; drawn ones follow from the seed.
    pub greedy: bool,
    /// The sampling's temperature.
    pub temperature: Option<f64>,
    /// The sampling's seed.
    pub seed: u64,
    /// How drafts were made: an exit and a length, or `adaptive`.
    pub draft: String,
    /// Plain decoding.
    pub plain: Timing,
    /// Speculation.
    pub speculation: Timing,
    /// Speculation's tokens per second by plain decoding's.
    #[serde(flatten)]
    pub pace: Pace,
    /// The same batch by batch.
    pub ratio_per_batch: Spread,
    /// What other programs took of the machine meanwhile; none where the system does not tell.
    pub load: Option<Load>,
    /// α: the share of examined drafts that stayed.
    pub agreement: Option<f64>,
    /// The same by draft exit.
    pub acceptance: Vec<ExitAcceptance>,
    /// Plans and how often a row followed them.
    pub plans: Vec<PlanCount>,
    /// 1 + α + … + α^D for these plans and their exits' α.
    pub expected_tokens_per_round: f64,
    /// Tokens that a round gave a row.
    pub tokens_per_round: f64,
    /// Where speculation's time went.
    pub shares: Shares,
    /// What memory allows at most.
    pub bound: Bound,
    /// Whether all texts have the tokens of plain decoding; none for drawn texts.
    pub same_tokens: Option<bool>,
    /// Texts that have not.
    pub differing_texts: Option<usize>,
    /// By metric of the task.
    pub scores: Vec<MetricScores>,
    /// The version of this program.
    pub version: String,
}

/// How fast a way of decoding was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// New tokens of all rounds, end tokens included.
    pub tokens: usize,
    /// Seconds, prompts included.
    pub seconds: f64,
    /// New tokens per second.
    pub tokens_per_second: f64,
}

/// An exit's drafts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitAcceptance {
    /// The exit.
    pub exit: usize,
    /// Drafts on which the full model had its say.
    pub examined: usize,
    /// Drafts that stayed.
    pub accepted: usize,
}

/// How often a plan was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCount {
    /// The exit that drafted.
    pub exit: usize,
    /// Drafts that the row had room for; exit 0 with none is a step of plain decoding.
    pub drafts: usize,
    /// Rounds, counted once for each of their rows.
    pub row_rounds: usize,
}

/// Shares of speculation's time, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Reading prompts.
    pub prompts: f64,
    /// Layers up to the draft exit.
    pub draft_layers: f64,
    /// Layers above it.
    pub verification_layers: f64,
    /// The head, on drafts and on verified tokens.
    pub heads: f64,
    /// The head on every exit, to learn which agree.
    pub looks: f64,
    /// The rest.
    pub rest: f64,
}

/// Tokens per second if reading weights were all there is to do: prompts, keys and values cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Bytes of a layer's matrices.
    pub layer_bytes: usize,
    /// Bytes of the head.
    pub head_bytes: usize,
    /// What a plain loop on all threads reads per second, in GB.
    pub read_gb_per_second: f64,
    /// Of plain decoding, tokens per second.
    pub plain: f64,
    /// Of the rounds that there were, tokens per second.
    pub speculation: f64,
}

/// A metric's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricScores {
    /// The metric.
    pub name: String,
    /// How it was computed.
    pub signature: String,
    /// Of the speculated texts.
    pub score: f64,
    /// Of the plain ones.
    pub plain_score: f64,
}

impl SpeculateResults {
    pub(super) fn of(
        subject: &DecoderSubject,
        arguments: &SpeculateArguments,
        request: &Request,
        both: &Both,
        scores: Vec<MetricScores>,
    ) -> Self {
        let greedy = arguments.generate.sampling.choice() == Choice::Greedy;
        let pairs = both.plain.iter().zip(&both.speculated);
        let differing = pairs.filter(|(plain, found)| plain.tokens != found.tokens).count();
        let plain = Timing::of(&both.plain_timed);
        let speculation = Timing::of(&both.timed);
        let tally = &both.tally;
        Self {
            model: subject.folder().display().to_string(),
            checkpoint_sha256: subject.checksum().to_owned(),
            layers: subject.model().n_layers(),
            weights: subject.weights().to_owned(),
            device: subject.device().to_owned(),
            task: request.task.as_ref().map(|task| task.name.clone()),
            texts: both.speculated.len(),
            batch: arguments.batch,
            rounds: arguments.rounds,
            max_new_tokens: request.max_new_tokens,
            greedy,
            temperature: arguments.generate.sampling.temperature,
            seed: arguments.generate.sampling.seed.unwrap_or(0),
            draft: arguments.draft.to_string(),
            pace: Pace::of(&both.timed, &both.plain_timed),
            ratio_per_batch: ratios(both),
            load: both.load,
            bound: Bound::of(subject, both),
            plain,
            speculation,
            agreement: tally.agreement(),
            acceptance: acceptance(tally),
            plans: plans(tally),
            expected_tokens_per_round: tally.expected_tokens_per_round(),
            tokens_per_round: tally.tokens_per_round(),
            shares: Shares::of(tally),
            same_tokens: greedy.then_some(differing == 0),
            differing_texts: greedy.then_some(differing),
            scores,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Speculation's tokens per second by plain decoding's, batch by batch.
fn ratios(both: &Both) -> Spread {
    let rate = |batch: &Timed| batch.tokens as f64 / Spread::of(&batch.seconds).median;
    let pairs = both.timed.iter().zip(&both.plain_timed);
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
    let of = tally.plans.iter().map(|(plan, &row_rounds)| PlanCount {
        exit: plan.exit,
        drafts: plan.drafts,
        row_rounds,
    });
    of.collect()
}

impl Timing {
    fn of(timed: &[Timed]) -> Self {
        let tokens = timed.iter().map(|batch| batch.tokens * batch.seconds.len()).sum();
        let seconds = timed.iter().flat_map(|batch| &batch.seconds).sum();
        Self { tokens, seconds, tokens_per_second: tokens as f64 / seconds }
    }
}

impl Shares {
    fn of(tally: &Tally) -> Self {
        let seconds = tally.seconds;
        let share = |part: f64| part / seconds.total;
        Self {
            prompts: share(seconds.prompts),
            draft_layers: share(seconds.draft_layers),
            verification_layers: share(seconds.verification_layers),
            heads: share(seconds.draft_heads + seconds.verification_head),
            looks: share(seconds.looks),
            rest: share(seconds.rest()),
        }
    }
}

impl Bound {
    fn of(subject: &DecoderSubject, both: &Both) -> Self {
        let model = subject.model();
        let (layer_bytes, head_bytes) = subject.weight_bytes();
        let all = model.n_layers() * layer_bytes + head_bytes;
        let read = read_bandwidth(all.clamp(1 << 20, READ_AT_MOST), 5);
        let rate = |tokens: usize, layers: usize, heads: usize| {
            let bytes = layers * layer_bytes + heads * head_bytes;
            tokens as f64 * read / bytes.max(1) as f64
        };
        let (steps, tally) = (both.plain_steps, &both.tally);
        let plain_tokens: usize = both.plain.iter().map(|text| text.tokens.len()).sum();
        Self {
            layer_bytes,
            head_bytes,
            read_gb_per_second: read / 1e9,
            // The first token of each text comes with its prompt.
            plain: rate(plain_tokens - both.plain.len(), steps * model.n_layers(), steps),
            speculation: rate(tally.round_tokens, tally.layer_reads, tally.head_reads),
        }
    }
}
