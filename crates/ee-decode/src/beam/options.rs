use ee_models::Decoder;

use super::rules::{BeamRule, LastToken};
use crate::error::{Error, Result};
use crate::lane::check_prompt;

/// How beams are searched.
#[derive(Clone, Debug)]
pub struct BeamOptions {
    /// Unfinished hypotheses that a text goes on with; 1 is greedy.
    pub size: usize,
    /// Hypotheses that are given of each text.
    pub n_best: usize,
    /// When a text is done.
    pub rule: &'static dyn BeamRule,
    /// Finished hypotheses that a rule that can wait waits for, as a multiple of the size.
    pub patience: f64,
    /// The exponent of the length that sums are divided by: 0 leaves sums, above 0 prefers longer texts.
    pub length_penalty: f64,
    /// New tokens before an end.
    pub min_new_tokens: usize,
    /// New tokens at most, the end included.
    pub max_new_tokens: usize,
    /// (a, b): at most a · n + b tokens before the end, too, of a prompt of n tokens.
    pub max_length: Option<(f64, f64)>,
    /// Tokens that end a text.
    pub ends: Vec<u32>,
    /// The layers that run, if not all: the head then reads the exit after them.
    pub depth: Option<usize>,
}

/// What follows from the options for some prompts.
pub(super) struct Limits {
    /// New tokens of each prompt at most.
    pub new_tokens: Vec<usize>,
    /// Tokens that end a text, each once.
    pub ends: Vec<u32>,
    /// Tokens that the decoder begins with after the start; they count towards the length.
    pub forced: usize,
    /// What the last token of a text of the longest length may be.
    pub last: LastToken,
    /// Finished hypotheses that are waited for.
    pub most: usize,
}

impl BeamOptions {
    /// The best hypothesis of every text, with penalty 1 and no shortest length.
    pub fn new(
        size: usize,
        rule: &'static dyn BeamRule,
        max_new_tokens: usize,
        ends: Vec<u32>,
    ) -> Self {
        Self {
            size,
            n_best: 1,
            rule,
            patience: 1.0,
            length_penalty: 1.0,
            min_new_tokens: 0,
            max_new_tokens,
            max_length: None,
            ends,
            depth: None,
        }
    }

    /// Ways to go on that are looked at of each text.
    pub(super) fn candidates(&self, n_ends: usize) -> usize {
        self.size.saturating_mul(1 + n_ends.max(1))
    }

    /// Refuses options that make no sense for the model or one of the prompts.
    pub(super) fn check(
        &self,
        model: &dyn Decoder,
        prompts: &[Vec<u32>],
        never: &[u32],
    ) -> Result<Limits> {
        let complain = |reason: String| Err(Error::Setting { reason });
        let Self { size, n_best, patience, length_penalty, .. } = *self;
        let (vocabulary, layers) = (model.vocabulary_size(), model.n_layers());
        if size == 0 {
            return complain("a beam of 0: expected 1 or more".to_owned());
        }
        if n_best == 0 || n_best > size {
            return complain(format!(
                "the best {n_best} of a beam of {size}: expected 1 to {size}"
            ));
        }
        if !length_penalty.is_finite() {
            return complain(format!("length penalty {length_penalty}: expected a finite number"));
        }
        if !(patience > 0.0 && patience.is_finite()) {
            return complain(format!("patience {patience}: expected a number above 0"));
        }
        if patience != 1.0 && !self.rule.has_patience() {
            return complain(format!("the rule {} knows no patience", self.rule.name()));
        }
        let most = (size as f64 * patience).round() as usize;
        if most < n_best {
            return complain(format!(
                "the best {n_best}: a beam of {size} with patience {patience} waits for {most} alone"
            ));
        }
        if let Some(depth) = self.depth.filter(|&depth| depth == 0 || depth > layers) {
            return complain(format!("exit {depth}: expected 1 to {layers}, the model's layers"));
        }
        let mut ends = self.ends.clone();
        ends.sort_unstable();
        ends.dedup();
        if let Some(end) = ends.iter().find(|&&end| end as usize >= vocabulary) {
            return complain(format!("end token {end} is not in the vocabulary of {vocabulary}"));
        }
        let last = self.rule.last_token(model.forced_end());
        if last == LastToken::End && ends.is_empty() {
            return complain(format!(
                "the rule {} needs a token that ends texts",
                self.rule.name()
            ));
        }
        // The first step goes on from one hypothesis alone.
        let (needed, there) = (self.candidates(ends.len()), vocabulary - never.len());
        if needed > there {
            return complain(format!(
                "a beam of {size} looks at {needed} tokens in the first step; the vocabulary has {there}"
            ));
        }
        let new_tokens = prompts.iter().enumerate().map(|(row, prompt)| {
            let new = self.longest(prompt.len())?;
            check_prompt(model, row, prompt, new)?;
            if self.min_new_tokens >= new {
                let (least, before) = (self.min_new_tokens, new - 1);
                let reason = format!(
                    "prompt {row}: at least {least} tokens before the end, and at most {before}"
                );
                return Err(Error::Setting { reason });
            }
            Ok(new)
        });
        let forced = model.opening().len().saturating_sub(1);
        Ok(Limits { new_tokens: new_tokens.collect::<Result<_>>()?, ends, forced, last, most })
    }

    /// New tokens of a prompt of n tokens at most, the end included.
    fn longest(&self, n: usize) -> Result<usize> {
        let of_source = match self.max_length {
            None => usize::MAX,
            Some((a, b)) => {
                let before = a * n as f64 + b;
                if !(before >= 0.0 && before.is_finite()) {
                    return Err(Error::Setting {
                        reason: format!(
                            "longest length {a} · {n} + {b}: expected 0 tokens or more"
                        ),
                    });
                }
                (before as usize).saturating_add(1)
            }
        };
        match self.max_new_tokens.min(of_source) {
            0 => Err(Error::Setting { reason: "0 new tokens: expected 1 or more".to_owned() }),
            longest => Ok(longest),
        }
    }
}
