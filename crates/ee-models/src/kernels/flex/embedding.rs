use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Int, Tensor};

use super::super::arguments::Dropout;
use super::{Operation, apply, dims, input, primitive, stored, untracked, values};

pub(in crate::kernels) fn embedding(table: &Tensor<2>, ids: &Tensor<1, Int>) -> Option<Tensor<2>> {
    let ids = ids.clone().into_data().try_into_vec_as::<i64>().ok()?;
    let ids: Vec<usize> = ids.into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?;
    if table.dtype() != DType::F32 {
        return converted(table, &ids);
    }
    apply(Embedding(ids), [input(table)])
}

/// Rows of a table in another format than F32, which is not tracked.
fn converted(table: &Tensor<2>, ids: &[usize]) -> Option<Tensor<2>> {
    let table = untracked(table)?;
    let [entries, d] = dims(&table);
    let stored = stored(&table)?;
    let mut output = vec![0.0; ids.len() * d];
    for (row, &id) in output.chunks_exact_mut(d).zip(ids) {
        assert!(id < entries, "id {id} of a table of {entries} entries");
        stored.convert(id * d, row);
    }
    Some(Tensor::from_primitive::<Flex>(primitive(output, [ids.len(), d])))
}

#[derive(Debug)]
struct Embedding(Vec<usize>);

impl Operation<1> for Embedding {
    type Saved = [usize; 2];

    fn forward(&self, [table]: [FlexTensor; 1]) -> (FlexTensor, [usize; 2]) {
        let [_, d] = dims(&table);
        let mut output = vec![0.0; self.0.len() * d];
        ee_kernels::embedding_forward(values(&table), d, &self.0, &mut output);
        (primitive(output, [self.0.len(), d]), dims(&table))
    }

    fn backward(
        self,
        [entries, d]: [usize; 2],
        gradient: &[f32],
        _wanted: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let mut result = vec![0.0; entries * d];
        ee_kernels::embedding_backward(&self.0, d, gradient, &mut result);
        [Some(primitive(result, [entries, d]))]
    }
}

pub(in crate::kernels) fn dropout(state: &Tensor<2>, dropout: Dropout) -> Option<Tensor<2>> {
    apply(Drop(dropout), [input(state)])
}

#[derive(Debug)]
struct Drop(Dropout);

impl Drop {
    fn run(&self, input: &[f32], shape: [usize; 2]) -> FlexTensor {
        let mut output = vec![0.0; input.len()];
        ee_kernels::dropout(self.0, input, &mut output);
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
