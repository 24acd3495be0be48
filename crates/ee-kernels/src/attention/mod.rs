//! Multi-head attention that keeps one number per query for its backward pass.
//!
//! What a query sees is an argument: all keys of its row (an encoder, or its memory), or those up to its own
//! slot of a cache, all of them or the last few. A task is one head of keys of one batch row, with the heads of
//! queries that share it (grouped-query attention, Ainslie et al. 2023), and takes queries in blocks: scores,
//! softmax and the product with V stay in the thread's cache. Forward keeps log Σ exp of each query's scores;
//! backward makes the probabilities again from it (Dao et al. 2022). Every query's scores are one row of a
//! product and its softmax sees the keys it may see and no others, so that its result has the same bits alone
//! and among others. Heads are columns of `[tokens, heads · head_dim]`, as the projections leave them.

mod backward;
mod forward;
mod rows;

#[cfg(test)]
mod formulas;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use self::rows::add_bias;
use super::dropout::{Dropout, Mask};
use super::gemm::MatrixView;
use super::sizes::product;

pub use self::backward::{AttentionGradients, attention_backward};
pub use self::forward::attention_forward;

/// Queries of a block: their scores against 512 keys are 128 KiB.
const QUERIES: usize = 64;

/// Multiplications below which attention stays on its thread.
const SERIAL: usize = 1 << 18;

/// What a query sees of the slots of its batch row that hold a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All.
    Whole,
    /// Those up to its own.
    Causal {
        /// Slot of each row's first query.
        first: usize,
        /// How many slots a query sees, its own included; all earlier ones if absent.
        window: Option<usize>,
    },
}

/// The arguments of an attention.
#[derive(Clone, Debug)]
pub struct AttentionShape {
    /// Queries per batch row, padding included.
    pub queries: usize,
    /// Slots for keys and values per batch row.
    pub slots: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of the keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Columns of a head.
    pub head_dim: usize,
    /// Per batch row the queries that are a token's; the others give 0.
    pub live: Arc<[Range<usize>]>,
    /// Per batch row the slots that hold a token.
    pub held: Arc<[Range<usize>]>,
    /// Per batch row where its slot 0 lies in keys and values, counted in slots; before their beginning where
    /// the first slots hold no token. Rows follow each other if absent.
    pub origins: Option<Arc<[isize]>>,
    /// Which of the held slots a query sees.
    pub sight: Sight,
    /// Scores are multiplied by it.
    pub scale: f32,
    /// Of the probabilities; the element of (batch row b, head h, query q, slot k) has the index
    /// `((b * heads + h) * queries + q) * slots + k`.
    pub dropout: Dropout,
}

/// What is attended with and to.
#[derive(Clone, Copy, Debug)]
pub struct AttentionInputs<'a> {
    /// `[batch, queries, heads * head_dim]`
    pub query: &'a [f32],
    /// `[batch, slots, kv_heads * head_dim]`, or as many slots as `origins` cover
    pub key: &'a [f32],
    /// As `key`.
    pub value: &'a [f32],
    /// `[heads, queries, columns]`, added to the scaled scores of every batch row; a column per slot.
    pub bias: Option<&'a [f32]>,
}

impl AttentionShape {
    /// Right-padded rows of `queries` places whose tokens see each other: an encoder's. The scale is
    /// 1 / √head_dim.
    pub fn whole(queries: usize, heads: usize, head_dim: usize, lengths: &[usize]) -> Self {
        let rows: Arc<[Range<usize>]> = lengths.iter().map(|&length| 0..length).collect();
        Self {
            queries,
            slots: queries,
            heads,
            kv_heads: heads,
            head_dim,
            live: rows.clone(),
            held: rows,
            origins: None,
            sight: Sight::Whole,
            scale: 1.0 / (head_dim as f32).sqrt(),
            dropout: Dropout::NONE,
        }
    }

    /// The same queries over right-padded keys of another text: an encoder's memory.
    pub fn over(self, slots: usize, lengths: &[usize]) -> Self {
        let held = lengths.iter().map(|&length| 0..length).collect();
        Self { slots, held, sight: Sight::Whole, ..self }
    }

    /// The same heads over the `slots` slots of a cache: queries stand at the slots from `first` on, and a row
    /// holds tokens in the slots given for it.
    pub fn causal(
        self,
        slots: usize,
        first: usize,
        window: Option<usize>,
        held: Arc<[Range<usize>]>,
    ) -> Self {
        let query = |slot: usize| slot.clamp(first, first.saturating_add(self.queries)) - first;
        let live = |held: &Range<usize>| {
            let start = query(held.start);
            start..query(held.end).max(start)
        };
        let live = held.iter().map(live).collect();
        Self { slots, live, held, sight: Sight::Causal { first, window }, ..self }
    }

    /// Asserts that sizes fit together.
    fn check(&self, inputs: AttentionInputs<'_>, log_sum_exp: &[f32]) {
        let Self { queries, slots, heads, kv_heads, head_dim, .. } = *self;
        let batch = self.held.len();
        assert!(heads > 0 && kv_heads > 0 && head_dim > 0, "heads with numbers in them");
        assert_eq!(heads % kv_heads, 0, "{heads} heads on {kv_heads} heads of keys");
        let of_queries = product([batch, queries, heads, head_dim]);
        assert_eq!(inputs.query.len(), of_queries, "numbers in the queries");
        let of_slot = product([kv_heads, head_dim]);
        assert_eq!(inputs.key.len() % of_slot, 0, "whole slots of keys");
        if self.origins.is_none() {
            let of_keys = product([batch, slots, of_slot]);
            assert_eq!(inputs.key.len(), of_keys, "numbers in the keys");
        }
        assert_eq!(inputs.value.len(), inputs.key.len(), "numbers in the values");
        self.check_rows(inputs.key.len() / of_slot);
        if let Some(bias) = inputs.bias {
            let columns = self.columns_of(bias.len());
            assert_eq!(bias.len(), product([heads, queries, columns]), "numbers in the bias");
            let reach = (0..batch).map(|row| self.reach(row).end).max().unwrap_or(0);
            assert!(reach <= columns, "{reach} slots with a bias for {columns}");
        }
        let of_sums = product([batch, queries, heads]);
        assert_eq!(log_sum_exp.len(), of_sums, "one log-sum-exp per query");
    }

    /// Asserts that what queries see lies in `places` slots of memory.
    fn check_rows(&self, places: usize) {
        let Self { queries, slots, ref live, ref held, .. } = *self;
        assert_eq!(live.len(), held.len(), "live queries, one range per batch row");
        if let Some(origins) = &self.origins {
            assert_eq!(origins.len(), held.len(), "origins, one per batch row");
        }
        if let Sight::Causal { first, window } = self.sight {
            assert!(window != Some(0), "a query sees its own slot at least");
            let last = first.checked_add(queries);
            let inside = last.is_some_and(|last| last <= slots || self.origins.is_some());
            assert!(inside, "{queries} queries from {first} in {slots} slots");
        }
        for (row, (live, held)) in live.iter().zip(held.iter()).enumerate() {
            assert!(live.start <= live.end && live.end <= queries, "queries within {queries}");
            if let Sight::Causal { first, .. } = self.sight {
                let inside = first + live.start >= held.start && first + live.end <= held.end;
                assert!(live.is_empty() || inside, "row {row}: queries whose slots hold a token");
            }
            let [from, to] = self.places(row);
            let within = 0..=places as i128;
            let is_unread = self.origins.is_none() && from == to;
            let inside = is_unread || within.contains(&from) && within.contains(&to);
            assert!(inside, "row {row}, {from} to {to}, does not lie in {places} places");
            let apart = self.origins.is_some() || self.reach(row).end <= slots;
            assert!(apart, "row {row}: keys within {slots}");
        }
    }

    /// The slots of a row that any query sees.
    fn reach(&self, row: usize) -> Range<usize> {
        let held = self.held[row].clone();
        match self.sight {
            Sight::Whole => held,
            Sight::Causal { first, .. } => held.start..held.end.min(first + self.queries),
        }
    }

    /// Where these slots lie, first and after the last; wide enough for every origin and slot there is.
    fn places(&self, row: usize) -> [i128; 2] {
        let origins = self.origins.as_ref();
        let origin = origins.map_or(row as i128 * self.slots as i128, |all| all[row] as i128);
        let Range { start, end } = self.reach(row);
        [origin + start as i128, origin + end as i128]
    }

    /// Asserts that no place is seen by two rows, whose tasks could write to it at once.
    fn check_apart(&self) {
        let mut rows: Vec<[i128; 2]> = (0..self.held.len()).map(|row| self.places(row)).collect();
        rows.retain(|[from, to]| from < to);
        rows.sort_unstable();
        for pair in rows.windows(2) {
            assert!(pair[0][1] <= pair[1][0], "two rows share the keys from {} on", pair[1][0]);
        }
    }

    /// Runs one task per head of keys of every batch row; rows one after the other where tasks of one head
    /// must not meet.
    fn for_each_task(&self, rows_meet: bool, run: impl Fn(usize, usize) + Sync) {
        let Self { queries, heads, kv_heads, head_dim, .. } = *self;
        let batch = self.held.len();
        let span = match self.sight {
            Sight::Whole => self.slots,
            Sight::Causal { first, .. } => first + queries,
        };
        let sizes = [2, batch, queries, span, heads, head_dim];
        let is_small = sizes.into_iter().fold(1, usize::saturating_mul) < SERIAL;
        let one = |task: usize| run(task / kv_heads, task % kv_heads);
        if is_small {
            (0..batch * kv_heads).for_each(one);
        } else if rows_meet {
            let all_rows = |head: usize| (0..batch).for_each(|row| run(row, head));
            (0..kv_heads).into_par_iter().with_max_len(1).for_each(all_rows);
        } else {
            (0..batch * kv_heads).into_par_iter().with_max_len(1).for_each(one);
        }
    }

    /// Queries of a batch row that see anything.
    fn live(&self, row: usize) -> Range<usize> {
        if self.held[row].is_empty() { 0..0 } else { self.live[row].clone() }
    }

    /// The slots that a query sees.
    fn seen(&self, row: usize, query: usize) -> Range<usize> {
        let Range { start, end } = self.held[row];
        match self.sight {
            Sight::Whole => start..end,
            Sight::Causal { first, window } => {
                let slot = first + query;
                let windowed = |window| start.max((slot + 1).saturating_sub(window));
                window.map_or(start, windowed)..slot + 1
            }
        }
    }

    /// Where a query's head lies, counted in heads; `head` within the group of a head of keys.
    fn query_at(&self, row: usize, query: usize, kv_head: usize, head: usize) -> usize {
        (row * self.queries + query) * self.heads + kv_head * (self.heads / self.kv_heads) + head
    }

    /// Head and query of what lies there.
    fn head_and_query(&self, at: usize) -> [usize; 2] {
        [at % self.heads, at / self.heads % self.queries]
    }

    /// `n` rows of queries from `at` on, `stride` apart, both in heads.
    fn query_rows<'a>(
        &self,
        data: &'a [f32],
        at: usize,
        n: usize,
        stride: usize,
    ) -> MatrixView<'a> {
        MatrixView::new(&data[at * self.head_dim..], n, self.head_dim, stride * self.head_dim, 1)
    }

    /// Where a slot's head of keys lies.
    fn key_at(&self, row: usize, slot: usize, kv_head: usize) -> usize {
        let origins = self.origins.as_ref();
        let origin = origins.map_or((row * self.slots) as isize, |origins| origins[row]);
        (origin.strict_add_unsigned(slot) as usize * self.kv_heads + kv_head) * self.head_dim
    }

    /// Some slots of a head of keys or values.
    fn key_rows<'a>(
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

    /// Slots that a bias of this many numbers covers.
    fn columns_of(&self, bias: usize) -> usize {
        bias / (self.heads * self.queries).max(1)
    }

    /// Where the bias of a query's slots begins.
    fn bias_at(&self, columns: usize, at: usize, slot: usize) -> usize {
        let [head, query] = self.head_and_query(at);
        (head * self.queries + query) * columns + slot
    }

    /// Adds the bias to the scores of the slots from `slot` on; gives the scale that is left to apply.
    fn add_bias(&self, bias: Option<&[f32]>, at: usize, slot: usize, scores: &mut [f32]) -> f32 {
        let Some(bias) = bias else { return self.scale };
        let from = self.bias_at(self.columns_of(bias.len()), at, slot);
        add_bias(scores, self.scale, &bias[from..from + scores.len()]);
        1.0
    }

    /// The dropout of one query's probabilities.
    fn mask(&self, row: usize, at: usize) -> Option<Mask> {
        self.dropout.is_active().then(|| {
            let [head, query] = self.head_and_query(at);
            let at = (row * self.heads + head) * self.queries + query;
            self.dropout.mask((at as u64).wrapping_mul(self.slots as u64))
        })
    }
}
