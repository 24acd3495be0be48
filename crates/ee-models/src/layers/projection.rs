use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Initial, Scope};
use crate::kernels::{self, Rows, Weight};

/// y = x Wᵀ, with or without a bias, W in any format: the linear layer of decoders.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Projection {
    /// Takes `weight`, and `bias` where it has one, from the scope.
    pub fn new(mut scope: Scope<'_>, d_input: usize, d_output: usize, has_bias: bool) -> Self {
        Self {
            weight: scope.matrix("weight", [d_output, d_input], Initial::Normal),
            bias: has_bias.then(|| scope.vector("bias", d_output, Initial::Zeros)),
        }
    }

    /// For a product that several projections share.
    pub fn weight(&self) -> Weight {
        Weight { matrix: self.weight.val(), bias: self.bias.as_ref().map(Param::val) }
    }

    /// # Shapes
    /// `[rows, in]` → `[rows, out]`.
    pub fn forward(&self, input: Tensor<2>, rows: Rows) -> Tensor<2> {
        let [output] = kernels::project(input, [self.weight()], rows);
        output
    }
}
