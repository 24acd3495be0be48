use super::qwen2::QWEN2;
use super::{Biases, LlamaFamily, facts};

/// Qwen3 (Yang et al. 2025): each head's queries and keys are normalised before they are rotated; heads of a
/// stated width, and biases of attention where the key says so.
pub(super) const QWEN3: LlamaFamily = LlamaFamily {
    facts: facts("qwen3", "Qwen3ForCausalLM"),
    biases: |keys| {
        let attention = keys.truth("attention_bias", false);
        Biases { inputs: attention, output: attention, feed_forward: false }
    },
    head_dim: Some(128),
    has_head_norms: true,
    ..QWEN2
};
