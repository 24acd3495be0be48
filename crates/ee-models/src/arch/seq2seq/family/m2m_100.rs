use super::keys::{self, USUAL};
use super::{BART, Seq2SeqFamily, facts};
use crate::arch::seq2seq::names::{BART_NAMES, Names};
use crate::arch::seq2seq::options::{Dropouts, Options, Positions};
use crate::arch::seq2seq::tokens::TokenDefaults;
use crate::kernels::Activation;

/// M2M100 (Fan et al. 2021): fairseq's Transformer with pre-norm and a last norm.
pub(super) const M2M_100: Seq2SeqFamily = Seq2SeqFamily {
    facts: facts("m2m_100", "M2M100ForConditionalGeneration"),
    names: Names { final_bias: None, ..BART_NAMES },
    usual: SINUSOIDAL,
    read: |keys| keys::read(keys, &SINUSOIDAL, keys::one_vocabulary),
    tokens: TokenDefaults { forced_end: None, ..BART.tokens },
    ..BART
};

const SINUSOIDAL: Options = Options {
    positions: Positions::Fairseq,
    norm_first: true,
    final_norm: true,
    embedding_norm: false,
    scale_embedding: true,
    activation: Activation::Relu,
    dropouts: Dropouts { hidden: 0.1, attention: 0.1, activation: 0.0, head: 0.0 },
    ..USUAL
};
