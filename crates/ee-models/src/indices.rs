use burn::tensor::{Device, Int, Tensor, TensorData};

/// Numbers of rows or entries as a tensor.
pub(crate) fn indices(numbers: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i64> = numbers.into_iter().map(|number| number as i64).collect();
    let n = numbers.len();
    Tensor::from_data(TensorData::new(numbers, [n]), device)
}
