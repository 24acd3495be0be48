use std::path::Path;

use burn::tensor::Device;

use super::{Llama, LlamaConfig};
use crate::checkpoint::{
    CheckpointParameters, ParameterNames, Precision, RandomParameters, Weights,
};
use crate::error::Result;

/// A decoder with what must be known beside its parameters.
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
    let weights = Weights::open(folder)?;
    let naming = config.architecture.naming;
    let mut source = CheckpointParameters::new(weights, naming, precision, device.clone());
    source.check(config.num_hidden_layers, folder)?;
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
