use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::{cpu, rms_norm as dispatch};
use super::decoder::{numbers, output};
use super::{Operation, apply, dims, input, primitive, values};

/// See [`crate::kernels::rms_norm`].
pub(in crate::kernels) fn rms_norm(
    state: &Tensor<2>,
    gamma: &Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<2>> {
    apply(RmsNorm { epsilon: epsilon as f32 }, [input(state), input(gamma)])
}

#[derive(Debug)]
struct RmsNorm {
    epsilon: f32,
}

impl Operation<2> for RmsNorm {
    type Saved = [FlexTensor; 2];

    fn forward(&self, [state, gamma]: [FlexTensor; 2]) -> (FlexTensor, Self::Saved) {
        let shape = dims(&state);
        let mut out = vec![0.0; shape[0] * shape[1]];
        cpu::rms_norm(values(&gamma), self.epsilon, values(&state), &mut out);
        (primitive(out, shape), [state, gamma])
    }

    fn backward(
        self,
        [state, gamma]: Self::Saved,
        gradient: &[f32],
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [rows, d] = dims(&state);
        let (mut of_state, mut of_gamma) = (vec![0.0; rows * d], vec![0.0; d]);
        cpu::rms_norm_backward(
            values(&gamma),
            self.epsilon,
            gradient,
            values(&state),
            &mut of_state,
            &mut of_gamma,
        );
        let of_gamma = wanted[1].then(|| primitive(of_gamma, [d]));
        [Some(primitive(of_state, [rows, d])), of_gamma]
    }
}

/// See [`crate::kernels::add_rms_norm`]; tracked, it is the sum and then the norm, which are differentiated
/// one by one.
pub(in crate::kernels) fn add_rms_norm(
    state: &Tensor<2>,
    residual: &Tensor<2>,
    gamma: &Tensor<1>,
    epsilon: f64,
) -> Option<[Tensor<2>; 2]> {
    let (Some(state), Some(other), Some(gamma)) =
        (numbers(state), numbers(residual), numbers(gamma))
    else {
        let sum = residual.clone() + state.clone();
        return Some([sum.clone(), dispatch(sum, gamma.clone(), epsilon)]);
    };
    let shape = dims(&state);
    let n = shape[0] * shape[1];
    let (mut sum, mut out) = (vec![0.0; n], vec![0.0; n]);
    cpu::add_rms_norm(
        values(&gamma),
        epsilon as f32,
        values(&state),
        values(&other),
        &mut sum,
        &mut out,
    );
    Some([output(sum, shape), output(out, shape)])
}
