use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::cpu;
use super::{Operation, apply, dims, input, primitive, values};

/// See [`crate::kernels::linear`].
pub(in crate::kernels) fn linear(
    state: &Tensor<2>,
    weight: &Tensor<2>,
    bias: &Tensor<1>,
) -> Option<Tensor<2>> {
    apply(Linear, [input(state), input(weight), input(bias)])
}

#[derive(Debug)]
struct Linear;

impl Operation<3> for Linear {
    type Saved = [FlexTensor; 2];

    fn forward(&self, [state, weight, bias]: [FlexTensor; 3]) -> (FlexTensor, Self::Saved) {
        let output = forward(&state, &weight, &bias);
        (output, [state, weight])
    }

    fn backward(
        self,
        [state, weight]: Self::Saved,
        gradient: &[f32],
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        backward(&state, &weight, gradient, wanted)
    }
}

pub(super) fn forward(state: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> FlexTensor {
    let [rows, d_input] = dims(state);
    let [d_output, _] = dims(weight);
    let shape = cpu::LinearShape { rows, inputs: d_input, outputs: d_output };
    let mut output = vec![0.0; rows * d_output];
    cpu::linear_forward(shape, values(state), values(weight), Some(values(bias)), &mut output);
    primitive(output, [rows, d_output])
}

/// Gradients of state, weight and bias.
pub(super) fn backward(
    state: &FlexTensor,
    weight: &FlexTensor,
    gradient: &[f32],
    wanted: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let [rows, d_input] = dims(state);
    let [d_output, _] = dims(weight);
    let shape = cpu::LinearShape { rows, inputs: d_input, outputs: d_output };
    let of_state = wanted[0].then(|| {
        let mut result = vec![0.0; rows * d_input];
        cpu::linear_backward_input(shape, gradient, values(weight), false, &mut result);
        primitive(result, [rows, d_input])
    });
    let of_weight = wanted[1].then(|| {
        let mut result = vec![0.0; d_output * d_input];
        cpu::linear_backward_weight(shape, gradient, values(state), false, &mut result);
        primitive(result, [d_output, d_input])
    });
    let of_bias = wanted[2].then(|| {
        let mut result = vec![0.0; d_output];
        cpu::bias_backward(gradient, &mut result);
        primitive(result, [d_output])
    });
    [of_state, of_weight, of_bias]
}
