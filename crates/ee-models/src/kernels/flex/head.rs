use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::{HeadGradients, HeadLoss, Weight, cpu};
use super::decoder::{numbers, output, stored, untracked};
use super::{Operation, apply, dims, input, primitive, values};

/// See [`crate::kernels::head_loss`].
pub(in crate::kernels) fn head_loss(
    states: &Tensor<2>,
    weight: &Weight,
    labels: &[u32],
    factor: Option<f64>,
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
    let shape = cpu::LinearShape { rows, inputs, outputs };
    let loss = cpu::with_scratch(rows * outputs, |logits| {
        let bias = bias.as_ref().map(values);
        cpu::linear_stored(shape, values(&states), data, bias, logits);
        let sums = cpu::cross_entropy(logits, outputs, labels, factor);
        let of_states = factor.map(|_| {
            if let Some(gradients) = gradients {
                add(shape, gradients, logits, values(&states));
            }
            let mut of_states = vec![0.0; rows * inputs];
            cpu::linear_stored_backward_input(shape, logits, data, &mut of_states);
            output(of_states, [rows, inputs])
        });
        HeadLoss { loss: sums.loss, right: sums.right, of_states }
    });
    Some(loss)
}

/// Adds to the head's gradients, in place where nobody else holds them.
fn add(shape: cpu::LinearShape, gradients: &mut HeadGradients, of_logits: &[f32], states: &[f32]) {
    if let Some(matrix) = gradients.matrix.take() {
        let mut sum = numbers(&matrix).expect("a gradient of this backend");
        drop(matrix);
        cpu::linear_backward_weight(shape, of_logits, states, true, sum.storage_mut());
        gradients.matrix = Some(Tensor::from_primitive::<Flex>(sum));
    }
    if let Some(bias) = gradients.bias.take() {
        let mut part = vec![0.0; shape.outputs];
        cpu::bias_backward(of_logits, &mut part);
        gradients.bias = Some(bias + output(part, [shape.outputs]));
    }
}

/// See [`crate::kernels::pull`]; the number is 0.
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
