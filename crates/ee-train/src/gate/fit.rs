//! Logistic regression by AdamW on batches of tokens, exit by exit or for all exits together.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use ee_models::kernels::{self, AdamWTensors};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::GateFlags;
use super::states::Observed;

/// Tokens of one step.
const BATCH: usize = 256;

/// A fitted gate: a row per exit 1..=N, that of the last all zeros, or one for all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fitted {
    /// `[rows, d_model]`
    pub(super) weight: Vec<f32>,
    /// `[rows]`
    pub(super) bias: Vec<f32>,
}

impl Fitted {
    /// The row of an exit, counted from 0.
    pub(super) fn of(&self, exit: usize) -> (&[f32], f32) {
        let row = if self.bias.len() == 1 { 0 } else { exit };
        let d_model = self.weight.len() / self.bias.len();
        (&self.weight[row * d_model..(row + 1) * d_model], self.bias[row])
    }
}

/// Fits w and b of sigmoid(w · x + b) by the mean log loss.
pub(super) fn fit(observed: &Observed, flags: &GateFlags) -> Fitted {
    let exits: Vec<usize> = (0..observed.features.len()).collect();
    if flags.shared {
        let (weight, bias) = regression(observed, &exits, flags);
        return Fitted { weight, bias: vec![bias] };
    }
    let mut fitted = Fitted { weight: Vec::new(), bias: Vec::new() };
    for exit in exits {
        let (weight, bias) = regression(observed, &[exit], flags);
        fitted.weight.extend(weight);
        fitted.bias.push(bias);
    }
    let d_model = fitted.weight.len() / fitted.bias.len();
    fitted.weight.resize(fitted.weight.len() + d_model, 0.0);
    fitted.bias.push(0.0);
    fitted
}

/// One regression over the tokens of some exits.
fn regression(observed: &Observed, exits: &[usize], flags: &GateFlags) -> (Vec<f32>, f32) {
    let tokens = observed.tokens();
    let [_, d_model] = observed.features[0].dims();
    let device = observed.features[0].device();
    let zeros = || Parameter::zeros([1, d_model], &device);
    let (mut weight, mut bias) = (zeros(), Parameter::zeros([1, 1], &device));
    let mut order: Vec<(usize, usize)> =
        exits.iter().flat_map(|&exit| (0..tokens).map(move |token| (exit, token))).collect();
    let mut random = ChaCha8Rng::seed_from_u64(flags.seed);
    let total = flags.epochs * order.len().div_ceil(BATCH);
    let mut step = 0;
    for _ in 0..flags.epochs {
        order.shuffle(&mut random);
        for chunk in order.chunks(BATCH) {
            let (x, y) = batch(observed, exits, chunk);
            let z = x.clone().matmul(weight.value().transpose()) + bias.value();
            // d(mean log loss)/dz
            let slope = (activation::sigmoid(z) - y) / chunk.len() as f64;
            let falling = 1.0 - step as f64 / total as f64;
            step += 1;
            let numbers = |weight_decay| kernels::AdamW {
                learning_rate: flags.learning_rate * falling,
                beta_1: 0.9,
                beta_2: 0.999,
                epsilon: 1e-8,
                weight_decay,
                step: step as u64,
                gradient_scale: 1.0,
            };
            weight = weight.step(slope.clone().transpose().matmul(x), numbers(flags.weight_decay));
            bias = bias.step(slope.sum_dim(0), numbers(0.0));
        }
    }
    let numbers = |parameter: &Parameter| -> Vec<f32> {
        parameter.value().into_data().iter::<f32>().collect()
    };
    (numbers(&weight), numbers(&bias)[0])
}

/// Features `[n, d_model]` and labels `[n, 1]` of some tokens of some exits.
fn batch(observed: &Observed, exits: &[usize], chunk: &[(usize, usize)]) -> (Tensor<2>, Tensor<2>) {
    let device = observed.features[0].device();
    let (mut parts, mut labels) = (Vec::new(), Vec::new());
    for &exit in exits {
        let tokens = chunk.iter().filter(|(of, _)| *of == exit).map(|&(_, token)| token);
        let tokens: Vec<i64> = tokens.map(|token| token as i64).collect();
        if tokens.is_empty() {
            continue;
        }
        labels.extend(tokens.iter().map(|&token| observed.agrees[exit][token as usize]));
        let n = tokens.len();
        let tokens = Tensor::<1, Int>::from_data(TensorData::new(tokens, [n]), &device);
        parts.push(observed.features[exit].clone().select(0, tokens));
    }
    let n = labels.len();
    (Tensor::cat(parts, 0), Tensor::from_data(TensorData::new(labels, [n, 1]), &device))
}

/// A matrix with its moments.
struct Parameter(AdamWTensors<2>);

impl Parameter {
    fn zeros(shape: [usize; 2], device: &Device) -> Self {
        let zeros = || Tensor::zeros(shape, device);
        Self(AdamWTensors { parameter: zeros(), first_moment: zeros(), second_moment: zeros() })
    }

    fn value(&self) -> Tensor<2> {
        self.0.parameter.clone()
    }

    fn step(self, gradient: Tensor<2>, numbers: kernels::AdamW) -> Self {
        Self(kernels::adamw(self.0, gradient, numbers))
    }
}
