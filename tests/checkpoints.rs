//! Every form in which checkpoints come, and every way in which they can be wrong.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ee_models::arch::bert::{self, Head, LabelOrder, Loaded, TaskLabels};
use ee_models::arch::llama;
use ee_models::checkpoint::{self, Precision, Weights};
use ee_models::{Batch, ExitModel};
use half::{bf16, f16};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
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
        config.insert("hidden_act".to_owned(), json!("softplus"));
    });
    let complaint = load(folder.path(), &Head::Required).unwrap_err();
    for expected in ["config.json", "hidden_size", "num_hidden_layers", "softplus"] {
        assert!(complaint.contains(expected), "{expected} in {complaint}");
    }
    edit_config(folder.path(), |config| {
        config.insert("model_type".to_owned(), json!("gpt2"));
    });
    let complaint = load(folder.path(), &Head::Required).unwrap_err();
    assert!(complaint.contains("'gpt2'") && complaint.contains("bert, roberta"), "{complaint}");
}

#[test]
fn a_head_answers_in_the_order_of_the_task() {
    for golden in ["bert-tiny", "roberta-tiny"] {
        let folder = folder(golden, &stored(golden));
        let mut loaded = load(folder.path(), &Head::Required).unwrap();
        let n_labels = loaded.config.n_labels();
        let own: Vec<String> = (0..n_labels).map(|label| format!("Name{label}")).collect();
        let task: Vec<String> = own.iter().rev().map(|name| name.to_lowercase()).collect();
        let before = logits(&loaded);
        let labels = TaskLabels { names: &task, written: None, head_order: None };
        loaded.answer_in(&LabelOrder::of(&own, labels).unwrap());
        // Every dot product is computed as before, for another place.
        let turned: Vec<f32> =
            before.chunks(n_labels).flat_map(|row| row.iter().rev().copied()).collect();
        assert_eq!(logits(&loaded), turned);
        let names: Vec<String> = own.iter().rev().cloned().collect();
        assert_eq!(loaded.config.labels(), names);
        // And so it is written.
        let saved = tempfile::tempdir().unwrap();
        checkpoint::save(&loaded.model, loaded.config.to_json(), &loaded.names, saved.path())
            .unwrap();
        assert_eq!(logits(&load(saved.path(), &Head::Required).unwrap()), turned);
        // Whoever may read the one file may read the other.
        let mode = |name: &str| std::fs::metadata(saved.path().join(name)).unwrap().permissions();
        assert_eq!(mode("model.safetensors"), mode("config.json"));
    }
}

#[test]
fn a_head_of_another_task_makes_room_for_a_new_one() {
    let fresh = Head::New { labels: vec!["no".to_owned(), "yes".to_owned()], seed: 5 };
    // RoBERTa's head is two products, BERT's one behind the pooler, which belongs to the encoder.
    for (golden, drawn) in [("bert-tiny", 2), ("roberta-tiny", 4)] {
        let loaded = load(&golden_folder(golden), &fresh).unwrap();
        assert_eq!((loaded.new_head.len(), loaded.replaced.len()), (drawn, drawn), "{golden}");
        assert_eq!(loaded.config.labels(), ["no", "yes"]);
        let old = load(&golden_folder(golden), &Head::Required).unwrap();
        assert_ne!(logits(&loaded), logits(&old));
        // A head that is there stays where no other is asked for.
        let kept = load(&golden_folder(golden), &new_head()).unwrap();
        assert_eq!(logits(&kept), logits(&old));
    }
}

/// What transformers 4 and 5 ignore in `AutoModelForSequenceClassification.from_pretrained`, and what they draw.
#[test]
fn heads_of_other_classes_are_ignored_or_named() {
    let backbone = |golden: &str| -> Vec<Stored> {
        let tensors = stored(golden).into_iter();
        tensors.filter(|t| !t.name.contains("classifier") && !t.name.contains("pooler")).collect()
    };
    let tensor = |name: &str| {
        let (shape, values) = (vec![2, 16], vec![0.5; 32]);
        Stored { name: name.to_owned(), shape, values }
    };
    for (golden, others) in [
        ("bert-tiny", &["qa_outputs.weight", "qa_outputs.bias"][..]),
        ("bert-tiny", &["cls.predictions.transform.dense.weight", "cls.seq_relationship.weight"]),
        ("roberta-tiny", &["qa_outputs.weight", "qa_outputs.bias"]),
        ("roberta-tiny", &["lm_head.dense.weight", "lm_head.bias", "roberta.pooler.dense.weight"]),
    ] {
        let tensors: Vec<Stored> =
            backbone(golden).into_iter().chain(others.iter().map(|name| tensor(name))).collect();
        let folder = folder(golden, &tensors);
        let loaded = load(folder.path(), &new_head()).unwrap();
        assert_eq!((loaded.new_head.len(), loaded.unused.len()), (4, others.len()), "{others:?}");
        let complaint = load(folder.path(), &Head::Required).unwrap_err();
        assert!(complaint.contains("no classification head"), "{complaint}");
    }
    // A classifier of tokens has the same names and another meaning.
    let tokens: Vec<Stored> =
        backbone("roberta-tiny").into_iter().chain([tensor("classifier.weight")]).collect();
    let folder = folder("roberta-tiny", &tokens);
    edit_config(folder.path(), |config| {
        config.insert("architectures".to_owned(), json!(["RobertaForTokenClassification"]));
    });
    for head in [Head::Required, new_head()] {
        let complaint = load(folder.path(), &head).unwrap_err();
        assert!(complaint.contains("RobertaForTokenClassification"), "{complaint}");
    }
    let fresh = Head::New { labels: vec!["no".to_owned(), "yes".to_owned()], seed: 5 };
    assert_eq!(load(folder.path(), &fresh).unwrap().replaced, ["classifier.weight"]);
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

#[test]
fn sizes_are_held_to_the_stored_shapes_before_anything_is_made() {
    // Each of these would need more memory than there is, or than there are addresses.
    for (golden, key, sizes) in [
        ("bert-tiny", "num_hidden_layers", &[1_000_000_000_u64, 2, 2_147_483_647][..]),
        ("bert-tiny", "vocab_size", &[2_147_483_647, 1_000_000_000_000]),
        ("bert-tiny", "hidden_size", &[2_147_483_646, u64::MAX]),
        ("bert-tiny", "intermediate_size", &[2_147_483_647]),
        ("bert-tiny", "max_position_embeddings", &[2_147_483_647]),
        ("bert-tiny", "type_vocab_size", &[2_147_483_647]),
        ("llama-tiny", "num_hidden_layers", &[1_000_000_000]),
        ("llama-tiny", "vocab_size", &[2_147_483_647]),
        ("llama-tiny", "hidden_size", &[2_147_483_640]),
        ("llama-tiny", "intermediate_size", &[2_147_483_647]),
        ("llama-tiny", "head_dim", &[2_147_483_646]),
    ] {
        for &size in sizes {
            let folder = folder(golden, &stored(golden));
            edit_config(folder.path(), |config| {
                config.insert(key.to_owned(), json!(size));
            });
            let complaint = if golden == "bert-tiny" {
                load(folder.path(), &new_head()).unwrap_err()
            } else {
                let loaded = llama::load(folder.path(), Precision::Stored, &Device::flex());
                loaded.unwrap_err().to_string()
            };
            let expected = if size > i32::MAX as u64 {
                "must be a whole number from 1 to"
            } else {
                match key {
                    "num_hidden_layers" => "the weights are of 3 layers",
                    _ => "expected [",
                }
            };
            assert!(complaint.contains(expected), "{golden}, {key} {size}: {complaint}");
        }
    }
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
    let shards = golden_folder("bert-tiny-shards-bin");
    let copy = |to: &Path, map: &mut serde_json::Map<String, Value>, names: &[&str]| {
        let index = std::fs::read_to_string(shards.join("pytorch_model.bin.index.json")).unwrap();
        let index: Value = serde_json::from_str(&index).unwrap();
        map.extend(index["weight_map"].as_object().unwrap().clone());
        for name in names {
            std::fs::copy(shards.join(name), to.join(name)).unwrap();
        }
    };
    let both = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    let whole = load(&golden_folder("bert-tiny"), &Head::Required).unwrap();
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
fn quantized_weights_without_a_word_in_their_configuration_are_named_in_one_line() {
    let quantized = [
        ("qweight", Dtype::F32),
        ("weight_packed", Dtype::F32),
        ("weight_scale_inv", Dtype::F32),
        ("SCB", Dtype::F32),
    ];
    for (part, dtype) in quantized {
        let mut tensors = stored("bert-tiny");
        for tensor in &mut tensors {
            tensor.name = tensor.name.replace("query.weight", &format!("query.{part}"));
        }
        let folder = folder("bert-tiny", &[]);
        write(&folder.path().join("model.safetensors"), &tensors, dtype);
        let complaint = load(folder.path(), &Head::Required).unwrap_err();
        assert!(complaint.contains("the weights are quantized"), "{part}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    for dtype in [Dtype::F8_E4M3, Dtype::I8, Dtype::U8] {
        let folder = folder("bert-tiny", &[]);
        let tensors = stored("bert-tiny");
        let bytes = vec![0_u8; 1 << 16];
        let views = tensors.iter().map(|tensor| {
            let n: usize = tensor.shape.iter().product();
            let view = TensorView::new(dtype, tensor.shape.clone(), &bytes[..n]).unwrap();
            (tensor.name.as_str(), view)
        });
        let path = folder.path().join("model.safetensors");
        safetensors::serialize_to_file(views, None::<HashMap<String, String>>, &path).unwrap();
        let complaint = load(folder.path(), &Head::Required).unwrap_err();
        assert!(complaint.contains("the weights are quantized"), "{dtype:?}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
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

/// A safetensors file of a header and so many bytes.
fn safetensors_file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let folder = folder("bert-tiny", &[]);
    let path = folder.path().join("model.safetensors");
    let tensor = |dtype: &str, shape: &str, range: &str| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{range}}}"#)
    };
    let one = |dtype: &str, shape: &str, range: &str| {
        format!(r#"{{"x":{}}}"#, tensor(dtype, shape, range))
    };
    let two = |first: &str, second: &str| {
        let [a, b] = [first, second].map(|range| tensor("F32", "[2]", range));
        format!(r#"{{"a":{a},"b":{b}}}"#)
    };
    let same = tensor("F32", "[2]", "[0,8]");
    for (header, data, why) in [
        (two("[0,8]", "[4,12]"), 12, "ranges overlap"),
        (two("[0,8]", "[0,8]"), 8, "the same range twice"),
        (two("[0,8]", "[12,20]"), 20, "a gap"),
        (one("F32", "[2]", "[8,0]"), 8, "an end before its beginning"),
        (one("F32", "[3]", "[0,8]"), 8, "a range of another size than the shape's"),
        (one("F32", "[4611686018427387904,4]", "[0,8]"), 8, "a shape beyond all addresses"),
        (one("F32", "[-1]", "[0,8]"), 8, "a negative shape"),
        (one("F77", "[2]", "[0,8]"), 8, "an unknown format"),
        (one("F32", "[2]", "[0,18446744073709551615]"), 8, "a range beyond the file"),
        (format!(r#"{{"x":{same},"y":{same}}}"#), 8, "two names of one range"),
        ("[]".to_owned(), 0, "no object"),
        ("{".to_owned(), 0, "half an object"),
    ] {
        std::fs::write(&path, safetensors_file(&header, data)).unwrap();
        let complaint = load(folder.path(), &Head::Required).unwrap_err();
        assert!(complaint.contains("model.safetensors: "), "{why}: {complaint}");
        assert!(!complaint.contains("layer"), "{why} is not seen: {complaint}");
    }
    // A header length that no file has.
    for length in [u64::MAX, u64::MAX - 7, 1 << 40] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{}");
        std::fs::write(&path, bytes).unwrap();
        let complaint = load(folder.path(), &Head::Required).unwrap_err();
        assert!(complaint.contains("its header asks for"), "{complaint}");
    }
}

#[test]
fn integers_where_numbers_are_expected_are_named_and_empty_tensors_do_not_fit() {
    let folder = folder("bert-tiny", &[]);
    let path = folder.path().join("model.safetensors");
    let tensors = stored("bert-tiny");
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|tensor| encode(tensor, Dtype::F32)).collect();
    let write = |name: &str, dtype: Dtype, shape: &[usize], data: &[u8]| {
        let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
            let view = if tensor.name == name {
                TensorView::new(dtype, shape.to_vec(), data)
            } else {
                TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)
            };
            (tensor.name.as_str(), view.unwrap())
        });
        safetensors::serialize_to_file(views, None::<HashMap<String, String>>, &path).unwrap();
        load(folder.path(), &Head::Required).unwrap_err()
    };
    let bias = "bert.pooler.dense.bias";
    for (dtype, size, what) in [(Dtype::I64, 8, "64-bit integers"), (Dtype::BOOL, 1, "BOOL")] {
        let complaint = write(bias, dtype, &[16], &vec![0; 16 * size]);
        let expected = format!("'{bias}' is stored as {what}, expected F64, F32, F16 or BF16");
        assert!(complaint.contains(&expected), "{complaint}");
    }
    let complaint = write(bias, Dtype::F32, &[0], &[]);
    assert!(complaint.contains(&format!("'{bias}' has shape [0], expected [16]")), "{complaint}");
}

#[test]
fn broken_archives_are_refused_with_their_name() {
    let good = std::fs::read(golden_folder("bert-tiny-bin").join("pytorch_model.bin")).unwrap();
    let folder = folder("bert-tiny", &[]);
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let path = folder.path().join("pytorch_model.bin");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut refused = 0;
    for round in 0..600 {
        let mut bytes = good.clone();
        match round % 3 {
            0 => bytes.truncate(random.random_range(0..good.len())),
            1 => (0..8).for_each(|_| {
                let at = random.random_range(0..good.len());
                bytes[at] = random.random();
            }),
            // The pickle and the directory, where numbers decide over sizes.
            _ => {
                let at = random.random_range(0..1500.min(good.len()));
                bytes[at..at + 8].fill(0xff);
            }
        }
        std::fs::write(&path, bytes).unwrap();
        if let Err(complaint) = load(folder.path(), &Head::Required) {
            refused += 1;
            let names_it = complaint.contains("pytorch_model.bin")
                || complaint.contains("does not fit its config.json")
                || complaint.contains("head")
                || complaint.contains("layer");
            assert!(names_it, "{complaint}");
        }
    }
    assert!(refused > 300, "{refused}");
}
