use half::{bf16, f16};

use super::*;
use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

/// Y of one projection without bias.
fn product(rows: usize, inputs: usize, x: &[f32], weight: WeightData<'_>) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows * (weight.len() / inputs)];
    linear_few_rows(rows, inputs, x, &mut [Projection { weight, bias: None, out: &mut out }]);
    out
}

fn expected(rows: usize, inputs: usize, x: &[f32], w: &[f32]) -> Vec<f64> {
    let dot = |row: &[f32], weight: &[f32]| {
        row.iter().zip(weight).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    (0..rows)
        .flat_map(|row| {
            let x = &x[row * inputs..][..inputs];
            w.chunks_exact(inputs).map(move |w| dot(x, w)).collect::<Vec<f64>>()
        })
        .collect()
}

#[test]
fn every_format_and_size_equals_plain_sums() {
    for [rows, inputs, outputs] in [
        [1, 1, 1],
        [1, 16, 9],
        [2, 33, 4],
        [5, 172, 64],
        [6, 40, 31],
        [13, 64, 7],
        [70, 300, 401],
        [7, 1100, 9],
    ] {
        let (x, w) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
        let halves: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
        let brains: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
        let of_halves: Vec<f32> = halves.iter().map(|w| w.to_f32()).collect();
        let of_brains: Vec<f32> = brains.iter().map(|w| w.to_f32()).collect();
        for (data, stored) in [
            (WeightData::F32(&w), &w),
            (WeightData::F16(&halves), &of_halves),
            (WeightData::Bf16(&brains), &of_brains),
        ] {
            let found = product(rows, inputs, &x, data);
            assert_close(&found, &expected(rows, inputs, &x, stored), 1e-5);
        }
    }
}

#[test]
fn weights_that_share_an_input_are_one_product() {
    let (rows, inputs) = (3, 50);
    let x = numbers(rows * inputs, 1);
    let weights = [numbers(10 * inputs, 2), numbers(3 * inputs, 3), numbers(257 * inputs, 4)];
    let bias = numbers(3, 5);
    let mut outs = [10, 3, 257].map(|outputs| vec![f32::NAN; rows * outputs]);
    let mut projections: Vec<Projection<'_>> = weights
        .iter()
        .zip(&mut outs)
        .zip([None, Some(&bias[..]), None])
        .map(|((weight, out), bias)| Projection { weight: WeightData::F32(weight), bias, out })
        .collect();
    linear_few_rows(rows, inputs, &x, &mut projections);
    for (index, (weight, out)) in weights.iter().zip(&outs).enumerate() {
        let mut alone = product(rows, inputs, &x, WeightData::F32(weight));
        if index == 1 {
            alone.iter_mut().enumerate().for_each(|(at, value)| *value += bias[at % 3]);
        }
        assert_eq!(out, &alone, "weight {index}");
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_batch_and_on_any_threads() {
    // Rows of one block and of several, whole and cut, and of less than a register.
    same_bits(203, 517);
    same_bits(2 * BLOCK + 203, 41);
    for inputs in [3, BLOCK - 1, BLOCK, BLOCK + 3, 2 * BLOCK] {
        same_bits(inputs, 9);
    }
}

fn same_bits(inputs: usize, outputs: usize) {
    let (x, w) = (numbers(41 * inputs, 1), numbers(outputs * inputs, 2));
    let all = product(41, inputs, &x, WeightData::F32(&w));
    for rows in 1..=9 {
        let some = product(rows, inputs, &x[..rows * inputs], WeightData::F32(&w));
        assert_eq!(some, all[..rows * outputs], "{rows} rows");
    }
    assert_same_on_any_threads(|| product(41, inputs, &x, WeightData::F32(&w)));
}
