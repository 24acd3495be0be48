//! One file per architecture, and the registry that finds it by a checkpoint's `model_type`.

pub mod bert;

use std::path::Path;

use crate::error::{Error, Result};

/// What the registry knows of a family of checkpoints.
#[derive(Debug)]
pub struct Architecture {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// Prefix of the backbone's tensor names; bare encoders may lack it.
    pub prefix: &'static str,
    /// `architectures` of what this project writes.
    pub class: &'static str,
    /// Beginnings of the names of the classification head's tensors.
    pub head: &'static [&'static str],
    /// Beginnings of tensor names that a checkpoint may hold and the model does not use, prefix not
    /// included: heads of other tasks, and buffers that are not parameters.
    pub unused: &'static [&'static str],
}

/// Every architecture, by `model_type`.
pub const ARCHITECTURES: &[Architecture] = &[bert::BERT, bert::ROBERTA, bert::XLM_ROBERTA];

/// The architecture of a `model_type`.
///
/// # Errors
/// When it is not supported; the message names the supported ones.
pub fn architecture(model_type: &str, path: &Path) -> Result<&'static Architecture> {
    ARCHITECTURES.iter().find(|known| known.model_type == model_type).ok_or_else(|| {
        let known: Vec<_> = ARCHITECTURES.iter().map(|known| known.model_type).collect();
        Error::Config {
            path: path.to_owned(),
            complaint: format!(
                "model_type '{model_type}' is not supported; supported are {}",
                known.join(", ")
            ),
        }
    })
}
