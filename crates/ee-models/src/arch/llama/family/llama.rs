use super::{Biases, LlamaFamily, facts};
use crate::arch::llama::window;

/// Llama (Touvron et al. 2023)
pub const LLAMA: LlamaFamily = LlamaFamily {
    facts: facts("llama", "LlamaForCausalLM"),
    biases: |keys| {
        let attention = keys.truth("attention_bias", false);
        let feed_forward = keys.truth("mlp_bias", false);
        Biases { inputs: attention, output: attention, feed_forward }
    },
    windows: window::none,
    head_dim: None,
    kv_heads: None,
    positions: 2048,
    special: Some([1, 2]),
    has_head_norms: false,
};
