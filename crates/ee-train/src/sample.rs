//! What the model writes at each validation: by its last exit, and by a middle one as if it were the last.

use ee_decode::generate::{Choice, Options, Unwatched, generate_from};
use ee_models::Decoder;
use ee_tasks::{TextExample, TextTokenizer};
use serde::Serialize;

use crate::error::Result;

/// Continues one prompt repeatedly.
pub(crate) struct Sampler {
    prompt: String,
    ids: Vec<u32>,
    tokenizer: TextTokenizer,
    options: Options,
}

/// What one exit wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sample {
    /// The exit, from 1.
    pub(crate) exit: usize,
    pub(crate) prompt: String,
    pub(crate) text: String,
}

impl Sampler {
    /// A sampler of `new_tokens` tokens at most, up to one of `ends`, after the prompt of an example; `None`
    /// where it would have nothing to do or no room in `positions`.
    pub(crate) fn new(
        example: Option<&TextExample>,
        tokenizer: &TextTokenizer,
        ends: &[u32],
        new_tokens: usize,
        positions: usize,
    ) -> Result<Option<Self>> {
        let prompt = example.map_or(String::new(), |example| example.prompt.clone());
        let mut ids = tokenizer.encode_prompt(&prompt)?;
        if ids.is_empty() {
            ids.extend(tokenizer.beginning_id().or(tokenizer.end_id()));
        }
        if ids.len() + new_tokens > positions {
            return Ok(None);
        }
        Ok(Self::of_ids(prompt, ids, tokenizer, ends, new_tokens))
    }

    /// The same of an encoder-decoder, whose prompt has positions of its own.
    pub(crate) fn of_pair(
        example: Option<&TextExample>,
        tokenizer: &TextTokenizer,
        ends: &[u32],
        new_tokens: usize,
        model: &dyn Decoder,
    ) -> Result<Option<Self>> {
        let Some(example) = example else { return Ok(None) };
        let ids = tokenizer.encode_prompt(&example.prompt)?;
        if ids.len() > model.longest_prompt(new_tokens) {
            return Ok(None);
        }
        Ok(Self::of_ids(example.prompt.clone(), ids, tokenizer, ends, new_tokens))
    }

    fn of_ids(
        prompt: String,
        ids: Vec<u32>,
        tokenizer: &TextTokenizer,
        ends: &[u32],
        new_tokens: usize,
    ) -> Option<Self> {
        if new_tokens == 0 || ids.is_empty() {
            return None;
        }
        let options = Options {
            max_new_tokens: new_tokens,
            choice: Choice::Greedy,
            ends: ends.to_vec(),
            first_number: 0,
        };
        Some(Self { prompt, ids, tokenizer: tokenizer.clone(), options })
    }

    /// The continuations by a middle exit and by the last.
    pub(crate) fn samples(&self, model: &dyn Decoder) -> Result<Vec<Sample>> {
        let last = model.n_layers();
        let mut exits = vec![last.div_ceil(2), last];
        exits.dedup();
        exits
            .into_iter()
            .map(|exit| {
                let prompts = std::slice::from_ref(&self.ids);
                let tokens = generate_from(model, exit, prompts, &self.options, &mut Unwatched)?;
                let text = self.tokenizer.decode(&tokens[0])?;
                Ok(Sample { exit, prompt: self.prompt.clone(), text })
            })
            .collect()
    }
}
