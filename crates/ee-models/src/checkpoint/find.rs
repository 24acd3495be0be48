//! The weight files of a checkpoint folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::fairseq;
use super::json::read_json;
use crate::error::{Error, Result};

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Safetensors,
    /// What `torch.save` writes.
    Archive,
    /// The same with fairseq's names, beside its options.
    Fairseq,
}

/// File names, in the order in which transformers looks for them; the second of a form is its index.
const FORMS: [(Form, &str, &str); 2] = [
    (Form::Safetensors, "model.safetensors", "model.safetensors.index.json"),
    (Form::Archive, "pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// Endings of files that hold weights in some form, and what they are called.
const OTHERS: [(&str, &str); 8] = [
    (".gguf", "GGUF, llama.cpp's quantized weights"),
    (".ggml", "GGML, llama.cpp's quantized weights"),
    (".h5", "TensorFlow"),
    (".msgpack", "Flax"),
    (".onnx", "ONNX"),
    (".pth", "PyTorch under another name"),
    (".pt", "PyTorch under another name"),
    (".safetensors", "safetensors under another name"),
];

/// The files that hold a folder's weights.
pub(super) fn files(folder: &Path) -> Result<(Form, Vec<PathBuf>)> {
    for (form, single, index) in FORMS {
        let (single, index) = (folder.join(single), folder.join(index));
        if single.is_file() {
            return Ok((form, vec![single]));
        }
        if index.is_file() {
            return Ok((form, shards(folder, &index)?));
        }
    }
    if let Some((path, _)) = fairseq::file(folder)? {
        return Ok((Form::Fairseq, vec![path]));
    }
    let names: Vec<&str> = FORMS.iter().flat_map(|(_, single, index)| [*single, *index]).collect();
    let mut complaint = format!("found none of {}", names.join(", "));
    if let Some((file, what)) = other(folder) {
        complaint += &format!("; '{file}' is {what}, which is not read");
    }
    Err(Error::Weights { path: folder.to_owned(), complaint })
}

/// The first file of weights in a form that is not read.
fn other(folder: &Path) -> Option<(String, &'static str)> {
    let entries =
        folder.read_dir().ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = entries.collect();
    names.sort_unstable();
    OTHERS.iter().find_map(|(ending, what)| {
        let name = names.iter().find(|name| name.to_ascii_lowercase().ends_with(ending))?;
        Some((name.clone(), *what))
    })
}

/// The shard files that an index names, each once.
fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let broken = |complaint: String| Error::Weights { path: index.to_owned(), complaint };
    let json = read_json(index)?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| broken("needs an object 'weight_map'".to_owned()))?;
    let mut files = BTreeSet::new();
    for (name, file) in map {
        let file = file
            .as_str()
            .filter(|file| !file.contains(['/', '\\']))
            .ok_or_else(|| broken(format!("'{name}' names no file of the folder")))?;
        files.insert(file);
    }
    let absent: Vec<&str> =
        files.iter().copied().filter(|file| !folder.join(file).is_file()).collect();
    match (files.is_empty(), absent.is_empty()) {
        (true, _) => Err(broken("its 'weight_map' names no file".to_owned())),
        (_, false) => Err(broken(format!(
            "names {} of {} files that are not there: {}",
            absent.len(),
            files.len(),
            absent.join(", ")
        ))),
        _ => Ok(files.into_iter().map(|file| folder.join(file)).collect()),
    }
}
