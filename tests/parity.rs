//! Exits, losses and gradients against tiny random models of Hugging Face `transformers`
//! (`scripts/goldens_encoders.py` writes the goldens).

mod goldens;

use burn::tensor::{Device, Tensor};
use ee_models::arch::bert::{self, EncoderConfig, Head, Loaded};
use ee_models::checkpoint::Weights;
use ee_models::kernels::Rows;
use ee_models::loss::{Objective, Pass, PassConfig, Targets, pass};
use ee_models::{Batch, ExitModel};
use serde::Deserialize;

use crate::goldens::{Padded, by_name, check_gradients, values, worst};

/// Worst case measured over both families: 4.2e-7.
const LOGIT_TOLERANCE: f32 = 1e-4;
/// Relative to the largest gradient of the parameter.
const GRADIENT_TOLERANCE: f32 = 1e-3;

const FAMILIES: [&str; 2] = ["bert-tiny", "roberta-tiny"];

#[derive(Deserialize)]
struct GoldenBatch {
    #[serde(flatten)]
    padded: Padded,
    labels: Vec<usize>,
}

#[derive(Deserialize)]
struct Golden {
    batch: GoldenBatch,
    /// `[exit][row][label]`
    logits: Vec<Vec<Vec<f32>>>,
    exit_losses: Vec<f32>,
    joint_loss: f32,
    final_loss: f32,
}

fn golden(name: &str) -> Golden {
    goldens::read(&format!("{name}/golden.json"))
}

/// The rows of a golden batch, in the given order, padded to at least `width`.
fn batch(golden: &Padded, rows: &[usize], width: usize) -> Batch {
    let lengths: Vec<usize> =
        rows.iter().map(|&row| golden.attention_mask[row].iter().sum()).collect();
    let width = lengths.iter().copied().max().unwrap().max(width);
    let padded = |values: &[u32], length: usize, filler: u32| -> Vec<u32> {
        let mut row = values[..length].to_vec();
        row.resize(width, filler);
        row
    };
    let (mut token_ids, mut type_ids) = (Vec::new(), Vec::new());
    for (&row, &length) in rows.iter().zip(&lengths) {
        let padding = golden.input_ids[row].get(length).copied().unwrap_or(0);
        token_ids.extend(padded(&golden.input_ids[row], length, padding));
        type_ids.extend(match &golden.token_type_ids {
            Some(types) => padded(&types[row], length, 0),
            None => vec![0; width],
        });
    }
    Batch::new(token_ids, type_ids, lengths, width).unwrap()
}

fn load(name: &str, device: &Device) -> Loaded {
    bert::load(&goldens::folder(name), &Head::Required, device).unwrap()
}

#[test]
fn logits_of_every_exit() {
    for name in FAMILIES {
        let golden = golden(name);
        let loaded = load(name, &Device::flex());
        let ours = values(loaded.model.exit_logits(&golden.batch.padded.batch()));
        let theirs: Vec<f32> = golden.logits.iter().flatten().flatten().copied().collect();
        let worst = worst(&ours, &theirs);
        println!("{name}: logits differ by at most {worst:e}");
        assert!(worst < LOGIT_TOLERANCE, "{name}: {worst}");
    }
}

#[test]
fn pytorch_archive_gives_the_same_model() {
    let golden = golden("bert-tiny");
    let [a, b] = ["bert-tiny", "bert-tiny-bin"].map(|name| {
        values(load(name, &Device::flex()).model.exit_logits(&golden.batch.padded.batch()))
    });
    assert_eq!(a, b);
}

#[test]
fn padding_and_batching_change_no_bit() {
    for name in FAMILIES {
        let golden = golden(name);
        let loaded = load(name, &Device::flex());
        let n_rows = golden.batch.labels.len();
        for row in 0..n_rows {
            let alone = batch(&golden.batch.padded, &[row], 0);
            let wider = batch(&golden.batch.padded, &[row, (row + 1) % n_rows], 30);
            let alone = values(loaded.model.exit_logits(&alone));
            let wider = values(loaded.model.exit_logits(&wider));
            let outputs = alone.len() / loaded.model.n_layers();
            for (exit, logits) in alone.chunks(outputs).enumerate() {
                let same_row = &wider[exit * 2 * outputs..][..outputs];
                assert_eq!(logits, same_row, "{name} row {row} exit {}", exit + 1);
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for name in FAMILIES {
        let golden = golden(name);
        let model = load(name, &Device::flex()).model;
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| values(model.exit_logits(&golden.batch.padded.batch())))
        };
        let one = on(1);
        for threads in [2, 3, 7] {
            assert_eq!(on(threads), one, "{name} on {threads} threads");
        }
    }
}

/// Under other instructions sums are added in other orders: close to the goldens, not the same bits.
#[test]
fn every_instruction_set_of_the_machine_is_close() {
    let mut sets = vec!["portable"];
    #[cfg(target_arch = "x86_64")]
    for (set, is_here) in [
        ("avx2", is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")),
        ("avx512", is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")),
    ] {
        sets.extend(is_here.then_some(set));
    }
    for set in sets {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "logits_of_every_exit"])
            .env("EE_INSTRUCTIONS", set)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{set}: {said}");
    }
}

#[test]
fn kept_rows_go_on_as_if_alone() {
    let golden = golden("bert-tiny");
    let model = load("bert-tiny", &Device::flex()).model;
    let all = golden.batch.padded.batch();
    let mut stream = model.layer(0, model.embed(&all, None));
    let kept = [4, 1];
    stream = stream.keep(&kept);
    for index in 1..model.n_layers() {
        stream = model.layer(index, stream);
    }
    let ours = values(model.read(model.exit_state(&stream), Rows::Many));
    let last = golden.logits.last().unwrap();
    let theirs: Vec<f32> = kept.iter().flat_map(|&row| last[row].clone()).collect();
    assert!(worst(&ours, &theirs) < LOGIT_TOLERANCE);
}

/// Reads every exit and takes the gradient of the weighted sum of their losses.
fn run(loaded: &Loaded, golden: &GoldenBatch, weights: Vec<f64>, checkpointing: bool) -> Pass {
    let batch = golden.padded.batch();
    let targets = Targets::first_positions(&batch, &golden.labels);
    let config = PassConfig {
        weights,
        watch: true,
        dropout: None,
        scale: 1.0,
        label_smoothing: 0.0,
        gradient_checkpointing: checkpointing,
    };
    pass(&loaded.model, &batch, &targets, &config)
}

#[test]
fn losses_and_every_gradient() {
    for name in FAMILIES {
        let golden = golden(name);
        let loaded = load(name, &Device::flex().autodiff());
        for (objective, expected, file) in [
            (Objective::JOINT, golden.joint_loss, "gradients-joint"),
            (Objective::FINAL, golden.final_loss, "gradients-final"),
        ] {
            for checkpointing in [false, true] {
                let weights = objective.weights(golden.exit_losses.len());
                let ours = run(&loaded, &golden.batch, weights.clone(), checkpointing);
                let exits: Vec<f32> =
                    ours.exits.iter().map(|exit| exit.unwrap().loss as f32).collect();
                assert!(worst(&exits, &golden.exit_losses) < 1e-5);
                let sum: f64 =
                    weights.iter().zip(&exits).map(|(w, &loss)| w * f64::from(loss)).sum();
                assert!((sum as f32 - expected).abs() < 1e-5, "{name} {file}");
                let found = by_name(&loaded.model, &loaded.names, ours.gradients);
                let file = format!("{name}/{file}.safetensors");
                let n = Weights::open_file(&goldens::folder(&file)).unwrap().names().count();
                assert!(n > 50, "{file}: {n} parameters");
                check_gradients(&found, &file, GRADIENT_TOLERANCE, 1e-4);
            }
        }
    }
}

#[test]
fn loss_of_one_exit_reaches_its_layers_and_none_above() {
    let golden = golden("bert-tiny");
    let loaded = load("bert-tiny", &Device::flex().autodiff());
    let n_exits = loaded.model.n_layers();
    for exit in 1..=n_exits {
        let weights = (1..=n_exits).map(|other| f64::from(other == exit)).collect();
        let found = run(&loaded, &golden.batch, weights, false).gradients;
        let found = by_name(&loaded.model, &loaded.names, found);
        for index in 0..n_exits {
            let name = format!("bert.encoder.layer.{index}.output.dense.weight");
            let moved = found.get(&name).is_some_and(|g| g.iter().any(|&value| value != 0.0));
            assert_eq!(moved, index < exit, "exit {exit}, layer {index}");
        }
    }
}

#[test]
fn dropout_follows_its_key() {
    use ee_models::DropoutKey;
    let golden = golden("bert-tiny");
    let mut config = EncoderConfig::read(&goldens::folder("bert-tiny")).unwrap();
    config.hidden_dropout_prob = 0.3;
    config.attention_probs_dropout_prob = 0.3;
    let model = bert::random(config, 1, &Device::flex()).model;
    let batch = golden.batch.padded.batch();
    let run = |key: Option<DropoutKey>| {
        let states = model.exit_states(&batch, key);
        values(model.head_state(Tensor::cat(states, 0), key))
    };
    let [a, b] = [1, 2].map(|step| DropoutKey::new(&[7, step]));
    assert_eq!(run(Some(a)), run(Some(a)));
    assert_ne!(run(Some(a)), run(Some(b)));
    assert_ne!(run(Some(a)), run(None));
}
