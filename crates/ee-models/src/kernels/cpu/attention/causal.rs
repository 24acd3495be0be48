//! Causal attention over a cache: queries at the cache's end, fewer heads of keys and values than of
//! queries (grouped-query attention, Ainslie et al. 2023), rows of a batch padded on the left or right.
//!
//! A task is one head of keys of one batch row. With one query, its heads that share these keys are one
//! product. Every query's scores are one row of a product and its softmax sees the keys it may see and no
//! others, so that its result has the same bits alone and among others. Inference only.

use rayon::prelude::*;

use super::QUERIES;
use super::rows::softmax;
use crate::kernels::cpu::disjoint::Disjoint;
use crate::kernels::cpu::gemm::{DEPTH, MatrixView, gemm_serial};
use crate::kernels::cpu::scratch::with_scratch;

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
    /// Per batch row, how many slots earlier than their number says its keys and values lie in memory; no
    /// more than its first slot that holds a token.
    pub shifts: &'a [usize],
    /// A query sees so many slots, its own included; all earlier ones if absent.
    pub window: Option<usize>,
}

/// softmax(Q Kᵀ / √head_dim) V, each query seeing the slots up to its own.
///
/// # Shapes
/// `query`, `out` `[batch, queries, heads * head_dim]`, `key`, `value` `[batch, capacity, kv_heads *
/// head_dim]`.
///
/// # Panics
/// If sizes do not fit together.
pub fn causal_attention(
    shape: &CausalShape<'_>,
    query: &[f32],
    key: &[f32],
    value: &[f32],
    out: &mut [f32],
) {
    let CausalShape { queries, first, capacity, heads, kv_heads, head_dim, starts, ends, .. } =
        *shape;
    let shifts = shape.shifts;
    let batch = starts.len();
    assert_eq!(ends.len(), batch, "ends, one per batch row");
    assert_eq!(heads % kv_heads, 0, "{heads} heads on {kv_heads} heads of keys");
    assert_eq!(shifts.len(), batch, "shifts, one per batch row");
    for (&shift, &start) in shifts.iter().zip(starts) {
        assert!(shift <= start, "a shift by {shift} of a row that begins at {start}");
        assert!(
            first + queries - shift <= capacity,
            "{queries} queries from {first}, shifted by {shift}, in {capacity} slots"
        );
    }
    assert_eq!(query.len(), batch * queries * heads * head_dim, "numbers in the queries");
    assert_eq!(out.len(), query.len(), "numbers in the result of attention");
    assert_eq!(key.len(), batch * capacity * kv_heads * head_dim, "numbers in the keys");
    assert_eq!(value.len(), key.len(), "numbers in the values");
    let out = Disjoint::new(out);
    let run = |task: usize| {
        Task { shape, query, key, value, out, row: task / kv_heads, head: task % kv_heads }.run();
    };
    if 2 * batch * queries * (first + queries) * heads * head_dim < SERIAL {
        (0..batch * kv_heads).for_each(run);
    } else {
        (0..batch * kv_heads).into_par_iter().with_max_len(1).for_each(run);
    }
}

/// One head of keys of one batch row.
struct Task<'a> {
    shape: &'a CausalShape<'a>,
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    out: Disjoint<'a>,
    row: usize,
    head: usize,
}

impl Task<'_> {
    fn run(&self) {
        let CausalShape { queries, first, heads, kv_heads, head_dim, starts, ends, .. } =
            *self.shape;
        let group = heads / kv_heads;
        let slot = |slot: usize| slot.clamp(first, first + queries) - first;
        let (from, to) = (slot(starts[self.row]), slot(ends[self.row]));
        for query in (0..from).chain(to.max(from)..queries) {
            // SAFETY: this task alone writes these heads of this batch row.
            unsafe { self.out.part(self.query_at(query, 0), group * head_dim) }.fill(0.0);
        }
        if to == from + 1 {
            return self.block(self.query_at(from, 0), head_dim, group, |_| first + from);
        }
        for head in 0..group {
            for begin in (from..to).step_by(QUERIES) {
                let n = QUERIES.min(to - begin);
                let at = self.query_at(begin, head);
                self.block(at, heads * head_dim, n, |row| first + begin + row);
            }
        }
    }

    /// Where a query's head lies, `head` counted within the group.
    fn query_at(&self, query: usize, head: usize) -> usize {
        let CausalShape { queries, heads, kv_heads, head_dim, .. } = *self.shape;
        let head = self.head * (heads / kv_heads) + head;
        ((self.row * queries + query) * heads + head) * head_dim
    }

    /// `n` rows of queries from `at` on, `stride` apart, at falling-in slots.
    fn block(&self, at: usize, stride: usize, n: usize, slot: impl Fn(usize) -> usize) {
        let CausalShape { capacity, kv_heads, head_dim, starts, shifts, window, .. } = *self.shape;
        let (start, shift) = (starts[self.row], shifts[self.row]);
        let seen_from = |slot: usize| {
            window.map_or(start, |window| start.max((slot + 1).saturating_sub(window)))
        };
        // A product's sums visit the result every so many steps: counted from the row's first token these
        // are the same steps for a query alone and for one whose neighbours see earlier slots.
        let from = start + (seen_from(slot(0)) - start) / DEPTH * DEPTH;
        let to = slot(n - 1) + 1;
        let keys = to - from;
        let kv_at =
            (self.row * capacity + from - shift) * kv_heads * head_dim + self.head * head_dim;
        let of_keys = |data| {
            let data: &[f32] = data;
            MatrixView::new(&data[kv_at..], keys, head_dim, kv_heads * head_dim, 1)
        };
        let key: MatrixView<'_> = of_keys(self.key);
        let value: MatrixView<'_> = of_keys(self.value);
        let query = MatrixView::new(&self.query[at..], n, head_dim, stride, 1);
        let scale = 1.0 / (head_dim as f32).sqrt();
        with_scratch(n * keys, |scores| {
            // SAFETY: the scores are this task's own, and it alone writes these heads of this batch row.
            unsafe {
                gemm_serial(query, key.transposed(), Disjoint::new(scores), 0, keys, false);
                for (row, scores) in scores.chunks_exact_mut(keys).enumerate() {
                    let seen = seen_from(slot(row)) - from..slot(row) + 1 - from;
                    softmax(&mut scores[seen.clone()], scale);
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
    use crate::kernels::cpu::reference::{assert_close, assert_same_on_any_threads, numbers};

    const HEADS: usize = 6;
    const KV_HEADS: usize = 2;
    const D: usize = 20;
    const UNSHIFTED: &[usize] = &[0; 2];

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
        causal_attention(shape, q, k, v, &mut out);
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
            shifts: &UNSHIFTED[..starts.len()],
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
        let capacity = 700;
        let kv = capacity * KV_HEADS * D;
        let (k, v) = (numbers(kv, 2), numbers(kv, 3));
        let wide = |queries, first, ends| CausalShape {
            capacity,
            window: Some(300),
            ..shape(queries, first, &[5], ends)
        };
        // The window begins 256 steps after the row's first slot within this block.
        let (first, queries) = (557, 8);
        let q = numbers(queries * HEADS * D, 1);
        let together = run(&wide(queries, first, &[700]), &q, &k, &v);
        for (at, together) in together.chunks(HEADS * D).enumerate() {
            let here = &q[at * HEADS * D..(at + 1) * HEADS * D];
            assert_eq!(run(&wide(1, first + at, &[700]), here, &k, &v), together, "query {at}");
        }
    }

    #[test]
    fn a_shifted_row_equals_one_numbered_from_its_place_in_memory() {
        let kv = 2 * 150 * KV_HEADS * D;
        let (k, v) = (numbers(kv, 2), numbers(kv, 3));
        let q = numbers(2 * 4 * HEADS * D, 1);
        let shifted =
            run(&CausalShape { shifts: &[0, 30], ..shape(4, 90, &[3, 37], &[94, 94]) }, &q, &k, &v);
        let half = q.len() / 2;
        let first = run(&shape(4, 90, &[3, 7], &[94, 94]), &q, &k, &v);
        let second = run(&shape(4, 60, &[3, 7], &[64, 64]), &q, &k, &v);
        assert_eq!(shifted[..half], first[..half]);
        assert_eq!(shifted[half..], second[half..]);
    }
}
