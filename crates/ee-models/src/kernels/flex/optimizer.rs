use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor};

use super::super::arguments::{AdamW, AdamWTensors};
use super::values;

/// A plain F32 primitive of this backend that owns its whole buffer.
fn owned<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    if tensor.dtype() != DType::F32 || tensor.is_autodiff() {
        return None;
    }
    let primitive = tensor.clone().try_into_primitive::<Flex>().ok()?;
    let whole = primitive.layout().num_elements() == primitive.storage::<f32>().len();
    (whole && primitive.is_contiguous()).then_some(primitive)
}

/// Gives the tensors back untouched where it declines.
#[expect(clippy::result_large_err, reason = "what is declined goes on to the plain body")]
pub(in crate::kernels) fn adamw<const D: usize>(
    tensors: AdamWTensors<D>,
    gradient: &Tensor<D>,
    step: AdamW,
) -> Result<AdamWTensors<D>, AdamWTensors<D>> {
    let primitives = (
        owned(&tensors.parameter),
        owned(&tensors.first_moment),
        owned(&tensors.second_moment),
        owned(gradient),
    );
    let (Some(mut parameter), Some(mut first), Some(mut second), Some(gradient)) = primitives
    else {
        return Err(tensors);
    };
    // The update is in place only while no other handle lives.
    drop(tensors);
    ee_kernels::adamw(
        step,
        parameter.storage_mut(),
        values(&gradient),
        first.storage_mut(),
        second.storage_mut(),
    );
    Ok(AdamWTensors {
        parameter: Tensor::from_primitive::<Flex>(parameter),
        first_moment: Tensor::from_primitive::<Flex>(first),
        second_moment: Tensor::from_primitive::<Flex>(second),
    })
}

pub(in crate::kernels) fn sum_of_squares<const D: usize>(tensor: &Tensor<D>) -> Option<f64> {
    owned(tensor).map(|primitive| ee_kernels::sum_of_squares(values(&primitive)))
}
