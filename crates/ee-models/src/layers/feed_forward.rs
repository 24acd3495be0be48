use burn::module::Module;
use burn::tensor::Tensor;

use super::Linear;
use crate::kernels::{self, Activation, FeedForwardParameters};

/// Two linear layers around an activation.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// d_model → inner
    pub up: Linear,
    /// inner → d_model
    pub down: Linear,
    #[module(skip)]
    activation: Activation,
}

impl FeedForward {
    /// Joins the two layers.
    pub fn new(up: Linear, down: Linear, activation: Activation) -> Self {
        Self { up, down, activation }
    }

    /// # Shapes
    /// `[rows, d_model]` → the same.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let parameters = FeedForwardParameters {
            up_weight: self.up.weight.val(),
            up_bias: self.up.bias.val(),
            down_weight: self.down.weight.val(),
            down_bias: self.down.bias.val(),
        };
        kernels::feed_forward(input, parameters, self.activation)
    }
}
