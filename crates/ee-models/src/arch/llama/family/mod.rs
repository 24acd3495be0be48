//! The families that share Llama's layers, one file each: to add one, add its file and its lines here.
//!
//! What a family's keys mean where a configuration lacks them are the defaults of the configuration classes of
//! transformers, to which scripts/goldens_config_defaults.py and tests/configs.rs hold them.

mod llama;
mod mistral;
mod qwen2;
mod qwen3;

pub use self::llama::LLAMA;
use super::window::Windowed;
use crate::arch::Facts;
use crate::checkpoint::{Keys, Naming};

/// Every family of decoders.
pub const FAMILIES: &[&LlamaFamily] = &[&LLAMA, &mistral::MISTRAL, &qwen2::QWEN2, &qwen3::QWEN3];

/// How a decoder differs from others that share its layers.
#[derive(Debug)]
pub struct LlamaFamily {
    /// The facts that every family states.
    pub facts: Facts,
    /// Which products have biases.
    pub(super) biases: fn(&mut Keys<'_>) -> Biases,
    /// The window, if there is one, and which of this many layers have it.
    pub(super) windows: fn(&mut Keys<'_>, usize) -> (Option<usize>, Windowed),
    /// `head_dim` where it is not stated; where that is absent too, the hidden size is divided among the heads.
    pub(super) head_dim: Option<usize>,
    /// `num_key_value_heads` where it is not stated; as many as heads if absent.
    pub(super) kv_heads: Option<usize>,
    /// `max_position_embeddings` where it is not stated.
    pub(super) positions: usize,
    /// `bos_token_id` and `eos_token_id` where they are not stated.
    pub(super) special: Option<[u32; 2]>,
    /// Whether each head's queries and keys are normalised.
    pub(super) has_head_norms: bool,
}

/// Which products have a bias.
#[derive(Clone, Copy, Debug, Default)]
pub struct Biases {
    /// Those to queries, keys and values.
    pub inputs: bool,
    /// The one after attention.
    pub output: bool,
    /// Those of the feed-forward network.
    pub feed_forward: bool,
}

/// The facts of a decoder of this `model_type`, whose class is called `class`.
const fn facts(model_type: &'static str, class: &'static str) -> Facts {
    let naming = Naming {
        prefix: "model",
        layers: "layers.",
        head: &["lm_head."],
        // Old checkpoints store the frequencies; with a tied head some store the table twice.
        unused: |name| name.ends_with("rotary_emb.inv_freq") || name == "lm_head.weight",
    };
    Facts { model_type, class, kind: "a decoder that generates", naming }
}
