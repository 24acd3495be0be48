//! One folder per architecture, and the registry that finds it by a checkpoint's `model_type`.

pub mod bert;
pub mod llama;

use std::path::Path;

use serde_json::{Map, Value};

use crate::checkpoint::{Naming, read_json};
use crate::error::{Error, Result};

/// What the registry knows of a family of checkpoints.
#[derive(Debug)]
pub struct Architecture {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// What such a model does.
    pub kind: Kind,
    /// `architectures` of what this project writes.
    pub class: &'static str,
    /// What its tensors are called.
    pub naming: Naming,
}

/// What a model does with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads it whole and classifies it.
    Encoder,
    /// Continues it, token by token.
    Decoder,
}

/// Every architecture, by `model_type`.
pub const ARCHITECTURES: &[Architecture] =
    &[bert::BERT, bert::ROBERTA, bert::XLM_ROBERTA, llama::LLAMA, llama::MISTRAL, llama::QWEN2];

/// The architecture of a checkpoint folder.
///
/// # Errors
/// When its `config.json` cannot be read or names none that is supported.
pub fn of_folder(folder: &Path) -> Result<&'static Architecture> {
    let path = folder.join("config.json");
    of_config(&read_json(&path)?, &path)
}

/// The architecture that a configuration names; `path` is what complaints name.
///
/// # Errors
/// When it is not supported; the message names the supported ones.
pub(crate) fn of_config(json: &Map<String, Value>, path: &Path) -> Result<&'static Architecture> {
    let complain = |complaint: String| Error::Config { path: path.to_owned(), complaint };
    let model_type = json
        .get("model_type")
        .and_then(Value::as_str)
        .ok_or_else(|| complain("missing key 'model_type'".to_owned()))?;
    ARCHITECTURES.iter().find(|known| known.model_type == model_type).ok_or_else(|| {
        let known: Vec<_> = ARCHITECTURES.iter().map(|known| known.model_type).collect();
        complain(format!(
            "model_type '{model_type}' is not supported; supported are {}",
            known.join(", ")
        ))
    })
}

/// The same, which must be of one kind.
///
/// # Errors
/// As [`of_config`]; another kind.
pub(crate) fn of_kind(
    json: &Map<String, Value>,
    kind: Kind,
    path: &Path,
) -> Result<&'static Architecture> {
    let found = of_config(json, path)?;
    if found.kind == kind {
        return Ok(found);
    }
    let name = |kind| match kind {
        Kind::Encoder => "an encoder that classifies",
        Kind::Decoder => "a decoder that generates",
    };
    let (model_type, is, wanted) = (found.model_type, name(found.kind), name(kind));
    let complaint = format!("model_type '{model_type}' is {is}, expected {wanted}");
    Err(Error::Config { path: path.to_owned(), complaint })
}
