//! Logistic regression by AdamW on batches of tokens, exit by exit or for all exits together.

use burn::tensor::{Int, Tensor, TensorData, activation};
use ee_models::kernels::{self, AdamWTensors};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::GateFlags;
use super::states::Observed;

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
    let mut weight = Parameter::new(Tensor::zeros([1, d_model], &device));
    // Most tokens agree at most exits: a gate that begins there only has to learn the exceptions.
    let mut bias = Parameter::new(Tensor::full([1, 1], log_odds(observed, exits), &device));
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

/// The log odds that a token of these exits agrees, one of each kind added to keep them finite.
fn log_odds(observed: &Observed, exits: &[usize]) -> f64 {
    let labels = || exits.iter().flat_map(|&exit| &observed.agrees[exit]);
    let agree: f64 = labels().map(|&label| f64::from(label)).sum();
    let differ = labels().count() as f64 - agree;
    ((agree + 1.0) / (differ + 1.0)).ln()
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

struct Parameter(AdamWTensors<2>);

impl Parameter {
    fn new(parameter: Tensor<2>) -> Self {
        let (first_moment, second_moment) = (parameter.zeros_like(), parameter.zeros_like());
        Self(AdamWTensors { parameter, first_moment, second_moment })
    }

    fn value(&self) -> Tensor<2> {
        self.0.parameter.clone()
    }

    fn step(self, gradient: Tensor<2>, numbers: kernels::AdamW) -> Self {
        Self(kernels::adamw(self.0, gradient, numbers))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_gate_begins_at_the_odds_of_agreeing() {
        let features = vec![Tensor::zeros([4, 2], &Device::flex()); 2];
        let agrees = vec![vec![1.0, 1.0, 1.0, 0.0], vec![0.0, 0.0, 0.0, 0.0]];
        let observed = Observed { features, agrees };
        assert_eq!(log_odds(&observed, &[0]), 2_f64.ln());
        assert_eq!(log_odds(&observed, &[1]), 0.2_f64.ln());
        assert_eq!(log_odds(&observed, &[0, 1]), (4.0_f64 / 6.0).ln());
    }
}
