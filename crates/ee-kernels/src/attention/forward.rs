//! The forward pass.

use super::rows::{drop, softmax};
use super::{AttentionInputs, AttentionShape, QUERIES};
use crate::disjoint::Disjoint;
use crate::gemm::{DEPTH, MatrixView, gemm_serial};
use crate::scratch::with_scratch;

/// dropout(softmax(scale · Q Kᵀ + bias)) V per head, and log Σ exp of each query's scores, which is left as it was
/// where a query sees nothing.
///
/// # Shapes
/// `out` `[batch, queries, heads * head_dim]`, `log_sum_exp` `[batch, queries, heads]`.
pub fn attention_forward(
    shape: &AttentionShape,
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
    shape: &'a AttentionShape,
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
            return self.block(0, group, 1, |_| live.start);
        }
        for head in 0..group {
            for begin in live.clone().step_by(QUERIES) {
                let n = QUERIES.min(live.end - begin);
                self.block(head, n, heads, |index| begin + index);
            }
        }
    }

    /// `n` rows that begin with a head and are `stride` heads apart, each of a query.
    fn block(&self, head: usize, n: usize, stride: usize, query: impl Fn(usize) -> usize) {
        let (shape, row) = (self.shape, self.row);
        // A product's sums visit the result every `DEPTH` steps: counted from the row's first token these
        // are the same steps for a query alone and for one whose neighbours see earlier slots.
        let (start, seen) = (shape.held[row].start, shape.seen(row, query(0)).start);
        let slots = start + (seen - start) / DEPTH * DEPTH..shape.seen(row, query(n - 1)).end;
        let key = shape.key_rows(self.inputs.key, row, self.head, &slots);
        let value = shape.key_rows(self.inputs.value, row, self.head, &slots);
        let at = shape.query_at(row, query(0), self.head, head);
        let queries = shape.query_rows(self.inputs.query, at, n, stride);
        let keys = slots.len();
        with_scratch(n * keys, |scores| {
            // SAFETY: the scores are this task's own, and it alone writes these heads of this batch row.
            unsafe {
                gemm_serial(queries, key.transposed(), Disjoint::new(scores), 0, keys, false);
                for (index, scores) in scores.chunks_exact_mut(keys).enumerate() {
                    let at = at + index * stride;
                    let log_sum_exp = self.probabilities(at, query(index), slots.start, scores);
                    self.log_sum_exp.part(at, 1)[0] = log_sum_exp;
                }
                let probabilities = MatrixView::row_major(scores, n, keys);
                let (at, stride) = (at * shape.head_dim, stride * shape.head_dim);
                gemm_serial(probabilities, value, self.out, at, stride, false);
            }
        });
    }

    /// One query's scores of the slots from `slot` on to probabilities, 0 where it does not look; gives log Σ
    /// exp.
    fn probabilities(&self, at: usize, query: usize, slot: usize, scores: &mut [f32]) -> f32 {
        let shape = self.shape;
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
