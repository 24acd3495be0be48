use super::{Biases, LLAMA, LlamaFamily, facts};
use crate::arch::llama::window;

/// Mistral (Jiang et al. 2023): a window that all layers have, and no biases whatever the keys say.
pub(super) const MISTRAL: LlamaFamily = LlamaFamily {
    facts: facts("mistral", "MistralForCausalLM"),
    biases: |_| Biases::default(),
    windows: window::of_all_layers,
    kv_heads: Some(8),
    positions: 131_072,
    ..LLAMA
};
