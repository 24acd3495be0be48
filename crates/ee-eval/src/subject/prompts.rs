use ee_models::Decoder;

use crate::error::{EvalError, Result};

/// A prompt that fits; without ids for an empty text that an encoder would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) ids: Vec<u32>,
    pub(crate) is_truncated: bool,
}

/// The room that prompts have: an encoder's positions, or those that a decoder's new tokens leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Positions of the decoder.
    positions: usize,
    /// How many of them new tokens need.
    new_tokens: usize,
    /// Tokens of the longest prompt; 0 where there cannot be so many new ones.
    longest: usize,
    /// Whether an encoder reads the prompts.
    pub(crate) has_encoder: bool,
    /// Whether longer prompts are cut rather than refused.
    truncate: bool,
}

impl Room {
    /// That of a model whose prompts so many new tokens must be able to follow.
    pub(crate) fn of(model: &dyn Decoder, new_tokens: usize, truncate: bool) -> Self {
        Self {
            positions: model.max_positions(),
            new_tokens,
            longest: model.longest_prompt(new_tokens),
            has_encoder: !model.opening().is_empty(),
            truncate,
        }
    }

    /// So many tokens show that a prompt does not fit.
    pub(crate) fn enough(self) -> usize {
        self.positions.max(self.longest).saturating_add(1)
    }

    /// A prompt, whole or, on request, cut to fit. Of a decoder's the first token and the end are kept, as the one
    /// begins a text and the other says what is asked; of an encoder's the beginning and the end token.
    pub(crate) fn fit(self, example: usize, mut ids: Vec<u32>) -> Result<Prompt> {
        let Self { positions, new_tokens, longest, has_encoder, truncate } = self;
        let complain = |reason: String| Err(EvalError::Prompt { example, reason });
        if ids.is_empty() {
            return complain("it has no tokens, and the model no token that begins a text".into());
        }
        if longest < 2 {
            return complain(match has_encoder {
                true => format!(
                    "{new_tokens} new tokens do not fit the decoder's {positions} positions"
                ),
                false => format!(
                    "{new_tokens} new tokens leave no room for it in the model's {positions} positions"
                ),
            });
        }
        if ids.len() <= longest {
            return Ok(Prompt { ids, is_truncated: false });
        }
        if !truncate {
            // A long text may not have been tokenized to its end.
            let least = if ids.len() >= self.enough() { "at least " } else { "" };
            let n = ids.len();
            return complain(match has_encoder {
                true => format!(
                    "{least}{n} tokens do not fit the encoder's {longest} positions; --truncate cuts its end"
                ),
                false => format!(
                    "{least}{n} tokens and {new_tokens} new ones do not fit the model's {positions} positions; \
                     --truncate cuts its beginning"
                ),
            });
        }
        let cut = ids.len() - longest;
        match has_encoder {
            true => drop(ids.drain(longest - 1..ids.len() - 1)),
            false => drop(ids.drain(1..=cut)),
        }
        Ok(Prompt { ids, is_truncated: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room =
        Room { positions: 6, new_tokens: 2, longest: 4, has_encoder: false, truncate: false };

    #[test]
    fn long_prompts_are_refused_or_lose_their_beginning_but_for_the_first_token() {
        let whole = ROOM.fit(0, vec![1, 2, 3, 4]).unwrap();
        assert_eq!(whole, Prompt { ids: vec![1, 2, 3, 4], is_truncated: false });
        let error = ROOM.fit(7, vec![1, 2, 3, 4, 5]).unwrap_err().to_string();
        assert!(error.contains("example 7") && error.contains("5 tokens and 2 new"), "{error}");
        let cut = Room { truncate: true, ..ROOM }.fit(7, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(cut, Prompt { ids: vec![1, 4, 5, 6], is_truncated: true });
        assert!(ROOM.fit(3, vec![]).unwrap_err().to_string().contains("example 3"));
    }

    #[test]
    fn an_encoder_keeps_the_beginning_and_the_end_token() {
        let room = Room { has_encoder: true, longest: 3, ..ROOM };
        let error = room.fit(7, vec![5, 6, 7, 2]).unwrap_err().to_string();
        assert!(error.contains("4 tokens do not fit the encoder's 3 positions"), "{error}");
        let cut = Room { truncate: true, ..room };
        assert_eq!(cut.fit(7, vec![5, 6, 7, 8, 9, 2]).unwrap().ids, [5, 6, 2]);
        assert_eq!(cut.fit(7, vec![5, 6, 2]).unwrap().ids, [5, 6, 2]);
        // The decoder has too few positions, whatever the prompt.
        let error = Room { longest: 0, ..cut }.fit(7, vec![5, 2]).unwrap_err().to_string();
        assert!(error.contains("2 new tokens do not fit the decoder's 6"), "{error}");
    }
}
