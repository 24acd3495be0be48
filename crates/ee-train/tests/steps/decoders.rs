//! Optimizer steps of decoders against PyTorch (`scripts/goldens_decoder_training.py`).

use burn::module::Module;
use burn::tensor::Device;
use ee_models::arch::llama::{self, Llama, Loaded};
use ee_models::checkpoint::Precision;
use ee_models::kernels::{Rows, project};
use ee_models::loss::Targets;
use ee_models::{Batch, ExitModel};
use ee_train::optimizer::{AdamW, AdamWConfig};
use ee_train::step::{MicroBatch, step};
use serde::Deserialize;

use super::{GoldenRun, check_parts, folder, golden, joint};

const MODELS: [&str; 2] = ["llama-tiny", "qwen2-tiny"];

/// On losses of size 20 and logits of size 10 absolute, on gradient norms relative, over ten steps of a rate
/// that moves losses by ones: transformers in float64 differs from itself by up to 2.5e-5.
const TOLERANCE: f64 = 2e-4;

#[derive(Deserialize)]
struct GoldenBatch {
    input_ids: Vec<Vec<u32>>,
    attention_mask: Vec<Vec<usize>>,
    /// Row, position and the token after it.
    targets: Vec<[usize; 3]>,
}

impl GoldenBatch {
    /// Some of the rows, padded as they are.
    fn rows(&self, rows: std::ops::Range<usize>) -> MicroBatch {
        let width = self.input_ids[0].len();
        let masks = &self.attention_mask[rows.clone()];
        let lengths: Vec<usize> = masks.iter().map(|row| row.iter().sum()).collect();
        let ids = self.input_ids[rows.clone()].concat();
        let batch = Batch::new(ids, vec![0; width * rows.len()], lengths, width).unwrap();
        let targets = self.targets.iter().filter(|[row, ..]| rows.contains(row));
        let places = targets.clone().map(|[row, at, _]| (row - rows.start) * width + at).collect();
        let labels = targets.map(|&[_, _, label]| label as u32).collect();
        MicroBatch { batch, targets: Targets::new(places, labels) }
    }

    fn whole(&self) -> MicroBatch {
        self.rows(0..self.input_ids.len())
    }
}

#[derive(Deserialize)]
struct Golden {
    batch: GoldenBatch,
    training: GoldenTraining,
}

#[derive(Deserialize)]
struct GoldenTraining {
    betas: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
    batches: Vec<GoldenBatch>,
    constant: GoldenRun,
    clipped_cosine: GoldenRun,
}

fn load(name: &str) -> Loaded {
    let loaded = llama::load(&folder(name), Precision::F32, &Device::flex()).unwrap();
    Loaded { model: loaded.model.train(), ..loaded }
}

fn optimizer(training: &GoldenTraining, max_gradient_norm: f64) -> AdamW {
    AdamW::new(AdamWConfig {
        learning_rate: 1e-3,
        weight_decay: training.weight_decay,
        decay_all: false,
        beta_1: training.betas[0],
        beta_2: training.betas[1],
        epsilon: training.epsilon,
        max_gradient_norm,
    })
}

/// Logits of every exit at the targets.
fn logits(model: &Llama, MicroBatch { batch, targets }: &MicroBatch) -> Vec<f64> {
    let mut stream = model.embed(batch, None);
    (0..model.n_layers())
        .flat_map(|index| {
            stream = model.layer(index, stream.clone());
            let state = model.head_state(stream.select(targets.places()), None);
            let [logits] = project(state, [model.head_weight()], Rows::Many);
            logits.into_data().iter::<f64>().collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn ten_steps_as_pytorch_makes_them() {
    for name in MODELS {
        let golden: Golden = golden(name, "training.json");
        follow(name, &golden, &golden.training.constant, false);
        follow(name, &golden, &golden.training.clipped_cosine, true);
    }
}

fn follow(name: &str, golden: &Golden, run: &GoldenRun, gradient_checkpointing: bool) {
    let training = &golden.training;
    assert_eq!(training.batches.len(), 10);
    let Loaded { mut model, names, .. } = load(name);
    let mut optimizer = optimizer(training, run.max_grad_norm.unwrap_or(0.0));
    for (number, batch) in training.batches.iter().enumerate() {
        let config = joint(run.learning_rates[number], gradient_checkpointing);
        let report;
        (model, report) = step(model, &mut optimizer, &names, &[batch.whole()], &config).unwrap();
        run.check(number, &report, TOLERANCE);
    }
    run.check_logits(&logits(&model.valid(), &golden.batch.whole()), TOLERANCE);
}

#[test]
fn micro_batches_count_by_their_targets() {
    for name in MODELS {
        let golden: Golden = golden(name, "training.json");
        let report = |micro_batches: &[MicroBatch]| {
            let Loaded { model, names, .. } = load(name);
            let mut optimizer = optimizer(&golden.training, 0.0);
            let config = joint(1e-3, false);
            step(model, &mut optimizer, &names, micro_batches, &config).unwrap().1
        };
        let batch = &golden.batch;
        let whole = report(&[batch.whole()]);
        let prompts = MicroBatch { targets: Targets::new(Vec::new(), Vec::new()), ..batch.whole() };
        let parts = report(&[batch.rows(0..1), prompts, batch.rows(1..3), batch.rows(3..5)]);
        check_parts(&whole, &parts, 1e-5);
    }
}
