use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Initial, Scope};
use crate::kernels;

/// Root-mean-square norm, γ x / √(mean(x²) + ε) (Zhang & Sennrich 2019).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// γ, `[d_model]`
    pub weight: Param<Tensor<1>>,
    epsilon: f64,
}

impl RmsNorm {
    /// Takes `weight` from the scope.
    pub fn new(mut scope: Scope<'_>, d_model: usize, epsilon: f64) -> Self {
        Self { weight: scope.vector("weight", d_model, Initial::Ones), epsilon }
    }

    /// # Shapes
    /// `[rows, d_model]` → the same.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        kernels::rms_norm(input, self.weight.val(), self.epsilon)
    }

    /// The norm of each of a row's heads, which are as wide as γ.
    ///
    /// # Shapes
    /// `[rows, heads * d]` → the same.
    pub fn forward_heads(&self, input: Tensor<2>) -> Tensor<2> {
        let ([rows, columns], [d]) = (input.dims(), self.weight.dims());
        self.forward(input.reshape([rows * columns / d, d])).reshape([rows, columns])
    }

    /// The sum of both, and its norm.
    ///
    /// # Shapes
    /// `[rows, d_model]` → both the same.
    pub fn forward_sum(&self, input: Tensor<2>, residual: Tensor<2>) -> [Tensor<2>; 2] {
        kernels::add_rms_norm(input, residual, self.weight.val(), self.epsilon)
    }
}
