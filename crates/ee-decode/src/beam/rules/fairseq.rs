//! fairseq's `SequenceGenerator`: first come, first served.

use super::{BeamRule, LastToken, Progress};
use crate::beam::Hypothesis;

/// Stops when as many hypotheses are finished as the beam has (Ott et al. 2019); with patience, as many as that times
/// the patience (Kasai et al. 2022, "Beam Decoding with Controlled Patience").
#[derive(Debug)]
pub(super) struct Fairseq;

impl BeamRule for Fairseq {
    fn name(&self) -> &'static str {
        "fairseq"
    }

    fn rule(&self) -> &'static str {
        "done when as many hypotheses have ended as the beam has, the first ones to end; the longest end with their \
         end token at its probability"
    }

    fn last_token(&self, _: Option<u32>) -> LastToken {
        LastToken::End
    }

    fn has_patience(&self) -> bool {
        true
    }

    fn collect(&self, finished: &mut Vec<Hypothesis>, ended: Vec<Hypothesis>, most: usize) {
        let room = most - finished.len();
        finished.extend(ended.into_iter().take(room));
    }

    fn is_done(&self, progress: &Progress<'_>) -> bool {
        progress.finished.len() == progress.most
    }
}
