//! Optimizer steps against PyTorch, and gradient accumulation against the whole batch.

mod decoders;
#[path = "../../../../tests/goldens/encoder_decoders.rs"]
mod encoder_decoders;
mod seq2seq;

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use ee_models::arch::bert::{self, Encoder, Head, Loaded};
use ee_models::loss::{Objective, Targets};
use ee_models::{Batch, ExitModel};
use ee_train::optimizer::{AdamW, AdamWConfig};
use ee_train::schedule::{Schedule, ScheduleKind};
use ee_train::step::{MicroBatch, NotFinite, StepConfig, StepReport, step};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const FAMILIES: [&str; 2] = ["bert-tiny", "roberta-tiny"];
const GOLDEN: &str = "golden.json";

/// On losses and logits absolute, on gradient norms relative, over ten steps; the worst measured is 5e-7.
/// Leaving out weight decay alone changes logits by more than this.
const TOLERANCE: f64 = 1e-5;

const CONFIG: AdamWConfig = AdamWConfig {
    learning_rate: 1e-3,
    weight_decay: 0.01,
    decay_all: false,
    beta_1: 0.9,
    beta_2: 0.999,
    epsilon: 1e-8,
    max_gradient_norm: 0.0,
};

#[derive(Deserialize)]
struct GoldenBatch {
    input_ids: Vec<Vec<u32>>,
    attention_mask: Vec<Vec<usize>>,
    token_type_ids: Option<Vec<Vec<u32>>>,
    labels: Vec<usize>,
}

impl GoldenBatch {
    fn micro_batch(&self) -> MicroBatch {
        let width = self.input_ids[0].len();
        let lengths: Vec<usize> = self.attention_mask.iter().map(|row| row.iter().sum()).collect();
        let types = match &self.token_type_ids {
            Some(types) => types.concat(),
            None => vec![0; width * lengths.len()],
        };
        let batch = Batch::new(self.input_ids.concat(), types, lengths, width).unwrap();
        let targets = Targets::first_positions(&batch, &self.labels);
        MicroBatch { batch, targets }
    }

    /// Some of the rows, padded as they are.
    fn rows(&self, rows: std::ops::Range<usize>) -> MicroBatch {
        let part = Self {
            input_ids: self.input_ids[rows.clone()].to_vec(),
            attention_mask: self.attention_mask[rows.clone()].to_vec(),
            token_type_ids: self.token_type_ids.as_ref().map(|types| types[rows.clone()].to_vec()),
            labels: self.labels[rows].to_vec(),
        };
        part.micro_batch()
    }
}

#[derive(Deserialize)]
struct Golden {
    batch: GoldenBatch,
    training: GoldenTraining,
}

#[derive(Deserialize)]
struct GoldenTraining {
    batches: Vec<GoldenBatch>,
    constant: GoldenRun,
    clipped_linear: GoldenRun,
}

/// What PyTorch found.
#[derive(Deserialize)]
struct GoldenRun {
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
    learning_rates: Vec<f64>,
    /// `[exit][row][label]`, of decoders `[exit][target][token]`
    logits_after: Vec<Vec<Vec<f64>>>,
    max_grad_norm: Option<f64>,
    warmup_steps: Option<u64>,
}

impl GoldenRun {
    /// Compares a step with PyTorch's.
    fn check(&self, number: usize, report: &StepReport, tolerance: f64) {
        let (loss, norm) = (self.losses[number], self.gradient_norms[number]);
        assert!((report.loss - loss).abs() < tolerance, "{number}: {} {loss}", report.loss);
        let relative = (report.gradient_norm - norm).abs() / norm;
        assert!(relative < tolerance, "{number}: {} {norm}", report.gradient_norm);
    }

    /// Compares the logits after all steps.
    fn check_logits(&self, found: &[f64], tolerance: f64) {
        let expected = self.logits_after.concat().concat();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < tolerance, "{found} {expected}");
        }
    }
}

/// Compares a step in micro-batches with the same in one.
fn check_parts(whole: &StepReport, parts: &StepReport, tolerance: f64) {
    assert_eq!(parts.targets, whole.targets);
    assert!((parts.loss - whole.loss).abs() < tolerance, "{} {}", parts.loss, whole.loss);
    let relative = (parts.gradient_norm / whole.gradient_norm - 1.0).abs();
    assert!(relative < 1e-5, "{relative}");
    for (whole, parts) in whole.exits.iter().zip(&parts.exits) {
        let (whole, parts) = (whole.unwrap(), parts.unwrap());
        assert!((whole.loss - parts.loss).abs() < tolerance);
        assert!((whole.accuracy - parts.accuracy).abs() < 1e-12);
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

fn golden<T: DeserializeOwned>(name: &str, file: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(folder(name).join(file)).unwrap()).unwrap()
}

fn load(name: &str) -> Loaded {
    let loaded = bert::load(&folder(name), &Head::Required, &Device::flex()).unwrap();
    Loaded { model: loaded.model.train(), ..loaded }
}

fn joint(learning_rate: f64, gradient_checkpointing: bool) -> StepConfig {
    StepConfig {
        weights: Objective::JOINT.weights(3),
        watch: false,
        label_smoothing: 0.0,
        gradient_checkpointing,
        learning_rate,
        dropout: None,
    }
}

#[test]
fn ten_steps_as_pytorch_makes_them() {
    for name in FAMILIES {
        let golden: Golden = golden(name, GOLDEN);
        follow(name, &golden, &golden.training.constant);
        follow(name, &golden, &golden.training.clipped_linear);
    }
}

fn follow(name: &str, golden: &Golden, run: &GoldenRun) {
    let batches = &golden.training.batches;
    let Loaded { mut model, names, .. } = load(name);
    let kind =
        if run.warmup_steps.is_some() { ScheduleKind::Linear } else { ScheduleKind::Constant };
    let warm_up = run.warmup_steps.unwrap_or(0);
    let schedule = Schedule { kind, start: 0.0, warm_up, total: batches.len() as u64 };
    let max_gradient_norm = run.max_grad_norm.unwrap_or(0.0);
    let mut optimizer = AdamW::new(AdamWConfig { max_gradient_norm, ..CONFIG });
    assert_eq!(batches.len(), 10);
    for (number, batch) in batches.iter().enumerate() {
        let rate = CONFIG.learning_rate * schedule.factor(number as u64);
        assert!((rate - run.learning_rates[number]).abs() < 1e-12);
        let report;
        (model, report) =
            step(model, &mut optimizer, &names, &[batch.micro_batch()], &joint(rate, false))
                .unwrap();
        run.check(number, &report, TOLERANCE);
    }
    let logits = model.valid().exit_logits(&golden.batch.micro_batch().batch).into_data();
    run.check_logits(&logits.iter::<f64>().collect::<Vec<_>>(), TOLERANCE);
}

#[test]
fn accumulated_gradients_are_those_of_the_whole_batch() {
    for name in FAMILIES {
        let golden = golden::<Golden>(name, GOLDEN).batch;
        let whole = [golden.micro_batch()];
        let parts = [golden.rows(0..3), golden.rows(3..4), golden.rows(4..6)];
        let after = |micro_batches: &[MicroBatch]| {
            let Loaded { model, names, .. } = load(name);
            let mut optimizer = AdamW::new(CONFIG);
            step(model, &mut optimizer, &names, micro_batches, &joint(1e-3, false)).unwrap()
        };
        let ((whole, whole_report), (parts, parts_report)) = (after(&whole), after(&parts));
        assert_eq!(parts_report.rows, 6);
        check_parts(&whole_report, &parts_report, 1e-6);
        // The first step of AdamW moves each weight by the sign of its gradient: where the gradient is
        // next to zero its rounding decides, so nearly all weights agree, not all.
        let (whole, parts) = (weights(&whole), weights(&parts));
        let differ = whole.iter().zip(&parts).filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
        assert!(differ * 100 < whole.len(), "{name}: {differ} of {}", whole.len());
    }
}

#[test]
fn a_loss_that_is_no_number_changes_nothing() {
    let golden = golden::<Golden>("bert-tiny", GOLDEN).batch;
    let Loaded { model, names, .. } = load("bert-tiny");
    let model = model.map(&mut Poison);
    let mut optimizer = AdamW::new(CONFIG);
    let result = step(model, &mut optimizer, &names, &[golden.micro_batch()], &joint(1e-3, false));
    let NotFinite { what, value } = result.map(|_| ()).unwrap_err();
    assert!(what == "the loss" && value.is_nan());
    assert_eq!(optimizer.steps(), 0);
}

/// Makes every parameter infinite.
struct Poison;

impl burn::module::ModuleMapper for Poison {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| (tensor.inner() * f32::INFINITY).autodiff().require_grad())
    }
}

fn weights(model: &Encoder) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().inner().into_data().iter::<f32>());
        }
    }
    let mut collect = Collect(Vec::new());
    model.visit(&mut collect);
    collect.0
}
