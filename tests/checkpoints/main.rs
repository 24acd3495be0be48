//! Every form in which checkpoints come, and every way in which they can be wrong.

mod forms;
#[path = "../goldens/mod.rs"]
mod goldens;
mod heads;
mod misfits;

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Device;
use ee_models::arch::bert::{self, Head, Loaded};
use ee_models::checkpoint::Weights;
use ee_models::{Batch, ExitModel};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

/// A tensor on its way into a file.
#[derive(Clone)]
struct Stored {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn stored(name: &str) -> Vec<Stored> {
    let weights = Weights::open(&goldens::folder(name)).unwrap();
    weights
        .names()
        .map(|name| Stored {
            name: name.to_owned(),
            shape: weights.shape(name).unwrap().to_vec(),
            values: weights.values(name).unwrap(),
        })
        .collect()
}

fn encode(tensor: &Stored, dtype: Dtype) -> Vec<u8> {
    let values = tensor.values.iter();
    match dtype {
        Dtype::F16 => values.flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        Dtype::BF16 => values.flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
        _ => values.flat_map(|&value| value.to_le_bytes()).collect(),
    }
}

fn write(path: &Path, tensors: &[Stored], dtype: Dtype) {
    let bytes: Vec<_> = tensors.iter().map(|tensor| encode(tensor, dtype)).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        (tensor.name.as_str(), TensorView::new(dtype, tensor.shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None::<HashMap<String, String>>, path).unwrap();
}

/// A folder with a golden's configuration and the given tensors.
fn folder(golden: &str, tensors: &[Stored]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(goldens::folder(golden).join("config.json"), folder.path().join("config.json"))
        .unwrap();
    write(&folder.path().join("model.safetensors"), tensors, Dtype::F32);
    folder
}

fn edit_config(folder: &Path, edit: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    edit(config.as_object_mut().unwrap());
    std::fs::write(path, config.to_string()).unwrap();
}

fn load(folder: &Path, head: &Head) -> Result<Loaded, String> {
    bert::load(folder, head, &Device::flex()).map_err(|error| error.to_string())
}

fn logits(loaded: &Loaded) -> Vec<f32> {
    let batch = Batch::new(vec![2, 7, 9, 3, 2, 5, 3, 1], vec![0; 8], vec![4, 3], 4).unwrap();
    loaded.model.exit_logits(&batch).into_data().try_into_vec().unwrap()
}

fn new_head() -> Head {
    Head::NewIfAbsent { labels: vec!["no".to_owned(), "yes".to_owned()], seed: 5 }
}
