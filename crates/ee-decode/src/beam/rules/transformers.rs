//! The rule of transformers' `generate`, by its `early_stopping`. A forced end costs nothing, and texts of the longest
//! length need no end where the model forces none.

use super::{BeamRule, LastToken, Progress};
use crate::beam::Hypothesis;

/// `early_stopping`
#[derive(Debug)]
pub(super) enum Transformers {
    /// Done when as many hypotheses have ended as the beam has.
    True,
    /// Done when, besides, no unfinished one would be better than all of them if it ended now.
    False,
    /// Done when, besides, no unfinished one can become better than all of them.
    Never,
}

impl BeamRule for Transformers {
    fn name(&self) -> &'static str {
        match self {
            Self::True => "transformers:true",
            Self::False => "transformers:false",
            Self::Never => "transformers:never",
        }
    }

    fn rule(&self) -> &'static str {
        match self {
            Self::True => "done when as many hypotheses have ended as the beam has",
            Self::False => {
                "done when as many hypotheses have ended as the beam has and the best unfinished one, divided by its \
                 present length, is worse than all of them (transformers' default)"
            }
            Self::Never => {
                "done when as many hypotheses have ended as the beam has and the best unfinished one, divided by the \
                 longest length, is worse than all of them"
            }
        }
    }

    fn last_token(&self, forced: Option<u32>) -> LastToken {
        forced.map_or(LastToken::Any, LastToken::Certain)
    }

    /// The best stay; on ties those that were there.
    fn collect(&self, finished: &mut Vec<Hypothesis>, ended: Vec<Hypothesis>, most: usize) {
        finished.extend(ended);
        finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        finished.truncate(most);
    }

    fn is_done(&self, progress: &Progress<'_>) -> bool {
        let &Progress { finished, most, best_sum, length, longest, length_penalty } = progress;
        let Some(worst) = finished.last().filter(|_| finished.len() == most) else { return false };
        let bound = match self {
            Self::True => return true,
            // A sum never grows; it is divided by more only under a positive penalty.
            Self::Never if length_penalty > 0.0 => longest,
            Self::False | Self::Never => length,
        };
        progress.score(best_sum, bound) <= worst.score
    }
}
