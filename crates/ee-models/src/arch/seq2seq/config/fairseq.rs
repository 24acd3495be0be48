//! Checkpoints of fairseq: the options of a run as those of a model.
//!
//! A file of transformers says less than fairseq's options. The configuration becomes that of the first family which
//! says all of it, so that it is written back as that family's; else it is one that is not written.

use std::path::Path;

use serde_json::{Map, Value};

use super::super::family::{FAIRSEQ, FSMT, Seq2SeqFamily, WRITTEN_FOR_FAIRSEQ};
use super::super::options::{Dropouts, Options, Positions, Sharing, StackSizes};
use super::super::tokens::Tokens;
use super::Seq2SeqConfig;
use crate::arch::SpecialTokens;
use crate::checkpoint::{Fairseq, Keys};
use crate::error::Result;
use crate::kernels::Activation;

/// Ids that every dictionary begins with.
const BEGINNING: u32 = 0;
const PADDING: u32 = 1;
const END: u32 = 2;

/// The tables of the encoder and the decoder.
const TABLES: [&str; 2] = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];

/// What an architecture's name says where an option is absent, as older files have it; their files state most.
#[derive(Clone, Copy)]
struct Architecture {
    name: &'static str,
    d_model: usize,
    inner: usize,
    heads: usize,
    layers: usize,
    norm_first: bool,
    dropout: f64,
    attention_dropout: f64,
    activation_dropout: f64,
}

const BASE: Architecture = Architecture {
    name: "transformer",
    d_model: 512,
    inner: 2048,
    heads: 8,
    layers: 6,
    norm_first: false,
    dropout: 0.1,
    attention_dropout: 0.0,
    activation_dropout: 0.0,
};

const BIG: Architecture = Architecture {
    name: "transformer_vaswani_wmt_en_de_big",
    d_model: 1024,
    inner: 4096,
    heads: 16,
    dropout: 0.3,
    ..BASE
};

/// The architectures of fairseq's transformer_legacy.py that trained its published models of translation.
const ARCHITECTURES: [Architecture; 8] = [
    BASE,
    Architecture { name: "transformer_wmt_en_de", ..BASE },
    Architecture { name: "transformer_iwslt_de_en", inner: 1024, heads: 4, ..BASE },
    Architecture { name: "transformer_tiny", d_model: 64, inner: 64, heads: 2, layers: 2, ..BASE },
    BIG,
    Architecture { name: "transformer_vaswani_wmt_en_fr_big", dropout: 0.1, ..BIG },
    Architecture { name: "transformer_wmt_en_de_big", attention_dropout: 0.1, ..BIG },
    Architecture {
        name: "transformer_wmt_en_de_big_t2t",
        norm_first: true,
        attention_dropout: 0.1,
        activation_dropout: 0.1,
        ..BIG
    },
];

/// Options of models that are another one than this where they are set.
const OTHER_MODELS: [&str; 21] = [
    "adaptive_input",
    "adaptive_softmax_cutoff",
    "base_layers",
    "char_inputs",
    "cross_self_attention",
    "decoder_add_adapters",
    "decoder_layers_to_keep",
    "decoder_xformers_att_config",
    "encoder_add_adapters",
    "encoder_layers_to_keep",
    "encoder_xformers_att_config",
    "merge_src_tgt_embed",
    "no_cross_attention",
    "no_decoder_final_norm",
    "quant_noise_pq",
    "quant_noise_scalar",
    "scale_attn",
    "scale_fc",
    "scale_heads",
    "scale_resids",
    "tie_adaptive_weights",
];

impl Seq2SeqConfig {
    /// The model of a checkpoint of fairseq.
    ///
    /// # Errors
    /// When its options are those of another model, or do not fit each other or the dictionaries.
    pub(in crate::arch::seq2seq) fn of_fairseq(found: &Fairseq) -> Result<Self> {
        let Fairseq { path, others, arguments, .. } = found;
        let mut keys = Keys::new(arguments);
        let (options, notice) = options(&mut keys, found);
        let languages = ["source_lang", "target_lang"].map(|key| {
            let language = keys.text(key);
            if language.is_none() && !keys.has(key) {
                keys.complain(format!("missing key '{key}'"));
            }
            language.unwrap_or_default()
        });
        if keys.is_sound() {
            super::check(&options, &mut keys);
        }
        keys.finish(path)?;
        let Options { source_vocabulary, target_vocabulary, .. } = options;
        for (language, rows) in languages.into_iter().zip([source_vocabulary, target_vocabulary]) {
            found.check_dictionary(language, rows)?;
        }
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        let mut read = format!("{} is read, a checkpoint of fairseq", name(path));
        if !others.is_empty() {
            read += &format!("; not read: {}", others.join(", "));
        }
        let tokens = tokens();
        let written = WRITTEN_FOR_FAIRSEQ
            .into_iter()
            .find_map(|family| Self::of_options(family, &options, &tokens).ok());
        let config = written.unwrap_or_else(|| Self {
            family: &FAIRSEQ,
            options,
            tokens,
            notices: Vec::new(),
            json: arguments.clone(),
            generation: Map::new(),
            languages: None,
        });
        // The dictionaries beside it are told apart by them.
        let mut json = config.json;
        json.insert("langs".to_owned(), languages.to_vec().into());
        let languages = Some(languages.map(str::to_owned));
        let notices = std::iter::once(read).chain(notice).chain(config.notices).collect();
        Ok(Self { notices, languages, json, ..config })
    }
}

/// The family of a folder's checkpoint of fairseq, where there is one.
///
/// # Errors
/// As [`Seq2SeqConfig::read`].
pub(in crate::arch) fn of_folder(folder: &Path) -> Result<Option<&'static Seq2SeqFamily>> {
    let found = Fairseq::open(folder)?;
    found.map(|found| Seq2SeqConfig::of_fairseq(&found).map(|config| config.family)).transpose()
}

fn tokens() -> Tokens {
    Tokens {
        // A text begins with the end of the one before it.
        start: END,
        forced_beginning: None,
        forced_end: Some(END),
        never: vec![PADDING],
        special: SpecialTokens { beginning: Some(BEGINNING), ends: vec![END] },
    }
}

/// The options of a model, and what of them is not as it was.
fn options(keys: &mut Keys<'_>, found: &Fairseq) -> (Options, Option<String>) {
    let name = keys.text("arch").or_else(|| keys.text("_name")).unwrap_or(BASE.name);
    let known = ARCHITECTURES.iter().find(|known| known.name == name);
    refuse_others(keys);
    let default = known.copied().unwrap_or(BASE);
    // Of an unknown architecture no size is guessed.
    let usual = |size: usize| known.map(|_| size);
    let d_model = keys.size("encoder_embed_dim", usual(default.d_model));
    for key in ["decoder_embed_dim", "decoder_input_dim", "decoder_output_dim"] {
        let width = keys.size(key, Some(d_model));
        if width != d_model {
            keys.complain(format!(
                "{key} {width} and encoder_embed_dim {d_model} differ, which is not supported"
            ));
        }
    }
    let mut stack = |side: &str, inner: Option<usize>| {
        let mut size = |what: &str, usual| keys.size(&format!("{side}_{what}"), usual);
        let heads = size("attention_heads", usual(default.heads));
        let layers = size("layers", usual(default.layers));
        let inner = size("ffn_embed_dim", inner);
        if keys.is_sound() && !d_model.is_multiple_of(heads) {
            keys.complain(format!(
                "encoder_embed_dim {d_model} is not a multiple of {side}_attention_heads {heads}"
            ));
        }
        StackSizes { layers, heads, head_dim: (d_model / heads).max(1), inner }
    };
    let encoder = stack("encoder", usual(default.inner));
    let decoder = stack("decoder", Some(encoder.inner));
    let norm_first = both(keys, "normalize_before", default.norm_first);
    let (positions, max_positions, notice) = positions(keys);
    let [source_vocabulary, target_vocabulary] = TABLES.map(|table| rows(keys, found, table));
    let is_one = keys.truth("share_all_embeddings", false);
    let is_tied = keys.truth("share_decoder_input_output_embed", false) || is_one;
    let options = Options {
        source_vocabulary,
        target_vocabulary,
        sharing: Sharing::of(is_one, is_tied),
        padding: PADDING as usize,
        d_model,
        encoder,
        decoder,
        max_positions: Some(max_positions),
        positions,
        norm_first,
        // The first releases with pre-norm had none.
        final_norm: norm_first && found.has("decoder.layer_norm."),
        embedding_norm: keys.truth("layernorm_embedding", false),
        scale_embedding: !keys.truth("no_scale_embedding", false),
        activation: activation(keys),
        dropouts: dropouts(keys, &default),
        ..FSMT.usual.clone()
    };
    (options, notice)
}

/// Complains of every option that makes another model.
fn refuse_others(keys: &mut Keys<'_>) {
    for key in OTHER_MODELS {
        let Some(value) = keys.get(key) else { continue };
        let is_set = match value {
            Value::Bool(truth) => *truth,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty() && text != "None",
            _ => true,
        };
        if is_set {
            keys.complain(format!("'{key}' is set, which is not supported"));
        }
    }
}

/// An option that encoder and decoder have alike.
fn both(keys: &mut Keys<'_>, what: &str, usual: bool) -> bool {
    let [encoder, decoder] =
        ["encoder", "decoder"].map(|side| keys.truth(&format!("{side}_{what}"), usual));
    if encoder != decoder {
        keys.complain(format!(
            "encoder_{what} {encoder} and decoder_{what} {decoder} differ, which is not supported"
        ));
    }
    encoder
}

/// How tokens know where they stand, how many positions there are, and what is not as it was.
fn positions(keys: &mut Keys<'_>) -> (Positions, usize, Option<String>) {
    let [source, target] =
        ["max_source_positions", "max_target_positions"].map(|key| keys.size(key, Some(1024)));
    let fewest = source.min(target);
    let is_learned = both(keys, "learned_pos", false);
    if keys.truth("no_token_positional_embeddings", false) {
        return (Positions::None, fewest, None);
    }
    if is_learned && source != target {
        keys.complain(format!(
            "max_source_positions {source} and max_target_positions {target} of learned positions differ, which is \
             not supported"
        ));
    }
    let notice = (source != target).then(|| {
        format!("texts have up to {fewest} tokens: sources had {source}, targets {target}")
    });
    // Those of the padding and of the token before it are never read.
    let learned = Positions::Learned { offset: PADDING as usize + 1 };
    (if is_learned { learned } else { Positions::Fairseq }, fewest, notice)
}

/// The rows of a table.
fn rows(keys: &mut Keys<'_>, found: &Fairseq, table: &str) -> usize {
    match found.shape(table) {
        Some(&[rows, _]) => rows,
        _ => {
            keys.complain(format!("there is no table '{table}'"));
            1
        }
    }
}

fn activation(keys: &mut Keys<'_>) -> Activation {
    match keys.text("activation_fn").unwrap_or("relu") {
        "relu" => Activation::Relu,
        "gelu" => Activation::Gelu,
        "gelu_fast" | "gelu_accurate" => Activation::GeluTanh,
        "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        other => {
            keys.complain(format!(
                "activation_fn '{other}' is not supported; supported are relu, gelu, gelu_fast, gelu_accurate, swish, \
                 tanh"
            ));
            Activation::Relu
        }
    }
}

fn dropouts(keys: &mut Keys<'_>, default: &Architecture) -> Dropouts {
    let activation = keys.dropout("activation_dropout", default.activation_dropout);
    // Its former name.
    let relu = keys.dropout("relu_dropout", 0.0);
    Dropouts {
        hidden: keys.dropout("dropout", default.dropout),
        attention: keys.dropout("attention_dropout", default.attention_dropout),
        activation: if activation == 0.0 { relu } else { activation },
        head: 0.0,
    }
}
