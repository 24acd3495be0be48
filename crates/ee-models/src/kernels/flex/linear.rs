//! Products with weights in any format. Where nothing is tracked all weights share one call, which decoding
//! a few rows needs; a tracked product is an operation of its own per weight.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use ee_kernels::{LinearShape, Projection, WeightData};

use super::super::arguments::{Rows, Weight};
use super::{
    Input, Operation, apply, dims, input, numbers, optional, output, present, primitive, stored,
    stored_input, untracked, values,
};

pub(in crate::kernels) fn project<const N: usize>(
    state: &Tensor<2>,
    weights: &[Weight; N],
    reading: Rows,
) -> Option<[Tensor<2>; N]> {
    let is_tracked = |Weight { matrix, bias }: &Weight| {
        matrix.is_tracked() || bias.as_ref().is_some_and(Tensor::is_tracked)
    };
    if !state.is_tracked() && !weights.iter().any(is_tracked) {
        return together(state, weights, reading);
    }
    let outputs: Option<Vec<Tensor<2>>> =
        weights.iter().map(|weight| alone(state, weight)).collect();
    outputs?.try_into().ok()
}

/// All products in one call.
fn together<const N: usize>(
    state: &Tensor<2>,
    weights: &[Weight; N],
    reading: Rows,
) -> Option<[Tensor<2>; N]> {
    let [rows, inputs] = state.dims();
    let state = numbers(state)?;
    let mut matrices = Vec::with_capacity(N);
    for Weight { matrix, bias } in weights {
        let bias = match bias {
            Some(bias) => Some(numbers(bias)?),
            None => None,
        };
        matrices.push((untracked(matrix)?, bias));
    }
    let mut projections = Vec::with_capacity(N);
    let mut outs: Vec<Vec<f32>> =
        weights.iter().map(|weight| vec![0.0; rows * weight.matrix.dims()[0]]).collect();
    for ((matrix, bias), out) in matrices.iter().zip(&mut outs) {
        let bias = bias.as_ref().map(values);
        projections.push(Projection { weight: stored(matrix)?, bias, out });
    }
    match reading {
        Rows::Few => ee_kernels::linear_few_rows(rows, inputs, values(&state), &mut projections),
        Rows::Many => {
            for Projection { weight, bias, out } in projections {
                let shape = LinearShape { rows, inputs, outputs: out.len() / rows.max(1) };
                ee_kernels::linear_forward(shape, values(&state), weight, bias, out);
            }
        }
    }
    let outs: Vec<Tensor<2>> = outs
        .into_iter()
        .zip(weights)
        .map(|(out, weight)| output(out, [rows, weight.matrix.dims()[0]]))
        .collect();
    outs.try_into().ok()
}

/// One product with its backward pass.
fn alone(state: &Tensor<2>, weight: &Weight) -> Option<Tensor<2>> {
    let [matrix, bias] = parameters(weight);
    apply(Linear, [input(state), matrix, bias])
}

/// A weight as inputs of an operation, its bias [`optional`].
pub(super) fn parameters(Weight { matrix, bias }: &Weight) -> [Option<Input>; 2] {
    let is_known = |matrix: &Input| stored(matrix.primitive()).is_some();
    [stored_input(matrix).filter(is_known), optional(bias.as_ref())]
}

#[derive(Debug)]
struct Linear;

impl Operation<3> for Linear {
    type Saved = [FlexTensor; 2];

    fn forward(&self, [state, weight, bias]: [FlexTensor; 3]) -> (FlexTensor, Self::Saved) {
        (forward(&state, &weight, &bias), [state, weight])
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

fn shape(state: &FlexTensor, weight: &FlexTensor) -> LinearShape {
    let ([rows, inputs], [outputs, _]) = (dims(state), dims(weight));
    LinearShape { rows, inputs, outputs }
}

/// The weight as it is stored, known to be in a format that the kernels read.
fn format(weight: &FlexTensor) -> WeightData<'_> {
    stored(weight).expect("was asked before the operation")
}

/// y = x Wᵀ + b
pub(super) fn forward(state: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> FlexTensor {
    let shape = shape(state, weight);
    let mut out = vec![0.0; shape.rows * shape.outputs];
    ee_kernels::linear_forward(shape, values(state), format(weight), present(bias), &mut out);
    primitive(out, [shape.rows, shape.outputs])
}

/// Gradients of state, weight and bias.
pub(super) fn backward(
    state: &FlexTensor,
    weight: &FlexTensor,
    gradient: &[f32],
    wanted: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let shape = shape(state, weight);
    let LinearShape { rows, inputs, outputs } = shape;
    let of_state = wanted[0].then(|| {
        let mut result = vec![0.0; rows * inputs];
        ee_kernels::linear_backward_input(shape, gradient, format(weight), &mut result);
        primitive(result, [rows, inputs])
    });
    let of_weight = wanted[1].then(|| {
        let mut result = vec![0.0; outputs * inputs];
        ee_kernels::linear_backward_weight(shape, gradient, values(state), false, &mut result);
        primitive(result, [outputs, inputs])
    });
    let of_bias = wanted[2].then(|| {
        let mut result = vec![0.0; outputs];
        ee_kernels::bias_backward(gradient, &mut result);
        primitive(result, [outputs])
    });
    [of_state, of_weight, of_bias]
}

pub(in crate::kernels) fn settle(weight: &Tensor<2>) {
    if let Some(weight) = untracked(weight) {
        ee_kernels::prefer_large_pages(weight.bytes());
    }
}
