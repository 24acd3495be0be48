//! Layer norm, alone or of a residual stream plus the dropped-out output of a sub-layer.
//!
//! Mean and variance are taken in two passes over a row, which is in the first cache by then. The backward
//! pass sums dγ and dβ over chunks of rows of fixed size, and adds the chunks in order.

mod rms;

use rayon::prelude::*;

use super::dropout::{Dropout, Mask};
use super::instructions::vectorised;
use super::math::fused;
use super::scratch::with_scratch;
use super::sizes::product;

pub use self::rms::{add_rms_norm, rms_norm, rms_norm_backward};

/// Rows that a thread takes at a time.
const ROWS: usize = 32;
/// Partial sums per row, so that the compiler may keep them in registers.
const LANES: usize = 64;

/// γ, β and ε.
#[derive(Clone, Copy, Debug)]
pub struct NormParameters<'a> {
    /// γ, `[d]`
    pub gamma: &'a [f32],
    /// β, `[d]`
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// What the forward pass keeps of every row.
#[derive(Debug)]
pub struct NormStatistics<'a> {
    /// Mean, `[rows]`
    pub mean: &'a mut [f32],
    /// 1 / √(variance + ε), `[rows]`
    pub inverse_deviation: &'a mut [f32],
}

/// Where the backward pass writes.
#[derive(Debug)]
pub struct NormGradients<'a> {
    /// Gradient of the normalised state, `[rows, d]`
    pub input: &'a mut [f32],
    /// dγ, `[d]`
    pub gamma: &'a mut [f32],
    /// dβ, `[d]`
    pub beta: &'a mut [f32],
}

/// y = γ (s − mean(s)) / √(var(s) + ε) + β by rows (Ba et al. 2016) of s = `residual` + dropout(`input`); s is
/// kept in `sum` for the backward pass.
///
/// The backward pass is [`layer_norm_backward`] on `sum`: its result is the gradient of `residual`, and
/// times the mask ([`super::dropout`] with the same seed) that of `input`.
///
/// # Shapes
/// `input`, `residual`, `sum`, `out` `[rows, d]`.
///
/// # Panics
/// If sizes do not fit together or p is outside 0..1.
pub fn residual_norm(
    parameters: NormParameters<'_>,
    dropout: Dropout,
    input: &[f32],
    residual: &[f32],
    sum: &mut [f32],
    out: &mut [f32],
    statistics: NormStatistics<'_>,
) {
    let d = check(parameters, out.len(), statistics.mean.len(), statistics.inverse_deviation.len());
    for len in [input.len(), residual.len(), sum.len()] {
        assert_eq!(len, out.len(), "numbers before and after a norm");
    }
    if out.is_empty() {
        return;
    }
    out.par_chunks_mut(ROWS * d)
        .zip(sum.par_chunks_mut(ROWS * d))
        .zip(input.par_chunks(ROWS * d).zip(residual.par_chunks(ROWS * d)))
        .zip(
            statistics
                .mean
                .par_chunks_mut(ROWS)
                .zip(statistics.inverse_deviation.par_chunks_mut(ROWS)),
        )
        .enumerate()
        .for_each(|(chunk, (((out, sum), (input, residual)), (mean, inverse_deviation)))| {
            if dropout.is_active() {
                let mask = dropout.mask((chunk * ROWS * d) as u64);
                add_dropped(mask, input, residual, sum);
            } else {
                add(input, residual, sum);
            }
            normalise_rows(parameters, sum, out, mean, inverse_deviation);
        });
}

/// Gradients of a layer norm from dY, its input (`sum` of [`residual_norm`]) and the kept statistics.
///
/// # Shapes
/// `output_gradient`, `input` `[rows, d]`; `mean`, `inverse_deviation` `[rows]`.
pub fn layer_norm_backward(
    gamma: &[f32],
    output_gradient: &[f32],
    input: &[f32],
    mean: &[f32],
    inverse_deviation: &[f32],
    gradients: NormGradients<'_>,
) {
    let parameters = NormParameters { gamma, beta: gradients.beta, epsilon: 0.0 };
    let d = check(parameters, input.len(), mean.len(), inverse_deviation.len());
    assert_eq!(gradients.gamma.len(), d, "numbers in dγ");
    for len in [output_gradient.len(), gradients.input.len()] {
        assert_eq!(len, input.len(), "numbers in a norm's gradient");
    }
    gradients.gamma.fill(0.0);
    gradients.beta.fill(0.0);
    if input.is_empty() {
        return;
    }
    let chunks = mean.len().div_ceil(ROWS);
    with_scratch(2 * chunks * d, |partial| {
        partial
            .par_chunks_mut(2 * d)
            .zip(gradients.input.par_chunks_mut(ROWS * d))
            .zip(output_gradient.par_chunks(ROWS * d).zip(input.par_chunks(ROWS * d)))
            .zip(mean.par_chunks(ROWS).zip(inverse_deviation.par_chunks(ROWS)))
            .for_each(|(((partial, gradient), (output_gradient, input)), (mean, inverse))| {
                partial.fill(0.0);
                derive_rows(gamma, output_gradient, input, mean, inverse, gradient, partial);
            });
        for partial in partial.chunks(2 * d) {
            let (d_gamma, d_beta) = partial.split_at(d);
            gradients.gamma.iter_mut().zip(d_gamma).for_each(|(sum, part)| *sum += part);
            gradients.beta.iter_mut().zip(d_beta).for_each(|(sum, part)| *sum += part);
        }
    });
}

/// Asserts that sizes fit and gives d.
fn check(parameters: NormParameters<'_>, len: usize, means: usize, deviations: usize) -> usize {
    let d = parameters.gamma.len();
    assert_eq!(parameters.beta.len(), d, "numbers in β");
    assert_eq!(product([means, d]), len, "rows of {d} numbers");
    assert_eq!(deviations, means, "rows of a norm");
    d
}

vectorised! {
    fn add(input: &[f32], residual: &[f32], sum: &mut [f32]) {
        for ((sum, input), residual) in sum.iter_mut().zip(input).zip(residual) {
            *sum = residual + input;
        }
    }
}

vectorised! {
    fn add_dropped(mask: Mask, input: &[f32], residual: &[f32], sum: &mut [f32]) {
        let terms = input.iter().zip(residual);
        for (offset, (sum, (input, residual))) in (0_u32..).zip(sum.iter_mut().zip(terms)) {
            *sum = fused::<FUSED>(*input, mask.factor(offset), *residual);
        }
    }
}

/// Σ term(row\[i\]) in lanes, which are then added in halves.
#[inline(always)]
fn sum_lanes(row: &[f32], term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for (block, values) in blocks.iter().enumerate() {
        for lane in 0..LANES {
            lanes[lane] += term(block * LANES + lane, values[lane]);
        }
    }
    let start = blocks.len() * LANES;
    for (lane, &value) in rest.iter().enumerate() {
        lanes[lane] += term(start + lane, value);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

vectorised! {
    fn normalise_rows(
        parameters: NormParameters<'_>,
        input: &[f32],
        out: &mut [f32],
        means: &mut [f32],
        inverse_deviations: &mut [f32],
    ) {
        let NormParameters { gamma, beta, epsilon } = parameters;
        let d = gamma.len();
        let rows = input.chunks_exact(d).zip(out.chunks_exact_mut(d));
        for ((input, out), (mean, inverse)) in rows.zip(means.iter_mut().zip(inverse_deviations)) {
            let average = sum_lanes(input, |_, x| x) / d as f32;
            let variance = sum_lanes(input, |_, x| (x - average) * (x - average)) / d as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            (*mean, *inverse) = (average, scale);
            for (((out, &x), &gamma), &beta) in out.iter_mut().zip(input).zip(gamma).zip(beta) {
                *out = fused::<FUSED>((x - average) * scale, gamma, beta);
            }
        }
    }
}

vectorised! {
    /// dx = (g − mean(g) − x̂·mean(g·x̂)) / σ with g = dy·γ and x̂ the normalised row; dγ and dβ, one
    /// after the other, are added to `parameters`.
    fn derive_rows(
        gamma: &[f32],
        output_gradient: &[f32],
        input: &[f32],
        means: &[f32],
        inverse_deviations: &[f32],
        gradient: &mut [f32],
        parameters: &mut [f32],
    ) {
        let d = gamma.len();
        let (d_gamma, d_beta) = parameters.split_at_mut(d);
        let rows = input.chunks_exact(d).zip(output_gradient.chunks_exact(d));
        let rows = rows.zip(gradient.chunks_exact_mut(d));
        for (((input, dy), dx), (&mean, &inverse)) in rows.zip(means.iter().zip(inverse_deviations)) {
            for i in 0..d {
                let normalised = (input[i] - mean) * inverse;
                d_gamma[i] = fused::<FUSED>(dy[i], normalised, d_gamma[i]);
                d_beta[i] += dy[i];
                dx[i] = dy[i] * gamma[i];
            }
            let average = sum_lanes(dx, |_, g| g) / d as f32;
            let along =
                sum_lanes(dx, |i, g| g * ((input[i] - mean) * inverse)) / d as f32;
            for i in 0..d {
                let normalised = (input[i] - mean) * inverse;
                dx[i] = (dx[i] - fused::<FUSED>(normalised, along, average)) * inverse;
            }
        }
    }
}

#[cfg(test)]
mod tests;
