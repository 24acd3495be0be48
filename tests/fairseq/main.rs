//! Checkpoints of fairseq, held to what transformers computes with the same weights.

#[path = "../goldens/mod.rs"]
mod goldens;
mod misfits;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ee_models::arch::seq2seq::{self, Loaded};
use ee_models::checkpoint::{self, Precision, Weights};
use ee_models::kernels::{self, Rows};
use ee_models::{Batch, ExitModel, arch};
use serde::Deserialize;
use tempfile::TempDir;

/// The largest difference of a logit; 2e-6 is the worst that was seen.
const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    batch: Pair,
    /// `[exit][target][token]`
    logits: Vec<Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct Pair {
    input_ids: Vec<Vec<u32>>,
    attention_mask: Vec<Vec<usize>>,
    decoder_input_ids: Vec<Vec<u32>>,
    decoder_attention_mask: Vec<Vec<usize>>,
    /// Row, position and token of each.
    targets: Vec<[usize; 3]>,
}

fn side(ids: &[Vec<u32>], mask: &[Vec<usize>]) -> Batch {
    let lengths = mask.iter().map(|row| row.iter().sum()).collect();
    let (ids, width) = (ids.concat(), ids[0].len());
    Batch::new(ids.clone(), vec![0; ids.len()], lengths, width).unwrap()
}

fn load(folder: &Path) -> Result<Loaded, String> {
    let loaded = seq2seq::load(folder, Precision::F32, &Device::flex());
    loaded.map_err(|error| {
        let source = std::error::Error::source(&error);
        source.map_or(error.to_string(), |source| format!("{error}: {source}"))
    })
}

fn golden(name: &str) -> Golden {
    goldens::read(&format!("{name}/golden.json"))
}

/// The logits of every exit at a golden's targets.
fn logits(loaded: &Loaded, golden: &Golden) -> Vec<f32> {
    let Pair { input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, targets } =
        &golden.batch;
    let batch = side(decoder_input_ids, decoder_attention_mask);
    let batch = batch.with_source(side(input_ids, attention_mask)).unwrap();
    let at: Vec<usize> = targets.iter().map(|[row, at, _]| row * batch.width() + at).collect();
    let model = &loaded.model;
    let mut stream = model.embed(&batch, None);
    let exits = (0..model.n_layers()).map(|index| {
        stream = model.layer(index, stream.clone());
        let state = model.head_state(stream.select(&at), None);
        let [logits] = kernels::project(state, [model.head_weight()], Rows::Many);
        goldens::values(logits)
    });
    exits.collect::<Vec<_>>().concat()
}

fn expected(golden: &Golden) -> Vec<f32> {
    golden.logits.concat().concat()
}

fn holds(loaded: &Loaded, name: &str) {
    let golden = golden(name);
    let worst = goldens::worst(&logits(loaded, &golden), &expected(&golden));
    println!("{name}: {worst:.1e}");
    assert!(worst <= TOLERANCE, "{name}: {worst}");
}

/// A copy of a golden's folder.
fn copy(name: &str) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(goldens::folder(name)).unwrap() {
        let from = entry.unwrap().path();
        if from.is_file() {
            std::fs::copy(&from, to.path().join(from.file_name().unwrap())).unwrap();
        }
    }
    to
}

const ALL: [&str; 4] =
    ["fairseq-tiny", "fairseq-old-tiny", "fairseq-prenorm-tiny", "fairseq-learned-tiny"];

#[test]
fn every_exit_is_that_of_transformers() {
    for name in ALL {
        let loaded = load(&goldens::folder(name)).unwrap();
        let version = loaded.unused.iter().filter(|name| name.ends_with(".version")).count();
        assert_eq!(version, 2, "{name}: {:?}", loaded.unused);
        holds(&loaded, name);
    }
}

#[test]
fn the_same_table_under_three_names_is_the_same_model() {
    let folder = goldens::folder("fairseq-prenorm-tiny/separate");
    holds(&load(&folder).unwrap(), "fairseq-prenorm-tiny");
}

#[test]
fn learned_positions_that_hold_marians_make_marians_model() {
    let golden = golden("fairseq-learned-tiny");
    let ours = load(&goldens::folder("fairseq-learned-tiny")).unwrap();
    let marian = load(&goldens::folder("fairseq-learned-tiny/marian")).unwrap();
    let worst = goldens::worst(&logits(&ours, &golden), &logits(&marian, &golden));
    assert!(worst <= TOLERANCE, "{worst}");
}

#[test]
fn what_is_written_is_the_same_model_of_transformers() {
    for (name, model_type) in [
        ("fairseq-tiny", "fsmt"),
        ("fairseq-old-tiny", "fsmt"),
        ("fairseq-prenorm-tiny", "m2m_100"),
    ] {
        let golden = golden(name);
        let loaded = load(&goldens::folder(name)).unwrap();
        loaded.config.check_written().unwrap();
        let to = tempfile::tempdir().unwrap();
        let json = loaded.config.to_json();
        assert_eq!(json["model_type"], model_type);
        assert_eq!(json["langs"], serde_json::json!(["de", "en"]));
        checkpoint::save(&loaded.model, json, &loaded.names, to.path()).unwrap();
        let again = load(to.path()).unwrap();
        assert_eq!(logits(&again, &golden), logits(&loaded, &golden), "{name}");
        let tokens = |loaded: &Loaded| loaded.config.tokens.clone();
        assert_eq!(tokens(&again), tokens(&loaded), "{name}");
    }
    for name in ["fairseq-prenorm-tiny/separate", "fairseq-learned-tiny"] {
        let loaded = load(&goldens::folder(name)).unwrap();
        let refused = loaded.config.check_written().unwrap_err().to_string();
        assert!(refused.contains("it can be used and not be written"), "{refused}");
    }
}

#[test]
fn the_best_checkpoint_is_taken_and_said_so() {
    let loaded = arch::decoder(&goldens::folder("fairseq-tiny"), Precision::F32, &Device::flex());
    let loaded = loaded.unwrap();
    let said = "checkpoint_best.pt is read, a checkpoint of fairseq; not read: checkpoint_last.pt";
    assert_eq!(loaded.notices, [said]);
    assert_eq!(loaded.model_type, "fsmt");
    assert_eq!(loaded.languages, Some(["de".to_owned(), "en".to_owned()]));
    assert_eq!(loaded.special.ends, [2]);
    assert_eq!(loaded.model.opening(), [2]);

    let folder = copy("fairseq-tiny");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let checksum = || Weights::open(folder.path()).unwrap().checksum().unwrap();
    let best = checksum();
    std::fs::rename(path("checkpoint_best.pt"), path("model.pt")).unwrap();
    let last = checksum();
    assert_ne!(last, best, "checkpoint_last.pt goes before others");
    std::fs::remove_file(path("checkpoint_last.pt")).unwrap();
    assert_eq!(checksum(), best, "the one that is there");
    holds(&load(folder.path()).unwrap(), "fairseq-tiny");
    std::fs::copy(path("model.pt"), path("checkpoint7.pt")).unwrap();
    let refused = load(folder.path()).unwrap_err();
    assert!(
        refused.contains(
            "holds several checkpoints, of which neither is checkpoint_best.pt nor \
             checkpoint_last.pt: checkpoint7.pt, model.pt"
        ),
        "{refused}"
    );
}
