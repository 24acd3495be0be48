use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};

use super::{Initial, ParameterSource};
use crate::kernels::{self, Rows, Weight};
use crate::parameters::{ParameterNames, RandomParameters};

/// How low-rank updates are made.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// r: rows of A.
    pub rank: usize,
    /// α; the update counts α / r.
    pub alpha: f64,
    /// The last parts of the names of the layers that get one, for example `q_proj`.
    pub targets: Vec<String>,
    /// From which A is drawn.
    pub seed: u64,
}

/// A low-rank update of a frozen weight, α / r · B A (Hu et al. 2021): A starts random, B at zero.
#[derive(Module, Debug)]
pub struct Lora {
    /// A, `[r, in]`
    pub down: Param<Tensor<2>>,
    /// B, `[out, r]`
    pub up: Param<Tensor<2>>,
    scale: f64,
}

impl Lora {
    /// The update of the layer called `layer`, whose weight is `[outputs, inputs]`; its parameters' names are
    /// PEFT's and go to `names`.
    pub(crate) fn new(
        layer: &str,
        [outputs, inputs]: [usize; 2],
        config: &LoraConfig,
        device: &Device,
        names: &mut ParameterNames,
    ) -> Self {
        // A x then varies as x does.
        let deviation = 1.0 / (inputs as f64).sqrt();
        let mut source = RandomParameters::new(config.seed, deviation, device.clone());
        let mut matrix = |part: &str, shape, initial| {
            source.matrix(&format!("{layer}.{part}.weight"), shape, initial)
        };
        let down = matrix("lora_A", [config.rank, inputs], Initial::Normal);
        let up = matrix("lora_B", [outputs, config.rank], Initial::Zeros);
        names.extend(source.into_names());
        Self { down, up, scale: config.alpha / config.rank as f64 }
    }

    /// What the update adds to the layer's output.
    ///
    /// # Shapes
    /// `[rows, in]` → `[rows, out]`.
    pub fn forward(&self, input: Tensor<2>, rows: Rows) -> Tensor<2> {
        let weight = |matrix: &Param<Tensor<2>>| Weight { matrix: matrix.val(), bias: None };
        let [low] = kernels::project(input, [weight(&self.down)], rows);
        let [update] = kernels::project(low * self.scale, [weight(&self.up)], rows);
        update
    }

    /// The weight with the update in it, in the weight's format.
    pub(super) fn merged(&self, weight: Tensor<2>) -> Tensor<2> {
        let dtype = weight.dtype();
        let update = self.up.val().inner().matmul(self.down.val().inner()) * self.scale;
        (weight.inner().cast(DType::F32) + update).cast(dtype)
    }
}
