//! The keys that BART's configuration has, and those that came after it.

use serde_json::{Map, Value, json};

use crate::arch::seq2seq::options::{Dropouts, Options, Positions, Sharing, StackSizes};
use crate::checkpoint::Keys;
use crate::kernels::Activation;

/// Sizes of both vocabularies, and which tables are one.
pub(super) type Tables = (usize, usize, Sharing);

/// The options of a configuration, with `usual` where it does not say.
pub(super) fn read(
    keys: &mut Keys<'_>,
    usual: &Options,
    tables: impl FnOnce(&mut Keys<'_>) -> Tables,
) -> Options {
    let (source_vocabulary, target_vocabulary, sharing) = tables(keys);
    let d_model = keys.size("d_model", None);
    let [encoder, decoder] = ["encoder", "decoder"].map(|side| stack(keys, side, d_model));
    let positions = keys.size("max_position_embeddings", usual.max_positions);
    let mut dropout = |key: &str, default| keys.dropout(key, default);
    let dropouts = Dropouts {
        hidden: dropout("dropout", usual.dropouts.hidden),
        attention: dropout("attention_dropout", usual.dropouts.attention),
        activation: dropout("activation_dropout", usual.dropouts.activation),
        head: 0.0,
    };
    Options {
        source_vocabulary,
        target_vocabulary,
        sharing,
        padding: keys.index("pad_token_id", usual.padding),
        d_model,
        encoder,
        decoder,
        max_positions: Some(positions),
        activation: activation(keys, "activation_function", usual.activation),
        scale_embedding: keys.truth("scale_embedding", usual.scale_embedding),
        dropouts,
        ..usual.clone()
    }
}

fn stack(keys: &mut Keys<'_>, side: &str, d_model: usize) -> StackSizes {
    let mut size = |what: &str| keys.size(&format!("{side}_{what}"), None);
    let [layers, heads, inner] = ["layers", "attention_heads", "ffn_dim"].map(&mut size);
    if keys.is_sound() && !d_model.is_multiple_of(heads) {
        let key = format!("{side}_attention_heads");
        keys.complain(format!("d_model {d_model} is not a multiple of {key} {heads}"));
    }
    StackSizes { layers, heads, head_dim: (d_model / heads).max(1), inner }
}

/// The activation of a key.
pub(super) fn activation(keys: &mut Keys<'_>, key: &str, usual: Activation) -> Activation {
    let Some(name) = keys.text(key) else { return usual };
    Activation::named(name).unwrap_or_else(|| {
        let known = Activation::names().join(", ");
        keys.complain(format!("{key} '{name}' is not supported; supported are {known}"));
        usual
    })
}

/// The first name of an activation.
pub(super) fn name(activation: Activation) -> &'static str {
    let names = Activation::names().into_iter();
    let mut own = names.filter(|name| Activation::named(name) == Some(activation));
    own.next().expect("every activation has a name")
}

/// The keys that say these options, but for those of the tables.
pub(super) fn write(options: &Options) -> Map<String, Value> {
    let Options { encoder, decoder, dropouts, .. } = options;
    let value = json!({
        "d_model": options.d_model,
        "encoder_layers": encoder.layers,
        "encoder_attention_heads": encoder.heads,
        "encoder_ffn_dim": encoder.inner,
        "decoder_layers": decoder.layers,
        "decoder_attention_heads": decoder.heads,
        "decoder_ffn_dim": decoder.inner,
        "max_position_embeddings": options.max_positions(),
        "activation_function": name(options.activation),
        "scale_embedding": options.scale_embedding,
        "dropout": dropouts.hidden,
        "attention_dropout": dropouts.attention,
        "activation_dropout": dropouts.activation,
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "tie_word_embeddings": options.sharing.ties_head(),
    });
    let Value::Object(json) = value else { unreachable!("the literal is an object") };
    json
}

/// The tables of a model with one vocabulary whose head may be one of its own.
pub(super) fn one_vocabulary(keys: &mut Keys<'_>) -> Tables {
    let vocabulary = keys.size("vocab_size", None);
    let is_tied = keys.truth("tie_word_embeddings", true);
    (vocabulary, vocabulary, Sharing::of(true, is_tied))
}

/// What [`one_vocabulary`] reads, and the rest.
pub(super) fn write_one_vocabulary(options: &Options) -> Map<String, Value> {
    let mut json = write(options);
    json.insert("vocab_size".into(), options.target_vocabulary.into());
    json
}

/// Whether copies of a shared table must be written for transformers 5.
pub(super) fn is_untied(options: &Options) -> bool {
    options.sharing == Sharing::Tables
}

/// Sizes that a configuration must state.
const STATED: StackSizes = StackSizes { layers: 1, heads: 1, head_dim: 1, inner: 1 };

/// A model of BART's layout; where others differ from it, they say.
pub(super) const USUAL: Options = Options {
    source_vocabulary: 1,
    target_vocabulary: 1,
    sharing: Sharing::All,
    padding: 1,
    learns_padding: false,
    d_model: 1,
    encoder: STATED,
    decoder: STATED,
    max_positions: Some(1024),
    positions: Positions::Learned { offset: 2 },
    norm: crate::arch::seq2seq::options::NormKind::Layer,
    // That of PyTorch's layer.
    epsilon: 1e-5,
    norm_first: false,
    final_norm: false,
    embedding_norm: true,
    scale_embedding: false,
    scale_scores: true,
    scale_head: false,
    has_biases: true,
    activation: Activation::Gelu,
    is_gated: false,
    dropouts: Dropouts { hidden: 0.1, attention: 0.0, activation: 0.0, head: 0.0 },
    start: crate::arch::seq2seq::options::Start::Fairseq,
};
