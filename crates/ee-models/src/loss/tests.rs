//! Passes against the plain sum of the exits' losses, differentiated whole by Burn alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData, activation};

use super::pass::pass_in_chunks;
use super::*;
use crate::arch::llama::{self, Llama, Loaded};
use crate::checkpoint::{ParameterNames, Precision};
use crate::exit::ExitModel;
use crate::kernels::plain;

/// Relative to the largest gradient of the parameter.
const TOLERANCE: f32 = 1e-4;

/// An untied head, and a tied one with biases on queries, keys and values.
const MODELS: [&str; 2] = ["llama-tiny", "qwen2-tiny"];

fn load(name: &str) -> Loaded {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden"));
    let device = Device::flex();
    let loaded = llama::load(&folder.join(name), Precision::F32, &device).unwrap();
    Loaded { model: loaded.model.train(), ..loaded }
}

/// Three rows of 9, 5 and 2 tokens; every token but the first ones of a row is predicted.
fn data() -> (Batch, Targets) {
    let ids: Vec<u32> = (0..27).map(|at| (at * 31 + 5) % 90).collect();
    let batch = Batch::new(ids, vec![0; 27], vec![9, 5, 2], 9).unwrap();
    let places = vec![2, 3, 4, 5, 6, 7, 10, 11, 12, 18];
    let labels = (0..10).map(|at| (at * 17 + 3) % 90).collect();
    (batch, Targets::new(places, labels))
}

fn config(weights: Vec<f64>, checkpointing: bool) -> PassConfig {
    PassConfig {
        weights,
        watch: false,
        dropout: None,
        scale: 0.7,
        label_smoothing: 0.0,
        gradient_checkpointing: checkpointing,
    }
}

struct ByName<'a> {
    gradients: Gradients,
    names: &'a ParameterNames,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for ByName<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(&mut self.gradients) {
            let name = self.names.get(param.id).unwrap().to_owned();
            self.found.insert(name, gradient.into_data().try_into_vec().unwrap());
        }
    }
}

fn by_name(loaded: &Loaded, gradients: Gradients) -> BTreeMap<String, Vec<f32>> {
    let mut visitor = ByName { gradients, names: &loaded.names, found: BTreeMap::new() };
    loaded.model.visit(&mut visitor);
    visitor.found
}

/// 0.7 · Σ weight · loss as one graph, and the losses.
fn naive(
    model: &Llama,
    batch: &Batch,
    targets: &Targets,
    weights: &[f64],
) -> (Gradients, Vec<f64>) {
    let mut stream = model.embed(batch, None);
    let n = targets.len();
    let gold: Vec<i64> = targets.labels().iter().map(|&label| i64::from(label)).collect();
    let gold = Tensor::<2, Int>::from_data(TensorData::new(gold, [n, 1]), &model.device());
    let (mut total, mut losses) = (None, Vec::new());
    for (index, &weight) in weights.iter().enumerate() {
        stream = model.layer(index, stream);
        let state = model.head_state(stream.select(targets.places()), None);
        let [logits] = plain::project(state, [model.head_weight()]);
        let loss = -activation::log_softmax(logits, 1).gather(1, gold.clone()).mean();
        losses.push(loss.clone().into_scalar::<f64>());
        let term = loss * (0.7 * weight);
        total = Some(match total {
            Some(total) => total + term,
            None => term,
        });
    }
    (total.unwrap().backward(), losses)
}

#[track_caller]
fn assert_same(
    what: &str,
    found: &BTreeMap<String, Vec<f32>>,
    expected: &BTreeMap<String, Vec<f32>>,
) {
    for (name, expected) in expected {
        let scale = expected.iter().fold(1e-4_f32, |a, b| a.max(b.abs()));
        let Some(found) = found.get(name) else {
            assert!(expected.iter().all(|&g| g == 0.0), "{what}: no gradient of {name}");
            continue;
        };
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= TOLERANCE * scale, "{what}, {name}: {worst} of {scale}");
    }
    assert!(found.keys().all(|name| expected.contains_key(name)), "{what}: one too many");
}

#[test]
fn gradients_equal_those_of_the_plain_sum() {
    for name in MODELS {
        let loaded = load(name);
        let (batch, targets) = data();
        for weights in [vec![1.0, 1.0, 1.0], vec![0.0, 0.0, 1.0], vec![0.5, 0.0, 2.0]] {
            let (expected, losses) = naive(&loaded.model, &batch, &targets, &weights);
            let expected = by_name(&loaded, expected);
            for checkpointing in [false, true] {
                // All logits at once, four rows of them, and one.
                for logits in [1 << 20, 4 * 101 * 4, 1] {
                    let config = config(weights.clone(), checkpointing);
                    let model = &loaded.model;
                    let pass = pass_in_chunks(model, &batch, &targets, &config, None, logits);
                    let what = format!("{name} {weights:?} {checkpointing:?} {logits}");
                    for ((exit, weight), loss) in pass.exits.iter().zip(&weights).zip(&losses) {
                        assert_eq!(exit.is_some(), *weight != 0.0, "{what}");
                        assert!(exit.is_none_or(|exit| (exit.loss - loss).abs() < 1e-5), "{what}");
                    }
                    assert_same(&what, &by_name(&loaded, pass.gradients), &expected);
                }
            }
        }
    }
}

#[test]
fn passes_add_up() {
    let loaded = load("qwen2-tiny");
    let (batch, targets) = data();
    let config = config(vec![1.0; 3], false);
    let once = by_name(&loaded, pass(&loaded.model, &batch, &targets, &config).gradients);
    let first = pass(&loaded.model, &batch, &targets, &config).gradients;
    let twice = pass_onto(&loaded.model, &batch, &targets, &config, Some(first)).gradients;
    let expected = once
        .into_iter()
        .map(|(name, gradient)| (name, gradient.into_iter().map(|value| 2.0 * value).collect()));
    assert_same("two passes", &by_name(&loaded, twice), &expected.collect());
}

#[test]
fn layers_above_the_deepest_exit_that_counts_are_left_alone() {
    let loaded = load("llama-tiny");
    let (batch, targets) = data();
    let config = config(vec![0.0, 1.0, 0.0], false);
    let pass = pass(&loaded.model, &batch, &targets, &config);
    assert!(pass.exits[0].is_none() && pass.exits[1].is_some() && pass.exits[2].is_none());
    let found = by_name(&loaded, pass.gradients);
    let layer = |index: usize| format!("model.layers.{index}.mlp.down_proj.weight");
    assert!(found[&layer(1)].iter().any(|&g| g != 0.0) && !found.contains_key(&layer(2)));
}

#[test]
fn watching_and_evaluating_read_what_training_reads() {
    let loaded = load("llama-tiny");
    let (batch, targets) = data();
    let joint = config(vec![1.0; 3], false);
    let watching = PassConfig { watch: true, ..config(vec![0.0, 0.0, 1.0], true) };
    let read = |config: &PassConfig| -> Vec<ExitReading> {
        let exits = pass(&loaded.model, &batch, &targets, config).exits;
        exits.into_iter().map(Option::unwrap).collect()
    };
    let joint = read(&joint);
    assert_eq!(read(&watching), joint);
    assert_eq!(evaluate(&loaded.model.valid(), &batch, &targets), joint);
}
