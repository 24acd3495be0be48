//! Models built from scratch.

use burn::tensor::Device;
use ee_models::arch::SpecialTokens;
use ee_models::arch::seq2seq::{
    self, Dropouts, FAMILIES, FSMT, Loaded, MARIAN, Seq2SeqConfig, Seq2SeqSizes, Sharing, Tokens,
};
use ee_models::checkpoint::{ParameterNames, Precision};
use ee_models::kernels::Activation;
use ee_models::{Batch, ExitModel};

use crate::goldens::{self, values};

fn sizes(sharing: Sharing) -> Seq2SeqSizes {
    let target = if sharing.shares_tables() { 50 } else { 60 };
    Seq2SeqSizes {
        source_vocabulary: 50,
        target_vocabulary: target,
        sharing,
        d_model: 32,
        encoder_layers: 2,
        decoder_layers: 3,
        heads: 4,
        inner: 48,
        positions: 30,
        dropouts: Dropouts { hidden: 0.25, ..Dropouts::default() },
        activation: Activation::Relu,
        padding: 1,
    }
}

fn tokens() -> Tokens {
    Tokens {
        start: 2,
        forced_beginning: None,
        forced_end: None,
        never: vec![1],
        special: SpecialTokens { beginning: Some(0), ends: vec![2] },
    }
}

/// What a parameter's values are like: least, largest, mean and deviation.
fn spread(values: &[f32]) -> [f32; 4] {
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n;
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    [least, largest, mean, variance.sqrt()]
}

fn parameter(model: &seq2seq::Seq2Seq, names: &ParameterNames, wanted: &str) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    ee_models::checkpoint::save(model, serde_json::Map::new(), names, folder.path()).unwrap();
    ee_models::checkpoint::Weights::open(folder.path()).unwrap().values(wanted).unwrap()
}

#[test]
fn new_parameters_start_as_fairseqs() {
    let config = Seq2SeqConfig::of_sizes(&MARIAN, &sizes(Sharing::All), &tokens()).unwrap();
    let Loaded { model, names, .. } = seq2seq::random(config, 7, Precision::F32, &Device::flex());
    let of = |name: &str| parameter(&model, &names, name);
    // ±√(6 / (32 + 32)) / √2, and without the gain; the deviation of an even one is its bound / √3.
    for (name, bound) in [
        ("model.encoder.layers.0.self_attn.q_proj.weight", 0.216_506),
        ("model.decoder.layers.2.encoder_attn.v_proj.weight", 0.216_506),
        ("model.decoder.layers.0.self_attn.out_proj.weight", 0.306_186),
        ("model.decoder.layers.0.fc1.weight", 0.273_861),
        ("model.decoder.layers.0.fc2.weight", 0.273_861),
    ] {
        let [least, largest, _, deviation] = spread(&of(name));
        assert!(-bound <= least && least < -0.95 * bound, "{name}: {least}");
        assert!(0.95 * bound < largest && largest <= bound, "{name}: {largest}");
        assert!((deviation * 3_f32.sqrt() / bound - 1.0).abs() < 0.06, "{name}: {deviation}");
    }
    let table = of("model.shared.weight");
    let [_, _, mean, deviation] = spread(&table);
    assert!(mean.abs() < 0.02 && (deviation * 32_f32.sqrt() - 1.0).abs() < 0.06, "{deviation}");
    assert!(table[32..64].iter().all(|&value| value == 0.0), "the padding's row");
    assert!(of("model.encoder.layers.1.fc1.bias").iter().all(|&value| value == 0.0));
    let norm = of("model.encoder.layers.1.final_layer_norm.weight");
    assert!(norm.iter().all(|&value| value == 1.0));
}

#[test]
fn tables_are_shared_as_asked_and_the_model_is_read_back() {
    let batch = |ids: &[u32]| goldens::alone(ids);
    let whole: Batch = batch(&[2, 5, 9]).with_source(batch(&[7, 1, 11, 2])).unwrap();
    for (family, sharing, possible) in [
        (&MARIAN, Sharing::All, true),
        (&MARIAN, Sharing::Tables, true),
        (&MARIAN, Sharing::Decoder, true),
        (&MARIAN, Sharing::Nothing, true),
        (&FSMT, Sharing::All, true),
        (&FSMT, Sharing::Decoder, true),
        (&FSMT, Sharing::Nothing, false),
    ] {
        let config = Seq2SeqConfig::of_sizes(family, &sizes(sharing), &tokens());
        let Ok(config) = config else {
            assert!(!possible, "{sharing:?}: {}", config.unwrap_err());
            continue;
        };
        assert!(possible, "{sharing:?}");
        let made = seq2seq::random(config, 3, Precision::F32, &Device::flex());
        let folder = tempfile::tempdir().unwrap();
        let Loaded { model, config, names, .. } = &made;
        ee_models::checkpoint::save(model, config.to_json(), names, folder.path()).unwrap();
        let stored = ee_models::checkpoint::Weights::open(folder.path()).unwrap();
        let copies =
            ["model.decoder.output_projection.weight", "model.decoder.embed_tokens.weight"];
        let is_written = copies.map(|name| stored.shape(name).is_some());
        let is_fsmt = config.family.facts.class == FSMT.facts.class;
        assert_eq!(is_written, [is_fsmt, sharing != Sharing::All || is_fsmt], "{sharing:?}");
        let read = seq2seq::load(folder.path(), Precision::Stored, &Device::flex()).unwrap();
        assert_eq!(read.config.options, config.options, "{sharing:?}");
        assert_eq!(read.config.tokens, config.tokens, "{sharing:?}");
        let logits = |loaded: &Loaded| values(loaded.model.exit_logits(&whole));
        assert_eq!(logits(&read), logits(&made), "{sharing:?}");
    }
}

#[test]
fn every_family_builds_models_of_sizes_and_counts_them() {
    let mut sizes = sizes(Sharing::All);
    for family in FAMILIES {
        sizes.positions = 30;
        if family.facts.class.starts_with("T5") {
            sizes.dropouts = Dropouts { hidden: 0.1, attention: 0.1, activation: 0.1, head: 0.1 };
        } else {
            sizes.dropouts = Dropouts { hidden: 0.25, ..Dropouts::default() };
        }
        let tokens = Tokens { never: vec![1], ..tokens() };
        let config = Seq2SeqConfig::of_sizes(family, &sizes, &tokens).unwrap();
        let size = config.size();
        let made = seq2seq::random(config, 1, Precision::F32, &Device::flex());
        let folder = tempfile::tempdir().unwrap();
        let Loaded { model, config, names, .. } = &made;
        ee_models::checkpoint::save(model, config.to_json(), names, folder.path()).unwrap();
        let weights = ee_models::checkpoint::Weights::open(folder.path()).unwrap();
        let numbers = |name: &str| weights.shape(name).unwrap().iter().product::<usize>();
        let all: usize = names.iter().map(|(_, name)| numbers(name)).sum();
        assert_eq!(size.matrices + size.vectors, all as f64, "{}", family.facts.class);
        assert_eq!(size.layers, 3.0);
    }
}
