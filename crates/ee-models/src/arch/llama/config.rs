//! `config.json` and `generation_config.json` of a decoder.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::arch::{Architecture, Kind, of_kind};
use crate::checkpoint::{Keys, read_json};
use crate::error::Result;
use crate::layers::RotaryScaling;

/// The numbers of a decoder, most of them under their Hugging Face names.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are Hugging Face's and documented there")]
pub struct LlamaConfig {
    pub architecture: &'static Architecture,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    pub max_position_embeddings: usize,
    pub tie_word_embeddings: bool,
    pub initializer_range: f64,
    /// Slots that a query sees, its own included; all earlier ones if absent.
    pub sliding_window: Option<usize>,
    /// How rotary frequencies were changed for longer contexts.
    pub scaling: RotaryScaling,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether attention's output has a bias.
    pub output_bias: bool,
    /// Whether the feed-forward network has biases.
    pub mlp_bias: bool,
    /// The tokens that begin and end a text.
    pub special: SpecialTokens,
    /// The whole file, for writing back.
    json: Map<String, Value>,
}

/// The tokens that begin and end a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// The token that a text begins with.
    pub beginning: Option<u32>,
    /// The tokens that end a text; some checkpoints have several, some none.
    pub ends: Vec<u32>,
}

impl LlamaConfig {
    /// Reads `config.json` of a checkpoint folder, and `generation_config.json` where it is there: its
    /// special tokens go before those of the former. Its sampling settings are not taken.
    ///
    /// # Errors
    /// When a file is absent or no JSON, a needed key is missing (all missing keys are named), or the
    /// architecture or something it asks for is not supported.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let mut config = Self::from_json(read_json(&path)?, &path)?;
        let path = folder.join("generation_config.json");
        if path.is_file() {
            let json = read_json(&path)?;
            let mut keys = Keys::new(&json);
            let stated = special_tokens(&mut keys, config.vocab_size);
            keys.finish(&path)?;
            let SpecialTokens { beginning, ends } = &mut config.special;
            *beginning = stated.beginning.or(*beginning);
            if !stated.ends.is_empty() {
                *ends = stated.ends;
            }
        }
        Ok(config)
    }

    /// Takes the numbers from a configuration's JSON; `path` is what complaints name.
    ///
    /// # Errors
    /// As [`LlamaConfig::read`].
    pub fn from_json(json: Map<String, Value>, path: &Path) -> Result<Self> {
        let architecture = of_kind(&json, Kind::Decoder, path)?;
        let mut keys = Keys::new(&json);
        let heads = keys.size("num_attention_heads", None);
        let hidden_size = keys.size("hidden_size", None);
        let vocab_size = keys.size("vocab_size", None);
        let attention_bias = keys.truth("attention_bias", false);
        let config = Self {
            architecture,
            vocab_size,
            hidden_size,
            intermediate_size: keys.size("intermediate_size", None),
            num_hidden_layers: keys.size("num_hidden_layers", None),
            num_attention_heads: heads,
            num_key_value_heads: keys.size("num_key_value_heads", Some(heads)),
            head_dim: keys.size("head_dim", Some((hidden_size / heads).max(1))),
            rms_norm_eps: keys.number("rms_norm_eps", 1e-6),
            rope_theta: theta(&mut keys),
            max_position_embeddings: keys.size("max_position_embeddings", Some(2048)),
            tie_word_embeddings: keys.truth("tie_word_embeddings", false),
            initializer_range: keys.number("initializer_range", 0.02),
            sliding_window: window(&mut keys, architecture),
            scaling: scaling(&mut keys),
            qkv_bias: attention_bias || architecture.model_type == "qwen2",
            output_bias: attention_bias,
            mlp_bias: keys.truth("mlp_bias", false),
            special: special_tokens(&mut keys, vocab_size),
            json: Map::new(),
        };
        config.check(&mut keys);
        keys.finish(path)?;
        Ok(Self { json, ..config })
    }

    fn check(&self, keys: &mut Keys<'_>) {
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(kv_heads) {
            keys.complain(format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            keys.complain(format!("head_dim {} is odd, positions rotate pairs", self.head_dim));
        }
        if let Some(other) = keys.get("hidden_act").and_then(Value::as_str)
            && other != "silu"
        {
            keys.complain(format!("hidden_act '{other}' is not supported, expected silu"));
        }
    }

    /// A Llama of the given sizes.
    ///
    /// # Errors
    /// When the sizes do not go together.
    pub fn llama(sizes: &LlamaSizes) -> Result<Self> {
        let value = json!({
            "model_type": "llama",
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

    /// The file's JSON, with the class that the model has now.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = self.json.clone();
        json.insert("architectures".into(), json!([self.architecture.class]));
        json
    }
}

/// Sizes of a Llama built from scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LlamaSizes {
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Width of the hidden state.
    pub d_model: usize,
    /// Number of layers.
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

/// θ: in `rope_parameters` in newer files, at the top in older ones.
fn theta(keys: &mut Keys<'_>) -> f64 {
    let default = keys.number("rope_theta", 10_000.0);
    keys.inside("rope_parameters", |keys| keys.number("rope_theta", default)).unwrap_or(default)
}

fn scaling(keys: &mut Keys<'_>) -> RotaryScaling {
    let read = |keys: &mut Keys<'_>| {
        let kind = ["rope_type", "type"].iter().find_map(|key| keys.get(key)?.as_str());
        match kind.unwrap_or("default") {
            "default" => RotaryScaling::None,
            "linear" => RotaryScaling::Linear { factor: keys.number("factor", 1.0) },
            "llama3" => RotaryScaling::Llama3 {
                factor: keys.number("factor", 8.0),
                low_frequency_factor: keys.number("low_freq_factor", 1.0),
                high_frequency_factor: keys.number("high_freq_factor", 4.0),
                original_positions: keys.number("original_max_position_embeddings", 8192.0),
            },
            other => {
                keys.complain(format!(
                    "rope type '{other}' is not supported; supported are default, linear and llama3"
                ));
                RotaryScaling::None
            }
        }
    };
    let newer = keys.inside("rope_parameters", read);
    newer.or_else(|| keys.inside("rope_scaling", read)).unwrap_or(RotaryScaling::None)
}

/// Mistral's window holds wherever it is stated; Qwen2 states one and asks for it apart.
fn window(keys: &mut Keys<'_>, architecture: &Architecture) -> Option<usize> {
    match architecture.model_type {
        "mistral" => keys.get("sliding_window").map(|_| keys.size("sliding_window", None)),
        "qwen2" if keys.truth("use_sliding_window", false) => {
            keys.complain("'use_sliding_window': true is not supported".to_owned());
            None
        }
        _ => None,
    }
}

fn special_tokens(keys: &mut Keys<'_>, vocab_size: usize) -> SpecialTokens {
    let mut ids = |key: &str| -> Vec<u32> {
        let values = match keys.get(key) {
            None => return Vec::new(),
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
        };
        let id = |value: &Value| value.as_u64().filter(|&id| id < vocab_size as u64);
        let found: Option<Vec<u32>> =
            values.iter().map(|value| id(value).map(|id| id as u32)).collect();
        found.unwrap_or_else(|| {
            let found = &keys.get(key).expect("it was there");
            keys.complain(format!("'{key}' must be token ids below {vocab_size}, found {found}"));
            Vec::new()
        })
    };
    SpecialTokens { beginning: ids("bos_token_id").first().copied(), ends: ids("eos_token_id") }
}
