//! Encoders from checkpoint folders and from random numbers.
//!
//! A missing classification head is initialised only when the caller allows it, and the
//! caller is told.

use std::path::Path;

use burn::tensor::Device;

use super::{Encoder, EncoderBackbone, EncoderConfig, EncoderFamily};
use crate::arch::{Facts, Family, ModelSize};
use crate::checkpoint::{CheckpointParameters, ParameterNames, Precision, RandomParameters};
use crate::error::{Error, Result};
use crate::exit::Backbone;

/// A model with what must be known besides its parameters.
#[derive(Debug)]
pub struct Loaded {
    /// The model, on its device.
    pub model: Encoder,
    /// The configuration it was built from.
    pub config: EncoderConfig,
    /// The Hugging Face name of each parameter.
    pub names: ParameterNames,
    /// Names of head parameters that were newly initialised.
    pub new_head: Vec<String>,
    /// Names of tensors of the checkpoint's own head that a new one replaced.
    pub replaced: Vec<String>,
    /// Names of tensors of the checkpoint that the model does not use.
    pub unused: Vec<String>,
}

/// What happens to a checkpoint's classification head.
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
    let mut source = open(&config, folder, device)?;
    // The last product of the head stands for all of it.
    let has_head = source.has(CLASSIFIER);
    let refuse = |complaint: String| Err(Error::Weights { path: folder.to_owned(), complaint });
    let new = match head {
        Head::New { labels, seed } => Some((labels, seed)),
        Head::NewIfAbsent { labels, seed } => Some((labels, seed)).filter(|_| !has_head),
        Head::Required => None,
    };
    if let Some((labels, seed)) = new {
        source.pass_over(&[CLASSIFIER]);
        source.draw_head(*seed, config.initializer_range);
        config.set_labels(labels);
    } else if !has_head {
        return refuse("the checkpoint has no classification head; fine-tune it first".to_owned());
    } else if let Some(class) = config.class_of_other_head() {
        return refuse(format!(
            "the checkpoint is a {class}, whose head does not classify texts; a new head is needed"
        ));
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

/// The parameters of a folder. Encoders compute in F32.
fn open(config: &EncoderConfig, folder: &Path, device: &Device) -> Result<CheckpointParameters> {
    let (naming, layers) = (config.family.facts.naming, config.num_hidden_layers);
    CheckpointParameters::open(folder, naming, layers, Precision::F32, device)
}

impl Family for EncoderFamily {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn backbone(
        &self,
        folder: &Path,
        _precision: Precision,
        device: &Device,
    ) -> Result<Box<dyn Backbone>> {
        let config = EncoderConfig::read(folder)?;
        let mut source = open(&config, folder, device)?;
        source.pass_over(self.facts.naming.head);
        let model = EncoderBackbone::new(&config, &mut source);
        source.finish(folder)?;
        Ok(Box::new(model))
    }

    fn size(&self, folder: &Path, labels: Option<&[String]>) -> Result<ModelSize> {
        let mut config = EncoderConfig::read(folder)?;
        if let Some(labels) = labels {
            config.set_labels(labels);
        }
        Ok(config.size())
    }
}

impl EncoderConfig {
    /// How large the model is.
    pub fn size(&self) -> ModelSize {
        let (d_model, inner) = (self.hidden_size as f64, self.intermediate_size as f64);
        let counted = ModelSize::count(self.num_hidden_layers, |layers, shapes| {
            let mut config = self.clone();
            config.num_hidden_layers = layers;
            drop(Encoder::new(&config, shapes));
        });
        ModelSize {
            d_model,
            outputs: self.n_labels() as f64,
            // The input, query, key, value, what attention gives, both sums and the first norm's output, and
            // the feed-forward network's inner state.
            kept_per_token: 9.0 * d_model + inner,
            ..counted
        }
    }
}
