//! Root-mean-square norm (Zhang & Sennrich 2019), alone and after a residual sum.

use rayon::prelude::*;

use super::instructions::vectorised;

/// Rows that a thread takes at a time; fewer stay on the calling thread.
const ROWS: usize = 16;
/// Partial sums per row.
const LANES: usize = 32;

/// y = γ x / √(mean(x²) + ε) by rows.
///
/// # Shapes
/// `gamma` `[d]`, `input`, `out` `[rows, d]`.
///
/// # Panics
/// If sizes do not fit together.
pub fn rms_norm(gamma: &[f32], epsilon: f32, input: &[f32], out: &mut [f32]) {
    check(gamma, input.len(), out.len());
    let chunk = ROWS * gamma.len();
    if out.len() <= chunk {
        return normalise(gamma, epsilon, input, out);
    }
    out.par_chunks_mut(chunk)
        .zip(input.par_chunks(chunk))
        .for_each(|(out, input)| normalise(gamma, epsilon, input, out));
}

/// `sum` = `input` + `residual`, and its norm into `out`.
///
/// # Shapes
/// `gamma` `[d]`, the others `[rows, d]`.
///
/// # Panics
/// If sizes do not fit together.
pub fn add_rms_norm(
    gamma: &[f32],
    epsilon: f32,
    input: &[f32],
    residual: &[f32],
    sum: &mut [f32],
    out: &mut [f32],
) {
    check(gamma, input.len(), out.len());
    assert_eq!(residual.len(), input.len(), "numbers in the residual");
    assert_eq!(sum.len(), input.len(), "numbers in the sum");
    let chunk = ROWS * gamma.len();
    let run = |out: &mut [f32], sum: &mut [f32], input: &[f32], residual: &[f32]| {
        add(input, residual, sum);
        normalise(gamma, epsilon, sum, out);
    };
    if out.len() <= chunk {
        return run(out, sum, input, residual);
    }
    out.par_chunks_mut(chunk)
        .zip(sum.par_chunks_mut(chunk))
        .zip(input.par_chunks(chunk).zip(residual.par_chunks(chunk)))
        .for_each(|((out, sum), (input, residual))| run(out, sum, input, residual));
}

fn check(gamma: &[f32], input: usize, out: usize) {
    assert!(!gamma.is_empty(), "a norm over at least one column");
    assert_eq!(input, out, "numbers before and after a norm");
    assert_eq!(out % gamma.len(), 0, "rows of {} numbers", gamma.len());
}

vectorised! {
    fn add(input: &[f32], residual: &[f32], sum: &mut [f32]) {
        for ((sum, input), residual) in sum.iter_mut().zip(input).zip(residual) {
            *sum = residual + input;
        }
    }
}

vectorised! {
    fn normalise(gamma: &[f32], epsilon: f32, input: &[f32], out: &mut [f32]) {
        let d = gamma.len();
        for (input, out) in input.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            let mut sums = [0.0_f32; LANES];
            let (blocks, rest) = input.as_chunks::<LANES>();
            for block in blocks {
                for lane in 0..LANES {
                    sums[lane] += block[lane] * block[lane];
                }
            }
            for (sum, x) in sums.iter_mut().zip(rest) {
                *sum += x * x;
            }
            let mean = sums.iter().sum::<f32>() / d as f32;
            let scale = 1.0 / (mean + epsilon).sqrt();
            for ((out, x), gamma) in out.iter_mut().zip(input).zip(gamma) {
                *out = gamma * (x * scale);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::reference::{assert_close, assert_same_on_any_threads, numbers};

    #[test]
    fn rows_equal_the_formula() {
        for [rows, d] in [[1, 1], [3, 33], [50, 96]] {
            let (x, r, gamma) = (numbers(rows * d, 1), numbers(rows * d, 2), numbers(d, 3));
            let (mut sum, mut out) = (vec![0.0; rows * d], vec![0.0; rows * d]);
            add_rms_norm(&gamma, 1e-5, &x, &r, &mut sum, &mut out);
            let expected: Vec<f64> = (0..rows)
                .flat_map(|row| {
                    let at = |i: usize| f64::from(x[row * d + i]) + f64::from(r[row * d + i]);
                    let mean = (0..d).map(|i| at(i) * at(i)).sum::<f64>() / d as f64;
                    let scaled = |i: usize| f64::from(gamma[i]) * at(i) / (mean + 1e-5).sqrt();
                    (0..d).map(scaled).collect::<Vec<f64>>()
                })
                .collect();
            assert_close(&out, &expected, 2e-6);
            let mut alone = vec![0.0; rows * d];
            rms_norm(&gamma, 1e-5, &sum, &mut alone);
            assert_eq!(alone, out);
        }
    }

    #[test]
    fn threads_do_not_change_a_norm() {
        let (x, gamma) = (numbers(77 * 65, 1), numbers(65, 3));
        assert_same_on_any_threads(|| {
            let mut out = vec![0.0; x.len()];
            rms_norm(&gamma, 1e-6, &x, &mut out);
            out
        });
    }
}
