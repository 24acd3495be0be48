use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Initial, Lora, Scope};
use crate::kernels::{self, Rows, Weight};

/// y = x Wᵀ, with or without a bias, W in any format: the linear layer of decoders. A low-rank update may be
/// added to it.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// What is learned where the rest is frozen.
    pub lora: Option<Lora>,
}

impl Projection {
    /// Takes `weight`, and `bias` where it has one, from the scope.
    pub fn new(mut scope: Scope<'_>, d_input: usize, d_output: usize, has_bias: bool) -> Self {
        Self {
            weight: scope.matrix("weight", [d_output, d_input], Initial::Normal),
            bias: has_bias.then(|| scope.vector("bias", d_output, Initial::Zeros)),
            lora: None,
        }
    }

    /// For a product that several projections share; what it gives is to be [`Projection::adapted`].
    pub fn weight(&self) -> Weight {
        Weight { matrix: self.weight.val(), bias: self.bias.as_ref().map(Param::val) }
    }

    /// The output with the low-rank update, from the product of `input` with the weight alone.
    ///
    /// # Shapes
    /// `output` `[rows, out]`, `input` `[rows, in]` → `[rows, out]`.
    pub fn adapted(&self, output: Tensor<2>, input: &Tensor<2>, rows: Rows) -> Tensor<2> {
        match &self.lora {
            Some(lora) => output + lora.forward(input.clone(), rows),
            None => output,
        }
    }

    /// # Shapes
    /// `[rows, in]` → `[rows, out]`.
    pub fn forward(&self, input: Tensor<2>, rows: Rows) -> Tensor<2> {
        let [output] = kernels::project(input.clone(), [self.weight()], rows);
        self.adapted(output, &input, rows)
    }

    /// Puts the low-rank update, if there is one, into the weight.
    pub fn merge_lora(&mut self) {
        if let Some(lora) = self.lora.take() {
            self.weight = self.weight.clone().map(|weight| lora.merged(weight));
        }
    }
}
