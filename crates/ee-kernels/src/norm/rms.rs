//! Root-mean-square norm (Zhang & Sennrich 2019), alone and after a residual sum.

use rayon::prelude::*;

use super::add;
use crate::instructions::vectorised;
use crate::math::dot;
use crate::scratch::with_scratch;

/// Rows that a thread takes at a time; fewer stay on the calling thread.
const ROWS: usize = 16;
/// Partial sums per row.
const LANES: usize = 32;

/// y = γ x / √(mean(x²) + ε) by rows.
///
/// # Shapes
/// `gamma` `[d]`, `input`, `out` `[rows, d]`.
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

/// Gradients of [`rms_norm`] from dY and its input: with r = 1 / √(mean(x²) + ε) and g = dy·γ, dx = r (g − x
/// r² mean(g·x)) and dγ = Σ dy·x·r.
///
/// dγ is summed over chunks of rows of fixed size, and the chunks are added in order.
///
/// # Shapes
/// `gamma`, `gamma_gradient` `[d]`, the others `[rows, d]`.
pub fn rms_norm_backward(
    gamma: &[f32],
    epsilon: f32,
    output_gradient: &[f32],
    input: &[f32],
    input_gradient: &mut [f32],
    gamma_gradient: &mut [f32],
) {
    check(gamma, input.len(), output_gradient.len());
    assert_eq!(input_gradient.len(), input.len(), "numbers in a norm's gradient");
    let d = gamma.len();
    assert_eq!(gamma_gradient.len(), d, "numbers in dγ");
    gamma_gradient.fill(0.0);
    let chunk = ROWS * d;
    with_scratch(input.len().div_ceil(chunk) * d, |partial| {
        partial
            .par_chunks_mut(d)
            .zip(input_gradient.par_chunks_mut(chunk))
            .zip(output_gradient.par_chunks(chunk).zip(input.par_chunks(chunk)))
            .for_each(|((partial, of_input), (of_output, input))| {
                partial.fill(0.0);
                derive(gamma, epsilon, of_output, input, of_input, partial);
            });
        for partial in partial.chunks(d) {
            gamma_gradient.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
        }
    });
}

fn check(gamma: &[f32], input: usize, out: usize) {
    assert!(!gamma.is_empty(), "a norm over at least one column");
    assert_eq!(input, out, "numbers before and after a norm");
    assert_eq!(out % gamma.len(), 0, "rows of {} numbers", gamma.len());
}

vectorised! {
    fn derive(
        gamma: &[f32],
        epsilon: f32,
        output_gradient: &[f32],
        input: &[f32],
        input_gradient: &mut [f32],
        gamma_gradient: &mut [f32],
    ) {
        let d = gamma.len();
        let rows = input.chunks_exact(d).zip(output_gradient.chunks_exact(d));
        for ((x, dy), dx) in rows.zip(input_gradient.chunks_exact_mut(d)) {
            let scale = 1.0 / (dot::<LANES>(x, x) / d as f32 + epsilon).sqrt();
            for i in 0..d {
                gamma_gradient[i] += dy[i] * (x[i] * scale);
                dx[i] = dy[i] * gamma[i];
            }
            let along = dot::<LANES>(dx, x) / d as f32 * scale * scale;
            for i in 0..d {
                dx[i] = scale * (dx[i] - x[i] * along);
            }
        }
    }
}

vectorised! {
    fn normalise(gamma: &[f32], epsilon: f32, input: &[f32], out: &mut [f32]) {
        let d = gamma.len();
        for (input, out) in input.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            let scale = 1.0 / (dot::<LANES>(input, input) / d as f32 + epsilon).sqrt();
            for ((out, x), gamma) in out.iter_mut().zip(input).zip(gamma) {
                *out = gamma * (x * scale);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

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
    fn gradients_equal_the_formula() {
        let (rows, d) = (50, 33);
        let (x, dy, gamma) = (numbers(rows * d, 1), numbers(rows * d, 2), numbers(d, 3));
        let (mut dx, mut dg) = (vec![0.0; rows * d], vec![f32::NAN; d]);
        rms_norm_backward(&gamma, 1e-5, &dy, &x, &mut dx, &mut dg);
        let (mut exact_x, mut exact_g) = (Vec::new(), vec![0.0; d]);
        for row in 0..rows {
            let at = |values: &[f32], i: usize| f64::from(values[row * d + i]);
            let square = (0..d).map(|i| at(&x, i).powi(2)).sum::<f64>() / d as f64 + 1e-5;
            let g = |i: usize| at(&dy, i) * f64::from(gamma[i]);
            let along = (0..d).map(|i| g(i) * at(&x, i)).sum::<f64>() / d as f64;
            exact_x.extend((0..d).map(|i| (g(i) - at(&x, i) * along / square) / square.sqrt()));
            exact_g.iter_mut().enumerate().for_each(|(i, sum): (usize, &mut f64)| {
                *sum += at(&dy, i) * at(&x, i) / square.sqrt();
            });
        }
        assert_close(&dx, &exact_x, 3e-6);
        assert_close(&dg, &exact_g, 1e-5);
    }

    #[test]
    fn threads_do_not_change_a_norm() {
        let (x, gamma) = (numbers(77 * 65, 1), numbers(65, 3));
        let dy = numbers(77 * 65, 2);
        assert_same_on_any_threads(|| {
            let (mut dx, mut dg) = (vec![0.0; x.len()], vec![0.0; 65]);
            rms_norm_backward(&gamma, 1e-6, &dy, &x, &mut dx, &mut dg);
            dx.extend(dg);
            dx
        });
        assert_same_on_any_threads(|| {
            let mut out = vec![0.0; x.len()];
            rms_norm(&gamma, 1e-6, &x, &mut out);
            out
        });
    }
}
