//! `config.json` of an encoder: what the model needs of it, and the rest kept for writing back.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::family::{EncoderFamily, FAMILIES};
use crate::arch;
use crate::checkpoint::{Keys, read_json};
use crate::error::Result;
use crate::kernels::Activation;

/// The numbers of an encoder, under their Hugging Face names.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are Hugging Face's and documented there")]
pub struct EncoderConfig {
    pub family: &'static EncoderFamily,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    pub type_vocab_size: usize,
    pub layer_norm_eps: f64,
    pub pad_token_id: usize,
    pub hidden_dropout_prob: f32,
    pub attention_probs_dropout_prob: f32,
    pub classifier_dropout: Option<f32>,
    pub initializer_range: f64,
    pub activation: Activation,
    labels: Vec<String>,
    /// The whole file, for writing back.
    json: Map<String, Value>,
}

impl EncoderConfig {
    /// Reads `config.json` of a checkpoint folder.
    ///
    /// # Errors
    /// When the file is absent or not JSON, a needed key is missing (all missing keys are named), or the
    /// architecture is not supported.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        Self::from_json(read_json(&path)?, &path)
    }

    /// Takes the numbers from a configuration's JSON; `path` is what complaints name.
    ///
    /// # Errors
    /// As [`EncoderConfig::read`].
    pub fn from_json(json: Map<String, Value>, path: &Path) -> Result<Self> {
        let family = arch::among(FAMILIES, &json, path)?;
        let mut keys = Keys::new(&json);
        let activation = activation(&mut keys);
        let labels = labels(&mut keys);
        let hidden_dropout = keys.dropout("hidden_dropout_prob", 0.1);
        let attention_dropout = keys.dropout("attention_probs_dropout_prob", 0.1);
        let head_dropout = keys.or_null("classifier_dropout", |keys, key| {
            keys.has(key).then(|| keys.dropout(key, hidden_dropout) as f32)
        });
        let config = Self {
            family,
            vocab_size: keys.size("vocab_size", None),
            hidden_size: keys.size("hidden_size", None),
            num_hidden_layers: keys.size("num_hidden_layers", None),
            num_attention_heads: keys.size("num_attention_heads", None),
            intermediate_size: keys.size("intermediate_size", None),
            max_position_embeddings: keys.size("max_position_embeddings", Some(512)),
            type_vocab_size: keys.size("type_vocab_size", Some(2)),
            layer_norm_eps: keys.number("layer_norm_eps", 1e-12, "of 0 or more", |x| x >= 0.0),
            pad_token_id: padding(&mut keys, family),
            hidden_dropout_prob: hidden_dropout as f32,
            attention_probs_dropout_prob: attention_dropout as f32,
            classifier_dropout: head_dropout.flatten(),
            initializer_range: keys.number("initializer_range", 0.02, "of 0 or more", |x| x >= 0.0),
            activation,
            labels,
            json: Map::new(),
        };
        config.check(&mut keys);
        keys.finish(path)?;
        Ok(Self { json, ..config })
    }

    fn check(&self, keys: &mut Keys<'_>) {
        if keys.is_sound() {
            self.check_sizes(keys);
        }
        let kind = keys.text("position_embedding_type").unwrap_or("absolute");
        if kind != "absolute" {
            keys.complain(format!("position_embedding_type '{kind}' is not supported"));
        }
        for key in ["is_decoder", "add_cross_attention"] {
            if keys.truth(key, false) {
                keys.complain(format!("'{key}': true is not supported by the encoder"));
            }
        }
    }

    fn check_sizes(&self, keys: &mut Keys<'_>) {
        let heads = self.num_attention_heads.max(1);
        if !self.hidden_size.is_multiple_of(heads) {
            let (size, heads) = (self.hidden_size, self.num_attention_heads);
            keys.complain(format!(
                "hidden_size {size} is not a multiple of num_attention_heads {heads}"
            ));
        }
        if self.pad_token_id >= self.vocab_size.max(1) {
            let (id, size) = (self.pad_token_id, self.vocab_size);
            keys.complain(format!("pad_token_id {id} is outside vocab_size {size}"));
        }
        if self.max_length() == 0 {
            let (positions, id) = (self.max_position_embeddings, self.pad_token_id);
            keys.complain(format!(
                "max_position_embeddings {positions} leave none behind pad_token_id {id}"
            ));
        }
    }

    /// A model of the given sizes.
    ///
    /// # Errors
    /// When the sizes do not go together.
    pub fn of_sizes(family: &EncoderFamily, sizes: &BertSizes) -> Result<Self> {
        let value = json!({
            "model_type": family.facts.model_type,
            "vocab_size": sizes.vocabulary,
            "hidden_size": sizes.d_model,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "intermediate_size": sizes.inner,
            "max_position_embeddings": sizes.positions + family.reserved(family.padding),
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "pad_token_id": family.padding,
            "hidden_dropout_prob": sizes.dropout,
            "attention_probs_dropout_prob": sizes.dropout,
            "initializer_range": sizes.initializer_range,
        });
        let Value::Object(json) = value else { unreachable!("the literal is an object") };
        Self::from_json(json, Path::new("the model's sizes"))
    }

    /// Names of the labels, in the order of their numbers.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Number of labels.
    pub fn n_labels(&self) -> usize {
        self.labels.len()
    }

    /// The longest input in tokens, special tokens included.
    pub fn max_length(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.family.reserved(self.pad_token_id))
    }

    /// Gives the labels other names or another number.
    pub fn set_labels(&mut self, labels: &[String]) {
        self.labels = labels.to_vec();
    }

    /// The class that the file names where its `classifier` is not one of whole texts.
    pub fn class_of_other_head(&self) -> Option<&str> {
        let class = self.json.get("architectures")?.get(0)?.as_str()?;
        ["ForTokenClassification", "ForMultipleChoice"]
            .iter()
            .any(|head| class.ends_with(head))
            .then_some(class)
    }

    /// The file's JSON, with the class and the labels that the model has now.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = self.json.clone();
        json.insert("architectures".into(), json!([self.family.facts.class]));
        json.remove("num_labels");
        let id2label: Map<_, _> = self
            .labels
            .iter()
            .enumerate()
            .map(|(id, label)| (id.to_string(), json!(label)))
            .collect();
        let label2id: Map<_, _> =
            self.labels.iter().enumerate().map(|(id, label)| (label.clone(), json!(id))).collect();
        json.insert("id2label".into(), Value::Object(id2label));
        json.insert("label2id".into(), Value::Object(label2id));
        json
    }
}

/// Sizes of an encoder built from scratch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say all")]
pub struct BertSizes {
    pub vocabulary: usize,
    pub d_model: usize,
    pub layers: usize,
    /// Attention heads; divides `d_model`.
    pub heads: usize,
    /// Width of the feed-forward network.
    pub inner: usize,
    /// Longest input in tokens.
    pub positions: usize,
    /// Dropout probability of hidden states and attention.
    pub dropout: f64,
    /// Standard deviation of new weights; BERT has 0.02.
    pub initializer_range: f64,
}

fn activation(keys: &mut Keys<'_>) -> Activation {
    let name = keys.text("hidden_act").unwrap_or("gelu");
    Activation::named(name).unwrap_or_else(|| {
        keys.complain(format!(
            "hidden_act '{name}' is not supported; supported are {}",
            Activation::names().join(", ")
        ));
        Activation::Gelu
    })
}

/// The padding id. If no position depends on it, a model can do without one: its row of the table is a row like
/// others once it is trained.
fn padding(keys: &mut Keys<'_>, family: &EncoderFamily) -> usize {
    if family.counts_from_padding {
        return keys.index("pad_token_id", family.padding);
    }
    keys.or_null("pad_token_id", |keys, key| keys.index(key, family.padding)).unwrap_or(0)
}

/// More labels than any head has; their names are made before the head's shape is looked at.
const MOST_LABELS: usize = 1 << 20;

/// `id2label`, else `num_labels` unnamed ones, else two as transformers has it.
fn labels(keys: &mut Keys<'_>) -> Vec<String> {
    let unnamed = |n: usize| (0..n).map(|id| format!("LABEL_{id}")).collect();
    let stated = keys.or_null("num_labels", |keys, key| keys.size(key, Some(2)));
    let stated = stated.filter(|_| keys.get("num_labels").is_some());
    if let Some(n) = stated.filter(|&n| n > MOST_LABELS) {
        keys.complain(format!("'num_labels' must be {MOST_LABELS} at most, found {n}"));
        return Vec::new();
    }
    let Some(map) = keys.or_null("id2label", |keys, key| keys.object(key)).flatten() else {
        return unnamed(stated.unwrap_or(2));
    };
    if let Some(n) = stated.filter(|&n| n != map.len()) {
        keys.complain(format!("'num_labels' is {n}, 'id2label' names {} labels", map.len()));
    }
    let names: Option<Vec<String>> = (0..map.len())
        .map(|id| map.get(&id.to_string()).and_then(Value::as_str).map(str::to_owned))
        .collect();
    names.filter(|names| !names.is_empty()).unwrap_or_else(|| {
        keys.complain("'id2label' must name the labels 0, 1, … in a row".to_owned());
        unnamed(map.len())
    })
}
