//! The decoder's operations that are never differentiated, and what untracked tensors hold.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor};
use half::{bf16, f16};

use super::super::CachePlace;
use super::super::cpu::{self, RowStatistics, WeightData};
use super::{dims, primitive, values};

/// A contiguous primitive of an untracked tensor of this backend.
pub(super) fn untracked<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    if tensor.is_tracked() {
        return None;
    }
    Some(tensor.clone().inner().try_into_primitive::<Flex>().ok()?.to_contiguous())
}

/// The same, which must be F32.
pub(super) fn numbers<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    (tensor.dtype() == DType::F32).then(|| untracked(tensor))?
}

/// An untracked tensor that takes over a buffer.
pub(super) fn output<const D: usize>(buffer: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(primitive(buffer, shape))
}

/// A weight in its own format.
pub(super) fn stored(weight: &FlexTensor) -> Option<WeightData<'_>> {
    match weight.dtype() {
        DType::F32 => Some(WeightData::F32(weight.as_slice()?)),
        DType::F16 => Some(WeightData::F16(weight.as_slice::<f16>()?)),
        DType::BF16 => Some(WeightData::Bf16(weight.as_slice::<bf16>()?)),
        _ => None,
    }
}

/// See [`crate::kernels::settle`].
pub(in crate::kernels) fn settle(weight: &Tensor<2>) {
    if let Some(weight) = untracked(weight) {
        crate::device::prefer_large_pages(weight.bytes());
    }
}

#[allow(clippy::result_large_err, reason = "what is declined goes on to the plain body")]
/// See [`crate::kernels::write_cache`]; gives the cache back where it declines.
pub(in crate::kernels) fn write_cache(
    cache: Tensor<2>,
    block: &Tensor<2>,
    place: CachePlace,
    origins: Option<&[isize]>,
) -> Result<Tensor<2>, Tensor<2>> {
    let (Some(mut slots), Some(block)) = (numbers(&cache), numbers(block)) else {
        return Err(cache);
    };
    drop(cache);
    let [n_slots, d] = dims(&slots);
    let slots_of = slots.storage_mut::<f32>();
    for (row, block) in values(&block).chunks_exact(place.width * d).enumerate() {
        let from = place.memory(row, origins);
        assert!(from < n_slots, "row {row}: place {from} of a cache of {n_slots} slots");
        let at = from * d;
        slots_of[at..at + block.len()].copy_from_slice(block);
    }
    Ok(Tensor::from_primitive::<Flex>(slots))
}

/// See [`crate::kernels::row_statistics`].
pub(in crate::kernels) fn row_statistics(
    logits: &Tensor<2>,
    given: Option<&[u32]>,
) -> Option<Vec<RowStatistics>> {
    let [_, columns] = logits.dims();
    Some(cpu::row_statistics(values(&numbers(logits)?), columns, given))
}
