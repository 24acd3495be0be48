//! Random decoders whose tokens leave everywhere, for tests of this crate and of those above it.

use crate::generate::{Choice, Options};
use ee_models::arch::SpecialTokens;
use ee_models::arch::llama::{LLAMA, Llama, LlamaConfig, LlamaSizes, random};
use ee_models::arch::seq2seq::{
    BART, Dropouts, Seq2Seq, Seq2SeqConfig, Seq2SeqSizes, Sharing, Tokens,
};
use ee_models::checkpoint::{Precision, RandomParameters};
use ee_models::device::device;
use ee_models::kernels::Activation;

/// Layers of [`model`], and of [`pair`]'s decoder.
pub const LAYERS: usize = 5;
/// New tokens per text at most.
pub const NEW: usize = 24;
/// Entries of the vocabulary of either.
pub const VOCABULARY: usize = 60;

/// Wide weights: exits disagree.
pub fn model() -> Llama {
    let mut config = LlamaConfig::of_sizes(
        &LLAMA,
        &LlamaSizes {
            vocabulary: VOCABULARY,
            d_model: 32,
            layers: LAYERS,
            heads: 4,
            kv_heads: 2,
            inner: 48,
            positions: 128,
        },
    )
    .unwrap();
    config.initializer_range = 0.3;
    random(config, 3, Precision::F32, &device("cpu").unwrap()).model
}

/// An encoder-decoder whose decoder opens with two tokens, and ends a text of the longest length.
pub fn pair() -> Seq2Seq {
    let sizes = Seq2SeqSizes {
        source_vocabulary: VOCABULARY,
        target_vocabulary: VOCABULARY,
        sharing: Sharing::All,
        d_model: 32,
        encoder_layers: 2,
        decoder_layers: LAYERS,
        heads: 4,
        inner: 48,
        positions: 128,
        dropouts: Dropouts::default(),
        activation: Activation::Relu,
        padding: 59,
    };
    let tokens = Tokens {
        start: 59,
        forced_beginning: Some(7),
        forced_end: Some(3),
        never: vec![59],
        special: SpecialTokens { beginning: None, ends: vec![3] },
    };
    let config = Seq2SeqConfig::of_sizes(&BART, &sizes, &tokens).unwrap();
    let mut source = RandomParameters::new(4, 0.2, device("cpu").unwrap());
    Seq2Seq::new(&config, &mut source)
}

/// `n` tokens.
pub fn prompt(n: u32, seed: u32) -> Vec<u32> {
    (0..n).map(|at| (at * 31 + seed * 17) % VOCABULARY as u32).collect()
}

/// Greedy decoding.
pub fn options() -> Options {
    // Two tokens that end a text: texts are of several lengths.
    Options { max_new_tokens: NEW, choice: Choice::Greedy, ends: vec![3, 58], first_number: 0 }
}
