//! Folders that are written and read, and what is wrong with some.

use std::path::Path;

use burn::tensor::Device;
use ee_models::arch;
use ee_models::arch::seq2seq::{self, Loaded, Seq2SeqConfig};
use ee_models::checkpoint::{Precision, Weights, save};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use crate::{GOLDENS, Golden, goldens, load, logits};

/// The weights of a folder in a model of another configuration.
pub(crate) fn reload(folder: &Path, config: &Seq2SeqConfig) -> Loaded {
    let options = &config.options;
    let mut json = config.to_json();
    let key = if json.contains_key("dropout_rate") { "dropout_rate" } else { "dropout" };
    json.insert(key.into(), json!(options.dropouts.hidden));
    json.insert("attention_dropout".into(), json!(options.dropouts.attention));
    json.insert("activation_dropout".into(), json!(options.dropouts.activation));
    let changed = changed(folder, &json);
    seq2seq::load(changed.path(), Precision::F32, &Device::flex()).unwrap()
}

/// The weights of a folder under another configuration.
fn changed(weights: &Path, config: &Map<String, Value>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(weights.join("model.safetensors"), folder.path().join("model.safetensors"))
        .unwrap();
    std::fs::write(folder.path().join("config.json"), Value::from(config.clone()).to_string())
        .unwrap();
    folder
}

fn config(name: &str, changes: &[(&str, Value)]) -> Map<String, Value> {
    let mut config: Map<String, Value> = goldens::read(&format!("{name}/config.json"));
    config.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    config
}

/// A golden under another value of a key.
pub(crate) fn with(name: &str, key: &str, value: Value) -> Loaded {
    let folder = changed(&goldens::folder(name), &config(name, &[(key, value)]));
    seq2seq::load(folder.path(), Precision::Stored, &Device::flex()).unwrap()
}

fn write(loaded: &Loaded) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let Loaded { model, config, names, .. } = loaded;
    save(model, config.to_json(), names, folder.path()).unwrap();
    let generation = Value::from(config.generation_to_json()).to_string();
    std::fs::write(folder.path().join("generation_config.json"), generation).unwrap();
    folder
}

#[test]
fn what_is_written_is_the_same_model() {
    for name in GOLDENS {
        let loaded = load(name);
        let folder = write(&loaded);
        let again = seq2seq::load(folder.path(), Precision::Stored, &Device::flex()).unwrap();
        assert_eq!(again.config.options, loaded.config.options, "{name}");
        assert_eq!(again.config.tokens, loaded.config.tokens, "{name}");
        assert_eq!(again.unused, Vec::<String>::new(), "{name}");
        let Golden { case, .. } = crate::golden(name);
        let places = case.batch.places();
        let of = |loaded: &Loaded| logits(&loaded.model, &case.batch.batch(), &places);
        assert_eq!(of(&again), of(&loaded), "{name}");
        let stored = Weights::open(&goldens::folder(name)).unwrap();
        let written = Weights::open(folder.path()).unwrap();
        // Sinusoids that some versions of transformers write.
        let is_parameter = |tensor: &&str| {
            name == "bart-tiny" || name == "mbart-tiny" || !tensor.contains("embed_positions")
        };
        for tensor in stored.names().filter(is_parameter) {
            assert_eq!(written.shape(tensor), stored.shape(tensor), "{name}: {tensor}");
        }
    }
}

#[test]
fn a_t5_with_a_head_of_its_own_is_one_model_in_both_forms_of_its_configuration() {
    let name = "t5-gated-tiny";
    let published = load(name);
    let newer: Map<String, Value> = goldens::read("t5-gated-tiny/config-5.json");
    assert_eq!(newer["tie_word_embeddings"], json!(true), "as transformers 5 says");
    let folder = changed(&goldens::folder(name), &newer);
    let loaded = seq2seq::load(folder.path(), Precision::Stored, &Device::flex()).unwrap();
    assert_eq!(loaded.config.options, published.config.options);
    assert_eq!(loaded.config.to_json()["tie_word_embeddings"], json!(false), "as all read it");
    let Golden { case, .. } = crate::golden(name);
    let of = |loaded: &Loaded| logits(&loaded.model, &case.batch.batch(), &case.batch.places());
    assert_eq!(of(&loaded), of(&published));
}

#[test]
fn files_without_the_prefix_or_the_logits_bias_are_read() {
    for name in ["bart-tiny", "m2m100-tiny"] {
        let folder = goldens::folder(name);
        let weights = Weights::open(&folder).unwrap();
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = weights
            .names()
            .filter(|name| *name != "final_logits_bias")
            .map(|name| {
                let values = weights.values(name).unwrap();
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let bare = name.strip_prefix("model.").unwrap_or(name).to_owned();
                (bare, weights.shape(name).unwrap().to_vec(), bytes)
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
            (name.as_str(), view)
        });
        let bare = changed(&folder, &config(name, &[]));
        let path = bare.path().join("model.safetensors");
        safetensors::serialize_to_file(views, None, &path).unwrap();
        let loaded = seq2seq::load(bare.path(), Precision::Stored, &Device::flex()).unwrap();
        let Golden { case, .. } = crate::golden(name);
        let of = |loaded: &Loaded| logits(&loaded.model, &case.batch.batch(), &case.batch.places());
        let (found, expected) = (of(&loaded), of(&load(name)));
        let bias = match weights.shape("final_logits_bias") {
            Some(_) => weights.values("final_logits_bias").unwrap(),
            None => vec![0.0; 40],
        };
        for (found, expected) in found.iter().zip(&expected) {
            let biased: Vec<f32> = found
                .chunks(40)
                .flat_map(|row| row.iter().zip(&bias).map(|(x, b)| x + b))
                .collect();
            assert!(goldens::worst(&biased, expected) < 1e-6, "{name}");
        }
    }
}

#[test]
fn sixteen_bits_are_kept_and_change_little() {
    for name in ["marian-tiny", "t5-gated-tiny"] {
        let exact = load(name);
        let folder = goldens::folder(name);
        let half = seq2seq::load(&folder, Precision::F16, &Device::flex()).unwrap();
        let Golden { case, .. } = crate::golden(name);
        let of = |loaded: &Loaded| {
            logits(&loaded.model, &case.batch.batch(), &case.batch.places()).concat()
        };
        let (exact, half) = (of(&exact), of(&half));
        let error = goldens::worst(&exact, &half);
        let size = exact.iter().fold(0.0_f32, |size, logit| size.max(logit.abs()));
        assert!(error > 0.0 && error < 0.01 * size, "{name}: {error} of {size}");
    }
}

#[test]
fn the_registry_gives_the_decoder_and_the_encoder_alone() {
    for name in GOLDENS {
        let folder = goldens::folder(name);
        let decoder = arch::decoder(&folder, Precision::Stored, &Device::flex()).unwrap();
        let loaded = load(name);
        let sizes = loaded.config.options;
        assert_eq!(decoder.model.vocabulary_size(), sizes.target_vocabulary, "{name}");
        assert_eq!(decoder.model.prompt_vocabulary(), sizes.source_vocabulary, "{name}");
        assert_eq!(decoder.model.n_layers(), sizes.decoder.layers, "{name}");
        let encoder = arch::backbone(&folder, Precision::Stored, &Device::flex()).unwrap();
        assert_eq!(encoder.n_layers(), sizes.encoder.layers, "{name}");
        let Golden { case, .. } = crate::golden(name);
        let batch = case.batch.batch();
        let read = encoder.read_whole(batch.source().unwrap(), None);
        let own = ee_models::ExitModel::encoder(&loaded.model).unwrap();
        let expected = own.read_whole(batch.source().unwrap(), None);
        assert_eq!(goldens::values(read.hidden), goldens::values(expected.hidden), "{name}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let refused = |name: &str, changes: &[(&str, Value)]| {
        let folder = changed(&goldens::folder(name), &config(name, changes));
        let error = seq2seq::load(folder.path(), Precision::Stored, &Device::flex()).unwrap_err();
        error.to_string()
    };
    for (name, changes, expected) in [
        (
            "marian-tiny",
            vec![("decoder_layers", json!(4))],
            "the configuration says 'decoder_layers': 4, the weights are of 3 layers",
        ),
        (
            "t5-tiny",
            vec![("num_layers", json!(2))],
            "the configuration says 'num_layers': 2, the weights are of 3 layers",
        ),
        (
            "bart-tiny",
            vec![("encoder_attention_heads", json!(3))],
            "d_model 16 is not a multiple of encoder_attention_heads 3",
        ),
        (
            "bart-tiny",
            vec![("vocab_size", json!(41))],
            "'model.shared.weight' has shape [40, 16], expected [41, 16]",
        ),
        (
            "bart-tiny",
            vec![("activation_function", json!("sine"))],
            "activation_function 'sine' is not supported",
        ),
        (
            "bart-tiny",
            vec![("tie_word_embeddings", json!(false))],
            "missing tensor 'lm_head.weight'",
        ),
        (
            "bart-tiny",
            vec![("pad_token_id", json!(40))],
            "pad_token_id 40 is outside a vocabulary of 40",
        ),
        (
            "bart-tiny",
            vec![("is_encoder_decoder", json!(false))],
            "'is_encoder_decoder': false is not supported",
        ),
        ("marian-tiny", vec![("decoder_start_token_id", json!(40))], "'decoder_start_token_id'"),
        (
            "marian-tiny",
            vec![("bad_words_ids", json!("pad"))],
            "'bad_words_ids' must be lists of token ids",
        ),
        (
            "marian-two-tiny",
            vec![("share_encoder_decoder_embeddings", json!(true))],
            "'model.decoder.embed_tokens.weight' is not 'model.encoder.embed_tokens.weight'",
        ),
        (
            "fsmt-tiny",
            vec![("tie_word_embeddings", json!(true))],
            "the tables of 37 and 40 tokens cannot be one",
        ),
        (
            "t5-tiny",
            vec![("feed_forward_proj", json!("gated-gelu"))],
            "missing tensor 'encoder.block.0.layer.1.DenseReluDense.wi_0.weight'",
        ),
        (
            "t5-tiny",
            vec![("feed_forward_proj", json!("gated-sine"))],
            "feed_forward_proj 'gated-sine' is not supported",
        ),
        ("t5-tiny", vec![("d_kv", json!(5))], "expected [15, 16]"),
        (
            "t5-gated-tiny",
            vec![("tie_word_embeddings", json!(true))],
            "'lm_head.weight' is not 'shared.weight'",
        ),
        (
            "mbart-tiny",
            vec![("model_type", json!("bart"))],
            "'bart' and architectures 'MBartForConditionalGeneration' are two families",
        ),
        ("mbart-tiny", vec![("d_model", json!(null))], "'d_model' must be a whole number"),
    ] {
        let found = refused(name, &changes);
        assert!(found.contains(expected), "{name} {changes:?}: {found}");
    }
}
