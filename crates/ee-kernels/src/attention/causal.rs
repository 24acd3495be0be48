//! Causal attention over a cache: queries at the cache's end, fewer heads of keys and values than of
//! queries (grouped-query attention, Ainslie et al. 2023), rows of a batch padded on the left or right.
//!
//! A task is one head of keys of one batch row. With one query, its heads that share these keys are one
//! product. Every query's scores are one row of a product and its softmax sees the keys it may see and no
//! others, so that its result has the same bits alone and among others.

use std::ops::Range;

use rayon::prelude::*;

use super::rows::softmax;
use super::{AttentionInputs, QUERIES};
use crate::disjoint::Disjoint;
use crate::gemm::{DEPTH, MatrixView, gemm_serial};
use crate::scratch::with_scratch;
use crate::sizes::product;

/// Multiplications below which attention stays on its thread.
const SERIAL: usize = 1 << 18;

/// The sizes of a causal attention.
#[derive(Clone, Copy, Debug)]
pub struct CausalShape<'a> {
    /// Queries per batch row, at the slots `first`, `first + 1`, …
    pub queries: usize,
    /// Slot of the first query.
    pub first: usize,
    /// Slots per batch row in keys and values.
    pub capacity: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of the keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Columns of a head.
    pub head_dim: usize,
    /// Per batch row the first slot that holds a token.
    pub starts: &'a [usize],
    /// Per batch row the slot after the last that holds a token; later queries give 0.
    pub ends: &'a [usize],
    /// Per batch row where its slot 0 lies in keys and values, counted in slots; before their beginning where
    /// the first slots hold no token. One row behind the other if absent.
    pub origins: Option<&'a [isize]>,
    /// A query sees so many slots, its own included; all earlier ones if absent.
    pub window: Option<usize>,
}

impl CausalShape<'_> {
    /// Asserts that sizes fit together.
    pub(super) fn check(&self, inputs: AttentionInputs<'_>, log_sum_exp: &[f32]) {
        let Self { queries, first, capacity, heads, kv_heads, head_dim, .. } = *self;
        let AttentionInputs { query, key, value } = inputs;
        let batch = self.starts.len();
        assert_eq!(self.ends.len(), batch, "ends, one per batch row");
        assert!(heads > 0 && kv_heads > 0 && head_dim > 0, "heads with numbers in them");
        assert_eq!(heads % kv_heads, 0, "{heads} heads on {kv_heads} heads of keys");
        assert!(self.window != Some(0), "a query sees its own slot at least");
        let of_queries = product([batch, queries, heads, head_dim]);
        assert_eq!(query.len(), of_queries, "numbers in the queries");
        let of_slot = product([kv_heads, head_dim]);
        assert_eq!(key.len() % of_slot, 0, "whole slots of keys");
        match self.origins {
            None => {
                let last = first.checked_add(queries);
                let inside = last.is_some_and(|last| last <= capacity);
                assert!(inside, "{queries} queries from {first} in {capacity} slots");
                assert_eq!(key.len(), product([batch, capacity, of_slot]), "numbers in the keys");
            }
            Some(origins) => {
                assert_eq!(origins.len(), batch, "origins, one per batch row");
                let places = key.len() / of_slot;
                for row in 0..batch {
                    let [from, to] = self.places(row);
                    let inside = from >= 0 && to <= places as i128;
                    assert!(inside, "row {row}, {from} to {to}, does not lie in {places} places");
                }
            }
        }
        assert_eq!(value.len(), key.len(), "numbers in the values");
        let of_sums = product([batch, queries, heads]);
        assert_eq!(log_sum_exp.len(), of_sums, "one log-sum-exp per query");
    }

    /// Where the slots of a row that any query sees lie, first and after the last; wide enough for every
    /// origin and slot there is.
    fn places(&self, row: usize) -> [i128; 2] {
        let origin = self.origins.map_or((row * self.capacity) as i128, |all| all[row] as i128);
        let last = self.first as i128 + self.queries as i128;
        [origin + self.starts[row] as i128, origin + last]
    }

    /// Asserts that no place is seen by two rows, whose tasks could write to it at once.
    pub(super) fn check_apart(&self) {
        let mut rows: Vec<[i128; 2]> = (0..self.starts.len()).map(|row| self.places(row)).collect();
        rows.retain(|[from, to]| from < to);
        rows.sort_unstable();
        for pair in rows.windows(2) {
            assert!(pair[0][1] <= pair[1][0], "two rows share the keys from {} on", pair[1][0]);
        }
    }

    /// Runs one task per head of keys of every batch row.
    pub(super) fn for_each_task(&self, run: impl Fn(usize, usize) + Sync) {
        let Self { queries, first, heads, kv_heads, head_dim, .. } = *self;
        let batch = self.starts.len();
        let run = |task: usize| run(task / kv_heads, task % kv_heads);
        let sizes = [2, batch, queries, first + queries, heads, head_dim];
        if sizes.into_iter().fold(1, usize::saturating_mul) < SERIAL {
            (0..batch * kv_heads).for_each(run);
        } else {
            (0..batch * kv_heads).into_par_iter().with_max_len(1).for_each(run);
        }
    }

    /// Queries of a batch row that hold a token.
    pub(super) fn live(&self, row: usize) -> Range<usize> {
        let slot = |slot: usize| slot.clamp(self.first, self.first + self.queries) - self.first;
        let (from, to) = (slot(self.starts[row]), slot(self.ends[row]));
        from..to.max(from)
    }

    /// The slots that the token in a slot sees.
    pub(super) fn seen(&self, row: usize, slot: usize) -> Range<usize> {
        let start = self.starts[row];
        let windowed = |window| start.max((slot + 1).saturating_sub(window));
        self.window.map_or(start, windowed)..slot + 1
    }

    /// Where a query's head lies, `head` counted within the group of a head of keys.
    pub(super) fn query_at(&self, row: usize, query: usize, kv_head: usize, head: usize) -> usize {
        let head = kv_head * (self.heads / self.kv_heads) + head;
        ((row * self.queries + query) * self.heads + head) * self.head_dim
    }

    /// Where a slot's head of keys lies.
    pub(super) fn key_at(&self, row: usize, slot: usize, kv_head: usize) -> usize {
        let origin = self.origins.map_or((row * self.capacity) as isize, |origins| origins[row]);
        (origin.strict_add_unsigned(slot) as usize * self.kv_heads + kv_head) * self.head_dim
    }

    /// Some slots of a head of keys or values.
    pub(super) fn keys<'a>(
        &self,
        data: &'a [f32],
        row: usize,
        kv_head: usize,
        slots: &Range<usize>,
    ) -> MatrixView<'a> {
        let at = self.key_at(row, slots.start, kv_head);
        let stride = self.kv_heads * self.head_dim;
        MatrixView::new(&data[at..], slots.len(), self.head_dim, stride, 1)
    }
}

/// softmax(Q Kᵀ / √head_dim) V, each query seeing the slots up to its own, and log Σ exp of each query's
/// scaled scores.
///
/// # Shapes
/// `query`, `out` `[batch, queries, heads * head_dim]`, `key`, `value` `[batch, capacity, kv_heads *
/// head_dim]`, `log_sum_exp` `[batch, queries, heads]`.
///
/// # Panics
/// If sizes do not fit together.
pub fn causal_attention(
    shape: &CausalShape<'_>,
    inputs: AttentionInputs<'_>,
    out: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    shape.check(inputs, log_sum_exp);
    assert_eq!(out.len(), inputs.query.len(), "numbers in the result of attention");
    let (out, log_sum_exp) = (Disjoint::new(out), Disjoint::new(log_sum_exp));
    shape.for_each_task(|row, head| Task { shape, inputs, out, log_sum_exp, row, head }.run());
}

/// One head of keys of one batch row.
struct Task<'a> {
    shape: &'a CausalShape<'a>,
    inputs: AttentionInputs<'a>,
    out: Disjoint<'a>,
    log_sum_exp: Disjoint<'a>,
    row: usize,
    head: usize,
}

impl Task<'_> {
    fn run(&self) {
        let CausalShape { queries, first, heads, kv_heads, head_dim, .. } = *self.shape;
        let (group, live) = (heads / kv_heads, self.shape.live(self.row));
        for query in (0..live.start).chain(live.end..queries) {
            let at = self.shape.query_at(self.row, query, self.head, 0);
            // SAFETY: this task alone writes these heads of this batch row.
            unsafe { self.out.part(at, group * head_dim) }.fill(0.0);
        }
        if live.len() == 1 {
            let at = self.shape.query_at(self.row, live.start, self.head, 0);
            return self.block(at, head_dim, group, |_| first + live.start);
        }
        for head in 0..group {
            for begin in live.clone().step_by(QUERIES) {
                let n = QUERIES.min(live.end - begin);
                let at = self.shape.query_at(self.row, begin, self.head, head);
                self.block(at, heads * head_dim, n, |row| first + begin + row);
            }
        }
    }

    /// `n` rows of queries from `at` on, `stride` apart, at falling-in slots.
    fn block(&self, at: usize, stride: usize, n: usize, slot: impl Fn(usize) -> usize) {
        let (shape, row) = (self.shape, self.row);
        let head_dim = shape.head_dim;
        // A product's sums visit the result every so many steps: counted from the row's first token these
        // are the same steps for a query alone and for one whose neighbours see earlier slots.
        let (start, first) = (shape.starts[row], shape.seen(row, slot(0)).start);
        let slots = start + (first - start) / DEPTH * DEPTH..slot(n - 1) + 1;
        let key = shape.keys(self.inputs.key, row, self.head, &slots);
        let value = shape.keys(self.inputs.value, row, self.head, &slots);
        let query = MatrixView::new(&self.inputs.query[at..], n, head_dim, stride, 1);
        let scale = 1.0 / (head_dim as f32).sqrt();
        let keys = slots.len();
        with_scratch(n * keys, |scores| {
            // SAFETY: the scores are this task's own, and it alone writes these heads of this batch row.
            unsafe {
                gemm_serial(query, key.transposed(), Disjoint::new(scores), 0, keys, false);
                for (index, scores) in scores.chunks_exact_mut(keys).enumerate() {
                    let seen = shape.seen(row, slot(index));
                    let seen = seen.start - slots.start..seen.end - slots.start;
                    let log_sum_exp = softmax(&mut scores[seen.clone()], scale);
                    self.log_sum_exp.part((at + index * stride) / head_dim, 1)[0] = log_sum_exp;
                    scores[..seen.start].fill(0.0);
                    scores[seen.end..].fill(0.0);
                }
                let probabilities = MatrixView::row_major(scores, n, keys);
                gemm_serial(probabilities, value, self.out, at, stride, false);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

    const HEADS: usize = 6;
    const KV_HEADS: usize = 2;
    const D: usize = 20;

    fn expected(shape: &CausalShape<'_>, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
        let mut out = vec![0.0; q.len()];
        for row in 0..shape.starts.len() {
            for query in 0..shape.queries {
                let slot = shape.first + query;
                if slot < shape.starts[row] || slot >= shape.ends[row] {
                    continue;
                }
                let from = shape.window.map_or(0, |window| (slot + 1).saturating_sub(window));
                let seen = from.max(shape.starts[row])..slot + 1;
                for head in 0..HEADS {
                    let at = ((row * shape.queries + query) * HEADS + head) * D;
                    let kv = |slot: usize| {
                        ((row * shape.capacity + slot) * KV_HEADS + head / (HEADS / KV_HEADS)) * D
                    };
                    let score = |slot: usize| {
                        let dot: f64 =
                            (0..D).map(|i| f64::from(q[at + i]) * f64::from(k[kv(slot) + i])).sum();
                        (dot / (D as f64).sqrt()).exp()
                    };
                    let total: f64 = seen.clone().map(score).sum();
                    for i in 0..D {
                        out[at + i] = seen
                            .clone()
                            .map(|slot| score(slot) / total * f64::from(v[kv(slot) + i]))
                            .sum();
                    }
                }
            }
        }
        out
    }

    fn run(shape: &CausalShape<'_>, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; q.len()];
        let mut log_sum_exp = vec![f32::NAN; q.len() / D];
        let inputs = AttentionInputs { query: q, key: k, value: v };
        causal_attention(shape, inputs, &mut out, &mut log_sum_exp);
        out
    }

    fn shape<'a>(
        queries: usize,
        first: usize,
        starts: &'a [usize],
        ends: &'a [usize],
    ) -> CausalShape<'a> {
        CausalShape {
            queries,
            first,
            capacity: 150,
            heads: HEADS,
            kv_heads: KV_HEADS,
            head_dim: D,
            starts,
            ends,
            origins: None,
            window: None,
        }
    }

    #[test]
    fn every_query_equals_plain_sums() {
        let kv = 2 * 150 * KV_HEADS * D;
        let (k, v) = (numbers(kv, 2), numbers(kv, 3));
        for (queries, first, starts, ends, window) in [
            (1, 0, [0, 0], [1, 1], None),
            (1, 99, [0, 40], [100, 100], None),
            (130, 0, [0, 17], [130, 130], None),
            (130, 0, [0, 0], [130, 75], None),
            (70, 80, [3, 0], [150, 150], Some(33)),
            (1, 99, [0, 90], [100, 100], Some(20)),
        ] {
            let shape = CausalShape { window, ..shape(queries, first, &starts, &ends) };
            let q = numbers(2 * queries * HEADS * D, 1);
            assert_close(&run(&shape, &q, &k, &v), &expected(&shape, &q, &k, &v), 1e-6);
        }
    }

    #[test]
    fn a_query_has_the_same_bits_alone_and_among_others() {
        let kv = 150 * KV_HEADS * D;
        let (k, v, q) = (numbers(kv, 2), numbers(kv, 3), numbers(150 * HEADS * D, 1));
        let together = run(&shape(150, 0, &[0], &[150]), &q, &k, &v);
        for slot in [0, 1, 63, 64, 100, 149] {
            let here = slot * HEADS * D..(slot + 1) * HEADS * D;
            let ends = [slot + 1];
            let alone = run(&shape(1, slot, &[0], &ends), &q[here.clone()], &k, &v);
            assert_eq!(alone, together[here], "slot {slot}");
        }
        assert_same_on_any_threads(|| run(&shape(150, 0, &[0], &[150]), &q, &k, &v));
    }

    #[test]
    fn a_query_has_the_same_bits_alone_and_among_others_under_a_long_window() {
        let capacity = 1300;
        let kv = capacity * KV_HEADS * D;
        let (k, v) = (numbers(kv, 2), numbers(kv, 3));
        let wide = |queries, first, ends| CausalShape {
            capacity,
            window: Some(600),
            ..shape(queries, first, &[5], ends)
        };
        // The window begins `DEPTH` steps after the row's first slot within this block.
        let (first, queries) = (5 + DEPTH + 600 - 5, 8);
        let q = numbers(queries * HEADS * D, 1);
        let together = run(&wide(queries, first, &[1300]), &q, &k, &v);
        for (at, together) in together.chunks(HEADS * D).enumerate() {
            let here = &q[at * HEADS * D..(at + 1) * HEADS * D];
            assert_eq!(run(&wide(1, first + at, &[1300]), here, &k, &v), together, "query {at}");
        }
    }

    #[test]
    fn a_row_that_lies_elsewhere_equals_one_numbered_from_its_place_in_memory() {
        let kv = 2 * 150 * KV_HEADS * D;
        let (k, v) = (numbers(kv, 2), numbers(kv, 3));
        let q = numbers(2 * 4 * HEADS * D, 1);
        let origins = Some(&[0, 120][..]);
        let moved = run(&CausalShape { origins, ..shape(4, 90, &[3, 37], &[94, 94]) }, &q, &k, &v);
        let half = q.len() / 2;
        let first = run(&shape(4, 90, &[3, 7], &[94, 94]), &q, &k, &v);
        let second = run(&shape(4, 60, &[3, 7], &[64, 64]), &q, &k, &v);
        assert_eq!(moved[..half], first[..half]);
        assert_eq!(moved[half..], second[half..]);
    }
}
