//! What a run trains: an encoder that classifies, a decoder that continues texts, or an encoder-decoder.
//!
//! Loop, steps, snapshots and validation need only this.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use ee_models::arch::bert::{self, Encoder, EncoderConfig, Head};
use ee_models::arch::llama::{self, Llama, LlamaConfig};
use ee_models::arch::seq2seq::{self, Seq2Seq, Seq2SeqConfig};
use ee_models::checkpoint::{ParameterNames, Precision};
use ee_models::{Decoder, ExitModel};
use serde_json::{Map, Value};

/// A model that can be trained and written as a Hugging Face folder.
pub(crate) trait Trainable: ExitModel + Module + 'static {
    type Config: Clone;

    /// Loads a whole checkpoint, its head included.
    fn open(
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> ee_models::Result<Loaded<Self>>;

    fn to_json(config: &Self::Config) -> Map<String, Value>;

    /// The model's `generation_config.json`, where it generates.
    fn generation_to_json(_config: &Self::Config) -> Option<Map<String, Value>> {
        None
    }

    /// The model as one that generates, where it does.
    fn decoder(&self) -> Option<&dyn Decoder> {
        None
    }

    /// The model to be written: additions of low rank merged into the matrices that they belong to.
    fn merged(&self) -> Self {
        self.clone()
    }
}

/// A model with what must be known besides its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<M: Trainable> {
    pub(crate) model: M,
    pub(crate) config: M::Config,
    /// The name of each parameter: Hugging Face's, of low-rank additions PEFT's.
    pub(crate) names: ParameterNames,
    /// The same without additions: what is written of the merged model.
    pub(crate) written: ParameterNames,
    /// What a reader of the results must know about the start.
    pub(crate) notices: Vec<String>,
}

impl Trainable for Encoder {
    type Config = EncoderConfig;

    /// Encoders compute in F32.
    fn open(
        folder: &Path,
        _precision: Precision,
        device: &Device,
    ) -> ee_models::Result<Loaded<Self>> {
        bert::load(folder, &Head::Required, device).map(Loaded::from)
    }

    fn to_json(config: &EncoderConfig) -> Map<String, Value> {
        config.to_json()
    }
}

impl Trainable for Llama {
    type Config = LlamaConfig;

    fn open(
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> ee_models::Result<Loaded<Self>> {
        llama::load(folder, precision, device).map(Loaded::from)
    }

    fn to_json(config: &LlamaConfig) -> Map<String, Value> {
        config.to_json()
    }

    fn generation_to_json(config: &LlamaConfig) -> Option<Map<String, Value>> {
        Some(config.generation_to_json())
    }

    fn decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }

    fn merged(&self) -> Self {
        self.merge_lora()
    }
}

impl Trainable for Seq2Seq {
    type Config = Seq2SeqConfig;

    fn open(
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> ee_models::Result<Loaded<Self>> {
        seq2seq::load(folder, precision, device).map(Loaded::from)
    }

    fn to_json(config: &Seq2SeqConfig) -> Map<String, Value> {
        config.to_json()
    }

    fn generation_to_json(config: &Seq2SeqConfig) -> Option<Map<String, Value>> {
        Some(config.generation_to_json())
    }

    fn decoder(&self) -> Option<&dyn Decoder> {
        Some(self)
    }
}

impl From<seq2seq::Loaded> for Loaded<Seq2Seq> {
    fn from(loaded: seq2seq::Loaded) -> Self {
        let seq2seq::Loaded { model, config, names, unused } = loaded;
        let mut notices = config.notices.clone();
        notices.extend(unused_tensors(&unused));
        Self { model, config, written: names.clone(), names, notices }
    }
}

impl From<bert::Loaded> for Loaded<Encoder> {
    fn from(loaded: bert::Loaded) -> Self {
        let bert::Loaded { model, config, names, new_head, replaced, unused } = loaded;
        let mut notices = Vec::new();
        if !new_head.is_empty() {
            let names = new_head.join(", ");
            notices.push(match replaced.as_slice() {
                [] => format!("the checkpoint has no classification head; initialised anew: {names}"),
                own => format!(
                    "the checkpoint's head ({}) is replaced by a new one drawn with the run's seed: {names}",
                    own.join(", ")
                ),
            });
        }
        notices.extend(unused_tensors(&unused));
        Self { model, config, written: names.clone(), names, notices }
    }
}

impl From<llama::Loaded> for Loaded<Llama> {
    fn from(loaded: llama::Loaded) -> Self {
        let llama::Loaded { model, config, names, unused } = loaded;
        let mut notices = config.notices.clone();
        notices.extend(unused_tensors(&unused));
        if config.attention_dropout > 0.0 {
            let probability = config.attention_dropout;
            notices.push(format!(
                "decoders train without dropout: 'attention_dropout' {probability} of config.json has no effect"
            ));
        }
        Self { model, config, written: names.clone(), names, notices }
    }
}

fn unused_tensors(names: &[String]) -> Option<String> {
    let names = (!names.is_empty()).then(|| names.join(", "))?;
    Some(format!("tensors of the checkpoint not used: {names}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn dropout_that_has_no_effect_is_told() {
        let notices = |dropout: f64| {
            let Value::Object(json) = json!({
                "model_type": "llama", "vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 12, "attention_dropout": dropout,
            }) else {
                unreachable!("the literal is an object")
            };
            let config = LlamaConfig::from_json(json, Path::new("config.json")).unwrap();
            Loaded::from(llama::random(config, 1, Precision::F32, &Device::flex())).notices
        };
        assert!(notices(0.0).is_empty());
        let told = notices(0.25);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("'attention_dropout' 0.25"), "{told:?}");
    }
}
