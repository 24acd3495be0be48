//! Every form in which checkpoints come, and every way in which they can be wrong.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ee_models::arch::bert::{self, Head, Loaded};
use ee_models::checkpoint::{self, Weights};
use ee_models::{Batch, ExitModel};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A tensor on its way into a file.
#[derive(Clone)]
struct Stored {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn golden_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

fn stored(name: &str) -> Vec<Stored> {
    let weights = Weights::open(&golden_folder(name)).unwrap();
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
    std::fs::copy(golden_folder(golden).join("config.json"), folder.path().join("config.json"))
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

#[test]
fn shards_are_one_checkpoint() {
    let tensors = stored("bert-tiny");
    let folder = folder("bert-tiny", &[]);
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let mut map = serde_json::Map::new();
    for (number, part) in tensors.chunks(tensors.len().div_ceil(3)).enumerate() {
        let name = format!("model-{:05}-of-00003.safetensors", number + 1);
        write(&folder.path().join(&name), part, Dtype::F32);
        map.extend(part.iter().map(|tensor| (tensor.name.clone(), json!(name))));
    }
    let index = json!({ "metadata": {}, "weight_map": map });
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let whole = load(&golden_folder("bert-tiny"), &Head::Required).unwrap();
    let sharded = load(folder.path(), &Head::Required).unwrap();
    assert_eq!(logits(&sharded), logits(&whole));
}

#[test]
fn half_precision_files_become_f32() {
    let whole = logits(&load(&golden_folder("roberta-tiny"), &Head::Required).unwrap());
    for (dtype, tolerance) in [(Dtype::F16, 0.05), (Dtype::BF16, 0.3)] {
        let folder = folder("roberta-tiny", &[]);
        write(&folder.path().join("model.safetensors"), &stored("roberta-tiny"), dtype);
        let ours = logits(&load(folder.path(), &Head::Required).unwrap());
        let worst = ours.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst > 0.0 && worst < tolerance, "{dtype:?}: {worst}");
    }
}

#[test]
fn bare_encoders_get_an_announced_head() {
    for (golden, keeps_pooler) in
        [("bert-tiny", true), ("bert-tiny", false), ("roberta-tiny", false)]
    {
        for with_prefix in [true, false] {
            let tensors: Vec<Stored> = stored(golden)
                .into_iter()
                .filter(|tensor| !tensor.name.starts_with("classifier."))
                .filter(|tensor| keeps_pooler || !tensor.name.contains("pooler"))
                .map(|mut tensor| {
                    if !with_prefix {
                        tensor.name = tensor.name.split_once('.').unwrap().1.to_owned();
                    }
                    tensor
                })
                .collect();
            let folder = folder(golden, &tensors);
            let complaint = load(folder.path(), &Head::Required).unwrap_err();
            assert!(complaint.contains("no classification head"), "{complaint}");
            let loaded = load(folder.path(), &new_head()).unwrap();
            let expected = if keeps_pooler { 2 } else { 4 };
            assert_eq!(loaded.new_head.len(), expected, "{golden}: {:?}", loaded.new_head);
            assert_eq!(loaded.config.labels(), ["no", "yes"]);
            let again = load(folder.path(), &new_head()).unwrap();
            assert_eq!(logits(&loaded), logits(&again), "the seed alone decides");
        }
    }
}

#[test]
fn older_names_and_foreign_heads_are_known() {
    let mut tensors = stored("bert-tiny");
    for tensor in &mut tensors {
        tensor.name = tensor
            .name
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta");
    }
    tensors.push(Stored {
        name: "cls.predictions.bias".to_owned(),
        shape: vec![2],
        values: vec![0.0; 2],
    });
    let loaded = load(folder("bert-tiny", &tensors).path(), &Head::Required).unwrap();
    assert_eq!(loaded.unused, ["cls.predictions.bias"]);
    let whole = load(&golden_folder("bert-tiny"), &Head::Required).unwrap();
    assert_eq!(logits(&loaded), logits(&whole));
}

#[test]
fn every_misfit_is_named_at_once() {
    let mut tensors = stored("bert-tiny");
    let missing = "bert.encoder.layer.1.output.dense.weight";
    tensors.retain(|tensor| tensor.name != missing);
    let misshapen = tensors.iter_mut().find(|tensor| tensor.name.ends_with("pooler.dense.bias"));
    let misshapen = misshapen.unwrap();
    misshapen.shape = vec![2, misshapen.values.len() / 2];
    tensors.push(Stored { name: "surprise".to_owned(), shape: vec![1], values: vec![1.0] });
    let complaint = load(folder("bert-tiny", &tensors).path(), &Head::Required).unwrap_err();
    for expected in [missing, "pooler.dense.bias", "expected [16]", "surprise"] {
        assert!(complaint.contains(expected), "{expected} in {complaint}");
    }
}

#[test]
fn broken_weight_files_are_refused() {
    let folder = folder("bert-tiny", &stored("bert-tiny"));
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let refused = |content: &[u8], expected: &str| {
        std::fs::write(&path, content).unwrap();
        let complaint = load(folder.path(), &Head::Required).unwrap_err();
        assert!(complaint.contains(expected), "{expected} in {complaint}");
        assert!(complaint.contains("model.safetensors"), "{complaint}");
    };
    refused(&bytes[..bytes.len() - 10], "truncated");
    refused(&bytes[..100], "truncated");
    refused(b"", "0 bytes");
    refused(b"this is no safetensors file, it is prose", "no safetensors file");
    std::fs::remove_file(&path).unwrap();
    let complaint = load(folder.path(), &Head::Required).unwrap_err();
    assert!(complaint.contains("found none of"), "{complaint}");
    std::fs::write(folder.path().join("pytorch_model.bin"), b"no archive").unwrap();
    let complaint = load(folder.path(), &Head::Required).unwrap_err();
    assert!(complaint.contains("pytorch_model.bin"), "{complaint}");
}

#[test]
fn configurations_name_all_missing_keys() {
    let folder = folder("bert-tiny", &stored("bert-tiny"));
    edit_config(folder.path(), |config| {
        config.remove("hidden_size");
        config.insert("num_hidden_layers".to_owned(), json!("three"));
        config.insert("hidden_act".to_owned(), json!("swish"));
    });
    let complaint = load(folder.path(), &Head::Required).unwrap_err();
    for expected in ["config.json", "hidden_size", "num_hidden_layers", "swish"] {
        assert!(complaint.contains(expected), "{expected} in {complaint}");
    }
    edit_config(folder.path(), |config| {
        config.insert("model_type".to_owned(), json!("gpt2"));
    });
    let complaint = load(folder.path(), &Head::Required).unwrap_err();
    assert!(complaint.contains("'gpt2'") && complaint.contains("bert, roberta"), "{complaint}");
}

#[test]
fn head_must_fit_the_labels() {
    let folder = folder("roberta-tiny", &stored("roberta-tiny"));
    let complaint = load(folder.path(), &new_head()).unwrap_err();
    assert!(complaint.contains("3 labels") && complaint.contains("has 2"), "{complaint}");
}

#[test]
fn what_is_saved_loads_as_the_same_model() {
    for golden in ["bert-tiny", "roberta-tiny"] {
        let loaded = load(&golden_folder(golden), &Head::Required).unwrap();
        let folder = tempfile::tempdir().unwrap();
        checkpoint::save(&loaded.model, loaded.config.to_json(), &loaded.names, folder.path())
            .unwrap();
        let again = load(folder.path(), &Head::Required).unwrap();
        assert_eq!(logits(&again), logits(&loaded));
        let checksum = |path: &Path| Weights::open(path).unwrap().checksum().unwrap();
        assert_eq!(checksum(folder.path()).len(), 64);
        assert_ne!(checksum(folder.path()), checksum(&golden_folder("bert-tiny-bin")));
    }
}

#[test]
fn saving_into_a_file_is_an_error() {
    let loaded = load(&golden_folder("bert-tiny"), &Head::Required).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "x").unwrap();
    let error = checkpoint::save(
        &loaded.model,
        loaded.config.to_json(),
        &loaded.names,
        &blocked.join("sub"),
    );
    assert!(error.unwrap_err().to_string().contains("cannot create"));
}
