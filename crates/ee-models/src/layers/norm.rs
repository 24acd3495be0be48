use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Initial, Scope};
use crate::kernels::{self, Dropout};

/// Layer normalization of a residual sum, LN(residual + dropout(x)): the step after every sub-layer of a
/// post-norm Transformer (Vaswani et al. 2017).
#[derive(Module, Debug)]
pub struct ResidualNorm {
    /// γ, `[d_model]`
    pub weight: Param<Tensor<1>>,
    /// β, `[d_model]`
    pub bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl ResidualNorm {
    /// Takes `weight` and `bias` from the scope.
    pub fn new(mut scope: Scope<'_>, d_model: usize, epsilon: f64) -> Self {
        Self {
            weight: scope.vector("weight", d_model, Initial::Ones),
            bias: scope.vector("bias", d_model, Initial::Zeros),
            epsilon,
        }
    }

    /// # Shapes
    /// `input` and `residual` `[rows, d_model]` → the same.
    pub fn forward(&self, input: Tensor<2>, residual: Tensor<2>, dropout: Dropout) -> Tensor<2> {
        let (gamma, beta) = (self.weight.val(), self.bias.val());
        kernels::residual_norm(input, residual, gamma, beta, self.epsilon, dropout)
    }
}
