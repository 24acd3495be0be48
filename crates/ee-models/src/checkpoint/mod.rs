//! Hugging Face folders in and out.
//!
//! Loading is strict: a tensor that is missing, extra or misshapen is an error that names it, and all of
//! them are named at once. What a checkpoint may hold beyond the model is listed by its architecture. A
//! classification head that is not there is initialised anew only when the caller allows it, and the
//! caller is told. Weights are F32 in memory whatever the file holds.

mod config;
mod random;
mod read;
mod source;
mod write;

use std::collections::HashMap;
use std::path::Path;

use burn::module::ParamId;
use burn::tensor::Device;

pub use config::{BertSizes, EncoderConfig};
pub use random::RandomParameters;
pub use read::Weights;
pub use write::save;

use crate::arch::bert::Encoder;
use crate::error::{Error, Result};
use source::CheckpointParameters;

/// A model with what must be known beside its parameters.
#[derive(Debug)]
pub struct Loaded {
    /// The model, on its device.
    pub model: Encoder,
    /// The configuration it was built from.
    pub config: EncoderConfig,
    /// The Hugging Face name of each parameter.
    pub names: ParameterNames,
    /// Names of head parameters that were initialised anew.
    pub new_head: Vec<String>,
    /// Names of tensors of the checkpoint that the model does not use.
    pub unused: Vec<String>,
}

/// The Hugging Face names of a model's parameters, in the order in which the model was built.
#[derive(Clone, Debug, Default)]
pub struct ParameterNames {
    order: Vec<(ParamId, String)>,
    by_id: HashMap<ParamId, usize>,
}

impl ParameterNames {
    fn push(&mut self, id: ParamId, name: &str) {
        self.by_id.insert(id, self.order.len());
        self.order.push((id, name.to_owned()));
    }

    /// The name of a parameter.
    pub fn get(&self, id: ParamId) -> Option<&str> {
        self.by_id.get(&id).map(|&index| self.order[index].1.as_str())
    }

    /// All parameters, in building order.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &str)> {
        self.order.iter().map(|(id, name)| (*id, name.as_str()))
    }
}

/// What to do about a checkpoint that has no classification head.
#[derive(Clone, Debug)]
pub enum Head {
    /// It must be there.
    Required,
    /// Where it is absent, draw one for these labels from this seed; where one is there, it must have
    /// as many labels.
    NewIfAbsent {
        /// The labels' names, in the order of their numbers.
        labels: Vec<String>,
        /// Seed of the new head.
        seed: u64,
    },
}

/// Loads a checkpoint folder onto a device.
///
/// # Errors
/// When `config.json` or the weights are absent, broken or do not fit each other.
pub fn load(folder: &Path, head: &Head, device: &Device) -> Result<Loaded> {
    let mut config = EncoderConfig::read(folder)?;
    let weights = Weights::open(folder)?;
    let mut source = CheckpointParameters::new(weights, config.architecture, device.clone());
    if let Head::NewIfAbsent { labels, seed } = head {
        if source.has_head() {
            config.expect_labels(labels)?;
        } else {
            source.draw_head(*seed, config.initializer_range);
        }
        config.set_labels(labels);
    } else if !source.has_head() {
        return Err(Error::Weights {
            path: folder.to_owned(),
            complaint: "the checkpoint has no classification head; fine-tune it first".to_owned(),
        });
    }
    let model = Encoder::new(&config, &mut source);
    let (names, new_head, unused) = source.finish(folder)?;
    Ok(Loaded { model, config, names, new_head, unused })
}

/// Builds a model of a configuration with random parameters.
pub fn random(config: EncoderConfig, seed: u64, device: &Device) -> Loaded {
    let mut source = RandomParameters::new(seed, config.initializer_range, device.clone());
    let model = Encoder::new(&config, &mut source);
    let names = source.into_names();
    Loaded { model, config, names, new_head: Vec::new(), unused: Vec::new() }
}
