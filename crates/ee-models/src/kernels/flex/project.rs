//! Products with weights in any format. Where nothing is tracked all weights share one call, which decoding
//! a few rows needs; a tracked product is an operation of its own per weight.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::cpu::{self, LinearShape, Projection};
use super::super::{Rows, Weight};
use super::decoder::{numbers, output, stored, untracked};
use super::{Input, Operation, apply, dims, input, primitive, stored_input, values};

/// See [`crate::kernels::project`].
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
        Rows::Few => cpu::project(rows, inputs, values(&state), &mut projections),
        Rows::Many => {
            for Projection { weight, bias, out } in projections {
                let shape = LinearShape { rows, inputs, outputs: out.len() / rows.max(1) };
                cpu::linear_stored(shape, values(&state), weight, bias, out);
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
    let bias = match &weight.bias {
        Some(bias) => input(bias),
        None => Some(Input::Plain(primitive(Vec::new(), [0]))),
    };
    let matrix = stored_input(&weight.matrix)?;
    stored(matrix.primitive())?;
    apply(Project, [input(state), Some(matrix), bias])
}

/// y = x Wᵀ + b; a bias of no numbers is none.
#[derive(Debug)]
struct Project;

impl Operation<3> for Project {
    type Saved = [FlexTensor; 2];

    fn forward(&self, [state, weight, bias]: [FlexTensor; 3]) -> (FlexTensor, Self::Saved) {
        let [rows, inputs] = dims(&state);
        let [outputs, _] = dims(&weight);
        let shape = LinearShape { rows, inputs, outputs };
        let mut out = vec![0.0; rows * outputs];
        let bias = Some(values(&bias)).filter(|bias| !bias.is_empty());
        cpu::linear_stored(shape, values(&state), format(&weight), bias, &mut out);
        (primitive(out, [rows, outputs]), [state, weight])
    }

    fn backward(
        self,
        [state, weight]: Self::Saved,
        gradient: &[f32],
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let [rows, inputs] = dims(&state);
        let [outputs, _] = dims(&weight);
        let shape = LinearShape { rows, inputs, outputs };
        let of_state = wanted[0].then(|| {
            let mut result = vec![0.0; rows * inputs];
            cpu::linear_stored_backward_input(shape, gradient, format(&weight), &mut result);
            primitive(result, [rows, inputs])
        });
        let of_weight = wanted[1].then(|| {
            let mut result = vec![0.0; outputs * inputs];
            cpu::linear_backward_weight(shape, gradient, values(&state), false, &mut result);
            primitive(result, [outputs, inputs])
        });
        let of_bias = wanted[2].then(|| {
            let mut result = vec![0.0; outputs];
            cpu::bias_backward(gradient, &mut result);
            primitive(result, [outputs])
        });
        [of_state, of_weight, of_bias]
    }
}

/// The weight as it is stored, known to be in a format that the kernels read.
fn format(weight: &FlexTensor) -> cpu::WeightData<'_> {
    stored(weight).expect("was asked before the operation")
}
