//! The tables of a run file that describe an encoder-decoder built from scratch, and the tokenizer learnt for it.

use std::path::{Path, PathBuf};

use ee_models::arch::seq2seq::{Dropouts, FAMILIES, MARIAN, Seq2SeqFamily, Sharing, Start};
use ee_models::kernels::Activation;
use ee_tasks::config::Section;
use ee_tasks::{BpeSettings, BpeSize};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::numbers::{optional_size, size, within};
use super::{ModelConfig, resolve};

/// The keys that encoder-decoders alone have: each of them tells that the model is one.
pub(super) const KEYS: [&str; 8] = [
    "encoder_layers",
    "decoder_layers",
    "family",
    "activation",
    "sharing",
    "attention_dropout",
    "activation_dropout",
    "scale_embedding",
];

/// Which tables are one, by their names in a run file.
const SHARINGS: &[(&str, Sharing)] = &[
    ("all", Sharing::All),
    ("tables", Sharing::Tables),
    ("decoder", Sharing::Decoder),
    ("nothing", Sharing::Nothing),
];

/// The shape of an encoder-decoder built from scratch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PairConfig {
    /// `model_type` of the family that it is written as, which says where norms and positions are.
    pub(crate) family: &'static str,
    /// Folder of the tokenizer; without it, one is learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokenizer: Option<PathBuf>,
    pub(crate) encoder_layers: usize,
    pub(crate) decoder_layers: usize,
    pub(crate) d_model: usize,
    pub(crate) heads: usize,
    pub(crate) inner: usize,
    pub(crate) positions: usize,
    /// Of embeddings and of what a layer's parts add.
    pub(crate) dropout: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attention_dropout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) activation_dropout: Option<f64>,
    #[serde(serialize_with = "activation_name")]
    pub(crate) activation: Activation,
    #[serde(serialize_with = "sharing_name")]
    pub(crate) sharing: Sharing,
    /// Whether tokens' vectors are multiplied by √d_model.
    pub(crate) scale_embedding: bool,
}

impl PairConfig {
    pub(crate) fn family(&self) -> &'static Seq2SeqFamily {
        family(self.family).expect("checked where it was read")
    }

    /// The dropouts of a model that starts like this: of T5's there is one for everything, of others attention and
    /// activation are not dropped unless that is asked for.
    pub(crate) fn dropouts(&self, start: Start) -> Dropouts {
        let everywhere = if start == Start::T5 { self.dropout } else { 0.0 };
        Dropouts {
            hidden: self.dropout,
            attention: self.attention_dropout.unwrap_or(everywhere),
            activation: self.activation_dropout.unwrap_or(everywhere),
            head: everywhere,
        }
    }
}

fn family(model_type: &str) -> Option<&'static Seq2SeqFamily> {
    FAMILIES.iter().copied().find(|family| family.facts.model_type == model_type)
}

/// A tokenizer learnt from the texts of the training split.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LearntConfig(pub(crate) BpeSettings);

impl Serialize for LearntConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let BpeSettings { size, joined, shared_merges, lowercase, order: _ } = self.0;
        let mut table = serializer.serialize_map(None)?;
        match size {
            BpeSize::Merges(merges) => table.serialize_entry("merges", &merges)?,
            BpeSize::Vocabulary(vocabulary) => table.serialize_entry("vocabulary", &vocabulary)?,
        }
        table.serialize_entry("joined", &joined)?;
        table.serialize_entry("shared_merges", &shared_merges)?;
        table.serialize_entry("lowercase", &lowercase)?;
        table.end()
    }
}

pub(super) fn pair(section: &Section<'_>, folder: &Path) -> PairConfig {
    let d_model = size(section, "d_model", None);
    let heads = size(section, "heads", Some((d_model / 64).max(1)));
    if !d_model.is_multiple_of(heads) {
        section.complain("heads", format!("{heads} heads do not divide d_model {d_model}"));
    }
    let probability = |key, default| {
        within(section, key, default, |p| (0.0..1.0).contains(&p), "0 or more, below 1")
    };
    let stated = |key| section.has(key).then(|| probability(key, 0.0));
    let families: Vec<_> =
        FAMILIES.iter().map(|family| (family.facts.model_type, family.facts.model_type)).collect();
    let activations: Vec<_> = Activation::names()
        .into_iter()
        .filter_map(|name| Some((name, Activation::named(name)?)))
        .collect();
    let encoder_layers = size(section, "encoder_layers", None);
    PairConfig {
        family: section.choice("family", &families, MARIAN.facts.model_type),
        tokenizer: section.optional("tokenizer").map(|path| resolve(folder, path)),
        encoder_layers,
        decoder_layers: size(section, "decoder_layers", Some(encoder_layers)),
        d_model,
        heads,
        inner: optional_size(section, "inner").unwrap_or(4 * d_model),
        positions: size(section, "positions", Some(512)),
        dropout: probability("dropout", 0.1),
        attention_dropout: stated("attention_dropout"),
        activation_dropout: stated("activation_dropout"),
        activation: section.choice("activation", &activations, Activation::Relu),
        sharing: section.choice("sharing", SHARINGS, Sharing::All),
        scale_embedding: section.or("scale_embedding", true),
    }
}

/// Complains where the tokenizer is stated twice or not at all, or does not fit the model.
pub(super) fn check(root: &Section<'_>, model: &ModelConfig, learnt: Option<&LearntConfig>) {
    match model {
        ModelConfig::Pair(pair) if pair.tokenizer.is_some() == learnt.is_some() => {
            let message =
                "expected either its folder, `model.tokenizer`, or how it is learnt, [tokenizer]";
            root.complain("tokenizer", message);
        }
        ModelConfig::Pair(pair) => {
            let has_two = learnt.is_some_and(|LearntConfig(settings)| !settings.joined);
            if has_two && pair.sharing.shares_tables() {
                let message =
                    "two dictionaries have no table in common, expected `decoder` or `nothing`";
                root.section("model").complain("sharing", message);
            }
        }
        _ if learnt.is_some() => {
            root.complain("tokenizer", "is learnt for a new encoder-decoder alone");
        }
        _ => {}
    }
}

/// The table `tokenizer`, where it is written.
pub(super) fn learnt(section: &Section<'_>) -> Option<LearntConfig> {
    section.exists().then(|| LearntConfig(BpeSettings::from_section(section)))
}

fn activation_name<S: Serializer>(
    activation: &Activation,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let names = Activation::names().into_iter();
    let mut own = names.filter(|name| Activation::named(name) == Some(*activation));
    serializer.serialize_str(own.next().expect("every activation has a name"))
}

fn sharing_name<S: Serializer>(sharing: &Sharing, serializer: S) -> Result<S::Ok, S::Error> {
    let own = SHARINGS.iter().find(|(_, known)| known == sharing);
    serializer.serialize_str(own.expect("every way has a name").0)
}
