//! The registry of families, which finds one by a checkpoint's `model_type`; a folder per kind of layers.
//!
//! Families state how they differ: nothing elsewhere matches on a family's name.

pub mod bert;
pub mod llama;
pub mod seq2seq;
mod size;
mod special;

use std::fmt::Debug;
use std::path::Path;

use burn::tensor::Device;
use serde_json::{Map, Value};

pub use self::size::ModelSize;
pub use self::special::SpecialTokens;
use crate::checkpoint::{Keys, Naming, Precision, read_json};
use crate::error::{Error, Result};
use crate::exit::{Backbone, Decoder};

/// What distinguishes one family of checkpoints from the others.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// `architectures` of what this project writes.
    pub class: &'static str,
    /// What such a model is, in words.
    pub kind: &'static str,
    /// What its tensors are called.
    pub naming: Naming,
}

/// A family of checkpoints.
pub trait Family: Debug + Sync {
    /// Its names.
    fn facts(&self) -> &Facts;

    /// Loads the layers of a checkpoint folder onto a device, whatever head it has or lacks, the matrices in the
    /// given format where the family's layers read it.
    ///
    /// # Errors
    /// When `config.json` or the weights are absent, broken or do not fit each other.
    fn backbone(
        &self,
        folder: &Path,
        precision: Precision,
        device: &Device,
    ) -> Result<Box<dyn Backbone>>;

    /// Loads a checkpoint folder onto a device as what continues texts, its matrices in the given format.
    ///
    /// # Errors
    /// As [`Family::backbone`]; for a family that continues no texts.
    fn decoder(
        &self,
        folder: &Path,
        _precision: Precision,
        _device: &Device,
    ) -> Result<LoadedDecoder> {
        let Facts { model_type, kind, .. } = self.facts();
        let complaint =
            format!("model_type '{model_type}' is {kind}, expected a model that generates");
        Err(Error::Config { path: folder.join("config.json"), complaint })
    }

    /// How large a checkpoint folder's model is, by its `config.json`, with a head of `labels` labels where it
    /// classifies.
    ///
    /// # Errors
    /// When `config.json` is absent or broken.
    fn size(&self, folder: &Path, labels: Option<&[String]>) -> Result<ModelSize>;
}

/// A model that continues texts, with what must be known besides its parameters.
pub struct LoadedDecoder {
    /// The model, on its device.
    pub model: Box<dyn Decoder>,
    /// `model_type` of its family.
    pub model_type: &'static str,
    /// The tokens that begin and end a text.
    pub special: SpecialTokens,
    /// The languages of source and target, where the files of its tokenizer are told apart by them.
    pub languages: Option<[String; 2]>,
    /// What of the files is of no use.
    pub notices: Vec<String>,
    /// Names of tensors of the checkpoint that the model does not use.
    pub unused: Vec<String>,
}

/// Every family.
pub fn families() -> impl Iterator<Item = &'static dyn Family> {
    let encoders = bert::FAMILIES.iter().map(|&family| family as &dyn Family);
    let decoders = llama::FAMILIES.iter().map(|&family| family as &dyn Family);
    let both = seq2seq::FAMILIES.iter().map(|&family| family as &dyn Family);
    encoders.chain(decoders).chain(both)
}

/// The family of a checkpoint folder.
///
/// # Errors
/// When its `config.json`, or the checkpoint of fairseq that it has instead, cannot be read or names none that is
/// supported.
pub fn of_folder(folder: &Path) -> Result<&'static dyn Family> {
    if let Some(family) = seq2seq::fairseq::of_folder(folder)? {
        return Ok(family);
    }
    let path = folder.join("config.json");
    of_config(&read_json(&path)?, &path)
}

/// Loads the layers of a checkpoint folder without a head, as [`Family::backbone`].
///
/// # Errors
/// As [`of_folder`] and [`Family::backbone`].
pub fn backbone(folder: &Path, precision: Precision, device: &Device) -> Result<Box<dyn Backbone>> {
    match seq2seq::Opened::fairseq(folder)? {
        Some(opened) => opened.backbone(folder, precision, device),
        None => of_folder(folder)?.backbone(folder, precision, device),
    }
}

/// Loads a checkpoint folder as what continues texts, as [`Family::decoder`].
///
/// # Errors
/// As [`of_folder`] and [`Family::decoder`].
pub fn decoder(folder: &Path, precision: Precision, device: &Device) -> Result<LoadedDecoder> {
    match seq2seq::Opened::fairseq(folder)? {
        Some(opened) => opened.decoder(folder, precision, device),
        None => of_folder(folder)?.decoder(folder, precision, device),
    }
}

/// The family that a configuration names; `path` is what complaints name.
fn of_config(json: &Map<String, Value>, path: &Path) -> Result<&'static dyn Family> {
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
    let known =
        families().find(|known| known.facts().model_type == model_type).ok_or_else(|| {
            let known: Vec<_> = families().map(|known| known.facts().model_type).collect();
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
    match other_family(&classes, known.facts()) {
        Some(class) => Err(complain(format!(
            "model_type '{model_type}' and architectures '{class}' are two families; one of them is wrong"
        ))),
        None => Ok(known),
    }
}

/// How a configuration says that its weights are quantized: the method and its bits, as far as they are stated.
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
fn other_family<'a>(classes: &[&'a str], own: &Facts) -> Option<&'a str> {
    // `BertForSequenceClassification` begins as every class of BERT does.
    let is_of = |class: &str, known: &Facts| {
        let ends = ["For", "MT"].into_iter();
        let end = ends.filter_map(|part| known.class.find(part)).next();
        let rest = end.and_then(|end| class.strip_prefix(&known.class[..end]));
        let parts = ["For", "MTModel", "Model"];
        rest.is_some_and(|rest| parts.iter().any(|part| rest.starts_with(part)))
    };
    let is_others =
        |class: &&str| !is_of(class, own) && families().any(|known| is_of(class, known.facts()));
    classes.iter().copied().find(is_others)
}

/// The family that a configuration names, which must be one of these.
pub(crate) fn among<F: Family>(
    families: &'static [&'static F],
    json: &Map<String, Value>,
    path: &Path,
) -> Result<&'static F> {
    let Facts { model_type, kind, .. } = of_config(json, path)?.facts();
    let known = families.iter().find(|known| known.facts().model_type == *model_type);
    known.copied().ok_or_else(|| {
        let wanted = families[0].facts().kind;
        let complaint = format!("model_type '{model_type}' is {kind}, expected {wanted}");
        Error::Config { path: path.to_owned(), complaint }
    })
}
