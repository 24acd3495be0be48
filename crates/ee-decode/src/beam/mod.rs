//! Beam search: the best few beginnings of every text go on together.
//!
//! The rows of the batch are the unfinished hypotheses of all texts. What differs between the published searches is a
//! [`BeamRule`]. Sums are taken in f64 of log-probabilities over the whole vocabulary; a token that is never an answer
//! keeps its share of the probability, as in both fairseq and transformers. Ties go to the better hypothesis, then to
//! the lowest token. A text's hypotheses depend on nothing but its prompt: not on the batch, not on its neighbours.
//! Texts that are done leave the batch.

mod options;
mod rules;
mod text;

use ee_models::kernels::{self, Rows};
use ee_models::signal::{NotFinite, Wanted, log_probabilities};
use ee_models::{Decoder, Stream};

use self::options::Limits;
use self::text::Text;
use crate::error::Result;
use crate::lane::Lane;

pub use self::options::BeamOptions;
pub use self::rules::{BeamRule, LastToken, Progress, RULES, RuleChoice, by_name};

/// A way to continue a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// The new tokens, an end token included.
    pub tokens: Vec<u32>,
    /// Σ log p ÷ length ^ penalty, in nats; the length counts the end token, and tokens that the model's family forces
    /// after the start.
    pub score: f64,
}

/// Continues every prompt in the best [`BeamOptions::n_best`] ways, the best first.
///
/// # Errors
/// Options that make no sense for the model or one of the prompts; a prompt that cannot be continued; logits that are
/// not finite.
pub fn beams(
    model: &dyn Decoder,
    prompts: &[Vec<u32>],
    options: &BeamOptions,
) -> Result<Vec<Vec<Hypothesis>>> {
    let never = never(model);
    let limits = options.check(model, prompts, &never)?;
    let Some(&longest) = limits.new_tokens.iter().max() else { return Ok(Vec::new()) };
    let depth = options.depth.unwrap_or(model.n_layers());
    let search = Search { options, limits, never };
    let mut texts: Vec<Text> = (0..prompts.len()).map(Text::new).collect();
    let mut done = vec![Vec::new(); prompts.len()];
    // The last new token is never an input.
    let (mut lane, stream) = Lane::begin((model, depth), prompts, longest - 1);
    let mut stream = lane.layers(0..depth, stream, |_, _| ());
    loop {
        let said = search.read(&lane, &texts, &stream).map_err(ee_models::Error::from)?;
        let parents = search.advance(&mut texts, said, &mut done);
        if texts.is_empty() {
            return Ok(done);
        }
        lane.cache.keep(&parents);
        let tokens: Vec<u32> = texts.iter().flat_map(Text::last_tokens).collect();
        stream = lane.read(&tokens, Rows::Few, |_, _| ());
    }
}

/// Refuses what [`beams`] would refuse before its search.
///
/// # Errors
/// Options that make no sense for the model or one of the prompts.
pub fn check(model: &dyn Decoder, prompts: &[Vec<u32>], options: &BeamOptions) -> Result<()> {
    options.check(model, prompts, &never(model)).map(drop)
}

/// Tokens that are no answer: their bias says so.
fn never(model: &dyn Decoder) -> Vec<u32> {
    const RULED_OUT: f32 = -1e29;
    let Some(bias) = model.answer_weight().bias else { return Vec::new() };
    let bias: Vec<f32> = bias.into_data().try_into_vec_as().expect("a bias is numbers");
    (0..).zip(bias).filter(|(_, bias)| *bias < RULED_OUT).map(|(id, _)| id).collect()
}

/// What all steps have in common.
struct Search<'s> {
    options: &'s BeamOptions,
    limits: Limits,
    /// Tokens that are no answer.
    never: Vec<u32>,
}

impl Search<'_> {
    /// The best tokens of every row with their log-probabilities.
    fn read(
        &self,
        lane: &Lane<'_>,
        texts: &[Text],
        stream: &Stream,
    ) -> std::result::Result<Vec<Vec<(u32, f64)>>, NotFinite> {
        let (options, limits) = (self.options, &self.limits);
        let taken = texts[0].n_tokens();
        let mut ruled_out = self.never.clone();
        if taken < options.min_new_tokens {
            ruled_out.extend_from_slice(&limits.ends);
        }
        let best = Wanted::Best(options.candidates(limits.ends.len()), &ruled_out);
        let wanted = |text: &Text| match limits.last {
            LastToken::End if text.ends_now(limits) => Wanted::These(&limits.ends),
            LastToken::Certain(ref end) if text.ends_now(limits) => {
                Wanted::These(std::slice::from_ref(end))
            }
            _ => best,
        };
        let rows = texts.iter().flat_map(|text| std::iter::repeat_n(text, text.n_rows()));
        let wanted: Vec<Wanted<'_>> = rows.clone().map(wanted).collect();
        // The whole head: what is no answer has its share of the probability.
        let state = lane.model.head_state(lane.model.exit_state(stream), None);
        let [logits] = kernels::project(state, [lane.model.head_weight()], Rows::Few);
        log_probabilities(logits, lane.depth(), &wanted).map_err(|error| {
            let prompts: Vec<usize> = rows.map(|text| text.prompt).collect();
            error.of_row(|row| prompts[row]).at_token(taken)
        })
    }

    /// Lets every text take a token; gives, for every row that goes on, the row that it goes on from. Texts that are
    /// done are taken out.
    fn advance(
        &self,
        texts: &mut Vec<Text>,
        said: Vec<Vec<(u32, f64)>>,
        done: &mut [Vec<Hypothesis>],
    ) -> Vec<usize> {
        let (mut said, mut parents, mut first) = (said.into_iter(), Vec::new(), 0);
        texts.retain_mut(|text| {
            let n_rows = text.n_rows();
            let of_text = said.by_ref().take(n_rows).collect();
            let goes_on = text.advance(of_text, self.options, &self.limits);
            if goes_on {
                parents.extend(text.parents().map(|row| first + row));
            } else {
                done[text.prompt] = text.best(self.options.n_best);
            }
            first += n_rows;
            goes_on
        });
        parents
    }
}
