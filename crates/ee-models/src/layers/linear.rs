use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Initial, Scope};
use crate::kernels;

/// y = x Wᵀ + b, with W laid out `[out, in]` as in Hugging Face checkpoints.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// Takes `weight` and `bias` from the scope.
    pub fn new(mut scope: Scope<'_>, d_input: usize, d_output: usize) -> Self {
        Self {
            weight: scope.matrix("weight", [d_output, d_input], Initial::Normal),
            bias: scope.vector("bias", d_output, Initial::Zeros),
        }
    }

    /// # Shapes
    /// `[rows, in]` → `[rows, out]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        kernels::linear(input, self.weight.val(), self.bias.val())
    }
}
