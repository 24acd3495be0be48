use super::keys::{self, USUAL};
use super::{BART, Seq2SeqFamily, facts};
use crate::arch::seq2seq::options::{Options, Positions, Sharing};
use crate::arch::seq2seq::tokens::TokenDefaults;

/// Marian (Junczys-Dowmunt et al. 2018), the layout of OPUS-MT's models: post-norm, sinusoidal positions from 0, a
/// bias of the logits; the decoder starts with the padding, which is never generated.
pub const MARIAN: Seq2SeqFamily = Seq2SeqFamily {
    facts: facts("marian", "MarianMTModel"),
    usual: SINUSOIDAL,
    read: |keys| {
        keys::read(keys, &SINUSOIDAL, |keys| {
            let source = keys.size("vocab_size", None);
            let stated =
                keys.or_null("decoder_vocab_size", |keys, key| keys.size(key, Some(source)));
            let shares = keys.truth("share_encoder_decoder_embeddings", true);
            let is_tied = keys.truth("tie_word_embeddings", true);
            let target = if shares { source } else { stated.unwrap_or(source) };
            (source, target, Sharing::of(shares, is_tied))
        })
    },
    write: |options| {
        let mut json = keys::write(options);
        json.insert("vocab_size".into(), options.source_vocabulary.into());
        json.insert("decoder_vocab_size".into(), options.target_vocabulary.into());
        let shares = options.sharing.shares_tables();
        json.insert("share_encoder_decoder_embeddings".into(), shares.into());
        json
    },
    tokens: TokenDefaults {
        start: |_, _| Some(PADDING),
        beginning: None,
        end: 0,
        forced_end: Some(0),
        never_padding: true,
    },
    ..BART
};

/// `pad_token_id` and `decoder_start_token_id` where they are not stated.
const PADDING: u32 = 58_100;

const SINUSOIDAL: Options = Options {
    padding: PADDING as usize,
    positions: Positions::Marian,
    embedding_norm: false,
    ..USUAL
};
