use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::{Dropout, cpu};
use super::{Operation, apply, dims, input, primitive, values};

/// See [`crate::kernels::dropout`].
pub(in crate::kernels) fn dropout(state: &Tensor<2>, dropout: Dropout) -> Option<Tensor<2>> {
    apply(Drop(dropout), [input(state)])
}

#[derive(Debug)]
struct Drop(Dropout);

impl Drop {
    fn run(&self, input: &[f32], shape: [usize; 2]) -> FlexTensor {
        let mut output = vec![0.0; input.len()];
        cpu::dropout(self.0, input, &mut output);
        primitive(output, shape)
    }
}

impl Operation<1> for Drop {
    type Saved = [usize; 2];

    fn forward(&self, [state]: [FlexTensor; 1]) -> (FlexTensor, [usize; 2]) {
        (self.run(values(&state), dims(&state)), dims(&state))
    }

    fn backward(
        self,
        shape: [usize; 2],
        gradient: &[f32],
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        [Some(self.run(gradient, shape))]
    }
}
