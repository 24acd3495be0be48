//! A learned gate: one linear layer on a state says whether the exit's answer is the last one's (CALM's
//! meta-classifier; BERxiT's learning to exit).
//!
//! What it reads of a state is [`features`], here and wherever a gate is fitted. It costs d numbers per
//! exit where the head costs d for each entry of the vocabulary.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::Weights;
use crate::error::{Error, Result};
use crate::kernels::{self, Rows, Weight};

/// What a gate's file is called in a checkpoint's folder.
pub const GATE_FILE: &str = "gate.safetensors";

/// Keeps features finite for a state of zeros.
const EPSILON: f64 = 1e-6;

/// What a learned gate reads of a state: h / √(mean(h²) + 10⁻⁶), the state at the size of one per number,
/// without the scale of any norm: deep states are larger than shallow ones, which a gate shared by all exits
/// should not see.
///
/// # Shapes
/// `[rows, d_model]` → the same.
pub fn features(state: Tensor<2>) -> Tensor<2> {
    let [_, d_model] = state.dims();
    let ones = Tensor::ones([d_model], &state.device());
    kernels::rms_norm(state, ones, EPSILON)
}

/// Weights and biases of the exits 1..=N, or of all exits at once.
#[derive(Clone, Debug)]
pub struct LinearGate {
    /// `[exits, d_model]` or `[1, d_model]`
    weight: Tensor<2>,
    /// As many as the weight has rows.
    bias: Vec<f32>,
}

impl LinearGate {
    /// A gate of some numbers.
    ///
    /// # Shapes
    /// `weight` `[exits, d_model]` or `[1, d_model]`, `bias` as many as the weight has rows.
    ///
    /// # Panics
    /// When the sizes disagree.
    pub fn new(weight: Tensor<2>, bias: Vec<f32>) -> Self {
        assert_eq!(weight.dims()[0], bias.len(), "a bias per row of the weight");
        Self { weight, bias }
    }

    /// Reads `weight` and `bias` of a safetensors file, for a model of `n_exits` exits and width `d_model`.
    ///
    /// # Errors
    /// When the file is absent or broken, or its tensors are of other sizes.
    pub fn read(path: &Path, n_exits: usize, d_model: usize, device: &Device) -> Result<Self> {
        let weights = Weights::open_file(path)?;
        let shape = |name| weights.shape(name).unwrap_or_default().to_vec();
        let (weight, bias) = (shape("weight"), shape("bias"));
        let rows = bias.first().copied().unwrap_or(0);
        if weight != [rows, d_model] || bias.len() != 1 || (rows != n_exits && rows != 1) {
            return Err(Error::Weights {
                path: path.to_owned(),
                complaint: format!(
                    "a gate of this model needs 'weight' [{n_exits}, {d_model}] and 'bias' \
                     [{n_exits}], or [1, {d_model}] and [1], found {weight:?} and {bias:?}"
                ),
            });
        }
        let data = TensorData::new(weights.values("weight")?, [rows, d_model]);
        Ok(Self::new(Tensor::from_data(data, device), weights.values("bias")?))
    }

    /// sigmoid(w · [`features`] + b) of states at an exit, from 1 (one host synchronisation).
    ///
    /// # Shapes
    /// `state` `[rows, d_model]`
    pub fn probabilities(&self, exit: usize, state: Tensor<2>) -> Vec<f32> {
        let row = if self.bias.len() == 1 { 0 } else { exit - 1 };
        let weight = Weight { matrix: self.weight.clone().narrow(0, row, 1), bias: None };
        let [logits] = kernels::project(features(state), [weight], Rows::Few);
        let logits: Vec<f32> = logits.into_data().try_into_vec_as().expect("logits are numbers");
        logits.iter().map(|logit| 1.0 / (1.0 + (-(logit + self.bias[row])).exp())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_forget_the_size_of_a_state() {
        let device = Device::flex();
        let state = Tensor::<2>::from_data([[3.0, -4.0], [30.0, -40.0], [0.0, 0.0]], &device);
        let found: Vec<f32> = features(state).into_data().try_into_vec().unwrap();
        // √(25 / 2) = 3.5355
        for (found, expected) in found.iter().zip([0.8485, -1.1314, 0.8485, -1.1314, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-4, "{found}");
        }
    }

    #[test]
    fn exits_have_their_own_rows_or_share_one() {
        let device = Device::flex();
        let state = || Tensor::<2>::from_data([[3.0, 3.0], [-3.0, -3.0]], &device);
        let weight = || Tensor::<2>::from_data([[0.0, 0.0], [1.0, 0.0]], &device);
        let gate = LinearGate::new(weight(), vec![0.0, 1.0]);
        assert_eq!(gate.probabilities(1, state()), [0.5, 0.5]);
        // The features are 1 and −1: sigmoid(2) and sigmoid(0).
        let second = gate.probabilities(2, state());
        assert!((second[0] - 0.8808).abs() < 1e-4 && (second[1] - 0.5).abs() < 1e-6);
        let shared = LinearGate::new(weight().narrow(0, 1, 1), vec![1.0]);
        assert_eq!(shared.probabilities(7, state()), second);
    }

    #[test]
    fn files_of_other_sizes_are_refused() {
        use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(GATE_FILE);
        let bytes = [0_u8; 4 * 6];
        let view = |shape: &[usize]| {
            let n: usize = shape.iter().product();
            TensorView::new(Dtype::F32, shape.to_vec(), &bytes[..4 * n]).unwrap()
        };
        let write = |weight: &[usize], bias: &[usize]| {
            let tensors = [("weight", view(weight)), ("bias", view(bias))];
            serialize_to_file(tensors, None, &path).unwrap();
        };
        let read = || LinearGate::read(&path, 3, 2, &Device::flex());
        for (weight, bias) in [([3, 2], [3]), ([1, 2], [1])] {
            write(&weight, &bias);
            assert_eq!(
                read().unwrap().probabilities(3, Tensor::ones([1, 2], &Device::flex())),
                [0.5]
            );
        }
        for (weight, bias) in [([2, 2], [2]), ([3, 1], [3]), ([3, 2], [1])] {
            write(&weight, &bias);
            let error = read().unwrap_err().to_string();
            assert!(error.contains("[3, 2]") && error.contains(GATE_FILE), "{error}");
        }
    }
}
