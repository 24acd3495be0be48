//! Shards, archives, halves, older names: what one checkpoint may look like.

use std::path::Path;

use ee_models::arch::bert::Head;
use ee_models::checkpoint::{self, Weights};
use safetensors::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::goldens;
use crate::{Stored, folder, load, logits, stored, write};

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
    let whole = load(&goldens::folder("bert-tiny"), &Head::Required).unwrap();
    let sharded = load(folder.path(), &Head::Required).unwrap();
    assert_eq!(logits(&sharded), logits(&whole));
}

#[test]
fn half_precision_files_become_f32() {
    let whole = logits(&load(&goldens::folder("roberta-tiny"), &Head::Required).unwrap());
    for (dtype, tolerance) in [(Dtype::F16, 0.05), (Dtype::BF16, 0.3)] {
        let folder = folder("roberta-tiny", &[]);
        write(&folder.path().join("model.safetensors"), &stored("roberta-tiny"), dtype);
        let ours = logits(&load(folder.path(), &Head::Required).unwrap());
        let worst = ours.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst > 0.0 && worst < tolerance, "{dtype:?}: {worst}");
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
    let whole = load(&goldens::folder("bert-tiny"), &Head::Required).unwrap();
    assert_eq!(logits(&loaded), logits(&whole));
}

#[test]
fn what_is_saved_loads_as_the_same_model() {
    for golden in ["bert-tiny", "roberta-tiny"] {
        let loaded = load(&goldens::folder(golden), &Head::Required).unwrap();
        let folder = tempfile::tempdir().unwrap();
        checkpoint::save(&loaded.model, loaded.config.to_json(), &loaded.names, folder.path())
            .unwrap();
        let again = load(folder.path(), &Head::Required).unwrap();
        assert_eq!(logits(&again), logits(&loaded));
        let checksum = |path: &Path| Weights::open(path).unwrap().checksum().unwrap();
        assert_eq!(checksum(folder.path()).len(), 64);
        assert_ne!(checksum(folder.path()), checksum(&goldens::folder("bert-tiny-bin")));
    }
}

#[test]
fn saving_into_a_file_is_an_error() {
    let loaded = load(&goldens::folder("bert-tiny"), &Head::Required).unwrap();
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

/// A folder of a golden whose weights are in `pytorch_model-*.bin`, with their index.
fn archives(write: impl Fn(&Path, &mut serde_json::Map<String, Value>)) -> TempDir {
    let folder = folder("bert-tiny", &[]);
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let mut map = serde_json::Map::new();
    write(folder.path(), &mut map);
    let index = json!({ "metadata": {}, "weight_map": map });
    std::fs::write(folder.path().join("pytorch_model.bin.index.json"), index.to_string()).unwrap();
    folder
}

#[test]
fn pytorch_shards_are_one_checkpoint() {
    let shards = goldens::folder("bert-tiny-shards-bin");
    let copy = |to: &Path, map: &mut serde_json::Map<String, Value>, names: &[&str]| {
        let index = std::fs::read_to_string(shards.join("pytorch_model.bin.index.json")).unwrap();
        let index: Value = serde_json::from_str(&index).unwrap();
        map.extend(index["weight_map"].as_object().unwrap().clone());
        for name in names {
            std::fs::copy(shards.join(name), to.join(name)).unwrap();
        }
    };
    let both = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    let whole = load(&goldens::folder("bert-tiny"), &Head::Required).unwrap();
    let folder = archives(|to, map| copy(to, map, &both));
    let sharded = load(folder.path(), &Head::Required).unwrap();
    assert_eq!(logits(&sharded), logits(&whole));

    let absent = archives(|to, map| copy(to, map, &both[..1]));
    let complaint = load(absent.path(), &Head::Required).unwrap_err();
    assert!(complaint.contains("names 1 of 2 files that are not there"), "{complaint}");
    assert!(complaint.contains("pytorch_model.bin.index.json"), "{complaint}");
    assert!(complaint.contains(both[1]), "{complaint}");

    let twice = archives(|to, map| {
        copy(to, map, &both);
        std::fs::copy(to.join(both[0]), to.join(both[1])).unwrap();
    });
    let complaint = load(twice.path(), &Head::Required).unwrap_err();
    assert!(complaint.contains("too") && complaint.contains(both[1]), "{complaint}");

    let nothing = archives(|_, _| ());
    let complaint = load(nothing.path(), &Head::Required).unwrap_err();
    assert!(complaint.contains("'weight_map' names no file"), "{complaint}");
}

#[test]
fn safetensors_shards_that_do_not_fit_their_index_are_named() {
    let folder = folder("bert-tiny", &[]);
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let tensors = stored("bert-tiny");
    let names = ["model-1.safetensors", "model-2.safetensors"];
    let map: serde_json::Map<String, Value> = tensors
        .iter()
        .enumerate()
        .map(|(number, tensor)| (tensor.name.clone(), json!(names[number % 2])))
        .collect();
    let index = json!({ "weight_map": map });
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    write(&folder.path().join(names[0]), &tensors, Dtype::F32);
    let complaint = load(folder.path(), &Head::Required).unwrap_err();
    assert!(complaint.contains("not there: model-2.safetensors"), "{complaint}");
    write(&folder.path().join(names[1]), &tensors[..1], Dtype::F32);
    let complaint = load(folder.path(), &Head::Required).unwrap_err();
    let expected = format!("tensor '{}' is in", tensors[0].name);
    assert!(complaint.contains(&expected) && complaint.contains("model-1"), "{complaint}");
}

#[test]
fn weights_in_other_forms_are_named() {
    for (file, what) in [
        ("model-q4_k_m.gguf", "GGUF"),
        ("tf_model.h5", "TensorFlow"),
        ("consolidated.00.pth", "PyTorch under another name"),
        ("adapter_model.safetensors", "safetensors under another name"),
    ] {
        let folder = folder("bert-tiny", &[]);
        std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
        std::fs::write(folder.path().join(file), b"x").unwrap();
        let complaint = load(folder.path(), &Head::Required).unwrap_err();
        assert!(complaint.contains(&format!("'{file}' is {what}")), "{complaint}");
    }
}
