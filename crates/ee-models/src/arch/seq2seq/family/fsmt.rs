use super::keys::{self, USUAL};
use super::{BART, Seq2SeqFamily, facts};
use crate::arch::seq2seq::names::{BART_NAMES, Names};
use crate::arch::seq2seq::options::{Options, Positions, Sharing};
use crate::arch::seq2seq::tokens::TokenDefaults;
use crate::kernels::Activation;

/// FSMT (Ng et al. 2019), fairseq's Transformer of machine translation with two vocabularies: post-norm, sinusoidal
/// positions, a head that is always the decoder's table. As in fairseq, padding is never generated.
pub const FSMT: Seq2SeqFamily = Seq2SeqFamily {
    facts: facts("fsmt", "FSMTForConditionalGeneration"),
    names: Names {
        shared: None,
        head: "model.decoder.output_projection",
        final_bias: None,
        ..BART_NAMES
    },
    usual: SINUSOIDAL,
    read: |keys| {
        keys::read(keys, &SINUSOIDAL, |keys| {
            let [source, target] =
                ["src_vocab_size", "tgt_vocab_size"].map(|key| keys.size(key, None));
            let is_one = keys.truth("tie_word_embeddings", false);
            (source, target, Sharing::of(is_one, true))
        })
    },
    write: |options| {
        let mut json = keys::write(options);
        json.insert("src_vocab_size".into(), options.source_vocabulary.into());
        json.insert("tgt_vocab_size".into(), options.target_vocabulary.into());
        json.insert("tie_word_embeddings".into(), options.sharing.shares_tables().into());
        // transformers reads which languages these are from here alone.
        json.insert("langs".into(), serde_json::json!(["source", "target"]));
        json
    },
    tokens: TokenDefaults { never_padding: true, ..BART.tokens },
    // transformers 5 ties the head only where all tables are one.
    writes_copies: |_| true,
    ..BART
};

const SINUSOIDAL: Options = Options {
    sharing: Sharing::Decoder,
    positions: Positions::Fairseq,
    embedding_norm: false,
    scale_embedding: true,
    activation: Activation::Relu,
    ..USUAL
};
