//! The work on one query's row of scores.

use crate::dropout::Mask;
use crate::instructions::vectorised;
use crate::math::{self, exp};

/// Partial results per row.
const LANES: usize = 32;

vectorised! {
    /// Scores to probabilities of `scale` · scores; returns log Σ exp.
    pub(super) fn softmax(row: &mut [f32], scale: f32) -> f32 {
        let max = scale * math::largest::<LANES>(row);

        let mut sums = [0.0_f32; LANES];
        let (blocks, rest) = row.as_chunks_mut::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                block[lane] = exp::<FUSED>(block[lane] * scale - max);
                sums[lane] += block[lane];
            }
        }
        for (lane, value) in rest.iter_mut().enumerate() {
            *value = exp::<FUSED>(*value * scale - max);
            sums[lane] += *value;
        }
        let sum: f32 = sums.iter().sum();
        let inverse = 1.0 / sum;
        for value in row {
            *value *= inverse;
        }
        max + sum.ln()
    }
}

vectorised! {
    /// Scores to probabilities, from the log Σ exp that [`softmax`] gave.
    pub(super) fn softmax_again(row: &mut [f32], scale: f32, log_sum_exp: f32) {
        for value in row {
            *value = exp::<FUSED>(*value * scale - log_sum_exp);
        }
    }
}

vectorised! {
    /// Drops elements of a row that begins at element `first` of the mask.
    pub(super) fn drop(row: &mut [f32], mask: Mask, first: u32) {
        for (offset, value) in (first..).zip(row) {
            *value *= mask.factor(offset);
        }
    }
}

vectorised! {
    /// `scale` · scores + bias
    pub(super) fn add_bias(row: &mut [f32], scale: f32, bias: &[f32]) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value = *value * scale + bias;
        }
    }
}

vectorised! {
    /// Adds a row to `sum`, and scales it.
    pub(super) fn add_and_scale(row: &mut [f32], scale: f32, sum: &mut [f32]) {
        for (value, sum) in row.iter_mut().zip(sum) {
            *sum += *value;
            *value *= scale;
        }
    }
}

vectorised! {
    /// Σ a·b
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        math::dot::<LANES>(a, b)
    }
}

vectorised! {
    /// dS = scale · P∘(dP − D), into `gradient`, which holds dP.
    pub(super) fn softmax_backward(probabilities: &[f32], gradient: &mut [f32], along: f32, scale: f32) {
        for (gradient, &p) in gradient.iter_mut().zip(probabilities) {
            *gradient = scale * p * (*gradient - along);
        }
    }
}
