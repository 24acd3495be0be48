use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::arguments::Rotary;
use super::{Operation, apply, dims, input, numbers, primitive, values};

/// Gives the state back where it declines.
#[expect(clippy::result_large_err, reason = "what is declined goes on to the plain body")]
pub(in crate::kernels) fn rotate(
    state: Tensor<2>,
    rotary: &Rotary,
) -> Result<Tensor<2>, Tensor<2>> {
    let (Some(input), Some(cos), Some(sin)) =
        (input(&state), numbers(&rotary.cos), numbers(&rotary.sin))
    else {
        return Err(state);
    };
    // In place when this was the last handle; a copy is made otherwise.
    drop(state);
    Ok(apply(Rotate { cos, sin }, [Some(input)]).expect("its input is there"))
}

#[derive(Debug)]
struct Rotate {
    cos: FlexTensor,
    sin: FlexTensor,
}

impl Operation<1> for Rotate {
    type Saved = [usize; 2];

    fn forward(&self, [mut state]: [FlexTensor; 1]) -> (FlexTensor, [usize; 2]) {
        let shape = dims(&state);
        let [_, half] = dims(&self.cos);
        ee_kernels::rotate(half, values(&self.cos), values(&self.sin), state.storage_mut());
        (state, shape)
    }

    /// A rotation's gradient is turned back: by the same cosines and the negative sines.
    fn backward(
        self,
        shape: [usize; 2],
        gradient: &[f32],
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let [_, half] = dims(&self.cos);
        let back: Vec<f32> = values(&self.sin).iter().map(|sin| -sin).collect();
        let mut result = gradient.to_vec();
        ee_kernels::rotate(half, values(&self.cos), &back, &mut result);
        [Some(primitive(result, shape))]
    }
}
