use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::cpu;
use super::{Operation, apply, dims, input, primitive, values};

/// See [`crate::kernels::silu_product`].
pub(in crate::kernels) fn silu_product(gate: &Tensor<2>, up: &Tensor<2>) -> Option<Tensor<2>> {
    apply(SiluProduct, [input(gate), input(up)])
}

#[derive(Debug)]
struct SiluProduct;

impl Operation<2> for SiluProduct {
    type Saved = [FlexTensor; 2];

    fn forward(&self, [gate, up]: [FlexTensor; 2]) -> (FlexTensor, Self::Saved) {
        let shape = dims(&gate);
        let mut out = vec![0.0; shape[0] * shape[1]];
        cpu::silu_product(values(&gate), values(&up), &mut out);
        (primitive(out, shape), [gate, up])
    }

    fn backward(
        self,
        [gate, up]: Self::Saved,
        gradient: &[f32],
        _wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let shape = dims(&gate);
        let (mut of_gate, mut of_up) = (vec![0.0; gradient.len()], vec![0.0; gradient.len()]);
        cpu::silu_product_backward(values(&gate), values(&up), gradient, &mut of_gate, &mut of_up);
        [Some(primitive(of_gate, shape)), Some(primitive(of_up, shape))]
    }
}
