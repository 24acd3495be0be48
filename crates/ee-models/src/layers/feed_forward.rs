use burn::module::Module;
use burn::tensor::Tensor;

use super::Linear;
use crate::kernels::{self, Activation};

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
    ///
    /// # Panics
    /// When a layer has a low-rank addition, which the one operation of both has no room for.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let plain = self.up.lora.is_none() && self.down.lora.is_none();
        assert!(plain, "a feed-forward network without low-rank additions");
        kernels::feed_forward(input, self.up.weight(), self.down.weight(), self.activation)
    }
}
