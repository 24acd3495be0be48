//! A random decoder whose tokens leave everywhere, for tests of this crate and of those above it.

use crate::generate::{Choice, Options};
use ee_models::arch::llama::{LLAMA, Llama, LlamaConfig, LlamaSizes, random};
use ee_models::checkpoint::Precision;
use ee_models::device::device;

/// Layers of [`model`].
pub const LAYERS: usize = 5;
/// New tokens per text at most.
pub const NEW: usize = 24;
/// Entries of the vocabulary of [`model`].
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

/// `n` tokens.
pub fn prompt(n: u32, seed: u32) -> Vec<u32> {
    (0..n).map(|at| (at * 31 + seed * 17) % VOCABULARY as u32).collect()
}

/// Greedy decoding.
pub fn options() -> Options {
    // Two tokens that end a text: texts are of several lengths.
    Options { max_new_tokens: NEW, choice: Choice::Greedy, ends: vec![3, 58], first_number: 0 }
}
