//! `config.json` and `generation_config.json` of a decoder.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::family::{Biases, FAMILIES, LlamaFamily};
use super::rope;
use super::window::Windowed;
use crate::arch::{self, SpecialTokens, special};
use crate::checkpoint::{Keys, read_json};
use crate::error::Result;
use crate::kernels::Activation;
use crate::layers::RotaryScaling;

/// The numbers of a decoder, most of them under their Hugging Face names.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are Hugging Face's and documented there")]
pub struct LlamaConfig {
    pub family: &'static LlamaFamily,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    /// With what `scaling` adds to them.
    pub max_position_embeddings: usize,
    pub tie_word_embeddings: bool,
    pub initializer_range: f64,
    /// Slots that a query of a windowed layer sees, its own included.
    pub sliding_window: Option<usize>,
    /// The layers that have the window.
    pub windowed: Windowed,
    /// How rotary frequencies were changed for longer contexts.
    pub scaling: RotaryScaling,
    /// What transformers drops of attention in training, where decoders here drop nothing.
    pub attention_dropout: f64,
    pub biases: Biases,
    /// The tokens that begin and end a text.
    pub special: SpecialTokens,
    /// What of the files is of no use.
    pub notices: Vec<String>,
    /// The whole file, for writing back.
    json: Map<String, Value>,
    /// The whole `generation_config.json`, for writing back.
    generation: Map<String, Value>,
}

impl LlamaConfig {
    /// Reads `config.json` of a checkpoint folder, and `generation_config.json` where it is there: its
    /// special tokens take precedence over those of the former. Its sampling settings are ignored.
    ///
    /// # Errors
    /// When a file is absent or not JSON, a needed key is missing (all missing keys are named), or the
    /// architecture or something it asks for is not supported.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let mut config = Self::from_json(read_json(&path)?, &path)?;
        let (generation, notice) = special::generation(&folder.join("generation_config.json"))?;
        config.notices.extend(notice);
        let (wrong, notices) = config.special.take(&generation, config.vocab_size);
        // transformers uses what it can from this file.
        let wrong =
            wrong.into_iter().map(|wrong| format!("generation_config.json: {wrong}; ignored"));
        config.notices.extend(wrong.chain(notices));
        config.generation = generation;
        Ok(config)
    }

    /// Takes the numbers from a configuration's JSON; `path` is what complaints name.
    ///
    /// # Errors
    /// As [`LlamaConfig::read`].
    pub fn from_json(json: Map<String, Value>, path: &Path) -> Result<Self> {
        let family = arch::among(FAMILIES, &json, path)?;
        let mut keys = Keys::new(&json);
        let heads = keys.size("num_attention_heads", None);
        let hidden_size = keys.size("hidden_size", None);
        let vocab_size = keys.size("vocab_size", None);
        let layers = keys.size("num_hidden_layers", None);
        let head_dim = head_dim(&mut keys, family, (hidden_size / heads).max(1));
        let kv_heads = family.kv_heads.unwrap_or(heads);
        let kv_heads =
            keys.or_null("num_key_value_heads", |keys, key| keys.size(key, Some(kv_heads)));
        let positions = keys.size("max_position_embeddings", Some(family.positions));
        let biases = (family.biases)(&mut keys);
        let (sliding_window, windowed) = (family.windows)(&mut keys, layers);
        let rope = rope::read(&mut keys, head_dim, positions);
        let usual = family.special.map_or([None; 2], |special| special.map(Some));
        let (special, notices) = special::of_config(&mut keys, &json, vocab_size, usual);
        let dropout = keys.or_null("attention_dropout", |keys, key| keys.dropout(key, 0.0));
        let not_negative = |x: f64| x >= 0.0;
        let config = Self {
            family,
            vocab_size,
            hidden_size,
            intermediate_size: keys.size("intermediate_size", None),
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads.unwrap_or(heads),
            head_dim,
            rms_norm_eps: keys.number("rms_norm_eps", 1e-6, "of 0 or more", not_negative),
            rope_theta: rope.theta,
            max_position_embeddings: rope.positions,
            tie_word_embeddings: keys.truth("tie_word_embeddings", false),
            initializer_range: keys.number("initializer_range", 0.02, "of 0 or more", not_negative),
            sliding_window,
            windowed,
            scaling: rope.scaling,
            attention_dropout: dropout.unwrap_or(0.0),
            biases,
            special,
            notices,
            json: Map::new(),
            generation: Map::new(),
        };
        config.check(&mut keys);
        keys.finish(path)?;
        Ok(Self { json, ..config })
    }

    /// The slots that a query of layer `index` sees, its own included; all earlier ones if absent.
    pub fn window_of(&self, index: usize) -> Option<usize> {
        let is_windowed = match &self.windowed {
            Windowed::All => true,
            Windowed::From(first) => index >= *first,
            Windowed::Listed(layers) => layers[index],
        };
        self.sliding_window.filter(|_| is_windowed)
    }

    fn check(&self, keys: &mut Keys<'_>) {
        if keys.is_sound() {
            self.check_sizes(keys);
        }
        let function = keys.text("hidden_act").unwrap_or("silu");
        if Activation::named(function) != Some(Activation::Silu) {
            keys.complain(format!("hidden_act '{function}' is not supported, expected silu"));
        }
    }

    fn check_sizes(&self, keys: &mut Keys<'_>) {
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(kv_heads) {
            keys.complain(format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            keys.complain(format!("head_dim {} is odd, positions rotate pairs", self.head_dim));
        }
        let is_shared_out = keys.get("head_dim").is_none() && self.family.head_dim.is_none();
        if is_shared_out && !self.hidden_size.is_multiple_of(heads) {
            let size = self.hidden_size;
            keys.complain(format!(
                "hidden_size {size} is not a multiple of num_attention_heads {heads}"
            ));
        }
    }

    /// A model of the given sizes.
    ///
    /// # Errors
    /// When the sizes do not go together.
    pub fn of_sizes(family: &LlamaFamily, sizes: &LlamaSizes) -> Result<Self> {
        let value = json!({
            "model_type": family.facts.model_type,
            "vocab_size": sizes.vocabulary,
            "hidden_size": sizes.d_model,
            "intermediate_size": sizes.inner,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.kv_heads,
            "max_position_embeddings": sizes.positions,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": false,
            "initializer_range": 0.02,
            "bos_token_id": null,
            "eos_token_id": null,
        });
        let Value::Object(json) = value else { unreachable!("the literal is an object") };
        Self::from_json(json, Path::new("the model's sizes"))
    }

    /// The same with the head tied to the embedding's table, or not.
    pub fn with_tied_head(mut self, is_tied: bool) -> Self {
        self.tie_word_embeddings = is_tied;
        self.json.insert("tie_word_embeddings".into(), is_tied.into());
        self
    }

    /// The same with new weights of another standard deviation.
    pub fn with_initializer_range(mut self, deviation: f64) -> Self {
        self.initializer_range = deviation;
        self.json.insert("initializer_range".into(), deviation.into());
        self
    }

    /// The same with these tokens at a text's beginning and end.
    pub fn with_special(mut self, beginning: Option<u32>, end: Option<u32>) -> Self {
        for (key, id) in [("bos_token_id", beginning), ("eos_token_id", end)] {
            self.json.insert(key.into(), id.into());
        }
        self.special = SpecialTokens { beginning, ends: end.into_iter().collect() };
        self
    }

    /// Ends texts with a token that training teaches to end them, before those that end them already, as
    /// transformers' `Trainer` does; says what that changes.
    pub fn teach_end(&mut self, end: u32) -> Option<String> {
        let before = self.special.ends.clone();
        if before.contains(&end) {
            return None;
        }
        self.special.ends.insert(0, end);
        self.json.insert("eos_token_id".into(), end.into());
        if !self.generation.is_empty() {
            let ends = special::ends_to_json(&self.special.ends);
            self.generation.insert("eos_token_id".into(), ends);
        }
        Some(format!(
            "the tokenizer ends texts with token {end}, the model's files with {before:?}: texts are taught \
             to end with the former, and the saved folder ends them with all of these"
        ))
    }

    /// What to write as `generation_config.json`.
    pub fn generation_to_json(&self) -> Map<String, Value> {
        special::to_json(&self.generation, &self.special)
    }

    /// The file's JSON, with the class that the model has now.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = self.json.clone();
        json.insert("architectures".into(), json!([self.family.facts.class]));
        json
    }
}

/// Sizes of a decoder built from scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say all")]
pub struct LlamaSizes {
    pub vocabulary: usize,
    pub d_model: usize,
    pub layers: usize,
    /// Attention heads; divides `d_model`.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Width of the feed-forward network.
    pub inner: usize,
    /// Longest text in tokens.
    pub positions: usize,
}

/// Numbers of a head. A family that always states them knows no null.
fn head_dim(keys: &mut Keys<'_>, family: &LlamaFamily, share: usize) -> usize {
    if let Some(default) = family.head_dim {
        return keys.size("head_dim", Some(default));
    }
    keys.or_null("head_dim", |keys, key| keys.size(key, Some(share))).unwrap_or(share)
}
