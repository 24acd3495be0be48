//! AdamW over a whole model: global-norm clipping, weight-decay groups, state under Hugging Face names.
//!
//! The model is mapped parameter by parameter. Each gradient is taken out of the backward pass's result,
//! used and dropped before the next one is touched, and parameter and moments are updated in place, so
//! that the peak of memory is that of the backward pass and not of the update. Biases and layer norms do
//! not decay, as in BERT's and Hugging Face's recipes, unless everything is to, as in fairseq's. The moments are kept on the parameter's device. A
//! parameter of 16 bits is recomputed at each step from an F32 copy, its master: small steps would be
//! lost in it.

use std::any::Any;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, Gradients, Tensor};
use ee_models::checkpoint::ParameterNames;
use ee_models::kernels::{self, AdamWTensors};
use serde::Serialize;

/// The numbers of AdamW (Loshchilov & Hutter 2019) and of clipping.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AdamWConfig {
    /// The peak learning rate.
    pub learning_rate: f64,
    /// λ of parameters that decay.
    pub weight_decay: f64,
    /// Whether biases and norms decay, too, as fairseq's optimizers have it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub decay_all: bool,
    /// β₁
    pub beta_1: f64,
    /// β₂
    pub beta_2: f64,
    /// ε
    pub epsilon: f64,
    /// Gradients are scaled down to this global norm where they exceed it; 0 never clips.
    pub max_gradient_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            learning_rate: 2e-5,
            weight_decay: 0.01,
            decay_all: false,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            max_gradient_norm: 1.0,
        }
    }
}

/// m and v of one parameter, F32.
#[derive(Debug)]
pub(crate) struct Moments<const D: usize> {
    pub(crate) first: Tensor<D>,
    pub(crate) second: Tensor<D>,
    /// The parameter in F32, where it is of another format itself.
    pub(crate) master: Option<Tensor<D>>,
}

impl<const D: usize> Moments<D> {
    /// The same on a device; after a resumption they may be on another one.
    fn on(self, device: &Device) -> Self {
        let Self { first, second, master } = self;
        Self {
            first: first.to_device(device),
            second: second.to_device(device),
            master: master.map(|master| master.to_device(device)),
        }
    }

    /// Those of a parameter that was never updated.
    fn new(parameter: &Tensor<D>) -> Self {
        let is_f32 = parameter.dtype() == DType::F32;
        let master = (!is_f32).then(|| parameter.clone().cast(DType::F32));
        let zeros = master.as_ref().unwrap_or(parameter).zeros_like();
        Self { first: zeros.clone(), second: zeros.zeros_like(), master }
    }
}

/// AdamW with the moments of every parameter it has updated.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    /// A `Moments<D>` per parameter; D is known where the module is visited.
    moments: HashMap<ParamId, Box<dyn Any + Send>>,
    steps: u64,
}

impl AdamW {
    /// An optimizer that has made no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: HashMap::new(), steps: 0 }
    }

    /// Number of steps made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The factor that clips gradients of this global norm: min(1, limit / (norm + 10⁻⁶)), as
    /// `torch.nn.utils.clip_grad_norm_`.
    pub fn clipping(&self, norm: f64) -> f64 {
        let limit = self.config.max_gradient_norm;
        if limit > 0.0 { (limit / (norm + 1e-6)).min(1.0) } else { 1.0 }
    }

    /// Counts a further step, whose updates follow.
    pub fn begin_step(&mut self) {
        self.steps += 1;
    }

    /// Updates every parameter that has a gradient; the gradients are used up.
    pub fn update<M: Module>(
        &mut self,
        model: M,
        gradients: Gradients,
        names: &ParameterNames,
        learning_rate: f64,
        gradient_scale: f64,
    ) -> M {
        let AdamWConfig { weight_decay, beta_1, beta_2, epsilon, .. } = self.config;
        let numbers = kernels::AdamW {
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
            step: self.steps,
            gradient_scale: gradient_scale as f32,
        };
        model.map(&mut Update { optimizer: self, gradients, names, numbers })
    }

    /// Continues from saved moments after this many steps.
    pub(crate) fn restore(&mut self, steps: u64, moments: HashMap<ParamId, Box<dyn Any + Send>>) {
        self.steps = steps;
        self.moments = moments;
    }

    /// The moments of a parameter, absent before its first update.
    pub(crate) fn moments<const D: usize>(&self, id: ParamId) -> Option<&Moments<D>> {
        self.moments.get(&id)?.downcast_ref()
    }
}

/// Whether a parameter of this name decays: weights do, biases and norms do not.
pub fn decays(name: &str) -> bool {
    !(name.ends_with("bias") || name.to_ascii_lowercase().contains("norm"))
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    gradients: Gradients,
    names: &'a ParameterNames,
    numbers: kernels::AdamW,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tracked, mapper) = param.consume();
        let Some(gradient) = tracked.grad_remove(&mut self.gradients) else {
            return Param::from_mapped_value(id, tracked, mapper);
        };
        let name = self.names.get(id).expect("every parameter of the model has a name");
        let decays = self.optimizer.config.decay_all || decays(name);
        let weight_decay = if decays { self.numbers.weight_decay } else { 0.0 };
        let (parameter, numbers) =
            (tracked.inner(), kernels::AdamW { weight_decay, ..self.numbers });
        let moments = match self.optimizer.moments.remove(&id) {
            Some(moments) => {
                let moments: Box<Moments<D>> = moments.downcast().expect("its rank stays");
                moments.on(&parameter.device())
            }
            None => Moments::new(&parameter),
        };
        let (updated, moments) = update(parameter, moments, gradient, numbers);
        self.optimizer.moments.insert(id, Box::new(moments));
        Param::from_mapped_value(id, Tensor::from_inner(updated).require_grad(), mapper)
    }
}

/// Updates a parameter, in place where it is the only handle.
fn update<const D: usize>(
    parameter: Tensor<D>,
    moments: Moments<D>,
    gradient: Tensor<D>,
    numbers: kernels::AdamW,
) -> (Tensor<D>, Moments<D>) {
    let Moments { first: first_moment, second: second_moment, master } = moments;
    let (dtype, has_master) = (parameter.dtype(), master.is_some());
    let gradient = if has_master { gradient.cast(DType::F32) } else { gradient };
    let parameter = match master {
        Some(master) => {
            drop(parameter);
            master
        }
        None => parameter,
    };
    let tensors = AdamWTensors { parameter, first_moment, second_moment };
    let AdamWTensors { parameter, first_moment: first, second_moment: second } =
        kernels::adamw(tensors, gradient, numbers);
    match has_master {
        true => {
            let rounded = parameter.clone().cast(dtype);
            (rounded, Moments { first, second, master: Some(parameter) })
        }
        false => (parameter, Moments { first, second, master: None }),
    }
}

/// √Σ g² over every parameter, in the order in which the module is visited (one host synchronisation
/// per parameter).
pub fn gradient_norm<M: Module>(model: &M, gradients: &Gradients) -> f64 {
    let mut norm = SumOfSquares { gradients, sum: 0.0 };
    model.visit(&mut norm);
    norm.sum.sqrt()
}

struct SumOfSquares<'a> {
    gradients: &'a Gradients,
    sum: f64,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.sum += kernels::sum_of_squares(&gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biases_and_norms_do_not_decay() {
        assert!(decays("bert.encoder.layer.0.attention.self.query.weight"));
        assert!(decays("bert.embeddings.word_embeddings.weight"));
        assert!(!decays("bert.encoder.layer.0.attention.self.query.bias"));
        assert!(!decays("bert.encoder.layer.0.output.LayerNorm.weight"));
        assert!(!decays("model.layers.0.input_layernorm.weight"));
        assert!(!decays("model.norm.weight"));
    }

    #[test]
    fn small_steps_add_up_in_the_master_of_a_rounded_parameter() {
        let device = Device::flex();
        let ones = Tensor::<1>::ones([2], (&device, DType::BF16));
        let gradient = Tensor::<1>::ones([2], &device);
        let mut state = (ones.clone(), Moments::new(&ones));
        for step in 1..=10 {
            let numbers = kernels::AdamW {
                learning_rate: 1e-3,
                beta_1: 0.9,
                beta_2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
                step,
                gradient_scale: 1.0,
            };
            state = update(state.0, state.1, gradient.clone(), numbers);
        }
        let values: Vec<f32> = state.0.clone().cast(DType::F32).into_data().iter().collect();
        // A step of 0.001 is less than half of bfloat16's distance of 1/256 below 1.
        assert_eq!(state.0.dtype(), DType::BF16);
        assert_eq!(values, [0.98828125; 2]);
        let master: Vec<f32> = state.1.master.unwrap().into_data().iter().collect();
        assert!((master[0] - 0.99).abs() < 1e-5, "{master:?}");
    }

    #[test]
    fn clipping_scales_down_and_never_up() {
        let config = AdamWConfig::default();
        let optimizer = AdamW::new(config);
        assert_eq!(optimizer.clipping(0.5), 1.0);
        assert!((optimizer.clipping(4.0) - 0.25).abs() < 1e-6);
        assert_eq!(AdamW::new(AdamWConfig { max_gradient_norm: 0.0, ..config }).clipping(9.0), 1.0);
    }
}
