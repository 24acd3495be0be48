use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Initial, Lora, Scope};
use crate::kernels::{self, Rows, Weight};

/// y = x Wᵀ + b, with W laid out `[out, in]` as in Hugging Face checkpoints, in the format it was loaded in.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// A low-rank addition: what is learned where the rest is frozen.
    pub lora: Option<Lora>,
}

impl Linear {
    /// Takes `weight`, and `bias` where it has one, from the scope.
    pub fn new(scope: Scope<'_>, d_input: usize, d_output: usize, has_bias: bool) -> Self {
        Self::starting(scope, d_input, d_output, has_bias, Initial::Normal)
    }

    /// The same, whose new weight starts like this.
    pub fn starting(
        mut scope: Scope<'_>,
        d_input: usize,
        d_output: usize,
        has_bias: bool,
        initial: Initial,
    ) -> Self {
        Self {
            weight: scope.matrix("weight", [d_output, d_input], initial),
            bias: has_bias.then(|| scope.vector("bias", d_output, Initial::Zeros)),
            lora: None,
        }
    }

    /// The layer without its low-rank addition.
    pub fn weight(&self) -> Weight {
        Weight { matrix: self.weight.val(), bias: self.bias.as_ref().map(Param::val) }
    }

    /// # Shapes
    /// `[rows, in]` → `[rows, out]`.
    pub fn forward(&self, input: Tensor<2>, rows: Rows) -> Tensor<2> {
        let [output] = Self::forward_all([self], input, rows);
        output
    }

    /// The outputs of several layers for one input.
    ///
    /// # Shapes
    /// `[rows, in]` → `[rows, out]` each, with its own `out`.
    pub fn forward_all<const N: usize>(
        layers: [&Self; N],
        input: Tensor<2>,
        rows: Rows,
    ) -> [Tensor<2>; N] {
        let outputs = kernels::project(input.clone(), layers.map(Self::weight), rows);
        let mut layers = layers.into_iter();
        outputs.map(|output| match layers.next().and_then(|layer| layer.lora.as_ref()) {
            Some(lora) => output + lora.forward(input.clone(), rows),
            None => output,
        })
    }

    /// Puts the low-rank addition, if there is one, into the weight.
    pub fn merge_lora(&mut self) {
        if let Some(lora) = self.lora.take() {
            self.weight = self.weight.clone().map(|weight| lora.merged(weight));
        }
    }
}
