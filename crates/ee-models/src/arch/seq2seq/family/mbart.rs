use super::keys::{self, USUAL};
use super::{BART, Seq2SeqFamily, facts};
use crate::arch::seq2seq::options::Options;
use crate::arch::seq2seq::tokens::TokenDefaults;

/// mBART (Liu et al. 2020): BART with pre-norm and a last norm.
pub(super) const MBART: Seq2SeqFamily = Seq2SeqFamily {
    facts: facts("mbart", "MBartForConditionalGeneration"),
    usual: PRE_NORM,
    read: |keys| keys::read(keys, &PRE_NORM, keys::one_vocabulary),
    tokens: TokenDefaults {
        // The language that texts begin with; transformers takes this one where none is stated.
        start: |_, beginning| beginning,
        ..BART.tokens
    },
    ..BART
};

const PRE_NORM: Options = Options { norm_first: true, final_norm: true, ..USUAL };
