//! Optimizer steps of encoder-decoders against PyTorch (`scripts/goldens_seq2seq.py`).

use burn::module::Module;
use burn::tensor::Device;
use ee_models::Batch;
use ee_models::arch::seq2seq::{self, Loaded};
use ee_models::checkpoint::Precision;
use ee_models::loss::{Objective, Targets, evaluate};
use ee_train::optimizer::{AdamW, AdamWConfig};
use ee_train::step::{MicroBatch, StepConfig, step};
use serde::Deserialize;

use super::{folder, golden};

const MODELS: [&str; 8] = [
    "marian-tiny",
    "marian-two-tiny",
    "bart-tiny",
    "mbart-tiny",
    "m2m100-tiny",
    "fsmt-tiny",
    "t5-tiny",
    "t5-gated-tiny",
];

/// On losses of size 15 absolute, on gradient norms relative, over ten steps.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct GoldenBatch {
    input_ids: Vec<Vec<u32>>,
    attention_mask: Vec<Vec<usize>>,
    decoder_input_ids: Vec<Vec<u32>>,
    decoder_attention_mask: Vec<Vec<usize>>,
    /// Row, position and the token that it predicts.
    targets: Vec<[usize; 3]>,
}

fn padded(ids: &[Vec<u32>], mask: &[Vec<usize>]) -> Batch {
    let lengths = mask.iter().map(|row| row.iter().sum()).collect();
    let all = ids.concat();
    let types = vec![0; all.len()];
    Batch::new(all, types, lengths, ids[0].len()).unwrap()
}

impl GoldenBatch {
    fn read(&self) -> MicroBatch {
        let source = padded(&self.input_ids, &self.attention_mask);
        let batch = padded(&self.decoder_input_ids, &self.decoder_attention_mask);
        let width = self.decoder_input_ids[0].len();
        let places = self.targets.iter().map(|[row, at, _]| row * width + at).collect();
        let labels = self.targets.iter().map(|&[_, _, label]| label as u32).collect();
        let batch = batch.with_source(source).unwrap();
        MicroBatch { batch, targets: Targets::new(places, labels) }
    }
}

#[derive(Deserialize)]
struct Golden {
    batch: GoldenBatch,
    smoothing: f64,
    training: Training,
}

#[derive(Deserialize)]
struct Training {
    learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
    batches: Vec<GoldenBatch>,
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
    exit_losses_after: Vec<f64>,
}

#[test]
fn ten_smoothed_steps_as_pytorch_makes_them() {
    for name in MODELS {
        let Golden { batch, smoothing, training } = golden(name, "golden.json");
        let device = Device::flex();
        let loaded = seq2seq::load(&folder(name), Precision::F32, &device).unwrap();
        let Loaded { mut model, names, config: of_model, .. } = loaded;
        model = model.train();
        let mut optimizer = AdamW::new(AdamWConfig {
            decay_all: false,
            learning_rate: training.learning_rate,
            weight_decay: training.weight_decay,
            beta_1: training.betas[0],
            beta_2: training.betas[1],
            epsilon: training.epsilon,
            max_gradient_norm: 0.0,
        });
        let config = StepConfig {
            weights: Objective::JOINT.weights(of_model.options.decoder.layers),
            watch: false,
            label_smoothing: smoothing,
            gradient_checkpointing: false,
            learning_rate: training.learning_rate,
            dropout: None,
        };
        assert_eq!(training.batches.len(), 10);
        for (number, batch) in training.batches.iter().enumerate() {
            let report;
            (model, report) =
                step(model, &mut optimizer, &names, &[batch.read()], &config).unwrap();
            let (loss, norm) = (training.losses[number], training.gradient_norms[number]);
            assert!(
                (report.loss - loss).abs() < TOLERANCE,
                "{name} {number}: {} {loss}",
                report.loss
            );
            let relative = (report.gradient_norm / norm - 1.0).abs();
            assert!(relative < TOLERANCE, "{name} {number}: {} {norm}", report.gradient_norm);
        }
        let MicroBatch { batch, targets } = batch.read();
        let after = evaluate(&model.valid(), &batch, &targets);
        for (reading, expected) in after.iter().zip(&training.exit_losses_after) {
            assert!(
                (reading.loss - expected).abs() < TOLERANCE,
                "{name}: {} {expected}",
                reading.loss
            );
        }
    }
}
