//! Optimizer steps of encoder-decoders against PyTorch (`scripts/goldens_seq2seq.py`).

use burn::module::Module;
use burn::tensor::Device;
use ee_models::arch::seq2seq::{self, Loaded};
use ee_models::checkpoint::Precision;
use ee_models::loss::{Objective, evaluate};
use ee_train::optimizer::{AdamW, AdamWConfig};
use ee_train::step::{MicroBatch, StepConfig, step};
use serde::Deserialize;

use super::encoder_decoders::{GOLDENS, GoldenBatch};
use super::{folder, golden};

/// On losses of size 15 absolute, on gradient norms relative, over ten steps.
const TOLERANCE: f64 = 1e-4;

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

fn micro_batch(of: &GoldenBatch) -> MicroBatch {
    MicroBatch { batch: of.batch(), targets: of.targets() }
}

#[test]
fn ten_smoothed_steps_as_pytorch_makes_them() {
    for name in GOLDENS {
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
                step(model, &mut optimizer, &names, &[micro_batch(batch)], &config).unwrap();
            let (loss, norm) = (training.losses[number], training.gradient_norms[number]);
            assert!(
                (report.loss - loss).abs() < TOLERANCE,
                "{name} {number}: {} {loss}",
                report.loss
            );
            let relative = (report.gradient_norm / norm - 1.0).abs();
            assert!(relative < TOLERANCE, "{name} {number}: {} {norm}", report.gradient_norm);
        }
        let after = evaluate(&model.valid(), &batch.batch(), &batch.targets());
        for (reading, expected) in after.iter().zip(&training.exit_losses_after) {
            assert!(
                (reading.loss - expected).abs() < TOLERANCE,
                "{name}: {} {expected}",
                reading.loss
            );
        }
    }
}
