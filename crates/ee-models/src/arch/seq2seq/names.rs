//! What tensors are called.

use super::options::{Options, Sharing};

/// The names of an encoder-decoder's tensors; those of stacks and layers follow the stack's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::arch) struct Names {
    /// The table that encoder and decoder share, where it has a name of its own.
    pub(super) shared: Option<&'static str>,
    /// A stack's own table.
    pub(super) table: &'static str,
    /// The head.
    pub(super) head: &'static str,
    /// A bias of the logits that is not trained, `[1, vocabulary]`; there is none if absent.
    pub(super) final_bias: Option<&'static str>,
    pub(super) encoder: StackNames,
    pub(super) decoder: StackNames,
}

/// The names of a stack's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::arch) struct StackNames {
    /// Of the stack.
    pub(super) stack: &'static str,
    pub(super) positions: &'static str,
    pub(super) embedding_norm: &'static str,
    pub(super) final_norm: &'static str,
    /// The table of relative positions.
    pub(super) relative: &'static str,
    /// Between the stack and a layer's number.
    pub(super) layers: &'static str,
    pub(super) attention: AttentionNames,
    pub(super) cross_attention: AttentionNames,
    pub(super) feed_forward: FeedForwardNames,
}

/// The names of an attention's tensors within a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::arch) struct AttentionNames {
    pub(super) query: &'static str,
    pub(super) key: &'static str,
    pub(super) value: &'static str,
    pub(super) output: &'static str,
    pub(super) norm: &'static str,
}

/// The names of a feed-forward network's tensors within a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::arch) struct FeedForwardNames {
    /// The layer whose output goes through the function where it is multiplied by another.
    pub(super) gate: &'static str,
    /// That other, or the one layer there is.
    pub(super) up: [&'static str; 2],
    pub(super) down: &'static str,
    pub(super) norm: &'static str,
}

impl Names {
    /// All names of the encoder's table, the one that it is written under first.
    pub(super) fn source_table(&self, options: &Options) -> Vec<String> {
        let own = |stack: &StackNames| format!("{}.{}.weight", stack.stack, self.table);
        if !options.sharing.shares_tables() {
            return vec![own(&self.encoder)];
        }
        let shared = self.shared.map(|name| format!("{name}.weight"));
        let tables = [own(&self.encoder), own(&self.decoder)];
        let head = (options.sharing == Sharing::All).then(|| self.head());
        shared.into_iter().chain(tables).chain(head).collect()
    }

    /// All names of the decoder's own table.
    pub(super) fn target_table(&self, options: &Options) -> Vec<String> {
        let own = format!("{}.{}.weight", self.decoder.stack, self.table);
        let head = options.sharing.ties_head().then(|| self.head());
        std::iter::once(own).chain(head).collect()
    }

    /// The name of the head's matrix.
    pub(super) fn head(&self) -> String {
        format!("{}.weight", self.head)
    }
}

const fn of_attention(is_cross: bool) -> AttentionNames {
    if is_cross {
        AttentionNames {
            query: "encoder_attn.q_proj",
            key: "encoder_attn.k_proj",
            value: "encoder_attn.v_proj",
            output: "encoder_attn.out_proj",
            norm: "encoder_attn_layer_norm",
        }
    } else {
        AttentionNames {
            query: "self_attn.q_proj",
            key: "self_attn.k_proj",
            value: "self_attn.v_proj",
            output: "self_attn.out_proj",
            norm: "self_attn_layer_norm",
        }
    }
}

const fn of_stack(stack: &'static str) -> StackNames {
    StackNames {
        stack,
        positions: "embed_positions",
        embedding_norm: "layernorm_embedding",
        final_norm: "layer_norm",
        relative: "relative_attention_bias",
        layers: "layers",
        attention: of_attention(false),
        cross_attention: of_attention(true),
        feed_forward: FeedForwardNames {
            gate: "fc0",
            up: ["fc1", "fc1"],
            down: "fc2",
            norm: "final_layer_norm",
        },
    }
}

/// The names that BART's family took from fairseq.
pub(super) const BART_NAMES: Names = Names {
    shared: Some("model.shared"),
    table: "embed_tokens",
    head: "lm_head",
    final_bias: Some("final_logits_bias"),
    encoder: of_stack("model.encoder"),
    decoder: of_stack("model.decoder"),
};
