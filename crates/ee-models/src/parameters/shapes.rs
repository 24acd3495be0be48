//! A model's parameters without their values, to count what a model would take.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor};

use super::{Initial, ParameterSource};

/// Records the parameters that a model asks for without filling them, so that a model of any size can be built.
#[derive(Debug, Default)]
pub struct ParameterShapes(Vec<(String, Vec<usize>)>);

impl ParameterShapes {
    /// Names and shapes in building order.
    pub fn into_inner(self) -> Vec<(String, Vec<usize>)> {
        self.0
    }

    fn note<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Param<Tensor<D>> {
        self.0.push((name.to_owned(), shape.to_vec()));
        let zeros = move |device: &Device, _: bool| Tensor::zeros(shape, device);
        Param::uninitialized(ParamId::new(), zeros, Device::flex(), false, Shape::from(shape))
    }
}

impl ParameterSource for ParameterShapes {
    fn matrix(&mut self, name: &str, shape: [usize; 2], _initial: Initial) -> Param<Tensor<2>> {
        self.note(name, shape)
    }

    fn vector(&mut self, name: &str, length: usize, _initial: Initial) -> Param<Tensor<1>> {
        self.note(name, [length])
    }
}
