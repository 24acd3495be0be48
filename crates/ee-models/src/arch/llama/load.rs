use std::path::Path;

use burn::tensor::Device;

use super::{Llama, LlamaBackbone, LlamaConfig, LlamaFamily};
use crate::arch::{Facts, Family, LoadedDecoder, ModelSize};
use crate::checkpoint::{CheckpointParameters, ParameterNames, Precision, RandomParameters};
use crate::error::Result;
use crate::exit::Backbone;

/// A decoder with what must be known besides its parameters.
#[derive(Debug)]
pub struct Loaded {
    /// The model, on its device.
    pub model: Llama,
    /// The configuration it was built from.
    pub config: LlamaConfig,
    /// The Hugging Face name of each parameter.
    pub names: ParameterNames,
    /// Names of tensors of the checkpoint that the model does not use.
    pub unused: Vec<String>,
}

/// Loads a checkpoint folder onto a device, its matrices in the given format.
///
/// # Errors
/// When `config.json` or the weights are absent, broken or do not fit each other.
pub fn load(folder: &Path, precision: Precision, device: &Device) -> Result<Loaded> {
    let config = LlamaConfig::read(folder)?;
    let mut source = open(&config, folder, precision, device)?;
    let model = Llama::new(&config, &mut source);
    let (names, _, unused) = source.finish(folder)?;
    Ok(Loaded { model, config, names, unused })
}

/// Builds a model of a configuration with random parameters.
pub fn random(config: LlamaConfig, seed: u64, precision: Precision, device: &Device) -> Loaded {
    let source = RandomParameters::new(seed, config.initializer_range, device.clone());
    let mut source = source.with_precision(precision);
    let model = Llama::new(&config, &mut source);
    Loaded { model, config, names: source.into_names(), unused: Vec::new() }
}

fn open(
    config: &LlamaConfig,
    folder: &Path,
    precision: Precision,
    device: &Device,
) -> Result<CheckpointParameters> {
    let (naming, layers) = (config.family.facts.naming, config.num_hidden_layers);
    CheckpointParameters::open(folder, naming, layers, precision, device)
}

impl Family for LlamaFamily {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn backbone(
        &self,
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> Result<Box<dyn Backbone>> {
        let config = LlamaConfig::read(folder)?;
        let mut source = open(&config, folder, precision, device)?;
        source.pass_over(self.facts.naming.head);
        let model = LlamaBackbone::new(&config, &mut source);
        source.finish(folder)?;
        Ok(Box::new(model))
    }

    fn decoder(
        &self,
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> Result<LoadedDecoder> {
        let Loaded { model, config, unused, .. } = load(folder, precision, device)?;
        Ok(LoadedDecoder {
            model: Box::new(model),
            model_type: self.facts.model_type,
            special: config.special,
            languages: None,
            notices: config.notices,
            unused,
        })
    }

    fn size(&self, folder: &Path, _labels: Option<&[String]>) -> Result<ModelSize> {
        LlamaConfig::read(folder).map(|config| config.size())
    }
}

impl LlamaConfig {
    /// How large the model is.
    pub fn size(&self) -> ModelSize {
        let (d_model, inner) = (self.hidden_size as f64, self.intermediate_size as f64);
        let heads = |n: usize| n as f64 * self.head_dim as f64;
        let inputs = heads(self.num_attention_heads) + heads(self.num_key_value_heads);
        let counted = ModelSize::count(self.num_hidden_layers, |layers, shapes| {
            let mut config = self.clone();
            config.num_hidden_layers = layers;
            drop(Llama::new(&config, shapes));
        });
        // The layer's sum and both norms' outputs, the rotated query, key and value, what attention gives,
        // and of the feed-forward network both halves and their product.
        let kept = 3.0 * d_model + 2.0 * inputs + 3.0 * inner;
        let before_norms = if self.family.has_head_norms { inputs } else { 0.0 };
        ModelSize {
            d_model,
            outputs: self.vocab_size as f64,
            kept_per_token: kept + before_norms,
            is_adaptable: true,
            ..counted
        }
    }
}
