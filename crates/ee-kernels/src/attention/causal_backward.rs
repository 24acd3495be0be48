//! The backward pass of causal attention, as [`super::backward`] does it, over the slots that a block of
//! queries sees.
//!
//! A task is one head of keys of one batch row and adds what the heads of queries that share it give, one
//! after the other, so that no two tasks write the same numbers and sums have one order.

use std::ops::Range;

use super::causal::CausalShape;
use super::rows::{dot, softmax_again, softmax_backward};
use super::{AttentionGradients, AttentionInputs, QUERIES};
use crate::disjoint::Disjoint;
use crate::gemm::{MatrixView, gemm_serial};
use crate::scratch::with_scratch;

/// Gradients of [`super::causal_attention`] from its inputs, its results and the gradient of `out`.
///
/// # Shapes
/// As there; the gradients as the inputs. Slots that no query sees get 0.
///
/// # Panics
/// If sizes do not fit together, or two rows see the same slots.
pub fn causal_attention_backward(
    shape: &CausalShape<'_>,
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
    let [query, key, value] = [gradients.query, gradients.key, gradients.value].map(Disjoint::new);
    shape.for_each_task(|row, head| {
        Task { shape, inputs, out, log_sum_exp, out_gradient, query, key, value, row, head }.run();
    });
}

/// One head of keys of one batch row.
struct Task<'a> {
    shape: &'a CausalShape<'a>,
    inputs: AttentionInputs<'a>,
    out: &'a [f32],
    log_sum_exp: &'a [f32],
    out_gradient: &'a [f32],
    query: Disjoint<'a>,
    key: Disjoint<'a>,
    value: Disjoint<'a>,
    row: usize,
    head: usize,
}

impl Task<'_> {
    fn run(&self) {
        let CausalShape { queries, capacity, heads, kv_heads, head_dim, .. } = *self.shape;
        let (group, live) = (heads / kv_heads, self.shape.live(self.row));
        for query in (0..live.start).chain(live.end..queries) {
            let at = self.shape.query_at(self.row, query, self.head, 0);
            // SAFETY: this task alone writes these heads of this batch row.
            unsafe { self.query.part(at, group * head_dim) }.fill(0.0);
        }
        if self.shape.origins.is_none() {
            for slot in 0..capacity {
                let at = self.shape.key_at(self.row, slot, self.head);
                for gradient in [self.key, self.value] {
                    // SAFETY: as above.
                    unsafe { gradient.part(at, head_dim) }.fill(0.0);
                }
            }
        }
        for head in 0..group {
            for begin in live.clone().step_by(QUERIES) {
                self.block(head, begin..live.end.min(begin + QUERIES));
            }
        }
    }

    /// Some queries of one head; dK and dV are added to.
    fn block(&self, head: usize, queries: Range<usize>) {
        let (shape, row) = (self.shape, self.row);
        let CausalShape { first, heads, kv_heads, head_dim, .. } = *shape;
        let slots = shape.seen(row, first + queries.start).start..first + queries.end;
        let (n, keys, stride) = (queries.len(), slots.len(), heads * head_dim);
        let at = shape.query_at(row, queries.start, self.head, head);
        let of_queries = |data| {
            let data: &[f32] = data;
            MatrixView::new(&data[at..], n, head_dim, stride, 1)
        };
        let (query, out_gradient) = (of_queries(self.inputs.query), of_queries(self.out_gradient));
        let key = shape.keys(self.inputs.key, row, self.head, &slots);
        let value = shape.keys(self.inputs.value, row, self.head, &slots);
        let key_at = shape.key_at(row, slots.start, self.head);
        let kv_stride = kv_heads * head_dim;
        with_scratch(2 * n * keys, |scratch| {
            let (probabilities, gradient) = scratch.split_at_mut(n * keys);
            // SAFETY: the scratch is this task's own, and it alone writes these heads of this batch row.
            unsafe {
                gemm_serial(query, key.transposed(), Disjoint::new(probabilities), 0, keys, false);
                gemm_serial(
                    out_gradient,
                    value.transposed(),
                    Disjoint::new(gradient),
                    0,
                    keys,
                    false,
                );
                self.derive_scores(at, &queries, &slots, probabilities, gradient);
                let probabilities = MatrixView::row_major(probabilities, n, keys);
                let scores = MatrixView::row_major(gradient, n, keys);
                gemm_serial(scores, key, self.query, at, stride, false);
                gemm_serial(scores.transposed(), query, self.key, key_at, kv_stride, true);
                let probabilities = probabilities.transposed();
                gemm_serial(probabilities, out_gradient, self.value, key_at, kv_stride, true);
            }
        });
    }

    /// Scores to P, and dO Vᵀ to dS; both 0 where a query does not look.
    fn derive_scores(
        &self,
        at: usize,
        queries: &Range<usize>,
        slots: &Range<usize>,
        probabilities: &mut [f32],
        gradient: &mut [f32],
    ) {
        let CausalShape { first, heads, head_dim, .. } = *self.shape;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let keys = slots.len();
        let rows = probabilities.chunks_exact_mut(keys).zip(gradient.chunks_exact_mut(keys));
        for (index, (probabilities, gradient)) in rows.enumerate() {
            let seen = self.shape.seen(self.row, first + queries.start + index);
            let seen = seen.start - slots.start..seen.end - slots.start;
            for row in [&mut *probabilities, &mut *gradient] {
                row[..seen.start].fill(0.0);
                row[seen.end..].fill(0.0);
            }
            let at = at + index * heads * head_dim;
            let of_head = at..at + head_dim;
            let along = dot(&self.out[of_head.clone()], &self.out_gradient[of_head]);
            let (probabilities, gradient) = (&mut probabilities[seen.clone()], &mut gradient[seen]);
            softmax_again(probabilities, scale, self.log_sum_exp[at / head_dim]);
            softmax_backward(probabilities, gradient, along, scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal_attention;
    use crate::reference::{assert_same_on_any_threads, numbers};

    const HEADS: usize = 4;
    const KV_HEADS: usize = 2;
    const D: usize = 12;
    const QUERIES_PER_ROW: usize = 70;

    fn shape<'a>(starts: &'a [usize], ends: &'a [usize], window: Option<usize>) -> CausalShape<'a> {
        CausalShape {
            queries: QUERIES_PER_ROW,
            first: 0,
            capacity: QUERIES_PER_ROW,
            heads: HEADS,
            kv_heads: KV_HEADS,
            head_dim: D,
            starts,
            ends,
            origins: None,
            window,
        }
    }

    struct Case {
        inputs: [Vec<f32>; 3],
        out_gradient: Vec<f32>,
    }

    impl Case {
        fn new() -> Self {
            let n = |heads: usize| 2 * QUERIES_PER_ROW * heads * D;
            Self {
                inputs: [numbers(n(HEADS), 1), numbers(n(KV_HEADS), 2), numbers(n(KV_HEADS), 3)],
                out_gradient: numbers(n(HEADS), 4),
            }
        }

        fn inputs(&self) -> AttentionInputs<'_> {
            let [query, key, value] = &self.inputs;
            AttentionInputs { query, key, value }
        }

        fn forward(&self, shape: &CausalShape<'_>) -> (Vec<f32>, Vec<f32>) {
            let n = self.inputs[0].len();
            let (mut out, mut log_sum_exp) = (vec![0.0; n], vec![0.0; n / D]);
            causal_attention(shape, self.inputs(), &mut out, &mut log_sum_exp);
            (out, log_sum_exp)
        }

        fn backward(&self, shape: &CausalShape<'_>) -> [Vec<f32>; 3] {
            let (out, log_sum_exp) = self.forward(shape);
            let mut results = self.inputs.each_ref().map(|input| vec![f32::NAN; input.len()]);
            let [query, key, value] = &mut results;
            let gradients = AttentionGradients { query, key, value };
            let (inputs, of_out) = (self.inputs(), &self.out_gradient);
            causal_attention_backward(shape, inputs, &out, &log_sum_exp, of_out, gradients);
            results
        }

        /// Σ out · out_gradient
        fn objective(&self, shape: &CausalShape<'_>) -> f64 {
            let (out, _) = self.forward(shape);
            let terms = out.iter().zip(&self.out_gradient);
            terms.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        }
    }

    #[test]
    fn gradients_equal_differences_along_random_directions() {
        for (starts, ends, window) in
            [([0, 0], [70, 70], None), ([0, 0], [70, 33], None), ([0, 4], [70, 70], Some(9))]
        {
            let shape = shape(&starts, &ends, window);
            let mut case = Case::new();
            let gradients = case.backward(&shape);
            for (which, gradient) in gradients.iter().enumerate() {
                let direction = numbers(gradient.len(), 7);
                let pairs = gradient.iter().zip(&direction);
                let slope: f64 = pairs.map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
                let before = case.inputs[which].clone();
                let [up, down] = [1e-2_f32, -1e-2].map(|step| {
                    let moved = before.iter().zip(&direction).map(|(x, d)| x + step * d);
                    case.inputs[which] = moved.collect();
                    case.objective(&shape)
                });
                case.inputs[which] = before;
                let found = (up - down) / 2e-2;
                let error = (found - slope).abs() / slope.abs().max(0.1);
                assert!(error < 2e-3, "input {which}: {found} for {slope}");
            }
        }
    }

    /// Row 0 begins before the keys: its first slots hold no token and have no place.
    #[test]
    fn rows_that_lie_elsewhere_get_the_gradients_of_rows_one_behind_the_other() {
        let case = Case::new();
        let ends = [QUERIES_PER_ROW; 2];
        let plain = case.backward(&shape(&[9, 0], &ends, None));
        // Row 1 first, then row 0 without its nine slots of padding.
        let slot = KV_HEADS * D;
        let moved = |data: &[f32]| {
            let (first, second) = data.split_at(QUERIES_PER_ROW * slot);
            [second, &first[9 * slot..], &[0.0; 9 * KV_HEADS * D]].concat()
        };
        let origins = [QUERIES_PER_ROW as isize - 9, 0];
        let [query, key, value] = &case.inputs;
        let elsewhere = Case {
            inputs: [query.clone(), moved(key), moved(value)],
            out_gradient: case.out_gradient.clone(),
        };
        let shape = CausalShape { origins: Some(&origins), ..shape(&[9, 0], &ends, None) };
        let found = elsewhere.backward(&shape);
        assert_eq!(found[0], plain[0]);
        assert_eq!(found[1], moved(&plain[1]));
        assert_eq!(found[2], moved(&plain[2]));
        // Before the beginning: row 0 alone, at place −9.
        let alone = Case {
            inputs: [
                query[..QUERIES_PER_ROW * HEADS * D].to_vec(),
                key[9 * slot..QUERIES_PER_ROW * slot].to_vec(),
                value[9 * slot..QUERIES_PER_ROW * slot].to_vec(),
            ],
            out_gradient: case.out_gradient[..QUERIES_PER_ROW * HEADS * D].to_vec(),
        };
        let (starts, ends) = ([9], [QUERIES_PER_ROW]);
        let shape = CausalShape { origins: Some(&[-9]), starts: &starts, ends: &ends, ..shape };
        let found = alone.backward(&shape);
        assert_eq!(found[1], plain[1][9 * slot..QUERIES_PER_ROW * slot]);
        assert_eq!(found[2], plain[2][9 * slot..QUERIES_PER_ROW * slot]);
    }

    #[test]
    fn padding_gets_no_gradient_and_threads_change_nothing() {
        let case = Case::new();
        let shape = shape(&[0, 0], &[70, 33], None);
        let [query, key, value] = case.backward(&shape);
        let row = QUERIES_PER_ROW + 33;
        assert!(query[row * HEADS * D..].iter().all(|&g| g == 0.0));
        let rest = |gradient: &[f32]| gradient[row * KV_HEADS * D..].iter().all(|&g| g == 0.0);
        assert!(rest(&key) && rest(&value));
        assert_same_on_any_threads(|| case.backward(&shape).concat());
    }
}
