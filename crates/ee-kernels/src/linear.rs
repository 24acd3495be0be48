//! The products of a linear layer Y = X·Wᵀ + b, with W `[outputs, inputs]` as Hugging Face files hold it.

use rayon::prelude::*;

use super::disjoint::Disjoint;
use super::dots::WeightData;
use super::gemm::{Epilogue, MatrixView, gemm, gemm_columns};
use super::instructions::vectorised;
use super::scratch::with_scratch;
use super::sizes::product;

/// The sizes of a linear layer applied to some rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Rows of X and of Y.
    pub rows: usize,
    /// Columns of X.
    pub inputs: usize,
    /// Columns of Y.
    pub outputs: usize,
}

impl LinearShape {
    fn input<'a>(&self, data: &'a [f32]) -> MatrixView<'a> {
        assert_eq!(data.len(), product([self.rows, self.inputs]), "numbers in the input");
        MatrixView::row_major(data, self.rows, self.inputs)
    }

    fn output<'a>(&self, data: &'a [f32]) -> MatrixView<'a> {
        assert_eq!(
            data.len(),
            product([self.rows, self.outputs]),
            "numbers in the output's gradient"
        );
        MatrixView::row_major(data, self.rows, self.outputs)
    }

    fn weight<'a>(&self, data: &'a [f32]) -> MatrixView<'a> {
        self.check_weight(data.len());
        MatrixView::row_major(data, self.outputs, self.inputs)
    }

    fn check_weight(&self, numbers: usize) {
        assert_eq!(numbers, product([self.outputs, self.inputs]), "numbers in the weight");
    }
}

/// Bytes of a weight that are made F32 at a time.
const BLOCK: usize = 8 << 20;

/// Y = X·Wᵀ + b into `out`, for many rows: packed panels, with blocks of a weight that is not F32 made so
/// first.
///
/// # Shapes
/// `input` `[rows, inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]` → `out` `[rows, outputs]`.
pub fn linear_forward(
    shape: LinearShape,
    input: &[f32],
    weight: WeightData<'_>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let LinearShape { rows, inputs, outputs } = shape;
    shape.check_weight(weight.len());
    if let WeightData::F32(weight) = weight {
        let epilogue = Epilogue { accumulate: false, bias };
        return gemm(shape.input(input), shape.weight(weight).transposed(), out, epilogue);
    }
    assert_eq!(out.len(), product([rows, outputs]), "numbers in the result of a product");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), outputs, "numbers in the bias");
    }
    if out.is_empty() {
        return;
    }
    let out = Disjoint::new(out);
    let block = (BLOCK / 4 / inputs.max(1)).clamp(1, outputs);
    with_scratch(block * inputs, |scratch| {
        for first in (0..outputs).step_by(block) {
            let n = block.min(outputs - first);
            let scratch = &mut scratch[..n * inputs];
            weight.convert(first * inputs, scratch);
            let epilogue = Epilogue { accumulate: false, bias: bias.map(|b| &b[first..first + n]) };
            let right = MatrixView::row_major(scratch, n, inputs).transposed();
            // SAFETY: only this call writes to the result, and blocks of outputs are columns of their own.
            unsafe { gemm_columns(shape.input(input), right, out, first, outputs, epilogue) };
        }
    });
}

/// Outputs whose part of dX is computed at a time: dY of a head would otherwise be packed whole, through
/// memory.
const OUTPUTS: usize = 2048;

/// dX = dY·W into `input_gradient`; blocks of a weight that is not F32 are made so first.
///
/// # Shapes
/// `output_gradient` `[rows, outputs]`, `weight` `[outputs, inputs]` → `[rows, inputs]`.
pub fn linear_backward_input(
    shape: LinearShape,
    output_gradient: &[f32],
    weight: WeightData<'_>,
    input_gradient: &mut [f32],
) {
    let LinearShape { rows, inputs, outputs } = shape;
    shape.check_weight(weight.len());
    if let WeightData::F32(weight) = weight {
        return backward_input(shape, output_gradient, weight, input_gradient);
    }
    let numbers = product([rows, outputs]);
    assert_eq!(output_gradient.len(), numbers, "numbers in the gradient of a product");
    assert_eq!(input_gradient.len(), product([rows, inputs]), "numbers in the input's gradient");
    input_gradient.fill(0.0);
    if numbers == 0 || inputs == 0 {
        return;
    }
    let block = (BLOCK / 4 / inputs).clamp(1, outputs);
    with_scratch(block * inputs, |scratch| {
        for first in (0..outputs).step_by(block) {
            let n = block.min(outputs - first);
            let scratch = &mut scratch[..n * inputs];
            weight.convert(first * inputs, scratch);
            let left = MatrixView::new(&output_gradient[first..], rows, n, outputs, 1);
            let epilogue = Epilogue { accumulate: true, bias: None };
            gemm(left, MatrixView::row_major(scratch, n, inputs), input_gradient, epilogue);
        }
    });
}

/// [`linear_backward_input`] of an F32 weight.
fn backward_input(
    shape: LinearShape,
    output_gradient: &[f32],
    weight: &[f32],
    input_gradient: &mut [f32],
) {
    let LinearShape { rows, inputs, outputs } = shape;
    let (of_output, whole) = (shape.output(output_gradient), shape.weight(weight));
    if rows == 0 || outputs <= 2 * OUTPUTS {
        return gemm(of_output, whole, input_gradient, Epilogue::default());
    }
    for first in (0..outputs).step_by(OUTPUTS) {
        let n = OUTPUTS.min(outputs - first);
        let left = MatrixView::new(&output_gradient[first..], rows, n, outputs, 1);
        let right = MatrixView::row_major(&weight[first * inputs..][..n * inputs], n, inputs);
        let epilogue = Epilogue { accumulate: first > 0, bias: None };
        gemm(left, right, input_gradient, epilogue);
    }
}

/// dW = dYᵀ·X into `weight_gradient`.
///
/// # Shapes
/// `output_gradient` `[rows, outputs]`, `input` `[rows, inputs]` → `[outputs, inputs]`.
pub fn linear_backward_weight(
    shape: LinearShape,
    output_gradient: &[f32],
    input: &[f32],
    accumulate: bool,
    weight_gradient: &mut [f32],
) {
    let epilogue = Epilogue { accumulate, bias: None };
    let left = shape.output(output_gradient).transposed();
    gemm(left, shape.input(input), weight_gradient, epilogue);
}

/// db = the column sums of dY, into `bias_gradient`.
///
/// Threads take columns, and each column is summed from the first row to the last.
///
/// # Shapes
/// `output_gradient` `[rows, outputs]` → `[outputs]`.
pub fn bias_backward(output_gradient: &[f32], bias_gradient: &mut [f32]) {
    const COLUMNS: usize = 128;
    let columns = bias_gradient.len();
    if columns == 0 {
        return;
    }
    assert_eq!(output_gradient.len() % columns, 0, "numbers in rows of {columns}");
    bias_gradient.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sums)| {
        sum_columns(output_gradient, columns, chunk * COLUMNS, sums);
    });
}

vectorised! {
    /// The sums of the columns from `first` on of rows of `stride` numbers.
    fn sum_columns(rows: &[f32], stride: usize, first: usize, sums: &mut [f32]) {
        let n = sums.len();
        sums.fill(0.0);
        for row in rows.chunks_exact(stride) {
            for (sum, value) in sums.iter_mut().zip(&row[first..first + n]) {
                *sum += value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

    const SHAPE: LinearShape = LinearShape { rows: 37, inputs: 19, outputs: 150 };

    /// Σ over `n` of `term`, for every (i, j).
    fn sums(
        rows: usize,
        columns: usize,
        n: usize,
        term: impl Fn(usize, usize, usize) -> f32,
    ) -> Vec<f64> {
        (0..rows * columns)
            .map(|at| (0..n).map(|k| f64::from(term(at / columns, at % columns, k))).sum())
            .collect()
    }

    #[test]
    fn the_products_of_a_layer_equal_plain_sums() {
        let LinearShape { rows, inputs, outputs } = SHAPE;
        let (x, w) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
        let (b, dy) = (numbers(outputs, 3), numbers(rows * outputs, 4));

        let mut y = vec![0.0; rows * outputs];
        linear_forward(SHAPE, &x, WeightData::F32(&w), Some(&b), &mut y);
        let product = sums(rows, outputs, inputs, |i, j, k| x[i * inputs + k] * w[j * inputs + k]);
        let expected: Vec<f64> =
            product.iter().enumerate().map(|(i, sum)| sum + f64::from(b[i % outputs])).collect();
        assert_close(&y, &expected, 1e-5);

        let mut dx = vec![0.0; rows * inputs];
        linear_backward_input(SHAPE, &dy, WeightData::F32(&w), &mut dx);
        let expected =
            sums(rows, inputs, outputs, |i, j, k| dy[i * outputs + k] * w[k * inputs + j]);
        assert_close(&dx, &expected, 2e-5);

        let mut dw = vec![0.0; outputs * inputs];
        linear_backward_weight(SHAPE, &dy, &x, false, &mut dw);
        let expected =
            sums(outputs, inputs, rows, |i, j, k| dy[k * outputs + i] * x[k * inputs + j]);
        assert_close(&dw, &expected, 1e-5);
        linear_backward_weight(SHAPE, &dy, &x, true, &mut dw);
        let twice: Vec<f64> = expected.iter().map(|value| 2.0 * value).collect();
        assert_close(&dw, &twice, 2e-5);

        let mut db = vec![0.0; outputs];
        bias_backward(&dy, &mut db);
        assert_close(&db, &sums(1, outputs, rows, |_, j, k| dy[k * outputs + j]), 1e-5);
    }

    #[test]
    fn a_stored_weight_gives_the_bits_of_its_numbers() {
        let (x, b) = (numbers(SHAPE.rows * 7000, 1), numbers(SHAPE.outputs, 3));
        // 7000 columns: the weight is taken in several blocks.
        let shape = LinearShape { inputs: 7000, outputs: 700, ..SHAPE };
        let b = [b.as_slice(); 5].concat()[..700].to_vec();
        let halves: Vec<half::f16> =
            numbers(shape.outputs * shape.inputs, 2).into_iter().map(half::f16::from_f32).collect();
        let plain: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
        let (mut found, mut expected) =
            (vec![0.0; shape.rows * 700], vec![0.0; shape.rows * shape.outputs]);
        linear_forward(shape, &x, WeightData::F16(&halves), Some(&b), &mut found);
        linear_forward(shape, &x, WeightData::F32(&plain), Some(&b), &mut expected);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_head_of_many_outputs_gives_the_gradient_of_plain_sums() {
        let LinearShape { rows, inputs, outputs } =
            LinearShape { rows: 3, inputs: 5, outputs: 9000 };
        let (dy, w) = (numbers(rows * outputs, 1), numbers(outputs * inputs, 2));
        let mut found = numbers(rows * inputs, 3);
        let sums = sums(rows, inputs, outputs, |i, j, k| dy[i * outputs + k] * w[k * inputs + j]);
        let shape = LinearShape { rows, inputs, outputs };
        linear_backward_input(shape, &dy, WeightData::F32(&w), &mut found);
        assert_close(&found, &sums, 2e-4);
    }

    #[test]
    fn a_stored_weight_gives_the_gradient_of_its_numbers() {
        let shape = LinearShape { rows: 9, inputs: 7000, outputs: 700 };
        let dy = numbers(shape.rows * shape.outputs, 1);
        let halves: Vec<half::bf16> = numbers(shape.outputs * shape.inputs, 2)
            .into_iter()
            .map(half::bf16::from_f32)
            .collect();
        let plain: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
        let (mut found, mut expected) = (vec![1.0; 9 * 7000], vec![0.0; 9 * 7000]);
        linear_backward_input(shape, &dy, WeightData::Bf16(&halves), &mut found);
        linear_backward_input(shape, &dy, WeightData::F32(&plain), &mut expected);
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        assert_close(&found, &expected, 4e-5);
    }

    #[test]
    fn threads_do_not_change_column_sums() {
        let dy = numbers(301 * 500, 4);
        assert_same_on_any_threads(|| {
            let mut db = vec![0.0; 500];
            bias_backward(&dy, &mut db);
            db
        });
    }
}
