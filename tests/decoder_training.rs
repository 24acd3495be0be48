//! Decoders in training: losses and gradients against transformers and PyTorch
//! (`scripts/goldens_decoder_training.py` writes the goldens), and low-rank updates against themselves.

mod goldens;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use ee_models::arch::llama::{self, Llama, Loaded};
use ee_models::checkpoint::{ParameterNames, Precision};
use ee_models::layers::LoraConfig;
use ee_models::loss::{Objective, Pass, PassConfig, Targets, pass};
use ee_models::{Batch, ExitModel};
use serde::Deserialize;

use crate::goldens::{Padded, by_name, check_gradients, worst};

/// On losses of size 5.
const LOSS_TOLERANCE: f64 = 1e-5;
/// Relative to the largest gradient of the parameter.
const GRADIENT_TOLERANCE: f32 = 1e-4;

const MODELS: [&str; 3] = ["llama-tiny", "qwen2-tiny", "qwen3-tiny"];

#[derive(Deserialize)]
struct GoldenBatch {
    #[serde(flatten)]
    padded: Padded,
    /// Row, position and the token after it.
    targets: Vec<[usize; 3]>,
}

impl GoldenBatch {
    fn read(&self) -> (Batch, Targets) {
        let places = self.targets.iter().map(|[row, at, _]| row * self.padded.width() + at);
        let labels = self.targets.iter().map(|&[_, _, label]| label as u32);
        (self.padded.batch(), Targets::new(places.collect(), labels.collect()))
    }
}

#[derive(Deserialize)]
struct Golden {
    batch: GoldenBatch,
    exit_losses: Vec<f64>,
}

fn golden(name: &str) -> Golden {
    goldens::read(&format!("{name}/training.json"))
}

fn load(name: &str) -> Loaded {
    llama::load(&goldens::folder(name), Precision::F32, &Device::flex()).unwrap()
}

fn run(model: &Llama, golden: &Golden, objective: Objective) -> Pass {
    let (batch, targets) = golden.batch.read();
    let config = PassConfig {
        weights: objective.weights(golden.exit_losses.len()),
        watch: true,
        dropout: None,
        scale: 1.0,
        label_smoothing: 0.0,
        gradient_checkpointing: false,
    };
    pass(model, &batch, &targets, &config)
}

#[test]
fn losses_and_every_gradient() {
    for name in MODELS {
        let golden = golden(name);
        let loaded = load(name);
        let model = loaded.model.train();
        for (objective, file) in
            [(Objective::JOINT, "gradients-joint"), (Objective::FINAL, "gradients-final")]
        {
            let pass = run(&model, &golden, objective);
            for (exit, expected) in pass.exits.iter().zip(&golden.exit_losses) {
                let loss = exit.unwrap().loss;
                assert!((loss - expected).abs() < LOSS_TOLERANCE, "{name}: {loss} {expected}");
            }
            let found = by_name(&model, &loaded.names, pass.gradients);
            assert_eq!(found.len(), loaded.names.iter().count(), "{name}: all parameters");
            let file = format!("{name}/{file}.safetensors");
            check_gradients(&found, &file, GRADIENT_TOLERANCE, 1e-2);
        }
    }
}

fn lora(targets: &[&str]) -> LoraConfig {
    let targets = targets.iter().map(|&target| target.to_owned()).collect();
    LoraConfig { rank: 3, alpha: 6.0, targets, seed: 1 }
}

/// Moves every trained parameter, so that no update is zero any more.
struct Shake;

impl burn::module::ModuleMapper for Shake {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        param.map(|tensor| {
            let [n] = tensor.clone().inner().flatten::<1>(0, -1).dims();
            let steps =
                Tensor::<1, burn::tensor::Int>::arange(0..n as i64, &tensor.device().inner());
            let moves = (steps.float() * 0.7).sin().reshape(tensor.dims()) * 0.1;
            (tensor.inner() + moves).autodiff().require_grad()
        })
    }
}

#[test]
fn low_rank_updates_alone_are_learned() {
    for name in MODELS {
        let golden = golden(name);
        let Loaded { model, mut names, .. } = load(name);
        let (batch, _) = golden.batch.read();
        let before = model.exit_logits(&batch).into_data();
        let all = lora(&["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]);
        let model = model.add_lora(&all, &mut names).unwrap().train();
        assert_eq!(model.valid().exit_logits(&batch).into_data(), before, "B starts at zero");
        let model = model.map(&mut Shake);
        let unmerged: Vec<f32> =
            model.valid().exit_logits(&batch).into_data().try_into_vec().unwrap();
        let merged = model.merge_lora().exit_logits(&batch).into_data().try_into_vec().unwrap();
        assert!(worst(&unmerged, &merged) < 1e-4, "{}", worst(&unmerged, &merged));
        assert!(worst(&unmerged, &before.try_into_vec().unwrap()) > 1e-2, "shaken");
        let found = by_name(&model, &names, run(&model, &golden, Objective::JOINT).gradients);
        let layers = model.n_layers();
        assert_eq!(found.len(), layers * 5 * 2, "A and B of five projections of each layer");
        assert!(found.keys().all(|name| name.contains("lora_")), "{:?}", found.keys());
        assert!(found.contains_key("model.layers.1.self_attn.q_proj.lora_A.weight"));
    }
}

/// The gradient of the merged weight W is known from PyTorch's goldens' own test; with W = W₀ + s B A it is
/// that of A and B: dA = s Bᵀ dW, dB = s dW Aᵀ.
#[test]
fn gradients_of_low_rank_updates_are_those_of_the_merged_weight() {
    let golden = golden("llama-tiny");
    let Loaded { model, mut names, .. } = load("llama-tiny");
    let targets = ["k_proj", "up_proj"];
    let model = model.add_lora(&lora(&targets), &mut names).unwrap().train().map(&mut Shake);
    let found = by_name(&model, &names, run(&model, &golden, Objective::JOINT).gradients);
    let merged = model.merge_lora();
    let merged = merged.set_require_grad(true).train();
    let whole = by_name(&merged, &names, run(&merged, &golden, Objective::JOINT).gradients);
    let mut parameters = Parameters { names: &names, found: BTreeMap::new() };
    model.visit(&mut parameters);
    let device = Device::flex();
    let matrix = |values: &[f32], rows: usize| {
        let shape = [rows, values.len() / rows];
        Tensor::<2>::from_data(burn::tensor::TensorData::new(values.to_vec(), shape), &device)
    };
    for layer in 0..3 {
        for projection in ["self_attn.k_proj", "mlp.up_proj"] {
            let name = |part: &str| format!("model.layers.{layer}.{projection}.{part}");
            let (a, b) = (name("lora_A.weight"), name("lora_B.weight"));
            let outputs = parameters.found[&b].len() / 3;
            let of_weight = matrix(&whole[&name("weight")], outputs);
            let (down, up) =
                (matrix(&parameters.found[&a], 3), matrix(&parameters.found[&b], outputs));
            let of_down = up.transpose().matmul(of_weight.clone()) * 2.0;
            let of_up = of_weight.matmul(down.transpose()) * 2.0;
            for (name, expected) in [(a, of_down), (b, of_up)] {
                let expected: Vec<f32> = expected.into_data().try_into_vec().unwrap();
                let scale = expected.iter().fold(1e-3_f32, |a, b| a.max(b.abs()));
                assert!(worst(&found[&name], &expected) < 1e-4 * scale, "{name}");
            }
        }
    }
}

struct Parameters<'a> {
    names: &'a ParameterNames,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Parameters<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.names.get(param.id).unwrap().to_owned();
        let values = param.val().inner().into_data().try_into_vec().unwrap();
        self.found.insert(name, values);
    }
}

#[test]
fn frozen_halves_learn_by_their_updates() {
    for name in ["llama-tiny", "qwen3-tiny"] {
        let golden = golden(name);
        let loaded = llama::load(&goldens::folder(name), Precision::Bf16, &Device::flex()).unwrap();
        let mut names = loaded.names;
        let model = loaded.model.add_lora(&lora(&["q_proj"]), &mut names).unwrap().train();
        let found = by_name(&model, &names, run(&model, &golden, Objective::JOINT).gradients);
        assert_eq!(found.len(), 2 * model.n_layers());
        let of_b = &found["model.layers.0.self_attn.q_proj.lora_B.weight"];
        assert!(of_b.iter().any(|&g| g != 0.0) && of_b.iter().all(|g| g.is_finite()), "{name}");
    }
}

#[test]
fn a_target_that_is_no_layer_names_the_known_ones() {
    let Loaded { model, mut names, .. } = load("llama-tiny");
    let error = model.add_lora(&lora(&["q_proj", "query"]), &mut names).unwrap_err().to_string();
    assert!(error.contains("'query'") && error.contains("q_proj, k_proj"), "{error}");
}
