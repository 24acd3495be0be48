use crate::error::{EvalError, Result};

/// A prompt that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) ids: Vec<u32>,
    pub(crate) is_truncated: bool,
}

/// The room that prompts have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Positions of the model.
    pub(crate) positions: usize,
    /// How many of them new tokens need.
    pub(crate) new_tokens: usize,
    /// Whether longer prompts are cut rather than refused.
    pub(crate) truncate: bool,
}

impl Room {
    /// A prompt, whole or, on request, cut to fit: its first token and its end are kept, as the
    /// one begins a text and the other says what is asked.
    pub(crate) fn fit(self, example: usize, mut ids: Vec<u32>) -> Result<Prompt> {
        let Self { positions, new_tokens, truncate } = self;
        let room = positions.saturating_sub(new_tokens);
        let complain = |reason: String| Err(EvalError::Prompt { example, reason });
        if ids.is_empty() {
            return complain("it has no tokens, and the model no token that begins a text".into());
        }
        if room < 2 {
            return complain(format!(
                "{new_tokens} new tokens leave no room for it in the model's {positions} positions"
            ));
        }
        if ids.len() <= room {
            return Ok(Prompt { ids, is_truncated: false });
        }
        if !truncate {
            // A long text may not have been tokenized to its end.
            let least = if ids.len() > positions { "at least " } else { "" };
            return complain(format!(
                "{least}{} tokens and {new_tokens} new ones do not fit the model's {positions} positions; \
                 --truncate cuts its beginning",
                ids.len()
            ));
        }
        let cut = ids.len() - room;
        ids.drain(1..=cut);
        Ok(Prompt { ids, is_truncated: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_prompts_are_refused_or_lose_their_beginning_but_for_the_first_token() {
        let room = Room { positions: 6, new_tokens: 2, truncate: false };
        let whole = room.fit(0, vec![1, 2, 3, 4]).unwrap();
        assert_eq!(whole, Prompt { ids: vec![1, 2, 3, 4], is_truncated: false });
        let error = room.fit(7, vec![1, 2, 3, 4, 5]).unwrap_err().to_string();
        assert!(error.contains("example 7") && error.contains("5 tokens and 2 new"), "{error}");
        let cut = Room { truncate: true, ..room }.fit(7, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(cut, Prompt { ids: vec![1, 4, 5, 6], is_truncated: true });
        assert!(room.fit(3, vec![]).unwrap_err().to_string().contains("example 3"));
    }
}
