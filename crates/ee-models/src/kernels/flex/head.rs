use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::arguments::{HeadGradients, HeadLoss, RowStatistics, Scoring, Weight};
use super::{Operation, apply, dims, input, numbers, output, primitive, stored, untracked, values};

pub(in crate::kernels) fn head_loss(
    states: &Tensor<2>,
    weight: &Weight,
    labels: &[u32],
    Scoring { smoothing, factor }: Scoring,
    gradients: Option<&mut HeadGradients>,
) -> Option<HeadLoss> {
    let (states, matrix) = (numbers(states)?, untracked(&weight.matrix)?);
    let bias = match &weight.bias {
        Some(bias) => Some(numbers(bias)?),
        None => None,
    };
    let data = stored(&matrix)?;
    let [rows, inputs] = dims(&states);
    let [outputs, _] = dims(&matrix);
    let shape = ee_kernels::LinearShape { rows, inputs, outputs };
    let loss = ee_kernels::with_scratch(rows * outputs, |logits| {
        let bias = bias.as_ref().map(values);
        ee_kernels::linear_forward(shape, values(&states), data, bias, logits);
        let sums = ee_kernels::cross_entropy(logits, outputs, labels, smoothing, factor);
        let of_states = factor.map(|_| {
            if let Some(gradients) = gradients {
                add(shape, gradients, logits, values(&states));
            }
            let mut of_states = vec![0.0; rows * inputs];
            ee_kernels::linear_backward_input(shape, logits, data, &mut of_states);
            output(of_states, [rows, inputs])
        });
        HeadLoss { loss: sums.loss, smoothed: sums.smoothed, right: sums.right, of_states }
    });
    Some(loss)
}

/// Adds to the head's gradients, in place where nothing else holds them.
fn add(
    shape: ee_kernels::LinearShape,
    gradients: &mut HeadGradients,
    of_logits: &[f32],
    states: &[f32],
) {
    if let Some(matrix) = gradients.matrix.take() {
        let mut sum = numbers(&matrix).expect("a gradient of this backend");
        drop(matrix);
        ee_kernels::linear_backward_weight(shape, of_logits, states, true, sum.storage_mut());
        gradients.matrix = Some(Tensor::from_primitive::<Flex>(sum));
    }
    if let Some(bias) = gradients.bias.take() {
        let mut part = vec![0.0; shape.outputs];
        ee_kernels::bias_backward(of_logits, &mut part);
        gradients.bias = Some(bias + output(part, [shape.outputs]));
    }
}

/// Here the number is 0.
pub(in crate::kernels) fn pull(state: &Tensor<2>, gradient: &Tensor<2>) -> Option<Tensor<1>> {
    apply(Pull(numbers(gradient)?), [input(state)])
}

#[derive(Debug)]
struct Pull(FlexTensor);

impl Operation<1> for Pull {
    type Saved = ();

    fn forward(&self, _inputs: [FlexTensor; 1]) -> (FlexTensor, ()) {
        (primitive(vec![0.0], [1]), ())
    }

    fn backward(self, (): (), _gradient: &[f32], _wanted: [bool; 1]) -> [Option<FlexTensor>; 1] {
        // The gradient of the number itself is 1: a backward pass begins here.
        [Some(self.0)]
    }
}

pub(in crate::kernels) fn row_statistics(
    logits: &Tensor<2>,
    given: Option<&[u32]>,
) -> Option<Vec<RowStatistics>> {
    let [_, columns] = logits.dims();
    Some(ee_kernels::row_statistics(values(&numbers(logits)?), columns, given))
}
