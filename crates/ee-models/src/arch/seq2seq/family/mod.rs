//! The families of encoder-decoders, one file each: to add one that shares these layers, add its file and its lines
//! here.
//!
//! What a family's keys mean where a configuration lacks them are the defaults of the configuration classes of
//! transformers, to which scripts/goldens_config_defaults.py and tests/configs.rs hold them.

mod bart;
mod fairseq;
mod fsmt;
mod keys;
mod m2m_100;
mod marian;
mod mbart;
mod t5;

use serde_json::{Map, Value};

pub use self::bart::BART;
pub(in crate::arch) use self::fairseq::FAIRSEQ;
pub use self::fsmt::FSMT;
pub use self::marian::MARIAN;
use super::names::Names;
use super::options::Options;
use super::tokens::TokenDefaults;
use crate::arch::Facts;
use crate::checkpoint::{Keys, Naming};

/// Every family of encoder-decoders.
pub const FAMILIES: &[&Seq2SeqFamily] =
    &[&MARIAN, &BART, &mbart::MBART, &m2m_100::M2M_100, &FSMT, &t5::T5];

/// The families that a checkpoint of fairseq may be written back as.
pub(super) const WRITTEN_FOR_FAIRSEQ: [&Seq2SeqFamily; 4] =
    [&FSMT, &m2m_100::M2M_100, &BART, &mbart::MBART];

/// Whether models of a family are encoder-decoders, those included that come from fairseq's own files alone.
pub fn is_known(model_type: &str) -> bool {
    let known = |family: &&Seq2SeqFamily| family.facts.model_type == model_type;
    FAMILIES.iter().chain([&&FAIRSEQ]).any(known)
}

const KIND: &str = "an encoder-decoder that generates";

/// How an encoder-decoder's files differ from others'.
#[derive(Debug)]
pub struct Seq2SeqFamily {
    /// The facts that every family states.
    pub facts: Facts,
    /// What its tensors are called.
    pub(super) names: Names,
    /// The keys that count the layers of encoder and decoder.
    pub(super) layer_keys: [&'static str; 2],
    /// The part of a layer's name before its number, encoder and decoder, without the prefix.
    pub(super) layer_names: [&'static str; 2],
    /// The model where its keys are absent; its sizes stand for none.
    pub(super) usual: Options,
    /// The options of a configuration.
    pub(super) read: fn(&mut Keys<'_>) -> Options,
    /// The keys that say these options, as far as the family can.
    pub(super) write: fn(&Options) -> Map<String, Value>,
    /// The tokens of a configuration that does not state them.
    pub(super) tokens: TokenDefaults,
    /// Whether a head that is stored beside the table is one of its own, whatever the configuration says:
    /// transformers 5 writes every T5 down as tied.
    pub(super) has_stored_head: fn(&Options) -> bool,
    /// Whether a shared table is written under each of its names: transformers 5 ties none of a model whose
    /// `tie_word_embeddings` is false.
    pub(super) writes_copies: fn(&Options) -> bool,
}

/// The facts of a family with BART's names.
const fn facts(model_type: &'static str, class: &'static str) -> Facts {
    let naming = Naming {
        prefix: "model",
        layers: "encoder.layers.",
        head: &["model.decoder.", "lm_head.", "final_logits_bias"],
        // Sinusoids that some files store, fairseq's buffers, and heads of other tasks.
        unused: |name| {
            let buffers = ["version", "embed_positions.weight", "embed_positions.weights"];
            let of_stack = |name: &str| {
                let rest = name.strip_prefix("encoder.").or_else(|| name.strip_prefix("decoder."));
                rest.is_some_and(|rest| buffers.contains(&rest) || rest.ends_with("_float_tensor"))
            };
            let heads = ["classification_head.", "qa_outputs."];
            of_stack(name) || heads.iter().any(|head| name.starts_with(head))
        },
    };
    Facts { model_type, class, kind: KIND, naming }
}

/// Where their layers are counted and what they are called.
const LAYER_KEYS: [&str; 2] = ["encoder_layers", "decoder_layers"];
const LAYER_NAMES: [&str; 2] = ["encoder.layers.", "decoder.layers."];
