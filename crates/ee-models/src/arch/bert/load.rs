//! Encoders from checkpoint folders and from random numbers.
//!
//! A classification head that is not there is initialised anew only when the caller allows it, and the
//! caller is told.

use std::path::Path;

use burn::tensor::Device;

use super::{Encoder, EncoderConfig};
use crate::checkpoint::{
    CheckpointParameters, ParameterNames, Precision, RandomParameters, Weights,
};
use crate::error::{Error, Result};

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
    /// Names of tensors of the checkpoint's own head that a new one took the place of.
    pub replaced: Vec<String>,
    /// Names of tensors of the checkpoint that the model does not use.
    pub unused: Vec<String>,
}

/// What becomes of a checkpoint's classification head.
#[derive(Clone, Debug)]
pub enum Head {
    /// It must be there.
    Required,
    /// Where it is absent, draw one for these labels from this seed.
    NewIfAbsent {
        /// The labels' names, in the order of their numbers.
        labels: Vec<String>,
        /// Seed of the new head.
        seed: u64,
    },
    /// Draw one for these labels from this seed, whatever is there.
    New {
        /// The labels' names, in the order of their numbers.
        labels: Vec<String>,
        /// Seed of the new head.
        seed: u64,
    },
}

/// Tensors of the products that tell labels apart; all heads of sequences and of tokens have them.
const CLASSIFIER: &str = "classifier.";

/// Loads a checkpoint folder onto a device.
///
/// # Errors
/// When `config.json` or the weights are absent, broken or do not fit each other.
pub fn load(folder: &Path, head: &Head, device: &Device) -> Result<Loaded> {
    let mut config = EncoderConfig::read(folder)?;
    let weights = Weights::open(folder)?;
    let naming = config.architecture.naming;
    let mut source = CheckpointParameters::new(weights, naming, Precision::F32, device.clone());
    source.check(config.num_hidden_layers, folder)?;
    // The last product of the head stands for all of it.
    let has_head = source.has(CLASSIFIER);
    let refuse = |complaint: String| Err(Error::Weights { path: folder.to_owned(), complaint });
    match head {
        Head::New { labels, seed } => {
            source.pass_over(CLASSIFIER);
            source.draw_head(*seed, config.initializer_range);
            config.set_labels(labels);
        }
        Head::NewIfAbsent { labels, seed } if !has_head => {
            source.draw_head(*seed, config.initializer_range);
            config.set_labels(labels);
        }
        Head::Required if !has_head => {
            return refuse(
                "the checkpoint has no classification head; fine-tune it first".to_owned(),
            );
        }
        Head::Required | Head::NewIfAbsent { .. } => {
            if let Some(class) = config.class_of_other_head() {
                return refuse(format!(
                    "the checkpoint is a {class}, whose head does not classify texts; a new head is needed"
                ));
            }
        }
    }
    let model = Encoder::new(&config, &mut source);
    let (names, new_head, unused) = source.finish(folder)?;
    let (replaced, unused) = unused.into_iter().partition(|name| name.starts_with(CLASSIFIER));
    Ok(Loaded { model, config, names, new_head, replaced, unused })
}

/// Builds a model of a configuration with random parameters.
pub fn random(config: EncoderConfig, seed: u64, device: &Device) -> Loaded {
    let mut source = RandomParameters::new(seed, config.initializer_range, device.clone());
    let model = Encoder::new(&config, &mut source);
    let names = source.into_names();
    Loaded { model, config, names, new_head: vec![], replaced: vec![], unused: vec![] }
}
