//! Layers without a head against transformers' bare models (tests/golden, made by
//! scripts/goldens_backbones.py), and layers against the sum of their parts.

mod goldens;

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Device;
use ee_models::checkpoint::{Precision, Weights};
use ee_models::{Batch, Stream, arch};
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use tempfile::TempDir;

use crate::goldens::values;

/// Of states of size 4; the worst measured is 2e-6.
const TOLERANCE: f32 = 2e-5;

#[derive(Deserialize)]
struct Case {
    folder: String,
    input_ids: Vec<Vec<u32>>,
    lengths: Vec<usize>,
    /// `[depth][token][number]`, padding left out
    states: Vec<Vec<Vec<f32>>>,
    /// `[depth][row][number]`
    means: Vec<Vec<Vec<f32>>>,
}

fn cases() -> Vec<Case> {
    goldens::read("backbones.json")
}

impl Case {
    fn batch(&self) -> Batch {
        let (ids, width) = (self.input_ids.concat(), self.input_ids[0].len());
        let types = vec![0; ids.len()];
        Batch::new(ids, types, self.lengths.clone(), width).unwrap()
    }

    fn check(&self, folder: &Path) {
        let model = arch::backbone(folder, Precision::Stored, &Device::flex()).unwrap();
        let states = model.states(&self.batch());
        assert_eq!(states.len(), self.states.len(), "depths 0..=N");
        for (stream, (tokens, means)) in states.iter().zip(self.states.iter().zip(&self.means)) {
            close(&values(stream.select(&self.tokens())), &tokens.concat(), &self.folder);
            close(&values(stream.mean_positions()), &means.concat(), &self.folder);
        }
    }

    /// Where the tokens are that are not padding.
    fn tokens(&self) -> Vec<usize> {
        let width = self.input_ids[0].len();
        let rows = self.lengths.iter().enumerate();
        rows.flat_map(|(row, &length)| row * width..row * width + length).collect()
    }
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    let worst = goldens::worst(found, expected);
    assert!(worst <= TOLERANCE, "{what}: {worst:e}");
}

/// A golden's folder as the bare model is published: no prefix, and no head but BERT's pooler.
fn bare(golden: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(golden.join("config.json"), folder.path().join("config.json")).unwrap();
    let weights = Weights::open(golden).unwrap();
    let bytes: Vec<_> = weights
        .names()
        .filter(|name| {
            let heads = ["classifier.", "lm_head.", "final_logits_bias"];
            heads.iter().all(|head| !name.starts_with(head))
        })
        .map(|name| {
            let bytes =
                weights.values(name).unwrap().iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, weights.shape(name).unwrap().to_vec(), bytes)
        })
        .collect::<Vec<(_, _, Vec<u8>)>>();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let prefixes = ["bert.", "roberta.", "model."];
        let bare = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        (bare, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let path = folder.path().join("model.safetensors");
    safetensors::serialize_to_file(views, None::<HashMap<String, String>>, &path).unwrap();
    folder
}

#[test]
fn states_of_every_depth_and_their_means_equal_transformers_with_a_head_and_without() {
    for case in cases() {
        let folder = goldens::folder(&case.folder);
        case.check(&folder);
        case.check(bare(&folder).path());
    }
}

#[test]
fn what_is_no_part_of_a_backbone_is_named() {
    let folder = bare(&goldens::folder("llama-tiny"));
    let config = goldens::folder("qwen3-tiny/config.json");
    std::fs::copy(config, folder.path().join("config.json")).unwrap();
    let error = arch::backbone(folder.path(), Precision::Stored, &Device::flex());
    let error = error.err().expect("another family's weights").to_string();
    assert!(error.contains("'num_hidden_layers': 2, the weights are of 3 layers"), "{error}");
}

#[test]
fn a_layer_is_the_sum_of_its_parts_to_the_bit() {
    for case in cases() {
        let model =
            arch::backbone(&goldens::folder(&case.folder), Precision::Stored, &Device::flex());
        let model = model.unwrap();
        let mut stream = model.embed(&case.batch(), None);
        for index in 0..model.n_layers() {
            let whole = model.layer(index, stream.clone());
            for &part in model.sublayers() {
                let next = model.sublayer(index, part, stream.clone());
                assert_ne!(bits(&next), bits(&stream), "{}: {part:?} does something", case.folder);
                stream = next;
            }
            assert_eq!(bits(&whole), bits(&stream), "{}, layer {index}", case.folder);
        }
    }
}

fn bits(stream: &Stream) -> Vec<u32> {
    values(stream.hidden.clone()).iter().map(|value| value.to_bits()).collect()
}
