//! One folder per architecture, and the registry that finds it by a checkpoint's `model_type`.

pub mod bert;
pub mod llama;

use std::path::Path;

use serde_json::{Map, Value};

use crate::checkpoint::{Keys, Naming, read_json};
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
    /// What it does otherwise than the families that share its layers, and what its keys mean where a
    /// configuration lacks them.
    pub(crate) family: Family,
}

/// What tells apart the families of one kind.
#[derive(Debug)]
pub(crate) enum Family {
    Encoder(bert::Family),
    Decoder(llama::Family),
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
/// When it is not supported (the message names the supported ones), when `model_type` and `architectures`
/// name different ones, or when the weights are said to be quantized.
pub(crate) fn of_config(json: &Map<String, Value>, path: &Path) -> Result<&'static Architecture> {
    let complain = |complaint: String| Error::Config { path: path.to_owned(), complaint };
    let mut keys = Keys::new(json);
    if !keys.has("model_type") {
        keys.complain("missing key 'model_type'".to_owned());
    }
    let model_type = keys.text("model_type").unwrap_or_default();
    let classes =
        keys.or_null("architectures", |keys, key| keys.list(key, "a list of texts", Value::as_str));
    let classes = classes.flatten().unwrap_or_default();
    keys.finish(path)?;
    let known = ARCHITECTURES.iter().find(|known| known.model_type == model_type);
    let known = known.ok_or_else(|| {
        let known: Vec<_> = ARCHITECTURES.iter().map(|known| known.model_type).collect();
        complain(format!(
            "model_type '{model_type}' is not supported; supported are {}",
            known.join(", ")
        ))
    })?;
    if let Some(method) = quantization(json) {
        return Err(complain(format!(
            "'quantization_config' says that the weights are quantized ({method}); weights are read as F64, F32, \
             F16 or BF16: take the checkpoint that it was made from"
        )));
    }
    match other_family(&classes, known) {
        Some(class) => Err(complain(format!(
            "model_type '{model_type}' and architectures '{class}' are two families; one of them is wrong"
        ))),
        None => Ok(known),
    }
}

/// How a configuration says that its weights are quantized: the method and its bits, as far as they are told.
fn quantization(json: &Map<String, Value>) -> Option<String> {
    let key = ["quantization_config", "compression_config"].into_iter();
    let said = key.filter_map(|key| json.get(key)).find(|value| !value.is_null())?;
    let text = |key: &str| Some(said.get(key)?.as_str()?.to_owned());
    let bits = |bits: u64| format!("{bits} bits");
    let loaded = [("load_in_4bit", 4), ("load_in_8bit", 8)].into_iter();
    let mut loaded = loaded.filter(|(key, _)| said.get(key) == Some(&Value::Bool(true)));
    let method = ["quant_method", "format"].into_iter().find_map(text);
    let stated = said.get("bits").and_then(Value::as_u64).map(bits);
    let stated = stated.or_else(|| Some(bits(loaded.next()?.1)));
    let parts: Vec<String> = [method, stated].into_iter().flatten().collect();
    Some(if parts.is_empty() { "method not told".to_owned() } else { parts.join(", ") })
}

/// A class under `architectures` that belongs to another family than `own`.
///
/// Classes of no family here are heads of other tasks or a user's own and say nothing.
fn other_family<'a>(classes: &[&'a str], own: &Architecture) -> Option<&'a str> {
    // `BertForSequenceClassification` begins as every class of BERT does.
    let beginning = |known: &Architecture| known.class.find("For").map(|end| &known.class[..end]);
    classes.iter().copied().find(|class| {
        let named = |known: &Architecture| {
            let rest = beginning(known).and_then(|beginning| class.strip_prefix(beginning));
            rest.is_some_and(|rest| rest.starts_with("For") || rest.starts_with("Model"))
        };
        !named(own) && ARCHITECTURES.iter().any(named)
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
