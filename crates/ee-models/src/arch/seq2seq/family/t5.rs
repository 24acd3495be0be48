use serde_json::{Value, json};

use super::keys::{self, USUAL};
use super::{KIND, Seq2SeqFamily};
use crate::arch::Facts;
use crate::arch::seq2seq::names::{AttentionNames, FeedForwardNames, Names, StackNames};
use crate::arch::seq2seq::options::{
    Dropouts, NormKind, Options, Positions, Sharing, StackSizes, Start,
};
use crate::arch::seq2seq::tokens::TokenDefaults;
use crate::checkpoint::{Keys, Naming};
use crate::kernels::Activation;

/// T5 (Raffel et al. 2020) and T5 1.1 (Shazeer 2020): pre-norm with root-mean-square norms, positions as biases, no
/// scaled scores; the head is the table and what it reads is scaled, or it is one of its own.
pub(super) const T5: Seq2SeqFamily = Seq2SeqFamily {
    facts: Facts {
        model_type: "t5",
        class: "T5ForConditionalGeneration",
        kind: KIND,
        naming: Naming {
            prefix: "",
            layers: "encoder.block.",
            head: &["decoder.", "lm_head."],
            // A table that was never read, which the first files hold.
            unused: |name| {
                name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
            },
        },
    },
    names: Names {
        shared: Some("shared"),
        table: "embed_tokens",
        head: "lm_head",
        final_bias: None,
        encoder: StackNames { stack: "encoder", feed_forward: FEED_FORWARD[0], ..DECODER },
        decoder: DECODER,
    },
    layer_keys: ["num_layers", "num_decoder_layers"],
    layer_names: ["encoder.block.", "decoder.block."],
    usual: RELATIVE,
    read,
    write: |options| {
        let Options { encoder, decoder, positions, .. } = options;
        let (buckets, distance) = match *positions {
            Positions::Relative { buckets, distance } => (buckets, distance),
            _ => (32, 128),
        };
        let function = keys::name(options.activation);
        let gated = match options.activation {
            Activation::GeluTanh => "gated-gelu".to_owned(),
            _ => format!("gated-{function}"),
        };
        let value = json!({
            "vocab_size": options.target_vocabulary,
            "d_model": options.d_model,
            "d_kv": decoder.head_dim,
            "d_ff": decoder.inner,
            "num_layers": encoder.layers,
            "num_decoder_layers": decoder.layers,
            "num_heads": decoder.heads,
            "relative_attention_num_buckets": buckets,
            "relative_attention_max_distance": distance,
            "dropout_rate": options.dropouts.hidden,
            "layer_norm_epsilon": options.epsilon,
            "feed_forward_proj": if options.is_gated { gated } else { function.to_owned() },
            "tie_word_embeddings": options.sharing.ties_head(),
        });
        let Value::Object(json) = value else { unreachable!("the literal is an object") };
        json
    },
    has_stored_head: |options| !options.scale_head,
    tokens: TokenDefaults {
        start: |padding, _| Some(padding),
        beginning: None,
        end: 1,
        forced_end: None,
        never_padding: false,
    },
    // transformers shares the tables of every T5.
    writes_copies: |_| false,
};

const DECODER: StackNames = StackNames {
    stack: "decoder",
    positions: "embed_positions",
    embedding_norm: "layernorm_embedding",
    final_norm: "final_layer_norm",
    relative: "block.0.layer.0.SelfAttention.relative_attention_bias",
    layers: "block",
    attention: AttentionNames {
        query: "layer.0.SelfAttention.q",
        key: "layer.0.SelfAttention.k",
        value: "layer.0.SelfAttention.v",
        output: "layer.0.SelfAttention.o",
        norm: "layer.0.layer_norm",
    },
    cross_attention: AttentionNames {
        query: "layer.1.EncDecAttention.q",
        key: "layer.1.EncDecAttention.k",
        value: "layer.1.EncDecAttention.v",
        output: "layer.1.EncDecAttention.o",
        norm: "layer.1.layer_norm",
    },
    feed_forward: FEED_FORWARD[1],
};

/// The encoder's and the decoder's.
const FEED_FORWARD: [FeedForwardNames; 2] = [
    FeedForwardNames {
        gate: "layer.1.DenseReluDense.wi_0",
        up: ["layer.1.DenseReluDense.wi", "layer.1.DenseReluDense.wi_1"],
        down: "layer.1.DenseReluDense.wo",
        norm: "layer.1.layer_norm",
    },
    FeedForwardNames {
        gate: "layer.2.DenseReluDense.wi_0",
        up: ["layer.2.DenseReluDense.wi", "layer.2.DenseReluDense.wi_1"],
        down: "layer.2.DenseReluDense.wo",
        norm: "layer.2.layer_norm",
    },
];

const RELATIVE: Options = Options {
    padding: 0,
    learns_padding: true,
    max_positions: None,
    positions: Positions::Relative { buckets: 32, distance: 128 },
    norm: NormKind::Rms,
    epsilon: 1e-6,
    norm_first: true,
    final_norm: true,
    embedding_norm: false,
    scale_scores: false,
    scale_head: true,
    has_biases: false,
    activation: Activation::Relu,
    dropouts: Dropouts { hidden: 0.1, attention: 0.1, activation: 0.1, head: 0.1 },
    start: Start::T5,
    ..USUAL
};

fn read(keys: &mut Keys<'_>) -> Options {
    let vocabulary = keys.size("vocab_size", None);
    let is_tied = keys.truth("tie_word_embeddings", true);
    let [layers, heads, inner] =
        ["num_layers", "num_heads", "d_ff"].map(|key| keys.size(key, None));
    let of_decoder = keys.or_null("num_decoder_layers", |keys, key| keys.size(key, Some(layers)));
    let stack = |layers, head_dim| StackSizes { layers, heads, head_dim, inner };
    let head_dim = keys.size("d_kv", Some(64));
    let rate = keys.dropout("dropout_rate", RELATIVE.dropouts.hidden);
    let (activation, is_gated) = feed_forward(keys);
    let buckets = keys.size("relative_attention_num_buckets", Some(32));
    let distance = keys.size("relative_attention_max_distance", Some(128));
    if buckets < 4 || distance <= buckets / 2 {
        keys.complain(format!(
            "relative_attention_num_buckets {buckets} do not go with relative_attention_max_distance {distance}"
        ));
    }
    Options {
        source_vocabulary: vocabulary,
        target_vocabulary: vocabulary,
        sharing: Sharing::of(true, is_tied),
        padding: keys.index("pad_token_id", 0),
        d_model: keys.size("d_model", None),
        encoder: stack(layers, head_dim),
        decoder: stack(of_decoder.unwrap_or(layers), head_dim),
        positions: Positions::Relative { buckets, distance },
        epsilon: keys.number("layer_norm_epsilon", 1e-6, "of 0 or more", |x| x >= 0.0),
        // What transformers 5 makes of the key that earlier versions have for both.
        scale_head: keys.truth("scale_decoder_outputs", is_tied),
        activation,
        is_gated,
        dropouts: Dropouts { hidden: rate, attention: rate, activation: rate, head: rate },
        ..RELATIVE
    }
}

/// `feed_forward_proj`: a function, or `gated-` and one.
fn feed_forward(keys: &mut Keys<'_>) -> (Activation, bool) {
    let text = keys.text("feed_forward_proj").unwrap_or("relu");
    let (name, is_gated) = match text.strip_prefix("gated-") {
        // What it was called when its tanh form was the only one.
        Some("gelu") => ("gelu_new", true),
        Some(name) => (name, true),
        None => (text, false),
    };
    let activation = Activation::named(name).unwrap_or_else(|| {
        let known = Activation::names().join(", ");
        keys.complain(format!(
            "feed_forward_proj '{text}' is not supported; supported are {known}, and these after 'gated-'"
        ));
        Activation::Relu
    });
    (activation, is_gated)
}
