use super::{Biases, LLAMA, LlamaFamily, facts};
use crate::arch::llama::window;

/// Qwen2 (Yang et al. 2024): biases on queries, keys and values whatever the keys say, and a window of some
/// layers where it is asked for.
pub(super) const QWEN2: LlamaFamily = LlamaFamily {
    facts: facts("qwen2", "Qwen2ForCausalLM"),
    biases: |_| Biases { inputs: true, ..Biases::default() },
    windows: window::of_some_layers,
    kv_heads: Some(32),
    positions: 32_768,
    special: None,
    ..LLAMA
};
