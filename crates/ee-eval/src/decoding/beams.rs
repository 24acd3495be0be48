//! Texts by beam search.

use ee_decode::beam::{self, BeamOptions, Hypothesis, RuleChoice};
use serde::{Serialize, Serializer};

use super::Generated;
use crate::error::{EvalError, Result};
use crate::subject::DecoderSubject;

/// How beams are searched.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Beams {
    pub(crate) size: usize,
    #[serde(skip)]
    pub(crate) n_best: usize,
    #[serde(serialize_with = "typed")]
    pub(crate) rule: RuleChoice,
    pub(crate) length_penalty: f64,
    pub(crate) patience: f64,
    pub(crate) min_new_tokens: usize,
}

fn typed<S: Serializer>(rule: &RuleChoice, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(rule)
}

/// A text that a search found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) text: Generated,
    /// The sum of its tokens' log-probabilities, in nats, divided as the length penalty says.
    pub(crate) score: f64,
}

/// How far and where to search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach<'r> {
    pub(crate) max_new_tokens: usize,
    /// Layers that run.
    pub(crate) depth: usize,
    /// Texts at which a text ends: it is cut there.
    pub(crate) stop: &'r [String],
}

impl Beams {
    /// The best texts of some prompts; an error's row is a place among them, which `number` tells the number of.
    pub(crate) fn search(
        &self,
        subject: &DecoderSubject,
        prompts: &[Vec<u32>],
        reach: Reach<'_>,
        number: impl FnOnce(usize) -> usize,
    ) -> Result<Vec<Vec<Found>>> {
        let &Self { size, n_best, rule, length_penalty, patience, min_new_tokens } = self;
        let ends = subject.ends().to_vec();
        let options = BeamOptions {
            n_best,
            length_penalty,
            patience,
            min_new_tokens,
            depth: Some(reach.depth),
            ..BeamOptions::new(size, rule.0, reach.max_new_tokens, ends)
        };
        let found = beam::beams(subject.model(), prompts, &options);
        let found = found.map_err(|error| EvalError::from(error).of_examples(number))?;
        let of_prompt = |hypotheses: Vec<Hypothesis>| {
            hypotheses.into_iter().map(|of| found_text(subject, of, reach.stop)).collect()
        };
        found.into_iter().map(of_prompt).collect()
    }
}

fn found_text(subject: &DecoderSubject, of: Hypothesis, stop: &[String]) -> Result<Found> {
    let Hypothesis { tokens, score } = of;
    // As texts come that are shown token by token.
    let (mut text, mut stream) = (String::new(), subject.tokenizer().stream());
    for &token in &tokens {
        text.push_str(&stream.push(token)?);
    }
    text.push_str(&stream.finish()?);
    let cut = stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
    let has_ended = cut.is_some() || tokens.last().is_some_and(|end| subject.ends().contains(end));
    text.truncate(cut.unwrap_or(text.len()));
    Ok(Found { text: Generated { text, tokens, has_ended, ..Generated::default() }, score })
}
