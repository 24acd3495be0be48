//! The backward pass: dV = P̃ᵀ dO, dP = mask∘(dO Vᵀ), dS = P∘(dP − D), dQ = scale · dS K, dK = scale · dSᵀ Q
//! and, of the bias, Σ dS over batch rows, with P̃ = mask∘P and D = rowsum(dO∘O), which is rowsum(dP∘P) with or
//! without dropout.
//!
//! A task adds the contributions of the query heads that share its keys, one after the other, so that no two tasks
//! write the same numbers and sums have one order.

use std::ops::Range;

use super::rows::{add_and_scale, dot, drop, softmax_again, softmax_backward};
use super::{AttentionInputs, AttentionShape, QUERIES};
use crate::disjoint::Disjoint;
use crate::gemm::{MatrixView, gemm_serial};
use crate::scratch::with_scratch;

/// Where the backward pass writes; shaped as the inputs. Slots that no query sees get 0.
#[derive(Debug)]
pub struct AttentionGradients<'a> {
    /// dQ
    pub query: &'a mut [f32],
    /// dK
    pub key: &'a mut [f32],
    /// dV
    pub value: &'a mut [f32],
    /// Of the bias, where it is wanted; batch rows of a head then take turns.
    pub bias: Option<&'a mut [f32]>,
}

/// Gradients of [`super::attention_forward`] from its inputs, its results and the gradient of `out`.
///
/// # Shapes
/// `out`, `out_gradient` `[batch, queries, heads * head_dim]`, `log_sum_exp` `[batch, queries, heads]`.
///
/// # Panics
/// If sizes do not fit together, or two rows see the same slots.
pub fn attention_backward(
    shape: &AttentionShape,
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
    if shape.origins.is_some() {
        // Slots that no query sees get 0 wherever they lie, and tasks must not meet in one.
        gradients.key.fill(0.0);
        gradients.value.fill(0.0);
        shape.check_apart();
    }
    let bias = gradients.bias.map(|bias| {
        let len = inputs.bias.map_or(0, <[f32]>::len);
        assert_eq!(bias.len(), len, "numbers in the bias and in its gradient");
        bias.fill(0.0);
        Disjoint::new(bias)
    });
    let [query, key, value] = [gradients.query, gradients.key, gradients.value].map(Disjoint::new);
    shape.for_each_task(bias.is_some(), |row, head| {
        let results = (out, log_sum_exp, out_gradient);
        Task { shape, inputs, results, query, key, value, bias, row, head }.run();
    });
}

/// One head of keys of one batch row.
struct Task<'a> {
    shape: &'a AttentionShape,
    inputs: AttentionInputs<'a>,
    /// O, log Σ exp, dO
    results: (&'a [f32], &'a [f32], &'a [f32]),
    query: Disjoint<'a>,
    key: Disjoint<'a>,
    value: Disjoint<'a>,
    bias: Option<Disjoint<'a>>,
    row: usize,
    head: usize,
}

/// Some queries of one head, and the slots that any of them sees.
struct Block {
    /// Where the first query lies, in heads.
    at: usize,
    queries: Range<usize>,
    slots: Range<usize>,
}

impl Task<'_> {
    fn run(&self) {
        let AttentionShape { queries, heads, kv_heads, head_dim, .. } = *self.shape;
        let (group, live) = (heads / kv_heads, self.shape.live(self.row));
        for query in (0..live.start).chain(live.end..queries) {
            let at = self.shape.query_at(self.row, query, self.head, 0);
            // SAFETY: this task alone writes these heads of this batch row.
            unsafe { self.query.part(at * head_dim, group * head_dim) }.fill(0.0);
        }
        let blocks = (0..group).flat_map(|head| {
            let begins = live.clone().step_by(QUERIES);
            begins.map(move |begin| (head, begin..live.end.min(begin + QUERIES)))
        });
        let mut written = 0..0;
        for (index, (head, queries)) in blocks.enumerate() {
            let block = self.block(head, queries);
            if index == 0 {
                written = block.slots.clone();
                self.clear_all_but(&written);
            }
            self.derive(&block, index > 0);
        }
        if written.is_empty() {
            self.clear_all_but(&written);
        }
    }

    fn block(&self, head: usize, queries: Range<usize>) -> Block {
        let (shape, row) = (self.shape, self.row);
        let from = shape.seen(row, queries.start).start;
        let slots = from..shape.seen(row, queries.end - 1).end;
        let at = shape.query_at(row, queries.start, self.head, head);
        Block { at, queries, slots }
    }

    /// Zeroes the gradients of the row's slots that the first block does not overwrite.
    fn clear_all_but(&self, written: &Range<usize>) {
        if self.shape.origins.is_some() {
            return;
        }
        for slot in (0..written.start).chain(written.end..self.shape.slots) {
            let at = self.shape.key_at(self.row, slot, self.head);
            for gradient in [self.key, self.value] {
                // SAFETY: this task alone writes this head of this batch row.
                unsafe { gradient.part(at, self.shape.head_dim) }.fill(0.0);
            }
        }
    }

    /// The gradients of a block of queries; dK and dV are added to where blocks came before.
    fn derive(&self, block: &Block, add: bool) {
        let (shape, row) = (self.shape, self.row);
        let AttentionShape { heads, kv_heads, head_dim, .. } = *shape;
        let Block { at, ref queries, ref slots } = *block;
        let n = queries.len();
        let query = shape.query_rows(self.inputs.query, at, n, heads);
        let out_gradient = shape.query_rows(self.results.2, at, n, heads);
        let key = shape.key_rows(self.inputs.key, row, self.head, slots);
        let value = shape.key_rows(self.inputs.value, row, self.head, slots);
        let key_at = shape.key_at(row, slots.start, self.head);
        let (keys, at) = (slots.len(), at * head_dim);
        let (stride, kv_stride) = (heads * head_dim, kv_heads * head_dim);
        with_scratch(2 * n * keys, |scratch| {
            let (probabilities, gradient) = scratch.split_at_mut(n * keys);
            // SAFETY: the scratch is this task's own, and it alone writes these heads of this batch row.
            unsafe {
                let [scores, of_scores] = [&mut *probabilities, &mut *gradient].map(Disjoint::new);
                gemm_serial(query, key.transposed(), scores, 0, keys, false);
                gemm_serial(out_gradient, value.transposed(), of_scores, 0, keys, false);
                self.derive_scores(block, probabilities, gradient);
                let scores = MatrixView::row_major(gradient, n, keys);
                gemm_serial(scores, key, self.query, at, stride, false);
                gemm_serial(scores.transposed(), query, self.key, key_at, kv_stride, add);
                self.drop(block, probabilities);
                let dropped = MatrixView::row_major(probabilities, n, keys).transposed();
                gemm_serial(dropped, out_gradient, self.value, key_at, kv_stride, add);
            }
        });
    }

    /// Scores to P, and dO Vᵀ to scale · dS; both 0 where a query does not look.
    fn derive_scores(&self, block: &Block, probabilities: &mut [f32], gradient: &mut [f32]) {
        let (shape, keys) = (self.shape, block.slots.len());
        let (out, log_sum_exp, out_gradient) = self.results;
        let rows = probabilities.chunks_exact_mut(keys).zip(gradient.chunks_exact_mut(keys));
        for (index, (probabilities, gradient)) in rows.enumerate() {
            let at = block.at + index * shape.heads;
            let seen = shape.seen(self.row, block.queries.start + index);
            let (from, to) = (seen.start - block.slots.start, seen.end - block.slots.start);
            for row in [&mut *probabilities, &mut *gradient] {
                row[..from].fill(0.0);
                row[to..].fill(0.0);
            }
            let (probabilities, gradient) = (&mut probabilities[from..to], &mut gradient[from..to]);
            let scale = shape.add_bias(self.inputs.bias, at, seen.start, probabilities);
            softmax_again(probabilities, scale, log_sum_exp[at]);
            if let Some(mask) = shape.mask(self.row, at) {
                drop(gradient, mask, seen.start as u32);
            }
            let of_head = at * shape.head_dim..(at + 1) * shape.head_dim;
            let along = dot(&out[of_head.clone()], &out_gradient[of_head]);
            if let Some(bias) = self.bias {
                softmax_backward(probabilities, gradient, along, 1.0);
                let from = shape.bias_at(shape.columns_of(bias.len()), at, seen.start);
                // SAFETY: tasks of one head take turns, and heads have numbers of their own.
                let bias = unsafe { bias.part(from, gradient.len()) };
                add_and_scale(gradient, shape.scale, bias);
            } else {
                softmax_backward(probabilities, gradient, along, shape.scale);
            }
        }
    }

    /// P to mask∘P.
    fn drop(&self, block: &Block, probabilities: &mut [f32]) {
        for (index, row) in probabilities.chunks_exact_mut(block.slots.len()).enumerate() {
            if let Some(mask) = self.shape.mask(self.row, block.at + index * self.shape.heads) {
                drop(row, mask, block.slots.start as u32);
            }
        }
    }
}
