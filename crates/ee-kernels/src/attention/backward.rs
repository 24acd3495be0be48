//! The backward pass: dV = P̃ᵀ dO, dP = mask∘(dO Vᵀ), dS = P∘(dP − D), dQ = dS K, dK = dSᵀ Q, with
//! P̃ = mask∘P and D = rowsum(dO∘O), which is rowsum(dP∘P) with or without dropout.

use rayon::prelude::*;

use super::rows::{dot, drop, softmax_again, softmax_backward};
use super::{AttentionInputs, AttentionShape, QUERIES};
use crate::disjoint::Disjoint;
use crate::gemm::{MatrixView, gemm_serial};
use crate::scratch::with_scratch;

/// Where the backward pass writes; shaped as the inputs.
#[derive(Debug)]
pub struct AttentionGradients<'a> {
    /// dQ
    pub query: &'a mut [f32],
    /// dK
    pub key: &'a mut [f32],
    /// dV
    pub value: &'a mut [f32],
}

/// What the tasks share.
struct Backward<'a> {
    shape: &'a AttentionShape<'a>,
    inputs: AttentionInputs<'a>,
    out: &'a [f32],
    log_sum_exp: &'a [f32],
    out_gradient: &'a [f32],
    query: Disjoint<'a>,
    key: Disjoint<'a>,
    value: Disjoint<'a>,
}

/// Gradients of [`super::attention_forward`] from its inputs, its results and the gradient of `out`.
///
/// # Shapes
/// `out`, `out_gradient` `[batch, queries, heads * head_dim]`, `log_sum_exp` `[batch, heads, queries]`.
///
/// # Panics
/// If sizes do not fit together.
pub fn attention_backward(
    shape: &AttentionShape<'_>,
    inputs: AttentionInputs<'_>,
    out: &[f32],
    log_sum_exp: &[f32],
    out_gradient: &[f32],
    gradients: AttentionGradients<'_>,
) {
    shape.check(inputs, log_sum_exp);
    for len in [out.len(), out_gradient.len(), gradients.query.len()] {
        assert_eq!(len, inputs.query.len(), "numbers in the result of attention or in dQ");
    }
    for len in [gradients.key.len(), gradients.value.len()] {
        assert_eq!(len, inputs.key.len(), "numbers in dK or dV");
    }
    if inputs.query.is_empty() || inputs.key.is_empty() {
        gradients.query.fill(0.0);
        gradients.key.fill(0.0);
        gradients.value.fill(0.0);
        return;
    }
    let backward = Backward {
        shape,
        inputs,
        out,
        log_sum_exp,
        out_gradient,
        query: Disjoint::new(gradients.query),
        key: Disjoint::new(gradients.key),
        value: Disjoint::new(gradients.value),
    };
    (0..shape.batch() * shape.heads)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| backward.one_head(task / shape.heads, task % shape.heads));
}

impl Backward<'_> {
    /// One head of one batch row.
    fn one_head(&self, row: usize, head: usize) {
        let shape = self.shape;
        let (queries, keys) = (shape.query_lengths[row], shape.key_lengths[row]);
        let live = if keys == 0 { 0 } else { queries };
        self.clear(self.query, shape.queries, row, head, live);
        let reached = if live == 0 { 0 } else { keys };
        self.clear(self.key, shape.keys, row, head, reached);
        self.clear(self.value, shape.keys, row, head, reached);
        with_scratch(2 * QUERIES.min(live) * keys, |scratch| {
            for first in (0..live).step_by(QUERIES) {
                let n = QUERIES.min(live - first);
                let (probabilities, rest) = scratch.split_at_mut(n * keys);
                self.block(row, head, first, n, probabilities, &mut rest[..n * keys]);
            }
        });
    }

    /// Zeroes the gradients of the tokens from `from` on.
    fn clear(&self, gradient: Disjoint<'_>, tokens: usize, row: usize, head: usize, from: usize) {
        for token in from..tokens {
            let at = self.shape.offset(tokens, row, token, head);
            // SAFETY: this task alone writes this head of this batch row.
            unsafe { gradient.part(at, self.shape.head_dim) }.fill(0.0);
        }
    }

    /// `n` queries from `first` on; the first block overwrites dK and dV, later ones add to them.
    fn block(
        &self,
        row: usize,
        head: usize,
        first: usize,
        n: usize,
        probabilities: &mut [f32],
        gradient: &mut [f32],
    ) {
        let shape = self.shape;
        let keys = shape.key_lengths[row];
        let of_queries = |data| shape.head(data, shape.queries, row, first, head, n);
        let of_keys = |data| shape.head(data, shape.keys, row, 0, head, keys);
        let (query, key) = (of_queries(self.inputs.query), of_keys(self.inputs.key));
        let (out_gradient, value) = (of_queries(self.out_gradient), of_keys(self.inputs.value));
        let key_at = shape.offset(shape.keys, row, 0, head);
        let query_at = shape.offset(shape.queries, row, first, head);
        let (d_model, add) = (shape.d_model(), first > 0);
        // SAFETY: the scratch is this task's own, and it alone writes this head of this batch row.
        unsafe {
            gemm_serial(query, key.transposed(), Disjoint::new(probabilities), 0, keys, false);
            gemm_serial(out_gradient, value.transposed(), Disjoint::new(gradient), 0, keys, false);
            self.softmax_again(row, head, first, probabilities);
            self.derive_scores(row, head, first, probabilities, gradient);
            let scores = MatrixView::row_major(gradient, n, keys);
            gemm_serial(scores, key, self.query, query_at, d_model, false);
            gemm_serial(scores.transposed(), query, self.key, key_at, d_model, add);
            self.drop(row, head, first, probabilities);
            let dropped = MatrixView::row_major(probabilities, n, keys).transposed();
            gemm_serial(dropped, out_gradient, self.value, key_at, d_model, add);
        }
    }

    /// Scores to P.
    fn softmax_again(&self, row: usize, head: usize, first: usize, scores: &mut [f32]) {
        let shape = self.shape;
        let at = (row * shape.heads + head) * shape.queries + first;
        let rows = scores.chunks_exact_mut(shape.key_lengths[row]);
        for (scores, &log_sum_exp) in rows.zip(&self.log_sum_exp[at..]) {
            softmax_again(scores, shape.scale, log_sum_exp);
        }
    }

    /// P to mask∘P, or dO Vᵀ to dP.
    fn drop(&self, row: usize, head: usize, first: usize, values: &mut [f32]) {
        for (index, values) in values.chunks_exact_mut(self.shape.key_lengths[row]).enumerate() {
            if let Some(mask) = self.shape.mask(row, head, first + index) {
                drop(values, mask);
            }
        }
    }

    /// dO Vᵀ to dS.
    fn derive_scores(
        &self,
        row: usize,
        head: usize,
        first: usize,
        probabilities: &[f32],
        gradient: &mut [f32],
    ) {
        let shape = self.shape;
        self.drop(row, head, first, gradient);
        let keys = shape.key_lengths[row];
        let rows = probabilities.chunks_exact(keys).zip(gradient.chunks_exact_mut(keys));
        for (index, (probabilities, gradient)) in rows.enumerate() {
            let at = shape.offset(shape.queries, row, first + index, head);
            let of_head = at..at + shape.head_dim;
            let along = dot(&self.out[of_head.clone()], &self.out_gradient[of_head]);
            softmax_backward(probabilities, gradient, along, shape.scale);
        }
    }
}
