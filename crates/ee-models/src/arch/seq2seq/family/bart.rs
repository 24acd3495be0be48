use super::keys::{self, USUAL};
use super::{LAYER_KEYS, LAYER_NAMES, Seq2SeqFamily, facts};
use crate::arch::seq2seq::names::BART_NAMES;
use crate::arch::seq2seq::tokens::TokenDefaults;

/// BART (Lewis et al. 2020): post-norm, learned positions, a normalised embedding.
pub const BART: Seq2SeqFamily = Seq2SeqFamily {
    facts: facts("bart", "BartForConditionalGeneration"),
    names: BART_NAMES,
    layer_keys: LAYER_KEYS,
    layer_names: LAYER_NAMES,
    usual: USUAL,
    read: |keys| keys::read(keys, &USUAL, keys::one_vocabulary),
    write: keys::write_one_vocabulary,
    tokens: TokenDefaults {
        start: |_, _| Some(2),
        beginning: Some(0),
        end: 2,
        forced_end: Some(2),
        never_padding: false,
    },
    has_stored_head: |_| false,
    writes_copies: keys::is_untied,
};
