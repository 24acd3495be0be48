use super::*;
use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

fn expected(left: MatrixView<'_>, right: MatrixView<'_>, bias: &[f32], before: &[f32]) -> Vec<f64> {
    let mut result = Vec::new();
    for i in 0..left.rows {
        for j in 0..right.columns {
            let sum: f64 = (0..left.columns)
                .map(|k| {
                    let left = left.data[i * left.row_stride + k * left.column_stride];
                    let right = right.data[k * right.row_stride + j * right.column_stride];
                    f64::from(left) * f64::from(right)
                })
                .sum();
            let start = f64::from(bias[j]) + f64::from(before[i * right.columns + j]);
            result.push(sum + start);
        }
    }
    result
}

fn check(m: usize, n: usize, k: usize) {
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    let (bias, before) = (numbers(n, 3), numbers(m * n, 4));
    for left in [MatrixView::row_major(&a, m, k), MatrixView::row_major(&a, k, m).transposed()] {
        for right in [MatrixView::row_major(&b, k, n), MatrixView::row_major(&b, n, k).transposed()]
        {
            let expected = expected(left, right, &bias, &before);
            let mut result = before.clone();
            gemm(left, right, &mut result, Epilogue { accumulate: true, bias: Some(&bias) });
            assert_close(&result, &expected, 2e-6 * (k as f64 + 1.0).sqrt());
            let mut result = vec![f32::NAN; m * n];
            gemm(left, right, &mut result, Epilogue::default());
            let plain: Vec<f64> = expected
                .iter()
                .enumerate()
                .map(|(i, value)| value - f64::from(bias[i % n]) - f64::from(before[i]))
                .collect();
            assert_close(&result, &plain, 2e-6 * (k as f64 + 1.0).sqrt());
        }
    }
}

#[test]
fn products_of_odd_sizes_equal_plain_sums() {
    for (m, n, k) in [
        (0, 3, 4),
        (3, 0, 4),
        (3, 4, 0),
        (1, 1, 1),
        (1, 33, 17),
        (2, 5, 7),
        (12, 32, 16),
        (13, 33, 257),
        (25, 70, 48),
        (33, 31, 300),
        (49, 129, 65),
        (193, 390, 70),
        (211, 65, 515),
    ] {
        check(m, n, k);
    }
}

#[test]
fn threads_do_not_change_a_product() {
    for m in [7, 230] {
        let (n, k) = (401, 517);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        assert_same_on_any_threads(|| {
            let mut result = vec![0.0; m * n];
            let right = MatrixView::row_major(&b, n, k).transposed();
            gemm(MatrixView::row_major(&a, m, k), right, &mut result, Epilogue::default());
            result
        });
    }
}

#[test]
fn a_row_is_the_same_bits_in_a_batch_of_any_size() {
    let (n, k) = (70, 517);
    let (a, b) = (numbers(300 * k, 1), numbers(k * n, 2));
    let right = MatrixView::row_major(&b, n, k).transposed();
    let product = |rows: usize| {
        let mut result = vec![0.0; rows * n];
        gemm(MatrixView::row_major(&a, rows, k), right, &mut result, Epilogue::default());
        result
    };
    let whole = product(300);
    for rows in [1, 5, 12, 31, 97, 250] {
        assert_eq!(product(rows), whole[..rows * n], "{rows} rows");
    }
}

#[test]
#[should_panic(expected = "columns of the left matrix and rows of the right")]
fn sizes_that_do_not_fit_panic() {
    let data = [0.0; 6];
    let (left, right) = (MatrixView::row_major(&data, 2, 3), MatrixView::row_major(&data, 2, 3));
    gemm(left, right, &mut [0.0; 6], Epilogue::default());
}
