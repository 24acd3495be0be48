//! What is refused, and what the complaint names.

use std::collections::HashMap;

use burn::tensor::Device;
use ee_models::arch::bert::Head;
use ee_models::arch::llama;
use ee_models::checkpoint::Precision;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::goldens;
use crate::{Stored, edit_config, encode, folder, load, new_head, stored, write};

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

/// A safetensors file of a header and this many bytes.
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
    let good = std::fs::read(goldens::folder("bert-tiny-bin").join("pytorch_model.bin")).unwrap();
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
                || complaint.contains("does not fit its configuration")
                || complaint.contains("head")
                || complaint.contains("layer");
            assert!(names_it, "{complaint}");
        }
    }
    assert!(refused > 300, "{refused}");
}
