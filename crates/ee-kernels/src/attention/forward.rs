//! The forward pass.

use super::rows::{drop, softmax};
use super::{AttentionInputs, AttentionShape, QUERIES};
use crate::disjoint::Disjoint;
use crate::gemm::{DEPTH, MatrixView, gemm_serial};
use crate::scratch::with_scratch;

/// dropout(softmax(scale · Q Kᵀ + bias)) V per head, and log Σ exp of each query's scores.
///
/// # Shapes
/// `out` `[batch, queries, heads * head_dim]`, `log_sum_exp` `[batch, queries, heads]`.
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
    let (out, log_sum_exp) = (Disjoint::new(out), Disjoint::new(log_sum_exp));
    shape.for_each_task(false, |row, head| {
        Task { shape, inputs, out, log_sum_exp, row, head }.run();
    });
}

/// One head of keys of one batch row.
struct Task<'a> {
    shape: &'a AttentionShape<'a>,
    inputs: AttentionInputs<'a>,
    out: Disjoint<'a>,
    log_sum_exp: Disjoint<'a>,
    row: usize,
    head: usize,
}

impl Task<'_> {
    fn run(&self) {
        let AttentionShape { queries, heads, kv_heads, head_dim, .. } = *self.shape;
        let (group, live) = (heads / kv_heads, self.shape.live(self.row));
        for query in (0..live.start).chain(live.end..queries) {
            let at = self.shape.query_at(self.row, query, self.head, 0);
            // SAFETY: this task alone writes these heads of this batch row.
            unsafe { self.out.part(at * head_dim, group * head_dim) }.fill(0.0);
        }
        if live.len() == 1 {
            // The heads that share these keys are one product.
            return self.block(live.start, live.start, 0, group, 1);
        }
        for head in 0..group {
            for begin in live.clone().step_by(QUERIES) {
                let n = QUERIES.min(live.end - begin);
                self.block(begin, begin + n - 1, head, n, heads);
            }
        }
    }

    /// `n` rows of queries, `stride` heads apart, from a head of the first query to one of the last.
    fn block(&self, first: usize, last: usize, head: usize, n: usize, stride: usize) {
        let (shape, row) = (self.shape, self.row);
        // A product's sums visit the result every so many steps: counted from the row's first token these
        // are the same steps for a query alone and for one whose neighbours see earlier slots.
        let (start, seen) = (shape.held[row].start, shape.seen(row, first).start);
        let slots = start + (seen - start) / DEPTH * DEPTH..shape.seen(row, last).end;
        let key = shape.key_rows(self.inputs.key, row, self.head, &slots);
        let value = shape.key_rows(self.inputs.value, row, self.head, &slots);
        let at = shape.query_at(row, first, self.head, head);
        let query = shape.query_rows(self.inputs.query, at, n, stride);
        let keys = slots.len();
        with_scratch(n * keys, |scores| {
            // SAFETY: the scores are this task's own, and it alone writes these heads of this batch row.
            unsafe {
                gemm_serial(query, key.transposed(), Disjoint::new(scores), 0, keys, false);
                for (index, scores) in scores.chunks_exact_mut(keys).enumerate() {
                    let at = at + index * stride;
                    self.log_sum_exp.part(at, 1)[0] = self.probabilities(at, slots.start, scores);
                }
                let probabilities = MatrixView::row_major(scores, n, keys);
                let (at, stride) = (at * shape.head_dim, stride * shape.head_dim);
                gemm_serial(probabilities, value, self.out, at, stride, false);
            }
        });
    }

    /// One query's scores of the slots from `slot` on to probabilities, 0 where it does not look; gives log Σ
    /// exp.
    fn probabilities(&self, at: usize, slot: usize, scores: &mut [f32]) -> f32 {
        let shape = self.shape;
        let [_, query] = shape.head_and_query(at);
        let seen = shape.seen(self.row, query);
        let (from, to) = (seen.start - slot, seen.end - slot);
        let visible = &mut scores[from..to];
        let scale = shape.add_bias(self.inputs.bias, at, seen.start, visible);
        let log_sum_exp = softmax(visible, scale);
        if let Some(mask) = shape.mask(self.row, at) {
            drop(visible, mask, seen.start as u32);
        }
        scores[..from].fill(0.0);
        scores[to..].fill(0.0);
        log_sum_exp
    }
}
