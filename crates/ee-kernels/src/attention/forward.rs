//! The forward pass.

use rayon::prelude::*;

use super::rows::{drop, softmax};
use super::{AttentionInputs, AttentionShape, QUERIES};
use crate::disjoint::Disjoint;
use crate::gemm::{MatrixView, gemm_serial};
use crate::scratch::with_scratch;

/// dropout(softmax(scale · Q Kᵀ)) V per head, and log Σ exp of each query's scaled scores.
///
/// # Shapes
/// `out` `[batch, queries, heads * head_dim]`, `log_sum_exp` `[batch, heads, queries]`.
///
/// # Panics
/// If sizes do not fit together.
pub fn attention_forward(
    shape: &AttentionShape<'_>,
    inputs: AttentionInputs<'_>,
    out: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    shape.check(inputs, log_sum_exp);
    assert_eq!(out.len(), inputs.query.len(), "numbers in the result of attention");
    if out.is_empty() {
        return;
    }
    let out = Disjoint::new(out);
    log_sum_exp.par_chunks_mut(shape.queries).with_max_len(1).enumerate().for_each(
        |(task, log_sum_exp)| {
            one_head(shape, inputs, task / shape.heads, task % shape.heads, out, log_sum_exp);
        },
    );
}

/// One head of one batch row.
fn one_head(
    shape: &AttentionShape<'_>,
    inputs: AttentionInputs<'_>,
    row: usize,
    head: usize,
    out: Disjoint<'_>,
    log_sum_exp: &mut [f32],
) {
    let (queries, keys) = (shape.query_lengths[row], shape.key_lengths[row]);
    let live = if keys == 0 { 0 } else { queries };
    for token in live..shape.queries {
        let at = shape.offset(shape.queries, row, token, head);
        // SAFETY: this task alone writes this head of this batch row.
        unsafe { out.part(at, shape.head_dim) }.fill(0.0);
    }
    log_sum_exp[live..].fill(0.0);
    with_scratch(QUERIES.min(live) * keys, |scores| {
        for first in (0..live).step_by(QUERIES) {
            let n = QUERIES.min(live - first);
            let scores = &mut scores[..n * keys];
            let query = shape.head(inputs.query, shape.queries, row, first, head, n);
            let key = shape.head(inputs.key, shape.keys, row, 0, head, keys);
            // SAFETY: the scores are this task's own.
            unsafe { gemm_serial(query, key.transposed(), Disjoint::new(scores), 0, keys, false) };
            for (index, scores) in scores.chunks_exact_mut(keys).enumerate() {
                log_sum_exp[first + index] = softmax(scores, shape.scale);
                if let Some(mask) = shape.mask(row, head, first + index) {
                    drop(scores, mask);
                }
            }
            let value = shape.head(inputs.value, shape.keys, row, 0, head, keys);
            let at = shape.offset(shape.queries, row, first, head);
            let probabilities = MatrixView::row_major(scores, n, keys);
            // SAFETY: this task alone writes this head of this batch row.
            unsafe { gemm_serial(probabilities, value, out, at, shape.d_model(), false) };
        }
    });
}
